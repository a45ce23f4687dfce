//! The flow tables of a bridge.
//!
//! # Versions
//! Each change of the tables happens in a new version, and a lookup names the version that it
//! wants, so it sees all of a change or nothing. All lookups of a bridge ask for the version that
//! the last finished change made; therefore rules removed in it can be forgotten at once.

use crate::cookies::CookieUse;
use crate::eviction::Evictable;
use crate::rule::Rule;
use crate::table_mod::{TableMiss, TableSettings, VacancyWatch};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use classifier::{Classifier, Version};
use sync::counter::Counter;

/// Rules that a table may hold (what Open vSwitch reports).
pub const MAX_RULES: usize = 1_000_000;

/// One flow table.
#[derive(Debug)]
pub struct Table {
    pub(crate) rules: Classifier<Rule>,
    pub(crate) n_hidden: usize,
    pub(crate) max_rules: usize,
    /// What to do with a packet that no rule matches.
    pub(crate) miss: TableMiss,
    /// What is configured of it.
    pub(crate) settings: TableSettings,
    /// What a controller calls it, where the configuration does not name it.
    pub(crate) called: String,
    /// Whether a controller has it evict rules where there is no room.
    pub(crate) evicts: bool,
    /// The rules that can be evicted, if it evicts any.
    pub(crate) evictable: Option<Box<Evictable>>,
    /// The thresholds of vacancy events that were set last, in per cent.
    pub(crate) thresholds: (u8, u8),
    /// What of them is told, if it is.
    pub(crate) watch: Option<VacancyWatch>,
    pub(crate) looked: Looked,
}

/// What the control core counts of a table, for which it waits for no polling core that looks into it: so it is
/// on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Looked {
    /// Packets looked up here.
    pub(crate) n_lookups: Counter,
    /// Those that found a rule.
    pub(crate) n_matched: Counter,
}

impl Table {
    /// Rules that OpenFlow sees.
    #[must_use]
    pub fn n_rules(&self) -> usize {
        self.rules.len() - self.n_hidden
    }

    /// Rules that it may hold.
    #[must_use]
    pub fn max_rules(&self) -> usize {
        self.max_rules
    }

    /// Its name; empty if it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.settings.name.is_empty() { &self.called } else { &self.settings.name }
    }

    /// Packets looked up, and those of them that matched.
    #[must_use]
    pub fn lookups(&self) -> (u64, u64) {
        (self.looked.n_lookups.get(), self.looked.n_matched.get())
    }
}

/// The flow tables of a bridge.
#[derive(Debug)]
pub struct Tables {
    tables: Vec<Table>,
    pub(crate) version: Version,
    /// By table and cookie: those that learn actions limit or delete.
    pub(crate) cookies: BTreeMap<(u8, u64), CookieUse>,
}

impl Tables {
    pub(crate) fn new(n_tables: u8, seed: u64) -> Self {
        let table = |id: u8| Table {
            rules: Classifier::new(seed ^ u64::from(id)),
            n_hidden: 0,
            max_rules: MAX_RULES,
            miss: TableMiss::Default,
            settings: TableSettings::default(),
            called: String::new(),
            evicts: false,
            evictable: None,
            thresholds: (0, 0),
            watch: None,
            looked: Looked::default(),
        };
        Self {
            tables: (0..n_tables).map(table).collect(),
            version: Version::MIN,
            cookies: BTreeMap::new(),
        }
    }

    /// Table `id`.
    #[must_use]
    pub fn get(&self, id: u8) -> Option<&Table> {
        self.tables.get(usize::from(id))
    }

    pub(crate) fn get_mut(&mut self, id: u8) -> Option<&mut Table> {
        self.tables.get_mut(usize::from(id))
    }

    /// The tables with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &Table)> {
        (0..=u8::MAX).zip(&self.tables)
    }

    /// The version that lookups ask for.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How many there are: 1 to 255.
    #[must_use]
    pub fn n_tables(&self) -> u8 {
        u8::try_from(self.tables.len()).unwrap_or(u8::MAX)
    }

    /// Rules in all tables, hidden ones too.
    #[must_use]
    pub fn n_rules(&self) -> usize {
        self.tables.iter().map(|table| table.rules.len()).sum()
    }

    /// The numbers of the tables that `id` names: itself, or all for [`openflow::TABLE_ALL`].
    pub(crate) fn named(&self, id: u8) -> core::ops::Range<u8> {
        if id == openflow::TABLE_ALL { 0..self.n_tables() } else { id..id.saturating_add(1) }
    }

    /// The rules of `id` (see [`named`](Self::named)) that OpenFlow sees and `chosen` picks.
    pub(crate) fn collect(&self, id: u8, mut chosen: impl FnMut(&Rule) -> bool) -> Vec<Arc<Rule>> {
        let mut rules = Vec::new();
        for id in self.named(id) {
            let Some(table) = self.get(id) else { continue };
            let visible = table.rules.iter(self.version).map(|entry| entry.rule());
            rules.extend(visible.filter(|rule| !rule.is_hidden() && chosen(rule)).cloned());
        }
        rules
    }
}

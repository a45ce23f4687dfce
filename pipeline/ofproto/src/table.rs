//! The flow tables of a bridge.
//!
//! # Versions
//! Each change of the tables happens in a new version, and a lookup names the version that it
//! wants, so it sees all of a change or nothing. All lookups of a bridge ask for the version that
//! the last finished change made; therefore rules removed in it can be forgotten at once.

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
        (self.n_lookups.get(), self.n_matched.get())
    }
}

/// The flow tables of a bridge.
#[derive(Debug)]
pub struct Tables {
    tables: Vec<Table>,
    pub(crate) version: Version,
    /// By table and cookie: those that learn actions limit or delete.
    cookies: BTreeMap<(u8, u64), CookieUse>,
}

/// A learn action that limits or deletes what it teaches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserOfCookie {
    pub(crate) table_id: u8,
    pub(crate) cookie: u64,
    /// Whether the learned rules go with the last such action.
    pub(crate) deletes: bool,
}

/// What is known of a cookie that learn actions name.
#[derive(Debug, Default)]
struct CookieUse {
    n_rules: u64,
    n_users: u64,
    n_deleters: u64,
    /// The version as of which the rules were counted first.
    since: Version,
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
            n_lookups: Counter::new(),
            n_matched: Counter::new(),
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

    // ---- Cookies that learn actions name ----

    pub(crate) fn has_no_cookies(&self) -> bool {
        self.cookies.is_empty()
    }

    /// How many rules of a table have a cookie that a learn action limits.
    pub(crate) fn n_with_cookie(&self, table_id: u8, cookie: u64) -> u64 {
        match self.cookies.get(&(table_id, cookie)) {
            Some(known) => known.n_rules,
            None => self.count_with_cookie(table_id, cookie),
        }
    }

    fn count_with_cookie(&self, table_id: u8, cookie: u64) -> u64 {
        let Some(table) = self.get(table_id) else { return 0 };
        let rules = table.rules.iter(self.version).filter(|entry| entry.rule().cookie == cookie);
        rules.count() as u64
    }

    /// A rule came (+1) or went (-1) in `version`.
    pub(crate) fn count_cookie(&mut self, rule: &Rule, delta: i64, version: Version) {
        if let Some(known) = self.cookies.get_mut(&(rule.table_id, rule.cookie))
            && known.since != version
        {
            known.n_rules = known.n_rules.saturating_add_signed(delta);
        }
    }

    /// A rule with such an action came.
    pub(crate) fn use_cookie(&mut self, user: UserOfCookie) {
        let key = (user.table_id, user.cookie);
        if !self.cookies.contains_key(&key) {
            let n_rules = self.count_with_cookie(user.table_id, user.cookie);
            let known = CookieUse { n_rules, since: self.version, ..CookieUse::default() };
            self.cookies.insert(key, known);
        }
        if let Some(known) = self.cookies.get_mut(&key) {
            known.n_users += 1;
            known.n_deleters += u64::from(user.deletes);
        }
    }

    /// A rule with such an action went. Returns whether the learned rules must go too.
    pub(crate) fn disuse_cookie(&mut self, user: UserOfCookie) -> bool {
        let key = (user.table_id, user.cookie);
        let Some(known) = self.cookies.get_mut(&key) else { return false };
        known.n_users = known.n_users.saturating_sub(1);
        known.n_deleters = known.n_deleters.saturating_sub(u64::from(user.deletes));
        let is_orphaned = user.deletes && known.n_deleters == 0;
        if known.n_users == 0 {
            self.cookies.remove(&key);
        }
        is_orphaned
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

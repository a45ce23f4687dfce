//! Configuration of tables: what they do with a packet that no rule of theirs matches, in OpenFlow 1.1
//! and 1.2 (1.1 §A.3.3; from 1.3 on a rule says that, 1.3.5 §5.4), eviction and vacancy events from 1.4 on
//! (1.4.1 §7.3.4.1), and what the configuration says of single tables (Open vSwitch's table Flow_Table).

use crate::bridge::Bridge;
use crate::events::BridgeEvent;
use crate::eviction::Evictable;
use crate::table::{MAX_RULES, Table};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use openflow::{
    FlowRemovedReason, OfErrorKind, Subfield, TABLE_ALL, TableConfig, TableMod, TableReason,
    TableStatus, Vacancy, Version,
};
use sync::time::Nanos;

/// What a table does on a miss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TableMiss {
    /// What the versions of the controllers ask for: to those of 1.2 and older, else drop.
    #[default]
    Default,
    /// To the controllers of 1.2 and older.
    Controller,
    /// On with the next table.
    Continue,
    /// Drop.
    Drop,
}

/// What is configured of a table (Open vSwitch's table Flow_Table).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSettings {
    /// Its name.
    pub name: String,
    /// Rules at most (`flow_limit`).
    pub flow_limit: Option<u32>,
    /// Whether a rule too many evicts another (`overflow_policy=evict`).
    pub evicts: bool,
    /// The fields by which rules that can be evicted are grouped (`groups`).
    pub eviction_fields: Vec<Subfield>,
}

impl TableSettings {
    /// A field to group by, as it is written: `NXM_OF_IN_PORT[]`, `NXM_NX_REG0[0..15]`.
    #[must_use]
    pub fn parse_field(text: &str) -> Option<Subfield> {
        openflow::text::parse_subfield(text).ok()
    }
}

/// By what rules are evicted: importance, remaining life, and size of the group (`OFPTMPEF_…`).
const EVICTION_FLAGS: u32 = 0b111;

/// Thresholds of free room, in per cent, and which of the two is told of next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VacancyWatch {
    down: u8,
    up: u8,
    next: TableReason,
}

impl Table {
    /// Free room in whole per cent.
    fn vacancy(&self) -> u8 {
        let free = self.max_rules.saturating_sub(self.n_rules());
        let percent = (free * 100).checked_div(self.max_rules).unwrap_or(100);
        u8::try_from(percent).unwrap_or(100)
    }

    fn desc(&self, table_id: u8) -> TableMod {
        let mut config = TableConfig::empty();
        config.set(TableConfig::EVICTION, self.evicts);
        config.set(TableConfig::VACANCY_EVENTS, self.watch.is_some());
        let (down, up) = self.watch.map_or(self.thresholds, |watch| (watch.down, watch.up));
        let vacancy = Vacancy { down, up, current: self.vacancy() };
        TableMod { table_id, config, eviction: Some(EVICTION_FLAGS), vacancy: Some(vacancy) }
    }

    /// Begins or ends to keep the rules that can be evicted.
    fn prepare_eviction(&mut self, version: classifier::Version) {
        let wanted = self.evicts || self.settings.evicts;
        self.evictable = wanted.then(|| {
            let mut evictable = Evictable::new(self.settings.eviction_fields.clone());
            self.rules.iter(version).for_each(|entry| evictable.insert(entry.rule()));
            Box::new(evictable)
        });
    }
}

impl Bridge {
    /// Changes a table's configuration on behalf of a controller. In 1.3 its bits mean nothing.
    ///
    /// # Errors
    /// No such table, or a bit that is not to be had.
    pub fn table_mod(
        &mut self,
        table_mod: &TableMod,
        version: Version,
        now: Nanos,
    ) -> Result<(), OfErrorKind> {
        let tables = self.state.tables.named(table_mod.table_id);
        if table_mod.table_id != TABLE_ALL && tables.end > self.state.tables.n_tables() {
            return Err(OfErrorKind::TableModBadTable);
        }
        let mut known = TableConfig::MISS;
        if version >= Version::V14 {
            known |= TableConfig::EVICTION | TableConfig::VACANCY_EVENTS;
        }
        if !known.contains(table_mod.config) {
            return Err(OfErrorKind::TableModBadConfig);
        }
        self.n_edits += 1;
        match version {
            Version::V10 | Version::V13 => return Ok(()),
            Version::V14 | Version::V15 => {
                self.finish_bundles(now);
                for id in tables {
                    self.watch_and_evict(id, table_mod);
                }
                return Ok(());
            }
            Version::V11 | Version::V12 => {}
        }
        let miss = match table_mod.config {
            TableConfig::MISS_CONTINUE => TableMiss::Continue,
            TableConfig::MISS_DROP => TableMiss::Drop,
            config if config.is_empty() => TableMiss::Controller,
            _ => return Err(OfErrorKind::TableModBadConfig),
        };
        let mut state = self.state.write();
        for id in tables {
            if let Some(table) = state.tables.get_mut(id) {
                table.miss = miss;
            }
        }
        drop(state);
        self.changes.everything_changed();
        Ok(())
    }

    fn watch_and_evict(&mut self, id: u8, table_mod: &TableMod) {
        let version = self.state.tables.version;
        let mut state = self.state.write();
        let Some(table) = state.tables.get_mut(id) else { return };
        let evicts = table_mod.config.contains(TableConfig::EVICTION);
        if table.evicts != evicts {
            table.evicts = evicts;
            table.prepare_eviction(version);
        }
        if let Some(Vacancy { down, up, .. }) = table_mod.vacancy {
            table.thresholds = (down, up);
        }
        let (down, up) = table.thresholds;
        let is_watched = table_mod.config.contains(TableConfig::VACANCY_EVENTS);
        table.watch = is_watched.then(|| {
            let first = if table.vacancy() < up {
                TableReason::VacancyUp
            } else {
                TableReason::VacancyDown
            };
            let next = table.watch.map_or(first, |watch| watch.next);
            VacancyWatch { down, up, next }
        });
    }

    /// Tells that a table has become full, or no longer is, if that is news.
    pub(crate) fn check_vacancy(&mut self, id: u8) {
        let Some(table) = self.state.tables.get(id) else { return };
        let Some(VacancyWatch { down, up, next }) = table.watch else { return };
        let vacancy = table.vacancy();
        let then = match next {
            TableReason::VacancyDown if vacancy < down => TableReason::VacancyUp,
            TableReason::VacancyUp if vacancy > up => TableReason::VacancyDown,
            _ => return,
        };
        let status = TableStatus { reason: next, table: table.desc(id) };
        self.events.push(BridgeEvent::TableStatus(status));
        if let Some(table) = self.state.write().tables.get_mut(id) {
            table.watch = Some(VacancyWatch { down, up, next: then });
        }
    }

    /// Takes up what is configured of a table. If it has more rules than it may, and evicts, rules go, many in
    /// slices.
    pub fn configure_table(&mut self, id: u8, settings: TableSettings, now: Nanos) {
        self.finish_bundles(now);
        let version = self.state.tables.version;
        let mut state = self.state.write();
        let Some(table) = state.tables.get_mut(id).filter(|table| table.settings != settings)
        else {
            return;
        };
        let limit = settings.flow_limit.and_then(|limit| usize::try_from(limit).ok());
        table.max_rules = limit.unwrap_or(MAX_RULES).min(MAX_RULES);
        table.settings = settings;
        table.prepare_eviction(version);
        drop(state);
        self.begin_sweep(Self::sweep_of_eviction(id), now);
    }

    /// Names a table as a controller wants it. A name that is configured stays.
    pub fn call_table(&mut self, id: u8, name: &str) {
        if self.state.tables.get(id).is_some_and(|table| table.called != name)
            && let Some(table) = self.state.write().tables.get_mut(id)
        {
            table.called = name.into();
        }
    }

    /// Evicts a rule of a table.
    ///
    /// # Errors
    /// The table does not evict, or no rule of it can go.
    pub(crate) fn make_room(
        &mut self,
        change: &mut crate::change::Change,
        table_id: u8,
    ) -> Result<(), OfErrorKind> {
        let mut state = self.state.write();
        let evictable = state.tables.get_mut(table_id).and_then(|t| t.evictable.as_deref_mut());
        let victim = evictable.and_then(Evictable::choose);
        drop(state);
        let victim = victim.ok_or(OfErrorKind::FlowModTableFull)?;
        self.take_out(change, &victim, FlowRemovedReason::Eviction);
        Ok(())
    }

    /// Forgets what controllers said of misses and thresholds.
    pub(crate) fn forget_table_mods(&mut self) {
        let mut state = self.state.write();
        for id in 0..state.tables.n_tables() {
            if let Some(table) = state.tables.get_mut(id) {
                (table.miss, table.thresholds) = (TableMiss::Default, (0, 0));
            }
        }
        drop(state);
        self.changes.everything_changed();
    }

    /// The table-mods that make a table what controllers made of it, and their versions.
    pub(crate) fn table_mods(&self, table_id: u8) -> Vec<(TableMod, Version)> {
        let Some(table) = self.state.tables.get(table_id) else { return Vec::new() };
        let mut mods = Vec::new();
        let config = self.table_config(table_id);
        if table.miss != TableMiss::Default {
            mods.push((TableMod { table_id, config, ..TableMod::default() }, Version::V11));
        }
        let desc = table.desc(table_id);
        let vacancy = desc.vacancy.map(|vacancy| Vacancy { current: 0, ..vacancy });
        let is_set = |vacancy: Vacancy| vacancy != Vacancy::default();
        if !desc.config.is_empty() || vacancy.is_some_and(is_set) {
            mods.push((TableMod { eviction: None, vacancy, ..desc }, Version::V14));
        }
        mods
    }

    /// How a table is configured, in the bits of 1.1 and 1.2.
    #[must_use]
    pub fn table_config(&self, table_id: u8) -> TableConfig {
        match self.state.tables.get(table_id).map(|table| table.miss) {
            Some(TableMiss::Continue) => TableConfig::MISS_CONTINUE,
            Some(TableMiss::Drop) => TableConfig::MISS_DROP,
            _ => TableConfig::empty(),
        }
    }

    /// How the tables are configured, as 1.4 describes them (1.4.1 §7.3.5.17).
    #[must_use]
    pub fn table_descs(&self) -> Vec<TableMod> {
        self.state.tables.iter().map(|(id, table)| table.desc(id)).collect()
    }
}

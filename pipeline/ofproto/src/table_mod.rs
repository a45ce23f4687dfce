//! Configuration of tables: what they do with a packet that no rule of theirs matches, in OpenFlow 1.1
//! and 1.2 (1.1 §A.3.3). From 1.3 on a rule says that (1.3.5 §5.4).

use crate::bridge::Bridge;
use openflow::{OfErrorKind, TABLE_ALL, TableConfig, TableMod, Version};

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

impl Bridge {
    /// Changes a table's configuration. From 1.3 on the bits about misses mean nothing, and eviction and
    /// vacancy events are not there to be switched on.
    ///
    /// # Errors
    /// No such table, or a bit that is not to be had.
    pub fn table_mod(&mut self, table_mod: &TableMod, version: Version) -> Result<(), OfErrorKind> {
        let tables = self.state.tables.named(table_mod.table_id);
        if table_mod.table_id != TABLE_ALL && tables.end > self.state.tables.n_tables() {
            return Err(OfErrorKind::TableModBadTable);
        }
        if !TableConfig::MISS.contains(table_mod.config) {
            return Err(OfErrorKind::TableModBadConfig);
        }
        if version >= Version::V13 {
            return Ok(());
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

    /// How a table is configured, in the bits of 1.1 and 1.2.
    #[must_use]
    pub fn table_config(&self, table_id: u8) -> TableConfig {
        match self.state.tables.get(table_id).map(|table| table.miss) {
            Some(TableMiss::Continue) => TableConfig::MISS_CONTINUE,
            Some(TableMiss::Drop) => TableConfig::MISS_DROP,
            _ => TableConfig::empty(),
        }
    }
}

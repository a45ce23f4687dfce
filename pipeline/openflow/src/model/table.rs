//! Configuration of tables.

use bitflags::bitflags;

bitflags! {
    /// Configuration bits of a table (1.1 §A.3.3, 1.4.1 §7.3.4.1): what to do on a miss in 1.1 and
    /// 1.2, eviction and vacancy events from 1.4 on, nothing in 1.3.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct TableConfig: u32 {
        /// On a miss go on with the next table (1.1, 1.2); with neither bit, to the controller.
        const MISS_CONTINUE = 1 << 0;
        /// On a miss drop (1.1, 1.2).
        const MISS_DROP = 1 << 1;
        /// Makes room by evicting rules (1.4+).
        const EVICTION = 1 << 2;
        /// Tells when it fills up (1.4+).
        const VACANCY_EVENTS = 1 << 3;
        /// What is not known is kept, to be refused.
        const _ = !0;
    }
}

impl TableConfig {
    /// The bits about a miss.
    pub const MISS: TableConfig = TableConfig::MISS_CONTINUE.union(TableConfig::MISS_DROP);
}

/// Change of a table's configuration (1.1 §A.3.3, 1.4.1 §7.3.4.1), or the configuration as a table
/// description tells it (1.4.1 §7.3.5.17).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableMod {
    /// Which table; 0xff is all.
    pub table_id: u8,
    /// What it does.
    pub config: TableConfig,
    /// By what rules are evicted (1.4; `OFPTMPEF_…`).
    pub eviction: Option<u32>,
    /// When to tell that it fills up (1.4).
    pub vacancy: Option<Vacancy>,
}

/// Thresholds of vacancy events, in per cent (1.4.1 §7.3.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vacancy {
    /// Tell when less than this is free.
    pub down: u8,
    /// Tell when more than this is free again.
    pub up: u8,
    /// How much is free; 0 in a table-mod.
    pub current: u8,
}

/// Why a table status is sent (1.4.1 §7.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TableReason {
    /// Less is free than the threshold.
    VacancyDown = 3,
    /// More is free than the threshold.
    VacancyUp = 4,
}

/// A table has become full, or no longer is (1.4.1 §7.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStatus {
    /// Why.
    pub reason: TableReason,
    /// The table as it is.
    pub table: TableMod,
}

/// What a table can do, as table statistics of 1.1 and 1.2 say (1.2 §A.3.6.4): bits by the numbers of
/// fields, actions and instructions in the version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the specification")]
pub struct TableAbilities {
    pub match_fields: u64,
    pub wildcards: u64,
    pub instructions: u32,
    pub write_actions: u32,
    pub apply_actions: u32,
    /// 1.2.
    pub write_setfields: u64,
    /// 1.2.
    pub apply_setfields: u64,
    /// 1.2.
    pub metadata_match: u64,
    /// 1.2.
    pub metadata_write: u64,
    pub config: u32,
}

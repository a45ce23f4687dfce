//! Rules: change and removal.

use bitflags::bitflags;
use flow::Match;

use crate::{Instructions, OfPort};

/// What a flow-mod does (1.3.5 §7.3.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlowModCommand {
    /// Adds a rule or replaces the one of the same match and priority.
    #[default]
    Add,
    /// Changes the instructions of all that match.
    Modify,
    /// Changes those of the one with this match and priority.
    ModifyStrict,
    /// Deletes all that match.
    Delete,
    /// Deletes the one with this match and priority.
    DeleteStrict,
}

impl FlowModCommand {
    /// Whether match and priority name a single rule.
    #[must_use]
    pub const fn is_strict(self) -> bool {
        matches!(self, FlowModCommand::ModifyStrict | FlowModCommand::DeleteStrict)
    }

    /// Whether it deletes.
    #[must_use]
    pub const fn is_delete(self) -> bool {
        matches!(self, FlowModCommand::Delete | FlowModCommand::DeleteStrict)
    }

    /// Whether it modifies.
    #[must_use]
    pub const fn is_modify(self) -> bool {
        matches!(self, FlowModCommand::Modify | FlowModCommand::ModifyStrict)
    }
}

bitflags! {
    /// Flags of a flow-mod and of a rule (1.3.5 §7.3.4.1).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct FlowModFlags: u16 {
        /// Send flow-removed when it goes.
        const SEND_FLOW_REM = 1 << 0;
        /// Refuse if it overlaps another of the same priority.
        const CHECK_OVERLAP = 1 << 1;
        /// Reset the counters of the rule that it changes. Versions before 1.2 always do so for
        /// an add; the decoder sets it then.
        const RESET_COUNTS = 1 << 2;
        /// No packet counter.
        const NO_PKT_COUNTS = 1 << 3;
        /// No byte counter.
        const NO_BYT_COUNTS = 1 << 4;
    }
}

/// The table number that means every table, or "you choose" in 1.0 without table numbers.
pub const TABLE_ALL: u8 = 0xff;
/// The priority of a rule whose text names none.
pub const DEFAULT_PRIORITY: u16 = 0x8000;
/// `OFPG_ANY`.
pub const GROUP_ANY: u32 = 0xffff_ffff;
/// `OFPG_ALL`.
pub const GROUP_ALL: u32 = 0xffff_fffc;
/// The highest group number.
pub const GROUP_MAX: u32 = 0xffff_ff00;

/// Change of rules (1.0.1 §5.3.3, 1.3.5 §7.3.4.1, `NXT_FLOW_MOD`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowMod {
    /// What to do.
    pub command: FlowModCommand,
    /// With `cookie_mask`: modify and delete touch only rules whose cookie agrees in these bits.
    /// Unused by add.
    pub cookie: u64,
    /// 0 for no such filter. Always 0 for add.
    pub cookie_mask: u64,
    /// The cookie that added rules get, and modified ones too in 1.0; `None` leaves it.
    /// Always present for add.
    pub new_cookie: Option<u64>,
    /// Which table; [`TABLE_ALL`] is all of them in a delete, and "you choose" (which is table 0)
    /// in 1.0 messages without table number.
    pub table_id: u8,
    /// Goes when unused for so many seconds; 0 for never.
    pub idle_timeout: u16,
    /// Goes after so many seconds; 0 for never.
    pub hard_timeout: u16,
    /// The higher wins.
    pub priority: u16,
    /// The kept frame to run through the new rule.
    pub buffer_id: Option<u32>,
    /// Delete only rules that send there; [`OfPort::ANY`] for no such filter.
    pub out_port: OfPort,
    /// Delete only rules that use it; [`GROUP_ANY`] for no such filter.
    pub out_group: u32,
    /// Flags.
    pub flags: FlowModFlags,
    /// Eviction order (1.4).
    pub importance: u16,
    /// Which packets.
    pub match_: Match,
    /// What to do with them.
    pub instructions: Instructions,
}

impl Default for FlowMod {
    fn default() -> Self {
        FlowMod {
            command: FlowModCommand::Add,
            cookie: 0,
            cookie_mask: 0,
            new_cookie: Some(0),
            table_id: 0,
            idle_timeout: 0,
            hard_timeout: 0,
            priority: DEFAULT_PRIORITY,
            buffer_id: None,
            out_port: OfPort::ANY,
            out_group: GROUP_ANY,
            flags: FlowModFlags::empty(),
            importance: 0,
            match_: Match::default(),
            instructions: Instructions::default(),
        }
    }
}

/// Why a rule is gone (1.3.5 §7.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FlowRemovedReason {
    /// Unused for too long.
    IdleTimeout = 0,
    /// Its time was over.
    HardTimeout = 1,
    /// A flow-mod deleted it.
    Delete = 2,
    /// Its group was deleted.
    GroupDelete = 3,
    /// Its meter was deleted (1.4).
    MeterDelete = 4,
    /// Made room for another (1.4; 1.0 and 1.3 say "delete").
    Eviction = 5,
}

/// A rule is gone (1.0.1 §5.4.3, 1.3.5 §7.4.2, `NXT_FLOW_REMOVED`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRemoved {
    /// Its match.
    pub match_: Match,
    /// Its cookie.
    pub cookie: u64,
    /// Its priority.
    pub priority: u16,
    /// Why.
    pub reason: FlowRemovedReason,
    /// Its table; [`TABLE_ALL`] where the message does not say.
    pub table_id: u8,
    /// Its age, whole seconds.
    pub duration_sec: u32,
    /// Its age, nanoseconds beyond.
    pub duration_nsec: u32,
    /// Its idle timeout in seconds.
    pub idle_timeout: u16,
    /// Its hard timeout in seconds (not in 1.0).
    pub hard_timeout: u16,
    /// Packets that it matched.
    pub packet_count: u64,
    /// Their bytes.
    pub byte_count: u64,
}

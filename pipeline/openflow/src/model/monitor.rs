//! Flow monitors: a peer is told of every change of the rules that it watches (1.4.1 §7.3.5.18; the
//! ONF's extension 187 of 1.3 and Nicira's before are the same with other layouts).

use bitflags::bitflags;
use flow::Match;

use super::FlowRemovedReason;
use crate::{Instructions, OfPort};

bitflags! {
    /// What a monitor tells (1.4.1 §7.3.5.18.1).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MonitorFlags: u16 {
        /// The rules that there are already.
        const INITIAL = 1 << 0;
        /// Rules that are added.
        const ADD = 1 << 1;
        /// Rules that go.
        const REMOVED = 1 << 2;
        /// Rules that change.
        const MODIFY = 1 << 3;
        /// With their instructions.
        const INSTRUCTIONS = 1 << 4;
        /// The peer's own changes in full, not just by their transaction id (Nicira's `OWN`).
        const NO_ABBREV = 1 << 5;
        /// Nothing but the peer's own changes (1.4+).
        const ONLY_OWN = 1 << 6;
    }
}

/// What to do with a monitor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum MonitorCommand {
    /// Begins it.
    #[default]
    Add = 0,
    /// Replaces it (1.4).
    Modify = 1,
    /// Ends it (1.4; before, a message of its own does).
    Delete = 2,
}

/// A request to watch rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowMonitorRequest {
    /// The controller's number for the monitor.
    pub monitor_id: u32,
    /// What to do with it.
    pub command: MonitorCommand,
    /// What it tells.
    pub flags: MonitorFlags,
    /// Only rules that send there; [`OfPort::ANY`] for no such filter.
    pub out_port: OfPort,
    /// Only rules that use it; `GROUP_ANY` for no such filter (1.4).
    pub out_group: u32,
    /// In this table; 0xff is all.
    pub table_id: u8,
    /// Only rules that are at least as specific as this.
    pub match_: Match,
}

/// What happened to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEvent {
    /// It was there when the monitor began (before 1.4 said as "added").
    Initial,
    /// It was added.
    Added,
    /// It is gone.
    Removed(FlowRemovedReason),
    /// It changed.
    Modified,
}

/// An entry of a flow monitor's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all updates are of the large kind")]
pub enum FlowUpdate {
    /// A rule came, changed or went.
    Full {
        /// Which of these.
        event: FlowEvent,
        /// Its table.
        table_id: u8,
        /// Its idle timeout in seconds.
        idle_timeout: u16,
        /// Its hard timeout in seconds.
        hard_timeout: u16,
        /// Its priority.
        priority: u16,
        /// Its cookie.
        cookie: u64,
        /// Its match.
        match_: Match,
        /// What it does; empty if the monitor does not want to know, or the rule is gone.
        instructions: Instructions,
    },
    /// The request of the peer's own with this transaction id changed rules.
    Abbrev {
        /// Of the request.
        xid: u32,
    },
    /// Updates stop: the peer reads too slowly (1.4).
    Paused,
    /// And go on (1.4).
    Resumed,
}

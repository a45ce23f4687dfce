//! A megaflow: a remembered conclusion about all packets that agree in the masked bits.

use alloc::sync::Arc;

use flow::Flow;
use sync::{
    counter::{Counter, Gauge},
    time::Nanos,
};

use crate::{
    action::{ActionError, DpAction, validate},
    ids::{PortNo, Ufid},
    mask::SharedMask,
};

/// What the control core installs, and keeps a share of for itself: one block of memory for
/// both. Immutable; only [`FlowStats`] move.
#[derive(Debug)]
pub struct Megaflow {
    /// Its name; see [`Ufid::of`].
    pub ufid: Ufid,
    /// The masked key: zero wherever `mask` is zero.
    pub key: Flow,
    /// The bits that translation looked at.
    pub mask: SharedMask,
    /// What to do.
    pub actions: Arc<[DpAction]>,
    /// What it did; written by the core that has it installed.
    pub stats: FlowStats,
}

impl Megaflow {
    /// A megaflow for the packets that agree with `key` under `mask`, with fresh statistics.
    ///
    #[must_use]
    pub fn new(key: &Flow, mask: impl Into<SharedMask>, actions: Arc<[DpAction]>) -> Self {
        let mask = mask.into();
        let ufid = mask.name(key);
        Self { ufid, key: key.masked(&mask), mask, actions, stats: FlowStats::default() }
    }

    /// The ingress port whose table this belongs to.
    #[must_use]
    pub fn in_port(&self) -> PortNo {
        PortNo(self.key.in_port())
    }

    /// Whether a datapath would take it.
    ///
    /// # Errors
    /// The reason for which it would not; never [`PutError::TableFull`], which only the core knows.
    pub fn check(&self) -> Result<(), PutError> {
        if !self.key.is_within(&self.mask) {
            return Err(PutError::KeyNotMasked);
        }
        validate(&self.actions).map_err(PutError::BadActions)
    }
}

/// Why a megaflow was not installed. Never a reason to lose packets: without megaflow each packet
/// is an upcall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutError {
    /// The core has as many megaflows as it may.
    TableFull,
    /// The port's table has as many subtables (masks) as it may.
    TooManyMasks,
    /// The ingress port is none of the datapath.
    NoSuchPort,
    /// There is no such core.
    NoSuchCore,
    /// The queue of commands to the core is full; try again.
    QueueFull,
    /// The key has bits outside its mask.
    KeyNotMasked,
    /// The actions are not ones that the datapath runs.
    BadActions(ActionError),
}

/// What became of a megaflow, as its core says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The core has not seen it.
    Pending,
    /// It is installed.
    Installed,
    /// The core refused it, for want of room or of the port.
    Refused,
    /// It was installed and was removed; its statistics are final.
    Removed,
}

/// Statistics of one megaflow.
///
/// # Concurrency
/// Written by the one core that has the megaflow installed, read by the control core; relaxed
/// words, so a reader may see the packets of a batch before its bytes. They are final once a fence
/// after the removal has passed.
#[derive(Debug, Default)]
pub struct FlowStats {
    packets: Counter,
    bytes: Counter,
    used_ns: Gauge,
    tcp_flags: Gauge,
    fate: Gauge,
}

/// [`FlowStats`] as read at some instant.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct FlowStatsRead {
    /// Packets that hit.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the last batch of them hit; `None` if none did.
    pub used: Option<Nanos>,
    /// TCP flags seen, or-ed together.
    pub tcp_flags: u16,
}

impl FlowStats {
    /// Counts a batch of hits. By the owning core alone.
    #[inline]
    pub fn credit(&self, n_packets: u64, n_bytes: u64, now: Nanos, tcp_flags: u16) {
        self.packets.add(n_packets);
        self.bytes.add(n_bytes);
        // Zero means never, so a hit at boot counts as one nanosecond later.
        self.used_ns.set(now.0.max(1));
        if tcp_flags != 0 {
            self.tcp_flags.set(self.tcp_flags.get() | u64::from(tcp_flags));
        }
    }

    /// The statistics now.
    #[must_use]
    pub fn read(&self) -> FlowStatsRead {
        let used = self.used_ns.get();
        FlowStatsRead {
            packets: self.packets.get(),
            bytes: self.bytes.get(),
            used: (used != 0).then_some(Nanos(used)),
            tcp_flags: u16::try_from(self.tcp_flags.get()).unwrap_or(u16::MAX),
        }
    }

    /// What became of the megaflow.
    #[must_use]
    pub fn fate(&self) -> Fate {
        match self.fate.get() {
            0 => Fate::Pending,
            1 => Fate::Installed,
            2 => Fate::Refused,
            _ => Fate::Removed,
        }
    }

    /// Tells what became of it. By the core that was asked to install it alone.
    pub(crate) fn set_fate(&self, fate: Fate) {
        self.fate.set(match fate {
            Fate::Pending => 0,
            Fate::Installed => 1,
            Fate::Refused => 2,
            Fate::Removed => 3,
        });
    }
}

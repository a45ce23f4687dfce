//! What became of the upcalls of a port, on one core.

use sync::counter::Counter;

/// One core's counts for one port.
///
/// # Concurrency
/// All but `answered` are written by the core; `answered` by the control core. Read by both: the
/// difference between `by_ring` and `answered` is what is under way.
#[derive(Debug, Default)]
pub(crate) struct UpcallCounters {
    /// Translated by the core.
    pub(crate) inline: Counter,
    /// Missed, and hit when looked up again after the burst.
    pub(crate) cached: Counter,
    /// Sent to the control core, but for protocols.
    pub(crate) by_ring: Counter,
    /// Of those, answered.
    pub(crate) answered: Counter,
    /// Sent before all others.
    pub(crate) protocol: Counter,
    /// Not translated by the core: beyond the budget.
    pub(crate) over_budget: Counter,
    /// Not translated by the core: the state was being changed.
    pub(crate) busy: Counter,
    /// Not translated by the core: no room for the conclusion.
    pub(crate) no_room: Counter,
    /// Not translated by the core: a number that is not held yet.
    pub(crate) unnamed: Counter,
    /// Dropped: no share of the ring left, or no ring.
    pub(crate) dropped: Counter,
}

impl UpcallCounters {
    /// Upcalls on their way to the control core, or with it.
    pub(crate) fn under_way(&self) -> u64 {
        self.by_ring.get().saturating_sub(self.answered.get())
    }

    /// The counts now.
    pub(crate) fn read(&self) -> UpcallStats {
        UpcallStats {
            inline: self.inline.get(),
            cached: self.cached.get(),
            by_ring: self.by_ring.get(),
            protocol: self.protocol.get(),
            over_budget: self.over_budget.get(),
            busy: self.busy.get(),
            no_room: self.no_room.get(),
            unnamed: self.unnamed.get(),
            dropped: self.dropped.get(),
            under_way: self.under_way(),
        }
    }
}

/// What became of the upcalls of a port, over all cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpcallStats {
    /// Translated by the core where they occurred.
    pub inline: u64,
    /// Missed, and hit when looked up again after the burst.
    pub cached: u64,
    /// Sent to the control core, but for protocols.
    pub by_ring: u64,
    /// Sent before all others.
    pub protocol: u64,
    /// Declined by the core: beyond the budget.
    pub over_budget: u64,
    /// Declined by the core: the state was being changed.
    pub busy: u64,
    /// Declined by the core: no room for the conclusion.
    pub no_room: u64,
    /// Declined by the core: a number that is not held yet.
    pub unnamed: u64,
    /// Dropped: no share of the ring left, or no room in it.
    pub dropped: u64,
    /// With the control core, or on the way there.
    pub under_way: u64,
}

impl UpcallStats {
    /// Adds another core's or port's.
    pub fn add(&mut self, other: &Self) {
        self.inline += other.inline;
        self.cached += other.cached;
        self.by_ring += other.by_ring;
        self.protocol += other.protocol;
        self.over_budget += other.over_budget;
        self.busy += other.busy;
        self.no_room += other.no_room;
        self.unnamed += other.unnamed;
        self.dropped += other.dropped;
        self.under_way += other.under_way;
    }
}

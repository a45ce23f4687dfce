//! The law that no frame is lost silently.
//!
//! ```text
//! received + originated + copies == transmitted + Σ drops + consumed
//! ```
//!
//! *received*: frames that a device delivered, on any port. *originated*: packets that the control
//! side made (packet-out). *copies*: packets that an action made of another. *transmitted*: entered
//! a device's ring. *consumed*: accepted by the control side for good. The law holds when nothing
//! is in flight: no packet staged, in a ring between cores, or in an upcall that waits for its
//! answer; at any other moment the left side is ahead by exactly those ([`Accounting::in_flight`]).

use sync::counter::{Counter, Milestone};

use crate::{
    perf::Cycles,
    port::{PortCounters, PortStats},
};

/// What one core counts besides its ports. Made by the control core, written by that one core.
#[derive(Debug, Default)]
pub struct CoreCounters {
    /// Packets that the control side made.
    pub originated: Counter,
    /// Packets made as copies of others.
    pub copies: Counter,
    /// Packets accepted by the control side for good.
    pub consumed: Counter,
    /// Packets of no existing port: received on an unknown one, or made by a controller without
    /// one.
    pub stray: PortCounters,
    /// Packets that hit a megaflow.
    pub hits: Counter,
    /// Packets that hit none.
    pub misses: Counter,
    /// Packets that hit in the exact-match cache; they are among `hits`.
    pub emc_hits: Counter,
    /// Packets that the exact-match cache did not know.
    pub emc_misses: Counter,
    /// Packets for which it was not asked, because there is none or it did not pay.
    pub emc_skipped: Counter,
    /// Entries that it took in.
    pub emc_inserts: Counter,
    /// Entries that it took in in place of others.
    pub emc_replaces: Counter,
    /// Packets that hit in the signature cache; they are among `hits`.
    pub smc_hits: Counter,
    /// Packets that the signature cache was asked for and did not know.
    pub smc_misses: Counter,
    /// Entries that it took in.
    pub smc_inserts: Counter,
    /// Entries that it took in in place of others.
    pub smc_replaces: Counter,
    /// Packets that the megaflow table had to find and found; they are among `hits`.
    pub megaflow_hits: Counter,
    /// Subtables probed, once for each packet.
    pub subtable_probes: Counter,
    /// Subtables probed for packets that hit in one.
    pub hit_probes: Counter,
    /// Batches that ports received.
    pub rx_batches: Counter,
    /// Batches that transmit queues were given.
    pub tx_batches: Counter,
    /// Times that another core had the transmit queue, so that frames waited.
    pub tx_contended: Counter,
    /// Where its cycles go.
    pub cycles: Cycles,
    /// Upcalls accepted, of all kinds.
    pub upcalls: Counter,
    /// Packets looked up again.
    pub recirculated: Counter,
    /// Megaflows refused by the core.
    pub puts_refused: Counter,
    /// Commands that named a megaflow or port that is not there.
    pub stale_commands: Counter,
    /// Samples for the self check that found no room.
    pub checks_lost: Counter,
    /// The last fence that this core has passed.
    pub fence: Milestone,
}

/// The sums of the law.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Accounting {
    /// Frames that devices delivered.
    pub received: u64,
    /// Packets that the control side made.
    pub originated: u64,
    /// Packets made as copies.
    pub copies: u64,
    /// Frames that entered a transmit ring.
    pub transmitted: u64,
    /// Frames counted under a reason.
    pub dropped: u64,
    /// Packets that the control side took for good.
    pub consumed: u64,
}

impl Accounting {
    /// Adds a core's counts, its strays included.
    pub fn add_core(&mut self, core: &CoreCounters) {
        self.originated += core.originated.get();
        self.copies += core.copies.get();
        self.consumed += core.consumed.get();
        self.add_port(&core.stray.read());
    }

    /// Adds the counts of a port.
    pub fn add_port(&mut self, port: &PortStats) {
        self.received += port.rx_packets;
        self.transmitted += port.tx_packets;
        self.dropped += port.drops.total();
    }

    /// Packets that entered and have not left; negative if more left than entered, which is a bug.
    #[must_use]
    pub fn in_flight(&self) -> i128 {
        let entered =
            i128::from(self.received) + i128::from(self.originated) + i128::from(self.copies);
        let left =
            i128::from(self.transmitted) + i128::from(self.dropped) + i128::from(self.consumed);
        entered - left
    }

    /// Whether the law holds with nothing in flight.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.in_flight() == 0
    }
}

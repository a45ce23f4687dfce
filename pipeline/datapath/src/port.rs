//! What a core counts for a port, and what the sum over cores looks like.

use crate::{
    census::MaskCensus,
    drop_reason::{DropCounters, DropReason, Drops},
};

use sync::counter::Counter;

/// One core's counts for one port. Made by the control core, which reads them; written by that one
/// core.
///
/// The receive side and the datapath's drops are counted by the datapath, those of frames for a port
/// without link too; `transmitted` and the other transmit drops by the [`crate::Output`] that took the
/// packet, on the core where the frame enters the device's ring (or dies).
#[derive(Debug, Default)]
pub struct PortCounters {
    rx_packets: Counter,
    rx_bytes: Counter,
    tx_packets: Counter,
    tx_bytes: Counter,
    drops: DropCounters,
    /// The masks that the port's megaflows have on this core.
    pub masks: MaskCensus,
}

impl PortCounters {
    /// Frames came in.
    #[inline]
    pub fn received(&self, n_packets: u64, n_bytes: u64) {
        self.rx_packets.add(n_packets);
        self.rx_bytes.add(n_bytes);
    }

    /// Frames came in and were lost before the datapath saw them: the device or its queue says so.
    pub fn lost_at_rx(&self, reason: DropReason, n_packets: u64) {
        self.rx_packets.add(n_packets);
        self.drops.add(reason, n_packets);
    }

    /// Frames entered the device's transmit ring.
    #[inline]
    pub fn transmitted(&self, n_packets: u64, n_bytes: u64) {
        self.tx_packets.add(n_packets);
        self.tx_bytes.add(n_bytes);
    }

    /// Frames that came in here (or should have left here, see [`DropReason::is_tx`]) died.
    #[inline]
    pub fn dropped(&self, reason: DropReason, n_packets: u64) {
        self.drops.add(reason, n_packets);
    }

    /// The counts now.
    #[must_use]
    pub fn read(&self) -> PortStats {
        let mut stats = PortStats {
            rx_packets: self.rx_packets.get(),
            rx_bytes: self.rx_bytes.get(),
            tx_packets: self.tx_packets.get(),
            tx_bytes: self.tx_bytes.get(),
            drops: Drops::default(),
        };
        stats.drops.collect(&self.drops);
        stats
    }
}

/// A port's statistics, summed over cores.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct PortStats {
    /// Frames that came in, those lost at the device included.
    pub rx_packets: u64,
    /// Bytes of the frames that reached the datapath.
    pub rx_bytes: u64,
    /// Frames that entered the transmit ring.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Frames that died, by reason.
    pub drops: Drops,
}

impl PortStats {
    /// Adds another core's counts of the same port.
    pub fn add(&mut self, other: &Self) {
        self.rx_packets = self.rx_packets.wrapping_add(other.rx_packets);
        self.rx_bytes = self.rx_bytes.wrapping_add(other.rx_bytes);
        self.tx_packets = self.tx_packets.wrapping_add(other.tx_packets);
        self.tx_bytes = self.tx_bytes.wrapping_add(other.tx_bytes);
        for (reason, n) in other.drops.iter() {
            self.drops.add(reason, n);
        }
    }

    /// Frames that came in and broken: OpenFlow's `rx_errors`.
    #[must_use]
    pub fn rx_errors(&self) -> u64 {
        self.drops.get(DropReason::RxMalformed)
            + self.drops.get(DropReason::RxBadOffload)
            + self.drops.get(DropReason::RxOversize)
    }

    /// Frames lost for want of a buffer or by a closed port, before any rule could decide:
    /// OpenFlow's `rx_dropped`.
    #[must_use]
    pub fn rx_dropped(&self) -> u64 {
        self.drops.get(DropReason::RxNoBuffer)
            + self.drops.get(DropReason::RxPortDown)
            + self.drops.get(DropReason::RxPortReset)
            + self.drops.get(DropReason::RxPoliced)
            + self.drops.get(DropReason::UpcallQueueFull)
            + self.drops.get(DropReason::UpcallBudget)
            + self.drops.get(DropReason::UpcallPortShare)
    }

    /// Frames that could not leave: OpenFlow's `tx_dropped`.
    #[must_use]
    pub fn tx_dropped(&self) -> u64 {
        self.drops.total_tx()
    }
}

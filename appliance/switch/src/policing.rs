//! Ingress policing: a port that receives more than it may loses what is too much, before anybody looks
//! at it (`ingress_policing_rate`, `ingress_policing_burst`).
//!
//! # Design
//! One bucket of bytes a receive queue. It keeps the time at which it would be full again instead of a
//! level, as the buckets of upcalls do. The queues of a port share its rate evenly.
//!
//! # Cost
//! Nothing for a port that is not policed; else a division a frame.

use datapath::{DropReason, PortCounters};
use packet::{Batch, Packet, PoolCache};
use sync::time::Nanos;

/// Open vSwitch's default burst, in kbit.
const DEFAULT_BURST_KBIT: u32 = 8_000;

/// What a port may receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policing {
    /// In kbit/s; 0 is without a limit.
    pub(crate) rate_kbps: u32,
    /// At once after a pause, in kbit; 0 is the default.
    pub(crate) burst_kbit: u32,
}

/// The bucket of one receive queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policer {
    rate_kbps: u64,
    /// How far ahead of now the bucket may be, in nanoseconds.
    slack: u64,
    full_at: u64,
}

impl Policer {
    /// A full bucket, if there is a limit. `n_queues` share it.
    pub(crate) fn new(policing: Policing, n_queues: u32) -> Option<Self> {
        let rate_kbps = u64::from(policing.rate_kbps / n_queues.max(1)).max(1);
        let burst_kbit = match policing.burst_kbit {
            0 => DEFAULT_BURST_KBIT,
            burst => burst,
        };
        (policing.rate_kbps != 0).then(|| Self {
            rate_kbps,
            slack: u64::from(burst_kbit) * 1_000_000_000 / rate_kbps,
            full_at: 0,
        })
    }

    /// Whether a frame of so many bytes may pass.
    fn admits(&mut self, n_bytes: usize, now: Nanos) -> bool {
        // A kbit/s is a bit in a millisecond.
        let cost = (n_bytes as u64).saturating_mul(8 * 1_000_000) / self.rate_kbps;
        let latest = now.0.saturating_add(self.slack);
        let full_at = self.full_at.clamp(now.0, latest).saturating_add(cost);
        let may = full_at <= latest;
        if may {
            self.full_at = full_at;
        }
        may
    }

    /// Takes the frames that are too much out of a batch, counted.
    pub(crate) fn police(
        &mut self,
        batch: &mut Batch,
        now: Nanos,
        counters: &PortCounters,
        cache: &mut PoolCache,
    ) {
        let mut kept = Batch::new();
        for packet in batch.drain(..) {
            if self.admits(packet.len(), now) {
                // As many places as in the batch.
                let _ = kept.push(packet);
            } else {
                counters.received(1, Packet::len(&packet) as u64);
                counters.dropped(DropReason::RxPoliced, 1);
                cache.free(packet);
            }
        }
        *batch = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_a_burst_and_then_the_rate() {
        // 800 kbit/s are 100 frames of 1,000 bytes a second; 80 kbit are ten of them.
        let mut policer =
            Policer::new(Policing { rate_kbps: 800, burst_kbit: 80 }, 1).expect("a limit");
        let now = Nanos::from_secs(10);
        let mut all = |now| (0..1000).filter(|_| policer.admits(1000, now)).count();
        assert_eq!(all(now), 10);
        assert_eq!(all(now + Nanos::from_millis(30)), 3);
        assert_eq!(all(now), 0, "a clock that goes back gives nothing");
        assert_eq!(all(now + Nanos::from_secs(100)), 10);
        assert!(Policer::new(Policing::default(), 1).is_none());
    }

    #[test]
    fn queues_share_the_rate() {
        let mut policer =
            Policer::new(Policing { rate_kbps: 1600, burst_kbit: 8 }, 2).expect("a limit");
        let step = |k: u64| Nanos::from_secs(1) + Nanos::from_millis(k);
        let n = (0..1000).filter(|k| policer.admits(1000, step(*k))).count();
        assert_eq!(n, 100);
    }
}

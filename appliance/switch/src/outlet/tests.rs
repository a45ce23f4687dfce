//! What waits for a port has left when it was sent or dropped, whichever.

use super::*;
use crate::upcalls::UpcallConfig;
use alloc::vec;
use flow::EtherAddr;
use netdev::TxStats;
use packet::{Pool, PoolConfig};
use sync::spsc::channel;

const PORT: PortNo = PortNo(1);

/// Takes so many frames more.
#[derive(Debug)]
struct Takes(Arc<Gauge>, TxStats);

impl TxQueue for Takes {
    fn transmit(&mut self, from: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        let n = from.len().min(usize::try_from(self.0.get()).unwrap_or(usize::MAX));
        self.0.set(self.0.get() - n as u64);
        for packet in from.drain(..n) {
            self.1.frames += 1;
            self.1.bytes += packet.len() as u64;
            cache.free(packet);
        }
        Ok(n)
    }

    fn reclaim(&mut self, _: &mut PoolCache) -> Result<(), QueueFault> {
        Ok(())
    }

    fn stats(&self) -> TxStats {
        self.1
    }
}

struct Bench {
    outlet: Outlet,
    counters: Arc<PortCounters>,
    /// What the device takes from now on.
    takes: Arc<Gauge>,
}

impl Bench {
    fn new() -> Self {
        let (sender, protocol_sender) = (channel(4).0, channel(4).0);
        let (totals, own) = (Arc::default(), EtherAddr([2; 6]));
        let lane = Lane::new(&UpcallConfig::default(), sender, protocol_sender, totals, own);
        let cache = PoolCache::new(Pool::on_heap(PoolConfig { small: 128, jumbo: 4 }));
        let core = Arc::default();
        let mut outlet = Outlet::new(cache, Vec::new(), core, lane, Arc::default(), || 0);
        let (counters, takes) = (Arc::new(PortCounters::default()), Arc::new(Gauge::default()));
        let queue = Exit::Own(Box::new(Takes(takes.clone(), TxStats::default())));
        outlet.add_port(PORT, counters.clone(), Arc::default(), TxRoute::Exit(queue));
        Self { outlet, counters, takes }
    }

    /// Frames of these lengths are staged, and what waits then is to leave.
    fn stage(&mut self, lens: &[usize]) -> Departure {
        for &len in lens {
            let packet = self.outlet.cache().from_bytes(&vec![0; len]).expect("a buffer");
            self.outlet.transmit(PORT, packet);
        }
        self.flush(0);
        self.outlet.departure()
    }

    /// The device takes `n` frames.
    fn flush(&mut self, n: u64) {
        self.takes.set(n);
        self.outlet.flush(Nanos::ZERO, |port, fault| panic!("{port:?}: {fault}"));
        self.takes.set(0);
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.counters.read().drops.get(reason)
    }
}

#[test]
fn what_the_device_takes_has_left() {
    let mut bench = Bench::new();
    assert!(bench.outlet.has_left(&Departure::default()), "nothing waited");
    let departure = bench.stage(&[60; 5]);
    bench.flush(4);
    // What comes later does not count.
    bench.stage(&[60; 3]);
    assert!(!bench.outlet.has_left(&departure));
    bench.flush(1);
    assert!(bench.outlet.has_left(&departure));
    assert_eq!(bench.counters.read().tx_packets, 5);
}

#[test]
fn what_has_become_too_long_has_left() {
    let mut bench = Bench::new();
    let departure = bench.stage(&[60, 600, 61]);
    bench.outlet.limit_frames(PORT, Some(100));
    bench.flush(1);
    assert_eq!(bench.dropped(DropReason::MtuExceeded), 1);
    assert!(!bench.outlet.has_left(&departure), "one waits still");
    bench.flush(1);
    assert!(bench.outlet.has_left(&departure));
}

#[test]
fn what_is_given_up_has_left() {
    let mut bench = Bench::new();
    let one = bench.stage(&[60; 3]);
    let other = bench.stage(&[61; 2]);
    bench.flush(1);
    bench.outlet.give_up(&one);
    assert_eq!(bench.dropped(DropReason::TxRingFull), 4);
    assert!(bench.outlet.has_left(&one) && bench.outlet.has_left(&other));
    // What waits now is not what waited then.
    let later = bench.stage(&[62; 2]);
    bench.outlet.give_up(&other);
    assert_eq!(bench.dropped(DropReason::TxRingFull), 4);
    assert!(!bench.outlet.has_left(&later));
}

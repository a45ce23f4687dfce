//! What stands in a device's rings when it is reset for another number of queues: forwarded first, in its
//! order, or counted.

use agent::bridge_config::{BridgeWanted, FailMode, InterfaceWanted, PortWanted, Wanted};
use datapath::{DropReason, PortNo};
use netdev::fake::{Replay, ReplayHandle};
use netdev::{LinkState, Netdev, NetdevInfo, OpenError, QueueFault, QueuePair, TxQueue, TxStats};
use openflow::{FlowModCommand, OfPort, Version};
use packet::{Batch, Pool, PoolCache, PoolConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use switch::{PortParts, Switch, SwitchParts};
use sync::time::Nanos;

/// Frames in the ring at the reset: more than a burst.
const LEFT: u32 = 200;

/// A device that does not come up so many times.
#[derive(Debug)]
struct Shy {
    inner: Replay,
    n_refusals: Arc<AtomicU32>,
    /// Frames that it says it has not sent.
    n_in_flight: Arc<AtomicU32>,
    n_stops: Arc<AtomicU32>,
}

#[derive(Debug)]
struct ShyTx {
    inner: Box<dyn TxQueue>,
    n_in_flight: Arc<AtomicU32>,
}

impl TxQueue for ShyTx {
    fn transmit(&mut self, from: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        self.inner.transmit(from, cache)
    }

    fn reclaim(&mut self, cache: &mut PoolCache) -> Result<(), QueueFault> {
        self.inner.reclaim(cache)
    }

    fn n_in_flight(&self) -> usize {
        self.n_in_flight.load(Ordering::Relaxed) as usize
    }

    fn stats(&self) -> TxStats {
        self.inner.stats()
    }
}

impl Netdev for Shy {
    fn info(&self) -> &NetdevInfo {
        self.inner.info()
    }

    fn open(&mut self, n_pairs: u16, pool: &Arc<Pool>) -> Result<Vec<QueuePair>, OpenError> {
        let refuse = |n: u32| n.checked_sub(1);
        if self.n_refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, refuse).is_ok() {
            return Err(OpenError::NoBuffers);
        }
        let wrap = |QueuePair { rx, tx }| {
            let tx = ShyTx { inner: tx, n_in_flight: self.n_in_flight.clone() };
            QueuePair { rx, tx: Box::new(tx) }
        };
        Ok(self.inner.open(n_pairs, pool)?.into_iter().map(wrap).collect())
    }

    fn link(&mut self) -> LinkState {
        self.inner.link()
    }

    fn stop(&mut self) -> Result<(), OpenError> {
        self.n_stops.fetch_add(1, Ordering::Relaxed);
        self.inner.stop()
    }

    fn reset(&mut self, returned: Vec<QueuePair>) -> Result<(), OpenError> {
        self.inner.reset(returned)
    }
}

struct Bench {
    switch: Switch,
    ports: Vec<ReplayHandle>,
    n_refusals: Arc<AtomicU32>,
    n_in_flight: Arc<AtomicU32>,
    n_stops: Arc<AtomicU32>,
    now: Nanos,
}

impl Bench {
    /// Two ports on two cores; what comes in on one leaves by the other.
    fn new() -> Self {
        let mut handles = Vec::new();
        let [n_refusals, n_in_flight, n_stops] = [const { AtomicU32::new(0) }; 3].map(Arc::new);
        let ports = (1..=2_u8).map(|k| {
            let (name, of) = (format!("p{k}"), OfPort(k.into()));
            let (inner, handle) = Replay::new(&name, [2, 0, 0, 0, 0, k], Vec::new());
            handles.push(handle);
            let netdev = Box::new(Shy {
                inner,
                n_refusals: n_refusals.clone(),
                n_in_flight: n_in_flight.clone(),
                n_stops: n_stops.clone(),
            });
            PortParts { name, of, netdev }
        });
        let ports = ports.collect();
        let parts = SwitchParts {
            bridge: ofproto::BridgeConfig {
                fail_mode: ofproto::FailMode::Secure,
                ..Default::default()
            },
            n_cores: 2,
            self_check_one_in: 0,
            ..SwitchParts::new(ports, Pool::on_heap(PoolConfig { small: 4_096, jumbo: 16 }))
        };
        let mut switch = Switch::new(parts, Nanos::ZERO);
        for text in ["in_port=1,actions=output:2", "in_port=2,actions=output:1"] {
            let flow_mod = openflow::text::parse_flow(text, FlowModCommand::Add).expect(text);
            let done = switch
                .control
                .configure(|bridge, _| bridge.flow_mod(&flow_mod, Version::V13, Nanos::ZERO));
            assert_eq!(done, Ok(()), "{text}");
        }
        let ports = handles;
        let mut bench = Self { switch, ports, n_refusals, n_in_flight, n_stops, now: Nanos::ZERO };
        bench.rounds(100);
        bench
    }

    fn rounds(&mut self, n: usize) {
        for _ in 0..n {
            self.now = self.now.saturating_add(Nanos::from_micros(10));
            for pmd in &mut self.switch.pmds {
                pmd.poll(self.now);
            }
            self.switch.control.poll(self.now);
        }
    }

    /// Has the first port ask for so many queues.
    fn ask_queues(&mut self, n_rxq: u16) {
        let interface = |port: u16| InterfaceWanted {
            name: format!("p{port}"),
            ofport_request: Some(port),
            n_rxq: (port == 1).then_some(n_rxq),
            ..InterfaceWanted::default()
        };
        let ports = [1, 2].map(interface).map(|interface| PortWanted {
            name: interface.name.clone(),
            interfaces: vec![interface],
            ..PortWanted::default()
        });
        let bridge = BridgeWanted {
            name: "br0".into(),
            ports: ports.into(),
            fail_mode: FailMode::Secure,
            ..BridgeWanted::default()
        };
        let wanted = Wanted { bridges: vec![bridge], ..Wanted::default() };
        self.switch.control.reconfigure(wanted, self.now);
    }

    /// Control orders the change, cores give the queues back, and only then, so to speak, the device is
    /// found to have put frames into its rings.
    fn leave_frames(&mut self, n_rxq: u16) {
        self.ask_queues(n_rxq);
        for pmd in &mut self.switch.pmds {
            pmd.poll(self.now);
        }
        for id in 0..LEFT {
            assert!(self.ports[0].inject(&frame(id)));
        }
        self.rounds(200);
    }

    fn assert_accounted(&self) {
        let sums = self.switch.control.accounting();
        assert!(sums.holds(), "{sums:?}");
    }
}

/// A frame of one flow that can be told from the others.
fn frame(id: u32) -> Vec<u8> {
    let addresses = [[2, 0, 0, 0, 1, 2], [2, 0, 0, 0, 1, 1]].concat();
    [&addresses[..], &[0x88, 0xb5], &id.to_be_bytes(), &[0; 46]].concat()
}

#[test]
fn what_was_received_before_a_reset_is_forwarded_first_and_in_order() {
    for n_rxq in [1, 3, 4] {
        let mut bench = Bench::new();
        bench.leave_frames(n_rxq);
        let got = bench.ports[1].captured();
        assert!(got.iter().eq(&(0..LEFT).map(frame).collect::<Vec<_>>()), "{n_rxq}: {}", got.len());
        assert!(bench.ports[0].inject(&frame(LEFT)));
        bench.rounds(20);
        assert_eq!(bench.ports[1].captured(), [frame(LEFT)]);
        let sums = bench.switch.control.accounting();
        assert_eq!((sums.received, sums.transmitted, sums.dropped), (201, 201, 0), "{sums:?}");
        bench.assert_accounted();
    }
}

#[test]
fn what_was_received_before_a_reset_is_counted_where_the_device_stays_down() {
    // Once for want of the buffers that the frames are in; and for good.
    for n_refusals in [1, 3] {
        let mut bench = Bench::new();
        bench.n_refusals.store(n_refusals, Ordering::Relaxed);
        bench.leave_frames(1);
        assert!(bench.ports[1].captured().is_empty());
        let (sums, n) = (bench.switch.control.accounting(), u64::from(LEFT));
        assert_eq!((sums.received, sums.dropped), (n, n), "{sums:?}");
        bench.assert_accounted();
        let drops = bench.switch.control.configure(|_, dpif| dpif.port_stats(PortNo(1)).drops);
        assert_eq!(drops.get(DropReason::RxPortReset), n);
        // It comes up some time.
        for _ in 0..n_refusals {
            bench.now = bench.now.saturating_add(Nanos::from_secs(3));
            bench.rounds(200);
        }
        assert!(bench.ports[0].inject(&frame(0)));
        bench.rounds(20);
        assert_eq!(bench.ports[1].captured(), [frame(0)]);
        bench.assert_accounted();
    }
}

#[test]
fn a_device_may_send_what_it_was_given_before_it_is_reset_but_not_for_ever() {
    for sends in [true, false] {
        let mut bench = Bench::new();
        bench.n_in_flight.store(3, Ordering::Relaxed);
        bench.ask_queues(1);
        bench.rounds(200);
        assert_eq!(bench.n_stops.load(Ordering::Relaxed), 0, "2 ms");
        match sends {
            true => bench.n_in_flight.store(0, Ordering::Relaxed),
            false => bench.now = bench.now.saturating_add(Nanos::from_millis(10)),
        }
        bench.rounds(20);
        assert_eq!(bench.n_stops.load(Ordering::Relaxed), 1);
        assert!(bench.ports[0].inject(&frame(7)));
        bench.rounds(20);
        assert_eq!(bench.ports[1].captured(), [frame(7)]);
        bench.assert_accounted();
    }
}

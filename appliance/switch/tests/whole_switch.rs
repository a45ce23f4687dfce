//! The whole switch on fakes: frames in, frames out, with one, two and four polling cores.

use flow::{Field, Flow, FlowMeta, compose};
use netdev::fake::{Fault, FaultPlan, Replay, ReplayHandle};
use ofproto::Port;
use openflow::OfPort;
use packet::{Pool, PoolConfig};
use switch::{PortParts, Switch, SwitchParts};
use sync::time::Nanos;

struct Bench {
    switch: Switch,
    ports: Vec<ReplayHandle>,
    now: Nanos,
}

fn parts(n_cores: usize, ports: Vec<PortParts>) -> SwitchParts {
    SwitchParts {
        listen: 6653,
        n_cores,
        self_check_one_in: 1,
        random: 0x1234_5678_9abc_def0,
        ..SwitchParts::new(ports, Pool::on_heap(PoolConfig { small: 4096, jumbo: 64 }))
    }
}

impl Bench {
    fn new(n_cores: usize, n_ports: u32) -> Self {
        let mut handles = Vec::new();
        let ports = (1..=n_ports).map(|k| {
            let name = format!("p{k}");
            let mac = [2, 0, 0, 0, 0, u8::try_from(k).expect("few")];
            let (netdev, handle) = Replay::new(&name, mac, Vec::new());
            handles.push(handle);
            PortParts { name, of: OfPort(k), netdev: Box::new(netdev) }
        });
        let switch = Switch::new(parts(n_cores, ports.collect()), Nanos::ZERO);
        Self { switch, ports: handles, now: Nanos::ZERO }
    }

    /// Rounds of all bodies until nothing happens any more.
    fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..10_000 {
            self.now = self.now.saturating_add(Nanos::from_micros(10));
            let mut worked = self.switch.control.poll(self.now);
            for pmd in &mut self.switch.pmds {
                worked |= pmd.poll(self.now);
            }
            quiet = if worked { 0 } else { quiet + 1 };
            if quiet > 600 {
                return;
            }
        }
        panic!("the switch does not come to rest");
    }

    /// Lets the control core notice what became of the links.
    fn look_at_links(&mut self) {
        self.now = self.now.saturating_add(Nanos::from_secs(1));
        self.settle();
    }

    fn send(&mut self, port: usize, frame: &[u8]) -> Vec<usize> {
        assert!(self.ports[port - 1].inject(frame), "port {port} takes the frame");
        self.settle();
        let got = self.ports.iter().enumerate();
        got.flat_map(|(k, port)| port.captured().into_iter().map(move |out| (k + 1, out)))
            .map(|(k, out)| {
                assert_eq!(out, frame, "forwarded as it came");
                k
            })
            .collect()
    }

    fn assert_accounted(&self) {
        let sums = self.switch.control.accounting();
        assert!(sums.holds(), "{sums:?}");
    }
}

/// A UDP frame from station `from` to station `to`.
fn frame(from: u8, to: u8) -> Vec<u8> {
    let mut flow = Flow::ZERO;
    flow.set(Field::EthSrc, u128::from(0x0200_0000_1000_u64 + u64::from(from)));
    flow.set(Field::EthDst, u128::from(0x0200_0000_1000_u64 + u64::from(to)));
    flow.set(Field::EthType, 0x0800);
    flow.set(Field::Ipv4Src, 0x0a00_0000 + u128::from(from));
    flow.set(Field::Ipv4Dst, 0x0a00_0000 + u128::from(to));
    flow.set(Field::IpProto, 17);
    flow.set(Field::IpTtl, 64);
    flow.set(Field::UdpSrc, 1000);
    flow.set(Field::UdpDst, 2000);
    let frame = compose(&flow, 64);
    assert_eq!(flow::extract(&frame, &FlowMeta::of_port(0)).flow.get(Field::UdpDst), 2000);
    frame
}

#[test]
fn learns_and_forwards_on_any_number_of_cores() {
    for n_cores in [1, 2, 4] {
        let mut bench = Bench::new(n_cores, 5);
        bench.settle();
        assert_eq!(bench.send(1, &frame(1, 2)), [2, 3, 4, 5], "unknown: flooded");
        assert_eq!(bench.send(2, &frame(2, 1)), [1], "learned: to its port only");
        assert_eq!(bench.send(1, &frame(1, 2)), [2]);
        assert_eq!(bench.send(3, &frame(3, 1)), [1]);
        assert_eq!(bench.send(2, &frame(2, 3)), [3]);
        assert_eq!(bench.send(4, &frame(1, 2)), [2], "the station moved");
        assert_eq!(bench.send(2, &frame(2, 1)), [4]);
        bench.assert_accounted();
        let sums = bench.switch.control.accounting();
        assert_eq!((sums.received, sums.transmitted, sums.dropped), (7, 10, 0));
    }
}

#[test]
fn frames_for_a_port_without_link_are_drops_until_it_has_one() {
    for n_cores in [1, 2] {
        let mut bench = Bench::new(n_cores, 4);
        bench.settle();
        bench.send(3, &frame(3, 9));
        assert_eq!(bench.send(1, &frame(1, 3)), [3]);
        bench.ports[2].set_link(false);
        bench.look_at_links();
        let before = bench.switch.control.accounting();
        assert_eq!(bench.send(1, &frame(1, 3)), [2, 4], "flooded; nothing reaches port 3");
        bench.assert_accounted();
        let sums = bench.switch.control.accounting();
        assert_eq!(sums.dropped - before.dropped, 1);
        let stats = bench.switch.control.configure(|bridge, dpif| {
            let port = bridge.state().ports.get(OfPort(3)).and_then(Port::dp);
            dpif.port_stats(port.expect("port 3"))
        });
        assert_eq!(stats.drops.get(datapath::DropReason::TxPortDown), 1);
        bench.ports[2].set_link(true);
        bench.look_at_links();
        assert_eq!(bench.send(1, &frame(1, 3)), [2, 3, 4], "at once, by the same cached flow");
        bench.assert_accounted();
    }
}

#[test]
fn a_device_that_breaks_the_protocol_is_reset_and_no_other_port_notices() {
    let mut handles = Vec::new();
    let ports: Vec<PortParts> = (1..=3_u32)
        .map(|k| {
            let name = format!("p{k}");
            let (netdev, handle) = Replay::new(&name, [2, 0, 0, 0, 0, 1], Vec::new());
            handles.push(handle);
            let netdev: Box<dyn netdev::Netdev> = match k {
                1 => {
                    let plan = FaultPlan { rx_fault_after: Some(3), ..FaultPlan::default() };
                    Box::new(Fault::new(Box::new(netdev), plan))
                }
                _ => Box::new(netdev),
            };
            PortParts { name, of: OfPort(k), netdev }
        })
        .collect();
    let switch = Switch::new(parts(2, ports), Nanos::ZERO);
    let mut bench = Bench { switch, ports: handles, now: Nanos::ZERO };
    for _ in 0..3 {
        bench.send(1, &frame(1, 9));
    }
    // The fourth round of this port is the fault; the others go on meanwhile.
    let _ = bench.ports[0].inject(&frame(1, 9));
    bench.settle();
    // Its link is down, so what was learned on it is forgotten and the frame is flooded.
    assert_eq!(bench.send(2, &frame(2, 1)), [3], "port 2 works on");
    // After the wait for a device that failed so soon, the port is back.
    bench.now = bench.now.saturating_add(Nanos::from_secs(2));
    bench.settle();
    let _ = bench.ports[1].captured();
    let _ = bench.ports[2].captured();
    assert!(!bench.send(3, &frame(3, 2)).is_empty());
}

#[test]
fn what_is_too_long_for_a_port_is_dropped_under_its_reason() {
    for n_cores in [1, 2] {
        let mut handles = Vec::new();
        let ports = [9000, 9000, 1500].iter().zip(1..).map(|(&mtu, k)| {
            let name = format!("p{k}");
            let (netdev, handle) = Replay::new(&name, [2, 0, 0, 0, 0, 1], Vec::new());
            handles.push(handle);
            PortParts { name, of: OfPort(k), netdev: Box::new(netdev.with_mtu(mtu)) }
        });
        let switch = Switch::new(parts(n_cores, ports.collect()), Nanos::ZERO);
        let mut bench = Bench { switch, ports: handles, now: Nanos::ZERO };
        bench.settle();
        let mut long = frame(1, 2);
        long.resize(4000, 0);
        assert_eq!(bench.send(1, &long), [2]);
        assert_eq!(bench.send(1, &frame(1, 2)), [2, 3]);
        bench.assert_accounted();
        let sums = bench.switch.control.accounting();
        assert_eq!((sums.transmitted, sums.dropped), (3, 1));
    }
}

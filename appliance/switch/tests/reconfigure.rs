//! A running switch becomes another: bridges, ports, cables and VLANs come and go between frames.

use agent::bridge_config::{
    Applied, BridgeWanted, ControllerWanted, ControllerWay, FailMode, InterfaceKind,
    InterfaceWanted, MirrorWanted, PortWanted, Wanted,
};
use datapath::{DropReason, PortNo};
use flow::{Field, Flow, compose};
use netdev::fake::{Replay, ReplayHandle};
use openflow::OfPort;
use packet::{Pool, PoolConfig};
use switch::{PortParts, Switch, SwitchParts};
use sync::time::Nanos;

const NOWHERE: [usize; 0] = [];

struct Bench {
    switch: Switch,
    ports: Vec<ReplayHandle>,
    now: Nanos,
}

impl Bench {
    /// A switch with `n_nics` NICs, of which the first `n_ports` are in the bridge at boot.
    fn new(n_cores: usize, n_nics: u32, n_ports: u32) -> Self {
        let mut handles = Vec::new();
        let ports = (1..=n_nics).map(|k| {
            let mac = [2, 0, 0, 0, 0, u8::try_from(k).expect("few")];
            let (netdev, handle) = Replay::new(&format!("pci-0000:00:0{k}.0"), mac, Vec::new());
            handles.push(handle);
            let of = if k <= n_ports { OfPort(k) } else { OfPort::ANY };
            PortParts { name: format!("p{k}"), of, netdev: Box::new(netdev) }
        });
        let parts = SwitchParts {
            n_cores,
            self_check_one_in: 1,
            random: 0x1234_5678_9abc_def0,
            ..SwitchParts::new(
                ports.collect(),
                Pool::on_heap(PoolConfig { small: 4096, jumbo: 64 }),
            )
        };
        let switch = Switch::new(parts, Nanos::ZERO);
        let mut bench = Self { switch, ports: handles, now: Nanos::ZERO };
        bench.rounds(100);
        bench
    }

    fn rounds(&mut self, n: usize) {
        for _ in 0..n {
            self.now = self.now.saturating_add(Nanos::from_micros(10));
            self.switch.control.poll(self.now);
            for pmd in &mut self.switch.pmds {
                pmd.poll(self.now);
            }
        }
    }

    /// Has the switch become that, and waits until it is.
    fn become_(&mut self, bridges: Vec<BridgeWanted>) -> Applied {
        let wanted = Wanted { bridges, ..Wanted::default() };
        self.switch.control.reconfigure(wanted, self.now);
        for _ in 0..10_000 {
            self.rounds(1);
            let status = self.switch.control.status(self.now);
            if status.is_settled {
                return status;
            }
        }
        panic!("never settled: {:?}", self.switch.control.status(self.now));
    }

    /// The ports that the frame leaves by, in order, each as often as it does.
    fn send(&mut self, port: usize, frame: &[u8]) -> Vec<usize> {
        self.send_all(port, frame).into_iter().map(|(port, _)| port).collect()
    }

    fn send_all(&mut self, port: usize, frame: &[u8]) -> Vec<(usize, Vec<u8>)> {
        assert!(self.ports[port - 1].inject(frame), "port {port} takes the frame");
        self.rounds(700);
        let sums = self.switch.control.accounting();
        assert!(sums.holds(), "{sums:?}");
        let got = self.ports.iter().enumerate();
        got.flat_map(|(k, port)| port.captured().into_iter().map(move |out| (k + 1, out))).collect()
    }

    fn drops(&self, port: u32, reason: DropReason) -> u64 {
        self.switch.control.port_stats(PortNo(port)).drops.get(reason)
    }
}

fn bridge(name: &str, ports: Vec<PortWanted>) -> BridgeWanted {
    BridgeWanted { name: name.into(), ports, ..BridgeWanted::default() }
}

fn port(name: &str, kind: InterfaceKind) -> PortWanted {
    let interface = InterfaceWanted { name: name.into(), kind, ..InterfaceWanted::default() };
    PortWanted { name: name.into(), interfaces: vec![interface], ..PortWanted::default() }
}

fn nics(names: &[&str]) -> Vec<PortWanted> {
    names.iter().map(|name| port(name, InterfaceKind::Nic)).collect()
}

fn patch(name: &str, peer: &str) -> PortWanted {
    port(name, InterfaceKind::Patch { peer: peer.into() })
}

/// A frame from station `from` to station `to`.
fn frame(from: u8, to: u8) -> Vec<u8> {
    let mut flow = Flow::ZERO;
    flow.set(Field::EthSrc, u128::from(0x0200_0000_1000_u64 + u64::from(from)));
    flow.set(Field::EthDst, u128::from(0x0200_0000_1000_u64 + u64::from(to)));
    flow.set(Field::EthType, 0x88b5);
    compose(&flow, 64)
}

fn numbers(status: &Applied, bridge: usize) -> Vec<(&str, Option<u16>)> {
    status.bridges[bridge].interfaces.iter().map(|i| (i.name.as_str(), i.ofport)).collect()
}

#[test]
fn ports_come_and_go_and_the_others_do_not_notice() {
    for n_cores in [1, 2] {
        let mut bench = Bench::new(n_cores, 4, 3);
        let status = bench.become_(vec![bridge("br0", nics(&["p1", "p2", "p3"]))]);
        let want = [("br0", Some(0xfffe)), ("p1", Some(1)), ("p2", Some(2)), ("p3", Some(3))];
        assert_eq!(numbers(&status, 0), want);
        assert_eq!(bench.send(1, &frame(1, 2)), [2, 3]);
        assert_eq!(bench.send(2, &frame(2, 1)), [1]);
        assert_eq!(bench.send(1, &frame(1, 2)), [2]);
        // Gone: what it sends and what is for it dies, and what was learned there is forgotten.
        bench.become_(vec![bridge("br0", nics(&["p1", "p3"]))]);
        assert_eq!(bench.send(1, &frame(1, 2)), [3]);
        assert_eq!(bench.send(2, &frame(2, 1)), NOWHERE);
        // Another NIC, named by its place on the bus, and the first one again with a number asked for.
        let mut ports = nics(&["p1", "p3", "p2"]);
        ports[2].interfaces[0].ofport_request = Some(7);
        ports.push(port("uplink", InterfaceKind::NicAt("0000:00:04.0".into())));
        let status = bench.become_(vec![bridge("br0", ports)]);
        let want = [("p1", Some(1)), ("p3", Some(3)), ("p2", Some(7)), ("uplink", Some(2))];
        assert_eq!(numbers(&status, 0)[1..], want);
        assert_eq!(bench.send(1, &frame(1, 9)), [2, 3, 4]);
        assert_eq!(bench.send(4, &frame(4, 1)), [1]);
    }
}

#[test]
fn a_stream_between_ports_that_stay_loses_nothing() {
    let mut bench = Bench::new(2, 4, 2);
    let bridges = |more: &[&str]| {
        let names: Vec<_> = ["p1", "p2"].into_iter().chain(more.iter().copied()).collect();
        vec![bridge("br0", nics(&names)), bridge("br1", Vec::new())]
    };
    bench.become_(bridges(&[]));
    bench.send(2, &frame(2, 1));
    bench.send(1, &frame(1, 2));
    let (mut n_sent, mut n_got) = (0, 0);
    for turn in 0..60 {
        let wanted = match turn % 4 {
            0 => bridges(&["p3"]),
            1 => bridges(&["p3", "p4"]),
            2 => bridges(&["p4"]),
            _ => bridges(&[]),
        };
        bench
            .switch
            .control
            .reconfigure(Wanted { bridges: wanted, ..Wanted::default() }, bench.now);
        for _ in 0..10 {
            n_sent += usize::from(bench.ports[0].inject(&frame(1, 2)));
            bench.rounds(3);
            n_got += bench.ports[1].captured().len();
        }
    }
    bench.rounds(700);
    n_got += bench.ports[1].captured().len();
    assert_eq!((n_sent, n_got), (600, 600));
}

#[test]
fn a_stream_loses_nothing_while_vlans_bridges_and_controllers_change() {
    let mut bench = Bench::new(2, 4, 2);
    let tagged = |tag: Option<u16>| PortWanted { tag, ..port("p3", InterfaceKind::Nic) };
    let controller = || ControllerWanted {
        target: "tcp:127.0.0.1:6633".into(),
        way: ControllerWay::Connect(([127, 0, 0, 1], 6633).into()),
        max_backoff_ms: None,
        inactivity_probe_ms: None,
        controller_rate_limit: None,
        controller_burst_limit: None,
        is_quiet: false,
        is_service: false,
    };
    let bridges = |tag: Option<u16>, has_other: bool, n_controllers: usize| {
        let mut ports = nics(&["p1", "p2"]);
        ports.push(tagged(tag));
        let controllers = (0..n_controllers).map(|_| controller()).collect();
        let mut all =
            vec![bridge("br0", ports), BridgeWanted { controllers, ..bridge("br1", Vec::new()) }];
        all.extend(has_other.then(|| bridge("br2", nics(&["p4"]))));
        all
    };
    bench.become_(bridges(None, false, 0));
    bench.send(2, &frame(2, 1));
    bench.send(1, &frame(1, 2));
    let (mut n_sent, mut n_got) = (0, 0);
    for turn in 0..60_u16 {
        let tag = (turn % 3 != 0).then_some(turn % 3);
        let wanted = bridges(tag, turn % 2 == 0, usize::from(turn / 2 % 2));
        let wanted = Wanted { bridges: wanted, ..Wanted::default() };
        bench.switch.control.reconfigure(wanted, bench.now);
        for _ in 0..10 {
            n_sent += usize::from(bench.ports[0].inject(&frame(1, 2)));
            bench.rounds(3);
            n_got += bench.ports[1].captured().len();
        }
    }
    bench.rounds(700);
    n_got += bench.ports[1].captured().len();
    assert_eq!((n_sent, n_got), (600, 600));
    let last = bench.become_(bridges(Some(2), true, 1));
    let names: Vec<_> = last.bridges.iter().map(|bridge| bridge.name.as_str()).collect();
    assert_eq!(names, ["br0", "br1", "br2"]);
}

#[test]
fn a_nic_has_as_many_queues_as_are_asked_for_and_the_others_do_not_notice() {
    for n_cores in [1, 2] {
        let mut bench = Bench::new(n_cores, 3, 3);
        let with = |n_rxq: Option<u16>| {
            let mut ports = nics(&["p1", "p2", "p3"]);
            ports[2].interfaces[0].n_rxq = n_rxq;
            vec![bridge("br0", ports)]
        };
        bench.become_(with(None));
        bench.send(2, &frame(2, 1));
        bench.send(1, &frame(1, 2));
        let default = n_cores.to_string();
        let cases = [
            (None, default.as_str(), None),
            (Some(3), "3", None),
            (Some(1), "1", None),
            // As many as the device has.
            (Some(9), "8", Some("options:n_rxq: it has 8")),
            (None, &default, None),
        ];
        for (asked, n, ignored) in cases {
            // A stream between the other two goes on.
            let wanted = Wanted { bridges: with(asked), ..Wanted::default() };
            bench.switch.control.reconfigure(wanted, bench.now);
            for _ in 0..10 {
                assert!(bench.ports[0].inject(&frame(1, 2)));
                bench.rounds(3);
            }
            let status = bench.become_(with(asked));
            assert_eq!(bench.ports[1].captured().len(), 10, "{asked:?}");
            let p3 = &status.bridges[0].interfaces[3];
            let told = |key: &str| p3.status.iter().find(|(k, _)| *k == key).unwrap().1.as_str();
            assert_eq!([told("n_rxq"), told("n_txq"), told("max_rx_queues")], [n, n, "8"]);
            assert_eq!(p3.ignored.as_deref(), ignored, "{asked:?}");
            // Whatever queue a frame comes by, and whoever sends.
            for host in 10..30 {
                assert_eq!(bench.send(3, &frame(host, 1)), [1], "{asked:?}");
                assert_eq!(bench.send(1, &frame(1, host)), [3], "{asked:?}");
            }
        }
        assert_eq!(bench.drops(3, DropReason::PortReset), 0);
    }
}

#[test]
fn bridges_are_apart_and_a_nic_moves_from_one_to_the_other() {
    let mut bench = Bench::new(2, 4, 4);
    let status =
        bench.become_(vec![bridge("br0", nics(&["p1", "p2"])), bridge("br1", nics(&["p3", "p4"]))]);
    assert_ne!(status.bridges[0].datapath_id, status.bridges[1].datapath_id);
    assert_eq!(bench.send(1, &frame(1, 2)), [2]);
    assert_eq!(bench.send(3, &frame(1, 2)), [4], "the same station in another bridge");
    assert_eq!(bench.send(2, &frame(2, 1)), [1]);
    bench.become_(vec![bridge("br0", nics(&["p1"])), bridge("br1", nics(&["p3", "p4", "p2"]))]);
    assert_eq!(bench.send(2, &frame(5, 6)), [3, 4]);
    assert_eq!(bench.send(1, &frame(1, 2)), NOWHERE);
    // Secure, and gone.
    let secure = BridgeWanted { fail_mode: FailMode::Secure, ..bridge("br1", nics(&["p3", "p4"])) };
    bench.become_(vec![secure]);
    assert_eq!(bench.send(3, &frame(1, 2)), NOWHERE);
    assert_eq!(bench.send(1, &frame(1, 2)), NOWHERE);
    let status = bench.become_(Vec::new());
    assert!(status.bridges.is_empty());
    assert_eq!(bench.send(3, &frame(1, 2)), NOWHERE);
    bench.become_(vec![bridge("br9", nics(&["p1", "p3"]))]);
    assert_eq!(bench.send(3, &frame(1, 2)), [1]);
}

#[test]
fn a_cable_joins_two_bridges() {
    for n_cores in [1, 2] {
        let mut bench = Bench::new(n_cores, 4, 4);
        let with =
            |names: &[&str], more: Vec<PortWanted>| nics(names).into_iter().chain(more).collect();
        let near = bridge("br0", with(&["p1", "p2"], vec![patch("a", "b")]));
        // One end alone is a port, but leads nowhere.
        let status = bench.become_(vec![near.clone(), bridge("br1", nics(&["p3", "p4"]))]);
        assert_eq!(numbers(&status, 0)[3], ("a", Some(3)));
        assert_eq!(bench.send(1, &frame(1, 9)), [2]);
        let far = bridge("br1", with(&["p3", "p4"], vec![patch("b", "a")]));
        let status = bench.become_(vec![near.clone(), far]);
        assert_eq!(numbers(&status, 0)[3], ("a", Some(3)), "the number stays");
        assert_eq!(bench.send(1, &frame(1, 9)), [2, 3, 4]);
        assert_eq!(bench.send(3, &frame(3, 1)), [1], "learned through the cable");
        assert_eq!(bench.send(1, &frame(1, 3)), [3]);
        assert_eq!(bench.send(1, &frame(1, 3)), [3], "from the cache");
        let status = bench.switch.control.status(bench.now);
        let count = |bridge: usize, name: &str, what: &str| {
            let interface = status.bridges[bridge].interfaces.iter().find(|i| i.name == name);
            let statistics = &interface.expect("is there").statistics;
            statistics.iter().find(|(key, _)| *key == what).expect("is counted").1
        };
        assert_eq!(count(0, "a", "tx_packets"), 3);
        assert_eq!(count(1, "b", "rx_packets"), 3);
        assert_eq!(count(0, "a", "rx_packets"), 1);
        bench.become_(vec![near, bridge("br1", nics(&["p3", "p4"]))]);
        assert_eq!(bench.send(1, &frame(1, 3)), [2]);
    }
}

#[test]
fn a_ring_of_cables_ends() {
    let mut bench = Bench::new(2, 2, 2);
    let near = vec![port("p1", InterfaceKind::Nic), patch("a", "b"), patch("c", "d")];
    let far = vec![port("p2", InterfaceKind::Nic), patch("b", "a"), patch("d", "c")];
    bench.become_(vec![bridge("br0", near), bridge("br1", far)]);
    for _ in 0..3 {
        let n = bench.send(1, &frame(1, 9)).len();
        assert!((1..1000).contains(&n), "{n}");
    }
    let sums = bench.switch.control.accounting();
    assert!(sums.holds() && sums.dropped > 0, "{sums:?}");
}

#[test]
fn vlans_mirrors_and_policing_follow_the_configuration() {
    let mut bench = Bench::new(1, 4, 4);
    let mut ports = nics(&["p1", "p2", "p3", "p4"]);
    ports[0].tag = Some(10);
    ports[1].tag = Some(20);
    bench.become_(vec![bridge("br0", ports.clone())]);
    assert_eq!(bench.send(1, &frame(1, 9)), [3, 4], "tagged on the trunks");
    ports[1].tag = Some(10);
    let mirror = MirrorWanted {
        name: "m".into(),
        select_src_port: vec!["p1".into()],
        output_port: Some("p4".into()),
        ..MirrorWanted::default()
    };
    let lost = MirrorWanted { name: "n".into(), ..MirrorWanted::default() };
    let wanted = BridgeWanted { mirrors: vec![mirror, lost], ..bridge("br0", ports.clone()) };
    let status = bench.become_(vec![wanted]);
    let errors: Vec<_> = status.bridges[0].mirrors.iter().map(|m| m.error.is_some()).collect();
    assert_eq!(errors, [false, true]);
    assert_eq!(bench.send(1, &frame(1, 9)), [2, 3, 4]);
    assert_eq!(bench.send(2, &frame(2, 9)), [1, 3]);
    // Cached packets are credited by the next round of the revalidator.
    bench.now = bench.now.saturating_add(Nanos::from_secs(1));
    bench.rounds(1000);
    let status = bench.switch.control.status(bench.now);
    assert_eq!(status.bridges[0].mirrors[0].tx_packets, 1);
    // 8 kbit at once, and nearly nothing afterwards.
    ports[0].interfaces[0].ingress_policing_rate_kbps = 1;
    ports[0].interfaces[0].ingress_policing_burst_kb = 8;
    bench.become_(vec![bridge("br0", ports)]);
    let n: usize = (0..40).map(|_| bench.send(1, &frame(1, 9)).len()).sum();
    let fit = 8_000 / (8 * frame(1, 9).len());
    assert!(n.is_multiple_of(3) && (fit..=fit + 1).contains(&(n / 3)), "{n} of {fit}");
    assert_eq!(bench.drops(1, DropReason::RxPoliced), 40 - n as u64 / 3);
}

#[test]
fn what_cannot_be_says_so_and_keeps_nothing_else_from_being() {
    let mut bench = Bench::new(1, 2, 0);
    let ports = vec![
        port("p1", InterfaceKind::Nic),
        port("eth7", InterfaceKind::Nic),
        port("vx", InterfaceKind::Unsupported("vxlan".into())),
        port("again", InterfaceKind::NicAt("02:00:00:00:00:01".into())),
        port("own", InterfaceKind::Internal),
        port("p2", InterfaceKind::Nic),
    ];
    let status = bench.become_(vec![bridge("br0", ports)]);
    let told: Vec<_> = status.bridges[0].interfaces.iter().map(|i| i.error.is_some()).collect();
    assert_eq!(told, [false, false, true, true, true, false, false]);
    assert_eq!(bench.send(1, &frame(1, 2)), [2]);
}

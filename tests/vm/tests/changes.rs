//! Tables that change without end under traffic: no packet meets half of a change, none is lost without
//! a count, none is doubled; and behind a barrier's or a commit's reply the very next frame is handled by
//! the new tables, cached flows included.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use openflow::{BundleMessage, FlowMod, Message, Version};
use openflow::{bundle_control, bundle_flags};
use vm::frame::{IPV4, ethernet, host, ipv4};
use vm::{Bench, Client, Config, WAIT, rule};

/// Changes for each way to make them, while traffic goes on.
const CHANGES: u32 = 60;
/// Changes for each way to make them, each with a frame right behind it.
const AT_ONCE: u32 = 100;
/// The two worlds: how packets are marked (table 0), and where packets so marked go (table 1).
const WORLDS: [(u8, usize); 2] = [(4, 3), (8, 4)];
/// Frames offered on each port before the answers are looked at.
const BURST: u32 = 4;
/// Where a frame's number stands.
const NUMBER: usize = 34;

/// A way to change the tables.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// A bundle for both tables.
    Bundle(Version),
    /// One flow-mod that is the whole change, and a barrier.
    FlowMod(Version),
}

const WAYS: [Way; 4] = [
    Way::Bundle(Version::V14),
    Way::FlowMod(Version::V10),
    Way::Bundle(Version::V13),
    Way::FlowMod(Version::V15),
];

impl Way {
    fn version(self) -> Version {
        match self {
            Self::Bundle(version) | Self::FlowMod(version) => version,
        }
    }

    /// The flow-mods that make world `n` of the other one.
    fn world(self, n: u32) -> Vec<FlowMod> {
        let (tos, port) = WORLDS[n as usize % 2];
        match self {
            Self::Bundle(_) => vec![
                rule(&format!("table=0,priority=10,ip,actions=mod_nw_tos:{tos},resubmit(,1)")),
                rule(&format!("table=1,priority=10,ip,actions=output:{port}")),
            ],
            Self::FlowMod(_) => {
                vec![rule(&format!("priority=10,ip,actions=mod_nw_tos:{tos},output:{port}"))]
            }
        }
    }

    /// Asks for world `n`; the transaction whose answer says that it is there.
    fn ask(self, client: &mut Client, n: u32) -> u32 {
        match self {
            Self::Bundle(_) => {
                let flags = bundle_flags::ATOMIC | bundle_flags::ORDERED;
                let control =
                    |kind| Message::Bundle(BundleMessage::Control { bundle_id: n, kind, flags });
                client.send(&control(bundle_control::OPEN)).expect("sent");
                for flow_mod in self.world(n) {
                    let mut message = Vec::new();
                    let flow_mod = Message::FlowMod(Box::new(flow_mod));
                    let xid = client.xid();
                    client.dialect.encode(&flow_mod, xid, &mut message).expect("a message");
                    // What a message in a bundle is called it is called outside as well.
                    let add = BundleMessage::Add { bundle_id: n, flags, message };
                    client.send_as(&Message::Bundle(add), xid).expect("sent");
                }
                client.send(&control(bundle_control::COMMIT)).expect("sent")
            }
            Self::FlowMod(_) => {
                for flow_mod in self.world(n) {
                    client.send(&Message::FlowMod(Box::new(flow_mod))).expect("sent");
                }
                client.send(&Message::BarrierRequest).expect("sent")
            }
        }
    }

    #[track_caller]
    fn is_done(self, answer: &Message) {
        let is_right = match self {
            Self::Bundle(_) => matches!(
                answer,
                Message::Bundle(BundleMessage::Control { kind, .. })
                    if *kind == bundle_control::COMMIT + 1
            ),
            Self::FlowMod(_) => matches!(answer, Message::BarrierReply),
        };
        assert!(is_right, "{self:?}: {answer:?}");
    }
}

#[test]
fn one_cpu() {
    on(1);
}

#[test]
fn three_cpus() {
    on(3);
}

fn on(n_cpus: u16) {
    let bench = Bench::boot(Config::new(4).smp(n_cpus).seed(|seed| seed.self_check_one_in = 16));
    for way in WAYS {
        at_once(&bench, way);
        under_traffic(&bench, way);
    }
    bench.shutdown();
}

/// Frame number `number`, which comes in on `port`, of the flow `flow` there.
fn frame(port: usize, flow: u32, number: u32) -> Vec<u8> {
    let [.., high, low] = flow.to_be_bytes();
    let source = [2, 0, port.to_le_bytes()[0], 0, high, low];
    let packet = ipv4([10, 0, 0, 1], [10, 0, 0, 2], 253, &number.to_be_bytes());
    ethernet(host(200), source, IPV4, &packet)
}

fn number_of(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[NUMBER..NUMBER + 4].try_into().expect("four bytes"))
}

/// World 0 in force, and nobody else's rules.
fn begin(bench: &Bench, way: Way) -> Client {
    // Sources are looked at, so that there are many cached flows.
    bench.set_flows(&["priority=20,dl_src=06:00:00:00:00:01,actions=drop"]);
    let mut client = bench.client(way.version());
    let asked = way.ask(&mut client, 0);
    way.is_done(&client.answer(asked));
    client
}

/// Each change is answered, and the frames offered then are handled by it: one of a cached flow and one
/// that nobody has seen, on each of two ports.
fn at_once(bench: &Bench, way: Way) {
    bench.case(format!("{way:?}: the very next frame"));
    let mut client = begin(bench, way);
    let before = hits(bench);
    for n in 1..=AT_ONCE {
        let asked = way.ask(&mut client, n);
        let answer = client.answer(asked);
        let frames =
            [(1, 0), (2, 0), (1, n), (2, n)].map(|(port, flow)| (port, frame(port, flow, n)));
        for (port, frame) in &frames {
            bench.send(*port, frame);
        }
        way.is_done(&answer);
        let (tos, out) = WORLDS[n as usize % 2];
        let other = WORLDS[(n as usize + 1) % 2].1;
        for _ in &frames {
            let got = bench.arrivals(out).next(WAIT).unwrap_or_else(|| {
                let elsewhere = bench.arrivals(other).take().len();
                bench.fail(format!("change {n}: {elsewhere} frames took the old way"))
            });
            assert_eq!((got[15], number_of(&got)), (tos, n), "change {n}");
        }
        assert!(bench.arrivals(other).take().is_empty(), "change {n}: a frame took the old way");
    }
    bench.expect_nothing();
    let n_hits = hits(bench) - before;
    assert!(n_hits >= AT_ONCE, "only {n_hits} cached flows were met");
}

/// How many frames met a cached flow.
fn hits(bench: &Bench) -> u32 {
    let text = bench.appctl("dpctl/show", &[]);
    let rest = text.split("lookups: hit:").nth(1).unwrap_or_default();
    let n = rest.split(' ').next().and_then(|n| n.parse().ok());
    n.unwrap_or_else(|| bench.fail(text))
}

/// What came out of a run of numbered frames.
struct Seen<'a> {
    bench: &'a Bench,
    way: Way,
    numbers: HashSet<u32>,
    n_sent: u32,
    /// Frames from this one on were sent when the world was in force that is.
    settled: Option<(u32, u32)>,
}

impl Seen<'_> {
    /// Offers a burst on two ports; every fourth frame is of a flow of its own.
    fn send(&mut self) {
        for _ in 0..BURST {
            for port in [1, 2] {
                self.bench.send(port, &frame(port, self.n_sent / 4 % 200, self.n_sent));
                self.n_sent += 1;
            }
        }
        self.look();
    }

    fn look(&mut self) {
        for (tos, port) in WORLDS {
            for bytes in self.bench.arrivals(port).take() {
                let number = number_of(&bytes);
                let way = self.way;
                assert_eq!(bytes[15], tos, "{way:?}: {number} met half of a change");
                assert!(self.numbers.insert(number), "{way:?}: {number} came twice");
                if let Some((first, n)) = self.settled
                    && number >= first
                {
                    assert_eq!(
                        port,
                        WORLDS[n as usize % 2].1,
                        "{way:?}: {number} took the old way"
                    );
                }
            }
        }
    }
}

fn under_traffic(bench: &Bench, way: Way) {
    bench.case(format!("{way:?}: changes under traffic"));
    let mut client = begin(bench, way);
    bench.settle();
    let before = drops(bench);
    let mut seen = Seen { bench, way, numbers: HashSet::new(), n_sent: 0, settled: Some((0, 0)) };
    for n in 1..=CHANGES {
        seen.send();
        // What was offered before may meet either world from here on.
        seen.settled = None;
        let asked = way.ask(&mut client, n);
        loop {
            seen.send();
            match client.next(Duration::from_millis(1)).expect("a connection") {
                Some((header, answer)) if header.xid == asked => break way.is_done(&answer),
                Some((_, Message::Error(error))) => bench.fail(format!("{error:?}")),
                _ => {}
            }
        }
        seen.settled = Some((seen.n_sent, n));
        for _ in 0..3 {
            seen.send();
        }
    }
    bench.settle();
    seen.look();

    let mut lost = drops(bench);
    lost.iter_mut().for_each(|(reason, n)| *n -= before.get(reason).unwrap_or(&0));
    lost.retain(|_, n| *n > 0);
    let n_lost: u64 = lost.values().sum();
    assert_eq!(seen.numbers.len() as u64 + n_lost, u64::from(seen.n_sent), "{lost:?}");
    // Only what a burst too many can cost.
    let is_fair = |reason: &str| reason.starts_with("upcall-") || reason.ends_with("-ring-full");
    assert!(lost.keys().all(|reason| is_fair(reason)), "{lost:?}");
    println!(
        "{way:?}: {} frames over {CHANGES} changes, {n_lost} lost to full queues",
        seen.n_sent
    );
}

/// Drops of all ports, by reason.
fn drops(bench: &Bench) -> BTreeMap<String, u64> {
    let state = bench.telemetry();
    let mut sums = BTreeMap::new();
    for port in state["ports"].as_array().expect("ports") {
        for (reason, n) in port["drops"].as_object().expect("drops") {
            *sums.entry(reason.clone()).or_default() += n.as_u64().expect("a number");
        }
    }
    sums
}

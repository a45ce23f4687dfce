//! The bridge over a real datapath against the oracle, on random rules and frames.
//!
//! Every frame comes in while some megaflows are cached and rules come and go in between, so this is
//! also the law that caches change speed and never forwarding (DESIGN §2). Compared are the frames that
//! leave each port, byte by byte and in order; the packet-ins; and in the end every rule's counters.

use std::collections::{BTreeMap, HashMap};

use datapath::{LocalDpif, PortNo};
use flow::{EtherAddr, Match};
use ofproto::{Bridge, BridgeConfig, BridgeEvent, FailMode, Link, MissKind, PortSpec};
use openflow::{
    FlowFormat, FlowMod, FlowModCommand, FlowStatsRequest, GROUP_ANY, OfPort, PacketInReason,
    TABLE_ALL, Version,
};
use oracle::random::{Rng, RuleOptions, World};
use oracle::{Oracle, Rule, Verdict};
use sync::time::Nanos;

/// Datapath numbers differ from OpenFlow's by this much.
const DP_OFFSET: u32 = 100;
const N_PORTS: u32 = 4;

/// What a packet-in is about: reason, table, cookie, ingress port, metadata, frame.
type Told = (u8, u8, u64, u32, u64, Vec<u8>);

/// Bridge and oracle side by side.
struct Pair {
    bridge: Bridge,
    dpif: LocalDpif,
    now: Nanos,
    oracle: Oracle,
    /// Packets and bytes by cookie, as the oracle counts them.
    counts: HashMap<u64, (u64, u64)>,
}

impl Pair {
    fn new() -> Self {
        let now = Nanos::from_secs(1);
        let config = BridgeConfig { fail_mode: FailMode::Secure, ..BridgeConfig::default() };
        let mut bridge = Bridge::new(config, now);
        bridge.set_invalid_ttl_to_controllers(true);
        let mut dpif = LocalDpif::new();
        dpif.set_now(now);
        for number in 1..=N_PORTS {
            let dp = PortNo(number + DP_OFFSET);
            dpif.add_port(dp);
            let last = u8::try_from(number).expect("there are few ports");
            let spec = PortSpec {
                dp: Some(dp),
                of: OfPort(number),
                name: format!("p{number}"),
                hw_addr: EtherAddr([0x02, 0xaa, 0, 0, 0, last]),
                mtu: 1500,
                link: Link::UP,
            };
            bridge.add_port(spec, now).expect("ports differ");
        }
        let oracle = Oracle::new((1..=N_PORTS).map(OfPort));
        let mut pair = Self { bridge, dpif, now, oracle, counts: HashMap::new() };
        pair.settle();
        pair.bridge.take_events().for_each(drop);
        pair
    }

    fn add(&mut self, rule: &Rule) {
        self.flow_mod(&rule.to_flow_mod());
        self.oracle.add(rule.clone()).expect("generated actions are known");
    }

    fn remove(&mut self, rule: &Rule) {
        self.flow_mod(&FlowMod { command: FlowModCommand::DeleteStrict, ..rule.to_flow_mod() });
        self.counts.remove(&rule.cookie);
        self.oracle.remove(|old| old.cookie == rule.cookie);
    }

    fn flow_mod(&mut self, flow_mod: &FlowMod) {
        let result = self.bridge.flow_mod(flow_mod, Version::V13, self.now);
        result.unwrap_or_else(|error| panic!("{error:?} for {flow_mod:?}"));
    }

    /// Lets the bridge work until all changes are in force.
    fn settle(&mut self) {
        let ticket = self.bridge.sync_point();
        for _ in 0..1000 {
            self.pump();
            let next = self.bridge.run(&mut self.dpif, self.now);
            if next > self.now && self.bridge.reached(ticket) {
                return;
            }
        }
        panic!("the bridge does not come to rest");
    }

    /// Lets the clock go on until the caches have told the bridge all that they know.
    fn advance(&mut self) {
        for _ in 0..6 {
            self.now += Nanos::from_millis(100);
            self.dpif.set_now(self.now);
            self.settle();
        }
    }

    fn pump(&mut self) {
        for _ in 0..1000 {
            let Some(upcall) = self.dpif.next_upcall() else { return };
            self.bridge.handle_upcall(upcall, &mut self.dpif, self.now);
        }
        panic!("upcalls cause upcalls without end");
    }

    /// A frame comes in on both.
    fn receive(&mut self, port: OfPort, frame: &[u8]) -> Result<Verdict, String> {
        let expected = self.oracle.receive(port, frame);
        for &index in &expected.rules {
            let cookie = self.oracle.rules()[index].cookie;
            let (packets, bytes) = self.counts.entry(cookie).or_default();
            *packets += 1;
            *bytes += frame.len() as u64;
        }
        self.dpif.receive(PortNo(port.0 + DP_OFFSET), frame);
        self.pump();
        let mut sent = BTreeMap::<OfPort, Vec<Vec<u8>>>::new();
        for (port, frame) in self.dpif.take_transmitted() {
            sent.entry(OfPort(port.0 - DP_OFFSET)).or_default().push(frame);
        }
        let told = self.told();
        let wanted = expected.by_port();
        let is_same = sent.len() == wanted.len()
            && sent.iter().zip(&wanted).all(|((port, frames), (other, others))| {
                port == other && frames.iter().map(Vec::as_slice).eq(others.iter().copied())
            });
        if !is_same {
            return Err(format!("port {port}: {}\nsent {}\nnot  {}", hex(frame), list(&sent), {
                list(&wanted)
            }));
        }
        let should_tell: Vec<Told> = (expected.packet_ins.iter())
            .map(|packet_in| {
                let (table, cookie) =
                    speaker(packet_in.reason, packet_in.table_id, packet_in.cookie);
                (
                    packet_in.reason as u8,
                    table,
                    cookie,
                    packet_in.in_port.0,
                    packet_in.metadata,
                    packet_in.frame.clone(),
                )
            })
            .collect();
        if told != should_tell {
            let frame = hex(frame);
            return Err(format!("port {port}: {frame}\ntold {told:x?}\nnot  {should_tell:x?}"));
        }
        Ok(expected)
    }

    /// The packet-ins since the last time.
    fn told(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        for event in self.bridge.take_events() {
            let BridgeEvent::PacketIn(event) = event else { continue };
            let packet_in = event.packet_in;
            let reason = match event.miss {
                MissKind::None => packet_in.reason,
                MissKind::Implicit | MissKind::Explicit => PacketInReason::NoMatch,
            };
            let in_port = packet_in.in_port().0;
            let metadata = packet_in.metadata.flow().metadata();
            let (table, cookie) = speaker(reason, packet_in.table_id, packet_in.cookie);
            told.push((reason as u8, table, cookie, in_port, metadata, packet_in.data));
        }
        told
    }

    /// Counters of all rules, once the caches have told theirs. After a label was popped the frame
    /// is taken in anew and counts with the length that it has then, so with labels only packets
    /// are compared.
    fn check_counters(&mut self, has_labels: bool) -> Result<(), String> {
        self.advance();
        let everything = FlowStatsRequest {
            table_id: TABLE_ALL,
            out_port: OfPort::ANY,
            out_group: GROUP_ANY,
            cookie: 0,
            cookie_mask: 0,
            match_: Match::CATCHALL,
            format: FlowFormat::Standard,
        };
        let rules = self.bridge.flow_stats(&everything, self.now).expect("a plain request");
        assert_eq!(rules.len(), self.oracle.rules().len());
        for rule in rules {
            let counted = (rule.stats().packets(), rule.stats().bytes());
            let expected = self.counts.get(&rule.cookie).copied().unwrap_or_default();
            if counted.0 != expected.0 || counted.1 != expected.1 && !has_labels {
                return Err(format!("rule {}: {counted:?}, not {expected:?}", rule.cookie));
            }
        }
        let sums = self.dpif.accounting();
        assert!(sums.holds(), "{sums:?}");
        Ok(())
    }
}

/// Table and cookie of a packet-in. Which rule speaks for the action set is not defined.
fn speaker(reason: PacketInReason, table: u8, cookie: u64) -> (u8, u64) {
    if reason == PacketInReason::ActionSet { (0, 0) } else { (table, cookie) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn list<T: AsRef<[u8]>>(by_port: &BTreeMap<OfPort, Vec<T>>) -> String {
    let mut text = String::new();
    for (port, frames) in by_port {
        for frame in frames {
            text += &format!("\n  {port}: {}", hex(frame.as_ref()));
        }
    }
    text
}

/// One random life of a switch.
fn run(seed: u64, options: &RuleOptions, n_frames: usize) -> Result<usize, String> {
    let world = World::new(N_PORTS);
    let mut rng = Rng::new(seed);
    let mut pair = Pair::new();
    for rule in world.rules(&mut rng, options) {
        pair.add(&rule);
    }
    pair.settle();
    let mut recent = Vec::new();
    let mut n_sent = 0;
    for n in 0..n_frames {
        if rng.one_in(12) {
            // A new rule above all others, or one less.
            if rng.one_in(2) {
                let mut rule = rng_rule(&world, &mut rng, options);
                rule.priority += 1000 + u16::try_from(n).expect("there are few frames") * 10;
                rule.cookie = 1000 + n as u64;
                pair.add(&rule);
            } else if !pair.oracle.rules().is_empty() {
                let victim = rng.below(pair.oracle.rules().len());
                let victim = pair.oracle.rules()[victim].clone();
                pair.remove(&victim);
            }
            pair.settle();
        }
        // Half of the frames were there before: they meet the caches.
        if recent.is_empty() || rng.one_in(2) {
            recent.push(world.arrival(&mut rng));
        }
        let (port, frame) = recent[rng.below(recent.len())].clone();
        let verdict = pair.receive(port, &frame).map_err(|error| {
            let tables: Vec<String> = (pair.oracle.rules().iter())
                .map(|rule| {
                    let (table, priority, does) =
                        (rule.table_id, rule.priority, &rule.instructions);
                    format!("{table} {priority} {}: {does:?}", rule.match_)
                })
                .collect();
            format!("seed {seed}, frame {n}: {error}\n{}", tables.join("\n"))
        })?;
        assert!(!verdict.is_ambiguous);
        n_sent += verdict.outputs.len();
        // Where a station is becomes known to the caches at the next round of the revalidator, also
        // when a packet told it that met a cached flow. Everything else holds at once.
        if options.normal {
            pair.advance();
        }
    }
    pair.check_counters(options.mpls).map_err(|error| format!("seed {seed}: {error}"))?;
    Ok(n_sent)
}

/// One random rule that is not a table-miss rule.
fn rng_rule(world: &World, rng: &mut Rng, options: &RuleOptions) -> Rule {
    let rules = world.rules(rng, &RuleOptions { n_rules: 1, ..*options });
    let rules: Vec<Rule> = rules.into_iter().filter(|rule| rule.priority > 0).collect();
    rules[rng.below(rules.len())].clone()
}

#[track_caller]
fn compare(seeds: core::ops::Range<u64>, options: &RuleOptions) {
    let n_seeds = usize::try_from(seeds.end - seeds.start).expect("there are few seeds");
    let mut n_sent = 0;
    for seed in seeds {
        match run(seed, options, 120) {
            Ok(n) => n_sent += n,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(n_sent > 50 * n_seeds, "only {n_sent} frames were sent: nothing was compared");
}

#[test]
fn one_table() {
    let options = RuleOptions { n_tables: 1, mpls: false, ..RuleOptions::default() };
    compare(0..60, &options);
}

#[test]
fn several_tables() {
    compare(1000..1060, &RuleOptions { mpls: false, ..RuleOptions::default() });
}

#[test]
fn labels_and_all() {
    compare(2000..2060, &RuleOptions::default());
}

#[test]
fn caches_are_right_at_every_instant() {
    compare(3000..3060, &RuleOptions { normal: false, ..RuleOptions::default() });
}

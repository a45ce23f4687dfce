//! Two polling cores in threads of their own, while the control core changes the tables without end:
//! no packet meets half of a change, none is lost without a count, none is doubled.

use flow::{Field, Flow, compose};
use netdev::fake::{Replay, ReplayHandle};
use ofproto::{Bundle, BundleOutcome, FailMode};
use openflow::text::parse_flow;
use openflow::{Dialect, FlowMod, FlowModCommand, Message, OfPort, Version};
use packet::{Pool, PoolConfig};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use switch::{Control, PortParts, Switch, SwitchParts, UpcallConfig, UpcallMode};
use sync::time::Nanos;

/// Longest time for all that came in to leave.
const PATIENCE: Duration = Duration::from_secs(120);
/// Changes made in one run.
const CHANGES: u32 = 60;
/// The two worlds: what table 0 marks packets with, and where table 1 sends them.
const WORLDS: [(u8, u32); 2] = [(4, 3), (8, 4)];

/// The flow-mods that turn one world into the other.
fn world(n: u32) -> [FlowMod; 2] {
    let (tos, port) = WORLDS[n as usize % 2];
    [
        add(&format!("table=0,priority=10,ip,actions=mod_nw_tos:{tos},resubmit(,1)")),
        add(&format!("table=1,priority=10,ip,actions=output:{port}")),
    ]
}

fn add(text: &str) -> FlowMod {
    parse_flow(text, FlowModCommand::Add).expect(text)
}

/// A frame that can be told from all others; every fourth one is of a flow of its own.
fn frame(id: u32) -> Vec<u8> {
    let mut flow = Flow::ZERO;
    flow.set(Field::EthSrc, 0x0200_0000_0000 + u128::from(id / 4));
    flow.set(Field::EthDst, 0x0200_0000_ffff);
    flow.set(Field::EthType, 0x0800);
    flow.set(Field::IpProto, 253);
    flow.set(Field::IpTtl, 64);
    let mut bytes = compose(&flow, 46);
    bytes[34..38].copy_from_slice(&id.to_be_bytes());
    bytes
}

fn clock(begun: Instant) -> Nanos {
    Nanos::from_secs(1) + Nanos::from_micros(u64::try_from(begun.elapsed().as_micros()).unwrap())
}

struct Run {
    control: Control,
    ports: Vec<ReplayHandle>,
    begun: Instant,
    n_sent: u32,
    seen: HashSet<u32>,
    /// Frames from this one on were sent when the world was in force that is.
    settled: Option<(u32, usize)>,
}

impl Run {
    fn now(&self) -> Nanos {
        clock(self.begun)
    }

    fn step(&mut self) {
        let now = self.now();
        self.control.poll(now);
        for port in 0..2 {
            if self.ports[port].waiting() < 64 {
                for _ in 0..4 {
                    assert!(self.ports[port].inject(&frame(self.n_sent)));
                    self.n_sent += 1;
                }
            }
        }
        self.look();
        thread::yield_now();
    }

    fn look(&mut self) {
        for (tos, port) in WORLDS {
            for bytes in self.ports[port as usize - 1].captured() {
                assert_eq!(bytes[15], tos, "marked by one world, sent by the other");
                let id = u32::from_be_bytes(bytes[34..38].try_into().unwrap());
                assert!(self.seen.insert(id), "frame {id} came twice");
                if let Some((first, world)) = self.settled
                    && id >= first
                {
                    assert_eq!(port, WORLDS[world].1, "an old conclusion after the barrier");
                }
            }
        }
    }

    /// Everything that was sent has come out or was counted.
    fn drain(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let now = self.now();
            self.control.poll(now);
            self.look();
            let sums = self.control.accounting();
            if sums.received == u64::from(self.n_sent) && sums.holds() {
                return;
            }
            thread::yield_now();
        }
        panic!("frames stay under way: {:?}", self.control.accounting());
    }
}

fn run(mode: UpcallMode) {
    let mut handles = Vec::new();
    let ports = (1..=4_u32).map(|k| {
        let name = format!("p{k}");
        let (netdev, handle) = Replay::new(&name, [2, 0, 0, 0, 0, 1], Vec::new());
        handles.push(handle);
        PortParts { name, of: OfPort(k), netdev: Box::new(netdev) }
    });
    let bridge = ofproto::BridgeConfig { fail_mode: FailMode::Secure, ..Default::default() };
    let upcalls = UpcallConfig { mode, rate: 100_000, burst: 32, ..UpcallConfig::default() };
    let parts = SwitchParts {
        bridge,
        listen: 6653,
        n_cores: 2,
        self_check_one_in: 16,
        upcalls,
        random: 0x1234_5678_9abc_def0,
        ..SwitchParts::new(ports.collect(), Pool::on_heap(PoolConfig { small: 16_384, jumbo: 64 }))
    };
    let begun = Instant::now();
    let Switch { control, pmds } = Switch::new(parts, Nanos::ZERO);
    let mut run =
        Run { control, ports: handles, begun, n_sent: 0, seen: HashSet::new(), settled: None };
    let now = run.now();
    run.control.configure(|bridge, _| {
        // Every source address is looked at.
        let other = add("table=0,priority=20,dl_src=06:00:00:00:00:01,actions=drop");
        for flow_mod in world(0).iter().chain([&other]) {
            bridge.flow_mod(flow_mod, Version::V13, now).unwrap();
        }
    });
    let stop = Arc::new(AtomicBool::new(false));
    let cores: Vec<_> = pmds
        .into_iter()
        .map(|mut pmd| {
            let stop = stop.clone();
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let now = clock(begun);
                    if !pmd.poll(now) {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();

    for n in 1..=CHANGES {
        let mut bundle = Bundle::new(Dialect::plain(Version::V13));
        for flow_mod in world(n) {
            let mut bytes = Vec::new();
            let message = Message::FlowMod(Box::new(flow_mod));
            Dialect::plain(Version::V13).encode(&message, 1, &mut bytes).unwrap();
            bundle.add(&bytes).unwrap();
        }
        run.settled = None;
        let now = run.now();
        run.control.configure(|bridge, dpif| bridge.commit_bundle(bundle, dpif, now));
        let outcome = loop {
            run.step();
            let outcome = run.control.configure(|bridge, _| bridge.take_bundle_outcome());
            if let Some((_, outcome)) = outcome {
                break outcome;
            }
        };
        assert!(matches!(outcome, BundleOutcome::Done { .. }), "{outcome:?}");
        if n % 3 == 0 {
            let ticket = run.control.configure(|bridge, _| bridge.sync_point());
            while !run.control.configure(|bridge, _| bridge.reached(ticket)) {
                run.step();
            }
            run.settled = Some((run.n_sent, n as usize % 2));
        }
        (0..20).for_each(|_| run.step());
    }
    run.drain();
    stop.store(true, Ordering::Relaxed);
    cores.into_iter().for_each(|core| core.join().unwrap());
    // What left between the last look and the last count.
    run.look();

    let sums = run.control.accounting();
    assert_eq!(run.seen.len() as u64 + sums.dropped, u64::from(run.n_sent), "{sums:?}");
    let mut drops: Vec<_> = Vec::new();
    for port in 1..=4 {
        drops.extend(run.control.port_stats(datapath::PortNo(port)).drops.iter());
    }
    // Only what a burst too many can cost, or a core that is stopped in the middle of a turn at a queue.
    let is_fair = |name: &str| {
        name.starts_with("upcall-") || name.ends_with("-ring-full") || name == "tx-contended"
    };
    assert!(drops.iter().all(|(reason, _)| is_fair(reason.name())), "{drops:?}");
    let stats = run.control.configure(|bridge, _| bridge.stats());
    assert_eq!(stats.self_check_failed, 0);
    match mode {
        UpcallMode::Thread => assert_eq!(stats.inline, 0),
        _ => assert!(stats.inline > 0),
    }
    // Each packet counts for one rule of table 0, but for those that were lost on their way to it.
    let now = run.now();
    let counted = run.control.configure(|bridge, _| {
        let tables = bridge.table_stats(now);
        tables.iter().find(|table| table.table_id == 0).unwrap().matched_count
    });
    let lost: u64 =
        drops.iter().filter(|(reason, _)| reason.name().starts_with("upcall-")).map(|d| d.1).sum();
    assert_eq!(counted + lost, u64::from(run.n_sent));
}

#[test]
fn no_packet_meets_half_of_a_change_in_callback_mode() {
    run(UpcallMode::Callback);
}

#[test]
fn no_packet_meets_half_of_a_change_in_thread_mode() {
    run(UpcallMode::Thread);
}

#[test]
fn no_packet_meets_half_of_a_change_within_a_budget() {
    run(UpcallMode::Budget);
}

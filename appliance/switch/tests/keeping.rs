//! The OpenFlow state outlives the switch: what controllers made of its bridges is there again, from the
//! first frame on, whether the end came by request or from nowhere.

mod disk;

use std::sync::{Arc, Mutex};

use disk::Disk;
use flow::text::NoNames;
use flow::{Field, Flow, compose};
use netdev::fake::{Replay, ReplayHandle};
use openflow::text::{parse_flow, parse_group, parse_meter};
use openflow::{FlowModCommand, GroupModCommand, MeterMod, MeterModCommand, OfPort, Version};
use ovsdb::store::{BlockDevice, PowerCut, SECTOR};
use packet::{Pool, PoolConfig};
use switch::{DatabaseParts, PortParts, SeedBridge, SeedPort, Seeding, Switch, SwitchParts};
use sync::time::Nanos;

/// 32 MiB, as disks of the launcher were at the least.
const SECTORS: usize = 65_536;
/// When the clocks of switches begin: late enough for what was before them to have a time.
const BEGIN: Nanos = Nanos::from_secs(70_000);

struct Bench {
    switch: Switch,
    ports: Vec<ReplayHandle>,
    now: Nanos,
}

impl Bench {
    /// A switch on such a disk, at so many milliseconds since 1970.
    fn new(disk: Option<&Disk>, wall_ms: u64, fail_mode: Option<&'static str>) -> Self {
        let mut handles = Vec::new();
        let ports = (1..=3).map(|k: u8| {
            let (netdev, handle) = Replay::new(&format!("nic{k}"), [2, 0, 0, 0, 0, k], Vec::new());
            handles.push(handle);
            let of = OfPort(k.into());
            PortParts { name: format!("p{k}"), of, netdev: Box::new(netdev) }
        });
        let seed_port =
            |k| SeedPort { name: format!("p{k}"), ofport_request: Some(k), device: None };
        let bridge = SeedBridge {
            name: "br0".into(),
            protocols: Vec::new(),
            fail_mode,
            controllers: Vec::new(),
            other_config: Default::default(),
            ports: (1..=3).map(seed_port).collect(),
        };
        let keeps = ("keep-openflow-state".to_string(), "true".to_string());
        let seed =
            Seeding { bridges: vec![bridge], other_config: [keeps].into(), ..Seeding::default() };
        let database = DatabaseParts {
            seed: Some(seed),
            disk: disk.map(|disk| Box::new(disk.clone()) as Box<dyn switch::Disk>),
            epoch_ms: wall_ms - BEGIN.as_millis(),
            ..DatabaseParts::default()
        };
        let parts = SwitchParts {
            self_check_one_in: 1,
            database,
            ..SwitchParts::new(
                ports.collect(),
                Pool::on_heap(PoolConfig { small: 4096, jumbo: 64 }),
            )
        };
        let switch = Switch::new(parts, BEGIN);
        Self { switch, ports: handles, now: BEGIN }
    }

    fn rounds(&mut self, n: usize, step: Nanos) {
        for _ in 0..n {
            self.now = self.now.saturating_add(step);
            self.switch.control.poll(self.now);
            for pmd in &mut self.switch.pmds {
                pmd.poll(self.now);
            }
        }
    }

    /// Lets time go by until what there is now is kept.
    fn rest(&mut self) {
        self.rounds(400, Nanos::from_millis(100));
    }

    fn flow(&mut self, text: &str) {
        let flow_mod = parse_flow(text, FlowModCommand::Add).unwrap();
        let now = self.now;
        self.switch.control.configure(|bridge, _| {
            bridge.flow_mod(&flow_mod, Version::V15, now).unwrap();
        });
    }

    fn group(&mut self, text: &str) {
        let group_mod = parse_group(text, GroupModCommand::Add, &NoNames).unwrap();
        let now = self.now;
        self.switch.control.configure(|bridge, _| {
            bridge.group_mod(&group_mod, Version::V15, now).unwrap();
        });
    }

    fn meter(&mut self, text: &str) {
        let config = parse_meter(text).unwrap();
        let meter_mod = MeterMod { command: MeterModCommand::Add, config };
        let now = self.now;
        self.switch.control.configure(|bridge, dpif| {
            bridge.meter_mod(&meter_mod, dpif, now).unwrap();
        });
    }

    fn clear(&mut self) {
        let flow_mod = parse_flow("", FlowModCommand::Delete).unwrap();
        let now = self.now;
        self.switch.control.configure(|bridge, _| {
            bridge.flow_mod(&flow_mod, Version::V13, now).unwrap();
        });
    }

    /// What controllers made of the bridge, without counts.
    fn state(&mut self) -> String {
        let now = self.now;
        self.switch.control.configure(|bridge, _| {
            let mut capture = bridge.begin_capture(now);
            assert!(bridge.capture(&mut capture, usize::MAX, now));
            let pieces = std::iter::from_fn(|| capture.next_piece());
            let mut lines: Vec<String> = pieces
                .map(|piece| match piece {
                    ofproto::Piece::Rule(rule) => format!("{:?}", rule.flow_mod),
                    other => format!("{other:?}"),
                })
                .collect();
            lines.sort();
            lines.join("\n")
        })
    }

    fn rule_ages(&mut self) -> Vec<(u16, u64)> {
        let now = self.now;
        self.switch.control.configure(|bridge, _| {
            let mut capture = bridge.begin_capture(now);
            assert!(bridge.capture(&mut capture, usize::MAX, now));
            let rules =
                std::iter::from_fn(|| capture.next_piece()).filter_map(|piece| match piece {
                    ofproto::Piece::Rule(rule) => {
                        Some((rule.flow_mod.priority, rule.unmodified.as_secs()))
                    }
                    _ => None,
                });
            let mut ages: Vec<_> = rules.collect();
            ages.sort_unstable();
            ages
        })
    }

    /// The ports that a frame from port 1 leaves by, sent before anything else happens.
    fn first_frame(&mut self) -> Vec<usize> {
        let mut flow = Flow::ZERO;
        flow.set(Field::EthSrc, 0x0200_0000_1001);
        flow.set(Field::EthDst, 0x0200_0000_1002);
        flow.set(Field::EthType, 0x800);
        flow.set(Field::IpProto, 17);
        assert!(self.ports[0].inject(&compose(&flow, 60)));
        self.rounds(700, Nanos::from_micros(10));
        let sums = self.switch.control.accounting();
        assert!(sums.holds(), "{sums:?}");
        let got = self.ports.iter().enumerate();
        let out = got.flat_map(|(k, port)| port.captured().into_iter().map(move |_| k + 1));
        out.collect()
    }
}

fn fill(bench: &mut Bench) {
    bench.clear();
    bench.meter("meter=1,pktps,burst,band=type=drop,rate=1000,burst_size=10");
    bench.group("group_id=5,type=all,bucket=actions=output:2,bucket=actions=output:3");
    bench.group("group_id=6,type=select,selection_method=dp_hash,bucket=bucket_id:9,weight:3,actions=group:5");
    bench.flow("table=0,priority=7,in_port=1,actions=meter:1,group:5");
    bench.flow("table=0,priority=9,hard_timeout=600,idle_timeout=900,cookie=0xffffffffffffffff,udp,tp_dst=7,actions=load:5->NXM_NX_REG0[0..7],resubmit(,3)");
    bench.flow("table=3,importance=4,send_flow_rem,in_port=77,actions=output:99");
    bench.flow("table=4,actions=mod_vlan_vid:5,strip_vlan,output:3");
    bench.flow("table=3,priority=1,conj_id=8,ip,actions=load:5->NXM_NX_REG1[],write_actions(output:3),goto_table:9");
}

const DAY: u64 = 1_750_000_000_000;

#[test]
fn what_controllers_made_is_there_again_before_the_first_frame() {
    let disk = Disk::new(SECTORS);
    let mut bench = Bench::new(Some(&disk), DAY, None);
    bench.rest();
    fill(&mut bench);
    let state = bench.state();
    bench.rest();
    drop(bench);
    disk.0.lock().unwrap().power_on(PowerCut::Lost);

    let mut bench = Bench::new(Some(&disk), DAY + 100_000, None);
    assert_eq!(bench.state(), state);
    assert_eq!(bench.first_frame(), [2, 3]);
    // What was lived before counts, and the time in between.
    let ages = bench.rule_ages();
    let aged = ages.iter().find(|(priority, _)| *priority == 9).unwrap().1;
    assert!((59..=61).contains(&aged), "{ages:?}");
    // It ends when it would have ended.
    bench.rounds(530, Nanos::from_secs(1));
    assert!(bench.rule_ages().iter().any(|(priority, _)| *priority == 9));
    bench.rounds(20, Nanos::from_secs(1));
    assert!(!bench.rule_ages().iter().any(|(priority, _)| *priority == 9));
    drop(bench);

    // What is over when the switch starts is not there at all.
    let mut bench = Bench::new(Some(&disk), DAY + 10_000_000, None);
    assert!(!bench.rule_ages().iter().any(|(priority, _)| *priority == 9));
    assert_eq!(bench.first_frame(), [2, 3]);
}

#[test]
fn a_bridge_whose_rules_are_gone_does_not_get_its_default_back() {
    let disk = Disk::new(SECTORS);
    let mut bench = Bench::new(Some(&disk), DAY, None);
    assert_eq!(bench.first_frame(), [2, 3]);
    bench.clear();
    bench.rest();
    drop(bench);
    let mut bench = Bench::new(Some(&disk), DAY, None);
    assert_eq!(bench.state(), "");
    assert!(bench.first_frame().is_empty());
}

#[test]
fn a_switch_that_ends_by_request_has_kept_everything() {
    let disk = Disk::new(SECTORS);
    let mut bench = Bench::new(Some(&disk), DAY, Some("secure"));
    bench.rest();
    fill(&mut bench);
    let state = bench.state();
    // No time goes by.
    bench.switch.control.ask_for_end();
    bench.rounds(1, Nanos::ZERO);
    assert!(bench.switch.control.wants_exit());
    drop(bench);
    disk.0.lock().unwrap().power_on(PowerCut::Lost);
    let mut bench = Bench::new(Some(&disk), DAY, Some("secure"));
    assert_eq!(bench.state(), state);
}

/// At each write of a picture the power goes: the switch starts with the picture before or with this one.
#[test]
fn a_power_cut_leaves_one_picture_or_the_other() {
    let disk = Disk::new(SECTORS);
    let mut bench = Bench::new(Some(&disk), DAY, Some("secure"));
    fill(&mut bench);
    let old = bench.state();
    bench.rest();
    let before = disk.0.lock().unwrap().clone();
    bench.clear();
    bench.flow("priority=3,in_port=1,actions=output:3");
    let new = bench.state();
    drop(bench);
    let mut n_new = 0;
    for step in 0..7 {
        let disk = Disk(Arc::new(Mutex::new(before.clone())));
        let mut bench = Bench::new(Some(&disk), DAY, Some("secure"));
        assert_eq!(bench.state(), old);
        bench.clear();
        bench.group("group_id=99,type=all,bucket=actions=output:2");
        bench.flow("priority=3,in_port=1,actions=output:3");
        let new = bench.state();
        let n_steps = disk.0.lock().unwrap().n_steps();
        disk.0.lock().unwrap().cut_at(n_steps + step);
        bench.switch.control.ask_for_end();
        bench.rounds(1, Nanos::ZERO);
        drop(bench);
        disk.0.lock().unwrap().power_on(PowerCut::Torn(step));
        let found = Bench::new(Some(&disk), DAY, Some("secure")).state();
        assert!(found == old || found == new, "step {step}: {found}");
        n_new += usize::from(found == new);
    }
    assert!(n_new > 0 && n_new < 7, "{n_new}");
    assert_ne!(old, new);
}

#[test]
fn what_does_not_fit_is_passed_over() {
    let disk = Disk::new(SECTORS);
    let mut bench = Bench::new(Some(&disk), DAY, None);
    fill(&mut bench);
    bench.rest();
    drop(bench);
    // Some byte of each of the first sectors behind the heads of either half is turned over.
    for sector in SECTORS / 2..SECTORS {
        let mut bytes = [0; SECTOR];
        let mut device = disk.0.lock().unwrap();
        device.read(sector as u64, &mut bytes).unwrap();
        if bytes != [0; SECTOR] && !bytes.starts_with(b"USWKEEP") {
            bytes[5] ^= 0x10;
            device.write(sector as u64, &bytes).unwrap();
        }
    }
    let mut bench = Bench::new(Some(&disk), DAY, None);
    // It is a learning bridge, as one that never kept anything.
    assert_eq!(bench.first_frame(), [2, 3]);
    assert!(bench.state().contains("NORMAL") || bench.state().lines().count() == 1);
    bench.rest();
    // And keeps what it is from then on.
    let state = bench.state();
    drop(bench);
    assert_eq!(Bench::new(Some(&disk), DAY, None).state(), state);
}

#[test]
fn without_a_disk_or_room_on_it_the_switch_runs_all_the_same() {
    for disk in [None, Some(Disk::new(1_000))] {
        let mut bench = Bench::new(disk.as_ref(), DAY, None);
        fill(&mut bench);
        bench.rest();
        assert_eq!(bench.first_frame(), [2, 3]);
        bench.switch.control.ask_for_end();
        bench.rounds(2, Nanos::ZERO);
        assert!(bench.switch.control.wants_exit());
    }
}

/// Rules come without rest while pictures are taken; each picture is of one instant.
#[test]
fn a_picture_is_of_one_instant() {
    let disk = Disk::new(SECTORS);
    let mut bench = Bench::new(Some(&disk), DAY, Some("secure"));
    // Two rules of different tables that change together, in one bundle each time.
    for k in 0..3_000_u32 {
        let mut bundle = ofproto::Bundle::new(openflow::Dialect::plain(Version::V15));
        for table in [0, 200] {
            let text = format!("table={table},priority=5,cookie={k},actions=drop");
            let flow_mod = parse_flow(&text, FlowModCommand::Add).unwrap();
            let mut bytes = Vec::new();
            let message = openflow::Message::FlowMod(flow_mod.into());
            message.encode(Version::V15, 1, &mut bytes).unwrap();
            bundle.add(&bytes).unwrap();
        }
        let now = bench.now;
        bench.switch.control.configure(|bridge, dpif| bridge.commit_bundle(bundle, dpif, now));
        bench.rounds(1, Nanos::from_millis(50));
        if k % 100 == 99 {
            let mut copy = disk.0.lock().unwrap().clone();
            copy.power_on(PowerCut::Torn(k.into()));
            let copy = Disk(Arc::new(Mutex::new(copy)));
            let mut other = Bench::new(Some(&copy), DAY, Some("secure"));
            let state = other.state();
            let cookies: Vec<&str> = state
                .lines()
                .map(|line| line.split_once("new_cookie: ").unwrap().1.split_once(',').unwrap().0)
                .collect();
            assert!(cookies.windows(2).all(|pair| pair[0] == pair[1]), "{cookies:?}");
            // Pictures are taken in spite of the haste.
            assert!(k < 1_000 || cookies.len() == 2, "{k}: {cookies:?}");
        }
    }
}

//! A switch that begins with a seed forwards before its database is there, and the database, when it
//! comes, changes nothing: no frame is lost, no port renumbered, no cached flow judged anew in vain.

mod disk;

use disk::Disk;
use flow::{Field, Flow, compose};
use netdev::Netdev;
use netdev::fake::{Replay, ReplayHandle};
use packet::{Pool, PoolConfig};
use seed::{BootConfig, FailMode, NicMatch, PortSeed};
use switch::{DatabaseParts, Machine, Switch, SwitchParts, takes_large_frames};
use sync::time::Nanos;

fn begun(config: &BootConfig) -> (Switch, Vec<ReplayHandle>) {
    begun_with(config, DatabaseParts::default())
}

fn begun_with(config: &BootConfig, database: DatabaseParts) -> (Switch, Vec<ReplayHandle>) {
    let mut handles = Vec::new();
    let nics = (1..=3).map(|k| -> Box<dyn Netdev> {
        let (netdev, handle) = Replay::new(&format!("nic{k}"), [2, 0, 0, 0, 0, k], Vec::new());
        handles.push(handle);
        Box::new(netdev)
    });
    let machine = Machine {
        nics: nics.collect(),
        channels: Vec::new(),
        pool: Pool::on_heap(PoolConfig { small: 4096, jumbo: 64 }),
        n_cores: 1,
        database,
        random: 7,
        memory: || (0, 64 << 20),
        cycles: || 0,
    };
    let parts = SwitchParts::from_seed(config, machine).expect("NICs are there");
    (Switch::new(parts, Nanos::ZERO), handles)
}

/// A frame from station `from` to station `to`.
fn frame(from: u8, to: u8) -> Vec<u8> {
    let mut flow = Flow::ZERO;
    flow.set(Field::EthSrc, u128::from(0x0200_0000_1000_u64 + u64::from(from)));
    flow.set(Field::EthDst, u128::from(0x0200_0000_1000_u64 + u64::from(to)));
    flow.set(Field::EthType, 0x88b5);
    compose(&flow, 64)
}

/// A name and a number.
type Numbered = (String, Option<u16>);

/// The bridges that the database wants, and their ports.
fn names(switch: &Switch, now: Nanos) -> Vec<(String, Vec<Numbered>)> {
    let bridges = switch.control.status(now).bridges.into_iter();
    let ports = |port: agent::bridge_config::InterfaceApplied| (port.name, port.ofport);
    bridges.map(|of| (of.name, of.interfaces.into_iter().map(ports).collect())).collect()
}

#[test]
fn frames_pass_before_and_while_the_database_comes() {
    let config = BootConfig {
        bridge: "lan".into(),
        management: None,
        datapath_id: Some(0xab),
        mac_age_s: 100,
        ports: vec![
            PortSeed { nic: NicMatch::Index(1), name: "up".into(), ofport: Some(9) },
            PortSeed { nic: NicMatch::Index(0), name: "vm".into(), ofport: None },
        ],
        other_config: vec![("max-idle".into(), "20000".into())],
        ..BootConfig::default()
    };
    let (mut switch, ports) = begun(&config);
    let mut n_sent = 0;
    let mut first = None;
    // 100 ms in which both stations speak without a pause.
    for k in 0..2_000_u64 {
        let now = Nanos::from_micros(50 * k);
        if k % 4 == 0 {
            assert!(ports[1].inject(&frame(1, 2)) && ports[0].inject(&frame(2, 1)));
            n_sent += 1;
        }
        switch.control.poll(now);
        switch.pmds.iter_mut().for_each(|pmd| {
            pmd.poll(now);
        });
        if k == 20 {
            assert_eq!(names(&switch, now), [], "the database is not there yet");
            assert!(switch.control.accounting().transmitted > 0, "and frames pass");
        }
        if first.is_none() && !names(&switch, now).is_empty() {
            first = Some(k);
        }
    }
    let now = Nanos::from_millis(100);
    let port = |name: &str, number| (name.to_string(), Some(number));
    let want = vec![port("lan", 0xfffe), port("up", 9), port("vm", 1)];
    assert_eq!(names(&switch, now), [("lan".to_string(), want)]);
    assert!(first.is_some_and(|k| k >= 200), "10 ms after the first round: {first:?}");
    let status = switch.control.status(now);
    assert!(status.is_settled && status.refused.is_empty(), "{status:?}");
    assert_eq!(status.bridges[0].datapath_id, 0xab);
    assert_eq!((ports[0].captured().len(), ports[1].captured().len()), (n_sent, n_sent));
    let sums = switch.control.accounting();
    assert!(sums.holds() && sums.dropped == 0, "{sums:?}");
}

#[test]
fn what_only_the_database_knows_is_in_force_from_the_first_frame_on() {
    let config = BootConfig {
        management: None,
        vsctl: "add-br lan -- add-port lan nic1 tag=5 -- add-port lan nic2 tag=6 \
                -- add-port lan nic3 tag=5"
            .into(),
        ..BootConfig::default()
    };
    let (mut switch, ports) = begun(&config);
    assert!(ports[0].inject(&frame(1, 2)));
    for k in 0..700_u64 {
        let now = Nanos::from_micros(10 * k);
        switch.control.poll(now);
        switch.pmds.iter_mut().for_each(|pmd| {
            pmd.poll(now);
        });
    }
    let got: Vec<usize> = ports.iter().map(|port| port.captured().len()).collect();
    assert_eq!(got, [0, 0, 1]);
}

#[test]
fn secure_stays_secure() {
    let config =
        BootConfig { management: None, fail_mode: FailMode::Secure, ..BootConfig::default() };
    let (mut switch, ports) = begun(&config);
    for k in 0..2_000_u64 {
        let now = Nanos::from_micros(50 * k);
        if k % 8 == 0 {
            assert!(ports[0].inject(&frame(1, 2)));
        }
        switch.control.poll(now);
        switch.pmds.iter_mut().for_each(|pmd| {
            pmd.poll(now);
        });
    }
    assert!(!names(&switch, Nanos::from_millis(100)).is_empty(), "the database is there");
    assert_eq!(switch.control.accounting().transmitted, 0);
}

/// Who decides before devices are opened: the disk, else the statements for a new database, else the word.
#[test]
fn what_devices_are_opened_for() {
    const KEY: &str = "userspace-tso-enable";
    let config = |word: Option<&str>, statement: Option<&str>| BootConfig {
        management: None,
        other_config: word.map(|value| (KEY.into(), value.into())).into_iter().collect(),
        vsctl: statement.map_or(String::new(), |value| {
            format!("add-br br0 -- set Open_vSwitch . other_config:{KEY}={value}")
        }),
        ..BootConfig::default()
    };
    let on_disk = |said: Option<&str>| {
        let disk = Disk::new(4_000);
        let parts =
            || DatabaseParts { disk: Some(Box::new(disk.clone())), ..DatabaseParts::default() };
        if said.is_some() {
            let mut database = parts();
            database.read(64 << 20, 7, Nanos::ZERO);
            let (switch, _) = begun_with(&config(None, said), database);
            drop(switch);
        }
        let mut database = parts();
        assert_eq!(database.setting(KEY), None, "not read yet");
        database.read(64 << 20, 7, Nanos::ZERO);
        database
    };
    for (word, statement, disk, takes) in [
        (None, None, None, false),
        (Some("true"), None, None, true),
        (Some("no"), None, None, false),
        (None, Some("true"), None, true),
        (Some("true"), Some("false"), None, false),
        (None, None, Some("true"), true),
        (Some("true"), None, Some("false"), false),
        (None, Some("true"), Some("false"), false),
    ] {
        let database = on_disk(disk);
        let config = config(word, statement);
        assert_eq!(
            takes_large_frames(&config, &database),
            takes,
            "{word:?} {statement:?} {disk:?}"
        );
        // And the switch begins with what was read.
        let (switch, _) = begun_with(&config, database);
        assert!(!names(&switch, Nanos::ZERO).is_empty());
    }
}

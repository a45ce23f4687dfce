//! Bursts and broken devices: what waits, what is lost, and what comes back.

use flow::{Field, Flow, compose};
use netdev::fake::{Fault, FaultPlan, Replay, ReplayHandle};
use netdev::{LinkState, Netdev, NetdevInfo, OpenError, QueuePair};
use openflow::OfPort;
use packet::{Pool, PoolConfig};
use std::sync::{Arc, Mutex};
use switch::mgmt::Address;
use switch::{ByteChannel, PortParts, Switch, SwitchParts};
use sync::time::Nanos;

fn parts(n_cores: usize, n_ports: u32) -> (SwitchParts, Vec<ReplayHandle>) {
    let mut handles = Vec::new();
    let ports = (1..=n_ports).map(|k| {
        let name = format!("p{k}");
        let (netdev, handle) = Replay::new(&name, [2, 0, 0, 0, 0, 1], Vec::new());
        handles.push(handle);
        PortParts { name, of: OfPort(k), netdev: Box::new(netdev) }
    });
    let parts = SwitchParts {
        listen: 6653,
        n_cores,
        self_check_one_in: 0,
        random: 0x1234_5678_9abc_def0,
        ..SwitchParts::new(ports.collect(), Pool::on_heap(PoolConfig { small: 8192, jumbo: 64 }))
    };
    (parts, handles)
}

/// Rounds of all bodies for so many steps of 10 µs.
fn run(switch: &mut Switch, now: &mut Nanos, n_rounds: usize) {
    for _ in 0..n_rounds {
        *now = now.saturating_add(Nanos::from_micros(10));
        for pmd in &mut switch.pmds {
            pmd.poll(*now);
        }
        switch.control.poll(*now);
    }
}

#[test]
fn a_burst_of_strangers_is_flooded_without_loss() {
    for n_cores in [1, 3] {
        let (parts, ports) = parts(n_cores, 16);
        let (mut switch, mut now) = (Switch::new(parts, Nanos::ZERO), Nanos::ZERO);
        run(&mut switch, &mut now, 10);
        for k in 0..60_u128 {
            let mut flow = Flow::ZERO;
            flow.set(Field::EthSrc, 0x0200_0000_1000 + k);
            flow.set(Field::EthDst, 0x0200_0000_2000 + k);
            flow.set(Field::EthType, 0x88b5);
            assert!(ports[0].inject(&compose(&flow, 64)));
        }
        run(&mut switch, &mut now, 2_000);
        let sums = switch.control.accounting();
        assert_eq!((sums.transmitted, sums.dropped), (60 * 15, 0), "{n_cores} cores: {sums:?}");
        assert!(sums.holds(), "{sums:?}");
    }
}

/// A netdev that does not open at the first time, nor at the third.
#[derive(Debug)]
struct Stubborn {
    inner: Replay,
    n_opens: u32,
}

impl Netdev for Stubborn {
    fn info(&self) -> &NetdevInfo {
        self.inner.info()
    }

    fn open(&mut self, n: u16, pool: &Arc<Pool>) -> Result<Vec<QueuePair>, OpenError> {
        self.n_opens += 1;
        let refuses = matches!(self.n_opens, 1 | 3);
        if refuses { Err(OpenError::NoBuffers) } else { self.inner.open(n, pool) }
    }

    fn link(&mut self) -> LinkState {
        self.inner.link()
    }

    fn stop(&mut self) -> Result<(), OpenError> {
        self.inner.stop()
    }

    fn reset(&mut self, returned: Vec<QueuePair>) -> Result<(), OpenError> {
        self.inner.reset(returned)
    }
}

#[test]
fn a_management_nic_that_does_not_open_at_once_is_tried_again() {
    let (inner, nic) = Replay::new("mgmt", [2, 0, 0, 0, 0, 1], Vec::new());
    let plan = FaultPlan { rx_fault_after: Some(1), ..FaultPlan::default() };
    let netdev = Fault::new(Box::new(Stubborn { inner, n_opens: 0 }), plan);
    let address = Address::Static { address: [10, 0, 0, 1].into(), prefix_len: 24, gateway: None };
    let (mut parts, _ports) = parts(1, 1);
    parts.management = Some((Box::new(netdev), address));
    let (mut switch, mut now) = (Switch::new(parts, Nanos::ZERO), Nanos::ZERO);
    let arp = [
        &[0xff; 6][..],
        &[2, 0, 0, 0, 0, 9],
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
        &[2, 0, 0, 0, 0, 9, 10, 0, 0, 2],
        &[0, 0, 0, 0, 0, 0, 10, 0, 0, 1],
    ]
    .concat();
    run(&mut switch, &mut now, 10);
    now = now.saturating_add(Nanos::from_millis(1_100));
    run(&mut switch, &mut now, 10);
    for attempt in 0..3 {
        let _ = nic.captured();
        assert!(nic.inject(&arp));
        run(&mut switch, &mut now, 100);
        let answers = nic.captured();
        let is_arp = |frame: &&Vec<u8>| frame[12..14] == [8, 6];
        assert_eq!(answers.iter().filter(is_arp).count(), 1, "attempt {attempt}");
        for _ in 0..3 {
            now = now.saturating_add(Nanos::from_millis(1_100));
            run(&mut switch, &mut now, 10);
        }
    }
}

/// A console: what is to be read, what was written.
#[derive(Clone, Debug, Default)]
struct Console(Arc<Mutex<(Vec<u8>, Vec<u8>)>>);

impl ByteChannel for Console {
    fn read(&mut self, into: &mut [u8]) -> usize {
        let input = &mut self.0.lock().expect("whole").0;
        let n = input.len().min(into.len());
        into[..n].copy_from_slice(&input.drain(..n).collect::<Vec<_>>());
        n
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(100);
        self.0.lock().expect("whole").1.extend_from_slice(&bytes[..n]);
        n
    }
}

impl Console {
    fn say(&self, text: &str) {
        self.0.lock().expect("whole").0.extend_from_slice(text.as_bytes());
    }

    fn heard(&self) -> String {
        let heard = core::mem::take(&mut self.0.lock().expect("whole").1);
        String::from_utf8(heard).expect("text")
    }
}

#[test]
fn a_client_that_went_in_the_middle_of_a_request_does_not_jam_the_console() {
    let console = Console::default();
    let (mut parts, _ports) = parts(1, 1);
    parts.channels.push(Box::new(console.clone()));
    let (mut switch, mut now) = (Switch::new(parts, Nanos::ZERO), Nanos::ZERO);
    console.say(r#"{"id":0,"method":"ver"#);
    run(&mut switch, &mut now, 10);
    // The rounds go on while nobody writes.
    for _ in 0..30 {
        now = now.saturating_add(Nanos::from_millis(100));
        run(&mut switch, &mut now, 1);
    }
    console.say(&r#"{"id":1,"method":"version","params":[]}"#.repeat(3));
    run(&mut switch, &mut now, 100);
    assert_eq!(console.heard().matches("\"result\":\"uniswitch").count(), 3);
    console.say(r#"{"id":2,"method":"uniswitch/telemetry","params":[]}"#);
    run(&mut switch, &mut now, 1_000);
    let report = console.heard();
    assert!(report.starts_with('{') && report.ends_with('}') && report.len() > 200, "{report}");
}

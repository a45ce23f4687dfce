//! A switch to which nothing comes is polled when it says, and no more: nothing is late by that, and there
//! are few rounds.

use netdev::fake::Replay;
use ofproto::FailMode;
use openflow::{FlowModCommand, OfPort, Version};
use packet::{Pool, PoolConfig};
use switch::{PortParts, Switch, SwitchParts};
use sync::time::Nanos;

/// As `pmd-sleep-max` is by default.
const LONGEST: Nanos = Nanos::from_millis(100);

struct Resting {
    switch: Switch,
    now: Nanos,
    n_rests: u32,
}

impl Resting {
    fn new(flows: &[&str]) -> Self {
        let (netdev, _) = Replay::new("p1", [2, 0, 0, 0, 0, 1], Vec::new());
        let port = PortParts { name: "p1".to_string(), of: OfPort(1), netdev: Box::new(netdev) };
        let parts = SwitchParts {
            bridge: ofproto::BridgeConfig { fail_mode: FailMode::Secure, ..Default::default() },
            self_check_one_in: 0,
            ..SwitchParts::new(vec![port], Pool::on_heap(PoolConfig { small: 1_024, jumbo: 16 }))
        };
        let mut switch = Switch::new(parts, Nanos::ZERO);
        for text in flows {
            let flow_mod = openflow::text::parse_flow(text, FlowModCommand::Add).expect(text);
            let change = |bridge: &mut ofproto::Bridge| {
                bridge.flow_mod(&flow_mod, Version::V13, Nanos::ZERO)
            };
            assert_eq!(switch.control.configure(|bridge, _| change(bridge)), Ok(()), "{text}");
        }
        Self { switch, now: Nanos::ZERO, n_rests: 0 }
    }

    /// One round of everybody; whether there was anything to do.
    fn round(&mut self) -> bool {
        let Switch { control, pmds } = &mut self.switch;
        let polled = pmds.iter_mut().fold(false, |any, pmd| pmd.poll(self.now) | any);
        control.poll(self.now) | polled
    }

    /// Rounds until there have been two in a row with nothing to do, then a rest.
    fn rest(&mut self) {
        let mut n_quiet = 0;
        for _ in 0..10_000 {
            n_quiet = if self.round() { 0 } else { n_quiet + 1 };
            if n_quiet == 2 {
                let Switch { control, pmds } = &mut self.switch;
                let own = pmds.iter().map(|pmd| pmd.next_deadline(self.now)).min();
                let due = control.next_deadline(self.now).min(own.expect("a core"));
                assert!(due > self.now, "{due:?} is not behind {:?}", self.now);
                self.now = due.min(self.now.saturating_add(LONGEST));
                self.n_rests += 1;
                return;
            }
        }
        panic!("there is always something to do");
    }

    fn n_rules(&mut self) -> usize {
        self.switch.control.configure(|bridge, _| {
            bridge.state().tables.iter().map(|(_, table)| table.n_rules()).sum()
        })
    }
}

#[test]
fn an_idle_switch_rests_nearly_all_the_time() {
    let mut resting = Resting::new(&["actions=NORMAL"]);
    while resting.now < Nanos::from_secs(20) {
        resting.rest();
    }
    // Ten a second are those of the bound; links, rounds of the revalidator and status come on top.
    assert!(resting.n_rests < 20 * 30, "{} rests in 20 s", resting.n_rests);
}

#[test]
fn a_timeout_is_not_late_for_a_rest() {
    let mut resting = Resting::new(&["hard_timeout=3,actions=NORMAL"]);
    let mut last = Nanos::ZERO;
    for _ in 0..1_000 {
        if resting.n_rules() == 0 {
            break;
        }
        last = resting.now;
        resting.rest();
    }
    let due = Nanos::from_secs(3);
    assert_eq!(resting.n_rules(), 0);
    assert!((due..=due + Nanos::from_millis(1)).contains(&last), "it ended at {last:?}");
}

#[test]
fn what_a_core_has_not_heard_is_something_to_do() {
    let mut resting = Resting::new(&[]);
    resting.rest();
    // A change wants a round of the revalidator and a fence, which the core has not seen yet.
    let text = "priority=7,actions=drop";
    let flow_mod = openflow::text::parse_flow(text, FlowModCommand::Add).expect(text);
    let now = resting.now;
    let done =
        resting.switch.control.configure(|bridge, _| bridge.flow_mod(&flow_mod, Version::V13, now));
    assert_eq!(done, Ok(()));
    for _ in 0..1_000 {
        resting.now += Nanos::from_micros(10);
        if !resting.switch.control.poll(resting.now) {
            continue;
        }
        assert!(resting.switch.control.did_chores(), "nothing came");
        // The core has its turn, and obeys.
        let Switch { pmds, .. } = &mut resting.switch;
        if pmds[0].poll(resting.now) {
            assert!(pmds[0].did_chores(), "there were orders alone");
            return;
        }
    }
    panic!("the core was told nothing");
}

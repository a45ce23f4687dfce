//! The bridge over a datapath that lags: commands wait in a short ring and are refused when it is
//! full, as between cores (DESIGN §5). Nothing may depend on commands taking effect at once.

use crate::lab::{add, change, ether, everything, output};
use datapath::{
    Admit, CoreId, DpAction, Dpif, Fate, LocalDpif, Megaflow, PortNo, PortStats, PutError, Ufid,
    Upcall,
};
use flow::{EtherAddr, Flow};
use ofproto::{Bridge, BridgeConfig, BridgeEvent, FailMode, InlineTranslator, Link, PortSpec};
use openflow::{FlowMod, FlowModCommand, FlowModFlags, Instructions, OfPort, Version};
use packet::Packet;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use sync::time::Nanos;

enum Waiting {
    Put(Arc<Megaflow>),
    Modify(Ufid, Arc<[DpAction]>),
    Delete(Ufid),
    Fence(u64),
}

/// A datapath behind a ring.
pub(crate) struct Behind {
    pub(crate) inner: LocalDpif,
    ring: VecDeque<Waiting>,
    fence: u64,
    passed: u64,
}

const RING_LEN: usize = 4;

impl Behind {
    fn push(&mut self, command: Waiting) -> Result<(), PutError> {
        if self.ring.len() >= RING_LEN {
            return Err(PutError::QueueFull);
        }
        self.ring.push_back(command);
        Ok(())
    }

    /// The core takes up to `n` commands out of the ring.
    fn take(&mut self, n: usize) {
        for _ in 0..n {
            match self.ring.pop_front() {
                // A refusal shows in the megaflow's statistics.
                Some(Waiting::Put(flow)) => {
                    let _ = self.inner.flow_put(CoreId(0), flow);
                }
                Some(Waiting::Modify(ufid, actions)) => {
                    let _ = self.inner.flow_modify(CoreId(0), ufid, actions);
                }
                Some(Waiting::Delete(ufid)) => {
                    let _ = self.inner.flow_delete(CoreId(0), ufid);
                }
                Some(Waiting::Fence(fence)) => self.passed = fence,
                None => return,
            }
        }
    }
}

impl Dpif for Behind {
    fn flow_put(&mut self, _: CoreId, flow: Arc<Megaflow>) -> Result<(), PutError> {
        self.push(Waiting::Put(flow))
    }

    fn flow_modify(
        &mut self,
        _: CoreId,
        ufid: Ufid,
        actions: Arc<[DpAction]>,
    ) -> Result<(), PutError> {
        self.push(Waiting::Modify(ufid, actions))
    }

    fn flow_delete(&mut self, _: CoreId, ufid: Ufid) -> Result<(), PutError> {
        self.push(Waiting::Delete(ufid))
    }

    fn execute(&mut self, packet: Packet, flow: &Flow, actions: &Arc<[DpAction]>) {
        self.inner.execute(packet, flow, actions);
    }

    fn packet_from(&mut self, frame: &[u8]) -> Option<Packet> {
        self.inner.packet_from(frame)
    }

    fn fence(&mut self) -> u64 {
        self.fence += 1;
        // A fence always finds room: the real ring keeps some for it.
        self.ring.push_back(Waiting::Fence(self.fence));
        self.fence
    }

    fn fence_passed(&self, fence: u64) -> bool {
        self.passed >= fence
    }

    fn port_stats(&self, port: PortNo) -> PortStats {
        self.inner.port_stats(port)
    }

    fn admit_mask(&self, core: CoreId, port: PortNo, mask: &flow::Mask) -> flow::Mask {
        self.inner.admit_mask(core, port, mask)
    }

    fn configure(&mut self, config: &datapath::DatapathConfig) {
        self.inner.configure(config);
    }

    fn config(&self) -> datapath::DatapathConfig {
        self.inner.config()
    }

    fn meters(&self) -> &datapath::MeterTable {
        self.inner.meters()
    }
}

/// What happens next.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A frame of this station comes in.
    Frame(u8),
    /// The first waiting upcall is answered by the control core.
    Answer,
    /// The core answers the first waiting upcall itself, if it can; else the control core does.
    Inline,
    /// The core takes commands.
    Take(usize),
    /// The bridge runs.
    Run,
    /// Time goes on.
    Wait(u64),
    /// The rule of this station sends to this port from now on.
    Rule(u8, u32),
    /// The rule of this station goes.
    Delete(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..6_u8).prop_map(Event::Frame),
        4 => Just(Event::Answer),
        6 => Just(Event::Inline),
        6 => (0..4_usize).prop_map(Event::Take),
        6 => Just(Event::Run),
        1 => (1..6_000_u64).prop_map(Event::Wait),
        1 => (0..6_u8, 2..4_u32).prop_map(|(station, port)| Event::Rule(station, port)),
        1 => (0..6_u8).prop_map(Event::Delete),
    ]
}

pub(crate) struct World {
    pub(crate) bridge: Bridge,
    translator: InlineTranslator,
    pub(crate) dpif: Behind,
    pub(crate) now: Nanos,
    n_sent: u64,
    /// Packets of rules that are gone, as their removal was reported.
    n_removed: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        let now = Nanos::from_secs(1);
        let config = BridgeConfig { fail_mode: FailMode::Secure, ..BridgeConfig::default() };
        let mut bridge = Bridge::new(config, now);
        let mut inner = LocalDpif::new();
        inner.set_now(now);
        for number in 1..=3 {
            inner.add_port(PortNo(number));
            let spec = PortSpec {
                dp: Some(PortNo(number)),
                of: OfPort(number),
                name: format!("p{number}"),
                hw_addr: EtherAddr::ZERO,
                mtu: 1500,
                link: Link::UP,
            };
            bridge.add_port(spec, now).unwrap();
        }
        let dpif = Behind { inner, ring: VecDeque::new(), fence: 0, passed: 0 };
        // What no station's rule takes is counted too.
        let rest = FlowMod { flags: FlowModFlags::SEND_FLOW_REM, ..add(1, "") };
        bridge.flow_mod(&rest, Version::V13, now).unwrap();
        let translator = bridge.inline_translator(CoreId(0), RING_LEN);
        Self { bridge, translator, dpif, now, n_sent: 0, n_removed: 0 }
    }

    pub(crate) fn happen(&mut self, event: &Event) {
        match *event {
            Event::Frame(station) => {
                self.dpif.inner.receive(PortNo(1), &ether(station, 0x77));
                self.n_sent += 1;
            }
            Event::Answer => {
                if let Some(upcall) = self.dpif.inner.next_upcall() {
                    self.bridge.handle_upcall(upcall, &mut self.dpif, self.now);
                }
            }
            Event::Inline => self.answer_inline(),
            Event::Take(n) => self.dpif.take(n),
            Event::Run => {
                self.bridge.run(&mut self.dpif, self.now);
            }
            Event::Wait(millis) => {
                self.now += Nanos::from_millis(millis);
                self.dpif.inner.set_now(self.now);
            }
            Event::Rule(station, port) => {
                let flow_mod = FlowMod {
                    flags: FlowModFlags::SEND_FLOW_REM,
                    instructions: Instructions::apply(vec![output(port)]),
                    ..add(10, &format!("dl_src=02:00:00:00:00:{station:02x}"))
                };
                self.bridge.flow_mod(&flow_mod, Version::V13, self.now).unwrap();
            }
            Event::Delete(station) => {
                let match_ = format!("dl_src=02:00:00:00:00:{station:02x}");
                let flow_mod = change(FlowModCommand::Delete, &match_);
                self.bridge.flow_mod(&flow_mod, Version::V13, self.now).unwrap();
            }
        }
        for event in self.bridge.take_events() {
            if let BridgeEvent::FlowRemoved(removed) = event {
                self.n_removed += removed.packet_count;
            }
        }
        let bound =
            RING_LEN + 2 * self.dpif.ring.iter().filter(|c| matches!(c, Waiting::Fence(_))).count();
        assert!(self.dpif.ring.len() <= bound);
    }

    fn answer_inline(&mut self) {
        let Some(upcall) = self.dpif.inner.next_upcall() else { return };
        let Self { translator, now, .. } = self;
        let translate = |upcall: &Upcall, admit: Admit<'_>| {
            translator.answer(&upcall.flow, upcall.packet.len() as u64, admit, *now)
        };
        if let Err((upcall, _)) = self.dpif.inner.answer(upcall, translate) {
            self.bridge.handle_upcall(upcall, &mut self.dpif, self.now);
        }
    }

    /// Answers and takes everything, until all that was changed is in force.
    pub(crate) fn settle(&mut self) {
        let ticket = self.bridge.sync_point();
        for _ in 0..10_000 {
            for event in [Event::Answer, Event::Take(1), Event::Run] {
                self.happen(&event);
            }
            let is_quiet =
                self.dpif.ring.is_empty() && self.dpif.inner.accounting().in_flight() == 0;
            if self.bridge.reached(ticket) && is_quiet {
                return;
            }
        }
        panic!("the bridge does not come to rest");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_lagging_datapath_loses_and_doubles_nothing(events in proptest::collection::vec(event(), 1..300)) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
        }
        world.settle();
        // Each packet counts for one rule, there or gone.
        let rules = world.bridge.flow_stats(&everything(), world.now).unwrap();
        let counted: u64 = rules.iter().map(|rule| rule.stats().packets()).sum();
        prop_assert_eq!(counted + world.n_removed, world.n_sent);
        prop_assert!(world.dpif.inner.accounting().holds());
        prop_assert_eq!(world.bridge.revalidator().stats().illegal_transitions, 0);
        // Ukeys of megaflows that are not there are forgotten in the next round.
        let ukeys = world.bridge.ukeys().iter();
        let n_there = ukeys.filter(|ukey| ukey.megaflow.stats.fate() == Fate::Installed).count();
        prop_assert_eq!(n_there, world.dpif.inner.pmd().n_megaflows());
        // And what is cached is what the rules say.
        world.dpif.inner.take_transmitted();
        for station in 0..6 {
            let mac = EtherAddr([2, 0, 0, 0, 0, station]);
            let rule = rules.iter().find(|rule| {
                rule.priority == 10 && rule.match_.expand().flow().eth_src() == mac
            });
            let expected: Vec<PortNo> = rule
                .map(|rule| match rule.instructions.apply[..] {
                    [openflow::Action::Output { port, .. }] => PortNo(port.0),
                    _ => unreachable!(),
                })
                .into_iter()
                .collect();
            world.happen(&Event::Frame(station));
            world.settle();
            let sent = world.dpif.inner.take_transmitted();
            let ports: Vec<PortNo> = sent.iter().map(|(port, _)| *port).collect();
            prop_assert_eq!(ports, expected);
        }
    }
}

//! The laboratory: a bridge, a datapath, a clock.

use datapath::{Admit, CoreId, DropReason, LocalDpif, PortNo, Upcall, UpcallReason};
use flow::text::{NoNames, parse_flow, parse_match};
use flow::{EtherAddr, Flow, compose};
use ofproto::{Bridge, BridgeConfig, BridgeEvent, InlineTranslator, Link, PortSpec, Rule};
use openflow::{
    Action, FlowMod, FlowModCommand, FlowStatsRequest, Instructions, OfErrorKind, OfPort, Version,
};
use std::sync::Arc;
use sync::time::Nanos;

/// Datapath numbers differ from OpenFlow's by this much, so that a mix-up shows.
pub(crate) const DP_OFFSET: u32 = 100;

/// Where misses are answered (ovs-facts D1, D2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// By the control core.
    Thread,
    /// On the core where they occur, as far as it can.
    Inline,
}

pub(crate) struct Lab {
    pub(crate) translator: Option<InlineTranslator>,
    pub(crate) bridge: Bridge,
    pub(crate) dpif: LocalDpif,
    pub(crate) now: Nanos,
}

/// Conclusions that may wait.
const CONCLUSIONS: usize = 64;

/// A frame that left, and the OpenFlow number of its port.
pub(crate) type Sent = (u32, Vec<u8>);

impl Lab {
    /// A secure bridge (no rules) with ports 1 to `n_ports`.
    pub(crate) fn secure(n_ports: u32) -> Lab {
        let fail_mode = ofproto::FailMode::Secure;
        Lab::with(BridgeConfig { fail_mode, ..BridgeConfig::default() }, n_ports)
    }

    /// A standalone bridge with ports 1 to `n_ports`.
    pub(crate) fn standalone(n_ports: u32) -> Lab {
        Lab::with(BridgeConfig::default(), n_ports)
    }

    pub(crate) fn with(config: BridgeConfig, n_ports: u32) -> Lab {
        let now = Nanos::from_secs(1);
        Lab::in_mode(crate::MODE, config, n_ports, now)
    }

    pub(crate) fn in_mode(mode: Mode, config: BridgeConfig, n_ports: u32, now: Nanos) -> Lab {
        let mut bridge = Bridge::new(config, now);
        let translator =
            (mode == Mode::Inline).then(|| bridge.inline_translator(CoreId(0), CONCLUSIONS));
        let mut lab = Lab { translator, bridge, dpif: LocalDpif::new(), now };
        lab.dpif.set_now(now);
        for number in 1..=n_ports {
            lab.add_port(number);
        }
        lab.settle();
        lab.bridge.take_events().for_each(drop);
        lab
    }

    pub(crate) fn add_port(&mut self, number: u32) {
        let dp = PortNo(number + DP_OFFSET);
        self.dpif.add_port(dp);
        let spec = PortSpec {
            dp: Some(dp),
            of: OfPort(number),
            name: format!("p{number}"),
            hw_addr: EtherAddr([0x02, 0xaa, 0, 0, 0, u8::try_from(number).unwrap()]),
            mtu: 1500,
            link: Link::UP,
        };
        self.bridge.add_port(spec, self.now).unwrap();
    }

    pub(crate) fn flow_mod(&mut self, flow_mod: &FlowMod) -> Result<(), OfErrorKind> {
        self.bridge.flow_mod(flow_mod, Version::V13, self.now)
    }

    /// Adds a rule to table 0.
    pub(crate) fn commit(&mut self, bundle: ofproto::Bundle) -> ofproto::BundleId {
        self.bridge.commit_bundle(bundle, &mut self.dpif, self.now)
    }

    pub(crate) fn rule(&mut self, priority: u16, match_: &str, actions: Vec<Action>) {
        self.rule_in(0, priority, match_, Instructions::apply(actions));
    }

    pub(crate) fn rule_in(&mut self, table: u8, priority: u16, match_: &str, does: Instructions) {
        let flow_mod = FlowMod { table_id: table, instructions: does, ..add(priority, match_) };
        self.flow_mod(&flow_mod).unwrap();
    }

    /// Lets the clock go on, with the bridge at work every 100 ms.
    pub(crate) fn advance(&mut self, interval: Nanos) {
        let end = self.now + interval;
        while self.now < end {
            self.now = (self.now + Nanos::from_millis(100)).min(end);
            self.dpif.set_now(self.now);
            self.settle();
        }
    }

    /// Lets the bridge work until it has nothing to do at this moment.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1000 {
            self.pump();
            let next = self.bridge.run(&mut self.dpif, self.now);
            // What cached traffic taught just then is to be in force as well.
            if next > self.now && self.bridge.reached(self.bridge.sync_point()) {
                return;
            }
        }
        panic!("the bridge does not come to rest");
    }

    /// Answers upcalls until there are none.
    pub(crate) fn pump(&mut self) {
        for _ in 0..10_000 {
            let Some(upcall) = self.dpif.next_upcall() else { return };
            if let Some(upcall) = self.answer_inline(upcall) {
                self.bridge.handle_upcall(upcall, &mut self.dpif, self.now);
            }
            self.bridge.take_conclusions(self.now);
        }
        panic!("upcalls cause upcalls without end");
    }

    /// Answers a miss on its core, if that can; else gives it back.
    pub(crate) fn answer_inline(&mut self, upcall: Upcall) -> Option<Upcall> {
        let (true, Some(translator)) = (upcall.reason == UpcallReason::Miss, &mut self.translator)
        else {
            return Some(upcall);
        };
        let now = self.now;
        let translate = |upcall: &Upcall, admit: Admit<'_>| {
            translator.answer(&upcall.flow, upcall.packet.len() as u64, admit, now)
        };
        self.dpif.answer(upcall, translate).err().map(|(upcall, _)| upcall)
    }

    /// A frame comes in; returns what leaves because of it.
    pub(crate) fn send(&mut self, port: u32, frame: &[u8]) -> Vec<Sent> {
        self.dpif.receive(PortNo(port + DP_OFFSET), frame);
        self.pump();
        self.sent()
    }

    /// As `send`, and only the ports.
    pub(crate) fn ports(&mut self, port: u32, frame: &[u8]) -> Vec<u32> {
        self.send(port, frame).into_iter().map(|(port, _)| port).collect()
    }

    /// What left since the last time.
    pub(crate) fn sent(&mut self) -> Vec<Sent> {
        let sent = self.dpif.take_transmitted().into_iter();
        sent.map(|(port, frame)| (port.0 - DP_OFFSET, frame)).collect()
    }

    /// Deletes every cached flow behind the bridge's back; it notices and forgets them.
    pub(crate) fn forget_cached(&mut self) {
        self.dpif.apply(datapath::Command::FlowFlush);
        self.advance(Nanos::from_millis(600));
        assert!(self.bridge.ukeys().is_empty());
    }

    /// All rules in table order.
    pub(crate) fn rules(&mut self) -> Vec<Arc<Rule>> {
        self.bridge.flow_stats(&everything(), self.now).unwrap()
    }

    /// Packets and bytes of the rule with this cookie.
    pub(crate) fn counts(&mut self, cookie: u64) -> (u64, u64) {
        let rules = self.rules();
        let rule = rules.iter().find(|rule| rule.cookie == cookie).expect("no such rule");
        (rule.stats().packets(), rule.stats().bytes())
    }

    pub(crate) fn events(&mut self) -> Vec<BridgeEvent> {
        self.bridge.take_events().collect()
    }

    /// Megaflows that the datapath has, as masks and actions in text.
    pub(crate) fn megaflows(&self) -> Vec<String> {
        let ukeys = self.bridge.ukeys().iter();
        let mut text: Vec<String> = ukeys
            .map(|ukey| {
                let key = flow::Match::new(&ukey.megaflow.key, &ukey.megaflow.mask);
                format!("{key} actions:{}", datapath::Actions::new(&ukey.megaflow.actions))
            })
            .collect();
        text.sort();
        text
    }

    pub(crate) fn drops(&self, reason: DropReason) -> u64 {
        use datapath::Dpif;
        let ports = self.bridge.ports().filter_map(ofproto::Port::dp);
        ports.map(|dp| self.dpif.port_stats(dp).drops.get(reason)).sum()
    }
}

impl Drop for Lab {
    /// Every frame is accounted for, whatever the test did.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.pump();
            let sums = self.dpif.accounting();
            assert!(sums.holds(), "{sums:?}");
            assert_eq!(sums.in_flight(), 0, "{sums:?}");
            let n_installed = self.dpif.pmd().n_megaflows();
            assert_eq!(self.bridge.ukeys().len(), n_installed, "a megaflow without ukey");
            assert!(self.bridge.ukeys().iter().all(|ukey| ukey.core == CoreId(0)));
            assert_eq!(self.bridge.revalidator().stats().illegal_transitions, 0);
        }
    }
}

/// All rules of all tables.
pub(crate) fn everything() -> FlowStatsRequest {
    FlowStatsRequest {
        table_id: openflow::TABLE_ALL,
        out_port: OfPort::ANY,
        out_group: openflow::GROUP_ANY,
        cookie: 0,
        cookie_mask: 0,
        match_: flow::Match::CATCHALL,
        format: openflow::FlowFormat::Standard,
    }
}

/// An add without actions.
pub(crate) fn add(priority: u16, match_: &str) -> FlowMod {
    FlowMod { priority, match_: parse_match(match_, &NoNames).unwrap(), ..FlowMod::default() }
}

/// A loose or strict delete or modify that gives modified rules no cookie.
pub(crate) fn change(command: FlowModCommand, match_: &str) -> FlowMod {
    FlowMod { command, new_cookie: None, table_id: openflow::TABLE_ALL, ..add(0x8000, match_) }
}

pub(crate) fn output(port: u32) -> Action {
    Action::output(OfPort(port))
}

pub(crate) fn normal() -> Action {
    Action::output(OfPort::NORMAL)
}

/// The flow that a text describes.
pub(crate) fn flow(text: &str) -> Flow {
    parse_flow(text, &NoNames).unwrap()
}

/// A frame with the headers that a text describes.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    compose(&flow(text), 46)
}

/// An Ethernet frame between two stations.
pub(crate) fn ether(src: u8, dst: u8) -> Vec<u8> {
    frame(&format!(
        "dl_src=02:00:00:00:00:{src:02x},dl_dst=02:00:00:00:00:{dst:02x},dl_type=0x1234"
    ))
}

//! The handler: answers the upcalls that come by ring (ovs-facts D2, C4). Those that polling cores
//! answer themselves are followed in [`crate::inline`].
//!
//! # Life of a missed packet
//! Translate it; learn from it; credit it to what it passed; install the conclusion as a megaflow
//! on the core that asked; execute the conclusion on the packet. Nothing but the last step is about
//! this packet alone.
//!
//! # In-flight duplicates
//! While one packet of a flow is handled, more of it may have missed. Each comes here, is credited
//! here, and is executed; the megaflow is there already and stays. A megaflow counts only the
//! packets that hit it, so each packet is credited once.
//!
//! # When nothing is installed
//! Above the flow limit or the port's share of it ([`crate::FlowQuota`]), or when a queue or number
//! space is full, the packet is executed all the same; the next one misses again.

use crate::bridge::{Bridge, BridgeState};
use crate::changes::Changes;
use crate::learn::Lessons;
use crate::mac_learning::Station;
use crate::translate::{Path, Start, TranslateIn, TranslateOut, Translator};
use crate::ukey::{Credit, Ukey};
use alloc::sync::Arc;
use datapath::{CoreId, Dpif, DropReason, Megaflow, PortNo, Upcall, UpcallReason};
use flow::Flow;
use openflow::{OfPort, PortState};
use sync::big_reader::Writer;
use sync::time::Nanos;

impl Bridge {
    /// Answers one upcall. `now` is also the time at which its packet counts as seen.
    pub fn handle_upcall(&mut self, upcall: Upcall, dpif: &mut dyn Dpif, now: Nanos) {
        let Upcall { packet, flow, core, reason, .. } = upcall;
        match reason {
            UpcallReason::Action(action) => self.packet_in(packet.data(), &action),
            UpcallReason::Miss | UpcallReason::SlowPath(_) => {
                self.stats.upcalls += 1;
                let seq = self.changes.seq();
                let Some(out) = self.translate_flow(&flow) else {
                    // The packet outlived the translation that it was to go on with.
                    dpif.discard(packet, &flow, DropReason::UpcallNoBridge);
                    return;
                };
                let n_bytes = packet.len() as u64;
                self.apply(&out.path, out.error.is_some(), n_bytes, Seen::Now(now));
                let actions = Arc::clone(&out.path.actions);
                self.install(core, &flow, out, seq, dpif, now);
                dpif.execute(packet, &flow, &actions);
            }
        }
    }

    /// Translates the flow of a packet that came from the datapath; `None` if it belongs to a
    /// recirculation that is forgotten.
    pub(crate) fn translate_flow(&mut self, flow: &Flow) -> Option<TranslateOut> {
        translate_flow(&mut self.translator, &self.state, flow)
    }

    /// Lets the side effects of one packet happen.
    pub(crate) fn apply(&mut self, path: &Path, has_failed: bool, n_bytes: u64, seen: Seen) {
        self.stats.translation_errors += u64::from(has_failed);
        self.ledger().credit(&path.credits, 1, n_bytes, seen);
        if !self.lessons.is_empty() {
            self.apply_lessons(seen.at());
        }
    }

    pub(crate) fn ledger(&mut self) -> Ledger<'_> {
        Ledger { state: &mut self.state, changes: &mut self.changes, lessons: &mut self.lessons }
    }

    /// Installs a conclusion, drawn at change `seq`, unless it is there or there is no room.
    fn install(
        &mut self,
        core: CoreId,
        flow: &Flow,
        out: TranslateOut,
        seq: u64,
        dpif: &mut dyn Dpif,
        now: Nanos,
    ) {
        let mask = dpif.admit_mask(core, PortNo(flow.in_port()), &out.mask);
        let megaflow = Megaflow::new(flow, mask, Arc::clone(&out.path.actions));
        let is_there = self.ukeys.find(core, megaflow.ufid).is_some();
        let is_full = !self.state.quota.may_install(megaflow.in_port(), 0);
        let Ok(names) = self.hold_names(&out.path, flow.recirc_id(), now) else {
            self.stats.not_installed += 1;
            return;
        };
        let megaflow = Arc::new(megaflow);
        if is_there || is_full || dpif.flow_put(core, Arc::clone(&megaflow)).is_err() {
            self.stats.not_installed += u64::from(!is_there);
            // The packet itself may need the numbers: they live through their grace.
            self.release_names(&names, now);
            return;
        }
        self.stats.installed += 1;
        self.ukeys.insert(Ukey::new(core, megaflow, out.path, seq, names, now));
    }
}

/// See [`Bridge::translate_flow`].
pub(crate) fn translate_flow(
    translator: &mut Translator,
    state: &BridgeState,
    flow: &Flow,
) -> Option<TranslateOut> {
    Some(translator.translate(&input_of(state, flow)?))
}

/// What the translation of a packet starts from that came from the datapath; `None` if it belongs to a
/// recirculation that is forgotten.
pub(crate) fn input_of<'a>(state: &'a BridgeState, flow: &'a Flow) -> Option<TranslateIn<'a>> {
    let start = match flow.recirc_id() {
        0 => Start::Tables,
        id => Start::Resume(state.frozen.get(id)?),
    };
    let in_port = match state.ports.by_dp(PortNo(flow.in_port())) {
        Some(port) => port.number(),
        // A packet-out that recirculated comes from no port.
        None if flow.in_port() == state.origin.0 => OfPort::CONTROLLER,
        None => OfPort::ANY,
    };
    Some(TranslateIn { state, flow, in_port, start, is_traced: false })
}

/// When packets that are credited were seen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    /// At this moment, by the handler.
    Now(Nanos),
    /// By a polling core that answered it, at `used`; whether nothing has changed since.
    Inline { used: Nanos, is_current: bool },
    /// By a cached flow, the last of them at this time.
    Earlier(Nanos),
}

impl Seen {
    fn at(self) -> Nanos {
        match self {
            Self::Now(used) | Self::Inline { used, .. } | Self::Earlier(used) => used,
        }
    }
}

/// Where packets are credited to what they passed.
pub(crate) struct Ledger<'a> {
    pub(crate) state: &'a mut Writer<BridgeState>,
    pub(crate) changes: &'a mut Changes,
    pub(crate) lessons: &'a mut Lessons,
}

impl Ledger<'_> {
    /// Credits packets to what they passed. Only a station that is new on its port changes the state
    /// that others read; all else is counters and times of use.
    pub(crate) fn credit(&mut self, credits: &[Credit], n_packets: u64, n_bytes: u64, seen: Seen) {
        let used = seen.at();
        for credit in credits {
            match credit {
                Credit::Rule(stats) => stats.credit(n_packets, n_bytes, used),
                Credit::Counts(counts) => counts.credit(n_packets, n_bytes),
                Credit::Table { id, matched } => {
                    if let Some(table) = self.state.tables.get(*id) {
                        table.looked.n_lookups.add(n_packets);
                        if *matched {
                            table.looked.n_matched.add(n_packets);
                        }
                    }
                }
                Credit::Learn(learned) => self.lessons.learn(learned, &self.state.tables, used),
                Credit::Fin { rule, idle_timeout, hard_timeout } => {
                    self.lessons.fin(rule, *idle_timeout, *hard_timeout);
                }
                Credit::Mac { station, port } => self.see(*station, *port, seen),
            }
        }
    }

    /// A station was seen on a port.
    fn see(&mut self, station: Station, port: OfPort, seen: Seen) {
        let Some(owner) = self.state.ports.get(port) else { return };
        // What is credited late must not bring back what the lost link made forget.
        let has_link = !owner.state().contains(PortState::LINK_DOWN);
        let is_late = match seen {
            Seen::Now(_) => false,
            Seen::Inline { is_current, .. } => !is_current,
            Seen::Earlier(_) => true,
        };
        if is_late && !has_link {
            return;
        }
        let used = seen.at();
        if self.state.macs.refresh(station, port, used) {
            return;
        }
        let mut state = self.state.write();
        match seen {
            Seen::Now(now) => state.macs.learn(station, port, now),
            Seen::Inline { used, .. } => state.macs.learn_late(station, port, used),
            Seen::Earlier(used) => state.macs.observe(station, port, used),
        };
        let news = state.macs.take_news();
        drop(state);
        self.changes.hear(news);
    }
}

//! The handler: answers upcalls (ovs-facts D, C4).
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
//! Above the flow limit, or when a queue or number space is full, the packet is executed all the
//! same; the next one misses again.

use crate::bridge::{Bridge, BridgeState};
use crate::changes::Changes;
use crate::mac_learning::Station;
use crate::port::Port;
use crate::translate::{Start, TranslateIn, TranslateOut, translate};
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
                self.apply(&out, n_bytes, now);
                let actions = Arc::clone(&out.actions);
                self.install(core, &flow, out, seq, dpif, now);
                dpif.execute(packet, &flow, &actions);
            }
        }
    }

    /// Translates the flow of a packet that came from the datapath; `None` if it belongs to a
    /// recirculation that is forgotten.
    pub(crate) fn translate_flow(&self, flow: &Flow) -> Option<TranslateOut> {
        let frozen = match flow.recirc_id() {
            0 => None,
            id => Some(Arc::clone(self.state.frozen.get(id)?)),
        };
        let port = self.state.ports.by_dp(PortNo(flow.in_port()));
        Some(translate(&TranslateIn {
            state: &self.state,
            flow,
            in_port: self.of_port(flow, port),
            start: frozen.as_deref().map_or(Start::Tables, Start::Resume),
            is_traced: false,
        }))
    }

    /// The OpenFlow number of the port that a flow came from.
    fn of_port(&self, flow: &Flow, port: Option<&Port>) -> OfPort {
        match port {
            Some(port) => port.number(),
            // A packet-out that recirculated comes from no port.
            None if flow.in_port() == PortNo::NONE.0 => OfPort::CONTROLLER,
            None => OfPort::ANY,
        }
    }

    /// Lets the side effects of one packet happen.
    pub(crate) fn apply(&mut self, out: &TranslateOut, n_bytes: u64, now: Nanos) {
        if out.error.is_some() {
            self.stats.translation_errors += 1;
        }
        self.ledger().credit(&out.credits, 1, n_bytes, Seen::Now(now));
    }

    pub(crate) fn ledger(&mut self) -> Ledger<'_> {
        Ledger { state: &mut self.state, changes: &mut self.changes }
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
        let megaflow = Megaflow::new(flow, out.mask, Arc::clone(&out.actions));
        let is_there = self.ukeys.find(core, megaflow.ufid).is_some();
        let is_full = self.ukeys.len() >= self.reval.flow_limit();
        let Ok(names) = self.hold_names(&out, flow.recirc_id(), now) else {
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
        let credits = out.credits.into();
        self.ukeys.insert(Ukey::new(core, megaflow, credits, out.deps, seq, names, now));
    }
}

/// When packets that are credited were seen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    /// At this moment, by the handler.
    Now(Nanos),
    /// By a cached flow, the last of them at `used`.
    Earlier { used: Nanos, now: Nanos },
}

/// Where packets are credited to what they passed.
pub(crate) struct Ledger<'a> {
    pub(crate) state: &'a mut Writer<BridgeState>,
    pub(crate) changes: &'a mut Changes,
}

impl Ledger<'_> {
    /// Credits packets to what they passed. Only a station that is new on its port changes the state
    /// that others read; all else is counters and times of use.
    pub(crate) fn credit(&mut self, credits: &[Credit], n_packets: u64, n_bytes: u64, seen: Seen) {
        let used = match seen {
            Seen::Now(used) | Seen::Earlier { used, .. } => used,
        };
        for credit in credits {
            match credit {
                Credit::Rule(stats) => stats.credit(n_packets, n_bytes, used),
                Credit::Table { id, matched } => {
                    if let Some(table) = self.state.tables.get(*id) {
                        table.n_lookups.add(n_packets);
                        if *matched {
                            table.n_matched.add(n_packets);
                        }
                    }
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
        if matches!(seen, Seen::Earlier { .. }) && !has_link {
            return;
        }
        let (Seen::Now(now) | Seen::Earlier { now, .. }) = seen;
        if self.state.macs.refresh(station, port, now) {
            return;
        }
        let mut state = self.state.write();
        match seen {
            Seen::Now(now) => state.macs.learn(station, port, now),
            Seen::Earlier { used, now } => state.macs.observe(station, port, used, now),
        };
        let news = state.macs.take_news();
        drop(state);
        self.changes.hear(news);
    }
}

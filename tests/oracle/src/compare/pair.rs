//! The switch and the oracle side by side.

use std::cell::Cell;
use std::rc::Rc;

use datapath::{
    Accounting, Admit, CoreId, Dpif, DropReason, LocalConfig, LocalDpif, PortNo, SmcEnable, Upcall,
    UpcallReason,
};
use flow::EtherAddr;
use ofproto::{
    Bridge, BridgeConfig, BridgeEvent, FailMode, InlineTranslator, Link, MissKind, PortSpec,
};
use openflow::{FlowMod, GroupMod, MeterMod, OfPort, PacketInReason, PacketOut, Version};
use packet::{OffloadSet, Unfinished};
use sync::time::Nanos;

use super::life::{Mode, Setup};
use crate::PortVlan;
use crate::{Oracle, Verdict};

/// Datapath numbers differ from OpenFlow's by this much.
pub(super) const DP_OFFSET: u32 = 100;
/// Time from packet to packet.
const BETWEEN_PACKETS: Nanos = Nanos(1_000);
/// Stations are forgotten 300 s after they were seen last.
const MAC_AGE: Nanos = Nanos::from_secs(300);

/// What a packet-in is about: reason, table, cookie, ingress port, metadata, frame.
pub(super) type Told = (u8, u8, u64, u32, u64, Vec<u8>);

/// What one frame does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// The frames that leave: by port, and in order for each.
    pub(super) sent: Vec<(OfPort, Vec<u8>)>,
    /// The ports at which frames died for want of a link, sorted.
    pub(super) lost: Vec<OfPort>,
    pub(super) told: Vec<Told>,
}

impl Effect {
    /// For what may overtake each other.
    pub(super) fn forget_order(&mut self) {
        self.sent.sort();
        self.lost.sort();
        self.told.sort();
    }
}

/// What the oracle says of a frame.
#[derive(Debug)]
pub(super) struct Expected {
    /// What it does: one of these, and as long as nothing changes always the same.
    effects: Vec<Effect>,
    /// Which one, once it is known.
    chosen: Cell<Option<usize>>,
    /// Cookies of the rules that it passes.
    pub(super) cookies: Vec<u64>,
    /// Of those that it may pass.
    uncertain: Vec<u64>,
    /// Whether rules that it does not pass may count it as well.
    is_forked: bool,
    /// Whether it teaches where a station is.
    pub(super) teaches: bool,
    /// Whether it could say something else as well. No life has this, but a shortened one may.
    pub(super) is_ambiguous: bool,
}

impl Expected {
    /// Whether this may be the effect; then it is from now on.
    pub(super) fn accepts(&self, effect: &Effect) -> bool {
        let accepted = match self.chosen.get() {
            Some(chosen) => (self.effects[chosen] == *effect).then_some(chosen),
            None => self.effects.iter().position(|one| one == effect),
        };
        self.chosen.set(accepted.or(self.chosen.get()));
        accepted.is_some()
    }

    /// The effect, if it is known; if not, one that it may be.
    pub(super) fn effect(&self) -> (&Effect, bool) {
        let chosen = self.chosen.get();
        let is_known = self.effects.len() == 1 || chosen.is_some();
        (&self.effects[chosen.unwrap_or(0)], is_known)
    }
}

/// An answer of the oracle's, for as long as nothing changes that it depends on.
#[derive(Debug)]
struct Memo {
    epoch: u64,
    expected: Rc<Expected>,
}

/// Bridge and oracle; everything is done to both.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) bridge: Bridge,
    pub(super) dpif: LocalDpif,
    pub(super) oracle: Oracle,
    pub(super) now: Nanos,
    translator: Option<InlineTranslator>,
    /// Conclusions of the polling core wait until the bridge has something to do.
    is_late: bool,
    /// Packets and bytes by cookie, as the oracle counts them; `None` where it cannot.
    pub(super) counts: Vec<Option<(u64, u64)>>,
    /// Copies of a packet in buckets may overtake each other, where some recirculate.
    is_unordered: bool,
    /// Ports without link, from which no frame comes, with the frames that have died there so far.
    dark: Vec<(OfPort, u64)>,
    memos: Vec<Option<Memo>>,
    /// The ports whose devices finish checksums, a bit each.
    offloads: u64,
    /// Counts what makes older answers of the oracle void.
    epoch: u64,
    /// No station was seen before.
    stations_since: Nanos,
}

impl Pair {
    pub(super) fn new(setup: &Setup) -> Self {
        let now = Nanos::from_secs(1);
        let config = BridgeConfig {
            fail_mode: FailMode::Secure,
            flow_limit: setup.flow_limit,
            ..BridgeConfig::default()
        };
        let mut bridge = Bridge::new(config, now);
        bridge.set_invalid_ttl_to_controllers(true);
        let mut dpif = LocalDpif::with(LocalConfig {
            limits: setup.limits,
            emc: setup.emc,
            smc_enable: if setup.has_smc { SmcEnable::On } else { SmcEnable::Auto },
            sample_one_in: setup.sample_one_in,
            ..LocalConfig::default()
        });
        dpif.set_now(now);
        let (translator, is_late) = match setup.mode {
            Mode::Thread => (None, false),
            Mode::Inline { ring, is_late } => {
                (Some(bridge.inline_translator(CoreId(0), ring)), is_late)
            }
        };
        let mut pair = Self {
            translator,
            is_late,
            is_unordered: setup.options.n_groups > 0,
            bridge,
            dpif,
            oracle: Oracle::new([]),
            now,
            counts: Vec::new(),
            dark: Vec::new(),
            memos: Vec::new(),
            offloads: setup.offloads.unwrap_or(0),
            epoch: 0,
            stations_since: now,
        };
        for number in 1..=setup.n_ports {
            pair.add_port(OfPort(number));
        }
        pair
    }

    // ---- Changes ----

    pub(super) fn add_port(&mut self, port: OfPort) {
        if self.oracle.port(port).is_some() {
            return;
        }
        let dp = PortNo(port.0 + DP_OFFSET);
        self.dpif.add_port(dp);
        if self.offloads >> (port.0 % 64) & 1 != 0 {
            self.dpif.set_offloads(dp, OffloadSet::CHECKSUM);
        }
        let spec = PortSpec {
            dp: Some(dp),
            of: port,
            name: format!("p{}", port.0),
            hw_addr: EtherAddr(hw_addr(port)),
            mtu: 1500,
            link: Link::UP,
        };
        self.bridge.add_port(spec, self.now).expect("ports differ");
        self.oracle.ports.push(crate::Port::new(port));
        self.changed();
    }

    pub(super) fn remove_port(&mut self, port: OfPort) {
        // What the caches know of stations is told first.
        self.advance();
        self.bridge.remove_port(port);
        self.dpif.remove_port(PortNo(port.0 + DP_OFFSET));
        self.oracle.ports.retain(|old| old.number != port);
        self.oracle.forget_port(port);
        self.dark.retain(|(dark, _)| *dark != port);
        self.changed();
    }

    /// Whether the port has no link.
    pub(super) fn is_dark(&self, port: OfPort) -> bool {
        self.dark.iter().any(|(dark, _)| *dark == port)
    }

    pub(super) fn set_link(&mut self, port: OfPort, is_up: bool) {
        self.advance();
        self.dpif.set_link(PortNo(port.0 + DP_OFFSET), is_up);
        self.bridge.port_changed(port, if is_up { Link::UP } else { Link::DOWN });
        self.dark.retain(|(dark, _)| *dark != port);
        for known in &mut self.oracle.ports {
            if known.number == port {
                known.has_link = is_up;
            }
        }
        if !is_up && self.oracle.port(port).is_some() {
            self.dark.push((port, self.n_lost(port)));
            self.oracle.forget_port(port);
        }
        self.changed();
    }

    pub(super) fn set_vlan(&mut self, port: OfPort, vlan: PortVlan) {
        self.advance();
        self.bridge.set_port_vlan(port, vlan.to_real());
        let known = self.oracle.ports.iter_mut().find(|known| known.number == port);
        let Some(known) = known.filter(|known| known.vlan != vlan) else { return };
        let is_other = known.vlan.to_real().completed() != vlan.to_real().completed();
        known.vlan = vlan;
        if is_other {
            self.oracle.forget_port(port);
        }
        self.changed();
    }

    pub(super) fn forget_stations(&mut self) {
        self.advance();
        self.bridge.fdb_flush();
        self.oracle.flush_macs();
        self.changed();
    }

    pub(super) fn flow_mod(&mut self, flow_mod: &FlowMod) -> Result<(), String> {
        let result = self.bridge.flow_mod(flow_mod, Version::V13, self.now);
        result.map_err(|error| format!("{error:?} for {flow_mod:?}"))
    }

    pub(super) fn group_mod(&mut self, group_mod: &GroupMod) -> Result<(), String> {
        let result = self.bridge.group_mod(group_mod, Version::V15, self.now);
        self.oracle.group_mod(group_mod);
        result.map_err(|error| format!("{error:?} for {group_mod:?}"))
    }

    pub(super) fn meter_mod(&mut self, meter_mod: &MeterMod) -> Result<(), String> {
        let result = self.bridge.meter_mod(meter_mod, &mut self.dpif, self.now);
        self.oracle.now = self.now;
        self.oracle.meter_mod(meter_mod);
        result.map_err(|error| format!("{error:?} for {meter_mod:?}"))
    }

    /// Older answers of the oracle are void.
    pub(super) fn changed(&mut self) {
        self.epoch += 1;
    }

    // ---- Time ----

    /// Lets the bridge work until all changes are in force.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            self.pump();
            let next = self.bridge.run(&mut self.dpif, self.now);
            // What cached traffic taught just then is to be in force as well.
            if next > self.now && self.bridge.reached(self.bridge.sync_point()) {
                return;
            }
        }
        panic!("the bridge does not come to rest");
    }

    /// Lets time pass, all of it at once.
    pub(super) fn wait(&mut self, time: Nanos) {
        let mut time = time;
        if self.now + time - self.stations_since >= MAC_AGE - Nanos::from_secs(30) {
            // Soon some stations would be forgotten and some not, by fractions of a second that the
            // oracle does not know of: it is better to forget them all.
            time = time.max(MAC_AGE + Nanos::from_secs(1));
        }
        let is_long = time > MAC_AGE;
        if is_long {
            self.advance();
        }
        self.now += time;
        self.dpif.set_now(self.now);
        self.settle();
        if is_long {
            self.oracle.flush_macs();
            self.stations_since = self.now;
            self.changed();
        }
    }

    /// Lets the clock go on until the caches have told the bridge all that they know.
    pub(super) fn advance(&mut self) {
        for _ in 0..6 {
            self.now += Nanos::from_millis(100);
            self.dpif.set_now(self.now);
            self.settle();
        }
    }

    /// Where a frame has taught something: lets the caches know it.
    ///
    /// Where a station is becomes known to them at the next round of the revalidator, also when a
    /// packet told it that met a cached flow. Everything else holds at once.
    pub(super) fn taught(&mut self) {
        self.advance();
        // For those who learn without end.
        self.wait(Nanos::ZERO);
    }

    fn pump(&mut self) {
        for _ in 0..10_000 {
            let Some(upcall) = self.dpif.next_upcall() else { return };
            if let Some(upcall) = self.answer_inline(upcall) {
                self.bridge.handle_upcall(upcall, &mut self.dpif, self.now);
            }
            if !self.is_late {
                self.bridge.take_conclusions(self.now);
            }
        }
        panic!("upcalls cause upcalls without end");
    }

    /// Answers a miss on its core, if that can; else gives it back.
    fn answer_inline(&mut self, upcall: Upcall) -> Option<Upcall> {
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

    // ---- Frames ----

    /// What the oracle says of a frame that has the number `index`, and whether its sender left something to do.
    pub(super) fn expect(
        &mut self,
        index: usize,
        (port, frame): &(OfPort, Vec<u8>),
        is_unfinished: bool,
    ) -> Rc<Expected> {
        if let Some(expected) = self.remembered(index) {
            return expected;
        }
        let n_lessons = self.oracle.n_lessons();
        // When the switch will see it.
        self.oracle.now = self.now + BETWEEN_PACKETS;
        self.oracle.is_unfinished = is_unfinished;
        let verdicts = self.oracle.receive_all(*port, frame);
        let teaches = self.oracle.n_lessons() != n_lessons;
        let is_metered = verdicts.iter().any(|verdict| verdict.is_metered);
        let expected = Rc::new(self.expected_of(&self.oracle, &verdicts, teaches));
        if teaches {
            self.epoch += 1;
        } else if !is_metered {
            if self.memos.len() <= index {
                self.memos.resize_with(index + 1, || None);
            }
            self.memos[index] = Some(Memo { epoch: self.epoch, expected: Rc::clone(&expected) });
        }
        expected
    }

    /// The answer for a frame, if one was given since the last change.
    pub(super) fn remembered(&self, index: usize) -> Option<Rc<Expected>> {
        let memo = self.memos.get(index)?.as_ref()?;
        (memo.epoch == self.epoch).then(|| Rc::clone(&memo.expected))
    }

    /// Frames come in on the switch, together if there are several.
    pub(super) fn receive<'a>(
        &mut self,
        port: OfPort,
        frames: impl IntoIterator<Item = (&'a [u8], Option<Unfinished>)>,
    ) -> Effect {
        // Of two packets one is later, even for who only reads the clock.
        self.now += BETWEEN_PACKETS;
        self.dpif.set_now(self.now);
        self.dpif.receive_unfinished(PortNo(port.0 + DP_OFFSET), frames);
        self.effect()
    }

    /// A controller sends a frame through the switch.
    pub(super) fn packet_out(&mut self, packet_out: &PacketOut) -> Result<Effect, String> {
        self.now += BETWEEN_PACKETS;
        self.dpif.set_now(self.now);
        let result = self.bridge.packet_out(packet_out, Version::V13, &mut self.dpif, self.now);
        result.map_err(|error| format!("{error:?} for {packet_out:?}"))?;
        Ok(self.effect())
    }

    /// What the switch has done since the last time.
    fn effect(&mut self) -> Effect {
        self.pump();
        let mut sent: Vec<_> = (self.dpif.take_transmitted().into_iter())
            .map(|(port, frame)| (OfPort(port.0 - DP_OFFSET), unpadded(frame)))
            .collect();
        // Between ports no order is promised.
        sent.sort_by_key(|(port, _)| *port);
        let mut effect = Effect { sent, lost: self.lost(), told: self.told() };
        if self.is_unordered {
            effect.forget_order();
        }
        effect
    }

    fn lost(&mut self) -> Vec<OfPort> {
        let mut lost = Vec::new();
        let mut dark = core::mem::take(&mut self.dark);
        for (port, seen) in &mut dark {
            let before = core::mem::replace(seen, self.n_lost(*port));
            lost.extend((before..*seen).map(|_| *port));
        }
        self.dark = dark;
        lost.sort();
        lost
    }

    fn n_lost(&self, port: OfPort) -> u64 {
        let drops = self.dpif.port_stats(PortNo(port.0 + DP_OFFSET)).drops;
        drops.get(DropReason::TxPortDown)
    }

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
            let data = unpadded(packet_in.data);
            told.push((reason as u8, table, cookie, in_port, metadata, data));
        }
        told
    }

    /// What verdicts, one of which holds, mean for who watches the switch from outside.
    pub(super) fn expected_of(
        &self,
        oracle: &Oracle,
        verdicts: &[Verdict],
        teaches: bool,
    ) -> Expected {
        // Which bucket is chosen has no effect on which rules are passed.
        let rules = verdicts[0].rules.iter();
        let mut cookies: Vec<u64> = rules.map(|&index| oracle.rules()[index].cookie).collect();
        let mut effects: Vec<Effect> = verdicts.iter().map(effect_of).collect();
        if self.is_unordered {
            effects.iter_mut().for_each(Effect::forget_order);
        }
        let uncertain = cookies.split_off(verdicts[0].dropped_at.unwrap_or(cookies.len()));
        Expected {
            effects,
            chosen: Cell::new(None),
            cookies,
            uncertain,
            is_forked: verdicts.iter().any(|verdict| verdict.is_forked),
            teaches,
            is_ambiguous: verdicts.iter().any(|verdict| verdict.is_ambiguous),
        }
    }

    /// Counts a frame for the rules that it passes.
    pub(super) fn count(&mut self, expected: &Expected, n_bytes: usize) {
        self.lose_count(expected.uncertain.iter().copied());
        if expected.is_forked {
            let all: Vec<u64> = self.oracle.rules().iter().map(|rule| rule.cookie).collect();
            self.lose_count(all);
        }
        for &cookie in &expected.cookies {
            if let Some((packets, bytes)) = self.counts_of(cookie) {
                *packets += 1;
                *bytes += n_bytes as u64;
            }
        }
    }

    /// Nobody can say whether the rules with these cookies saw a frame.
    pub(super) fn lose_count(&mut self, cookies: impl IntoIterator<Item = u64>) {
        for cookie in cookies {
            *self.counts_of(cookie) = None;
        }
    }

    pub(super) fn counts_of(&mut self, cookie: u64) -> &mut Option<(u64, u64)> {
        let index = cookie as usize;
        if self.counts.len() <= index {
            self.counts.resize(index + 1, Some((0, 0)));
        }
        &mut self.counts[index]
    }

    /// The law, with nothing in flight.
    pub(super) fn check_law(&self) -> Result<(), String> {
        let sums: Accounting = self.dpif.accounting();
        if sums.holds() { Ok(()) } else { Err(format!("the law of accounting: {sums:?}")) }
    }
}

/// The hardware address of a port.
pub(super) fn hw_addr(port: OfPort) -> [u8; 6] {
    [0x02, 0xaa, 0, 0, 0, port.0 as u8]
}

fn effect_of(verdict: &Verdict) -> Effect {
    let mut sent: Vec<_> = (verdict.outputs.iter())
        .map(|output| (output.port, unpadded(output.frame.clone())))
        .collect();
    sent.sort_by_key(|(port, _)| *port);
    let mut lost = verdict.lost.clone();
    lost.sort();
    let told = (verdict.packet_ins.iter())
        .map(|packet_in| {
            let (table, cookie) = speaker(packet_in.reason, packet_in.table_id, packet_in.cookie);
            let (port, metadata) = (packet_in.in_port.0, packet_in.metadata);
            let frame = unpadded(packet_in.frame.clone());
            (packet_in.reason as u8, table, cookie, port, metadata, frame)
        })
        .collect();
    Effect { sent, lost, told }
}

/// A short frame without the zeros at its end. When a frame that lost a tag is filled up is not
/// defined where it gets another one before it leaves.
fn unpadded(mut frame: Vec<u8>) -> Vec<u8> {
    /// The least that Ethernet sends, and the most that is put in front of it here.
    const LONGEST: usize = 60 + 2 * 18 + 3 * 4;
    if frame.len() <= LONGEST {
        let end = frame.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        frame.truncate(end);
    }
    frame
}

/// Table and cookie of a packet-in. Which rule speaks for the action set is not defined, nor for a
/// group that it may lead to.
fn speaker(reason: PacketInReason, table: u8, cookie: u64) -> (u8, u64) {
    let is_nobody = matches!(reason, PacketInReason::ActionSet | PacketInReason::Group);
    if is_nobody { (0, 0) } else { (table, cookie) }
}

//! Living a life: every step on both switches, and what is compared after it.

use std::rc::Rc;

use datapath::{CoreId, Dpif, Ufid};
use ofproto::CheckResult;
use openflow::{
    FlowFormat, FlowMod, FlowModCommand, FlowStatsRequest, GROUP_ANY, OfPort, PacketOut,
    PortConfig, PortFeatures, PortMod, TABLE_ALL,
};

use super::Tally;
use super::life::{Change, Life, Op};
use super::pair::{Effect, Expected, Pair, hw_addr};
use crate::Rule;
use crate::random::{Rng, RuleOptions};

/// Frames that come in at once, at most: they wait for their upcalls together.
const MOST_AT_ONCE: usize = 64;

/// A difference.
#[derive(Debug)]
pub(super) struct Difference {
    /// In which step; one more than there are if in the end.
    pub(super) step: usize,
    pub(super) text: String,
}

/// Lives a life; returns what was compared.
pub(super) fn live(life: &Life) -> Result<Tally, Difference> {
    let mut pair = Pair::new(&life.setup);
    let mut act = Act { life, pair: &mut pair, tally: Tally::default() };
    act.begin().map_err(|text| Difference { step: 0, text })?;
    for (step, op) in life.ops.iter().enumerate() {
        let done = act.step(op).and_then(|()| act.pair.check_law());
        done.map_err(|text| Difference { step, text: format!("{}{text}", describe(life, op)) })?;
    }
    let ended = act.end().map_err(|text| Difference { step: life.ops.len(), text });
    ended.map(|()| act.tally)
}

struct Act<'a> {
    life: &'a Life,
    pair: &'a mut Pair,
    tally: Tally,
}

impl Act<'_> {
    fn begin(&mut self) -> Result<(), String> {
        self.change(&Change::Groups(self.life.groups.clone()))?;
        self.change(&Change::Meters(self.life.meters.clone()))?;
        for rule in &self.life.rules {
            self.change(&Change::Add(Box::new(rule.clone())))?;
        }
        self.pair.settle();
        self.pair.bridge.take_events().for_each(drop);
        Ok(())
    }

    fn step(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::Traffic { frames, is_batched } if *is_batched => self.together(frames),
            Op::Traffic { frames, .. } => frames.iter().try_for_each(|&index| self.frame(index)),
            Op::Change(change) => {
                self.change(change)?;
                self.pair.settle();
                self.tally.changes += 1;
                Ok(())
            }
            Op::Race(change, frames) => self.race(change, frames),
            Op::Wait(time) => {
                self.pair.wait(*time);
                self.tally.waits += 1;
                Ok(())
            }
            Op::LoseAll => {
                self.pair.dpif.apply(datapath::Command::FlowFlush);
                self.tally.losses += 1;
                Ok(())
            }
            Op::LoseOneIn(n, seed) => self.lose(*n, *seed),
            Op::PacketOut(index, actions) => self.packet_out(*index, actions),
            Op::CheckMasks(seed) => {
                self.tally.flips += super::masks::check(self.pair, self.life, *seed)?;
                Ok(())
            }
        }
    }

    // ---- Frames ----

    fn frame(&mut self, index: usize) -> Result<(), String> {
        let arrival @ (port, frame) = &self.life.frames[index];
        if self.pair.is_dark(*port) {
            return Ok(());
        }
        let arriving = self.life.arriving(index);
        let expected = self.pair.expect(index, arrival, arriving.1.is_some());
        let effect = self.pair.receive(*port, [arriving]);
        self.tally.packets += 1;
        self.tally.unfinished += u64::from(arriving.1.is_some());
        self.pair.count(&expected, frame.len());
        if !expected.accepts(&effect) && !self.excuses(expected.is_ambiguous) {
            return Err(differ(&format!("frame {index}"), &effect, expected.effect().0));
        }
        self.check_samples()?;
        if expected.teaches {
            self.pair.taught();
        }
        Ok(())
    }

    /// Frames that follow each other on one port come in at once, unless one of them teaches
    /// something: cached flows are served before others, so the order would matter.
    fn together(&mut self, frames: &[usize]) -> Result<(), String> {
        let port_of = |index: &usize| self.life.frames[*index].0;
        let mut left = frames;
        while let Some(first) = left.first() {
            let port = port_of(first);
            let n = left.iter().take(MOST_AT_ONCE).take_while(|index| port_of(index) == port);
            let (now, later) = left.split_at(n.count());
            left = later;
            self.burst(port, now)?;
        }
        Ok(())
    }

    fn burst(&mut self, port: OfPort, frames: &[usize]) -> Result<(), String> {
        if self.pair.is_dark(port) {
            return Ok(());
        }
        let RuleOptions { normal, n_meters, .. } = self.life.setup.options;
        let is_static = !normal && n_meters == 0;
        let known: Option<Vec<Rc<Expected>>> = frames
            .iter()
            .map(|&index| {
                if is_static {
                    let is_unfinished = self.life.arriving(index).1.is_some();
                    return Some(self.pair.expect(index, &self.life.frames[index], is_unfinished));
                }
                self.pair.remembered(index)
            })
            .collect();
        let is_certain = |known: &Vec<Rc<Expected>>| known.iter().all(|one| one.effect().1);
        let Some(known) = known.filter(is_certain) else {
            return frames.iter().try_for_each(|&index| self.frame(index));
        };
        let arriving = frames.iter().map(|&index| self.life.arriving(index));
        let mut effect = self.pair.receive(port, arriving.clone());
        self.tally.packets += frames.len() as u64;
        let n_unfinished = arriving.clone().filter(|(_, what)| what.is_some()).count();
        self.tally.unfinished += n_unfinished as u64;
        let mut expected = Effect::default();
        for (one, (frame, _)) in known.iter().zip(arriving) {
            self.pair.count(one, frame.len());
            let (effect, _) = one.effect();
            expected.sent.extend_from_slice(&effect.sent);
            expected.lost.extend_from_slice(&effect.lost);
            expected.told.extend_from_slice(&effect.told);
        }
        for effect in [&mut effect, &mut expected] {
            // Packets of different flows may overtake each other.
            effect.forget_order();
        }
        if effect != expected && !self.excuses(known.iter().any(|one| one.is_ambiguous)) {
            return Err(differ(&format!("frames {frames:?}"), &effect, &expected));
        }
        self.check_samples()?;
        Ok(())
    }

    /// Changes rules and lets frames come in before the change is in force everywhere.
    fn race(&mut self, change: &Change, frames: &[usize]) -> Result<(), String> {
        let mut old = self.pair.oracle.clone();
        self.change(change)?;
        for &index in frames {
            let (port, frame) = &self.life.frames[index];
            if self.pair.is_dark(*port) {
                continue;
            }
            let arriving = self.life.arriving(index);
            (old.is_unfinished, self.pair.oracle.is_unfinished) =
                (arriving.1.is_some(), arriving.1.is_some());
            let verdict = old.receive(*port, frame);
            let before = self.pair.expected_of(&old, &[verdict], false);
            let verdict = self.pair.oracle.receive(*port, frame);
            let after = self.pair.expected_of(&self.pair.oracle, &[verdict], false);
            let effect = self.pair.receive(*port, [arriving]);
            self.tally.packets += 1;
            self.tally.unfinished += u64::from(arriving.1.is_some());
            match (before.accepts(&effect), after.accepts(&effect)) {
                (false, false) if self.excuses(before.is_ambiguous || after.is_ambiguous) => {}
                (false, false) => {
                    let text =
                        differ(&format!("frame {index}, old rules"), &effect, before.effect().0);
                    return Err(format!("{text}\nnor {}", show(after.effect().0)));
                }
                (true, false) => self.pair.count(&before, frame.len()),
                (false, true) => self.pair.count(&after, frame.len()),
                (true, true) if before.cookies == after.cookies => {
                    self.pair.count(&after, frame.len());
                }
                (true, true) => {
                    self.pair.lose_count(before.cookies.into_iter().chain(after.cookies));
                }
            }
            // A part of the revalidator's work.
            self.pair.bridge.run(&mut self.pair.dpif, self.pair.now);
        }
        self.pair.settle();
        self.tally.races += 1;
        Ok(())
    }

    /// Notes that a frame's effect cannot be judged.
    fn excuses(&mut self, is_ambiguous: bool) -> bool {
        self.tally.excused += u64::from(is_ambiguous);
        is_ambiguous
    }

    fn packet_out(&mut self, index: usize, actions: &[openflow::Action]) -> Result<(), String> {
        let data = self.life.frames[index].1.clone();
        self.pair.oracle.is_unfinished = false;
        let verdict = self.pair.oracle.packet_out(OfPort::CONTROLLER, actions, &data);
        let expected = self.pair.expected_of(&self.pair.oracle, &[verdict], false);
        let (in_port, actions) = (OfPort::CONTROLLER, actions.to_vec());
        let effect = self.pair.packet_out(&PacketOut {
            buffer_id: None,
            in_port,
            metadata: None,
            actions,
            data,
        })?;
        self.tally.packets += 1;
        if expected.accepts(&effect) {
            return Ok(());
        }
        Err(differ(&format!("packet-out of frame {index}"), &effect, expected.effect().0))
    }

    /// The self check of the switch itself (DESIGN §4), on what the datapath sampled.
    fn check_samples(&mut self) -> Result<(), String> {
        for check in self.pair.dpif.take_checks() {
            self.tally.self_checks += 1;
            let flow = check.flow;
            let result = self.pair.bridge.self_check(check, &mut self.pair.dpif, self.pair.now);
            if let CheckResult::Different { cached, right } = result {
                return Err(format!("the self check of {flow}: cached {cached}, right {right}"));
            }
        }
        Ok(())
    }

    // ---- Changes ----

    fn change(&mut self, change: &Change) -> Result<(), String> {
        let pair = &mut *self.pair;
        match change {
            Change::Add(rule) => {
                pair.flow_mod(&rule.to_flow_mod())?;
                pair.oracle.add(Rule::clone(rule)).map_err(|error| error.to_string())?;
            }
            Change::Delete(cookie) => {
                let Some(rule) = find(pair, *cookie) else { return Ok(()) };
                let command = FlowModCommand::DeleteStrict;
                pair.flow_mod(&FlowMod { command, ..rule.to_flow_mod() })?;
                pair.oracle.remove(|old| old.cookie == *cookie);
            }
            Change::Modify(cookie, instructions) => {
                let Some(rule) = find(pair, *cookie) else { return Ok(()) };
                let rule = Rule { instructions: instructions.clone(), ..rule };
                let command = FlowModCommand::ModifyStrict;
                pair.flow_mod(&FlowMod { command, ..rule.to_flow_mod() })?;
                pair.oracle.add(rule).map_err(|error| error.to_string())?;
            }
            Change::Link(port, is_up) => pair.set_link(*port, *is_up),
            Change::Vlan(port, vlan) => pair.set_vlan(*port, *vlan),
            Change::Configure(port, config) => configure(pair, *port, *config)?,
            Change::RemovePort(port) => pair.remove_port(*port),
            Change::AddPort(port) => pair.add_port(*port),
            Change::ForgetStations => pair.forget_stations(),
            Change::Groups(mods) => mods.iter().try_for_each(|change| pair.group_mod(change))?,
            Change::Meters(mods) => mods.iter().try_for_each(|change| pair.meter_mod(change))?,
        }
        pair.changed();
        Ok(())
    }

    /// The datapath loses one in `n` cached flows.
    fn lose(&mut self, n: usize, seed: u64) -> Result<(), String> {
        let mut rng = Rng::new(seed);
        let mut victims: Vec<Ufid> =
            self.pair.dpif.pmd().megaflows().map(|(megaflow, _)| megaflow.ufid).collect();
        victims.sort_by_key(|ufid| ufid.0);
        victims.retain(|_| rng.one_in(n));
        for ufid in victims {
            let result = self.pair.dpif.flow_delete(CoreId(0), ufid);
            result.map_err(|error| format!("{error:?}"))?;
        }
        self.tally.losses += 1;
        Ok(())
    }

    // ---- The end ----

    /// Counters of all rules, once the caches have told theirs.
    fn end(&mut self) -> Result<(), String> {
        self.pair.advance();
        let everything = FlowStatsRequest {
            table_id: TABLE_ALL,
            out_port: OfPort::ANY,
            out_group: GROUP_ANY,
            cookie: 0,
            cookie_mask: 0,
            match_: flow::Match::CATCHALL,
            format: FlowFormat::Standard,
        };
        let rules = self.pair.bridge.flow_stats(&everything, self.pair.now);
        let rules = rules.map_err(|error| format!("{error:?}"))?;
        let (n, expected) = (rules.len(), self.pair.oracle.rules().len());
        if n != expected {
            return Err(format!("{n} rules, not {expected}"));
        }
        // Behind a label that was popped, or a choice by a hash, the frame is taken in anew and counts
        // with the length that it has then, so with those only packets are compared.
        let RuleOptions { mpls, selects, n_meters, .. } = self.life.setup.options;
        let is_taken_anew = mpls || selects || n_meters > 0;
        for rule in rules {
            let Some(expected) = *self.pair.counts_of(rule.cookie) else { continue };
            let counted = (rule.stats().packets(), rule.stats().bytes());
            if counted.0 != expected.0 || counted.1 != expected.1 && !is_taken_anew {
                let cookie = rule.cookie;
                return Err(format!("rule {cookie} counts {counted:?}, not {expected:?}"));
            }
        }
        self.pair.check_law()?;
        let core = self.pair.dpif.pmd().counters();
        self.tally.hits = core.hits.get();
        self.tally.emc_hits = core.emc_hits.get();
        self.tally.misses = core.misses.get();
        let stats = self.pair.bridge.stats();
        (self.tally.megaflows, self.tally.inline) = (stats.installed, stats.inline);
        Ok(())
    }
}

fn find(pair: &Pair, cookie: u64) -> Option<Rule> {
    pair.oracle.rules().iter().find(|rule| rule.cookie == cookie).cloned()
}

fn configure(pair: &mut Pair, number: OfPort, config: PortConfig) -> Result<(), String> {
    let Some(port) = pair.oracle.ports.iter_mut().find(|port| port.number == number) else {
        return Ok(());
    };
    let is_down = config.contains(PortConfig::PORT_DOWN);
    port.is_down = is_down;
    port.no_recv = is_down || config.contains(PortConfig::NO_RECV);
    port.no_fwd = is_down || config.contains(PortConfig::NO_FWD);
    port.no_flood = config.contains(PortConfig::NO_FLOOD);
    let change = PortMod {
        port: number,
        hw_addr: hw_addr(number),
        config,
        mask: PortConfig::all(),
        advertise: PortFeatures::empty(),
    };
    pair.bridge.port_mod(&change).map_err(|error| format!("{error:?}"))
}

// ---- Text ----

fn differ(what: &str, effect: &Effect, expected: &Effect) -> String {
    format!("{what}:\nthe switch {}\nnot {}", show(effect), show(expected))
}

fn show(effect: &Effect) -> String {
    let mut text = String::from("sends");
    for (port, frame) in &effect.sent {
        text += &format!("\n  {port}: {}", hex(frame));
    }
    for port in &effect.lost {
        text += &format!("\n  loses one at {port}");
    }
    for told in &effect.told {
        text += &format!("\n  tells {told:x?}");
    }
    text
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The frames of a step.
fn describe(life: &Life, op: &Op) -> String {
    let indices = match op {
        Op::Traffic { frames, .. } | Op::Race(_, frames) => &frames[..],
        Op::PacketOut(index, _) => &[*index],
        _ => &[],
    };
    let mut text = String::new();
    if indices.len() <= 8 {
        for &index in indices {
            let (port, frame) = &life.frames[index];
            text += &format!("frame {index} on {port}: {}\n", hex(frame));
        }
    }
    text
}

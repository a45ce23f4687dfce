//! The machine that runs the OpenFlow pipeline on one flow.
//!
//! # The stack of steps
//! A rule that matches puts three steps on the stack: its actions, what its other instructions do
//! after them, and the goto. Below them lies a *return* that restores what a resubmit changed.
//! At the bottom lies the execution of the action set (OpenFlow 1.3.5 §5.10). A nested lookup puts
//! the rest of the current list back and its own steps on top.
//!
//! # Freezing
//! After a pop of the last MPLS label (or of a tag with another behind the two in the key) the flow
//! no longer says what the packet's headers are. Nothing happens as long as nobody looks. The first
//! step that needs a header puts itself back and the machine *freezes*: it commits, keeps the stack
//! with metadata and action set under a recirculation id, and lets the packet be extracted anew.

use super::action_set::ActionSet;
use super::commit::commit;
use super::finish::begin_mask;
use super::path::{Credits, Trail};
use super::report::{NodeKind, Reporter};
use super::step::{Frozen, List, LookupKind, Origin, Run, Step, Verdict};
use super::{Start, TranslateError, TranslateIn};
use crate::deps::Deps;
use crate::group::Liveness;
use crate::intern::Named;
use crate::mac_learning::Station;
use crate::mirror::MirrorSet;
use crate::packet_in::PacketInSpec;
use crate::rule::Rule;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use datapath::{DpAction, DropReason, HashAction};
use flow::layout::pipeline_words;
use flow::text::NoNames;
use flow::{Field, Flow, Mask};
use openflow::text::ActionsText;
use openflow::{OfPort, PortConfig};

/// Datapath actions in one translation: as many as the datapath takes.
const MAX_ACTIONS: usize = 4096;
/// Actions and buckets done or looked at in one translation: what bounds its time, where a long list
/// resubmits to others.
const MAX_DONE: u32 = 1 << 16;
/// Recirculations of one packet: fewer than the datapath can nest, so that it makes no difference
/// whether they are cached.
const MAX_RECIRCULATIONS: u8 = datapath::MAX_DEPTH - 1;

/// What a flow no longer tells of its packet; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stale {
    /// It tells all.
    No,
    /// What lies behind Ethernet and VLAN is unknown.
    Network,
    /// All headers are unknown.
    All,
}

/// Room that a translation leaves to the next one: keys are written in their place, and lists keep what they
/// have grown to.
#[derive(Debug, Default)]
pub(crate) struct Room {
    pub(super) trail: Trail,
    steps: Vec<Step>,
    learns: Vec<(Station, OfPort)>,
    flow: Flow,
    base: Flow,
    /// The bits that the last conclusion depends on.
    pub(super) mask: Mask,
}

/// The rule that speaks, unless a packet-out does.
#[derive(Clone, Debug)]
pub(crate) enum Speaker<'a> {
    Nobody,
    /// One that was found in these tables.
    Found(&'a Arc<Rule>),
    /// One whose actions were put off.
    Kept(Arc<Rule>),
}

impl Speaker<'_> {
    pub(crate) fn rule(&self) -> Option<Arc<Rule>> {
        match self {
            Self::Nobody => None,
            Self::Found(rule) => Some(Arc::clone(rule)),
            Self::Kept(rule) => Some(Arc::clone(rule)),
        }
    }
}

/// The state of a translation.
pub(crate) struct Machine<'a> {
    pub(crate) input: &'a TranslateIn<'a>,
    /// The flow as the actions so far leave it, with an OpenFlow ingress port.
    pub(crate) flow: &'a mut Flow,
    /// The flow as the emitted datapath actions leave it.
    pub(crate) base: &'a mut Flow,
    pub(crate) mask: &'a mut Mask,
    pub(crate) actions: &'a mut Vec<DpAction>,
    pub(crate) steps: &'a mut Vec<Step>,
    pub(crate) action_set: ActionSet,
    pub(crate) stack: Vec<u128>,
    pub(crate) origin: Origin,
    pub(crate) rule: Speaker<'a>,
    pub(crate) depth: u32,
    pub(crate) n_resubmits: u32,
    n_recirculations: u8,
    n_done: u32,
    /// Actions inside clones.
    pub(crate) n_cloned: usize,
    /// How often something was done to the packet that a later commit cannot take back.
    pub(crate) n_lost: u32,
    /// What the flow's `dp_hash` is a hash of.
    pub(crate) hash: Option<HashAction>,
    /// What the packet's is where the emitted actions leave it.
    pub(crate) packet_hash: Option<HashAction>,
    pub(crate) liveness: Liveness,
    /// What the flow no longer tells of the packet's headers; see the module.
    pub(crate) stale: Stale,
    pub(crate) has_output: bool,
    /// Mirrors that had the packet.
    pub(crate) mirrored: MirrorSet,
    /// Bytes that the copy in hand has at most; 0 is all.
    pub(crate) snaplen: u16,
    pub(crate) has_meter: bool,
    pub(crate) drop: Option<DropReason>,
    pub(crate) error: Option<TranslateError>,
    pub(crate) credits: &'a mut Credits,
    pub(crate) learns: &'a mut Vec<(Station, OfPort)>,
    pub(crate) deps: &'a mut Deps,
    pub(crate) frozen: &'a mut Vec<Named<Frozen>>,
    pub(crate) packet_ins: &'a mut Vec<Named<PacketInSpec>>,
    pub(crate) report: Reporter,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(input: &'a TranslateIn<'a>, room: &'a mut Room) -> Self {
        let Room { trail, steps, learns, flow, base, mask } = room;
        trail.clear();
        steps.clear();
        learns.clear();
        let Trail { actions, credits, deps, frozen, packet_ins } = trail;
        for flow in [&mut *flow, &mut *base] {
            *flow = *input.flow;
            flow.set_in_port(input.in_port.0);
            flow.set_actset_output(OfPort::UNSET.0);
        }
        begin_mask(mask, input.flow);
        let origin = Origin {
            table_id: 0,
            cookie: u64::MAX,
            is_table_miss: false,
            is_action_set: false,
            is_bucket: false,
        };
        Self {
            input,
            flow,
            base,
            mask,
            actions,
            steps,
            action_set: ActionSet::default(),
            stack: Vec::new(),
            origin,
            rule: Speaker::Nobody,
            depth: 0,
            n_resubmits: 0,
            n_recirculations: 0,
            n_done: 0,
            n_cloned: 0,
            n_lost: 0,
            hash: None,
            packet_hash: None,
            liveness: Liveness::default(),
            stale: Stale::No,
            has_output: false,
            mirrored: 0,
            snaplen: 0,
            has_meter: false,
            drop: None,
            error: None,
            credits,
            learns,
            deps,
            frozen,
            packet_ins,
            report: Reporter::new(input.is_traced),
        }
    }

    /// Runs the pipeline to its end.
    pub(crate) fn run(&mut self) {
        if self.may_receive() {
            if !matches!(self.input.start, Start::Resume(_)) {
                self.mirror_ingress();
            }
            self.begin();
            while (self.error.is_none() || self.recover())
                && let Some(step) = self.steps.pop()
            {
                self.step(step);
            }
        }
        self.note_liveness();
        if let Some(error) = self.error {
            self.report.say(NodeKind::Error, format_args!("{error}"));
        }
    }

    /// Whether the ingress port takes this frame (OpenFlow 1.3.5 §7.2.1; 1.0.1 §5.2.1 for spanning
    /// tree).
    fn may_receive(&mut self) -> bool {
        let in_port = self.input.in_port;
        self.deps.note_port(in_port);
        if matches!(in_port, OfPort::CONTROLLER) {
            return true;
        }
        let Some(port) = self.input.state.ports.get(in_port) else {
            // Whichever port takes the place changes this. A packet-out may pretend to come from
            // nowhere.
            self.deps.note_all_ports();
            let is_made = matches!(self.input.start, Start::Actions(_));
            if !is_made {
                self.drop = Some(DropReason::RxNoSuchPort);
            }
            return is_made;
        };
        if matches!(self.input.start, Start::Actions(_)) {
            return true;
        }
        let config = port.config();
        let closed = PortConfig::NO_RECV | PortConfig::NO_RECV_STP;
        let bit = if config.intersects(closed) && !config.contains(closed) {
            const STP: u128 = 0x0180_c200_0000;
            self.mask.set_exact(Field::EthDst);
            let is_stp = self.flow.get(Field::EthDst) == STP;
            if is_stp { PortConfig::NO_RECV_STP } else { PortConfig::NO_RECV }
        } else {
            PortConfig::NO_RECV
        };
        let may = !config.intersects(bit | PortConfig::PORT_DOWN);
        if !may {
            self.drop = Some(DropReason::RxPortDown);
        }
        may
    }

    fn begin(&mut self) {
        match self.input.start {
            Start::Tables => {
                self.steps.push(Step::ActionSet);
                self.lookup(0, LookupKind::Pipeline, OfPort(self.flow.in_port()));
            }
            Start::Actions(actions) => {
                self.steps.push(Step::ActionSet);
                self.steps.push(Step::Actions { list: List::Own(Arc::from(actions)), next: 0 });
            }
            Start::Resume(frozen) => {
                for word in pipeline_words() {
                    self.flow.set_word(word, frozen.metadata.word(word));
                }
                self.flow.set_in_port(frozen.metadata.in_port());
                self.flow.set_actset_output(frozen.action_set.output().0);
                *self.base = *self.flow;
                self.steps.clone_from(&frozen.steps);
                self.action_set = frozen.action_set.clone();
                self.stack.clone_from(&frozen.stack);
                self.hash = frozen.hash;
                self.mirrored = frozen.mirrored;
                self.packet_hash = frozen.hash;
                self.origin = frozen.origin;
                self.depth = frozen.depth;
                self.n_resubmits = frozen.n_resubmits;
                self.n_recirculations = frozen.n_recirculations;
                self.report.open(NodeKind::Thaw, format_args!("thaw"));
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Actions { list, next } => {
                if let List::Rule(rule) = &list {
                    self.rule = Speaker::Kept(Arc::clone(rule));
                }
                self.run_list(list.run(), next);
            }
            Step::Instructions(rule) => self.instructions(&rule),
            Step::Lookup { table_id, kind, in_port } => self.lookup(table_id, kind, in_port),
            Step::Return { origin, depth } => {
                self.origin = origin;
                self.depth = depth;
                // The action set is told of below the first table, as Open vSwitch does.
                if self.steps.len() > 1 {
                    self.report.close();
                }
            }
            Step::Buckets { group, next, end } => self.run_buckets(group, next, end),
            Step::Clone(list) => self.run_clone(list),
            Step::Restore(saved) => self.restore(&saved),
            Step::Branch(fork) => self.end_branch(fork),
            Step::ActionSet => {
                let set = mem::take(&mut self.action_set);
                if !set.is_empty() {
                    self.report.open(NodeKind::Table, format_args!("--. Executing action set:"));
                    self.origin.is_action_set = true;
                    let list = List::Own(Arc::from(set.into_ordered()));
                    self.steps.push(Step::Actions { list, next: 0 });
                }
            }
        }
    }

    /// Runs the actions of a list from the `first` on.
    pub(crate) fn run_list(&mut self, list: Run<'_>, first: usize) {
        for (index, action) in list.actions().iter().enumerate().skip(first) {
            self.report.say(NodeKind::Action, format_args!("{action}"));
            if self.is_too_much() {
                return;
            }
            match self.act(action) {
                Verdict::Next if self.error.is_none() => {}
                Verdict::Next => return,
                Verdict::Call(step) => {
                    if index + 1 < list.actions().len() {
                        self.steps.push(Step::Actions { list: list.to_list(), next: index + 1 });
                    }
                    self.steps.push(step);
                    return;
                }
                Verdict::Stop => {
                    while self.steps.pop_if(|step| !step.ends_rule()).is_some() {}
                    return;
                }
                Verdict::Exit => {
                    let is_end = |step: &Step| {
                        matches!(step, Step::Restore(_) | Step::Branch(_) | Step::ActionSet)
                    };
                    while self.steps.pop_if(|step| !is_end(step)).is_some() {}
                    return;
                }
                Verdict::Pause(controller) => {
                    if index + 1 < list.actions().len() {
                        self.steps.push(Step::Actions { list: list.to_list(), next: index + 1 });
                    }
                    self.pause(&controller);
                    return;
                }
                Verdict::Fork(len, dst) => {
                    if index + 1 < list.actions().len() {
                        self.steps.push(Step::Actions { list: list.to_list(), next: index + 1 });
                    }
                    self.fork(len, dst);
                    return;
                }
                Verdict::Freeze(hash) => {
                    self.steps.push(Step::Actions { list: list.to_list(), next: index });
                    self.freeze(hash);
                    return;
                }
            }
        }
    }

    /// Says what the action set holds.
    fn report_action_set(&mut self, verb: &str) {
        if !self.report.is_on() {
            return;
        }
        let actions = self.action_set.clone().into_ordered();
        if actions.is_empty() {
            self.report.say(NodeKind::Detail, format_args!("action set {verb} empty"));
        } else {
            let list = ActionsText { actions: &actions, ports: &NoNames };
            self.report.say(NodeKind::Detail, format_args!("action set {verb}: {list}"));
        }
    }

    fn instructions(&mut self, rule: &Rule) {
        let instructions = &rule.instructions;
        let sets = instructions.clear || !instructions.write.is_empty();
        if instructions.clear {
            self.report.say(NodeKind::Action, format_args!("clear_actions"));
            self.report_action_set("was");
            self.action_set.clear();
        }
        if !instructions.write.is_empty() {
            let list = ActionsText { actions: &instructions.write, ports: &NoNames };
            self.report.say(NodeKind::Action, format_args!("write_actions({list})"));
            for action in &instructions.write {
                if self.action_set.write(action).is_err() {
                    self.error = Some(TranslateError::TooManyActions);
                }
            }
            self.report_action_set("is");
        }
        if sets {
            self.note_action_set();
        }
        if let Some((value, bits)) = instructions.metadata {
            if bits == u64::MAX {
                self.report.say(NodeKind::Action, format_args!("write_metadata:{value:#x}"));
            } else {
                let text = format_args!("write_metadata:{value:#x}/{bits:#x}");
                self.report.say(NodeKind::Action, text);
            }
            self.mask.add(Field::Metadata, bits.into());
            self.flow.set_masked(Field::Metadata, value.into(), bits.into());
        }
        if let Some(table_id) = instructions.goto_table {
            self.report.say(NodeKind::Action, format_args!("goto_table:{table_id}"));
            self.steps.push(self.pipeline(table_id));
        }
    }

    /// The key says where the action set sends the packet (1.5.1 §7.2.3.9).
    fn note_action_set(&mut self) {
        self.flow.set_actset_output(self.action_set.output().0);
    }

    /// Notes that a part of the packet's headers is no longer what the flow says.
    pub(crate) fn go_stale(&mut self, stale: Stale) {
        self.stale = self.stale.max(stale);
        self.n_lost += 1;
    }

    /// What is watched counts as looked at.
    fn note_liveness(&mut self) {
        self.liveness.ports.iter().for_each(|port| self.deps.note_port(*port));
        self.liveness.groups().for_each(|group| self.deps.note_group(group));
    }

    /// Stops here; the packet, hashed if asked for, is extracted anew and goes on from the steps
    /// that are left. In a bucket these are the bucket's; what is behind it happens now.
    pub(crate) fn freeze(&mut self, hash: Option<HashAction>) {
        if self.n_recirculations >= MAX_RECIRCULATIONS {
            self.error = Some(TranslateError::TooDeep);
            return;
        }
        self.packet_hash = hash.or(self.packet_hash);
        let frozen = self.take_frozen();
        let Some(id) = self.input.state.frozen.propose(&frozen, self.frozen) else {
            self.error = Some(TranslateError::NoNumber);
            return;
        };
        self.frozen.push((id, Arc::new(frozen)));
        self.report.say(NodeKind::Detail, format_args!("recirculating with id {id:#x}"));
        if let Some(hash) = hash {
            self.emit(DpAction::Hash(hash));
        }
        self.emit(DpAction::Recirc(id));
        self.has_output = true;
    }

    /// Takes what is yet to be done: all, or in a bucket or clone what is left of that.
    pub(super) fn take_frozen(&mut self) -> Frozen {
        self.commit();
        let mut metadata = Flow::ZERO;
        for word in pipeline_words() {
            metadata.set_word(word, self.flow.word(word));
        }
        metadata.set_in_port(self.flow.in_port());
        let is_inside = self.steps.iter().any(|step| matches!(step, Step::Restore(_)));
        let end = self.end_of_branch();
        let steps = self.steps.split_off(end);
        let (action_set, stack) = if is_inside {
            // The action set is executed by whoever goes on behind the bucket.
            (ActionSet::default(), self.stack.clone())
        } else {
            (mem::take(&mut self.action_set), mem::take(&mut self.stack))
        };
        Frozen {
            steps,
            action_set,
            stack,
            hash: self.packet_hash,
            mirrored: self.mirrored,
            origin: self.origin,
            depth: self.depth,
            n_resubmits: self.n_resubmits,
            n_recirculations: self.n_recirculations + 1,
            metadata,
        }
    }

    /// Brings the packet to what the flow says.
    pub(crate) fn commit(&mut self) {
        commit(self.base, self.flow, self.mask, self.actions);
        self.check_length();
    }

    pub(crate) fn emit(&mut self, action: DpAction) {
        self.actions.push(action);
        self.check_length();
    }

    /// Emits actions that run on a copy.
    pub(crate) fn emit_clone(&mut self, inner: Arc<[DpAction]>) {
        self.n_cloned += inner.len();
        self.emit(DpAction::Clone(inner));
    }

    /// Counts something done; whether it was one too many.
    pub(crate) fn is_too_much(&mut self) -> bool {
        self.n_done += 1;
        if self.n_done > MAX_DONE {
            self.error = Some(TranslateError::TooManyActions);
        }
        self.n_done > MAX_DONE
    }

    fn check_length(&mut self) {
        if self.actions.len() + self.n_cloned > MAX_ACTIONS {
            self.error.get_or_insert(TranslateError::TooManyActions);
        }
    }

    /// Notes why nothing was sent, in case that nothing else is; the first reason counts.
    pub(crate) fn not_sent(&mut self, reason: DropReason, why: core::fmt::Arguments<'_>) {
        self.report.say(NodeKind::Warn, why);
        self.drop.get_or_insert(reason);
    }
}

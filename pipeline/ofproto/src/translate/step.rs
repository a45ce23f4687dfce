//! What a translation has yet to do, and what is kept of it when it freezes.

use super::action_set::ActionSet;
use super::fork::Fork;
use super::group::Saved;
use crate::group::Group;
use crate::mirror::MirrorSet;
use crate::rule::Rule;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use datapath::HashAction;
use flow::Flow;
use flow::layout::PORT;
use openflow::{Action, ControllerAction, OfPort, Subfield};

/// A list of actions to run.
#[derive(Clone, Debug)]
pub(crate) enum List {
    /// A rule's apply-actions.
    Rule(Arc<Rule>),
    /// A packet-out's, or an action set or bucket in order.
    Own(Arc<[Action]>),
}

impl List {
    pub(crate) fn actions(&self) -> &[Action] {
        match self {
            List::Rule(rule) => &rule.instructions.apply,
            List::Own(actions) => actions,
        }
    }

    /// The same, borrowed.
    pub(crate) fn run(&self) -> Run<'_> {
        match self {
            List::Rule(rule) => Run::Rule(rule),
            List::Own(actions) => Run::Own(actions),
        }
    }
}

/// A list of actions that is run: nobody shares it before some of it has to be put off.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Run<'a> {
    Rule(&'a Arc<Rule>),
    Own(&'a Arc<[Action]>),
}

impl<'a> Run<'a> {
    pub(crate) fn actions(self) -> &'a [Action] {
        match self {
            Run::Rule(rule) => &rule.instructions.apply,
            Run::Own(actions) => actions,
        }
    }

    pub(crate) fn to_list(self) -> List {
        match self {
            Run::Rule(rule) => List::Rule(Arc::clone(rule)),
            Run::Own(actions) => List::Own(Arc::clone(actions)),
        }
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.actions() == other.actions()
    }
}

impl Eq for List {}

/// How a lookup came about, which decides what a miss does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookupKind {
    /// The first one, a goto, or a packet-out to the tables: a miss is a table miss.
    Pipeline,
    /// A resubmit: a miss does nothing.
    Resubmit,
}

/// Which rule speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) table_id: u8,
    pub(crate) cookie: u64,
    /// Whether it is the table-miss entry.
    pub(crate) is_table_miss: bool,
    /// Whether the action set speaks for it.
    pub(crate) is_action_set: bool,
    /// Whether a bucket of a group speaks for it.
    pub(crate) is_bucket: bool,
}

/// One thing that the machine has yet to do; see the module.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Actions {
        list: List,
        next: usize,
    },
    /// The instructions of a rule after its actions: clear, write, metadata (1.3.5 §5.9).
    Instructions(Arc<Rule>),
    /// A lookup as if the packet had come in on `in_port`, which is pretended for the lookup alone.
    Lookup {
        table_id: u8,
        kind: LookupKind,
        in_port: OfPort,
    },
    Return {
        origin: Origin,
        depth: u32,
    },
    /// The buckets of a group from `next` to before `end`, each on a copy of the packet.
    Buckets {
        group: Arc<Group>,
        next: usize,
        end: usize,
    },
    /// Actions on a copy of the packet.
    Clone(Arc<[Action]>),
    /// The end of a bucket or clone: everything is as it was before it.
    Restore(Box<Saved>),
    /// The end of what is done to packets of some length.
    Branch(Box<Fork>),
    ActionSet,
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Step::Actions { list: a, next: n }, Step::Actions { list: b, next: m }) => {
                n == m && a == b
            }
            (Step::Instructions(a), Step::Instructions(b)) => a.instructions == b.instructions,
            (
                Step::Lookup { table_id: a, kind: k, in_port: p },
                Step::Lookup { table_id: b, kind: l, in_port: q },
            ) => a == b && k == l && p == q,
            (Step::Return { origin: a, depth: d }, Step::Return { origin: b, depth: e }) => {
                a == b && d == e
            }
            (
                Step::Buckets { group: a, next: n, end: e },
                Step::Buckets { group: b, next: m, end: f },
            ) => n == m && e == f && a == b,
            (Step::Clone(a), Step::Clone(b)) => a == b,
            (Step::ActionSet, Step::ActionSet) => true,
            // An end of a bucket or branch is never kept: what freezes there is its own steps alone.
            _ => false,
        }
    }
}

impl Eq for Step {}

/// A translation that stopped in the middle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    pub(crate) steps: Vec<Step>,
    pub(crate) action_set: ActionSet,
    pub(crate) stack: Vec<u128>,
    pub(crate) origin: Origin,
    pub(crate) depth: u32,
    pub(crate) n_resubmits: u32,
    pub(crate) n_recirculations: u8,
    /// What the packet's `dp_hash` is a hash of, if it has one.
    pub(crate) hash: Option<HashAction>,
    /// Mirrors that had the packet.
    pub(crate) mirrored: MirrorSet,
    /// Metadata, registers and OpenFlow ingress port.
    pub(crate) metadata: Flow,
}

impl Frozen {
    /// The same, to go on from with other metadata, in a packet that comes anew.
    pub(crate) fn thawed(&self, metadata: Flow) -> Frozen {
        Frozen { metadata, hash: None, n_recirculations: 0, ..self.clone() }
    }
}

impl Hash for Frozen {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Equality compares all; a hash of what differs most often is enough.
        state.write_usize(self.steps.len());
        state.write_u64(self.origin.cookie);
        state.write_u64(u64::from(self.origin.table_id));
        for step in &self.steps {
            match step {
                Step::Actions { list, next } => {
                    state.write_usize(list.actions().len());
                    state.write_usize(*next);
                }
                Step::Lookup { table_id, .. } => state.write_u64(u64::from(*table_id)),
                Step::Buckets { group, next, .. } => {
                    state.write_u32(group.id);
                    state.write_usize(*next);
                }
                Step::Clone(list) => state.write_usize(list.len()),
                Step::Return { .. }
                | Step::Instructions(_)
                | Step::Restore(_)
                | Step::Branch(_)
                | Step::ActionSet => {}
            }
        }
        for word in 0..=PORT {
            state.write_u64(self.metadata.word(word));
        }
    }
}

/// What an action asks the machine to do next.
pub(crate) enum Verdict {
    /// Go on with the list.
    Next,
    /// Do this first, then go on with the list.
    Call(Step),
    /// The rest of this rule is not executed.
    Stop,
    /// Nothing but the action set is executed; in a bucket, nothing more of it.
    Exit,
    /// Send the packet to controllers and go on when one of them resumes it.
    Pause(ControllerAction),
    /// Go on once as a packet longer than so many bytes, and once as one that is not; the bit says
    /// which.
    Fork(u16, Subfield),
    /// Freeze, with this hash if one is asked for, and do this action again afterwards.
    Freeze(Option<HashAction>),
}

impl Step {
    /// Whether a rule's own steps end above this one.
    pub(crate) fn ends_rule(&self) -> bool {
        matches!(self, Step::Return { .. } | Step::Restore(_) | Step::Branch(_) | Step::ActionSet)
    }
}

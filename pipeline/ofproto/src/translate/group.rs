//! What a group does to a flow (OpenFlow 1.3.5 §5.6).
//!
//! # Buckets run on copies
//! A bucket's actions run as a list of their own, between a step that brings everything back
//! ([`Step::Restore`]) and the top of the stack. So whatever happens in it (an exit, a freeze, an
//! error of its own) ends with the bucket, and what follows the group sees the packet as it was.
//!
//! # Without copying, mostly
//! The datapath makes no copy of the packet for a bucket: the next commit just writes back what the
//! bucket wrote, as in Open vSwitch. What a bucket did that cannot be written back (a label popped,
//! a header put out of sight) makes its actions a `clone`.

use super::TranslateError;
use super::action_set::ActionSet;
use super::machine::{Machine, Stale};
use super::report::NodeKind;
use super::step::{List, Origin, Step, Verdict};
use crate::group::choose::{Method, hash_fields, hash_symmetric};
use crate::group::{Group, GroupBucket};
use crate::ukey::Credit;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write as _;
use datapath::{DpAction, DropReason, HashAction};
use flow::{Field, Flow};
use openflow::{Action, Bucket, GROUP_ANY, GroupType, OfPort};

/// Clones within clones that the datapath takes.
pub(super) const MAX_CLONE_DEPTH: usize = 8;

/// What a bucket changes and its end brings back.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    flow: Flow,
    base: Flow,
    stale: Stale,
    origin: Origin,
    depth: u32,
    packet_hash: Option<HashAction>,
    n_lost: u32,
    pub(super) n_actions: usize,
    report_depth: usize,
    /// The action set and stack, where they come back too.
    kept: Option<(ActionSet, Vec<u128>)>,
}

/// Which bucket a group goes on with.
enum Choice {
    Bucket(usize),
    None,
    Freeze(Option<HashAction>),
}

impl Machine<'_> {
    /// The group action.
    pub(crate) fn group(&mut self, id: u32) -> Verdict {
        if let Some(error) = self.exhausted() {
            self.error = Some(error);
            return Verdict::Next;
        }
        self.n_resubmits += 1;
        self.deps.note_group(id);
        let Some(group) = self.input.state.groups.get(id) else {
            self.not_sent(
                DropReason::GroupNoBucket,
                format_args!("output to nonexistent group {id}"),
            );
            return Verdict::Stop;
        };
        let group = Arc::clone(group);
        let choice = match group.group_type {
            GroupType::All | GroupType::Indirect => {
                self.credits.push(Credit::Counts(Arc::clone(&group.counts)));
                for bucket in &group.buckets {
                    self.credits.push(Credit::Counts(Arc::clone(&bucket.counts)));
                }
                let end = group.buckets.len();
                return Verdict::Call(Step::Buckets { group, next: 0, end });
            }
            GroupType::Select => self.select(&group),
            GroupType::FastFailover => self.first_live(&group),
        };
        match choice {
            Choice::Bucket(place) => {
                let Some(bucket) = group.buckets.get(place) else { return Verdict::Next };
                let bucket_id = bucket.desc.bucket_id;
                self.report.say(NodeKind::Detail, format_args!("using bucket {bucket_id}"));
                self.credits.push(Credit::Counts(Arc::clone(&group.counts)));
                self.credits.push(Credit::Counts(Arc::clone(&bucket.counts)));
                Verdict::Call(Step::Buckets { group, next: place, end: place + 1 })
            }
            Choice::None => {
                self.report.say(NodeKind::Detail, format_args!("no live bucket"));
                self.drop.get_or_insert(DropReason::GroupNoBucket);
                Verdict::Next
            }
            Choice::Freeze(hash) => Verdict::Freeze(hash),
        }
    }

    /// The bucket of a select group.
    fn select(&mut self, group: &Group) -> Choice {
        let Some(chooser) = &group.chooser else { return Choice::None };
        if self.stale != Stale::No {
            return Choice::Freeze(None);
        }
        let hash = match &chooser.method {
            Method::Datapath(hash) if self.hash != Some(*hash) => {
                let how = "selection method in use: dp_hash, recirculating";
                self.report.say(NodeKind::Detail, format_args!("{how}"));
                return Choice::Freeze(Some(*hash));
            }
            Method::Datapath(_) => {
                self.mask.add(Field::DpHash, chooser.hash_mask().into());
                self.flow.dp_hash()
            }
            Method::Fields { fields, basis } => hash_fields(self.flow, self.mask, fields, *basis),
            Method::Symmetric => hash_symmetric(self.flow, self.mask),
        };
        let picked = chooser.pick(hash, |place| {
            group.buckets.get(place).is_some_and(|bucket| self.is_live(bucket))
        });
        picked.map_or(Choice::None, Choice::Bucket)
    }

    /// The bucket of a fast failover group.
    fn first_live(&mut self, group: &Group) -> Choice {
        for (place, bucket) in group.buckets.iter().enumerate() {
            if self.is_live(bucket) {
                return Choice::Bucket(place);
            }
        }
        Choice::None
    }

    fn is_live(&mut self, bucket: &GroupBucket) -> bool {
        if self.is_too_much() {
            return false;
        }
        let is_live = self.liveness.is_live(self.input.state, &bucket.desc);
        if !is_live && self.report.is_on() {
            let why = watches(&bucket.desc);
            let id = bucket.desc.bucket_id;
            self.report.say(NodeKind::Detail, format_args!("bucket {id}: not live due to {why}"));
        }
        is_live
    }

    /// Runs buckets, the first of them now.
    pub(crate) fn run_buckets(&mut self, group: Arc<Group>, next: usize, end: usize) {
        let Some(bucket) = group.buckets.get(next).filter(|_| next < end) else {
            return;
        };
        if self.is_too_much() {
            return;
        }
        let (list, bucket_id) = (Arc::clone(&bucket.list), bucket.desc.bucket_id);
        if next + 1 < end {
            self.steps.push(Step::Buckets { group, next: next + 1, end });
        }
        self.save(None);
        self.origin.is_bucket = true;
        self.depth += 1;
        self.report.open(NodeKind::Bucket, format_args!("bucket {bucket_id}"));
        if list.is_empty() {
            self.report.say(NodeKind::Action, format_args!("drop"));
        }
        self.steps.push(Step::Actions { list: List::Own(list), next: 0 });
    }

    /// Runs actions without consequence for what follows but for what they send (Nicira's `clone`):
    /// fields, stack and action set come back.
    pub(crate) fn run_clone(&mut self, list: Arc<[Action]>) {
        self.save(Some((self.action_set.clone(), self.stack.clone())));
        // The copy's way ends here, so what was written so far is done to it, as in Open vSwitch.
        self.steps.push(Step::ActionSet);
        self.steps.push(Step::Actions { list: List::Own(list), next: 0 });
    }

    /// Begins what ends with [`restore`](Self::restore).
    fn save(&mut self, kept: Option<(ActionSet, Vec<u128>)>) {
        let saved = self.saved(kept);
        self.steps.push(Step::Restore(Box::new(saved)));
    }

    /// Everything as it is.
    pub(super) fn saved(&self, kept: Option<(ActionSet, Vec<u128>)>) -> Saved {
        Saved {
            flow: *self.flow,
            base: *self.base,
            stale: self.stale,
            origin: self.origin,
            depth: self.depth,
            packet_hash: self.packet_hash,
            n_lost: self.n_lost,
            n_actions: self.actions.len(),
            report_depth: self.report.depth(),
            kept,
        }
    }

    /// Ends a bucket.
    pub(crate) fn restore(&mut self, saved: &Saved) {
        if self.n_lost != saved.n_lost {
            self.enclose(saved.n_actions);
            *self.base = saved.base;
            self.packet_hash = saved.packet_hash;
            self.n_lost = saved.n_lost;
        }
        self.bring_back_flow(saved);
    }

    /// Makes everything what it was, the packet included.
    pub(super) fn bring_back(&mut self, saved: &Saved) {
        *self.base = saved.base;
        self.packet_hash = saved.packet_hash;
        self.n_lost = saved.n_lost;
        self.bring_back_flow(saved);
    }

    fn bring_back_flow(&mut self, saved: &Saved) {
        *self.flow = saved.flow;
        self.stale = saved.stale;
        self.origin = saved.origin;
        self.depth = saved.depth;
        if let Some((action_set, stack)) = &saved.kept {
            self.action_set.clone_from(action_set);
            self.stack.clone_from(stack);
        }
        self.report.close_to(saved.report_depth);
    }

    /// Makes the actions from `start` on a clone, or nothing if they have no effect outside.
    fn enclose(&mut self, start: usize) {
        let inner = self.actions.split_off(start.min(self.actions.len()));
        let has_effect = inner.iter().any(|action| {
            matches!(
                action,
                DpAction::Output(_)
                    | DpAction::Upcall(_)
                    | DpAction::SlowPath(_)
                    | DpAction::Recirc(_)
                    | DpAction::Clone(_)
                    | DpAction::CheckPktLen(_)
                    | DpAction::Meter(_)
            )
        });
        if has_effect {
            if clone_depth(&inner) >= MAX_CLONE_DEPTH {
                self.error = Some(TranslateError::TooDeep);
            }
            self.emit_clone(inner.into());
        }
    }

    /// Whether an error that a bucket made is that bucket's alone; then goes on behind it.
    pub(crate) fn recover(&mut self) -> bool {
        let is_own =
            matches!(self.error, Some(TranslateError::TooManyLabels | TranslateError::TooManyTags));
        let is_inside = self.steps.iter().any(|step| matches!(step, Step::Restore(_)));
        match self.error {
            Some(error) if is_own && is_inside => {
                self.report.say(NodeKind::Error, format_args!("{error}"));
                self.drop.get_or_insert(DropReason::TranslationError);
                let end = self.end_of_branch();
                self.steps.truncate(end);
                self.error = None;
                true
            }
            _ => false,
        }
    }
}

/// How deep clones are nested, as far as it matters.
pub(super) fn clone_depth(actions: &[DpAction]) -> usize {
    let inner = actions.iter().filter_map(|action| match action {
        DpAction::Clone(inner) => Some(1 + clone_depth(inner)),
        DpAction::CheckPktLen(check) => {
            Some(1 + clone_depth(&check.greater).max(clone_depth(&check.less_equal)))
        }
        _ => None,
    });
    inner.max().unwrap_or(0)
}

/// What a bucket watches, in Open vSwitch's words.
fn watches(bucket: &Bucket) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    if bucket.watch_port != OfPort::ANY {
        let _ = write!(text, "port {}", bucket.watch_port);
    }
    if bucket.watch_group != GROUP_ANY {
        let and = if text.is_empty() { "" } else { " and " };
        let _ = write!(text, "{and}group {}", bucket.watch_group);
    }
    text
}

/// The actions of an action set in the order of execution; `None` if they are too many.
pub(crate) fn ordered_actions(actions: &[Action]) -> Option<alloc::vec::Vec<Action>> {
    let mut set = super::action_set::ActionSet::default();
    for action in actions {
        set.write(action).ok()?;
    }
    Some(set.into_ordered())
}

//! Going on in two ways at once: what the tables do to long packets, and what they do to short ones
//! (Nicira's `check_pkt_larger`).
//!
//! The length is not in the key, so one megaflow serves both. Everything that is left to do (up to
//! the end of the bucket or clone, else of the pipeline, action set included) is translated twice,
//! once with the bit that the action writes set and once with it clear, and the datapath picks the
//! program that goes with each packet's length. A step at the bottom of each branch
//! ([`Step::Branch`]) takes the branch's actions and brings everything back.
//!
//! # Cost
//! Every action in a branch counts against the bounds of the whole translation, so a chain of such
//! actions, which doubles the work each time, ends there. The datapath nests programs eight deep.

use super::TranslateError;
use super::group::{MAX_CLONE_DEPTH, Saved, clone_depth};
use super::machine::Machine;
use super::step::Step;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{CheckPktLen, DpAction, DropReason};
use openflow::Subfield;

/// The branches of one check, the first of which is under way or done.
#[derive(Clone, Debug)]
pub(crate) struct Fork {
    saved: Saved,
    len: u16,
    dst: Subfield,
    /// What is left to do in each branch.
    rest: Vec<Step>,
    /// What becomes of the longer packets, once it is known.
    greater: Option<Arc<[DpAction]>>,
}

impl Machine<'_> {
    /// Begins with the packets that are longer. The steps on the stack are what is left to do.
    pub(crate) fn fork(&mut self, len: u16, dst: Subfield) {
        // The length is that of the packet as it would be sent here.
        self.commit();
        self.mask.add(dst.field, dst.mask());
        let rest = self.steps.split_off(self.end_of_branch());
        let saved = self.saved(Some((self.action_set.clone(), self.stack.clone())));
        self.branch(Box::new(Fork { saved, len, dst, rest, greater: None }));
    }

    /// Where the steps begin that a branch, bucket or clone has of its own.
    pub(crate) fn end_of_branch(&self) -> usize {
        let is_end = |step: &Step| matches!(step, Step::Restore(_) | Step::Branch(_));
        self.steps.iter().rposition(is_end).map_or(0, |end| end + 1)
    }

    fn branch(&mut self, fork: Box<Fork>) {
        let rest = fork.rest.clone();
        let bit = u128::from(fork.greater.is_none()) << fork.dst.offset;
        self.flow.set_masked(fork.dst.field, bit, fork.dst.mask());
        self.steps.push(Step::Branch(fork));
        self.steps.extend(rest);
    }

    /// Ends a branch: goes on with the other one, or with what is behind both.
    pub(crate) fn end_branch(&mut self, mut fork: Box<Fork>) {
        let start = fork.saved.n_actions.min(self.actions.len());
        let mut program = self.actions.split_off(start);
        if program.is_empty() {
            program.push(DpAction::Drop(self.drop.unwrap_or(DropReason::ActionDrop)));
        }
        self.n_cloned += program.len();
        self.bring_back(&fork.saved);
        let Some(greater) = fork.greater.take() else {
            fork.greater = Some(program.into());
            return self.branch(fork);
        };
        if clone_depth(&greater).max(clone_depth(&program)) >= MAX_CLONE_DEPTH {
            self.error = Some(TranslateError::TooDeep);
        }
        let check = CheckPktLen { len: fork.len, greater, less_equal: program.into() };
        self.emit(DpAction::CheckPktLen(check));
        // Nothing that is known of the packet's hash holds in both branches.
        self.hash = None;
    }
}

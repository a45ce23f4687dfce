//! The action set (OpenFlow 1.3.5 §5.10): what write-actions collect and the end of the pipeline
//! executes, in an order of its own.

use alloc::vec::Vec;
use core::mem::discriminant;
use openflow::{Action, OfPort};

/// Actions that a set may hold: one of each kind and field is far less; masked writes of one field
/// do not replace each other and are what this bounds.
const MAX_ACTIONS: usize = 256;

/// The set; see the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ActionSet(Vec<Action>);

/// The set holds all the actions that it may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Full;

impl ActionSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds an action in place of the one of its kind: for set-field, of its field.
    pub(crate) fn write(&mut self, action: &Action) -> Result<(), Full> {
        self.0.retain(|old| !replaces(action, old));
        if self.0.len() >= MAX_ACTIONS {
            return Err(Full);
        }
        self.0.push(action.clone());
        Ok(())
    }

    /// The port that it sends to: none where a group takes the output's place (1.5.1 §7.2.3.9).
    pub(crate) fn output(&self) -> OfPort {
        if self.0.iter().any(|action| matches!(action, Action::Group(_))) {
            return OfPort::UNSET;
        }
        let port = self.0.iter().rev().find_map(|action| match action {
            Action::Output { port, .. } => Some(*port),
            _ => None,
        });
        port.unwrap_or(OfPort::UNSET)
    }

    /// The actions in the order of execution. A group takes the place of an output.
    pub(crate) fn into_ordered(mut self) -> Vec<Action> {
        let has_group = self.0.iter().any(|action| matches!(action, Action::Group(_)));
        if has_group {
            self.0.retain(|action| rank(action) != RANK_OUTPUT);
        }
        self.0.sort_by_key(rank);
        self.0
    }
}

/// Whether `new` takes the place of `old`.
fn replaces(new: &Action, old: &Action) -> bool {
    match (new.written(), old.written()) {
        (Some((field, _, mask)), Some((old_field, _, old_mask))) => {
            field == old_field && old_mask & !mask == 0
        }
        (None, None) => {
            let are_outputs = rank(new) == RANK_OUTPUT && rank(old) == RANK_OUTPUT;
            let is_repeatable = matches!(new, Action::Move { .. } | Action::Note(_));
            are_outputs || (discriminant(new) == discriminant(old) && !is_repeatable)
        }
        _ => false,
    }
}

const RANK_OUTPUT: u8 = 10;

/// The place in the order of 1.3.5 §5.10.
fn rank(action: &Action) -> u8 {
    match action {
        Action::CopyTtlIn => 0,
        Action::PopVlan | Action::PopMpls(_) | Action::PopPbb => 1,
        Action::PushMpls(_) => 2,
        Action::PushPbb(_) => 3,
        Action::PushVlan(_) => 4,
        Action::CopyTtlOut => 5,
        Action::DecTtl(_) | Action::DecMplsTtl => 6,
        Action::SetQueue(_) => 8,
        Action::Group(_) => 9,
        Action::Output { .. }
        | Action::Controller(_)
        | Action::OutputReg { .. }
        | Action::OutputTrunc { .. }
        | Action::Enqueue { .. }
        | Action::Resubmit { .. } => RANK_OUTPUT,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use flow::Field;

    #[test]
    fn keeps_the_last_of_a_kind_in_the_specifications_order() {
        let mut set = ActionSet::default();
        let written = [
            Action::output(OfPort(1)),
            Action::set_field(Field::EthSrc, 1),
            Action::DecTtl(vec![0]),
            Action::PushVlan(0x8100),
            Action::set_field(Field::EthDst, 2),
            Action::set_field(Field::EthSrc, 3),
            Action::PopVlan,
            Action::output(OfPort(2)),
        ];
        for action in &written {
            set.write(action).unwrap();
        }
        let expected = vec![
            Action::PopVlan,
            Action::PushVlan(0x8100),
            Action::DecTtl(vec![0]),
            Action::set_field(Field::EthDst, 2),
            Action::set_field(Field::EthSrc, 3),
            Action::output(OfPort(2)),
        ];
        assert_eq!(set.clone().into_ordered(), expected);
        set.write(&Action::Group(1)).unwrap();
        assert_eq!(set.into_ordered().last(), Some(&Action::Group(1)));
    }

    #[test]
    fn is_bounded() {
        let mut set = ActionSet::default();
        let masked =
            |bit: u32| Action::SetField { field: Field::Ipv6Src, value: 0, mask: 1 << bit };
        for bit in 0..100 {
            set.write(&masked(bit)).unwrap();
            set.write(&Action::Note(vec![u8::try_from(bit).unwrap()])).unwrap();
        }
        let mut outcome = Ok(());
        for _ in 0..100 {
            outcome = outcome.and(set.write(&Action::Note(vec![])));
        }
        assert!(outcome.is_err());
    }
}

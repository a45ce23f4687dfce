//! The action set (OpenFlow 1.3.5 §5.10).

use openflow::{Action, OfPort};

/// Actions that wait for the end of the pipeline, in the order in which they were written.
#[derive(Debug, Clone, Default)]
pub(crate) struct ActionSet(Vec<Action>);

impl ActionSet {
    /// Adds actions. The set has at most one of each kind: a later one takes the place of an
    /// earlier one. Set-field actions of one field are one kind.
    pub(crate) fn write(&mut self, actions: &[Action]) {
        for action in actions {
            self.0.retain(|old| kind(old) != kind(action));
            self.0.push(action.clone());
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The actions in the order of their execution. Without an output or group the packet is
    /// dropped, so nothing is executed; with both the output is ignored.
    pub(crate) fn in_order(&self) -> Vec<Action> {
        let mut ordered = self.0.clone();
        ordered.sort_by_key(|action| kind(action).0);
        if ordered.iter().any(|action| kind(action).0 == GROUP) {
            ordered.retain(|action| kind(action).0 != OUTPUT);
        }
        match ordered.last() {
            Some(last) if kind(last).0 >= GROUP => ordered,
            _ => Vec::new(),
        }
    }

    /// The port that the set sends to, as the field `actset_output` tells: none with a group.
    pub(crate) fn output(&self) -> OfPort {
        if self.0.iter().any(|action| kind(action).0 == GROUP) {
            return OfPort::UNSET;
        }
        let port = self.0.iter().find_map(|action| match action {
            Action::Output { port, .. } => Some(*port),
            _ => None,
        });
        port.unwrap_or(OfPort::UNSET)
    }
}

/// The rank of groups: last, because an output is ignored then.
const GROUP: u8 = 11;
/// The rank of outputs: last.
const OUTPUT: u8 = 12;

/// An action's place in the order of execution, and what else makes it a kind of its own.
fn kind(action: &Action) -> (u8, Option<flow::Field>) {
    let rank = match action {
        Action::CopyTtlIn => 0,
        Action::PopVlan => 1,
        Action::PopMpls(_) | Action::PopPbb => 2,
        Action::PushMpls(_) => 3,
        Action::PushPbb(_) => 4,
        Action::PushVlan(_) => 5,
        Action::CopyTtlOut => 6,
        Action::DecTtl(_) => 7,
        Action::DecMplsTtl => 8,
        Action::SetQueue(_) => 10,
        Action::Group(_) => GROUP,
        Action::Output { .. } | Action::Controller(_) => OUTPUT,
        other => return (9, other.written().map(|(field, _, _)| field)),
    };
    (rank, None)
}

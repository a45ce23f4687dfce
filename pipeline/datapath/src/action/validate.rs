//! What a program must be before it is installed, so that running it needs no checks.

use super::DpAction;

/// Clones within clones, at most.
pub(super) const MAX_CLONE_DEPTH: usize = 8;
/// Actions in a program, those in clones included, at most. Flooding needs one a port.
pub(super) const MAX_ACTIONS: usize = 4096;

/// Why a program is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionError {
    /// Clones are nested deeper than 8.
    TooDeep,
    /// There are more than 4096.
    TooMany,
    /// A drop with a reason is followed by another action.
    DropNotLast,
}

/// Whether the datapath runs this program.
///
/// # Errors
/// The first reason found for which it does not.
pub fn validate(actions: &[DpAction]) -> Result<(), ActionError> {
    count(actions, 0).map(|_| ())
}

fn count(actions: &[DpAction], depth: usize) -> Result<usize, ActionError> {
    if depth > MAX_CLONE_DEPTH {
        return Err(ActionError::TooDeep);
    }
    let mut n = actions.len();
    for (index, action) in actions.iter().enumerate() {
        match action {
            DpAction::Clone(inner) => n += count(inner, depth + 1)?,
            DpAction::CheckPktLen(check) => {
                n += count(&check.greater, depth + 1)? + count(&check.less_equal, depth + 1)?;
            }
            DpAction::Drop(_) if index + 1 < actions.len() => return Err(ActionError::DropNotLast),
            _ => {}
        }
        if n > MAX_ACTIONS {
            return Err(ActionError::TooMany);
        }
    }
    Ok(n)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use alloc::{sync::Arc, vec};

    use super::*;
    use crate::{DropReason, PortNo};

    #[test]
    fn refuses_what_cannot_run() {
        let output = DpAction::Output(PortNo(1));
        let drop = DpAction::Drop(DropReason::NoRule);
        let clone = |inner: &DpAction| DpAction::Clone(Arc::from([inner.clone()]));
        let mut deep = output.clone();
        for _ in 0..=MAX_CLONE_DEPTH {
            deep = clone(&deep);
        }
        let cases = [
            (vec![], Ok(())),
            (vec![output.clone(), drop.clone()], Ok(())),
            (vec![clone(&drop), output.clone()], Ok(())),
            (vec![drop, output.clone()], Err(ActionError::DropNotLast)),
            (vec![clone(&DpAction::Meter(1))], Ok(())),
            (vec![deep], Err(ActionError::TooDeep)),
            (vec![output.clone(); MAX_ACTIONS], Ok(())),
            (vec![output; MAX_ACTIONS + 1], Err(ActionError::TooMany)),
        ];
        for (actions, expected) in cases {
            assert_eq!(validate(&actions), expected, "{} actions", actions.len());
        }
    }
}

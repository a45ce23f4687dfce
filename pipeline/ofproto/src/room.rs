//! How much memory a bridge may still take, and what it refuses when that is nothing.
//!
//! The limits of flows, rules and groups are numbers that a large machine can hold; a small one has less
//! memory than that, and a sender of new flows or a controller could take all of it. Whoever knows the
//! machine says each millisecond or so how many bytes are left for what ([`Bridge::set_room`]).
//!
//! * No room for *rules*: a new rule is refused as if its table were full, a new group as if there
//!   were no more. What there is can be changed and deleted.
//! * No room for *cached flows*: none are installed, so packets of new flows are translated one by one,
//!   and the least used quarter of the cached ones has to go, as above the flow limit.
//!
//! Rules are to be refused while there is still room for cached flows: they are less urgent, and
//! without any cached flow nothing is fast.
//!
//! # Cost
//! What a rule and a flow take is reckoned, not measured: on the safe side of what the benches show
//! (some 400 bytes a rule that shares its actions, some 630 bytes a cached flow). The next report of the true room
//! corrects it.

use crate::bridge::Bridge;
use crate::group::Group;
use openflow::OfErrorKind;

/// Reckoned for a cached flow: megaflow, key, mask, ukey, and the places of all in their tables.
const BYTES_A_FLOW: usize = 1536;
/// Reckoned for a rule with actions of its own.
const BYTES_A_RULE: usize = 1024;

/// Bytes that a bridge may still take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// For cached flows.
    pub for_flows: usize,
    /// For rules and groups.
    pub for_rules: usize,
}

impl Default for Room {
    /// Memory without end.
    fn default() -> Self {
        Self { for_flows: usize::MAX, for_rules: usize::MAX }
    }
}

impl Room {
    /// Whether there is none for another rule or group.
    pub(crate) fn is_out_of_rules(self) -> bool {
        self.for_rules < BYTES_A_RULE
    }

    /// A rule was added.
    pub(crate) fn take_rule(&mut self) {
        self.for_rules = self.for_rules.saturating_sub(BYTES_A_RULE);
    }

    /// How many flows may be cached, when there are `n`.
    fn most_flows(self, n: usize) -> usize {
        match self.for_flows / BYTES_A_FLOW {
            0 => n - n / 4,
            more => n.saturating_add(more),
        }
    }
}

impl Bridge {
    /// Says how much memory is left. To be repeated as it changes.
    pub fn set_room(&mut self, room: Room) {
        self.room = room;
        self.reval.flow_limit.set_ceiling(room.most_flows(self.ukeys.len()));
        self.state.quota.set_limit(self.reval.flow_limit());
    }

    /// How many bytes rules and groups may still take; `None` where nobody knows the machine's memory.
    #[must_use]
    pub fn room_for_rules(&self) -> Option<usize> {
        Some(self.room.for_rules).filter(|bytes| *bytes != usize::MAX)
    }

    /// Whether there is memory for another rule or group.
    #[must_use]
    pub fn has_room_for_rules(&self) -> bool {
        !self.room.is_out_of_rules()
    }

    /// Whether there is memory for this group, in the place of the one with its number if there is one.
    pub(crate) fn check_room_for(&self, group: &Group) -> Result<(), OfErrorKind> {
        let is_new = || self.state.groups.get(group.id).is_none();
        match self.room.is_out_of_rules() && is_new() {
            true => Err(OfErrorKind::GroupModOutOfGroups),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_grow_with_the_room_and_shrink_without() {
        let most = |for_flows, n| Room { for_flows, ..Room::default() }.most_flows(n);
        assert_eq!(most(usize::MAX, 7), usize::MAX / BYTES_A_FLOW + 7);
        assert_eq!(most(10 * BYTES_A_FLOW, 100), 110);
        assert_eq!(most(BYTES_A_FLOW - 1, 100), 75);
        assert_eq!(most(0, 0), 0);
    }

    #[test]
    fn rules_take_room_until_there_is_none() {
        let mut room = Room { for_rules: 2 * BYTES_A_RULE + 1, ..Room::default() };
        for _ in 0..2 {
            assert!(!room.is_out_of_rules());
            room.take_rule();
        }
        assert!(room.is_out_of_rules());
    }
}

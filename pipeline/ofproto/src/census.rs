//! A census: how many rules and groups name each group, or each meter, counted a few at a time.
//!
//! Statistics of groups and meters tell it (OpenFlow 1.3.5 §7.3.5.8 `ref_count`, §7.3.5.12 `flow_count`). It
//! would cost every change of a rule something to know it always; this way it costs those something who ask.
//! Rules are those that there were when the counting began; groups are counted as they are when their turn
//! comes.

use crate::bridge::Bridge;
use crate::group::groups_of;
use crate::meter::meters_of;
use crate::walk::RuleWalk;
use alloc::collections::BTreeMap;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Who leads to a group: rules, and groups by their buckets.
    Groups,
    /// Rules that a meter limits.
    Meters,
}

/// A census under way, or what came out of it.
#[derive(Debug)]
pub struct Census {
    counted: Counted,
    /// Until all rules are counted.
    walk: Option<RuleWalk>,
    /// The group from which on groups are still to be counted.
    next_group: Option<u32>,
    uses: BTreeMap<u32, u32>,
}

impl Census {
    /// How many were found that name this group or meter.
    #[must_use]
    pub fn uses(&self, id: u32) -> u32 {
        self.uses.get(&id).copied().unwrap_or(0)
    }
}

impl Bridge {
    /// Begins to count.
    pub fn begin_census(&mut self, counted: Counted) -> Census {
        let next_group = (counted == Counted::Groups).then_some(0);
        Census { counted, walk: Some(self.walk_all()), next_group, uses: BTreeMap::new() }
    }

    /// Goes on, looking at some `max` places of rules, or groups. Returns whether there may be more.
    pub fn count_on(&self, census: &mut Census, max: usize) -> bool {
        let Census { counted, walk, next_group, uses } = census;
        let mut count = |id: u32| *uses.entry(id).or_default() += 1;
        if let Some(under_way) = walk {
            let goes_on = self.walk_on(under_way, max, |rule| match counted {
                Counted::Groups => groups_of(rule).for_each(&mut count),
                Counted::Meters => meters_of(rule).for_each(&mut count),
            });
            if !goes_on {
                *walk = None;
            }
        } else if let Some(from) = *next_group {
            // A group counts for as many as it has buckets.
            let mut left = max;
            *next_group = None;
            for group in self.state.groups.from(from) {
                if left == 0 {
                    *next_group = Some(group.id);
                    break;
                }
                left = left.saturating_sub(group.buckets.len().max(1));
                group.neighbours().for_each(&mut count);
            }
        }
        walk.is_some() || next_group.is_some()
    }

    /// Counts in one go.
    pub(crate) fn census(&mut self, counted: Counted) -> Census {
        let mut census = self.begin_census(counted);
        while self.count_on(&mut census, usize::MAX) {}
        census
    }
}

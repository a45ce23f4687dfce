//! Sorting and gathering in little code, for what is done at a command or a change of configuration.
//!
//! # Why
//! `slice::sort` is made anew for each type and each closure, some six kilobytes each time, and so is
//! `collect` into a `BTreeMap` or a `BTreeSet`, which sorts first. Of those the image would have more than
//! all of its packet path.
//!
//! # How
//! [`sort`] orders indices, by one sort for all types, and then moves each item to its place.
//! [`gathered`] inserts one item after another.
//!
//! # Cost
//! A call for each comparison, a word for each item; `O(n log n)` as ever. Not for paths of packets.

use alloc::vec::Vec;
use core::cmp::Ordering;

/// Sorts as `slice::sort_by` does: what compares equal stays in order.
pub(crate) fn sort<T>(items: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    let mut from: Vec<usize> = (0..items.len()).collect();
    sort_indices(&mut from, &mut |a, b| match (items.get(a), items.get(b)) {
        (Some(a), Some(b)) => compare(a, b),
        _ => Ordering::Equal,
    });
    // Cycle by cycle: `from[k]` is where the item for place `k` is, or `k` when it is there.
    for start in 0..items.len() {
        let mut place = start;
        while let Some(next) = from.get_mut(place).map(|next| core::mem::replace(next, place)) {
            if next == start {
                break;
            }
            items.swap(place, next);
            place = next;
        }
    }
}

#[inline(never)]
fn sort_indices(indices: &mut [usize], compare: &mut dyn FnMut(usize, usize) -> Ordering) {
    indices.sort_by(|a, b| compare(*a, *b));
}

/// A map or a set of these; of equal keys the last stays.
pub(crate) fn gathered<T, C: Default + Extend<T>>(items: impl IntoIterator<Item = T>) -> C {
    let mut gathered = C::default();
    gathered.extend(items);
    gathered
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn sorts_as_the_library_does(mut items in prop::collection::vec((0_u8..20, any::<u32>()), 0..200)) {
            let mut expected = items.clone();
            expected.sort_by_key(|(key, _)| *key);
            sort(&mut items, |a, b| a.0.cmp(&b.0));
            prop_assert_eq!(items, expected);
        }

        #[test]
        fn gathers_as_the_library_does(items in prop::collection::vec((0_u8..20, any::<u32>()), 0..50)) {
            let expected: BTreeMap<_, _> = items.iter().copied().collect();
            prop_assert_eq!(gathered::<_, BTreeMap<_, _>>(items), expected);
        }
    }
}

//! Keeps the switch from running out of memory: looks at the heap each millisecond, and tells the
//! bridges what they may still take.
//!
//! ```text
//! 0                     rules end here            flows end here      total
//! ├────── in use ───────┼─────────────────────────┼───────────────────┤
//!                       └── two parts in sixteen ─┴── one part ───────┘
//! ```
//! Into the last sixteenth of the heap, a megabyte at the least, nothing grows that an outsider can have
//! many of: it is for connections, requests of the database, and what comes and goes. (The database
//! has limits of its own, by the machine's memory.) The two sixteenths before are for cached flows
//! alone, so that whoever fills the tables does not take what makes forwarding fast; and for the
//! moments in which a large table doubles its places, which takes a fifth of what its rules take.
//!
//! On a machine whose memory nobody can tell, as in tests on a host, nothing is bounded by it.

use crate::bridges::Member;
use crate::control::Control;
use ofproto::Room;
use sync::time::Nanos;

/// Between two looks.
const EVERY: Nanos = Nanos::from_millis(1);
/// A reserve is such a part of the heap.
const RESERVE_PART: usize = 16;
/// And not less than so many bytes.
const MIN_RESERVE: usize = 1 << 20;

/// What was found last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MemoryWatch {
    next: Nanos,
    /// Rules are refused.
    is_short: bool,
    /// How often that began.
    pub(crate) n_shortages: u64,
}

/// What is left for flows and for rules, of so many bytes in use and in all.
fn room(used: usize, total: usize) -> Room {
    if total == 0 {
        return Room::default();
    }
    let reserve = (total / RESERVE_PART).max(MIN_RESERVE);
    let for_flows = total.saturating_sub(used).saturating_sub(reserve);
    Room { for_flows, for_rules: for_flows.saturating_sub(2 * reserve) }
}

impl Control {
    /// Shares out what memory is left.
    pub(crate) fn share_memory(&mut self, now: Nanos) {
        if now < self.memory_watch.next {
            return;
        }
        self.memory_watch.next = now.saturating_add(EVERY);
        let (used, total) = (self.memory)();
        let room = room(used, total);
        let n_bridges = self.bridges.iter_mut().count().max(1);
        // A bridge may have refused since the last look what would have fitted.
        let is_short = room.for_rules == 0
            || self.bridges.iter_mut().any(|member| !member.bridge.has_room_for_rules());
        let each =
            Room { for_flows: room.for_flows / n_bridges, for_rules: room.for_rules / n_bridges };
        for Member { bridge, .. } in self.bridges.iter_mut() {
            bridge.set_room(each);
        }
        let was_short = core::mem::replace(&mut self.memory_watch.is_short, is_short);
        if is_short && !was_short {
            self.memory_watch.n_shortages += 1;
            log::warn!(
                "short of memory, {} of {} KiB in use: new rules and groups are refused, and few flows \
                 cached, until there is more; give the machine more, or \"flow-limit\" and tables less",
                used >> 10,
                total >> 10
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_end_before_flows_and_both_before_memory() {
        const MIB: usize = 1 << 20;
        let cases = [
            // MiB in use and in all; MiB for flows and rules.
            (0, 64, 60, 52),
            (50, 64, 10, 2),
            (52, 64, 8, 0),
            (60, 64, 0, 0),
            (64, 64, 0, 0),
            (4, 8, 3, 1),
            (6, 8, 1, 0),
            (7, 8, 0, 0),
        ];
        for (used, total, for_flows, for_rules) in cases {
            let expected = Room { for_flows: for_flows * MIB, for_rules: for_rules * MIB };
            assert_eq!(room(used * MIB, total * MIB), expected, "{used} of {total}");
        }
        assert_eq!(room(0, 0), Room::default());
    }
}

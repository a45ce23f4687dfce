//! Whose burst comes next: a core's time is shared evenly by the ports that it polls.
//!
//! # What
//! A burst of each port a round would be fair if bursts cost the same. They do not: a port that sends
//! nothing but new flows has them translated, installed and dropped, and a round would last as long as
//! its burst takes. So each port has an account of the cycles that were spent on it, and a port that is
//! ahead of the others waits while these have frames.
//!
//! # How
//! [`Turns::level`] is the lowest account of the ports that had frames in the last round. A port whose
//! account is more than [`LEAD`] above it is passed over. One that has no frames is lifted to the level:
//! silence earns nothing. If a round finds work on none of the others, the ports that were passed over
//! have their turn in the same round, so a core never rests while frames wait; and where one port alone
//! has frames, the level goes up with it. (Start-time fair queueing, Goyal 1996, with equal weights.)
//!
//! # Cost
//! A comparison for each port and round; an addition for each burst, upcall and order. The cycle counter
//! is read once for each of these. Where it stands still, every port has its turn in each round.
//!
//! # Concurrency
//! Owned by one core.

use alloc::vec::Vec;
use datapath::PortNo;

/// Cycles that a port may be ahead and still have its turn: some ten bursts of cached traffic, so that
/// ports that cost alike share rounds, and with them notifications.
const LEAD: u64 = 1 << 15;
/// Cycles that a port can be ahead at most, a millisecond or two: if the core itself was kept from
/// running for a while, that is not the fault of the port that it was serving.
const MOST: u64 = 1 << 22;

/// The accounts of the ports of one core.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Cycles, by port number.
    spent: Vec<u64>,
    level: u64,
    /// The lowest account of those that had frames in this round.
    lowest: Option<u64>,
}

/// Whether a port may have its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Now,
    /// When the others have no frames.
    Later,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { spent: Vec::new(), level: 0, lowest: None }
    }

    /// Opens an account for `port`, or gives it a new one.
    pub(crate) fn add_port(&mut self, port: PortNo) {
        let k = port.0 as usize;
        if self.spent.len() <= k && port <= PortNo::MAX {
            self.spent.resize(k + 1, 0);
        }
        if let Some(spent) = self.spent.get_mut(k) {
            *spent = self.level;
        }
    }

    /// Another round begins.
    pub(crate) fn next_round(&mut self) {
        if let Some(lowest) = self.lowest.take() {
            self.level = lowest;
        }
    }

    /// Whether `port` may have its turn in this round before the others have had theirs.
    pub(crate) fn turn(&mut self, port: PortNo) -> Turn {
        match self.spent.get(port.0 as usize) {
            Some(&spent) if spent > self.level + LEAD => {
                self.note(spent);
                Turn::Later
            }
            _ => Turn::Now,
        }
    }

    /// The port had its turn and no frames.
    pub(crate) fn rested(&mut self, port: PortNo) {
        if let Some(spent) = self.spent.get_mut(port.0 as usize) {
            *spent = self.level.max(*spent);
        }
    }

    /// The port had its turn, which took so many cycles.
    pub(crate) fn worked(&mut self, port: PortNo, cycles: u64) {
        let spent = self.charge(port, cycles);
        self.note(spent);
    }

    /// So many cycles were spent on the port besides its turn. Gives its account.
    pub(crate) fn charge(&mut self, port: PortNo, cycles: u64) -> u64 {
        let most = self.level.saturating_add(MOST);
        let Some(spent) = self.spent.get_mut(port.0 as usize) else { return self.level };
        *spent = spent.saturating_add(cycles).min(most);
        *spent
    }

    fn note(&mut self, spent: u64) {
        self.lowest = Some(self.lowest.map_or(spent, |lowest| lowest.min(spent)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const A: PortNo = PortNo(1);
    const B: PortNo = PortNo(2);
    const C: PortNo = PortNo(7);

    /// Ports and what a burst of each costs; those that have frames, in so many rounds. Gives the cycles
    /// that each got.
    fn rounds(turns: &mut Turns, n: usize, ports: &[(PortNo, u64, bool)]) -> BTreeMap<u32, u64> {
        let mut got = BTreeMap::new();
        for _ in 0..n {
            turns.next_round();
            let (mut worked, mut later) = (false, Vec::new());
            let mut have = |turns: &mut Turns, (port, cost, has_frames): (PortNo, u64, bool)| {
                if has_frames {
                    turns.worked(port, cost);
                    *got.entry(port.0).or_default() += cost;
                } else {
                    turns.rested(port);
                }
                has_frames
            };
            for &port in ports {
                match turns.turn(port.0) {
                    Turn::Now => worked |= have(turns, port),
                    Turn::Later => later.push(port),
                }
            }
            if !worked {
                later.into_iter().for_each(|port| worked |= have(turns, port));
            }
            assert!(worked || ports.iter().all(|port| !port.2), "frames wait and nobody works");
        }
        got
    }

    fn turns() -> Turns {
        let mut turns = Turns::new();
        [A, B, C].into_iter().for_each(|port| turns.add_port(port));
        turns
    }

    #[test]
    fn ports_get_alike_whatever_their_bursts_cost() {
        let mut turns = turns();
        let ports = [(A, 2_000, true), (B, 150_000, true), (C, 20_000, true)];
        let got = rounds(&mut turns, 20_000, &ports);
        for port in [A, B, C] {
            let off = got[&port.0].abs_diff(got[&A.0]);
            assert!(off <= LEAD + 150_000, "{got:?}");
        }
        assert!(got[&A.0] > 10_000_000);
    }

    #[test]
    fn what_costs_alike_has_a_turn_in_each_round() {
        let mut turns = turns();
        let got = rounds(&mut turns, 1_000, &[(A, 2_000, true), (B, 2_500, true)]);
        assert!(got[&1] > 990 * 2_000, "{got:?}");
        // The cheaper one has some more turns.
        assert!(got[&2] > 790 * 2_500, "{got:?}");
    }

    #[test]
    fn who_is_alone_has_every_turn_and_owes_nothing_afterwards() {
        let mut turns = turns();
        let alone = rounds(&mut turns, 1_000, &[(A, 2_000, false), (B, 150_000, true)]);
        assert_eq!(alone[&2], 1_000 * 150_000);
        let got = rounds(&mut turns, 2_000, &[(A, 2_000, true), (B, 150_000, true)]);
        assert!(got[&1].abs_diff(got[&2]) <= 2 * (LEAD + 150_000), "{got:?}");
    }

    #[test]
    fn silence_earns_nothing() {
        let mut turns = turns();
        rounds(&mut turns, 1_000, &[(A, 2_000, true), (B, 2_000, true), (C, 0, false)]);
        let got = rounds(&mut turns, 300, &[(A, 2_000, true), (B, 2_000, true), (C, 2_000, true)]);
        assert!(got.values().all(|&cycles| cycles > 280 * 2_000), "{got:?}");
    }

    #[test]
    fn a_core_that_was_kept_from_running_starves_nobody() {
        let mut turns = turns();
        turns.next_round();
        turns.worked(A, u64::MAX);
        turns.worked(B, 2_000);
        let n = usize::try_from(MOST / 2_000).unwrap() + 100;
        let got = rounds(&mut turns, n, &[(A, 2_000, true), (B, 2_000, true)]);
        assert!(got[&1] > 0, "{got:?}");
    }

    #[test]
    fn a_counter_that_stands_still_and_a_port_without_account_take_turns() {
        let mut turns = turns();
        for _ in 0..100 {
            turns.next_round();
            for port in [A, B, PortNo(9)] {
                assert_eq!(turns.turn(port), Turn::Now);
                turns.worked(port, 0);
            }
        }
    }

    #[test]
    fn a_new_port_begins_level_with_the_others() {
        let mut turns = turns();
        rounds(&mut turns, 1_000, &[(A, 2_000, true), (B, 2_000, true)]);
        turns.add_port(C);
        let got = rounds(&mut turns, 300, &[(A, 2_000, true), (B, 2_000, true), (C, 2_000, true)]);
        assert!(got.values().all(|&cycles| cycles > 280 * 2_000), "{got:?}");
    }
}

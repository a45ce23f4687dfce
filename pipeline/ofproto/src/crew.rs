//! The leader and the workers of the revalidator, as one state machine (ovs-facts E3).
//!
//! # What
//! A *full* round takes every worker through two phases, each ended by a barrier that all must reach
//! before any goes on; worker 0 is the leader, who alone begins and ends rounds:
//!
//! ```text
//!            begin                   barrier                    barrier
//! Resting ----------> Dumping ------------------> Sweeping ------------------> Resting
//!            leader    batches of cached flows     own umaps: those             leader advances
//!                      from one shared dump        congruent to its number      `dump_seq`
//! ```
//!
//! A *partial* round, made because something changed, has no sweep: it only looks at the flows that
//! the change may concern, so nothing is missed that it did not see.
//!
//! # Tasks, not threads
//! A worker is a state, and [`Crew::turn`] gives the next one that has work, in rotation. Whoever
//! runs them does a batch and reports what came of it. So a round can stop after any batch and go
//! on later, and each transition can be tested.
//!
//! # Concurrency
//! Owned by the control core.

use crate::umap::N_UMAPS;
use alloc::vec;
use alloc::vec::Vec;

/// Workers at most: there is no use in more than umaps.
pub(crate) const MAX_WORKERS: usize = N_UMAPS;

/// What a round does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// Looks at every cached flow: statistics, idle time, limits, truth.
    Full,
    /// Looks at those that a change may concern.
    Partial,
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Nothing: the leader has not begun a round.
    Resting,
    /// Takes batches of flows from the dump.
    Dumping,
    /// Goes through its umaps, and is at this one.
    Sweeping {
        /// The number of the umap.
        umap: usize,
    },
    /// Waits until the others are done with the phase.
    AtBarrier,
}

/// Leader and workers; see the module.
#[derive(Debug)]
pub(crate) struct Crew {
    workers: Vec<Task>,
    round: Round,
    /// Whose turn it is.
    next: usize,
}

impl Crew {
    /// A resting crew of `n` workers, the leader among them.
    #[must_use]
    pub(crate) fn new(n: usize) -> Self {
        let n = n.clamp(1, MAX_WORKERS);
        Self { workers: vec![Task::Resting; n], round: Round::Full, next: 0 }
    }

    /// How many they are.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Whether no round is under way.
    #[must_use]
    pub(crate) fn is_resting(&self) -> bool {
        self.workers.iter().all(|task| *task == Task::Resting)
    }

    /// What the round under way does.
    #[must_use]
    pub(crate) fn round(&self) -> Round {
        self.round
    }

    /// The leader begins a round; `false`, and nothing happens, if one is under way.
    pub(crate) fn begin(&mut self, round: Round) -> bool {
        let is_resting = self.is_resting();
        if is_resting {
            self.round = round;
            self.next = 0;
            self.workers.fill(Task::Dumping);
        }
        is_resting
    }

    /// The worker whose turn it is, and what it does; `None` when none has work, because they rest.
    pub(crate) fn turn(&mut self) -> Option<(usize, Task)> {
        let n = self.workers.len();
        let order = (0..n).map(|step| (self.next + step) % n);
        let busy = order.filter_map(|worker| Some((worker, *self.workers.get(worker)?)));
        let found =
            { busy }.find(|(_, task)| matches!(task, Task::Dumping | Task::Sweeping { .. }))?;
        self.next = (found.0 + 1) % n;
        Some(found)
    }

    /// The worker found the dump empty: it goes to the barrier. When all are there the sweep begins,
    /// or a partial round ends.
    pub(crate) fn dumped(&mut self, worker: usize) {
        self.replace(worker, Task::Dumping, Task::AtBarrier);
        if self.all_at_barrier() {
            for (umap, task) in self.workers.iter_mut().enumerate() {
                *task = match self.round {
                    Round::Full => Task::Sweeping { umap },
                    Round::Partial => Task::Resting,
                };
            }
        }
    }

    /// The worker is done with `umap`: it goes on to its next one, or to the barrier. When all are
    /// there the round ends.
    pub(crate) fn swept(&mut self, worker: usize, umap: usize) {
        let next = umap + self.workers.len();
        let task = if next < N_UMAPS { Task::Sweeping { umap: next } } else { Task::AtBarrier };
        self.replace(worker, Task::Sweeping { umap }, task);
        if self.all_at_barrier() {
            self.workers.fill(Task::Resting);
        }
    }

    fn replace(&mut self, worker: usize, from: Task, to: Task) {
        if let Some(task) = self.workers.get_mut(worker) {
            debug_assert_eq!(*task, from, "worker {worker}");
            if *task == from {
                *task = to;
            }
        }
    }

    fn all_at_barrier(&self) -> bool {
        self.workers.iter().all(|task| *task == Task::AtBarrier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Task::{AtBarrier, Dumping, Resting, Sweeping};

    #[test]
    fn a_full_round_step_by_step() {
        let mut crew = Crew::new(2);
        assert_eq!((crew.turn(), crew.is_resting()), (None, true));
        assert!(crew.begin(Round::Full));
        assert!(!crew.begin(Round::Partial), "one round at a time");
        assert_eq!(crew.round(), Round::Full);
        // In rotation.
        assert_eq!(crew.turn(), Some((0, Dumping)));
        assert_eq!(crew.turn(), Some((1, Dumping)));
        assert_eq!(crew.turn(), Some((0, Dumping)));
        // The first at the barrier waits.
        crew.dumped(0);
        assert_eq!(crew.workers, [AtBarrier, Dumping]);
        assert_eq!(crew.turn(), Some((1, Dumping)));
        assert_eq!(crew.turn(), Some((1, Dumping)));
        // The last one opens it.
        crew.dumped(1);
        assert_eq!(crew.workers, [Sweeping { umap: 0 }, Sweeping { umap: 1 }]);
        crew.swept(1, 1);
        assert_eq!(crew.workers, [Sweeping { umap: 0 }, Sweeping { umap: 3 }]);
        let mut seen = vec![1];
        while let Some((worker, task)) = crew.turn() {
            let Sweeping { umap } = task else { panic!("{task:?}") };
            assert_eq!(umap % 2, worker, "only its own");
            seen.push(umap);
            crew.swept(worker, umap);
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..N_UMAPS), "each umap once");
        assert!(crew.is_resting());
        assert_eq!(crew.workers, [Resting, Resting]);
    }

    #[test]
    fn a_partial_round_has_no_sweep() {
        for n in [1, 2, 7] {
            let mut crew = Crew::new(n);
            assert!(crew.begin(Round::Partial));
            for worker in 0..n {
                assert!(!crew.is_resting());
                crew.dumped(worker);
            }
            assert!(crew.is_resting());
            assert!(crew.begin(Round::Full));
        }
    }

    #[test]
    fn crews_of_any_size_sweep_every_umap_once() {
        for n in [1, 3, 5, 511, 512, 10_000] {
            let mut crew = Crew::new(n);
            assert!(crew.begin(Round::Full));
            (0..crew.len()).for_each(|worker| crew.dumped(worker));
            let mut seen = [0; N_UMAPS];
            while let Some((worker, Sweeping { umap })) = crew.turn() {
                seen[umap] += 1;
                crew.swept(worker, umap);
            }
            assert!(crew.is_resting());
            assert_eq!(seen, [1; N_UMAPS], "{n}");
        }
    }
}

//! The control core's side: which upcall is answered next.
//!
//! What protocols wait for comes first, all of it: its rings are short. Everything else is sorted by
//! ingress port, whichever core it comes from, and the ports are served in turn, one upcall each. So
//! the wait of an upcall depends on how many of its own port are before it, and on the number of other
//! ports, but not on what those ports send. That what has been sorted is bounded follows from the
//! senders: a core has at most [`UPCALL_RING`] upcalls under way, and those here count.
//!
//! [`UPCALL_RING`]: crate::rings::UPCALL_RING

use super::counters::UpcallCounters;
use super::lane::CoreTotals;
use crate::rings::ToHandler;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{Check, PortNo, Upcall};
use sync::spsc::Consumer;

/// Samples for the self check that may wait; each has a buffer of the pool.
const MAX_CHECKS: usize = 128;

/// The receiving ends of one core's upcalls.
#[derive(Debug)]
pub(crate) struct CoreUpcalls {
    pub(crate) ring: Consumer<ToHandler>,
    pub(crate) protocol_ring: Consumer<Upcall>,
    pub(crate) totals: Arc<CoreTotals>,
}

/// Upcalls that wait to be answered; see the module.
#[derive(Debug)]
pub(crate) struct Service {
    cores: Vec<CoreUpcalls>,
    waiting: BTreeMap<PortNo, VecDeque<Upcall>>,
    /// The ports with waiting upcalls, in the order in which they are served.
    turns: VecDeque<PortNo>,
    checks: VecDeque<Check>,
}

impl Service {
    pub(crate) fn new(cores: Vec<CoreUpcalls>) -> Self {
        let (waiting, turns, checks) = (BTreeMap::new(), VecDeque::new(), VecDeque::new());
        Self { cores, waiting, turns, checks }
    }

    /// How many cores send upcalls.
    pub(crate) fn n_cores(&self) -> usize {
        self.cores.len()
    }

    /// The next upcall of a protocol.
    pub(crate) fn next_protocol(&mut self) -> Option<Upcall> {
        self.cores.iter_mut().find_map(|core| core.protocol_ring.pop())
    }

    /// Sorts what has arrived.
    pub(crate) fn sort(&mut self) {
        for core in &mut self.cores {
            for _ in 0..core.ring.len() {
                match core.ring.pop() {
                    Some(ToHandler::Upcall(upcall)) => {
                        let port = upcall.port;
                        let queue = self.waiting.entry(port).or_default();
                        if queue.is_empty() {
                            self.turns.push_back(port);
                        }
                        queue.push_back(upcall);
                    }
                    Some(ToHandler::Check(check)) if self.checks.len() < MAX_CHECKS => {
                        self.checks.push_back(check);
                    }
                    Some(ToHandler::Check(_)) => {}
                    None => break,
                }
            }
        }
    }

    /// The next upcall of the port whose turn it is. To be followed by [`Self::answered`].
    pub(crate) fn next(&mut self) -> Option<Upcall> {
        let port = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&port)?;
        let upcall = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&port);
        } else {
            self.turns.push_back(port);
        }
        upcall
    }

    /// Gives back the share of an upcall of `core` from its port, whose counters are `port`'s if it
    /// has any.
    pub(crate) fn answered(&self, core: datapath::CoreId, port: Option<&UpcallCounters>) {
        let Some(core) = self.cores.get(usize::from(core.0)) else { return };
        core.totals.answered.add(1);
        port.unwrap_or(&core.totals.stray).answered.add(1);
    }

    /// The next sample for the self check.
    pub(crate) fn next_check(&mut self) -> Option<Check> {
        self.checks.pop_front()
    }
}

//! One client: what it sent, what it is to be told, and what it waits for.

use super::{Limits, Outbox};
use crate::budget::Breath;
use crate::json::Framer;
use crate::monitor::Monitor;
use crate::row::RowChange;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use serde_json::Value;
use sync::time::Nanos;

/// Bytes taken of a client that has a request waiting: enough to have the next one at hand.
const READ_AHEAD: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) peer: String,
    pub(super) framer: Framer,
    /// A whole message may be in `framer`.
    pub(super) has_more: bool,
    pub(super) outbox: Outbox,
    pub(super) monitors: Vec<Monitor>,
    pub(super) waits: Vec<Wait>,
    /// Locks that it asked for and did not give up; some may be stolen.
    pub(super) locks: BTreeSet<String>,
    /// After so long a silence it is asked for a sign of life.
    pub(super) probe: Option<Nanos>,
    heard: Nanos,
    probed: Option<Nanos>,
}

/// A transaction whose `wait` was not true.
#[derive(Debug)]
pub(super) struct Wait {
    /// Of the request.
    pub(super) id: Value,
    /// The database, by place.
    pub(super) database: usize,
    pub(super) operations: Vec<Value>,
    /// Bytes of the request.
    pub(super) length: usize,
    pub(super) asked: Nanos,
    pub(super) timeout_ms: Option<u64>,
    /// The database has changed since it was tried.
    pub(super) is_stale: bool,
}

impl Wait {
    fn deadline(&self) -> Option<Nanos> {
        self.timeout_ms.map(|ms| self.asked.saturating_add(Nanos::from_millis(ms)))
    }
}

/// What is due with a silent client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Probe {
    NotDue,
    Ask,
    GiveUp,
}

impl Session {
    pub(super) fn new(peer: String, limits: &Limits, now: Nanos) -> Self {
        Self {
            peer,
            framer: Framer::new(limits.json),
            has_more: false,
            outbox: Outbox::default(),
            monitors: Vec::new(),
            waits: Vec::new(),
            locks: BTreeSet::new(),
            probe: limits.probe,
            heard: now,
            probed: None,
        }
    }

    /// Bytes that may be taken.
    pub(super) fn room(&self, limits: &Limits) -> usize {
        let held = self.framer.len();
        if self.has_more {
            return READ_AHEAD.saturating_sub(held);
        }
        // One byte more than a message may have, so that a longer one is seen.
        (limits.json.max_bytes + 1).saturating_sub(held)
    }

    pub(super) fn heard(&mut self, now: Nanos) {
        self.heard = now;
        self.probed = None;
    }

    pub(super) fn committed(&mut self, database: usize, changes: &[RowChange], breath: Breath) {
        for monitor in self.monitors.iter_mut().filter(|m| m.database == database) {
            monitor.committed(changes, breath);
        }
        for wait in self.waits.iter_mut().filter(|wait| wait.database == database) {
            wait.is_stale = true;
        }
    }

    /// True when bytes are held back for the log.
    pub(super) fn waits_for_log(&self) -> bool {
        self.outbox.len() > self.outbox.pending().len()
    }

    /// A waiting transaction that is to be tried again.
    pub(super) fn take_due_wait(&mut self, now: Nanos) -> Option<Wait> {
        let is_due =
            |wait: &Wait| wait.is_stale || wait.deadline().is_some_and(|deadline| deadline <= now);
        let at = self.waits.iter().position(is_due)?;
        Some(self.waits.remove(at))
    }

    pub(super) fn due_probe(&mut self, now: Nanos) -> Probe {
        let Some(interval) = self.probe else { return Probe::NotDue };
        let since = self.probed.unwrap_or(self.heard);
        if now < since.saturating_add(interval) {
            return Probe::NotDue;
        }
        if self.probed.is_some() {
            return Probe::GiveUp;
        }
        self.probed = Some(now);
        Probe::Ask
    }

    pub(super) fn next_deadline(&self) -> Option<Nanos> {
        let waits = self.waits.iter().filter_map(Wait::deadline);
        let since = self.probed.unwrap_or(self.heard);
        waits.chain(self.probe.map(|interval| since.saturating_add(interval))).min()
    }
}

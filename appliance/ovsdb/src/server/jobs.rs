//! What the server is doing: one request at a time, in steps.
//!
//! ```text
//!                whole message       `transact`                  settled
//! (next client) ──────────────► Parse ──────────► Transact ──┬────────────► commit, reply
//!                                 │ any other method         │ `wait` is not true
//!                                 └──────► reply             └────────────► waits of the client
//! ```
//! A [`Server::poll`] works until [`WORK_PER_POLL`] is spent and leaves the rest for the next one. While a
//! transaction is under way nothing else changes its database and no other request is served, so it is
//! as if it happened at one moment; monitors, probes and outboxes go on. What is left of large messages
//! is dropped in steps too.

use super::requests::Asking;
use super::session::Wait;
use super::{ClientId, CloseReason, Server};
use crate::budget::Budget;
use crate::error::{Error, ErrorKind};
use crate::parse::Parser;
use crate::transaction::{Client, Executed, Results, Running};
use alloc::boxed::Box;
use alloc::vec::Vec;
use serde_json::Value;
use sync::time::Nanos;

/// Units of work of one poll: about half a millisecond on a machine without emulation.
pub(super) const WORK_PER_POLL: usize = 8192;
/// What serving a request costs beside parsing and transactions.
const REQUEST: usize = 512;

/// A request under way.
#[derive(Debug)]
pub(super) enum Job {
    Parse { client: ClientId, parser: Parser },
    Transact { client: ClientId, wait: Box<Wait>, running: Box<Running>, since: Nanos },
}

impl Job {
    pub(super) const fn client(&self) -> ClientId {
        match self {
            Self::Parse { client, .. } | Self::Transact { client, .. } => *client,
        }
    }
}

impl Server {
    /// Works until the budget is spent; true when there was anything to do.
    pub(super) fn work(&mut self, budget: &mut Budget, now: Nanos, wall_ms: u64) -> bool {
        let mut worked = self.trash.sweep(budget);
        while !budget.is_spent() {
            match self.job.take() {
                Some(Job::Parse { client, parser }) => {
                    self.go_on_parsing(client, parser, budget, now);
                }
                Some(Job::Transact { client, wait, running, since }) => {
                    self.go_on_transacting(client, (wait, running, since), budget, wall_ms);
                }
                None => {
                    budget.spend(REQUEST);
                    // Who waited for a change hears of it before later requests are answered.
                    match self.next_due_wait(now) {
                        Some((client, wait)) => self.begin_transaction(client, wait, now),
                        None if self.take_message() => {}
                        None => break,
                    }
                }
            }
            worked = true;
        }
        worked
    }

    /// True while a transaction of a client is under way: the switch's own changes have to wait.
    #[must_use]
    pub fn is_transacting(&self) -> bool {
        matches!(self.job, Some(Job::Transact { .. }))
    }

    /// Units of work that the last [`Server::poll`] did.
    #[must_use]
    pub const fn last_work(&self) -> usize {
        self.last_work
    }

    /// The request that is under way is its client's last.
    pub(super) fn give_up_job_of(&mut self, client: ClientId) {
        match self.job.take_if(|job| job.client() == client) {
            Some(Job::Parse { parser, .. }) => parser.discard(&mut self.trash),
            Some(Job::Transact { wait, running, .. }) => {
                self.trash.add(Value::Array(wait.operations));
                running.discard(&mut self.trash);
            }
            None => {}
        }
    }

    fn go_on_parsing(
        &mut self,
        client: ClientId,
        mut parser: Parser,
        budget: &mut Budget,
        now: Nanos,
    ) {
        match parser.step(budget) {
            Ok(None) => self.job = Some(Job::Parse { client, parser }),
            Ok(Some(message)) => {
                if let Err(reason) = self.message(client, message, parser.len(), now) {
                    self.end(client, reason);
                }
            }
            Err(error) => {
                parser.discard(&mut self.trash);
                self.end(client, CloseReason::Json(error));
            }
        }
    }

    /// Begins a transaction, for the first time or again.
    pub(super) fn begin_transaction(&mut self, client: ClientId, wait: Wait, now: Nanos) {
        let Some(served) = self.databases.get(wait.database) else { return };
        let running = Box::new(Running::new(&served.database, &self.limits.bounds));
        self.job = Some(Job::Transact { client, wait: Box::new(wait), running, since: now });
    }

    fn go_on_transacting(
        &mut self,
        client: ClientId,
        (wait, mut running, since): (Box<Wait>, Box<Running>, Nanos),
        budget: &mut Budget,
        wall_ms: u64,
    ) {
        let Self { databases, uuids, limits, locks, breathe, .. } = self;
        let Some(served) = databases.get(wait.database) else { return };
        let asking = Asking {
            id: client,
            locks,
            may_write: !served.database.schema().name.starts_with('_'),
            waited_ms: since.saturating_sub(wait.asked).as_millis(),
            breathe: *breathe,
        };
        let asking = (&asking as &dyn Client, &limits.bounds);
        let outcome = running.step(&served.database, &wait.operations, asking, uuids, budget);
        let Some(outcome) = outcome else {
            self.job = Some(Job::Transact { client, wait, running, since });
            return;
        };
        running.discard(&mut self.trash);
        match outcome {
            Executed::Waiting(timeout_ms) => self.let_wait(client, *wait, timeout_ms),
            Executed::Finished(results, commit) => {
                let results = self.finish(wait.database, results, commit, wall_ms);
                self.reply_with(client, &wait.id, &results.text());
                self.trash.add(Value::Array(wait.operations));
            }
        }
    }

    /// Runs operations of the switch itself to their end, between those of clients.
    pub(super) fn run_local(
        &mut self,
        at: usize,
        operations: &[Value],
        wall_ms: u64,
    ) -> Vec<Value> {
        struct Ourselves(fn());
        impl Client for Ourselves {
            fn owns(&self, _lock: &str) -> bool {
                true
            }
            fn may_write(&self) -> bool {
                true
            }
            fn waited_ms(&self) -> u64 {
                u64::MAX
            }
            fn breathe(&self) {
                (self.0)();
            }
        }
        // A transaction of a client that is under way comes first.
        while self.is_transacting() {
            if let Some(Job::Transact { client, wait, running, since }) = self.job.take() {
                let budget = &mut Budget::new(WORK_PER_POLL);
                self.go_on_transacting(client, (wait, running, since), budget, wall_ms);
            }
            (self.breathe)();
        }
        let Some(served) = self.databases.get(at) else { return Vec::new() };
        let mut running = Running::new(&served.database, &self.limits.bounds);
        let client = Ourselves(self.breathe);
        loop {
            let Self { databases, uuids, limits, .. } = self;
            let Some(served) = databases.get(at) else { return Vec::new() };
            let asking = (&client as &dyn Client, &limits.bounds);
            let budget = &mut Budget::new(WORK_PER_POLL);
            match running.step(&served.database, operations, asking, uuids, budget) {
                None => client.breathe(),
                Some(Executed::Waiting(_)) => {
                    let details = "the switch itself does not wait";
                    return alloc::vec![Error::new(ErrorKind::TimedOut, details).to_json()];
                }
                Some(Executed::Finished(results, commit)) => {
                    return self.finish(at, results, commit, wall_ms).to_vec();
                }
            }
        }
    }

    /// Commits what came of operations, if it can be; the results for the client.
    fn finish(
        &mut self,
        at: usize,
        mut results: Results,
        commit: Option<crate::database::Commit>,
        wall_ms: u64,
    ) -> Results {
        if let Some(commit) = commit
            && let Err(error) = self.commit(at, &commit, wall_ms)
        {
            results.push(&error.to_json());
        }
        results
    }
}

//! The server: sessions of clients over databases.
//!
//! # What
//! The caller brings connections, bytes and the time; [`Server::poll`] does a bounded amount of work
//! and leaves bytes in the sessions' outboxes, records for the log, and sessions to close. Sessions are
//! served in turn, one request each, so no client keeps the others waiting.
//!
//! # Bounds
//! Everything that a client can make grow has a limit in [`Limits`]: the size of a message, what a
//! transaction does, the database, monitors, waiting transactions, bytes not read. A session that does
//! not take its answers is not asked for new requests, its monitors are told in fewer and larger
//! updates, and when it does not even answer an `echo` it is closed.
//!
//! # Durability
//! A commit is applied at once and its record handed out ([`Server::take_records`]); what any client is
//! told after it stays in the outboxes until the caller reports the record written and flushed
//! ([`Server::records_durable`]). Many commits can share a flush that way.

mod jobs;
mod keep;
mod locks;
mod outbox;
mod own;
mod requests;
mod session;

pub use keep::{Kept, OpenError, extract, import, open};
pub use outbox::Outbox;
pub use own::CellChange;

use crate::budget::{Breath, Budget};
use crate::database::{Commit, Database};
use crate::error::{Error, ErrorKind};
use crate::json::{JsonError, JsonLimits};
use crate::log;
use crate::parse::Parser;
use crate::schema::Schema;
use crate::transaction::{Bounds, Client};
use crate::trash::Trash;
use crate::uuid::{Uuid, Uuids};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use jobs::Job;
use locks::Locks;
use serde_json::{Value, json};
use session::{Session, Wait};
use sync::time::Nanos;

/// A client's connection, by the number that the caller gave it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub u32);

/// What clients may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Clients at one time.
    pub max_clients: usize,
    /// One message.
    pub json: JsonLimits,
    /// Bytes of messages that have not all come, over all clients.
    pub max_input: usize,
    /// One transaction, and the database.
    pub bounds: Bounds,
    /// Monitors of a client.
    pub max_monitors: usize,
    /// Transactions of a client that wait, and their bytes.
    pub max_waits: usize,
    /// Bytes of a client's waiting transactions.
    pub max_wait_bytes: usize,
    /// Locks that a client has or wants.
    pub max_locks: usize,
    /// With more bytes unsent a client is not served.
    pub high_water: usize,
    /// A client that is silent so long is asked for a sign of life, and closed after as long again.
    pub probe: Option<Nanos>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_clients: 64,
            json: JsonLimits::default(),
            max_input: 12 * 1024 * 1024,
            bounds: Bounds::default(),
            max_monitors: 16,
            max_waits: 16,
            max_wait_bytes: 256 * 1024,
            max_locks: 16,
            high_water: 256 * 1024,
            probe: Some(Nanos::from_secs(5)),
        }
    }
}

/// Why the server ends a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseReason {
    /// Its bytes are not messages.
    Json(JsonError),
    /// A message that is neither request, notification nor reply.
    NotJsonRpc,
    /// Silent, and silent when asked.
    Idle,
    /// All clients together sent more than the server holds.
    TooMuchInput,
    /// The log cannot be written, so what the client asked for has an unknown end.
    LogFailed,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "{error}"),
            Self::NotJsonRpc => f.write_str("not a JSON-RPC message"),
            Self::Idle => f.write_str("no response to inactivity probe"),
            Self::TooMuchInput => f.write_str("too many bytes of unfinished messages"),
            Self::LogFailed => f.write_str("the database's log cannot be written"),
        }
    }
}

/// Where commits of a database end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeping {
    /// In memory only.
    Memory,
    /// In the log; there is one, so at most one database.
    Log,
}

#[derive(Debug)]
struct Served {
    database: Database,
    keeping: Keeping,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    limits: Limits,
    id: Uuid,
    uuids: Uuids,
    databases: Vec<Served>,
    sessions: BTreeMap<ClientId, Session>,
    /// The last client whose request was taken: the next one comes first.
    served_last: ClientId,
    /// The request that is being served.
    job: Option<Job>,
    trash: Trash,
    last_work: usize,
    locks: Locks,
    to_close: Vec<(ClientId, CloseReason)>,
    records: Vec<Vec<u8>>,
    n_records: u64,
    n_durable: u64,
    log_failed: bool,
    breathe: fn(),
    /// The table of `_Server` is filled.
    is_described: bool,
}

impl Server {
    /// A server with these databases beside `_Server`. `random` makes its UUIDs differ from those of
    /// other runs.
    #[must_use]
    pub fn new(limits: Limits, databases: Vec<(Database, Keeping)>, random: u64) -> Self {
        let mut uuids = Uuids::new(random);
        let id = uuids.fresh();
        let own = Database::new(Schema::server(), uuids.fresh());
        let all = core::iter::once((own, Keeping::Memory)).chain(databases);
        let databases = all.map(|(database, keeping)| Served { database, keeping });
        Self {
            limits,
            id,
            uuids,
            databases: databases.collect(),
            sessions: BTreeMap::new(),
            served_last: ClientId(0),
            job: None,
            trash: Trash::default(),
            last_work: 0,
            locks: Locks::default(),
            to_close: Vec::new(),
            records: Vec::new(),
            n_records: 0,
            n_durable: 0,
            log_failed: false,
            breathe: || {},
            is_described: false,
        }
    }

    /// Has `breathe` called now and then in work that is not cut into steps, such as an operation that
    /// looks at many rows: what shares the processor can go on meanwhile.
    pub fn set_breathe(&mut self, breathe: fn()) {
        self.breathe = breathe;
    }

    /// Fills the table of `_Server` (ovsdb-server(5)): when the first client is there to read it, since
    /// the text of the schemas takes as long as everything else that a server begins with.
    fn describe_databases(&mut self) {
        if core::mem::replace(&mut self.is_described, true) {
            return;
        }
        let describe = |served: &Served| {
            let schema = served.database.schema();
            json!({"op": "insert", "table": "Database", "row": {"name": schema.name,
                "model": "standalone", "connected": true, "leader": true,
                "schema": schema.to_json().to_string()}})
        };
        let rows: Vec<Value> = self.databases.iter().map(describe).collect();
        let results = self.run_local(0, &rows, 0);
        debug_assert!(results.iter().all(|result| result.get("error").is_none()));
    }

    /// The place of a database.
    fn database_at(&self, name: &str) -> Option<usize> {
        self.databases.iter().position(|served| served.database.schema().name == name)
    }

    /// A database by its name.
    #[must_use]
    pub fn database(&self, name: &str) -> Option<&Database> {
        Some(&self.databases.get(self.database_at(name)?)?.database)
    }

    /// Runs a transaction of the switch itself, which may write what clients may not and does not wait;
    /// results as a client would get them. `wall_ms` is the time since 1970 in milliseconds.
    pub fn transact(&mut self, database: &str, operations: &[Value], wall_ms: u64) -> Vec<Value> {
        match self.database_at(database) {
            Some(at) => self.run_local(at, operations, wall_ms),
            None => {
                alloc::vec![Error::new(ErrorKind::UnknownDatabase, database.to_string()).to_json()]
            }
        }
    }

    fn commit(&mut self, at: usize, commit: &Commit, wall_ms: u64) -> Result<(), Error> {
        let breath = Breath::new(self.breathe);
        let Some(served) = self.databases.get_mut(at) else {
            return Ok(());
        };
        if served.keeping == Keeping::Log {
            if self.log_failed {
                return Err(Error::new(ErrorKind::IoError, "the log cannot be written"));
            }
            // A change of columns that are not kept is not in the log.
            let schema = served.database.schema();
            if let Some(record) = log::commit_text(schema, commit, wall_ms, breath) {
                self.records.push(record);
                self.n_records += 1;
            }
        }
        served.database.apply_breathing(commit, breath);
        for session in self.sessions.values_mut() {
            session.committed(at, &commit.changes, breath);
        }
        Ok(())
    }

    /// Records to be appended to the log, in order, since the last call.
    pub fn take_records(&mut self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.records)
    }

    /// So many more records are in the log for good.
    pub fn records_durable(&mut self, n: usize) {
        self.n_durable = self.n_durable.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
        let durable = self.n_durable.min(self.n_records);
        self.sessions.values_mut().for_each(|session| session.outbox.durable(durable));
    }

    /// The log cannot be written any more. Clients that wait for it are closed, and changes refused
    /// from now on; reading goes on.
    pub fn log_failed(&mut self) {
        self.log_failed = true;
        // Nothing will become durable any more, so there is nothing that others would wait for.
        self.n_durable = self.n_records;
        for (&id, session) in &mut self.sessions {
            if session.waits_for_log() {
                self.to_close.push((id, CloseReason::LogFailed));
            } else {
                session.outbox.durable(self.n_records);
            }
        }
    }

    /// A client connected; false when there are too many. `peer` is its name in log lines.
    pub fn accepted(&mut self, id: ClientId, peer: String, now: Nanos) -> bool {
        if self.sessions.len() >= self.limits.max_clients {
            ::log::warn!("ovsdb: {peer}: refused, {} clients are connected", self.sessions.len());
            return false;
        }
        self.describe_databases();
        let mut session = Session::new(peer, &self.limits, now);
        session.outbox.durable(self.n_durable.min(self.n_records));
        self.sessions.insert(id, session);
        true
    }

    /// After so long a silence this client is asked for a sign of life; never without it.
    pub fn set_probe(&mut self, id: ClientId, probe: Option<Nanos>) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.probe = probe;
        }
    }

    /// Takes bytes of a client; returns how many. The others are to be offered again later.
    pub fn received(&mut self, id: ClientId, bytes: &[u8], now: Nanos) -> usize {
        let held: usize = self.sessions.values().map(|session| session.framer.len()).sum();
        let Some(session) = self.sessions.get_mut(&id) else {
            return bytes.len();
        };
        let room = session.room(&self.limits);
        let taken = bytes.len().min(room);
        if taken == 0 {
            return 0;
        }
        if held + taken > self.limits.max_input {
            self.to_close.push((id, CloseReason::TooMuchInput));
            return bytes.len();
        }
        session.heard(now);
        session.framer.push(bytes.get(..taken).unwrap_or_default());
        session.has_more = true;
        taken
    }

    /// A client's connection is gone.
    pub fn closed(&mut self, id: ClientId) {
        self.give_up_job_of(id);
        self.sessions.remove(&id);
        for (name, owner) in self.locks.forget(id) {
            self.notify_lock(owner, "locked", &name);
        }
    }

    /// Bytes for a client.
    pub fn output(&mut self, id: ClientId) -> Option<&mut Outbox> {
        self.sessions.get_mut(&id).map(|session| &mut session.outbox)
    }

    /// A client whose connection is to be closed. The session is already gone.
    pub fn next_close(&mut self) -> Option<(ClientId, CloseReason)> {
        while let Some((id, reason)) = self.to_close.pop() {
            if let Some(session) = self.sessions.get(&id) {
                ::log::warn!("ovsdb: {}: closing the connection: {reason}", session.peer);
                self.closed(id);
                return Some((id, reason));
            }
        }
        None
    }

    /// Clients connected.
    #[must_use]
    pub fn n_clients(&self) -> usize {
        self.sessions.len()
    }

    /// Does what is due, within bounds; true when there was anything. `wall_ms` is the time since 1970
    /// in milliseconds, for the log.
    pub fn poll(&mut self, now: Nanos, wall_ms: u64) -> bool {
        let mut budget = Budget::new(jobs::WORK_PER_POLL);
        let mut worked = self.work(&mut budget, now, wall_ms);
        self.last_work = budget.spent();
        let ids: Vec<ClientId> = self.sessions.keys().copied().collect();
        for id in ids {
            worked |= self.flush_monitors(id, self.limits.high_water);
            self.probe(id, now);
        }
        worked
    }

    /// When [`Server::poll`] wants to be called at the latest, if nothing comes in.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.sessions.values().filter_map(|session| session.next_deadline()).min()
    }

    /// Takes a message of the client whose turn it is; false when nobody has one.
    fn take_message(&mut self) -> bool {
        let after =
            self.sessions.range(self.served_last..).skip_while(|(id, _)| **id == self.served_last);
        let before = self.sessions.range(..=self.served_last);
        let ready = |(id, session): (&ClientId, &Session)| {
            (session.has_more && session.outbox.len() < self.limits.high_water).then_some(*id)
        };
        let turn: Vec<ClientId> = after.chain(before).filter_map(ready).collect();
        for client in turn {
            let Some(session) = self.sessions.get_mut(&client) else { continue };
            match session.framer.next_message() {
                Ok(Some(message)) => {
                    self.served_last = client;
                    self.job = Some(Job::Parse { client, parser: Parser::new(message) });
                    return true;
                }
                Ok(None) => session.has_more = false,
                Err(error) => {
                    self.end(client, CloseReason::Json(error));
                    return true;
                }
            }
        }
        false
    }

    fn end(&mut self, id: ClientId, reason: CloseReason) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.has_more = false;
        }
        self.to_close.push((id, reason));
    }

    /// A waiting transaction whose database has changed or whose time is over.
    fn next_due_wait(&mut self, now: Nanos) -> Option<(ClientId, Wait)> {
        let mut sessions = self.sessions.iter_mut();
        sessions.find_map(|(&id, session)| Some((id, session.take_due_wait(now)?)))
    }

    /// Tells a client what its monitors saw, when it has few bytes unsent.
    fn flush_monitors(&mut self, id: ClientId, high_water: usize) -> bool {
        let mut breath = Breath::new(self.breathe);
        let Self { sessions, databases, n_records, .. } = self;
        let Some(session) = sessions.get_mut(&id) else { return false };
        let mut worked = false;
        for monitor in &mut session.monitors {
            if session.outbox.len() >= high_water {
                break;
            }
            let Some(served) = databases.get(monitor.database) else { continue };
            if let Some(update) = monitor.take_update(&served.database, breath) {
                session.outbox.write(breath.text(&update).as_bytes(), *n_records);
                worked = true;
            }
        }
        worked
    }

    /// Sends a message after everything that the client's monitors saw before it.
    fn send(&mut self, id: ClientId, message: &Value) {
        self.flush_monitors(id, usize::MAX);
        if let Some(session) = self.sessions.get_mut(&id) {
            let text = Breath::new(self.breathe).text(message);
            session.outbox.write(text.as_bytes(), self.n_records);
        }
    }

    fn notify_lock(&mut self, id: ClientId, method: &str, lock: &str) {
        self.send(id, &json!({"method": method, "params": [lock], "id": null}));
    }

    fn probe(&mut self, id: ClientId, now: Nanos) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match session.due_probe(now) {
            session::Probe::NotDue => {}
            session::Probe::Ask => {
                let probe = json!({"method": "echo", "params": [], "id": "echo"});
                session.outbox.write(probe.to_string().as_bytes(), self.n_records);
            }
            session::Probe::GiveUp => self.to_close.push((id, CloseReason::Idle)),
        }
    }
}

#[cfg(test)]
mod tests;

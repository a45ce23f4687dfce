//! The methods of RFC 7047 §4.1 and ovsdb-server.7 §4.1.

use super::locks::Manner;
use super::session::Wait;
use super::{Client, ClientId, CloseReason, Locks, Server};
use crate::budget::Breath;
use crate::error::{Error, ErrorKind};
use crate::json::is_id;
use crate::monitor::{self, Monitor, Version};
use crate::uuid::Uuid;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde_json::{Value, json};
use sync::time::Nanos;

/// A client as its transactions see it.
pub(super) struct Asking<'a> {
    pub(super) id: ClientId,
    pub(super) locks: &'a Locks,
    pub(super) may_write: bool,
    pub(super) waited_ms: u64,
    pub(super) breathe: fn(),
}

impl Client for Asking<'_> {
    fn owns(&self, lock: &str) -> bool {
        self.locks.owner(lock) == Some(self.id)
    }
    fn may_write(&self) -> bool {
        self.may_write
    }
    fn waited_ms(&self) -> u64 {
        self.waited_ms
    }
    fn breathe(&self) {
        (self.breathe)();
    }
}

/// A request, or with a null `id` a notification.
struct Request {
    method: String,
    params: Vec<Value>,
    id: Value,
}

impl Request {
    /// Reads a JSON-RPC 1.0 message; `None` for a reply, which nobody here waits for.
    fn from_json(message: Value) -> Result<Option<Self>, CloseReason> {
        let Value::Object(mut members) = message else {
            return Err(CloseReason::NotJsonRpc);
        };
        let id = members.remove("id").unwrap_or(Value::Null);
        match (members.remove("method"), members.remove("params")) {
            (Some(Value::String(method)), Some(Value::Array(params))) => {
                Ok(Some(Self { method, params, id }))
            }
            // Some clients leave out parameters that are none.
            (Some(Value::String(method)), None | Some(Value::Null)) => {
                Ok(Some(Self { method, params: Vec::new(), id }))
            }
            (None, None) if members.contains_key("result") || members.contains_key("error") => {
                Ok(None)
            }
            _ => Err(CloseReason::NotJsonRpc),
        }
    }

    fn wrong(&self, details: &str) -> Error {
        let params = Value::Array(self.params.clone());
        Error::syntax(&params, format!("{}: {details}", self.method))
    }
}

/// What a request is answered: a result, or what stands in the `error` member.
type Reply = Result<Value, Value>;

impl Server {
    pub(super) fn message(
        &mut self,
        id: ClientId,
        message: Value,
        length: usize,
        now: Nanos,
    ) -> Result<(), CloseReason> {
        let Some(mut request) = Request::from_json(message)? else {
            return Ok(());
        };
        if request.id.is_null() {
            // The only notification that a client sends (RFC 7047 §4.1.4).
            if request.method == "cancel" {
                self.cancel(id, &request);
            }
            return Ok(());
        }
        if request.method == "transact" {
            match self.transact_request(id, &mut request, length, now) {
                Ok(wait) => self.begin_transaction(id, wait, now),
                Err(error) => self.reply(id, request.id, Err(error.to_json())),
            }
            return Ok(());
        }
        let reply = self.answer(id, &mut request);
        self.reply(id, request.id, reply);
        Ok(())
    }

    fn reply(&mut self, to: ClientId, id: Value, reply: Reply) {
        let (result, error) = match reply {
            Ok(result) => (result, Value::Null),
            Err(error) => (Value::Null, error),
        };
        self.send(to, &json!({"id": id, "result": result, "error": error}));
    }

    /// A reply with a result that is text already.
    pub(super) fn reply_with(&mut self, to: ClientId, id: &Value, result: &str) {
        self.flush_monitors(to, usize::MAX);
        if let Some(session) = self.sessions.get_mut(&to) {
            let text = format!("{{\"error\":null,\"id\":{id},\"result\":{result}}}");
            session.outbox.write(text.as_bytes(), self.n_records);
        }
    }

    fn answer(&mut self, id: ClientId, request: &mut Request) -> Reply {
        let reply = match request.method.as_str() {
            "list_dbs" => {
                let names = self.databases.iter().map(|served| &served.database.schema().name);
                Ok(names.map(String::as_str).collect())
            }
            "get_schema" => self.named_database(request).map(|at| {
                let served = self.databases.get(at);
                served.map_or(Value::Null, |served| served.database.schema().to_json())
            }),
            "get_server_id" => Ok(self.id.to_string().into()),
            "echo" => Ok(Value::Array(core::mem::take(&mut request.params))),
            "monitor" => self.monitor(id, request, Version::One),
            "monitor_cond" => self.monitor(id, request, Version::Two),
            "monitor_cond_since" => self.monitor(id, request, Version::Three),
            "monitor_cond_change" => self.monitor_cond_change(id, request),
            "monitor_cancel" => return self.monitor_cancel(id, request),
            "lock" => self.lock(id, request, Manner::Wait),
            "steal" => self.lock(id, request, Manner::Steal),
            "unlock" => self.unlock(id, request),
            // No database comes, goes or is converted while the server runs, so there is nothing that
            // a session would have to be spared.
            "set_db_change_aware" => match request.params.as_slice() {
                [Value::Bool(_)] => Ok(json!({})),
                _ => Err(request.wrong("true or false parameter expected")),
            },
            "convert" => self.named_database(request).and_then(|_| {
                let details = "the schema is part of the program and cannot be converted";
                Err(Error::new(ErrorKind::NotSupported, details))
            }),
            _ => return Err("unknown method".into()),
        };
        reply.map_err(|error| error.to_json())
    }

    /// The database that the first parameter names.
    fn named_database(&self, request: &Request) -> Result<usize, Error> {
        let Some(Value::String(name)) = request.params.first() else {
            return Err(request.wrong("request params must begin with <db-name>"));
        };
        self.database_at(name).ok_or_else(|| {
            let details = format!("{} request specifies unknown database {name}", request.method);
            let params = Value::Array(request.params.clone());
            Error::new(ErrorKind::UnknownDatabase, details).at(&params)
        })
    }

    /// Takes a `transact` request apart (§4.1.3).
    fn transact_request(
        &mut self,
        id: ClientId,
        request: &mut Request,
        length: usize,
        now: Nanos,
    ) -> Result<Wait, Error> {
        let database = self.named_database(request)?;
        let waits = self.sessions.get(&id).map(|session| &session.waits);
        if waits.is_some_and(|waits| waits.iter().any(|wait| wait.id == request.id)) {
            return Err(request.wrong("duplicate request ID"));
        }
        let mut operations = core::mem::take(&mut request.params);
        operations.remove(0);
        let id = request.id.clone();
        Ok(Wait { id, database, operations, length, asked: now, timeout_ms: None, is_stale: false })
    }

    /// Keeps a transaction until it can be tried again, if the client may have one more.
    pub(super) fn let_wait(&mut self, id: ClientId, mut wait: Wait, timeout_ms: Option<u64>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let held: usize = session.waits.iter().map(|wait| wait.length).sum();
        if session.waits.len() >= self.limits.max_waits
            || held + wait.length > self.limits.max_wait_bytes
        {
            let details = "too many waiting transactions";
            let error = Error::new(ErrorKind::ResourcesExhausted, details).to_json();
            self.reply(id, wait.id, Ok(json!([error])));
            self.trash.add(Value::Array(wait.operations));
            return;
        }
        (wait.timeout_ms, wait.is_stale) = (timeout_ms, false);
        session.waits.push(wait);
    }

    fn cancel(&mut self, id: ClientId, request: &Request) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let at = session.waits.iter().position(|wait| request.params == [wait.id.clone()]);
        if let Some(at) = at {
            let wait = session.waits.remove(at);
            self.reply(id, wait.id, Err(ErrorKind::Canceled.name().into()));
        }
    }

    fn monitor(
        &mut self,
        id: ClientId,
        request: &mut Request,
        version: Version,
    ) -> Result<Value, Error> {
        let at = self.named_database(request)?;
        let Some(session) = self.sessions.get(&id) else { return Ok(Value::Null) };
        let Some(served) = self.databases.get(at) else { return Ok(Value::Null) };
        let (name, requests, last) = match (version, request.params.as_slice()) {
            (Version::One, [_, name, requests, ..]) | (Version::Two, [_, name, requests]) => {
                (name, requests, None)
            }
            (Version::Three, [_, name, requests, last]) => {
                let uuid = last.as_str().and_then(Uuid::parse);
                let uuid =
                    uuid.ok_or_else(|| Error::syntax(last, "last-txn-id must be UUID format."))?;
                (name, requests, Some(uuid))
            }
            _ => return Err(request.wrong("invalid parameters")),
        };
        if session.monitors.iter().any(|monitor| monitor.id == *name) {
            return Err(Error::syntax(name, "duplicate monitor ID"));
        }
        if session.monitors.len() >= self.limits.max_monitors {
            return Err(Error::new(ErrorKind::ResourcesExhausted, "too many monitors"));
        }
        let tables = monitor::parse(&served.database, version, requests)?;
        let monitor = Monitor::new(name.clone(), at, version, tables);
        let reply = monitor.first_reply(&served.database, last, Breath::new(self.breathe));
        // What earlier monitors saw is told before; this one knows it already.
        self.flush_monitors(id, usize::MAX);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.monitors.push(monitor);
        }
        Ok(reply)
    }

    fn monitor_cond_change(&mut self, id: ClientId, request: &mut Request) -> Result<Value, Error> {
        let [name, new_name, requests] = request.params.as_slice() else {
            return Err(request.wrong("invalid parameters"));
        };
        // Up to here by the old conditions.
        self.flush_monitors(id, usize::MAX);
        let mut breath = Breath::new(self.breathe);
        let Self { sessions, databases, n_records, .. } = self;
        let Some(session) = sessions.get_mut(&id) else { return Ok(Value::Null) };
        if name != new_name && session.monitors.iter().any(|monitor| monitor.id == *new_name) {
            return Err(Error::syntax(new_name, "duplicate monitor ID"));
        }
        let monitor = session.monitors.iter_mut().find(|monitor| monitor.id == *name);
        let monitor = monitor
            .filter(|monitor| monitor.is_conditional())
            .ok_or_else(|| Error::syntax(name, "unknown monitor session"))?;
        let Some(served) = databases.get(monitor.database) else { return Ok(Value::Null) };
        let conditions = monitor.parse_change(&served.database, requests)?;
        let update =
            monitor.change_conditions(&served.database, new_name.clone(), conditions, breath);
        if let Some(update) = update {
            session.outbox.write(breath.text(&update).as_bytes(), *n_records);
        }
        Ok(json!({}))
    }

    fn monitor_cancel(&mut self, id: ClientId, request: &Request) -> Reply {
        let [name] = request.params.as_slice() else {
            return Err("invalid parameters".into());
        };
        // What it saw so far is told, as if the request had come a moment later.
        self.flush_monitors(id, usize::MAX);
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(Value::Null) };
        let Some(at) = session.monitors.iter().position(|monitor| monitor.id == *name) else {
            return Err("unknown monitor".into());
        };
        session.monitors.remove(at);
        Ok(json!({}))
    }

    fn lock_name<'r>(&self, request: &'r Request) -> Result<&'r str, Error> {
        match request.params.as_slice() {
            [Value::String(name)] if is_id(name) => Ok(name),
            _ => Err(request.wrong("request params must be <id>")),
        }
    }

    fn lock(&mut self, id: ClientId, request: &Request, manner: Manner) -> Result<Value, Error> {
        let name = self.lock_name(request)?;
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(Value::Null) };
        if session.locks.contains(name) {
            let details = format!("must issue \"unlock\" before new \"{}\"", request.method);
            return Err(request.wrong(&details));
        }
        if session.locks.len() >= self.limits.max_locks {
            return Err(Error::new(ErrorKind::ResourcesExhausted, "too many locks"));
        }
        session.locks.insert(name.to_string());
        if let Some(victim) = self.locks.ask(name, id, manner) {
            self.notify_lock(victim, "stolen", name);
        }
        Ok(json!({"locked": self.locks.owner(name) == Some(id)}))
    }

    fn unlock(&mut self, id: ClientId, request: &Request) -> Result<Value, Error> {
        let name = self.lock_name(request)?;
        let session = self.sessions.get_mut(&id);
        if !session.is_some_and(|session| session.locks.remove(name)) {
            return Err(request.wrong("\"unlock\" without \"lock\" or \"steal\""));
        }
        if let Some(owner) = self.locks.release(name, id) {
            self.notify_lock(owner, "locked", name);
        }
        Ok(json!({}))
    }
}

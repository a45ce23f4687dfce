//! Managers: OVSDB clients that the switch connects to (`tcp:`), and further ports on which it listens for
//! them (`ptcp:`), as the rows of `Manager` say.
//!
//! ```text
//!            due            up
//! Backoff ──────► Connecting ──────► Connected
//!    ▲                │ failed, late     │ lost
//!    └────────────────┴──────────────────┘
//! ```
//! The wait doubles from a second to `max_backoff` (8 s), and begins anew after a connection that lasted
//! as long as that.

use super::extract::{MAX_REMOTES, Remote, remote};
use super::view::{Record, View};
use crate::mgmt::{Management, SocketId};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
use ovsdb::{Database, Uuid};
use sync::time::Nanos;

/// Where a target names no port.
const OVSDB_PORT: u16 = 6640;
const FIRST_BACKOFF: Nanos = Nanos::from_secs(1);
/// Where nobody says anything.
const DEFAULT_PROBE: Option<Nanos> = Some(Nanos::from_secs(5));
/// Longest interval of probes, in milliseconds: a day.
const MAX_PROBE_MS: u64 = 86_400_000;
/// An attempt that has not succeeded by then has failed.
const ATTEMPT_LIMIT: Nanos = Nanos::from_secs(8);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Backoff { until: Nanos },
    Connecting { socket: SocketId, since: Nanos },
    Connected { socket: SocketId, since: Nanos },
}

/// A manager to connect to.
#[derive(Debug)]
struct Active {
    target: SocketAddr,
    probe: Option<Nanos>,
    max_backoff: Nanos,
    backoff: Nanos,
    state: State,
    lost: Option<Nanos>,
}

/// All managers.
#[derive(Debug, Default)]
pub(crate) struct Managers {
    active: BTreeMap<Uuid, Active>,
    /// Ports of passive managers, and after what silence their clients are asked for a sign of life.
    doors: BTreeMap<Uuid, (u16, Option<Nanos>)>,
    listening: Vec<u16>,
    /// Connections of managers that are no more.
    orphans: Vec<SocketId>,
}

/// How a manager fares.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ManagerStatus {
    pub(super) is_connected: bool,
    pub(super) pairs: Vec<(&'static str, String)>,
}

impl Managers {
    /// Takes over what the rows say; what stays the same keeps its connection.
    pub(super) fn follow(&mut self, database: &Database) {
        let root = View { database }.root();
        let rows: Vec<Record<'_>> = root
            .map(|root| root.refs("manager_options", "Manager", MAX_REMOTES).collect())
            .unwrap_or_default();
        let mut before = core::mem::take(&mut self.active);
        self.doors.clear();
        for row in rows {
            let target = row.string("target").unwrap_or_default();
            match remote(target, OVSDB_PORT) {
                Some(Remote::Listen(port)) => {
                    self.doors.insert(row.uuid(), (port, probe(row)));
                }
                Some(Remote::Connect(target)) => {
                    let max_ms = row.number("max_backoff", u64::MAX).unwrap_or(8_000);
                    let max_backoff = Nanos::from_millis(max_ms.clamp(1_000, 86_400_000));
                    let same = before.remove(&row.uuid()).filter(|old| old.target == target);
                    let mut active = same.unwrap_or(Active {
                        target,
                        probe: None,
                        max_backoff,
                        backoff: Nanos::ZERO,
                        state: State::Backoff { until: Nanos::ZERO },
                        lost: None,
                    });
                    (active.max_backoff, active.probe) = (max_backoff, probe(row));
                    self.active.insert(row.uuid(), active);
                }
                None => {}
            }
        }
        self.orphans.extend(before.values().filter_map(Active::socket));
    }

    /// Whether a connection to this port is a manager's.
    pub(super) fn listens_on(&self, port: u16) -> bool {
        self.listening.contains(&port)
    }

    /// After what silence a client is asked for a sign of life: as the manager says by whose connection
    /// or port it came (0: the switch connected).
    pub(super) fn probe_of(&self, id: SocketId, port: u16) -> Option<Nanos> {
        let active = self.active.values().find(|manager| manager.socket() == Some(id));
        let door = self.doors.values().find(|(door, _)| *door == port && port != 0);
        active
            .map(|manager| manager.probe)
            .or(door.map(|(_, probe)| *probe))
            .unwrap_or(DEFAULT_PROBE)
    }

    /// Listens and connects, as far as that is due. `taken` are ports that others listen on.
    pub(super) fn run(&mut self, stack: &mut Management, taken: &[u16], now: Nanos) {
        for socket in self.orphans.drain(..) {
            stack.close(socket);
        }
        let mut wanted: Vec<u16> = self.doors.values().map(|(port, _)| *port).collect();
        wanted.retain(|port| !taken.contains(port));
        for &port in self.listening.iter().filter(|port| !wanted.contains(port)) {
            stack.unlisten(port);
        }
        for &port in wanted.iter().filter(|port| !self.listening.contains(port)) {
            stack.listen(port);
        }
        self.listening = wanted;
        for manager in self.active.values_mut() {
            manager.run(stack, now);
        }
    }

    /// When [`Self::run`] has something to do without any event.
    pub(super) fn next_deadline(&self, now: Nanos) -> Nanos {
        let all = self.active.values().map(|manager| match manager.state {
            // After that it is an address that is waited for, which comes by a frame.
            State::Backoff { until } if until <= now => Nanos::MAX,
            State::Backoff { until } => until,
            State::Connecting { since, .. } => since.saturating_add(ATTEMPT_LIMIT),
            State::Connected { .. } => Nanos::MAX,
        });
        all.min().unwrap_or(Nanos::MAX)
    }

    /// A connection that the switch began is up; who is at its other end, if it is a manager.
    pub(super) fn connected(&mut self, id: SocketId, now: Nanos) -> Option<SocketAddr> {
        let manager = self.active.values_mut().find(|manager| manager.socket() == Some(id))?;
        log::info!("ovsdb: tcp:{}: connected to the manager", manager.target);
        manager.state = State::Connected { socket: id, since: now };
        Some(manager.target)
    }

    /// A connection is gone; it need not have been a manager's.
    pub(super) fn closed(&mut self, id: SocketId, now: Nanos) {
        let manager = self.active.values_mut().find(|manager| manager.socket() == Some(id));
        if let Some(manager) = manager {
            manager.failed(now);
        }
    }

    /// How the manager of a row fares; `peers` tells how many clients a port has.
    pub(super) fn status(
        &self,
        row: Uuid,
        peers: impl Fn(u16) -> usize,
        now: Nanos,
    ) -> Option<ManagerStatus> {
        if let Some(&(port, _)) = self.doors.get(&row) {
            let n = peers(port);
            let state = if n > 0 { "ACTIVE" } else { "IDLE" };
            let mut pairs = alloc::vec![("state", state.to_string())];
            if self.listening.contains(&port) || port == OVSDB_PORT {
                pairs.push(("bound_port", port.to_string()));
            }
            if n > 1 {
                pairs.push(("n_connections", n.to_string()));
            }
            return Some(ManagerStatus { is_connected: n > 0, pairs });
        }
        let manager = self.active.get(&row)?;
        let seconds = |since: Nanos| now.saturating_sub(since).as_secs().to_string();
        let state = match manager.state {
            State::Backoff { .. } => "BACKOFF",
            State::Connecting { .. } => "CONNECTING",
            State::Connected { .. } => "ACTIVE",
        };
        let mut pairs = alloc::vec![("state", state.to_string())];
        if let State::Connected { since, .. } = manager.state {
            pairs.push(("sec_since_connect", seconds(since)));
        }
        if let Some(lost) = manager.lost {
            pairs.push(("sec_since_disconnect", seconds(lost)));
        }
        Some(ManagerStatus { is_connected: state == "ACTIVE", pairs })
    }
}

/// `inactivity_probe` of a manager, in milliseconds; 0 is never.
fn probe(row: Record<'_>) -> Option<Nanos> {
    let ms = row.number("inactivity_probe", u64::MAX);
    ms.map_or(DEFAULT_PROBE, |ms| {
        (ms != 0).then(|| Nanos::from_millis(ms.clamp(1_000, MAX_PROBE_MS)))
    })
}

impl Active {
    fn socket(&self) -> Option<SocketId> {
        match self.state {
            State::Backoff { .. } => None,
            State::Connecting { socket, .. } | State::Connected { socket, .. } => Some(socket),
        }
    }

    fn run(&mut self, stack: &mut Management, now: Nanos) {
        match self.state {
            State::Connecting { socket, since } if now.saturating_sub(since) > ATTEMPT_LIMIT => {
                self.failed(now);
                stack.abort(socket);
            }
            // Before the lease of DHCP is there nothing can begin, and that is no failure.
            State::Backoff { until }
                if now >= until && (stack.address().is_some() || self.target.is_ipv6()) =>
            {
                match stack.connect(self.target) {
                    Ok(socket) => self.state = State::Connecting { socket, since: now },
                    Err(_) => self.failed(now),
                }
            }
            _ => {}
        }
    }

    fn failed(&mut self, now: Nanos) {
        if let State::Connected { since, .. } = self.state {
            self.lost = Some(now);
            if now.saturating_sub(since) >= self.max_backoff {
                self.backoff = Nanos::ZERO;
            }
        }
        self.backoff = match self.backoff {
            Nanos::ZERO => FIRST_BACKOFF,
            before => before.saturating_add(before).min(self.max_backoff),
        };
        self.state = State::Backoff { until: now.saturating_add(self.backoff) };
    }
}

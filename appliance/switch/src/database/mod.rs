//! The configuration database as the control core serves it.
//!
//! # What
//! `ovsdb::Server` knows the protocol and nothing of sockets, disks or the switch. This module lends
//! it all three: connections of the management stack, a disk if the machine has one, and the clock.
//!
//! # Bounds
//! A round of the control core does a bounded amount of work: parsing and transactions are cut into
//! steps. What one request may cost in all is a matter of `Limits`, which follow the machine's memory: on
//! one of 128 MiB 64 clients, a megabyte a message, some ten thousand operations a transaction. In what
//! cannot be cut, as the one moment at which a large transaction is applied, the polling bodies of the
//! same processor get their turn ([`DatabaseParts::breathe`]), as they do while the disk is waited for.
//! A client that does not read its answers is not asked for more, and when it does not even answer a
//! probe its connection is closed with a line in the log.

mod birth;
mod extract;
mod managers;
mod qos;
mod reconcile;
mod seeding;
mod status;
mod view;
mod vsctl;

pub use seeding::{SeedBridge, SeedPort, Seeding};
pub(crate) use vsctl::parse as parse_vsctl;

use crate::mgmt::{Management, SocketId};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
pub use birth::ReadDatabase;
use birth::Unborn;
use core::fmt::Debug;
use core::net::SocketAddr;
use managers::Managers;
use ovsdb::store::{BlockDevice, Rest, Store};
use ovsdb::{CellChange, ClientId, Database, Server};
use reconcile::Reconciler;
use status::Extent;
use sync::time::Nanos;

/// The database that configures the switch, and the name of its root table.
const NAME: &str = "Open_vSwitch";
/// Where OVSDB clients are accepted, as IANA gave it out.
pub(crate) const PORT: u16 = 6640;
/// Bytes of one client taken in one round.
const BYTES_PER_ROUND: usize = 64 * 1024;

/// A disk that the switch can keep.
pub trait Disk: BlockDevice + Debug + Send {}

impl<D: BlockDevice + Debug + Send> Disk for D {}

/// When the database is built.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Birth {
    /// With the switch, which is not ready before: what the database says is how it begins.
    #[default]
    AtOnce,
    /// A little later: the switch begins as the seed says anyway, and the database will say the same.
    Later,
}

/// What the machine contributes to the database.
#[derive(Debug)]
pub struct DatabaseParts {
    /// TCP port for OVSDB clients; 0 is none.
    pub listen: u16,
    /// What a new database begins with; without it, it is empty, and the switch stays as it is made until
    /// somebody writes the first row.
    pub seed: Option<Seeding>,
    /// A database file of Open vSwitch that a new database begins as, in place of the seed, and where it
    /// comes from.
    pub file: Option<(String, Vec<u8>)>,
    /// When it is built; one on a disk is read at once in any case.
    pub birth: Birth,
    /// Where it is kept.
    pub disk: Option<Box<dyn Disk>>,
    /// What was read of both already ([`DatabaseParts::read`]).
    pub read: Option<ReadDatabase>,
    /// Milliseconds from 1970 to the zero of the switch's clock.
    pub epoch_ms: u64,
    /// What that clock said when the machine was switched on.
    pub power_on: Nanos,
    /// Lets the polling bodies that share the control core's processor have a turn.
    pub breathe: fn(),
}

impl Default for DatabaseParts {
    fn default() -> Self {
        Self {
            listen: PORT,
            seed: None,
            file: None,
            birth: Birth::AtOnce,
            disk: None,
            read: None,
            epoch_ms: 0,
            power_on: Nanos::ZERO,
            breathe: || {},
        }
    }
}

/// The server, its clients' connections and its disk.
#[derive(Debug)]
pub(crate) struct Databases {
    /// None before it is built.
    server: Option<Server>,
    birth: Option<Unborn>,
    pub(crate) reconciler: Reconciler,
    managers: Managers,
    store: Option<Store<Box<dyn Disk>>>,
    /// Connections, with our port; 0 where the switch connected.
    clients: Vec<(SocketId, u16)>,
    is_seasoned: bool,
    pub(crate) listen: u16,
    epoch_ms: u64,
    pub(crate) power_on: Nanos,
}

impl Databases {
    /// Opens the database on the machine's disk, or an empty one in memory, or neither yet. `memory` is
    /// the size of the heap in bytes.
    pub(crate) fn new(parts: DatabaseParts, memory: usize, random: u64, now: Nanos) -> Self {
        let DatabaseParts { listen, epoch_ms, power_on, .. } = parts;
        let is_said = parts.disk.is_some() || parts.file.is_some() || parts.read.is_some();
        let can_wait = parts.birth == Birth::Later && !is_said;
        let mut databases = Self {
            server: None,
            birth: Some(Unborn::new(parts, memory, random)),
            reconciler: Reconciler::default(),
            managers: Managers::default(),
            store: None,
            clients: Vec::new(),
            is_seasoned: false,
            listen,
            epoch_ms,
            power_on,
        };
        if !can_wait {
            databases.finish(now);
        }
        databases
    }

    /// The database that configures the switch, once it is there.
    pub(crate) fn database(&self) -> Option<&Database> {
        self.server.as_ref()?.database(NAME)
    }

    /// Whether there was a configuration on the disk.
    pub(crate) fn is_seasoned(&self) -> bool {
        self.is_seasoned
    }

    /// Where the configuration is kept, in words.
    pub(crate) fn keeping(&self) -> &'static str {
        if self.store.is_some() { "on disk" } else { "in memory" }
    }

    /// The part of the disk that the database leaves to others.
    pub(crate) fn rest(&mut self) -> Option<Rest<'_, Box<dyn Disk>>> {
        self.store.as_mut()?.rest()
    }

    /// Whether who connects to this port is a client of the database.
    pub(crate) fn listens_on(&self, port: u16) -> bool {
        port == self.listen || self.managers.listens_on(port)
    }

    /// A client connected to `port` (0: the switch to it); false when there are too many.
    pub(crate) fn accepted(
        &mut self,
        id: SocketId,
        peer: SocketAddr,
        port: u16,
        now: Nanos,
    ) -> bool {
        // Who asks for the database does not hear that it is not there yet.
        self.finish(now);
        let peer = format!("tcp:{peer}");
        let Some(server) = &mut self.server else { return false };
        let is_taken = server.accepted(ClientId(id.0), peer, now);
        if is_taken {
            server.set_probe(ClientId(id.0), self.managers.probe_of(id, port));
            self.clients.push((id, port));
        }
        is_taken
    }

    /// A connection that the switch began is up; true when it is a manager's, and taken.
    pub(crate) fn connected(&mut self, id: SocketId, now: Nanos) -> bool {
        let peer = self.managers.connected(id, now);
        peer.is_some_and(|peer| self.accepted(id, peer, 0, now))
    }

    /// The rows of managers have changed.
    fn follow_managers(&mut self) {
        let Some(server) = &mut self.server else { return };
        if let Some(database) = server.database(NAME) {
            self.managers.follow(database);
        }
        for &(id, port) in &self.clients {
            server.set_probe(ClientId(id.0), self.managers.probe_of(id, port));
        }
    }

    /// A connection is gone; it need not have been a client's.
    pub(crate) fn closed(&mut self, id: SocketId, now: Nanos) {
        self.managers.closed(id, now);
        if let Some(at) = self.clients.iter().position(|&(client, _)| client == id) {
            self.clients.swap_remove(at);
            if let Some(server) = &mut self.server {
                server.closed(ClientId(id.0));
            }
        }
    }

    /// Takes what clients sent.
    pub(crate) fn hear(&mut self, stack: &mut Management, now: Nanos) -> bool {
        let mut worked = false;
        let Some(server) = &mut self.server else { return false };
        for &(id, _) in &self.clients {
            let mut budget = BYTES_PER_ROUND;
            while budget > 0 {
                let taken = stack.receive(id, |bytes| server.received(ClientId(id.0), bytes, now));
                if taken == 0 {
                    break;
                }
                worked = true;
                budget = budget.saturating_sub(taken);
            }
        }
        worked
    }

    /// Serves requests, and brings what they changed to the disk; before that, goes on with building.
    pub(crate) fn poll(&mut self, now: Nanos) -> bool {
        let wall_ms = self.wall_ms(now);
        if self.birth.is_some() {
            return self.grow(now);
        }
        let Some(server) = &mut self.server else { return false };
        let worked = server.poll(now, wall_ms);
        self.keep(now);
        worked
    }

    /// Brings what was committed to the disk, so that clients may hear of it.
    pub(crate) fn keep(&mut self, now: Nanos) {
        let wall_ms = self.wall_ms(now);
        if let (Some(store), Some(server)) = (&mut self.store, &mut self.server) {
            // The server has told of a failure, and refuses changes from then on.
            let _ = server.keep_in(store, wall_ms);
        }
    }

    /// When [`Self::poll`] or what follows the database wants to be called at the latest.
    pub(crate) fn next_deadline(&self, now: Nanos) -> Nanos {
        if let Some(unborn) = &self.birth {
            return unborn.due();
        }
        let server = self.server.as_ref().and_then(Server::next_deadline).unwrap_or(Nanos::MAX);
        server.min(self.managers.next_deadline(now)).min(self.reconciler.next_deadline())
    }

    /// Gives the stack what clients are told, and connects to managers; true when anything was told.
    /// `doors` are the ports of others.
    pub(crate) fn tell(&mut self, stack: &mut Management, doors: &[u16], now: Nanos) -> bool {
        let taken: Vec<u16> = doors.iter().copied().chain([self.listen]).collect();
        self.managers.run(stack, &taken, now);
        let mut queued = false;
        let Some(server) = &mut self.server else { return false };
        for &(id, _) in &self.clients {
            let Some(outbox) = server.output(ClientId(id.0)) else { continue };
            let sent = stack.send(id, outbox.pending());
            outbox.consume(sent);
            queued |= sent > 0;
        }
        while let Some((ClientId(id), _)) = server.next_close() {
            let id = SocketId(id);
            self.clients.retain(|&(client, _)| client != id);
            self.managers.closed(id, now);
            stack.abort(id);
        }
        queued
    }

    /// The cells that tell how managers fare.
    fn manager_status(&self, database: &Database, extent: Extent, now: Nanos) -> Vec<CellChange> {
        let peers = |port: u16| self.clients.iter().filter(|(_, of)| *of == port).count();
        let status = |row| self.managers.status(row, peers, now);
        status::manager_changes(database, self.reconciler.extracted(), extent, status)
    }

    /// Writes status; whether there was any to write.
    fn write_cells(&mut self, cells: Vec<CellChange>, now: Nanos) -> bool {
        let wall_ms = self.wall_ms(now);
        let Some(server) = self.server.as_mut().filter(|_| !cells.is_empty()) else { return false };
        if let Err(error) = server.write_cells(NAME, cells, wall_ms) {
            log::warn!("ovsdb: the status cannot be written: {error}");
        }
        true
    }

    /// Milliseconds since 1970.
    pub(crate) fn wall_ms(&self, now: Nanos) -> u64 {
        self.epoch_ms.saturating_add(now.as_millis())
    }
}

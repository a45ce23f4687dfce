//! The agent: all OpenFlow connections, and their work dealt out in turn.
//!
//! # Fairness
//! One call of [`Agent::poll`] looks at each connection once around, [`MESSAGES_PER_TURN`] messages
//! at most, beginning where the last call stopped. So however many flow-mods one peer has queued, another's echo
//! request is answered after one turn of each, and the control core is back with its other duties.
//! A request whose cost grows with the tables (statistics, loose changes) is the last of its turn.

use crate::connection::{Closing, Connection, Waiting};
use crate::remote::{Remote, RemoteState};
use crate::requests::{Effect, Statistics};
use crate::role::Generation;
use crate::{ConnId, Outbox, PeerSettings, Way, events, long_reply, monitor, requests};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use datapath::Dpif;
use ofproto::{Bridge, BundleOutcome};
use openflow::{
    ControllerRole, Header, Message, OfErrorKind, PacketInReason, RoleReason, RoleStatus,
    SwitchDesc, Version,
};
use sync::time::Nanos;

/// Connections at one time.
const MAX_CONNECTIONS: usize = 64;
/// A peer may take so long to read the last words to it.
const CLOSING_GRACE: Nanos = Nanos::from_secs(5);
/// Messages of one connection in one turn.
const MESSAGES_PER_TURN: usize = 32;

/// How the agent behaves.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Controllers to connect to.
    pub controllers: Vec<SocketAddr>,
    /// Bitmap of the versions that may be spoken.
    pub versions: u32,
    /// Silence after which a peer is asked whether it is there; zero is never.
    pub inactivity_probe: Nanos,
    /// Longest wait between two attempts to connect.
    pub max_backoff: Nanos,
    /// How many packet-ins each connection gets; all of them without it.
    pub packet_in_limit: Option<PacketInLimit>,
    /// Peers get nothing unasked until they say what they want.
    pub is_quiet: bool,
    /// Peers for which other things hold than the four above. Who came by a way that is in this list,
    /// and no longer is, has to go.
    pub own: Vec<(Way, PeerSettings)>,
    /// Bytes of messages in the bundles of all connections; more where the bridge has room for more than
    /// twice as many bytes of rules.
    pub max_bundled_bytes: usize,
    /// What a description request is answered with.
    pub description: SwitchDesc,
}

/// A bound on packet-ins (`controller_rate_limit`, `controller_burst_limit`). What exceeds it is lost and
/// counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketInLimit {
    /// Packet-ins a second.
    pub per_second: u32,
    /// Packet-ins at once after a pause.
    pub burst: u32,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            controllers: Vec::new(),
            versions: Version::ALL.iter().fold(0, |bitmap, version| bitmap | version.bit()),
            inactivity_probe: Nanos::from_secs(5),
            max_backoff: Nanos::from_secs(8),
            packet_in_limit: None,
            is_quiet: false,
            own: Vec::new(),
            max_bundled_bytes: 64 * 1024 * 1024,
            description: SwitchDesc {
                manufacturer: "Uniswitch".into(),
                hardware: "virtio".into(),
                software: env!("CARGO_PKG_VERSION").into(),
                serial: "None".into(),
                datapath: "None".into(),
            },
        }
    }
}

/// What the network layer is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NetRequest {
    /// Connect to the controller with this number; answer by `connected` or `connect_failed`.
    Connect(usize, SocketAddr),
    /// Send what is pending, then close.
    Close(ConnId),
    /// Close at once: the peer does not take what is pending.
    Abort(ConnId),
}

/// One controller as `ovs-vsctl` or a status page would show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControllerView {
    /// `tcp:address:port`.
    pub target: String,
    /// The handshake is over.
    pub connected: bool,
    /// `other`, `master` or `slave`, as Open vSwitch writes roles.
    pub role: &'static str,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) generation: Generation,
    pub(crate) config: AgentConfig,
    /// Flags of the last `SET_CONFIG`: how fragments are treated.
    pub(crate) config_flags: u16,
    /// Bytes of messages in the bundles of all connections.
    pub(crate) n_bundled_bytes: usize,
}

/// All OpenFlow dialogues of one bridge.
#[derive(Debug)]
pub struct Agent {
    connections: Vec<Connection>,
    /// The controllers that are configured, by a number that is not given twice.
    remotes: BTreeMap<usize, Remote>,
    next_remote: usize,
    shared: Shared,
    requests: Vec<NetRequest>,
    turn: usize,
    /// When a configured controller was last connected; at first, the first poll.
    controlled: Option<Nanos>,
}

impl Agent {
    /// An agent without connections; configured controllers are tried at once.
    pub fn new(config: AgentConfig) -> Self {
        let remote = |&to| Remote::new(to, config.settings_for(Way::Connect(to)).max_backoff);
        let remotes: BTreeMap<_, _> = config.controllers.iter().map(remote).enumerate().collect();
        let next_remote = remotes.len();
        let shared = Shared {
            generation: Generation::default(),
            config,
            config_flags: 0,
            n_bundled_bytes: 0,
        };
        let (connections, requests) = (Vec::new(), Vec::new());
        Self { connections, remotes, next_remote, shared, requests, turn: 0, controlled: None }
    }

    /// From now on it behaves like this. Connections to controllers that stay configured live on,
    /// unless `must_reconnect` or the versions that may be spoken change: then all begin anew.
    pub fn reconfigure(&mut self, config: AgentConfig, must_reconnect: bool) {
        let ends_all = must_reconnect || config.versions != self.shared.config.versions;
        let stays = |remote: &Remote| config.controllers.contains(&remote.target);
        self.remotes.retain(|_, remote| stays(remote));
        for remote in self.remotes.values_mut() {
            remote.set_max_backoff(config.settings_for(Way::Connect(remote.target)).max_backoff);
        }
        for &target in &config.controllers {
            if !self.remotes.values().any(|remote| remote.target == target) {
                let max_backoff = config.settings_for(Way::Connect(target)).max_backoff;
                self.remotes.insert(self.next_remote, Remote::new(target, max_backoff));
                self.next_remote += 1;
            }
        }
        for connection in &mut self.connections {
            let is_ours = match (connection.remote, connection.way) {
                (Some(k), _) => self.remotes.contains_key(&k),
                (None, way) => {
                    let had = self.shared.config.own_settings(way).is_some();
                    !had || config.own_settings(way).is_some()
                }
            };
            if is_ours {
                connection.reconfigure(config.settings_for(connection.way));
            }
            if ends_all || !is_ours {
                connection.ending.get_or_insert("its configuration changed");
            }
        }
        self.shared.config = config;
    }

    /// A peer connected to us, to TCP port `door`. False when there are too many: close it.
    pub fn accepted(&mut self, conn: ConnId, peer: SocketAddr, door: u16, now: Nanos) -> bool {
        // Whoever connects to us leaves room for the controllers that we connect to.
        let is_away = |remote: &&Remote| !matches!(remote.state(), RemoteState::Connected { .. });
        let n_away = self.remotes.values().filter(is_away).count();
        if self.connections.len() + n_away >= MAX_CONNECTIONS {
            log::warn!("tcp:{peer}: refused, too many connections are open");
            return false;
        }
        self.open(conn, peer, (None, Way::Listen(door)), now)
    }

    /// The connection to the controller with number `remote` is up. False: close it.
    pub fn connected(&mut self, conn: ConnId, remote: usize, now: Nanos) -> bool {
        let Some(entry) = self.remotes.get(&remote) else {
            return false;
        };
        if matches!(entry.state(), RemoteState::Connected { .. }) {
            // A late success of an earlier attempt: one connection to a controller is enough.
            return false;
        }
        let target = entry.target;
        if !self.open(conn, target, (Some(remote), Way::Connect(target)), now) {
            self.connect_failed(remote, now);
            return false;
        }
        if let Some(entry) = self.remotes.get_mut(&remote) {
            entry.connected(conn, now);
        }
        true
    }

    /// No connection to the controller with number `remote` could be had.
    pub fn connect_failed(&mut self, remote: usize, now: Nanos) {
        if let Some(remote) = self.remotes.get_mut(&remote) {
            remote.attempt_failed(now);
        }
    }

    /// The connection is gone.
    pub fn closed(&mut self, conn: ConnId, now: Nanos) {
        let Some(k) = self.connections.iter().position(|c| c.id == conn) else {
            return;
        };
        let connection = self.connections.swap_remove(k);
        self.shared.n_bundled_bytes -= connection.bundles.n_bytes();
        if let Some(remote) = connection.remote.and_then(|k| self.remotes.get_mut(&k)) {
            log::info!("tcp:{}: connection lost", remote.target);
            remote.lost(now);
        }
    }

    /// Takes bytes that arrived; returns how many. The rest should be offered again later.
    pub fn received(&mut self, conn: ConnId, bytes: &[u8], now: Nanos) -> usize {
        match self.connections.iter_mut().find(|c| c.id == conn) {
            Some(connection) => connection.received(bytes, now),
            None => bytes.len(),
        }
    }

    /// Bytes to send to the peer.
    pub fn output(&mut self, conn: ConnId) -> Option<&mut Outbox> {
        self.connections.iter_mut().find(|c| c.id == conn).map(|c| &mut c.out)
    }

    /// A bounded piece of work; true when there was any.
    pub fn poll(&mut self, now: Nanos, bridge: &mut Bridge, dpif: &mut dyn Dpif) -> bool {
        let mut worked = events::deliver(&mut self.connections, bridge, now);
        worked |= monitor::deliver(&mut self.connections, bridge, None);
        self.end_commits(bridge);
        let n = self.connections.len();
        for k in 0..n {
            worked |= self.take_turn((self.turn + k) % n, now, bridge, dpif);
        }
        self.turn = if n == 0 { 0 } else { (self.turn + 1) % n };
        worked |= events::deliver(&mut self.connections, bridge, now);
        for connection in &mut self.connections {
            connection.probe(now);
            let late = connection.bundles.expire(&mut self.shared.n_bundled_bytes, now);
            for (xid, error) in late {
                connection.say(xid, &Message::Error(error));
            }
        }
        self.end_connections(now);
        for (k, remote) in &mut self.remotes {
            if remote.wants_attempt(now) {
                self.requests.push(NetRequest::Connect(*k, remote.target));
            }
        }
        self.tell_bridge(bridge, now);
        worked
    }

    /// What the network layer should do next.
    pub fn next_request(&mut self) -> Option<NetRequest> {
        (!self.requests.is_empty()).then(|| self.requests.remove(0))
    }

    /// When [`Agent::poll`] has something to do without any event.
    pub fn next_deadline(&self) -> Option<Nanos> {
        let probes = self.connections.iter().filter_map(|c| match c.closing {
            Closing::No => c.probe_deadline(),
            Closing::Asked(since) => Some(since.saturating_add(CLOSING_GRACE)),
            Closing::Aborted => None,
        });
        let bundles = self.connections.iter().filter_map(|c| c.bundles.deadline());
        probes.chain(bundles).chain(self.remotes.values().filter_map(Remote::deadline)).min()
    }

    /// The configured controller with this address: how it fares, and if it is connected, its role.
    pub fn remote(&self, target: SocketAddr) -> Option<(&Remote, Option<&'static str>)> {
        let remote = self.remotes.values().find(|remote| remote.target == target)?;
        let RemoteState::Connected { conn, .. } = remote.state() else {
            return Some((remote, None));
        };
        let connection = self.connections.iter().find(|connection| connection.id == conn);
        let role = connection.filter(|c| c.dialect.is_some()).map(|c| role_name(c.role));
        Some((remote, role))
    }

    /// The roles of the peers that connected to TCP port `door` of ours and are past their handshake.
    pub fn accepted_roles(&self, door: u16) -> impl Iterator<Item = &'static str> {
        let came = self.connections.iter().filter(move |c| c.way == Way::Listen(door));
        came.filter(|c| c.dialect.is_some()).map(|c| role_name(c.role))
    }

    /// The configured controllers, then those that connected to us.
    pub fn controllers(&self) -> Vec<ControllerView> {
        let view = |target: SocketAddr, connection: Option<&Connection>| ControllerView {
            target: alloc::format!("tcp:{target}"),
            connected: connection.is_some_and(|c| c.dialect.is_some()),
            role: connection.map_or("other", |c| role_name(c.role)),
        };
        let find = |conn: ConnId| self.connections.iter().find(|c| c.id == conn);
        let configured = self.remotes.values().map(|remote| match remote.state() {
            RemoteState::Connected { conn, .. } => view(remote.target, find(conn)),
            _ => view(remote.target, None),
        });
        let incoming = self.connections.iter().filter(|c| c.remote.is_none());
        configured.chain(incoming.map(|c| view(c.peer, Some(c)))).collect()
    }

    fn open(
        &mut self,
        conn: ConnId,
        peer: SocketAddr,
        (remote, way): (Option<usize>, Way),
        now: Nanos,
    ) -> bool {
        if self.connections.len() >= MAX_CONNECTIONS {
            log::warn!("tcp:{peer}: refused, {MAX_CONNECTIONS} connections are open");
            return false;
        }
        let Shared { config, .. } = &self.shared;
        let settings = config.settings_for(way);
        let entry = Connection::new(conn, peer, (remote, way, settings), config.versions, now);
        self.connections.push(entry);
        true
    }

    fn take_turn(
        &mut self,
        k: usize,
        now: Nanos,
        bridge: &mut Bridge,
        dpif: &mut dyn Dpif,
    ) -> bool {
        let Self { connections, shared, .. } = self;
        let mut worked = false;
        if let Some(connection) = connections.get_mut(k) {
            if let Waiting::Credit(credit) = &mut connection.waiting {
                worked = true;
                if credit.go_on(bridge, now) {
                    let request = core::mem::take(&mut credit.request);
                    connection.waiting = Waiting::No;
                    // No statistics are of interest to others.
                    let _none = requests::handle(
                        &request,
                        Statistics::Read,
                        connection,
                        shared,
                        bridge,
                        dpif,
                        now,
                    );
                    connection.ends_turn = false;
                }
            }
            worked |= go_on_waiting(connection, bridge, dpif, now);
            worked |= monitor::resume(connection, bridge, now);
        }
        for _ in 0..MESSAGES_PER_TURN {
            let Some(connection) = connections.get_mut(k) else {
                break;
            };
            if bridge.is_committing() && may_change_tables(connection) {
                // It would have the whole bundle finished in one go.
                break;
            }
            let Some(taken) = connection.next_message() else {
                break;
            };
            let message = taken.message();
            worked = true;
            if connection.dialect.is_none() {
                let version = connection.handshake(message, shared.config.versions);
                connection.give_back(taken);
                if let Some(version) = version {
                    // Tools come and go all the time; a configured controller is news.
                    let level = match connection.remote {
                        Some(_) => log::Level::Info,
                        None => log::Level::Debug,
                    };
                    log::log!(level, "tcp:{}: connected, {version}", connection.peer);
                }
                continue;
            }
            let effect = requests::handle(
                message,
                Statistics::Unread,
                connection,
                shared,
                bridge,
                dpif,
                now,
            );
            let ends_turn = core::mem::take(&mut connection.ends_turn);
            let xid = Header::parse(message).map_or(0, |header| header.xid);
            connection.give_back(taken);
            monitor::deliver(connections, bridge, Some((k, xid)));
            match effect {
                Effect::None => {}
                Effect::Demote => demote_others(k, connections, shared),
                Effect::Forward(request) => events::forward(Some(k), connections, xid, &request),
            }
            if ends_turn {
                break;
            }
        }
        worked
    }

    /// Notes what became of bundles that were carried out.
    fn end_commits(&mut self, bridge: &mut Bridge) {
        while let Some((id, outcome)) = bridge.take_bundle_outcome() {
            let waits = |connection: &Connection| matches!(&connection.waiting, Waiting::Commit(commit) if commit.id == id);
            let waiting = self.connections.iter().position(waits);
            if let BundleOutcome::Done { forwards, .. } = &outcome {
                for request in forwards {
                    events::forward(waiting, &mut self.connections, 0, request);
                }
            }
            let Some(connection) = waiting.and_then(|k| self.connections.get_mut(k)) else {
                continue;
            };
            match outcome {
                BundleOutcome::Done { ticket, .. } => match &mut connection.waiting {
                    Waiting::Commit(commit) if commit.reply.is_some() => {
                        commit.in_force = Some(ticket);
                    }
                    waiting => *waiting = Waiting::No,
                },
                BundleOutcome::Refused { error, message } => {
                    // What is wrong with the message, then that the bundle failed for it.
                    connection.refuse(error, &message);
                    let waiting = core::mem::replace(&mut connection.waiting, Waiting::No);
                    if let Waiting::Commit(commit) = waiting
                        && commit.reply.is_some()
                    {
                        connection.refuse(OfErrorKind::BundleMsgFailed, &commit.request);
                    }
                }
            }
        }
    }

    /// Whether there are controllers to connect to.
    #[must_use]
    pub fn has_controllers(&self) -> bool {
        !self.remotes.is_empty()
    }

    /// Tells the bridge what depends on who is connected and what they want to hear.
    fn tell_bridge(&mut self, bridge: &mut Bridge, now: Nanos) {
        let config = &self.shared.config;
        let up =
            |c: &Connection| config.is_primary(c.way) && c.dialect.is_some() && c.ending.is_none();
        if self.connections.iter().any(up) || self.controlled.is_none() {
            self.controlled = Some(now);
        }
        let ways = self.remotes.values().map(|remote| Way::Connect(remote.target));
        let ways = ways.chain(config.own.iter().map(|(way, _)| *way));
        bridge.set_controllers({ ways }.any(|way| config.is_primary(way)), now);
        bridge.watch_rules(self.connections.iter().any(|c| c.watch.is_active()));
        // As Open vSwitch: without contact for three probes, the fail mode decides.
        let settings = |remote: &Remote| config.settings_for(Way::Connect(remote.target));
        let probes = self.remotes.values().map(settings);
        let probe = probes.map(|settings| settings.inactivity_probe).max();
        let patience = Nanos(probe.unwrap_or(config.inactivity_probe).0.saturating_mul(3));
        let silent = now.saturating_sub(self.controlled.unwrap_or(now));
        bridge.set_controllers_connected(silent <= patience, now);

        let wants = |c: &Connection, reason: PacketInReason| {
            c.async_masks().packet_in & (1 << reason as u8) != 0
        };
        let wants_misses = |c: &Connection| {
            c.version().is_some_and(|v| v < Version::V13) && wants(c, PacketInReason::NoMatch)
        };
        bridge.set_miss_to_controllers(self.connections.iter().any(wants_misses));
        let wants_ttl =
            |c: &Connection| c.dialect.is_some() && wants(c, PacketInReason::InvalidTtl);
        bridge.set_invalid_ttl_to_controllers(self.connections.iter().any(wants_ttl));
    }

    /// Asks for the end of connections that are over. One whose peer reads nothing more would
    /// otherwise keep its place for ever.
    fn end_connections(&mut self, now: Nanos) {
        let Self { connections, requests, .. } = self;
        for connection in connections {
            let Some(reason) = connection.ending else {
                continue;
            };
            match connection.closing {
                Closing::No => {
                    log::warn!("tcp:{}: closing: {reason}", connection.peer);
                    requests.push(NetRequest::Close(connection.id));
                    connection.closing = Closing::Asked(now);
                }
                Closing::Asked(since) if now.saturating_sub(since) >= CLOSING_GRACE => {
                    requests.push(NetRequest::Abort(connection.id));
                    connection.closing = Closing::Aborted;
                }
                Closing::Asked(_) | Closing::Aborted => {}
            }
        }
    }
}

/// A role as Open vSwitch writes it.
fn role_name(role: ControllerRole) -> &'static str {
    match role {
        ControllerRole::Primary => "master",
        ControllerRole::Secondary => "slave",
        _ => "other",
    }
}

/// Answers a barrier whose changes are in force, or writes more of a long reply.
fn go_on_waiting(
    connection: &mut Connection,
    bridge: &Bridge,
    dpif: &dyn Dpif,
    now: Nanos,
) -> bool {
    match &mut connection.waiting {
        Waiting::No | Waiting::Credit(_) => return false,
        Waiting::Barrier(ticket, xid) => {
            if !bridge.reached(*ticket) {
                return false;
            }
            let xid = *xid;
            connection.waiting = Waiting::No;
            connection.say(xid, &Message::BarrierReply);
        }
        Waiting::Reply(reply) => {
            // On a machine that is short of memory a long reply waits for its turn.
            if connection.out.is_busy() || !connection.out.make_room(long_reply::MAX_PER_CALL) {
                return false;
            }
            if reply.write(bridge, dpif, connection.out.tail()) {
                connection.waiting = Waiting::No;
            }
            // A peer that only reads a long reply is alive: it made this room.
            connection.is_alive(now);
        }
        Waiting::Sum(sum) => {
            let Some((xid, reply)) = sum.go_on(bridge) else { return true };
            connection.waiting = Waiting::No;
            connection.say(xid, &reply);
        }
        Waiting::Commit(commit) => {
            if !commit.in_force.is_some_and(|ticket| bridge.reached(ticket)) {
                return false;
            }
            let waiting = core::mem::replace(&mut connection.waiting, Waiting::No);
            if let Waiting::Commit(commit) = waiting {
                let xid = Header::parse(&commit.request).map_or(0, |header| header.xid);
                commit.reply.iter().for_each(|reply| connection.say(xid, reply));
            }
        }
    }
    true
}

/// Whether the next message may be one that changes rules: a flow-mod, a group-mod, a meter-mod or a
/// vendor's.
fn may_change_tables(connection: &Connection) -> bool {
    const VENDOR: u8 = 4;
    const FLOW_MOD: u8 = 14;
    const GROUP_MOD: u8 = 15;
    const METER_MOD: u8 = 29;
    matches!(connection.next_kind(), Some(VENDOR | FLOW_MOD | GROUP_MOD | METER_MOD))
}

/// There is one primary (§6.3.4): the others become secondary, and are told if they want to be.
fn demote_others(primary: usize, connections: &mut [Connection], shared: &Shared) {
    for (k, connection) in connections.iter_mut().enumerate() {
        if k == primary || connection.role != ControllerRole::Primary {
            continue;
        }
        let bit = 1 << RoleReason::PrimaryRequest as u8;
        let is_wanted = connection.async_masks().role_status & bit != 0;
        connection.role = ControllerRole::Secondary;
        if is_wanted && connection.version() >= Some(Version::V13) {
            let status = RoleStatus {
                role: connection.role,
                reason: RoleReason::PrimaryRequest,
                generation_id: shared.generation.get(),
            };
            connection.say(0, &Message::RoleStatus(status));
        }
    }
}

//! The loop body of the control core: hear, decide, tell.
//!
//! ```text
//! management NIC ─► agent ─► bridge ─► dpif ─► orders to the cores
//! upcalls of the cores ─► by protocol and port ─► handler (bridge) ─► dpif
//! conclusions of the cores ─► bridge
//! reports of the cores ─► ports          channels ─► unixctl commands
//! ```
//! Each step of [`Control::poll`] is bounded, so on a single processor the polling bodies get their turn
//! soon, and no source of work, however busy, keeps the others waiting.

use crate::channel::{ByteChannel, ControlChannel};
use crate::commands;
use crate::coverage::{self, Coverage};
use crate::dpif::RingDpif;
use crate::mgmt::{Event, Management, SocketId};
use crate::outlet::FirstForward;
use crate::ports::Ports;
use crate::reconfigure::Intent;
use crate::rings::{PROTOCOL_RING, Report};
use crate::upcalls::{Service, UpcallConfig, UpcallStats};
use crate::waiting::{Until, Waiting};
use agent::{Agent, ConnId, NetRequest};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use datapath::Dpif;
use netdev::Netdev;
use ofproto::Bridge;
use packet::Pool;
use sync::spsc::Consumer;
use sync::time::Nanos;

/// Upcalls handled in one round, for each core; those of protocols are few and come on top.
const UPCALLS_PER_ROUND: usize = 64;
/// Bytes of one connection given to the agent in one round.
const BYTES_PER_ROUND: usize = 64 * 1024;
/// Between two attempts to open a management NIC that broke the protocol.
const RETRY: Nanos = Nanos::from_secs(1);

/// What a control body is made of.
pub(crate) struct Parts {
    pub(crate) bridge: Bridge,
    pub(crate) agent: Agent,
    pub(crate) dpif: RingDpif,
    pub(crate) ports: Ports,
    pub(crate) management: Option<(Box<dyn Netdev>, Management)>,
    pub(crate) service: Service,
    pub(crate) upcalls: UpcallConfig,
    pub(crate) reports: Vec<Consumer<Report>>,
    pub(crate) channels: Vec<Box<dyn ByteChannel>>,
    pub(crate) first_forward: Arc<FirstForward>,
    pub(crate) memory: fn() -> (usize, usize),
    pub(crate) self_check_one_in: u32,
    pub(crate) listen: u16,
    pub(crate) pool: Arc<Pool>,
}

/// The control core's share of the switch.
#[derive(Debug)]
pub struct Control {
    pub(crate) bridge: Bridge,
    pub(crate) agent: Agent,
    pub(crate) dpif: RingDpif,
    pub(crate) ports: Ports,
    pub(crate) network: Option<Network>,
    pub(crate) first_forward: Arc<FirstForward>,
    pub(crate) memory: fn() -> (usize, usize),
    pub(crate) listen: u16,
    pub(crate) pool: Arc<Pool>,
    pub(crate) exit: bool,
    pub(crate) coverage: Coverage,
    /// What the switch is to be.
    pub(crate) intent: Intent,
    /// One in so many cache hits is checked; 0 is none.
    pub(crate) self_check_one_in: u32,
    /// Commands that are not answered yet.
    pub(crate) waiting: Vec<Waiting>,
    /// Set by a command that is to be answered later.
    pub(crate) later: Option<Until>,
    /// When the first round began: the switch is ready from then on.
    pub(crate) ready: Option<Nanos>,
    service: Service,
    upcalls: UpcallConfig,
    reports: Vec<Consumer<Report>>,
    channels: Vec<ControlChannel>,
}

/// The management NIC, its stack, and who is behind which socket.
#[derive(Debug)]
pub(crate) struct Network {
    netdev: Box<dyn Netdev>,
    pub(crate) stack: Management,
    /// Connections under way to configured controllers, by socket.
    connecting: BTreeMap<SocketId, usize>,
    /// Configured controllers to connect to as soon as there is an address to come from.
    to_connect: BTreeMap<usize, SocketAddr>,
    /// Connections of the agent.
    open: Vec<SocketId>,
    /// To be closed when everything is sent.
    closing: Vec<SocketId>,
    /// When the NIC was opened.
    opened: Nanos,
    /// When to try to open it, while it is not.
    again: Option<Nanos>,
}

impl Control {
    pub(crate) fn new(parts: Parts) -> Self {
        let network = parts.management.map(|(netdev, stack)| Network {
            netdev,
            stack,
            connecting: BTreeMap::new(),
            to_connect: BTreeMap::new(),
            open: Vec::new(),
            closing: Vec::new(),
            opened: Nanos::ZERO,
            again: Some(Nanos::ZERO),
        });
        Self {
            bridge: parts.bridge,
            agent: parts.agent,
            dpif: parts.dpif,
            ports: parts.ports,
            network,
            first_forward: parts.first_forward,
            memory: parts.memory,
            listen: parts.listen,
            pool: parts.pool,
            exit: false,
            coverage: Coverage::default(),
            intent: Intent::default(),
            self_check_one_in: parts.self_check_one_in,
            waiting: Vec::new(),
            later: None,
            ready: None,
            service: parts.service,
            upcalls: parts.upcalls,
            reports: parts.reports,
            channels: parts.channels.into_iter().map(ControlChannel::new).collect(),
        }
    }

    /// One round at time `now`; true when there was anything to do.
    pub fn poll(&mut self, now: Nanos) -> bool {
        self.ready.get_or_insert(now);
        self.dpif.begin_round(now);
        let mut worked = self.bridge.take_conclusions(now) > 0;
        worked |= self.handle_upcalls(now);
        worked |= self.hear_network(now);
        worked |= self.agent.poll(now, &mut self.bridge, &mut self.dpif);
        self.tell_network(now);
        worked |= self.take_reports(now);
        worked |= self.serve_channels(now);
        self.bridge.run(&mut self.dpif, now);
        self.observe(now);
        self.ports.run(&mut self.dpif, &mut self.bridge, now);
        worked
    }

    /// Lets a host that runs the switch in its own process configure the bridge.
    pub fn configure<R>(&mut self, change: impl FnOnce(&mut Bridge, &mut dyn Dpif) -> R) -> R {
        change(&mut self.bridge, &mut self.dpif)
    }

    /// A unixctl client asked for the end, and has its answer.
    pub fn wants_exit(&self) -> bool {
        self.exit
    }

    /// The law of accounting over all cores and ports; see [`datapath::Accounting`].
    pub fn accounting(&self) -> datapath::Accounting {
        self.dpif.accounting()
    }

    /// How upcalls are answered.
    pub fn upcall_config(&self) -> &UpcallConfig {
        &self.upcalls
    }

    /// Has upcalls answered like this from now on.
    pub fn set_upcall_config(&mut self, config: UpcallConfig) {
        self.upcalls = config;
        self.dpif.set_upcalls(config);
    }

    /// A port's statistics, over all cores.
    pub fn port_stats(&self, port: datapath::PortNo) -> datapath::PortStats {
        self.dpif.port_stats(port)
    }

    /// What became of the upcalls of a port, over all cores.
    pub fn upcall_stats(&self, port: datapath::PortNo) -> UpcallStats {
        self.dpif.upcall_stats(port)
    }

    /// Answers upcalls: all of protocols, then a bounded number, port by port; and self checks.
    fn handle_upcalls(&mut self, now: Nanos) -> bool {
        let mut worked = false;
        for _ in 0..PROTOCOL_RING * self.service.n_cores() {
            if !self.dpif.has_room_to_flood() {
                break;
            }
            let Some(upcall) = self.service.next_protocol() else { break };
            worked = true;
            self.bridge.handle_upcall(upcall, &mut self.dpif, now);
        }
        self.service.sort();
        let limit = UPCALLS_PER_ROUND * self.service.n_cores();
        for _ in 0..limit {
            if !self.dpif.has_room_to_flood() {
                // They wait, rather than be answered by frames that find no room.
                return worked;
            }
            let Some(upcall) = self.service.next() else { break };
            worked = true;
            let (core, port) = (upcall.core, upcall.port);
            self.bridge.handle_upcall(upcall, &mut self.dpif, now);
            self.service.answered(core, self.dpif.upcall_counters(core, port));
        }
        for _ in 0..limit {
            let Some(check) = self.service.next_check() else { break };
            worked = true;
            self.bridge.self_check(check, &mut self.dpif, now);
        }
        worked
    }

    /// Frames of the management NIC, and what they mean for the agent.
    fn hear_network(&mut self, now: Nanos) -> bool {
        let Some(network) = &mut self.network else {
            return false;
        };
        let mut worked = network.stack.poll(now);
        while let Some(event) = network.stack.next_event() {
            worked = true;
            match event {
                Event::Accepted { id, peer, .. } => {
                    if self.agent.accepted(ConnId(id.0), peer, now) {
                        network.open.push(id);
                    } else {
                        network.stack.abort(id);
                    }
                }
                Event::Connected(id) => {
                    let remote = network.connecting.remove(&id);
                    let known = remote.is_some_and(|k| self.agent.connected(ConnId(id.0), k, now));
                    if known {
                        network.open.push(id);
                    } else {
                        network.stack.abort(id);
                    }
                }
                Event::Closed(id) => {
                    network.open.retain(|&open| open != id);
                    network.closing.retain(|&closing| closing != id);
                    match network.connecting.remove(&id) {
                        Some(remote) => self.agent.connect_failed(remote, now),
                        None => self.agent.closed(ConnId(id.0), now),
                    }
                }
            }
        }
        for &id in &network.open {
            let mut budget = BYTES_PER_ROUND;
            while budget > 0 {
                let agent = &mut self.agent;
                let taken =
                    network.stack.receive(id, |bytes| agent.received(ConnId(id.0), bytes, now));
                if taken == 0 {
                    break;
                }
                worked = true;
                budget = budget.saturating_sub(taken);
            }
        }
        network.mend(&self.pool, now);
        worked
    }

    /// The agent's bytes and requests to the management stack.
    fn tell_network(&mut self, now: Nanos) {
        while let Some(request) = self.agent.next_request() {
            match (request, &mut self.network) {
                (NetRequest::Connect(remote, target), Some(network)) => {
                    network.give_up_attempts(remote);
                    network.to_connect.insert(remote, target);
                }
                (NetRequest::Connect(remote, _), None) => self.agent.connect_failed(remote, now),
                (NetRequest::Close(conn), Some(network)) => {
                    network.closing.push(SocketId(conn.0));
                }
                (NetRequest::Abort(conn), Some(network)) => {
                    network.stack.abort(SocketId(conn.0));
                }
                (NetRequest::Close(_) | NetRequest::Abort(_), None) => {}
            }
        }
        let Some(network) = &mut self.network else {
            return;
        };
        network.connect(&mut self.agent, now);
        let mut queued = false;
        for &id in &network.open {
            let Some(outbox) = self.agent.output(ConnId(id.0)) else {
                continue;
            };
            let sent = network.stack.send(id, outbox.pending());
            outbox.consume(sent);
            queued |= sent > 0;
            if outbox.pending().is_empty() && network.closing.contains(&id) {
                network.stack.close(id);
            }
        }
        if queued {
            // Answers leave in the round that made them.
            network.stack.poll(now);
        }
    }

    fn take_reports(&mut self, now: Nanos) -> bool {
        let mut worked = false;
        for ring in &mut self.reports {
            while let Some(report) = ring.pop() {
                worked = true;
                self.ports.report(report, &mut self.dpif, now);
            }
        }
        worked
    }

    fn serve_channels(&mut self, now: Nanos) -> bool {
        let mut worked = false;
        let mut channels = core::mem::take(&mut self.channels);
        for (index, channel) in channels.iter_mut().enumerate() {
            worked |= channel.read(now);
            // One command a round: answers can be long.
            if let Some(request) = channel.server.next_request() {
                worked = true;
                let outcome = commands::run(&request.method, &request.params, self, now);
                match self.later.take() {
                    Some(until) => self.waiting.push(Waiting { channel: index, request, until }),
                    None => channel.server.reply(&request, outcome),
                }
            }
            channel.write();
        }
        for Waiting { channel, request, .. } in self.take_answerable() {
            worked = true;
            if let Some(channel) = channels.get_mut(channel) {
                channel.server.reply(&request, Ok(String::new()));
                channel.write();
            }
        }
        self.channels = channels;
        worked
    }

    /// Samples the rates of events, and tells of cached flows that were found wrong.
    fn observe(&mut self, now: Nanos) {
        if self.coverage.is_due(now) {
            let totals = coverage::totals(self);
            self.coverage.sample(&totals, now);
        }
        for wrong in self.bridge.take_wrong_flows() {
            log::error!(
                "cached flow {} was wrong ({}): did {}, right is {}; see uniswitch/self-check",
                wrong.ufid,
                wrong.found_by,
                wrong.cached,
                wrong.right
            );
        }
    }
}

impl Network {
    /// Begins the connections that were asked for. Before the lease of DHCP is there none can
    /// begin; to call that a failure would cost a back-off, so they wait.
    fn connect(&mut self, agent: &mut Agent, now: Nanos) {
        let is_addressed = self.stack.address().is_some();
        let ready = |target: &SocketAddr| is_addressed || target.is_ipv6();
        for (remote, target) in self.to_connect.extract_if(.., |_, target| ready(target)) {
            match self.stack.connect(target) {
                Ok(id) => {
                    self.connecting.insert(id, remote);
                }
                Err(_) => agent.connect_failed(remote, now),
            }
        }
    }

    /// Ends the attempts to connect to this controller that the agent waits for no longer.
    fn give_up_attempts(&mut self, remote: usize) {
        let Self { stack, connecting, to_connect, .. } = self;
        to_connect.remove(&remote);
        connecting.retain(|&id, &mut of| {
            if of == remote {
                stack.abort(id);
            }
            of != remote
        });
    }

    /// Resets the management NIC if its device broke the protocol, and opens it again when that is
    /// due. Connections live on: TCP repeats.
    fn mend(&mut self, pool: &Arc<Pool>, now: Nanos) {
        if let Some(fault) = self.stack.take_fault() {
            let name = &self.netdev.info().name;
            log::error!("{name}: the management NIC broke the protocol ({fault:?}); resetting it");
            let old = self.stack.replace_queues(None);
            if let Err(error) = self.netdev.reset(old.into_iter().collect()) {
                log::error!("{}: does not reset ({error:?})", self.netdev.info().name);
            }
            // A device that is faulty from the start must not keep the control core busy.
            let up = now.saturating_sub(self.opened);
            self.again = Some(if up >= RETRY { now } else { now.saturating_add(RETRY) });
        }
        if self.again.is_none_or(|again| now < again) {
            return;
        }
        self.again = match self.netdev.open(1, pool) {
            Ok(mut pairs) if !pairs.is_empty() => {
                self.stack.replace_queues(Some(pairs.swap_remove(0)));
                self.opened = now;
                None
            }
            outcome => {
                let name = &self.netdev.info().name;
                log::error!("{name}: does not open, will be tried again ({:?})", outcome.err());
                Some(now.saturating_add(RETRY))
            }
        };
    }

    /// The NIC's name and address.
    pub(crate) fn info(&self) -> &netdev::NetdevInfo {
        self.netdev.info()
    }
}

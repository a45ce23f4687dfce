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

use crate::bridges::{Bridges, Member};
use crate::channel::{ByteChannel, ControlChannel};
use crate::commands;
use crate::coverage::{self, Coverage};
use crate::database::Databases;
use crate::dpif::RingDpif;
use crate::keeping::Keeping;
use crate::memory::MemoryWatch;
use crate::mgmt::{Event, Management, SocketId};
use crate::network::Network;
use crate::outlet::FirstForward;
use crate::placement::Balance;
use crate::ports::Ports;
use crate::reconfigure::Intent;
use crate::rings::{PROTOCOL_RING, Report};
use crate::upcalls::{Service, UpcallConfig, UpcallStats};
use crate::waiting::{Until, Waiting};
use agent::{AgentConfig, ConnId, NetRequest};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{Dpif, DropReason, PortNo, Upcall, UpcallReason};
use flow::EtherAddr;
use netdev::Netdev;
use ofproto::{Bridge, BridgeConfig};
use packet::Pool;
use sync::spsc::Consumer;
use sync::time::Nanos;

/// Upcalls handled in one round, for each core; those of protocols are few and come on top.
const UPCALLS_PER_ROUND: usize = 64;
/// Bytes of one connection given to the agent in one round.
const BYTES_PER_ROUND: usize = 64 * 1024;

/// What a control body is made of.
pub(crate) struct Parts {
    /// What bridges are made like.
    pub(crate) template: BridgeConfig,
    /// What their agents are made like.
    pub(crate) agent: AgentConfig,
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
    pub(crate) pool: Arc<Pool>,
    /// The address that names this machine.
    pub(crate) base_mac: EtherAddr,
    pub(crate) databases: Databases,
}

/// The control core's share of the switch.
#[derive(Debug)]
pub struct Control {
    pub(crate) bridges: Bridges,
    /// What bridges are made like.
    pub(crate) template: BridgeConfig,
    /// What their agents are made like.
    pub(crate) agent_template: AgentConfig,
    pub(crate) base_mac: EtherAddr,
    pub(crate) dpif: RingDpif,
    pub(crate) ports: Ports,
    /// Which core polls which queue.
    pub(crate) balance: Balance,
    pub(crate) network: Option<Network>,
    pub(crate) first_forward: Arc<FirstForward>,
    pub(crate) memory: fn() -> (usize, usize),
    pub(crate) memory_watch: MemoryWatch,
    pub(crate) pool: Arc<Pool>,
    pub(crate) databases: Databases,
    pub(crate) keeping: Keeping,
    pub(crate) exit: bool,
    pub(crate) coverage: Coverage,
    /// What the switch is to be.
    pub(crate) intent: Intent,
    /// A TCP port by which controllers reach the bridge of the boot in any case; 0 is none.
    pub(crate) door: u16,
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
    /// See [`Self::did_chores`].
    did_chores: bool,
}

impl Control {
    pub(crate) fn new(parts: Parts) -> Self {
        let network = parts.management.map(|(netdev, stack)| Network::new(netdev, stack));
        Self {
            bridges: Bridges::default(),
            template: parts.template,
            agent_template: parts.agent,
            base_mac: parts.base_mac,
            dpif: parts.dpif,
            ports: parts.ports,
            balance: Balance::default(),
            network,
            first_forward: parts.first_forward,
            memory: parts.memory,
            memory_watch: MemoryWatch::default(),
            pool: parts.pool,
            databases: parts.databases,
            keeping: Keeping::default(),
            exit: false,
            coverage: Coverage::default(),
            intent: Intent::default(),
            door: 0,
            self_check_one_in: parts.self_check_one_in,
            waiting: Vec::new(),
            later: None,
            ready: None,
            service: parts.service,
            upcalls: parts.upcalls,
            reports: parts.reports,
            channels: parts.channels.into_iter().map(ControlChannel::new).collect(),
            did_chores: false,
        }
    }

    /// One round at time `now`; true when there was anything to do.
    pub fn poll(&mut self, now: Nanos) -> bool {
        self.ready.get_or_insert(now);
        self.dpif.begin_round(now);
        self.share_memory(now);
        let (mut worked, mut chores) = (false, false);
        for member in self.bridges.iter_mut() {
            worked |= member.bridge.take_conclusions(now) > 0;
        }
        worked |= self.handle_upcalls(now);
        worked |= self.hear_network(now);
        chores |= self.databases.poll(now);
        chores |= self.reconcile(now);
        for Member { agent, bridge, .. } in self.bridges.iter_mut() {
            worked |= agent.poll(now, bridge, &mut self.dpif);
        }
        self.tell_network(now);
        chores |= self.take_reports(now);
        worked |= self.serve_channels(now);
        for Member { bridge, .. } in self.bridges.iter_mut() {
            // What it does in slices goes on at once.
            chores |= bridge.run(&mut self.dpif, now) <= now;
        }
        chores |= self.keep_openflow(now);
        if self.exit {
            self.keep_all(now);
        }
        self.observe(now);
        self.ports.run(&mut self.dpif, &mut self.bridges, now);
        self.balance.run(&mut self.dpif, now);
        self.settle(now);
        // Cores that rest are woken by who has something to do.
        chores |= self.dpif.is_unheard();
        self.did_chores = chores && !worked;
        worked || chores
    }

    /// Whether all that the last round had to do was of its own making, as the revalidator's rounds are:
    /// nothing that lets more be expected soon.
    pub fn did_chores(&self) -> bool {
        self.did_chores
    }

    /// The channels other than the network.
    pub(crate) fn channels(&self) -> impl Iterator<Item = &ControlChannel> {
        self.channels.iter()
    }

    /// Lets a host that runs the switch in its own process configure its first bridge.
    ///
    /// # Panics
    /// When there is no bridge: see [`Self::configure_bridge`].
    pub fn configure<R>(&mut self, change: impl FnOnce(&mut Bridge, &mut dyn Dpif) -> R) -> R {
        let Self { bridges, dpif, .. } = self;
        let member = bridges.iter_mut().next().expect("a switch begins with a bridge");
        change(&mut member.bridge, dpif)
    }

    /// As [`Self::configure`], for the bridge of that name, if there is one.
    pub fn configure_bridge<R>(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut Bridge, &mut dyn Dpif) -> R,
    ) -> Option<R> {
        let Self { bridges, dpif, .. } = self;
        let mut members = bridges.iter_mut();
        members.find(|m| m.bridge.name() == name).map(|member| change(&mut member.bridge, dpif))
    }

    /// Asks the management NIC for an interrupt at its next frame; `false` when it cannot or has frames.
    pub fn arm(&mut self) -> bool {
        self.network.as_mut().is_none_or(|network| network.stack.arm())
    }

    /// How long cores without work may rest at once: `pmd-sleep-max`.
    pub fn longest_rest(&self) -> Nanos {
        Nanos::from_micros(self.dpif.config().pmd_sleep_max_us.into())
    }

    /// As a unixctl client does who asks for the end.
    pub fn ask_for_end(&mut self) {
        self.exit = true;
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

    /// What the tables of all cores have found.
    pub fn hits(&self) -> crate::dpif::Hits {
        self.dpif.hits()
    }

    /// Where the cycles of packets went, if that is counted, over all cores.
    pub fn stage_cycles(&self) -> crate::dpif::StageCycles {
        self.dpif.stage_cycles()
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
            self.handle_upcall(upcall, now);
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
            self.handle_upcall(upcall, now);
            self.service.answered(core, self.dpif.upcall_counters(core, port));
        }
        for _ in 0..limit {
            let Some(check) = self.service.next_check() else { break };
            worked = true;
            let port = PortNo(check.flow.in_port());
            if let Some(Member { bridge, .. }) = self.bridges.of_port(port) {
                bridge.self_check(check, &mut self.dpif, now);
            }
        }
        worked
    }

    /// The bridge answers whose port the frame came in on; without one it is lost.
    fn handle_upcall(&mut self, upcall: Upcall, now: Nanos) {
        match self.bridges.of_port(upcall.port) {
            Some(Member { bridge, .. }) => bridge.handle_upcall(upcall, &mut self.dpif, now),
            // A copy for a controller was counted when it was sent.
            None if matches!(upcall.reason, UpcallReason::Action(_)) => {}
            None => {
                let (packet, flow) = (upcall.packet, upcall.flow);
                self.dpif.discard(packet, &flow, DropReason::UpcallNoBridge);
            }
        }
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
                Event::Accepted { id, peer, port } if self.databases.listens_on(port) => {
                    if !self.databases.accepted(id, peer, port, now) {
                        network.stack.abort(id);
                    }
                }
                Event::Accepted { id, peer, port } => {
                    let door = (self.door, self.template.name.as_str());
                    let bridge = Self::behind(&self.bridges, door, port);
                    let bridge = bridge.filter(|bridge| {
                        let member = self.bridges.get_mut(*bridge);
                        member.is_some_and(|m| m.agent.accepted(ConnId(id.0), peer, port, now))
                    });
                    match bridge {
                        Some(bridge) => network.open.push((id, bridge)),
                        None => network.stack.abort(id),
                    }
                }
                Event::Connected(id) if self.databases.connected(id, now) => {}
                Event::Connected(id) => {
                    let known = network.connecting.remove(&id).and_then(|(bridge, k)| {
                        let agent = &mut self.bridges.get_mut(bridge)?.agent;
                        agent.connected(ConnId(id.0), k, now).then_some(bridge)
                    });
                    match known {
                        Some(bridge) => network.open.push((id, bridge)),
                        None => network.stack.abort(id),
                    }
                }
                Event::Closed(id) => {
                    network.closing.retain(|&closing| closing != id);
                    self.databases.closed(id, now);
                    let open = network.open.iter().position(|(open, _)| *open == id);
                    if let Some((_, bridge)) = open.map(|k| network.open.remove(k))
                        && let Some(member) = self.bridges.get_mut(bridge)
                    {
                        member.agent.closed(ConnId(id.0), now);
                    }
                    if let Some((bridge, k)) = network.connecting.remove(&id)
                        && let Some(member) = self.bridges.get_mut(bridge)
                    {
                        member.agent.connect_failed(k, now);
                    }
                }
            }
        }
        for &(id, bridge) in &network.open {
            let Some(Member { agent, .. }) = self.bridges.get_mut(bridge) else { continue };
            let mut budget = BYTES_PER_ROUND;
            while budget > 0 {
                let taken =
                    network.stack.receive(id, |bytes| agent.received(ConnId(id.0), bytes, now));
                if taken == 0 {
                    break;
                }
                worked = true;
                budget = budget.saturating_sub(taken);
            }
        }
        worked |= self.databases.hear(&mut network.stack, now);
        network.mend(&self.pool, now);
        worked
    }

    /// The agent's bytes and requests to the management stack.
    fn tell_network(&mut self, now: Nanos) {
        for Member { id: bridge, agent, .. } in self.bridges.iter_mut() {
            while let Some(request) = agent.next_request() {
                match (request, &mut self.network) {
                    (NetRequest::Connect(remote, target), Some(network)) => {
                        network.give_up_attempts((*bridge, remote));
                        network.to_connect.insert((*bridge, remote), target);
                    }
                    (NetRequest::Connect(remote, _), None) => agent.connect_failed(remote, now),
                    (NetRequest::Close(conn), Some(network)) => {
                        network.closing.push(SocketId(conn.0));
                    }
                    (NetRequest::Abort(conn), Some(network)) => {
                        network.stack.abort(SocketId(conn.0));
                    }
                    (NetRequest::Close(_) | NetRequest::Abort(_), None) => {}
                }
            }
        }
        let Some(network) = &mut self.network else {
            return;
        };
        network.connect(&mut self.bridges, now);
        let doors: Vec<u16> = network.doors().collect();
        let mut queued = self.databases.tell(&mut network.stack, &doors, now);
        for &(id, bridge) in &network.open {
            let Some(Member { agent, .. }) = self.bridges.get_mut(bridge) else { continue };
            let Some(outbox) = agent.output(ConnId(id.0)) else {
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
            worked |= channel.write();
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
        for wrong in self.bridges.iter_mut().flat_map(|member| member.bridge.take_wrong_flows()) {
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

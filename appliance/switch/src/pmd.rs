//! The loop body of a polling core: receive, look up, act, send, obey.
//!
//! ```text
//! rx queue ─ burst ≤ 32 ─► datapath ─► outlet (staged per port) ─► tx queues, one notify a burst
//!                             │ ▲ miss             ▲
//!                             ▼ │ answer           │ frames of the control core
//!                        kept until after     ring to us
//!                        the bursts, or by
//!                        ring to control
//! ```
//! Misses that this core answers itself are answered when the frames that were forwarded are with
//! their devices ([`crate::upcalls`]).
//!
//! Ports share the core's time evenly, whatever their frames cost, and a port that brings new flows only
//! has a smaller share; so have orders, while frames wait ([`crate::turns`]). One call of
//! [`Pmd::poll`] is one round. It never waits and never allocates for a frame; what the
//! control core wants done (megaflows, ports) comes as orders between rounds, so a round sees one state.

use crate::bridges::BridgeId;
use crate::outlet::{Departure, Outlet};
use crate::policing::Policer;
use crate::rings::{
    Binding, BoundWay, FORWARD_RING, Forward, Order, PortQueues, Report, RxPart, Sender, TakenQueue,
};
use crate::turns::{Burst, Turn, Turns};
use crate::upcalls::{Budget, NoAnswer, UpcallConfig};
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{Command, Output, PmdDatapath, PortCounters, PortNo, Stage};
use ofproto::{Declined, InlineTranslator};
use packet::Batch;
use sync::spsc::Consumer;
use sync::time::Nanos;

/// Orders obeyed in one round.
const ORDERS_PER_ROUND: usize = 64;
/// Frames of the control core accepted in one round: a flooded frame is many, so a burst would be too few.
const FORWARDS_PER_ROUND: usize = FORWARD_RING / 2;
/// Misses answered, or passed on, at once: all that are kept, and some that these cause.
const MISSES_PER_ROUND: usize = 1024;
/// A queue that is to go to another core waits no longer for what it has brought to leave: a device that
/// takes nothing for so long has its frames dropped.
const PATIENCE: Nanos = Nanos::from_millis(10);
/// Between two attempts of a core that has nothing else to do to send what a device does not take.
const STAGED: Nanos = Nanos::from_millis(1);
/// Rounds between two looks at what the devices lost.
const STATS_EVERY: u32 = 256;

/// One polling core's share of the switch.
#[derive(Debug)]
pub struct Pmd {
    datapath: PmdDatapath,
    ingress: Vec<Ingress>,
    outlet: Outlet,
    translators: Translators,
    budget: Budget,
    turns: Turns,
    orders: Consumer<Order>,
    /// Frames that the control core sends.
    incoming: Consumer<Forward>,
    /// Receive queues that are to go to other cores.
    leaving: Vec<Leaving>,
    reports: Sender<Report>,
    batch: Batch,
    rounds: u32,
    /// See [`Self::did_chores`].
    did_chores: bool,
    /// When the last round began, unless the core has rested since.
    last_round: Option<Nanos>,
    /// The cycle counter at the end of the last stretch that was counted.
    counted: u64,
}

#[derive(Debug)]
struct Ingress {
    port: PortNo,
    part: RxPart,
    counters: Arc<PortCounters>,
    dead: bool,
    policer: Option<Policer>,
}

/// A receive queue that is polled no more, and goes when what it has brought has left.
#[derive(Debug)]
struct Leaving {
    port: PortNo,
    part: RxPart,
    departure: Departure,
    since: Nanos,
}

impl Pmd {
    pub(crate) fn new(
        datapath: PmdDatapath,
        outlet: Outlet,
        config: UpcallConfig,
        orders: Consumer<Order>,
        incoming: Consumer<Forward>,
        reports: Sender<Report>,
    ) -> Self {
        let counted = outlet.cycles();
        Self {
            datapath,
            ingress: Vec::new(),
            outlet,
            translators: Translators::default(),
            budget: Budget::new(config),
            turns: Turns::new(config.weight),
            orders,
            incoming,
            leaving: Vec::new(),
            reports,
            batch: Batch::new(),
            rounds: 0,
            did_chores: false,
            last_round: None,
            counted,
        }
    }

    /// One round at time `now`; true when there was anything to do.
    pub fn poll(&mut self, now: Nanos) -> bool {
        if let Some(last) = self.last_round.replace(now) {
            self.outlet.core().cycles.gap(now.saturating_sub(last));
        }
        // What passed since the last round was rest.
        let (ended, began) = (self.counted, self.outlet.cycles());
        self.counted = began;
        self.outlet.core().cycles.idle.add(began.wrapping_sub(ended));
        self.outlet.upcalls().begin_round(now);
        self.budget.next_round();
        self.turns.next_round();
        let mut worked = self.receive(now);
        worked |= self.accept_forwards();
        worked |= self.flush(now);
        if self.answer_misses(now) {
            worked = true;
            self.flush(now);
        }
        self.did_chores = !worked;
        worked |= self.obey(now);
        worked |= self.let_go(now);
        self.did_chores &= worked;
        self.housekeep(now, worked);
        self.settle();
        self.outlet.core().cycles.round(worked, self.counted.wrapping_sub(began));
        worked
    }

    /// Asks every receive queue for an interrupt at its next frame; `false` when one of them cannot, or
    /// has frames. What comes by rings is for the caller to see: it polls once more before it rests.
    pub fn arm(&mut self) -> bool {
        let mut alive = self.ingress.iter_mut().filter(|ingress| !ingress.dead);
        alive.all(|ingress| ingress.part.queue.arm())
    }

    /// Whether the last round had orders to obey and nothing else to do.
    pub fn did_chores(&self) -> bool {
        self.did_chores
    }

    /// When the next round has to be, if nothing comes; always later than `now`.
    pub fn next_deadline(&self, now: Nanos) -> Nanos {
        if self.outlet.has_staged() { now.saturating_add(STAGED) } else { Nanos::MAX }
    }

    /// Counts a rest of the core. What is done now and then is due behind it.
    pub fn rested(&mut self, time: Nanos) {
        self.last_round = None;
        self.rounds = STATS_EVERY;
        self.outlet.rested();
        let cycles = &self.outlet.core().cycles;
        cycles.rests.add(1);
        cycles.rested_us.add(time.as_micros());
    }

    /// A burst of each receive queue through the datapath, of those whose turn it is.
    fn receive(&mut self, now: Nanos) -> bool {
        let (mut worked, mut waits) = (false, false);
        for k in 0..self.ingress.len() {
            let Some(ingress) = self.ingress.get(k) else { break };
            match self.turns.turn(ingress.port) {
                Turn::Now => worked |= self.receive_from(k, now),
                Turn::Later => waits = true,
            }
        }
        if worked || !waits {
            return worked;
        }
        for k in 0..self.ingress.len() {
            let Some(ingress) = self.ingress.get(k) else { break };
            if self.turns.turn(ingress.port) == Turn::Later {
                worked |= self.receive_from(k, now);
            }
        }
        worked
    }

    /// A burst of one receive queue.
    fn receive_from(&mut self, k: usize, now: Nanos) -> bool {
        if self.outlet.upcalls().is_nearly_full() {
            self.flush(now);
            self.answer_misses(now);
        }
        let Some(ingress) = self.ingress.get_mut(k).filter(|ingress| !ingress.dead) else {
            return false;
        };
        let began = self.datapath.is_measured().then(|| self.outlet.cycles());
        match ingress.part.receive(&mut self.batch, self.outlet.cache()) {
            Ok(_) => {}
            Err(fault) => {
                ingress.dead = true;
                self.reports.send(Report::Fault { port: ingress.port, fault });
            }
        }
        if self.batch.is_empty() {
            self.turns.rested(ingress.port);
            return false;
        }
        if let Some(policer) = &mut ingress.policer {
            let cache = self.outlet.cache();
            policer.police(&mut self.batch, now, &ingress.counters, cache);
        }
        if let Some(began) = began {
            let spent = self.outlet.cycles().wrapping_sub(began);
            self.outlet.core().cycles.spend(Stage::Rx, spent);
        }
        let is_spent = !self.budget.has_one(ingress.port, now);
        self.outlet.upcalls().begin_burst(is_spent);
        let (n_frames, missed) = (self.batch.len() as u64, self.datapath.counters().misses.get());
        self.datapath.input(ingress.port, &mut self.batch, now, &mut self.outlet);
        self.outlet.upcalls().begin_burst(false);
        let spent = lap(&mut self.counted, &self.outlet);
        ingress.part.cycles.add(spent);
        let n_missed = self.datapath.counters().misses.get().wrapping_sub(missed);
        self.turns.worked(ingress.port, Burst { cycles: spent, n_frames, n_missed });
        true
    }

    /// Hands frames to their devices.
    fn flush(&mut self, now: Nanos) -> bool {
        let Self { outlet, reports, datapath, .. } = self;
        let began = datapath.is_measured().then(|| outlet.cycles());
        let worked = outlet.flush(now, |port, fault| {
            reports.send(Report::Fault { port, fault });
        });
        if let Some(began) = began.filter(|_| worked) {
            let spent = outlet.cycles().wrapping_sub(began);
            outlet.core().cycles.spend(Stage::Tx, spent);
        }
        worked
    }

    /// What passed since the last lap went into sending frames, and is for the accounts of those whose
    /// frames they are.
    fn settle(&mut self) {
        let spent = lap(&mut self.counted, &self.outlet);
        self.turns.flushed(spent);
    }

    /// Answers the misses that were kept, within the budget; the others go to the control core. Each is
    /// for the account of its port.
    fn answer_misses(&mut self, now: Nanos) -> bool {
        if !self.outlet.upcalls().has_pending() {
            return false;
        }
        self.settle();
        let Self { datapath, outlet, translators, budget, turns, counted, ingress, .. } = self;
        let began = *counted;
        // Answers may recirculate and miss again, but not for ever.
        for _ in 0..MISSES_PER_ROUND {
            let Some(upcall) = outlet.upcalls().next_pending() else { break };
            let port = upcall.port;
            let answered = datapath.answer(upcall, now, outlet, |upcall, admit| {
                if !budget.take(port, now) {
                    return Err(NoAnswer::Budget);
                }
                let n_bytes = upcall.packet.len() as u64;
                let Some(translator) = translators.of(port) else {
                    return Err(NoAnswer::Declined(Declined::NoRoom));
                };
                translator.answer(&upcall.flow, n_bytes, admit, now).map_err(NoAnswer::Declined)
            });
            match answered {
                Ok(how) => outlet.upcalls().count(port, Ok(how)),
                Err((upcall, why)) => {
                    outlet.upcalls().count(port, Err(why));
                    outlet.pass_up(upcall, why);
                }
            }
            let spent = lap(counted, outlet);
            // Which of the port's queues it came by is forgotten.
            if let Some(ingress) = ingress.iter().find(|ingress| ingress.port == port) {
                ingress.part.cycles.add(spent);
            }
            turns.upcall(port, spent);
        }
        if datapath.is_measured() {
            outlet.core().cycles.spend(Stage::Upcall, counted.wrapping_sub(began));
        }
        true
    }

    /// Frames that the control core sends, a bounded number, for the accounts of the ports where they came
    /// in.
    fn accept_forwards(&mut self) -> bool {
        let Self { incoming, outlet, turns, counted, .. } = self;
        // Those of one port after another.
        let mut run: Option<(u32, u64)> = None;
        for _ in 0..FORWARDS_PER_ROUND {
            let Some(Forward { port, packet }) = incoming.pop() else {
                break;
            };
            let from = packet.meta().in_port;
            run = match run {
                Some((of, n)) if of == from => Some((of, n + 1)),
                ended => {
                    let spent = lap(counted, outlet);
                    if let Some((of, n)) = ended {
                        turns.forwarded(PortNo(of), n, spent);
                    }
                    Some((from, 1))
                }
            };
            outlet.transmit(port, packet);
        }
        if let Some((of, n)) = run {
            turns.forwarded(PortNo(of), n, lap(counted, outlet));
        }
        run.is_some()
    }

    /// Obeys orders, as many as have room beside the frames of the round.
    fn obey(&mut self, now: Nanos) -> bool {
        for done in 0..ORDERS_PER_ROUND {
            if !self.turns.may_obey() {
                return true;
            }
            let Some(order) = self.orders.pop() else {
                return done > 0;
            };
            if done == 0 {
                self.settle();
            }
            let mut of_port = None;
            match order {
                Order::Datapath(command) => {
                    of_port = answered_port(&command);
                    self.datapath.apply(command, now, &mut self.outlet);
                }
                Order::TakePort(queues) => self.take_port(*queues),
                Order::ReleasePort(port) => self.release_port(port),
                Order::TakeQueue(taken) => self.take_queue(*taken),
                Order::ReleaseQueue(port, number) => self.release_queue(port, number, now),
                Order::Upcalls(config) => {
                    self.budget.configure(config);
                    self.turns.set_weight(config.weight);
                    self.outlet.upcalls().configure(&config);
                }
                Order::AddBridge(id, translator) => self.translators.add(id, *translator),
                Order::RemoveBridge(id) => self.translators.remove(id),
                Order::Bind(binding) => self.bind(*binding, now),
                Order::Police(port, policing) => {
                    let of_port = self.ingress.iter_mut().filter(|k| k.port == port);
                    of_port.for_each(|k| k.policer = Policer::new(policing.0, policing.1));
                }
                Order::LimitFrames(port, max_frame) => self.outlet.limit_frames(port, max_frame),
                Order::Unbind(port) => {
                    self.translators.bind(port, None);
                    let remove = Command::RemovePort(port);
                    self.datapath.apply(remove, now, &mut self.outlet);
                }
            }
            self.turns.obeyed(of_port, lap(&mut self.counted, &self.outlet));
        }
        true
    }

    fn bind(&mut self, binding: Binding, now: Nanos) {
        let Binding { port, bridge, counters, way } = binding;
        self.translators.bind(port, Some(bridge));
        self.datapath.apply(Command::AddPort(port, counters), now, &mut self.outlet);
        self.budget.add_port(port);
        if let BoundWay::Cable { upcalls, .. } = &way {
            self.outlet.upcalls().add_port(port, upcalls.clone());
        }
        self.datapath.apply(way.command(port), now, &mut self.outlet);
    }

    fn take_port(&mut self, queues: PortQueues) {
        let PortQueues { port, counters, upcalls, rx, tx, policing, max_frame } = queues;
        let (policing, n_queues) = policing;
        let policer = Policer::new(policing, n_queues);
        self.outlet.add_port(port, counters.clone(), upcalls, tx);
        self.outlet.limit_frames(port, max_frame);
        self.budget.add_port(port);
        for part in rx {
            self.poll_from(Ingress {
                port,
                part,
                counters: counters.clone(),
                dead: false,
                policer,
            });
        }
    }

    /// One more queue is polled from the next round on.
    fn poll_from(&mut self, ingress: Ingress) {
        if self.ingress.iter().all(|other| other.port != ingress.port) {
            self.turns.add_port(ingress.port);
        }
        self.ingress.push(ingress);
        self.budget.set_ports(self.n_ports());
    }

    /// A queue comes from another core, which has sent all that it received from it.
    fn take_queue(&mut self, taken: TakenQueue) {
        let TakenQueue { port, counters, policing: (policing, n_queues), part } = taken;
        let policer = Policer::new(policing, n_queues);
        self.poll_from(Ingress { port, part, counters, dead: false, policer });
    }

    /// Polls a queue no more. It goes when what it has brought has left: the core to which it goes sends by
    /// its own turns, and would overtake that.
    fn release_queue(&mut self, port: PortNo, number: usize, now: Nanos) {
        let mut all = self.ingress.iter();
        let Some(k) = all.position(|k| k.port == port && k.part.number == number) else { return };
        let mut ingress = self.ingress.swap_remove(k);
        ingress.carry_over();
        self.budget.set_ports(self.n_ports());
        let departure = self.outlet.departure();
        self.leaving.push(Leaving { port, part: ingress.part, departure, since: now });
    }

    /// Gives back the queues that wait for nothing any more.
    fn let_go(&mut self, now: Nanos) -> bool {
        let mut k = 0;
        while let Some(leaving) = self.leaving.get(k) {
            if !self.outlet.has_left(&leaving.departure) {
                if now.saturating_sub(leaving.since) < PATIENCE {
                    k += 1;
                    continue;
                }
                self.outlet.give_up(&leaving.departure);
            }
            let Leaving { port, part, .. } = self.leaving.swap_remove(k);
            self.reports.send(Report::QueueReleased { port, part });
        }
        !self.leaving.is_empty()
    }

    fn release_port(&mut self, port: PortNo) {
        let tx = self.outlet.remove_port(port);
        let mut rx = Vec::new();
        while let Some(k) = self.ingress.iter().position(|ingress| ingress.port == port) {
            let mut ingress = self.ingress.swap_remove(k);
            ingress.carry_over();
            rx.push(ingress.part);
        }
        // Those on their way to another core come home at once.
        while let Some(k) = self.leaving.iter().position(|leaving| leaving.port == port) {
            rx.push(self.leaving.swap_remove(k).part);
        }
        self.budget.set_ports(self.n_ports());
        self.reports.send(Report::Released { port, rx, tx });
    }

    /// Queues that this core polls.
    fn n_ports(&self) -> u32 {
        u32::try_from(self.ingress.len()).unwrap_or(u32::MAX)
    }

    fn housekeep(&mut self, now: Nanos, worked: bool) {
        self.rounds += 1;
        self.reports.flush();
        if !worked {
            let Self { outlet, reports, .. } = self;
            outlet.idle(|port, fault| {
                reports.send(Report::Fault { port, fault });
            });
        }
        if self.rounds >= STATS_EVERY {
            self.rounds = 0;
            self.ingress.iter_mut().for_each(Ingress::carry_over);
            self.datapath.tick(now);
        }
    }
}

/// The port whose upcall brought a command.
fn answered_port(command: &Command) -> Option<PortNo> {
    match command {
        Command::FlowPut(megaflow) => Some(megaflow.in_port()),
        Command::Execute(execute) => Some(PortNo(execute.flow.in_port())),
        _ => None,
    }
}

/// The cycles since the last lap.
fn lap(counted: &mut u64, outlet: &Outlet) -> u64 {
    let now = outlet.cycles();
    let spent = now.wrapping_sub(*counted);
    *counted = now;
    spent
}

/// Which bridge answers for which port.
#[derive(Debug, Default)]
struct Translators {
    by_bridge: Vec<Option<InlineTranslator>>,
    by_port: Vec<Option<BridgeId>>,
}

impl Translators {
    fn add(&mut self, id: BridgeId, translator: InlineTranslator) {
        let k = id.index();
        if self.by_bridge.len() <= k {
            self.by_bridge.resize_with(k + 1, || None);
        }
        if let Some(place) = self.by_bridge.get_mut(k) {
            *place = Some(translator);
        }
    }

    fn remove(&mut self, id: BridgeId) {
        if let Some(place) = self.by_bridge.get_mut(id.index()) {
            *place = None;
        }
    }

    fn bind(&mut self, port: PortNo, to: Option<BridgeId>) {
        let k = port.0 as usize;
        if self.by_port.len() <= k && port <= PortNo::MAX {
            self.by_port.resize(k + 1, None);
        }
        if let Some(place) = self.by_port.get_mut(k) {
            *place = to;
        }
    }

    fn of(&mut self, port: PortNo) -> Option<&mut InlineTranslator> {
        let id = (*self.by_port.get(port.0 as usize)?)?;
        self.by_bridge.get_mut(id.index())?.as_mut()
    }
}

impl Ingress {
    fn carry_over(&mut self) {
        self.part.carry_over(&self.counters);
    }
}

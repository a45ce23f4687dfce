//! Where frames leave a core: staged per port, sent in bursts.
//!
//! Each polling core sends itself, whoever polls the port: it stages up to 32 frames for it and hands them
//! over together, one notify a burst ([`Outlet::flush`], once a poll), by a queue of its own or by one that
//! cores share ([`exit`]). What the device does not take stays staged and is tried again; only when 32
//! frames wait and another comes is one dropped, as `tx-ring-full`. The control core has no queues; its
//! frames go over a ring to a polling core.
//!
//! # Order
//! Frames for a port leave in the order in which they came here. When a receive queue moves to another core,
//! which sends by queues of its own or by its own turns, what it has brought must have left before
//! ([`Outlet::departure`]).
//!
//! # Concurrency
//! Owned by one core. The port's counters are written by this core alone.

pub(crate) mod exit;
#[cfg(test)]
mod tests;

use crate::rings::{Forward, TxRoute};
use crate::upcalls::{Lane, NoAnswer, UpcallCounters};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{Check, CoreCounters, DropReason, Output, PortCounters, PortNo, Upcall};
use exit::Exit;
use flow::Flow;
use netdev::{QueueFault, TxQueue};
use packet::{Batch, Packet, PoolCache};
use sync::counter::Gauge;
use sync::spsc::Producer;
use sync::time::Nanos;

/// Idle polls between two looks for finished transmissions.
const RECLAIM_EVERY: u32 = 1024;
/// Full bursts for a port that are kept while other cores have its queue.
const BACKLOG: usize = 8;

/// The transmit side of one core.
#[derive(Debug)]
pub(crate) struct Outlet {
    cache: PoolCache,
    ports: Vec<Option<Egress>>,
    /// Ports with staged frames.
    dirty: Vec<PortNo>,
    /// Of the control core: rings to the polling cores by index.
    forwards: Vec<Producer<Forward>>,
    /// Where what has no port is counted.
    core: Arc<CoreCounters>,
    /// Upcalls of this core.
    upcalls: Lane,
    first_forward: Arc<FirstForward>,
    /// Reads the processor's cycle counter.
    cycles: fn() -> u64,
    idle_polls: u32,
}

#[derive(Debug)]
struct Egress {
    counters: Arc<PortCounters>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Queue(Box<Staging>),
    /// Over the ring to a polling core.
    Core(usize),
}

/// What waits here for a transmit queue.
#[derive(Debug)]
struct Staging {
    exit: Exit,
    staged: Batch,
    /// Full bursts that came before: another core had the queue.
    backlog: VecDeque<Batch>,
    /// The longest frame that may leave, in bytes (`mtu_request`); the device has a limit of its own.
    max_frame: Option<usize>,
    /// The device broke its protocol; nothing is sent until the port is taken anew.
    dead: bool,
    /// Frames that have waited here and do so no more.
    n_left: u64,
}

/// What became of an attempt to hand frames over.
enum Sent {
    /// So many left.
    Frames(usize),
    /// None: another core has the queue.
    NotNow,
}

/// What waits for ports at some moment: the port, and how many frames will have left its staging when all of it has.
#[derive(Debug, Default)]
pub(crate) struct Departure(Vec<(PortNo, u64)>);

/// When the first frame entered a transmit ring, in nanoseconds since boot; zero before.
///
/// # Concurrency
/// Written by polling cores, each at most once; the smallest value wins often enough for a report.
#[derive(Debug, Default)]
pub struct FirstForward {
    at: Gauge,
}

impl FirstForward {
    /// When it was, if it was.
    pub fn get(&self) -> Option<Nanos> {
        Some(self.at.get()).filter(|&at| at != 0).map(Nanos)
    }
}

impl Outlet {
    pub(crate) fn new(
        cache: PoolCache,
        forwards: Vec<Producer<Forward>>,
        core: Arc<CoreCounters>,
        upcalls: Lane,
        first_forward: Arc<FirstForward>,
        cycles: fn() -> u64,
    ) -> Self {
        Self {
            cache,
            ports: Vec::new(),
            dirty: Vec::new(),
            forwards,
            core,
            upcalls,
            first_forward,
            cycles,
            idle_polls: 0,
        }
    }

    pub(crate) fn add_port(
        &mut self,
        port: PortNo,
        counters: Arc<PortCounters>,
        upcalls: Arc<UpcallCounters>,
        tx: TxRoute,
    ) {
        self.upcalls.add_port(port, upcalls);
        let k = port.0 as usize;
        if self.ports.len() <= k {
            self.ports.resize_with(k + 1, || None);
        }
        let way = match tx {
            TxRoute::Exit(exit) => Way::Queue(Box::new(Staging::new(exit))),
            TxRoute::Core(core) => Way::Core(core),
        };
        if let Some(slot) = self.ports.get_mut(k) {
            *slot = Some(Egress { counters, way });
        }
    }

    /// Longer frames than `max_frame` do not leave by the port.
    pub(crate) fn limit_frames(&mut self, port: PortNo, max_frame: Option<usize>) {
        let egress = self.ports.get_mut(port.0 as usize).and_then(Option::as_mut);
        if let Some(Egress { way: Way::Queue(own), .. }) = egress {
            own.max_frame = max_frame;
        }
    }

    /// Forgets the port. Frames still staged for it are dropped; a queue of this core alone is given back.
    pub(crate) fn remove_port(&mut self, port: PortNo) -> Option<Box<dyn TxQueue>> {
        let egress = self.ports.get_mut(port.0 as usize)?.take()?;
        self.dirty.retain(|&dirty| dirty != port);
        match egress.way {
            Way::Core(_) => None,
            Way::Queue(mut own) => {
                own.drop_all(DropReason::PortReset, &egress.counters, &mut self.cache);
                match own.exit {
                    Exit::Own(queue) => Some(queue),
                    Exit::Shared(_) => None,
                }
            }
        }
    }

    /// What waits here at the moment.
    pub(crate) fn departure(&self) -> Departure {
        let waiting = |port: &PortNo| {
            let own = self.staging(*port)?;
            Some((*port, own.n_left.wrapping_add(own.n_waiting())))
        };
        Departure(self.dirty.iter().filter_map(waiting).collect())
    }

    /// Whether all that waited then has left, or died with its port.
    pub(crate) fn has_left(&self, departure: &Departure) -> bool {
        departure.0.iter().all(|&(port, until)| {
            self.staging(port).is_none_or(|own| own.dead || own.n_left >= until)
        })
    }

    /// Drops what waits for ports for which something waited then and still does.
    pub(crate) fn give_up(&mut self, departure: &Departure) {
        let Self { ports, cache, .. } = self;
        for &(port, until) in &departure.0 {
            let egress = ports.get_mut(port.0 as usize).and_then(Option::as_mut);
            if let Some(Egress { way: Way::Queue(own), counters }) = egress
                && own.n_left < until
            {
                own.drop_all(DropReason::TxRingFull, counters, cache);
            }
        }
    }

    fn staging(&self, port: PortNo) -> Option<&Staging> {
        match &self.ports.get(port.0 as usize)?.as_ref()?.way {
            Way::Queue(own) => Some(own),
            Way::Core(_) => None,
        }
    }

    /// What this core counts.
    pub(crate) fn core(&self) -> &Arc<CoreCounters> {
        &self.core
    }

    /// Frames that surely find room in the ring to any one core.
    pub(crate) fn room(&self) -> usize {
        self.forwards.iter().map(Producer::room).min().unwrap_or(usize::MAX)
    }

    /// Whether a core has not taken all the frames that it is to send for this one.
    pub(crate) fn is_unheard(&self) -> bool {
        self.forwards.iter().any(|ring| !ring.is_empty())
    }

    /// Whether frames wait for a device that took no more, or for a turn at it.
    pub(crate) fn has_staged(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The core has rested: devices have long sent what they took.
    pub(crate) fn rested(&mut self) {
        self.idle_polls = RECLAIM_EVERY;
    }

    /// The upcalls of this core.
    pub(crate) fn upcalls(&mut self) -> &mut Lane {
        &mut self.upcalls
    }

    /// Sends a miss to the control core that this core does not answer, or drops it.
    pub(crate) fn pass_up(&mut self, upcall: Upcall, why: NoAnswer) {
        let refused = match why {
            NoAnswer::Budget => DropReason::UpcallBudget,
            NoAnswer::Declined(_) => DropReason::UpcallPortShare,
        };
        let Err((upcall, reason)) = self.upcalls.send(upcall, refused) else { return };
        let port = self.ports.get(upcall.port.0 as usize).and_then(Option::as_ref);
        port.map_or(&self.core.stray, |egress| &*egress.counters).dropped(reason, 1);
        self.cache.free(upcall.packet);
    }

    /// Hands staged frames to their devices. `fault` hears of each queue that died.
    pub(crate) fn flush(&mut self, now: Nanos, mut fault: impl FnMut(PortNo, QueueFault)) -> bool {
        if self.dirty.is_empty() {
            return false;
        }
        let mut worked = false;
        let mut k = 0;
        while let Some(&port) = self.dirty.get(k) {
            let egress = self.ports.get_mut(port.0 as usize).and_then(Option::as_mut);
            let Some(Egress { counters, way: Way::Queue(own) }) = egress else {
                self.dirty.swap_remove(k);
                continue;
            };
            own.exit.choose(now);
            match own.send(&mut self.cache, counters, &self.core) {
                Ok(Sent::Frames(n)) => worked |= n > 0,
                // The next round is soon: no time to rest.
                Ok(Sent::NotNow) => worked = true,
                Err(died) => {
                    own.dead = true;
                    own.drop_all(DropReason::TxFault, counters, &mut self.cache);
                    fault(port, died);
                }
            }
            if own.n_waiting() == 0 {
                self.dirty.swap_remove(k);
            } else {
                k += 1;
            }
        }
        if worked && self.first_forward.at.get() == 0 {
            self.first_forward.at.set(now.0.max(1));
        }
        worked
    }

    /// For quiet times: now and then frees what the devices have sent.
    pub(crate) fn idle(&mut self, mut fault: impl FnMut(PortNo, QueueFault)) {
        self.idle_polls += 1;
        if self.idle_polls < RECLAIM_EVERY {
            return;
        }
        self.idle_polls = 0;
        for (k, egress) in self.ports.iter_mut().enumerate() {
            if let Some(Egress { way: Way::Queue(own), .. }) = egress
                && !own.dead
                && let Err(died) = own.exit.reclaim(&mut self.cache)
            {
                own.dead = true;
                fault(PortNo(u32::try_from(k).unwrap_or(u32::MAX)), died);
            }
        }
    }
}

impl Staging {
    fn new(exit: Exit) -> Self {
        let backlog = match exit {
            Exit::Own(_) => VecDeque::new(),
            Exit::Shared(_) => VecDeque::with_capacity(BACKLOG),
        };
        let staged = Batch::new();
        Self { exit, staged, backlog, max_frame: None, dead: false, n_left: 0 }
    }

    fn n_waiting(&self) -> u64 {
        let kept: usize = self.backlog.iter().map(|burst| burst.len()).sum();
        (kept + self.staged.len()) as u64
    }

    /// Hands over what waits, the oldest first.
    fn send(
        &mut self,
        cache: &mut PoolCache,
        counters: &PortCounters,
        core: &CoreCounters,
    ) -> Result<Sent, QueueFault> {
        self.drop_long(cache, counters);
        let Self { exit, staged, backlog, .. } = self;
        let sent = match exit {
            Exit::Own(queue) => {
                core.tx_batches.add(u64::from(!staged.is_empty()));
                hand_over(&mut **queue, staged, cache, counters)
            }
            Exit::Shared(shared) => {
                let turn = shared.try_turn(|queue| {
                    let mut n = 0;
                    while let Some(burst) = backlog.front_mut() {
                        core.tx_batches.add(1);
                        n += hand_over(queue, burst, cache, counters)?;
                        if !burst.is_empty() {
                            return Ok(n);
                        }
                        backlog.pop_front();
                    }
                    core.tx_batches.add(u64::from(!staged.is_empty()));
                    Ok(n + hand_over(queue, staged, cache, counters)?)
                });
                let Some(sent) = turn else {
                    core.tx_contended.add(1);
                    return Ok(Sent::NotNow);
                };
                sent
            }
        };
        let n = sent?;
        self.n_left = self.n_left.wrapping_add(n as u64);
        Ok(Sent::Frames(n))
    }

    /// Makes room in the staged burst; else gives the reason why there is none.
    fn make_room(
        &mut self,
        cache: &mut PoolCache,
        counters: &PortCounters,
        core: &CoreCounters,
    ) -> Result<(), DropReason> {
        self.exit.bind();
        // A fault shows again at the flush, which reports it.
        if let Ok(Sent::NotNow) = self.send(cache, counters, core) {
            if self.backlog.len() >= BACKLOG {
                return Err(DropReason::TxContended);
            }
            self.backlog.push_back(core::mem::take(&mut self.staged));
        }
        if self.staged.is_full() { Err(DropReason::TxRingFull) } else { Ok(()) }
    }

    /// Drops staged frames that are too long for the port.
    #[inline]
    fn drop_long(&mut self, cache: &mut PoolCache, counters: &PortCounters) {
        let Some(max_frame) = self.max_frame else { return };
        if self.staged.iter().all(|packet| packet.wire_len() <= max_frame) {
            return;
        }
        let mut kept = Batch::new();
        for packet in self.staged.drain(..) {
            if packet.wire_len() > max_frame {
                counters.dropped(DropReason::MtuExceeded, 1);
                self.n_left = self.n_left.wrapping_add(1);
                cache.free(packet);
            } else {
                // As many places as in the batch.
                let _ = kept.push(packet);
            }
        }
        self.staged = kept;
    }

    fn drop_all(&mut self, reason: DropReason, counters: &PortCounters, cache: &mut PoolCache) {
        let n = self.n_waiting();
        counters.dropped(reason, n);
        self.n_left = self.n_left.wrapping_add(n);
        for mut burst in self.backlog.drain(..).chain([core::mem::take(&mut self.staged)]) {
            burst.drain(..).for_each(|packet| cache.free(packet));
        }
    }
}

/// One burst; counts what the device took and what cannot be sent. Gives how many left the batch.
fn hand_over(
    queue: &mut dyn TxQueue,
    burst: &mut Batch,
    cache: &mut PoolCache,
    counters: &PortCounters,
) -> Result<usize, QueueFault> {
    let before = queue.stats();
    let outcome = queue.transmit(burst, cache);
    let after = queue.stats();
    counters.transmitted(after.frames - before.frames, after.bytes - before.bytes);
    let lost = [
        (DropReason::MtuExceeded, after.too_long - before.too_long),
        (DropReason::NoHeadroom, after.refused - before.refused),
    ];
    for (reason, n) in lost.into_iter().filter(|&(_, n)| n > 0) {
        counters.dropped(reason, n);
    }
    outcome
}

impl Output for Outlet {
    fn transmit(&mut self, port: PortNo, packet: Packet) {
        let egress = self.ports.get_mut(port.0 as usize).and_then(Option::as_mut);
        // The datapath asks for ports that exist only; a port without a way is one being removed.
        let Some(Egress { counters, way }) = egress else {
            self.core.stray.dropped(DropReason::PortReset, 1);
            return self.cache.free(packet);
        };
        let (reason, packet) = match way {
            Way::Core(core) => {
                let sent = match self.forwards.get_mut(*core) {
                    Some(ring) => ring.push(Forward { port, packet }).map_err(|back| back.packet),
                    None => Err(packet),
                };
                match sent {
                    Ok(()) => return,
                    Err(packet) => (DropReason::ForwardRingFull, packet),
                }
            }
            Way::Queue(own) if own.dead => (DropReason::TxFault, packet),
            Way::Queue(own) => {
                let has_room = match own.staged.is_full() {
                    true => own.make_room(&mut self.cache, counters, &self.core),
                    false => Ok(()),
                };
                let staged = &mut own.staged;
                if staged.is_empty() && !self.dirty.contains(&port) {
                    self.dirty.push(port);
                }
                match (staged.push(packet), has_room) {
                    (Ok(()), _) => return,
                    (Err(packet), has_room) => {
                        (has_room.err().unwrap_or(DropReason::TxRingFull), packet)
                    }
                }
            }
        };
        counters.dropped(reason, 1);
        self.cache.free(packet);
    }

    fn transmit_all(&mut self, port: PortNo, packets: &mut Batch) {
        let egress = self.ports.get_mut(port.0 as usize).and_then(Option::as_mut);
        if let Some(Egress { way: Way::Queue(own), .. }) = egress
            && own.staged.is_empty()
            && !own.dead
        {
            // The usual case: a burst from one port to another, moved as it is.
            core::mem::swap(&mut own.staged, packets);
            if !self.dirty.contains(&port) {
                self.dirty.push(port);
            }
            return;
        }
        for packet in packets.drain(..) {
            self.transmit(port, packet);
        }
    }

    fn refuses(&mut self, port: PortNo, flow: &Flow) -> Option<DropReason> {
        self.upcalls.refuses(port, flow)
    }

    fn upcall(&mut self, upcall: Upcall) -> Result<(), (Upcall, DropReason)> {
        self.upcalls.take(upcall)
    }

    fn has_room_for_check(&self) -> bool {
        self.upcalls.has_room_for_check()
    }

    fn check(&mut self, check: Check) {
        self.upcalls.check(check);
    }

    fn cycles(&self) -> u64 {
        (self.cycles)()
    }

    fn cache(&mut self) -> &mut PoolCache {
        &mut self.cache
    }
}

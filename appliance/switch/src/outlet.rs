//! Where frames leave a core: staged per port, sent in bursts.
//!
//! A core that owns a transmit queue of a port stages up to 32 frames for it and hands them over
//! together, one notify a burst ([`Outlet::flush`], once a poll). What the device does not take stays
//! staged and is tried again; only when 32 frames wait and another comes is one dropped, as
//! `tx-ring-full`. A port whose queue another core owns is reached over a ring to that core.
//!
//! # Concurrency
//! Owned by one core. The port's counters are written by this core alone.

use crate::rings::{Forward, TxRoute};
use crate::upcalls::{Lane, NoAnswer, UpcallCounters};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{Check, CoreCounters, DropReason, Output, PortCounters, PortNo, Upcall};
use flow::Flow;
use netdev::{QueueFault, TxQueue};
use packet::{Batch, Packet, PoolCache};
use sync::counter::Gauge;
use sync::spsc::Producer;
use sync::time::Nanos;

/// Idle polls between two looks for finished transmissions.
const RECLAIM_EVERY: u32 = 1024;

/// The transmit side of one core.
#[derive(Debug)]
pub(crate) struct Outlet {
    cache: PoolCache,
    ports: Vec<Option<Egress>>,
    /// Ports with staged frames.
    dirty: Vec<PortNo>,
    /// Rings to the polling cores by index; none to itself.
    forwards: Vec<Option<Producer<Forward>>>,
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
    Queue(Box<OwnQueue>),
    Core(usize),
}

/// A transmit queue of this core.
#[derive(Debug)]
struct OwnQueue {
    queue: Box<dyn TxQueue>,
    staged: Batch,
    /// The longest frame that may leave, in bytes (`mtu_request`); the device has a limit of its own.
    max_frame: Option<usize>,
    /// The device broke its protocol; nothing is sent until the port is taken anew.
    dead: bool,
}

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
        forwards: Vec<Option<Producer<Forward>>>,
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
            TxRoute::Queue(queue) => {
                let (staged, max_frame) = (Batch::new(), None);
                Way::Queue(Box::new(OwnQueue { queue, staged, max_frame, dead: false }))
            }
            TxRoute::Core(core) => Way::Core(core),
        };
        if let Some(slot) = self.ports.get_mut(k) {
            *slot = Some(Egress { counters, way });
        }
    }

    /// Longer frames than `max_frame` do not leave by the port, if this core has its queue.
    pub(crate) fn limit_frames(&mut self, port: PortNo, max_frame: Option<usize>) {
        let egress = self.ports.get_mut(port.0 as usize).and_then(Option::as_mut);
        if let Some(Egress { way: Way::Queue(own), .. }) = egress {
            own.max_frame = max_frame;
        }
    }

    /// Forgets the port. Frames still staged for it are dropped; its queue, if any, is given back.
    pub(crate) fn remove_port(&mut self, port: PortNo) -> Option<Box<dyn TxQueue>> {
        let egress = self.ports.get_mut(port.0 as usize)?.take()?;
        self.dirty.retain(|&dirty| dirty != port);
        match egress.way {
            Way::Core(_) => None,
            Way::Queue(own) => {
                let OwnQueue { queue, mut staged, .. } = *own;
                egress.counters.dropped(DropReason::PortReset, staged.len() as u64);
                for packet in staged.drain(..) {
                    self.cache.free(packet);
                }
                Some(queue)
            }
        }
    }

    /// What this core counts.
    pub(crate) fn core(&self) -> &Arc<CoreCounters> {
        &self.core
    }

    /// Frames that surely find room in the ring to any one core.
    pub(crate) fn room(&self) -> usize {
        self.forwards.iter().flatten().map(Producer::room).min().unwrap_or(usize::MAX)
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
            self.core.tx_batches.add(u64::from(!own.staged.is_empty()));
            let sent = send(own, &mut self.cache, counters);
            let OwnQueue { staged, dead, .. } = &mut **own;
            match sent {
                Ok(n) => worked |= n > 0,
                Err(died) => {
                    *dead = true;
                    counters.dropped(DropReason::TxFault, staged.len() as u64);
                    for packet in staged.drain(..) {
                        self.cache.free(packet);
                    }
                    fault(port, died);
                }
            }
            if staged.is_empty() {
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
                && let Err(died) = own.queue.reclaim(&mut self.cache)
            {
                own.dead = true;
                fault(PortNo(u32::try_from(k).unwrap_or(u32::MAX)), died);
            }
        }
    }
}

/// One burst; counts what the device took and what cannot be sent. Gives how many left the batch.
fn send(
    own: &mut OwnQueue,
    cache: &mut PoolCache,
    counters: &PortCounters,
) -> Result<usize, QueueFault> {
    let OwnQueue { queue, staged, max_frame, .. } = own;
    if let Some(max_frame) = *max_frame
        && staged.iter().any(|packet| packet.len() > max_frame)
    {
        let mut kept = Batch::new();
        for packet in staged.drain(..) {
            if packet.len() > max_frame {
                counters.dropped(DropReason::MtuExceeded, 1);
                cache.free(packet);
            } else {
                // As many places as in the batch.
                let _ = kept.push(packet);
            }
        }
        *staged = kept;
    }
    let before = queue.stats();
    let outcome = queue.transmit(staged, cache);
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
                let ring = self.forwards.get_mut(*core).and_then(Option::as_mut);
                let sent = match ring {
                    Some(ring) => ring.push(Forward { port, packet }).map_err(|back| back.packet),
                    None => Err(packet),
                };
                match sent {
                    Ok(()) => return,
                    Err(packet) => (DropReason::MeshRingFull, packet),
                }
            }
            Way::Queue(own) if own.dead => (DropReason::TxFault, packet),
            Way::Queue(own) => {
                if own.staged.is_full() {
                    self.core.tx_batches.add(1);
                    // A fault shows again at the flush, which reports it.
                    let _ = send(own, &mut self.cache, counters);
                }
                let staged = &mut own.staged;
                if staged.is_empty() && !self.dirty.contains(&port) {
                    self.dirty.push(port);
                }
                match staged.push(packet) {
                    Ok(()) => return,
                    Err(packet) => (DropReason::TxRingFull, packet),
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

//! The polling core's side: where an upcall goes that the datapath makes.

use super::bucket::{Bucket, Pace};
use super::counters::UpcallCounters;
use super::protocol::is_protocol;
use super::{NoAnswer, UpcallConfig, UpcallMode};
use crate::rings::{ToHandler, UPCALL_RING};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{Answered, Check, DropReason, PortNo, Upcall, UpcallReason};
use flow::{EtherAddr, Flow};
use ofproto::Declined;
use sync::counter::Counter;
use sync::spsc::Producer;
use sync::time::Nanos;

/// Misses that a core keeps until the burst is done.
pub(crate) const PENDING: usize = 256;
/// Samples for the self check that may wait for the control core.
const CHECKS: usize = 64;
/// What a port may send at once before all others, as a part of its rate: a fifth of a second.
const PROTOCOL_BURST: u32 = 5;

/// A core's upcalls that have no port, and those that the control core has answered in all.
#[derive(Debug, Default)]
pub(crate) struct CoreTotals {
    pub(crate) stray: Arc<UpcallCounters>,
    /// Written by the control core.
    pub(crate) answered: Counter,
}

/// The upcalls of one core, on their way.
#[derive(Debug)]
pub(crate) struct Lane {
    mode: UpcallMode,
    ring: Producer<ToHandler>,
    protocol_ring: Producer<Upcall>,
    protocol_pace: Pace,
    /// Misses to be answered on this core after the burst.
    pending: VecDeque<Upcall>,
    ports: Vec<Option<PortLane>>,
    totals: Arc<CoreTotals>,
    /// Sent by ring since boot.
    n_sent: u64,
    /// The address for which ARP and neighbour discovery go before all others.
    own: EtherAddr,
    now: Nanos,
    /// The port whose burst is looked at has no translation left on this core: its misses go by ring.
    is_spent: bool,
}

#[derive(Debug)]
struct PortLane {
    counters: Arc<UpcallCounters>,
    protocol: Bucket,
}

impl Lane {
    pub(crate) fn new(
        config: &UpcallConfig,
        ring: Producer<ToHandler>,
        protocol_ring: Producer<Upcall>,
        totals: Arc<CoreTotals>,
        own: EtherAddr,
    ) -> Self {
        let mut lane = Self {
            mode: config.mode,
            ring,
            protocol_ring,
            protocol_pace: Pace::new(0, 0),
            pending: VecDeque::with_capacity(PENDING),
            ports: Vec::new(),
            totals,
            n_sent: 0,
            own,
            now: Nanos::ZERO,
            is_spent: false,
        };
        lane.configure(config);
        lane
    }

    pub(crate) fn configure(&mut self, config: &UpcallConfig) {
        self.mode = config.mode;
        let burst = (config.protocol_rate / PROTOCOL_BURST).max(1);
        self.protocol_pace = Pace::new(config.protocol_rate, burst);
    }

    pub(crate) fn add_port(&mut self, port: PortNo, counters: Arc<UpcallCounters>) {
        let k = port.0 as usize;
        if self.ports.len() <= k {
            self.ports.resize_with(k + 1, || None);
        }
        if let Some(place) = self.ports.get_mut(k) {
            *place = Some(PortLane { counters, protocol: Bucket::default() });
        }
    }

    /// Notes the time of the round that begins.
    pub(crate) fn begin_round(&mut self, now: Nanos) {
        self.now = now;
    }

    /// Notes, of the port whose burst is next, whether it has no translation left on this core.
    pub(crate) fn begin_burst(&mut self, is_spent: bool) {
        self.is_spent = is_spent;
    }

    /// An upcall's counters.
    pub(crate) fn counters(&self, port: PortNo) -> &UpcallCounters {
        let port = self.ports.get(port.0 as usize).and_then(Option::as_ref);
        port.map_or(&*self.totals.stray, |port| &*port.counters)
    }

    /// Takes an upcall from the datapath.
    #[expect(clippy::result_large_err, reason = "the refused value goes back to its owner")]
    pub(crate) fn take(&mut self, upcall: Upcall) -> Result<(), (Upcall, DropReason)> {
        if self.goes_first(upcall.port, &upcall.flow) {
            return match self.send_first(upcall) {
                Ok(()) => Ok(()),
                Err(upcall) => self.take_usual(upcall),
            };
        }
        self.take_usual(upcall)
    }

    /// Takes an upcall that goes before no other.
    #[expect(clippy::result_large_err, reason = "the refused value goes back to its owner")]
    #[inline]
    fn take_usual(&mut self, upcall: Upcall) -> Result<(), (Upcall, DropReason)> {
        let is_miss = upcall.reason == UpcallReason::Miss;
        if is_miss && self.is_spent {
            self.counters(upcall.port).over_budget.add(1);
            return self.send(upcall, DropReason::UpcallBudget);
        }
        if is_miss && self.mode != UpcallMode::Thread && self.pending.len() < PENDING {
            self.pending.push_back(upcall);
            return Ok(());
        }
        self.send(upcall, DropReason::UpcallPortShare)
    }

    /// Why a miss would be refused, if neither this core nor the control core has time for it. What may
    /// go before all others is not refused here.
    pub(crate) fn refuses(&mut self, port: PortNo, flow: &Flow) -> Option<DropReason> {
        let reason = match self.mode {
            UpcallMode::Budget if self.is_spent => DropReason::UpcallBudget,
            UpcallMode::Thread => DropReason::UpcallPortShare,
            _ => return None,
        };
        if self.has_share(port) || is_protocol(flow, self.own) {
            return None;
        }
        let counters = self.counters(port);
        counters.over_budget.add(u64::from(reason == DropReason::UpcallBudget));
        counters.dropped.add(1);
        Some(reason)
    }

    /// Whether the port's share of the ring has room.
    fn has_share(&self, port: PortNo) -> bool {
        let n_under_way = self.n_sent.saturating_sub(self.totals.answered.get());
        let room = (UPCALL_RING as u64).saturating_sub(n_under_way);
        self.counters(port).under_way() < room
    }

    /// Whether a miss waits to be answered on this core.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The miss that waits longest to be answered on this core.
    pub(crate) fn next_pending(&mut self) -> Option<Upcall> {
        self.pending.pop_front()
    }

    /// Whether a burst might find no room among the pending misses.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.pending.len() > PENDING - 2 * packet::BATCH
    }

    /// Counts how this core answered, or did not.
    pub(crate) fn count(&self, port: PortNo, answered: Result<Answered, NoAnswer>) {
        let counters = self.counters(port);
        let counter = match answered {
            Ok(Answered::Cached) => &counters.cached,
            Ok(Answered::Translated) => &counters.inline,
            Err(NoAnswer::Budget) => &counters.over_budget,
            Err(NoAnswer::Declined(Declined::Busy)) => &counters.busy,
            Err(NoAnswer::Declined(Declined::NoRoom)) => &counters.no_room,
            Err(NoAnswer::Declined(Declined::Unnamed)) => &counters.unnamed,
        };
        counter.add(1);
    }

    /// Sends an upcall by ring, if the port's share has room; else it is to be dropped, and if for
    /// want of a share, as `refused`.
    #[expect(clippy::result_large_err, reason = "the refused value goes back to its owner")]
    pub(crate) fn send(
        &mut self,
        upcall: Upcall,
        refused: DropReason,
    ) -> Result<(), (Upcall, DropReason)> {
        if !self.has_share(upcall.port) {
            self.counters(upcall.port).dropped.add(1);
            return Err((upcall, refused));
        }
        let port = upcall.port;
        match self.ring.push(ToHandler::Upcall(upcall)) {
            Ok(()) => {
                self.n_sent += 1;
                self.counters(port).by_ring.add(1);
                Ok(())
            }
            Err(ToHandler::Upcall(upcall)) => {
                self.counters(port).dropped.add(1);
                Err((upcall, DropReason::UpcallQueueFull))
            }
            Err(ToHandler::Check(_)) => unreachable!("the ring gives back what was pushed"),
        }
    }

    /// Whether there is room for a sample for the self check: where [`CHECKS`] of anything wait, it has
    /// no place, so samples never take the room of a packet, and few buffers.
    pub(crate) fn has_room_for_check(&self) -> bool {
        self.ring.room() + CHECKS > self.ring.capacity()
    }

    /// Takes a sample, for which there was room just before.
    pub(crate) fn check(&mut self, check: Check) {
        // If there was none after all, a sample is lost.
        drop(self.ring.push(ToHandler::Check(check)));
    }

    /// Whether an upcall may go before all others: if so, it is counted against the port's rate.
    fn goes_first(&mut self, port: PortNo, flow: &Flow) -> bool {
        let (pace, now) = (self.protocol_pace, self.now);
        is_protocol(flow, self.own)
            && self
                .ports
                .get_mut(port.0 as usize)
                .and_then(Option::as_mut)
                .is_some_and(|port| port.protocol.take(pace, now))
    }

    /// Sends what goes before all others; gives it back if there is no room.
    #[expect(clippy::result_large_err, reason = "the refused value goes back to its owner")]
    fn send_first(&mut self, upcall: Upcall) -> Result<(), Upcall> {
        let port = upcall.port;
        self.protocol_ring.push(upcall)?;
        self.counters(port).protocol.add(1);
        Ok(())
    }
}

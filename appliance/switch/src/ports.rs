//! The netdevs behind the ports: their queues, their links, their resets.
//!
//! ```text
//!      fault, n_rxq        all cores answered, sent     opened
//!   Up ─────────────► Draining ───────────────► Down ─────────► Up
//!                                                 ▲     │ failed
//!                                                 └─────┘ again after RETRY
//! ```
//! A device that breaks its protocol loses its queues only: the port stays, its counters go on, and
//! the device is reset and opened again. No other port notices. The same way a device comes to another number
//! of queue pairs (`n_rxq`); where it does not open with them it is opened with one.
//!
//! # Frames meanwhile
//! What a device has put into its receive rings is taken from there when it has been stopped, and is forwarded
//! first when it is open again; if it does not open, it is dropped as `rx-port-reset`. What comes later waits
//! behind the device or is lost there. Frames that were given to the device to be sent count as sent from then on. One that
//! gets another number of queue pairs is waited for until it has sent them, [`SENT_WITHIN`] at the most; those that stand in the
//! transmit rings of a device when it stops may have left or not, which it alone knows, so they are not sent again. What
//! a ring says that broke the protocol is not believed, and what stands in it was never received.

use crate::bridges::{Bridges, Member};
use crate::dpif::{Left, RingDpif};
use crate::rings::{Report, RxPart};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::PortNo;
use netdev::{LinkState, Netdev, OpenError, QueueFault, QueuePair, TxQueue};
use ofproto::Link;
use packet::{Pool, PoolCache};
use sync::time::Nanos;

/// Between two looks at the links.
const LINK_INTERVAL: Nanos = Nanos::from_millis(250);
/// Between two attempts to open a device that does not come up.
const RETRY: Nanos = Nanos::from_secs(1);
/// A device that broke its protocol so soon after it was opened waits for [`RETRY`] before it is again.
const HEALTHY: Nanos = Nanos::from_secs(1);

/// A device that is to have another number of queue pairs is given so long to send what it was given.
const SENT_WITHIN: Nanos = Nanos::from_millis(10);

/// The most queue pairs of a device that may be asked for, if there are not more cores: each takes memory that
/// drivers never give back.
const MAX_PAIRS: u16 = 16;

/// All netdevs that are ports.
#[derive(Debug)]
pub(crate) struct Ports {
    entries: Vec<Entry>,
    pool: Arc<Pool>,
    next_link_check: Nanos,
}

#[derive(Debug)]
struct Entry {
    port: PortNo,
    /// What it is called since boot.
    name: String,
    netdev: Box<dyn Netdev>,
    state: State,
    /// Queue pairs that the configuration asks for; none: one for each core.
    asked_pairs: Option<u16>,
    /// The device did not open with so many as it should have: one will do.
    has_refused_pairs: bool,
    link: LinkState,
    n_faults: u64,
    n_link_changes: u64,
    opened: Nanos,
}

#[derive(Debug)]
enum State {
    Up,
    Draining {
        why: Why,
        answers: usize,
        rx: Vec<RxPart>,
        tx: Vec<Box<dyn TxQueue>>,
        /// All queues are back since then.
        since: Option<Nanos>,
    },
    Down {
        again: Nanos,
        left: Left,
    },
}

/// Why a device is taken from the cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Fault,
    /// It is to have another number of queue pairs.
    Pairs,
}

impl Ports {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { entries: Vec::new(), pool, next_link_check: Nanos::ZERO }
    }

    /// Takes a netdev and opens it, with a queue pair for each core as far as it has them. A device
    /// that does not open is tried again later; its link is down until then.
    pub(crate) fn add(
        &mut self,
        port: PortNo,
        name: String,
        netdev: Box<dyn Netdev>,
        dpif: &mut RingDpif,
        now: Nanos,
    ) {
        let link = LinkState { up: false, speed_mbps: None };
        let state = State::Down { again: Nanos::ZERO, left: Left::default() };
        let mut entry = Entry {
            port,
            name,
            netdev,
            state,
            asked_pairs: None,
            has_refused_pairs: false,
            link,
            n_faults: 0,
            n_link_changes: 0,
            opened: now,
        };
        entry.open(&self.pool, dpif, now);
        self.entries.push(entry);
    }

    /// Has the device of `port` opened with so many queue pairs, as far as it has them; none said is one for
    /// each core. One that is open with another number is taken from the cores, reset and opened again.
    pub(crate) fn ask_pairs(&mut self, port: PortNo, asked: Option<u16>, dpif: &mut RingDpif) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.port == port) else { return };
        if entry.asked_pairs == asked {
            return;
        }
        (entry.asked_pairs, entry.has_refused_pairs) = (asked, false);
        if u32::from(entry.n_pairs(dpif.n_cores())) != dpif.n_queues(port) {
            entry.drain(Why::Pairs, dpif);
        }
    }

    /// With how many queue pairs the device of `port` is open, or will be.
    pub(crate) fn n_pairs(&self, port: PortNo, dpif: &RingDpif) -> Option<u16> {
        let entry = self.entries.iter().find(|entry| entry.port == port)?;
        Some(entry.n_pairs(dpif.n_cores()))
    }

    /// Whether a device is on its way to another number of queue pairs.
    pub(crate) fn is_changing(&self) -> bool {
        self.entries.iter().any(|e| matches!(e.state, State::Draining { why: Why::Pairs, .. }))
    }

    /// Follows a report of a polling core.
    pub(crate) fn report(&mut self, report: Report, dpif: &mut RingDpif, now: Nanos) {
        match report {
            Report::Fault { port, fault } => {
                if let Some(entry) = self.entries.iter_mut().find(|entry| entry.port == port) {
                    entry.fault(fault, dpif);
                    self.next_link_check = Nanos::ZERO;
                }
            }
            Report::QueueReleased { port, part } => {
                match self.entries.iter_mut().find(|entry| entry.port == port).map(|e| &mut e.state)
                {
                    // It is on its way while the port is taken from all cores: home it goes.
                    Some(State::Draining { rx, .. }) => rx.push(part),
                    _ => dpif.hand_over(port, part),
                }
            }
            Report::Released { port, rx, tx } => {
                if let Some(entry) = self.entries.iter_mut().find(|entry| entry.port == port) {
                    entry.released(rx, tx, &self.pool, dpif, now);
                }
            }
        }
    }

    /// Opens what is due to be opened, and looks at the links now and then: the bridge hears of
    /// each port whose link changed.
    pub(crate) fn run(&mut self, dpif: &mut RingDpif, bridges: &mut Bridges, now: Nanos) {
        let check_links = now >= self.next_link_check;
        if check_links {
            self.next_link_check = now.saturating_add(LINK_INTERVAL);
        }
        for entry in &mut self.entries {
            entry.close(&self.pool, dpif, now);
            if matches!(entry.state, State::Down { again, .. } if now >= again) {
                entry.open(&self.pool, dpif, now);
            }
            if !check_links {
                continue;
            }
            let link = match entry.state {
                State::Up => entry.netdev.link(),
                _ => LinkState { up: false, speed_mbps: None },
            };
            if link != entry.link {
                entry.link = link;
                entry.n_link_changes += 1;
                if matches!(entry.state, State::Up) {
                    dpif.set_link(entry.port, link.up);
                }
                let Some(Member { bridge, .. }) = bridges.of_port(entry.port) else { continue };
                let number = bridge.state().ports.by_dp(entry.port).map(|port| port.number());
                if let Some(number) = number {
                    bridge.port_changed(number, Link { up: link.up, speed_mbps: link.speed_mbps });
                }
            }
        }
    }

    /// The netdevs by the numbers of their ports.
    pub(crate) fn get(&self, port: PortNo) -> Option<(&dyn Netdev, LinkState)> {
        let entry = self.entries.iter().find(|entry| entry.port == port)?;
        Some((&*entry.netdev, entry.link))
    }

    /// The port of the netdev that has this name since boot.
    pub(crate) fn by_name(&self, name: &str) -> Option<PortNo> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.port)
    }

    /// How often a port's link changed.
    pub(crate) fn n_link_changes(&self, port: PortNo) -> u64 {
        let entry = self.entries.iter().find(|entry| entry.port == port);
        entry.map_or(0, |entry| entry.n_link_changes)
    }

    /// Each port's link, and how often its device was reset for a fault.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PortNo, &dyn Netdev, LinkState, u64)> {
        self.entries.iter().map(|e| (e.port, &*e.netdev, e.link, e.n_faults))
    }
}

impl Entry {
    fn open(&mut self, pool: &Arc<Pool>, dpif: &mut RingDpif, now: Nanos) {
        let n_pairs = self.n_pairs(dpif.n_cores());
        let mut left = match &mut self.state {
            State::Down { left, .. } => core::mem::take(left),
            State::Up | State::Draining { .. } => Left::default(),
        };
        let mut opened = self.netdev.open(n_pairs, pool);
        if opened.is_err() && !left.is_empty() {
            // They may be in the buffers that the device needs.
            dpif.drop_left(self.port, &mut left);
            opened = self.netdev.open(n_pairs, pool);
        }
        match opened {
            Ok(pairs) => {
                // Neighbouring ports begin on neighbouring cores, so that single queues spread.
                dpif.add_port(self.port, pairs, self.port.0 as usize, left);
                dpif.set_offloads(self.port, self.netdev.info().offloads);
                dpif.set_link(self.port, self.netdev.link().up);
                self.state = State::Up;
                self.opened = now;
            }
            Err(error) => {
                let name = &self.netdev.info().name;
                log::error!("{name}: cannot be opened ({error:?}), will be tried again");
                let is_for_the_number = matches!(
                    error,
                    OpenError::QueuePairs
                        | OpenError::QueueSize
                        | OpenError::NoDmaMemory
                        | OpenError::NoBuffers
                        | OpenError::CommandFailed
                );
                self.has_refused_pairs |= n_pairs > 1 && is_for_the_number;
                self.state = State::Down { again: now.saturating_add(RETRY), left };
            }
        }
    }

    /// With how many queue pairs it is to be open.
    fn n_pairs(&self, n_cores: usize) -> u16 {
        let of_cores = u16::try_from(n_cores).unwrap_or(u16::MAX);
        let most = if self.has_refused_pairs { 1 } else { self.netdev.info().max_queue_pairs };
        self.asked_pairs.unwrap_or(of_cores).min(MAX_PAIRS.max(of_cores)).min(most).max(1)
    }

    fn fault(&mut self, fault: QueueFault, dpif: &mut RingDpif) {
        if matches!(self.state, State::Up) {
            self.n_faults += 1;
            let name = &self.netdev.info().name;
            log::error!("{name}: the device broke the protocol ({fault:?}); resetting the port");
            self.drain(Why::Fault, dpif);
        }
    }

    /// Takes the device from all cores, if they have it.
    fn drain(&mut self, why: Why, dpif: &mut RingDpif) {
        if matches!(self.state, State::Up) {
            self.state =
                State::Draining { why, answers: 0, rx: Vec::new(), tx: Vec::new(), since: None };
            dpif.release_port(self.port);
        }
    }

    fn released(
        &mut self,
        rx_queues: Vec<RxPart>,
        tx_queue: Option<Box<dyn TxQueue>>,
        pool: &Arc<Pool>,
        dpif: &mut RingDpif,
        now: Nanos,
    ) {
        let State::Draining { answers, rx, tx, since, .. } = &mut self.state else {
            return;
        };
        *answers += 1;
        rx.extend(rx_queues);
        tx.extend(tx_queue);
        if *answers < dpif.n_cores() {
            return;
        }
        tx.extend(dpif.take_kept(self.port));
        *since = Some(now);
        self.close(pool, dpif, now);
    }

    /// Resets a device that is to be, when all its queues are back and it has sent what it was given.
    fn close(&mut self, pool: &Arc<Pool>, dpif: &mut RingDpif, now: Nanos) {
        let State::Draining { why, rx, tx, since: Some(since), .. } = &mut self.state else {
            return;
        };
        let why = *why;
        let mut cache = PoolCache::new(pool.clone());
        let mut is_sending = |queue: &mut Box<dyn TxQueue>| {
            queue.reclaim(&mut cache).is_ok() && queue.n_in_flight() > 0
        };
        let may_wait = why == Why::Pairs && now.saturating_sub(*since) < SENT_WITHIN;
        if may_wait && tx.iter_mut().any(&mut is_sending) {
            return;
        }
        let is_stopped = self.netdev.stop().is_ok();
        let mut left = Left::default();
        let mut pairs = Vec::new();
        for (mut part, tx) in rx.drain(..).zip(tx.drain(..)) {
            if is_stopped {
                part.drain(&mut cache);
            }
            if let Some(counters) = dpif.own_counters(self.port) {
                part.carry_over(counters);
            }
            let RxPart { number, queue, left: frames, .. } = part;
            if !frames.is_empty() {
                left.0.push((number, frames));
            }
            pairs.push(QueuePair { rx: queue, tx });
        }
        if let Err(error) = self.netdev.reset(pairs) {
            log::error!("{}: does not reset ({error:?})", self.netdev.info().name);
        }
        // A device that is faulty from the start must not keep the control core busy.
        let again = match (why, now.saturating_sub(self.opened)) {
            (Why::Fault, up) if up < HEALTHY => now.saturating_add(RETRY),
            _ => now,
        };
        self.state = State::Down { again, left };
    }
}

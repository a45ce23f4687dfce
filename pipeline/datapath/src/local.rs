//! The whole datapath on one core, without rings: for tests, scenarios and comparisons, and for
//! `trace` offline.
//!
//! It is the real [`PmdDatapath`] behind the real [`Dpif`]; only the surroundings are simple.
//! Commands take effect at once, frames that leave are collected as bytes, upcalls wait in a
//! bounded queue until somebody takes them. So what holds here holds for the switch, except what
//! rings between cores add: delay, and queues that fill.

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};

use flow::{Flow, Mask};
use packet::{Batch, OffloadSet, Packet, Pool, PoolCache, PoolConfig, Unfinished};
use sync::time::Nanos;

use crate::{
    accounting::{Accounting, CoreCounters},
    action::DpAction,
    config::DatapathConfig,
    dpif::{Command, Dpif, Execute},
    drop_reason::DropReason,
    emc::EmcConfig,
    ids::{CoreId, PortNo, Ufid},
    megaflow::{Megaflow, PutError},
    meter::MeterTable,
    output::Output,
    pmd::{PmdConfig, PmdDatapath},
    port::{PortCounters, PortStats},
    smc::SmcEnable,
    table::TableLimits,
    upcall::{Admit, Answer, Answered, Check, Upcall},
};

/// How large a [`LocalDpif`] is.
#[derive(Debug, Clone, Copy)]
pub struct LocalConfig {
    /// Packet buffers.
    pub pool: PoolConfig,
    /// Megaflows and masks.
    pub limits: TableLimits,
    /// The exact-match cache.
    pub emc: EmcConfig,
    /// Whether there is a signature cache.
    pub smc_enable: SmcEnable,
    /// Upcalls that may wait.
    pub upcall_queue_len: usize,
    /// One in so many hits is sampled for the self check; 0 is none.
    pub sample_one_in: u32,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            pool: PoolConfig { small: 512, jumbo: 64 },
            limits: TableLimits::default(),
            emc: EmcConfig::default(),
            smc_enable: SmcEnable::Off,
            upcall_queue_len: 256,
            sample_one_in: 0,
        }
    }
}

/// A datapath of one core that answers at once.
#[derive(Debug)]
pub struct LocalDpif {
    pmd: PmdDatapath,
    surroundings: Surroundings,
    now: Nanos,
    /// Every port that ever was, the latest of a number last: what was counted stays counted.
    ports: Vec<(PortNo, Arc<PortCounters>)>,
    fence: u64,
    config: DatapathConfig,
}

impl LocalDpif {
    /// With ordinary sizes.
    #[must_use]
    pub fn new() -> Self {
        Self::with(LocalConfig::default())
    }

    /// With these sizes.
    #[must_use]
    pub fn with(config: LocalConfig) -> Self {
        let pmd_config = PmdConfig {
            core: CoreId(0),
            limits: config.limits,
            emc: config.emc,
            smc_enable: config.smc_enable,
            hash_basis: 0,
            sample_one_in: config.sample_one_in,
        };
        Self {
            pmd: PmdDatapath::new(pmd_config, Arc::new(CoreCounters::default()), Arc::default()),
            surroundings: Surroundings {
                cache: PoolCache::new(Pool::on_heap(config.pool)),
                ports: Vec::new(),
                transmitted: VecDeque::new(),
                upcalls: VecDeque::new(),
                upcall_queue_len: config.upcall_queue_len,
                checks: VecDeque::new(),
            },
            now: Nanos::ZERO,
            ports: Vec::new(),
            fence: 0,
            config: DatapathConfig {
                emc_insert_inv_prob: config.emc.insert_inv_prob,
                smc_enable: config.smc_enable,
                max_subtables: config.limits.masks_per_port,
                max_megaflows: config.limits.flows,
                ..DatapathConfig::default()
            },
        }
    }

    /// Lets time pass.
    pub fn set_now(&mut self, now: Nanos) {
        self.now = now;
        self.pmd.tick(now);
    }

    /// Adds a port.
    pub fn add_port(&mut self, port: PortNo) {
        let counters = Arc::new(PortCounters::default());
        self.ports.push((port, counters.clone()));
        self.surroundings.ports.retain(|open| open.port != port);
        self.surroundings.ports.push(OpenPort {
            port,
            counters: counters.clone(),
            is_full: false,
            offloads: OffloadSet::NONE,
        });
        self.apply(Command::AddPort(port, counters));
    }

    /// Removes a port.
    pub fn remove_port(&mut self, port: PortNo) {
        self.surroundings.ports.retain(|open| open.port != port);
        self.apply(Command::RemovePort(port));
    }

    /// From now on the port has a link, or has none.
    pub fn set_link(&mut self, port: PortNo, has_link: bool) {
        let open = self.surroundings.ports.iter().find(|open| open.port == port);
        let offloads = open.map_or(OffloadSet::NONE, |open| open.offloads);
        self.apply(Command::SetLink { port, has_link, offloads });
    }

    /// From now on the device of the port, which has a link, does this for packets that are sent by it:
    /// what is transmitted is as it leaves the device.
    pub fn set_offloads(&mut self, port: PortNo, offloads: OffloadSet) {
        let open = self.surroundings.ports.iter_mut().find(|open| open.port == port);
        if let Some(open) = open {
            open.offloads = offloads;
        }
        self.set_link(port, true);
    }

    /// Puts a cable between two ports.
    pub fn plug(&mut self, one: PortNo, other: PortNo) {
        for (port, peer) in [(one, other), (other, one)] {
            self.apply(Command::Plug { port, peer });
        }
    }

    /// From now on the port's transmit ring takes frames (`false`), or is full (`true`).
    pub fn set_tx_full(&mut self, port: PortNo, is_full: bool) {
        for open in &mut self.surroundings.ports {
            if open.port == port {
                open.is_full = is_full;
            }
        }
    }

    /// A frame comes in. A frame for which there is no buffer counts as lost at the port.
    pub fn receive(&mut self, port: PortNo, frame: &[u8]) {
        self.receive_batch(port, [frame]);
    }

    /// Frames come in together, in batches of 32.
    pub fn receive_batch<'a>(&mut self, port: PortNo, frames: impl IntoIterator<Item = &'a [u8]>) {
        self.receive_unfinished(port, frames.into_iter().map(|frame| (frame, None)));
    }

    /// As [`Self::receive_batch`], with what the sender has left to do of each.
    pub fn receive_unfinished<'a>(
        &mut self,
        port: PortNo,
        frames: impl IntoIterator<Item = (&'a [u8], Option<Unfinished>)>,
    ) {
        let mut batch = Batch::new();
        for (frame, unfinished) in frames {
            let Some(mut packet) = self.surroundings.cache.from_bytes(frame) else {
                self.lost_at_rx(port, DropReason::RxNoBuffer);
                continue;
            };
            if unfinished.is_some_and(|what| packet.leave_unfinished(&what).is_err()) {
                self.lost_at_rx(port, DropReason::RxBadOffload);
                self.surroundings.cache.free(packet);
                continue;
            }
            // Never full here: it is passed on as soon as it is.
            let _ = batch.push(packet);
            if batch.is_full() {
                self.pmd.input(port, &mut batch, self.now, &mut self.surroundings);
            }
        }
        self.pmd.input(port, &mut batch, self.now, &mut self.surroundings);
    }

    /// The upcall that waits longest. A miss or slow-path upcall is to be answered: see
    /// [`Dpif::execute`].
    pub fn next_upcall(&mut self) -> Option<Upcall> {
        self.surroundings.upcalls.pop_front()
    }

    /// Answers a miss on the core itself: see [`PmdDatapath::answer`].
    ///
    /// # Errors
    /// The upcall, and why `translate` has no answer.
    #[expect(clippy::result_large_err, reason = "the refused value goes back to its owner")]
    pub fn answer<E>(
        &mut self,
        upcall: Upcall,
        translate: impl FnOnce(&Upcall, Admit<'_>) -> Result<Answer, E>,
    ) -> Result<Answered, (Upcall, E)> {
        self.pmd.answer(upcall, self.now, &mut self.surroundings, translate)
    }

    /// The frames that left since the last call, in order.
    pub fn take_transmitted(&mut self) -> Vec<(PortNo, Vec<u8>)> {
        self.surroundings.transmitted.drain(..).collect()
    }

    /// The samples for the self check since the last call.
    pub fn take_checks(&mut self) -> Vec<Check> {
        self.surroundings.checks.drain(..).collect()
    }

    /// The core's datapath, to look at.
    #[must_use]
    pub fn pmd(&self) -> &PmdDatapath {
        &self.pmd
    }

    /// Gives the datapath a command that [`Dpif`] has no call for.
    pub fn apply(&mut self, command: Command) {
        self.pmd.apply(command, self.now, &mut self.surroundings);
    }

    /// The sums of the law, over everything that ever was here. In flight are the upcalls that wait
    /// or are being answered.
    #[must_use]
    pub fn accounting(&self) -> Accounting {
        let mut sums = Accounting::default();
        sums.add_core(self.pmd.counters());
        self.ports.iter().for_each(|(_, counters)| sums.add_port(&counters.read()));
        sums
    }

    fn lost_at_rx(&self, port: PortNo, reason: DropReason) {
        let counters = self.counters(port);
        let counters = counters.map_or(&self.pmd.counters().stray, |counters| counters);
        counters.lost_at_rx(reason, 1);
    }

    fn counters(&self, port: PortNo) -> Option<&PortCounters> {
        let ports = self.ports.iter().rev();
        ports.clone().find(|(number, _)| *number == port).map(|(_, counters)| &**counters)
    }

    fn check_core(core: CoreId) -> Result<(), PutError> {
        if core == CoreId(0) { Ok(()) } else { Err(PutError::NoSuchCore) }
    }
}

impl Default for LocalDpif {
    fn default() -> Self {
        Self::new()
    }
}

impl Dpif for LocalDpif {
    fn flow_put(&mut self, core: CoreId, flow: Arc<Megaflow>) -> Result<(), PutError> {
        Self::check_core(core)?;
        self.pmd.put(flow)
    }

    fn flow_modify(
        &mut self,
        core: CoreId,
        ufid: Ufid,
        actions: Arc<[DpAction]>,
    ) -> Result<(), PutError> {
        Self::check_core(core)?;
        crate::action::validate(&actions).map_err(PutError::BadActions)?;
        self.apply(Command::FlowModify(ufid, actions));
        Ok(())
    }

    fn flow_delete(&mut self, core: CoreId, ufid: Ufid) -> Result<(), PutError> {
        Self::check_core(core)?;
        self.apply(Command::FlowDelete(ufid));
        Ok(())
    }

    fn execute(&mut self, packet: Packet, flow: &Flow, actions: &Arc<[DpAction]>) {
        let execute = Execute { packet, flow: *flow, actions: actions.clone() };
        self.pmd.execute(execute, self.now, &mut self.surroundings);
    }

    fn packet_from(&mut self, frame: &[u8]) -> Option<Packet> {
        let packet = self.surroundings.cache.from_bytes(frame)?;
        self.pmd.counters().originated.add(1);
        Some(packet)
    }

    fn fence(&mut self) -> u64 {
        self.fence += 1;
        self.apply(Command::Fence(self.fence));
        self.fence
    }

    fn fence_passed(&self, fence: u64) -> bool {
        self.pmd.counters().fence.reached() >= fence
    }

    fn port_stats(&self, port: PortNo) -> PortStats {
        self.counters(port).map(PortCounters::read).unwrap_or_default()
    }

    fn admit_mask(&self, core: CoreId, port: PortNo, mask: &Mask) -> Mask {
        match self.counters(port) {
            Some(counters) if core == CoreId(0) => counters.masks.admit(mask),
            _ => *mask,
        }
    }

    fn configure(&mut self, config: &DatapathConfig) {
        self.config = *config;
        self.apply(Command::Configure(*config));
    }

    fn config(&self) -> DatapathConfig {
        self.config
    }

    fn meters(&self) -> &MeterTable {
        &self.pmd.meters
    }
}

/// What stands around the core: everything is collected.
#[derive(Debug)]
struct Surroundings {
    cache: PoolCache,
    ports: Vec<OpenPort>,
    transmitted: VecDeque<(PortNo, Vec<u8>)>,
    upcalls: VecDeque<Upcall>,
    upcall_queue_len: usize,
    checks: VecDeque<Check>,
}

#[derive(Debug)]
struct OpenPort {
    port: PortNo,
    counters: Arc<PortCounters>,
    is_full: bool,
    offloads: OffloadSet,
}

impl Output for Surroundings {
    fn transmit(&mut self, port: PortNo, mut packet: Packet) {
        if let Some(open) = self.ports.iter().find(|open| open.port == port) {
            if open.is_full {
                open.counters.dropped(DropReason::TxRingFull, 1);
            } else {
                open.counters.transmitted(1, packet.len() as u64);
                if packet.passes(open.offloads) {
                    // What passes has the bytes that it is about.
                    let _ = packet.finish_whole();
                }
                self.transmitted.push_back((port, packet.data().to_vec()));
            }
        }
        self.cache.free(packet);
    }

    fn upcall(&mut self, upcall: Upcall) -> Result<(), (Upcall, DropReason)> {
        if self.upcalls.len() >= self.upcall_queue_len {
            return Err((upcall, DropReason::UpcallQueueFull));
        }
        self.upcalls.push_back(upcall);
        Ok(())
    }

    fn has_room_for_check(&self) -> bool {
        self.checks.len() < self.upcall_queue_len
    }

    fn check(&mut self, check: Check) {
        self.checks.push_back(check);
    }

    fn cache(&mut self) -> &mut PoolCache {
        &mut self.cache
    }
}

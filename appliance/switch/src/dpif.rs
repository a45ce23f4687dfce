//! The datapath as `ofproto` sees it, over rings to the polling cores.
//!
//! Megaflow commands become orders to the core that asked; packets that the control core sends itself
//! (answers to upcalls, packet-outs) run their actions on a small datapath of the control core, whose
//! outlet has no queues of its own, only rings to the polling cores.
//!
//! # Fences
//! A fence is an order with a number to every core; a core publishes the number when it comes to it.
//! Orders are obeyed in order, so when all have published it, everything ordered before is in force,
//! and what was removed before is used no more.

mod queues;
mod reading;

use crate::bridges::BridgeId;
use crate::outlet::Outlet;
use crate::policing::Policing;
use crate::rings::{Binding, BoundWay, CONCLUSION_RING, Order, Sender};
use crate::upcalls::{UpcallConfig, UpcallCounters, UpcallStats};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{
    Accounting, Command, CoreCounters, CoreId, DatapathConfig, DpAction, Dpif, Execute, Megaflow,
    MeterTable, Output, PmdDatapath, PortCounters, PortNo, PortStats, PutError, Stage, Ufid,
};
use flow::{Flow, Mask};
use ofproto::Bridge;
use packet::{OffloadSet, Packet};
use sync::time::Nanos;

use queues::TxKept;
pub(crate) use queues::{Left, RxPlace};
pub(crate) use reading::{Reading, lost};

/// Orders that may wait for one core, beyond its ring, before it is given no more megaflows: a tenth of a
/// second's worth of those that a core without rest obeys.
const MAX_WAITING: usize = 16 * 1024;

/// The control core's end of the rings to one polling core.
#[derive(Debug)]
pub(crate) struct CoreLink {
    pub(crate) orders: Sender<Order>,
    pub(crate) counters: Arc<CoreCounters>,
}

/// What one core counts for one port.
#[derive(Debug, Clone, Default)]
struct Counts {
    frames: Arc<PortCounters>,
    upcalls: Arc<UpcallCounters>,
}

/// [`Dpif`] over rings.
#[derive(Debug)]
pub struct RingDpif {
    links: Vec<CoreLink>,
    /// For packets that the control core sends itself; its id is the number of polling cores.
    own: PmdDatapath,
    own_counters: Arc<CoreCounters>,
    outlet: Outlet,
    meters: Arc<MeterTable>,
    /// Per port, one set of counters a polling core, then the control core's.
    ports: BTreeMap<PortNo, Vec<Counts>>,
    rx_places: Vec<RxPlace>,
    /// Transmit queues that no core has for itself.
    tx_kept: BTreeMap<PortNo, TxKept>,
    /// Where readings of the cores begin, and since when.
    base: (Vec<Reading>, Nanos),
    config: DatapathConfig,
    /// Ports whose devices have no link.
    dark: BTreeSet<PortNo>,
    /// What the devices of ports do for packets that are not finished.
    offloads: BTreeMap<PortNo, OffloadSet>,
    /// What ports may receive, where that is limited.
    policing: BTreeMap<PortNo, Policing>,
    /// The longest frames that may leave, in bytes, where the device would take longer ones.
    max_frames: BTreeMap<PortNo, usize>,
    /// What ports counted that are no more.
    gone: PortStats,
    fences: u64,
    now: Nanos,
}

/// Packets by the table that found them; one that recirculates counts each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// The exact-match cache.
    pub emc: u64,
    /// The signature cache.
    pub smc: u64,
    /// The megaflows of the port.
    pub megaflow: u64,
    /// Subtables that were searched for those.
    pub probes: u64,
    /// None: upcalls.
    pub misses: u64,
    /// Bursts in which they were received.
    pub bursts: u64,
}

/// Cycles counted stage by stage (`pmd-perf-metrics`), of all cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageCycles {
    /// Packets whose cycles were counted; one that recirculates counts each time.
    pub measured: u64,
    /// In the order of [`Stage::ALL`].
    pub by_stage: [u64; Stage::ALL.len()],
}

impl RingDpif {
    pub(crate) fn new(
        links: Vec<CoreLink>,
        own: PmdDatapath,
        own_counters: Arc<CoreCounters>,
        outlet: Outlet,
        meters: Arc<MeterTable>,
    ) -> Self {
        let ports = BTreeMap::new();
        Self {
            links,
            own,
            own_counters,
            outlet,
            meters,
            ports,
            rx_places: Vec::new(),
            tx_kept: BTreeMap::new(),
            base: (Vec::new(), Nanos::ZERO),
            config: DatapathConfig::default(),
            dark: BTreeSet::new(),
            offloads: BTreeMap::new(),
            policing: BTreeMap::new(),
            max_frames: BTreeMap::new(),
            gone: PortStats::default(),
            fences: 0,
            now: Nanos::ZERO,
        }
    }

    /// Moves waiting orders on; to be called once a round, with the time of the round.
    pub(crate) fn begin_round(&mut self, now: Nanos) {
        self.now = now;
        self.outlet.upcalls().begin_round(now);
        self.links.iter_mut().for_each(|link| link.orders.flush());
        self.own.tick(now);
    }

    /// Whether a core has not taken all that it was sent.
    pub(crate) fn is_unheard(&self) -> bool {
        self.links.iter().any(|link| link.orders.is_unheard()) || self.outlet.is_unheard()
    }

    /// The number of polling cores.
    pub(crate) fn n_cores(&self) -> usize {
        self.links.len()
    }

    /// Whether a frame for every port would find room in the rings to the cores.
    pub(crate) fn has_room_to_flood(&self) -> bool {
        self.outlet.room() > self.ports.len()
    }

    /// From now on frames may come from the port and go there; they are the bridge's. The queues of its
    /// device may come before or later; with a `peer` it is one end of a cable instead.
    pub(crate) fn bind(&mut self, port: PortNo, bridge: BridgeId, peer: Option<PortNo>) {
        let offloads = self.offloads(port);
        let n = self.links.len();
        let counts =
            self.ports.entry(port).or_insert_with(|| (0..=n).map(|_| Counts::default()).collect());
        let has_link = !self.dark.contains(&port);
        let way = |upcalls: &Arc<UpcallCounters>| match peer {
            Some(peer) => BoundWay::Cable { peer, upcalls: upcalls.clone() },
            None => BoundWay::Device { has_link, offloads },
        };
        for (link, Counts { frames, upcalls }) in self.links.iter_mut().zip(counts.iter()) {
            let counters = frames.clone();
            let binding = Binding { port, bridge, counters, way: way(upcalls) };
            link.orders.send(Order::Bind(Box::new(binding)));
        }
        if let Some(Counts { frames, upcalls }) = counts.last().cloned() {
            let way = way(&upcalls).command(port);
            self.outlet.upcalls().add_port(port, upcalls);
            self.own.apply(Command::AddPort(port, frames), self.now, &mut self.outlet);
            self.own.apply(way, self.now, &mut self.outlet);
        }
    }

    /// Limits what a port may receive.
    pub(crate) fn police(&mut self, port: PortNo, policing: Policing) {
        self.policing.insert(port, policing);
        let n_queues = self.n_queues(port);
        for link in &mut self.links {
            link.orders.send(Order::Police(port, (policing, n_queues)));
        }
    }

    /// Limits the length of the frames that leave by a port, in bytes.
    pub(crate) fn limit_frames(&mut self, port: PortNo, max_frame: Option<usize>) {
        match max_frame {
            Some(max_frame) => self.max_frames.insert(port, max_frame),
            None => self.max_frames.remove(&port),
        };
        for link in &mut self.links {
            link.orders.send(Order::LimitFrames(port, max_frame));
        }
    }

    /// Keeps what a port has counted that will not come again, and forgets its number.
    pub(crate) fn forget_port(&mut self, port: PortNo) {
        for Counts { frames, .. } in self.ports.remove(&port).into_iter().flatten() {
            self.gone.add(&frames.read());
        }
    }

    /// The port is nobody's: its megaflows go, what is output to it is dropped, and so is what it
    /// receives. In force when a later fence has passed.
    pub(crate) fn unbind(&mut self, port: PortNo) {
        for link in &mut self.links {
            link.orders.send(Order::Unbind(port));
        }
        self.own.apply(Command::RemovePort(port), self.now, &mut self.outlet);
    }

    /// Gives every core what it answers the misses of a bridge with.
    pub(crate) fn add_bridge(&mut self, id: BridgeId, bridge: &mut Bridge) {
        for (k, link) in self.links.iter_mut().enumerate() {
            let core = CoreId(u16::try_from(k).unwrap_or(u16::MAX));
            let translator = bridge.inline_translator(core, CONCLUSION_RING);
            link.orders.send(Order::AddBridge(id, Box::new(translator)));
        }
    }

    /// Takes that from every core.
    pub(crate) fn remove_bridge(&mut self, id: BridgeId) {
        for link in &mut self.links {
            link.orders.send(Order::RemoveBridge(id));
        }
    }

    /// Tells every core whether the port's device has a link.
    pub(crate) fn set_link(&mut self, port: PortNo, has_link: bool) {
        match has_link {
            true => self.dark.remove(&port),
            false => self.dark.insert(port),
        };
        let offloads = self.offloads(port);
        let set = || Command::SetLink { port, has_link, offloads };
        self.broadcast(set);
        self.own.apply(set(), self.now, &mut self.outlet);
    }

    /// What the port's device does for packets that are not finished. Cores hear of it with the link.
    pub(crate) fn set_offloads(&mut self, port: PortNo, offloads: OffloadSet) {
        self.offloads.insert(port, offloads);
    }

    fn offloads(&self, port: PortNo) -> OffloadSet {
        self.offloads.get(&port).copied().unwrap_or_default()
    }

    /// Gives a command to every polling core.
    pub(crate) fn broadcast(&mut self, command: impl Fn() -> Command) {
        for link in &mut self.links {
            link.orders.send(Order::Datapath(command()));
        }
    }

    /// Has every polling core answer upcalls like this from now on. The control core's own ones always
    /// go by its ring.
    pub(crate) fn set_upcalls(&mut self, config: UpcallConfig) {
        for link in &mut self.links {
            link.orders.send(Order::Upcalls(config));
        }
    }

    /// What `core` counts of the upcalls of `port`.
    pub(crate) fn upcall_counters(&self, core: CoreId, port: PortNo) -> Option<&UpcallCounters> {
        self.ports.get(&port)?.get(usize::from(core.0)).map(|counts| &*counts.upcalls)
    }

    /// What became of the upcalls of `port`, over all cores.
    pub fn upcall_stats(&self, port: PortNo) -> UpcallStats {
        let mut sum = UpcallStats::default();
        for counts in self.ports.get(&port).into_iter().flatten() {
            sum.add(&counts.upcalls.read());
        }
        sum
    }

    /// The sums of the law of accounting, over all cores and ports.
    pub fn accounting(&self) -> Accounting {
        let mut sums = Accounting::default();
        for counters in self.core_counters() {
            sums.add_core(counters);
        }
        for &port in self.ports.keys() {
            sums.add_port(&self.port_stats(port));
        }
        sums.add_port(&self.gone);
        sums
    }

    /// What a core has counted since readings began; the control core is the last.
    pub(crate) fn reading(&self, core: usize) -> Option<Reading> {
        let base = self.base.0.get(core).copied().unwrap_or_default();
        Some(self.reading_since_boot(core)?.since(&base))
    }

    /// What a core has counted at all.
    pub(crate) fn reading_since_boot(&self, core: usize) -> Option<Reading> {
        let counters = self.core_counters().nth(core)?;
        let mut ports = PortStats::default();
        for port in self.ports.values() {
            if let Some(of_core) = port.get(core) {
                ports.add(&of_core.frames.read());
            }
        }
        Some(Reading::of(counters, &ports))
    }

    /// Lets readings begin at `now`.
    pub(crate) fn begin_readings(&mut self, now: Nanos) {
        self.core_counters().for_each(|core| core.cycles.longest_gap.set(0));
        let cores = 0..=self.links.len();
        self.base = (cores.filter_map(|core| self.reading_since_boot(core)).collect(), now);
    }

    /// Since when readings count.
    pub(crate) fn readings_since(&self) -> Nanos {
        self.base.1
    }

    /// How many masks a port may have on a core, apart from rounded ones.
    pub(crate) fn mask_limit(&self, core: CoreId, port: PortNo) -> usize {
        let counters = self.ports.get(&port).and_then(|cores| cores.get(usize::from(core.0)));
        counters.map_or(0, |counters| counters.frames.masks.limit())
    }

    /// What the tables of all cores have found since boot.
    pub(crate) fn hits(&self) -> Hits {
        let mut sum = Hits::default();
        for counters in self.core_counters() {
            sum.emc += counters.emc_hits.get();
            sum.smc += counters.smc_hits.get();
            sum.megaflow += counters.megaflow_hits.get();
            sum.probes += counters.hit_probes.get();
            sum.misses += counters.misses.get();
            sum.bursts += counters.rx_batches.get();
        }
        sum
    }

    pub(crate) fn stage_cycles(&self) -> StageCycles {
        let mut sum = StageCycles::default();
        for CoreCounters { cycles, .. } in self.core_counters() {
            sum.measured += cycles.measured.get();
            for (sum, stage) in sum.by_stage.iter_mut().zip(Stage::ALL) {
                *sum += cycles.spent(stage);
            }
        }
        sum
    }

    /// Every core's counters, the control core's last.
    pub(crate) fn core_counters(&self) -> impl Iterator<Item = &CoreCounters> {
        self.links.iter().map(|link| &*link.counters).chain([&*self.own_counters])
    }

    /// Runs a megaflow command on the core that it is for.
    fn command(&mut self, core: CoreId, command: Command) -> Result<(), PutError> {
        let k = usize::from(core.0);
        if k == self.links.len() {
            self.own.apply(command, self.now, &mut self.outlet);
            return Ok(());
        }
        let link = self.links.get_mut(k).ok_or(PutError::NoSuchCore)?;
        // Only installing makes more work than it ends, so only it is refused.
        if matches!(command, Command::FlowPut(_)) && link.orders.n_waiting() >= MAX_WAITING {
            return Err(PutError::QueueFull);
        }
        link.orders.send(Order::Datapath(command));
        Ok(())
    }
}

impl Dpif for RingDpif {
    fn flow_put(&mut self, core: CoreId, flow: Arc<Megaflow>) -> Result<(), PutError> {
        flow.check()?;
        self.command(core, Command::FlowPut(flow))
    }

    fn flow_modify(
        &mut self,
        core: CoreId,
        ufid: Ufid,
        actions: Arc<[DpAction]>,
    ) -> Result<(), PutError> {
        self.command(core, Command::FlowModify(ufid, actions))
    }

    fn flow_delete(&mut self, core: CoreId, ufid: Ufid) -> Result<(), PutError> {
        self.command(core, Command::FlowDelete(ufid))
    }

    fn execute(&mut self, packet: Packet, flow: &Flow, actions: &Arc<[DpAction]>) {
        let execute = Box::new(Execute { packet, flow: *flow, actions: actions.clone() });
        self.own.apply(Command::Execute(execute), self.now, &mut self.outlet);
    }

    fn packet_from(&mut self, frame: &[u8]) -> Option<Packet> {
        let packet = self.outlet.cache().from_bytes(frame)?;
        self.own_counters.originated.add(1);
        Some(packet)
    }

    fn fence(&mut self) -> u64 {
        self.fences += 1;
        let fence = self.fences;
        self.broadcast(|| Command::Fence(fence));
        fence
    }

    fn fence_passed(&self, fence: u64) -> bool {
        self.links.iter().all(|link| link.counters.fence.reached() >= fence)
    }

    fn port_stats(&self, port: PortNo) -> PortStats {
        let mut sum = PortStats::default();
        for counters in self.ports.get(&port).into_iter().flatten() {
            sum.add(&counters.frames.read());
        }
        sum
    }

    fn admit_mask(&self, core: CoreId, port: PortNo, mask: &Mask) -> Mask {
        let of_port = self.ports.get(&port);
        match of_port.and_then(|cores| cores.get(usize::from(core.0))) {
            Some(counters) => counters.frames.masks.admit(mask),
            None => *mask,
        }
    }

    fn configure(&mut self, config: &DatapathConfig) {
        self.config = *config;
        self.broadcast(|| Command::Configure(*config));
        self.own.apply(Command::Configure(*config), self.now, &mut self.outlet);
    }

    fn config(&self) -> DatapathConfig {
        self.config
    }

    fn meters(&self) -> &MeterTable {
        &self.meters
    }
}

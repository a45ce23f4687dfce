//! One core's datapath: what it owns, and how the control core changes it.
//!
//! # Concurrency
//! A `PmdDatapath` is owned by its core and reached only through `&mut`. What the control core may
//! see of it at any time are counters that it shares ([`PortCounters`], [`CoreCounters`], the
//! statistics in each [`Megaflow`]): words with this core as their single writer. What the control
//! core wants changed comes as [`Command`]s, in order, between batches; a fence that was reached
//! tells it that everything before is in force.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use flow::{Field, Flow, Keys, Mask, extract};
use packet::{BATCH, Batch, OffloadSet, Packet, PacketMeta};
use sync::time::Nanos;

use crate::{
    accounting::CoreCounters,
    action::{DpAction, validate},
    census::{Fingerprint, round_up},
    config::DatapathConfig,
    dpif::{Command, Execute},
    drop_reason::DropReason,
    emc::{Emc, EmcConfig},
    execute::Executor,
    ids::{CoreId, PortNo, Ufid},
    input::meta_of,
    mask::SharedMask,
    megaflow::{Fate, Megaflow, PutError},
    meter::MeterTable,
    output::Output,
    port::PortCounters,
    smc::{Smc, SmcEnable},
    stage::Stage,
    table::{Flows, Missed, PortTable, Scope, Slot, TableLimits},
};

/// How often subtables are put in the order of their hits.
const SORT_INTERVAL: Nanos = Nanos::from_secs(1);
/// Ports whose subtables are put in order in one go: some microseconds.
const SORTS_PER_TICK: usize = 4;

/// What a core's datapath is told when it is made.
#[derive(Debug, Clone, Copy)]
pub struct PmdConfig {
    /// Its number.
    pub core: CoreId,
    /// How much it holds.
    pub limits: TableLimits,
    /// Its exact-match cache.
    pub emc: EmcConfig,
    /// Whether it has a signature cache.
    pub smc_enable: SmcEnable,
    /// Secret seed of its hash tables: who does not know it cannot aim at one bucket.
    pub hash_basis: u32,
    /// One in so many hit packets is sampled for the self check; 0 is none.
    pub sample_one_in: u32,
}

/// What is done with one packet.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Program<'a> {
    /// To send it by a port, which is the commonest of programs.
    Forward(PortNo),
    /// These actions.
    Run(&'a [DpAction]),
    /// The actions are not ones that the datapath runs.
    Refused,
}

/// One core's datapath.
#[derive(Debug)]
pub struct PmdDatapath {
    pub(crate) core: CoreId,
    pub(crate) counters: Arc<CoreCounters>,
    pub(crate) ports: Ports,
    pub(crate) emc: Emc,
    pub(crate) smc: Smc,
    pub(crate) flows: Flows,
    pub(crate) meters: Arc<MeterTable>,
    pub(crate) stage: Stage,
    /// The keys of the batch in hand, and how long its packets are.
    pub(crate) keys: Box<Keys>,
    pub(crate) lens: [u32; BATCH],
    pub(crate) hash_basis: u32,
    pub(crate) sampler: Sampler,
    /// Whether cycles are counted by stage.
    pub(crate) is_measured: bool,
    limits: TableLimits,
    /// The actions of an answer that were looked at last.
    validated: Option<Arc<[DpAction]>>,
    /// When the ports' subtables are put in order again, and with which port to go on.
    next_sort: Nanos,
    sort_from: usize,
}

impl PmdDatapath {
    /// A datapath without ports and megaflows, that counts into `counters`, and draws on meters that
    /// it shares with the other cores.
    #[must_use]
    pub fn new(config: PmdConfig, counters: Arc<CoreCounters>, meters: Arc<MeterTable>) -> Self {
        Self {
            core: config.core,
            counters,
            ports: Ports::default(),
            emc: Emc::new(config.emc),
            smc: Smc::new(config.smc_enable),
            flows: Flows::default(),
            meters,
            stage: Stage::new(),
            keys: Box::default(),
            lens: [0; BATCH],
            hash_basis: config.hash_basis,
            sampler: Sampler { one_in: config.sample_one_in, n_left: config.sample_one_in },
            limits: config.limits,
            validated: None,
            is_measured: false,
            next_sort: Nanos::ZERO,
            sort_from: 0,
        }
    }

    /// Does what is due at `now`, a bounded part of it: call it once in a while, it is nearly free.
    pub fn tick(&mut self, now: Nanos) {
        self.smc.make_ready();
        if now < self.next_sort {
            return;
        }
        let due = self.ports.iter_mut().skip(self.sort_from).take(SORTS_PER_TICK);
        let mut n_sorted = 0;
        for Port { counters, table, .. } in due {
            table.sort(&counters.masks);
            n_sorted += 1;
        }
        self.sort_from += n_sorted;
        if n_sorted < SORTS_PER_TICK {
            self.next_sort = now + SORT_INTERVAL;
            self.sort_from = 0;
        }
    }

    /// The mask with which a conclusion that needs `mask` is to be installed here: see
    /// [`crate::Dpif::admit_mask`].
    #[must_use]
    pub fn admit_mask(&self, port: PortNo, mask: &Mask) -> SharedMask {
        let port = self.ports.get(port);
        let newest = |mask: &Mask| {
            let newest = port.and_then(|port| port.table.newest_mask());
            newest.filter(|known| ***known == *mask).cloned()
        };
        if mask.in_port() == u32::MAX
            && mask.recirc_id() == u32::MAX
            && let Some(known) = newest(mask)
        {
            return known;
        }
        let mut mask = *mask;
        mask.set_exact(Field::InPort);
        mask.set_exact(Field::RecircId);
        let Some(Port { table, counters, .. }) = port else {
            return SharedMask::from(mask);
        };
        if let Some(known) = newest(&mask) {
            return known;
        }
        let known = |mask: &Mask, print| match table.known_mask(mask, print) {
            Some(known) => known.clone(),
            None => SharedMask::new(mask, print),
        };
        let print = Fingerprint::of(&mask);
        if counters.masks.claim(print) {
            return known(&mask, print);
        }
        let rounded = round_up(&mask);
        known(&rounded, Fingerprint::of(&rounded))
    }

    /// Obeys the control core.
    pub fn apply(&mut self, command: Command, now: Nanos, out: &mut impl Output) {
        match command {
            Command::AddPort(port, counters) => self.add_port(port, counters),
            Command::RemovePort(port) => self.remove_port(port),
            Command::SetLink { port, has_link, offloads } => {
                self.set_link(port, has_link, offloads);
            }
            Command::Plug { port, peer } => self.plug(port, peer),
            // The megaflow's fate tells who asked.
            Command::FlowPut(megaflow) => drop(self.put(megaflow)),
            Command::FlowModify(ufid, actions) => self.modify(ufid, actions),
            Command::FlowDelete(ufid) => self.delete(ufid),
            Command::FlowFlush => self.flush(),
            Command::Execute(execute) => self.execute(*execute, now, out),
            Command::SetSampling(one_in) => self.sampler = Sampler { one_in, n_left: one_in },
            Command::Configure(config) => self.configure(&config),
            Command::Fence(number) => self.counters.fence.reach(number),
        }
    }

    /// From now on there is this port. Its megaflows stay if it was there before.
    pub fn add_port(&mut self, port: PortNo, counters: Arc<PortCounters>) {
        counters.masks.set_limit(self.limits.masks_per_port);
        if !self.ports.add(port, counters) {
            self.counters.stale_commands.add(1);
        }
    }

    /// The port and its megaflows go; outputs to it are drops from now on.
    pub fn remove_port(&mut self, port: PortNo) {
        let removed = self.ports.remove(port);
        self.count_stale(removed.is_some());
        if let Some(mut removed) = removed {
            removed.table.clear(&mut self.flows, &removed.counters.masks);
        }
    }

    /// From now on the port has a link, or has none, and its device does this much.
    fn set_link(&mut self, port: PortNo, has_link: bool, offloads: OffloadSet) {
        let known = self.ports.get_mut(port);
        let known = known.map(|known| (known.has_link, known.offloads) = (has_link, offloads));
        let is_known = known.is_some();
        self.count_stale(is_known);
    }

    /// From now on the port is one end of a cable.
    fn plug(&mut self, port: PortNo, peer: PortNo) {
        let known = self.ports.get_mut(port);
        let is_known =
            known.map(|known| (known.has_link, known.peer) = (false, Some(peer))).is_some();
        self.count_stale(is_known);
    }

    /// Installs a megaflow, or replaces the one with the same masked key and mask.
    ///
    /// # Errors
    /// Why not; the megaflow's [`Fate`] says so too.
    pub fn put(&mut self, megaflow: Arc<Megaflow>) -> Result<(), PutError> {
        match megaflow.check() {
            Ok(()) => self.put_checked(megaflow, None),
            Err(why) => self.refuse((why, megaflow)),
        }
    }

    /// As [`put`](Self::put), of what a translation on this core has made for a flow that has just `missed`.
    /// Translations that follow one another share their actions: those that were looked at last are not
    /// looked at again.
    pub(crate) fn put_answer(
        &mut self,
        megaflow: Arc<Megaflow>,
        missed: Option<(&Flow, Missed)>,
    ) -> Result<(), PutError> {
        let known = self.validated.as_ref();
        if !known.is_some_and(|known| Arc::ptr_eq(known, &megaflow.actions)) {
            if let Err(why) = megaflow.check() {
                return self.refuse((why, megaflow));
            }
            self.validated = Some(Arc::clone(&megaflow.actions));
        }
        debug_assert!(megaflow.key.is_within(&megaflow.mask), "it was made here");
        self.put_checked(megaflow, missed)
    }

    fn put_checked(
        &mut self,
        megaflow: Arc<Megaflow>,
        missed: Option<(&Flow, Missed)>,
    ) -> Result<(), PutError> {
        match self.place(megaflow, missed) {
            Ok(()) => {
                self.emc.make_ready();
                self.smc.make_ready();
                Ok(())
            }
            Err(refused) => self.refuse(refused),
        }
    }

    /// Says that a megaflow is not installed, and why.
    #[cold]
    fn refuse(&self, (why, megaflow): (PutError, Arc<Megaflow>)) -> Result<(), PutError> {
        megaflow.stats.set_fate(Fate::Refused);
        self.counters.puts_refused.add(1);
        Err(why)
    }

    fn place(
        &mut self,
        megaflow: Arc<Megaflow>,
        missed: Option<(&Flow, Missed)>,
    ) -> Result<(), (PutError, Arc<Megaflow>)> {
        let number = megaflow.in_port();
        if !self.ports.contains(number) {
            return Err((PutError::NoSuchPort, megaflow));
        }
        // A name that was given to keys of two ports is the later one's.
        let mut named = self.flows.find(megaflow.ufid);
        if let Some(slot) = named
            && self.flows.get(slot).is_some_and(|other| other.at().port != number)
        {
            self.remove(slot);
            named = None;
        }
        let Some((table, scope)) = self.ports.table(number, self.hash_basis) else {
            return Err((PutError::NoSuchPort, megaflow));
        };
        table.put(&mut self.flows, megaflow, named, missed, self.limits, &scope)
    }

    fn configure(&mut self, config: &DatapathConfig) {
        self.limits = config.limits();
        for port in self.ports.iter_mut() {
            port.counters.masks.set_limit(self.limits.masks_per_port);
        }
        self.emc.set_insert_inv_prob(config.emc_insert_inv_prob);
        self.smc.turn(config.smc_enable);
        self.is_measured = config.pmd_perf_metrics;
        if self.flows.len() > 0 {
            self.emc.make_ready();
            self.smc.make_ready();
        }
    }

    /// Runs a program on a packet that the control core sends: with the metadata of its flow, and
    /// for the account of its ingress port.
    pub fn execute(&mut self, execute: Execute, now: Nanos, out: &mut impl Output) {
        let Execute { mut packet, flow, actions } = execute;
        *packet.meta_mut() = PacketMeta {
            in_port: flow.in_port(),
            recirc_id: flow.recirc_id(),
            dp_hash: flow.dp_hash(),
            pkt_mark: flow.pkt_mark(),
            skb_priority: flow.skb_priority(),
            ..*packet.meta()
        };
        let port = PortNo(flow.in_port());
        let offsets = extract(packet.data(), &meta_of(&packet)).offsets;
        packet.set_offsets(offsets);
        let program = match validate(&actions) {
            Ok(()) => Program::Run(&actions),
            Err(_) => Program::Refused,
        };
        self.run_alone(packet, port, program, now, out);
    }

    /// Runs a program on a packet that has its metadata and offsets, for the account of `port`.
    pub(crate) fn run_alone(
        &mut self,
        packet: Packet,
        port: PortNo,
        program: Program<'_>,
        now: Nanos,
        out: &mut impl Output,
    ) {
        let mut group = Batch::new();
        let is_finished = packet.offload().is_none();
        // Room for 32.
        let _ = group.push(packet);
        let mut executor = Executor {
            core: self.core,
            port,
            depth: 0,
            is_finished,
            ports: &self.ports,
            port_counters: self.ports.counters(port).unwrap_or(&self.counters.stray),
            counters: &self.counters,
            meters: &self.meters,
            now,
            stage: &mut self.stage,
            out,
        };
        match program {
            Program::Forward(to) => executor.output(&mut group, true, to, usize::MAX),
            Program::Run(actions) => executor.run(&mut group, actions),
            Program::Refused => executor.drop_all(&mut group, DropReason::TranslationError),
        }
        self.recirculate(now, out);
    }

    /// The megaflows in force, in no particular order.
    pub fn megaflows(&self) -> impl Iterator<Item = (&Megaflow, &[DpAction])> {
        self.flows.iter().map(|installed| (&*installed.megaflow, &**installed.actions()))
    }

    /// How many megaflows are in force.
    #[must_use]
    pub fn n_megaflows(&self) -> usize {
        self.flows.len()
    }

    /// How many subtables the port has, each tried by a miss.
    #[must_use]
    pub fn n_masks(&self, port: PortNo) -> usize {
        self.ports.get(port).map_or(0, |port| port.table.masks().count())
    }

    /// Whether cycles are to be counted by stage (`pmd-perf-metrics`).
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.is_measured
    }

    /// Bytes of memory that the megaflow tables have, without the megaflows themselves, which are
    /// shared with the control core.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        let ports: usize = self.ports.iter().map(|port| port.table.n_bytes()).sum();
        ports + self.flows.n_bytes()
    }

    /// This core's counters.
    #[must_use]
    pub fn counters(&self) -> &Arc<CoreCounters> {
        &self.counters
    }

    /// Actions that the datapath does not run end the megaflow: what it does now is out of date,
    /// and without it its packets are upcalls, which is right.
    fn modify(&mut self, ufid: Ufid, actions: Arc<[DpAction]>) {
        if validate(&actions).is_err() {
            self.counters.puts_refused.add(1);
            return self.delete(ufid);
        }
        let is_known = self.flows.modify(ufid, actions);
        self.count_stale(is_known);
    }

    fn delete(&mut self, ufid: Ufid) {
        let slot = self.flows.find(ufid);
        self.count_stale(slot.is_some());
        if let Some(slot) = slot {
            self.remove(slot);
        }
    }

    fn remove(&mut self, slot: Slot) {
        let Some(installed) = self.flows.get(slot) else { return };
        if let Some((table, scope)) = self.ports.table(installed.at().port, self.hash_basis) {
            table.remove(&mut self.flows, slot, &scope);
        }
    }

    fn flush(&mut self) {
        for port in self.ports.iter_mut() {
            port.table.clear(&mut self.flows, &port.counters.masks);
        }
    }

    fn count_stale(&self, is_known: bool) {
        if !is_known {
            self.counters.stale_commands.add(1);
        }
    }
}

/// Picks one in so many.
#[derive(Debug)]
pub(crate) struct Sampler {
    one_in: u32,
    n_left: u32,
}

impl Sampler {
    /// Whether a group of `n` packets has one to be picked.
    #[inline]
    pub(crate) fn picks(&mut self, n: u64) -> bool {
        if self.one_in == 0 {
            return false;
        }
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        if n < self.n_left {
            self.n_left -= n;
            return false;
        }
        self.n_left = self.one_in;
        true
    }
}

/// The ports that exist, by number.
#[derive(Debug, Default)]
pub(crate) struct Ports(Vec<Option<Port>>);

/// One port, as this core sees it.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) counters: Arc<PortCounters>,
    /// Whether what leaves by it arrives somewhere outside.
    pub(crate) has_link: bool,
    /// What its device does for packets that are not finished.
    pub(crate) offloads: OffloadSet,
    /// The other end, where it is one end of a cable; such a port has no link.
    pub(crate) peer: Option<PortNo>,
    /// Megaflows of packets that come from it.
    pub(crate) table: PortTable,
}

impl Ports {
    #[inline]
    pub(crate) fn contains(&self, port: PortNo) -> bool {
        self.get(port).is_some()
    }

    #[inline]
    pub(crate) fn counters(&self, port: PortNo) -> Option<&PortCounters> {
        self.get(port).map(|port| &*port.counters)
    }

    #[inline]
    pub(crate) fn get(&self, port: PortNo) -> Option<&Port> {
        self.0.get(port.0 as usize)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, port: PortNo) -> Option<&mut Port> {
        self.0.get_mut(port.0 as usize)?.as_mut()
    }

    /// The table of a port, and what it shares.
    pub(crate) fn table(
        &mut self,
        port: PortNo,
        basis: u32,
    ) -> Option<(&mut PortTable, Scope<'_>)> {
        let Port { counters, table, .. } = self.get_mut(port)?;
        Some((table, Scope { port, census: &counters.masks, basis }))
    }

    fn iter(&self) -> impl Iterator<Item = &Port> {
        self.0.iter().flatten()
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Port> {
        self.0.iter_mut().flatten()
    }

    /// `false` if the number is too large for a port.
    fn add(&mut self, port: PortNo, counters: Arc<PortCounters>) -> bool {
        if port > PortNo::MAX {
            return false;
        }
        let index = port.0 as usize;
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        if let Some(place) = self.0.get_mut(index) {
            let table = place.take().map(|old| old.table).unwrap_or_default();
            let offloads = OffloadSet::NONE;
            *place = Some(Port { counters, has_link: true, offloads, peer: None, table });
        }
        true
    }

    fn remove(&mut self, port: PortNo) -> Option<Port> {
        self.0.get_mut(port.0 as usize)?.take()
    }
}

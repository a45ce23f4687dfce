//! The life of a packet in one core's datapath, in one page.
//!
//! ```text
//! batch of a port -> count -> extract -> exact match -> signature -> megaflow of the port
//!                                ^                          |            |
//!                                |                         hit          miss
//!                                |                          v            v
//!                                +--- recirculated <-- credit, actions  upcall: by ring, or
//!                                                           |           answered here after
//!                                                           v           the burst
//!                                                         Output
//! ```
//!
//! Each stage handles the whole batch before the next one begins, so that its code and tables are
//! warm. The packets that hit the same megaflow form a *group* and run its actions together. What a
//! program recirculates waits in a stage of bounded size and makes further batches, each one
//! deeper, until nothing is left or [`MAX_DEPTH`] ends it.
//!
//! A packet that enters leaves by exactly one of: [`Output::transmit`], [`Output::upcall`], a
//! counted drop. See [`crate::accounting`].

use flow::{Extracted, FlowMeta};
use packet::{BATCH, Batch, Packet, PacketMeta};
use sync::time::Nanos;

use crate::{
    drop_reason::DropReason,
    execute::{Executor, Group, Live},
    ids::PortNo,
    output::Output,
    perf::{Stage, Stopwatch},
    pmd::PmdDatapath,
    probe::{Probe, Probes},
    table::{Hit, Hits, Slot},
    upcall::{CHECK_FRAME_BYTES, Check, Upcall, UpcallReason},
};

/// How often one packet is looked up again, at most.
pub const MAX_DEPTH: u8 = 8;

impl PmdDatapath {
    /// Forwards the packets that came in on `port`. Leaves `batch` empty.
    pub fn input(&mut self, port: PortNo, batch: &mut Batch, now: Nanos, out: &mut impl Output) {
        let n_bytes = batch.iter().map(Packet::len).sum::<usize>();
        self.counters.rx_batches.add(u64::from(!batch.is_empty()));
        let counters = self.ports.counters(port).unwrap_or(&self.counters.stray);
        counters.received(batch.len() as u64, n_bytes as u64);
        if !self.ports.contains(port) {
            counters.dropped(DropReason::RxNoSuchPort, batch.len() as u64);
            batch.drain(..).for_each(|packet| out.cache().free(packet));
            return;
        }
        for packet in batch.iter_mut() {
            *packet.meta_mut() = PacketMeta { in_port: port.0, ..PacketMeta::default() };
        }
        self.pass(port, batch, 0, now, out);
        self.recirculate(now, out);
    }

    /// Passes on what programs have recirculated, and what that recirculates, until nothing is
    /// left.
    pub(crate) fn recirculate(&mut self, now: Nanos, out: &mut impl Output) {
        let mut batch = Batch::new();
        while let Some((port, depth)) = self.stage.take_batch(&mut batch) {
            self.counters.recirculated.add(batch.len() as u64);
            self.pass(port, &mut batch, depth, now, out);
        }
    }

    /// Takes one batch of one port and depth through extract, lookup, actions and upcalls. Leaves
    /// `batch` empty.
    fn pass(
        &mut self,
        port: PortNo,
        batch: &mut Batch,
        depth: u8,
        now: Nanos,
        out: &mut impl Output,
    ) {
        let mut watch = Stopwatch::start(self.is_measured, || out.cycles());
        self.extract_all(batch);
        watch.lap(Stage::Extract, &self.counters.cycles, || out.cycles());
        let hits = self.lookup_all(port, &mut watch, out);
        let mut waiting = Waiting::new();
        waiting.extend(batch.drain(..).map(Some));
        self.run_groups(port, depth, &mut waiting, &hits, now, out);
        watch.lap(Stage::Actions, &self.counters.cycles, || out.cycles());
        self.upcall_misses(port, &mut waiting, out);
        watch.lap(Stage::Upcall, &self.counters.cycles, || out.cycles());
        if self.is_measured {
            self.counters.cycles.measured.add(self.keys.len() as u64);
        }
    }

    /// Extracts every packet of `batch` into `self.keys`, in the same order.
    fn extract_all(&mut self, batch: &Batch) {
        self.keys.resize(batch.len(), Extracted::EMPTY);
        for (key, packet) in self.keys.iter_mut().zip(batch) {
            key.refill(packet.data(), &meta_of(packet));
        }
    }

    /// Finds the megaflows of all keys: in the exact-match cache, what it does not know in the signature
    /// cache, and the rest in the port's table.
    fn lookup_all(&mut self, number: PortNo, watch: &mut Stopwatch, out: &impl Output) -> Hits {
        let mut hits = [None; BATCH];
        let Self { emc, smc, keys, flows, counters, .. } = self;
        let cycles = || out.cycles();
        let (asks_emc, asks_smc) = (emc.asks(keys.len() as u64, counters), smc.is_ready());
        let probes = match asks_emc || asks_smc {
            true => Probe::all(keys, self.hash_basis),
            false => Probes::new(),
        };
        if asks_emc {
            emc.lookup(&probes, keys, flows, &mut hits, counters);
        }
        watch.lap(Stage::Emc, &counters.cycles, cycles);
        let Some(port) = self.ports.get_mut(number) else { return hits };
        if asks_smc {
            smc.lookup(&probes, keys, (number, &port.table), flows, &mut hits, counters);
            watch.lap(Stage::Smc, &counters.cycles, cycles);
        }
        let known = hits;
        let n_probes = port.table.lookup(keys, self.hash_basis, &mut hits);
        counters.subtable_probes.add(n_probes);
        let found = hits.iter().zip(known).filter(|(hit, known)| *hit != known);
        let (mut n_found, mut n_hit_probes) = (0, 0);
        for Hit { slot, n_probes } in found.filter_map(|(hit, _)| *hit) {
            flows.prefetch(slot);
            n_found += 1;
            n_hit_probes += u64::from(n_probes);
        }
        counters.megaflow_hits.add(n_found);
        counters.hit_probes.add(n_hit_probes);
        watch.lap(Stage::Megaflow, &counters.cycles, cycles);
        if asks_smc && n_found > 0 {
            for ((probe, hit), known) in probes.iter().zip(hits).zip(known) {
                if let (Some(hit), None) = (hit, known) {
                    smc.insert(probe, hit.slot, counters);
                }
            }
            watch.lap(Stage::Smc, &counters.cycles, cycles);
        }
        if asks_emc {
            emc.insert_found(&probes, keys, flows, &hits, counters);
            watch.lap(Stage::Emc, &counters.cycles, cycles);
        }
        hits
    }

    /// Runs the actions of each megaflow that was hit, once for all packets that hit it.
    fn run_groups(
        &mut self,
        port: PortNo,
        depth: u8,
        waiting: &mut Waiting,
        hits: &Hits,
        now: Nanos,
        out: &mut impl Output,
    ) {
        let mut executor = Executor {
            core: self.core,
            port,
            depth,
            ports: &self.ports,
            port_counters: self.ports.counters(port).unwrap_or(&self.counters.stray),
            counters: &self.counters,
            meters: &self.meters,
            now,
            stage: &mut self.stage,
            out,
        };
        let mut group = Group::new();
        let mut n_hits = 0;
        for (first, hit) in hits.iter().enumerate() {
            let Some(Hit { slot, .. }) = *hit else { continue };
            let Some(installed) = self.flows.get(slot) else {
                continue;
            };
            let totals = take_group(slot, first, hits, waiting, &self.keys, &mut group);
            if group.is_empty() {
                // An earlier packet's group took it along.
                continue;
            }
            let n_packets = group.len() as u64;
            installed.stats.credit(n_packets, totals.n_bytes, now, totals.tcp_flags);
            n_hits += n_packets;
            if self.sampler.picks(group.len())
                && let (Some(key), Some(live)) = (self.keys.get(first), group.first())
            {
                // The first of the group is the packet of `key`. A copy for one of many.
                let data = live.packet.data();
                let frame = data.get(..CHECK_FRAME_BYTES).unwrap_or(data).into();
                let (flow, ufid) = (key.flow, installed.megaflow.ufid);
                if !executor.out.check(Check { flow, ufid, core: self.core, frame }) {
                    self.counters.checks_lost.add(1);
                }
            }
            executor.run(&mut group, &installed.actions);
        }
        self.counters.hits.add(n_hits);
    }

    /// Sends up every packet that no megaflow took.
    fn upcall_misses(&mut self, port: PortNo, waiting: &mut Waiting, out: &mut impl Output) {
        for (packet, key) in waiting.iter_mut().zip(&self.keys) {
            let Some(packet) = packet.take() else {
                continue;
            };
            self.counters.misses.add(1);
            let reason = UpcallReason::Miss;
            match out.upcall(Upcall { packet, flow: key.flow, core: self.core, port, reason }) {
                Ok(()) => self.counters.upcalls.add(1),
                Err((upcall, reason)) => {
                    let counters = self.ports.counters(port).unwrap_or(&self.counters.stray);
                    counters.dropped(reason, 1);
                    out.cache().free(upcall.packet);
                }
            }
        }
    }
}

/// The packets of a batch, each until a stage takes it.
type Waiting = heapless::Vec<Option<Packet>, BATCH>;

/// What a group counts for.
#[derive(Default)]
struct Totals {
    n_bytes: u64,
    tcp_flags: u16,
}

/// Moves all packets that hit `slot`, from `first` on, into `group`, in their order.
fn take_group(
    slot: Slot,
    first: usize,
    hits: &Hits,
    waiting: &mut Waiting,
    keys: &[Extracted],
    group: &mut Group,
) -> Totals {
    let mut totals = Totals::default();
    for ((hit, place), key) in hits.iter().zip(waiting.iter_mut()).zip(keys).skip(first) {
        if hit.is_none_or(|hit| hit.slot != slot) {
            continue;
        }
        let Some(packet) = place.take() else { continue };
        totals.n_bytes += packet.len() as u64;
        totals.tcp_flags |= key.flow.tcp_flags();
        // As many places as packets in a batch.
        let _ = group.push(Live { packet, offsets: key.offsets });
    }
    totals
}

/// What a packet carries that belongs in its flow.
pub(crate) fn meta_of(packet: &Packet) -> FlowMeta {
    let meta = packet.meta();
    FlowMeta {
        in_port: meta.in_port,
        recirc_id: meta.recirc_id,
        dp_hash: meta.dp_hash,
        pkt_mark: meta.pkt_mark,
        skb_priority: meta.skb_priority,
        ..FlowMeta::default()
    }
}

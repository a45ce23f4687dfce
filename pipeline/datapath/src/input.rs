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
    execute::Executor,
    ids::PortNo,
    output::Output,
    perf::{Stage, Stopwatch},
    pmd::PmdDatapath,
    probe::{Probe, Probes},
    table::{Hits, Packets},
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
        let mut misses = self.run_groups(port, depth, batch, &hits, now, out);
        watch.lap(Stage::Actions, &self.counters.cycles, || out.cycles());
        self.upcall_misses(port, &mut misses, out);
        watch.lap(Stage::Upcall, &self.counters.cycles, || out.cycles());
        if self.is_measured {
            self.counters.cycles.measured.add(self.keys.len() as u64);
        }
    }

    /// Extracts every packet of `batch` into `self.keys`, in the same order.
    fn extract_all(&mut self, batch: &mut Batch) {
        self.keys.resize(batch.len(), Extracted::EMPTY);
        for (key, packet) in self.keys.iter_mut().zip(batch) {
            key.refill(packet.data(), &meta_of(packet));
            packet.set_offsets(key.offsets);
        }
    }

    /// Finds the megaflows of all keys: in the exact-match cache, what it does not know in the signature
    /// cache, and the rest in the port's table.
    fn lookup_all(&mut self, number: PortNo, watch: &mut Stopwatch, out: &impl Output) -> Hits {
        let mut hits = Hits::new(self.keys.len());
        let Self { emc, smc, keys, flows, counters, .. } = self;
        let cycles = || out.cycles();
        let (asks_emc, asks_smc) =
            (emc.asks(keys.len() as u64, counters), smc.asks(keys.len() as u64));
        let probes = match asks_emc || asks_smc {
            true => Probe::all(keys, self.hash_basis),
            false => Probes::new(),
        };
        if asks_emc {
            emc.lookup(&probes, keys, flows, &mut hits, counters);
        }
        watch.lap(Stage::Emc, &counters.cycles, cycles);
        let Some(port) = self.ports.get_mut(number) else { return hits };
        let unknown_to_emc = hits.missing();
        if asks_smc {
            smc.lookup(&probes, keys, (number, &port.table), flows, &mut hits, counters);
            watch.lap(Stage::Smc, &counters.cycles, cycles);
        }
        let unknown = hits.missing();
        if !unknown.is_empty() {
            let probed = port.table.lookup(keys, self.hash_basis, &mut hits);
            counters.subtable_probes.add(probed.n_probes);
            counters.hit_probes.add(probed.n_hit_probes);
            if !asks_smc {
                smc.consider(unknown.len(), probed.cost);
            }
        }
        let found = unknown.without(hits.missing());
        let mut last = None;
        for packet in found {
            let slot = hits.slot(packet);
            if last != Some(slot) {
                flows.prefetch(slot);
                last = Some(slot);
            }
        }
        counters.megaflow_hits.add(found.len());
        watch.lap(Stage::Megaflow, &counters.cycles, cycles);
        if asks_smc && !found.is_empty() {
            for packet in found {
                if let Some(probe) = probes.get(packet) {
                    smc.insert(probe, hits.slot(packet), counters);
                }
            }
            watch.lap(Stage::Smc, &counters.cycles, cycles);
        }
        if asks_emc {
            let found = unknown_to_emc.without(hits.missing());
            emc.insert_found(&probes, keys, flows, (found, &hits), counters);
            watch.lap(Stage::Emc, &counters.cycles, cycles);
        }
        hits
    }

    /// Runs the actions of each megaflow that was hit, once for all packets that hit it. What is left
    /// has no megaflow.
    fn run_groups(
        &mut self,
        port: PortNo,
        depth: u8,
        batch: &mut Batch,
        hits: &Hits,
        now: Nanos,
        out: &mut impl Output,
    ) -> Waiting {
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
        let all = Packets::first_of(batch.len());
        let mut left = all.without(hits.missing());
        let mut waiting = Waiting::new();
        let mut part = Batch::new();
        let mut n_hits = 0;
        while let Some(first) = left.next() {
            let slot = hits.slot(first);
            let members = hits.of_slot(slot);
            left = left.without(members);
            let Some(installed) = self.flows.get(slot) else { continue };
            let or = |flags, key: &Extracted| flags | key.flow.tcp_flags();
            // Usually all packets of a burst go the same way, and nothing has to be moved.
            let (group, tcp_flags) = if members == all {
                (&mut *batch, self.keys.iter().fold(0, or))
            } else {
                if waiting.is_empty() {
                    waiting.extend(batch.drain(..).map(Some));
                }
                take_group(members, &mut waiting, &mut part);
                let keys = members.filter_map(|packet| self.keys.get(packet));
                (&mut part, keys.fold(0, or))
            };
            let n_bytes = group.iter().map(|packet| packet.len() as u64).sum();
            installed.stats.credit(members.len(), n_bytes, now, tcp_flags);
            n_hits += members.len();
            if self.sampler.picks(group.len())
                && let (Some(key), Some(packet)) = (self.keys.get(first), group.first())
            {
                // The first of the group is the packet of `key`. A copy for one of many.
                if executor.out.has_room_for_check() {
                    let data = packet.data();
                    let frame = data.get(..CHECK_FRAME_BYTES).unwrap_or(data);
                    let packet = executor.out.cache().from_bytes(frame);
                    let (flow, ufid) = (key.flow, installed.megaflow.ufid);
                    executor.out.check(Check { flow, ufid, core: self.core, packet });
                } else {
                    self.counters.checks_lost.add(1);
                }
            }
            match installed.forwards_to {
                Some(port) => executor.output(group, true, port, usize::MAX),
                None => executor.run(group, &installed.actions),
            }
        }
        self.counters.hits.add(n_hits);
        if !batch.is_empty() {
            waiting.extend(batch.drain(..).map(Some));
        }
        waiting
    }

    /// Sends up every packet that no megaflow took.
    fn upcall_misses(&mut self, port: PortNo, waiting: &mut Waiting, out: &mut impl Output) {
        for (packet, key) in waiting.iter_mut().zip(&self.keys) {
            let Some(packet) = packet.take() else {
                continue;
            };
            self.counters.misses.add(1);
            let taken = match out.refuses(port, &key.flow) {
                Some(reason) => Err((packet, reason)),
                None => {
                    let reason = UpcallReason::Miss;
                    let upcall = Upcall { packet, flow: key.flow, core: self.core, port, reason };
                    out.upcall(upcall).map_err(|(upcall, reason)| (upcall.packet, reason))
                }
            };
            match taken {
                Ok(()) => self.counters.upcalls.add(1),
                Err((packet, reason)) => {
                    let counters = self.ports.counters(port).unwrap_or(&self.counters.stray);
                    counters.dropped(reason, 1);
                    out.cache().free(packet);
                }
            }
        }
    }
}

/// The packets of a batch, each until a stage takes it.
type Waiting = heapless::Vec<Option<Packet>, BATCH>;

/// Moves packets into `group`, which is empty, in their order.
fn take_group(members: Packets, waiting: &mut Waiting, group: &mut Batch) {
    for packet in members {
        if let Some(packet) = waiting.get_mut(packet).and_then(Option::take) {
            // As many places as packets in a batch.
            let _ = group.push(packet);
        }
    }
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

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

use flow::{FlowMeta, Keys};
use packet::{BATCH, Batch, Offload, Packet, PacketMeta};
use sync::time::Nanos;

use crate::{
    drop_reason::DropReason,
    execute::Executor,
    ids::PortNo,
    output::Output,
    perf::{Stage, Stopwatch},
    pmd::PmdDatapath,
    probe::{Probe, Probes},
    table::{Hits, Packets, Slot},
    upcall::{CHECK_FRAME_BYTES, Check, Upcall, UpcallReason},
};

/// How often one packet is looked up again, at most.
pub const MAX_DEPTH: u8 = 8;

impl PmdDatapath {
    /// Forwards the packets that came in on `port`. Leaves `batch` empty.
    pub fn input(&mut self, port: PortNo, batch: &mut Batch, now: Nanos, out: &mut impl Output) {
        self.counters.rx_batches.add(u64::from(!batch.is_empty()));
        if !self.ports.contains(port) {
            return self.drop_stray(batch, out);
        }
        self.pass(port, batch, Entry::Fresh, now, out);
        self.recirculate(now, out);
    }

    /// Drops what came in by a port that does not exist.
    #[cold]
    fn drop_stray(&mut self, batch: &mut Batch, out: &mut impl Output) {
        let (n, n_bytes) =
            (batch.len() as u64, batch.iter().map(|packet| packet.len() as u64).sum());
        self.counters.stray.received(n, n_bytes);
        self.counters.stray.dropped(DropReason::RxNoSuchPort, n);
        batch.drain(..).for_each(|packet| out.cache().free(packet));
    }

    /// Passes on what programs have recirculated, and what that recirculates, until nothing is
    /// left.
    pub(crate) fn recirculate(&mut self, now: Nanos, out: &mut impl Output) {
        let mut batch = Batch::new();
        while let Some((port, depth)) = self.stage.take_batch(&mut batch) {
            self.counters.recirculated.add(batch.len() as u64);
            self.pass(port, &mut batch, Entry::Again(depth), now, out);
        }
    }

    /// Takes one batch of one port, which exists, and depth through extract, lookup, actions and upcalls.
    /// Leaves `batch` empty.
    fn pass(
        &mut self,
        port: PortNo,
        batch: &mut Batch,
        entry: Entry,
        now: Nanos,
        out: &mut impl Output,
    ) {
        let mut watch = Stopwatch::start(self.is_measured, || out.cycles());
        let is_finished = are_finished(batch);
        let (depth, n_bytes) = match entry {
            Entry::Fresh => (0, self.extract_fresh(port, batch)),
            Entry::Again(depth) => (depth, self.extract_again(batch)),
        };
        watch.lap(Stage::Extract, &self.counters.cycles, || out.cycles());
        let hits = self.lookup_all(port, &mut watch, out);
        let mut misses =
            self.run_groups(port, depth, (batch, n_bytes, is_finished), &hits, now, out);
        watch.lap(Stage::Actions, &self.counters.cycles, || out.cycles());
        self.upcall_misses(port, &mut misses, out);
        watch.lap(Stage::Upcall, &self.counters.cycles, || out.cycles());
        if self.is_measured {
            self.counters.cycles.measured.add(self.keys.len() as u64);
        }
    }

    /// Counts and extracts packets that come from a device: all that is known of them is their port.
    /// Gives their bytes.
    #[inline(never)]
    fn extract_fresh(&mut self, port: PortNo, batch: &mut Batch) -> u64 {
        let (fresh, meta) =
            (PacketMeta { in_port: port.0, ..PacketMeta::default() }, FlowMeta::of_port(port.0));
        self.keys.begin(batch.len());
        let mut n_bytes = 0;
        for (k, (len, packet)) in self.lens.iter_mut().zip(batch.iter_mut()).enumerate() {
            *packet.meta_mut() = fresh;
            *len = extract(&mut self.keys, k, packet, &meta);
            n_bytes += u64::from(*len);
        }
        let counters = self.ports.counters(port).unwrap_or(&self.counters.stray);
        counters.received(batch.len() as u64, n_bytes);
        n_bytes
    }

    /// Extracts packets of which more is known; gives their bytes.
    #[inline(never)]
    fn extract_again(&mut self, batch: &mut Batch) -> u64 {
        self.keys.begin(batch.len());
        let mut n_bytes = 0;
        for (k, (len, packet)) in self.lens.iter_mut().zip(batch).enumerate() {
            let meta = meta_of(packet);
            *len = extract(&mut self.keys, k, packet, &meta);
            n_bytes += u64::from(*len);
        }
        n_bytes
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
        if let Some(first) = found.first() {
            let of_first = hits.of_slot(hits.slot(first));
            flows.prefetch(hits.slot(first));
            found.without(of_first).for_each(|packet| flows.prefetch(hits.slot(packet)));
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

    /// Credits each megaflow that was hit, and runs its actions once for all packets that hit it. What is
    /// left has no megaflow.
    fn run_groups(
        &mut self,
        port: PortNo,
        depth: u8,
        (batch, n_bytes, is_finished): (&mut Batch, u64, bool),
        hits: &Hits,
        now: Nanos,
        out: &mut impl Output,
    ) -> Waiting {
        let mut executor = Executor {
            core: self.core,
            port,
            depth,
            is_finished,
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
        let mut groups = heapless::Vec::<(Slot, Packets), BATCH>::new();
        let mut taken = Packets::first_of(0);
        // By which port all leave, if all only leave.
        let mut way = None;
        while let Some(first) = left.next() {
            let slot = hits.slot(first);
            let members = hits.of_slot(slot);
            left = left.without(members);
            let Some(installed) = self.flows.get(slot) else { continue };
            let n_bytes = match members == all {
                true => n_bytes,
                false => members.filter_map(|k| self.lens.get(k)).map(|len| u64::from(*len)).sum(),
            };
            let tcp_flags = self.keys.tcp_flags(members);
            installed.megaflow.stats.credit(members.len(), n_bytes, now, tcp_flags);
            if self.sampler.picks(members.len())
                && let Some(packet) = batch.get(first)
            {
                // A copy for one of many.
                if executor.out.has_room_for_check() {
                    let data = packet.data();
                    let frame = data.get(..CHECK_FRAME_BYTES).unwrap_or(data);
                    let packet = executor.out.cache().from_bytes(frame);
                    let (flow, ufid) = (self.keys.flow(first), installed.megaflow.ufid);
                    executor.out.check(Check { flow, ufid, core: self.core, packet });
                } else {
                    self.counters.checks_lost.add(1);
                }
            }
            way = installed.forwards_to.filter(|to| groups.is_empty() || way == Some(*to));
            taken = taken.or(members);
            // As many places as packets.
            let _ = groups.push((slot, members));
        }
        self.counters.hits.add(taken.len());
        let mut waiting = Waiting::new();
        // Usually all packets of a burst go the same way, and nothing has to be moved.
        if taken == all {
            match (way, groups.as_slice()) {
                (Some(port), _) => {
                    executor.output(batch, true, port, usize::MAX);
                    return waiting;
                }
                (None, [(slot, _)]) => {
                    if let Some(installed) = self.flows.get(*slot) {
                        executor.run(batch, installed.actions());
                    }
                    return waiting;
                }
                _ => {}
            }
        }
        waiting.extend(batch.drain(..).map(Some));
        let mut part = Batch::new();
        for (slot, members) in groups {
            let Some(installed) = self.flows.get(slot) else { continue };
            take_group(members, &mut waiting, &mut part);
            match installed.forwards_to {
                Some(port) => executor.output(&mut part, true, port, usize::MAX),
                None => executor.run(&mut part, installed.actions()),
            }
        }
        waiting
    }

    /// Sends up every packet that no megaflow took.
    fn upcall_misses(&mut self, port: PortNo, waiting: &mut Waiting, out: &mut impl Output) {
        for (k, packet) in waiting.iter_mut().enumerate() {
            let Some(packet) = packet.take() else {
                continue;
            };
            self.counters.misses.add(1);
            let flow = self.keys.flow(k);
            let taken = match out.refuses(port, &flow) {
                Some(reason) => Err((packet, reason)),
                None => {
                    let reason = UpcallReason::Miss;
                    let upcall = Upcall { packet, flow, core: self.core, port, reason };
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

/// Extracts a packet's key, and where its layers begin; gives its length.
#[inline(always)]
fn extract(keys: &mut Keys, k: usize, packet: &mut Packet, meta: &FlowMeta) -> u32 {
    let frame = packet.data();
    // No frame is longer than a buffer.
    let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    let offsets = keys.set(k, frame, meta);
    packet.set_offsets(offsets);
    len
}

/// Whether no packet has anything left to do. Eight at a time, as the usual answer is yes.
#[inline(always)]
fn are_finished(batch: &[Packet]) -> bool {
    let any = |all: Offload, packet: &Packet| all.or(packet.offload());
    let (eights, rest) = batch.as_chunks::<8>();
    let all = eights.iter().fold(Offload::NONE, |all, eight| eight.iter().fold(all, any));
    rest.iter().fold(all, any).is_none()
}

/// How packets come to be looked up.
enum Entry {
    /// From a device, with nothing known of them.
    Fresh,
    /// Recirculated, or through a cable: looked up so often before.
    Again(u8),
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

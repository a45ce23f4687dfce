//! What one core has counted, all of it at once, and since the last time that somebody said "from here".

use datapath::{CoreCounters, DropReason, PortStats, Stage};

/// Packets that found nobody to answer their upcall.
pub(crate) fn lost(port: &PortStats) -> u64 {
    let reasons =
        [DropReason::UpcallQueueFull, DropReason::UpcallBudget, DropReason::UpcallPortShare];
    reasons.iter().map(|reason| port.drops.get(*reason)).sum()
}

/// The counts of one core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) rx_packets: u64,
    pub(crate) rx_batches: u64,
    pub(crate) tx_packets: u64,
    pub(crate) tx_batches: u64,
    pub(crate) tx_contended: u64,
    pub(crate) recirculated: u64,
    pub(crate) emc_hits: u64,
    pub(crate) smc_hits: u64,
    pub(crate) megaflow_hits: u64,
    pub(crate) hit_probes: u64,
    pub(crate) misses: u64,
    pub(crate) upcalls_lost: u64,
    pub(crate) busy_rounds: u64,
    pub(crate) idle_rounds: u64,
    pub(crate) busy: u64,
    pub(crate) idle: u64,
    pub(crate) rests: u64,
    pub(crate) rested_us: u64,
    /// Nanoseconds; the longest ever, or since somebody set it back.
    pub(crate) longest_gap: u64,
    pub(crate) long_gaps: u64,
    /// Packets whose stages were measured.
    pub(crate) measured: u64,
    /// Cycles by stage.
    pub(crate) stages: [u64; Stage::ALL.len()],
}

impl Reading {
    /// What stands in a core's counters, and in those of its ports together.
    pub(crate) fn of(core: &CoreCounters, ports: &PortStats) -> Self {
        let cycles = &core.cycles;
        Self {
            rx_packets: ports.rx_packets,
            rx_batches: core.rx_batches.get(),
            tx_packets: ports.tx_packets,
            tx_batches: core.tx_batches.get(),
            tx_contended: core.tx_contended.get(),
            recirculated: core.recirculated.get(),
            emc_hits: core.emc_hits.get(),
            smc_hits: core.smc_hits.get(),
            megaflow_hits: core.megaflow_hits.get(),
            hit_probes: core.hit_probes.get(),
            misses: core.misses.get(),
            upcalls_lost: lost(ports),
            busy_rounds: cycles.busy_rounds.get(),
            idle_rounds: cycles.idle_rounds.get(),
            busy: cycles.busy.get(),
            idle: cycles.idle.get(),
            rests: cycles.rests.get(),
            rested_us: cycles.rested_us.get(),
            longest_gap: cycles.longest_gap.get(),
            long_gaps: cycles.long_gaps.get(),
            measured: cycles.measured.get(),
            stages: Stage::ALL.map(|stage| cycles.spent(stage)),
        }
    }

    /// What was counted since `base` was read.
    pub(crate) fn since(&self, base: &Self) -> Self {
        let mut stages = self.stages;
        for (stage, base) in stages.iter_mut().zip(base.stages) {
            *stage = stage.wrapping_sub(base);
        }
        Self {
            rx_packets: self.rx_packets.wrapping_sub(base.rx_packets),
            rx_batches: self.rx_batches.wrapping_sub(base.rx_batches),
            tx_packets: self.tx_packets.wrapping_sub(base.tx_packets),
            tx_batches: self.tx_batches.wrapping_sub(base.tx_batches),
            tx_contended: self.tx_contended.wrapping_sub(base.tx_contended),
            recirculated: self.recirculated.wrapping_sub(base.recirculated),
            emc_hits: self.emc_hits.wrapping_sub(base.emc_hits),
            smc_hits: self.smc_hits.wrapping_sub(base.smc_hits),
            megaflow_hits: self.megaflow_hits.wrapping_sub(base.megaflow_hits),
            hit_probes: self.hit_probes.wrapping_sub(base.hit_probes),
            misses: self.misses.wrapping_sub(base.misses),
            upcalls_lost: self.upcalls_lost.wrapping_sub(base.upcalls_lost),
            busy_rounds: self.busy_rounds.wrapping_sub(base.busy_rounds),
            idle_rounds: self.idle_rounds.wrapping_sub(base.idle_rounds),
            busy: self.busy.wrapping_sub(base.busy),
            idle: self.idle.wrapping_sub(base.idle),
            rests: self.rests.wrapping_sub(base.rests),
            rested_us: self.rested_us.wrapping_sub(base.rested_us),
            longest_gap: self.longest_gap,
            long_gaps: self.long_gaps.wrapping_sub(base.long_gaps),
            measured: self.measured.wrapping_sub(base.measured),
            stages,
        }
    }

    /// Packets looked up, recirculated ones each time.
    pub(crate) fn passes(&self) -> u64 {
        self.rx_packets.wrapping_add(self.recirculated)
    }
}

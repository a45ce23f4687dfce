//! What a port and its queues may send (Open vSwitch's tables QoS and Queue; OpenFlow 1.3.5 §7.3.6).
//!
//! # What
//! A port may have a bound on all that it sends (type `egress-policer`) and queues, of which each may have a
//! bound of its own (`max-rate` of `linux-htb` and `linux-hfsc`). A packet goes into the queue that
//! set-queue or enqueue named, and into queue 0 without; where there is no such queue, into queue 0 too,
//! if there is one. What exceeds a bound is dropped as `egress-policed`: nothing is held back for later, as a
//! kernel's scheduler would, and a minimum (`min-rate`) is told to who asks and not enforced.
//!
//! # Design
//! A bound is a meter of the datapath, and so is a queue without one, which counts. The output to such a
//! port is a clone of its own: police, police, output. Ports without any of this are translated as if
//! this file were not there.

use crate::bridge::Bridge;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{BandKind, Dpif, MeterBand, MeterConfig, MeterUnit};
use openflow::{OfErrorKind, OfPort, QUEUE_ALL, QueueConfig, QueueDesc, QueueStats};
use sync::time::Nanos;

/// Queues that a port may have.
pub const MAX_QUEUES: usize = 64;
/// The rate that shares are told of where the link does not say its own.
const UNKNOWN_LINK_BPS: u64 = 100_000_000;

/// A bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So much a second.
    pub bytes_per_s: u64,
    /// So much at once, after a pause.
    pub burst_bytes: u64,
}

/// A queue of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueSpec {
    /// What it should get at the least, in bit/s: told, not enforced.
    pub min_rate_bps: Option<u64>,
    /// What it may send.
    pub max: Option<Rate>,
}

/// What a port may send, and its queues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QosConfig {
    /// All that the port may send.
    pub total: Option<Rate>,
    /// Its queues by number, [`MAX_QUEUES`] at the most; those beyond do not count.
    pub queues: BTreeMap<u32, QueueSpec>,
}

/// The same with the meters that do it.
#[derive(Clone, Debug)]
pub(crate) struct Qos {
    config: QosConfig,
    total: Option<u32>,
    queues: BTreeMap<u32, (QueueSpec, u32)>,
    since: Nanos,
}

impl Qos {
    /// The meters that a packet with this queue number passes.
    pub(crate) fn meters(&self, queue: u32) -> impl Iterator<Item = u32> {
        let own = self.queues.get(&queue).or_else(|| self.queues.get(&0));
        own.map(|(_, dp)| *dp).into_iter().chain(self.total)
    }

    /// Whether it matters into which queue a packet goes.
    pub(crate) fn has_queues(&self) -> bool {
        !self.queues.is_empty()
    }

    pub(crate) fn all_meters(&self) -> Vec<u32> {
        self.queues.values().map(|(_, dp)| *dp).chain(self.total).collect()
    }
}

fn meter_config(rate: Option<Rate>) -> MeterConfig {
    let kilobits = |bytes: u64| {
        u32::try_from(bytes.saturating_mul(8).div_ceil(1000)).unwrap_or(u32::MAX).max(1)
    };
    let band = rate.map(|rate| MeterBand {
        kind: BandKind::Drop,
        rate: kilobits(rate.bytes_per_s),
        burst: kilobits(rate.burst_bytes),
    });
    MeterConfig { unit: MeterUnit::Kbps, bands: band.into_iter().collect() }
}

impl Bridge {
    /// Says what a port may send. Counts begin anew where that changes anything.
    ///
    /// # Errors
    /// There is no such port, or the datapath has no meter left; then it may send what it likes.
    pub fn set_qos(
        &mut self,
        number: OfPort,
        config: &QosConfig,
        dpif: &mut dyn Dpif,
        now: Nanos,
    ) -> Result<(), OfErrorKind> {
        let port = self.state.ports.get(number).ok_or(OfErrorKind::RequestBadPort)?;
        let is_new = match port.qos() {
            Some(qos) => qos.config != *config,
            None => *config != QosConfig::default(),
        };
        if !is_new {
            return Ok(());
        }
        let old = port.qos().map(|qos| qos.all_meters()).unwrap_or_default();
        let made = self.make_qos(config, dpif, now);
        let (qos, result) = match made {
            Ok(qos) => (qos, Ok(())),
            Err(error) => (None, Err(error)),
        };
        self.state.write().ports.set_qos(number, qos.map(Arc::new));
        self.changes.port_changed(number);
        self.give_back_meters(&old);
        result
    }

    fn make_qos(
        &mut self,
        config: &QosConfig,
        dpif: &mut dyn Dpif,
        now: Nanos,
    ) -> Result<Option<Qos>, OfErrorKind> {
        if *config == QosConfig::default() {
            return Ok(None);
        }
        let mut qos =
            Qos { config: config.clone(), total: None, queues: BTreeMap::new(), since: now };
        let rates = config.queues.iter().take(MAX_QUEUES);
        let rates = rates.map(|(id, spec)| (Some(*id), spec.max));
        let total = config.total.map(|total| (None, Some(total)));
        for (id, rate) in rates.chain(total) {
            let Some(dp) = self.make_meter(&meter_config(rate), dpif, now) else {
                self.give_back_meters(&qos.all_meters());
                return Err(OfErrorKind::MeterModOutOfMeters);
            };
            match id {
                Some(id) => {
                    let spec = config.queues.get(&id).copied().unwrap_or_default();
                    qos.queues.insert(id, (spec, dp));
                }
                None => qos.total = Some(dp),
            }
        }
        Ok(Some(qos))
    }

    /// The meters of a port that goes are given back.
    pub(crate) fn forget_qos(&mut self, number: OfPort) {
        let qos = self.state.ports.get(number).and_then(|port| port.qos().cloned());
        if let Some(qos) = qos {
            self.give_back_meters(&qos.all_meters());
        }
    }

    /// The queues that a request asks for.
    ///
    /// # Errors
    /// There is no such port, or not such a queue.
    pub fn queue_descs(
        &self,
        number: OfPort,
        queue_id: u32,
    ) -> Result<Vec<QueueDesc>, OfErrorKind> {
        let queues = self.queues(number, queue_id)?;
        let desc = |(port, id, spec, link_bps, ..): &Found| QueueDesc {
            port: *port,
            config: QueueConfig {
                queue_id: *id,
                min_rate: spec.min_rate_bps.map(|bps| tenths_of_percent(bps, *link_bps)),
                max_rate: spec
                    .max
                    .map(|max| tenths_of_percent(max.bytes_per_s.saturating_mul(8), *link_bps)),
            },
        };
        Ok(queues.iter().map(desc).collect())
    }

    /// Their statistics.
    ///
    /// # Errors
    /// As [`Self::queue_descs`].
    pub fn queue_stats(
        &self,
        number: OfPort,
        queue_id: u32,
        dpif: &dyn Dpif,
        now: Nanos,
    ) -> Result<Vec<QueueStats>, OfErrorKind> {
        let stats = |(port, id, _, _, dp, since): &Found| {
            let counts = dpif.meter_stats(*dp).unwrap_or_default();
            let lost = counts.bands.first().copied().unwrap_or_default();
            let age = now - *since;
            QueueStats {
                port: *port,
                queue_id: *id,
                tx_bytes: counts.bytes.saturating_sub(lost.bytes),
                tx_packets: counts.packets.saturating_sub(lost.packets),
                tx_errors: lost.packets,
                duration_sec: u32::try_from(age.as_secs()).unwrap_or(u32::MAX),
                duration_nsec: age.subsec_nanos(),
            }
        };
        Ok(self.queues(number, queue_id)?.iter().map(stats).collect())
    }

    fn queues(&self, number: OfPort, queue_id: u32) -> Result<Vec<Found>, OfErrorKind> {
        let is_all = matches!(number, OfPort::ANY | OfPort::ALL);
        if !is_all && self.state.ports.get(number).is_none() {
            return Err(OfErrorKind::QueueBadPort);
        }
        let mut found = Vec::new();
        for port in self.state.ports.iter().filter(|port| is_all || port.number() == number) {
            let Some(qos) = port.qos() else { continue };
            let speed = port.link().speed_mbps.filter(|speed| *speed != 0);
            let link_bps = speed.map_or(UNKNOWN_LINK_BPS, |mbps| u64::from(mbps) * 1_000_000);
            for (id, (spec, dp)) in &qos.queues {
                if queue_id == QUEUE_ALL || queue_id == *id {
                    found.push((port.number(), *id, *spec, link_bps, *dp, qos.since));
                }
            }
        }
        // Of all ports it is no error that none has it, as in Open vSwitch.
        if found.is_empty() && queue_id != QUEUE_ALL {
            return Err(OfErrorKind::QueueBadQueue);
        }
        Ok(found)
    }
}

/// Port, queue, what it is, the link's rate, its meter, since when.
type Found = (OfPort, u32, QueueSpec, u64, u32, Nanos);

/// A rate as OpenFlow tells it (1.3.5 §7.2.2).
fn tenths_of_percent(bps: u64, link_bps: u64) -> u16 {
    let share = u128::from(bps) * 1000 / u128::from(link_bps.max(1));
    u16::try_from(share.min(1000)).unwrap_or(1000)
}

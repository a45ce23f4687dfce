//! Meters: what passes a rate is dropped, or its drop precedence is raised.
//!
//! # What
//! A meter has up to [`MAX_BANDS`] bands. Each band has a rate and a burst: a bucket that holds the
//! burst and fills at the rate. Every packet draws on the bucket of every band, one packet or its
//! bits; where a bucket has not enough, the packet exceeds that band and takes nothing from it. The
//! exceeded band with the highest rate says what happens to the packet (OpenFlow 1.3.5 §5.7): it is
//! dropped, or the drop precedence in its DSCP is raised. A packet that exceeds none passes.
//!
//! # Exactness
//! Tokens are counted in billionths of what OpenFlow counts bursts in: of a packet, or of a kilobit.
//! Then a rate of `r` a second is `r` tokens a nanosecond, a burst of `b` is `b` times 10^9, and
//! nothing is rounded. 32 bits of burst times 10^9 fit in 64.
//!
//! # Concurrency
//! One [`MeterTable`] is shared by all cores. The control core alone sets and deletes; a change is
//! in force for every core at the same instant, without commands. A meter has two *banks* of bands:
//! the new ones are written where nobody looks, then one store makes the others look there. A core
//! that is in the old bank at that moment finishes its batch by the old bands; only a second change
//! within that batch could show it bands of both, which costs nothing but a few tokens. Buckets are
//! [`TokenBucket`]s, which several cores draw from without one ever waiting, and never pay out a
//! token twice.
//!
//! # Cost
//! One or two compare-and-swaps per band and *group* of packets, while the group as a whole fits;
//! else one a packet. Meters live in chunks that are made when a meter of theirs is first set, so
//! that an unused table is a few pages.

use alloc::{boxed::Box, vec::Vec};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use packet::BATCH;
use spin::Once;
use sync::{bucket::TokenBucket, counter::SharedCounter, time::Nanos};

/// Meters that a datapath can have: numbers are below this.
pub const MAX_METERS: u32 = 65_536;
/// Bands that a meter can have.
pub const MAX_BANDS: usize = 8;

/// Meters of a chunk.
const CHUNK: usize = 32;
/// Tokens of one packet, or of one kilobit.
const UNIT: u64 = 1_000_000_000;

/// What the bands of a meter count (OpenFlow 1.3.5 §7.3.4.4: `OFPMF_KBPS` or `OFPMF_PKTPS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeterUnit {
    /// Rates are kilobits a second, bursts are kilobits. A packet counts from its Ethernet header to
    /// the end of its payload.
    Kbps,
    /// Rates are packets a second, bursts are packets.
    Pktps,
}

/// What a band does with the packets that exceed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BandKind {
    /// Drops them.
    Drop,
    /// Raises their drop precedence by so much, as far as it goes; see [`raise_drop_precedence`].
    DscpRemark {
        /// How much.
        prec_level: u8,
    },
}

/// A band of a meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeterBand {
    /// What becomes of packets above the rate.
    pub kind: BandKind,
    /// Kilobits or packets a second.
    pub rate: u32,
    /// Kilobits or packets that may pass at once; 0, or no `OFPMF_BURST`, is what the rate gives in
    /// one second.
    pub burst: u32,
}

/// A meter's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterConfig {
    /// What is counted.
    pub unit: MeterUnit,
    /// Up to [`MAX_BANDS`] bands, in any order.
    pub bands: Vec<MeterBand>,
}

/// Why a meter was not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeterError {
    /// Its number is not below [`MAX_METERS`].
    BadId,
    /// It has more than [`MAX_BANDS`] bands.
    TooManyBands,
}

/// What a meter has counted since it was set.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct MeterStats {
    /// Packets that came to the meter.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// For each band, packets and bytes that it dropped or remarked.
    pub bands: Vec<BandStats>,
}

/// What one band has counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct BandStats {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// All meters of a datapath, by number.
#[derive(Debug)]
pub struct MeterTable {
    chunks: Box<[Once<Box<[Meter; CHUNK]>>]>,
}

impl Default for MeterTable {
    fn default() -> Self {
        let n_chunks = MAX_METERS as usize / CHUNK;
        Self { chunks: (0..n_chunks).map(|_| Once::new()).collect() }
    }
}

impl MeterTable {
    /// Makes the meter, or replaces it; either way its bursts are whole and its statistics zero. By
    /// the control core alone.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn set(&self, id: u32, config: &MeterConfig, now: Nanos) -> Result<(), MeterError> {
        if config.bands.len() > MAX_BANDS {
            return Err(MeterError::TooManyBands);
        }
        let chunk = self.chunks.get(id as usize / CHUNK).ok_or(MeterError::BadId)?;
        let chunk = chunk.call_once(|| Box::new([const { Meter::ABSENT }; CHUNK]));
        let meter = chunk.get(id as usize % CHUNK).ok_or(MeterError::BadId)?;
        meter.set(config, now);
        Ok(())
    }

    /// The meter goes; what it counted, if it was there. By the control core alone.
    pub fn delete(&self, id: u32) -> Option<MeterStats> {
        let stats = self.stats(id);
        if let Some(meter) = self.get(id) {
            meter.active.store(NO_BANK, Ordering::Release);
        }
        stats
    }

    /// What the meter has counted; `None` if there is none.
    #[must_use]
    pub fn stats(&self, id: u32) -> Option<MeterStats> {
        let bank = self.get(id)?.bank()?;
        let bands = bank
            .bands()
            .map(|band| BandStats { packets: band.packets.get(), bytes: band.bytes.get() });
        Some(MeterStats {
            packets: bank.packets.get(),
            bytes: bank.bytes.get(),
            bands: bands.collect(),
        })
    }

    /// Passes packets of these lengths through the meter; `None` if there is none.
    pub(crate) fn run(
        &self,
        id: u32,
        lens: impl ExactSizeIterator<Item = usize> + Clone,
        now: Nanos,
    ) -> Option<Passage> {
        Some(self.get(id)?.bank()?.run(lens, now))
    }

    fn get(&self, id: u32) -> Option<&Meter> {
        self.chunks.get(id as usize / CHUNK)?.get()?.get(id as usize % CHUNK)
    }
}

/// What becomes of a group.
#[derive(Debug)]
pub(crate) enum Passage {
    /// All of it passes.
    Free,
    /// Packet by packet.
    Judged(Verdicts),
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Drop,
    Remark(u8),
}

/// One for each packet of a group.
pub(crate) type Verdicts = heapless::Vec<Verdict, BATCH>;

/// No bank: there is no meter.
const NO_BANK: u32 = 0;

#[derive(Debug)]
struct Meter {
    /// 1 or 2 names the bank in force, [`NO_BANK`] says that there is none.
    active: AtomicU32,
    banks: [Bank; 2],
}

impl Meter {
    #[expect(clippy::declare_interior_mutable_const, reason = "to fill an array with")]
    const ABSENT: Self =
        Self { active: AtomicU32::new(NO_BANK), banks: [const { Bank::new() }; 2] };

    fn bank(&self) -> Option<&Bank> {
        // Acquire: who sees the number sees the bands behind it.
        match self.active.load(Ordering::Acquire) {
            1 => self.banks.first(),
            2 => self.banks.get(1),
            _ => None,
        }
    }

    fn set(&self, config: &MeterConfig, now: Nanos) {
        let next = if self.active.load(Ordering::Relaxed) == 1 { 2 } else { 1 };
        let [first, second] = &self.banks;
        let bank = if next == 1 { first } else { second };
        bank.set(config, now);
        self.active.store(next, Ordering::Release);
    }
}

/// A meter's bands, and what it counts.
#[derive(Debug)]
struct Bank {
    n_bands: AtomicU32,
    is_kbps: AtomicU32,
    packets: SharedCounter,
    bytes: SharedCounter,
    bands: [Band; MAX_BANDS],
}

#[derive(Debug)]
struct Band {
    /// Tokens a nanosecond.
    rate: AtomicU64,
    /// Tokens at the most.
    capacity: AtomicU64,
    /// 0 drops, more raises the precedence by one less.
    kind: AtomicU32,
    bucket: TokenBucket,
    packets: SharedCounter,
    bytes: SharedCounter,
}

impl Bank {
    const fn new() -> Self {
        Self {
            n_bands: AtomicU32::new(0),
            is_kbps: AtomicU32::new(0),
            packets: SharedCounter::new(),
            bytes: SharedCounter::new(),
            bands: [const { Band::new() }; MAX_BANDS],
        }
    }

    fn bands(&self) -> impl Iterator<Item = &Band> {
        self.bands.iter().take(self.n_bands.load(Ordering::Relaxed) as usize)
    }

    fn set(&self, config: &MeterConfig, now: Nanos) {
        let is_kbps = config.unit == MeterUnit::Kbps;
        self.is_kbps.store(u32::from(is_kbps), Ordering::Relaxed);
        self.packets.reset();
        self.bytes.reset();
        for (band, of) in self.bands.iter().zip(&config.bands) {
            band.set(of, now);
        }
        let n_bands = u32::try_from(config.bands.len().min(MAX_BANDS)).unwrap_or(0);
        self.n_bands.store(n_bands, Ordering::Relaxed);
    }

    fn run(&self, lens: impl ExactSizeIterator<Item = usize> + Clone, now: Nanos) -> Passage {
        let n = lens.len() as u64;
        let n_bytes = lens.clone().map(|len| len as u64).sum();
        self.packets.add(n);
        self.bytes.add(n_bytes);
        let is_kbps = self.is_kbps.load(Ordering::Relaxed) != 0;
        // For each packet the exceeded band of the highest rate.
        let mut worst = None::<[Option<(u64, &Band)>; BATCH]>;
        for band in self.bands() {
            let rate = band.rate.load(Ordering::Relaxed);
            band.bucket.fill(rate, band.capacity.load(Ordering::Relaxed), now.0);
            let n_fit = match is_kbps {
                false => band.bucket.take_each(UNIT, n),
                true if band.bucket.take(bits(n_bytes)) => n,
                true => 0,
            };
            // Usually the group as a whole finds tokens.
            if n_fit == n {
                continue;
            }
            let worst = worst.get_or_insert([None; BATCH]);
            for (index, (packet, len)) in worst.iter_mut().zip(lens.clone()).enumerate() {
                let fits = match is_kbps {
                    false => (index as u64) < n_fit,
                    true => band.bucket.take(bits(len as u64)),
                };
                if !fits && packet.is_none_or(|(other, _)| other < rate) {
                    *packet = Some((rate, band));
                }
            }
        }
        let Some(worst) = worst else { return Passage::Free };
        let verdicts = lens.zip(worst).map(|(len, worst)| match worst {
            None => Verdict::Pass,
            Some((_, band)) => {
                band.packets.add(1);
                band.bytes.add(len as u64);
                match band.kind.load(Ordering::Relaxed).checked_sub(1) {
                    None => Verdict::Drop,
                    Some(level) => Verdict::Remark(u8::try_from(level).unwrap_or(u8::MAX)),
                }
            }
        });
        Passage::Judged(verdicts.collect())
    }
}

/// Tokens of so many bytes.
fn bits(n_bytes: u64) -> u64 {
    n_bytes.saturating_mul(8 * UNIT / 1000)
}

impl Band {
    const fn new() -> Self {
        Self {
            rate: AtomicU64::new(0),
            capacity: AtomicU64::new(0),
            kind: AtomicU32::new(0),
            bucket: TokenBucket::EMPTY,
            packets: SharedCounter::new(),
            bytes: SharedCounter::new(),
        }
    }

    fn set(&self, band: &MeterBand, now: Nanos) {
        let burst = if band.burst == 0 { band.rate } else { band.burst };
        let capacity = u64::from(burst) * UNIT;
        self.rate.store(band.rate.into(), Ordering::Relaxed);
        self.capacity.store(capacity, Ordering::Relaxed);
        let kind = match band.kind {
            BandKind::Drop => 0,
            BandKind::DscpRemark { prec_level } => u32::from(prec_level) + 1,
        };
        self.kind.store(kind, Ordering::Relaxed);
        self.bucket.reset(capacity, now.0);
        self.packets.reset();
        self.bytes.reset();
    }
}

/// A type of service whose drop precedence is higher by `levels`, up to the highest.
///
/// Drop precedence is what the classes of assured forwarding have (RFC 2597 §6: AF11 to AF43, three
/// precedences each); every other DSCP has none, and stays.
#[must_use]
pub fn raise_drop_precedence(tos: u8, levels: u8) -> u8 {
    let (class, precedence, odd) = (tos >> 5, tos >> 3 & 3, tos >> 2 & 1);
    if !(1..=4).contains(&class) || precedence == 0 || odd != 0 {
        return tos;
    }
    let raised = precedence.saturating_add(levels).min(3);
    tos & !0x18 | raised << 3
}

#[cfg(test)]
mod tests;

//! Meters (OpenFlow 1.3.5 §5.7).

use openflow::{BandKind, MeterConfig, MeterFlags};
use sync::time::Nanos;

/// A band's bucket counts in billionths of a packet or of a kilobit.
const UNIT: u64 = 1_000_000_000;

/// A meter.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    is_pktps: bool,
    bands: Vec<Band>,
}

#[derive(Debug, Clone)]
struct Band {
    kind: BandKind,
    rate: u64,
    /// What its bucket holds, at most and at `filled`.
    capacity: u64,
    tokens: u64,
    filled: Nanos,
}

/// What a meter does with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metered {
    Passed,
    Dropped,
    /// The drop precedence rises by so much.
    Remarked(u8),
}

impl Meter {
    /// A meter whose bursts are whole at `now`.
    pub(crate) fn new(config: &MeterConfig, now: Nanos) -> Self {
        let has_burst = config.flags.contains(MeterFlags::BURST);
        let bands = config.bands.iter().map(|band| {
            // Without a burst it is what the rate gives in a second.
            let burst = if has_burst && band.burst_size > 0 { band.burst_size } else { band.rate };
            let capacity = u64::from(burst) * UNIT;
            let (kind, rate) = (band.kind, u64::from(band.rate));
            Band { kind, rate, capacity, tokens: capacity, filled: now }
        });
        Self { is_pktps: config.flags.contains(MeterFlags::PKTPS), bands: bands.collect() }
    }

    /// A packet comes: it draws on every band that has enough; of those that have not, the one with
    /// the highest rate counts.
    pub(crate) fn pass(&mut self, n_bytes: usize, now: Nanos) -> Metered {
        let price = if self.is_pktps { UNIT } else { n_bytes as u64 * 8 * (UNIT / 1000) };
        let mut exceeded: Option<&Band> = None;
        for band in &mut self.bands {
            let more = band.rate.saturating_mul((now - band.filled).0);
            band.tokens = band.tokens.saturating_add(more).min(band.capacity);
            band.filled = now;
            if band.tokens >= price {
                band.tokens -= price;
            } else if exceeded.is_none_or(|other| other.rate < band.rate) {
                exceeded = Some(band);
            }
        }
        match exceeded.map(|band| band.kind) {
            None => Metered::Passed,
            Some(BandKind::Drop) => Metered::Dropped,
            Some(BandKind::DscpRemark(levels)) => Metered::Remarked(levels),
        }
    }
}

/// A DSCP whose drop precedence is `levels` higher, if it has one: those of assured forwarding are
/// `cccdd0` with class 1 to 4 and precedence 1 to 3 (RFC 2597 §6).
pub(crate) fn remarked(dscp: u8, levels: u8) -> u8 {
    let (class, precedence) = (dscp / 8, dscp % 8 / 2);
    let is_assured = (1..=4).contains(&class) && precedence > 0 && dscp.is_multiple_of(2);
    if is_assured { class * 8 + precedence.saturating_add(levels).min(3) * 2 } else { dscp }
}

//! Arbitrary meters.

use openflow::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn band() -> impl Strategy<Value = MeterBand> {
    let kind = prop_oneof![Just(BandKind::Drop), any::<u8>().prop_map(BandKind::DscpRemark)];
    (kind, any::<u32>(), any::<u32>()).prop_map(|(kind, rate, burst_size)| MeterBand {
        kind,
        rate,
        burst_size,
    })
}

pub(super) fn meter_config() -> impl Strategy<Value = MeterConfig> {
    (prop::sample::select(vec![1u16, 2, 5, 6, 13]), any::<u32>(), vec(band(), 0..3)).prop_map(
        |(flags, meter_id, bands)| MeterConfig {
            flags: MeterFlags::from_bits_truncate(flags),
            meter_id,
            bands,
        },
    )
}

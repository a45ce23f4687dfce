//! Arbitrary ports.

use openflow::*;
use proptest::prelude::*;

/// A port that every version can say.
pub(super) fn port() -> impl Strategy<Value = OfPort> {
    prop_oneof![
        4 => (1u32..0xff00).prop_map(OfPort),
        1 => prop::sample::select(vec![
            OfPort::IN_PORT, OfPort::NORMAL, OfPort::FLOOD, OfPort::ALL,
            OfPort::CONTROLLER, OfPort::LOCAL, OfPort::TABLE,
        ]),
    ]
}

pub(super) fn real_port() -> impl Strategy<Value = OfPort> {
    prop_oneof![(1u32..0xff00).prop_map(OfPort), Just(OfPort::LOCAL)]
}

pub(super) fn name() -> impl Strategy<Value = String> {
    "[a-z]{0,15}"
}

pub(super) fn port_desc(version: Version) -> impl Strategy<Value = PortDesc> {
    let numbers = any::<(u32, u32, u32, u32)>();
    (port(), any::<[u8; 6]>(), name(), numbers).prop_map(move |(port, hw_addr, name, n)| {
        let v10 = version == Version::V10;
        let features = |bits: u32| match v10 {
            true => PortFeatures::from_v10(bits),
            false => PortFeatures::from_bits_truncate(bits),
        };
        PortDesc {
            port,
            hw_addr,
            name,
            config: PortConfig::from_bits_truncate(n.0 & if v10 { 0x7f } else { 0x65 }),
            state: PortState::from_bits_truncate(n.1 & if v10 { 0x301 } else { 7 }),
            curr: features(n.2),
            advertised: features(n.3),
            supported: features(n.2 >> 8),
            peer: features(n.3 >> 8),
            curr_speed: if v10 { 0 } else { n.0 },
            max_speed: if v10 { 0 } else { n.1 },
        }
    })
}

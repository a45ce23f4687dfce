//! Arbitrary roles and configurations of what is told.

use openflow::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(super) fn role(version: Version) -> impl Strategy<Value = Role> {
    let standard = (0u8..4, option::of(0..u64::MAX)).prop_map(|(n, generation_id)| {
        let role = [
            ControllerRole::NoChange,
            ControllerRole::Equal,
            ControllerRole::Primary,
            ControllerRole::Secondary,
        ][usize::from(n)];
        let generation_id = generation_id.filter(|_| n != 0);
        Role { role, generation_id, origin: Origin::Standard }
    });
    let nicira = prop::sample::select(vec![
        ControllerRole::Equal,
        ControllerRole::Primary,
        ControllerRole::Secondary,
    ])
    .prop_map(|role| Role { role, generation_id: None, origin: Origin::Nicira });
    match version {
        Version::V10 | Version::V11 => nicira.boxed(),
        _ => prop_oneof![standard, nicira].boxed(),
    }
}

/// The masks of 1.3 and of Nicira's message: three, of any bits.
pub(super) fn async_config() -> impl Strategy<Value = AsyncConfig> {
    let masks = || {
        any::<(u32, u32, u32)>().prop_map(|(packet_in, port_status, flow_removed)| AsyncMasks {
            packet_in,
            port_status,
            flow_removed,
            ..AsyncMasks::NONE
        })
    };
    (masks(), masks(), any::<bool>()).prop_map(move |(primary, secondary, nicira)| AsyncConfig {
        primary,
        secondary,
        origin: if nicira { Origin::Nicira } else { Origin::Standard },
    })
}

/// Properties of 1.4, of bits that mean something.
pub(super) fn async_properties() -> impl Strategy<Value = Vec<AsyncProperty>> {
    let property = (0u16..12, any::<u32>()).prop_map(|(kind, mask)| {
        let allowed = *AsyncMasks::ALL.clone().of_property(kind / 2).expect("a property");
        AsyncProperty { kind, mask: mask & allowed }
    });
    vec(property, 0..4)
}

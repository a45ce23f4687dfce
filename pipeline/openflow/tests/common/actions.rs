//! Arbitrary actions and instructions.

use flow::Field;
use openflow::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{
    nicira,
    ports::{port, real_port},
};

pub(super) fn subfield(fields: &'static [Field]) -> impl Strategy<Value = Subfield> {
    (prop::sample::select(fields), any::<u8>(), any::<u8>()).prop_map(|(field, offset, width)| {
        let bits = field.spec().n_bits.min(64);
        let offset = offset % bits;
        Subfield::new(field, offset, 1 + width % (bits - offset)).unwrap()
    })
}

/// Fields that every packet has.
pub(super) const FREE: &[Field] = &[
    Field::Reg0,
    Field::Reg7,
    Field::Reg15,
    Field::EthSrc,
    Field::EthDst,
    Field::TunnelId,
    Field::Metadata,
    Field::PktMark,
];

fn set_field(fields: &'static [Field]) -> impl Strategy<Value = Action> {
    (prop::sample::select(fields), any::<u128>())
        // The type and code of ICMP have 16 bits in a flow, 8 on the wire.
        .prop_map(|(field, value)| {
            let wire = (1u128 << (8 * u32::from(field.spec().n_bytes) - 1) << 1).wrapping_sub(1);
            // A VLAN id is set in a tag.
            let present = if field == Field::VlanVid { 0x1000 } else { 0 };
            Action::set_field(field, value & wire | present)
        })
}

/// Actions of every version that need nothing of the packet.
fn common_action(version: Version) -> BoxedStrategy<Action> {
    let max_len = any::<u16>();
    prop_oneof![
        (port(), max_len).prop_map(|(port, max_len)| {
            let max_len = if port == OfPort::CONTROLLER { max_len } else { 0 };
            Action::Output { port, max_len }
        }),
        controller().prop_map(Action::Controller),
        (subfield(FREE), any::<u16>())
            .prop_map(|(src, max_len)| Action::OutputReg { src, max_len }),
        (port(), 14u32..).prop_map(|(port, max_len)| Action::OutputTrunc { port, max_len }),
        (0..GROUP_MAX).prop_map(Action::Group),
        set_field(FREE),
        (prop::sample::select(FREE), any::<u128>(), any::<u128>()).prop_filter_map(
            "an empty mask is no action",
            |(field, value, mask)| {
                let mask = mask & field.ones();
                (mask != 0).then_some(Action::SetField { field, value: value & mask, mask })
            }
        ),
        (subfield(FREE), any::<u64>()).prop_map(move |(dst, value)| {
            let value = u64::try_from(u128::from(value) & dst.max_value()).unwrap();
            let mask = dst.mask();
            match version {
                // There a load is a set-field.
                Version::V15 => Action::SetField {
                    field: dst.field,
                    value: u128::from(value) << dst.offset,
                    mask,
                },
                _ => Action::Load { dst, value },
            }
        }),
        (subfield(&[Field::Reg1]), subfield(&[Field::Metadata])).prop_map(|(src, dst)| {
            let dst = Subfield::new(dst.field, 0, src.n_bits).unwrap();
            Action::Move { src, dst }
        }),
        subfield(FREE).prop_map(Action::StackPush),
        subfield(FREE).prop_map(Action::StackPop),
        prop::sample::select(vec![0x8847, 0x8848]).prop_map(Action::PushMpls),
        any::<u32>().prop_map(Action::SetQueue),
        Just(Action::PopQueue),
        (port(), any::<u8>()).prop_map(|(port, table)| Action::Resubmit { port, table }),
        (0usize..4, any::<u8>()).prop_map(|(n, byte)| Action::Note(vec![byte; 6 + 8 * n])),
        Just(Action::Exit),
        nicira::nicira_action(),
    ]
    .boxed()
}

fn fin_timeout() -> impl Strategy<Value = Action> {
    any::<(u16, u16)>()
        .prop_map(|(idle_timeout, hard_timeout)| Action::FinTimeout { idle_timeout, hard_timeout })
}

fn controller() -> impl Strategy<Value = ControllerAction> {
    let reason = prop::sample::select(vec![
        PacketInReason::NoMatch,
        PacketInReason::Action,
        PacketInReason::InvalidTtl,
    ]);
    let userdata = vec(any::<u8>(), 0..9);
    (any::<(u16, u16, bool)>(), reason, userdata, option::of(any::<u32>())).prop_map(
        |((max_len, controller_id, pause), reason, userdata, meter_id)| ControllerAction {
            max_len,
            controller_id,
            reason,
            userdata,
            pause,
            meter_id,
        },
    )
}

/// Actions of a version that are no error whatever the match.
fn free_action(version: Version) -> BoxedStrategy<Action> {
    match version {
        Version::V10 => prop_oneof![
            8 => common_action(version),
            1 => fin_timeout(),
            1 => (real_port(), any::<u32>())
                .prop_map(|(port, queue)| Action::Enqueue { port, queue }),
            1 => (0u16..4096).prop_map(Action::SetVlanVid),
            1 => (0u8..8).prop_map(Action::SetVlanPcp),
            1 => Just(Action::PopVlan),
            1 => prop_oneof![Just(vec![0]), vec(any::<u16>(), 2..5)].prop_map(Action::DecTtl),
            1 => set_field(&[Field::Ipv4Src, Field::Ipv4Dst, Field::IpDscp]),
            1 => set_field(&[Field::MplsLabel, Field::MplsTc]),
            1 => any::<u8>().prop_map(Action::SetMplsTtl),
            1 => Just(Action::DecMplsTtl),
            1 => any::<u16>().prop_map(Action::PopMpls),
        ]
        .boxed(),
        _ => {
            let early = version < Version::V13;
            let push = if early { Action::PushMpls(0x8848) } else { Action::PushPbb(0x88e7) };
            prop_oneof![
                8 => common_action(version),
                1 => prop::sample::select(vec![0x8100, 0x88a8]).prop_map(Action::PushVlan),
                1 => Just(push),
            ]
            .boxed()
        }
    }
}

/// Actions of a version, prerequisites aside.
pub(super) fn action(version: Version) -> BoxedStrategy<Action> {
    match version {
        Version::V10 => prop_oneof![
            8 => free_action(version),
            1 => any::<u16>().prop_map(Action::SetTpSrc),
            1 => any::<u16>().prop_map(Action::SetTpDst),
            1 => set_field(&[Field::Ipv6Src, Field::VlanVid, Field::ArpOp]),
        ]
        .boxed(),
        Version::V11 => prop_oneof![
            8 => free_action(version),
            1 => any::<u16>().prop_map(Action::SetTpSrc),
            1 => any::<u16>().prop_map(Action::SetTpDst),
            1 => Just(Action::PopVlan),
            1 => any::<u8>().prop_map(Action::SetNwTtl),
            1 => prop::sample::select(vec![Action::CopyTtlIn, Action::CopyTtlOut]),
            1 => set_field(&[
                Field::Ipv4Src, Field::Ipv4Dst, Field::IpDscp, Field::IpEcn, Field::VlanVid,
                Field::VlanPcp, Field::MplsLabel, Field::MplsTc, Field::Ipv6Dst, Field::ArpOp,
            ]),
        ]
        .boxed(),
        _ => prop_oneof![
            8 => free_action(version),
            1 => fin_timeout(),
            1 => Just(Action::PopVlan),
            1 => any::<u8>().prop_map(Action::SetNwTtl),
            1 => any::<u8>().prop_map(Action::SetMplsTtl),
            1 => Just(Action::DecMplsTtl),
            1 => prop_oneof![Just(vec![0]), vec(any::<u16>(), 2..5)].prop_map(Action::DecTtl),
            1 => any::<u16>().prop_map(Action::PopMpls),
            1 => prop::sample::select(vec![Action::CopyTtlIn, Action::CopyTtlOut]),
            1 => Just(if version < Version::V13 { Action::CopyTtlIn } else { Action::PopPbb }),
            1 => set_field(&[
                Field::EthType, Field::IpProto, Field::MplsBos, Field::TcpFlags, Field::PbbIsid,
                Field::PbbUca, Field::NdReserved, Field::NdOptionsType,
            ]),
            1 => set_field(&[
                Field::Ipv4Src, Field::Ipv6Dst, Field::IpDscpShifted, Field::TcpSrc,
                Field::UdpDst, Field::SctpSrc, Field::VlanVid, Field::VlanPcp,
                Field::MplsLabel, Field::ArpOp, Field::NdTarget, Field::Icmpv4Type,
            ]),
        ]
        .boxed(),
    }
}

fn stat_trigger() -> impl Strategy<Value = StatTrigger> {
    let time = || option::of((any::<u32>(), 0u32..1_000_000_000));
    let count = || option::of(any::<u64>());
    (0u32..4, time(), time(), count(), count()).prop_map(
        |(flags, duration, idle_time, packet_count, byte_count)| StatTrigger {
            flags: StatTriggerFlags::from_bits_truncate(flags),
            duration,
            idle_time,
            packet_count,
            byte_count,
        },
    )
}

/// Instructions of a version for a rule in table 5.
pub(super) fn instructions(version: Version, checked: bool) -> BoxedStrategy<Instructions> {
    let one = if checked { free_action(version) } else { action(version) };
    let metadata = option::of(any::<(u64, u64)>().prop_map(|(value, mask)| (value & mask, mask)));
    let apply = vec(one, 0..6);
    match version {
        Version::V10 => (apply, metadata)
            .prop_map(|(apply, metadata)| Instructions {
                apply,
                metadata,
                ..Instructions::default()
            })
            .boxed(),
        _ => {
            let write = vec(prop_oneof![set_field(FREE), port().prop_map(Action::output)], 0..3);
            let clear = any::<bool>();
            let has_meters = version >= Version::V13;
            let meter =
                option::of(1..METER_MAX).prop_map(move |meter| meter.filter(|_| has_meters));
            let trigger = option::weighted(0.2, stat_trigger());
            let trigger = trigger.prop_map(move |one| one.filter(|_| version >= Version::V15));
            let rest = (meter, option::of(6u8..255), trigger.prop_map(|one| one.map(Box::new)));
            (apply, clear, write, metadata, rest)
                .prop_map(|(apply, clear, write, metadata, rest)| {
                    let (meter, goto_table, stat_trigger) = rest;
                    Instructions { meter, apply, clear, write, metadata, goto_table, stat_trigger }
                })
                .boxed()
        }
    }
}

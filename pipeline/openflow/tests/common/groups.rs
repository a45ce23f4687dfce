//! Arbitrary groups and meters.

use flow::Field;
use openflow::*;
use proptest::collection::vec;
use proptest::prelude::*;

use super::actions::action;

/// Whether groups of a version have numbered buckets and a way of choosing.
fn is_numbered(version: Version) -> bool {
    matches!(version, Version::V10 | Version::V15)
}

pub(super) fn buckets(
    version: Version,
    group_type: GroupType,
) -> impl Strategy<Value = Vec<Bucket>> {
    let watch = prop_oneof![Just(OfPort::ANY), (1u32..100).prop_map(OfPort)];
    let group = prop_oneof![Just(GROUP_ANY), 1u32..100];
    let one = (1u16.., watch, group, vec(action(version), 0..4));
    vec(one, 1..4).prop_map(move |mut all| {
        if group_type == GroupType::Indirect {
            all.truncate(1);
        }
        let bucket =
            |(place, (weight, port, group, actions)): (u32, (u16, OfPort, u32, Vec<Action>))| {
                let step = if is_numbered(version) { 3 } else { 1 };
                let mut bucket = Bucket::new(place * step, actions);
                if group_type == GroupType::Select {
                    bucket.weight = weight;
                }
                if matches!(group_type, GroupType::Select | GroupType::FastFailover) {
                    (bucket.watch_port, bucket.watch_group) = (port, group);
                }
                if group_type == GroupType::FastFailover && !bucket.has_liveness() {
                    bucket.watch_port = OfPort(7);
                }
                bucket
            };
        (0..).zip(all).map(bucket).collect()
    })
}

pub(super) fn group_type() -> impl Strategy<Value = GroupType> {
    prop::sample::select(vec![
        GroupType::All,
        GroupType::Select,
        GroupType::Indirect,
        GroupType::FastFailover,
    ])
}

fn selection(version: Version, group_type: GroupType) -> BoxedStrategy<Selection> {
    if group_type != GroupType::Select || !is_numbered(version) {
        return Just(Selection::default()).boxed();
    }
    let fields = vec![
        (Field::EthSrc, Field::EthSrc.ones()),
        (Field::Ipv4Src, 0xffff_ff00),
        (Field::IpProto, 0xff),
        (Field::TcpDst, 0xffff),
    ];
    let fields = prop::sample::subsequence(fields, 0..=4).prop_map(|mut fields| {
        fields.sort_by_key(|(field, _)| *field as usize);
        fields
    });
    prop_oneof![
        Just(Selection::default()),
        any::<u64>().prop_map(|param| Selection {
            method: SelectionMethod::DpHash,
            param,
            fields: Vec::new()
        }),
        (any::<u64>(), fields).prop_map(|(param, fields)| Selection {
            method: SelectionMethod::Hash,
            param,
            fields
        }),
    ]
    .boxed()
}

/// A description in the version's own terms.
pub(super) fn desc(version: Version) -> impl Strategy<Value = GroupDesc> {
    (group_type(), any::<u32>()).prop_flat_map(move |(group_type, group_id)| {
        (buckets(version, group_type), selection(version, group_type)).prop_map(
            move |(buckets, selection)| GroupDesc { group_type, group_id, buckets, selection },
        )
    })
}

pub(super) fn group_mod(version: Version) -> impl Strategy<Value = Message> {
    let whole =
        (desc(version), prop::sample::select(vec![0u16, 1, 0x8000])).prop_map(|(desc, command)| {
            let GroupDesc { group_type, group_id, buckets, selection } = desc;
            let mut commands = GroupModCommand::ALL.into_iter();
            let command = commands.rfind(|known| *known as u16 == command).unwrap();
            let group_id = group_id & 0xffff;
            let command_bucket_id = BUCKET_ALL;
            GroupMod { command, group_type, group_id, command_bucket_id, buckets, selection }
        });
    let delete = any::<u32>().prop_map(|group_id| GroupMod {
        command: GroupModCommand::Delete,
        group_id,
        ..GroupMod::default()
    });
    if !is_numbered(version) {
        return prop_oneof![3 => whole, 1 => delete].prop_map(Message::GroupMod).boxed();
    }
    let place = || prop_oneof![0u32..9, Just(BUCKET_FIRST), Just(BUCKET_LAST)];
    let insert =
        (place(), buckets(version, GroupType::Select)).prop_map(|(id, buckets)| GroupMod {
            command: GroupModCommand::InsertBucket,
            group_id: 4,
            command_bucket_id: id,
            buckets,
            ..GroupMod::default()
        });
    let remove = prop_oneof![place(), Just(BUCKET_ALL)].prop_map(|id| GroupMod {
        command: GroupModCommand::RemoveBucket,
        group_id: 4,
        command_bucket_id: id,
        ..GroupMod::default()
    });
    prop_oneof![3 => whole, 1 => delete, 1 => insert, 1 => remove]
        .prop_map(Message::GroupMod)
        .boxed()
}

pub(super) fn stats(version: Version) -> impl Strategy<Value = GroupStats> {
    let has_age = !matches!(version, Version::V11 | Version::V12);
    (any::<u32>(), any::<[u32; 3]>(), any::<[u64; 2]>(), vec(any::<(u64, u64)>(), 0..3)).prop_map(
        move |(group_id, n, counts, buckets)| GroupStats {
            group_id,
            ref_count: n[0],
            packet_count: counts[0],
            byte_count: counts[1],
            duration_sec: if has_age { n[1] } else { 0 },
            duration_nsec: if has_age { n[2] } else { 0 },
            buckets,
        },
    )
}

pub(super) fn features() -> impl Strategy<Value = GroupFeatures> {
    any::<[u32; 4]>().prop_map(|n| GroupFeatures {
        types: n[0],
        capabilities: GroupCapabilities::from_bits_truncate(n[1]),
        max_groups: n,
        actions: n,
    })
}

/// A request for group statistics, descriptions or abilities.
pub(super) fn request(version: Version) -> impl Strategy<Value = MultipartRequest> {
    let one = move |id: u32| if is_numbered(version) { id } else { GROUP_ALL };
    prop_oneof![
        any::<u32>().prop_map(MultipartRequest::Group),
        any::<u32>().prop_map(move |id| MultipartRequest::GroupDesc(one(id))),
        Just(MultipartRequest::GroupFeatures),
    ]
}

/// A reply to one.
pub(super) fn reply(version: Version) -> impl Strategy<Value = MultipartBody> {
    prop_oneof![
        vec(stats(version), 0..3).prop_map(MultipartBody::Group),
        vec(desc(version), 0..3).prop_map(MultipartBody::GroupDesc),
        features().prop_map(MultipartBody::GroupFeatures),
    ]
}

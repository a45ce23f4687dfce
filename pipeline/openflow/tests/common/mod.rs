//! Arbitrary messages that a version can say, in the form that decoding gives them back.

#![allow(dead_code, reason = "each test file uses its part")]

mod groups;
mod nicira;

use flow::{Field, Match};
use openflow::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(crate) fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V10), Just(Version::V13)]
}

/// A port that both versions can say.
pub(crate) fn port() -> impl Strategy<Value = OfPort> {
    prop_oneof![
        4 => (1u32..0xff00).prop_map(OfPort),
        1 => prop::sample::select(vec![
            OfPort::IN_PORT, OfPort::NORMAL, OfPort::FLOOD, OfPort::ALL,
            OfPort::CONTROLLER, OfPort::LOCAL, OfPort::TABLE,
        ]),
    ]
}

fn real_port() -> impl Strategy<Value = OfPort> {
    prop_oneof![(1u32..0xff00).prop_map(OfPort), Just(OfPort::LOCAL)]
}

fn set(match_: &mut Match, field: Field, (value, mask): (u128, u128)) {
    let mask = mask & field.ones();
    match_.set(field, value & mask, mask);
}

/// A match with the fields of one protocol stack.
pub(crate) fn any_match() -> impl Strategy<Value = Match> {
    let bits = || (any::<u128>(), prop_oneof![Just(0), Just(u128::MAX), any::<u128>()]);
    let exact = || (any::<u128>(), prop_oneof![Just(0), Just(u128::MAX)]);
    (
        (option::of(1u32..0xff00), vec(bits(), 22), vec(bits(), 8), vec(exact(), 8)),
        (0usize..8, 0usize..6, any::<u16>()),
    )
        .prop_map(|((in_port, meta, many, single), (l3, l4, vid))| {
            let mut m = Match::default();
            if let Some(port) = in_port {
                m.set_exact(Field::InPort, port.into());
            }
            for (n, bits) in meta.iter().take(16).enumerate() {
                set(&mut m, Field::reg(u8::try_from(n).unwrap()).unwrap(), *bits);
            }
            set(&mut m, Field::Metadata, meta[16]);
            set(&mut m, Field::TunnelId, meta[17]);
            set(&mut m, Field::PktMark, meta[18]);
            set(&mut m, Field::TunSrc, meta[19]);
            set(&mut m, Field::EthSrc, meta[20]);
            set(&mut m, Field::EthDst, meta[21]);
            match vid % 5 {
                0 => m.set_exact(Field::VlanVid, u128::from(0x1000 | vid & 0xfff)),
                1 => m.set(Field::VlanVid, 0x1000, 0x1000),
                2 => m.set_exact(Field::VlanVid, 0),
                3 => {
                    m.set_exact(Field::VlanVid, u128::from(0x1000 | vid & 0xfff));
                    m.set_exact(Field::VlanPcp, u128::from(vid >> 13));
                }
                _ => {}
            }
            let ip = |m: &mut Match, v6: bool| {
                set(m, Field::IpDscp, (single[0].0 & 0xfc, single[0].1));
                set(m, Field::IpEcn, single[1]);
                set(m, Field::IpTtl, single[2]);
                let (proto, src, dst) = match l4 {
                    0 => (6, Field::TcpSrc, Field::TcpDst),
                    1 => (17, Field::UdpSrc, Field::UdpDst),
                    2 => (132, Field::SctpSrc, Field::SctpDst),
                    3 if v6 => (58, Field::Icmpv6Type, Field::Icmpv6Code),
                    3 => (1, Field::Icmpv4Type, Field::Icmpv4Code),
                    _ => return,
                };
                m.set_exact(Field::IpProto, proto);
                if l4 == 3 {
                    // Types of ND need more fields to mean what they say.
                    set(m, src, (single[3].0 & 0x7f, single[3].1));
                    set(m, dst, (single[4].0 & 0xff, single[4].1));
                } else {
                    set(m, src, many[4]);
                    set(m, dst, many[5]);
                }
                if l4 == 0 {
                    set(m, Field::TcpFlags, many[6]);
                }
            };
            match l3 {
                0 | 1 => {
                    m.set_exact(Field::EthType, 0x800);
                    set(&mut m, Field::Ipv4Src, many[0]);
                    set(&mut m, Field::Ipv4Dst, many[1]);
                    ip(&mut m, false);
                }
                2 | 3 => {
                    m.set_exact(Field::EthType, 0x86dd);
                    set(&mut m, Field::Ipv6Src, many[0]);
                    set(&mut m, Field::Ipv6Dst, many[1]);
                    set(&mut m, Field::Ipv6Label, many[2]);
                    ip(&mut m, true);
                }
                4 => {
                    m.set_exact(Field::EthType, 0x806);
                    set(&mut m, Field::ArpOp, (single[0].0 & 0xff, single[0].1));
                    set(&mut m, Field::ArpSpa, many[0]);
                    set(&mut m, Field::ArpTpa, many[1]);
                    set(&mut m, Field::ArpSha, many[2]);
                    set(&mut m, Field::ArpTha, many[3]);
                }
                5 => {
                    m.set_exact(Field::EthType, 0x8847);
                    set(&mut m, Field::MplsLabel, single[0]);
                    set(&mut m, Field::MplsTc, single[1]);
                    set(&mut m, Field::MplsBos, single[2]);
                    set(&mut m, Field::MplsTtl, single[3]);
                }
                6 => {
                    m.set_exact(Field::EthType, 0x86dd);
                    m.set_exact(Field::IpProto, 58);
                    m.set_exact(Field::Icmpv6Type, 135);
                    m.set_exact(Field::Icmpv6Code, 0);
                    set(&mut m, Field::NdTarget, many[0]);
                    set(&mut m, Field::NdSll, many[1]);
                }
                _ => {}
            }
            m
        })
}

fn subfield(fields: &'static [Field]) -> impl Strategy<Value = Subfield> {
    (prop::sample::select(fields), any::<u8>(), any::<u8>()).prop_map(|(field, offset, width)| {
        let bits = field.spec().n_bits.min(64);
        let offset = offset % bits;
        Subfield::new(field, offset, 1 + width % (bits - offset)).unwrap()
    })
}

/// Fields that every packet has.
const FREE: &[Field] = &[
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

/// Actions of both versions that need nothing of the packet.
fn common_action() -> BoxedStrategy<Action> {
    let max_len = any::<u16>();
    prop_oneof![
        (port(), max_len).prop_map(|(port, max_len)| {
            let max_len = if port == OfPort::CONTROLLER { max_len } else { 0 };
            Action::Output { port, max_len }
        }),
        controller().prop_map(Action::Controller),
        (subfield(FREE), any::<u16>())
            .prop_map(|(src, max_len)| Action::OutputReg { src, max_len }),
        (port(), any::<u32>()).prop_map(|(port, max_len)| Action::OutputTrunc { port, max_len }),
        (0..GROUP_MAX).prop_map(Action::Group),
        set_field(FREE),
        (prop::sample::select(FREE), any::<u128>(), any::<u128>()).prop_filter_map(
            "an empty mask is no action",
            |(field, value, mask)| {
                let mask = mask & field.ones();
                (mask != 0).then_some(Action::SetField { field, value: value & mask, mask })
            }
        ),
        (subfield(FREE), any::<u64>()).prop_map(|(dst, value)| {
            let value = u64::try_from(u128::from(value) & dst.max_value()).unwrap();
            Action::Load { dst, value }
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
pub(crate) fn free_action(version: Version) -> BoxedStrategy<Action> {
    match version {
        Version::V10 => prop_oneof![
            8 => common_action(),
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
        _ => prop_oneof![
            8 => common_action(),
            1 => prop::sample::select(vec![0x8100, 0x88a8]).prop_map(Action::PushVlan),
            1 => Just(Action::CopyTtlIn),
            1 => Just(Action::CopyTtlOut),
            1 => Just(Action::PushPbb(0x88e7)),
            1 => Just(Action::PopPbb),
        ]
        .boxed(),
    }
}

/// Actions of a version, prerequisites aside.
pub(crate) fn action(version: Version) -> BoxedStrategy<Action> {
    match version {
        Version::V10 => prop_oneof![
            8 => free_action(version),
            1 => any::<u16>().prop_map(Action::SetTpSrc),
            1 => any::<u16>().prop_map(Action::SetTpDst),
            1 => set_field(&[Field::Ipv6Src, Field::VlanVid, Field::ArpOp]),
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
            1 => set_field(&[
                Field::Ipv4Src, Field::Ipv6Dst, Field::IpDscpShifted, Field::TcpSrc,
                Field::UdpDst, Field::SctpSrc, Field::VlanVid, Field::VlanPcp,
                Field::MplsLabel, Field::ArpOp, Field::NdTarget, Field::Icmpv4Type,
            ]),
        ]
        .boxed(),
    }
}

/// Instructions of a version for a rule in table 5.
pub(crate) fn instructions(version: Version, checked: bool) -> BoxedStrategy<Instructions> {
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
            let rest = (option::of(1..METER_MAX), option::of(6u8..255));
            (apply, clear, write, metadata, rest)
                .prop_map(|(apply, clear, write, metadata, (meter, goto_table))| Instructions {
                    meter,
                    apply,
                    clear,
                    write,
                    metadata,
                    goto_table,
                })
                .boxed()
        }
    }
}

fn flow_mod(version: Version) -> BoxedStrategy<FlowMod> {
    let command = prop::sample::select(vec![
        FlowModCommand::Add,
        FlowModCommand::Modify,
        FlowModCommand::ModifyStrict,
        FlowModCommand::Delete,
        FlowModCommand::DeleteStrict,
    ]);
    let numbers = any::<(u64, u64, u16, u16, u16, u16)>();
    let buffer = option::of(0..u32::MAX);
    (command, numbers, buffer, port(), any_match(), instructions(version, true))
        .prop_map(move |(command, numbers, buffer_id, out_port, match_, instructions)| {
            let (cookie, cookie_mask, idle_timeout, hard_timeout, priority, flags) = numbers;
            let v10 = version == Version::V10;
            let is_add = command == FlowModCommand::Add;
            let known = if v10 { 3 } else { 0x1f };
            let mut flags = FlowModFlags::from_bits_truncate(flags & known);
            if v10 && is_add {
                flags |= FlowModFlags::RESET_COUNTS;
            }
            let delete = command.is_delete();
            let cookie_mask = if is_add { 0 } else { cookie_mask };
            FlowMod {
                command,
                cookie: if is_add { 0 } else { cookie & if v10 { cookie_mask } else { !0 } },
                cookie_mask,
                new_cookie: (is_add || v10).then_some(cookie >> 1),
                table_id: if v10 { TABLE_ALL } else { 5 },
                idle_timeout,
                hard_timeout,
                priority,
                buffer_id,
                out_port: if v10 || delete { out_port } else { OfPort::ANY },
                out_group: if delete && !v10 { 7 } else { GROUP_ANY },
                flags,
                importance: 0,
                match_,
                instructions,
            }
        })
        .prop_filter("a flow-mod that is no error", move |flow_mod: &FlowMod| {
            let context = CheckContext::for_version(version);
            check_instructions(&flow_mod.instructions, &flow_mod.match_, context).is_ok()
        })
        .boxed()
}

fn name() -> impl Strategy<Value = String> {
    "[a-z]{0,15}"
}

fn port_desc(version: Version) -> impl Strategy<Value = PortDesc> {
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

fn band() -> impl Strategy<Value = MeterBand> {
    let kind = prop_oneof![Just(BandKind::Drop), any::<u8>().prop_map(BandKind::DscpRemark)];
    (kind, any::<u32>(), any::<u32>()).prop_map(|(kind, rate, burst_size)| MeterBand {
        kind,
        rate,
        burst_size,
    })
}

fn meter_config() -> impl Strategy<Value = MeterConfig> {
    (prop::sample::select(vec![1u16, 2, 5, 6, 13]), any::<u32>(), vec(band(), 0..3)).prop_map(
        |(flags, meter_id, bands)| MeterConfig {
            flags: MeterFlags::from_bits_truncate(flags),
            meter_id,
            bands,
        },
    )
}

fn flow_stats(version: Version, format: FlowFormat) -> impl Strategy<Value = FlowStats> {
    let numbers = any::<(u32, u32, u16, u16, u16, u16)>();
    let counters = any::<(u64, u64, u64)>();
    let fixed = version == Version::V10 && format == FlowFormat::Standard;
    (numbers, counters, any_match(), instructions(version, false), option::of(0u16..100)).prop_map(
        move |(n, counters, match_, mut instructions, age)| {
            let nxm = version == Version::V10 && format == FlowFormat::Nxm;
            // Port setters become those of the protocol that the match asks for.
            instructions
                .apply
                .retain(|action| !matches!(action, Action::SetTpSrc(_) | Action::SetTpDst(_)));
            FlowStats {
                table_id: 5,
                duration_sec: n.0,
                duration_nsec: n.1,
                priority: n.2,
                idle_timeout: n.3,
                hard_timeout: n.4,
                idle_age: age.filter(|_| nxm),
                hard_age: age.filter(|_| nxm),
                flags: match version {
                    Version::V10 => FlowModFlags::empty(),
                    _ => FlowModFlags::from_bits_truncate(n.5),
                },
                importance: 0,
                cookie: counters.0,
                packet_count: counters.1,
                byte_count: counters.2,
                match_: if fixed { fixed_match(&match_) } else { match_ },
                instructions,
            }
        },
    )
}

/// What the fixed match of 1.0 can say of a match.
fn fixed_match(match_: &Match) -> Match {
    let mut out = Match::default();
    for field in [Field::InPort, Field::EthType] {
        let (value, mask) = match_.get(field);
        if mask == field.ones() {
            out.set_exact(field, value);
        }
    }
    if out.get(Field::EthType).0 == 0x800 {
        out.set(Field::Ipv4Src, 0x0a00_0000, 0xff00_0000);
        out.set_exact(Field::IpProto, 17);
        out.set_exact(Field::UdpDst, 53);
    }
    out
}

fn body(version: Version) -> BoxedStrategy<MultipartBody> {
    let v10 = version == Version::V10;
    let format = if v10 {
        prop_oneof![Just(FlowFormat::Standard), Just(FlowFormat::Nxm)].boxed()
    } else {
        Just(FlowFormat::Standard).boxed()
    };
    let flows = format.clone().prop_flat_map(move |format| {
        vec(flow_stats(version, format), 0..4)
            .prop_map(move |flows| MultipartBody::Flow(format, flows))
    });
    let aggregate = (format, any::<(u64, u64, u32)>()).prop_map(|(format, n)| {
        let sum = AggregateStats { packet_count: n.0, byte_count: n.1, flow_count: n.2 };
        MultipartBody::Aggregate(format, sum)
    });
    let desc = (name(), name()).prop_map(|(manufacturer, serial)| {
        MultipartBody::Desc(SwitchDesc { manufacturer, serial, ..SwitchDesc::default() })
    });
    let tables = vec(any::<(u8, u32, u64)>(), 0..4).prop_map(move |tables| {
        let table = |(table_id, n, count): (u8, u32, u64)| TableStats {
            table_id,
            name: if v10 { "table".into() } else { String::new() },
            wildcards: if v10 { n } else { 0 },
            max_entries: if v10 { n } else { 0 },
            active_count: n,
            lookup_count: count,
            matched_count: count,
        };
        MultipartBody::Table(tables.into_iter().map(table).collect())
    });
    let ports = vec((port(), any::<[u64; 4]>(), any::<u32>()), 0..4).prop_map(move |ports| {
        let stats = |(port, n, duration): (OfPort, [u64; 4], u32)| PortStats {
            port,
            rx_packets: n[0],
            tx_packets: n[1],
            rx_bytes: n[2],
            collisions: n[3],
            duration_sec: if v10 { 0 } else { duration },
            ..PortStats::default()
        };
        MultipartBody::Port(ports.into_iter().map(stats).collect())
    });
    let queues = vec((port(), any::<(u32, u64, u32)>()), 0..4).prop_map(move |queues| {
        let stats = |(port, n): (OfPort, (u32, u64, u32))| QueueStats {
            port,
            queue_id: n.0,
            tx_bytes: n.1,
            duration_nsec: if v10 { 0 } else { n.2 },
            ..QueueStats::default()
        };
        MultipartBody::Queue(queues.into_iter().map(stats).collect())
    });
    let descs = vec(port_desc(version), 0..4).prop_map(MultipartBody::PortDesc);
    let common = prop_oneof![
        4 => flows, 1 => aggregate, 1 => desc, 1 => tables, 1 => ports, 1 => queues, 1 => descs
    ];
    if v10 {
        return prop_oneof![4 => common, 1 => groups::reply(version)].boxed();
    }
    let pairs = || vec(any::<(u64, u64)>(), 0..3);
    prop_oneof![
        4 => common,
        2 => groups::reply(version),
        1 => (any::<u32>(), pairs()).prop_map(|(meter_id, bands)| {
            MultipartBody::Meter(vec![MeterStats { meter_id, bands, ..MeterStats::default() }])
        }),
        1 => vec(meter_config(), 0..3).prop_map(MultipartBody::MeterConfig),
        1 => any::<(u32, u8)>().prop_map(|(n, few)| MultipartBody::MeterFeatures(MeterFeatures {
            max_meter: n,
            band_types: n,
            capabilities: n,
            max_bands: few,
            max_color: few,
        })),
        1 => vec(table_features(), 0..3).prop_map(MultipartBody::TableFeatures),
    ]
    .boxed()
}

fn table_features() -> impl Strategy<Value = TableFeatures> {
    let rule = || prop_oneof![Just(RuleKind::Regular), Just(RuleKind::Miss)];
    let ids = || vec(0u16..27, 0..5);
    let headers = || {
        vec(prop::sample::select(vec![Field::InPort, Field::EthDst, Field::Reg3]), 0..4)
            .prop_map(|fields| TableProperty::headers(fields, Version::V13))
    };
    let property = prop_oneof![
        (rule(), ids()).prop_map(|(rule, ids)| TableProperty::Instructions(rule, ids)),
        (rule(), vec(any::<u8>(), 0..9))
            .prop_map(|(rule, tables)| TableProperty::NextTables(rule, tables)),
        (rule(), ids()).prop_map(|(rule, ids)| TableProperty::WriteActions(rule, ids)),
        (rule(), ids()).prop_map(|(rule, ids)| TableProperty::ApplyActions(rule, ids)),
        headers().prop_map(TableProperty::Match),
        headers().prop_map(TableProperty::Wildcards),
        (rule(), headers()).prop_map(|(rule, ids)| TableProperty::WriteSetField(rule, ids)),
        (rule(), headers()).prop_map(|(rule, ids)| TableProperty::ApplySetField(rule, ids)),
    ];
    (any::<u8>(), name(), any::<(u64, u64, u32, u32)>(), vec(property, 0..8)).prop_map(
        |(table_id, name, n, properties)| TableFeatures {
            table_id,
            name,
            metadata_match: n.0,
            metadata_write: n.1,
            config: n.2,
            max_entries: n.3,
            properties,
        },
    )
}

fn request(version: Version) -> BoxedStrategy<MultipartRequest> {
    let v10 = version == Version::V10;
    let filter = (any::<(u8, u64, u64, bool)>(), port(), any_match())
        .prop_map(move |((table_id, cookie, cookie_mask, nxm), out_port, match_)| {
            let fixed = v10 && !nxm;
            let cookie_mask = if fixed { 0 } else { cookie_mask };
            FlowStatsRequest {
                table_id,
                out_port,
                out_group: if v10 { GROUP_ANY } else { 9 },
                cookie: if v10 { cookie & cookie_mask } else { cookie },
                cookie_mask,
                match_: if fixed { fixed_match(&match_) } else { match_ },
                format: if v10 && nxm { FlowFormat::Nxm } else { FlowFormat::Standard },
            }
        })
        .boxed();
    let common = prop_oneof![
        Just(MultipartRequest::Desc),
        filter.clone().prop_map(|filter| MultipartRequest::Flow(Box::new(filter))),
        filter.prop_map(|filter| MultipartRequest::Aggregate(Box::new(filter))),
        Just(MultipartRequest::Table),
        Just(MultipartRequest::PortDesc),
        prop_oneof![real_port(), Just(OfPort::ANY)].prop_map(MultipartRequest::Port),
        (prop_oneof![real_port(), Just(OfPort::ANY)], any::<u32>())
            .prop_map(|(port, queue_id)| MultipartRequest::Queue { port, queue_id }),
    ];
    if v10 {
        return prop_oneof![4 => common, 1 => groups::request(version)].boxed();
    }
    prop_oneof![
        4 => common,
        2 => groups::request(version),
        1 => any::<u32>().prop_map(MultipartRequest::Meter),
        1 => any::<u32>().prop_map(MultipartRequest::MeterConfig),
        1 => Just(MultipartRequest::MeterFeatures),
        1 => vec(table_features(), 0..3).prop_map(MultipartRequest::TableFeatures),
    ]
    .boxed()
}

fn role(version: Version) -> impl Strategy<Value = Role> {
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
        Version::V10 => nicira.boxed(),
        _ => prop_oneof![standard, nicira].boxed(),
    }
}

fn async_config(version: Version) -> impl Strategy<Value = AsyncConfig> {
    let masks = || {
        any::<(u32, u32, u32)>().prop_map(|(packet_in, port_status, flow_removed)| AsyncMasks {
            packet_in,
            port_status,
            flow_removed,
        })
    };
    (masks(), masks(), any::<bool>()).prop_map(move |(primary, secondary, nicira)| AsyncConfig {
        primary,
        secondary,
        origin: match version == Version::V10 || nicira {
            true => Origin::Nicira,
            false => Origin::Standard,
        },
    })
}

fn removed(version: Version) -> impl Strategy<Value = FlowRemoved> {
    let reason = prop::sample::select(vec![
        FlowRemovedReason::IdleTimeout,
        FlowRemovedReason::HardTimeout,
        FlowRemovedReason::Delete,
    ]);
    (any_match(), any::<(u64, u16, u32, u32, u16, u64)>(), reason).prop_map(
        move |(match_, n, reason)| {
            let v10 = version == Version::V10;
            FlowRemoved {
                match_: if v10 { fixed_match(&match_) } else { match_ },
                cookie: n.0,
                priority: n.1,
                reason,
                table_id: if v10 { TABLE_ALL } else { 4 },
                duration_sec: n.2,
                duration_nsec: n.3,
                idle_timeout: n.4,
                hard_timeout: if v10 { 0 } else { n.4 },
                packet_count: n.5,
                byte_count: n.0,
            }
        },
    )
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..80)
}

fn packet_in(version: Version) -> impl Strategy<Value = PacketIn> {
    (option::of(0..u32::MAX), any::<u16>(), real_port(), any_match(), any::<u64>(), bytes())
        .prop_map(move |(buffer_id, total_len, port, metadata, cookie, data)| {
            let v10 = version == Version::V10;
            PacketIn {
                buffer_id,
                total_len: total_len.into(),
                reason: PacketInReason::Action,
                table_id: if v10 { 0 } else { 3 },
                cookie: if v10 { u64::MAX } else { cookie },
                metadata: if v10 { metadata_of(port) } else { metadata },
                userdata: Vec::new(),
                data,
            }
        })
}

/// Messages of a version.
pub(crate) fn message(version: Version) -> BoxedStrategy<Message> {
    let v10 = version == Version::V10;
    let exists = move |kind: &OfErrorKind| {
        OfErrorKind::from_code(version, kind.code(version)) == Some(*kind)
    };
    let error = (prop::sample::select(OfErrorKind::ALL), bytes())
        .prop_filter("numbers stand for one reason", move |(kind, _)| exists(kind))
        .prop_map(|(kind, data)| Message::Error(OfError { kind, data }));
    let features = (any::<(u64, u32, u8, u32, u32)>(), vec(port_desc(version), 0..4)).prop_map(
        move |(n, ports)| {
            Message::FeaturesReply(FeaturesReply {
                datapath_id: n.0,
                n_buffers: n.1,
                n_tables: n.2,
                auxiliary_id: if v10 { 0 } else { n.2 },
                capabilities: Capabilities::from_bits_retain(n.3),
                actions: if v10 { n.4 } else { 0 },
                ports: if v10 { ports } else { Vec::new() },
            })
        },
    );
    let config = any::<(u16, u16)>()
        .prop_map(|(flags, miss_send_len)| SwitchConfig { flags: flags & 3, miss_send_len });
    let packet_out = (option::of(0..u32::MAX), real_port(), vec(action(version), 0..5), bytes())
        .prop_map(|(buffer_id, in_port, actions, data)| {
            Message::PacketOut(PacketOut { buffer_id, in_port, actions, data })
        });
    let port_mod = (port_desc(version), any::<u32>()).prop_map(move |(desc, mask)| {
        Message::PortMod(PortMod {
            port: desc.port,
            hw_addr: desc.hw_addr,
            config: desc.config,
            mask: PortConfig::from_bits_truncate(mask & if v10 { 0x7f } else { 0x65 }),
            advertise: desc.advertised,
        })
    });
    let queue_config = (real_port(), vec((any::<u32>(), option::of(0u16..1000)), 0..3)).prop_map(
        |(port, queues)| {
            let queue = |(queue_id, rate)| QueueConfig { queue_id, min_rate: rate, max_rate: rate };
            let queues = queues.into_iter().map(queue).collect();
            Message::QueueGetConfigReply(QueueGetConfigReply { port, queues })
        },
    );
    let status = port_desc(version)
        .prop_map(|desc| Message::PortStatus(PortStatus { reason: PortReason::Modify, desc }));
    let reply = (any::<bool>(), body(version))
        .prop_map(|(more, body)| Message::MultipartReply(MultipartReply { more, body }));
    let nicira = prop_oneof![
        any::<bool>().prop_map(Message::NxFlowModTableId),
        Just(Message::NxSetFlowFormat(FlowFormat::Nxm)),
        Just(Message::NxSetPacketInFormat(PacketInFormat::Nxt2)),
        any::<u16>().prop_map(Message::NxSetControllerId),
        Just(Message::NxFlowAge),
        vec((0u16..12, any::<u32>()), 0..4).prop_map(|all| {
            let property = |(kind, mask)| AsyncProperty { kind, mask };
            Message::NxSetAsync2(all.into_iter().map(property).collect())
        }),
        (2u32..9, any::<u32>(), bytes()).prop_map(|(vendor, subtype, data)| {
            Message::Experimenter(Experimenter { vendor, subtype, data })
        }),
    ];
    let common = prop_oneof![
        option::of(any::<u32>()).prop_map(|bitmap| Message::Hello(Hello { bitmap })),
        error,
        bytes().prop_map(Message::EchoRequest),
        bytes().prop_map(Message::EchoReply),
        features,
        config.clone().prop_map(Message::GetConfigReply),
        config.prop_map(Message::SetConfig),
        packet_in(version).prop_map(|packet| Message::PacketIn(Box::new(packet))),
        removed(version).prop_map(|removed| Message::FlowRemoved(Box::new(removed))),
        status,
        packet_out,
        port_mod,
        queue_config,
        (1u32..0xff00).prop_map(|port| Message::QueueGetConfigRequest(OfPort(port))),
        role(version).prop_map(Message::RoleRequest),
        role(version).prop_map(Message::RoleReply),
        async_config(version).prop_map(Message::SetAsync),
        nicira,
        prop::sample::select(vec![
            Message::FeaturesRequest,
            Message::GetConfigRequest,
            Message::BarrierRequest,
            Message::BarrierReply,
        ]),
    ];
    let large = prop_oneof![
        flow_mod(version).prop_map(|flow_mod| Message::FlowMod(Box::new(flow_mod))),
        request(version).prop_map(Message::MultipartRequest),
        reply,
    ];
    let group = groups::group_mod(version);
    if v10 {
        return prop_oneof![4 => common, 4 => large, 1 => group].boxed();
    }
    let meter = meter_config().prop_map(|config| {
        Message::MeterMod(MeterMod { command: MeterModCommand::Modify, config })
    });
    let newer = prop_oneof![
        group,
        meter,
        any::<(u8, u32)>()
            .prop_map(|(table_id, config)| Message::TableMod(TableMod { table_id, config })),
        Just(Message::GetAsyncRequest),
        async_config(version).prop_map(|config| {
            Message::GetAsyncReply(AsyncConfig { origin: Origin::Standard, ..config })
        }),
        (any::<(u32, u16, u16)>(), bytes()).prop_map(|((bundle_id, kind, flags), message)| {
            Message::Bundle(match kind % 2 {
                0 => BundleMessage::Control { bundle_id, kind, flags },
                _ => BundleMessage::Add { bundle_id, flags, message },
            })
        }),
    ];
    prop_oneof![2 => common, 2 => large, 1 => newer].boxed()
}

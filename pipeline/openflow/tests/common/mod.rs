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
    prop::sample::select(Version::ALL.to_vec())
}

/// A port that every version can say.
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
pub(crate) fn free_action(version: Version) -> BoxedStrategy<Action> {
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
            let pbb = if early {
                vec![Action::CopyTtlIn]
            } else {
                vec![Action::PushPbb(0x88e7), Action::PopPbb]
            };
            prop_oneof![
                8 => common_action(version),
                1 => prop::sample::select(vec![0x8100, 0x88a8]).prop_map(Action::PushVlan),
                1 => Just(Action::CopyTtlIn),
                1 => Just(Action::CopyTtlOut),
                2 => prop::sample::select(pbb),
            ]
            .boxed()
        }
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
        Version::V11 => prop_oneof![
            8 => free_action(version),
            1 => any::<u16>().prop_map(Action::SetTpSrc),
            1 => any::<u16>().prop_map(Action::SetTpDst),
            1 => Just(Action::PopVlan),
            1 => any::<u8>().prop_map(Action::SetNwTtl),
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
            let has_meters = version >= Version::V13;
            let meter =
                option::of(1..METER_MAX).prop_map(move |meter| meter.filter(|_| has_meters));
            let rest = (meter, option::of(6u8..255));
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
    let importance = any::<u16>();
    let buffer = option::of(0..u32::MAX);
    ((command, importance), numbers, buffer, port(), any_match(), instructions(version, true))
        .prop_map(move |(command, numbers, buffer_id, out_port, match_, instructions)| {
            let (command, importance) = command;
            let (cookie, cookie_mask, idle_timeout, hard_timeout, priority, flags) = numbers;
            let v10 = version == Version::V10;
            let is_add = command == FlowModCommand::Add;
            let known = match version {
                Version::V10 | Version::V11 => 3,
                Version::V12 => 7,
                _ => 0x1f,
            };
            let mut flags = FlowModFlags::from_bits_truncate(flags & known);
            if version < Version::V12 && is_add {
                flags |= FlowModFlags::RESET_COUNTS;
            }
            let delete = command.is_delete();
            let may_add = version == Version::V11 && command.is_modify() && priority % 2 == 0;
            let cookie_mask = if is_add || may_add { 0 } else { cookie_mask | 1 };
            FlowMod {
                command,
                cookie: match is_add || may_add {
                    true => 0,
                    false => cookie & if v10 { cookie_mask } else { !0 },
                },
                cookie_mask,
                new_cookie: (is_add || v10 || may_add).then_some(cookie >> 1),
                table_id: if v10 { TABLE_ALL } else { 5 },
                idle_timeout,
                hard_timeout,
                priority,
                buffer_id,
                out_port: if v10 || delete { out_port } else { OfPort::ANY },
                out_group: if delete && !v10 { 7 } else { GROUP_ANY },
                flags,
                importance: if version < Version::V14 { 0 } else { importance },
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
                idle_age: age.filter(|_| nxm || version == Version::V15),
                hard_age: age.filter(|_| nxm),
                flags: match version {
                    Version::V10 | Version::V11 | Version::V12 => FlowModFlags::empty(),
                    _ => FlowModFlags::from_bits_truncate(n.5),
                },
                importance: if version < Version::V14 { 0 } else { n.5 >> 1 },
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
            name: if version < Version::V13 { "table".into() } else { String::new() },
            wildcards: if v10 { n } else { 0 },
            abilities: abilities(version, n, count),
            max_entries: if version < Version::V13 { n } else { 0 },
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
            duration_sec: if version < Version::V13 { 0 } else { duration },
            ..PortStats::default()
        };
        MultipartBody::Port(ports.into_iter().map(stats).collect())
    });
    let queues = vec((port(), any::<(u32, u64, u32)>()), 0..4).prop_map(move |queues| {
        let stats = |(port, n): (OfPort, (u32, u64, u32))| QueueStats {
            port,
            queue_id: n.0,
            tx_bytes: n.1,
            duration_nsec: if version < Version::V13 { 0 } else { n.2 },
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
    let groups = groups::reply(version);
    if version < Version::V13 {
        return prop_oneof![4 => common, 1 => groups, 1 => updates(version)].boxed();
    }
    let from13 = prop_oneof![
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
        1 => vec(table_features(version), 0..3).prop_map(MultipartBody::TableFeatures),
    ];
    let early = prop_oneof![
        4 => common, 1 => groups, 2 => from13, 1 => updates(version)
    ];
    if version == Version::V13 {
        return early.boxed();
    }
    let queue = (port(), any::<u32>(), option::of(any::<u16>()), option::of(any::<u16>()));
    let from14 = prop_oneof![
        vec(table_mod(version), 1..3).prop_map(MultipartBody::TableDesc),
        vec(queue, 0..3).prop_map(|queues| {
            let desc = |(port, queue_id, min_rate, max_rate)| QueueDesc {
                port,
                config: QueueConfig { queue_id, min_rate, max_rate },
            };
            MultipartBody::QueueDesc(queues.into_iter().map(desc).collect())
        }),
    ];
    if version == Version::V14 {
        return prop_oneof![6 => early, 1 => from14].boxed();
    }
    let counters = flow_stats(version, FlowFormat::Standard).prop_map(|flow| FlowStats {
        table_id: flow.table_id,
        priority: flow.priority,
        match_: flow.match_,
        duration_sec: flow.duration_sec,
        duration_nsec: flow.duration_nsec,
        idle_age: flow.idle_age,
        packet_count: flow.packet_count,
        byte_count: flow.byte_count,
        ..FlowStats::default()
    });
    let from15 = prop_oneof![
        vec(counters, 0..3).prop_map(MultipartBody::FlowCounters),
        any::<u16>().prop_map(MultipartBody::BundleFeatures),
    ];
    prop_oneof![6 => early, 1 => from14, 1 => from15].boxed()
}

fn abilities(version: Version, n: u32, many: u64) -> TableAbilities {
    let early = TableAbilities {
        match_fields: n.into(),
        wildcards: n.into(),
        instructions: n,
        write_actions: n,
        apply_actions: !n,
        config: n,
        ..TableAbilities::default()
    };
    match version {
        Version::V11 => early,
        Version::V12 => TableAbilities {
            match_fields: many,
            wildcards: !many,
            write_setfields: many,
            apply_setfields: many,
            metadata_match: many,
            metadata_write: !many,
            ..early
        },
        _ => TableAbilities::default(),
    }
}

fn table_mod(version: Version) -> impl Strategy<Value = TableMod> {
    let vacancy = (0u8..=100, 0u8..=100, any::<u8>()).prop_map(|(a, b, current)| Vacancy {
        down: a.min(b),
        up: a.max(b),
        current,
    });
    (any::<(u8, u32)>(), option::of(0u32..8), option::of(vacancy)).prop_map(
        move |((table_id, config), eviction, vacancy)| TableMod {
            table_id,
            config: TableConfig::from_bits_retain(config),
            eviction: eviction.filter(|_| version >= Version::V14),
            vacancy: vacancy.filter(|_| version >= Version::V14),
        },
    )
}

/// Replies of flow monitors.
fn updates(version: Version) -> BoxedStrategy<MultipartBody> {
    let standard = version >= Version::V14;
    let event = (0u8..4).prop_map(move |n| match n {
        0 if standard => FlowEvent::Initial,
        2 => FlowEvent::Removed(FlowRemovedReason::HardTimeout),
        3 => FlowEvent::Modified,
        _ => FlowEvent::Added,
    });
    let rule = flow_stats(version, FlowFormat::Nxm);
    let full = (event, rule).prop_map(move |(event, rule)| {
        let mut instructions = rule.instructions;
        if version < Version::V13 {
            // There rules are told as 1.0 has them.
            instructions = Instructions {
                apply: instructions.apply,
                metadata: instructions.metadata.filter(|_| version == Version::V10),
                ..Instructions::default()
            };
        }
        FlowUpdate::Full {
            event,
            table_id: rule.table_id,
            idle_timeout: rule.idle_timeout,
            hard_timeout: rule.hard_timeout,
            priority: rule.priority,
            cookie: rule.cookie,
            match_: rule.match_,
            instructions,
        }
    });
    let paused = if standard { FlowUpdate::Paused } else { FlowUpdate::Abbrev { xid: 9 } };
    let update = prop_oneof![
        4 => full,
        1 => any::<u32>().prop_map(|xid| FlowUpdate::Abbrev { xid }),
        1 => Just(paused),
    ];
    vec(update, 0..4).prop_map(MultipartBody::FlowMonitor).boxed()
}

fn monitor_request(version: Version) -> BoxedStrategy<FlowMonitorRequest> {
    let standard = version >= Version::V14;
    let flags = (1u16..8, 0u16..16);
    (any::<(u32, u8)>(), flags, port(), any_match(), 0u8..3)
        .prop_map(move |((monitor_id, table_id), flags, out_port, match_, command)| {
            let bits = flags.0 << 1 | (flags.1 & 1) | (flags.1 & 6) << 3 | (flags.1 & 8) << 3;
            let flags = MonitorFlags::from_bits_truncate(bits);
            let command = match command {
                1 if standard => MonitorCommand::Modify,
                2 if standard => MonitorCommand::Delete,
                _ => MonitorCommand::Add,
            };
            let named = FlowMonitorRequest {
                monitor_id,
                command,
                flags: MonitorFlags::empty(),
                out_port: OfPort::ANY,
                out_group: GROUP_ANY,
                table_id: TABLE_ALL,
                match_: Match::default(),
            };
            if command == MonitorCommand::Delete {
                return named;
            }
            FlowMonitorRequest {
                flags: if standard { flags } else { flags - MonitorFlags::ONLY_OWN },
                out_port,
                out_group: if standard { 7 } else { GROUP_ANY },
                table_id,
                match_,
                ..named
            }
        })
        .boxed()
}

fn table_features(version: Version) -> impl Strategy<Value = TableFeatures> {
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
        move |(table_id, name, n, properties)| TableFeatures {
            table_id,
            name,
            command: if version == Version::V15 { 2 } else { 0 },
            features: if version == Version::V15 { n.2 >> 4 } else { 0 },
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
        filter.clone().prop_map(|filter| MultipartRequest::Aggregate(Box::new(filter))),
        vec(monitor_request(version), 1..3).prop_map(MultipartRequest::FlowMonitor),
        Just(MultipartRequest::Table),
        real_port().prop_map(move |port| {
            MultipartRequest::PortDesc(if version == Version::V15 { port } else { OfPort::ANY })
        }),
        prop_oneof![real_port(), Just(OfPort::ANY)].prop_map(MultipartRequest::Port),
        (prop_oneof![real_port(), Just(OfPort::ANY)], any::<u32>())
            .prop_map(|(port, queue_id)| MultipartRequest::Queue { port, queue_id }),
    ];
    if v10 {
        return prop_oneof![4 => common, 1 => groups::request(version)].boxed();
    }
    let groups = groups::request(version);
    if version < Version::V13 {
        return prop_oneof![4 => common, 1 => groups].boxed();
    }
    let from13 = prop_oneof![
        any::<u32>().prop_map(MultipartRequest::Meter),
        any::<u32>().prop_map(MultipartRequest::MeterConfig),
        Just(MultipartRequest::MeterFeatures),
        vec(table_features(version), 0..3).prop_map(MultipartRequest::TableFeatures),
    ];
    if version == Version::V13 {
        return prop_oneof![4 => common, 1 => groups, 2 => from13].boxed();
    }
    let from14 = prop_oneof![
        Just(MultipartRequest::TableDesc),
        (port(), any::<u32>())
            .prop_map(|(port, queue_id)| MultipartRequest::QueueDesc { port, queue_id }),
    ];
    if version == Version::V14 {
        return prop_oneof![4 => common, 1 => groups, 2 => from13, 1 => from14].boxed();
    }
    let from15 = prop_oneof![
        filter.prop_map(|filter| MultipartRequest::FlowCounters(Box::new(filter))),
        any::<u32>().prop_map(MultipartRequest::BundleFeatures),
    ];
    prop_oneof![4 => common, 1 => groups, 2 => from13, 1 => from14, 1 => from15].boxed()
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
        Version::V10 | Version::V11 => nicira.boxed(),
        _ => prop_oneof![standard, nicira].boxed(),
    }
}

/// The masks of 1.3 and of Nicira's message: three, of any bits.
fn async_config() -> impl Strategy<Value = AsyncConfig> {
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
fn async_properties() -> impl Strategy<Value = Vec<AsyncProperty>> {
    let property = (0u16..12, any::<u32>()).prop_map(|(kind, mask)| {
        let allowed = *AsyncMasks::ALL.clone().of_property(kind / 2).expect("a property");
        AsyncProperty { kind, mask: mask & allowed }
    });
    vec(property, 0..4)
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
                hard_timeout: if version < Version::V12 { 0 } else { n.4 },
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
                cookie: if version < Version::V13 { u64::MAX } else { cookie },
                metadata: if version < Version::V12 { metadata_of(port) } else { metadata },
                userdata: Vec::new(),
                continuation: Vec::new(),
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
                auxiliary_id: if version < Version::V13 { 0 } else { n.2 },
                capabilities: Capabilities::from_bits_retain(n.3),
                actions: if v10 { n.4 } else { 0 },
                ports: if version < Version::V13 { ports } else { Vec::new() },
            })
        },
    );
    let config = any::<(u16, u16)>()
        .prop_map(|(flags, miss_send_len)| SwitchConfig { flags: flags & 3, miss_send_len });
    let packet_out = (option::of(0..u32::MAX), real_port(), vec(action(version), 0..5), bytes())
        .prop_map(move |(buffer_id, in_port, actions, data)| {
            let mut metadata = None;
            if version == Version::V15 && !data.is_empty() {
                let mut match_ = Match::default();
                match_.set_exact(Field::Reg3, data.len() as u128);
                match_.set(Field::Metadata, 5, 7);
                metadata = Some(Box::new(match_));
            }
            Message::PacketOut(PacketOut { buffer_id, in_port, metadata, actions, data })
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
        async_properties().prop_map(Message::SetAsyncProperties),
        any::<u32>().prop_map(move |id| match version {
            Version::V14 | Version::V15 => Message::NxFlowAge,
            _ => Message::FlowMonitorCancel(id),
        }),
        bytes().prop_map(|request| Message::RequestForward(RequestForward { request })),
        (0u8..3, option::of(0..u64::MAX)).prop_map(|(n, generation_id)| {
            let (role, reason) = match n {
                0 => (ControllerRole::Equal, RoleReason::PrimaryRequest),
                1 => (ControllerRole::Primary, RoleReason::Config),
                _ => (ControllerRole::Secondary, RoleReason::Experimenter),
            };
            Message::RoleStatus(RoleStatus { role, reason, generation_id })
        }),
        (any::<(u32, u16, u16)>(), bytes()).prop_map(|((bundle_id, kind, flags), message)| {
            Message::Bundle(match kind % 2 {
                0 => BundleMessage::Control { bundle_id, kind, flags },
                _ => BundleMessage::Add { bundle_id, flags, message },
            })
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
        role(version).prop_map(Message::RoleRequest),
        role(version).prop_map(Message::RoleReply),
        async_config().prop_map(move |config| {
            let origin = match version {
                Version::V13 => config.origin,
                _ => Origin::Nicira,
            };
            Message::SetAsync(AsyncConfig { origin, ..config })
        }),
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
    let old = prop_oneof![
        queue_config,
        (1u32..0xff00).prop_map(|port| Message::QueueGetConfigRequest(OfPort(port))),
    ];
    if v10 {
        return prop_oneof![8 => common, 8 => large, 1 => old, 1 => group].boxed();
    }
    let meter = meter_config().prop_map(|config| {
        Message::MeterMod(MeterMod { command: MeterModCommand::Modify, config })
    });
    let tables = table_mod(version).prop_map(|mut table| {
        // How much is free is for the switch to say.
        table.vacancy = table.vacancy.map(|vacancy| Vacancy { current: 0, ..vacancy });
        Message::TableMod(table)
    });
    let from11 = prop_oneof![group, tables];
    if version < Version::V13 {
        return prop_oneof![8 => common, 8 => large, 1 => old, 4 => from11].boxed();
    }
    let from13 = prop_oneof![
        meter,
        Just(Message::GetAsyncRequest),
        (async_config(), async_properties()).prop_map(move |(config, properties)| {
            let mut config = AsyncConfig { origin: Origin::Standard, ..config };
            if version >= Version::V14 {
                config = AsyncConfig::default();
                properties.into_iter().for_each(|property| assert!(config.set(property)));
            }
            Message::GetAsyncReply(config)
        }),
    ];
    if version == Version::V13 {
        return prop_oneof![8 => common, 8 => large, 1 => old, 4 => from11, 4 => from13].boxed();
    }
    let status = (table_mod(version), any::<bool>()).prop_map(|(table, down)| {
        let reason = if down { TableReason::VacancyDown } else { TableReason::VacancyUp };
        Message::TableStatus(TableStatus { reason, table })
    });
    prop_oneof![8 => common, 8 => large, 4 => from11, 4 => from13, 1 => status].boxed()
}

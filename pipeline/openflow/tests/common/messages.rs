//! Arbitrary messages of a version.

use flow::{Field, Match};
use openflow::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{
    actions::action,
    bytes,
    config::{async_config, async_properties, role},
    flows::{flow_mod, removed},
    groups,
    matches::any_match,
    meters::meter_config,
    multipart::{body, request},
    ports::{port_desc, real_port},
    tables::table_mod,
};

pub(super) fn packet_in(version: Version) -> impl Strategy<Value = PacketIn> {
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
    let command = prop::sample::select(vec![
        TlvTableCommand::Add,
        TlvTableCommand::Delete,
        TlvTableCommand::Clear,
    ]);
    let nicira = prop_oneof![
        any::<bool>().prop_map(Message::NxFlowModTableId),
        Just(Message::NxSetFlowFormat(FlowFormat::Nxm)),
        Just(Message::NxSetPacketInFormat(PacketInFormat::Nxt2)),
        any::<u16>().prop_map(Message::NxSetControllerId),
        Just(Message::NxTlvTableRequest),
        (command, vec(tlv(), 0..5)).prop_map(|(command, mappings)| {
            Message::NxTlvTableMod(TlvTableMod { command, mappings })
        }),
        vec(tlv(), 0..5).prop_map(|mappings| {
            let max_fields = 64;
            Message::NxTlvTableReply(TlvTableReply { max_option_space: 256, max_fields, mappings })
        }),
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

/// An option that the tool takes: of a length that there is, for a field that there is.
fn tlv() -> impl Strategy<Value = TlvMapping> {
    (any::<(u16, u8)>(), 1u8..32, 0u16..64).prop_map(|((class, kind), words, index)| TlvMapping {
        class,
        kind,
        len: 4 * words,
        index,
    })
}

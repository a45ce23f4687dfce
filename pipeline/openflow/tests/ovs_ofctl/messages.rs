//! The messages of the golden files.

use flow::text::{NoNames, parse_match};
use openflow::*;

fn flow_mod(text: &str, version: Version) -> Message {
    let mut flow_mod = text::parse_flow(text, FlowModCommand::Add).expect(text);
    flow_mod.flags.set(FlowModFlags::RESET_COUNTS, version == Version::V11);
    Message::FlowMod(Box::new(flow_mod))
}

/// As [`flow_mod`], in the form that 1.0 decodes: no table, counters reset.
fn flow_mod10(text: &str) -> Message {
    let mut flow_mod = text::parse_flow(text, FlowModCommand::Add).expect(text);
    flow_mod.flags |= FlowModFlags::RESET_COUNTS;
    flow_mod.table_id = TABLE_ALL;
    Message::FlowMod(Box::new(flow_mod))
}

fn flow_stats(text: &str) -> FlowStats {
    let flow_mod = text::parse_flow(text, FlowModCommand::Add).expect(text);
    FlowStats {
        table_id: flow_mod.table_id,
        duration_sec: 3,
        duration_nsec: 500_000_000,
        priority: flow_mod.priority,
        idle_timeout: flow_mod.idle_timeout,
        cookie: flow_mod.new_cookie.unwrap_or(0),
        packet_count: 7,
        byte_count: 420,
        match_: flow_mod.match_,
        instructions: flow_mod.instructions,
        ..FlowStats::default()
    }
}

fn reply(body: MultipartBody) -> Message {
    Message::MultipartReply(MultipartReply { more: false, body })
}

fn desc() -> PortDesc {
    PortDesc {
        port: OfPort(1),
        hw_addr: [2, 0, 0, 0, 0, 1],
        name: "eth1".into(),
        config: PortConfig::NO_FWD,
        state: PortState::LINK_DOWN,
        curr: PortFeatures::FD_10G | PortFeatures::COPPER,
        advertised: PortFeatures::FD_1G,
        supported: PortFeatures::FD_10G,
        peer: PortFeatures::empty(),
        ..PortDesc::default()
    }
}

/// Messages by name.
pub(crate) fn all(version: Version) -> Vec<(&'static str, Message)> {
    let mut all = both(version);
    all.extend(if version == Version::V10 { only10() } else { from11(version) });
    all.extend(crate::newer::all(version));
    // A message that the version has in another way would not come back as it was.
    all.retain(|(name, message)| exists(name, message, version));
    all
}

/// Whether a version has the message in this form.
fn exists(name: &str, message: &Message, version: Version) -> bool {
    let kind = match message {
        Message::MultipartRequest(request) => Some(request.kind()),
        Message::MultipartReply(reply) => Some(reply.body.kind()),
        _ => None,
    };
    let since = match message {
        Message::GetAsyncRequest | Message::GetAsyncReply(_) | Message::MeterMod(_) => Version::V13,
        Message::SetAsync(config) if config.origin == Origin::Standard => Version::V13,
        Message::RoleRequest(role) | Message::RoleReply(role)
            if role.origin == Origin::Standard =>
        {
            Version::V12
        }
        Message::TableStatus(_) => Version::V14,
        Message::Bundle(_) | Message::RoleStatus(_) => Version::V13,
        _ => match kind {
            Some(MultipartKind::GroupFeatures) => Version::V12,
            Some(
                MultipartKind::Meter
                | MultipartKind::MeterConfig
                | MultipartKind::MeterFeatures
                | MultipartKind::TableFeatures,
            ) => Version::V13,
            Some(MultipartKind::TableDesc | MultipartKind::QueueDesc) => Version::V14,
            Some(MultipartKind::FlowCounters | MultipartKind::BundleFeatures) => Version::V15,
            _ => Version::V10,
        },
    };
    let last = match message {
        Message::QueueGetConfigRequest(_) | Message::QueueGetConfigReply(_) => Version::V13,
        Message::SetAsync(config) if config.origin == Origin::Standard => Version::V13,
        Message::FlowMonitorPaused | Message::FlowMonitorResumed => Version::V13,
        _ => Version::V15,
    };
    // 1.1 and 1.2 say nothing of meters.
    let has_meter = name.contains("instructions") || name == "flow reply";
    (since..=last).contains(&version) && !(has_meter && version < Version::V13)
}

/// What every version can say.
fn async_config() -> AsyncConfig {
    let AsyncConfig { primary, .. } = AsyncConfig::initial();
    AsyncConfig { primary: AsyncMasks { flow_stats: 0, ..primary }, ..AsyncConfig::initial() }
}

fn both(version: Version) -> Vec<(&'static str, Message)> {
    let v10 = version == Version::V10;
    let bad_request =
        OfError { kind: OfErrorKind::RequestBadType, data: vec![1, 99, 0, 8, 0, 0, 0, 1] };
    let bad_prereq =
        OfError { kind: OfErrorKind::MatchBadPrereq, data: vec![4, 14, 0, 8, 0, 0, 0, 1] };
    let switch_desc = SwitchDesc {
        manufacturer: "A maker".into(),
        hardware: "Virtual machine".into(),
        software: "1.0".into(),
        serial: "None".into(),
        datapath: "br0".into(),
    };
    let port_stats = PortStats {
        port: OfPort(1),
        rx_packets: 1,
        tx_packets: 2,
        rx_bytes: 3,
        tx_bytes: 4,
        duration_sec: if version < Version::V13 { 0 } else { 5 },
        collisions: u64::MAX,
        ..PortStats::default()
    };
    let features = FeaturesReply {
        datapath_id: 0x1234,
        n_tables: 254,
        capabilities: Capabilities::FLOW_STATS | Capabilities::PORT_STATS,
        actions: if v10 { 0xfff } else { 0 },
        ports: if version < Version::V13 { vec![desc()] } else { Vec::new() },
        ..FeaturesReply::default()
    };
    let packet_out = PacketOut {
        buffer_id: None,
        in_port: OfPort::CONTROLLER,
        metadata: None,
        actions: text::parse_actions("output:3,set_field:5->reg0,NORMAL", &NoNames)
            .expect("actions"),
        data: vec![0xff; 20],
    };
    vec![
        ("hello", Message::Hello(Hello { bitmap: Some(0x12) })),
        ("error", Message::Error(bad_request)),
        ("error that 1.0 lacks", Message::Error(bad_prereq)),
        ("echo request", Message::EchoRequest(vec![1, 2, 3])),
        ("features request", Message::FeaturesRequest),
        ("features reply", Message::FeaturesReply(features)),
        ("get config", Message::GetConfigRequest),
        (
            "set config",
            Message::SetConfig(SwitchConfig { flags: frag::NORMAL, miss_send_len: 128 }),
        ),
        ("port status", Message::PortStatus(PortStatus { reason: PortReason::Add, desc: desc() })),
        ("packet out", Message::PacketOut(packet_out)),
        (
            "port mod",
            Message::PortMod(PortMod {
                port: OfPort(3),
                hw_addr: [2, 0, 0, 0, 0, 3],
                config: PortConfig::PORT_DOWN,
                mask: PortConfig::PORT_DOWN,
                advertise: PortFeatures::empty(),
            }),
        ),
        ("barrier request", Message::BarrierRequest),
        ("barrier reply", Message::BarrierReply),
        ("queue config request", Message::QueueGetConfigRequest(OfPort(1))),
        (
            "queue config reply",
            Message::QueueGetConfigReply(QueueGetConfigReply {
                port: OfPort(1),
                queues: vec![QueueConfig { queue_id: 4, min_rate: Some(100), max_rate: None }],
            }),
        ),
        ("set packet-in format", Message::NxSetPacketInFormat(PacketInFormat::Nxt)),
        ("set controller id", Message::NxSetControllerId(7)),
        (
            "TLV table mod",
            Message::NxTlvTableMod(TlvTableMod {
                command: TlvTableCommand::Add,
                mappings: vec![TlvMapping { class: 0xffff, kind: 7, len: 4, index: 1 }],
            }),
        ),
        ("TLV table request", Message::NxTlvTableRequest),
        (
            "TLV table reply",
            Message::NxTlvTableReply(TlvTableReply {
                max_option_space: 8,
                max_fields: 2,
                mappings: vec![TlvMapping { class: 0xffff, kind: 7, len: 4, index: 1 }],
            }),
        ),
        ("desc request", Message::MultipartRequest(MultipartRequest::Desc)),
        ("desc reply", reply(MultipartBody::Desc(switch_desc))),
        ("port stats request", Message::MultipartRequest(MultipartRequest::Port(OfPort::ANY))),
        ("port stats reply", reply(MultipartBody::Port(vec![port_stats]))),
        ("port desc request", Message::MultipartRequest(MultipartRequest::PortDesc(OfPort::ANY))),
        ("port desc reply", reply(MultipartBody::PortDesc(vec![desc()]))),
        (
            "queue stats request",
            Message::MultipartRequest(MultipartRequest::Queue {
                port: OfPort::ANY,
                queue_id: QUEUE_ALL,
            }),
        ),
        ("table stats request", Message::MultipartRequest(MultipartRequest::Table)),
        (
            "aggregate reply",
            reply(MultipartBody::Aggregate(
                FlowFormat::Standard,
                AggregateStats { packet_count: 1, byte_count: 2, flow_count: 3 },
            )),
        ),
    ]
}

fn only10() -> Vec<(&'static str, Message)> {
    let nicira = |role| Role { role, generation_id: None, origin: Origin::Nicira };
    let ip = parse_match("ip,in_port=1,nw_src=10.0.0.0/8", &NoNames).expect("a match");
    let ipv6 = parse_match("tcp6,ipv6_src=fe80::/64,reg0=5", &NoNames).expect("a match");
    let request = FlowStatsRequest {
        table_id: TABLE_ALL,
        out_port: OfPort::ANY,
        out_group: GROUP_ANY,
        cookie: 0,
        cookie_mask: 0,
        match_: ip,
        format: FlowFormat::Standard,
    };
    let nxm_request = FlowStatsRequest {
        cookie: 5,
        cookie_mask: u64::MAX,
        match_: ipv6,
        format: FlowFormat::Nxm,
        ..request.clone()
    };
    let table = TableStats {
        table_id: 0,
        name: "classifier".into(),
        wildcards: 0x3f_ffff,
        abilities: TableAbilities::default(),
        max_entries: 1_000_000,
        active_count: 1,
        lookup_count: 2,
        matched_count: 3,
    };
    let removed = FlowRemoved {
        match_: ip,
        cookie: 5,
        priority: 10,
        reason: FlowRemovedReason::IdleTimeout,
        table_id: TABLE_ALL,
        duration_sec: 10,
        duration_nsec: 5_000_000,
        idle_timeout: 10,
        hard_timeout: 0,
        packet_count: 1,
        byte_count: 60,
    };
    let packet = PacketIn {
        buffer_id: None,
        total_len: 60,
        reason: PacketInReason::NoMatch,
        table_id: 0,
        cookie: u64::MAX,
        metadata: metadata_of(OfPort(3)),
        userdata: Vec::new(),
        continuation: Vec::new(),
        data: vec![0xff; 20],
    };
    let actions = "cookie=5,idle_timeout=60,priority=10,tcp,nw_src=10.0.0.0/8,dl_vlan=5,tp_dst=80,\
        actions=mod_vlan_vid:6,mod_vlan_pcp:3,strip_vlan,mod_dl_src:02:00:00:00:00:01,\
        mod_nw_dst:1.2.3.4,mod_nw_tos:16,mod_tp_src:99,enqueue:2:3,output:4,controller:100,\
        load:0x5->NXM_NX_REG1[],resubmit(,3),set_queue:2,dec_ttl,set_tunnel:7,note:01,exit";
    let flows = [actions, "arp,arp_op=1,arp_spa=1.2.3.4,actions=FLOOD", "actions=drop"];
    let nxm_flows = [
        actions,
        "table=3,udp6,ipv6_dst=::1,ipv6_label=5,actions=set_field:::1->ipv6_src,\
         move:NXM_NX_REG0[0..15]->NXM_NX_REG1[16..31],push:NXM_NX_REG2[],controller(id=3,reason=no_match)",
        "vlan_tci=0x1005/0x1fff,metadata=5,reg15=0x10/0xff,actions=IN_PORT",
    ];
    let stats = |format, flows: &[&str]| {
        let mut flows: Vec<FlowStats> = flows.iter().map(|text| flow_stats(text)).collect();
        if format == FlowFormat::Nxm {
            flows.iter_mut().for_each(|flow| flow.idle_age = Some(4));
        }
        reply(MultipartBody::Flow(format, flows))
    };
    vec![
        ("flow mod", flow_mod10(actions)),
        ("flow mod, no tag", flow_mod10("dl_vlan=0xffff,ip,nw_proto=1,icmp_type=8,actions=ALL")),
        ("flow mod, NXM", flow_mod10("tcp6,ipv6_src=fe80::/64,reg0=5/7,actions=set_field:5->reg1")),
        ("flow request", Message::MultipartRequest(MultipartRequest::Flow(Box::new(request)))),
        (
            "flow request, NXM",
            Message::MultipartRequest(MultipartRequest::Aggregate(Box::new(nxm_request))),
        ),
        ("flow reply", stats(FlowFormat::Standard, &flows)),
        ("flow reply, NXM", stats(FlowFormat::Nxm, &nxm_flows)),
        ("table reply", reply(MultipartBody::Table(vec![table]))),
        ("flow removed", Message::FlowRemoved(Box::new(removed))),
        ("packet in", Message::PacketIn(Box::new(packet))),
        ("role request", Message::RoleRequest(nicira(ControllerRole::Primary))),
        ("set flow format", Message::NxSetFlowFormat(FlowFormat::Nxm)),
        ("flow mod table id", Message::NxFlowModTableId(true)),
        ("flow age", Message::NxFlowAge),
        (
            "set async config",
            Message::SetAsync(AsyncConfig { origin: Origin::Nicira, ..async_config() }),
        ),
    ]
}

fn from11(version: Version) -> Vec<(&'static str, Message)> {
    let role = |role, id| Role { role, generation_id: id, origin: Origin::Standard };
    let ipv6 = parse_match("icmp6,icmp_type=135,icmp_code=0,nd_target=fe80::1,reg0=5", &NoNames);
    let ipv6 = ipv6.expect("a match");
    let request = FlowStatsRequest {
        table_id: 3,
        out_port: OfPort(5),
        out_group: GROUP_ANY,
        cookie: 5,
        cookie_mask: 0xff,
        match_: ipv6,
        format: FlowFormat::Standard,
    };
    let flows = [
        "cookie=5,idle_timeout=60,priority=10,tcp,nw_src=10.0.0.0/8,dl_vlan=5,dl_vlan_pcp=3,tp_dst=80,\
         actions=pop_vlan,push_vlan:0x88a8,set_field:4101->vlan_vid,set_field:7->ip_dscp,\
         set_field:80->tcp_src,dec_ttl,mod_nw_ttl:3,group:4,set_queue:5,output:4,\
         load:0x5->NXM_NX_REG1[0..3],resubmit(,3),note:01",
        "table=2,mpls,mpls_label=5,mpls_bos=1,actions=set_field:6->mpls_label,dec_mpls_ttl,pop_mpls:0x0800",
        "actions=meter:3,clear_actions,write_actions(output:2),write_metadata:0x5/0xff,goto_table:9",
        "table=3,arp,arp_op=1,arp_sha=02:00:00:00:00:00/ff:00:00:00:00:00,actions=CONTROLLER:100",
        "vlan_tci=0x1000/0x1000,actions=controller(reason=invalid_ttl,max_len=7,id=9)",
        "tcp,tcp_flags=+syn-ack,metadata=0x5/0xff,tun_id=9,actions=drop",
    ];
    let removed = FlowRemoved {
        match_: ipv6,
        cookie: 5,
        priority: 10,
        reason: FlowRemovedReason::Delete,
        table_id: 4,
        duration_sec: 10,
        duration_nsec: 0,
        idle_timeout: 10,
        hard_timeout: 20,
        packet_count: 1,
        byte_count: 60,
    };
    let mut metadata = metadata_of(OfPort(3));
    metadata.set_exact(flow::Field::Metadata, 7);
    let packet = PacketIn {
        buffer_id: None,
        total_len: 60,
        reason: PacketInReason::Action,
        table_id: 9,
        cookie: 5,
        metadata,
        userdata: Vec::new(),
        continuation: Vec::new(),
        data: vec![0xff; 20],
    };
    let bucket = Bucket {
        bucket_id: 0,
        weight: 100,
        watch_port: OfPort::ANY,
        watch_group: GROUP_ANY,
        actions: vec![Action::output(OfPort(1))],
    };
    let meter = MeterConfig {
        flags: MeterFlags::KBPS | MeterFlags::BURST,
        meter_id: 7,
        bands: vec![
            MeterBand { kind: BandKind::Drop, rate: 1000, burst_size: 10 },
            MeterBand { kind: BandKind::DscpRemark(2), rate: 500, burst_size: 20 },
        ],
    };
    let group_features = GroupFeatures {
        types: 0xf,
        capabilities: GroupCapabilities::CHAINING,
        max_groups: [1, 2, 3, 4],
        actions: [1, 2, 4, 8],
    };
    let fields = [flow::Field::InPort, flow::Field::EthDst, flow::Field::Reg0];
    let headers = TableProperty::headers(fields, Version::V13);
    let mut properties = Vec::new();
    for rule in [RuleKind::Regular, RuleKind::Miss] {
        properties.extend([
            TableProperty::Instructions(rule, vec![1, 2, 3, 4, 5]),
            TableProperty::NextTables(rule, vec![1, 2, 3]),
            TableProperty::WriteActions(rule, vec![0, 25]),
            TableProperty::ApplyActions(rule, vec![0, 25]),
            TableProperty::WriteSetField(rule, headers.clone()),
            TableProperty::ApplySetField(rule, headers.clone()),
        ]);
    }
    properties.extend([TableProperty::Match(headers.clone()), TableProperty::Wildcards(headers)]);
    let table_features = TableFeatures {
        table_id: 0,
        name: "table0".into(),
        command: 0,
        features: 0,
        metadata_match: u64::MAX,
        metadata_write: u64::MAX,
        config: 0,
        max_entries: 1_000_000,
        properties,
    };
    let table = TableStats {
        table_id: 1,
        active_count: 1,
        lookup_count: 2,
        matched_count: 3,
        ..TableStats::default()
    };
    let names = [
        "flow mod",
        "flow mod, MPLS",
        "flow mod, instructions",
        "flow mod, ARP",
        "flow mod, controller",
        "flow mod, drop",
    ];
    let mut all: Vec<(&str, Message)> =
        names.into_iter().zip(flows.iter().map(|text| flow_mod(text, version))).collect();
    all.extend([
        (
            "flow reply",
            reply(MultipartBody::Flow(
                FlowFormat::Standard,
                flows.iter().map(|text| flow_stats(text)).collect(),
            )),
        ),
        ("flow request", Message::MultipartRequest(MultipartRequest::Flow(Box::new(request)))),
        ("flow removed", Message::FlowRemoved(Box::new(removed))),
        ("packet in", Message::PacketIn(Box::new(packet))),
        ("role request", Message::RoleRequest(role(ControllerRole::Primary, Some(5)))),
        ("role reply", Message::RoleReply(role(ControllerRole::Equal, None))),
        ("get async request", Message::GetAsyncRequest),
        ("get async reply", Message::GetAsyncReply(async_config())),
        ("set async", Message::SetAsync(async_config())),
        (
            "group mod",
            Message::GroupMod(GroupMod {
                command: GroupModCommand::Add,
                group_type: GroupType::Select,
                group_id: 5,
                buckets: vec![bucket.clone()],
                ..GroupMod::default()
            }),
        ),
        ("table mod", Message::TableMod(TableMod { table_id: 3, ..TableMod::default() })),
        (
            "meter mod",
            Message::MeterMod(MeterMod { command: MeterModCommand::Add, config: meter.clone() }),
        ),
        ("table reply", reply(MultipartBody::Table(vec![table]))),
        (
            "group reply",
            reply(MultipartBody::Group(vec![GroupStats {
                group_id: 5,
                ref_count: 1,
                packet_count: 2,
                byte_count: 3,
                duration_sec: 4,
                duration_nsec: 0,
                buckets: vec![(1, 2)],
            }])),
        ),
        (
            "group desc reply",
            reply(MultipartBody::GroupDesc(vec![GroupDesc {
                group_type: GroupType::Select,
                group_id: 5,
                buckets: vec![bucket],
                selection: Selection::default(),
            }])),
        ),
        ("group features reply", reply(MultipartBody::GroupFeatures(group_features))),
        (
            "meter reply",
            reply(MultipartBody::Meter(vec![MeterStats {
                meter_id: 7,
                flow_count: 1,
                packet_in_count: 2,
                byte_in_count: 3,
                duration_sec: 4,
                duration_nsec: 0,
                bands: vec![(1, 2)],
            }])),
        ),
        ("meter config reply", reply(MultipartBody::MeterConfig(vec![meter]))),
        (
            "meter features reply",
            reply(MultipartBody::MeterFeatures(MeterFeatures {
                max_meter: 100,
                band_types: 6,
                capabilities: 0xf,
                max_bands: 8,
                max_color: 0,
            })),
        ),
        (
            "table features request",
            Message::MultipartRequest(MultipartRequest::TableFeatures {
                tables: Vec::new(),
                more: false,
            }),
        ),
        ("table features reply", reply(MultipartBody::TableFeatures(vec![table_features]))),
        (
            "bundle control",
            Message::Bundle(BundleMessage::Control { bundle_id: 5, kind: 0, flags: 3 }),
        ),
    ]);
    all
}

/// Whether Open vSwitch reads such a message at all: it lacks copy-TTL and PBB, wants table features
/// that go together, and the refused message in an arbitrary error is nonsense.
pub(crate) fn is_known(message: &Message, version: Version) -> bool {
    if matches!(message, Message::Error(_)) {
        return false;
    }
    let newer = match message {
        Message::RoleStatus(_) => Version::V13,
        Message::Bundle(_) => Version::V13,
        // The bits that came with 1.4 are none of theirs.
        Message::SetAsyncProperties(_) => Version::V14,
        _ => Version::V10,
    };
    if version < newer {
        return false;
    }
    let text = format!("{message:?}");
    let unknown = [
        "CopyTtl",
        "Pbb",
        // Nothing that can be taken off is known without a map of options.
        "DeleteField",
        // Set-fields that the standard allows and the tool does not.
        "field: EthType",
        "field: IpProto",
        "field: MplsBos",
        "field: TcpFlags",
        "UnknownError",
        "Experimenter",
        // A bucket that is inserted may watch more than the tool allows for.
        "InsertBucket",
        // A bit of 1.4 that it has overlooked.
        if version >= Version::V14 { "NO_ABBREV" } else { "InsertBucket" },
        "RequestForward",
        "FlowCounters",
        // Triggers are none of theirs.
        "StatTrigger",
        "BundleFeatures",
        "Bundle",
        "TableFeatures",
        "NxSetFlowFormat",
    ];
    !unknown.iter().any(|word| text.contains(word))
}

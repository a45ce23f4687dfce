//! Messages that came with 1.4 and 1.5, in the form that older versions have them too where extensions
//! brought them there.

use flow::text::{NoNames, parse_match};
use flow::{Field, Match};
use openflow::*;

fn reply(body: MultipartBody) -> Message {
    Message::MultipartReply(MultipartReply { more: false, body })
}

fn update(event: FlowEvent, text: &str) -> FlowUpdate {
    let rule = text::parse_flow(text, FlowModCommand::Add).expect(text);
    FlowUpdate::Full {
        event,
        table_id: rule.table_id,
        idle_timeout: rule.idle_timeout,
        hard_timeout: rule.hard_timeout,
        priority: rule.priority,
        cookie: rule.new_cookie.unwrap_or(0),
        match_: rule.match_,
        instructions: rule.instructions,
    }
}

/// Messages by name.
pub(crate) fn all(version: Version) -> Vec<(&'static str, Message)> {
    let is_standard = version >= Version::V14;
    let table = TableMod {
        table_id: 3,
        config: TableConfig::EVICTION | TableConfig::VACANCY_EVENTS,
        eviction: Some(2),
        vacancy: Some(Vacancy { down: 10, up: 20, current: 0 }),
    };
    let desc = TableMod { vacancy: Some(Vacancy { down: 10, up: 20, current: 15 }), ..table };
    let watch = FlowMonitorRequest {
        monitor_id: 7,
        command: MonitorCommand::Add,
        flags: MonitorFlags::INITIAL
            | MonitorFlags::ADD
            | MonitorFlags::REMOVED
            | MonitorFlags::INSTRUCTIONS,
        out_port: OfPort(2),
        out_group: GROUP_ANY,
        table_id: 1,
        match_: parse_match("tcp,tp_dst=80", &NoNames).expect("a match"),
    };
    let initial = if is_standard { FlowEvent::Initial } else { FlowEvent::Added };
    let updates = vec![
        update(initial, "priority=5,in_port=1,actions=2"),
        update(FlowEvent::Modified, "table=2,cookie=9,tcp,tp_dst=80,actions=drop"),
        update(
            FlowEvent::Removed(FlowRemovedReason::HardTimeout),
            "arp,hard_timeout=3,actions=drop",
        ),
        FlowUpdate::Abbrev { xid: 0x1234 },
    ];
    let mut inner = Vec::new();
    let flow_mod = text::parse_flow("in_port=1,actions=2", FlowModCommand::Add).expect("a flow");
    let flow_mod = Message::FlowMod(Box::new(flow_mod));
    flow_mod.encode(version, 2, &mut inner).expect("short enough");
    let queue = QueueDesc {
        port: OfPort(1),
        config: QueueConfig { queue_id: 5, min_rate: Some(100), max_rate: Some(1000) },
    };
    let queue_stats = QueueStats {
        port: OfPort(1),
        queue_id: 5,
        tx_bytes: 100,
        tx_packets: 2,
        tx_errors: 1,
        duration_sec: if version < Version::V13 { 0 } else { 9 },
        duration_nsec: 0,
    };
    let mut metadata = Match::default();
    metadata.set_exact(Field::Metadata, 7);
    let packet_out = PacketOut {
        buffer_id: None,
        in_port: OfPort(1),
        metadata: (version == Version::V15).then(|| Box::new(metadata)),
        actions: text::parse_actions("output:3", &NoNames).expect("actions"),
        data: vec![0xff; 20],
    };
    let port_mod = PortMod {
        port: OfPort(3),
        hw_addr: [2, 0, 0, 0, 0, 3],
        config: PortConfig::NO_FWD,
        mask: PortConfig::NO_FWD | PortConfig::PORT_DOWN,
        advertise: PortFeatures::FD_1G,
    };
    let mut all = vec![
        ("port mod, advertise", Message::PortMod(port_mod)),
        ("packet out of a port", Message::PacketOut(packet_out)),
        ("queue stats reply", reply(MultipartBody::Queue(vec![queue_stats]))),
        ("flow monitor reply", reply(MultipartBody::FlowMonitor(updates))),
        (
            "flow monitor request",
            Message::MultipartRequest(MultipartRequest::FlowMonitor(vec![watch])),
        ),
    ];
    if version >= Version::V13 {
        let status = RoleStatus {
            role: ControllerRole::Secondary,
            reason: RoleReason::PrimaryRequest,
            generation_id: Some(3),
        };
        let add = BundleMessage::Add { bundle_id: 5, flags: 3, message: inner };
        all.extend([
            ("role status", Message::RoleStatus(status)),
            ("bundle add", Message::Bundle(add)),
        ]);
    }
    if !is_standard {
        all.extend([
            ("flow monitor cancelled", Message::FlowMonitorCancel(7)),
            ("flow monitor paused", Message::FlowMonitorPaused),
            ("flow monitor resumed", Message::FlowMonitorResumed),
        ]);
        return all;
    }
    let properties = (0..4).map(|kind| AsyncProperty { kind, mask: u32::from(kind) + 1 }).collect();
    all.extend([
        ("table mod, properties", Message::TableMod(table)),
        ("table desc request", Message::MultipartRequest(MultipartRequest::TableDesc)),
        ("table desc reply", reply(MultipartBody::TableDesc(vec![desc]))),
        (
            "table status",
            Message::TableStatus(TableStatus { reason: TableReason::VacancyDown, table: desc }),
        ),
        ("set async, properties", Message::SetAsyncProperties(properties)),
        (
            "queue desc request",
            Message::MultipartRequest(MultipartRequest::QueueDesc {
                port: OfPort(1),
                queue_id: QUEUE_ALL,
            }),
        ),
        ("queue desc reply", reply(MultipartBody::QueueDesc(vec![queue]))),
        ("flow monitor resumed", reply(MultipartBody::FlowMonitor(vec![FlowUpdate::Resumed]))),
    ]);
    if version == Version::V15 {
        let one = MultipartRequest::PortDesc(OfPort(3));
        all.push(("port desc request, one", Message::MultipartRequest(one)));
    }
    all
}

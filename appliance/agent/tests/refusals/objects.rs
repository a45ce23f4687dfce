//! What can be wrong: groups, meters, ports, tables, extensions.

use crate::cases::{Case, encoded, group, hex, message, meter, output, tlvs};
use flow::Match;
use openflow::OfErrorKind as E;
use openflow::*;

pub(crate) fn groups_and_meters(v: Version, cases: &mut Vec<Case>) {
    use GroupModCommand::{Add, InsertBucket, Modify};
    let bucket = || Bucket::new(0, output(1));
    let mut put = |what, group_mod: GroupMod, kind| {
        cases.push((what, encoded(v, &Message::GroupMod(group_mod)), kind));
    };
    put("a group that is there", group(Add, 1, vec![bucket()]), E::GroupModExists);
    let select = GroupMod { group_type: GroupType::Select, ..group(Add, 9, vec![bucket()]) };
    put("a select bucket without weight", select, E::GroupModInvalidGroup);
    let watching = Bucket { watch_port: OfPort(1), ..bucket() };
    put(
        "a watching bucket of type all",
        group(Add, 9, vec![watching]),
        E::GroupModWatchUnsupported,
    );
    let no_port = Bucket { watch_port: OfPort(0xffff_ff50), ..bucket() };
    let failover = GroupMod { group_type: GroupType::FastFailover, ..group(Add, 9, vec![no_port]) };
    put("a bucket that watches no port", failover, E::GroupModBadWatch);
    let around = Bucket::new(0, vec![Action::Group(1)]);
    put("a group that leads to itself", group(Modify, 1, vec![around]), E::GroupModLoop);
    put("a change of no group", group(Modify, 99, vec![bucket()]), E::GroupModUnknownGroup);
    if v == Version::V15 || v == Version::V10 {
        let insert = |place, id| GroupMod {
            command_bucket_id: place,
            ..group(InsertBucket, 1, vec![Bucket::new(id, output(1))])
        };
        put("a bucket behind none", insert(99, 7), E::GroupModUnknownBucket);
        put("a bucket twice", insert(BUCKET_LAST, 0), E::GroupModBucketExists);
    }
    let raw = |text: &str| match v {
        // Nicira's has the form of 1.5.
        Version::V10 => {
            message(v, 4, &hex(&format!("00002320 0000001f {text} 0000 0000 ffffffff")))
        }
        Version::V15 => message(v, 15, &hex(&format!("{text} 0000 0000 ffffffff"))),
        _ => message(v, 15, &hex(text)),
    };
    cases.push(("an unknown type", raw("0000 09 00 00000009"), E::GroupModBadType));
    cases.push(("an unknown command", raw("0063 00 00 00000009"), E::GroupModBadCommand));
    let short = match v {
        Version::V10 => message(
            v,
            4,
            &hex("00002320 0000001f 0000 00 00 00000009 0008 0000 ffffffff 0004 0000 00000000"),
        ),
        Version::V15 => {
            message(v, 15, &hex("0000 00 00 00000009 0008 0000 ffffffff 0004 0000 00000000"))
        }
        _ => message(v, 15, &hex("0000 00 00 00000009 0004 0000 00000000")),
    };
    cases.push(("a bucket of four bytes", short, E::GroupModBadBucket));
    if v == Version::V15 || v == Version::V10 {
        let select = |property: &str| {
            let body = format!("0000 01 00 00000009 0000 0000 ffffffff {property}");
            match v {
                Version::V10 => message(v, 4, &hex(&format!("00002320 0000001f {body}"))),
                _ => message(v, 15, &hex(&body)),
            }
        };
        let name = "7a7a 0000000000000000000000000000";
        let method = format!("ffff 0028 0000154d 00000001 00000000 {name} 0000000000000000");
        cases.push((
            "an unknown property",
            select("ffff 0010 0000154d 00000009 00000000"),
            E::PropertyBadExpType,
        ));
        cases.push(("an unknown way to select", select(&method), E::PropertyBadValue));
    }
    if v < Version::V13 {
        return;
    }
    use MeterModCommand as Do;
    let kbps = MeterFlags::KBPS;
    let mut put = |what, meter_mod: MeterMod, kind| {
        cases.push((what, encoded(v, &Message::MeterMod(meter_mod)), kind));
    };
    put("a meter that is there", meter(Do::Add, 1, kbps, 1, 5), E::MeterModExists);
    put("meter 0", meter(Do::Add, 0, kbps, 1, 5), E::MeterModInvalidMeter);
    put("a change of no meter", meter(Do::Modify, 99, kbps, 1, 5), E::MeterModUnknownMeter);
    put("two units", meter(Do::Add, 9, kbps | MeterFlags::PKTPS, 1, 5), E::MeterModBadFlags);
    put("no rate", meter(Do::Add, 9, kbps, 1, 0), E::MeterModBadRate);
    put("nine bands", meter(Do::Add, 9, kbps, 9, 5), E::MeterModOutOfBands);
    let raw = |text: &str| message(v, 29, &hex(text));
    let band = "0000 0001 00000009 0009 0010 00000000 00000000 00000000";
    cases.push(("an unknown command of meters", raw("0009 0001 00000009"), E::MeterModBadCommand));
    cases.push(("an unknown band", raw(band), E::MeterModBadBand));
}

pub(crate) fn ports_tables_and_the_rest(v: Version, cases: &mut Vec<Case>) {
    let port_mod = |port: u32, last: u8, features: PortFeatures| {
        let change = PortMod {
            port: OfPort(port),
            hw_addr: [2, 0, 0, 0, 0, last],
            config: PortConfig::PORT_DOWN,
            mask: PortConfig::PORT_DOWN,
            advertise: features,
        };
        encoded(v, &Message::PortMod(change))
    };
    let none = PortFeatures::empty();
    let queue = |port, queue_id| {
        encoded(
            v,
            &Message::MultipartRequest(MultipartRequest::Queue { port: OfPort(port), queue_id }),
        )
    };
    cases.extend([
        ("no such port", port_mod(99, 9, none), E::PortModBadPort),
        ("a port of another address", port_mod(1, 9, none), E::PortModBadHwAddr),
        ("queues of no port", queue(99, QUEUE_ALL), E::QueueBadPort),
        ("no such queue", queue(1, 3), E::QueueBadQueue),
    ]);
    if v == Version::V10 {
        return;
    }
    // Configuration at 24, mask at 28, features at 32 (1.3.5 §7.3.4.3), or in a property at 36 (1.4.1).
    let mut config = port_mod(1, 1, none);
    config[28] = 0x80;
    let mut features = port_mod(1, 1, PortFeatures::all());
    features[if v >= Version::V14 { 36 } else { 32 }] = 0x80;
    cases.extend([
        ("an unknown bit of a port", config, E::PortModBadConfig),
        ("an unknown feature of a port", features, E::PortModBadAdvertise),
        ("a change of no table", message(v, 17, &hex("64 000000 00000000")), E::TableModBadTable),
        (
            "an unknown bit of a table",
            message(v, 17, &hex("00 000000 00000040")),
            E::TableModBadConfig,
        ),
        ("fragments to be put together", message(v, 9, &hex("0002 0080")), E::ConfigBadFlags),
    ]);
    if v >= Version::V14 {
        let table =
            |property: &str| message(v, 17, &hex(&format!("00 000000 00000000 {property}")));
        cases.extend([
            ("an unknown property", table("0001 0008 00000000"), E::PropertyBadType),
            ("a property of four bytes", table("0003 0004"), E::PropertyBadLen),
            ("vacancy above itself", table("0003 0008 20 10 00 00"), E::PropertyBadValue),
            (
                "an experimenter's property",
                table("ffff 000c 00002320 00000001"),
                E::PropertyBadExperimenter,
            ),
        ]);
    }
}

pub(crate) fn extensions(v: Version, cases: &mut Vec<Case>) {
    let nicira =
        |subtype: u32, text: &str| message(v, 4, &hex(&format!("00002320 {subtype:08x} {text}")));
    cases.extend([
        (
            "something in the padding of a number",
            nicira(20, "000000000001 0001"),
            E::NxRequestMustBeZero,
        ),
        (
            "a packet that came for no reason",
            nicira(28, "0005 0005 63 000000"),
            E::NxRequestBadReason,
        ),
        (
            "an unknown property of what to hear",
            nicira(27, "0040 0008 00000000"),
            E::PropertyBadType,
        ),
        ("a property of six bytes", nicira(27, "0000 0006 0000"), E::PropertyBadLen),
        (
            "an experimenter's property",
            nicira(27, "fffe 000c 00001234 00000001"),
            E::PropertyBadExperimenter,
        ),
        ("the map: an unknown command", nicira(24, "0009 000000000000"), E::NxTlvBadCommand),
    ]);
    if v >= Version::V13 {
        cases.push(("a reason that is none", nicira(27, "0000 0008 00000040"), E::AsyncInvalid));
    }
    use TlvTableCommand::{Add, Delete};
    let mut put = |what, change: Message, kind| cases.push((what, encoded(v, &change), kind));
    put("the map: three bytes", tlvs(Add, &[(7, 7, 3, 1)]), E::NxTlvBadOptLen);
    put("the map: no such field", tlvs(Add, &[(7, 7, 4, 200)]), E::NxTlvBadFieldIdx);
    put("the map: eight bytes", tlvs(Add, &[(7, 7, 8, 1)]), E::NxTlvTableFull);
    put("the map: a field twice", tlvs(Add, &[(7, 7, 4, 0)]), E::NxTlvAlreadyMapped);
    put("the map: an option twice", tlvs(Add, &[(0xffff, 1, 4, 1)]), E::NxTlvDupEntry);
    put("the map: half of a change", tlvs(Add, &[(7, 7, 4, 1), (8, 8, 3, 1)]), E::NxTlvBadOptLen);
    put("the map: a field in use", tlvs(Delete, &[(0xffff, 1, 4, 0)]), E::NxTlvInvalidTlvDel);
    let stale = PacketIn { continuation: vec![1, 2, 3, 4, 5, 6, 7, 8], ..packet_in() };
    put("a packet that waits no longer", Message::NxResume(stale.into()), E::NxResumeStale);
    let watch = |command, monitor_id, table_id, flags| {
        Message::MultipartRequest(MultipartRequest::FlowMonitor(vec![FlowMonitorRequest {
            monitor_id,
            command,
            flags,
            out_port: OfPort::ANY,
            out_group: GROUP_ANY,
            table_id,
            match_: Match::default(),
        }]))
    };
    use MonitorCommand as Do;
    let add = MonitorFlags::ADD;
    put("a monitor that is there", watch(Do::Add, 5, TABLE_ALL, add), E::MonitorExists);
    put(
        "a monitor of nothing",
        watch(Do::Add, 6, TABLE_ALL, MonitorFlags::INITIAL),
        E::MonitorBadFlags,
    );
    match v {
        Version::V14 | Version::V15 => {
            put("no such monitor", watch(Do::Delete, 99, TABLE_ALL, add), E::MonitorUnknownId);
            put("a monitor of no table", watch(Do::Add, 6, 100, add), E::MonitorBadTableId);
            let mut bytes = encoded(v, &watch(Do::Add, 6, TABLE_ALL, add));
            // The command is behind flags and table (1.4.1 §7.3.5.18).
            bytes[16 + 15] = 9;
            cases.push(("an unknown command of monitors", bytes, E::MonitorBadCommand));
        }
        _ => put("no such monitor", Message::FlowMonitorCancel(99), E::MonitorUnknownId),
    }
    if v == Version::V15 {
        let open = message(v, 33, &hex("00000003 0000 0007"));
        cases.push(("a bundle for later", open, E::BundleSchedNotSupported));
    }
    let flags = match v {
        Version::V14 | Version::V15 => message(v, 33, &hex("00000003 0000 0013")),
        _ => message(v, 4, &hex("4f4e4600 000008fc 00000003 0000 0013")),
    };
    if v >= Version::V13 {
        cases.push(("a bundle with unknown flags", flags, E::BundleBadFlags));
    }
}

pub(crate) fn packet_in() -> PacketIn {
    PacketIn {
        buffer_id: None,
        total_len: 60,
        reason: PacketInReason::Action,
        table_id: 0,
        cookie: 0,
        metadata: metadata_of(OfPort(1)),
        userdata: Vec::new(),
        continuation: Vec::new(),
        data: vec![0; 60],
    }
}

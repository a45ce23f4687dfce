//! What can be wrong: messages, matches, flow-mods, actions, instructions.

use crate::objects::{extensions, groups_and_meters, ports_tables_and_the_rest};
use flow::{Field, Match};
use openflow::OfErrorKind as E;
use openflow::*;

/// Bytes of hexadecimal digits, spaces left out.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

pub(crate) fn message(version: Version, kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + body.len()).expect("short");
    [&[version.wire(), kind][..], &len.to_be_bytes(), &[0, 0, 0, 1], body].concat()
}

pub(crate) fn encoded(version: Version, message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(version, 1, &mut bytes).expect("short enough");
    bytes
}

/// With more behind it.
pub(crate) fn longer(mut bytes: Vec<u8>, more: &[u8]) -> Vec<u8> {
    bytes.extend(more);
    let len = u16::try_from(bytes.len()).expect("short");
    bytes[2..4].copy_from_slice(&len.to_be_bytes());
    bytes
}

/// A rule for `match_` with instructions as bytes, which 1.0 has none of.
pub(crate) fn rule(version: Version, match_: &Match, instructions: &str) -> Vec<u8> {
    let flow_mod = FlowMod { match_: *match_, ..FlowMod::default() };
    longer(encoded(version, &Message::FlowMod(flow_mod.into())), &hex(instructions))
}

/// A rule with actions as bytes.
pub(crate) fn acting(version: Version, match_: &Match, actions: &str) -> Vec<u8> {
    let actions = actions.replace(' ', "");
    let len = 8 + actions.len() / 2;
    match version {
        Version::V10 => rule(version, match_, &actions),
        _ => rule(version, match_, &format!("0004 {len:04x} 00000000 {actions}")),
    }
}

/// Nicira's flow-mod with a match as bytes.
pub(crate) fn nxm(version: Version, fields: &str) -> Vec<u8> {
    let fields = hex(fields);
    let mut body = hex("00002320 0000000d 0000000000000000 0000 0000 0000 8000 ffffffff ffff 0000");
    body.extend(u16::try_from(fields.len()).expect("short").to_be_bytes());
    body.extend([0; 6]);
    let start = body.len();
    body.extend(fields);
    body.resize(start + (body.len() - start).next_multiple_of(8), 0);
    message(version, 4, &body)
}

pub(crate) fn ip() -> Match {
    let mut match_ = Match::default();
    match_.set_exact(Field::EthType, 0x0800);
    match_
}

pub(crate) fn group(command: GroupModCommand, group_id: u32, buckets: Vec<Bucket>) -> GroupMod {
    GroupMod { command, group_id, buckets, ..GroupMod::default() }
}

pub(crate) fn meter(
    command: MeterModCommand,
    meter_id: u32,
    flags: MeterFlags,
    n: usize,
    rate: u32,
) -> MeterMod {
    let bands = vec![MeterBand { kind: BandKind::Drop, rate, burst_size: 0 }; n];
    MeterMod { command, config: MeterConfig { flags, meter_id, bands } }
}

pub(crate) fn tlvs(command: TlvTableCommand, mappings: &[(u16, u8, u8, u16)]) -> Message {
    let one = |&(class, kind, len, index)| TlvMapping { class, kind, len, index };
    Message::NxTlvTableMod(TlvTableMod { command, mappings: mappings.iter().map(one).collect() })
}

pub(crate) fn output(port: u32) -> Vec<Action> {
    vec![Action::Output { port: OfPort(port), max_len: 0 }]
}

/// What is wrong, the request, and the error for it.
pub(crate) type Case = (&'static str, Vec<u8>, E);

/// Everything that can be wrong in a version.
pub(crate) fn cases(v: Version) -> Vec<Case> {
    let mut cases = Vec::new();
    requests(v, &mut cases);
    matches_and_flow_mods(v, &mut cases);
    actions_and_instructions(v, &mut cases);
    groups_and_meters(v, &mut cases);
    ports_tables_and_the_rest(v, &mut cases);
    extensions(v, &mut cases);
    cases
}

pub(crate) fn requests(v: Version, cases: &mut Vec<Case>) {
    let (statistics, barrier) = if v == Version::V10 { (16, 18) } else { (18, 20) };
    let other = if v == Version::V10 { Version::V13 } else { Version::V10 };
    let pad = if v == Version::V10 { "" } else { "00000000" };
    let of_table = FlowStatsRequest {
        table_id: 100,
        out_port: OfPort::ANY,
        out_group: GROUP_ANY,
        cookie: 0,
        cookie_mask: 0,
        match_: Match::default(),
        format: FlowFormat::Standard,
    };
    let packet_out = PacketOut {
        buffer_id: None,
        in_port: OfPort::CONTROLLER,
        metadata: None,
        actions: output(1),
        data: vec![0; 60],
    };
    let multi = |request| encoded(v, &Message::MultipartRequest(request));
    cases.extend([
        ("another version", message(other, 2, &[]), E::RequestBadVersion),
        ("an unknown message", message(v, 99, &[]), E::RequestBadType),
        (
            "unknown statistics",
            message(v, statistics, &hex(&format!("0063 0000 {pad}"))),
            E::RequestBadStat,
        ),
        ("an unknown vendor", message(v, 4, &hex("00abcdef 00000001")), E::RequestBadVendor),
        (
            "an unknown message of a vendor",
            message(v, 4, &hex("00002320 0000270f")),
            E::RequestBadSubtype,
        ),
        ("a barrier with a body", message(v, barrier, &[0; 4]), E::RequestBadLen),
        (
            "a packet in no buffer",
            encoded(v, &Message::PacketOut(PacketOut { buffer_id: Some(7), ..packet_out.clone() })),
            E::RequestBufferUnknown,
        ),
        ("rules of no table", multi(MultipartRequest::Flow(of_table.into())), E::RequestBadTableId),
        ("statistics of no port", multi(MultipartRequest::Port(OfPort(99))), E::RequestBadPort),
        (
            "an unknown format of rules",
            message(v, 4, &hex("00002320 0000000c 00000009")),
            E::RequestEperm,
        ),
        (
            "no IPFIX",
            message(v, statistics, &hex(&format!("ffff 0000 {pad} 00002320 00000003"))),
            E::NxStatsNotConfigured,
        ),
    ]);
    if v >= Version::V12 {
        let short = PacketOut { data: vec![0; 13], ..packet_out };
        cases.push((
            "what is no frame",
            encoded(v, &Message::PacketOut(short)),
            E::RequestBadPacket,
        ));
        cases.push(("an old generation", encoded(v, &role(9)), E::RoleStale));
    }
    let bad_role = match v {
        Version::V10 | Version::V11 => message(v, 4, &hex("00002320 0000000a 00000009")),
        _ => message(v, 24, &hex("00000009 00000000 0000000000000000")),
    };
    cases.push(("an unknown role", bad_role, E::RoleBadRole));
    if v >= Version::V13 {
        let more = message(v, 18, &hex("0003 0001 00000000"));
        cases.push(("a request in parts", more, E::RequestMultipartBufferOverflow));
    }
    if v == Version::V15 {
        let body = "ffffffff 0000 0000 0001 0012 80000004 00000001 80000a02 0800 000000000000";
        cases.push((
            "a packet-out for frames of a type",
            message(v, 13, &hex(body)),
            E::RequestPipelineFieldsOnly,
        ));
    }
    if v <= Version::V12 {
        let commit = hex("4f4e4600 000008fc 00000003 0004 0003");
        cases.push(("no such bundle", message(v, 4, &commit), E::NxRequestUnencodableError));
    }
}

pub(crate) fn role(generation: u64) -> Message {
    Message::RoleRequest(Role {
        role: ControllerRole::Primary,
        generation_id: Some(generation),
        origin: Origin::Standard,
    })
}

pub(crate) fn matches_and_flow_mods(v: Version, cases: &mut Vec<Case>) {
    cases.extend([
        ("a value outside its mask", nxm(v, "00010108 00000101 000000ff"), E::MatchBadWildcards),
        ("an unknown field", nxm(v, "0001fe04 00000001"), E::MatchBadField),
        ("an ARP operation of nine bits", nxm(v, "00000602 0806 00001e02 0100"), E::MatchBadValue),
        ("a mask on a port", nxm(v, "00000104 0001 fff0"), E::MatchBadMask),
        ("a TCP port without TCP", nxm(v, "00001202 0050"), E::MatchBadPrereq),
        ("a field twice", nxm(v, "00000602 0800 00000602 0800"), E::MatchDupField),
        ("connection tracking", nxm(v, "0001d204 00000001"), E::NxMatchCtDatapathSupport),
        (
            "a cookie to compare in an add",
            nxm(v, "00013d10 0000000000000001 00000000000000ff"),
            E::NxRequestNxmInvalid,
        ),
        ("an option that is not mapped", nxm(v, "00015204 00000005"), E::NxFlowModInvalidTlvField),
    ]);
    let overlap = FlowMod {
        priority: 5,
        flags: FlowModFlags::CHECK_OVERLAP,
        match_: ip(),
        ..FlowMod::default()
    };
    cases.push(("an overlap", encoded(v, &Message::FlowMod(overlap.into())), E::FlowModOverlap));
    let plain = encoded(v, &Message::FlowMod(FlowMod::default().into()));
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = plain.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    if v == Version::V10 {
        // 1.0.1 §5.3.3: command at 56, idle timeout at 58, flags at 70.
        cases.extend([
            ("an unknown command", with(56, &[0, 9]), E::FlowModBadCommand),
            ("unknown flags", with(70, &[0, 8]), E::FlowModBadFlags),
            ("an emergency flow", with(70, &[0, 4]), E::FlowModTableFull),
        ]);
        let mut emergency = with(70, &[0, 4]);
        emergency[58..60].copy_from_slice(&[0, 9]);
        cases.push(("one with a timeout", emergency, E::FlowModBadEmergTimeout));
        return;
    }
    // 1.3.5 §7.3.4.1: table at 24, command at 25, flags at 44, match at 48.
    cases.extend([
        ("an unknown command", with(25, &[9]), E::FlowModBadCommand),
        ("unknown flags", with(44, &[0x80, 0]), E::FlowModBadFlags),
        ("a full table", with(24, &[6]), E::FlowModTableFull),
        ("no such table", with(24, &[100]), E::FlowModBadTableId),
        ("a match of another type", with(48, &[0, 7]), E::MatchBadType),
        ("a match of another length", with(50, &[0, 0xf0]), E::MatchBadLen),
    ]);
}

pub(crate) fn actions_and_instructions(v: Version, cases: &mut Vec<Case>) {
    let any = Match::default();
    let act = |actions: &str| acting(v, &any, actions);
    let port_0 = match v {
        Version::V10 => "0000 0008 0000 0000",
        _ => "0000 0010 00000000 0000 000000000000",
    };
    let load = |header: &str| format!("ffff 0018 00002320 0007 001f {header} 0000000000000001");
    let nested = (0..10).fold(String::new(), |inner, _| {
        format!("ffff{:04x}00002320002a000000000000{inner}", 16 + inner.len() / 2)
    });
    cases.extend([
        ("an unknown action", act("0099 0008 00000000"), E::ActionBadType),
        ("an action of 12 bytes", act("0099 000c 00000000 00000000 00000000"), E::ActionBadLen),
        ("a vendor's action", act("ffff 0010 00001234 0001 000000000000"), E::ActionBadVendor),
        (
            "an unknown action of a vendor",
            act("ffff 0010 00002320 7777 000000000000"),
            E::ActionBadVendorType,
        ),
        ("an output to port 0", act(port_0), E::ActionBadOutPort),
        (
            "a load of more than fits",
            act("ffff 0018 00002320 0007 0003 00010004 0000000000000010"),
            E::ActionBadArgument,
        ),
        ("an address of what may not be IP", act(&load("00000e04")), E::ActionMatchInconsistent),
        ("a load of no field", act(&load("0001fe04")), E::ActionBadSetType),
        ("a load of what cannot be written", act(&load("00014a04")), E::ActionBadSetArgument),
        ("lists in lists without end", act(&nested), E::ActionTooMany),
        (
            "something in a padding",
            act("ffff 0018 00002320 0032 00010004 00000000000000000001"),
            E::NxActionMustBeZero,
        ),
        ("part 3 of 2", act("ffff 0010 00002320 0022 0201 0000002a"), E::NxActionBadConjunction),
        (
            "connection tracking",
            act("ffff 0010 00002320 002b 000000000000"),
            E::NxActionCtDatapathSupport,
        ),
    ]);
    if v == Version::V10 {
        return;
    }
    let with = |instructions: &str| rule(v, &any, instructions);
    cases.extend([
        ("no such group", act("0016 0008 00000063"), E::ActionBadOutGroup),
        (
            "three tags",
            act("0011 0008 81000000 0011 0008 81000000 0011 0008 81000000"),
            E::ActionBadTag,
        ),
        (
            "metadata among actions",
            act("ffff 0020 00002320 0016 000000000000 0000000000000001 ffffffffffffffff"),
            E::ActionUnsupportedOrder,
        ),
        ("an unknown instruction", with("0063 0008 00000000"), E::InstructionUnknownInst),
        ("a goto to the own table", with("0001 0008 00 000000"), E::InstructionBadTableId),
        (
            "an experimenter's instruction",
            with("ffff 0008 00002320"),
            E::InstructionBadExperimenter,
        ),
        (
            "an instruction twice",
            with("0005 0008 00000000 0005 0008 00000000"),
            E::InstructionDupInst,
        ),
    ]);
    if v >= Version::V12 {
        let set = "0019 0010 80001602 0102 000000000000";
        cases.extend([
            ("an instruction of four bytes", with("0001 0004"), E::InstructionBadLen),
            ("a set-field of another length", acting(v, &ip(), set), E::ActionBadSetLen),
        ]);
    }
    if v >= Version::V13 {
        let set = "0019 0010 80001708 01020304 ffff0000";
        cases.push(("a value outside its mask, set", acting(v, &ip(), set), E::ActionBadSetMask));
    }
    if v == Version::V15 {
        cases.push(("no meter's number", act("001d 0008 00000000"), E::ActionBadMeter));
        cases.push(("the meter of 1.3", with("0006 0008 00000001"), E::InstructionUnsupInst));
    }
}

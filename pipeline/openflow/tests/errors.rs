//! What is wrong with a message is refused with the error that the specification names.

use flow::Field;
use openflow::*;

/// Bytes of a flow-mod of 1.3 with these match entries and instructions.
fn flow_mod13(command: u8, table: u8, oxm: &[u8], instructions: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 16];
    body.extend([table, command, 0, 0, 0, 0, 0x80, 0]);
    body.extend([0xff; 12]);
    body.extend([0; 4]);
    let len = u16::try_from(4 + oxm.len()).expect("short");
    body.extend([0, 1]);
    body.extend(len.to_be_bytes());
    body.extend(oxm);
    body.resize(body.len().next_multiple_of(8), 0);
    body.extend(instructions);
    message(4, 14, &body)
}

fn message(version: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + body.len()).expect("short");
    let mut bytes = vec![version, kind];
    bytes.extend(len.to_be_bytes());
    bytes.extend([0, 0, 0, 1]);
    bytes.extend(body);
    bytes
}

/// Bytes of hexadecimal digits, spaces left out.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn refusal(bytes: &[u8]) -> Option<OfErrorKind> {
    decode(bytes).err().map(|error| error.error.kind)
}

#[test]
fn matches_are_checked() {
    use OfErrorKind::*;
    for (oxm, expected) in [
        ("", None),
        // eth_type ip, ip_proto tcp, tcp_dst 80.
        ("80000a02 0800 80001401 06 80001c02 0050", None),
        ("80001c02 0050", Some(MatchBadPrereq)),
        ("80000a02 0800 80001c02 0050", Some(MatchBadPrereq)),
        // The prerequisite comes too late.
        ("80001401 06 80000a02 0800", Some(MatchBadPrereq)),
        ("80000a02 0800 80000a02 0800", Some(MatchDupField)),
        ("80000a03 080000", Some(MatchBadLen)),
        ("80000a02 08", Some(MatchBadLen)),
        ("80000a", Some(MatchBadLen)),
        ("8000fe02 0800", Some(MatchBadField)),
        ("12340202 0800", Some(MatchBadField)),
        ("ffff0206 00000099 0800", Some(MatchBadField)),
        ("ffff0203 000000", Some(MatchBadLen)),
        // A mask on a field that has none.
        ("80000b04 0800ffff", None),
        ("80000b04 0800fff0", Some(MatchBadMask)),
        // metadata=1 with mask 0xff, then a value bit outside of the mask.
        ("80000510 0000000000000001 00000000000000ff", None),
        ("80000510 0000000000000101 00000000000000ff", Some(MatchBadWildcards)),
        // Values that a field cannot have.
        ("80000a02 0806 80002a02 0100", Some(MatchBadValue)),
        ("80000c02 2000", Some(MatchBadValue)),
        // VLAN priority needs a tag.
        ("80000e01 03", Some(MatchBadPrereq)),
        ("80000c02 1005 80000e01 03", None),
        ("80000c02 0000 80000e01 03", Some(MatchBadPrereq)),
        ("80000c02 1005 80000f02 0404", None),
        // A PBB service without and with its type; the bit beside it; a service in part.
        ("80004a03 123456", Some(MatchBadPrereq)),
        ("80000a02 88e7 80004a03 123456 80005201 01", None),
        ("80000a02 88e7 80004b06 123400 ffff00", None),
        ("80000a02 88e7 80005201 02", Some(MatchBadValue)),
        // Extension headers of IPv6.
        ("80004e02 0040", Some(MatchBadPrereq)),
        ("80000a02 86dd 80004e02 0040", None),
        ("80000a02 86dd 80004f04 0040 0041", None),
        ("80000a02 86dd 80004e02 0200", Some(MatchBadValue)),
        // Connection tracking, of which the datapath knows nothing.
        ("0001d204 00000001", Some(NxMatchCtDatapathSupport)),
        // The cookie of NXM is not part of a standard match.
        ("00013c08 0000000000000001", Some(MatchBadField)),
    ] {
        assert_eq!(refusal(&flow_mod13(0, 0, &hex(oxm), &[])), expected, "{oxm}");
    }
    let mut other_type = flow_mod13(0, 0, &[], &[]);
    other_type[49] = 0;
    assert_eq!(refusal(&other_type), Some(MatchBadType));
    let mut long_match = flow_mod13(0, 0, &[], &[]);
    long_match[51] = 60;
    assert_eq!(refusal(&long_match), Some(MatchBadLen));
}

#[test]
fn instructions_are_checked() {
    use OfErrorKind::*;
    for (instructions, expected) in [
        ("0001 0008 06 000000", None),
        ("0001 0008 05 000000", Some(InstructionBadTableId)),
        ("0001 0008 04 000000", Some(InstructionBadTableId)),
        ("0001 0008 ff 000000", Some(InstructionBadTableId)),
        ("0001 0010 06 000000 0000000000000000", Some(InstructionBadLen)),
        ("0001 0004", Some(InstructionBadLen)),
        ("0001 0010 06 000000", Some(InstructionBadLen)),
        ("0007 0008 00000000", Some(InstructionUnknownInst)),
        ("0000 0008 00000000", Some(InstructionUnknownInst)),
        ("ffff 0008 00002320", Some(InstructionBadExperimenter)),
        ("0005 0008 00000000 0005 0008 00000000", Some(InstructionDupInst)),
        ("0006 0008 00000000", Some(MeterModInvalidMeter)),
        ("0006 0008 00000001", None),
    ] {
        assert_eq!(refusal(&flow_mod13(0, 5, &[], &hex(instructions))), expected, "{instructions}");
    }
}

/// One apply-actions instruction.
fn apply(actions: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + actions.len()).expect("short");
    let mut bytes = vec![0, 4];
    bytes.extend(len.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(actions);
    bytes
}

#[test]
fn actions_are_checked() {
    use OfErrorKind::*;
    let ip = "80000a02 0800";
    for (oxm, actions, expected) in [
        ("", "0000 0010 00000002 0000 000000000000", None),
        ("", "0000 0010 00000000 0000 000000000000", Some(ActionBadOutPort)),
        ("", "0000 0010 ffffffff 0000 000000000000", Some(ActionBadOutPort)),
        ("", "0000 0010 ffffff80 0000 000000000000", Some(ActionBadOutPort)),
        ("", "0000 0008 00000002", Some(ActionBadLen)),
        ("", "0000 0018 00000002 0000 000000000000 0000000000000000", Some(ActionBadLen)),
        ("", "0000 000c 00000002", Some(ActionBadLen)),
        ("", "0000 0000 00000002", Some(ActionBadLen)),
        ("", "0099 0008 00000000", Some(ActionBadType)),
        ("", "ffff 0010 00001234 0001 000000000000", Some(ActionBadVendor)),
        ("", "ffff 0010 00002320 7777 000000000000", Some(ActionBadVendorType)),
        ("", "0011 0008 8100 0000", None),
        ("", "0011 0008 0800 0000", Some(ActionBadArgument)),
        ("", "0012 0008 00000000", Some(ActionMatchInconsistent)),
        ("", "0011 0008 8100 0000 0012 0008 00000000", None),
        ("", "0018 0008 00000000", Some(ActionMatchInconsistent)),
        (ip, "0018 0008 00000000", None),
        ("", "0010 0008 00000000", Some(ActionMatchInconsistent)),
        (ip, "0013 0008 8847 0000 0010 0008 00000000", None),
        // After the push it is no IP packet.
        (ip, "0013 0008 8847 0000 0018 0008 00000000", Some(ActionMatchInconsistent)),
        ("", "0016 0008 fffffffc", Some(ActionBadOutGroup)),
        // Set-field: ip_src without and with its protocol, eth_type, unknown, length, mask, port.
        ("", "0019 0010 80001604 01020304 00000000", Some(ActionMatchInconsistent)),
        (ip, "0019 0010 80001604 01020304 00000000", None),
        (ip, "0019 0010 80001604 01020304 00000001", Some(ActionBadSetArgument)),
        ("", "0019 0010 80000a02 0800 000000000000", None),
        ("", "0019 0010 80001401 06 00000000000000", Some(ActionMatchInconsistent)),
        (ip, "0019 0010 80001401 06 00000000000000", None),
        (ip, "0019 0010 80004e02 0001 000000000000", Some(ActionBadSetArgument)),
        // After the set-field it is no IP packet.
        (
            ip,
            "0019 0010 80000a02 0806 000000000000 0018 0008 00000000",
            Some(ActionMatchInconsistent),
        ),
        // PBB: another type, none to pop, one that was pushed; TTLs of what has none.
        ("", "001a 0008 88e8 0000", Some(ActionBadArgument)),
        ("", "001b 0008 00000000", Some(ActionMatchInconsistent)),
        ("", "001a 0008 88e7 0000 0019 0010 80004a03 123456 0000000000 001b 0008 00000000", None),
        ("", "000b 0008 00000000", Some(ActionMatchInconsistent)),
        // A timeout at the end of a connection: of TCP, later fragments too.
        (ip, "ffff 0010 00002320 0013 0005 0000 0000", Some(ActionMatchInconsistent)),
        ("80000a02 0800 80001401 06 00013401 03", "ffff 0010 00002320 0013 0005 0000 0000", None),
        (ip, "000c 0008 00000000", None),
        ("", "0019 0010 8000fe02 0800 000000000000", Some(ActionBadSetType)),
        (ip, "0019 0010 80001602 0102 000000000000", Some(ActionBadSetLen)),
        (ip, "0019 0010 80001708 01020304 ffff0000", Some(ActionBadSetMask)),
        ("", "0019 0010 80000004 00000001 00000000", Some(ActionBadSetArgument)),
        // Samples in three forms; none of none; a direction that is none.
        ("", "ffff 0018 00002320 001d 0001 00000001 00000002 00000003", None),
        ("", "ffff 0018 00002320 001d 0000 00000001 00000002 00000003", Some(ActionBadArgument)),
        ("", "ffff 0020 00002320 0026 0001 00000001 00000002 00000003 0002 00 0000000000", None),
        (
            "",
            "ffff 0020 00002320 0026 0001 00000001 00000002 00000003 0002 01 0000000000",
            Some(NxRequestMustBeZero),
        ),
        ("", "ffff 0020 00002320 0029 0001 00000001 00000002 00000003 0002 02 0000000000", None),
        (
            "",
            "ffff 0020 00002320 0029 0001 00000001 00000002 00000003 0002 03 0000000000",
            Some(ActionBadArgument),
        ),
        // There is no field to take off; outputs keep an Ethernet header; no connection tracking.
        ("", "ffff 0018 00002320 0032 00010004 00000000000000000000", Some(ActionBadArgument)),
        ("", "ffff 0018 00002320 0032 00010004 00000000000000000001", Some(NxActionMustBeZero)),
        ("", "ffff 0018 00002320 0031 05dc 0003 00010004 000000000000", None),
        ("", "ffff 0010 00002320 0027 0002 0000000d", Some(ActionBadArgument)),
        ("", "ffff 0010 00002320 0027 0002 0000000e", None),
        (
            "",
            "ffff 0018 00002320 0023 0001 00000000 0000 ff 000000 0000",
            Some(NxActionCtDatapathSupport),
        ),
        ("", "ffff 0010 00002320 0024 0000 0000 0000", Some(NxActionCtDatapathSupport)),
        ("", "ffff 0010 00002320 002b 000000000000", Some(NxActionCtDatapathSupport)),
        // Nicira's load of a value that does not fit: reg0[0..3].
        ("", "ffff 0018 00002320 0007 0003 00010004 000000000000000f", None),
        ("", "ffff 0018 00002320 0007 0003 00010004 0000000000000010", Some(ActionBadArgument)),
        ("", "ffff 0018 00002320 0007 07c3 00010004 000000000000000f", Some(ActionBadArgument)),
    ] {
        let bytes = flow_mod13(0, 0, &hex(oxm), &apply(&hex(actions)));
        assert_eq!(refusal(&bytes), expected, "{oxm} / {actions}");
    }
    // What cannot be in an action set.
    let mut write = apply(&hex("ffff 0010 00002320 0011 000000000000"));
    assert_eq!(refusal(&flow_mod13(0, 0, &[], &write)), None);
    write[1] = 3;
    assert_eq!(refusal(&flow_mod13(0, 0, &[], &write)), Some(ActionBadType));
}

#[test]
fn flow_mods_are_checked() {
    use OfErrorKind::*;
    assert_eq!(refusal(&flow_mod13(5, 0, &[], &[])), Some(FlowModBadCommand));
    assert_eq!(refusal(&flow_mod13(0, 255, &[], &[])), Some(FlowModBadTableId));
    // All tables at once: deletes, and modifies as the stock tool sends them.
    assert_eq!(refusal(&flow_mod13(1, 255, &[], &[])), None);
    assert_eq!(refusal(&flow_mod13(3, 255, &[], &[])), None);
    let mut flags = flow_mod13(0, 0, &[], &[]);
    flags[45] = 0x20;
    assert_eq!(refusal(&flags), Some(FlowModBadFlags));
    // 1.0: emergency flows, with a timeout and without; a table where none may be.
    let flow_mod10 = |command: u16, idle: u8, flags: u8| {
        let mut body = vec![0; 64];
        body[1] = 0x3f;
        body[48..50].copy_from_slice(&command.to_be_bytes());
        body[51] = idle;
        body[63] = flags;
        message(1, 14, &body)
    };
    assert_eq!(refusal(&flow_mod10(0, 0, 0)), None);
    assert_eq!(refusal(&flow_mod10(0, 0, 4)), Some(FlowModTableFull));
    assert_eq!(refusal(&flow_mod10(0, 9, 4)), Some(FlowModBadEmergTimeout));
    assert_eq!(refusal(&flow_mod10(0, 0, 8)), Some(FlowModBadFlags));
    assert_eq!(refusal(&flow_mod10(0x0300, 0, 0)), Some(FlowModBadCommand));
    let mut with_tables = Dialect::plain(Version::V10);
    with_tables.flow_mod_table_id = true;
    let (_, message) = with_tables.decode(&flow_mod10(0x0300, 0, 0)).expect("a flow-mod");
    let Message::FlowMod(flow_mod) = message else { panic!("a flow-mod") };
    assert_eq!(flow_mod.table_id, 3);
}

#[test]
fn messages_are_checked() {
    use OfErrorKind::*;
    for (bytes, expected) in [
        (message(4, 99, &[]), RequestBadType),
        (message(1, 22, &[]), RequestBadType),
        (message(7, 5, &[]), RequestBadVersion),
        (message(9, 5, &[]), RequestBadVersion),
        (message(4, 5, &[0]), RequestBadLen),
        (message(4, 20, &[0; 4]), RequestBadLen),
        (message(4, 18, &hex("0063 0000 00000000")), RequestBadStat),
        (message(4, 18, &hex("0003 0001 00000000")), RequestMultipartBufferOverflow),
        (message(4, 18, &hex("ffff 0000 00000000 00001234 00000000")), RequestBadVendor),
        (message(4, 18, &hex("ffff 0000 00000000 00002320 00000099")), RequestBadSubtype),
        (message(1, 16, &hex("ffff 0000 00002320 00000099 00000000")), RequestBadSubtype),
        (message(4, 24, &hex("00000009 00000000 0000000000000000")), RoleBadRole),
        (message(4, 9, &hex("0004 0080")), ConfigBadFlags),
        (message(4, 13, &hex("ffffffff fffffffb 0000 000000000000")), RequestBadPort),
        (message(4, 13, &hex("ffffffff 00000001 0008 000000000000")), ActionBadLen),
        (message(4, 29, &hex("0003 0001 00000001")), MeterModBadCommand),
        (message(4, 29, &hex("0000 0003 00000001")), MeterModBadFlags),
        (
            message(4, 29, &hex("0000 0001 00000001 0009 0010 00000000 00000000 00000000")),
            MeterModBadBand,
        ),
        (message(4, 15, &hex("0003 00 00 00000001")), GroupModBadCommand),
        (message(4, 15, &hex("0000 04 00 00000001")), GroupModBadType),
        (message(4, 15, &hex("0000 00 00 ffffff01")), GroupModInvalidGroup),
        (message(4, 15, &hex("0000 02 00 00000001")), GroupModInvalidGroup),
        (message(4, 15, &hex("0000 00 00 00000001 0008 0000 00000000")), GroupModBadBucket),
    ] {
        assert_eq!(refusal(&bytes), Some(expected), "{bytes:02x?}");
    }
    // A hello of any version is understood, whatever is in it.
    for bytes in [message(9, 0, &[]), message(6, 0, &[0, 1, 0, 3]), message(4, 0, &[7; 9])] {
        let (_, hello) = decode(&bytes).expect("a hello");
        assert_eq!(hello, Message::Hello(Hello { bitmap: None }));
    }
    // What is refused comes back: all of a short message, the start of a long one.
    let short = message(4, 99, &[1; 100]);
    assert_eq!(decode(&short).expect_err("no such type").error.data, short);
    let long = message(4, 99, &vec![1; 2 * ERROR_DATA_BYTES]);
    let error = decode(&long).expect_err("no such type");
    assert_eq!(error.error.data, long[..ERROR_DATA_BYTES]);
    assert_eq!(error.header.xid, 1);
}

#[test]
fn vendors_are_refused_by_who_serves_requests() {
    for (vendor, expected) in [
        (NICIRA, OfErrorKind::RequestBadSubtype),
        (ONF, OfErrorKind::RequestBadSubtype),
        (0x1234, OfErrorKind::RequestBadVendor),
    ] {
        let refused = Experimenter { vendor, subtype: 0x7777, data: Vec::new() }.refusal();
        assert_eq!(refused, expected);
    }
}

#[test]
fn errors_have_the_numbers_of_their_version() {
    use OfErrorKind::*;
    let standard = |kind, code| WireCode { vendor: 0, kind, code };
    for (kind, version, expected) in [
        (FlowModTableFull, Version::V10, standard(3, 0)),
        (FlowModTableFull, Version::V13, standard(5, 1)),
        (PortModBadHwAddr, Version::V10, standard(4, 1)),
        (PortModBadHwAddr, Version::V13, standard(7, 1)),
        (QueueBadPort, Version::V10, standard(5, 0)),
        (RequestIsSecondary, Version::V10, standard(1, 5)),
        (RequestIsSecondary, Version::V13, standard(1, 10)),
        (MatchBadPrereq, Version::V13, standard(4, 9)),
        (MatchBadPrereq, Version::V10, WireCode { vendor: NICIRA, kind: 1, code: 260 }),
        (BundleBadId, Version::V13, WireCode { vendor: ONF, kind: 0xffff, code: 2302 }),
        // 1.0 has no word for a group that loops with no number of Nicira's: nothing better.
        (MeterModOutOfMeters, Version::V10, WireCode { vendor: NICIRA, kind: 1, code: 521 }),
    ] {
        assert_eq!(kind.code(version), expected, "{kind} {version}");
    }
}

#[test]
fn nothing_in_1_0_needs_a_prerequisite_but_what_nicira_added() {
    let context = CheckContext::for_version(Version::V10);
    let check = |action: Action| check_actions(&[action], &flow::Flow::ZERO, context);
    assert_eq!(check(Action::set_field(Field::Ipv4Src, 1)), Ok(()));
    assert_eq!(check(Action::SetTpDst(80)), Ok(()));
    assert_eq!(check(Action::DecTtl(vec![0])), Ok(()));
    let inconsistent = Err(OfErrorKind::ActionMatchInconsistent);
    assert_eq!(check(Action::set_field(Field::Ipv6Src, 1)), inconsistent);
    let load = Action::Load { dst: Subfield::whole(Field::Ipv4Src), value: 1 };
    assert_eq!(check(load), inconsistent);
}

#[test]
fn conjunctions_come_back_and_are_checked() {
    use OfErrorKind::*;
    let part = |clause: &str| format!("ffff0010 00002320 0022 {clause} 0000002a");
    let one = part("0102");
    let output = "00000010 00000001 0000 000000000000";
    for (actions, expected) in [
        (one.clone(), None),
        (format!("{one}{one}"), None),
        (part("0201"), Some(NxActionBadConjunction)),
        (part("0202"), Some(NxActionBadConjunction)),
        (part("0041"), Some(NxActionBadConjunction)),
        (format!("{one}{output}"), Some(NxActionBadConjunction)),
        (format!("{output}{one}"), Some(NxActionBadConjunction)),
    ] {
        let actions = hex(&actions);
        let mut instruction = vec![0, 4, 0, u8::try_from(8 + actions.len()).unwrap(), 0, 0, 0, 0];
        instruction.extend(&actions);
        let bytes = flow_mod13(0, 0, &[], &instruction);
        assert_eq!(refusal(&bytes), expected, "{actions:02x?}");
        if expected.is_none() {
            let (header, decoded) = decode(&bytes).unwrap();
            let mut again = Vec::new();
            decoded.encode(Version::V13, header.xid, &mut again).unwrap();
            let decoded_again = decode(&again).unwrap().1;
            assert_eq!(decoded_again, decoded);
        }
    }
    // With a goto it is no part either.
    let mut goto = hex(&format!("00040018 00000000 {one}"));
    goto.extend(hex("00010008 01000000"));
    assert_eq!(refusal(&flow_mod13(0, 0, &[], &goto)), Some(NxActionBadConjunction));
}

#[test]
fn lists_in_lists_have_a_bottom() {
    let mut actions = Vec::new();
    for depth in 0..100u16 {
        let mut outer = hex("ffff");
        outer.extend((16 + u16::try_from(actions.len()).unwrap()).to_be_bytes());
        outer.extend(hex("00002320 002a 000000000000"));
        outer.extend(&actions);
        actions = outer;
        let mut instruction = vec![0, 4];
        instruction.extend((8 + u16::try_from(actions.len()).unwrap()).to_be_bytes());
        instruction.extend([0; 4]);
        instruction.extend(&actions);
        let expected = (depth >= 8).then_some(OfErrorKind::ActionTooMany);
        assert_eq!(refusal(&flow_mod13(0, 0, &[], &instruction)), expected, "{depth}");
    }
}

#[test]
fn versions_refuse_what_they_do_not_have() {
    use OfErrorKind::*;
    for (bytes, expected) in [
        // Messages of other versions.
        (message(2, 24, &[0; 16]), RequestBadType),
        (message(3, 26, &[]), RequestBadType),
        (message(3, 29, &[0; 8]), RequestBadType),
        (message(4, 33, &[0; 8]), RequestBadType),
        (message(5, 22, &[0; 8]), RequestBadType),
        (message(2, 18, &hex("0008 0000 00000000")), RequestBadStat),
        (message(3, 18, &hex("000c 0000 00000000")), RequestBadStat),
        (message(4, 18, &hex("000e 0000 00000000")), RequestBadStat),
        (message(5, 18, &hex("0011 0000 00000000")), RequestBadStat),
        // Nicira's flow monitor is that of 1.0 to 1.2, the ONF's that of 1.3.
        (message(4, 18, &hex("ffff 0000 00000000 00002320 00000002")), RequestBadSubtype),
        (message(5, 18, &hex("ffff 0000 00000000 4f4e4600 0000074e")), RequestBadSubtype),
        // Properties of ports and tables.
        (port_mod14("0001 0008 00000000"), PropertyBadType),
        (port_mod14("0000 000c 00000000 00000000"), PropertyBadLen),
        (port_mod14("0000 0003"), PropertyBadLen),
        (message(5, 17, &hex("03 000000 00000000 0001 0008 00000000")), PropertyBadType),
        (message(5, 17, &hex("03 000000 00000000 0002 0008 00000008")), PropertyBadValue),
        (message(5, 17, &hex("03 000000 00000000 0003 0008 20 10 00 00")), PropertyBadValue),
        (message(5, 17, &hex("03 000000 00000000 0003 0008 10 20 05 00")), PropertyBadValue),
        (message(5, 17, &hex("03 000000 00000000 0003 0004")), PropertyBadLen),
        // Asynchronous configuration.
        (message(5, 28, &hex("0000 0008 00000040")), AsyncInvalid),
        (message(5, 28, &hex("000c 0008 00000001")), PropertyBadType),
        (message(5, 28, &hex("0000 0006 0000")), PropertyBadLen),
        // A packet-out of 1.5 names its port in a match, and nothing that a frame has.
        (message(6, 13, &hex("ffffffff 0000 0000 0001 0004 00000000")), RequestBadPort),
        (
            message(
                6,
                13,
                &hex("ffffffff 0000 0000 0001 0012 80000004 00000001 80000a02 0800 000000000000"),
            ),
            RequestPipelineFieldsOnly,
        ),
        // Flow monitors that watch nothing, or with bits that there are not.
        (monitor14("0001 ff 00"), MonitorBadFlags),
        (monitor14("0082 ff 00"), MonitorBadFlags),
        (monitor14("0002 ff 03"), MonitorBadCommand),
    ] {
        assert_eq!(refusal(&bytes), Some(expected), "{bytes:02x?}");
    }
}

fn port_mod14(properties: &str) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0];
    body.extend([0; 8]);
    body.extend(hex(properties));
    message(5, 16, &body)
}

fn monitor14(flags_table_command: &str) -> Vec<u8> {
    let mut body = hex("0010 0000 00000000 00000007 ffffffff ffffffff");
    body.extend(hex(flags_table_command));
    body.extend(hex("0001 0004 00000000"));
    message(5, 18, &body)
}

#[test]
fn instructions_and_actions_are_those_of_the_version() {
    use OfErrorKind::*;
    let flow_mod = |version: u8, instructions: &str| {
        let mut bytes = flow_mod13(0, 0, &[], &hex(instructions));
        bytes[0] = version;
        refusal(&bytes)
    };
    let apply = |version: u8, actions: &str| {
        let actions = hex(actions);
        let len = 8 + actions.len();
        let mut instruction = vec![0, 4, 0, u8::try_from(len).expect("short"), 0, 0, 0, 0];
        instruction.extend(actions);
        let mut bytes = flow_mod13(0, 0, &[], &instruction);
        bytes[0] = version;
        refusal(&bytes)
    };
    let meter = "0006 0008 00000001";
    assert_eq!(flow_mod(2, meter), Some(InstructionUnknownInst));
    assert_eq!(flow_mod(3, meter), Some(InstructionUnknownInst));
    assert_eq!(flow_mod(4, meter), None);
    assert_eq!(flow_mod(5, meter), None);
    assert_eq!(flow_mod(6, meter), Some(InstructionUnsupInst));
    let trigger = "0007 0018 00000003 0000 0010 8002 08 08 0000000000000064";
    assert_eq!(flow_mod(5, trigger), Some(InstructionUnknownInst));
    assert_eq!(flow_mod(6, trigger), None);
    let set_dl_src = "0003 0010 020000000001 000000000000";
    let set_field = "0019 0010 80000606 020000000001 0000";
    let push_pbb = "001a 0008 88e7 0000";
    let meter_action = "001d 0008 00000001";
    let onf_copy = "ffff 0020 4f4e4600 0c80 0000 0020 0000 0000 0000 00010004 00010204 00000000";
    let copy = "001c 0018 0020 0000 0000 0000 00010004 00010204 00000000";
    for (action, expected) in [
        // Setters of 1.1 are taken later too, as by Open vSwitch.
        (set_dl_src, [None; 4]),
        (set_field, [Some(ActionBadType), None, None, None]),
        (push_pbb, [Some(ActionBadType), Some(ActionBadType), None, None]),
        (onf_copy, [None; 4]),
        (copy, [Some(ActionBadType), Some(ActionBadType), Some(ActionBadType), None]),
        (meter_action, [Some(ActionBadType), Some(ActionBadType), Some(ActionBadType), None]),
    ] {
        for (version, expected) in [2, 3, 5, 6].into_iter().zip(expected) {
            assert_eq!(apply(version, action), expected, "{version} {action}");
        }
    }
}

/// OpenFlow 1.5.1 §7.2.5; what thresholds are wrong has no error but that of the instruction.
#[test]
fn statistics_triggers_are_checked() {
    use OfErrorKind::*;
    for (instruction, expected) in [
        ("0007 0010 00000000 0000 0004 00000000", None),
        ("0007 0010 00000004 0000 0004 00000000", Some(InstructionUnsupInst)),
        ("0007 0018 00000001 0000 0010 8002 08 08 0000000000000064", None),
        ("0007 0018 00000001 0000 0010 8002 00 08 00000001 3b9ac9ff", None),
        ("0007 0018 00000001 0000 0010 8002 00 08 00000001 3b9aca00", Some(InstructionUnsupInst)),
        // Number of flows, which a rule does not have; an unknown field; one of another length.
        ("0007 0018 00000000 0000 000c 8002 06 04 00000001 00000000", Some(InstructionUnsupInst)),
        ("0007 0018 00000000 0000 0010 8002 0e 08 0000000000000064", Some(InstructionUnsupInst)),
        ("0007 0018 00000000 0000 000c 8002 08 04 00000001 00000000", Some(InstructionUnsupInst)),
        (
            "0007 0018 00000000 0000 0010 ffff 08 08 0000000000000064",
            Some(InstructionBadExperimenter),
        ),
        (
            "0007 0020 00000000 0000 001c 8002 08 08 0000000000000001 8002 08 08 0000000000000002 00000000",
            Some(InstructionBadLen),
        ),
        (
            "0007 0028 00000000 0000 001c 8002 08 08 0000000000000001 8002 08 08 0000000000000002 00000000",
            Some(InstructionUnsupInst),
        ),
        ("0007 0008 00000000", Some(InstructionBadLen)),
        ("0007 0010 00000000 0000 0003 00000000", Some(InstructionBadLen)),
        ("0007 0010 00000000 0000 0010 00000000", Some(InstructionBadLen)),
        ("0007 0018 00000000 0000 0004 00000000 0000000000000000", Some(InstructionBadLen)),
        ("0007 0018 00000000 0000 0010 8002 08 09 0000000000000064", Some(InstructionBadLen)),
    ] {
        let mut bytes = flow_mod13(0, 5, &[], &hex(instruction));
        bytes[0] = 6;
        assert_eq!(refusal(&bytes), expected, "{instruction}");
    }
}

#[test]
fn the_meter_of_1_5_is_an_action_and_means_the_same() {
    let mut bytes = flow_mod13(
        0,
        0,
        &[],
        &hex("0004 0020 00000000 001d 0008 00000007 0000 0010 00000001 0000 000000000000"),
    );
    bytes[0] = 6;
    let (_, Message::FlowMod(flow_mod)) = decode(&bytes).expect("a flow-mod") else { panic!() };
    assert_eq!(flow_mod.instructions.meter, Some(7));
    assert_eq!(flow_mod.instructions.apply, [Action::output(OfPort(1))]);
}

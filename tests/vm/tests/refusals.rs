//! Requests that are wrong: each is refused with the error that the specification names for it, on one
//! connection that lives on, and changes nothing.

use std::time::Duration;

use openflow::{Message, OfErrorKind, Version};
use vm::{Bench, Config};

#[test]
fn requests_that_are_wrong() {
    let bench = Bench::boot(Config::new(3));
    refusals_13(&bench);
    refusals_10(&bench);
    bench.shutdown();
}

/// A request's type and body, and the error that the specification names for it.
type Case<'a> = (&'a str, u8, Vec<u8>, OfErrorKind);

fn refusals_13(bench: &Bench) {
    use OfErrorKind as E;
    const TCP_PORT: [u8; 6] = [0x80, 0, 26, 2, 0, 80];
    const ETH_IP: [u8; 6] = [0x80, 0, 10, 2, 8, 0];
    const ETH_ARP: [u8; 6] = [0x80, 0, 10, 2, 8, 6];
    let flow =
        |oxm: &[u8], rest: &[u8]| FlowMod13 { oxm, instructions: rest, ..FlowMod13::NEW }.body();
    let apply = |action: &[u8]| instruction(4, &[&[0; 4][..], action].concat());
    let act = |action: &[u8]| flow(&[], &apply(action));
    let output = |port: u32| [&[0, 0, 0, 16][..], &port.to_be_bytes(), &[0; 8]].concat();
    let multipart = |kind: u16, rest: &[u8]| [&kind.to_be_bytes()[..], &[0; 6], rest].concat();
    let port_mod = |port: u32, mac: [u8; 6]| {
        [&port.to_be_bytes()[..], &[0; 4], &mac, &[0; 2], &[0; 16]].concat()
    };
    let experimenter = |vendor: u32, kind: u32| [vendor.to_be_bytes(), kind.to_be_bytes()].concat();
    let packet_out = |buffer: u32, in_port: u32, actions: &[u8]| {
        let len = u16::try_from(actions.len()).expect("few");
        [
            &buffer.to_be_bytes()[..],
            &in_port.to_be_bytes(),
            &len.to_be_bytes(),
            &[0; 6],
            actions,
            &[0; 60],
        ]
        .concat()
    };
    let cases: Vec<Case<'_>> = vec![
        ("an unknown message", 99, vec![], E::RequestBadType),
        ("a message only a switch sends", 21, vec![], E::RequestBadType),
        ("a barrier with a body", 20, vec![0; 8], E::RequestBadLen),
        ("a flow-mod cut short", 14, vec![0; 20], E::RequestBadLen),
        ("an unknown multipart", 18, multipart(99, &[]), E::RequestBadStat),
        ("an unknown experimenter", 4, experimenter(0x00ab_cdef, 1), E::RequestBadVendor),
        ("an unknown message of Nicira", 4, experimenter(0x2320, 9999), E::RequestBadSubtype),
        ("statistics of no port", 18, multipart(4, &[0, 0, 0, 99, 0, 0, 0, 0]), E::RequestBadPort),
        (
            "a match of another type",
            14,
            FlowMod13 { match_type: 0, ..FlowMod13::NEW }.body(),
            E::MatchBadType,
        ),
        ("a TCP port without TCP", 14, flow(&TCP_PORT, &[]), E::MatchBadPrereq),
        (
            "a TCP port of ARP",
            14,
            flow(&[&ETH_ARP[..], &TCP_PORT].concat(), &[]),
            E::MatchBadPrereq,
        ),
        ("a field twice", 14, flow(&[ETH_IP, ETH_IP].concat(), &[]), E::MatchDupField),
        ("an unknown field", 14, flow(&[0x80, 0, 0xfe, 2, 8, 0], &[]), E::MatchBadField),
        ("a field of a wrong length", 14, flow(&[0x80, 0, 10, 4, 8, 0, 0, 0], &[]), E::MatchBadLen),
        (
            "a field that takes no mask",
            14,
            flow(&[0x80, 0, 11, 4, 8, 0, 0xff, 0], &[]),
            E::MatchBadMask,
        ),
        (
            "a value outside its mask",
            14,
            flow(&[0x80, 0, 5, 16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], &[]),
            E::MatchBadWildcards,
        ),
        (
            "a VLAN priority above 7",
            14,
            flow(&[0x80, 0, 12, 2, 0x10, 5, 0x80, 0, 14, 1, 9], &[]),
            E::MatchBadValue,
        ),
        (
            "an unknown instruction",
            14,
            flow(&[], &instruction(77, &[0; 4])),
            E::InstructionUnknownInst,
        ),
        ("an instruction of a wrong length", 14, flow(&[], &[0, 1, 0, 4]), E::InstructionBadLen),
        (
            "an instruction twice",
            14,
            flow(&[], &[apply(&[]), apply(&[])].concat()),
            E::InstructionDupInst,
        ),
        (
            "a goto to no table",
            14,
            flow(&[], &instruction(1, &[255, 0, 0, 0])),
            E::InstructionBadTableId,
        ),
        (
            "a goto backwards",
            14,
            FlowMod13 { table: 5, instructions: &instruction(1, &[5, 0, 0, 0]), ..FlowMod13::NEW }
                .body(),
            E::InstructionBadTableId,
        ),
        (
            "a meter that is not there",
            14,
            flow(&[], &instruction(6, &[0, 0, 0, 1])),
            E::MeterModInvalidMeter,
        ),
        ("an unknown action", 14, act(&[0, 99, 0, 8, 0, 0, 0, 0]), E::ActionBadType),
        ("an action of a wrong length", 14, act(&[0, 0, 0, 8, 0, 0, 0, 1]), E::ActionBadLen),
        ("an output to port 0", 14, act(&output(0)), E::ActionBadOutPort),
        ("an output to ANY", 14, act(&output(0xffff_ffff)), E::ActionBadOutPort),
        ("an unknown group", 14, act(&[0, 22, 0, 8, 0, 0, 0, 5]), E::ActionBadOutGroup),
        (
            "an unknown vendor's action",
            14,
            act(&[0xff, 0xff, 0, 8, 0, 1, 2, 3]),
            E::ActionBadVendor,
        ),
        (
            "a TCP port set in what may not be TCP",
            14,
            act(&[0, 25, 0, 16, 0x80, 0, 26, 2, 0, 80, 0, 0, 0, 0, 0, 0]),
            E::ActionMatchInconsistent,
        ),
        (
            "a set of a field that cannot be set",
            14,
            // NXM_NX_CONJ_ID
            act(&[0, 25, 0, 16, 0, 1, 37 << 1, 4, 0, 0, 0, 1, 0, 0, 0, 0]),
            E::ActionBadSetArgument,
        ),
        (
            "a set of no field",
            14,
            act(&[0, 25, 0, 16, 0x80, 0, 0xfe, 2, 8, 0, 0, 0, 0, 0, 0, 0]),
            E::ActionBadSetType,
        ),
        ("a push of what is no tag", 14, act(&[0, 17, 0, 8, 8, 0, 0, 0]), E::ActionBadArgument),
        (
            "a table that is not there",
            14,
            FlowMod13 { command: 0, table: 255, ..FlowMod13::NEW }.body(),
            E::FlowModBadTableId,
        ),
        (
            "an unknown command",
            14,
            FlowMod13 { command: 9, ..FlowMod13::NEW }.body(),
            E::FlowModBadCommand,
        ),
        (
            "unknown flags",
            14,
            FlowMod13 { flags: 0x8000, ..FlowMod13::NEW }.body(),
            E::FlowModBadFlags,
        ),
        (
            "an overlap",
            14,
            FlowMod13 { flags: 2, priority: 0, oxm: &ETH_IP, ..FlowMod13::NEW }.body(),
            E::FlowModOverlap,
        ),
        (
            "a buffer that is not there",
            14,
            FlowMod13 { buffer: 7, ..FlowMod13::NEW }.body(),
            E::RequestBufferUnknown,
        ),
        (
            "a packet-out of no buffer",
            13,
            packet_out(7, 0xffff_fffd, &output(1)),
            E::RequestBufferUnknown,
        ),
        (
            "a packet-out from no port",
            13,
            packet_out(u32::MAX, 0xffff_ff33, &output(1)),
            E::RequestBadPort,
        ),
        (
            "a packet-out with an unknown action",
            13,
            packet_out(u32::MAX, 0xffff_fffd, &[0, 99, 0, 8, 0, 0, 0, 0]),
            E::ActionBadType,
        ),
        ("a port that is not there", 16, port_mod(99, [0; 6]), E::PortModBadPort),
        ("a port of another address", 16, port_mod(1, [2; 6]), E::PortModBadHwAddr),
        ("a table's unknown configuration", 17, vec![0, 0, 0, 0, 0, 0, 0, 9], E::TableModBadConfig),
        ("frames to be put together", 9, vec![0, 2, 0, 128], E::ConfigBadFlags),
        ("an unknown role", 24, [&[0, 0, 0, 9][..], &[0; 12]].concat(), E::RoleBadRole),
        ("queues of no port", 22, vec![0, 0, 0, 99, 0, 0, 0, 0], E::QueueBadPort),
        (
            "queue statistics of no port",
            18,
            multipart(5, &[0, 0, 0, 99, 0xff, 0xff, 0xff, 0xff]),
            E::QueueBadPort,
        ),
        ("a statistic of no queue", 18, multipart(5, &[0, 0, 0, 1, 0, 0, 0, 3]), E::QueueBadQueue),
        ("a change of tables' features", 18, multipart(12, &[0; 4]), E::RequestBadLen),
    ];
    run_refusals(bench, Version::V13, cases);
}

fn refusals_10(bench: &Bench) {
    use OfErrorKind as E;
    let flow = |command: u16, actions: &[u8]| {
        [
            &0x003f_ffff_u32.to_be_bytes()[..],
            &[0; 36],
            &[0; 8],
            &command.to_be_bytes(),
            &[0; 4],
            &[0x80, 0],
            &[0xff; 4],
            &[0xff; 2],
            &[0; 2],
            actions,
        ]
        .concat()
    };
    let cases: Vec<Case<'_>> = vec![
        ("an unknown message", 99, vec![], E::RequestBadType),
        ("a flow-mod cut short", 14, vec![0; 20], E::RequestBadLen),
        ("unknown statistics", 16, vec![0, 99, 0, 0], E::RequestBadStat),
        ("an unknown vendor", 4, vec![0, 0xab, 0xcd, 0xef, 0, 0, 0, 1], E::RequestBadVendor),
        ("an unknown command", 14, flow(9, &[]), E::FlowModBadCommand),
        ("an unknown action", 14, flow(0, &[0, 99, 0, 8, 0, 0, 0, 0]), E::ActionBadType),
        ("an action of a wrong length", 14, flow(0, &[0, 0, 0, 4]), E::ActionBadLen),
        ("an output to port 0", 14, flow(0, &[0, 0, 0, 8, 0, 0, 0, 0]), E::ActionBadOutPort),
        ("a VLAN id of 13 bits", 14, flow(0, &[0, 1, 0, 8, 0x10, 0, 0, 0]), E::ActionBadArgument),
        ("a port that is not there", 15, [&[0, 99][..], &[0; 22]].concat(), E::PortModBadPort),
    ];
    run_refusals(bench, Version::V10, cases);
}

/// Every request is refused as it should be, on one connection that lives on, and changes nothing.
fn run_refusals(bench: &Bench, version: Version, cases: Vec<Case<'_>>) {
    bench.set_flows(&["priority=0,actions=NORMAL", "priority=3,in_port=3,actions=1"]);
    let before = (bench.ofctl(&["dump-flows", "--no-stats"]), bench.ofctl(&["dump-ports-desc"]));
    let mut client = bench.client(version);
    let mut wrong = Vec::new();
    for (name, kind, body, expected) in cases {
        bench.case(format!("{version}: {name}"));
        let xid = client.send_raw(kind, &body).expect("sent");
        client.barrier();
        let answers: Vec<_> =
            std::iter::from_fn(|| client.next(Duration::ZERO).ok().flatten()).collect();
        match &answers[..] {
            [(header, Message::Error(error))] if header.xid == xid && error.kind == expected => {
                assert_eq!(error.data[..2], [version.wire(), kind], "it quotes another");
            }
            other => wrong.push(format!("{name}: expected {expected}, got {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let after = (bench.ofctl(&["dump-flows", "--no-stats"]), bench.ofctl(&["dump-ports-desc"]));
    assert_eq!(after, before, "a refused request changed something");
}

/// An instruction of 1.3 (§7.2.4).
fn instruction(kind: u16, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(4 + rest.len()).expect("short");
    [&kind.to_be_bytes()[..], &len.to_be_bytes(), rest].concat()
}

/// The body of a flow-mod of 1.3 (§7.3.4.1), right but for what a case makes wrong.
#[derive(Clone, Copy)]
struct FlowMod13<'a> {
    table: u8,
    command: u8,
    priority: u16,
    buffer: u32,
    flags: u16,
    match_type: u16,
    oxm: &'a [u8],
    instructions: &'a [u8],
}

impl FlowMod13<'_> {
    const NEW: FlowMod13<'static> = FlowMod13 {
        table: 0,
        command: 0,
        priority: 77,
        buffer: u32::MAX,
        flags: 0,
        match_type: 1,
        oxm: &[],
        instructions: &[],
    };

    fn body(self) -> Vec<u8> {
        let mut body = vec![0; 16];
        body.extend([self.table, self.command, 0, 0, 0, 0]);
        body.extend(self.priority.to_be_bytes());
        body.extend(self.buffer.to_be_bytes());
        body.extend([0xff; 8]);
        body.extend(self.flags.to_be_bytes());
        body.extend([0; 2]);
        body.extend(self.match_type.to_be_bytes());
        let len = u16::try_from(4 + self.oxm.len()).expect("short");
        body.extend(len.to_be_bytes());
        body.extend(self.oxm);
        body.resize(body.len().next_multiple_of(8), 0);
        body.extend(self.instructions);
        body
    }
}

//! OpenFlow: messages as bytes, and text as `ovs-ofctl` reads it.
//!
//! Asserted for bytes, in every dialect that a connection can be in:
//! - what is decoded can be encoded, and that decodes to the same message and encodes to the same
//!   bytes;
//! - what is refused is refused with an error that carries the start of the message and no more,
//!   and that can itself be sent;
//! - a message of another length than its header says is refused.
//!
//! For text: what is read and written again reads as the same.

use flow::text::NoNames;
use openflow::text::{
    ActionsText, InstructionsText, parse_actions, parse_flow, parse_instructions,
};
use openflow::{
    Dialect, ERROR_DATA_BYTES, FlowFormat, FlowModCommand, HEADER_BYTES, Header, Message,
    PacketInFormat, Version, decode, frame_len,
};

use crate::corpus::{Input, load};
use crate::{Behaviour, behaviour};

/// Numbers of actions, instructions, fields and vendors.
pub(super) const WORDS: &[&[u8]] = &[
    &[0, 0, 0, 8],
    &[0, 0, 0, 16],
    &[0, 25, 0, 16],
    &[0xff, 0xff, 0, 16, 0, 0, 0x23, 0x20],
    &[0, 0, 0x23, 0x20],
    &[0x4f, 0x4e, 0x46, 0],
    &[0x80, 0, 0x0a, 2, 8, 0],
    &[0x80, 0, 0x14, 1, 6],
    &[0x80, 0, 0x16, 4, 10, 0, 0, 1],
    &[0, 1, 0, 0],
    &[0, 1, 0, 4],
    &[0, 4, 0, 24],
    &[0, 3, 0, 8],
    &[0, 5, 0, 8, 0, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0xfd],
    &[0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xfd],
    &[0, 3],
    &[0, 6],
    &[0, 12],
    &[0, 13],
];

/// Message type of vendors' messages in every version.
const EXPERIMENTER: u8 = 4;

/// The dialects of a connection.
fn dialects() -> impl Iterator<Item = Dialect> {
    let nicira = Dialect {
        flow_mod_table_id: true,
        flow_format: FlowFormat::Nxm,
        packet_in_format: PacketInFormat::Nxt,
        ..Dialect::plain(Version::V10)
    };
    let nicira13 =
        Dialect { version: Version::V13, packet_in_format: PacketInFormat::Nxt2, ..nicira };
    Version::ALL.into_iter().map(Dialect::plain).chain([nicira, nicira13])
}

/// Runs the target.
pub fn openflow_message(data: &[u8]) -> Behaviour {
    assert_eq!(frame_len(data).is_some(), data.len() >= HEADER_BYTES);
    let mut words = Vec::new();
    for dialect in dialects() {
        words.push(one(data, dialect));
    }
    if let Ok((header, message)) = decode(data) {
        assert_eq!(Header::parse(data), Some(header));
        assert_eq!(usize::from(header.len), data.len());
        drop(message);
    }
    behaviour(&words)
}

fn one(data: &[u8], dialect: Dialect) -> u64 {
    match dialect.decode(data) {
        Ok((header, message)) => {
            assert_eq!(usize::from(header.len), data.len());
            if header.kind == EXPERIMENTER && matches!(message, Message::FlowMod(_)) {
                // Nicira's flow-mod in 1.3 can leave the table to the switch; 1.3's own cannot.
                return shape(&message);
            }
            if format!("{message:?}").contains('\u{fffd}') {
                // A name that is no text: what is broken in it is replaced, and cut to fit.
                return shape(&message);
            }
            let is_of_version = header.version == dialect.version.wire();
            let mut again = Vec::new();
            // A decoded message may say more than fits once names are written out; it fits here.
            let encoded = dialect.encode(&message, header.xid, &mut again);
            assert_eq!(encoded, Ok(()), "{message:?}");
            let (_, second) = dialect.decode(&again).unwrap_or_else(|error| {
                panic!("{} of what was accepted: {message:?}", error.error.kind)
            });
            // A hello of any version is read; it is written as ours.
            // A vendor's message may have come that this dialect writes as the standard's.
            let is_of_form = again.get(1) == Some(&header.kind);
            if is_of_version && is_of_form && !is_widely_read(&message, dialect.version) {
                assert_eq!(second, message);
            }
            let mut third = Vec::new();
            assert_eq!(dialect.encode(&second, header.xid, &mut third), Ok(()));
            assert_eq!(third, again, "{message:?}");
            shape(&message)
        }
        Err(error) => {
            let carried = &error.error.data;
            assert!(carried.len() <= ERROR_DATA_BYTES && data.starts_with(carried));
            assert!(carried.len() == ERROR_DATA_BYTES || carried == data);
            let mut bytes = Vec::new();
            let refusal = Message::Error(error.error.clone());
            assert_eq!(dialect.encode(&refusal, error.header.xid, &mut bytes), Ok(()));
            assert!(dialect.decode(&bytes).is_ok());
            behaviour(&[error.header.kind.into(), error.error.kind as u64])
        }
    }
}

/// Whether the message may be read more widely than it is written. Those that a switch sends are:
/// names that are too long or no text, reasons of OpenFlow 1.4, headers in the metadata of a
/// packet-in. In 1.0 and 1.1, so is a port of one transport protocol.
fn is_widely_read(message: &Message, version: Version) -> bool {
    // What the version says in another way than Nicira, whom it understands.
    let other: &[&str] = match version {
        Version::V10 => &["field: Tcp", "field: Udp", "field: Sctp"],
        Version::V11 => &["field: Tcp", "field: Udp", "field: Sctp", "field: IpDscpShifted"],
        // 1.1's setters, which Open vSwitch takes later as well.
        Version::V12 | Version::V13 | Version::V14 => &["field: IpDscp,", "SetTp"],
        Version::V15 => &["field: IpDscp,", "SetTp", "Load {"],
    };
    if other.iter().any(|name| format!("{message:?}").contains(name)) {
        return true;
    }
    matches!(
        message,
        Message::PacketIn(_)
            | Message::FlowRemoved(_)
            | Message::PortStatus(_)
            | Message::FeaturesReply(_)
            | Message::MultipartReply(_)
            | Message::QueueGetConfigReply(_)
    )
}

/// Which message, and roughly what is in it: the names in its debug text.
fn shape(message: &Message) -> u64 {
    let text = format!("{message:?}");
    let names = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()));
    // The set of names, not their order, or there would be no end of shapes.
    let mut set: Vec<&str> = names.collect();
    set.sort_unstable();
    set.dedup();
    let words: Vec<u64> = set
        .iter()
        .map(|name| behaviour(&name.bytes().map(u64::from).collect::<Vec<_>>()))
        .collect();
    behaviour(&words)
}

/// Makes the length in the header right, and usually the version one that is spoken.
pub(super) fn repair(message: &mut [u8]) {
    let len = u16::try_from(message.len()).unwrap_or(u16::MAX);
    if let Some([version, _, length @ ..]) = message.first_chunk_mut::<4>() {
        *length = len.to_be_bytes();
        if *version != 1 {
            *version = 4;
        }
    }
}

/// Flow-mods of the texts of `flow_line`.
pub(super) fn encoded() -> Vec<Input> {
    let mut inputs = Vec::new();
    for line in load("corpus", "flow_line") {
        let Ok(text) = String::from_utf8(line.bytes) else {
            continue;
        };
        let Ok(flow_mod) = parse_flow(&text, FlowModCommand::Add) else {
            continue;
        };
        let message = Message::FlowMod(Box::new(flow_mod));
        for dialect in dialects() {
            let mut bytes = Vec::new();
            if dialect.encode(&message, 1, &mut bytes).is_ok() {
                let origin = format!("{} as {:?}", line.origin, dialect.version);
                inputs.push(Input { origin, bytes });
            }
        }
    }
    inputs
}

/// Words of flows and actions.
pub(super) const FLOW_WORDS: &[&[u8]] = &[
    b"actions=",
    b"table=",
    b"priority=",
    b"cookie=",
    b"idle_timeout=",
    b"hard_timeout=",
    b"send_flow_rem",
    b"check_overlap",
    b"output:",
    b"output(port=1,max_len=",
    b"controller(",
    b"max_len=",
    b"reason=",
    b"id=",
    b"userdata=",
    b"resubmit(",
    b"normal",
    b"flood",
    b"all",
    b"in_port",
    b"local",
    b"drop",
    b"set_field:",
    b"->",
    b"load:",
    b"move:",
    b"NXM_OF_ETH_SRC[]",
    b"NXM_NX_REG0[0..15]",
    b"reg1[3]",
    b"xxreg0[]",
    b"push_vlan:",
    b"pop_vlan",
    b"strip_vlan",
    b"mod_vlan_vid:",
    b"mod_vlan_pcp:",
    b"push_mpls:",
    b"pop_mpls:",
    b"dec_ttl",
    b"dec_ttl(1,2)",
    b"dec_mpls_ttl",
    b"set_mpls_ttl(",
    b"mod_nw_ttl:",
    b"mod_nw_tos:",
    b"mod_nw_ecn:",
    b"mod_dl_src:",
    b"mod_tp_dst:",
    b"enqueue:",
    b"set_queue:",
    b"pop_queue",
    b"group:",
    b"note:",
    b"exit",
    b"fin_timeout(",
    b"push:",
    b"pop:",
    b"write_actions(",
    b"apply_actions(",
    b"clear_actions",
    b"write_metadata:",
    b"goto_table:",
    b"meter:",
    b"0x0800",
    b"0x8847",
    b"0xffff",
    b"65536",
    b"-1",
    b"02:00:00:00:00:01",
    b"10.0.0.1",
    b"tcp,",
    b"ip,",
    b"out_port=",
    b"out_group=",
    b"importance=",
    b"0xff/0xf0",
];

/// Runs the target on a line as `ovs-ofctl add-flow` takes it.
pub fn flow_line(data: &[u8]) -> Behaviour {
    let Ok(text) = core::str::from_utf8(data) else {
        return 0;
    };
    for command in [FlowModCommand::DeleteStrict, FlowModCommand::Modify] {
        if let Err(error) = parse_flow(text, command) {
            assert!(!error.to_string().is_empty());
        }
    }
    let bare = text.rsplit("actions=").next().unwrap_or_default();
    if let Ok(actions) = parse_actions(bare, &NoNames) {
        let written = ActionsText { actions: &actions, ports: &NoNames }.to_string();
        assert_eq!(parse_actions(&written, &NoNames), Ok(actions), "{bare} is written {written}");
    }
    if let Ok(instructions) = parse_instructions(bare, &NoNames) {
        let written = InstructionsText { instructions: &instructions, ports: &NoNames }.to_string();
        assert_eq!(
            parse_instructions(&written, &NoNames),
            Ok(instructions),
            "{bare} is written {written}"
        );
    }
    match parse_flow(text, FlowModCommand::Add) {
        Ok(flow_mod) => {
            let message = Message::FlowMod(Box::new(flow_mod));
            // What was typed can be sent, and what arrives is read by the switch or refused.
            for dialect in dialects() {
                let mut bytes = Vec::new();
                if dialect.encode(&message, 1, &mut bytes).is_ok() {
                    let _ = dialect.decode(&bytes);
                }
            }
            shape(&message)
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty());
            let problem = text.rsplit(": ").next().unwrap_or_default();
            behaviour(&problem.bytes().map(u64::from).collect::<Vec<_>>())
        }
    }
}

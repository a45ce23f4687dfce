//! Lists of actions: the frame that all versions share.
//!
//! An action is a type (16 bits), a length (16 bits, a multiple of 8, header included), and what
//! the type says. Type 0xffff has a vendor number next. [`v10`], [`v11`] and [`v12`] (for 1.2
//! and later) have the standard ones, [`nicira`] and [`copy_field`] the extensions.

mod copy_field;
mod learn;
mod nicira;
mod select;
mod v10;
mod v11;
mod v12;

pub(crate) use nicira::{WRITE_METADATA, put_nicira};

use alloc::vec::Vec;

use flow::{Field, Match, proto};

use super::oxm::Flavour;
use super::wire::{Put, Reader, Result};
use crate::actions::conjunctions_stand_alone;
use crate::{Action, NICIRA, ONF, OfErrorKind, OfPort, Version};

/// The type of vendors' actions.
const TYPE_EXPERIMENTER: u16 = 0xffff;
/// Bytes of the smallest action.
const MIN_BYTES: usize = 8;
/// How deep lists of actions may be nested in actions: what bounds recursion over them.
pub(crate) const MAX_NESTING: u8 = 8;

/// Reads a list of actions, all of `reader`.
pub(crate) fn read_actions(reader: Reader<'_>, version: Version) -> Result<Vec<Action>> {
    read_nested(reader, version, 0)
}

/// Reads a list of actions inside `depth` others.
fn read_nested(mut reader: Reader<'_>, version: Version, depth: u8) -> Result<Vec<Action>> {
    if depth > MAX_NESTING {
        return Err(OfErrorKind::ActionTooMany);
    }
    let mut actions = Vec::new();
    while !reader.is_empty() {
        let mut header = reader;
        let kind = header.u16().map_err(|_| OfErrorKind::ActionBadLen)?;
        let len = usize::from(header.u16().map_err(|_| OfErrorKind::ActionBadLen)?);
        if len < MIN_BYTES || len % 8 != 0 {
            return Err(OfErrorKind::ActionBadLen);
        }
        let mut body = reader.sub(len, OfErrorKind::ActionBadLen)?;
        body.skip(4)?;
        let action = match (kind, version) {
            (TYPE_EXPERIMENTER, _) => match body.u32()? {
                NICIRA => nicira::read(&mut body, version, depth)?,
                ONF => copy_field::read_onf(&mut body)?,
                _ => return Err(OfErrorKind::ActionBadVendor),
            },
            (_, Version::V10) => v10::read(kind, &mut body)?,
            (_, Version::V11) => v11::read(kind, &mut body)?,
            _ => v12::read(kind, &mut body, version)?,
        };
        // What is left is padding of up to 7 bytes; more is a wrong length.
        if body.len() >= 8 {
            return Err(OfErrorKind::ActionBadLen);
        }
        actions.push(action);
    }
    check_conjunctions(&actions)?;
    Ok(actions)
}

/// A conjunction stands with nothing but conjunctions and notes, as Open vSwitch has it.
fn check_conjunctions(actions: &[Action]) -> Result<()> {
    match conjunctions_stand_alone(actions) {
        true => Ok(()),
        false => Err(OfErrorKind::NxActionBadConjunction),
    }
}

/// Writes a list of actions for packets of `match_`.
pub(crate) fn put_actions(
    out: &mut Vec<u8>,
    actions: &[Action],
    match_: Option<&Match>,
    version: Version,
) {
    let mut packet = Packet::of(match_);
    for action in actions {
        match version {
            Version::V10 => v10::put(out, action),
            Version::V11 => v11::put(out, action, packet),
            _ => v12::put(out, action, packet, version),
        }
        packet.after(action);
    }
}

/// What is known of the packet where an action is written: 1.0 actions that adapt to the packet
/// become 1.3 actions that do not.
#[derive(Clone, Copy)]
struct Packet {
    has_vlan: bool,
    ip_proto: u8,
}

impl Packet {
    fn of(match_: Option<&Match>) -> Packet {
        match match_ {
            None => Packet { has_vlan: false, ip_proto: 0 },
            Some(match_) => Packet {
                has_vlan: match_.flow().vlan_tci() & proto::VLAN_PRESENT != 0,
                ip_proto: match_.flow().nw_proto(),
            },
        }
    }

    fn after(&mut self, action: &Action) {
        match action {
            Action::SetVlanVid(_) | Action::SetVlanPcp(_) | Action::PushVlan(_) => {
                self.has_vlan = true;
            }
            Action::PopVlan => self.has_vlan = false,
            _ => {}
        }
    }

    /// The field that a port of an unnamed protocol is.
    fn port_field(self, tcp: Field, udp: Field, sctp: Field) -> Field {
        match self.ip_proto {
            proto::ip_proto::UDP => udp,
            proto::ip_proto::SCTP => sctp,
            _ => tcp,
        }
    }
}

/// Turns 1.0's port setters into those of the protocol that the match asks for.
pub(crate) fn resolve_ports(actions: &mut [Action], match_: &Match) {
    let (src, dst) = match match_.flow().nw_proto() {
        _ if !match_.flow().is_ip() => return,
        proto::ip_proto::TCP => (Field::TcpSrc, Field::TcpDst),
        proto::ip_proto::UDP => (Field::UdpSrc, Field::UdpDst),
        proto::ip_proto::SCTP => (Field::SctpSrc, Field::SctpDst),
        _ => return,
    };
    for action in actions {
        match *action {
            Action::SetTpSrc(port) => *action = Action::set_field(src, port.into()),
            Action::SetTpDst(port) => *action = Action::set_field(dst, port.into()),
            _ => {}
        }
    }
}

/// Writes an action with its header; `body` writes what follows.
fn put_action(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.u16(kind);
    out.u16(0);
    body(out);
    out.pad8(start);
    out.patch_len(start + 2, start);
}

/// The headers that fields have in the actions of a version.
fn flavour(version: Version) -> Flavour {
    match version {
        Version::V10 => Flavour::Nxm,
        _ => Flavour::Oxm(version),
    }
}

/// Checks the port of an output (1.3.5 §7.2.5, `OFPBAC_BAD_OUT_PORT`).
fn output_port(port: OfPort) -> Result<OfPort> {
    if port.is_output() { Ok(port) } else { Err(OfErrorKind::ActionBadOutPort) }
}

/// An output; the length counts for the controller only.
fn output(port: OfPort, max_len: u16) -> Result<Action> {
    let port = output_port(port)?;
    let max_len = if port == OfPort::CONTROLLER { max_len } else { 0 };
    Ok(Action::Output { port, max_len })
}

/// An Ethernet type that a VLAN tag can have (1.3.5 §7.2.5.4).
fn vlan_type(ethertype: u16) -> Result<u16> {
    match ethertype {
        proto::eth_type::VLAN | proto::eth_type::QINQ => Ok(ethertype),
        _ => Err(OfErrorKind::ActionBadArgument),
    }
}

/// An Ethernet type that an MPLS entry can have.
fn mpls_type(ethertype: u16) -> Result<u16> {
    match ethertype {
        proto::eth_type::MPLS | proto::eth_type::MPLS_MULTICAST => Ok(ethertype),
        _ => Err(OfErrorKind::ActionBadArgument),
    }
}

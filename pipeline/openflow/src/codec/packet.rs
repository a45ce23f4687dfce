//! Packet-in and packet-out.

use alloc::boxed::Box;
use alloc::vec::Vec;

use flow::{Field, Match};

use super::action;
use super::flow_mod::{put_match_nxm, put_match13, read_match_nxm, read_match13};
use super::oxm::{self, Flavour, Unknown};
use super::wire::{Put, Reader, Result};
use super::{Dialect, Kind, nicira};
use crate::{
    NICIRA, OfErrorKind, OfPort, PacketIn, PacketInFormat, PacketInReason, PacketOut, Version,
    metadata_of,
};

const NO_BUFFER: u32 = 0xffff_ffff;
/// The cookie of a packet-in that no rule caused (1.3.5 §7.4.1).
const NO_COOKIE: u64 = u64::MAX;

/// Properties of `NXT_PACKET_IN2`.
mod property {
    pub(super) const PACKET: u16 = 0;
    pub(super) const FULL_LEN: u16 = 1;
    pub(super) const BUFFER_ID: u16 = 2;
    pub(super) const TABLE_ID: u16 = 3;
    pub(super) const COOKIE: u16 = 4;
    pub(super) const REASON: u16 = 5;
    pub(super) const METADATA: u16 = 6;
    pub(super) const USERDATA: u16 = 7;
    pub(super) const CONTINUATION: u16 = 8;
}

/// Reads a standard packet-in.
pub(super) fn read_in(r: &mut Reader<'_>, version: Version) -> Result<PacketIn> {
    let buffer_id = buffer(r.u32()?);
    if version == Version::V11 {
        // 1.1 §A.4.1: the physical port is the same, as there are no logical ones.
        let in_port = OfPort(r.u32()?);
        r.skip(4)?;
        return Ok(PacketIn {
            buffer_id,
            total_len: r.u16()?.into(),
            reason: reason(r.u8()?)?,
            table_id: r.u8()?,
            cookie: NO_COOKIE,
            metadata: metadata_of(in_port),
            userdata: Vec::new(),
            continuation: Vec::new(),
            data: r.take_all().to_vec(),
        });
    }
    let total_len = r.u16()?.into();
    if version == Version::V10 {
        // 1.0.1 §5.4.1.
        let in_port = OfPort::from_u16(r.u16()?);
        let reason = reason(r.u8()?)?;
        r.skip(1)?;
        return Ok(PacketIn {
            buffer_id,
            total_len,
            reason,
            table_id: 0,
            cookie: NO_COOKIE,
            metadata: metadata_of(in_port),
            userdata: Vec::new(),
            continuation: Vec::new(),
            data: r.take_all().to_vec(),
        });
    }
    // 1.3.5 §7.4.1; 1.2 has no cookie.
    let reason = reason(r.u8()?)?;
    let table_id = r.u8()?;
    let cookie = if version == Version::V12 { NO_COOKIE } else { r.u64()? };
    let metadata = read_match13(r, Unknown::Skip, version)?;
    r.skip(2)?;
    let data = r.take_all().to_vec();
    let (userdata, continuation) = (Vec::new(), Vec::new());
    Ok(PacketIn {
        buffer_id,
        total_len,
        reason,
        table_id,
        cookie,
        metadata,
        userdata,
        continuation,
        data,
    })
}

/// `NXT_PACKET_IN`.
pub(super) fn read_nxt(r: &mut Reader<'_>) -> Result<PacketIn> {
    let buffer_id = buffer(r.u32()?);
    let total_len = r.u16()?.into();
    let reason = reason(r.u8()?)?;
    let table_id = r.u8()?;
    let cookie = r.u64()?;
    let match_len = r.u16()?;
    r.skip(6)?;
    let metadata = read_match_nxm(r, match_len, Unknown::Skip)?.0;
    r.skip(2)?;
    let data = r.take_all().to_vec();
    let (userdata, continuation) = (Vec::new(), Vec::new());
    Ok(PacketIn {
        buffer_id,
        total_len,
        reason,
        table_id,
        cookie,
        metadata,
        userdata,
        continuation,
        data,
    })
}

/// `NXT_PACKET_IN2`: a list of properties.
pub(super) fn read_nxt2(r: &mut Reader<'_>) -> Result<PacketIn> {
    let mut packet = PacketIn {
        buffer_id: None,
        total_len: 0,
        reason: PacketInReason::NoMatch,
        table_id: 0,
        cookie: NO_COOKIE,
        metadata: flow::Match::default(),
        userdata: Vec::new(),
        continuation: Vec::new(),
        data: Vec::new(),
    };
    let mut full_len = None;
    while !r.is_empty() {
        let kind = r.u16()?;
        let len = usize::from(r.u16()?);
        let body = len.checked_sub(4).ok_or(OfErrorKind::PropertyBadLen)?;
        let mut value = r.sub(body, OfErrorKind::PropertyBadLen)?;
        r.skip(len.next_multiple_of(8) - len)?;
        match kind {
            property::PACKET => packet.data = value.take_all().to_vec(),
            property::FULL_LEN => full_len = Some(value.u32()?),
            property::BUFFER_ID => packet.buffer_id = buffer(value.u32()?),
            property::TABLE_ID => packet.table_id = value.u8()?,
            property::COOKIE => {
                value.skip(4)?;
                packet.cookie = value.u64()?;
            }
            property::REASON => packet.reason = reason(value.u8()?)?,
            property::METADATA => packet.metadata = oxm::read_match(value, Unknown::Skip)?.0,
            property::USERDATA => packet.userdata = value.take_all().to_vec(),
            property::CONTINUATION => {
                value.skip(4)?;
                packet.continuation = value.take_all().to_vec();
            }
            _ => {}
        }
    }
    let data_len = u32::try_from(packet.data.len()).unwrap_or(u32::MAX);
    packet.total_len = full_len.unwrap_or(data_len);
    Ok(packet)
}

/// Writes a packet-in and returns the message type that it has become.
pub(super) fn put_in(out: &mut Vec<u8>, packet: &PacketIn, dialect: &Dialect) -> Kind {
    let reason = wire_reason(packet.reason, dialect.version);
    let total_len = u16::try_from(packet.total_len).unwrap_or(u16::MAX);
    let buffer_id = packet.buffer_id.unwrap_or(NO_BUFFER);
    match (dialect.packet_in_format, dialect.version) {
        (PacketInFormat::Standard, Version::V10) => {
            out.u32(buffer_id);
            out.u16(total_len);
            out.u16(packet.in_port().to_u16().unwrap_or(u16::MAX));
            out.u8(reason);
            out.zeros(1);
            out.bytes(&packet.data);
            Kind::PacketIn
        }
        (PacketInFormat::Standard, Version::V11) => {
            out.u32(buffer_id);
            out.u32(packet.in_port().0);
            out.u32(packet.in_port().0);
            out.u16(total_len);
            out.u8(reason);
            out.u8(packet.table_id);
            out.bytes(&packet.data);
            Kind::PacketIn
        }
        (PacketInFormat::Standard, version) => {
            out.u32(buffer_id);
            out.u16(total_len);
            out.u8(reason);
            out.u8(packet.table_id);
            if version != Version::V12 {
                out.u64(packet.cookie);
            }
            put_match13(out, &packet.metadata, version);
            out.zeros(2);
            out.bytes(&packet.data);
            Kind::PacketIn
        }
        (PacketInFormat::Nxt, _) => {
            nicira::put_header(out, NICIRA, nicira::PACKET_IN);
            out.u32(buffer_id);
            out.u16(total_len);
            out.u8(reason);
            out.u8(packet.table_id);
            out.u64(packet.cookie);
            let len_at = out.len();
            out.u16(0);
            out.zeros(6);
            let len = put_match_nxm(out, &packet.metadata, (0, 0));
            out.patch_u16(len_at, len);
            out.zeros(2);
            out.bytes(&packet.data);
            Kind::Experimenter
        }
        (PacketInFormat::Nxt2, version) => {
            nicira::put_header(out, NICIRA, nicira::PACKET_IN2);
            put_nxt2(out, packet, reason, version);
            Kind::Experimenter
        }
    }
}

/// Writes `NXT_RESUME`: what a packet-in of that format said.
pub(super) fn put_resume(out: &mut Vec<u8>, packet: &PacketIn, version: Version) {
    put_nxt2(out, packet, wire_reason(packet.reason, version), version);
}

fn put_nxt2(out: &mut Vec<u8>, packet: &PacketIn, reason: u8, version: Version) {
    put_property(out, property::PACKET, |out| out.bytes(&packet.data));
    if usize::try_from(packet.total_len) != Ok(packet.data.len()) {
        put_property(out, property::FULL_LEN, |out| out.u32(packet.total_len));
    }
    if let Some(buffer_id) = packet.buffer_id {
        put_property(out, property::BUFFER_ID, |out| out.u32(buffer_id));
    }
    put_property(out, property::TABLE_ID, |out| out.u8(packet.table_id));
    if packet.cookie != NO_COOKIE {
        put_property(out, property::COOKIE, |out| {
            out.zeros(4);
            out.u64(packet.cookie);
        });
    }
    put_property(out, property::REASON, |out| out.u8(reason));
    put_property(out, property::METADATA, |out| {
        oxm::put_match(out, &packet.metadata, Flavour::Oxm(version));
    });
    if !packet.userdata.is_empty() {
        put_property(out, property::USERDATA, |out| out.bytes(&packet.userdata));
    }
    if !packet.continuation.is_empty() {
        // What is in it are properties: they begin at a multiple of 8 bytes.
        put_property(out, property::CONTINUATION, |out| {
            out.zeros(4);
            out.bytes(&packet.continuation);
        });
    }
}

fn put_property(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.u16(kind);
    out.u16(0);
    body(out);
    out.patch_len(start + 2, start);
    out.pad8(start);
}

/// Reads a packet-out (1.0.1 §5.3.6, 1.3.5 §7.3.7, 1.5.1 §7.3.6).
pub(super) fn read_out(r: &mut Reader<'_>, version: Version) -> Result<PacketOut> {
    let buffer_id = buffer(r.u32()?);
    let mut metadata = None;
    let (in_port, actions_len) = match version {
        Version::V10 => (OfPort::from_u16(r.u16()?), r.u16()?),
        Version::V15 => {
            let actions_len = r.u16()?;
            r.skip(2)?;
            let mut match_ = read_match13(r, Unknown::Refuse, version)?;
            let in_port = take_in_port(&mut match_)?;
            metadata = (match_ != Match::default()).then(|| Box::new(match_));
            (in_port, actions_len)
        }
        _ => {
            let both = (OfPort(r.u32()?), r.u16()?);
            r.skip(6)?;
            both
        }
    };
    let is_source = in_port.is_physical()
        || in_port == OfPort(0)
        || matches!(in_port, OfPort::ANY | OfPort::CONTROLLER);
    if !is_source {
        return Err(OfErrorKind::RequestBadPort);
    }
    let actions = r.sub(actions_len.into(), OfErrorKind::ActionBadLen)?;
    let actions = action::read_actions(actions, version)?;
    let data = r.take_all().to_vec();
    Ok(PacketOut { buffer_id, in_port, metadata, actions, data })
}

/// The ingress port of a match that says what no frame says by itself (1.5.1 §7.3.6: nothing else may
/// be in it, and the ingress port must).
fn take_in_port(metadata: &mut Match) -> Result<OfPort> {
    let (port, mask) = metadata.get(Field::InPort);
    if mask == 0 {
        return Err(OfErrorKind::RequestBadPort);
    }
    metadata.set(Field::InPort, 0, 0);
    let mut rest = *metadata;
    rest.set(Field::PacketType, 0, 0);
    for field in PIPELINE {
        rest.set(field, 0, 0);
    }
    if rest != Match::default() {
        return Err(OfErrorKind::RequestPipelineFieldsOnly);
    }
    u32::try_from(port).map(OfPort).map_err(|_| OfErrorKind::RequestBadPort)
}

/// The fields that a packet has only in a switch (1.5.1 §7.2.3.9).
const PIPELINE: [Field; 9] = [
    Field::Metadata,
    Field::TunnelId,
    Field::TunSrc,
    Field::TunDst,
    Field::PktMark,
    Field::Xxreg0,
    Field::Xxreg1,
    Field::Xxreg2,
    Field::Xxreg3,
];

pub(super) fn put_out(out: &mut Vec<u8>, packet: &PacketOut, version: Version) {
    out.u32(packet.buffer_id.unwrap_or(NO_BUFFER));
    let len_at = match version {
        Version::V10 => {
            out.u16(packet.in_port.to_u16().unwrap_or(u16::MAX));
            out.u16(0);
            out.len() - 2
        }
        Version::V15 => {
            out.u16(0);
            out.zeros(2);
            let len_at = out.len() - 4;
            let mut metadata = packet.metadata.as_deref().copied().unwrap_or_default();
            metadata.set_exact(Field::InPort, packet.in_port.0.into());
            put_match13(out, &metadata, version);
            len_at
        }
        _ => {
            out.u32(packet.in_port.0);
            out.u16(0);
            out.zeros(6);
            out.len() - 8
        }
    };
    let start = out.len();
    action::put_actions(out, &packet.actions, None, version);
    out.patch_len(len_at, start);
    out.bytes(&packet.data);
}

fn buffer(id: u32) -> Option<u32> {
    (id != NO_BUFFER).then_some(id)
}

fn reason(wire: u8) -> Result<PacketInReason> {
    PacketInReason::from_wire(wire).ok_or(OfErrorKind::NxRequestBadReason)
}

/// The reasons beyond "invalid TTL" came with 1.4; before, they are actions.
fn wire_reason(reason: PacketInReason, version: Version) -> u8 {
    match reason {
        PacketInReason::ActionSet | PacketInReason::Group | PacketInReason::PacketOut
            if version < Version::V14 =>
        {
            PacketInReason::Action as u8
        }
        _ => reason as u8,
    }
}

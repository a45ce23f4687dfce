//! Ports and queues.

use alloc::vec::Vec;

use super::wire::{Put, Reader, Result};
use crate::{
    OfErrorKind, OfPort, PortConfig, PortDesc, PortFeatures, PortMod, PortReason, PortState,
    PortStatus, QueueConfig, QueueGetConfigReply, Version,
};

/// Bytes of a port's name, with the zero at its end.
const NAME_BYTES: usize = 16;

/// Reads a port number: 16 bits in 1.0, 32 later.
pub(super) fn read_port(r: &mut Reader<'_>, version: Version) -> Result<OfPort> {
    match version {
        Version::V10 => r.u16().map(OfPort::from_u16),
        _ => r.u32().map(OfPort),
    }
}

pub(super) fn put_port(out: &mut Vec<u8>, port: OfPort, version: Version) {
    match version {
        Version::V10 => out.u16(port.to_u16().unwrap_or(u16::MAX)),
        _ => out.u32(port.0),
    }
}

/// A port's description (1.0.1 §5.2.1, 1.3.5 §7.2.1).
pub(super) fn read_desc(r: &mut Reader<'_>, version: Version) -> Result<PortDesc> {
    let v10 = version == Version::V10;
    let port = read_port(r, version)?;
    r.skip(if v10 { 0 } else { 4 })?;
    let hw_addr = r.mac()?;
    r.skip(if v10 { 0 } else { 2 })?;
    let name = r.text(NAME_BYTES)?;
    let config = PortConfig::from_bits_truncate(r.u32()?);
    let state = PortState::from_bits_truncate(r.u32()?);
    let mut features = || r.u32().map(|bits| read_features(bits, version));
    Ok(PortDesc {
        port,
        hw_addr,
        name,
        config: if v10 { config } else { config & PortConfig::V11 },
        state: state & states(version),
        curr: features()?,
        advertised: features()?,
        supported: features()?,
        peer: features()?,
        curr_speed: if v10 { 0 } else { r.u32()? },
        max_speed: if v10 { 0 } else { r.u32()? },
    })
}

pub(super) fn put_desc(out: &mut Vec<u8>, desc: &PortDesc, version: Version) {
    let v10 = version == Version::V10;
    put_port(out, desc.port, version);
    out.zeros(if v10 { 0 } else { 4 });
    out.bytes(&desc.hw_addr);
    out.zeros(if v10 { 0 } else { 2 });
    out.text(&desc.name, NAME_BYTES);
    out.u32(if v10 { desc.config } else { desc.config & PortConfig::V11 }.bits());
    out.u32((desc.state & states(version)).bits());
    for features in [desc.curr, desc.advertised, desc.supported, desc.peer] {
        out.u32(wire_features(features, version));
    }
    if !v10 {
        out.u32(desc.curr_speed);
        out.u32(desc.max_speed);
    }
}

/// The states that a version has.
fn states(version: Version) -> PortState {
    match version {
        Version::V10 => PortState::LINK_DOWN | PortState::STP_LOW | PortState::STP_HIGH,
        _ => PortState::LINK_DOWN | PortState::BLOCKED | PortState::LIVE,
    }
}

fn read_features(bits: u32, version: Version) -> PortFeatures {
    match version {
        Version::V10 => PortFeatures::from_v10(bits),
        _ => PortFeatures::from_bits_truncate(bits),
    }
}

fn wire_features(features: PortFeatures, version: Version) -> u32 {
    match version {
        Version::V10 => features.to_v10(),
        _ => features.bits(),
    }
}

/// 1.0.1 §5.4.2, 1.3.5 §7.4.3.
pub(super) fn read_status(r: &mut Reader<'_>, version: Version) -> Result<PortStatus> {
    let reason = match r.u8()? {
        0 => PortReason::Add,
        1 => PortReason::Delete,
        2 => PortReason::Modify,
        _ => return Err(OfErrorKind::NxRequestBadReason),
    };
    r.skip(7)?;
    Ok(PortStatus { reason, desc: read_desc(r, version)? })
}

pub(super) fn put_status(out: &mut Vec<u8>, status: &PortStatus, version: Version) {
    out.u8(status.reason as u8);
    out.zeros(7);
    put_desc(out, &status.desc, version);
}

/// 1.0.1 §5.3.3 "port modification", 1.3.5 §7.3.4.3.
pub(super) fn read_mod(r: &mut Reader<'_>, version: Version) -> Result<PortMod> {
    let v10 = version == Version::V10;
    let port = read_port(r, version)?;
    r.skip(if v10 { 0 } else { 4 })?;
    let hw_addr = r.mac()?;
    r.skip(if v10 { 0 } else { 2 })?;
    let known = if v10 { PortConfig::all() } else { PortConfig::V11 };
    let config = PortConfig::from_bits_truncate(r.u32()?) & known;
    let mask = PortConfig::from_bits_truncate(r.u32()?) & known;
    let advertise = read_features(r.u32()?, version);
    r.skip(4)?;
    Ok(PortMod { port, hw_addr, config, mask, advertise })
}

pub(super) fn put_mod(out: &mut Vec<u8>, port: &PortMod, version: Version) {
    let v10 = version == Version::V10;
    let known = if v10 { PortConfig::all() } else { PortConfig::V11 };
    put_port(out, port.port, version);
    out.zeros(if v10 { 0 } else { 4 });
    out.bytes(&port.hw_addr);
    out.zeros(if v10 { 0 } else { 2 });
    out.u32((port.config & known).bits());
    out.u32((port.mask & known).bits());
    out.u32(wire_features(port.advertise, version));
    out.zeros(4);
}

/// 1.0.1 §5.3.4, 1.3.5 §7.3.6.
pub(super) fn read_queue_request(r: &mut Reader<'_>, version: Version) -> Result<OfPort> {
    let port = read_port(r, version)?;
    r.skip(if version == Version::V10 { 2 } else { 4 })?;
    Ok(port)
}

pub(super) fn put_queue_request(out: &mut Vec<u8>, port: OfPort, version: Version) {
    put_port(out, port, version);
    out.zeros(if version == Version::V10 { 2 } else { 4 });
}

/// Queue properties (1.3.5 §7.2.2), 16 bytes each.
const MIN_RATE: u16 = 1;
const MAX_RATE: u16 = 2;
const RATE_BYTES: u16 = 16;

pub(super) fn read_queue_reply(
    r: &mut Reader<'_>,
    version: Version,
) -> Result<QueueGetConfigReply> {
    let port = read_port(r, version)?;
    r.skip(if version == Version::V10 { 6 } else { 4 })?;
    let mut queues = Vec::new();
    while !r.is_empty() {
        let start = r.len();
        let mut queue = QueueConfig { queue_id: r.u32()?, min_rate: None, max_rate: None };
        r.skip(if version == Version::V10 { 0 } else { 4 })?;
        let len = usize::from(r.u16()?);
        r.skip(if version == Version::V10 { 2 } else { 6 })?;
        let body = len.checked_sub(start - r.len()).ok_or(OfErrorKind::RequestBadLen)?;
        let mut properties = r.sub(body, OfErrorKind::RequestBadLen)?;
        while !properties.is_empty() {
            read_queue_property(&mut properties, &mut queue)?;
        }
        queues.push(queue);
    }
    Ok(QueueGetConfigReply { port, queues })
}

fn read_queue_property(r: &mut Reader<'_>, queue: &mut QueueConfig) -> Result<()> {
    let kind = r.u16()?;
    let len = usize::from(r.u16()?);
    r.skip(4)?;
    let body = len.checked_sub(8).ok_or(OfErrorKind::RequestBadLen)?;
    let mut value = r.sub(body, OfErrorKind::RequestBadLen)?;
    match kind {
        MIN_RATE => queue.min_rate = Some(value.u16()?),
        MAX_RATE => queue.max_rate = Some(value.u16()?),
        _ => {}
    }
    Ok(())
}

pub(super) fn put_queue_reply(out: &mut Vec<u8>, reply: &QueueGetConfigReply, version: Version) {
    put_port(out, reply.port, version);
    out.zeros(if version == Version::V10 { 6 } else { 4 });
    for queue in &reply.queues {
        let start = out.len();
        out.u32(queue.queue_id);
        if version != Version::V10 {
            out.u32(reply.port.0);
        }
        let len_at = out.len();
        out.u16(0);
        out.zeros(if version == Version::V10 { 2 } else { 6 });
        for (kind, rate) in [(MIN_RATE, queue.min_rate), (MAX_RATE, queue.max_rate)] {
            if let Some(rate) = rate {
                out.u16(kind);
                out.u16(RATE_BYTES);
                out.zeros(4);
                out.u16(rate);
                out.zeros(6);
            }
        }
        out.patch_len(len_at, start);
    }
}

//! Ports. From 1.4 on their abilities are a property, of which there may be others.

use alloc::vec::Vec;

use super::wire::{Put, Reader, Result};
use crate::{
    OfErrorKind, OfPort, PortConfig, PortDesc, PortFeatures, PortMod, PortReason, PortState,
    PortStatus, Version,
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

/// The property with what Ethernet has, in descriptions, port-mods and statistics.
pub(super) const ETHERNET: u16 = 0;
/// Bytes of that property in a description and in a port-mod.
const ETHERNET_DESC_BYTES: u16 = 32;
const ETHERNET_MOD_BYTES: u16 = 8;
const EXPERIMENTER: u16 = 0xffff;

/// The next property of a port (1.4.1 §7.2.1): its type and what it holds.
pub(super) fn read_property<'a>(r: &mut Reader<'a>) -> Result<(u16, Reader<'a>)> {
    let bad_len = OfErrorKind::PropertyBadLen;
    let mut header = Reader::new(r.rest(), bad_len);
    let kind = header.u16()?;
    let len = usize::from(header.u16()?);
    let body = len.checked_sub(4).ok_or(bad_len)?;
    r.skip(4)?;
    let value = r.sub(body, bad_len)?;
    r.skip((len.next_multiple_of(8) - len).min(r.len()))?;
    Ok((kind, value))
}

/// A port's description (1.0.1 §5.2.1, 1.3.5 §7.2.1, 1.4.1 §7.2.1).
pub(super) fn read_desc(r: &mut Reader<'_>, version: Version) -> Result<PortDesc> {
    if version >= Version::V14 {
        return read_desc14(r);
    }
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

fn read_desc14(r: &mut Reader<'_>) -> Result<PortDesc> {
    const FIXED_BYTES: usize = 40;
    let port = OfPort(r.u32()?);
    let len = usize::from(r.u16()?);
    r.skip(2)?;
    let hw_addr = r.mac()?;
    r.skip(2)?;
    let name = r.text(NAME_BYTES)?;
    let config = PortConfig::from_bits_truncate(r.u32()?) & PortConfig::V11;
    let state = PortState::from_bits_truncate(r.u32()?) & states(Version::V14);
    let mut desc = PortDesc { port, hw_addr, name, config, state, ..PortDesc::default() };
    let body = len.checked_sub(FIXED_BYTES).ok_or(OfErrorKind::RequestBadLen)?;
    let mut properties = r.sub(body, OfErrorKind::RequestBadLen)?;
    while !properties.is_empty() {
        let (kind, mut value) = read_property(&mut properties)?;
        if kind == ETHERNET {
            value.skip(4)?;
            let mut features = || value.u32().map(PortFeatures::from_bits_truncate);
            (desc.curr, desc.advertised) = (features()?, features()?);
            (desc.supported, desc.peer) = (features()?, features()?);
            (desc.curr_speed, desc.max_speed) = (value.u32()?, value.u32()?);
        }
    }
    Ok(desc)
}

fn put_desc14(out: &mut Vec<u8>, desc: &PortDesc) {
    let start = out.len();
    out.u32(desc.port.0);
    out.u16(0);
    out.zeros(2);
    out.bytes(&desc.hw_addr);
    out.zeros(2);
    out.text(&desc.name, NAME_BYTES);
    out.u32((desc.config & PortConfig::V11).bits());
    out.u32((desc.state & states(Version::V14)).bits());
    out.u16(ETHERNET);
    out.u16(ETHERNET_DESC_BYTES);
    out.zeros(4);
    for features in [desc.curr, desc.advertised, desc.supported, desc.peer] {
        out.u32(features.bits());
    }
    out.u32(desc.curr_speed);
    out.u32(desc.max_speed);
    out.patch_len(start + 4, start);
}

pub(super) fn put_desc(out: &mut Vec<u8>, desc: &PortDesc, version: Version) {
    if version >= Version::V14 {
        put_desc14(out, desc);
        return;
    }
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
    let wanted = r.u32()?;
    // 1.0 has no word for it.
    if wanted & !known.bits() != 0 && !v10 {
        return Err(OfErrorKind::PortModBadConfig);
    }
    let mask = PortConfig::from_bits_truncate(wanted) & known;
    let mut advertise = PortFeatures::empty();
    if version < Version::V14 {
        let wanted = r.u32()?;
        advertise = match v10 {
            true => read_features(wanted, version),
            false => read_advertised(wanted)?,
        };
        r.skip(4)?;
    }
    // What is behind it in an older version is too much.
    while version >= Version::V14 && !r.is_empty() {
        let (kind, mut value) = read_property(r)?;
        match (kind, value.len()) {
            (ETHERNET, 4) => advertise = read_advertised(value.u32()?)?,
            (ETHERNET, _) => return Err(OfErrorKind::PropertyBadLen),
            (EXPERIMENTER, _) => return Err(OfErrorKind::PropertyBadExperimenter),
            _ => return Err(OfErrorKind::PropertyBadType),
        }
    }
    Ok(PortMod { port, hw_addr, config, mask, advertise })
}

fn read_advertised(bits: u32) -> Result<PortFeatures> {
    PortFeatures::from_bits(bits).ok_or(OfErrorKind::PortModBadAdvertise)
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
    if version < Version::V14 {
        out.u32(wire_features(port.advertise, version));
        out.zeros(4);
    } else if !port.advertise.is_empty() {
        out.u16(ETHERNET);
        out.u16(ETHERNET_MOD_BYTES);
        out.u32(port.advertise.bits());
    }
}

//! Handshake, switch configuration, roles.

use alloc::vec::Vec;

use super::port;
use super::wire::{Put, Reader, Result};
use crate::{
    Capabilities, ControllerRole, FeaturesReply, Hello, OfErrorKind, Origin, Role, RoleReason,
    RoleStatus, SwitchConfig, Version, frag,
};

/// The hello element that holds versions (1.3.5 §7.5.1).
const HELLO_VERSION_BITMAP: u16 = 1;

/// Reads a hello. What is wrong in its elements is left out: a hello can always be answered.
pub(super) fn read_hello(mut r: Reader<'_>) -> Hello {
    let mut hello = Hello::default();
    while let Ok((kind, mut element)) = read_element(&mut r) {
        if kind == HELLO_VERSION_BITMAP && hello.bitmap.is_none() {
            hello.bitmap = element.u32().ok();
        }
    }
    hello
}

fn read_element<'a>(r: &mut Reader<'a>) -> Result<(u16, Reader<'a>)> {
    let kind = r.u16()?;
    let len = usize::from(r.u16()?);
    let body = r.sub(len.checked_sub(4).ok_or(r.short())?, r.short())?;
    r.skip((len.next_multiple_of(8) - len).min(r.len()))?;
    Ok((kind, body))
}

pub(super) fn put_hello(out: &mut Vec<u8>, hello: Hello) {
    if let Some(bitmap) = hello.bitmap {
        out.u16(HELLO_VERSION_BITMAP);
        out.u16(8);
        out.u32(bitmap);
    }
}

/// 1.0.1 §5.3.1, 1.3.5 §7.3.1.
pub(super) fn read_features(r: &mut Reader<'_>, version: Version) -> Result<FeaturesReply> {
    let mut features = FeaturesReply {
        datapath_id: r.u64()?,
        n_buffers: r.u32()?,
        n_tables: r.u8()?,
        ..FeaturesReply::default()
    };
    if version == Version::V10 {
        r.skip(3)?;
    } else {
        // Padding before 1.3.
        let auxiliary_id = r.u8()?;
        features.auxiliary_id = if version < Version::V13 { 0 } else { auxiliary_id };
        r.skip(2)?;
    }
    features.capabilities = Capabilities::from_bits_retain(r.u32()?);
    let actions_or_reserved = r.u32()?;
    if version == Version::V10 {
        features.actions = actions_or_reserved;
    }
    // From 1.3 on a multipart request of its own asks for ports.
    while version < Version::V13 && !r.is_empty() {
        features.ports.push(port::read_desc(r, version)?);
    }
    Ok(features)
}

pub(super) fn put_features(out: &mut Vec<u8>, features: &FeaturesReply, version: Version) {
    out.u64(features.datapath_id);
    out.u32(features.n_buffers);
    out.u8(features.n_tables);
    if version == Version::V10 {
        out.zeros(3);
        out.u32(features.capabilities.bits());
        out.u32(features.actions);
    } else {
        out.u8(features.auxiliary_id);
        out.zeros(2);
        out.u32(features.capabilities.bits());
        out.u32(0);
    }
    if version < Version::V13 {
        features.ports.iter().for_each(|desc| port::put_desc(out, desc, version));
    }
}

/// 1.3.5 §7.3.2.
pub(super) fn read_switch_config(r: &mut Reader<'_>, version: Version) -> Result<SwitchConfig> {
    let flags = r.u16()?;
    // Frames with invalid TTL are a matter of the asynchronous configuration from 1.3 on.
    let known = match version {
        Version::V13 | Version::V14 | Version::V15 => frag::MASK,
        _ => frag::MASK | frag::INVALID_TTL_TO_CONTROLLER,
    };
    if flags & !known != 0 {
        return Err(OfErrorKind::ConfigBadFlags);
    }
    Ok(SwitchConfig { flags, miss_send_len: r.u16()? })
}

pub(super) fn put_switch_config(out: &mut Vec<u8>, config: SwitchConfig) {
    out.u16(config.flags);
    out.u16(config.miss_send_len);
}

/// The generation id of a role that has none: in replies (1.3.5 §7.3.9).
const NO_GENERATION: u64 = u64::MAX;

/// 1.3.5 §7.3.9. The short id that 1.5 has in the padding is for connections that this switch has not.
pub(super) fn read_role(r: &mut Reader<'_>) -> Result<Role> {
    let role = role_of_wire(r.u32()?)?;
    r.skip(4)?;
    let generation = r.u64()?;
    let has_generation = role != ControllerRole::NoChange && generation != NO_GENERATION;
    let generation_id = has_generation.then_some(generation);
    Ok(Role { role, generation_id, origin: Origin::Standard })
}

pub(super) fn put_role(out: &mut Vec<u8>, role: Role) {
    out.u32(wire_of_role(role.role));
    out.zeros(4);
    out.u64(role.generation_id.unwrap_or(NO_GENERATION));
}

/// 1.4.1 §7.4.4; properties are experimenters' only.
pub(super) fn read_role_status(r: &mut Reader<'_>) -> Result<RoleStatus> {
    let role = role_of_wire(r.u32()?)?;
    let reason = match r.u8()? {
        0 => RoleReason::PrimaryRequest,
        1 => RoleReason::Config,
        2 => RoleReason::Experimenter,
        _ => return Err(OfErrorKind::NxRequestBadReason),
    };
    r.skip(3)?;
    let generation = r.u64()?;
    r.take_all();
    let generation_id = (generation != NO_GENERATION).then_some(generation);
    Ok(RoleStatus { role, reason, generation_id })
}

pub(super) fn put_role_status(out: &mut Vec<u8>, status: &RoleStatus) {
    out.u32(wire_of_role(status.role));
    out.u8(status.reason as u8);
    out.zeros(3);
    out.u64(status.generation_id.unwrap_or(NO_GENERATION));
}

fn role_of_wire(wire: u32) -> Result<ControllerRole> {
    Ok(match wire {
        0 => ControllerRole::NoChange,
        1 => ControllerRole::Equal,
        2 => ControllerRole::Primary,
        3 => ControllerRole::Secondary,
        _ => return Err(OfErrorKind::RoleBadRole),
    })
}

fn wire_of_role(role: ControllerRole) -> u32 {
    match role {
        ControllerRole::NoChange => 0,
        ControllerRole::Equal => 1,
        ControllerRole::Primary => 2,
        ControllerRole::Secondary => 3,
    }
}

//! Asynchronous configuration: the standard's (1.3.5 §7.3.10) and Nicira's are laid out alike;
//! from 1.4 on it is a list of properties.

use alloc::vec::Vec;

use super::wire::{Put, Reader, Result};
use crate::{AsyncConfig, AsyncMasks, AsyncProperty, OfErrorKind, Origin, Version};

pub(super) fn read(r: &mut Reader<'_>, origin: Origin) -> Result<AsyncConfig> {
    let mut primary = AsyncMasks::default();
    let mut secondary = AsyncMasks::default();
    (primary.packet_in, secondary.packet_in) = (r.u32()?, r.u32()?);
    (primary.port_status, secondary.port_status) = (r.u32()?, r.u32()?);
    (primary.flow_removed, secondary.flow_removed) = (r.u32()?, r.u32()?);
    Ok(AsyncConfig { primary, secondary, origin })
}

pub(super) fn put(out: &mut Vec<u8>, config: &AsyncConfig) {
    let AsyncConfig { primary, secondary, .. } = config;
    out.u32(primary.packet_in);
    out.u32(secondary.packet_in);
    out.u32(primary.port_status);
    out.u32(secondary.port_status);
    out.u32(primary.flow_removed);
    out.u32(secondary.flow_removed);
}

/// Bytes of a property: type, length, mask.
const PROPERTY_BYTES: u16 = 8;
/// Properties of experimenters: for secondaries, and the next one for primaries.
const EXPERIMENTER_SECONDARY: u16 = 0xfffe;

/// A reply (and, as a request, 1.3's order): three pairs of masks in 1.3, properties from 1.4 on.
pub(super) fn read_reply(r: &mut Reader<'_>, version: Version) -> Result<AsyncConfig> {
    if version < Version::V14 {
        return read(r, Origin::Standard);
    }
    let mut config = AsyncConfig::default();
    for property in read_properties(r, version)? {
        config.set(property);
    }
    Ok(config)
}

pub(super) fn put_reply(out: &mut Vec<u8>, config: &AsyncConfig, version: Version) {
    if version < Version::V14 {
        put(out, config);
    } else {
        put_properties(out, &config.properties(version));
    }
}

/// The properties of 1.4 (1.4.1 §7.3.10), which `NXT_SET_ASYNC_CONFIG2` has too. What is asked for a
/// reason that does not exist is refused, as Open vSwitch does.
pub(super) fn read_properties(r: &mut Reader<'_>, version: Version) -> Result<Vec<AsyncProperty>> {
    let mut properties = Vec::new();
    while !r.is_empty() {
        let kind = r.u16()?;
        let len = r.u16()?;
        if kind >= EXPERIMENTER_SECONDARY {
            return Err(OfErrorKind::PropertyBadExperimenter);
        }
        if len != PROPERTY_BYTES {
            return Err(OfErrorKind::PropertyBadLen);
        }
        let mask = r.u32()?;
        let mut allowed = AsyncMasks::ALL;
        let half = Some(kind / 2).filter(|half| *half < AsyncProperty::n_pairs(version));
        match half.and_then(|half| allowed.of_property(half)) {
            None => return Err(OfErrorKind::PropertyBadType),
            Some(allowed) if mask & !*allowed != 0 => return Err(OfErrorKind::AsyncInvalid),
            Some(_) => properties.push(AsyncProperty { kind, mask }),
        }
    }
    Ok(properties)
}

pub(super) fn put_properties(out: &mut Vec<u8>, properties: &[AsyncProperty]) {
    for property in properties {
        out.u16(property.kind);
        out.u16(PROPERTY_BYTES);
        out.u32(property.mask);
    }
}

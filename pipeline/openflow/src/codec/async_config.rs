//! Asynchronous configuration: the standard's (1.3.5 §7.3.10) and Nicira's are laid out alike.

use alloc::vec::Vec;

use super::wire::{Put, Reader, Result};
use crate::{AsyncConfig, AsyncMasks, AsyncProperty, OfErrorKind, Origin};

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
/// The last property that 1.4 defines (requestforward as primary).
const LAST_PROPERTY: u16 = 11;

/// The properties of `NXT_SET_ASYNC_CONFIG2`, which are those of 1.4.
pub(super) fn read_properties(r: &mut Reader<'_>) -> Result<Vec<AsyncProperty>> {
    let mut properties = Vec::new();
    while !r.is_empty() {
        let kind = r.u16()?;
        if r.u16()? != PROPERTY_BYTES {
            return Err(OfErrorKind::PropertyBadLen);
        }
        if kind > LAST_PROPERTY {
            return Err(OfErrorKind::PropertyBadType);
        }
        properties.push(AsyncProperty { kind, mask: r.u32()? });
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

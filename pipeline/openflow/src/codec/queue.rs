//! Queues: the configuration of 1.0 to 1.3, the description of 1.4 and later.

use alloc::vec::Vec;

use super::port::{put_port, read_port};
use super::wire::{Put, Reader, Result};
use crate::{OfErrorKind, OfPort, QueueConfig, QueueDesc, QueueGetConfigReply, Version};

/// 1.0.1 §5.3.4, 1.3.5 §7.3.6.
pub(super) fn read_config_request(r: &mut Reader<'_>, version: Version) -> Result<OfPort> {
    let port = read_port(r, version)?;
    r.skip(if version == Version::V10 { 2 } else { 4 })?;
    Ok(port)
}

pub(super) fn put_config_request(out: &mut Vec<u8>, port: OfPort, version: Version) {
    put_port(out, port, version);
    out.zeros(if version == Version::V10 { 2 } else { 4 });
}

/// Queue properties (1.3.5 §7.2.2), 16 bytes each.
const MIN_RATE: u16 = 1;
const MAX_RATE: u16 = 2;
const RATE_BYTES: u16 = 16;

pub(super) fn read_config_reply(
    r: &mut Reader<'_>,
    version: Version,
) -> Result<QueueGetConfigReply> {
    let port = read_port(r, version)?;
    r.skip(if version == Version::V10 { 6 } else { 4 })?;
    let mut queues = Vec::new();
    while !r.is_empty() {
        let start = r.len();
        let mut queue = QueueConfig { queue_id: r.u32()?, min_rate: None, max_rate: None };
        let has_port = version >= Version::V12;
        r.skip(if has_port { 4 } else { 0 })?;
        let len = usize::from(r.u16()?);
        r.skip(if has_port { 6 } else { 2 })?;
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

pub(super) fn put_config_reply(out: &mut Vec<u8>, reply: &QueueGetConfigReply, version: Version) {
    put_port(out, reply.port, version);
    out.zeros(if version == Version::V10 { 6 } else { 4 });
    for queue in &reply.queues {
        let start = out.len();
        out.u32(queue.queue_id);
        let has_port = version >= Version::V12;
        if has_port {
            out.u32(reply.port.0);
        }
        let len_at = out.len();
        out.u16(0);
        out.zeros(if has_port { 6 } else { 2 });
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

/// Bytes of a rate from 1.4 on: type, length, rate, padding.
const RATE14_BYTES: u16 = 8;

/// 1.4.1 §7.3.5.8.2.
pub(super) fn read_desc(r: &mut Reader<'_>) -> Result<QueueDesc> {
    const FIXED_BYTES: usize = 16;
    let port = OfPort(r.u32()?);
    let mut config = QueueConfig { queue_id: r.u32()?, min_rate: None, max_rate: None };
    let len = usize::from(r.u16()?);
    r.skip(6)?;
    let body = len.checked_sub(FIXED_BYTES).ok_or(OfErrorKind::RequestBadLen)?;
    let mut properties = r.sub(body, OfErrorKind::RequestBadLen)?;
    while !properties.is_empty() {
        let kind = properties.u16()?;
        let len = usize::from(properties.u16()?);
        let body = len.checked_sub(4).ok_or(OfErrorKind::PropertyBadLen)?;
        let mut value = properties.sub(body, OfErrorKind::PropertyBadLen)?;
        properties.skip(len.next_multiple_of(8) - len)?;
        match kind {
            MIN_RATE => config.min_rate = Some(value.u16()?),
            MAX_RATE => config.max_rate = Some(value.u16()?),
            _ => {}
        }
    }
    Ok(QueueDesc { port, config })
}

pub(super) fn put_desc(out: &mut Vec<u8>, desc: &QueueDesc) {
    let start = out.len();
    out.u32(desc.port.0);
    out.u32(desc.config.queue_id);
    let len_at = out.len();
    out.u16(0);
    out.zeros(6);
    for (kind, rate) in [(MIN_RATE, desc.config.min_rate), (MAX_RATE, desc.config.max_rate)] {
        if let Some(rate) = rate {
            out.u16(kind);
            out.u16(RATE14_BYTES);
            out.u16(rate);
            out.zeros(2);
        }
    }
    out.patch_len(len_at, start);
}

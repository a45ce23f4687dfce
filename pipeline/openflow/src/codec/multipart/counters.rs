//! Counters of ports and queues.

use alloc::vec::Vec;

use super::super::port;
use super::super::wire::{Put, Reader, Result};
use crate::{OfErrorKind, OfPort, PortStats, QueueStats, Version};

/// Bytes of the property with what Ethernet has.
const ETHERNET_BYTES: u16 = 40;

/// Whether the entries say how old they are.
fn has_duration(version: Version) -> bool {
    version >= Version::V13
}

/// 1.0.1 §5.3.5, 1.3.5 §7.3.5.6, 1.4.1 §7.3.5.6.
pub(super) fn read_port(r: &mut Reader<'_>, version: Version) -> Result<PortStats> {
    if version >= Version::V14 {
        return read_port14(r);
    }
    let port = port::read_port(r, version)?;
    r.skip(if version == Version::V10 { 6 } else { 4 })?;
    let mut stats = PortStats { port, ..PortStats::default() };
    read_common(r, &mut stats)?;
    read_ethernet(r, &mut stats)?;
    if has_duration(version) {
        (stats.duration_sec, stats.duration_nsec) = (r.u32()?, r.u32()?);
    }
    Ok(stats)
}

fn read_port14(r: &mut Reader<'_>) -> Result<PortStats> {
    let bad_len = OfErrorKind::RequestBadLen;
    let len = usize::from(r.u16()?);
    let mut entry = r.sub(len.checked_sub(2).ok_or(bad_len)?, bad_len)?;
    entry.skip(2)?;
    let mut stats = PortStats {
        port: OfPort(entry.u32()?),
        duration_sec: entry.u32()?,
        duration_nsec: entry.u32()?,
        rx_frame_err: u64::MAX,
        rx_over_err: u64::MAX,
        rx_crc_err: u64::MAX,
        collisions: u64::MAX,
        ..PortStats::default()
    };
    read_common(&mut entry, &mut stats)?;
    while !entry.is_empty() {
        let (kind, mut value) = port::read_property(&mut entry)?;
        if kind == port::ETHERNET {
            value.skip(4)?;
            read_ethernet(&mut value, &mut stats)?;
        }
    }
    Ok(stats)
}

fn read_common(r: &mut Reader<'_>, stats: &mut PortStats) -> Result<()> {
    for counter in [
        &mut stats.rx_packets,
        &mut stats.tx_packets,
        &mut stats.rx_bytes,
        &mut stats.tx_bytes,
        &mut stats.rx_dropped,
        &mut stats.tx_dropped,
        &mut stats.rx_errors,
        &mut stats.tx_errors,
    ] {
        *counter = r.u64()?;
    }
    Ok(())
}

fn read_ethernet(r: &mut Reader<'_>, stats: &mut PortStats) -> Result<()> {
    for counter in [
        &mut stats.rx_frame_err,
        &mut stats.rx_over_err,
        &mut stats.rx_crc_err,
        &mut stats.collisions,
    ] {
        *counter = r.u64()?;
    }
    Ok(())
}

pub(super) fn put_port(out: &mut Vec<u8>, stats: &PortStats, version: Version) {
    let common = [
        stats.rx_packets,
        stats.tx_packets,
        stats.rx_bytes,
        stats.tx_bytes,
        stats.rx_dropped,
        stats.tx_dropped,
        stats.rx_errors,
        stats.tx_errors,
    ];
    let ethernet = [stats.rx_frame_err, stats.rx_over_err, stats.rx_crc_err, stats.collisions];
    if version >= Version::V14 {
        let start = out.len();
        out.u16(0);
        out.zeros(2);
        out.u32(stats.port.0);
        out.u32(stats.duration_sec);
        out.u32(stats.duration_nsec);
        common.into_iter().for_each(|counter| out.u64(counter));
        out.u16(port::ETHERNET);
        out.u16(ETHERNET_BYTES);
        out.zeros(4);
        ethernet.into_iter().for_each(|counter| out.u64(counter));
        out.patch_len(start, start);
        return;
    }
    port::put_port(out, stats.port, version);
    out.zeros(if version == Version::V10 { 6 } else { 4 });
    common.into_iter().chain(ethernet).for_each(|counter| out.u64(counter));
    if has_duration(version) {
        out.u32(stats.duration_sec);
        out.u32(stats.duration_nsec);
    }
}

/// 1.0.1 §5.3.5, 1.3.5 §7.3.5.7, 1.4.1 §7.3.5.7.
pub(super) fn read_queue(r: &mut Reader<'_>, version: Version) -> Result<QueueStats> {
    if version < Version::V14 {
        return read_queue_body(r, version);
    }
    let bad_len = OfErrorKind::RequestBadLen;
    let len = usize::from(r.u16()?);
    let mut entry = r.sub(len.checked_sub(2).ok_or(bad_len)?, bad_len)?;
    entry.skip(6)?;
    // Properties, which may follow, are experimenters' only.
    read_queue_body(&mut entry, version)
}

fn read_queue_body(r: &mut Reader<'_>, version: Version) -> Result<QueueStats> {
    let port = port::read_port(r, version)?;
    r.skip(if version == Version::V10 { 2 } else { 0 })?;
    let mut stats = QueueStats {
        port,
        queue_id: r.u32()?,
        tx_bytes: r.u64()?,
        tx_packets: r.u64()?,
        tx_errors: r.u64()?,
        ..QueueStats::default()
    };
    if has_duration(version) {
        (stats.duration_sec, stats.duration_nsec) = (r.u32()?, r.u32()?);
    }
    Ok(stats)
}

pub(super) fn put_queue(out: &mut Vec<u8>, stats: &QueueStats, version: Version) {
    const QUEUE14_BYTES: u16 = 48;
    if version >= Version::V14 {
        out.u16(QUEUE14_BYTES);
        out.zeros(6);
    }
    port::put_port(out, stats.port, version);
    out.zeros(if version == Version::V10 { 2 } else { 0 });
    out.u32(stats.queue_id);
    out.u64(stats.tx_bytes);
    out.u64(stats.tx_packets);
    out.u64(stats.tx_errors);
    if has_duration(version) {
        out.u32(stats.duration_sec);
        out.u32(stats.duration_nsec);
    }
}

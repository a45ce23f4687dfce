//! Meters (1.3.5 §7.3.4.4; statistics §7.3.5.12 to §7.3.5.14).

use alloc::vec::Vec;

use super::wire::{Put, Reader, Result};
use crate::{
    BandKind, MeterBand, MeterConfig, MeterFeatures, MeterFlags, MeterMod, MeterModCommand,
    MeterStats, OfErrorKind,
};

const BAND_DROP: u16 = 1;
const BAND_DSCP_REMARK: u16 = 2;
/// Bytes of a band of either kind.
const BAND_BYTES: u16 = 16;

pub(super) fn read_mod(r: &mut Reader<'_>) -> Result<MeterMod> {
    let command = match r.u16()? {
        0 => MeterModCommand::Add,
        1 => MeterModCommand::Modify,
        2 => MeterModCommand::Delete,
        _ => return Err(OfErrorKind::MeterModBadCommand),
    };
    let raw_flags = r.u16()?;
    let meter_id = r.u32()?;
    if command == MeterModCommand::Delete {
        // The number is all that a delete has; bands that came along are of no meaning.
        r.take_all();
        let flags = MeterFlags::empty();
        let config = MeterConfig { flags, meter_id, bands: Vec::new() };
        return Ok(MeterMod { command, config });
    }
    let flags = MeterFlags::from_bits(raw_flags).ok_or(OfErrorKind::MeterModBadFlags)?;
    if flags.contains(MeterFlags::KBPS | MeterFlags::PKTPS) {
        return Err(OfErrorKind::MeterModBadFlags);
    }
    Ok(MeterMod { command, config: MeterConfig { flags, meter_id, bands: read_bands(r)? } })
}

pub(super) fn put_mod(out: &mut Vec<u8>, meter: &MeterMod) {
    out.u16(meter.command as u16);
    out.u16(meter.config.flags.bits());
    out.u32(meter.config.meter_id);
    put_bands(out, &meter.config.bands);
}

fn read_bands(r: &mut Reader<'_>) -> Result<Vec<MeterBand>> {
    let mut bands = Vec::new();
    while !r.is_empty() {
        let kind = r.u16()?;
        let len = r.u16()?;
        if !matches!(kind, BAND_DROP | BAND_DSCP_REMARK) {
            return Err(OfErrorKind::MeterModBadBand);
        }
        if len != BAND_BYTES {
            return Err(OfErrorKind::RequestBadLen);
        }
        let rate = r.u32()?;
        let burst_size = r.u32()?;
        let precedence = r.u8()?;
        r.skip(3)?;
        let kind = match kind {
            BAND_DROP => BandKind::Drop,
            _ => BandKind::DscpRemark(precedence),
        };
        bands.push(MeterBand { kind, rate, burst_size });
    }
    Ok(bands)
}

fn put_bands(out: &mut Vec<u8>, bands: &[MeterBand]) {
    for band in bands {
        let (kind, precedence) = match band.kind {
            BandKind::Drop => (BAND_DROP, 0),
            BandKind::DscpRemark(precedence) => (BAND_DSCP_REMARK, precedence),
        };
        out.u16(kind);
        out.u16(BAND_BYTES);
        out.u32(band.rate);
        out.u32(band.burst_size);
        out.u8(precedence);
        out.zeros(3);
    }
}

pub(super) fn read_config(r: &mut Reader<'_>) -> Result<MeterConfig> {
    let len = usize::from(r.u16()?);
    let flags = MeterFlags::from_bits_truncate(r.u16()?);
    let meter_id = r.u32()?;
    let body = len.checked_sub(8).ok_or(OfErrorKind::RequestBadLen)?;
    let mut body = r.sub(body, OfErrorKind::RequestBadLen)?;
    Ok(MeterConfig { flags, meter_id, bands: read_bands(&mut body)? })
}

pub(super) fn put_config(out: &mut Vec<u8>, config: &MeterConfig) {
    let start = out.len();
    out.u16(0);
    out.u16(config.flags.bits());
    out.u32(config.meter_id);
    put_bands(out, &config.bands);
    out.patch_len(start, start);
}

pub(super) fn read_stats(r: &mut Reader<'_>) -> Result<MeterStats> {
    const FIXED_BYTES: usize = 40;
    let meter_id = r.u32()?;
    let len = usize::from(r.u16()?);
    r.skip(6)?;
    let flow_count = r.u32()?;
    let (packet_in_count, byte_in_count) = (r.u64()?, r.u64()?);
    let (duration_sec, duration_nsec) = (r.u32()?, r.u32()?);
    let body = len.checked_sub(FIXED_BYTES).ok_or(OfErrorKind::RequestBadLen)?;
    let mut body = r.sub(body, OfErrorKind::RequestBadLen)?;
    let mut bands = Vec::new();
    while !body.is_empty() {
        bands.push((body.u64()?, body.u64()?));
    }
    Ok(MeterStats {
        meter_id,
        flow_count,
        packet_in_count,
        byte_in_count,
        duration_sec,
        duration_nsec,
        bands,
    })
}

pub(super) fn put_stats(out: &mut Vec<u8>, stats: &MeterStats) {
    let start = out.len();
    out.u32(stats.meter_id);
    let len_at = out.len();
    out.u16(0);
    out.zeros(6);
    out.u32(stats.flow_count);
    out.u64(stats.packet_in_count);
    out.u64(stats.byte_in_count);
    out.u32(stats.duration_sec);
    out.u32(stats.duration_nsec);
    for (packets, bytes) in &stats.bands {
        out.u64(*packets);
        out.u64(*bytes);
    }
    out.patch_len(len_at, start);
}

pub(super) fn read_features(r: &mut Reader<'_>) -> Result<MeterFeatures> {
    let features = MeterFeatures {
        max_meter: r.u32()?,
        band_types: r.u32()?,
        capabilities: r.u32()?,
        max_bands: r.u8()?,
        max_color: r.u8()?,
    };
    r.skip(2)?;
    Ok(features)
}

pub(super) fn put_features(out: &mut Vec<u8>, features: &MeterFeatures) {
    out.u32(features.max_meter);
    out.u32(features.band_types);
    out.u32(features.capabilities);
    out.u8(features.max_bands);
    out.u8(features.max_color);
    out.zeros(2);
}

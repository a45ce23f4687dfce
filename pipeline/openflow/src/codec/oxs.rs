//! Extensible statistics (1.5.1 §7.2.4): counters as a list of typed entries.
//!
//! An entry has a class, a field number and a length like a match's, then the value. Unknown entries
//! are left out; a counter that is not there reads as all ones, "unknown". Thresholds of a statistics
//! trigger have the same form, and what is unknown there is refused.

use alloc::vec::Vec;

use super::wire::{Put, Reader, Result};
use crate::OfErrorKind;

const CLASS_BASIC: u16 = 0x8002;
const CLASS_EXPERIMENTER: u16 = 0xffff;

const DURATION: u8 = 0;
const IDLE_TIME: u8 = 1;
const FLOW_COUNT: u8 = 3;
const PACKET_COUNT: u8 = 4;
const BYTE_COUNT: u8 = 5;

/// The counters that there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Oxs {
    /// Seconds and nanoseconds.
    pub(super) duration: Option<(u32, u32)>,
    /// Seconds and nanoseconds since the last use.
    pub(super) idle_time: Option<(u32, u32)>,
    pub(super) flow_count: Option<u32>,
    pub(super) packet_count: Option<u64>,
    pub(super) byte_count: Option<u64>,
}

impl Oxs {
    /// Takes an entry's value; false if the entry is unknown.
    fn take(&mut self, class: u16, field: u8, mut value: Reader<'_>) -> Result<bool> {
        match (class, field, value.len()) {
            (CLASS_BASIC, DURATION, 8) => self.duration = Some((value.u32()?, value.u32()?)),
            (CLASS_BASIC, IDLE_TIME, 8) => self.idle_time = Some((value.u32()?, value.u32()?)),
            (CLASS_BASIC, FLOW_COUNT, 4) => self.flow_count = Some(value.u32()?),
            (CLASS_BASIC, PACKET_COUNT, 8) => self.packet_count = Some(value.u64()?),
            (CLASS_BASIC, BYTE_COUNT, 8) => self.byte_count = Some(value.u64()?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Reads statistics with their header and the padding to 8 bytes.
pub(super) fn read(r: &mut Reader<'_>) -> Result<Oxs> {
    let mut stats = Oxs::default();
    for_each(r, OfErrorKind::MatchBadLen, |class, field, value| {
        stats.take(class, field, value).map(|_| ())
    })?;
    Ok(stats)
}

/// Reads the thresholds of a statistics trigger, each of which there may be once. The specification has
/// no error for one that the switch does not support but that of the instruction.
pub(super) fn read_thresholds(r: &mut Reader<'_>) -> Result<Oxs> {
    let mut stats = Oxs::default();
    let mut seen: u128 = 0;
    for_each(r, OfErrorKind::InstructionBadLen, |class, field, value| {
        let is_known = field != FLOW_COUNT && stats.take(class, field, value)?;
        if !is_known || seen & 1 << field != 0 {
            let kind = match class {
                CLASS_EXPERIMENTER => OfErrorKind::InstructionBadExperimenter,
                _ => OfErrorKind::InstructionUnsupInst,
            };
            return Err(kind);
        }
        seen |= 1 << field;
        Ok(())
    })?;
    Ok(stats)
}

/// Hands on class, field and value of every entry.
fn for_each(
    r: &mut Reader<'_>,
    bad_len: OfErrorKind,
    mut f: impl FnMut(u16, u8, Reader<'_>) -> Result<()>,
) -> Result<()> {
    r.skip(2)?;
    let len = usize::from(r.u16()?);
    let body = len.checked_sub(4).ok_or(bad_len)?;
    let mut entries = r.sub(body, bad_len)?;
    r.skip(len.next_multiple_of(8) - len)?;
    while !entries.is_empty() {
        let class = entries.u16()?;
        let field = entries.u8()? >> 1;
        let len = usize::from(entries.u8()?);
        f(class, field, entries.sub(len, bad_len)?)?;
    }
    Ok(())
}

pub(super) fn put(out: &mut Vec<u8>, stats: &Oxs) {
    let start = out.len();
    out.u16(0);
    out.u16(0);
    if let Some((sec, nsec)) = stats.duration {
        put_header(out, DURATION, 8);
        out.u32(sec);
        out.u32(nsec);
    }
    if let Some((sec, nsec)) = stats.idle_time {
        put_header(out, IDLE_TIME, 8);
        out.u32(sec);
        out.u32(nsec);
    }
    if let Some(packets) = stats.packet_count {
        put_header(out, PACKET_COUNT, 8);
        out.u64(packets);
    }
    if let Some(bytes) = stats.byte_count {
        put_header(out, BYTE_COUNT, 8);
        out.u64(bytes);
    }
    if let Some(flows) = stats.flow_count {
        put_header(out, FLOW_COUNT, 4);
        out.u32(flows);
    }
    out.patch_len(start + 2, start);
    out.pad8(start);
}

fn put_header(out: &mut Vec<u8>, field: u8, len: u8) {
    out.u16(CLASS_BASIC);
    out.u8(field << 1);
    out.u8(len);
}

/// A counter, unless it is unknown.
pub(super) fn known(counter: u64) -> Option<u64> {
    (counter != u64::MAX).then_some(counter)
}

//! Extensible statistics (1.5.1 §7.2.4): counters as a list of typed entries.
//!
//! An entry has a class, a field number and a length like a match's, then the value. Unknown entries
//! are left out; a counter that is not there reads as all ones, "unknown".

use alloc::vec::Vec;

use super::wire::{Put, Reader, Result};
use crate::OfErrorKind;

const CLASS_BASIC: u16 = 0x8002;

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
    /// Whole seconds since the last use.
    pub(super) idle_age: Option<u32>,
    pub(super) flow_count: Option<u32>,
    pub(super) packet_count: Option<u64>,
    pub(super) byte_count: Option<u64>,
}

/// Reads statistics with their header and the padding to 8 bytes.
pub(super) fn read(r: &mut Reader<'_>) -> Result<Oxs> {
    let bad_len = OfErrorKind::MatchBadLen;
    r.skip(2)?;
    let len = usize::from(r.u16()?);
    let body = len.checked_sub(4).ok_or(bad_len)?;
    let mut entries = r.sub(body, bad_len)?;
    r.skip(len.next_multiple_of(8) - len)?;
    let mut stats = Oxs::default();
    while !entries.is_empty() {
        let class = entries.u16()?;
        let field = entries.u8()? >> 1;
        let len = usize::from(entries.u8()?);
        let mut value = entries.sub(len, bad_len)?;
        match (class, field, len) {
            (CLASS_BASIC, DURATION, 8) => stats.duration = Some((value.u32()?, value.u32()?)),
            (CLASS_BASIC, IDLE_TIME, 8) => stats.idle_age = Some(value.u32()?),
            (CLASS_BASIC, FLOW_COUNT, 4) => stats.flow_count = Some(value.u32()?),
            (CLASS_BASIC, PACKET_COUNT, 8) => stats.packet_count = Some(value.u64()?),
            (CLASS_BASIC, BYTE_COUNT, 8) => stats.byte_count = Some(value.u64()?),
            _ => {}
        }
    }
    Ok(stats)
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
    if let Some(seconds) = stats.idle_age {
        put_header(out, IDLE_TIME, 8);
        out.u32(seconds);
        out.u32(0);
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

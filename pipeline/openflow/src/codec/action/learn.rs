//! Nicira's `LEARN` and `LEARN2`.
//!
//! After the fixed part comes a list of specs: a 16-bit head with a width and two kinds, the source
//! (a field's header and offset, or the value in whole 16-bit words), and the target (a header and
//! offset, or nothing for an output). A head of zeros, or the end of the action, ends the list.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::nicira::put_nicira;
use crate::codec::oxm::{self, Flavour};
use crate::codec::wire::{Put, Reader, Result};
use crate::{Action, Learn, LearnSource, LearnSpec, LearnTarget, OfErrorKind, Subfield};

pub(super) const LEARN: u16 = 16;
pub(super) const LEARN2: u16 = 45;

const SEND_FLOW_REM: u16 = 1;
const DELETE_LEARNED: u16 = 2;
const WRITE_RESULT: u16 = 4;

const N_BITS_MASK: u16 = 0x3ff;
const SRC_IMMEDIATE: u16 = 1 << 13;
const DST_KINDS: u16 = 3 << 11;
const DST_MATCH: u16 = 0 << 11;
const DST_LOAD: u16 = 1 << 11;
const DST_OUTPUT: u16 = 2 << 11;

const BAD_ARGUMENT: OfErrorKind = OfErrorKind::ActionBadArgument;

/// Reads what follows the subtype.
pub(super) fn read(r: &mut Reader<'_>, subtype: u16) -> Result<Action> {
    let mut learn = Learn {
        idle_timeout: r.u16()?,
        hard_timeout: r.u16()?,
        priority: r.u16()?,
        cookie: r.u64()?,
        ..Learn::default()
    };
    let flags = r.u16()?;
    learn.table_id = r.u8()?;
    let has_pad = r.u8()? != 0;
    learn.fin_idle_timeout = r.u16()?;
    learn.fin_hard_timeout = r.u16()?;
    let allowed = match subtype {
        LEARN2 => SEND_FLOW_REM | DELETE_LEARNED | WRITE_RESULT,
        _ => SEND_FLOW_REM | DELETE_LEARNED,
    };
    let mut result_offset = 0;
    if subtype == LEARN2 {
        learn.limit = r.u32()?;
        result_offset = r.u16()?;
        if r.u16()? != 0 {
            return Err(OfErrorKind::NxActionMustBeZero);
        }
    }
    if has_pad || learn.table_id == u8::MAX || flags & !allowed != 0 {
        return Err(BAD_ARGUMENT);
    }
    learn.send_flow_rem = flags & SEND_FLOW_REM != 0;
    learn.delete_learned = flags & DELETE_LEARNED != 0;
    if flags & WRITE_RESULT != 0 {
        let field = oxm::read_field(r, OfErrorKind::ActionBadSetType)?;
        if !field.spec().writable {
            return Err(OfErrorKind::ActionBadSetArgument);
        }
        learn.result_dst = Some(subfield(field, result_offset, 1)?);
    } else if result_offset != 0 {
        return Err(BAD_ARGUMENT);
    }
    while r.len() >= 2 {
        let head = r.u16()?;
        if head == 0 {
            break;
        }
        learn.specs.push(read_spec(r, head)?);
    }
    if !r.take_all().iter().all(|byte| *byte == 0) {
        return Err(BAD_ARGUMENT);
    }
    Ok(Action::Learn(Box::new(learn)))
}

fn read_spec(r: &mut Reader<'_>, head: u16) -> Result<LearnSpec> {
    let n_bits = head & N_BITS_MASK;
    let is_immediate = head & SRC_IMMEDIATE != 0;
    let kind = head & DST_KINDS;
    let is_known = match kind {
        DST_MATCH | DST_LOAD => true,
        DST_OUTPUT => !is_immediate,
        _ => false,
    };
    if !is_known || head & !(N_BITS_MASK | SRC_IMMEDIATE | DST_KINDS) != 0 {
        return Err(BAD_ARGUMENT);
    }
    let src = if is_immediate {
        let bytes = 2 * usize::from(n_bits.div_ceil(16));
        if !(1..=16).contains(&bytes) {
            return Err(BAD_ARGUMENT);
        }
        let value = r.number(bytes)?;
        let ones = if n_bits >= 128 { u128::MAX } else { (1 << n_bits) - 1 };
        LearnSource::Immediate(value & ones)
    } else {
        LearnSource::Field(read_part(r, n_bits)?)
    };
    let dst = match kind {
        DST_MATCH => LearnTarget::Match(read_part(r, n_bits)?),
        DST_LOAD => LearnTarget::Load(read_part(r, n_bits)?),
        _ => LearnTarget::Output,
    };
    Ok(LearnSpec { src, dst })
}

fn read_part(r: &mut Reader<'_>, n_bits: u16) -> Result<Subfield> {
    let field = oxm::read_field(r, OfErrorKind::ActionBadSetType)?;
    let offset = r.u16()?;
    subfield(field, offset, n_bits)
}

fn subfield(field: flow::Field, offset: u16, n_bits: u16) -> Result<Subfield> {
    match (u8::try_from(offset), u8::try_from(n_bits)) {
        (Ok(offset), Ok(n_bits)) => Subfield::new(field, offset, n_bits).ok_or(BAD_ARGUMENT),
        _ => Err(BAD_ARGUMENT),
    }
}

/// Writes the action, in the older form where that can say it.
pub(super) fn put(out: &mut Vec<u8>, learn: &Learn) {
    let is_second = learn.limit != 0 || learn.result_dst.is_some();
    put_nicira(out, if is_second { LEARN2 } else { LEARN }, |out| {
        out.u16(learn.idle_timeout);
        out.u16(learn.hard_timeout);
        out.u16(learn.priority);
        out.u64(learn.cookie);
        let flag = |is_set: bool, flag: u16| if is_set { flag } else { 0 };
        out.u16(
            flag(learn.send_flow_rem, SEND_FLOW_REM)
                | flag(learn.delete_learned, DELETE_LEARNED)
                | flag(learn.result_dst.is_some(), WRITE_RESULT),
        );
        out.u8(learn.table_id);
        out.zeros(1);
        out.u16(learn.fin_idle_timeout);
        out.u16(learn.fin_hard_timeout);
        if is_second {
            out.u32(learn.limit);
            out.u16(learn.result_dst.map_or(0, |dst| dst.offset.into()));
            out.zeros(2);
        }
        if let Some(dst) = learn.result_dst {
            oxm::put_part(out, dst, Flavour::Nxm);
        }
        learn.specs.iter().for_each(|spec| put_spec(out, spec));
    });
}

fn put_spec(out: &mut Vec<u8>, spec: &LearnSpec) {
    let n_bits = u16::from(spec.n_bits());
    let src = match spec.src {
        LearnSource::Field(_) => 0,
        LearnSource::Immediate(_) => SRC_IMMEDIATE,
    };
    let dst = match spec.dst {
        LearnTarget::Match(_) => DST_MATCH,
        LearnTarget::Load(_) => DST_LOAD,
        LearnTarget::Output => DST_OUTPUT,
    };
    out.u16(n_bits | src | dst);
    match spec.src {
        LearnSource::Field(src) => put_part(out, src),
        LearnSource::Immediate(value) => out.number(value, 2 * usize::from(n_bits.div_ceil(16))),
    }
    if let LearnTarget::Match(dst) | LearnTarget::Load(dst) = spec.dst {
        put_part(out, dst);
    }
}

fn put_part(out: &mut Vec<u8>, part: Subfield) {
    oxm::put_part(out, part, Flavour::Nxm);
    out.u16(part.offset.into());
}

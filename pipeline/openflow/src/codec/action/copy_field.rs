//! Copying of fields: an action of 1.5 (1.5.1 §7.2.6.8), and before it the ONF's (extension 320). Both
//! are [`Action::Move`], as Nicira's move is.

use alloc::vec::Vec;

use crate::codec::oxm::{self, Flavour};
use crate::codec::wire::{Put, Reader, Result};
use crate::{Action, OfErrorKind, Subfield, Version};

/// The ONF's number of the action.
const ONF_COPY_FIELD: u16 = 3200;

/// Reads what follows the ONF's vendor number.
pub(super) fn read_onf(r: &mut Reader<'_>) -> Result<Action> {
    match r.u16()? {
        ONF_COPY_FIELD => {
            r.skip(2)?;
            read(r)
        }
        _ => Err(OfErrorKind::ActionBadVendorType),
    }
}

/// Reads the widths, the offsets and the headers of both fields.
pub(super) fn read(r: &mut Reader<'_>) -> Result<Action> {
    let n_bits = r.u16()?;
    let (src_offset, dst_offset) = (r.u16()?, r.u16()?);
    r.skip(2)?;
    let src = read_part(r, src_offset, n_bits)?;
    let dst = read_part(r, dst_offset, n_bits)?;
    if !r.zeros(r.len())? {
        return Err(OfErrorKind::NxActionMustBeZero);
    }
    if !dst.field.spec().writable {
        return Err(OfErrorKind::ActionBadSetArgument);
    }
    Ok(Action::Move { src, dst })
}

fn read_part(r: &mut Reader<'_>, offset: u16, n_bits: u16) -> Result<Subfield> {
    let field = oxm::read_field(r, OfErrorKind::ActionBadSetType)?;
    let part = match (u8::try_from(offset), u8::try_from(n_bits)) {
        (Ok(offset), Ok(n_bits)) => Subfield::new(field, offset, n_bits),
        _ => None,
    };
    part.ok_or(OfErrorKind::ActionBadSetArgument)
}

/// Writes what [`read`] reads.
pub(super) fn put(out: &mut Vec<u8>, src: Subfield, dst: Subfield, version: Version) {
    out.u16(src.n_bits.into());
    out.u16(src.offset.into());
    out.u16(dst.offset.into());
    out.zeros(2);
    oxm::put_part(out, src, Flavour::Oxm(version));
    oxm::put_part(out, dst, Flavour::Oxm(version));
}

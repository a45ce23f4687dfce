//! Error messages (1.0.1 §5.4.4, 1.3.5 §7.5.4).

use alloc::vec::Vec;

use super::wire::{Put, Reader, Result};
use crate::errors::{CODE_NICIRA, TYPE_EXPERIMENTER, TYPE_NICIRA, WireCode};
use crate::{Message, OfError, OfErrorKind, UnknownError, Version};

pub(super) fn read(r: &mut Reader<'_>, version: Version) -> Result<Message> {
    let kind = r.u16()?;
    let code = r.u16()?;
    // What claims to be a vendor's without naming one stays as it is.
    let names_vendor = !r.rest().starts_with(&[0; 4]) && r.len() >= 4;
    let code = match kind {
        TYPE_EXPERIMENTER if version >= Version::V12 && names_vendor => {
            WireCode { vendor: r.u32()?, kind, code }
        }
        TYPE_NICIRA if version < Version::V12 && code == CODE_NICIRA && names_vendor => {
            WireCode { vendor: r.u32()?, kind: r.u16()?, code: r.u16()? }
        }
        _ => WireCode { vendor: 0, kind, code },
    };
    let data = r.take_all().to_vec();
    Ok(match OfErrorKind::from_code(version, code) {
        Some(kind) => Message::Error(OfError { kind, data }),
        None => Message::UnknownError(UnknownError { code, data }),
    })
}

pub(super) fn put(out: &mut Vec<u8>, code: WireCode, data: &[u8], version: Version) {
    if code.vendor == 0 {
        out.u16(code.kind);
        out.u16(code.code);
    } else if version >= Version::V12 {
        out.u16(TYPE_EXPERIMENTER);
        out.u16(code.code);
        out.u32(code.vendor);
    } else {
        out.u16(TYPE_NICIRA);
        out.u16(CODE_NICIRA);
        out.u32(code.vendor);
        out.u16(code.kind);
        out.u16(code.code);
    }
    out.bytes(data);
}

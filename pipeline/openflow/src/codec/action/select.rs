//! Nicira's `MULTIPATH`, `BUNDLE` and `BUNDLE_LOAD`: choices by a hash of the packet.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::nicira::{put_nicira, put_subfield_nxm, read_subfield};
use crate::codec::wire::{Put, Reader, Result};
use crate::{
    Action, BUNDLE_MAX_MEMBERS, BundleAlgorithm, HashFields, Multipath, MultipathAlgorithm,
    OfErrorKind, OfPort, PortBundle,
};

pub(super) const MULTIPATH: u16 = 10;
pub(super) const BUNDLE: u16 = 12;
pub(super) const BUNDLE_LOAD: u16 = 13;

/// `NXM_OF_IN_PORT`: members are ports.
const MEMBER_TYPE: u32 = 0x0000_0002;

const BAD_ARGUMENT: OfErrorKind = OfErrorKind::ActionBadArgument;

pub(super) fn read_multipath(r: &mut Reader<'_>) -> Result<Action> {
    let fields = r.u16()?;
    let basis = r.u16()?;
    r.skip(2)?;
    let algorithm = r.u16()?;
    let max_link = r.u16()?;
    let arg = r.u32()?;
    r.skip(2)?;
    let dst = read_subfield(r)?;
    let multipath = Multipath {
        fields: HashFields::from_wire(fields).ok_or(BAD_ARGUMENT)?,
        basis,
        algorithm: MultipathAlgorithm::from_wire(algorithm).ok_or(BAD_ARGUMENT)?,
        max_link,
        arg,
        dst,
    };
    if dst.max_value() < max_link.into() {
        return Err(BAD_ARGUMENT);
    }
    if !dst.field.spec().writable {
        return Err(OfErrorKind::ActionBadSetArgument);
    }
    Ok(Action::Multipath(Box::new(multipath)))
}

pub(super) fn put_multipath(out: &mut Vec<u8>, multipath: &Multipath) {
    put_nicira(out, MULTIPATH, |out| {
        out.u16(multipath.fields as u16);
        out.u16(multipath.basis);
        out.zeros(2);
        out.u16(multipath.algorithm as u16);
        out.u16(multipath.max_link);
        out.u32(multipath.arg);
        out.zeros(2);
        put_subfield_nxm(out, multipath.dst);
    });
}

pub(super) fn read_bundle(r: &mut Reader<'_>, subtype: u16) -> Result<Action> {
    let algorithm = r.u16()?;
    let fields = r.u16()?;
    let basis = r.u16()?;
    let member_type = r.u32()?;
    let n_members = usize::from(r.u16()?);
    let dst = if subtype == BUNDLE_LOAD {
        let dst = read_subfield(r)?;
        if dst.n_bits < 16 {
            return Err(BAD_ARGUMENT);
        }
        if !dst.field.spec().writable {
            return Err(OfErrorKind::ActionBadSetArgument);
        }
        Some(dst)
    } else if r.zeros(6)? {
        None
    } else {
        return Err(BAD_ARGUMENT);
    };
    if !r.zeros(4)? || n_members > BUNDLE_MAX_MEMBERS || member_type != MEMBER_TYPE {
        return Err(BAD_ARGUMENT);
    }
    let fields = HashFields::from_wire(fields).ok_or(BAD_ARGUMENT)?;
    let algorithm = BundleAlgorithm::from_wire(algorithm).ok_or(BAD_ARGUMENT)?;
    let mut wire = r.sub(2 * n_members, OfErrorKind::ActionBadLen)?;
    let members: Result<Vec<OfPort>> =
        (0..n_members).map(|_| wire.u16().map(OfPort::from_u16)).collect();
    Ok(Action::Bundle(Box::new(PortBundle { algorithm, fields, basis, members: members?, dst })))
}

pub(super) fn put_bundle(out: &mut Vec<u8>, bundle: &PortBundle) {
    let subtype = if bundle.dst.is_some() { BUNDLE_LOAD } else { BUNDLE };
    put_nicira(out, subtype, |out| {
        out.u16(bundle.algorithm as u16);
        out.u16(bundle.fields as u16);
        out.u16(bundle.basis);
        out.u32(MEMBER_TYPE);
        out.u16(u16::try_from(bundle.members.len()).unwrap_or(u16::MAX));
        match bundle.dst {
            Some(dst) => put_subfield_nxm(out, dst),
            None => out.zeros(6),
        }
        out.zeros(4);
        for member in &bundle.members {
            out.u16(member.to_u16().unwrap_or(u16::MAX));
        }
    });
}

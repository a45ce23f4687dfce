//! Bundles (1.4.1 §7.3.9), with which the ONF extended OpenFlow 1.3 too (extension 230).

use alloc::vec::Vec;

use super::wire::{Put, Reader, Result};
use super::{HEADER_BYTES, Header, Kind, kind};
use crate::{BundleMessage, OfErrorKind, Version};

/// `ONFT_BUNDLE_CONTROL`.
pub(super) const CONTROL: u32 = 2300;
/// `ONFT_BUNDLE_ADD_MESSAGE`.
pub(super) const ADD: u32 = 2301;

pub(super) fn read_control(r: &mut Reader<'_>) -> Result<BundleMessage> {
    let control = BundleMessage::Control { bundle_id: r.u32()?, kind: r.u16()?, flags: r.u16()? };
    // Properties may follow; none is defined that must be understood.
    r.take_all();
    Ok(control)
}

pub(super) fn read_add(r: &mut Reader<'_>) -> Result<BundleMessage> {
    let bundle_id = r.u32()?;
    r.skip(2)?;
    Ok(BundleMessage::Add { bundle_id, flags: r.u16()?, message: r.take_all().to_vec() })
}

/// A message that is added to a bundle, where it was received.
#[derive(Clone, Copy, Debug)]
pub struct Bundled<'a> {
    /// The bundle's number.
    pub bundle_id: u32,
    /// Flags of the bundle.
    pub flags: u16,
    /// The whole message, and what follows it.
    pub message: &'a [u8],
}

/// What a whole message adds to a bundle, if it is a standard one that does.
pub(super) fn added(bytes: &[u8], version: Version) -> Option<Bundled<'_>> {
    let header = Header::parse(bytes)?;
    let is_right = version >= Version::V14
        && header.version == version.wire()
        && header.kind == kind::BUNDLE_ADD
        && usize::from(header.len) == bytes.len();
    let mut r = Reader::new(bytes.get(HEADER_BYTES..)?, OfErrorKind::RequestBadLen);
    let bundle_id = r.u32().ok().filter(|_| is_right)?;
    r.skip(2).ok()?;
    Some(Bundled { bundle_id, flags: r.u16().ok()?, message: r.take_all() })
}

/// The subtype of a message.
pub(super) fn subtype(message: &BundleMessage) -> u32 {
    match message {
        BundleMessage::Control { .. } => CONTROL,
        BundleMessage::Add { .. } => ADD,
    }
}

/// The message type from 1.4 on.
pub(super) fn kind(message: &BundleMessage) -> Kind {
    match message {
        BundleMessage::Control { .. } => Kind::BundleControl,
        BundleMessage::Add { .. } => Kind::BundleAdd,
    }
}

pub(super) fn put(out: &mut Vec<u8>, message: &BundleMessage) {
    match message {
        BundleMessage::Control { bundle_id, kind, flags } => {
            out.u32(*bundle_id);
            out.u16(*kind);
            out.u16(*flags);
        }
        BundleMessage::Add { bundle_id, flags, message } => {
            out.u32(*bundle_id);
            out.zeros(2);
            out.u16(*flags);
            out.bytes(message);
        }
    }
}

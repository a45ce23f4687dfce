//! Masks of megaflows, each kept once for all that have it.
//!
//! A port has thousands of megaflows and some dozens of masks, and a mask is as large as a key. So
//! megaflows refer to it, and what installing one asks of its mask is computed when the mask is seen first:
//! its words, and what stands for it in the census.

use alloc::sync::Arc;
use core::{fmt, ops::Deref};

use flow::{Field, Flow, Mask, WordMap};

use crate::{
    census::Fingerprint,
    ids::{Naming, Ufid},
};

/// A mask that megaflows share. Ingress port and recirculation id are always among its bits.
#[derive(Clone)]
pub struct SharedMask(Arc<Known>);

struct Known {
    mask: Mask,
    naming: Naming,
    print: Fingerprint,
}

impl SharedMask {
    pub(crate) fn new(mask: &Mask, print: Fingerprint) -> Self {
        Self(Arc::new(Known { mask: *mask, naming: Naming::of(mask), print }))
    }

    /// The words in which it has bits.
    #[must_use]
    pub fn words(&self) -> WordMap {
        self.0.naming.words()
    }

    /// The name of the megaflow that matches `key` under it.
    pub(crate) fn name(&self, key: &Flow) -> Ufid {
        self.0.naming.name(key, &self.0.mask)
    }

    pub(crate) fn print(&self) -> Fingerprint {
        self.0.print
    }

    /// Whether both are the same one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Ingress port and recirculation id are added: the first chooses the table, and a mask without the
/// second would confuse two passes of one packet.
impl From<Mask> for SharedMask {
    fn from(mut mask: Mask) -> Self {
        mask.set_exact(Field::InPort);
        mask.set_exact(Field::RecircId);
        Self::new(&mask, Fingerprint::of(&mask))
    }
}

impl Deref for SharedMask {
    type Target = Mask;

    fn deref(&self) -> &Mask {
        &self.0.mask
    }
}

impl PartialEq for SharedMask {
    fn eq(&self, other: &Self) -> bool {
        self.is(other) || self.0.print == other.0.print && self.0.mask == other.0.mask
    }
}

impl Eq for SharedMask {}

impl fmt::Debug for SharedMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.mask.fmt(f)
    }
}

//! Where the layers of a frame begin.

use core::fmt;

/// Byte offsets of a frame's layers, found once by extraction and kept true by the edits that move
/// bytes ([`crate::edit::push_vlan`] and its like).
///
/// One word, as it is written and read for every packet: sixteen bits a layer, 0 for one that is not
/// there, since no layer begins where the frame does.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Offsets(u64);

/// Where each layer stands in the word.
const L2_5: u32 = 0;
const L3: u32 = 16;
const L4: u32 = 32;

impl Offsets {
    /// No layers.
    pub const NONE: Self = Self(0);

    /// Of layers that begin here; 0 counts as none.
    #[must_use]
    #[inline]
    pub const fn new(l2_5: Option<u16>, l3: Option<u16>, l4: Option<u16>) -> Self {
        Self(bits(l2_5) << L2_5 | bits(l3) << L3 | bits(l4) << L4)
    }

    /// The first MPLS label stack entry, when the frame carries one.
    #[must_use]
    #[inline]
    pub const fn l2_5(self) -> Option<u16> {
        self.at(L2_5)
    }

    /// The network header (IPv4, IPv6, ARP, or what follows the last MPLS label).
    #[must_use]
    #[inline]
    pub const fn l3(self) -> Option<u16> {
        self.at(L3)
    }

    /// The transport header; absent in later fragments and where it did not fit.
    #[must_use]
    #[inline]
    pub const fn l4(self) -> Option<u16> {
        self.at(L4)
    }

    /// The first MPLS label stack entry begins here.
    #[inline]
    pub const fn set_l2_5(&mut self, to: Option<u16>) {
        self.set(L2_5, to);
    }

    /// The network header begins here.
    #[inline]
    pub const fn set_l3(&mut self, to: Option<u16>) {
        self.set(L3, to);
    }

    /// The transport header begins here.
    #[inline]
    pub const fn set_l4(&mut self, to: Option<u16>) {
        self.set(L4, to);
    }

    /// Moves every offset by `delta` bytes: a tag was pushed (positive) or popped (negative)
    /// in front of all of them.
    #[inline]
    pub(crate) fn shift(&mut self, delta: i16) {
        let moved = |offset: Option<u16>| offset.and_then(|o| o.checked_add_signed(delta));
        *self = Self::new(moved(self.l2_5()), moved(self.l3()), moved(self.l4()));
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "sixteen bits are taken")]
    const fn at(self, layer: u32) -> Option<u16> {
        match (self.0 >> layer) as u16 {
            0 => None,
            at => Some(at),
        }
    }

    #[inline]
    const fn set(&mut self, layer: u32, to: Option<u16>) {
        self.0 = self.0 & !(0xffff << layer) | bits(to) << layer;
    }
}

#[inline]
const fn bits(offset: Option<u16>) -> u64 {
    match offset {
        Some(at) => at as u64,
        None => 0,
    }
}

impl fmt::Debug for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offsets")
            .field("l2_5", &self.l2_5())
            .field("l3", &self.l3())
            .field("l4", &self.l4())
            .finish()
    }
}

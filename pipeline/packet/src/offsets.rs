//! Where the layers of a frame begin.

/// Byte offsets of a frame's layers, found once by extraction and kept true by the edits that move
/// bytes ([`crate::edit::push_vlan`] and its like).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// The first MPLS label stack entry, when the frame carries one.
    pub l2_5: Option<u16>,
    /// The network header (IPv4, IPv6, ARP, or what follows the last MPLS label).
    pub l3: Option<u16>,
    /// The transport header; absent in later fragments and where it did not fit.
    pub l4: Option<u16>,
}

impl Offsets {
    /// No layers.
    pub const NONE: Self = Self { l2_5: None, l3: None, l4: None };

    /// Moves every offset by `delta` bytes: a tag was pushed (positive) or popped (negative)
    /// in front of all of them.
    pub(crate) fn shift(&mut self, delta: i16) {
        for offset in [&mut self.l2_5, &mut self.l3, &mut self.l4] {
            *offset = offset.and_then(|o| o.checked_add_signed(delta));
        }
    }
}

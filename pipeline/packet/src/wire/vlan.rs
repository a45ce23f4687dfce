//! VLAN tags (IEEE 802.1Q §9).

use super::{Malformed, ethernet::ethertype, view_of_len};
use crate::bytes::{put, u16_at};

/// Length of a tag, TPID included.
pub const LEN: usize = 4;
/// Bits of the TCI that hold the VLAN id.
pub const VID_MASK: u16 = 0x0fff;
/// The drop-eligible bit (once CFI). Flows use its place to say "a tag is there".
pub const DEI: u16 = 0x1000;
/// Bits of the TCI that hold the priority.
pub const PCP_MASK: u16 = 0xe000;
/// Where the priority starts in the TCI.
pub const PCP_SHIFT: u32 = 13;

/// Whether an EtherType starts a VLAN tag.
#[must_use]
pub fn is_tpid(value: u16) -> bool {
    matches!(value, ethertype::VLAN | ethertype::QINQ)
}

/// A view of a tag: the two bytes of TPID and the two of TCI. The type of what is inside follows.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
}

impl<'a> View<'a> {
    view_of_len!(LEN);

    /// Tag protocol identifier.
    #[must_use]
    pub fn tpid(&self) -> u16 {
        u16_at(self.bytes, 0)
    }

    /// Tag control information.
    #[must_use]
    pub fn tci(&self) -> u16 {
        u16_at(self.bytes, 2)
    }

    /// VLAN id.
    #[must_use]
    pub fn vid(&self) -> u16 {
        self.tci() & VID_MASK
    }

    /// Priority, 0 to 7.
    #[must_use]
    pub fn pcp(&self) -> u8 {
        let [high, _] = self.tci().to_be_bytes();
        high >> 5
    }

    /// What follows the tag, beginning with the inner type.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(LEN..).unwrap_or(&[])
    }
}

/// A tag's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Tag protocol identifier.
    pub tpid: u16,
    /// Tag control information.
    pub tci: u16,
}

impl Repr {
    /// The tag's meaning.
    #[must_use]
    pub fn parse(view: &View<'_>) -> Self {
        Self { tpid: view.tpid(), tci: view.tci() }
    }

    /// Writes the tag at the front of `bytes`.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Malformed> {
        let tag = bytes.get_mut(..LEN).ok_or(Malformed)?;
        put(tag, 0, self.tpid.to_be_bytes());
        put(tag, 2, self.tci.to_be_bytes());
        Ok(())
    }
}

//! Ethernet II (IEEE 802.3 §3).

use super::{Malformed, view_of_len};
use crate::bytes::{array, put, u16_at};

/// Length of the header.
pub const LEN: usize = 14;
/// Offset of the destination address.
pub const DST: usize = 0;
/// Offset of the source address.
pub const SRC: usize = 6;
/// Offset of the type, and of the first tag's TPID.
pub const TYPE: usize = 12;
/// Values below are a length: the frame is IEEE 802.2 LLC.
pub const TYPE_MIN: u16 = 0x0600;

/// EtherTypes that the switch knows.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// Reverse ARP.
    pub const RARP: u16 = 0x8035;
    /// 802.1Q tag.
    pub const VLAN: u16 = 0x8100;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// MPLS unicast.
    pub const MPLS: u16 = 0x8847;
    /// MPLS multicast.
    pub const MPLS_MULTICAST: u16 = 0x8848;
    /// 802.1ad tag.
    pub const QINQ: u16 = 0x88a8;
}

/// A view of an Ethernet frame.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
}

impl<'a> View<'a> {
    view_of_len!(LEN);

    /// Destination address.
    #[must_use]
    pub fn dst(&self) -> [u8; 6] {
        array(self.bytes, DST)
    }

    /// Source address.
    #[must_use]
    pub fn src(&self) -> [u8; 6] {
        array(self.bytes, SRC)
    }

    /// Type or length field; a TPID when the frame is tagged.
    #[must_use]
    pub fn ethertype(&self) -> u16 {
        u16_at(self.bytes, TYPE)
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(LEN..).unwrap_or(&[])
    }
}

/// An Ethernet header's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Destination address.
    pub dst: [u8; 6],
    /// Source address.
    pub src: [u8; 6],
    /// Type field.
    pub ethertype: u16,
}

impl Repr {
    /// The header's meaning.
    #[must_use]
    pub fn parse(view: &View<'_>) -> Self {
        Self { dst: view.dst(), src: view.src(), ethertype: view.ethertype() }
    }

    /// Writes the header at the front of `bytes`.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Malformed> {
        let header = bytes.get_mut(..LEN).ok_or(Malformed)?;
        put(header, DST, self.dst);
        put(header, SRC, self.src);
        put(header, TYPE, self.ethertype.to_be_bytes());
        Ok(())
    }
}

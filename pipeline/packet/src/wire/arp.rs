//! ARP for IPv4 over Ethernet (RFC 826).

use super::Malformed;
use crate::bytes::{array, put, u8_at, u16_at, u32_at};

/// Length of a packet.
pub const LEN: usize = 28;
/// Offset of the operation.
pub const OP: usize = 6;
/// Offset of the sender's hardware address.
pub const SHA: usize = 8;
/// Offset of the sender's protocol address.
pub const SPA: usize = 14;
/// Offset of the target's hardware address.
pub const THA: usize = 18;
/// Offset of the target's protocol address.
pub const TPA: usize = 24;

/// Request operation.
pub const REQUEST: u16 = 1;
/// Reply operation.
pub const REPLY: u16 = 2;

/// A view of an ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
}

impl<'a> View<'a> {
    /// A view, when all is there and it speaks of Ethernet and IPv4.
    ///
    /// # Errors
    ///
    /// When it is too short or of other address types.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let right = bytes.len() >= LEN
            && u16_at(bytes, 0) == 1
            && u16_at(bytes, 2) == super::ethernet::ethertype::IPV4
            && u8_at(bytes, 4) == 6
            && u8_at(bytes, 5) == 4;
        if right { Ok(Self { bytes }) } else { Err(Malformed) }
    }

    /// Operation.
    #[must_use]
    pub fn op(&self) -> u16 {
        u16_at(self.bytes, OP)
    }

    /// Sender's hardware address.
    #[must_use]
    pub fn sha(&self) -> [u8; 6] {
        array(self.bytes, SHA)
    }

    /// Sender's IPv4 address.
    #[must_use]
    pub fn spa(&self) -> u32 {
        u32_at(self.bytes, SPA)
    }

    /// Target's hardware address.
    #[must_use]
    pub fn tha(&self) -> [u8; 6] {
        array(self.bytes, THA)
    }

    /// Target's IPv4 address.
    #[must_use]
    pub fn tpa(&self) -> u32 {
        u32_at(self.bytes, TPA)
    }
}

/// An ARP packet's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Operation.
    pub op: u16,
    /// Sender's hardware address.
    pub sha: [u8; 6],
    /// Sender's IPv4 address.
    pub spa: u32,
    /// Target's hardware address.
    pub tha: [u8; 6],
    /// Target's IPv4 address.
    pub tpa: u32,
}

impl Repr {
    /// The packet's meaning.
    #[must_use]
    pub fn parse(view: &View<'_>) -> Self {
        Self { op: view.op(), sha: view.sha(), spa: view.spa(), tha: view.tha(), tpa: view.tpa() }
    }

    /// Writes the packet at the front of `bytes`.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Malformed> {
        let packet = bytes.get_mut(..LEN).ok_or(Malformed)?;
        put(packet, 0, [0, 1, 8, 0, 6, 4]);
        put(packet, OP, self.op.to_be_bytes());
        put(packet, SHA, self.sha);
        put(packet, SPA, self.spa.to_be_bytes());
        put(packet, THA, self.tha);
        put(packet, TPA, self.tpa.to_be_bytes());
        Ok(())
    }
}

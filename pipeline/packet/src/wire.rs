//! Checked views of the wire formats, and their meanings.
//!
//! Each module has a `View` over bytes: `new_checked` verifies once what the accessors rely on;
//! after it, no accessor panics, whatever the bytes say. Most have a `Repr`, the meaning as plain
//! fields, with `parse` and `emit`. Numbers are big-endian on the wire and native in these types.

pub mod arp;
pub mod ethernet;
pub mod icmp;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod mpls;
pub mod sctp;
pub mod tcp;
pub mod udp;
pub mod vlan;

/// The bytes are not such a header: too short, or a length or version in it is impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// IP protocol numbers (IANA) that the switch knows.
pub mod proto {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// Authentication header.
    pub const AUTHENTICATION: u8 = 51;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6 no next header.
    pub const NO_NEXT: u8 = 59;
    /// IPv6 destination options.
    pub const DESTINATION: u8 = 60;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// Implements `new_checked`-style construction for a view whose only condition is its length.
macro_rules! view_of_len {
    ($len:expr) => {
        /// A view, when all of the header is there.
        ///
        /// # Errors
        ///
        /// When `bytes` is shorter than the header.
        pub fn new_checked(bytes: &'a [u8]) -> Result<Self, crate::wire::Malformed> {
            if bytes.len() < $len { Err(crate::wire::Malformed) } else { Ok(Self { bytes }) }
        }
    };
}
pub(crate) use view_of_len;

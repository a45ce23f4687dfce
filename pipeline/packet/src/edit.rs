//! In-place edits: what datapath actions are made of.
//!
//! # What
//! Each function changes one thing in a packet's frame and keeps every checksum that covers it
//! true. Where the layers begin comes in as [`Offsets`](crate::Offsets); functions that move bytes keep them true.
//!
//! # Failing
//! `false` (or `None`) means that the header is not there or there is no room, and that nothing was
//! changed. It cannot happen for a frame whose flow was extracted and matched; the datapath counts
//! it as a drop.
//!
//! # Checksums
//! All corrections are incremental (see [`crate::checksum`]), so they cost the same for any frame
//! and leave damage visible. The special cases: UDP's 0 means none and stays; a later fragment has
//! no transport header (`l4` is `None`); with a routing header that has segments left, the
//! transport checksum covers the final destination, which is not the one in the IPv6 header, so
//! changing that one leaves the checksum alone; SCTP has a CRC and no pseudo header.

mod l2;
mod l3;
mod l4;
mod masked;
mod pbb;
mod ttl;

pub use l2::{
    SetEth, pad_to_minimum, pop_mpls, pop_vlan, push_mpls, push_vlan, set_eth, set_eth_type,
    set_mpls_lse, set_vlan_tci,
};
pub use l3::{
    SetIpv4, set_arp_op, set_arp_sha, set_arp_spa, set_arp_tha, set_arp_tpa, set_ip_proto,
    set_ipv4, set_ipv6_class, set_ipv6_dst, set_ipv6_hop_limit, set_ipv6_label, set_ipv6_src,
};
pub use l4::{
    SetPorts, set_icmp_code, set_icmp_type, set_icmpv6_code, set_icmpv6_type, set_nd_options_type,
    set_nd_reserved, set_nd_sll, set_nd_target, set_nd_tll, set_sctp_dst, set_sctp_src, set_tcp,
    set_tcp_flags, set_udp,
};
pub use masked::{Bits, Masked};
pub use pbb::{pop_pbb, push_pbb, set_pbb_tci};
pub use ttl::{copy_ttl_in, copy_ttl_out};

use crate::bytes::put;

/// Changes the `N` bytes at `at` by `change`; gives the old and the new ones.
#[inline]
fn change<const N: usize>(
    data: &mut [u8],
    at: usize,
    change: impl FnOnce([u8; N]) -> [u8; N],
) -> Option<([u8; N], [u8; N])> {
    let old = *data.get(at..)?.first_chunk()?;
    let new = change(old);
    put(data, at, new);
    Some((old, new))
}

//! Which bits of a flow matter.

use crate::field::Field;
use crate::flow::Flow;
use crate::prereq::Prereq;
use crate::proto::{FRAG_LATER, eth_type as ethertype, ip_proto};
use crate::words::Words;

/// A set of flow bits: 1 is examined, 0 is wildcarded.
///
/// A 1 too many costs speed, a 0 too many is a bug: whoever looks at a field sets its bits first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mask {
    pub(crate) words: Words,
}

impl Mask {
    /// Nothing examined: every packet is alike.
    pub const ZERO: Mask = Mask { words: Words::ZERO };
    /// Every bit examined.
    pub const EXACT: Mask = Mask { words: Words([u64::MAX; crate::layout::FLOW_WORDS]) };

    /// Every field that the packet with this flow has, wholly; registers and OpenFlow metadata
    /// are not the packet's.
    #[must_use]
    pub fn of_packet(flow: &Flow) -> Mask {
        let mut mask = Mask::ZERO;
        let mut add = |fields: &[Field]| fields.iter().for_each(|field| mask.set_exact(*field));
        add(&[Field::SkbPriority, Field::PktMark, Field::RecircId, Field::DpHash, Field::InPort]);
        add(&[Field::PacketType, Field::EthDst, Field::EthSrc, Field::EthType, Field::VlanTci]);
        if flow.has_vlan() {
            add(&[Field::VlanTci1]);
        }
        match flow.eth_type() {
            ethertype::IPV4 => add(&[Field::Ipv4Src, Field::Ipv4Dst]),
            ethertype::IPV6 => {
                add(&[Field::Ipv6Src, Field::Ipv6Dst, Field::Ipv6Label, Field::Ipv6Exthdr]);
                if Prereq::Nd.holds(flow) {
                    add(&[Field::NdTarget, Field::NdSll, Field::NdTll]);
                }
            }
            ethertype::ARP | ethertype::RARP => {
                add(&[Field::ArpSpa, Field::ArpTpa, Field::ArpOp, Field::ArpSha, Field::ArpTha]);
            }
            ethertype::PBB => add(&[Field::PbbIsid, Field::PbbUca]),
            _ => {}
        }
        if flow.is_ip() {
            add(&[Field::IpFrag, Field::IpDscp, Field::IpEcn, Field::IpTtl, Field::IpProto]);
            if flow.nw_frag() & FRAG_LATER == 0 {
                match flow.nw_proto() {
                    ip_proto::TCP => add(&[Field::TcpSrc, Field::TcpDst, Field::TcpFlags]),
                    ip_proto::IGMP => add(&[Field::TcpSrc, Field::TcpDst, Field::NdReserved]),
                    ip_proto::UDP | ip_proto::SCTP | ip_proto::ICMP | ip_proto::ICMPV6 => {
                        add(&[Field::TcpSrc, Field::TcpDst]);
                    }
                    _ => {}
                }
            }
        }
        if flow.is_mpls() {
            for n in 0..3 {
                mask.set_mpls_lse(n, u32::MAX);
                if flow.mpls_lse(n) & 0x100 != 0 {
                    break;
                }
            }
        }
        mask
    }

    /// Replaces the examined bits of a field.
    pub fn set(&mut self, field: Field, bits: u128) {
        self.words.set(field, bits);
    }

    /// Adds examined bits of a field.
    pub fn add(&mut self, field: Field, bits: u128) {
        self.words.add(field, bits);
    }

    /// Examines a field wholly.
    pub fn set_exact(&mut self, field: Field) {
        self.words.fill(field);
    }

    /// Whether every bit of the field is examined.
    #[must_use]
    pub fn is_exact(&self, field: Field) -> bool {
        self.words.get(field) == field.ones()
    }

    /// Whether no bit of the field is examined.
    #[must_use]
    pub fn is_wildcarded(&self, field: Field) -> bool {
        self.words.get(field) == 0
    }

    /// Whether nothing is examined.
    #[must_use]
    pub fn is_catchall(&self) -> bool {
        self.words.0.iter().all(|word| *word == 0)
    }

    /// Adds everything that `other` examines.
    pub fn or(&mut self, other: &Mask) {
        for (word, bits) in self.words.0.iter_mut().zip(&other.words.0) {
            *word |= bits;
        }
    }

    /// Both masks' bits.
    #[must_use]
    pub fn union(&self, other: &Mask) -> Mask {
        let mut out = *self;
        out.or(other);
        out
    }

    /// The bits that both masks examine.
    #[must_use]
    pub fn intersection(&self, other: &Mask) -> Mask {
        let mut out = *self;
        for (word, bits) in out.words.0.iter_mut().zip(&other.words.0) {
            *word &= bits;
        }
        out
    }

    /// Whether this mask examines every bit that `other` does.
    #[must_use]
    pub fn covers(&self, other: &Mask) -> bool {
        self.words.0.iter().zip(&other.words.0).all(|(bits, needed)| needed & !bits == 0)
    }

    /// Length of the field's mask if it is a prefix (leading ones, then zeros), else `None`.
    /// The length counts from the field's most significant bit.
    #[must_use]
    pub fn prefix_len(&self, field: Field) -> Option<u8> {
        let bits = field.spec().location.bits;
        prefix_len(self.words.get(field) >> field.spec().location.scale, bits)
    }

    /// Adds the first `len` bits of the field.
    pub fn add_prefix(&mut self, field: Field, len: u8) {
        let at = field.spec().location;
        self.add(field, prefix_mask(len, at.bits) << at.scale);
    }
}

/// Length of `mask` (of `width` bits) if it is leading ones followed by zeros, else `None`.
#[must_use]
pub const fn prefix_len(mask: u128, width: u8) -> Option<u8> {
    let zeros = if mask == 0 { width as u32 } else { mask.trailing_zeros() };
    if zeros > width as u32 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "zeros <= width <= 128")]
    let len = width - zeros as u8;
    if mask == prefix_mask(len, width) { Some(len) } else { None }
}

/// The mask of `width` bits whose first `len` are ones.
#[must_use]
pub const fn prefix_mask(len: u8, width: u8) -> u128 {
    let all = crate::field::ones(width);
    if len >= width { all } else { all & !crate::field::ones(width - len) }
}

impl Default for Mask {
    fn default() -> Self {
        Mask::ZERO
    }
}

impl core::fmt::Debug for Mask {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut map = f.debug_map();
        for word in self.map() {
            map.entry(&word, &format_args!("{:#018x}", self.word(word)));
        }
        map.finish()
    }
}

//! Hashing of flows.
//!
//! # What
//! One mixing step per word: a 64 x 64 -> 128 bit multiplication folded onto itself. It costs a
//! few cycles and spreads every input bit over the whole state. The basis is the caller's secret:
//! a peer that does not know it cannot aim frames at one bucket.
//!
//! # Chaining
//! A hash state is a plain `u64`, so a staged lookup hashes one segment, probes, and goes on from
//! there with the next. A state becomes a bucket number through [`finish`].

use crate::flow::Flow;
use crate::layout::{ETH_DST, ETH_SRC, NW_ADDR, Segment, TP, VLAN, WordMap};
use crate::mask::Mask;
use crate::proto::{FRAG_ANY, eth_type as ethertype, ip_proto};

const K: u64 = 0x9e37_79b9_7f4a_7c15;
const STIR: u64 = 0xd6e8_feb8_6659_fd93;

/// The state a hash with this basis starts from.
#[must_use]
#[inline]
pub const fn start(basis: u32) -> u64 {
    basis as u64 ^ STIR
}

/// Adds one word.
#[must_use]
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves of the product are used")]
pub const fn mix(state: u64, word: u64) -> u64 {
    let product = (state ^ word) as u128 * K as u128;
    (product as u64 ^ (product >> 64) as u64).wrapping_add(STIR)
}

/// The hash value of a state.
#[must_use]
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the halves are folded")]
pub const fn finish(state: u64) -> u32 {
    let mixed = mix(state, K);
    (mixed ^ mixed >> 32) as u32
}

impl Flow {
    /// Hash of the whole flow.
    #[must_use]
    pub fn hash(&self, basis: u32) -> u32 {
        finish(hash_words(self, self.map(), start(basis)))
    }

    /// A hash that is equal for both directions of a connection: addresses, protocol and ports
    /// of TCP, UDP and SCTP; never the ports of fragments, which later fragments do not have. ARP has
    /// its protocol addresses, everything else its Ethernet addresses alone.
    #[must_use]
    pub fn hash_symmetric_l4(&self, basis: u32) -> u32 {
        let mut state = mix(start(basis), self.eth_src().to_u64() ^ self.eth_dst().to_u64());
        state = mix(state, u64::from(self.eth_type()) << 16 | u64::from(self.vlan_vid()));
        match self.eth_type() {
            ethertype::IPV4 => {
                state = mix(state, u64::from(self.nw_src() ^ self.nw_dst()));
            }
            ethertype::IPV6 => {
                let both = self.ipv6_src().to_bits() ^ self.ipv6_dst().to_bits();
                #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
                let (high, low) = ((both >> 64) as u64, both as u64);
                state = mix(mix(state, high), low);
            }
            _ => return finish(mix(state, u64::from(self.nw_src() ^ self.nw_dst()))),
        }
        state = mix(state, u64::from(self.nw_proto()));
        let has_ports = matches!(self.nw_proto(), ip_proto::TCP | ip_proto::UDP | ip_proto::SCTP);
        if has_ports && self.nw_frag() & FRAG_ANY == 0 {
            state = mix(state, u64::from(self.tp_src() ^ self.tp_dst()));
        }
        finish(state)
    }

    /// A hash of addresses, protocol and ports as they are, which is what a multi-queue device
    /// computes. What has none of these (anything but IP) goes by its Ethernet addresses, type and VLAN
    /// as well, so that it spreads too, where Open vSwitch gives one number for all of it.
    #[must_use]
    pub fn hash_5tuple(&self, basis: u32) -> u32 {
        let mut state = start(basis);
        if !self.is_ip() {
            for word in [ETH_DST, ETH_SRC, VLAN] {
                state = mix(state, self.word(word));
            }
        }
        for word in NW_ADDR..NW_ADDR + 5 {
            state = mix(state, self.word(word));
        }
        state = mix(state, u64::from(self.nw_proto()));
        if self.nw_frag() & FRAG_ANY == 0 {
            state = mix(state, self.word(TP) >> 32);
        }
        finish(state)
    }
}

/// Adds the words in `map` to a hash state.
#[must_use]
#[inline]
pub fn hash_words(flow: &Flow, map: WordMap, mut state: u64) -> u64 {
    for word in map {
        state = mix(state, flow.word(word));
    }
    state
}

/// Adds the examined bits of the words in `map` to a hash state. `map` is the mask's
/// [`Mask::map`], or the part of it that a stage has not hashed.
#[must_use]
#[inline]
pub fn hash_words_in_mask(flow: &Flow, mask: &Mask, map: WordMap, mut state: u64) -> u64 {
    for word in map {
        state = mix(state, flow.word(word) & mask.word(word));
    }
    state
}

/// Adds one segment's examined bits to a hash state.
#[must_use]
pub fn hash_segment(flow: &Flow, mask: &Mask, segment: Segment, state: u64) -> u64 {
    hash_words_in_mask(flow, mask, mask.map().in_segment(segment), state)
}

/// Hash of the examined bits of a flow. Equal masks and equal examined bits give equal hashes.
#[must_use]
pub fn hash_in_mask(flow: &Flow, mask: &Mask, basis: u32) -> u32 {
    finish(hash_words_in_mask(flow, mask, mask.map(), start(basis)))
}

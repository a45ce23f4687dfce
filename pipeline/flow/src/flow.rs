//! The complete key of a packet.

use crate::field::Field;
use crate::layout::{TP, VLAN, WordMap};
use crate::mask::Mask;
use crate::matching::OFP10_VLAN_NONE;
use crate::proto::{VLAN_PRESENT, eth_type as ethertype};
use crate::words::Words;

/// Header and metadata values of one packet, in the words that [`layout`](crate::layout) draws.
///
/// Values are exact: a field that the packet does not have is zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    pub(crate) words: Words,
}

impl Flow {
    /// The flow with every bit zero.
    pub const ZERO: Flow = Flow { words: Words::ZERO };

    /// Writes a field and leaves its neighbours alone; bits beyond the field are dropped.
    /// Writing an OpenFlow 1.0 VLAN id or a VLAN priority makes the tag present (but a `dl_vlan`
    /// of [`OFP10_VLAN_NONE`] takes it away). A tag that was not there before is 802.1Q.
    pub fn set(&mut self, field: Field, value: u128) {
        match field {
            Field::DlVlan if value == OFP10_VLAN_NONE => self.set_vlan_tci(0),
            _ => self.words.set(field, value),
        }
        match field {
            Field::DlVlan if value == OFP10_VLAN_NONE => {}
            Field::DlVlan | Field::DlVlanPcp | Field::VlanPcp => {
                self.set_vlan_tci(self.vlan_tci() | VLAN_PRESENT);
            }
            Field::VlanTci | Field::VlanVid | Field::VlanTci1 => {}
            _ => return,
        }
        self.set_vlan_tpid(tpid_of(self.vlan_tpid(), self.vlan_tci()));
        self.set_vlan_tpid1(tpid_of(self.vlan_tpid1(), self.vlan_tci1()));
    }

    /// Writes the bits of `field` that are set in `mask`.
    pub fn set_masked(&mut self, field: Field, value: u128, mask: u128) {
        let value = self.get(field) & !mask | value & mask;
        self.set(field, value);
    }

    /// The flow with every bit cleared that `mask` does not examine.
    #[must_use]
    pub fn masked(&self, mask: &Mask) -> Flow {
        let mut out = *self;
        for (word, bits) in out.words.0.iter_mut().zip(&mask.words.0) {
            *word &= bits;
        }
        out
    }

    /// The words in which both flows differ.
    #[must_use]
    #[inline]
    pub fn differing(&self, other: &Flow) -> WordMap {
        let pairs = self.words.0.iter().zip(&other.words.0).enumerate();
        WordMap(pairs.fold(0, |map, (word, (a, b))| map | u64::from(a != b) << word))
    }

    /// Whether every bit that is set is one that `mask` examines.
    #[must_use]
    #[inline]
    pub fn is_within(&self, mask: &Mask) -> bool {
        self.words.0.iter().zip(&mask.words.0).fold(0, |out, (word, bits)| out | word & !bits) == 0
    }

    /// Whether both flows agree in the bits of `mask`.
    #[must_use]
    #[inline]
    pub fn eq_in(&self, other: &Flow, mask: &Mask) -> bool {
        let pairs = self.words.0.iter().zip(&other.words.0);
        pairs.zip(&mask.words.0).fold(0, |diff, ((a, b), bits)| diff | (a ^ b) & bits) == 0
    }

    /// Whether both flows agree in the bits of `mask`, given the words that `mask` uses.
    #[must_use]
    #[inline]
    pub fn eq_in_map(&self, other: &Flow, mask: &Mask, map: WordMap) -> bool {
        for word in map {
            if (self.word(word) ^ other.word(word)) & mask.word(word) != 0 {
                return false;
            }
        }
        true
    }

    /// Whether the payload is IPv4 or IPv6.
    #[must_use]
    #[inline]
    pub const fn is_ip(&self) -> bool {
        matches!(self.eth_type(), ethertype::IPV4 | ethertype::IPV6)
    }

    /// Whether the payload is ARP or RARP.
    #[must_use]
    #[inline]
    pub const fn is_arp(&self) -> bool {
        matches!(self.eth_type(), ethertype::ARP | ethertype::RARP)
    }

    /// Whether the payload is MPLS.
    #[must_use]
    #[inline]
    pub const fn is_mpls(&self) -> bool {
        matches!(self.eth_type(), ethertype::MPLS | ethertype::MPLS_MULTICAST)
    }

    /// Whether there is a VLAN tag.
    #[must_use]
    #[inline]
    pub const fn has_vlan(&self) -> bool {
        self.vlan_tci() & VLAN_PRESENT != 0
    }

    /// Id of the outer VLAN tag, 0 without one.
    #[must_use]
    pub const fn vlan_vid(&self) -> u16 {
        self.vlan_tci() & 0x0fff
    }

    /// Number of VLAN tags in the key (0..=2).
    #[must_use]
    pub const fn n_vlans(&self) -> usize {
        if !self.has_vlan() {
            0
        } else if self.vlan_tci1() & VLAN_PRESENT == 0 {
            1
        } else {
            2
        }
    }

    /// Puts a tag in front of the others; a third one falls out of the key.
    pub const fn push_vlan(&mut self, tpid: u16, tci: u16) {
        let tag = (tpid as u64) << 16 | (tci | VLAN_PRESENT) as u64;
        let word = self.word(VLAN) >> 32 | tag << 32;
        self.set_word(VLAN, word);
    }

    /// Takes the outer tag away.
    pub const fn pop_vlan(&mut self) {
        let word = self.word(VLAN) << 32;
        self.set_word(VLAN, word);
    }

    /// Number of MPLS entries in the key (0..=3): up to and including the bottom of stack.
    #[must_use]
    pub const fn n_mpls(&self) -> usize {
        if !self.is_mpls() {
            return 0;
        }
        let mut n = 0;
        while n < 3 {
            let lse = self.mpls_lse(n);
            if lse == 0 {
                return n;
            }
            n += 1;
            if lse & 0x100 != 0 {
                return n;
            }
        }
        n
    }

    /// Clears everything above MPLS, as a push or pop of a label makes it unknown.
    pub fn clear_above_l2(&mut self) {
        for word in crate::layout::NW_ADDR..=TP {
            self.set_word(word, 0);
        }
    }
}

/// The TPID that goes with a TCI: none without a tag, 802.1Q unless another is known.
const fn tpid_of(tpid: u16, tci: u16) -> u16 {
    match (tci, tpid) {
        (0, _) => 0,
        (_, 0) => ethertype::VLAN,
        (_, known) => known,
    }
}

impl Default for Flow {
    fn default() -> Self {
        Flow::ZERO
    }
}

impl core::fmt::Debug for Flow {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut map = f.debug_map();
        for word in self.map() {
            map.entry(&word, &format_args!("{:#018x}", self.word(word)));
        }
        map.finish()
    }
}

//! Which masks a port's megaflows have on a core, and what becomes of one mask too many.
//!
//! # Why
//! A lookup that misses tries every subtable, one per mask, and who sends packets can make
//! translation look at ever other bits: a rule list over three fields gives thousands of masks to a
//! patient sender (the tuple-space explosion). So the masks of a port are counted, and beyond
//! [`MaskCensus::limit`] a *new* mask is rounded up: more bits are examined than translation needed,
//! which is always sound (the megaflow covers fewer packets), so that it becomes one of
//! [`N_ROUNDED`] masks. Masks that are there stay as they are, and are shared as before. A miss then
//! costs `limit + N_ROUNDED` probes at the most, whatever comes.
//!
//! # The rounded masks
//! Of each of five groups of fields everything is examined or nothing: Ethernet addresses, network
//! source, network destination, ports, and the rest (marks, MPLS, TOS, TTL, flags, ARP and neighbour
//! discovery). Ethernet type, VLAN tags, IP protocol and fragment bits are examined always. So what
//! looked at a prefix of the source goes by the whole source: a host instead of a subnet, but
//! still all of its connections (ovs-facts C7 holds at that grain).
//!
//! # The default
//! It is 64. Switches in service have 10 to 50 masks over all ports. A probe is some 20 to 30 cycles, so the
//! worst case, 96 probes, is less than what an upcall costs: who makes all packets miss gains nothing by
//! making masks. Up to [`MAX_LIMIT`] can be configured.
//!
//! # Who rounds
//! Whoever makes the megaflow ([`MaskCensus::admit`]), before its key is masked and its ufid computed, so
//! that the control core's record and the core's table hold the same. `admit` claims a place for a new
//! mask at once, so several megaflows under way do not overrun the limit. A claim that no megaflow
//! followed is given up by the core within two seconds.
//!
//! # Concurrency
//! Written by the core whose table it is, and, to claim, by the control core: one compare-and-swap on a
//! free place. Read by both. A mask is named by a fingerprint of 64 bits. All operations are relaxed: a
//! stale view rounds a mask that need not be, or leaves one that should be; the core bounds its table
//! in any case.

use core::sync::atomic::{AtomicU64, Ordering};

use flow::{
    Field, Mask, hash,
    layout::{
        ARP_SHA, ARP_THA, ETH_DST, ETH_SRC, FLOW_WORDS, IPV6_DST, IPV6_SRC, NW, NW_ADDR,
        PACKET_TYPE, PORT, TP, VLAN,
    },
};
use sync::counter::Gauge;

/// Masks that rounding up can yield.
pub const N_ROUNDED: usize = 32;
/// The largest limit.
pub const MAX_LIMIT: usize = 256;
/// The limit unless it is configured.
pub const DEFAULT_LIMIT: usize = 64;

/// The masks of one port on one core; see the module.
#[derive(Debug)]
pub struct MaskCensus {
    limit: Gauge,
    /// Fingerprints; 0 is a free place.
    prints: [AtomicU64; MAX_LIMIT],
}

impl Default for MaskCensus {
    fn default() -> Self {
        Self {
            limit: Gauge::new(DEFAULT_LIMIT as u64),
            prints: [const { AtomicU64::new(0) }; MAX_LIMIT],
        }
    }
}

impl MaskCensus {
    /// The mask to install a megaflow with that needs `mask`: itself if the port has it or has room for
    /// another, else a wider one that examines more.
    #[must_use]
    pub fn admit(&self, mask: &Mask) -> Mask {
        let mut mask = *mask;
        mask.set_exact(Field::InPort);
        mask.set_exact(Field::RecircId);
        if self.claim(Fingerprint::of(&mask)) { mask } else { round_up(&mask) }
    }

    /// Masks, apart from rounded ones, that the port may have.
    #[must_use]
    pub fn limit(&self) -> usize {
        usize::try_from(self.limit.get()).unwrap_or(MAX_LIMIT)
    }

    /// How many it has, claimed ones included.
    #[must_use]
    pub fn n_masks(&self) -> usize {
        self.prints.iter().filter(|print| print.load(Ordering::Relaxed) != 0).count()
    }

    /// By the core that counts here.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.set(limit.min(MAX_LIMIT) as u64);
    }

    /// Finds the mask or makes it known; `false` if there is no room.
    pub(crate) fn claim(&self, print: Fingerprint) -> bool {
        let places = self.prints.get(..self.limit()).unwrap_or(&self.prints);
        // Also places beyond a limit that was lowered: the mask is there.
        if self.prints.iter().any(|place| place.load(Ordering::Relaxed) == print.0) {
            return true;
        }
        places.iter().any(|place| {
            place.load(Ordering::Relaxed) == 0
                && place
                    .compare_exchange(0, print.0, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok_and(|_| true)
        })
    }

    /// Forgets the mask. By the core.
    pub(crate) fn release(&self, print: Fingerprint) {
        for place in &self.prints {
            if place.load(Ordering::Relaxed) == print.0 {
                place.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Forgets masks that `is_used` denies now and denied the last time, which `unused` remembers, a
    /// bit a place. By the core, once a second.
    pub(crate) fn sweep(
        &self,
        unused: &mut [bool; MAX_LIMIT],
        is_used: impl Fn(Fingerprint) -> bool,
    ) {
        for (place, was_unused) in self.prints.iter().zip(unused) {
            let print = place.load(Ordering::Relaxed);
            let is_unused = print != 0 && !is_used(Fingerprint(print));
            if is_unused && *was_unused {
                place.store(0, Ordering::Relaxed);
            }
            *was_unused = is_unused && !*was_unused;
        }
    }
}

/// What stands for a mask; never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) fn of(mask: &Mask) -> Self {
        let words = mask.map().into_iter();
        let mixed = words.fold(hash::start(0), |state, word| {
            hash::mix(hash::mix(state, word as u64), mask.word(word))
        });
        Self(mixed.max(1))
    }
}

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
const fn all_but(mut words: [u64; FLOW_WORDS], others: &[[u64; FLOW_WORDS]]) -> [u64; FLOW_WORDS] {
    let mut n = 0;
    while n < others.len() {
        let mut word = 0;
        while word < FLOW_WORDS {
            words[word] &= !others[n][word];
            word += 1;
        }
        n += 1;
    }
    words
}

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
const fn words(of: &[(usize, u64)]) -> [u64; FLOW_WORDS] {
    let mut words = [0; FLOW_WORDS];
    let mut n = 0;
    while n < of.len() {
        words[of[n].0] |= of[n].1;
        n += 1;
    }
    words
}

/// Examined in every rounded mask: in_port and recirc_id, packet and Ethernet type, VLAN tags, fragment
/// bits and protocol.
const ALWAYS: [u64; FLOW_WORDS] = words(&[
    (PORT, u64::MAX),
    (PACKET_TYPE, u64::MAX),
    (ETH_DST, 0xffff),
    (VLAN, u64::MAX),
    (NW, 0xff00_00ff),
]);
const ETHERNET: [u64; FLOW_WORDS] = words(&[(ETH_DST, !0xffff), (ETH_SRC, u64::MAX)]);
const SOURCE: [u64; FLOW_WORDS] =
    words(&[(NW_ADDR, !0xffff_ffff), (IPV6_SRC, u64::MAX), (IPV6_SRC + 1, u64::MAX)]);
const DESTINATION: [u64; FLOW_WORDS] =
    words(&[(NW_ADDR, 0xffff_ffff), (IPV6_DST, u64::MAX), (IPV6_DST + 1, u64::MAX)]);
const PORTS: [u64; FLOW_WORDS] = words(&[(TP, !0xffff_ffff)]);
const REST: [u64; FLOW_WORDS] =
    all_but([u64::MAX; FLOW_WORDS], &[ALWAYS, ETHERNET, SOURCE, DESTINATION, PORTS]);
/// Every bit is in exactly one of these or in [`ALWAYS`].
const GROUPS: [&[u64; FLOW_WORDS]; 5] = [&ETHERNET, &SOURCE, &DESTINATION, &PORTS, &REST];

const _: () = assert!(1 << GROUPS.len() == N_ROUNDED);
const _: () = assert!(ARP_SHA < TP && ARP_THA < TP, "they are of the rest");

/// The smallest rounded mask that examines what `mask` does.
#[must_use]
pub fn round_up(mask: &Mask) -> Mask {
    let mut rounded = Mask::ZERO;
    let mut add = |group: &[u64; FLOW_WORDS]| {
        for (word, bits) in group.iter().enumerate() {
            rounded.set_word(word, rounded.word(word) | bits);
        }
    };
    add(&ALWAYS);
    for group in GROUPS {
        if group.iter().zip(mask.words()).any(|(group, bits)| group & bits != 0) {
            add(group);
        }
    }
    rounded
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn mask_of(field: Field, bits: u128) -> Mask {
        let mut mask = Mask::ZERO;
        mask.set(field, bits);
        mask
    }

    proptest! {
        #[test]
        fn rounded_masks_cover_and_are_few(words in prop::array::uniform32(any::<u64>()), keep: u32) {
            let mut mask = Mask::ZERO;
            for (word, bits) in words.iter().enumerate().filter(|(word, _)| keep >> word & 1 != 0) {
                mask.set_word(word, *bits);
            }
            let rounded = round_up(&mask);
            prop_assert!(rounded.covers(&mask));
            prop_assert_eq!(round_up(&rounded), rounded);
            prop_assert!(Mask::EXACT.covers(&rounded));
        }
    }

    #[test]
    fn there_are_as_many_rounded_masks_as_said() {
        let mut seen = BTreeSet::new();
        for bits in 0_u32..1 << GROUPS.len() {
            let mut mask = Mask::ZERO;
            for (n, group) in GROUPS.iter().enumerate().filter(|(n, _)| bits >> n & 1 != 0) {
                let word = (n * 7..).map(|word| word % FLOW_WORDS).find(|word| group[*word] != 0);
                let word = word.expect("no group is empty");
                let lowest = group[word] & group[word].wrapping_neg();
                mask.set_word(word, mask.word(word) | lowest);
            }
            seen.insert(round_up(&mask));
        }
        assert_eq!(seen.len(), N_ROUNDED);
    }

    #[test]
    fn a_prefix_becomes_a_host_and_no_port() {
        let rounded = round_up(&mask_of(Field::Ipv4Src, 0xffff_ff00));
        assert!(rounded.is_exact(Field::Ipv4Src) && rounded.is_exact(Field::EthType));
        for free in [Field::Ipv4Dst, Field::TcpSrc, Field::EthDst, Field::IpTtl, Field::TcpFlags] {
            assert!(rounded.is_wildcarded(free), "{free:?}");
        }
    }

    #[test]
    fn masks_that_are_there_stay_and_new_ones_are_rounded() {
        let census = MaskCensus::default();
        census.set_limit(2);
        let prefixes: [Mask; 3] =
            [8, 16, 24].map(|len| mask_of(Field::Ipv4Src, u128::from(!(u32::MAX >> len))));
        let mut exact = prefixes;
        for mask in &mut exact {
            mask.set_exact(Field::InPort);
            mask.set_exact(Field::RecircId);
        }
        for _ in 0..2 {
            assert_eq!(census.admit(&prefixes[0]), exact[0]);
            assert_eq!(census.admit(&prefixes[1]), exact[1]);
            assert_eq!(census.admit(&prefixes[2]), round_up(&prefixes[2]));
        }
        assert_eq!(census.n_masks(), 2);
        census.release(Fingerprint::of(&exact[0]));
        assert_eq!(census.admit(&prefixes[2]), exact[2]);
        // Lowering the limit takes nothing away.
        census.set_limit(1);
        assert_eq!(census.admit(&prefixes[1]), exact[1]);
        assert_eq!(census.admit(&prefixes[0]), round_up(&prefixes[0]));
    }

    #[test]
    fn a_claim_that_nothing_follows_is_given_up_at_the_second_sweep() {
        let (census, mut unused) = (MaskCensus::default(), [false; MAX_LIMIT]);
        let (used, idle) = (mask_of(Field::Ipv4Src, 1), mask_of(Field::Ipv4Src, 2));
        let used = Fingerprint::of(&census.admit(&used));
        let _ = census.admit(&idle);
        census.sweep(&mut unused, |print| print == used);
        assert_eq!(census.n_masks(), 2);
        census.sweep(&mut unused, |print| print == used);
        assert_eq!(census.n_masks(), 1);
        // A place used again begins anew.
        let _ = census.admit(&idle);
        census.sweep(&mut unused, |print| print == used);
        assert_eq!(census.n_masks(), 2);
    }
}

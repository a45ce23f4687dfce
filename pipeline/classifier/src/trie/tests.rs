//! The trie against a list of prefixes, under random insertions and removals.

use std::vec::Vec;

use proptest::prelude::*;

use super::{Key, NONE, PrefixLens, Trie};

#[test]
fn keys_are_left_aligned() {
    assert_eq!(0x8000_0000u32.side(0), 1);
    assert_eq!(0x8000_0000u32.side(1), 0);
    assert_eq!(1u32.side(31), 1);
    assert_eq!(1u128.side(127), 1);
    assert_eq!(u32::MAX.side(32), 0);
    assert_eq!(0xffff_ffffu32.prefix(0), 0);
    assert_eq!(0xffff_ffffu32.prefix(9), 0xff80_0000);
    assert_eq!(0xffff_ffffu32.prefix(32), 0xffff_ffff);
    assert_eq!(u128::MAX.prefix(128), u128::MAX);
    assert_eq!(0xff00_0000u32.common_bits(0xfe00_0000), 7);
}

/// The examples of addresses: value, what it must find, how many bits that may take.
#[test]
fn finds_the_lengths_and_no_more_bits_than_needed() {
    let mut trie = Trie::default();
    for (value, len) in
        [(0x0a00_0000u32, 8), (0x0a01_0000, 16), (0x0a01_0200, 24), (0xc0a8_0000, 16)]
    {
        trie.insert(value, len);
    }
    let check = |value: u32, lens: &[u32], examined: u32| {
        let found = trie.lookup(value);
        let all: Vec<u32> = (1..=128).filter(|&len| found.lens.contains(len)).collect();
        assert_eq!((all.as_slice(), found.examined), (lens, examined), "{value:#x}");
    };
    check(0x0a01_0203, &[8, 16, 24], 24);
    // 10.1.3.x: bit 24 (the last of the /24) differs.
    check(0x0a01_0303, &[8, 16], 24);
    // 10.2.x.x differs from 10.1 in bit 15 (counted from one).
    check(0x0a02_0000, &[8], 15);
    // 1xxx.. may only be 192.168/16; 172 = 0b1010_1100 differs in the second bit.
    check(0xac00_0000, &[], 2);
    check(0x0b00_0000, &[], 8);
    check(0xc0a8_ffff, &[16], 16);
}

#[test]
fn an_empty_trie_needs_no_bits() {
    assert_eq!(Trie::<u32>::default().lookup(7).examined, 0);
}

#[derive(Debug, Clone)]
enum Op<K> {
    Insert(K, u32),
    /// Removes the prefix at this index of the list, modulo its length.
    Remove(usize),
}

/// Runs `ops` on the trie and on a list; then every probe must find the same lengths, and a value
/// that agrees on the examined bits must find the same.
fn compare<K: Key + PartialEq + Ord>(ops: &[Op<K>], probes: &[(K, K)]) {
    let mut trie = Trie::<K>::default();
    let mut list: Vec<(K, u32)> = Vec::new();
    for op in ops {
        match *op {
            Op::Insert(value, len) => {
                trie.insert(value, len);
                if len > 0 {
                    list.push((value.prefix(len), len));
                }
            }
            Op::Remove(index) if !list.is_empty() => {
                let (prefix, len) = list.swap_remove(index % list.len());
                trie.remove(prefix, len);
            }
            Op::Remove(_) => {}
        }
    }
    let expected = |value: K| {
        let mut lens = PrefixLens::default();
        for &(prefix, len) in &list {
            if value.prefix(len) == prefix {
                lens.insert(len);
            }
        }
        lens
    };
    let combine = |kept: K, len: u32, other: K| {
        // The leading bits of one value with the trailing bits of another, without arithmetic on K:
        // pick the candidate only when it really shares the bits.
        if kept.prefix(len) == other.prefix(len) { other } else { kept }
    };
    for &(value, other) in probes {
        let found = trie.lookup(value);
        assert_eq!(found.lens, expected(value), "{value:?} in {list:?}");
        let twin = combine(value, found.examined, other);
        assert_eq!(trie.lookup(twin), found, "{twin:?} agrees with {value:?} in {list:?}");
    }
    // The documented bound on nodes in use.
    let mut distinct = list.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(trie.nodes.len() <= (2 * distinct.len()).saturating_sub(1));
    for (prefix, len) in list {
        trie.remove(prefix, len);
    }
    assert_eq!((trie.root, trie.nodes.n_bytes()), (NONE, 0), "removing everything leaves nothing");
}

fn ops<K: Key + 'static>(
    value: impl Strategy<Value = K> + Clone + 'static,
    max_len: u32,
) -> impl Strategy<Value = Vec<Op<K>>> {
    let op = prop_oneof![
        2 => (value, 0..=max_len).prop_map(|(value, len)| Op::Insert(value, len)),
        1 => any::<usize>().prop_map(Op::Remove),
    ];
    prop::collection::vec(op, 0..60)
}

/// Values that share long prefixes: few bits set, near both ends.
fn clustered_u32() -> impl Strategy<Value = u32> + Clone {
    (0u32..8, 0u32..8, 0u32..4).prop_map(|(top, middle, low)| top << 29 | middle << 14 | low)
}

fn clustered_u128() -> impl Strategy<Value = u128> + Clone {
    (0u128..8, 0u128..8, 0u128..4).prop_map(|(top, middle, low)| top << 125 | middle << 62 | low)
}

proptest! {
    #[test]
    fn agrees_with_a_list_of_ipv4_prefixes(
        ops in ops(clustered_u32(), 32),
        probes in prop::collection::vec((clustered_u32(), clustered_u32()), 30),
    ) {
        compare(&ops, &probes);
    }

    #[test]
    fn agrees_with_a_list_of_ipv6_prefixes(
        ops in ops(clustered_u128(), 128),
        probes in prop::collection::vec((clustered_u128(), clustered_u128()), 30),
    ) {
        compare(&ops, &probes);
    }
}

//! Prefix trie: which prefix lengths have a rule whose prefix the value lies in?
//!
//! # What
//! A path-compressed binary trie over left-aligned values (`u32` for IPv4 addresses and port
//! pairs, `u128` for IPv6). It counts rules per prefix; it does not hold them. A lookup returns
//! the *set* of prefix lengths that match the value, and how many leading bits had to be looked at
//! to know that set for certain. A subtable whose prefix length is not in the set has no matching
//! rule, and those leading bits alone prove it.
//!
//! # Why the number of bits is right
//! The walk compares the value with a node's prefix. At the first difference, bit `d`, no deeper
//! prefix can match, and every value with the same `d + 1` leading bits takes the same walk. When
//! the walk ends because a child is missing, the one more bit that chose the missing side was
//! looked at too, unless the last node is a leaf: then there was nothing to choose.
//!
//! # Cost
//! A node holds its whole prefix, not only the bits below its parent: that makes splitting and
//! joining nodes free of bit shifting, for 20 bytes a node (`u32`) or 32 (`u128`). Nodes are in a
//! [`gradual::Slab`], so a trie of a million prefixes comes and goes in small pieces. There are at
//! most `2n - 1` nodes for `n` distinct prefixes. A lookup visits at most one node per distinct
//! prefix length on the path. Whoever fills a table does so in some order, so the way down to the last
//! prefix is kept: the next one goes on from where they part, which is mostly near its end.
//!
//! # Concurrency
//! Plain data, changed through `&mut` by the classifier that owns it.

use alloc::vec::Vec;

use gradual::Slab;

/// A left-aligned bit string: the first bit is the most significant one.
pub(crate) trait Key: Copy + Default + Eq + core::fmt::Debug {
    /// How many leading bits `self` and `other` share.
    fn common_bits(self, other: Self) -> u32;
    /// The bit at `index` (0 = most significant) as a child side, 0 or 1; 0 beyond the end.
    fn side(self, index: u32) -> usize;
    /// The key with all but its `len` leading bits cleared.
    fn prefix(self, len: u32) -> Self;
}

macro_rules! impl_key {
    ($type:ty) => {
        impl Key for $type {
            fn common_bits(self, other: Self) -> u32 {
                (self ^ other).leading_zeros()
            }

            fn side(self, index: u32) -> usize {
                let first = self.checked_shl(index).unwrap_or(0);
                usize::from(first.leading_zeros() == 0)
            }

            fn prefix(self, len: u32) -> Self {
                self & !Self::MAX.checked_shr(len).unwrap_or(0)
            }
        }
    };
}
impl_key!(u32);
impl_key!(u128);

/// A set of prefix lengths from 1 to 128.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PrefixLens(u128);

impl PrefixLens {
    fn insert(&mut self, len: u32) {
        if let Some(index) = len.checked_sub(1) {
            self.0 |= 1u128.checked_shl(index).unwrap_or(0);
        }
    }

    /// Whether `len` (1 to 128) is in the set.
    pub(crate) fn contains(self, len: u32) -> bool {
        len.checked_sub(1).and_then(|index| self.0.checked_shr(index)).is_some_and(|s| s & 1 == 1)
    }
}

/// What a lookup found out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The lengths of the prefixes that the value lies in.
    pub(crate) lens: PrefixLens,
    /// The number of leading bits of the value that decided `lens`.
    pub(crate) examined: u32,
}

/// "No node", as a link.
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, Default)]
struct Node<K> {
    /// The bits from the root to here; zero beyond `len`.
    prefix: K,
    len: u32,
    /// Rules with exactly this prefix. An inner node may have none.
    n_rules: u32,
    /// The subtries whose next bit is 0 and 1.
    children: [u32; 2],
}

/// A node on the way down.
#[derive(Debug, Clone, Copy)]
struct Step {
    index: u32,
    /// The length of its prefix.
    len: u32,
}

/// The trie. See the head of the file.
#[derive(Debug, Clone)]
pub(crate) struct Trie<K> {
    nodes: Slab<Node<K>>,
    root: u32,
    /// The prefix that came or went last, and from the root on the nodes whose prefixes it begins with: all of
    /// them, or but the last few.
    last: K,
    way: Vec<Step>,
}

impl<K: Key> Default for Trie<K> {
    fn default() -> Self {
        Self { nodes: Slab::default(), root: NONE, last: K::default(), way: Vec::new() }
    }
}

impl<K: Key> Trie<K> {
    /// Counts a rule whose prefix is the `len` leading bits of `value`. A zero `len` says nothing
    /// about the value and is not kept.
    pub(crate) fn insert(&mut self, value: K, len: u32) {
        if len == 0 {
            return;
        }
        let prefix = value.prefix(len);
        let is_last = prefix == self.last && self.way.last().is_some_and(|step| step.len == len);
        let below = if is_last { NONE } else { self.go(prefix, len) };
        if let Some(&Step { index, .. }) = self.way.last().filter(|step| step.len == len) {
            let node = &mut self.nodes[index];
            node.n_rules = node.n_rules.saturating_add(1);
            return;
        }
        let leaf = Node { prefix, len, n_rules: 1, children: [NONE; 2] };
        let Some(node) = self.nodes.get(below) else {
            self.hang(leaf);
            return;
        };
        // A node in front of the one that differs, and the new prefix in it or below it.
        let common = prefix.common_bits(node.prefix).min(len);
        let mut children = [NONE; 2];
        children[node.prefix.side(common)] = below;
        if common == len {
            self.hang(Node { children, ..leaf });
        } else {
            self.hang(Node { prefix: prefix.prefix(common), len: common, n_rules: 0, children });
            self.hang(leaf);
        }
    }

    /// Takes back one [`insert`](Self::insert) of the same prefix.
    pub(crate) fn remove(&mut self, value: K, len: u32) {
        if len == 0 {
            return;
        }
        self.go(value.prefix(len), len);
        let Some(&Step { index, .. }) = self.way.last().filter(|step| step.len == len) else {
            debug_assert!(false, "the prefix was never inserted");
            return;
        };
        let node = &mut self.nodes[index];
        node.n_rules = node.n_rules.saturating_sub(1);
        if self.tidy() {
            self.tidy();
        }
    }

    /// Goes down to the last node whose prefix this one, of `len` bits, begins with, which ends the way then. The
    /// node below, which differs, or none.
    fn go(&mut self, prefix: K, len: u32) -> u32 {
        let common = prefix.common_bits(self.last).min(len);
        while self.way.last().is_some_and(|step| step.len > common) {
            self.way.pop();
        }
        self.last = prefix;
        let Self { nodes, way, .. } = self;
        let mut below = match way.last() {
            None => self.root,
            Some(step) => nodes[step.index].children[prefix.side(step.len)],
        };
        while let Some(node) = nodes.get(below)
            && node.len <= len
            && prefix.common_bits(node.prefix) >= node.len
        {
            way.push(Step { index: below, len: node.len });
            below = node.children[prefix.side(node.len)];
        }
        below
    }

    /// Puts a new node at the end of the way.
    fn hang(&mut self, node: Node<K>) {
        let index = self.nodes.insert(node, []);
        let index = index.expect("a trie has fewer than 2^32 - 1 nodes: memory ends long before");
        self.set_below(index);
        self.way.push(Step { index, len: node.len });
    }

    /// Removes the node at the end of the way when it neither holds a rule nor joins two subtries; whether it
    /// did.
    fn tidy(&mut self) -> bool {
        let Some(&Step { index, .. }) = self.way.last() else { return false };
        let node = &self.nodes[index];
        let replacement = match (node.n_rules, node.children) {
            (0, [child, NONE] | [NONE, child]) => child,
            _ => return false,
        };
        self.way.pop();
        self.set_below(replacement);
        self.nodes.remove(index);
        true
    }

    /// Links a node below the end of the way.
    fn set_below(&mut self, to: u32) {
        match self.way.last() {
            None => self.root = to,
            Some(step) => {
                self.nodes[step.index].children[self.last.side(step.len)] = to;
            }
        }
    }

    /// The lengths of all prefixes that `value` lies in, and how many of its bits decided that.
    pub(crate) fn lookup(&self, value: K) -> Found {
        let mut found = Found::default();
        let mut index = self.root;
        while let Some(node) = self.nodes.get(index) {
            let common = value.common_bits(node.prefix);
            if common < node.len {
                found.examined = common + 1;
                return found;
            }
            if node.n_rules > 0 {
                found.lens.insert(node.len);
            }
            found.examined = node.len;
            if node.children == [NONE; 2] {
                return found;
            }
            index = node.children[value.side(node.len)];
            if index == NONE {
                found.examined += 1;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;

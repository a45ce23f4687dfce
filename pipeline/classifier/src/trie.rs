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
//! prefix length on the path.
//!
//! # Concurrency
//! Plain data, changed through `&mut` by the classifier that owns it.

use gradual::Slab;

/// A left-aligned bit string: the first bit is the most significant one.
pub(crate) trait Key: Copy + Default + core::fmt::Debug {
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

/// Where a link to a node is stored.
#[derive(Debug, Clone, Copy)]
enum Link {
    Root,
    Child(u32, usize),
}

/// The trie. See the head of the file.
#[derive(Debug, Clone)]
pub(crate) struct Trie<K> {
    nodes: Slab<Node<K>>,
    root: u32,
}

impl<K> Default for Trie<K> {
    fn default() -> Self {
        Self { nodes: Slab::default(), root: NONE }
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
        let (mut link, mut index) = (Link::Root, self.root);
        loop {
            if index == NONE {
                let leaf = self.new_node(Node { prefix, len, n_rules: 1, children: [NONE; 2] });
                self.set_link(link, leaf);
                return;
            }
            let node = self.nodes[index];
            let common = prefix.common_bits(node.prefix).min(len).min(node.len);
            if common < node.len {
                self.split(link, index, prefix, len, common);
                return;
            }
            if common == len {
                let node = &mut self.nodes[index];
                node.n_rules = node.n_rules.saturating_add(1);
                return;
            }
            let side = prefix.side(node.len);
            (link, index) = (Link::Child(index, side), node.children[side]);
        }
    }

    /// Puts a node for `prefix[..common]` in front of the node at `index`, and the new prefix in
    /// it or below it.
    fn split(&mut self, link: Link, index: u32, prefix: K, len: u32, common: u32) {
        let old_side = self.nodes[index].prefix.side(common);
        let mut children = [NONE; 2];
        children[old_side] = index;
        let mut n_rules = 1;
        if common < len {
            n_rules = 0;
            children[1 - old_side] =
                self.new_node(Node { prefix, len, n_rules: 1, children: [NONE; 2] });
        }
        let branch = Node { prefix: prefix.prefix(common), len: common, n_rules, children };
        let branch = self.new_node(branch);
        self.set_link(link, branch);
    }

    /// Takes back one [`insert`](Self::insert) of the same prefix.
    pub(crate) fn remove(&mut self, value: K, len: u32) {
        if len == 0 {
            return;
        }
        let prefix = value.prefix(len);
        let (mut parent_link, mut link) = (None, Link::Root);
        loop {
            let index = self.follow(link);
            let Some(node) = self.nodes.get_mut(index) else {
                debug_assert!(false, "the prefix was never inserted");
                return;
            };
            if node.len > len || prefix.common_bits(node.prefix) < node.len {
                debug_assert!(false, "the prefix was never inserted");
                return;
            }
            if node.len == len {
                node.n_rules = node.n_rules.saturating_sub(1);
                self.tidy(link);
                if let Some(parent_link) = parent_link {
                    self.tidy(parent_link);
                }
                return;
            }
            parent_link = Some(link);
            link = Link::Child(index, prefix.side(node.len));
        }
    }

    /// Removes the node behind `link` when it neither holds a rule nor joins two subtries.
    fn tidy(&mut self, link: Link) {
        let index = self.follow(link);
        let Some(node) = self.nodes.get(index) else {
            return;
        };
        let replacement = match (node.n_rules, node.children) {
            (0, [child, NONE] | [NONE, child]) => child,
            _ => return,
        };
        self.set_link(link, replacement);
        self.nodes.remove(index);
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

    fn follow(&self, link: Link) -> u32 {
        match link {
            Link::Root => self.root,
            Link::Child(parent, side) => self.nodes[parent].children[side],
        }
    }

    fn set_link(&mut self, link: Link, to: u32) {
        match link {
            Link::Root => self.root = to,
            Link::Child(parent, side) => self.nodes[parent].children[side] = to,
        }
    }

    fn new_node(&mut self, node: Node<K>) -> u32 {
        let index = self.nodes.insert(node, []);
        index.expect("a trie has fewer than 2^32 - 1 nodes: memory ends long before")
    }
}

#[cfg(test)]
mod tests;

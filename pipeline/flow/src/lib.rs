#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod addr;
mod compact;
mod compose;
mod extract;
mod field;
mod flow;
pub mod hash;
pub mod layout;
mod mask;
mod matching;
mod miniflow;
mod prereq;
pub mod proto;
mod registry;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod text;
mod words;

pub use addr::{EtherAddr, ParseEtherAddrError};
pub use compact::{CompactMask, CompactMatch, MatchWords, PackedMatch};
pub use compose::compose;
pub use extract::{Extracted, FlowMeta, Keys, Malformed, Offsets, extract};
pub use field::{Field, FieldSpec, Format, Location, Maskable, WireId};
pub use flow::Flow;
pub use hash::hash_in_mask;
pub use layout::{FLOW_WORDS, Segment, WordMap};
pub use mask::{Mask, prefix_len, prefix_mask};
pub use matching::{Match, OFP10_VLAN_NONE};
pub use miniflow::Miniflow;
pub use prereq::Prereq;

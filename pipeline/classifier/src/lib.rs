#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod classifier;
mod conjunction;
mod entry;
mod hash;
mod prefix;
mod query;
mod rank;
mod shape;
mod subtable;
mod trie;
mod version;

pub use classifier::{Classifier, InsertError, Place, Spot};
pub use conjunction::Clause;
pub use entry::Entry;
pub use query::{Cursor, Overlap};
pub use version::Version;

/// A rule's priority: the highest one wins. OpenFlow's are 0 to 65,535; a switch's own hidden
/// rules may lie above or below.
pub type Priority = i32;

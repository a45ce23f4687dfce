//! Matches and instructions that look like the last ones, written as those were.
//!
//! A dump of a large table tells of thousands of rules that do the same and differ in some values of their
//! matches alone. What the last one came to is kept, with the places of the values that only move
//! ([`crate::codec::pattern`], the other way about); where the next has the same mask, the same
//! instructions and the same value in all other bits, its own values go into a copy.

use alloc::vec::Vec;

use flow::{Field, Mask, Match, WordMap};

use super::super::flow_mod::put_match13;
use super::super::instruction;
use super::super::oxm;
use super::super::pattern::{Deposit, deposits_of, read_by_prerequisites};
use crate::{FlowStats, Instructions, Version};

/// Type and length of a match.
const MATCH_HEAD_BYTES: usize = 4;
/// Every word of a flow.
const ALL_WORDS: WordMap = WordMap(u32::MAX as u64);

/// What was written last.
#[derive(Debug, Default)]
pub(super) struct Alike {
    mask: Mask,
    written: Option<Written>,
}

#[derive(Debug)]
struct Written {
    instructions: Instructions,
    /// Match and instructions, zero where the values are that move.
    bytes: Vec<u8>,
    deposits: Vec<Deposit>,
    /// The bits of a word that do not move, and what they are.
    fixed: Vec<(usize, u64, u64)>,
}

/// Writes match and instructions as versions from 1.2 on have them.
pub(super) fn put(out: &mut Vec<u8>, flow: &FlowStats, version: Version, last: &mut Alike) {
    let has_mask = *flow.match_.mask() == last.mask;
    if has_mask
        && let Some(written) = &last.written
        && written.is_like(flow)
    {
        written.put(out, &flow.match_);
        return;
    }
    let start = out.len();
    put_match13(out, &flow.match_, version);
    instruction::put(out, &flow.instructions, &flow.match_, version);
    // Only of the second with a mask: who has as many masks as rules pays nothing.
    last.written = match has_mask {
        true => Written::of(flow, out.get(start..).unwrap_or_default()),
        false => None,
    };
    last.mask = *flow.match_.mask();
}

impl Written {
    fn of(flow: &FlowStats, bytes: &[u8]) -> Option<Self> {
        let (mask, key) = (flow.match_.mask(), flow.match_.flow());
        let match_len = match bytes {
            [_, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => return None,
        };
        let mut bytes = bytes.to_vec();
        let read = read_by_prerequisites(true);
        let mut moving = Mask::ZERO;
        let mut deposits = Vec::new();
        for place in oxm::places(bytes.get(MATCH_HEAD_BYTES..match_len)?)? {
            let bits = match place.field {
                // It is left out where it is zero.
                Field::PacketType => 0,
                field => place.mask & field.value_ones() & !read.get(field),
            };
            let at = MATCH_HEAD_BYTES + place.at;
            let value = bytes.get_mut(at..at + place.width)?;
            let kept = (!bits).to_be_bytes();
            let kept = kept.get(kept.len() - place.width..)?;
            value.iter_mut().zip(kept).for_each(|(byte, kept)| *byte &= kept);
            deposits.extend(deposits_of(place.field, bits, at + place.width, ALL_WORDS)?);
        }
        for Deposit { slot, rotation, bits, .. } in &deposits {
            let word = usize::from(*slot);
            moving.set_word(word, moving.word(word) | bits.rotate_left((*rotation).into()));
        }
        let words = mask.map().into_iter();
        let fixed = words.map(|word| (word, mask.word(word) & !moving.word(word)));
        let fixed = fixed.filter(|(_, bits)| *bits != 0);
        let fixed = fixed.map(|(word, bits)| (word, bits, key.word(word) & bits)).collect();
        Some(Self { instructions: flow.instructions.clone(), bytes, deposits, fixed })
    }

    fn is_like(&self, flow: &FlowStats) -> bool {
        let key = flow.match_.flow();
        self.fixed.iter().all(|(word, bits, are)| key.word(*word) & bits == *are)
            && self.instructions == flow.instructions
    }

    fn put(&self, out: &mut Vec<u8>, match_: &Match) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let Some(bytes) = out.get_mut(start..) else { return };
        for Deposit { end, slot, rotation, bits } in &self.deposits {
            let word = match_.flow().word(usize::from(*slot)).rotate_right((*rotation).into());
            let place = bytes.get_mut(..usize::from(*end)).and_then(|bytes| bytes.last_chunk_mut());
            if let Some(place) = place {
                *place = (u64::from_be_bytes(*place) | word & bits).to_be_bytes();
            }
        }
    }
}

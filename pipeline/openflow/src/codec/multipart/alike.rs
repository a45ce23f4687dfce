//! Rules that look like the last ones, written as those were.
//!
//! A dump of a large table tells of thousands of rules that do the same and differ in some values of their
//! matches alone. What one of them came to is kept, with the places of the values that only move
//! ([`crate::codec::pattern`], the other way about); where the next has the same mask, the same
//! instructions and the same value in all other bits, its own values go into a copy. Masks and instructions are
//! told apart by where they are: who keeps many rules keeps both once.
//!
//! # Cost
//! One copy of the record, six words of its head and some ten instructions for each value.
//! [`N_SHAPES`] matches are kept, each with [`N_TAILS`] lists of instructions; rules of ever new shapes are not
//! followed ([`ONE_IN`]), so that shapes cost them little.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use flow::{CompactMask, CompactMatch, Field, Match};

use super::super::flow_mod::{put_match_nxm, put_match13};
use super::super::instruction;
use super::super::oxm;
use super::super::pattern::{Deposit, deposits_of, read_by_prerequisites};
use crate::{FlowFormat, FlowRecord, Instructions, Version};

/// Matches that are kept.
const N_SHAPES: usize = 4;
/// Lists of instructions that are kept of each.
const N_TAILS: usize = 16;
/// Type and length of a match from 1.2 on.
const MATCH_HEAD_BYTES: usize = 4;
/// Rules that look like none, since the last that did, of each of which the shape is kept.
const PATIENCE: u32 = 8;
/// Of the rules after those, one in so many.
const ONE_IN: u32 = 64;

/// Whether records of this form can be written so.
fn has_shapes(version: Version, format: FlowFormat) -> bool {
    match version {
        Version::V10 => format == FlowFormat::Nxm,
        Version::V11 => false,
        Version::V12 | Version::V13 | Version::V14 | Version::V15 => true,
    }
}

/// What was written last, all in one version and format.
#[derive(Debug, Default)]
pub(super) struct Alike {
    shapes: Vec<Shape>,
    /// The one that goes next.
    oldest: usize,
    /// Rules since one was like a shape.
    n_unlike: u32,
}

impl Alike {
    /// How match and instructions of a rule are written, if others were like it.
    #[inline]
    pub(super) fn find(&mut self, record: &FlowRecord<'_>) -> Option<Written<'_>> {
        let mask = record.match_.mask()?;
        let values = record.match_.values();
        let instructions = record.instructions;
        let shape = self.shapes.iter().find(|shape| shape.is_of(mask, values))?;
        let tail = shape.tails.get(place_of(instructions))?.as_ref();
        let tail = tail.filter(|tail| Arc::ptr_eq(&tail.instructions, instructions))?;
        self.n_unlike = 0;
        Some(Written { shape, bytes: &tail.bytes })
    }

    /// Keeps how a rule is written that was like none.
    pub(super) fn learn(&mut self, record: &FlowRecord<'_>, format: FlowFormat, version: Version) {
        let Some(mask) = record.match_.mask() else { return };
        if !has_shapes(version, format) {
            return;
        }
        self.n_unlike = self.n_unlike.saturating_add(1);
        if self.n_unlike > PATIENCE && !self.n_unlike.is_multiple_of(ONE_IN) {
            return;
        }
        let match_ = record.match_.expand();
        let values = record.match_.values();
        let at = match self.shapes.iter().position(|shape| shape.is_of(mask, values)) {
            Some(at) => at,
            None => {
                let Some(shape) = Shape::of(mask, record.match_, &match_, version) else { return };
                let at = self.oldest;
                self.oldest = (at + 1) % N_SHAPES;
                match self.shapes.get_mut(at) {
                    Some(oldest) => *oldest = shape,
                    None => self.shapes.push(shape),
                }
                at
            }
        };
        if let Some(shape) = self.shapes.get_mut(at) {
            shape.add_tail(record.instructions, &match_, version);
        }
    }
}

/// Where a list of instructions is kept: those of a table are a few in many.
fn place_of(instructions: &Arc<Instructions>) -> usize {
    // What an allocation aligns is zero below.
    (Arc::as_ptr(instructions).addr() >> 5) % N_TAILS
}

/// Instructions as they are written behind a match.
#[derive(Debug)]
struct Tail {
    instructions: Arc<Instructions>,
    /// The match, zero where the values are that move, and the instructions.
    bytes: Box<[u8]>,
}

/// Rules with one mask that agree in what does not move.
#[derive(Debug)]
struct Shape {
    mask: Arc<CompactMask>,
    /// The bits of a value that do not move, and what they are.
    fixed: Vec<(usize, u64, u64)>,
    deposits: Vec<Deposit>,
    /// The match, zero where the values are that move.
    match_: Vec<u8>,
    /// Bytes of its entries.
    n_entry_bytes: u16,
    tails: [Option<Tail>; N_TAILS],
}

impl Shape {
    fn of(
        mask: &Arc<CompactMask>,
        compact: &CompactMatch,
        match_: &Match,
        version: Version,
    ) -> Option<Self> {
        let mut bytes = Vec::new();
        let (head_len, n_entry_bytes) = match version {
            Version::V10 => (0, put_match_nxm(&mut bytes, match_, (0, 0))),
            _ => {
                put_match13(&mut bytes, match_, version);
                let len = bytes.get(2..)?.first_chunk().map(|len| u16::from_be_bytes(*len))?;
                (MATCH_HEAD_BYTES, len.checked_sub(u16::try_from(MATCH_HEAD_BYTES).ok()?)?)
            }
        };
        let read = read_by_prerequisites(true);
        let mut moving: Vec<u64> = compact.values().iter().map(|_| 0).collect();
        let mut deposits = Vec::new();
        let entries = bytes.get(head_len..head_len + usize::from(n_entry_bytes))?;
        for place in oxm::places(entries)? {
            let bits = match place.field {
                // It is left out where it is zero.
                Field::PacketType => 0,
                field => place.mask & field.value_ones() & !read.get(field),
            };
            let at = head_len + place.at;
            let value = bytes.get_mut(at..at + place.width)?;
            let kept = (!bits).to_be_bytes();
            let kept = kept.get(kept.len() - place.width..)?;
            value.iter_mut().zip(kept).for_each(|(byte, kept)| *byte &= kept);
            deposits.extend(deposits_of(place.field, bits, at + place.width, mask.map())?);
        }
        for Deposit { slot, rotation, bits, .. } in &deposits {
            *moving.get_mut(usize::from(*slot))? |= bits.rotate_left((*rotation).into());
        }
        let all = mask.bits().iter().zip(&moving).zip(compact.values()).enumerate();
        let fixed = all.map(|(slot, ((bits, moving), value))| (slot, bits & !moving, *value));
        let fixed = fixed.filter(|(_, bits, _)| *bits != 0);
        Some(Self {
            mask: Arc::clone(mask),
            fixed: fixed.map(|(slot, bits, value)| (slot, bits, value & bits)).collect(),
            deposits,
            match_: bytes,
            n_entry_bytes,
            tails: Default::default(),
        })
    }

    #[inline]
    fn is_of(&self, mask: &Arc<CompactMask>, values: &[u64]) -> bool {
        Arc::ptr_eq(mask, &self.mask)
            && self.fixed.iter().all(|(slot, bits, are)| {
                values.get(*slot).is_some_and(|value| value & bits == *are)
            })
    }

    fn add_tail(&mut self, instructions: &Arc<Instructions>, match_: &Match, version: Version) {
        let mut bytes = self.match_.clone();
        instruction::put(&mut bytes, instructions, match_, version);
        if let Some(place) = self.tails.get_mut(place_of(instructions)) {
            *place = Some(Tail { instructions: Arc::clone(instructions), bytes: bytes.into() });
        }
    }
}

/// How match and instructions of a rule are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written<'a> {
    shape: &'a Shape,
    bytes: &'a [u8],
}

impl Written<'_> {
    /// Bytes of both.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of the match's entries.
    pub(super) fn n_entry_bytes(&self) -> u16 {
        self.shape.n_entry_bytes
    }

    /// Writes both.
    #[inline]
    pub(super) fn put(&self, out: &mut Vec<u8>, match_: &CompactMatch) {
        let start = out.len();
        out.extend_from_slice(self.bytes);
        self.deposit(out, start, match_);
    }

    /// Writes both, and in between what `put` does.
    pub(super) fn put_around(
        &self,
        out: &mut Vec<u8>,
        match_: &CompactMatch,
        put: impl FnOnce(&mut Vec<u8>),
    ) {
        let (front, back) = self.bytes.split_at(self.shape.match_.len().min(self.bytes.len()));
        let start = out.len();
        out.extend_from_slice(front);
        self.deposit(out, start, match_);
        put(out);
        out.extend_from_slice(back);
    }

    /// Puts the values that move into a copy of the match, which begins at `start`. There is a head before it: each
    /// value ends a word.
    #[inline]
    fn deposit(&self, out: &mut [u8], start: usize, match_: &CompactMatch) {
        let values = match_.values();
        for Deposit { end, slot, rotation, bits } in &self.shape.deposits {
            let value = values.get(usize::from(*slot)).copied().unwrap_or(0);
            let word = value.rotate_right((*rotation).into());
            let end = start + usize::from(*end);
            let place = out.get_mut(..end).and_then(|bytes| bytes.last_chunk_mut());
            if let Some(place) = place {
                *place = (u64::from_be_bytes(*place) | word & bits).to_be_bytes();
            }
        }
    }
}

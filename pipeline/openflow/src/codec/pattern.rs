//! Rules that look like the last ones, read without being understood anew.
//!
//! # What
//! Whoever fills a table sends thousands of flow-mods that differ in some values alone. A [`Pattern`] is
//! made of one that was decoded and accepted: which of its bits decided how it was decoded, and where in the
//! words of a match the others went. A message that agrees in the bits which decided is the same rule
//! with other values, and those are moved to their places by a few shifts each.
//!
//! # Why that is exact
//! The decoder looks at all bits of a flow-mod but these, which it only moves: cookie, timeouts, priority,
//! importance, what filters deletes (in an add), and of the match's values the bits that the mask examines, a
//! value may have, and no prerequisite reads ([`Prereq::unwildcard`] says which those are). Every other bit
//! up to the end of the match must be as it was, headers, lengths, masks and the padding among them. The
//! instructions must be, byte for byte, some that were decoded behind this match; what they may do
//! depends on the match by its prerequisites alone. So whatever a pattern reads, the decoder accepts and
//! reads alike, which `tests/patterns.rs` tries; whatever else comes is left to the decoder.
//!
//! # Cost
//! Four instructions a word of the message and for each field some ten, where the decoder takes
//! hundreds for each. [`N_PATTERNS`] patterns are kept, each with up to [`N_TAILS`] lists of instructions;
//! a sender of ever new shapes is not followed ([`Patterns::wants`]), so that patterns cost it little.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use flow::{CompactMask, FLOW_WORDS, Field, Mask, Prereq, WordMap, proto};

use super::{Header, kind, oxm};
use crate::{Action, FlowMod, FlowModCommand, FlowModFlags, Instructions, TABLE_ALL, Version};

/// Patterns that are kept.
const N_PATTERNS: usize = 4;
/// Lists of instructions that a pattern keeps.
const N_TAILS: usize = 64;
/// The longest list of instructions that is kept, in bytes.
const MAX_TAIL_BYTES: usize = 256;
/// Messages that no pattern reads, since the last that one did, of each of which a pattern is made.
const PATIENCE: u32 = 8;
/// Of the messages after those, one in so many.
const ONE_IN: u32 = 64;

/// Bytes of a flow-mod before its match (1.3.5 §7.3.4.1).
const HEAD_BYTES: usize = 48;
/// Bytes of type and length of a match.
const MATCH_HEAD_BYTES: usize = 4;

/// The bits of the words before the match that decide: version and type; table and command; buffer; flags.
const HEAD_DECIDES: [u64; HEAD_BYTES / 8] =
    [0xffff << 48, 0, 0, 0xffff << 48, 0xffff_ffff << 32, 0xffff << 16];

/// A rule that is to be added.
#[derive(Clone, Copy, Debug)]
pub struct PatternRule<'a> {
    /// Its table.
    pub table_id: u8,
    /// Its priority.
    pub priority: u16,
    /// Its cookie.
    pub cookie: u64,
    /// Its importance.
    pub importance: u16,
    /// Its flags.
    pub flags: FlowModFlags,
    /// Its idle timeout in seconds.
    pub idle_timeout: u16,
    /// Its hard timeout in seconds.
    pub hard_timeout: u16,
    /// The bits that it examines: the mask that its pattern was made with.
    pub mask: &'a Arc<CompactMask>,
    /// Their values.
    pub values: &'a [u64],
    /// What it does: the instructions that its pattern was made with.
    pub instructions: &'a Arc<Instructions>,
}

/// The patterns of what came last; see the module.
#[derive(Clone, Debug)]
pub struct Patterns {
    patterns: Vec<Pattern>,
    /// The one that goes next.
    oldest: usize,
    /// Messages since one was read by a pattern.
    n_unread: u32,
    values: [u64; FLOW_WORDS],
}

impl Default for Patterns {
    fn default() -> Self {
        Self { patterns: Vec::new(), oldest: 0, n_unread: 0, values: [0; FLOW_WORDS] }
    }
}

impl Patterns {
    /// Bytes that all of it may take, on the safe side.
    pub const MAX_BYTES: usize = N_PATTERNS * N_TAILS * 1024;

    /// The rule that a whole message adds, if it looks like one that came before. The peer speaks
    /// `version`.
    #[must_use]
    pub fn read<'a>(&'a mut self, message: &[u8], version: Version) -> Option<PatternRule<'a>> {
        let header = Header::parse(message)?;
        if header.version != version.wire() || usize::from(header.len) != message.len() {
            return None;
        }
        let Self { patterns, values, n_unread, .. } = self;
        let patterns = patterns.iter();
        let found = patterns.filter_map(|known| Some((known, known.tail_of(message)?))).next();
        let (pattern, instructions) = found?;
        *n_unread = 0;
        pattern.deposit(message, values);
        Some(PatternRule {
            table_id: *message.get(24)?,
            priority: u16_at(message, 30)?,
            cookie: u64_before(message, 16)?,
            importance: if version < Version::V14 { 0 } else { u16_at(message, 46)? },
            flags: pattern.flags,
            idle_timeout: u16_at(message, 26)?,
            hard_timeout: u16_at(message, 28)?,
            mask: &pattern.mask,
            values: values.get(..pattern.base.len())?,
            instructions,
        })
    }

    /// Whether a pattern should be made of a message that none read, and what it was decoded to. To be asked
    /// once for each.
    #[must_use]
    pub fn wants(&mut self, message: &[u8], flow_mod: &FlowMod, version: Version) -> bool {
        let is_right = message.get(1) == Some(&kind::FLOW_MOD)
            && version > Version::V10
            && flow_mod.command == FlowModCommand::Add
            && flow_mod.buffer_id.is_none()
            && flow_mod.table_id != TABLE_ALL;
        if is_right {
            self.n_unread = self.n_unread.saturating_add(1);
        }
        is_right && (self.n_unread <= PATIENCE || self.n_unread.is_multiple_of(ONE_IN))
    }

    /// Makes a pattern of a message and what it was decoded to, which has this mask and these
    /// instructions.
    pub fn learn(
        &mut self,
        message: &[u8],
        flow_mod: &FlowMod,
        mask: &Arc<CompactMask>,
        instructions: &Arc<Instructions>,
    ) {
        if !depends_on_prerequisites_alone(instructions) {
            return;
        }
        if let Some(known) = self.patterns.iter_mut().find(|known| known.agrees_with(message)) {
            known.add_tail(message, instructions);
            return;
        }
        let Some(mut pattern) = Pattern::of(message, flow_mod, mask) else { return };
        pattern.add_tail(message, instructions);
        match self.patterns.get_mut(self.oldest) {
            Some(oldest) => *oldest = pattern,
            None => self.patterns.push(pattern),
        }
        self.oldest = (self.oldest + 1) % N_PATTERNS;
    }
}

/// Whether what must be true of a match for these instructions is in its prerequisites as the match has
/// them: actions that make another protocol of the packet could make ports those of a neighbour's
/// discovery, and lists in lists are not looked into.
fn depends_on_prerequisites_alone(instructions: &Instructions) -> bool {
    let actions = instructions.apply.iter().chain(&instructions.write);
    actions.into_iter().all(|action| {
        let is_field = |field: Field| matches!(field, Field::IpProto | Field::EthType);
        !matches!(action, Action::Clone(_) | Action::Learn(_))
            && action.written().is_none_or(|(field, ..)| !is_field(field))
    })
}

/// What decides in a word of the message, and what it must be there.
#[derive(Clone, Copy, Debug)]
struct Decided {
    bits: u64,
    are: u64,
}

/// Bits of the message that go to a word of the match.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deposit {
    /// Behind the last of the eight bytes that have them.
    pub(super) end: u16,
    /// Which of the match's words.
    pub(super) slot: u8,
    /// How far they are rotated to the left.
    pub(super) rotation: u8,
    pub(super) bits: u64,
}

/// Instructions as they came.
#[derive(Clone, Debug)]
struct Tail {
    bytes: Box<[u8]>,
    instructions: Arc<Instructions>,
}

/// See the module.
#[derive(Clone, Debug)]
struct Pattern {
    /// For each word of the message up to the end of the match.
    decided: Box<[Decided]>,
    deposits: Box<[Deposit]>,
    /// The values without what is deposited.
    base: Box<[u64]>,
    mask: Arc<CompactMask>,
    flags: FlowModFlags,
    /// By the hash of their bytes.
    tails: Vec<Option<Tail>>,
}

impl Pattern {
    /// The pattern of an accepted flow-mod that adds a rule, if its match has one.
    fn of(message: &[u8], flow_mod: &FlowMod, mask: &Arc<CompactMask>) -> Option<Self> {
        let match_len = usize::from(u16_at(message, HEAD_BYTES + 2)?);
        let end = (HEAD_BYTES + match_len).next_multiple_of(8);
        let first = HEAD_BYTES + MATCH_HEAD_BYTES;
        if u16_at(message, HEAD_BYTES)? != oxm::MATCH_TYPE || end > message.len() {
            return None;
        }
        let places = oxm::places(message.get(first..HEAD_BYTES + match_len)?)?;
        let flow = flow_mod.match_.flow();
        let read = read_by_prerequisites(flow.nw_proto() == proto::ip_proto::ICMPV6);
        let mut free = vec![0; end];
        let mut deposits = Vec::new();
        for place in places {
            let bits = place.mask & place.field.value_ones() & !read.get(place.field);
            let at = first + place.at;
            let value = free.get_mut(at..at + place.width)?;
            let bytes = bits.to_be_bytes();
            value.copy_from_slice(bytes.get(bytes.len() - place.width..)?);
            deposits.extend(deposits_of(place.field, bits, at + place.width, mask.map())?);
        }
        let words = message.get(..end)?.chunks_exact(8).zip(free.chunks_exact(8)).enumerate();
        let decided = words.map(|(k, (word, free))| {
            let bits = HEAD_DECIDES.get(k).copied().unwrap_or(!be(free));
            Decided { bits, are: be(word) & bits }
        });
        let mut base: Vec<u64> = mask.map().into_iter().map(|word| flow.word(word)).collect();
        for Deposit { slot, rotation, bits, .. } in &deposits {
            *base.get_mut(usize::from(*slot))? &= !bits.rotate_left((*rotation).into());
        }
        Some(Self {
            decided: decided.collect(),
            deposits: deposits.into(),
            base: base.into(),
            mask: Arc::clone(mask),
            flags: flow_mod.flags,
            tails: Vec::new(),
        })
    }

    /// Whether all bits up to the end of the match that decide are as they were.
    fn agrees_with(&self, message: &[u8]) -> bool {
        let words = message.chunks_exact(8);
        message.len() / 8 >= self.decided.len()
            && words.zip(&self.decided).fold(0, |differing, (word, decided)| {
                differing | (be(word) & decided.bits ^ decided.are)
            }) == 0
    }

    /// The instructions of a message that agrees, if they are known.
    fn tail_of(&self, message: &[u8]) -> Option<&Arc<Instructions>> {
        if !self.agrees_with(message) {
            return None;
        }
        let bytes = message.get(self.decided.len() * 8..)?;
        let tail = self.tails.get(place_of_tail(bytes))?.as_ref()?;
        (*tail.bytes == *bytes).then_some(&tail.instructions)
    }

    fn add_tail(&mut self, message: &[u8], instructions: &Arc<Instructions>) {
        let bytes = message.get(self.decided.len() * 8..).unwrap_or_default();
        if bytes.len() > MAX_TAIL_BYTES || !bytes.len().is_multiple_of(8) {
            return;
        }
        if self.tails.is_empty() {
            self.tails.resize_with(N_TAILS, || None);
        }
        if let Some(place) = self.tails.get_mut(place_of_tail(bytes)) {
            *place = Some(Tail { bytes: bytes.into(), instructions: Arc::clone(instructions) });
        }
    }

    /// The values of a message that agrees.
    fn deposit(&self, message: &[u8], values: &mut [u64; FLOW_WORDS]) {
        for (value, base) in values.iter_mut().zip(&self.base) {
            *value = *base;
        }
        for Deposit { end, slot, rotation, bits } in &self.deposits {
            let word = u64_before(message, usize::from(*end)).unwrap_or(0);
            if let Some(value) = values.get_mut(usize::from(*slot)) {
                *value |= (word & bits).rotate_left((*rotation).into());
            }
        }
    }
}

/// The bits of a flow that decide whether a match may have some field, or an action be done: of ports only
/// where they are those of a neighbour's discovery.
pub(super) fn read_by_prerequisites(is_icmpv6: bool) -> Mask {
    let mut mask = Mask::ZERO;
    for prereq in [Prereq::Ethernet, Prereq::Vlan, Prereq::Ip, Prereq::Tcp] {
        prereq.unwildcard(&mut mask);
    }
    if is_icmpv6 {
        Prereq::Nd.unwildcard(&mut mask);
    }
    mask
}

/// How these bits of a field's value, which ends at `end`, come into the words of `map`.
pub(super) fn deposits_of(
    field: Field,
    bits: u128,
    end: usize,
    map: WordMap,
) -> Option<Vec<Deposit>> {
    let at = field.spec().location;
    let low = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).ok();
    let one = |bits: u64, end: usize, word: usize, rotation: u8| {
        if bits == 0 {
            return Some(None);
        }
        let slot = WordMap(map.0 & ((1 << word) - 1)).count();
        let (end, slot) = (u16::try_from(end).ok()?, u8::try_from(slot).ok()?);
        map.contains(word).then_some(Some(Deposit { end, slot, rotation, bits }))
    };
    let word = usize::from(at.word);
    let both = if at.bits > 64 {
        [one(low(bits >> 64)?, end - 8, word, 0)?, one(low(bits)?, end, word + 1, 0)?]
    } else {
        // The kept bits begin above `scale` and go to `shift`; none falls out at either side.
        let rotation = (64 + at.shift - at.scale) % 64;
        [one(low(bits)?, end, word, rotation)?, None]
    };
    Some(both.into_iter().flatten().collect())
}

/// Where instructions of these bytes are kept.
fn place_of_tail(bytes: &[u8]) -> usize {
    let hash = bytes.chunks_exact(8).fold(0u64, |hash, word| {
        (hash.rotate_left(23) ^ be(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    usize::try_from(hash >> 58).unwrap_or(0) % N_TAILS
}

/// A word of eight bytes.
fn be(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// The word of the eight bytes before `end`.
fn u64_before(message: &[u8], end: usize) -> Option<u64> {
    message.get(..end)?.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

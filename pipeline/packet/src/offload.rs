//! What a sender has left to the device: a checksum to be finished, a large frame to be cut.
//!
//! # What
//! A guest that may do so (virtio 1.2 §5.1.6.2) sends a frame whose transport checksum field holds only the
//! sum of the pseudo header, and says where summing begins and where the result goes; or it sends up to
//! 64 KiB of one TCP stream behind one header and says how much of it goes into each frame. If the port by
//! which the packet leaves takes over the same, all of that is left to its device, and nobody ever
//! computes it where both ends are on one machine. Otherwise it is done here: [`Packet::finish_checksum`], and
//! [`Segments`](crate::Segments) for large frames.
//!
//! # How it is kept
//! One word in the packet's head, 0 for a packet that is finished, so that what is usual costs one test. Its
//! places are counted from the start of the *buffer*: headers that are pushed or popped in front move the
//! start of the frame and not these bytes. The edits of [`crate::edit`] know nothing of it. They correct
//! checksums as those of finished frames, so an unfinished one goes through [`Packet::edit_unfinished`].
//!
//! # Hostile input
//! Places come from the sender. [`Packet::leave_unfinished`] checks them against the frame, and whatever uses them
//! later looks at the frame anew: an edit may have taken the header away to which they belonged.

use crate::Packet;
use crate::bytes::{put, u8_at, u16_at};
use crate::checksum::{finish, sum};
use crate::wire::ethernet::{self, ethertype};
use crate::wire::{ipv4, ipv6, proto, tcp, udp, vlan};
use core::fmt;

/// The word: see the file's head.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Offload(u64);

/// Where each part stands in the word: where summing begins, which place of it the result has, what is to
/// be done, the bytes of a segment, where the network header of a large frame begins.
const START: u32 = 0;
const PLACE: u32 = 16;
const TASK: u32 = 24;
const SIZE: u32 = 32;
const L3: u32 = 48;

/// Tasks: to finish the checksum is one in any case.
const CHECKSUM: u8 = 1;
const TCP_V4: u8 = 2;
const TCP_V6: u8 = 4;
const HAS_CWR: u8 = 8;

impl Offload {
    /// The packet is finished.
    pub const NONE: Self = Self(0);

    /// Whether the packet is finished.
    #[must_use]
    #[inline]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// What is left to do for one of two packets, at least: enough to know whether there is anything.
    #[must_use]
    #[inline]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn new(start: u16, place: u8, task: u8, size: u16, l3: u16) -> Self {
        Self(
            u64::from(start) << START
                | u64::from(place) << PLACE
                | u64::from(task) << TASK
                | u64::from(size) << SIZE
                | u64::from(l3) << L3,
        )
    }

    fn half(self, at: u32) -> u16 {
        let [.., high, low] = (self.0 >> at).to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    fn byte(self, at: u32) -> u8 {
        let [.., low] = (self.0 >> at).to_be_bytes();
        low
    }

    fn task(self) -> u8 {
        self.byte(TASK)
    }

    fn is_large(self) -> bool {
        self.task() & (TCP_V4 | TCP_V6) != 0
    }
}

impl fmt::Debug for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offload({:#x})", self.0)
    }
}

/// What a device does for packets that are sent by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OffloadSet(u8);

impl OffloadSet {
    /// Nothing: it is given finished packets only.
    pub const NONE: Self = Self(0);
    /// It finishes checksums.
    pub const CHECKSUM: Self = Self(CHECKSUM);
    /// It cuts TCP over IPv4.
    pub const TCP_V4: Self = Self(TCP_V4);
    /// It cuts TCP over IPv6.
    pub const TCP_V6: Self = Self(TCP_V6);
    /// It knows that the flag CWR stays with the first segment (RFC 3168 §6.1.2).
    pub const CWR: Self = Self(HAS_CWR);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What is left to do for a frame, in places of the frame as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Summing begins here, and goes on to the end of the frame.
    pub checksum_start: usize,
    /// The result goes here, counted from there.
    pub checksum_offset: usize,
    /// The frame is to be cut.
    pub large: Option<Large>,
}

/// How a frame is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Large {
    /// TCP over which IP.
    pub kind: LargeKind,
    /// Its sender has said that the flag CWR is the first segment's.
    pub has_cwr: bool,
    /// Bytes of the stream in each segment but the last, which may have fewer.
    pub size: u16,
}

/// What is in a large frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LargeKind {
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
}

/// The sender's wishes make no sense for the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadOffload;

/// What an edit means for a checksum that is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    /// It changes what the pseudo header covers: that is in the field, as a sum.
    Addresses,
    /// It changes other bytes: they are summed when the checksum is finished.
    Bytes,
}

impl Packet {
    /// Takes over what the sender has left. A checksum that is not TCP's or UDP's in the place where a flow
    /// sees them is finished at once: otherwise what is written later could be a field that was matched.
    /// A frame that its sender calls large and that fits in one segment is an ordinary one.
    ///
    /// # Errors
    /// When a place is not in the frame, or a large frame is not what it should be; nothing has changed then.
    pub fn leave_unfinished(&mut self, what: &Unfinished) -> Result<(), BadOffload> {
        let Unfinished { checksum_start, checksum_offset, large } = *what;
        let end = checksum_start.checked_add(checksum_offset).and_then(|at| at.checked_add(2));
        if end.is_none_or(|end| end > self.len()) {
            return Err(BadOffload);
        }
        let found = Found::in_frame(self.data()).filter(|found| {
            let place = if found.proto == proto::TCP { tcp::CHECKSUM } else { udp::CHECKSUM };
            (found.l4, place) == (checksum_start, checksum_offset)
        });
        let from_buffer = |at: usize| u16::try_from(self.headroom() + at).ok();
        let kept = found.and_then(|found| Some((from_buffer(found.l3)?, from_buffer(found.l4)?)));
        let place = u8::try_from(checksum_offset).unwrap_or(u8::MAX);
        match (kept, large) {
            (None, None) => finish_at(self.data_mut(), checksum_start, checksum_offset),
            (Some((_, start)), None) => {
                self.set_offload(Offload::new(start, place, CHECKSUM, 0, 0));
            }
            (Some((l3, start)), Some(large)) if large.size != 0 => {
                let layers = found.and_then(|found| found.layers(self.data(), large.kind));
                let stream = self.len() - layers.ok_or(BadOffload)?.payload;
                let mut task = CHECKSUM;
                let (size, l3) = if stream > usize::from(large.size) {
                    task |= match large.kind {
                        LargeKind::TcpV4 => TCP_V4,
                        LargeKind::TcpV6 => TCP_V6,
                    };
                    task |= if large.has_cwr { HAS_CWR } else { 0 };
                    (large.size, l3)
                } else {
                    (0, 0)
                };
                self.set_offload(Offload::new(start, place, task, size, l3));
            }
            (_, Some(_)) => return Err(BadOffload),
        }
        Ok(())
    }

    /// What is left to do; `None` if nothing is, or if it cannot be done any more, because the bytes that it
    /// was about are gone.
    #[must_use]
    pub fn unfinished(&self) -> Option<Unfinished> {
        let word = self.offload();
        let checksum_start = self.place(word.half(START))?;
        let checksum_offset = usize::from(word.byte(PLACE));
        if word.is_none() || checksum_start + checksum_offset + 2 > self.len() {
            return None;
        }
        let large = word.is_large().then(|| Large {
            kind: if word.task() & TCP_V4 != 0 { LargeKind::TcpV4 } else { LargeKind::TcpV6 },
            has_cwr: word.task() & HAS_CWR != 0,
            size: word.half(SIZE),
        });
        Some(Unfinished { checksum_start, checksum_offset, large })
    }

    /// Whether the packet is one of several frames' bytes.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.offload().is_large()
    }

    /// Where the headers of a large frame end; `None` for any other, and when they are gone.
    #[must_use]
    pub fn large_header_len(&self) -> Option<usize> {
        self.large_layers().map(|(_, layers)| layers.payload)
    }

    /// How a large frame is to be cut, and where its headers are: where they were when it came, as nothing
    /// moves them but in one piece.
    pub(crate) fn large_layers(&self) -> Option<(Large, Layers)> {
        let Unfinished { checksum_start: l4, large, .. } = self.unfinished()?;
        let l3 = self.place(self.offload().half(L3))?;
        Some((large?, Layers::new(self.data(), l3, l4)?))
    }

    /// Length of the longest frame that is on a wire behind the device, in bytes.
    #[must_use]
    #[inline]
    pub fn wire_len(&self) -> usize {
        if self.offload().is_none() { self.len() } else { self.segment_len() }
    }

    #[inline(never)]
    fn segment_len(&self) -> usize {
        let size = usize::from(self.offload().half(SIZE));
        self.large_header_len().map_or(self.len(), |headers| self.len().min(headers + size))
    }

    /// Whether a device that does all of `offered` can be given the packet as it is. A large frame may have
    /// VLAN tags in front, and no other headers: devices know TCP behind IP alone.
    #[must_use]
    pub fn passes(&self, offered: OffloadSet) -> bool {
        let word = self.offload();
        if word.is_none() {
            return true;
        }
        if !offered.has(OffloadSet(word.task())) {
            return false;
        }
        match self.unfinished() {
            None => false,
            Some(Unfinished { large: None, .. }) => true,
            Some(Unfinished { large: Some(large), checksum_start, .. }) => {
                let found = Found::in_frame(self.data());
                found.is_some_and(|found| {
                    found.l4 == checksum_start && found.layers(self.data(), large.kind).is_some()
                })
            }
        }
    }

    /// Computes the checksum of a packet that is not large, if that is left to do. `false` when the bytes that
    /// it was about are gone, or the packet is large; nothing has changed then.
    #[must_use]
    pub fn finish_checksum(&mut self) -> bool {
        if self.offload().is_none() {
            return true;
        }
        let Some(Unfinished { checksum_start, checksum_offset, large: None }) = self.unfinished()
        else {
            return false;
        };
        finish_at(self.data_mut(), checksum_start, checksum_offset);
        self.set_offload(Offload::NONE);
        true
    }

    /// Finishes a packet for who reads it here, and takes a large frame as one long segment, which it is but for
    /// its length. `false` when the bytes that it was about are gone.
    #[must_use]
    pub fn finish_whole(&mut self) -> bool {
        let word = self.offload();
        if word.is_large() {
            let tasks = u64::from(TCP_V4 | TCP_V6 | HAS_CWR) << TASK;
            self.set_offload(Offload(word.0 & !tasks));
        }
        self.finish_checksum()
    }

    /// Runs an edit that corrects the checksums of finished frames, so that it does the right thing to one that
    /// is not: what it changes in the pseudo header goes into the sum, and what it changes elsewhere does
    /// not count before the checksum is finished.
    pub fn edit_unfinished<R>(&mut self, covers: Covered, edit: impl FnOnce(&mut Self) -> R) -> R {
        let word = self.offload();
        let place = usize::from(word.half(START)) + usize::from(word.byte(PLACE));
        let read = |packet: &Self| packet.place(place).map(|at| u16_at(packet.data(), at));
        let Some(before) = read(self) else { return edit(self) };
        if covers == Covered::Addresses {
            // What a finished checksum would be if all it covered were the pseudo header. 0 means "none" to
            // UDP, and a sum of all ones is one of 0.
            let as_finished = if before == 0xffff { 0xffff } else { !before };
            self.put_checksum(place, as_finished);
        }
        let result = edit(self);
        if let Some(after) = read(self) {
            let sum = if covers == Covered::Addresses { !after } else { before };
            self.put_checksum(place, sum);
        }
        result
    }

    fn put_checksum(&mut self, place: usize, value: u16) {
        if let Some(at) = self.place(place) {
            put(self.data_mut(), at, value.to_be_bytes());
        }
    }

    /// A place in the frame, from one in the buffer; `None` if the frame begins behind it.
    fn place(&self, from_buffer: impl Into<usize>) -> Option<usize> {
        from_buffer.into().checked_sub(self.headroom())
    }
}

/// Sums a frame from `start` on, with what stands in the field already. A result of 0 is written as all ones,
/// which is the same to TCP, and for UDP not "none" (RFC 768).
fn finish_at(frame: &mut [u8], start: usize, offset: usize) {
    let total = finish(sum(frame.get(start..).unwrap_or(&[]), 0));
    let total = if total == 0 { 0xffff } else { total };
    put(frame, start + offset, total.to_be_bytes());
}

/// TCP or UDP in a frame.
#[derive(Clone, Copy, Debug)]
struct Found {
    l3: usize,
    l4: usize,
    ip: LargeKind,
    proto: u8,
}

impl Found {
    /// Behind Ethernet, up to two tags and IP that is no fragment.
    fn in_frame(frame: &[u8]) -> Option<Self> {
        let mut at = ethernet::TYPE;
        for _ in 0..2 {
            at += if vlan::is_tpid(u16_at(frame, at)) { vlan::LEN } else { 0 };
        }
        let l3 = at + 2;
        let header = frame.get(l3..)?;
        let (ip, proto, l4) = match (u16_at(frame, at), u8_at(header, 0) >> 4) {
            (ethertype::IPV4, 4) => {
                let len = usize::from(u8_at(header, 0) & 0xf) * 4;
                let fragment = u16_at(header, ipv4::FRAGMENT);
                let is_whole = fragment & (ipv4::MORE_FRAGMENTS | ipv4::FRAGMENT_OFFSET) == 0;
                if len < ipv4::MIN_LEN || !is_whole {
                    return None;
                }
                (LargeKind::TcpV4, u8_at(header, ipv4::PROTO), l3 + len)
            }
            (ethertype::IPV6, 6) => {
                let next = u8_at(header, ipv6::NEXT_HEADER);
                let upper = ipv6::walk(next, header.get(ipv6::LEN..)?, ipv6::LEN).ok()?;
                if upper.fragment.is_some() {
                    return None;
                }
                (LargeKind::TcpV6, upper.proto, l3 + upper.offset)
            }
            _ => return None,
        };
        matches!(proto, proto::TCP | proto::UDP).then_some(Self { l3, l4, ip, proto })
    }

    /// Where the headers are, if it is TCP over this IP, with a whole header.
    fn layers(&self, frame: &[u8], kind: LargeKind) -> Option<Layers> {
        let Self { l3, l4, ip, proto } = *self;
        (ip == kind && proto == proto::TCP).then(|| Layers::new(frame, l3, l4)).flatten()
    }
}

/// Where the headers of a large frame are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layers {
    pub(crate) l3: usize,
    pub(crate) l4: usize,
    /// First byte of the stream.
    pub(crate) payload: usize,
}

impl Layers {
    fn new(frame: &[u8], l3: usize, l4: usize) -> Option<Self> {
        let len = usize::from(u8_at(frame, l4 + tcp::FLAGS) >> 4) * 4;
        let payload = l4 + len;
        let is_whole = len >= tcp::MIN_LEN && payload <= frame.len();
        is_whole.then_some(Self { l3, l4, payload })
    }
}

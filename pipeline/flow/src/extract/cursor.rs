//! A reading position that cannot leave its frame.

/// What is left of a frame, and how far it is from the start.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(frame: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: frame, at: 0 }
    }

    /// Bytes left.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Distance from the start of the frame, if an offset can hold it.
    #[inline]
    pub(super) fn offset(&self) -> Option<u16> {
        u16::try_from(self.at).ok()
    }

    /// The next `N` bytes, without taking them.
    #[inline]
    pub(super) fn peek<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.rest.first_chunk()
    }

    /// Takes the next `N` bytes; takes nothing when there are fewer.
    #[inline]
    pub(super) fn pull<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (head, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        self.at += N;
        Some(head)
    }

    /// Skips `n` bytes; skips nothing when there are fewer.
    #[inline]
    pub(super) fn skip(&mut self, n: usize) -> Option<()> {
        self.rest = self.rest.get(n..)?;
        self.at += n;
        Some(())
    }

    /// Forgets everything beyond the next `n` bytes.
    #[inline]
    pub(super) fn truncate(&mut self, n: usize) {
        self.rest = self.rest.get(..n).unwrap_or(self.rest);
    }
}

/// The big-endian number in `bytes`.
#[inline]
pub(super) const fn be16(a: u8, b: u8) -> u16 {
    u16::from_be_bytes([a, b])
}

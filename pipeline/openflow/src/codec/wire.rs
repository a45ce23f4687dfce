//! Reading and writing big-endian bytes.

use alloc::vec::Vec;

use crate::OfErrorKind;

/// What every decoder in this module tree returns.
pub(crate) type Result<T> = core::result::Result<T, OfErrorKind>;

/// Takes values off the front of bytes; knows which error it is when there are too few.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    short: OfErrorKind,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; too few of them is the error `short`.
    pub(crate) fn new(bytes: &'a [u8], short: OfErrorKind) -> Reader<'a> {
        Reader { bytes, short }
    }

    /// How many bytes are left.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether none is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is left, not taken.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// The error that too few bytes are.
    pub(crate) fn short(&self) -> OfErrorKind {
        self.short
    }

    /// Takes everything.
    pub(crate) fn take_all(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.bytes)
    }

    /// Takes `n` bytes.
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (front, rest) = self.bytes.split_at_checked(n).ok_or(self.short)?;
        self.bytes = rest;
        Ok(front)
    }

    /// Takes `n` bytes to be read on their own, with their own error, which is also that of there being
    /// fewer than `n`: then the length that led here is wrong.
    pub(crate) fn sub(&mut self, n: usize, short: OfErrorKind) -> Result<Reader<'a>> {
        let bytes = self.take(n).map_err(|_| short)?;
        Ok(Reader { bytes, short })
    }

    /// Leaves out `n` bytes of padding.
    pub(crate) fn skip(&mut self, n: usize) -> Result<()> {
        self.take(n).map(drop)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (front, rest) = self.bytes.split_first_chunk::<N>().ok_or(self.short)?;
        self.bytes = rest;
        Ok(*front)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn mac(&mut self) -> Result<[u8; 6]> {
        self.array()
    }

    /// A number of `n` bytes, 16 at most.
    pub(crate) fn number(&mut self, n: usize) -> Result<u128> {
        let bytes = self.take(n)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)))
    }

    /// Whether the next `n` bytes are zeros; takes them.
    pub(crate) fn zeros(&mut self, n: usize) -> Result<bool> {
        self.take(n).map(|bytes| bytes.iter().all(|byte| *byte == 0))
    }

    /// Text of `n` bytes, up to the first zero. What is not UTF-8 is replaced.
    pub(crate) fn text(&mut self, n: usize) -> Result<alloc::string::String> {
        let bytes = self.take(n)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(n);
        let text = bytes.get(..end).unwrap_or(bytes);
        Ok(alloc::string::String::from_utf8_lossy(text).into_owned())
    }
}

/// Writes values at the end of bytes.
pub(crate) trait Put {
    fn u8(&mut self, value: u8);
    fn u16(&mut self, value: u16);
    fn u32(&mut self, value: u32);
    fn u64(&mut self, value: u64);
    fn bytes(&mut self, bytes: &[u8]);
    /// The low `n` bytes of a number.
    fn number(&mut self, value: u128, n: usize);
    fn zeros(&mut self, n: usize);
    /// Zeros up to a multiple of 8 bytes after `start`.
    fn pad8(&mut self, start: usize);
    /// Text in a field of `n` bytes, cut so that a zero stays at the end.
    fn text(&mut self, text: &str, n: usize);
    /// Puts a 16-bit value over what is at `at`.
    fn patch_u16(&mut self, at: usize, value: u16);
    /// Puts the number of bytes since `start` over the 16 bits at `at`.
    ///
    /// Lengths are bounded where values are made or messages are cut; one that does not fit is
    /// written as 0xffff and the message that has it is not sent (see `seal`).
    fn patch_len(&mut self, at: usize, start: usize);
}

impl Put for Vec<u8> {
    fn u8(&mut self, value: u8) {
        self.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn number(&mut self, value: u128, n: usize) {
        let bytes = value.to_be_bytes();
        self.extend_from_slice(bytes.get(bytes.len().saturating_sub(n)..).unwrap_or(&bytes));
    }

    fn zeros(&mut self, n: usize) {
        self.resize(self.len() + n, 0);
    }

    fn pad8(&mut self, start: usize) {
        let len = self.len() - start;
        self.zeros(len.next_multiple_of(8) - len);
    }

    fn text(&mut self, text: &str, n: usize) {
        let mut end = text.len().min(n - 1);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.bytes(text.as_bytes().get(..end).unwrap_or_default());
        self.zeros(n - end);
    }

    fn patch_u16(&mut self, at: usize, value: u16) {
        if let Some(place) = self.get_mut(at..at + 2) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    }

    fn patch_len(&mut self, at: usize, start: usize) {
        let len = u16::try_from(self.len() - start).unwrap_or(u16::MAX);
        self.patch_u16(at, len);
    }
}

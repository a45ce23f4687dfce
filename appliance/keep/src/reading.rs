//! Reading a picture back.
//!
//! A picture is read twice: first for its checksum, so that nothing is taken of one that is not whole, then
//! record by record, without ever having more than a piece of it in memory. Whatever is wrong is an
//! [`Unfit`] and never a panic, however the bytes came to be.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use ovsdb::store::{BlockDevice, Crc32, DeviceError, SECTOR};

use crate::record::{self, Item, LENGTH_BYTES, MAX_RECORD_BYTES};
use crate::region::{FORMAT, Head, RUN, Region};

/// Why there is nothing to put back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// The device refused.
    Device(DeviceError),
    /// Nothing was kept yet.
    Nothing,
    /// It has another form.
    Format(u16),
    /// Length and checksum do not fit.
    Damaged,
    /// A record, from 1, is none.
    Record(u64),
    /// The end is missing.
    Short,
}

impl From<DeviceError> for Unfit {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "{error}"),
            Self::Nothing => f.write_str("nothing was kept"),
            Self::Format(found) => write!(f, "it has format {found}, and {FORMAT} is read here"),
            Self::Damaged => f.write_str("it fails its checksum"),
            Self::Record(number) => write!(f, "record {number} is damaged"),
            Self::Short => f.write_str("its end is missing"),
        }
    }
}

/// A picture that is being read.
#[derive(Debug)]
pub struct Reading {
    source: Source,
    buffer: Vec<u8>,
    /// Of the buffer, that much was taken.
    taken: usize,
    n_records: u64,
    is_over: bool,
}

impl Reading {
    /// Begins with the picture that counts, once it is found whole.
    ///
    /// # Errors
    /// Why it is passed over.
    pub fn open<D: BlockDevice>(region: &Region, disk: &mut D) -> Result<Self, Unfit> {
        let head = region.head.ok_or(Unfit::Nothing)?;
        if head.format != FORMAT {
            return Err(Unfit::Format(head.format));
        }
        if head.length > region.capacity() {
            return Err(Unfit::Damaged);
        }
        let mut source = Source::new(head);
        let (mut sum, mut bytes) = (Crc32::new(), Vec::new());
        while source.read(disk, &mut bytes)? {
            sum = sum.with(&bytes);
            bytes.clear();
        }
        if sum.value() != head.sum {
            return Err(Unfit::Damaged);
        }
        let source = Source::new(head);
        Ok(Self { source, buffer: Vec::new(), taken: 0, n_records: 0, is_over: false })
    }

    /// The next record; none behind the last.
    ///
    /// # Errors
    /// Why all of it is to be passed over.
    pub fn next_item<D: BlockDevice>(&mut self, disk: &mut D) -> Result<Option<Item>, Unfit> {
        let is_end_of_bytes = !self.fill(disk, LENGTH_BYTES)?;
        if self.is_over {
            // Behind the end there is nothing.
            return if is_end_of_bytes && self.rest().is_empty() {
                Ok(None)
            } else {
                Err(self.damaged())
            };
        }
        let Some((length, _)) = self.rest().split_first_chunk::<LENGTH_BYTES>() else {
            return Err(Unfit::Short);
        };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > MAX_RECORD_BYTES {
            return Err(self.damaged());
        }
        if !self.fill(disk, LENGTH_BYTES + length)? {
            return Err(Unfit::Short);
        }
        let bytes = self.rest().get(LENGTH_BYTES..LENGTH_BYTES + length).unwrap_or_default();
        let item = record::parse(bytes).ok_or_else(|| self.damaged())?;
        let is_in_order = match item {
            Item::Start { .. } => self.n_records == 0,
            Item::End { n_records } => n_records == self.n_records && n_records > 0,
            Item::Bridge { .. } | Item::Piece(..) => self.n_records > 0,
        };
        if !is_in_order {
            return Err(self.damaged());
        }
        self.is_over = matches!(item, Item::End { .. });
        self.taken += LENGTH_BYTES + length;
        self.n_records += 1;
        Ok(Some(item))
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.taken..).unwrap_or_default()
    }

    fn damaged(&self) -> Unfit {
        Unfit::Record(self.n_records + 1)
    }

    /// Reads until there are so many bytes; false when there are fewer.
    fn fill<D: BlockDevice>(&mut self, disk: &mut D, len: usize) -> Result<bool, Unfit> {
        while self.rest().len() < len {
            self.buffer.drain(..self.taken);
            self.taken = 0;
            if !self.source.read(disk, &mut self.buffer)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The bytes of a picture, run by run.
#[derive(Debug)]
struct Source {
    next: u64,
    left: u64,
}

impl Source {
    fn new(head: Head) -> Self {
        Self { next: head.first_sector(), left: head.length }
    }

    /// Appends some bytes; false when there are no more.
    fn read<D: BlockDevice>(&mut self, disk: &mut D, into: &mut Vec<u8>) -> Result<bool, Unfit> {
        if self.left == 0 {
            return Ok(false);
        }
        let len = self.left.min((RUN * SECTOR) as u64);
        let n_sectors = len.div_ceil(SECTOR as u64);
        let mut sectors = vec![[0; SECTOR]; usize::try_from(n_sectors).unwrap_or(0)];
        disk.read_run(self.next, &mut sectors)?;
        let bytes = sectors.as_flattened();
        into.extend_from_slice(bytes.get(..usize::try_from(len).unwrap_or(0)).unwrap_or(bytes));
        self.next += n_sectors;
        self.left -= len;
        Ok(true)
    }
}

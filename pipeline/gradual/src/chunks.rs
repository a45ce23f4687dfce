//! A vector that grows piece by piece.
//!
//! A plain vector moves everything when it is full: with a million elements that is milliseconds in
//! which a core does not poll. Here elements are in chunks that never move once they are full; growing
//! costs a chunk at the most, plus the (short) list of chunks when that is full.

use alloc::vec::Vec;

/// Elements of a chunk.
pub const CHUNK: usize = 512;

/// A vector in chunks.
#[derive(Debug, Clone)]
pub struct Chunks<T> {
    /// All but the last are full.
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T> Chunks<T> {
    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The element at `index`.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    /// The element at `index`, to be changed.
    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.chunks.get_mut(index / CHUNK)?.get_mut(index % CHUNK)
    }

    /// Appends an element; its index.
    pub fn push(&mut self, element: T) -> usize {
        if self.len.is_multiple_of(CHUNK) {
            // The first chunk grows as it is needed: most tables are small.
            let capacity = if self.len == 0 { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        if let Some(last) = self.chunks.last_mut() {
            last.push(element);
        }
        self.len += 1;
        self.len - 1
    }

    /// Takes the last element off.
    pub fn pop(&mut self) -> Option<T> {
        let last = self.chunks.last_mut()?;
        let element = last.pop();
        if last.is_empty() {
            self.chunks.pop();
        }
        self.len -= usize::from(element.is_some());
        element
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Bytes of memory that it has.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.capacity() * size_of::<T>()).sum()
    }
}

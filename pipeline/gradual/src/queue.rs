//! A queue that grows and shrinks piece by piece.
//!
//! Elements are in chunks of [`CHUNK`], of which the first is taken from and the last is added to (and
//! the other way about: both ends do both). A chunk that is empty is given back, so a queue of a million
//! elements that is emptied in slices gives its memory back in slices.

use alloc::collections::VecDeque;

use crate::CHUNK;

/// A queue in chunks. See the head of the file.
#[derive(Debug, Clone)]
pub struct Queue<T> {
    /// All but the first and the last are full, and none is empty.
    chunks: VecDeque<VecDeque<T>>,
    len: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), len: 0 }
    }
}

impl<T> Queue<T> {
    /// An empty one; takes no memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

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

    /// The first element.
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        self.chunks.front()?.front()
    }

    /// The last element.
    #[must_use]
    pub fn back(&self) -> Option<&T> {
        self.chunks.back()?.back()
    }

    /// The last element, to be changed.
    pub fn back_mut(&mut self) -> Option<&mut T> {
        self.chunks.back_mut()?.back_mut()
    }

    /// The element at `index` behind the first.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        let first = self.chunks.front()?;
        match index.checked_sub(first.len()) {
            None => first.get(index),
            Some(rest) => self.chunks.get(1 + rest / CHUNK)?.get(rest % CHUNK),
        }
    }

    /// Adds an element behind the last.
    pub fn push_back(&mut self, element: T) {
        self.len += 1;
        if let Some(last) = self.chunks.back_mut().filter(|last| last.len() < CHUNK) {
            last.push_back(element);
            return;
        }
        let mut chunk = VecDeque::with_capacity(self.first_capacity());
        chunk.push_back(element);
        self.chunks.push_back(chunk);
    }

    /// Adds an element before the first.
    pub fn push_front(&mut self, element: T) {
        self.len += 1;
        if let Some(first) = self.chunks.front_mut().filter(|first| first.len() < CHUNK) {
            first.push_front(element);
            return;
        }
        let mut chunk = VecDeque::with_capacity(self.first_capacity());
        chunk.push_front(element);
        self.chunks.push_front(chunk);
    }

    /// Takes the first element.
    pub fn pop_front(&mut self) -> Option<T> {
        let first = self.chunks.front_mut()?;
        let element = first.pop_front();
        if first.is_empty() {
            self.chunks.pop_front();
        }
        self.taken(element)
    }

    /// Takes the last element.
    pub fn pop_back(&mut self) -> Option<T> {
        let last = self.chunks.back_mut()?;
        let element = last.pop_back();
        if last.is_empty() {
            self.chunks.pop_back();
        }
        self.taken(element)
    }

    /// All of them, the first first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Bytes of memory that it has.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.capacity() * size_of::<T>()).sum()
    }

    /// What a new chunk begins with: most queues are short.
    fn first_capacity(&self) -> usize {
        if self.chunks.is_empty() { 0 } else { CHUNK }
    }

    fn taken(&mut self, element: Option<T>) -> Option<T> {
        self.len -= usize::from(element.is_some());
        if self.chunks.is_empty() {
            self.chunks = VecDeque::new();
        }
        element
    }
}

impl<T> FromIterator<T> for Queue<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut queue = Self::new();
        elements.into_iter().for_each(|element| queue.push_back(element));
        queue
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        PushBack(u32),
        PushFront(u32),
        PopBack(u32),
        PopFront(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0_u32..1_500).prop_map(Step::PushBack),
            1 => (0_u32..1_500).prop_map(Step::PushFront),
            1 => (0_u32..1_500).prop_map(Step::PopBack),
            2 => (0_u32..1_500).prop_map(Step::PopFront),
        ]
    }

    proptest! {
        /// Against the standard library's.
        #[test]
        fn agrees_with_a_plain_queue(steps in vec(step(), 1..20)) {
            let (mut queue, mut twin, mut next) = (Queue::new(), VecDeque::new(), 0_u32);
            for step in steps {
                let n = match step {
                    Step::PushBack(n) | Step::PushFront(n) | Step::PopBack(n) | Step::PopFront(n) => n,
                };
                for _ in 0..n {
                    next += 1;
                    match step {
                        Step::PushBack(_) => {
                            queue.push_back(next);
                            twin.push_back(next);
                        }
                        Step::PushFront(_) => {
                            queue.push_front(next);
                            twin.push_front(next);
                        }
                        Step::PopBack(_) => prop_assert_eq!(queue.pop_back(), twin.pop_back()),
                        Step::PopFront(_) => prop_assert_eq!(queue.pop_front(), twin.pop_front()),
                    }
                }
                prop_assert_eq!((queue.len(), queue.is_empty()), (twin.len(), twin.is_empty()));
                prop_assert_eq!((queue.front(), queue.back()), (twin.front(), twin.back()));
                prop_assert!(queue.iter().eq(&twin));
                for index in [0, 1, twin.len() / 2, twin.len().saturating_sub(1), twin.len()] {
                    prop_assert_eq!(queue.get(index), twin.get(index));
                }
            }
            let copy: Queue<_> = queue.iter().copied().collect();
            prop_assert_eq!(copy.iter().copied().collect::<Vec<_>>(), Vec::from(twin));
        }
    }

    #[test]
    fn memory_comes_and_goes_by_chunks() {
        let mut queue = Queue::new();
        for number in 0..100_000_u64 {
            let before = queue.n_bytes();
            queue.push_back(number);
            assert!(queue.n_bytes() - before <= CHUNK * size_of::<u64>(), "a chunk at the most");
        }
        while queue.pop_front().is_some() {
            assert!(queue.n_bytes() <= (queue.len() + 2 * CHUNK) * size_of::<u64>(), "given back");
        }
        assert_eq!(queue.n_bytes(), 0);
    }
}

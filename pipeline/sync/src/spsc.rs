//! Bounded ring between two cores: one producer, one consumer, both wait-free.
//!
//! # What
//! Upcalls, commands, and packets for a port whose queue another core owns travel through these. A
//! full ring gives the value back to the producer, who counts it under a reason: a slow reader
//! costs bounded memory and never a wait.
//!
//! # Design
//! Lamport's ring. `tail` counts pushes and only the producer writes it; `head` counts pops and
//! only the consumer writes it; both run freely and wrap, so `tail - head` is the length. The slots
//! are a power of two, indexed by the low bits; the capacity asked for is kept exactly. Each side
//! keeps a copy of the other's index and reloads it only when the copy says full (or empty), so in
//! steady flow the index lines do not bounce between the cores for each value.
//!
//! # Concurrency
//! A slot belongs to the producer while `index - head >= n` and to the consumer while `head <=
//! index < tail`. Storing `tail` with release hands the slot's contents to the consumer, who loads
//! `tail` with acquire; storing `head` with release hands the empty slot back the same way.
//! [`Producer`] and [`Consumer`] are not `Clone`, and their methods that move values take `&mut
//! self`, so there is one of each.

use alloc::boxed::Box;
use core::{fmt, mem::MaybeUninit};

use crate::{
    pad::CachePadded,
    primitive::{Arc, AtomicUsize, Ordering, UnsafeCell},
};

/// Makes a ring for `capacity` values (at least one).
#[must_use]
pub fn channel<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let capacity = capacity.max(1);
    let n_slots = capacity.next_power_of_two();
    let slots: Box<[Slot<T>]> =
        (0..n_slots).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect();
    let ring = Arc::new(Ring {
        head: CachePadded(AtomicUsize::new(0)),
        tail: CachePadded(AtomicUsize::new(0)),
        capacity,
        slots,
    });
    let producer = Producer { ring: ring.clone(), tail: 0, head_seen: 0 };
    let consumer = Consumer { ring, head: 0, tail_seen: 0 };
    (producer, consumer)
}

/// The end that puts values in.
pub struct Producer<T> {
    ring: Arc<Ring<T>>,
    /// Equals `ring.tail`; kept here so that the shared word is only written.
    tail: usize,
    /// `ring.head` as it was last seen; the real one is never behind it.
    head_seen: usize,
}

impl<T> Producer<T> {
    /// Puts `value` at the end, or gives it back if the ring is full.
    ///
    /// # Errors
    /// `Err(value)`: the ring holds [`Self::capacity`] values.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), T> {
        if self.tail.wrapping_sub(self.head_seen) >= self.ring.capacity {
            self.head_seen = self.ring.head.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) >= self.ring.capacity {
                return Err(value);
            }
        }
        self.ring.slot(self.tail).with_mut(|slot| {
            // SAFETY: 1. The pointer is valid: it comes from a live `UnsafeCell` of the ring.
            // 2. Nobody else accesses the slot: `tail - head < capacity <= n_slots`, so the
            // consumer has released this slot (acquire above or at an earlier reload) and will not
            // touch it before it sees the new `tail`; `&mut self` and one `Producer` a ring exclude
            // another writer.
            let slot = unsafe { &mut *slot };
            slot.write(value);
        });
        self.tail = self.tail.wrapping_add(1);
        self.ring.tail.store(self.tail, Ordering::Release);
        Ok(())
    }

    /// Whether there is room for one more value. Looks at what the consumer writes only if it is not known
    /// already that there is.
    #[inline]
    pub fn has_room(&mut self) -> bool {
        if self.tail.wrapping_sub(self.head_seen) >= self.ring.capacity {
            self.head_seen = self.ring.head.load(Ordering::Acquire);
        }
        self.tail.wrapping_sub(self.head_seen) < self.ring.capacity
    }

    /// Values in the ring: an upper bound, because the consumer may be taking some.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tail.wrapping_sub(self.ring.head.load(Ordering::Acquire))
    }

    /// Whether the ring was seen empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most values that the ring holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ring.capacity
    }

    /// Room seen for this many more values: a lower bound.
    #[must_use]
    pub fn room(&self) -> usize {
        self.ring.capacity - self.len()
    }
}

/// The end that takes values out.
pub struct Consumer<T> {
    ring: Arc<Ring<T>>,
    /// Equals `ring.head`; kept here so that the shared word is only written.
    head: usize,
    /// `ring.tail` as it was last seen; the real one is never behind it.
    tail_seen: usize,
}

impl<T> Consumer<T> {
    /// Takes the oldest value, if any.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.head == self.tail_seen {
            self.tail_seen = self.ring.tail.load(Ordering::Acquire);
            if self.head == self.tail_seen {
                return None;
            }
        }
        let value = self.ring.slot(self.head).with(|slot| {
            // SAFETY: 1. The pointer is valid: it comes from a live `UnsafeCell` of the ring.
            // 2. The slot is initialised: `head < tail`, the producer wrote it before it released
            // that `tail`, which was acquired.
            // 3. It is read out once: `head` advances below, and the producer overwrites without
            // dropping.
            unsafe { slot.read() }
        });
        // SAFETY: initialised, as shown above (2).
        let value = unsafe { value.assume_init() };
        self.head = self.head.wrapping_add(1);
        self.ring.head.store(self.head, Ordering::Release);
        Some(value)
    }

    /// Values in the ring: a lower bound, because the producer may be adding some.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.tail.load(Ordering::Acquire).wrapping_sub(self.head)
    }

    /// Whether the ring was seen empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most values that the ring holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ring.capacity
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Producer({}/{})", self.len(), self.capacity())
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Consumer({}/{})", self.len(), self.capacity())
    }
}

type Slot<T> = UnsafeCell<MaybeUninit<T>>;

/// What both ends share.
struct Ring<T> {
    /// Values taken out so far; written by the consumer only.
    head: CachePadded<AtomicUsize>,
    /// Values put in so far; written by the producer only.
    tail: CachePadded<AtomicUsize>,
    capacity: usize,
    /// A power of two of them, at least `capacity`.
    slots: Box<[Slot<T>]>,
}

impl<T> Ring<T> {
    #[inline]
    fn slot(&self, index: usize) -> &Slot<T> {
        &self.slots[index & (self.slots.len() - 1)]
    }
}

// SAFETY: sharing the ring between two threads only moves values of `T` from one to the other (the
// concurrency section above shows that no slot is accessed by both at once), which `T: Send`
// allows; no `&T` is ever shared, so `T: Sync` is not needed.
unsafe impl<T: Send> Sync for Ring<T> {}

// SAFETY: a ring that is dropped on another thread drops values of `T` there, which `T: Send`
// allows.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        // Both ends are gone, and dropping the last `Arc` synchronised with the other end's
        // accesses.
        let mut head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed);
        while head != tail {
            self.slot(head).with_mut(|slot| {
                // SAFETY: 1. The pointer is valid: it comes from a live `UnsafeCell` of the ring,
                // and `&mut self` is exclusive.
                // 2. The slot is initialised, because `head <= index < tail`; it is dropped once,
                // because `head` advances.
                let slot = unsafe { &mut *slot };
                // SAFETY: initialised, as shown above (2).
                unsafe { slot.assume_init_drop() };
            });
            head = head.wrapping_add(1);
        }
    }
}

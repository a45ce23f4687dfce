//! One value that its writer changes in place while other cores read it: readers never wait.
//!
//! # What
//! The state of a bridge is read by every translation and changed in many small steps by the control
//! core. A copy for each change ([`crate::snapshot`]) would cost the whole state; a lock would make
//! packets wait. Here each reader has a flag of its own and only ever *tries* ([`Reader::try_read`]):
//! while the writer writes it is refused at once, and does something else. The writer does wait, for
//! the readers that are inside at that moment, so a reader stays inside for a bounded time only.
//!
//! # Design
//! A "big-reader" lock with one writer. A reader raises its flag, then looks whether the writer is
//! writing; the writer says that it writes, then waits until it has seen every flag down. Flags
//! stand on cache lines of their own, so readers do not disturb each other. Between writes the writer
//! reads without asking anybody ([`Writer`] dereferences to the value): only it could change it.
//!
//! # Cost
//! Reading: one store, one full fence, one load, one store. Writing: one store, one full fence, one
//! load a reader, one store, and the wait. Reading by the writer: nothing.
//!
//! # Concurrency
//! *Either the reader sees the writer, or the writer sees the reader.* The reader stores its flag and
//! loads `is_writing`; the writer stores `is_writing` and loads the flags; each has a sequentially
//! consistent fence between. If the reader's fence comes first in the order of all such fences, the
//! writer's load sees the raised flag (or a later value of it); if the writer's comes first, the
//! reader's load sees `is_writing` set (or a later value). So never do both pass.
//!
//! *What the writer wrote is seen.* A reader that is let in has loaded `false` with acquire. That is
//! the initial value, or was stored with release at the end of a write; and by the first paragraph no
//! later write has begun. So all writes up to then happened before what it reads.
//!
//! *What readers read is past.* A reader lowers its flag with release when it leaves, and the writer
//! loads it with acquire before it writes. So all that the reader did inside — what it read, and what it
//! passed on by other means, such as a ring — happened before the write.

use alloc::vec::Vec;
use core::{
    fmt,
    ops::{Deref, DerefMut},
};

use crate::{
    pad::CachePadded,
    primitive::{Arc, AtomicBool, Ordering, UnsafeCell, fence, spin},
};

/// The one end that may change the value. Reads it freely.
pub struct Writer<T> {
    shared: Arc<Shared<T>>,
    /// The flags of all readers that were ever made.
    flags: Vec<Arc<Flag>>,
}

/// A reader's own: raised while it is inside.
type Flag = CachePadded<AtomicBool>;

struct Shared<T> {
    is_writing: CachePadded<AtomicBool>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is shared between the ends (`T: Sync`), changed by one of them and dropped by
// whichever goes last (`T: Send`); that no change meets a read is shown in the module's
// concurrency section.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

// SAFETY: it owns a `T`, and `T: Send`.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Writer<T> {
    /// The writing end of `value`, without readers yet.
    #[must_use]
    pub fn new(value: T) -> Self {
        let is_writing = CachePadded(AtomicBool::new(false));
        let shared = Arc::new(Shared { is_writing, value: UnsafeCell::new(value) });
        Self { shared, flags: Vec::new() }
    }

    /// A new reading end, for one core. There is no way to give it back: cores are counted at boot.
    #[must_use]
    pub fn reader(&mut self) -> Reader<T> {
        let flag = Arc::new(CachePadded(AtomicBool::new(false)));
        self.flags.push(flag.clone());
        Reader { shared: self.shared.clone(), flag }
    }

    /// How many reading ends were made.
    #[must_use]
    pub fn n_readers(&self) -> usize {
        self.flags.len()
    }

    /// Access to change the value, as soon as the readers that are inside have left. Those that come
    /// meanwhile are refused, until the guard goes.
    pub fn write(&mut self) -> WriteGuard<'_, T> {
        if !self.flags.is_empty() {
            self.shared.is_writing.store(true, Ordering::Relaxed);
            // Pairs with the fence in `try_read`.
            fence(Ordering::SeqCst);
            for flag in &self.flags {
                while flag.load(Ordering::Acquire) {
                    spin();
                }
            }
        }
        WriteGuard { shared: &self.shared }
    }
}

impl<T> Deref for Writer<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.shared.value.with(|value| {
            // SAFETY: 1. The pointer is valid: it comes from a live `UnsafeCell`, which `self.shared`
            // keeps alive for as long as the borrow of `self`.
            // 2. Nobody changes the value meanwhile: changing needs a `WriteGuard`, which borrows
            // this writer mutably, and there is one writer.
            unsafe { &*value }
        })
    }
}

/// A reading end, owned by one core.
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    flag: Arc<Flag>,
}

impl<T> Reader<T> {
    /// The value, unless it is being changed. The writer waits while the guard lives.
    #[inline]
    pub fn try_read(&mut self) -> Option<ReadGuard<'_, T>> {
        self.flag.store(true, Ordering::Relaxed);
        // Pairs with the fence in `write`.
        fence(Ordering::SeqCst);
        if self.shared.is_writing.load(Ordering::Acquire) {
            self.flag.store(false, Ordering::Release);
            return None;
        }
        Some(ReadGuard { reader: self })
    }
}

/// A reader inside.
pub struct ReadGuard<'a, T> {
    reader: &'a mut Reader<T>,
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.reader.shared.value.with(|value| {
            // SAFETY: 1. The pointer is valid: it comes from a live `UnsafeCell` that the reader's
            // `Arc` keeps alive.
            // 2. Nobody changes the value meanwhile: this reader's flag is raised, and was when
            // `is_writing` was seen false, so the writer waits for it (see the module).
            unsafe { &*value }
        })
    }
}

impl<T> Drop for ReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.reader.flag.store(false, Ordering::Release);
    }
}

/// The writer inside, alone.
pub struct WriteGuard<'a, T> {
    shared: &'a Shared<T>,
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.shared.value.with(|value| {
            // SAFETY: valid, and nobody else is inside, as for `deref_mut` below.
            unsafe { &*value }
        })
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.shared.value.with_mut(|value| {
            // SAFETY: 1. The pointer is valid: it comes from a live `UnsafeCell` that the writer's
            // `Arc` keeps alive.
            // 2. No reader is inside: `write` saw every flag down after it had announced itself, and
            // whoever raised one since was refused (see the module).
            // 3. The writer does not read meanwhile: this guard borrows it mutably.
            unsafe { &mut *value }
        })
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        self.shared.is_writing.store(false, Ordering::Release);
    }
}

impl<T: fmt::Debug> fmt::Debug for Writer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("value", &**self)
            .field("n_readers", &self.n_readers())
            .finish()
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadGuard").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for WriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteGuard").finish_non_exhaustive()
    }
}

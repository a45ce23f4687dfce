//! The atomics and cells that the algorithms are written on: `core`'s, or `loom`'s under the model
//! checker.
//!
//! `loom` explores every interleaving and every value that a relaxed or stale load may return, but
//! only for operations that go through its own types; so `spsc`, `qsbr`, `snapshot`,
//! `big_reader` and `turnstile` name these, never `core`'s.

#[cfg(loom)]
pub(crate) use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::yield_now as spin,
};

#[cfg(not(loom))]
pub(crate) use self::real::*;

#[cfg(not(loom))]
mod real {
    pub(crate) use alloc::sync::Arc;
    /// What a wait for another core does in each turn.
    pub(crate) use core::hint::spin_loop as spin;
    pub(crate) use core::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence,
    };

    /// `core`'s cell with `loom`'s interface: access is a closure over a raw pointer, so that the
    /// model checker can see where each access begins and ends.
    #[derive(Debug)]
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get().cast_const())
        }

        #[inline]
        pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }
}

//! Cache-line padding: words that different cores write must not share a line.

use core::ops::{Deref, DerefMut};

/// A value alone on its cache lines.
///
/// 128 bytes and not 64, because x86's adjacent-line prefetcher moves lines in pairs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[repr(align(128))]
pub struct CachePadded<T>(pub T);

impl<T> Deref for CachePadded<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for CachePadded<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

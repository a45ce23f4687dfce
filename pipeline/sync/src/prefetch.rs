//! Asking for memory before it is needed.
//!
//! A lookup of a batch knows all its places before it needs the first: asked for together they come
//! together, instead of one after the other. Nothing depends on it but time.

/// Asks for the first cache line of `place` to be brought near.
#[inline(always)]
pub fn prefetch<T>(place: &T) {
    prefetch_line(core::ptr::from_ref(place).cast());
}

/// Asks for all cache lines of `place`.
#[inline(always)]
pub fn prefetch_whole<T>(place: &T) {
    let first: *const u8 = core::ptr::from_ref(place).cast();
    for line in 0..size_of::<T>().div_ceil(LINE_BYTES) {
        prefetch_line(first.wrapping_add(line * LINE_BYTES));
    }
}

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

#[inline(always)]
fn prefetch_line(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads and writes nothing that a program can see and cannot fault, whatever the
        // address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

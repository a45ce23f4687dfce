//! Asking for memory before it is needed.
//!
//! A lookup of a batch knows all its places before it needs the first: asked for together they come
//! together, instead of one after the other. Nothing depends on it but time.

/// Asks for the first cache line of `place` to be brought near.
#[inline(always)]
pub fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads and writes nothing that a program can see and cannot fault; and the
        // address is that of a live reference anyway.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(place).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

//! Comparing many numbers with one at once.
//!
//! Compilers make poor code of "which of these are equal to that, a bit each"; the processor has
//! instructions for just this. What every x86-64 has (SSE2) is used there, AVX2 where CPUID says that
//! the processor has it and XCR0 that its registers are in use, plain code elsewhere; a test compares
//! them. (Trap handlers leave the upper halves of AVX registers alone, as the compiler makes no use of
//! them but here.)

/// Which of the numbers are `wanted`, a bit each.
#[must_use]
#[inline(always)]
pub fn equal_to(numbers: &[u32; 32], wanted: u32) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: SSE2 belongs to x86-64.
        unsafe { equal_by_sse2(numbers, wanted) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    equal_plainly(numbers, wanted)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn equal_plainly(numbers: &[u32; 32], wanted: u32) -> u32 {
    let all = numbers.iter().enumerate();
    all.fold(0, |equal, (k, number)| equal | u32::from(*number == wanted) << k)
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn equal_by_sse2(numbers: &[u32; 32], wanted: u32) -> u32 {
    use core::arch::x86_64::{
        __m128i, _mm_cmpeq_epi32, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32,
        _mm_set_epi32, _mm_set1_epi32,
    };
    let wanted = _mm_set1_epi32(wanted.cast_signed());
    let equal = |four: &[u32; 4]| -> __m128i {
        let [a, b, c, d] = four.map(u32::cast_signed);
        _mm_cmpeq_epi32(_mm_set_epi32(d, c, b, a), wanted)
    };
    // Lanes of all ones or none stay so when they are narrowed, until one bit of each is left.
    let sixteen = |[a, b, c, d]: [&[u32; 4]; 4]| -> u32 {
        let low = _mm_packs_epi32(equal(a), equal(b));
        let high = _mm_packs_epi32(equal(c), equal(d));
        _mm_movemask_epi8(_mm_packs_epi16(low, high)).cast_unsigned()
    };
    let (fours, _) = numbers.as_chunks::<4>();
    let [a, b, c, d, e, f, g, h] = fours else { return 0 };
    sixteen([a, b, c, d]) | sixteen([e, f, g, h]) << 16
}

/// Which of the numbers have `wanted` in the bits of `mask`, a bit each. `wanted` has no other bits.
#[must_use]
#[inline(always)]
pub fn equal_under(numbers: &[u64; 32], mask: u64, wanted: u64) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        if width::has_avx2() {
            // SAFETY: there is AVX2, as was just asked.
            unsafe { equal_under_by_avx2(numbers, mask, wanted) }
        } else {
            // SAFETY: SSE2 belongs to x86-64.
            unsafe { equal_under_by_sse2(numbers, mask, wanted) }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    equal_under_plainly(numbers, mask, wanted)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn equal_under_plainly(numbers: &[u64; 32], mask: u64, wanted: u64) -> u32 {
    let all = numbers.iter().enumerate();
    all.fold(0, |equal, (k, number)| equal | u32::from(number & mask == wanted) << k)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
fn equal_under_by_sse2(numbers: &[u64; 32], mask: u64, wanted: u64) -> u32 {
    use core::arch::x86_64::{
        __m128i, _mm_and_ps, _mm_and_si128, _mm_castps_si128, _mm_castsi128_ps, _mm_cmpeq_epi32,
        _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32, _mm_set_epi64x, _mm_set1_epi64x,
        _mm_shuffle_ps,
    };
    let mask = _mm_set1_epi64x(mask.cast_signed());
    let wanted = _mm_set1_epi64x(wanted.cast_signed());
    // Both halves of two numbers, each by itself.
    let halves = |two: [u64; 2]| {
        let [a, b] = two.map(u64::cast_signed);
        let found = _mm_and_si128(_mm_set_epi64x(b, a), mask);
        _mm_castsi128_ps(_mm_cmpeq_epi32(found, wanted))
    };
    let four = |four: &[u64; 4]| -> __m128i {
        let [a, b, c, d] = *four;
        let (first, second) = (halves([a, b]), halves([c, d]));
        let low = _mm_shuffle_ps::<0b10_00_10_00>(first, second);
        let high = _mm_shuffle_ps::<0b11_01_11_01>(first, second);
        _mm_castps_si128(_mm_and_ps(low, high))
    };
    let sixteen = |[a, b, c, d]: [&[u64; 4]; 4]| -> u32 {
        let low = _mm_packs_epi32(four(a), four(b));
        let high = _mm_packs_epi32(four(c), four(d));
        _mm_movemask_epi8(_mm_packs_epi16(low, high)).cast_unsigned()
    };
    let (fours, _) = numbers.as_chunks::<4>();
    let [a, b, c, d, e, f, g, h] = fours else { return 0 };
    sixteen([a, b, c, d]) | sixteen([e, f, g, h]) << 16
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn equal_under_by_avx2(numbers: &[u64; 32], mask: u64, wanted: u64) -> u32 {
    use core::arch::x86_64::{
        _mm256_and_si256, _mm256_castsi256_pd, _mm256_cmpeq_epi64, _mm256_movemask_pd,
        _mm256_set_epi64x, _mm256_set1_epi64x,
    };
    let mask = _mm256_set1_epi64x(mask.cast_signed());
    let wanted = _mm256_set1_epi64x(wanted.cast_signed());
    let four = |four: &[u64; 4]| -> u32 {
        let [a, b, c, d] = four.map(u64::cast_signed);
        let found = _mm256_and_si256(_mm256_set_epi64x(d, c, b, a), mask);
        let equal = _mm256_cmpeq_epi64(found, wanted);
        _mm256_movemask_pd(_mm256_castsi256_pd(equal)).cast_unsigned()
    };
    let (fours, _) = numbers.as_chunks::<4>();
    fours.iter().rev().fold(0, |bits, numbers| bits << 4 | four(numbers))
}

/// What the processor has.
#[cfg(target_arch = "x86_64")]
mod width {
    use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
    use core::sync::atomic::{AtomicU8, Ordering};

    const UNKNOWN: u8 = 0;
    const SSE2: u8 = 1;
    const AVX2: u8 = 2;

    static WIDTH: AtomicU8 = AtomicU8::new(UNKNOWN);

    /// Whether AVX2 may be used. All processors of a machine are alike.
    #[inline(always)]
    pub(super) fn has_avx2() -> bool {
        match WIDTH.load(Ordering::Relaxed) {
            UNKNOWN => find_out(),
            width => width == AVX2,
        }
    }

    #[cold]
    fn find_out() -> bool {
        const LEAF1_ECX_XSAVE_AND_OSXSAVE: u32 = 0b11 << 26;
        const LEAF7_EBX_AVX2: u32 = 1 << 5;
        const STATE_SSE_AND_AVX: u64 = 0b110;
        let is_enabled = || {
            let both = __cpuid(1).ecx & LEAF1_ECX_XSAVE_AND_OSXSAVE;
            // SAFETY: there is XSAVE, and it is enabled.
            both == LEAF1_ECX_XSAVE_AND_OSXSAVE && unsafe { enabled_state() } == STATE_SSE_AND_AVX
        };
        #[target_feature(enable = "xsave")]
        fn enabled_state() -> u64 {
            // SAFETY: the first register of extended control is always there.
            unsafe { _xgetbv(0) & STATE_SSE_AND_AVX }
        }
        let has =
            __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & LEAF7_EBX_AVX2 != 0 && is_enabled();
        WIDTH.store(if has { AVX2 } else { SSE2 }, Ordering::Relaxed);
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_plain_code_finds() {
        let mut numbers = [0; 32];
        let mut random = 1_u32;
        for _ in 0..1_000 {
            for number in &mut numbers {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *number =
                    [0, 1, 0x8000_0000, 0xffff_0000, u32::MAX, random][(random >> 24) as usize % 6];
            }
            for wanted in [0, 1, 0x8000_0000, 0xffff_0000, u32::MAX, numbers[7], 0x0001_0000] {
                assert_eq!(equal_to(&numbers, wanted), equal_plainly(&numbers, wanted));
            }
        }
    }

    #[test]
    fn finds_under_a_mask_what_plain_code_finds() {
        let mut numbers = [0; 32];
        let mut random = 1_u64;
        let mut next = || {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            random
        };
        for _ in 0..1_000 {
            let some = [0, 1, 1 << 32, 1 << 31, 1 << 63, u64::MAX, next()];
            numbers = numbers.map(|_| some[(next() >> 56) as usize % 7]);
            for mask in [u64::MAX, 0xffff_ffff, 0xffff_ffff << 32, 1 << 63, 0, next()] {
                for wanted in some.map(|wanted| wanted & mask) {
                    let plainly = equal_under_plainly(&numbers, mask, wanted);
                    assert_eq!(equal_under(&numbers, mask, wanted), plainly);
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: SSE2 belongs to x86-64.
                    let by_sse2 = unsafe { equal_under_by_sse2(&numbers, mask, wanted) };
                    #[cfg(target_arch = "x86_64")]
                    assert_eq!(by_sse2, plainly);
                }
            }
        }
    }
}

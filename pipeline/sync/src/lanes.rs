//! Comparing many small numbers with one at once.
//!
//! Compilers make poor code of "which of these are equal to that, a bit each"; the processor has
//! instructions for just this. What every x86-64 has (SSE2) is used there, plain code elsewhere; a
//! test compares the two.

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
}

//! Big-endian reads and writes that cannot panic: out of range reads as 0, writes nothing.

/// The `N` bytes at `at`, or zeros when they are not all there.
#[inline]
pub(crate) fn array<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    data.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

#[inline]
pub(crate) fn u8_at(data: &[u8], at: usize) -> u8 {
    data.get(at).copied().unwrap_or(0)
}

#[inline]
pub(crate) fn u16_at(data: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(data, at))
}

#[inline]
pub(crate) fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(data, at))
}

#[inline]
pub(crate) fn u128_at(data: &[u8], at: usize) -> u128 {
    u128::from_be_bytes(array(data, at))
}

/// Writes `value` at `at`; `false` when it does not fit.
#[inline]
pub(crate) fn put<const N: usize>(data: &mut [u8], at: usize, value: [u8; N]) -> bool {
    match data.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        Some(room) => {
            *room = value;
            true
        }
        None => false,
    }
}

//! A value and which of its bits to write.

/// Things made of bits.
pub trait Bits: Copy {
    /// All bits set.
    const ONES: Self;
    /// `value` where `mask` is set, `old` elsewhere.
    fn merge(old: Self, value: Self, mask: Self) -> Self;
}

macro_rules! bits {
    ($($int:ty),*) => {$(
        impl Bits for $int {
            const ONES: Self = <$int>::MAX;

            #[inline]
            fn merge(old: Self, value: Self, mask: Self) -> Self {
                old & !mask | value & mask
            }
        }
    )*};
}
bits!(u8, u16, u32, u128);

impl Bits for [u8; 6] {
    const ONES: Self = [0xff; 6];

    #[inline]
    fn merge(old: Self, value: Self, mask: Self) -> Self {
        // As two numbers, which are a load each: byte by byte takes much longer.
        let split = |[a, b, c, d, e, f]: [u8; 6]| {
            (u32::from_ne_bytes([a, b, c, d]), u16::from_ne_bytes([e, f]))
        };
        let (old, value, mask) = (split(old), split(value), split(mask));
        let [a, b, c, d] = u32::merge(old.0, value.0, mask.0).to_ne_bytes();
        let [e, f] = u16::merge(old.1, value.1, mask.1).to_ne_bytes();
        [a, b, c, d, e, f]
    }
}

/// What to write into a field: the bits of `value` where `mask` has ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Masked<T> {
    /// The new bits.
    pub value: T,
    /// Which bits to write.
    pub mask: T,
}

impl<T: Bits> Masked<T> {
    /// The whole field.
    #[must_use]
    pub fn exact(value: T) -> Self {
        Self { value, mask: T::ONES }
    }

    /// `old` after the write.
    #[must_use]
    #[inline]
    pub fn over(&self, old: T) -> T {
        T::merge(old, self.value, self.mask)
    }
}

impl<T: Default + PartialEq> Masked<T> {
    /// Whether no bit is to be written.
    #[must_use]
    #[inline]
    pub fn is_none(&self) -> bool {
        self.mask == T::default()
    }
}

impl<T: Bits> From<T> for Masked<T> {
    fn from(value: T) -> Self {
        Self::exact(value)
    }
}

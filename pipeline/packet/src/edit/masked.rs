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
        let mut merged = old;
        for ((bits, value), mask) in merged.iter_mut().zip(value).zip(mask) {
            *bits = u8::merge(*bits, value, mask);
        }
        merged
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

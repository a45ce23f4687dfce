//! Part of a field, as Nicira's actions name it: `NXM_NX_REG0[0..15]`.

use flow::Field;

/// `n_bits` bits of `field`, from bit `offset` up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subfield {
    /// Of which field.
    pub field: Field,
    /// Lowest bit.
    pub offset: u8,
    /// Width, at least 1.
    pub n_bits: u8,
}

/// Bits of `NXM_OF_IN_PORT`.
const SHORT_PORT_BITS: u8 = 16;

impl Subfield {
    /// Nicira's ingress port, all of it.
    pub const SHORT_IN_PORT: Subfield =
        Subfield { field: Field::InPort, offset: 0, n_bits: SHORT_PORT_BITS };

    /// The whole field.
    #[must_use]
    pub fn whole(field: Field) -> Subfield {
        Subfield { field, offset: 0, n_bits: field.spec().n_bits }
    }

    /// A part, if it lies within the field.
    #[must_use]
    pub fn new(field: Field, offset: u8, n_bits: u8) -> Option<Subfield> {
        let fits =
            n_bits > 0 && u16::from(offset) + u16::from(n_bits) <= u16::from(field.spec().n_bits);
        fits.then_some(Subfield { field, offset, n_bits })
    }

    /// Whether it is all of its field.
    #[must_use]
    pub fn is_whole(self) -> bool {
        let whole = if self.is_short_port() { SHORT_PORT_BITS } else { self.field.spec().n_bits };
        self.offset == 0 && self.n_bits == whole
    }

    /// Whether it is part of Nicira's 16-bit ingress port, not of the 32-bit one of OpenFlow 1.1 and
    /// later. Both are one field, whose lower half says what the short one does.
    #[must_use]
    pub fn is_short_port(self) -> bool {
        self.field == Field::InPort
            && u16::from(self.offset) + u16::from(self.n_bits) <= u16::from(SHORT_PORT_BITS)
    }

    /// The largest value that fits.
    #[must_use]
    pub fn max_value(self) -> u128 {
        if self.n_bits >= 128 { u128::MAX } else { (1 << self.n_bits) - 1 }
    }

    /// The bits of the field that it covers.
    #[must_use]
    pub fn mask(self) -> u128 {
        self.max_value() << self.offset
    }

    /// The subfield's value in a value of the whole field.
    #[must_use]
    pub fn get(self, whole: u128) -> u128 {
        (whole >> self.offset) & self.max_value()
    }

    /// A value of the whole field with the subfield replaced.
    #[must_use]
    pub fn put(self, whole: u128, part: u128) -> u128 {
        (whole & !self.mask()) | ((part & self.max_value()) << self.offset)
    }
}

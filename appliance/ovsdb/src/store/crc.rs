//! CRC-32 as in IEEE 802.3, bytewise by a table made at compile time.

/// A checksum under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crc32(u32);

impl Crc32 {
    /// Of nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(!0)
    }

    /// Of these bytes too.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        let step = |sum: u32, &byte: &u8| {
            let [low, ..] = sum.to_le_bytes();
            sum >> 8 ^ TABLE[usize::from(low ^ byte)]
        };
        Self(bytes.iter().fold(self.0, step))
    }

    /// The checksum of all that came.
    #[must_use]
    pub const fn value(self) -> u32 {
        !self.0
    }
}

impl Default for Crc32 {
    fn default() -> Self {
        Self::new()
    }
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let (mut k, mut byte) = (0, 0);
    while k < 256 {
        let mut value: u32 = byte;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[k] = value;
        k += 1;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::Crc32;

    #[test]
    fn the_check_value_of_the_standard() {
        assert_eq!(Crc32::new().with(b"123456789").value(), 0xcbf4_3926);
        assert_eq!(Crc32::new().with(b"1234").with(b"56789").value(), 0xcbf4_3926);
    }
}

//! UUIDs: the names of rows, transactions and servers.

use core::fmt;

/// A UUID, in the order of its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub u128);

/// Lengths of the five groups of digits of a UUID's text (RFC 4122 §3).
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

impl Uuid {
    /// The UUID of all zeros: "none", and the default of a column of type uuid.
    pub const ZERO: Self = Self(0);

    /// Reads the 36 characters of RFC 4122 §3, and nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut value = 0u128;
        let mut groups = text.split('-');
        for length in GROUPS {
            let group = groups.next()?;
            if group.len() != length || !group.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            let bits = u64::from_str_radix(group, 16).ok()?;
            value = value << (4 * length) | u128::from(bits);
        }
        groups.next().is_none().then_some(Self(value))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(v) = self;
        let [a, b, c, d] = [v >> 96, v >> 80 & 0xffff, v >> 64 & 0xffff, v >> 48 & 0xffff];
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{:012x}", v & 0xffff_ffff_ffff)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes fresh UUIDs (version 4) out of a seed that the caller took from a good source.
///
/// The generator is xoshiro256++: names need to differ, not to be secret.
#[derive(Clone, Debug)]
pub struct Uuids {
    state: [u64; 4],
}

impl Uuids {
    /// A generator; equal seeds give equal sequences.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // SplitMix64 spreads any seed, zero too, over the state.
        let mut x = seed;
        let state = core::array::from_fn(|_| {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        Self { state }
    }

    /// Stirs in more randomness.
    pub fn stir(&mut self, random: u64) {
        self.state[0] ^= random;
        self.next_u64();
    }

    fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (mut c, mut d) = (c ^ a, d ^ b);
        let (b_new, a_new) = (b ^ c, a ^ d);
        c ^= b << 17;
        d = d.rotate_left(45);
        self.state = [a_new, b_new, c, d];
        result
    }

    /// A UUID that was never given out before.
    pub fn fresh(&mut self) -> Uuid {
        let bits = u128::from(self.next_u64()) << 64 | u128::from(self.next_u64());
        // RFC 4122 §4.4: version 4, variant 10.
        let bits = bits & !(0xf << 76) | 0x4 << 76;
        Uuid(bits & !(0x3 << 62) | 0x2 << 62)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn text_round_trips() {
        let text = "550e8400-e29b-41d4-a716-446655440000";
        assert_eq!(Uuid::parse(text).map(|u| u.to_string()).as_deref(), Some(text));
        for bad in [
            "",
            "550e8400",
            "550e8400-e29b-41d4-a716-44665544000",
            "550e8400-e29b-41d4-a716-4466554400000",
            "550e8400-e29b-41d4-a716-446655440000-",
            "+50e8400-e29b-41d4-a716-446655440000",
            "550e8400e29b-41d4-a716-446655440000",
        ] {
            assert_eq!(Uuid::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn fresh_ones_differ_and_are_of_version_4() {
        let mut uuids = Uuids::new(0);
        let (a, b) = (uuids.fresh(), uuids.fresh());
        assert_ne!(a, b);
        assert_eq!(a.to_string().as_bytes()[14], b'4');
        assert!(matches!(b.to_string().as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}

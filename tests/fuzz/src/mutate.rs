//! Changes to inputs, by a seeded generator: the same seed gives the same inputs.

/// A generator of random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Starts at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `n`, 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        // The remainder is below `n`, which is a usize.
        usize::try_from(self.number() % (n.max(1) as u64)).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.number().to_le_bytes()[0]
    }
}

/// Longer inputs are not made.
const MAX_LEN: usize = 4096;

/// Values at which lengths and counts go wrong.
const EDGES: [u16; 14] = [0, 1, 2, 3, 7, 8, 20, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff];

/// Changes `bytes` once or a few times; `other` is another input to take parts of.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], words: &[&[u8]], rng: &mut Rng) {
    let most = 1 << rng.below(4);
    let rounds = 1 + rng.below(most);
    for _ in 0..rounds {
        once(bytes, other, words, rng);
    }
    bytes.truncate(MAX_LEN);
}

fn once(bytes: &mut Vec<u8>, other: &[u8], words: &[&[u8]], rng: &mut Rng) {
    let len = bytes.len();
    let at = rng.below(len);
    match rng.below(12) {
        0 | 1 => {
            let bit = 1 << rng.below(8);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bit;
            }
        }
        2 => {
            let value = rng.byte();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        3 => {
            let value = EDGES[rng.below(EDGES.len())];
            put(bytes, at, &value.to_be_bytes());
        }
        4 => {
            let step = 1 + u8::try_from(rng.below(8)).unwrap_or(0);
            let is_up = rng.below(2) == 0;
            if let Some(byte) = bytes.get_mut(at) {
                *byte = if is_up { byte.wrapping_add(step) } else { byte.wrapping_sub(step) };
            }
        }
        5 => bytes.truncate(at),
        6 => {
            let end = (at + 1 + rng.below(16)).min(len);
            bytes.drain(at..end.max(at));
        }
        7 => {
            let fresh: Vec<u8> = (0..1 + rng.below(16)).map(|_| rng.byte()).collect();
            bytes.splice(at..at, fresh);
        }
        8 => {
            let end = (at + 1 + rng.below(32)).min(len);
            let part = bytes[at..end].to_vec();
            let to = rng.below(len + 1);
            bytes.splice(to..to, part);
        }
        9 => {
            let from = rng.below(other.len());
            let end = (from + 1 + rng.below(64)).min(other.len());
            let part = other[from..end].to_vec();
            if rng.below(2) == 0 {
                put(bytes, at, &part);
            } else {
                bytes.splice(at..at, part);
            }
        }
        10 => {
            bytes.truncate(at);
            bytes.extend_from_slice(&other[rng.below(other.len()).min(other.len())..]);
        }
        _ => {
            if let Some(word) = words.get(rng.below(words.len())) {
                if rng.below(2) == 0 {
                    put(bytes, at, word);
                } else {
                    bytes.splice(at..at, word.iter().copied());
                }
            }
        }
    }
}

/// Overwrites from `at` on, as far as there are bytes.
fn put(bytes: &mut [u8], at: usize, part: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(part) {
        *to = *from;
    }
}

//! Random rules and frames that meet each other.
//!
//! Everything comes from a seed, so a failure is repeated by its number. Values are drawn from the few
//! that a [`World`] has; a rule's match is taken from a frame of the same world, so that a good part of
//! the frames matches a good part of the rules.

mod frames;
mod groups;
mod rules;

pub use rules::RuleOptions;

use openflow::OfPort;

/// A small fast generator (`SplitMix64`), so that a seed means the same everywhere and always.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The same seed gives the same sequence.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which must not be zero.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next_u64() % n as u64) as usize
    }

    /// True in one of `n` cases.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `items`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// The values that frames and rules of one run have.
#[derive(Debug, Clone)]
pub struct World {
    /// The switch's ports; frames come in on them and rules send to them.
    pub ports: Vec<OfPort>,
    /// Addresses of stations; a multicast and the broadcast address are added where they may be.
    pub macs: Vec<[u8; 6]>,
    /// IPv4 addresses, some in a common prefix.
    pub ipv4: Vec<u32>,
    /// IPv6 addresses, some in a common prefix.
    pub ipv6: Vec<u128>,
    /// VLAN ids.
    pub vlans: Vec<u16>,
    /// Whether some frames have two tags.
    pub has_double_tags: bool,
    /// Transport ports.
    pub tp_ports: Vec<u16>,
    /// MPLS labels.
    pub labels: Vec<u32>,
}

impl World {
    /// A world with ports 1 to `n_ports`.
    #[must_use]
    pub fn new(n_ports: u32) -> Self {
        Self {
            ports: (1..=n_ports).map(OfPort).collect(),
            macs: (1..=4).map(|n| [0x02, 0, 0, 0, 0, n]).collect(),
            ipv4: vec![
                0x0a00_0001,
                0x0a00_0002,
                0x0a00_0105,
                0x0a80_0001,
                0xc0a8_0101,
                0xc0a8_01fe,
            ],
            ipv6: vec![
                0x2001_0db8 << 96 | 1,
                0x2001_0db8 << 96 | 2,
                0x2001_0db8_0001 << 80 | 1,
                0xfd00 << 112 | 7,
            ],
            vlans: vec![10, 20, 4094],
            has_double_tags: false,
            tp_ports: vec![53, 80, 443, 8080, 50000],
            labels: vec![16, 17, 1000],
        }
    }

    /// One of the ports.
    pub fn port(&self, rng: &mut Rng) -> OfPort {
        rng.pick(&self.ports)
    }
}

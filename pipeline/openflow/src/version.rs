//! OpenFlow versions.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A version of the protocol, ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Version {
    /// OpenFlow 1.0.
    V10 = 1,
    /// OpenFlow 1.1.
    V11 = 2,
    /// OpenFlow 1.2.
    V12 = 3,
    /// OpenFlow 1.3.
    V13 = 4,
    /// OpenFlow 1.4.
    V14 = 5,
    /// OpenFlow 1.5.
    V15 = 6,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Version; 6] =
        [Version::V10, Version::V11, Version::V12, Version::V13, Version::V14, Version::V15];

    /// The number in a message's header.
    #[must_use]
    pub const fn wire(self) -> u8 {
        self as u8
    }

    /// The version with this number in a message's header.
    #[must_use]
    pub fn from_wire(wire: u8) -> Option<Version> {
        Self::ALL.into_iter().find(|version| version.wire() == wire)
    }

    /// The bit of this version in a hello bitmap (1.3.5 §7.5.1).
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self.wire()
    }

    /// The version that Open vSwitch calls so: `OpenFlow10` to `OpenFlow15`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Version> {
        let minor: u8 = name.strip_prefix("OpenFlow1")?.parse().ok()?;
        Self::from_wire(minor.checked_add(1)?)
    }

    /// Versions as an error message names them.
    #[must_use]
    pub fn describe(bitmap: u32) -> String {
        let n_bits = bitmap.count_ones();
        let Some(highest) = bitmap.checked_ilog2() else { return String::from("no versions") };
        let below = (bitmap >> 1).wrapping_add(1);
        if n_bits == 1 {
            return format!("version {highest:#04x}");
        }
        if below.is_power_of_two() {
            return format!("version {highest:#04x} and earlier");
        }
        let bits = (0..u32::BITS).filter(|bit| bitmap & 1 << bit != 0);
        let numbers: Vec<String> = bits.map(|bit| format!("{bit:#04x}")).collect();
        format!("versions {}", numbers.join(", "))
    }

    /// The version that two peers use (1.3.5 §6.3.1): the highest in both bitmaps when the peer
    /// sent one, else the lower of the two highest, if we allow it. `None` is
    /// `OFPHFC_INCOMPATIBLE`.
    #[must_use]
    pub fn negotiate(ours: u32, peer_header: u8, peer_bitmap: Option<u32>) -> Option<Version> {
        match peer_bitmap {
            Some(theirs) => {
                Self::ALL.into_iter().rev().find(|version| version.bit() & ours & theirs != 0)
            }
            None => {
                let highest =
                    Self::ALL.into_iter().rev().find(|version| version.bit() & ours != 0)?;
                let agreed = highest.wire().min(peer_header);
                Self::from_wire(agreed).filter(|version| version.bit() & ours != 0)
            }
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenFlow1.{}", self.wire() - 1)
    }
}

//! OpenFlow errors: one kind for each reason, whatever numbers the versions give it.
//!
//! The same refusal has different numbers in different versions (a full table is (3, 0) in
//! OpenFlow 1.0 and (5, 1) from 1.1 on), and reasons that a version has no number for are sent as
//! an experimenter's error where Nicira or the ONF defined one. [`OfErrorKind`] names the reason,
//! [`OfErrorKind::code`] finds the numbers (OpenFlow 1.0.1 §5.4.4, 1.3.5 §7.5.4 with appendix).

mod table;

pub use table::OfErrorKind;

use alloc::vec::Vec;
use core::fmt;

use crate::Version;

/// Nicira's vendor number (also Open vSwitch's).
pub const NICIRA: u32 = 0x0000_2320;
/// The Open Networking Foundation's experimenter number.
pub const ONF: u32 = 0x4f4e_4600;

/// The type of every experimenter error from OpenFlow 1.2 on (1.3.5 §7.5.4).
pub(crate) const TYPE_EXPERIMENTER: u16 = 0xffff;
/// Type and code of Nicira's container for errors in OpenFlow 1.0 and 1.1.
pub(crate) const TYPE_NICIRA: u16 = 0xb0c2;
pub(crate) const CODE_NICIRA: u16 = 0;

/// What an error message says in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WireCode {
    /// 0 for a standard error, else the experimenter whose numbers follow.
    pub vendor: u32,
    /// `type` (0xffff in experimenter errors of OpenFlow 1.2 and later).
    pub kind: u16,
    /// `code` (`exp_type` in those).
    pub code: u16,
}

/// One version range's numbers for a reason: first and last version, vendor, type, code.
type Range = (u8, u8, u32, u16, u16);

impl OfErrorKind {
    /// The numbers of this reason in `version`. A reason that the version cannot say becomes
    /// Nicira's "unencodable error", as in Open vSwitch.
    #[must_use]
    pub fn code(self, version: Version) -> WireCode {
        self.find(version)
            .or_else(|| OfErrorKind::NxRequestUnencodableError.find(version))
            .unwrap_or(WireCode { vendor: 0, kind: 1, code: 1 })
    }

    /// Whether `version` has numbers for this reason.
    #[must_use]
    pub fn exists_in(self, version: Version) -> bool {
        self.find(version).is_some()
    }

    /// The reason with these numbers in `version`; the first one where two share them.
    #[must_use]
    pub fn from_code(version: Version, code: WireCode) -> Option<OfErrorKind> {
        Self::ALL.iter().copied().find(|kind| kind.find(version) == Some(code))
    }

    fn find(self, version: Version) -> Option<WireCode> {
        let wire = version.wire();
        let found = self.ranges().iter().find(|range| (range.0..=range.1).contains(&wire));
        found.map(|&(_, _, vendor, kind, code)| WireCode { vendor, kind, code })
    }
}

impl fmt::Display for OfErrorKind {
    /// The name in the specification, without the `OFPERR_` of the header files.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for OfErrorKind {}

/// An error message: the reason and the start of the message that caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfError {
    /// Why.
    pub kind: OfErrorKind,
    /// The refused message, up to [`ERROR_DATA_BYTES`] of it, or text for a failed hello.
    pub data: Vec<u8>,
}

/// The most bytes of a refused message that an error carries back. The specification asks for 64
/// at least (1.3.5 §7.5.4). This is room for all that people write: `ovs-ofctl` prints the request
/// that an error quotes, but only when it has the whole of it.
pub const ERROR_DATA_BYTES: usize = 2048;

impl OfError {
    /// The error that refuses `message` (the whole of it, from its header on).
    #[must_use]
    pub fn refusing(kind: OfErrorKind, message: &[u8]) -> OfError {
        let data = message.get(..ERROR_DATA_BYTES).unwrap_or(message);
        OfError { kind, data: data.to_vec() }
    }
}

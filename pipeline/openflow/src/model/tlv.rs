//! The map of tunnel options (Nicira): which option of a tunnel is which of the fields
//! `tun_metadata0` and on.

use alloc::vec::Vec;

/// One option and its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlvMapping {
    /// Class of the option (RFC 8926 §3.5).
    pub class: u16,
    /// Type of the option.
    pub kind: u8,
    /// Bytes of its value.
    pub len: u8,
    /// Number of the field.
    pub index: u16,
}

/// What is to be done to the map (`NXTTMC_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlvTableCommand {
    /// Add these.
    Add,
    /// Take these away.
    Delete,
    /// Take all away.
    Clear,
}

/// A change of the map (`NXT_TLV_TABLE_MOD`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlvTableMod {
    /// What is to be done.
    pub command: TlvTableCommand,
    /// With these.
    pub mappings: Vec<TlvMapping>,
}

/// The map and its limits (`NXT_TLV_TABLE_REPLY`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlvTableReply {
    /// Bytes of all options together, at most.
    pub max_option_space: u32,
    /// Fields, at most.
    pub max_fields: u16,
    /// The options that are mapped.
    pub mappings: Vec<TlvMapping>,
}

//! Table features (1.3.5 §7.3.5.5).

use alloc::string::String;
use alloc::vec::Vec;

/// What a table can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFeatures {
    /// Which table.
    pub table_id: u8,
    /// Its name: at most 31 bytes go out.
    pub name: String,
    /// Metadata bits that it can match.
    pub metadata_match: u64,
    /// Metadata bits that it can write.
    pub metadata_write: u64,
    /// What the command of a change is and which features it has (1.5).
    pub command: u8,
    /// Bits of features (1.5).
    pub features: u32,
    /// Deprecated bits, abilities from 1.4 on.
    pub config: u32,
    /// How many rules it can hold.
    pub max_entries: u32,
    /// What else.
    pub properties: Vec<TableProperty>,
}

/// Whether a property is about ordinary rules or about the table-miss rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// Ordinary rules.
    Regular,
    /// The rule that matches all at priority 0.
    Miss,
}

/// A property of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableProperty {
    /// Instruction numbers.
    Instructions(RuleKind, Vec<u16>),
    /// Tables that goto can name.
    NextTables(RuleKind, Vec<u8>),
    /// Action numbers in write-actions.
    WriteActions(RuleKind, Vec<u16>),
    /// Action numbers in apply-actions.
    ApplyActions(RuleKind, Vec<u16>),
    /// Headers of the fields that can be matched.
    Match(Vec<u32>),
    /// Headers of the fields that can be left out.
    Wildcards(Vec<u32>),
    /// Headers of the fields that can be set in write-actions.
    WriteSetField(RuleKind, Vec<u32>),
    /// Headers of the fields that can be set in apply-actions.
    ApplySetField(RuleKind, Vec<u32>),
    /// Tables that this one is a copy of (1.4).
    SyncFrom(Vec<u8>),
    /// Headers of the fields that write-actions can copy (1.5).
    WriteCopyField(RuleKind, Vec<u32>),
    /// Headers of the fields that apply-actions can copy (1.5).
    ApplyCopyField(RuleKind, Vec<u32>),
    /// Headers and values of the packet types that it takes (1.5), as they are.
    PacketTypes(Vec<u8>),
}

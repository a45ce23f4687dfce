//! Groups.

use alloc::vec::Vec;

use bitflags::bitflags;
use flow::Field;

use crate::{Action, GROUP_ANY, OfPort};

/// What a group-mod does (1.3.5 §7.3.4.2, 1.5.1 §7.3.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum GroupModCommand {
    /// Adds a group.
    Add = 0,
    /// Changes one.
    Modify = 1,
    /// Deletes one, or all with `GROUP_ALL`.
    Delete = 2,
    /// Adds buckets to one, beside the bucket that the command names (1.5, and Nicira's in 1.0).
    InsertBucket = 3,
    /// Takes the bucket that the command names from one, or all (1.5, and Nicira's in 1.0).
    RemoveBucket = 5,
    /// Changes one, or adds it if there is none (Open vSwitch).
    AddOrModify = 0x8000,
}

impl GroupModCommand {
    /// Every command.
    pub const ALL: [GroupModCommand; 6] = [
        GroupModCommand::Add,
        GroupModCommand::Modify,
        GroupModCommand::Delete,
        GroupModCommand::InsertBucket,
        GroupModCommand::RemoveBucket,
        GroupModCommand::AddOrModify,
    ];

    /// Whether the message describes the whole of a group.
    #[must_use]
    pub const fn sets_group(self) -> bool {
        matches!(
            self,
            GroupModCommand::Add | GroupModCommand::Modify | GroupModCommand::AddOrModify
        )
    }
}

/// The highest number of a bucket.
pub const BUCKET_MAX: u32 = 0xffff_ff00;
/// The first bucket of a group, whichever it is.
pub const BUCKET_FIRST: u32 = 0xffff_fffd;
/// The last bucket of a group, whichever it is.
pub const BUCKET_LAST: u32 = 0xffff_fffe;
/// All buckets of a group.
pub const BUCKET_ALL: u32 = 0xffff_ffff;

/// How a group spreads packets over its buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GroupType {
    /// To all.
    All = 0,
    /// To one, chosen.
    Select = 1,
    /// To the only one.
    Indirect = 2,
    /// To the first that is live.
    FastFailover = 3,
}

/// One way that a group can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its number, unique in the group. Where the version does not say (1.1 to 1.4) it is the place
    /// in the list.
    pub bucket_id: u32,
    /// Its share, in select groups.
    pub weight: u16,
    /// It is live while this port is; [`OfPort::ANY`] for none.
    pub watch_port: OfPort,
    /// It is live while this group is; `GROUP_ANY` for none.
    pub watch_group: u32,
    /// What it does: an action set (1.3.5 §5.10).
    pub actions: Vec<Action>,
}

impl Bucket {
    /// A bucket that watches nothing, of weight 0.
    #[must_use]
    pub fn new(bucket_id: u32, actions: Vec<Action>) -> Bucket {
        Bucket { bucket_id, weight: 0, watch_port: OfPort::ANY, watch_group: GROUP_ANY, actions }
    }

    /// Whether it is live only while a port or a group is.
    #[must_use]
    pub fn has_liveness(&self) -> bool {
        self.watch_port != OfPort::ANY || self.watch_group != GROUP_ANY
    }
}

/// How a select group chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelectionMethod {
    /// As the switch likes.
    #[default]
    Default,
    /// By a hash of chosen fields.
    Hash,
    /// By a hash that the datapath computes.
    DpHash,
}

impl SelectionMethod {
    /// The name in the message; empty for the default.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            SelectionMethod::Default => "",
            SelectionMethod::Hash => "hash",
            SelectionMethod::DpHash => "dp_hash",
        }
    }
}

/// How a select group chooses, with what the method needs (Netronome's group property).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// By what.
    pub method: SelectionMethod,
    /// Seed of [`SelectionMethod::Hash`]; of [`SelectionMethod::DpHash`] the algorithm in the upper
    /// and the seed in the lower half.
    pub param: u64,
    /// The fields that [`SelectionMethod::Hash`] looks at, with the bits of them, ordered; none is
    /// the default.
    pub fields: Vec<(Field, u128)>,
}

/// Change of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMod {
    /// What to do.
    pub command: GroupModCommand,
    /// How the group works. No meaning for buckets that come and go.
    pub group_type: GroupType,
    /// Its number.
    pub group_id: u32,
    /// Beside which bucket to insert, or which to remove: a number, [`BUCKET_FIRST`],
    /// [`BUCKET_LAST`] or [`BUCKET_ALL`], which it is in the other commands.
    pub command_bucket_id: u32,
    /// Its buckets.
    pub buckets: Vec<Bucket>,
    /// How it chooses (1.5, and Nicira's in 1.0).
    pub selection: Selection,
}

impl Default for GroupMod {
    fn default() -> Self {
        GroupMod {
            command: GroupModCommand::Add,
            group_type: GroupType::All,
            group_id: 0,
            command_bucket_id: BUCKET_ALL,
            buckets: Vec::new(),
            selection: Selection::default(),
        }
    }
}

/// Statistics of a group (1.3.5 §7.3.5.8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupStats {
    /// Its number.
    pub group_id: u32,
    /// How many rules and groups lead to it.
    pub ref_count: u32,
    /// Packets through it.
    pub packet_count: u64,
    /// Their bytes.
    pub byte_count: u64,
    /// Its age, whole seconds.
    pub duration_sec: u32,
    /// Its age, nanoseconds beyond.
    pub duration_nsec: u32,
    /// Packets and bytes of each bucket.
    pub buckets: Vec<(u64, u64)>,
}

/// Description of a group (1.3.5 §7.3.5.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDesc {
    /// How it works.
    pub group_type: GroupType,
    /// Its number.
    pub group_id: u32,
    /// Its buckets.
    pub buckets: Vec<Bucket>,
    /// How it chooses (told in 1.5, and in 1.0 by Nicira's message).
    pub selection: Selection,
}

bitflags! {
    /// Abilities of groups (1.3.5 §7.3.5.10).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct GroupCapabilities: u32 {
        /// Bucket weights.
        const SELECT_WEIGHT = 1 << 0;
        /// Liveness of buckets.
        const SELECT_LIVENESS = 1 << 1;
        /// Groups in buckets.
        const CHAINING = 1 << 2;
        /// Checks for loops.
        const CHAINING_CHECKS = 1 << 3;
    }
}

/// Abilities of the group table (1.3.5 §7.3.5.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupFeatures {
    /// One bit for each [`GroupType`].
    pub types: u32,
    /// What they can.
    pub capabilities: GroupCapabilities,
    /// Limits by type.
    pub max_groups: [u32; 4],
    /// Known actions by type, one bit for each standard action number.
    pub actions: [u32; 4],
}

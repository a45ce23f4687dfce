//! Groups.

use alloc::vec::Vec;

use bitflags::bitflags;

use crate::{Action, OfPort};

/// What a group-mod does (1.3.5 §7.3.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum GroupModCommand {
    /// Adds a group.
    Add = 0,
    /// Changes one.
    Modify = 1,
    /// Deletes one, or all with `GROUP_ALL`.
    Delete = 2,
}

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
    /// Its share, in select groups.
    pub weight: u16,
    /// It is live while this port is; [`OfPort::ANY`] for none.
    pub watch_port: OfPort,
    /// It is live while this group is; `GROUP_ANY` for none.
    pub watch_group: u32,
    /// What it does.
    pub actions: Vec<Action>,
}

/// Change of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMod {
    /// What to do.
    pub command: GroupModCommand,
    /// How the group works.
    pub group_type: GroupType,
    /// Its number.
    pub group_id: u32,
    /// Its buckets.
    pub buckets: Vec<Bucket>,
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

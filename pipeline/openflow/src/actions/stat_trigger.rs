//! Statistics triggers (1.5.1 §5.5 and §7.2.5): a rule tells of itself when its statistics cross thresholds.

use bitflags::bitflags;

bitflags! {
    /// Which crossings count.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct StatTriggerFlags: u32 {
        /// Multiples of a threshold are thresholds too.
        const PERIODIC = 1 << 0;
        /// The threshold that is crossed first is the only one.
        const ONLY_FIRST = 1 << 1;
    }
}

/// The instruction: thresholds, each of which there may be one. Those of time are seconds and
/// nanoseconds, as the wire has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StatTrigger {
    /// Which crossings count.
    pub flags: StatTriggerFlags,
    /// Age of the rule.
    pub duration: Option<(u32, u32)>,
    /// Time without packets.
    pub idle_time: Option<(u32, u32)>,
    /// Packets that it matched.
    pub packet_count: Option<u64>,
    /// Their bytes.
    pub byte_count: Option<u64>,
}

//! Statistics and descriptions (1.0.1 §5.3.5 "stats", 1.3.5 §7.3.5 "multipart").

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use flow::{CompactMatch, Match};

use super::{
    FlowFormat, FlowModFlags, FlowMonitorRequest, FlowUpdate, GroupDesc, GroupFeatures, GroupStats,
    MeterConfig, MeterFeatures, MeterStats, PortDesc, QueueConfig, TableAbilities, TableFeatures,
    TableMod,
};
use crate::{Instructions, OfPort};

/// A question for statistics or a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultipartRequest {
    /// Who made the switch.
    Desc,
    /// Rules with their statistics.
    Flow(Box<FlowStatsRequest>),
    /// Their sum.
    Aggregate(Box<FlowStatsRequest>),
    /// Table statistics.
    Table,
    /// Port statistics; [`OfPort::ANY`] for all.
    Port(OfPort),
    /// Queue statistics; [`OfPort::ANY`] and [`QUEUE_ALL`] for all.
    Queue {
        /// Of which port.
        port: OfPort,
        /// Which queue.
        queue_id: u32,
    },
    /// Group statistics; `GROUP_ALL` for all.
    Group(u32),
    /// Group descriptions; `GROUP_ALL` for all, which 1.1 to 1.4 always mean.
    GroupDesc(u32),
    /// Abilities of groups.
    GroupFeatures,
    /// Meter statistics; `METER_ALL` for all.
    Meter(u32),
    /// Meter configurations; `METER_ALL` for all.
    MeterConfig(u32),
    /// Abilities of meters.
    MeterFeatures,
    /// Table features: a question when empty, else a change.
    TableFeatures {
        /// How tables should be.
        tables: Vec<TableFeatures>,
        /// Whether this is a part of a request that goes on.
        more: bool,
    },
    /// Port descriptions; [`OfPort::ANY`] for all, others in 1.5 only.
    PortDesc(OfPort),
    /// Configurations of tables (1.4+).
    TableDesc,
    /// Queue descriptions (1.4+); [`OfPort::ANY`] and [`QUEUE_ALL`] for all.
    QueueDesc {
        /// Of which port.
        port: OfPort,
        /// Which queue.
        queue_id: u32,
    },
    /// Watch rules (1.4+; the ONF's or Nicira's before).
    FlowMonitor(Vec<FlowMonitorRequest>),
    /// Rules with their counters and nothing else (1.5).
    FlowCounters(Box<FlowStatsRequest>),
    /// What bundles can do; wanted features as bits (1.5).
    BundleFeatures(u32),
}

/// `OFPQ_ALL`.
pub const QUEUE_ALL: u32 = 0xffff_ffff;

/// Which rules (1.3.5 §7.3.5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowStatsRequest {
    /// In this table; 0xff is all.
    pub table_id: u8,
    /// Only those that send there; [`OfPort::ANY`] for no such filter.
    pub out_port: OfPort,
    /// Only those that use it; `GROUP_ANY` for no such filter.
    pub out_group: u32,
    /// With `cookie_mask`: only those whose cookie agrees.
    pub cookie: u64,
    /// 0 for no such filter.
    pub cookie_mask: u64,
    /// Only those that are at least as specific as this.
    pub match_: Match,
    /// Whether 1.0's or Nicira's message asked; the reply is like it.
    pub format: FlowFormat,
}

/// A reply or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultipartReply {
    /// Whether more parts follow.
    pub more: bool,
    /// What it says.
    pub body: MultipartBody,
}

/// What a reply says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultipartBody {
    /// Who made the switch.
    Desc(SwitchDesc),
    /// Rules with their statistics.
    Flow(FlowFormat, Vec<FlowStats>),
    /// Their sum.
    Aggregate(FlowFormat, AggregateStats),
    /// Table statistics.
    Table(Vec<TableStats>),
    /// Port statistics.
    Port(Vec<PortStats>),
    /// Queue statistics.
    Queue(Vec<QueueStats>),
    /// Group statistics.
    Group(Vec<GroupStats>),
    /// Group descriptions.
    GroupDesc(Vec<GroupDesc>),
    /// Abilities of groups.
    GroupFeatures(GroupFeatures),
    /// Meter statistics.
    Meter(Vec<MeterStats>),
    /// Meter configurations.
    MeterConfig(Vec<MeterConfig>),
    /// Abilities of meters.
    MeterFeatures(MeterFeatures),
    /// Table features.
    TableFeatures(Vec<TableFeatures>),
    /// Port descriptions.
    PortDesc(Vec<PortDesc>),
    /// Configurations of tables.
    TableDesc(Vec<TableMod>),
    /// Queue descriptions.
    QueueDesc(Vec<QueueDesc>),
    /// Changes of rules.
    FlowMonitor(Vec<FlowUpdate>),
    /// Rules with their counters; only table, priority, match, duration, idle age, counts and reason count.
    FlowCounters(Vec<FlowStats>),
    /// What bundles can do, as bits (1.5.1 §7.3.5.21, `OFPBF_…`).
    BundleFeatures(u16),
}

/// Who made the switch (1.3.5 §7.3.5.1). Long texts are cut when sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchDesc {
    /// Manufacturer.
    pub manufacturer: String,
    /// Hardware.
    pub hardware: String,
    /// Software.
    pub software: String,
    /// Serial number.
    pub serial: String,
    /// A name that a person gave.
    pub datapath: String,
}

/// Why a rule's counters are told (1.5.1 §7.3.5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum FlowStatsReason {
    /// Somebody asked.
    #[default]
    Request = 0,
    /// They crossed a threshold of the rule's statistics trigger.
    Trigger = 1,
}

/// A rule and its statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowStats {
    /// Its table.
    pub table_id: u8,
    /// Its age, whole seconds.
    pub duration_sec: u32,
    /// Its age, nanoseconds beyond.
    pub duration_nsec: u32,
    /// Its priority.
    pub priority: u16,
    /// Its idle timeout in seconds.
    pub idle_timeout: u16,
    /// Its hard timeout in seconds.
    pub hard_timeout: u16,
    /// Seconds since it was used last (Nicira's format and 1.5; at most 65534).
    pub idle_age: Option<u16>,
    /// Seconds since it was changed last (Nicira's format only; at most 65534).
    pub hard_age: Option<u16>,
    /// Its flags (1.3+).
    pub flags: FlowModFlags,
    /// Its eviction order (1.4+).
    pub importance: u16,
    /// Its cookie.
    pub cookie: u64,
    /// Packets that it matched; all ones if unknown.
    pub packet_count: u64,
    /// Their bytes; all ones if unknown.
    pub byte_count: u64,
    /// Its match.
    pub match_: Match,
    /// What it does.
    pub instructions: Instructions,
    /// Why this is told, where counters alone are (1.5).
    pub reason: FlowStatsReason,
}

/// The same of a rule where it is kept, to be written without making a [`FlowStats`] of it.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "as in FlowStats")]
pub struct FlowRecord<'a> {
    pub table_id: u8,
    pub duration_sec: u32,
    pub duration_nsec: u32,
    pub priority: u16,
    pub idle_timeout: u16,
    pub hard_timeout: u16,
    pub idle_age: Option<u16>,
    pub hard_age: Option<u16>,
    pub flags: FlowModFlags,
    pub importance: u16,
    pub cookie: u64,
    pub packet_count: u64,
    pub byte_count: u64,
    pub match_: &'a CompactMatch,
    pub instructions: &'a Arc<Instructions>,
}

impl FlowRecord<'_> {
    /// What it says, by itself.
    #[must_use]
    pub fn to_stats(&self) -> FlowStats {
        FlowStats {
            table_id: self.table_id,
            duration_sec: self.duration_sec,
            duration_nsec: self.duration_nsec,
            priority: self.priority,
            idle_timeout: self.idle_timeout,
            hard_timeout: self.hard_timeout,
            idle_age: self.idle_age,
            hard_age: self.hard_age,
            flags: self.flags,
            importance: self.importance,
            cookie: self.cookie,
            packet_count: self.packet_count,
            byte_count: self.byte_count,
            match_: self.match_.expand(),
            instructions: Instructions::clone(self.instructions),
            reason: FlowStatsReason::Request,
        }
    }
}

impl Default for FlowStats {
    fn default() -> Self {
        FlowStats {
            table_id: 0,
            duration_sec: 0,
            duration_nsec: 0,
            priority: super::DEFAULT_PRIORITY,
            idle_timeout: 0,
            hard_timeout: 0,
            idle_age: None,
            hard_age: None,
            flags: FlowModFlags::empty(),
            importance: 0,
            cookie: 0,
            packet_count: 0,
            byte_count: 0,
            match_: Match::default(),
            instructions: Instructions::default(),
            reason: FlowStatsReason::Request,
        }
    }
}

/// The sum over rules (1.3.5 §7.3.5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AggregateStats {
    /// Packets.
    pub packet_count: u64,
    /// Bytes.
    pub byte_count: u64,
    /// Rules.
    pub flow_count: u32,
}

/// Statistics of a table (1.0.1 §5.3.5, 1.3.5 §7.3.5.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Which table.
    pub table_id: u8,
    /// Its name (1.0 to 1.2).
    pub name: String,
    /// Fields that it can wildcard, as 1.0's bits (1.0).
    pub wildcards: u32,
    /// What else it can do (1.1, 1.2).
    pub abilities: TableAbilities,
    /// How many rules it can hold (1.0 to 1.2).
    pub max_entries: u32,
    /// How many it holds.
    pub active_count: u32,
    /// Packets looked up.
    pub lookup_count: u64,
    /// Packets that matched.
    pub matched_count: u64,
}

/// Statistics of a port (1.3.5 §7.3.5.6); all ones where a counter is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Which port.
    pub port: OfPort,
    /// Received packets.
    pub rx_packets: u64,
    /// Sent packets.
    pub tx_packets: u64,
    /// Received bytes.
    pub rx_bytes: u64,
    /// Sent bytes.
    pub tx_bytes: u64,
    /// Dropped on receipt.
    pub rx_dropped: u64,
    /// Dropped on sending.
    pub tx_dropped: u64,
    /// Receive errors.
    pub rx_errors: u64,
    /// Send errors.
    pub tx_errors: u64,
    /// Alignment errors.
    pub rx_frame_err: u64,
    /// Overruns.
    pub rx_over_err: u64,
    /// Checksum errors.
    pub rx_crc_err: u64,
    /// Collisions.
    pub collisions: u64,
    /// Its age, whole seconds (1.3+).
    pub duration_sec: u32,
    /// Its age, nanoseconds beyond (1.3+).
    pub duration_nsec: u32,
}

/// Statistics of a queue (1.3.5 §7.3.5.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Of which port.
    pub port: OfPort,
    /// Which queue.
    pub queue_id: u32,
    /// Sent bytes.
    pub tx_bytes: u64,
    /// Sent packets.
    pub tx_packets: u64,
    /// Packets lost.
    pub tx_errors: u64,
    /// Its age, whole seconds (1.3+).
    pub duration_sec: u32,
    /// Its age, nanoseconds beyond (1.3+).
    pub duration_nsec: u32,
}

/// Description of a queue (1.4.1 §7.3.5.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueDesc {
    /// Of which port.
    pub port: OfPort,
    /// Number and rates.
    pub config: QueueConfig,
}

//! Replies of any number of entries, cut into messages.

use alloc::vec::Vec;

use super::super::wire::Put;
use super::super::{
    HEADER_BYTES, Kind, MAX_MESSAGE_BYTES, group, meter, monitor, port, queue, table,
    table_features,
};
use super::alike::Alike;
use super::{FLAG_MORE, counters, entry, put_header};
use crate::{
    AggregateStats, FlowFormat, FlowRecord, FlowStats, FlowUpdate, GroupDesc, GroupFeatures,
    GroupStats, MeterConfig, MeterFeatures, MeterStats, MultipartBody, PortDesc, PortStats,
    QueueDesc, QueueStats, SwitchDesc, TableFeatures, TableMod, TableStats, Version,
};

/// What a reply is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are those of MultipartBody")]
pub enum MultipartKind {
    Desc,
    Flow(FlowFormat),
    Aggregate(FlowFormat),
    Table,
    Port,
    Queue,
    Group,
    GroupDesc,
    GroupFeatures,
    Meter,
    MeterConfig,
    MeterFeatures,
    TableFeatures,
    PortDesc,
    TableDesc,
    QueueDesc,
    FlowMonitor,
    FlowCounters,
    BundleFeatures,
}

/// An entry of a reply.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the variants are those of MultipartBody")]
pub enum MultipartItem<'a> {
    Desc(&'a SwitchDesc),
    Flow(&'a FlowStats),
    Aggregate(&'a AggregateStats),
    Table(&'a TableStats),
    Port(&'a PortStats),
    Queue(&'a QueueStats),
    Group(&'a GroupStats),
    GroupDesc(&'a GroupDesc),
    GroupFeatures(&'a GroupFeatures),
    Meter(&'a MeterStats),
    MeterConfig(&'a MeterConfig),
    MeterFeatures(&'a MeterFeatures),
    TableFeatures(&'a TableFeatures),
    PortDesc(&'a PortDesc),
    TableDesc(&'a TableMod),
    QueueDesc(&'a QueueDesc),
    FlowMonitor(&'a FlowUpdate),
    FlowCounters(&'a FlowStats),
    BundleFeatures(u16),
    /// As `Flow`, or as `FlowCounters`.
    Record(&'a FlowRecord<'a>),
}

/// Cuts a reply into messages of at most 64 KiB, all but the last with the flag that more follow.
///
/// Entries can be pushed as they come up, and full messages taken before the reply is complete, so
/// that a dump of a large table needs memory for one message only.
#[derive(Debug)]
pub struct MultipartWriter {
    version: Version,
    xid: u32,
    kind: MultipartKind,
    /// Complete messages, then the one under way.
    bytes: Vec<u8>,
    /// Where the message under way starts.
    start: usize,
    /// Where its flags are.
    flags_at: usize,
    /// Entries that fit no message and were left out.
    left_out: usize,
    /// The rule that was told of last.
    last: Alike,
}

impl MultipartWriter {
    /// Begins a reply to the request with `xid`.
    #[must_use]
    pub fn new(version: Version, xid: u32, kind: MultipartKind) -> MultipartWriter {
        let (bytes, last) = (Vec::new(), Alike::default());
        let mut writer =
            MultipartWriter { version, xid, kind, bytes, start: 0, flags_at: 0, left_out: 0, last };
        writer.begin();
        writer
    }

    fn begin(&mut self) {
        self.start = self.bytes.len();
        self.bytes.u8(self.version.wire());
        self.bytes.u8(Kind::MultipartReply.wire(self.version));
        self.bytes.u16(0);
        self.bytes.u32(self.xid);
        self.flags_at = self.bytes.len() + 2;
        put_header(&mut self.bytes, self.kind, false, self.version);
    }

    /// Adds an entry, which is of the writer's kind. One that is too long even for a message of its
    /// own is left out, as in Open vSwitch; [`left_out`](Self::left_out) counts those.
    pub fn push(&mut self, item: MultipartItem<'_>) {
        let end = self.bytes.len();
        match (item, self.kind) {
            (MultipartItem::Record(flow), MultipartKind::Flow(format)) => {
                entry::put_record(&mut self.bytes, flow, format, self.version, &mut self.last);
            }
            _ => put_item(&mut self.bytes, self.kind, item, self.version),
        }
        if self.bytes.len() - self.start > MAX_MESSAGE_BYTES {
            let entry = self.bytes.split_off(end);
            self.bytes.patch_u16(self.flags_at, FLAG_MORE);
            self.bytes.patch_len(self.start + 2, self.start);
            self.begin();
            if self.bytes.len() - self.start + entry.len() > MAX_MESSAGE_BYTES {
                self.left_out += 1;
            } else {
                self.bytes.bytes(&entry);
            }
        }
    }

    /// How many entries were too long.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Adds the messages that are complete so far to `out`; none of them is the last.
    pub fn take_ready(&mut self, out: &mut Vec<u8>) {
        if self.start > 0 {
            out.extend_from_slice(self.bytes.get(..self.start).unwrap_or_default());
            self.bytes.drain(..self.start);
            self.flags_at -= self.start;
            self.start = 0;
        }
    }

    /// Ends the reply and returns what was not taken, the last message included.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        debug_assert!(self.bytes.len() >= self.start + HEADER_BYTES);
        self.bytes.patch_len(self.start + 2, self.start);
        self.bytes
    }
}

pub(super) fn put_item(
    out: &mut Vec<u8>,
    kind: MultipartKind,
    item: MultipartItem<'_>,
    version: Version,
) {
    match item {
        MultipartItem::Desc(desc) => entry::put_desc(out, desc),
        MultipartItem::Flow(flow) => {
            let format = match kind {
                MultipartKind::Flow(format) => format,
                _ => FlowFormat::Standard,
            };
            entry::put_flow(out, flow, format, version);
        }
        MultipartItem::Aggregate(sum) => entry::put_aggregate(out, sum, version),
        MultipartItem::Table(table) => entry::put_table(out, table, version),
        MultipartItem::Port(port) => counters::put_port(out, port, version),
        MultipartItem::Queue(queue) => counters::put_queue(out, queue, version),
        MultipartItem::Group(group) => group::put_stats(out, group, version),
        MultipartItem::GroupDesc(group) => group::put_desc(out, group, version),
        MultipartItem::GroupFeatures(features) => group::put_features(out, features),
        MultipartItem::Meter(meter) => meter::put_stats(out, meter),
        MultipartItem::MeterConfig(meter) => meter::put_config(out, meter),
        MultipartItem::MeterFeatures(features) => meter::put_features(out, features),
        MultipartItem::TableFeatures(features) => table_features::put(out, features, version),
        MultipartItem::PortDesc(desc) => port::put_desc(out, desc, version),
        MultipartItem::TableDesc(desc) => table::put_desc(out, desc),
        MultipartItem::QueueDesc(desc) => queue::put_desc(out, desc),
        MultipartItem::FlowMonitor(update) => monitor::put_update(out, update, version),
        MultipartItem::FlowCounters(flow) => entry::put_counters(out, flow),
        MultipartItem::Record(flow) => {
            let stats = flow.to_stats();
            let item = match kind {
                MultipartKind::FlowCounters => MultipartItem::FlowCounters(&stats),
                _ => MultipartItem::Flow(&stats),
            };
            put_item(out, kind, item, version);
        }
        MultipartItem::BundleFeatures(capabilities) => {
            out.u16(capabilities);
            out.zeros(6);
        }
    }
}

/// Hands on every entry of a body.
pub(super) fn items_of(body: &MultipartBody, mut f: impl FnMut(MultipartItem<'_>)) {
    match body {
        MultipartBody::Desc(desc) => f(MultipartItem::Desc(desc)),
        MultipartBody::Flow(_, all) => all.iter().for_each(|one| f(MultipartItem::Flow(one))),
        MultipartBody::Aggregate(_, sum) => f(MultipartItem::Aggregate(sum)),
        MultipartBody::Table(all) => all.iter().for_each(|one| f(MultipartItem::Table(one))),
        MultipartBody::Port(all) => all.iter().for_each(|one| f(MultipartItem::Port(one))),
        MultipartBody::Queue(all) => all.iter().for_each(|one| f(MultipartItem::Queue(one))),
        MultipartBody::Group(all) => all.iter().for_each(|one| f(MultipartItem::Group(one))),
        MultipartBody::GroupDesc(all) => {
            all.iter().for_each(|one| f(MultipartItem::GroupDesc(one)));
        }
        MultipartBody::GroupFeatures(features) => f(MultipartItem::GroupFeatures(features)),
        MultipartBody::Meter(all) => all.iter().for_each(|one| f(MultipartItem::Meter(one))),
        MultipartBody::MeterConfig(all) => {
            all.iter().for_each(|one| f(MultipartItem::MeterConfig(one)));
        }
        MultipartBody::MeterFeatures(features) => f(MultipartItem::MeterFeatures(features)),
        MultipartBody::TableFeatures(all) => {
            all.iter().for_each(|one| f(MultipartItem::TableFeatures(one)));
        }
        MultipartBody::PortDesc(all) => all.iter().for_each(|one| f(MultipartItem::PortDesc(one))),
        MultipartBody::TableDesc(all) => {
            all.iter().for_each(|one| f(MultipartItem::TableDesc(one)));
        }
        MultipartBody::QueueDesc(all) => {
            all.iter().for_each(|one| f(MultipartItem::QueueDesc(one)));
        }
        MultipartBody::FlowMonitor(all) => {
            all.iter().for_each(|one| f(MultipartItem::FlowMonitor(one)));
        }
        MultipartBody::FlowCounters(all) => {
            all.iter().for_each(|one| f(MultipartItem::FlowCounters(one)));
        }
        MultipartBody::BundleFeatures(capabilities) => {
            f(MultipartItem::BundleFeatures(*capabilities));
        }
    }
}

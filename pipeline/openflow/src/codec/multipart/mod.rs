//! Multipart messages (1.3.5 §7.3.5), which OpenFlow 1.0 calls statistics (1.0.1 §5.3.5).
//!
//! A message has a type, flags (bit 0: more parts follow), and entries; [`entry`] and [`counters`]
//! have those of flows, tables, ports and queues, `group` and `meter` theirs. Type 0xffff is a vendor's: in OpenFlow 1.0
//! Nicira's flow statistics, which use NXM, and flow monitors before 1.4. [`MultipartWriter`] makes
//! replies of any size.

mod alike;
mod counters;
mod entry;
mod writer;

pub use writer::{MultipartItem, MultipartKind, MultipartWriter};

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::flow_mod::{put_match_nxm, put_match13, read_match_nxm, read_match13};
use super::oxm::Unknown;
use super::wire::{Put, Reader, Result};
use super::{group, match10, meter, monitor, port, queue, table, table_features};
use crate::{
    FlowFormat, FlowStatsRequest, FlowUpdate, GROUP_ALL, GROUP_ANY, MultipartBody, MultipartReply,
    MultipartRequest, NICIRA, ONF, OfErrorKind, OfPort, Version,
};

/// More parts follow.
const FLAG_MORE: u16 = 1;
const EXPERIMENTER: u16 = 0xffff;

/// Subtypes of Nicira's statistics, and the ONF's flow monitor of 1.3.
const NXST_FLOW: u32 = 0;
const NXST_AGGREGATE: u32 = 1;
const NXST_GROUP: u32 = 7;
const NXST_GROUP_DESC: u32 = 8;
const NXST_GROUP_FEATURES: u32 = 9;
const NXST_FLOW_MONITOR: u32 = 2;
const NXST_IPFIX_BRIDGE: u32 = 3;
const NXST_IPFIX_FLOW: u32 = 4;
const ONFST_FLOW_MONITOR: u32 = 1870;

use Version::{V10, V11, V12, V13, V14, V15};

/// Types with their numbers and the first version that has them. 1.0 has port descriptions as Open
/// vSwitch's extension.
#[rustfmt::skip]
const ROWS: [(MultipartKind, u16, Version); 19] = [
    (MultipartKind::Desc, 0, V10),
    (MultipartKind::Flow(FlowFormat::Standard), 1, V10),
    (MultipartKind::Aggregate(FlowFormat::Standard), 2, V10),
    (MultipartKind::Table, 3, V10),
    (MultipartKind::Port, 4, V10),
    (MultipartKind::Queue, 5, V10),
    (MultipartKind::Group, 6, V11),
    (MultipartKind::GroupDesc, 7, V11),
    (MultipartKind::GroupFeatures, 8, V12),
    (MultipartKind::Meter, 9, V13),
    (MultipartKind::MeterConfig, 10, V13),
    (MultipartKind::MeterFeatures, 11, V13),
    (MultipartKind::TableFeatures, 12, V13),
    (MultipartKind::PortDesc, 13, V10),
    (MultipartKind::TableDesc, 14, V14),
    (MultipartKind::QueueDesc, 15, V14),
    (MultipartKind::FlowMonitor, 16, V14),
    (MultipartKind::FlowCounters, 17, V15),
    (MultipartKind::BundleFeatures, 19, V15),
];

fn wire_type(kind: MultipartKind) -> u16 {
    let kind = match kind {
        MultipartKind::Flow(_) => MultipartKind::Flow(FlowFormat::Standard),
        MultipartKind::Aggregate(_) => MultipartKind::Aggregate(FlowFormat::Standard),
        _ => kind,
    };
    ROWS.iter().find(|(known, ..)| *known == kind).map_or(EXPERIMENTER, |(_, wire, _)| *wire)
}

fn kind_of_wire(wire: u16, version: Version) -> Option<MultipartKind> {
    let found = ROWS.iter().find(|(_, known, since)| *known == wire && version >= *since);
    found.map(|(kind, ..)| *kind)
}

/// The vendor and the subtype of a kind that a version has as an extension.
fn extension(kind: MultipartKind, version: Version) -> Option<(u32, u32)> {
    match (kind, version) {
        (MultipartKind::Flow(FlowFormat::Nxm), V10) => Some((NICIRA, NXST_FLOW)),
        (MultipartKind::Aggregate(FlowFormat::Nxm), V10) => Some((NICIRA, NXST_AGGREGATE)),
        (MultipartKind::Group, V10) => Some((NICIRA, NXST_GROUP)),
        (MultipartKind::GroupDesc, V10) => Some((NICIRA, NXST_GROUP_DESC)),
        (MultipartKind::GroupFeatures, V10 | V11) => Some((NICIRA, NXST_GROUP_FEATURES)),
        (MultipartKind::FlowMonitor, V10 | V11 | V12) => Some((NICIRA, NXST_FLOW_MONITOR)),
        (MultipartKind::FlowMonitor, V13) => Some((ONF, ONFST_FLOW_MONITOR)),
        _ => None,
    }
}

/// Reads type and flags, and the vendor's numbers if they follow.
fn read_header(r: &mut Reader<'_>, version: Version) -> Result<(MultipartKind, bool)> {
    let wire = r.u16()?;
    let more = r.u16()? & FLAG_MORE != 0;
    if version != V10 {
        r.skip(4)?;
    }
    if wire != EXPERIMENTER {
        let kind = kind_of_wire(wire, version).ok_or(OfErrorKind::RequestBadStat)?;
        return Ok((kind, more));
    }
    let vendor = r.u32()?;
    if vendor != NICIRA && vendor != ONF {
        return Err(OfErrorKind::RequestBadVendor);
    }
    let subtype = r.u32()?;
    if vendor == NICIRA && matches!(subtype, NXST_IPFIX_BRIDGE | NXST_IPFIX_FLOW) {
        // There is no exporter of flows that could be asked how it fares.
        return Err(OfErrorKind::NxStatsNotConfigured);
    }
    let extensions = [
        MultipartKind::Flow(FlowFormat::Nxm),
        MultipartKind::Aggregate(FlowFormat::Nxm),
        MultipartKind::Group,
        MultipartKind::GroupDesc,
        MultipartKind::GroupFeatures,
        MultipartKind::FlowMonitor,
    ];
    let found = extensions.into_iter().find(|k| extension(*k, version) == Some((vendor, subtype)));
    let kind = found.ok_or(OfErrorKind::RequestBadSubtype)?;
    if version == V10 {
        r.skip(4)?;
    }
    Ok((kind, more))
}

/// Writes what [`read_header`] reads.
fn put_header(out: &mut Vec<u8>, kind: MultipartKind, more: bool, version: Version) {
    let extension = extension(kind, version);
    out.u16(if extension.is_some() { EXPERIMENTER } else { wire_type(kind) });
    out.u16(if more { FLAG_MORE } else { 0 });
    if version != V10 {
        out.zeros(4);
    }
    if let Some((vendor, subtype)) = extension {
        out.u32(vendor);
        out.u32(subtype);
        if version == V10 {
            out.zeros(4);
        }
    }
}

pub(super) fn read_request(r: &mut Reader<'_>, version: Version) -> Result<MultipartRequest> {
    let (kind, more) = read_header(r, version)?;
    // Requests in several parts are not kept (1.3.5 §7.3.5 allows a limit) but for this one, which is long
    // where it describes every table.
    if more && kind != MultipartKind::TableFeatures {
        return Err(OfErrorKind::RequestMultipartBufferOverflow);
    }
    Ok(match kind {
        MultipartKind::Desc => MultipartRequest::Desc,
        MultipartKind::Flow(format) => {
            MultipartRequest::Flow(Box::new(read_flow_request(r, format, version)?))
        }
        MultipartKind::Aggregate(format) => {
            MultipartRequest::Aggregate(Box::new(read_flow_request(r, format, version)?))
        }
        MultipartKind::Table => MultipartRequest::Table,
        MultipartKind::Port => {
            let port = port::read_port(r, version)?;
            r.skip(if version == Version::V10 { 6 } else { 4 })?;
            MultipartRequest::Port(port)
        }
        MultipartKind::Queue => {
            let port = port::read_port(r, version)?;
            r.skip(if version == Version::V10 { 2 } else { 0 })?;
            // 1.0 says ALL where later versions say ANY.
            let port = if port == OfPort::ALL { OfPort::ANY } else { port };
            MultipartRequest::Queue { port, queue_id: r.u32()? }
        }
        MultipartKind::Group => MultipartRequest::Group(read_padded_id(r)?),
        MultipartKind::GroupDesc if asks_for_one_group(version) => {
            MultipartRequest::GroupDesc(read_padded_id(r)?)
        }
        MultipartKind::GroupDesc => MultipartRequest::GroupDesc(GROUP_ALL),
        MultipartKind::GroupFeatures => MultipartRequest::GroupFeatures,
        MultipartKind::Meter => MultipartRequest::Meter(read_padded_id(r)?),
        MultipartKind::MeterConfig => MultipartRequest::MeterConfig(read_padded_id(r)?),
        MultipartKind::MeterFeatures => MultipartRequest::MeterFeatures,
        MultipartKind::TableFeatures => {
            let tables = read_all(r, |r| table_features::read(r, version))?;
            MultipartRequest::TableFeatures { tables, more }
        }
        MultipartKind::PortDesc if version == V15 => {
            MultipartRequest::PortDesc(OfPort(read_padded_id(r)?))
        }
        MultipartKind::PortDesc => MultipartRequest::PortDesc(OfPort::ANY),
        MultipartKind::TableDesc => MultipartRequest::TableDesc,
        MultipartKind::QueueDesc => {
            MultipartRequest::QueueDesc { port: OfPort(r.u32()?), queue_id: r.u32()? }
        }
        MultipartKind::FlowMonitor => {
            let read = |r: &mut Reader<'_>| monitor::read_request(r, version);
            MultipartRequest::FlowMonitor(read_all(r, read)?)
        }
        MultipartKind::FlowCounters => MultipartRequest::FlowCounters(Box::new(read_flow_request(
            r,
            FlowFormat::Standard,
            version,
        )?)),
        MultipartKind::BundleFeatures => {
            let request = MultipartRequest::BundleFeatures(read_padded_id(r)?);
            // Properties are about scheduled bundles.
            r.take_all();
            request
        }
    })
}

/// Whether a request for group descriptions names a group.
fn asks_for_one_group(version: Version) -> bool {
    matches!(version, Version::V10 | Version::V15)
}

/// A number and four bytes of padding.
fn read_padded_id(r: &mut Reader<'_>) -> Result<u32> {
    let id = r.u32()?;
    r.skip(4)?;
    Ok(id)
}

fn read_flow_request(
    r: &mut Reader<'_>,
    format: FlowFormat,
    version: Version,
) -> Result<FlowStatsRequest> {
    match (version, format) {
        (Version::V10, FlowFormat::Standard) => {
            let match_ = match10::read_match(r)?.match_;
            let table_id = r.u8()?;
            r.skip(1)?;
            let out_port = OfPort::from_u16(r.u16()?);
            Ok(FlowStatsRequest {
                table_id,
                out_port,
                out_group: GROUP_ANY,
                cookie: 0,
                cookie_mask: 0,
                match_,
                format,
            })
        }
        (Version::V10, FlowFormat::Nxm) => {
            let out_port = OfPort::from_u16(r.u16()?);
            let match_len = r.u16()?;
            let table_id = r.u8()?;
            r.skip(3)?;
            let (match_, (cookie, cookie_mask)) = read_match_nxm(r, match_len, Unknown::Refuse)?;
            let out_group = GROUP_ANY;
            Ok(FlowStatsRequest {
                table_id,
                out_port,
                out_group,
                cookie,
                cookie_mask,
                match_,
                format,
            })
        }
        _ => {
            let table_id = r.u8()?;
            r.skip(3)?;
            let out_port = OfPort(r.u32()?);
            let out_group = r.u32()?;
            r.skip(4)?;
            let (cookie, cookie_mask) = (r.u64()?, r.u64()?);
            let match_ = read_match13(r, Unknown::Refuse, version)?;
            Ok(FlowStatsRequest {
                table_id,
                out_port,
                out_group,
                cookie,
                cookie_mask,
                match_,
                format,
            })
        }
    }
}

fn put_flow_request(out: &mut Vec<u8>, request: &FlowStatsRequest, version: Version) {
    match (version, request.format) {
        (Version::V10, FlowFormat::Standard) => {
            match10::put_match(out, &request.match_);
            out.u8(request.table_id);
            out.zeros(1);
            port::put_port(out, request.out_port, version);
        }
        (Version::V10, FlowFormat::Nxm) => {
            port::put_port(out, request.out_port, version);
            let len_at = out.len();
            out.u16(0);
            out.u8(request.table_id);
            out.zeros(3);
            let len = put_match_nxm(out, &request.match_, (request.cookie, request.cookie_mask));
            out.patch_u16(len_at, len);
        }
        _ => {
            out.u8(request.table_id);
            out.zeros(3);
            out.u32(request.out_port.0);
            out.u32(request.out_group);
            out.zeros(4);
            out.u64(request.cookie);
            out.u64(request.cookie_mask);
            put_match13(out, &request.match_, version);
        }
    }
}

pub(super) fn put_request(out: &mut Vec<u8>, request: &MultipartRequest, version: Version) {
    let more = matches!(request, MultipartRequest::TableFeatures { more: true, .. });
    put_header(out, request.kind(), more, version);
    match request {
        MultipartRequest::Flow(request)
        | MultipartRequest::Aggregate(request)
        | MultipartRequest::FlowCounters(request) => put_flow_request(out, request, version),
        MultipartRequest::Port(port) => {
            port::put_port(out, *port, version);
            out.zeros(if version == Version::V10 { 6 } else { 4 });
        }
        MultipartRequest::Queue { port, queue_id } => {
            let is_all = version == Version::V10 && *port == OfPort::ANY;
            port::put_port(out, if is_all { OfPort::ALL } else { *port }, version);
            out.zeros(if version == Version::V10 { 2 } else { 0 });
            out.u32(*queue_id);
        }
        MultipartRequest::GroupDesc(_) if !asks_for_one_group(version) => {}
        MultipartRequest::Group(id)
        | MultipartRequest::GroupDesc(id)
        | MultipartRequest::Meter(id)
        | MultipartRequest::MeterConfig(id) => {
            out.u32(*id);
            out.zeros(4);
        }
        MultipartRequest::TableFeatures { tables, .. } => {
            tables.iter().for_each(|table| table_features::put(out, table, version));
        }
        MultipartRequest::PortDesc(port) => {
            if version == V15 {
                out.u32(port.0);
                out.zeros(4);
            }
        }
        MultipartRequest::QueueDesc { port, queue_id } => {
            out.u32(port.0);
            out.u32(*queue_id);
        }
        MultipartRequest::FlowMonitor(requests) => {
            requests.iter().for_each(|request| monitor::put_request(out, request, version));
        }
        MultipartRequest::BundleFeatures(wanted) => {
            out.u32(*wanted);
            out.zeros(4);
        }
        MultipartRequest::Desc
        | MultipartRequest::Table
        | MultipartRequest::TableDesc
        | MultipartRequest::GroupFeatures
        | MultipartRequest::MeterFeatures => {}
    }
}

impl MultipartRequest {
    /// The kind of the reply.
    #[must_use]
    pub fn kind(&self) -> MultipartKind {
        match self {
            MultipartRequest::Desc => MultipartKind::Desc,
            MultipartRequest::Flow(request) => MultipartKind::Flow(request.format),
            MultipartRequest::Aggregate(request) => MultipartKind::Aggregate(request.format),
            MultipartRequest::Table => MultipartKind::Table,
            MultipartRequest::Port(_) => MultipartKind::Port,
            MultipartRequest::Queue { .. } => MultipartKind::Queue,
            MultipartRequest::Group(_) => MultipartKind::Group,
            MultipartRequest::GroupDesc(_) => MultipartKind::GroupDesc,
            MultipartRequest::GroupFeatures => MultipartKind::GroupFeatures,
            MultipartRequest::Meter(_) => MultipartKind::Meter,
            MultipartRequest::MeterConfig(_) => MultipartKind::MeterConfig,
            MultipartRequest::MeterFeatures => MultipartKind::MeterFeatures,
            MultipartRequest::TableFeatures { .. } => MultipartKind::TableFeatures,
            MultipartRequest::PortDesc(_) => MultipartKind::PortDesc,
            MultipartRequest::TableDesc => MultipartKind::TableDesc,
            MultipartRequest::QueueDesc { .. } => MultipartKind::QueueDesc,
            MultipartRequest::FlowMonitor(_) => MultipartKind::FlowMonitor,
            MultipartRequest::FlowCounters(_) => MultipartKind::FlowCounters,
            MultipartRequest::BundleFeatures(_) => MultipartKind::BundleFeatures,
        }
    }
}

pub(super) fn kind_of(body: &MultipartBody) -> MultipartKind {
    match body {
        MultipartBody::Desc(_) => MultipartKind::Desc,
        MultipartBody::Flow(format, _) => MultipartKind::Flow(*format),
        MultipartBody::Aggregate(format, _) => MultipartKind::Aggregate(*format),
        MultipartBody::Table(_) => MultipartKind::Table,
        MultipartBody::Port(_) => MultipartKind::Port,
        MultipartBody::Queue(_) => MultipartKind::Queue,
        MultipartBody::Group(_) => MultipartKind::Group,
        MultipartBody::GroupDesc(_) => MultipartKind::GroupDesc,
        MultipartBody::GroupFeatures(_) => MultipartKind::GroupFeatures,
        MultipartBody::Meter(_) => MultipartKind::Meter,
        MultipartBody::MeterConfig(_) => MultipartKind::MeterConfig,
        MultipartBody::MeterFeatures(_) => MultipartKind::MeterFeatures,
        MultipartBody::TableFeatures(_) => MultipartKind::TableFeatures,
        MultipartBody::PortDesc(_) => MultipartKind::PortDesc,
        MultipartBody::TableDesc(_) => MultipartKind::TableDesc,
        MultipartBody::QueueDesc(_) => MultipartKind::QueueDesc,
        MultipartBody::FlowMonitor(_) => MultipartKind::FlowMonitor,
        MultipartBody::FlowCounters(_) => MultipartKind::FlowCounters,
        MultipartBody::BundleFeatures(_) => MultipartKind::BundleFeatures,
    }
}

pub(super) fn read_reply(r: &mut Reader<'_>, version: Version) -> Result<MultipartReply> {
    let (kind, more) = read_header(r, version)?;
    let body = match kind {
        MultipartKind::Desc => MultipartBody::Desc(entry::read_desc(r)?),
        MultipartKind::Flow(format) => {
            let read = |r: &mut Reader<'_>| entry::read_flow(r, format, version);
            MultipartBody::Flow(format, read_all(r, read)?)
        }
        MultipartKind::Aggregate(format) => {
            MultipartBody::Aggregate(format, entry::read_aggregate(r, version)?)
        }
        MultipartKind::Table => {
            MultipartBody::Table(read_all(r, |r| entry::read_table(r, version))?)
        }
        MultipartKind::Port => {
            MultipartBody::Port(read_all(r, |r| counters::read_port(r, version))?)
        }
        MultipartKind::Queue => {
            MultipartBody::Queue(read_all(r, |r| counters::read_queue(r, version))?)
        }
        MultipartKind::Group => {
            MultipartBody::Group(read_all(r, |r| group::read_stats(r, version))?)
        }
        MultipartKind::GroupDesc => {
            MultipartBody::GroupDesc(read_all(r, |r| group::read_desc(r, version))?)
        }
        MultipartKind::GroupFeatures => MultipartBody::GroupFeatures(group::read_features(r)?),
        MultipartKind::Meter => MultipartBody::Meter(read_all(r, meter::read_stats)?),
        MultipartKind::MeterConfig => MultipartBody::MeterConfig(read_all(r, meter::read_config)?),
        MultipartKind::MeterFeatures => MultipartBody::MeterFeatures(meter::read_features(r)?),
        MultipartKind::TableFeatures => {
            MultipartBody::TableFeatures(read_all(r, |r| table_features::read(r, version))?)
        }
        MultipartKind::PortDesc => {
            MultipartBody::PortDesc(read_all(r, |r| port::read_desc(r, version))?)
        }
        MultipartKind::TableDesc => MultipartBody::TableDesc(read_all(r, table::read_desc)?),
        MultipartKind::QueueDesc => MultipartBody::QueueDesc(read_all(r, queue::read_desc)?),
        MultipartKind::FlowMonitor => {
            MultipartBody::FlowMonitor(read_all(r, |r| monitor::read_update(r, version))?)
        }
        MultipartKind::FlowCounters => {
            MultipartBody::FlowCounters(read_all(r, entry::read_counters)?)
        }
        MultipartKind::BundleFeatures => {
            let body = MultipartBody::BundleFeatures(r.u16()?);
            r.skip(6)?;
            r.take_all();
            body
        }
    };
    Ok(MultipartReply { more, body })
}

fn read_all<T>(
    r: &mut Reader<'_>,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        all.push(read(r)?);
    }
    Ok(all)
}

/// Writes a reply of one part, all its entries.
pub(super) fn put_reply(out: &mut Vec<u8>, reply: &MultipartReply, version: Version) {
    let kind = kind_of(&reply.body);
    put_header(out, kind, reply.more, version);
    writer::items_of(&reply.body, |item| {
        writer::put_item(out, kind, item, version);
    });
}

/// Writes a reply with a single update of a flow monitor.
pub(super) fn put_alone(out: &mut Vec<u8>, update: FlowUpdate, version: Version) {
    let body = MultipartBody::FlowMonitor(Vec::from([update]));
    put_reply(out, &MultipartReply { more: false, body }, version);
}

/// Writes a request that ends a flow monitor.
pub(super) fn put_cancel(out: &mut Vec<u8>, monitor_id: u32, version: Version) {
    let request = MultipartRequest::FlowMonitor(Vec::from([monitor::delete_request(monitor_id)]));
    put_request(out, &request, version);
}

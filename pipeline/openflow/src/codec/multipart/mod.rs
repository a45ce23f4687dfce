//! Multipart messages (1.3.5 §7.3.5), which OpenFlow 1.0 calls statistics (1.0.1 §5.3.5).
//!
//! A message has a type, flags (bit 0: more parts follow), and entries; [`entry`] has those of flows,
//! ports, queues and tables, `group` and `meter` theirs. Type 0xffff is a vendor's: in OpenFlow 1.0
//! Nicira's flow statistics, which use NXM. [`MultipartWriter`] makes replies of any size.

mod entry;
mod writer;

pub use writer::{MultipartItem, MultipartKind, MultipartWriter};

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::flow_mod::{put_match_nxm, put_match13, read_match_nxm, read_match13};
use super::oxm::Unknown;
use super::wire::{Put, Reader, Result};
use super::{group, match10, meter, port, table_features};
use crate::{
    FlowFormat, FlowStatsRequest, GROUP_ALL, GROUP_ANY, MultipartBody, MultipartReply,
    MultipartRequest, NICIRA, OfErrorKind, OfPort, Version,
};

/// More parts follow.
const FLAG_MORE: u16 = 1;
const EXPERIMENTER: u16 = 0xffff;

/// Subtypes of Nicira's statistics.
const NXST_FLOW: u32 = 0;
const NXST_AGGREGATE: u32 = 1;
const NXST_GROUP: u32 = 7;
const NXST_GROUP_DESC: u32 = 8;
const NXST_GROUP_FEATURES: u32 = 9;

/// Numbers of the types; 1.0 has those up to queues, and port descriptions as Open vSwitch's
/// extension.
fn wire_type(kind: MultipartKind) -> u16 {
    match kind {
        MultipartKind::Desc => 0,
        MultipartKind::Flow(_) => 1,
        MultipartKind::Aggregate(_) => 2,
        MultipartKind::Table => 3,
        MultipartKind::Port => 4,
        MultipartKind::Queue => 5,
        MultipartKind::Group => 6,
        MultipartKind::GroupDesc => 7,
        MultipartKind::GroupFeatures => 8,
        MultipartKind::Meter => 9,
        MultipartKind::MeterConfig => 10,
        MultipartKind::MeterFeatures => 11,
        MultipartKind::TableFeatures => 12,
        MultipartKind::PortDesc => 13,
    }
}

fn kind_of_wire(wire: u16, version: Version) -> Option<MultipartKind> {
    let standard = FlowFormat::Standard;
    let kinds = [
        MultipartKind::Desc,
        MultipartKind::Flow(standard),
        MultipartKind::Aggregate(standard),
        MultipartKind::Table,
        MultipartKind::Port,
        MultipartKind::Queue,
        MultipartKind::PortDesc,
        MultipartKind::Group,
        MultipartKind::GroupDesc,
        MultipartKind::GroupFeatures,
        MultipartKind::Meter,
        MultipartKind::MeterConfig,
        MultipartKind::MeterFeatures,
        MultipartKind::TableFeatures,
    ];
    let n_known = if version == Version::V10 { 7 } else { kinds.len() };
    kinds.into_iter().take(n_known).find(|kind| wire_type(*kind) == wire)
}

/// Reads type and flags, and the vendor's numbers if they follow.
fn read_header(r: &mut Reader<'_>, version: Version) -> Result<(MultipartKind, bool)> {
    let wire = r.u16()?;
    let more = r.u16()? & FLAG_MORE != 0;
    if version != Version::V10 {
        r.skip(4)?;
    }
    if wire != EXPERIMENTER {
        let kind = kind_of_wire(wire, version).ok_or(OfErrorKind::RequestBadStat)?;
        return Ok((kind, more));
    }
    if r.u32()? != NICIRA {
        return Err(OfErrorKind::RequestBadVendor);
    }
    let subtype = r.u32()?;
    if version == Version::V10 {
        r.skip(4)?;
    }
    let kinds = [
        MultipartKind::Flow(FlowFormat::Nxm),
        MultipartKind::Aggregate(FlowFormat::Nxm),
        MultipartKind::Group,
        MultipartKind::GroupDesc,
        MultipartKind::GroupFeatures,
    ];
    let found = kinds.into_iter().find(|kind| nicira_subtype(*kind, version) == Some(subtype));
    Ok((found.ok_or(OfErrorKind::RequestBadSubtype)?, more))
}

/// The number of a kind that a version has as Nicira's alone.
fn nicira_subtype(kind: MultipartKind, version: Version) -> Option<u32> {
    let (subtype, last) = match kind {
        MultipartKind::Flow(FlowFormat::Nxm) => (NXST_FLOW, Version::V10),
        MultipartKind::Aggregate(FlowFormat::Nxm) => (NXST_AGGREGATE, Version::V10),
        MultipartKind::Group => (NXST_GROUP, Version::V10),
        MultipartKind::GroupDesc => (NXST_GROUP_DESC, Version::V10),
        MultipartKind::GroupFeatures => (NXST_GROUP_FEATURES, Version::V11),
        _ => return None,
    };
    (version <= last).then_some(subtype)
}

/// Writes what [`read_header`] reads.
fn put_header(out: &mut Vec<u8>, kind: MultipartKind, more: bool, version: Version) {
    let nicira = nicira_subtype(kind, version);
    out.u16(if nicira.is_some() { EXPERIMENTER } else { wire_type(kind) });
    out.u16(if more { FLAG_MORE } else { 0 });
    if version != Version::V10 {
        out.zeros(4);
    }
    if let Some(subtype) = nicira {
        out.u32(NICIRA);
        out.u32(subtype);
        out.zeros(if version == Version::V10 { 4 } else { 0 });
    }
}

pub(super) fn read_request(r: &mut Reader<'_>, version: Version) -> Result<MultipartRequest> {
    let (kind, more) = read_header(r, version)?;
    // Requests in several parts are not kept: no one sends them (1.3.5 §7.3.5 allows a limit).
    if more {
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
            MultipartRequest::TableFeatures(read_all(r, table_features::read)?)
        }
        MultipartKind::PortDesc => MultipartRequest::PortDesc,
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
            let match_ = read_match13(r, Unknown::Refuse)?;
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
    put_header(out, request.kind(), false, version);
    match request {
        MultipartRequest::Flow(request) | MultipartRequest::Aggregate(request) => {
            put_flow_request(out, request, version);
        }
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
        MultipartRequest::TableFeatures(tables) => {
            tables.iter().for_each(|table| table_features::put(out, table));
        }
        MultipartRequest::Desc
        | MultipartRequest::Table
        | MultipartRequest::GroupFeatures
        | MultipartRequest::MeterFeatures
        | MultipartRequest::PortDesc => {}
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
            MultipartRequest::TableFeatures(_) => MultipartKind::TableFeatures,
            MultipartRequest::PortDesc => MultipartKind::PortDesc,
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
            MultipartBody::Aggregate(format, entry::read_aggregate(r)?)
        }
        MultipartKind::Table => {
            MultipartBody::Table(read_all(r, |r| entry::read_table(r, version))?)
        }
        MultipartKind::Port => MultipartBody::Port(read_all(r, |r| entry::read_port(r, version))?),
        MultipartKind::Queue => {
            MultipartBody::Queue(read_all(r, |r| entry::read_queue(r, version))?)
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
            MultipartBody::TableFeatures(read_all(r, table_features::read)?)
        }
        MultipartKind::PortDesc => {
            MultipartBody::PortDesc(read_all(r, |r| port::read_desc(r, version))?)
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

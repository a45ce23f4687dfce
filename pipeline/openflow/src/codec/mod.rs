//! Messages as bytes.
//!
//! The model is the same for all versions; the differences live here. A message has a header of 8
//! bytes (1.0.1 §5.1, 1.3.5 §7.1); its type says which of the files of this folder reads and writes
//! it. Within a file, versions stand side by side, so that a difference is seen at a glance.
//!
//! A connection may switch on Nicira's extensions that change how *other* messages are written; a
//! [`Dialect`] holds them together with the version. [`decode`] and [`Message::encode`] use the plain
//! dialect of a version.

mod action;
mod async_config;
mod bundle;
mod config;
mod error;
mod flow_mod;
mod flow_removed;
mod group;
mod instruction;
mod kind;
mod match10;
mod match11;
mod meter;
mod monitor;
mod multipart;
mod nicira;
mod oxm;
mod oxs;
mod packet;
mod pattern;
mod port;
mod queue;
mod table;
mod table_features;
mod tlv;
mod wire;

pub(crate) use action::{MAX_NESTING, resolve_ports};
pub use bundle::Bundled;
pub(crate) use kind::Kind;
pub use multipart::{MultipartItem, MultipartKind, MultipartWriter};
pub use pattern::{PatternRule, Patterns};

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::{
    FlowFormat, FlowUpdate, Message, MultipartBody, OfError, OfErrorKind, Origin, PacketInFormat,
    RequestForward, Version,
};
use wire::{Put, Reader, Result};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 8;
/// The longest message.
pub const MAX_MESSAGE_BYTES: usize = 0xffff;

/// The header of a message (1.3.5 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of the version, which may be unknown.
    pub version: u8,
    /// Number of the message type in that version.
    pub kind: u8,
    /// Bytes of the message, header included.
    pub len: u16,
    /// Ties a reply to its request.
    pub xid: u32,
}

impl Header {
    /// The header at the start of `bytes`, if there are enough.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Header> {
        let [version, kind, len0, len1, x0, x1, x2, x3] = *bytes.first_chunk::<HEADER_BYTES>()?;
        let len = u16::from_be_bytes([len0, len1]);
        Some(Header { version, kind, len, xid: u32::from_be_bytes([x0, x1, x2, x3]) })
    }
}

/// Length of the message at the start of a stream: `None` as long as its header is not there. Less
/// than [`HEADER_BYTES`] means that the stream is broken beyond repair.
#[must_use]
pub fn frame_len(bytes: &[u8]) -> Option<usize> {
    Header::parse(bytes).map(|header| usize::from(header.len))
}

/// A message that could not be decoded: what to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Its header, or zeros when even that was missing.
    pub header: Header,
    /// The error message to send back, with the start of the offending message.
    pub error: OfError,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { kind, len, .. } = self.header;
        write!(f, "message of type {kind} and {len} bytes refused: {}", self.error.kind)
    }
}

impl core::error::Error for DecodeError {}

/// A message that has no wire form because it is longer than 65535 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenFlow message longer than 65535 bytes")
    }
}

impl core::error::Error for TooLong {}

/// A version and the extensions in force on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The version.
    pub version: Version,
    /// 1.0 flow-mods name a table (Nicira).
    pub flow_mod_table_id: bool,
    /// How flow-removed (and a client's flow-mods) are written in 1.0.
    pub flow_format: FlowFormat,
    /// How packet-ins are written.
    pub packet_in_format: PacketInFormat,
}

impl Dialect {
    /// A version without extensions.
    #[must_use]
    pub const fn plain(version: Version) -> Dialect {
        Dialect {
            version,
            flow_mod_table_id: false,
            flow_format: FlowFormat::Standard,
            packet_in_format: PacketInFormat::Standard,
        }
    }

    /// Decodes a whole message, exactly `bytes`.
    ///
    /// A hello is understood in every version (§6.3.1 of 1.3.5); others must be of this one.
    ///
    /// # Errors
    /// The error that the specification names for what is wrong.
    pub fn decode(&self, bytes: &[u8]) -> core::result::Result<(Header, Message), DecodeError> {
        let header = Header::parse(bytes).unwrap_or(Header { version: 0, kind: 0, len: 0, xid: 0 });
        match self.decode_body(&header, bytes) {
            Ok(message) => Ok((header, message)),
            Err(kind) => Err(DecodeError { header, error: OfError::refusing(kind, bytes) }),
        }
    }

    /// What a whole message adds to a bundle, if it is a standard one that does: what
    /// [`decode`](Self::decode) makes a copy of.
    #[must_use]
    pub fn bundled<'a>(&self, bytes: &'a [u8]) -> Option<Bundled<'a>> {
        bundle::added(bytes, self.version)
    }

    fn decode_body(&self, header: &Header, bytes: &[u8]) -> Result<Message> {
        let mut r = Reader::new(bytes, OfErrorKind::RequestBadLen);
        r.skip(HEADER_BYTES)?;
        if usize::from(header.len) != bytes.len() {
            return Err(OfErrorKind::RequestBadLen);
        }
        if header.kind == kind::HELLO {
            return Ok(Message::Hello(config::read_hello(r)));
        }
        if header.version != self.version.wire() {
            return Err(OfErrorKind::RequestBadVersion);
        }
        let message = match header.kind {
            kind::ERROR => error::read(&mut r, self.version)?,
            kind::ECHO_REQUEST => Message::EchoRequest(r.take_all().to_vec()),
            kind::ECHO_REPLY => Message::EchoReply(r.take_all().to_vec()),
            _ => self.read_versioned(Kind::of(header.kind, self.version)?, &mut r)?,
        };
        if r.is_empty() { Ok(message) } else { Err(OfErrorKind::RequestBadLen) }
    }

    fn read_versioned(&self, kind: Kind, r: &mut Reader<'_>) -> Result<Message> {
        let version = self.version;
        Ok(match kind {
            Kind::Experimenter => nicira::read(r, self)?,
            Kind::FeaturesRequest => Message::FeaturesRequest,
            Kind::FeaturesReply => Message::FeaturesReply(config::read_features(r, version)?),
            Kind::GetConfigRequest => Message::GetConfigRequest,
            Kind::GetConfigReply => {
                Message::GetConfigReply(config::read_switch_config(r, version)?)
            }
            Kind::SetConfig => Message::SetConfig(config::read_switch_config(r, version)?),
            Kind::PacketIn => Message::PacketIn(Box::new(packet::read_in(r, version)?)),
            Kind::FlowRemoved => Message::FlowRemoved(Box::new(flow_removed::read(r, version)?)),
            Kind::PortStatus => Message::PortStatus(port::read_status(r, version)?),
            Kind::PacketOut => Message::PacketOut(packet::read_out(r, version)?),
            Kind::FlowMod => Message::FlowMod(flow_mod::read(r, self)?),
            Kind::GroupMod => Message::GroupMod(group::read_mod(r, version)?),
            Kind::PortMod => Message::PortMod(port::read_mod(r, version)?),
            Kind::TableMod => Message::TableMod(table::read_mod(r, version)?),
            Kind::MultipartRequest => {
                Message::MultipartRequest(multipart::read_request(r, version)?)
            }
            Kind::MultipartReply => Message::MultipartReply(multipart::read_reply(r, version)?),
            Kind::BarrierRequest => Message::BarrierRequest,
            Kind::BarrierReply => Message::BarrierReply,
            Kind::QueueGetConfigRequest => {
                Message::QueueGetConfigRequest(queue::read_config_request(r, version)?)
            }
            Kind::QueueGetConfigReply => {
                Message::QueueGetConfigReply(queue::read_config_reply(r, version)?)
            }
            Kind::RoleRequest => Message::RoleRequest(config::read_role(r)?),
            Kind::RoleReply => Message::RoleReply(config::read_role(r)?),
            Kind::GetAsyncRequest => Message::GetAsyncRequest,
            Kind::GetAsyncReply => Message::GetAsyncReply(async_config::read_reply(r, version)?),
            Kind::SetAsync if version >= Version::V14 => {
                Message::SetAsyncProperties(async_config::read_properties(r, version)?)
            }
            Kind::SetAsync => Message::SetAsync(async_config::read(r, Origin::Standard)?),
            Kind::RoleStatus => Message::RoleStatus(config::read_role_status(r)?),
            Kind::TableStatus => Message::TableStatus(table::read_status(r)?),
            Kind::RequestForward => {
                Message::RequestForward(RequestForward { request: r.take_all().to_vec() })
            }
            Kind::BundleControl => Message::Bundle(bundle::read_control(r)?),
            Kind::BundleAdd => Message::Bundle(bundle::read_add(r)?),
            Kind::MeterMod => Message::MeterMod(meter::read_mod(r)?),
        })
    }

    /// Appends `message` to `out`.
    ///
    /// # Errors
    /// [`TooLong`], with nothing appended.
    pub fn encode(
        &self,
        message: &Message,
        xid: u32,
        out: &mut Vec<u8>,
    ) -> core::result::Result<(), TooLong> {
        let start = out.len();
        out.u8(self.version.wire());
        out.u8(0);
        out.u16(0);
        out.u32(xid);
        let kind = self.put_body(message, out);
        if let Some(place) = out.get_mut(start + 1) {
            *place = kind;
        }
        if out.len() - start > MAX_MESSAGE_BYTES {
            out.truncate(start);
            return Err(TooLong);
        }
        out.patch_len(start + 2, start);
        Ok(())
    }

    /// Writes what follows the header and returns the message type. A message that the version lacks
    /// is written as Nicira's or the ONF's, or with the later versions' type.
    fn put_body(&self, message: &Message, out: &mut Vec<u8>) -> u8 {
        let version = self.version;
        let kind = match message {
            Message::Hello(hello) => {
                config::put_hello(out, *hello);
                return kind::HELLO;
            }
            Message::Error(error) => {
                error::put(out, error.kind.code(version), &error.data, version);
                return kind::ERROR;
            }
            Message::UnknownError(error) => {
                error::put(out, error.code, &error.data, version);
                return kind::ERROR;
            }
            Message::EchoRequest(data) => {
                out.bytes(data);
                return kind::ECHO_REQUEST;
            }
            Message::EchoReply(data) => {
                out.bytes(data);
                return kind::ECHO_REPLY;
            }
            Message::FeaturesRequest => Kind::FeaturesRequest,
            Message::FeaturesReply(features) => {
                config::put_features(out, features, version);
                Kind::FeaturesReply
            }
            Message::GetConfigRequest => Kind::GetConfigRequest,
            Message::GetConfigReply(config) => {
                config::put_switch_config(out, *config);
                Kind::GetConfigReply
            }
            Message::SetConfig(config) => {
                config::put_switch_config(out, *config);
                Kind::SetConfig
            }
            Message::PacketIn(packet) => packet::put_in(out, packet, self),
            Message::FlowRemoved(removed) => flow_removed::put(out, removed, self),
            Message::PortStatus(status) => {
                port::put_status(out, status, version);
                Kind::PortStatus
            }
            Message::PacketOut(packet) => {
                packet::put_out(out, packet, version);
                Kind::PacketOut
            }
            Message::FlowMod(flow_mod) => flow_mod::put(out, flow_mod, self),
            Message::GroupMod(group) if version != Version::V10 => {
                group::put_mod(out, group, version);
                Kind::GroupMod
            }
            Message::PortMod(port) => {
                port::put_mod(out, port, version);
                Kind::PortMod
            }
            Message::TableMod(table) => {
                table::put_mod(out, table, version);
                Kind::TableMod
            }
            Message::MeterMod(meter) => {
                meter::put_mod(out, meter);
                Kind::MeterMod
            }
            Message::MultipartRequest(request) => {
                multipart::put_request(out, request, version);
                Kind::MultipartRequest
            }
            Message::MultipartReply(reply) => {
                multipart::put_reply(out, reply, version);
                Kind::MultipartReply
            }
            Message::BarrierRequest => Kind::BarrierRequest,
            Message::BarrierReply => Kind::BarrierReply,
            Message::QueueGetConfigRequest(port) => {
                queue::put_config_request(out, *port, version);
                Kind::QueueGetConfigRequest
            }
            Message::QueueGetConfigReply(reply) => {
                queue::put_config_reply(out, reply, version);
                Kind::QueueGetConfigReply
            }
            Message::RoleRequest(role) if self.is_standard(role.origin) => {
                config::put_role(out, *role);
                Kind::RoleRequest
            }
            Message::RoleReply(role) if self.is_standard(role.origin) => {
                config::put_role(out, *role);
                Kind::RoleReply
            }
            Message::GetAsyncRequest => Kind::GetAsyncRequest,
            Message::GetAsyncReply(config) => {
                async_config::put_reply(out, config, version);
                Kind::GetAsyncReply
            }
            Message::SetAsync(config)
                if config.origin == Origin::Standard && version >= Version::V13 =>
            {
                async_config::put_reply(out, config, version);
                Kind::SetAsync
            }
            Message::SetAsyncProperties(properties) if version >= Version::V14 => {
                async_config::put_properties(out, properties);
                Kind::SetAsync
            }
            Message::RoleStatus(status) if version >= Version::V14 => {
                config::put_role_status(out, status);
                Kind::RoleStatus
            }
            Message::TableStatus(status) => {
                table::put_status(out, status);
                Kind::TableStatus
            }
            Message::RequestForward(forward) if version >= Version::V14 => {
                out.bytes(&forward.request);
                Kind::RequestForward
            }
            Message::Bundle(message) if version >= Version::V14 => {
                bundle::put(out, message);
                bundle::kind(message)
            }
            Message::FlowMonitorCancel(id) if version >= Version::V14 => {
                multipart::put_cancel(out, *id, version);
                Kind::MultipartRequest
            }
            Message::FlowMonitorPaused if version >= Version::V14 => {
                multipart::put_alone(out, FlowUpdate::Paused, version);
                Kind::MultipartReply
            }
            Message::FlowMonitorResumed if version >= Version::V14 => {
                multipart::put_alone(out, FlowUpdate::Resumed, version);
                Kind::MultipartReply
            }
            _ => {
                nicira::put(out, message, version);
                Kind::Experimenter
            }
        };
        kind.wire(version)
    }

    /// Whether a role message of this origin has its standard form, which came with 1.2.
    fn is_standard(&self, origin: Origin) -> bool {
        origin == Origin::Standard && self.version >= Version::V12
    }
}

/// Decodes a whole message in the plain dialect of its own version.
///
/// # Errors
/// As [`Dialect::decode`]; a version without codec is `OFPBRC_BAD_VERSION`.
pub fn decode(bytes: &[u8]) -> core::result::Result<(Header, Message), DecodeError> {
    let version = Header::parse(bytes).and_then(|header| Version::from_wire(header.version));
    match version {
        Some(version) => Dialect::plain(version).decode(bytes),
        // Only a hello is understood; all else is refused for its version.
        None => Dialect::plain(Version::V10).decode(bytes),
    }
}

impl Message {
    /// Appends the message to `out` in the plain dialect of `version`.
    ///
    /// # Errors
    /// [`TooLong`], with nothing appended.
    pub fn encode(
        &self,
        version: Version,
        xid: u32,
        out: &mut Vec<u8>,
    ) -> core::result::Result<(), TooLong> {
        Dialect::plain(version).encode(self, xid, out)
    }
}

impl MultipartBody {
    /// Which writer makes replies of this kind.
    #[must_use]
    pub fn kind(&self) -> MultipartKind {
        multipart::kind_of(self)
    }
}

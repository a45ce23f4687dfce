//! Experimenter messages: vendor (32 bits), subtype (32 bits), and what it says (1.3.5 §7.5.5).
//!
//! Nicira's (0x2320) and the ONF's (0x4f4e4600) are read in every version. Others are handed on as
//! [`Message::Experimenter`]: whoever serves requests refuses them (see [`Experimenter::refusal`]).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::wire::{Put, Reader, Result};
use super::{Dialect, async_config, bundle, config, flow_mod, flow_removed, group, packet, tlv};
use crate::{
    ControllerRole, Experimenter, FlowFormat, Message, NICIRA, ONF, OfErrorKind, Origin,
    PacketInFormat, RequestForward, Role, Version,
};

const ROLE_REQUEST: u32 = 10;
const ROLE_REPLY: u32 = 11;
const SET_FLOW_FORMAT: u32 = 12;
pub(super) const FLOW_MOD: u32 = 13;
pub(super) const FLOW_REMOVED: u32 = 14;
const FLOW_MOD_TABLE_ID: u32 = 15;
const SET_PACKET_IN_FORMAT: u32 = 16;
pub(super) const PACKET_IN: u32 = 17;
const FLOW_AGE: u32 = 18;
const SET_ASYNC_CONFIG: u32 = 19;
const SET_CONTROLLER_ID: u32 = 20;
const FLOW_MONITOR_CANCEL: u32 = 21;
const FLOW_MONITOR_PAUSED: u32 = 22;
const FLOW_MONITOR_RESUMED: u32 = 23;
const TLV_TABLE_MOD: u32 = 24;
const TLV_TABLE_REQUEST: u32 = 25;
const TLV_TABLE_REPLY: u32 = 26;
const SET_ASYNC_CONFIG2: u32 = 27;
const RESUME: u32 = 28;
pub(super) const PACKET_IN2: u32 = 30;
const GROUP_MOD: u32 = 31;
const REQUESTFORWARD: u32 = 132;

/// The ONF's, which extended 1.3 with what became standard in 1.4.
const ONF_FLOW_MONITOR_CANCEL: u32 = 1870;
const ONF_FLOW_MONITOR_PAUSED: u32 = 1871;
const ONF_FLOW_MONITOR_RESUMED: u32 = 1872;
const ONF_ROLE_STATUS: u32 = 1911;
const ONF_REQUESTFORWARD: u32 = 2350;

/// Number of the NXM flow format; 1 was never deployed.
const FLOW_FORMAT_NXM: u32 = 2;

impl Experimenter {
    /// The error that refuses this message.
    #[must_use]
    pub fn refusal(&self) -> OfErrorKind {
        match self.vendor {
            NICIRA | ONF => OfErrorKind::RequestBadSubtype,
            _ => OfErrorKind::RequestBadVendor,
        }
    }
}

pub(super) fn read(r: &mut Reader<'_>, dialect: &Dialect) -> Result<Message> {
    let vendor = r.u32()?;
    let subtype = match (vendor, r.len()) {
        // In 1.0 a vendor number may stand alone (1.0.1 §5.5.4).
        (_, 0) if dialect.version == Version::V10 => 0,
        _ => r.u32()?,
    };
    Ok(match (vendor, subtype) {
        (NICIRA, ROLE_REQUEST) => Message::RoleRequest(read_role(r)?),
        (NICIRA, ROLE_REPLY) => Message::RoleReply(read_role(r)?),
        (NICIRA, SET_FLOW_FORMAT) => Message::NxSetFlowFormat(match r.u32()? {
            0 => FlowFormat::Standard,
            FLOW_FORMAT_NXM => FlowFormat::Nxm,
            _ => return Err(OfErrorKind::RequestEperm),
        }),
        (NICIRA, FLOW_MOD) => Message::FlowMod(Box::new(flow_mod::read_nxm(r, dialect)?)),
        (NICIRA, FLOW_REMOVED) => Message::FlowRemoved(Box::new(flow_removed::read_nxm(r)?)),
        (NICIRA, FLOW_MOD_TABLE_ID) => {
            let on = r.u8()? != 0;
            r.skip(7)?;
            Message::NxFlowModTableId(on)
        }
        (NICIRA, SET_PACKET_IN_FORMAT) => Message::NxSetPacketInFormat(match r.u32()? {
            0 => PacketInFormat::Standard,
            1 => PacketInFormat::Nxt,
            2 => PacketInFormat::Nxt2,
            _ => return Err(OfErrorKind::RequestEperm),
        }),
        (NICIRA, PACKET_IN) => Message::PacketIn(Box::new(packet::read_nxt(r)?)),
        (NICIRA, RESUME) => Message::NxResume(Box::new(packet::read_nxt2(r)?)),
        (NICIRA, PACKET_IN2) => Message::PacketIn(Box::new(packet::read_nxt2(r)?)),
        (NICIRA, GROUP_MOD) if dialect.version == Version::V10 => {
            Message::GroupMod(group::read_mod(r, Version::V10)?)
        }
        (NICIRA, FLOW_AGE) => Message::NxFlowAge,
        (NICIRA, TLV_TABLE_MOD) => Message::NxTlvTableMod(tlv::read_mod(r)?),
        (NICIRA, TLV_TABLE_REQUEST) => Message::NxTlvTableRequest,
        (NICIRA, TLV_TABLE_REPLY) => Message::NxTlvTableReply(tlv::read_reply(r)?),
        (NICIRA, SET_ASYNC_CONFIG) => Message::SetAsync(async_config::read(r, Origin::Nicira)?),
        (NICIRA, SET_ASYNC_CONFIG2) => {
            Message::SetAsyncProperties(async_config::read_properties(r, dialect.version)?)
        }
        (NICIRA, SET_CONTROLLER_ID) => {
            if !r.zeros(6)? {
                return Err(OfErrorKind::NxRequestMustBeZero);
            }
            Message::NxSetControllerId(r.u16()?)
        }
        (NICIRA, FLOW_MONITOR_CANCEL) | (ONF, ONF_FLOW_MONITOR_CANCEL) => {
            Message::FlowMonitorCancel(r.u32()?)
        }
        (NICIRA, FLOW_MONITOR_PAUSED) | (ONF, ONF_FLOW_MONITOR_PAUSED) => {
            Message::FlowMonitorPaused
        }
        (NICIRA, FLOW_MONITOR_RESUMED) | (ONF, ONF_FLOW_MONITOR_RESUMED) => {
            Message::FlowMonitorResumed
        }
        (NICIRA, REQUESTFORWARD) | (ONF, ONF_REQUESTFORWARD) => {
            Message::RequestForward(RequestForward { request: r.take_all().to_vec() })
        }
        (ONF, ONF_ROLE_STATUS) => Message::RoleStatus(config::read_role_status(r)?),
        (ONF, bundle::CONTROL) => Message::Bundle(bundle::read_control(r)?),
        (ONF, bundle::ADD) => Message::Bundle(bundle::read_add(r)?),
        _ => {
            let data = r.take_all().to_vec();
            Message::Experimenter(Experimenter { vendor, subtype, data })
        }
    })
}

fn read_role(r: &mut Reader<'_>) -> Result<Role> {
    let role = match r.u32()? {
        0 => ControllerRole::Equal,
        1 => ControllerRole::Primary,
        2 => ControllerRole::Secondary,
        _ => return Err(OfErrorKind::RoleBadRole),
    };
    Ok(Role { role, generation_id: None, origin: Origin::Nicira })
}

/// Writes vendor and subtype.
pub(super) fn put_header(out: &mut Vec<u8>, vendor: u32, subtype: u32) {
    out.u32(vendor);
    out.u32(subtype);
}

/// Writes a message that has no standard form. Those that have one do not come here.
pub(super) fn put(out: &mut Vec<u8>, message: &Message, version: Version) {
    match message {
        Message::Experimenter(Experimenter { vendor, subtype, data }) => {
            put_header(out, *vendor, *subtype);
            out.bytes(data);
        }
        Message::RoleRequest(role) => put_role(out, ROLE_REQUEST, role),
        Message::RoleReply(role) => put_role(out, ROLE_REPLY, role),
        Message::NxSetFlowFormat(format) => {
            put_header(out, NICIRA, SET_FLOW_FORMAT);
            out.u32(match format {
                FlowFormat::Standard => 0,
                FlowFormat::Nxm => FLOW_FORMAT_NXM,
            });
        }
        Message::NxFlowModTableId(on) => {
            put_header(out, NICIRA, FLOW_MOD_TABLE_ID);
            out.u8(u8::from(*on));
            out.zeros(7);
        }
        Message::NxSetPacketInFormat(format) => {
            put_header(out, NICIRA, SET_PACKET_IN_FORMAT);
            out.u32(match format {
                PacketInFormat::Standard => 0,
                PacketInFormat::Nxt => 1,
                PacketInFormat::Nxt2 => 2,
            });
        }
        Message::SetAsync(config) => {
            put_header(out, NICIRA, SET_ASYNC_CONFIG);
            async_config::put(out, config);
        }
        Message::SetAsyncProperties(properties) => {
            put_header(out, NICIRA, SET_ASYNC_CONFIG2);
            async_config::put_properties(out, properties);
        }
        Message::NxTlvTableMod(change) => {
            put_header(out, NICIRA, TLV_TABLE_MOD);
            tlv::put_mod(out, change);
        }
        Message::NxTlvTableRequest => put_header(out, NICIRA, TLV_TABLE_REQUEST),
        Message::NxTlvTableReply(reply) => {
            put_header(out, NICIRA, TLV_TABLE_REPLY);
            tlv::put_reply(out, reply);
        }
        Message::NxSetControllerId(id) => {
            put_header(out, NICIRA, SET_CONTROLLER_ID);
            out.zeros(6);
            out.u16(*id);
        }
        Message::NxResume(packet) => {
            put_header(out, NICIRA, RESUME);
            packet::put_resume(out, packet, version);
        }
        Message::GroupMod(group) => {
            put_header(out, NICIRA, GROUP_MOD);
            group::put_mod(out, group, Version::V10);
        }
        Message::FlowMonitorCancel(id) => {
            put_either(out, version, FLOW_MONITOR_CANCEL, ONF_FLOW_MONITOR_CANCEL);
            out.u32(*id);
        }
        Message::FlowMonitorPaused => {
            put_either(out, version, FLOW_MONITOR_PAUSED, ONF_FLOW_MONITOR_PAUSED);
        }
        Message::FlowMonitorResumed => {
            put_either(out, version, FLOW_MONITOR_RESUMED, ONF_FLOW_MONITOR_RESUMED);
        }
        Message::RequestForward(forward) => {
            put_either(out, version, REQUESTFORWARD, ONF_REQUESTFORWARD);
            out.bytes(&forward.request);
        }
        Message::RoleStatus(status) => {
            put_header(out, ONF, ONF_ROLE_STATUS);
            config::put_role_status(out, status);
        }
        Message::Bundle(message) => {
            put_header(out, ONF, bundle::subtype(message));
            bundle::put(out, message);
        }
        _ => put_header(out, NICIRA, FLOW_AGE),
    }
}

/// Writes Nicira's number, or the ONF's, which extended 1.3.
fn put_either(out: &mut Vec<u8>, version: Version, nicira: u32, onf: u32) {
    match version {
        Version::V10 | Version::V11 | Version::V12 => put_header(out, NICIRA, nicira),
        _ => put_header(out, ONF, onf),
    }
}

/// Nicira has no "no change" and calls "equal" "other".
fn put_role(out: &mut Vec<u8>, subtype: u32, role: &Role) {
    put_header(out, NICIRA, subtype);
    out.u32(match role.role {
        ControllerRole::NoChange | ControllerRole::Equal => 0,
        ControllerRole::Primary => 1,
        ControllerRole::Secondary => 2,
    });
}

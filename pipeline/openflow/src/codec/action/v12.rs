//! The actions of OpenFlow 1.2 and later (1.3.5 §7.2.5, 1.5.1 §7.2.6): set-field instead of a setter
//! for each field.

use alloc::vec::Vec;

use flow::{Field, proto};

use super::{Packet, copy_field, mpls_type, nicira, output, put_action, v11, vlan_type};
use crate::actions::PBB_TYPE;
use crate::codec::oxm::{self, Flavour};
use crate::codec::wire::{Put, Reader, Result};
use crate::{Action, METER_MAX, OfErrorKind, OfPort, Version};

const OUTPUT: u16 = 0;
const COPY_TTL_OUT: u16 = 11;
const COPY_TTL_IN: u16 = 12;
const SET_MPLS_TTL: u16 = 15;
const DEC_MPLS_TTL: u16 = 16;
const PUSH_VLAN: u16 = 17;
const POP_VLAN: u16 = 18;
const PUSH_MPLS: u16 = 19;
const POP_MPLS: u16 = 20;
const SET_QUEUE: u16 = 21;
const GROUP: u16 = 22;
const SET_NW_TTL: u16 = 23;
const DEC_NW_TTL: u16 = 24;
const SET_FIELD: u16 = 25;
const PUSH_PBB: u16 = 26;
const POP_PBB: u16 = 27;
const COPY_FIELD: u16 = 28;
const METER: u16 = 29;

/// Whether a version has the action with this number.
fn exists(kind: u16, version: Version) -> bool {
    let last = match version {
        Version::V10 | Version::V11 => DEC_NW_TTL,
        Version::V12 => SET_FIELD,
        Version::V13 | Version::V14 => POP_PBB,
        Version::V15 => METER,
    };
    kind <= last
}

/// Reads an action that `version`, 1.1 or later, has with this number.
pub(super) fn read(kind: u16, r: &mut Reader<'_>, version: Version) -> Result<Action> {
    if version > Version::V11 && v11::is_setter(kind) {
        return v11::read(kind, r);
    }
    Ok(match kind {
        _ if !exists(kind, version) => return Err(OfErrorKind::ActionBadType),
        OUTPUT => {
            let port = OfPort(r.u32()?);
            let action = output(port, r.u16()?)?;
            r.skip(6)?;
            action
        }
        COPY_TTL_OUT => Action::CopyTtlOut,
        COPY_TTL_IN => Action::CopyTtlIn,
        SET_MPLS_TTL => Action::SetMplsTtl(r.u8()?),
        DEC_MPLS_TTL => Action::DecMplsTtl,
        PUSH_VLAN => Action::PushVlan(vlan_type(r.u16()?)?),
        POP_VLAN => Action::PopVlan,
        PUSH_MPLS => Action::PushMpls(mpls_type(r.u16()?)?),
        POP_MPLS => Action::PopMpls(r.u16()?),
        SET_QUEUE => Action::SetQueue(r.u32()?),
        GROUP => Action::Group(r.u32()?),
        SET_NW_TTL => Action::SetNwTtl(r.u8()?),
        DEC_NW_TTL => Action::DecTtl(Vec::from([0])),
        SET_FIELD => read_set_field(r, version)?,
        PUSH_PBB => match r.u16()? {
            PBB_TYPE => Action::PushPbb(PBB_TYPE),
            _ => return Err(OfErrorKind::ActionBadArgument),
        },
        POP_PBB => Action::PopPbb,
        COPY_FIELD => copy_field::read(r)?,
        METER => match r.u32()? {
            meter @ 1..=METER_MAX => Action::Meter(meter),
            _ => return Err(OfErrorKind::ActionBadMeter),
        },
        _ => return Err(OfErrorKind::ActionBadType),
    })
}

/// §7.2.5.7: no mask before 1.5, not the ingress port, a VLAN id only with its present bit,
/// zeros as padding.
fn read_set_field(r: &mut Reader<'_>, version: Version) -> Result<Action> {
    let (field, value, mask) = oxm::read_set_field(r)?;
    if mask != field.ones() && version < Version::V15 {
        return Err(OfErrorKind::ActionBadSetMask);
    }
    let present = u128::from(proto::VLAN_PRESENT);
    let takes_tag = field == Field::VlanVid && mask & present != 0 && value & present == 0;
    // Open vSwitch sends loads to it in this form in 1.5.
    let is_port = field == Field::InPort && version < Version::V15;
    if is_port || takes_tag || !r.zeros(r.len())? {
        return Err(OfErrorKind::ActionBadSetArgument);
    }
    Ok(Action::SetField { field, value, mask })
}

pub(super) fn put(out: &mut Vec<u8>, action: &Action, packet: Packet, version: Version) {
    match *action {
        Action::Output { port, max_len } => put_action(out, OUTPUT, |out| {
            out.u32(port.0);
            out.u16(max_len);
            out.zeros(6);
        }),
        // There is no enqueue after 1.0: the queue, the output, the queue back.
        Action::Enqueue { port, queue } => {
            put_u32(out, SET_QUEUE, queue);
            put(out, &Action::output(port), packet, version);
            nicira::put(out, &Action::PopQueue, version);
        }
        Action::SetVlanVid(vid) => {
            push_vlan_if_none(out, packet);
            put_field(out, Field::VlanVid, u128::from(vid | proto::VLAN_PRESENT), version);
        }
        Action::SetVlanPcp(pcp) => {
            push_vlan_if_none(out, packet);
            put_field(out, Field::VlanPcp, pcp.into(), version);
        }
        Action::SetTpSrc(port) => {
            let field = packet.port_field(Field::TcpSrc, Field::UdpSrc, Field::SctpSrc);
            put_field(out, field, port.into(), version);
        }
        Action::SetTpDst(port) => {
            let field = packet.port_field(Field::TcpDst, Field::UdpDst, Field::SctpDst);
            put_field(out, field, port.into(), version);
        }
        Action::CopyTtlOut => put_u32(out, COPY_TTL_OUT, 0),
        Action::CopyTtlIn => put_u32(out, COPY_TTL_IN, 0),
        Action::SetMplsTtl(ttl) => put_u8(out, SET_MPLS_TTL, ttl),
        Action::DecMplsTtl => put_u32(out, DEC_MPLS_TTL, 0),
        Action::PushVlan(ethertype) => put_u16(out, PUSH_VLAN, ethertype),
        Action::PopVlan => put_u32(out, POP_VLAN, 0),
        Action::PushMpls(ethertype) => put_u16(out, PUSH_MPLS, ethertype),
        Action::PopMpls(ethertype) => put_u16(out, POP_MPLS, ethertype),
        Action::SetQueue(queue) => put_u32(out, SET_QUEUE, queue),
        Action::Group(group) => put_u32(out, GROUP, group),
        Action::SetNwTtl(ttl) => put_u8(out, SET_NW_TTL, ttl),
        Action::DecTtl(ref ids) if *ids == [0] => put_u32(out, DEC_NW_TTL, 0),
        // Versions before 1.3 have no way to say it.
        Action::PushPbb(_) | Action::PopPbb if version < Version::V13 => {}
        Action::PushPbb(ethertype) => put_u16(out, PUSH_PBB, ethertype),
        Action::PopPbb => put_u32(out, POP_PBB, 0),
        Action::Move { src, dst } if version >= Version::V15 => {
            put_action(out, COPY_FIELD, |out| copy_field::put(out, src, dst, version));
        }
        Action::Meter(meter) => put_u32(out, METER, meter),
        // In 32 bits the ingress port is nothing that Open vSwitch sets.
        Action::SetField { field: Field::InPort, value, .. } if is_short_port(value) => {
            put_action(out, SET_FIELD, |out| {
                oxm::put_entry(out, Field::InPort, value, Field::InPort.ones(), Flavour::Nxm);
            });
        }
        Action::SetField { field, value, mask } if mask == field.ones() => {
            put_field(out, field, value, version);
        }
        // From 1.5 on a set-field may have a mask, and Nicira's forms are no more.
        Action::SetField { field, value, mask } if version >= Version::V15 => {
            put_masked(out, field, value, mask, version);
        }
        // The number of 16 bits is a field of its own, which a mask cannot tell of.
        Action::Load { dst, value } if version >= Version::V15 && dst.field == Field::InPort => {
            put_action(out, SET_FIELD, |out| {
                oxm::put_entry(out, dst.field, value.into(), dst.field.ones(), Flavour::Nxm);
            });
        }
        Action::Load { dst, value } if version >= Version::V15 => {
            put_masked(out, dst.field, u128::from(value) << dst.offset, dst.mask(), version);
        }
        _ => nicira::put(out, action, version),
    }
}

/// Pushes a tag where a setter of 1.0 would.
pub(super) fn push_vlan_if_none(out: &mut Vec<u8>, packet: Packet) {
    if !packet.has_vlan {
        put_u16(out, PUSH_VLAN, proto::eth_type::VLAN);
    }
}

/// A set-field of a whole field.
fn put_field(out: &mut Vec<u8>, field: Field, value: u128, version: Version) {
    put_masked(out, field, value, field.ones(), version);
}

/// Whether 16 bits can name a port.
fn is_short_port(port: u128) -> bool {
    u32::try_from(port).is_ok_and(|port| OfPort(port).to_u16().is_some())
}

/// A set-field of some bits. The DSCP is named without its shift in the standard.
fn put_masked(out: &mut Vec<u8>, field: Field, value: u128, mask: u128, version: Version) {
    let (field, value, mask) = match field {
        Field::IpDscp => (Field::IpDscpShifted, value >> 2, mask >> 2),
        _ => (field, value, mask),
    };
    put_action(out, SET_FIELD, |out| {
        oxm::put_entry(out, field, value, mask, Flavour::Oxm(version));
    });
}

fn put_u8(out: &mut Vec<u8>, kind: u16, value: u8) {
    put_action(out, kind, |out| {
        out.u8(value);
        out.zeros(3);
    });
}

fn put_u16(out: &mut Vec<u8>, kind: u16, value: u16) {
    put_action(out, kind, |out| {
        out.u16(value);
        out.zeros(2);
    });
}

fn put_u32(out: &mut Vec<u8>, kind: u16, value: u32) {
    put_action(out, kind, |out| out.u32(value));
}

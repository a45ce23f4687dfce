//! The actions of OpenFlow 1.1 (1.1 §A.2.5): a setter for each field, as in 1.0, and the tags, TTLs and
//! groups of later versions.
//!
//! Unlike those of 1.0 the VLAN setters need a tag, so they are set-fields. The other numbers are those
//! of 1.2.

use alloc::vec::Vec;

use flow::{Field, proto};

use super::{Packet, nicira, put_action, v12};
use crate::codec::wire::{Put, Reader, Result};
use crate::{Action, OfErrorKind, Version};

const SET_VLAN_VID: u16 = 1;
const SET_VLAN_PCP: u16 = 2;
const SET_DL_SRC: u16 = 3;
const SET_DL_DST: u16 = 4;
const SET_NW_SRC: u16 = 5;
const SET_NW_DST: u16 = 6;
const SET_NW_TOS: u16 = 7;
const SET_NW_ECN: u16 = 8;
const SET_TP_SRC: u16 = 9;
const SET_TP_DST: u16 = 10;
const SET_MPLS_LABEL: u16 = 13;
const SET_MPLS_TC: u16 = 14;

/// Whether this number is a setter of 1.1. Later versions have set-field in its place; Open vSwitch takes it
/// there as well, and `ovs-ofctl` sends it where it does not know the packet (`packet-out` with `mod_tp_src`).
pub(super) fn is_setter(kind: u16) -> bool {
    matches!(kind, SET_VLAN_VID..=SET_TP_DST | SET_MPLS_LABEL | SET_MPLS_TC)
}

/// Reads an action.
pub(super) fn read(kind: u16, r: &mut Reader<'_>) -> Result<Action> {
    let checked = |field: Field, value: u128| match field.is_valid(value) {
        true => Ok(Action::set_field(field, value)),
        false => Err(OfErrorKind::ActionBadArgument),
    };
    match kind {
        SET_VLAN_VID => match r.u16()? {
            vid if vid <= proto::VLAN_VID_MASK => {
                Ok(Action::set_field(Field::VlanVid, (vid | proto::VLAN_PRESENT).into()))
            }
            _ => Err(OfErrorKind::ActionBadArgument),
        },
        SET_VLAN_PCP => checked(Field::VlanPcp, r.u8()?.into()),
        SET_DL_SRC => read_ethernet(r, Field::EthSrc),
        SET_DL_DST => read_ethernet(r, Field::EthDst),
        SET_NW_SRC => Ok(Action::set_field(Field::Ipv4Src, r.u32()?.into())),
        SET_NW_DST => Ok(Action::set_field(Field::Ipv4Dst, r.u32()?.into())),
        SET_NW_TOS => match r.u8()? {
            tos if tos & 3 == 0 => Ok(Action::set_field(Field::IpDscp, tos.into())),
            _ => Err(OfErrorKind::ActionBadArgument),
        },
        SET_NW_ECN => checked(Field::IpEcn, r.u8()?.into()),
        SET_TP_SRC => Ok(Action::SetTpSrc(r.u16()?)),
        SET_TP_DST => Ok(Action::SetTpDst(r.u16()?)),
        SET_MPLS_LABEL => checked(Field::MplsLabel, r.u32()?.into()),
        SET_MPLS_TC => checked(Field::MplsTc, r.u8()?.into()),
        _ => v12::read(kind, r, Version::V11),
    }
}

fn read_ethernet(r: &mut Reader<'_>, field: Field) -> Result<Action> {
    let address = r.number(6)?;
    r.skip(6)?;
    Ok(Action::set_field(field, address))
}

/// Writes an action for a packet of which this much is known.
pub(super) fn put(out: &mut Vec<u8>, action: &Action, packet: Packet) {
    match *action {
        Action::SetVlanVid(vid) => {
            v12::push_vlan_if_none(out, packet);
            put_short(out, SET_VLAN_VID, vid);
        }
        Action::SetVlanPcp(pcp) => {
            v12::push_vlan_if_none(out, packet);
            put_byte(out, SET_VLAN_PCP, pcp.into());
        }
        Action::SetTpSrc(port) => put_short(out, SET_TP_SRC, port),
        Action::SetTpDst(port) => put_short(out, SET_TP_DST, port),
        Action::SetField { field, value, mask } if mask == field.ones() => {
            if !put_whole_field(out, field, value) {
                nicira::put(out, action, Version::V11);
            }
        }
        Action::SetField { .. } => nicira::put(out, action, Version::V11),
        _ => v12::put(out, action, packet, Version::V11),
    }
}

/// The fields that 1.1 has actions for; says whether this was one.
fn put_whole_field(out: &mut Vec<u8>, field: Field, value: u128) -> bool {
    let low = u16::try_from(value & 0xffff).unwrap_or(0);
    match field {
        Field::VlanVid if value & u128::from(proto::VLAN_PRESENT) != 0 => {
            put_short(out, SET_VLAN_VID, low & proto::VLAN_VID_MASK);
        }
        Field::VlanPcp => put_byte(out, SET_VLAN_PCP, value),
        Field::EthSrc => put_ethernet(out, SET_DL_SRC, value),
        Field::EthDst => put_ethernet(out, SET_DL_DST, value),
        Field::Ipv4Src => put_word(out, SET_NW_SRC, value),
        Field::Ipv4Dst => put_word(out, SET_NW_DST, value),
        Field::IpDscp => put_byte(out, SET_NW_TOS, value),
        Field::IpDscpShifted => put_byte(out, SET_NW_TOS, value << 2),
        Field::IpEcn => put_byte(out, SET_NW_ECN, value),
        Field::TcpSrc | Field::UdpSrc | Field::SctpSrc => put_short(out, SET_TP_SRC, low),
        Field::TcpDst | Field::UdpDst | Field::SctpDst => put_short(out, SET_TP_DST, low),
        Field::MplsLabel => put_word(out, SET_MPLS_LABEL, value),
        Field::MplsTc => put_byte(out, SET_MPLS_TC, value),
        _ => return false,
    }
    true
}

fn put_ethernet(out: &mut Vec<u8>, kind: u16, value: u128) {
    put_action(out, kind, |out| {
        out.number(value, 6);
        out.zeros(6);
    });
}

fn put_word(out: &mut Vec<u8>, kind: u16, value: u128) {
    put_action(out, kind, |out| out.number(value, 4));
}

fn put_short(out: &mut Vec<u8>, kind: u16, value: u16) {
    put_action(out, kind, |out| {
        out.u16(value);
        out.zeros(2);
    });
}

fn put_byte(out: &mut Vec<u8>, kind: u16, value: u128) {
    put_action(out, kind, |out| {
        out.number(value, 1);
        out.zeros(3);
    });
}

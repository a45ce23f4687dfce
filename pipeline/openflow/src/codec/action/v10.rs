//! The actions of OpenFlow 1.0 (1.0.1 §5.2.4).

use alloc::vec::Vec;

use flow::Field;

use super::{nicira, output, output_port, put_action};
use crate::codec::wire::{Put, Reader, Result};
use crate::{Action, OfErrorKind, OfPort};

const OUTPUT: u16 = 0;
const SET_VLAN_VID: u16 = 1;
const SET_VLAN_PCP: u16 = 2;
const STRIP_VLAN: u16 = 3;
const SET_DL_SRC: u16 = 4;
const SET_DL_DST: u16 = 5;
const SET_NW_SRC: u16 = 6;
const SET_NW_DST: u16 = 7;
const SET_NW_TOS: u16 = 8;
const SET_TP_SRC: u16 = 9;
const SET_TP_DST: u16 = 10;
const ENQUEUE: u16 = 11;

pub(super) fn read(kind: u16, r: &mut Reader<'_>) -> Result<Action> {
    let bad_argument = OfErrorKind::ActionBadArgument;
    Ok(match kind {
        OUTPUT => {
            let port = OfPort::from_u16(r.u16()?);
            output(port, r.u16()?)?
        }
        SET_VLAN_VID => match r.u16()? {
            vid @ 0..=0x0fff => Action::SetVlanVid(vid),
            _ => return Err(bad_argument),
        },
        SET_VLAN_PCP => match r.u8()? {
            pcp @ 0..=7 => Action::SetVlanPcp(pcp),
            _ => return Err(bad_argument),
        },
        STRIP_VLAN => Action::PopVlan,
        SET_DL_SRC => read_ethernet(r, Field::EthSrc)?,
        SET_DL_DST => read_ethernet(r, Field::EthDst)?,
        SET_NW_SRC => Action::set_field(Field::Ipv4Src, r.u32()?.into()),
        SET_NW_DST => Action::set_field(Field::Ipv4Dst, r.u32()?.into()),
        SET_NW_TOS => match r.u8()? {
            tos if tos & 3 == 0 => Action::set_field(Field::IpDscp, tos.into()),
            _ => return Err(bad_argument),
        },
        SET_TP_SRC => Action::SetTpSrc(r.u16()?),
        SET_TP_DST => Action::SetTpDst(r.u16()?),
        ENQUEUE => {
            let port = OfPort::from_u16(r.u16()?);
            r.skip(6)?;
            let queue = r.u32()?;
            // A queue belongs to a port (1.0.1 §5.2.4): a number, the ingress port or LOCAL.
            match port {
                OfPort::IN_PORT => {}
                port if port.is_physical() => {}
                _ => return Err(OfErrorKind::ActionBadOutPort),
            }
            Action::Enqueue { port: output_port(port)?, queue }
        }
        _ => return Err(OfErrorKind::ActionBadType),
    })
}

fn read_ethernet(r: &mut Reader<'_>, field: Field) -> Result<Action> {
    let address = r.number(6)?;
    r.skip(6)?;
    Ok(Action::set_field(field, address))
}

pub(super) fn put(out: &mut Vec<u8>, action: &Action) {
    match *action {
        Action::Output { port, max_len } => put_action(out, OUTPUT, |out| {
            out.u16(port.to_u16().unwrap_or(u16::MAX));
            out.u16(max_len);
        }),
        Action::SetVlanVid(vid) => put_action(out, SET_VLAN_VID, |out| {
            out.u16(vid);
            out.u16(0);
        }),
        Action::SetVlanPcp(pcp) => put_action(out, SET_VLAN_PCP, |out| {
            out.u8(pcp);
            out.zeros(3);
        }),
        Action::PopVlan => put_action(out, STRIP_VLAN, |out| out.u32(0)),
        Action::SetTpSrc(port) => put_port(out, SET_TP_SRC, port),
        Action::SetTpDst(port) => put_port(out, SET_TP_DST, port),
        Action::Enqueue { port, queue } => put_action(out, ENQUEUE, |out| {
            out.u16(port.to_u16().unwrap_or(u16::MAX));
            out.zeros(6);
            out.u32(queue);
        }),
        Action::SetField { field, value, mask } if mask == field.ones() => {
            if !put_whole_field(out, field, value) {
                nicira::put(out, action, crate::Version::V10);
            }
        }
        // A tag comes with the first SET_VLAN in 1.0: there is no way to say more.
        Action::PushVlan(_) => {}
        _ => nicira::put(out, action, crate::Version::V10),
    }
}

/// The fields that 1.0 has actions for; says whether this was one.
fn put_whole_field(out: &mut Vec<u8>, field: Field, value: u128) -> bool {
    let low = u16::try_from(value & 0xffff).unwrap_or(0);
    let (kind, is_ethernet) = match field {
        Field::EthSrc => (SET_DL_SRC, true),
        Field::EthDst => (SET_DL_DST, true),
        Field::Ipv4Src => (SET_NW_SRC, false),
        Field::Ipv4Dst => (SET_NW_DST, false),
        Field::IpDscp | Field::IpDscpShifted => {
            let tos = if field == Field::IpDscp { value } else { value << 2 };
            put_action(out, SET_NW_TOS, |out| {
                out.number(tos, 1);
                out.zeros(3);
            });
            return true;
        }
        Field::TcpSrc | Field::UdpSrc | Field::SctpSrc => {
            put_port(out, SET_TP_SRC, low);
            return true;
        }
        Field::TcpDst | Field::UdpDst | Field::SctpDst => {
            put_port(out, SET_TP_DST, low);
            return true;
        }
        _ => return false,
    };
    put_action(out, kind, |out| {
        if is_ethernet {
            out.number(value, 6);
            out.zeros(6);
        } else {
            out.number(value, 4);
        }
    });
    true
}

fn put_port(out: &mut Vec<u8>, kind: u16, port: u16) {
    put_action(out, kind, |out| {
        out.u16(port);
        out.u16(0);
    });
}

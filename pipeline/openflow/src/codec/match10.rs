//! The fixed match of OpenFlow 1.0 (1.0.1 §5.2.3).

use alloc::vec::Vec;

use flow::{Field, Match, OFP10_VLAN_NONE};

use super::wire::{Put, Reader, Result};
use crate::OfPort;

/// Bytes of the match.
pub(crate) const MATCH_BYTES: usize = 40;

const W_IN_PORT: u32 = 1 << 0;
const W_DL_VLAN: u32 = 1 << 1;
const W_DL_SRC: u32 = 1 << 2;
const W_DL_DST: u32 = 1 << 3;
const W_DL_TYPE: u32 = 1 << 4;
const W_NW_PROTO: u32 = 1 << 5;
const W_TP_SRC: u32 = 1 << 6;
const W_TP_DST: u32 = 1 << 7;
const NW_SRC_SHIFT: u32 = 8;
const NW_DST_SHIFT: u32 = 14;
const NW_BITS: u32 = 0x3f;
const W_DL_VLAN_PCP: u32 = 1 << 20;
const W_NW_TOS: u32 = 1 << 21;
/// Every wildcard bit.
pub(crate) const W_ALL: u32 = (1 << 22) - 1;

const DSCP_MASK: u8 = 0xfc;
const VID_MASK: u16 = 0x0fff;

/// A match and whether it leaves no field open (such a rule has the highest priority, §3.4).
pub(crate) struct Read {
    pub(crate) match_: Match,
    pub(crate) is_exact: bool,
}

/// Reads a match. Fields of protocols that the match does not ask for are dropped, as Open vSwitch
/// does and §3.4 allows ("ignored").
pub(crate) fn read_match(r: &mut Reader<'_>) -> Result<Read> {
    let wildcards = r.u32()? & W_ALL;
    let in_port = r.u16()?;
    let dl_src = r.number(6)?;
    let dl_dst = r.number(6)?;
    let dl_vlan = r.u16()?;
    let dl_vlan_pcp = r.u8()?;
    r.skip(1)?;
    let dl_type = r.u16()?;
    let nw_tos = r.u8()? & DSCP_MASK;
    let nw_proto = r.u8()?;
    r.skip(2)?;
    let nw_src = r.u32()?;
    let nw_dst = r.u32()?;
    let tp_src = r.u16()?;
    let tp_dst = r.u16()?;

    let mut match_ = Match::default();
    let mut exact = |wildcard: u32, field: Field, value: u128| {
        if wildcards & wildcard == 0 {
            match_.set_exact(field, value);
        }
    };
    exact(W_IN_PORT, Field::InPort, OfPort::from_u16(in_port).0.into());
    exact(W_DL_SRC, Field::EthSrc, dl_src);
    exact(W_DL_DST, Field::EthDst, dl_dst);
    exact(W_DL_TYPE, Field::EthType, dl_type.into());
    exact(W_NW_PROTO, Field::IpProto, nw_proto.into());
    exact(W_NW_TOS, Field::IpDscp, nw_tos.into());
    exact(W_TP_SRC, Field::TcpSrc, tp_src.into());
    exact(W_TP_DST, Field::TcpDst, tp_dst.into());
    // A priority without a tag is a contradiction; "no tag" wins, as in Open vSwitch.
    let no_tag = wildcards & W_DL_VLAN == 0 && u128::from(dl_vlan) == OFP10_VLAN_NONE;
    if no_tag {
        exact(W_DL_VLAN, Field::DlVlan, OFP10_VLAN_NONE);
    } else {
        exact(W_DL_VLAN, Field::DlVlan, (dl_vlan & VID_MASK).into());
        exact(W_DL_VLAN_PCP, Field::DlVlanPcp, (dl_vlan_pcp & 7).into());
    }
    match_.set(Field::Ipv4Src, nw_src.into(), nw_mask(wildcards >> NW_SRC_SHIFT));
    match_.set(Field::Ipv4Dst, nw_dst.into(), nw_mask(wildcards >> NW_DST_SHIFT));
    match_.normalize();
    Ok(Read { match_, is_exact: wildcards == 0 })
}

/// Whether the fixed match can say all of `match_`.
pub(crate) fn can_say(match_: &Match) -> bool {
    let mut bytes = Vec::with_capacity(MATCH_BYTES);
    put_match(&mut bytes, match_);
    let mut reader = Reader::new(&bytes, crate::OfErrorKind::RequestBadLen);
    read_match(&mut reader).is_ok_and(|read| read.match_ == *match_)
}

/// Writes as much of a match as the fixed form can say.
pub(crate) fn put_match(out: &mut Vec<u8>, match_: &Match) {
    let field = |field: Field| match_.get(field);
    let low = |value: u128| u16::try_from(value & 0xffff).unwrap_or(0);
    let low8 = |value: u128| u8::try_from(value & 0xff).unwrap_or(0);
    let low32 = |value: u128| u32::try_from(value & 0xffff_ffff).unwrap_or(0);
    let open = |f: Field, wildcard: u32| if field(f).1 == 0 { wildcard } else { 0 };

    let mut wildcards = open(Field::InPort, W_IN_PORT)
        | open(Field::EthSrc, W_DL_SRC)
        | open(Field::EthDst, W_DL_DST)
        | open(Field::EthType, W_DL_TYPE)
        | open(Field::IpProto, W_NW_PROTO)
        | open(Field::IpDscp, W_NW_TOS)
        | open(Field::TcpSrc, W_TP_SRC)
        | open(Field::TcpDst, W_TP_DST)
        | open_bits(low32(field(Field::Ipv4Src).1)) << NW_SRC_SHIFT
        | open_bits(low32(field(Field::Ipv4Dst).1)) << NW_DST_SHIFT;

    let (tci, tci_mask) = field(Field::VlanTci);
    let present = u128::from(flow::proto::VLAN_PRESENT);
    let mut dl_vlan = 0;
    let mut dl_vlan_pcp = 0;
    if tci_mask & present != 0 && tci & present == 0 {
        dl_vlan = low(OFP10_VLAN_NONE);
    } else {
        if tci_mask & u128::from(VID_MASK) == 0 {
            wildcards |= W_DL_VLAN;
        } else {
            dl_vlan = low(tci) & VID_MASK;
        }
        if field(Field::DlVlanPcp).1 == 0 {
            wildcards |= W_DL_VLAN_PCP;
        } else {
            dl_vlan_pcp = low8(field(Field::DlVlanPcp).0);
        }
    }

    out.u32(wildcards);
    out.u16(OfPort(low32(field(Field::InPort).0)).to_u16().unwrap_or(u16::MAX));
    out.number(field(Field::EthSrc).0, 6);
    out.number(field(Field::EthDst).0, 6);
    out.u16(dl_vlan);
    out.u8(dl_vlan_pcp);
    out.zeros(1);
    out.u16(low(field(Field::EthType).0));
    out.u8(low8(field(Field::IpDscp).0) & DSCP_MASK);
    out.u8(low8(field(Field::IpProto).0));
    out.zeros(2);
    out.u32(low32(field(Field::Ipv4Src).0));
    out.u32(low32(field(Field::Ipv4Dst).0));
    out.u16(low(field(Field::TcpSrc).0));
    out.u16(low(field(Field::TcpDst).0));
}

/// The mask that a count of open low bits means; 32 and more is no match at all.
fn nw_mask(open: u32) -> u128 {
    let open = open & NW_BITS;
    u128::from(u32::MAX.checked_shl(open).unwrap_or(0))
}

/// The count of open low bits that is closest to a mask.
fn open_bits(mask: u32) -> u32 {
    mask.trailing_zeros().min(32)
}

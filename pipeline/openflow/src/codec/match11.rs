//! The fixed match of OpenFlow 1.1 (1.1 §A.2.3.1): type 0, 88 bytes. Masks are written inverted.

use alloc::vec::Vec;

use flow::{Field, Match, Prereq, proto};

use super::wire::{Put, Reader, Result};
use crate::OfErrorKind;

/// `OFPMT_STANDARD`.
pub(crate) const TYPE: u16 = 0;
/// Bytes of the match, its type and length included.
pub(crate) const MATCH_BYTES: u16 = 88;

const W_IN_PORT: u32 = 1 << 0;
const W_DL_VLAN: u32 = 1 << 1;
const W_DL_VLAN_PCP: u32 = 1 << 2;
const W_DL_TYPE: u32 = 1 << 3;
const W_NW_TOS: u32 = 1 << 4;
const W_NW_PROTO: u32 = 1 << 5;
const W_TP_SRC: u32 = 1 << 6;
const W_TP_DST: u32 = 1 << 7;
const W_MPLS_LABEL: u32 = 1 << 8;
const W_MPLS_TC: u32 = 1 << 9;

/// Any tag; no tag.
const VLAN_ANY: u16 = 0xfffe;
const VLAN_NONE: u16 = 0xffff;

const PRESENT: u16 = proto::VLAN_PRESENT;
const VID_MASK: u16 = proto::VLAN_VID_MASK;
const DSCP_MASK: u8 = 0xfc;

/// Reads what follows type and length. Fields of protocols that the match does not ask for are
/// ignored, as §A.2.3.1 says; ICMP is as it was in 1.0.
pub(crate) fn read(r: &mut Reader<'_>) -> Result<Match> {
    let bad_value = OfErrorKind::MatchBadValue;
    let in_port = r.u32()?;
    let wildcards = r.u32()?;
    let (dl_src, dl_src_mask) = (r.number(6)?, r.number(6)?);
    let (dl_dst, dl_dst_mask) = (r.number(6)?, r.number(6)?);
    let dl_vlan = r.u16()?;
    let dl_vlan_pcp = r.u8()?;
    r.skip(1)?;
    let dl_type = r.u16()?;
    let (nw_tos, nw_proto) = (r.u8()?, r.u8()?);
    let (nw_src, nw_src_mask) = (r.u32()?, r.u32()?);
    let (nw_dst, nw_dst_mask) = (r.u32()?, r.u32()?);
    let (tp_src, tp_dst) = (r.u16()?, r.u16()?);
    let mpls_label = r.u32()?;
    let mpls_tc = r.u8()?;
    r.skip(3)?;
    let (metadata, metadata_mask) = (r.u64()?, r.u64()?);

    let has = |wildcard: u32| wildcards & wildcard == 0;
    let mut m = Match::default();
    if has(W_IN_PORT) {
        m.set_exact(Field::InPort, in_port.into());
    }
    set_masked(&mut m, Field::EthSrc, dl_src, !dl_src_mask);
    set_masked(&mut m, Field::EthDst, dl_dst, !dl_dst_mask);
    if has(W_DL_VLAN) {
        match dl_vlan {
            VLAN_NONE => m.set_exact(Field::VlanTci, 0),
            VLAN_ANY => m.set(Field::VlanTci, PRESENT.into(), PRESENT.into()),
            vid if vid <= VID_MASK => {
                m.set(Field::VlanTci, (PRESENT | vid).into(), (PRESENT | VID_MASK).into());
            }
            _ => return Err(bad_value),
        }
        if dl_vlan != VLAN_NONE && has(W_DL_VLAN_PCP) {
            if dl_vlan_pcp > 7 {
                return Err(bad_value);
            }
            m.set_exact(Field::VlanPcp, dl_vlan_pcp.into());
        }
    }
    if has(W_DL_TYPE) {
        m.set_exact(Field::EthType, dl_type.into());
    }
    let (ipv4, arp) = (m.satisfies(Prereq::Ipv4), m.satisfies(Prereq::Arp));
    if ipv4 && has(W_NW_TOS) {
        if nw_tos & !DSCP_MASK != 0 {
            return Err(bad_value);
        }
        m.set_exact(Field::IpDscp, nw_tos.into());
    }
    if ipv4 || arp {
        if has(W_NW_PROTO) {
            m.set_exact(Field::IpProto, nw_proto.into());
        }
        set_masked(&mut m, Field::Ipv4Src, nw_src.into(), (!nw_src_mask).into());
        set_masked(&mut m, Field::Ipv4Dst, nw_dst.into(), (!nw_dst_mask).into());
    }
    let is_icmp = m.satisfies(Prereq::Icmpv4);
    let has_ports = [Prereq::Tcp, Prereq::Udp, Prereq::Sctp].into_iter().any(|p| m.satisfies(p));
    if ipv4 && (is_icmp || has_ports) {
        for (wildcard, field, value) in
            [(W_TP_SRC, Field::TcpSrc, tp_src), (W_TP_DST, Field::TcpDst, tp_dst)]
        {
            if has(wildcard) {
                if is_icmp && value > 0xff {
                    return Err(OfErrorKind::MatchBadField);
                }
                m.set_exact(field, value.into());
            }
        }
    }
    if m.satisfies(Prereq::Mpls) {
        if has(W_MPLS_LABEL) {
            if !Field::MplsLabel.is_valid(mpls_label.into()) {
                return Err(bad_value);
            }
            m.set_exact(Field::MplsLabel, mpls_label.into());
        }
        if has(W_MPLS_TC) {
            if !Field::MplsTc.is_valid(mpls_tc.into()) {
                return Err(bad_value);
            }
            m.set_exact(Field::MplsTc, mpls_tc.into());
        }
    }
    set_masked(&mut m, Field::Metadata, metadata.into(), (!metadata_mask).into());
    Ok(m)
}

fn set_masked(m: &mut Match, field: Field, value: u128, mask: u128) {
    let mask = mask & field.ones();
    if mask != 0 {
        m.set(field, value & mask, mask);
    }
}

/// Whether the fixed match can say all of `match_`.
pub(crate) fn can_say(match_: &Match) -> bool {
    let mut bytes = Vec::with_capacity(usize::from(MATCH_BYTES));
    put(&mut bytes, match_);
    let mut reader = Reader::new(&bytes, OfErrorKind::MatchBadLen);
    reader.skip(4).is_ok() && read(&mut reader).is_ok_and(|read| read == *match_)
}

/// Writes as much of a match as the fixed form can say, with type and length.
pub(crate) fn put(out: &mut Vec<u8>, match_: &Match) {
    let value = |field: Field| match_.get(field).0;
    let mask = |field: Field| match_.get(field).1;
    let open = |field: Field, wildcard: u32| if mask(field) == 0 { wildcard } else { 0 };
    let mut wildcards = open(Field::InPort, W_IN_PORT)
        | open(Field::EthType, W_DL_TYPE)
        | open(Field::IpDscp, W_NW_TOS)
        | open(Field::IpProto, W_NW_PROTO)
        | open(Field::TcpSrc, W_TP_SRC)
        | open(Field::TcpDst, W_TP_DST)
        | open(Field::MplsLabel, W_MPLS_LABEL)
        | open(Field::MplsTc, W_MPLS_TC);
    let (tci, tci_mask) = match_.get(Field::VlanTci);
    let present = u128::from(PRESENT);
    let mut dl_vlan = 0;
    let mut dl_vlan_pcp = 0;
    if tci_mask == 0 {
        wildcards |= W_DL_VLAN | W_DL_VLAN_PCP;
    } else if tci_mask & present != 0 && tci & present == 0 {
        dl_vlan = VLAN_NONE;
        wildcards |= W_DL_VLAN_PCP;
    } else {
        let vid = u16::try_from(tci & u128::from(VID_MASK)).unwrap_or(0);
        dl_vlan = if tci_mask & u128::from(VID_MASK) == 0 { VLAN_ANY } else { vid };
        if mask(Field::DlVlanPcp) == 0 {
            wildcards |= W_DL_VLAN_PCP;
        } else {
            dl_vlan_pcp = u8::try_from(value(Field::DlVlanPcp)).unwrap_or(0);
        }
    }
    out.u16(TYPE);
    out.u16(MATCH_BYTES);
    out.number(if mask(Field::InPort) == 0 { 0 } else { value(Field::InPort) }, 4);
    out.u32(wildcards);
    for field in [Field::EthSrc, Field::EthDst] {
        out.number(value(field), 6);
        out.number(!mask(field), 6);
    }
    out.u16(dl_vlan);
    out.u8(dl_vlan_pcp);
    out.zeros(1);
    out.number(value(Field::EthType), 2);
    out.number(value(Field::IpDscp) & u128::from(DSCP_MASK), 1);
    out.number(value(Field::IpProto), 1);
    for field in [Field::Ipv4Src, Field::Ipv4Dst] {
        out.number(value(field), 4);
        out.number(!mask(field), 4);
    }
    out.number(value(Field::TcpSrc), 2);
    out.number(value(Field::TcpDst), 2);
    out.number(value(Field::MplsLabel), 4);
    out.number(value(Field::MplsTc), 1);
    out.zeros(3);
    out.number(value(Field::Metadata), 8);
    out.number(!mask(Field::Metadata), 8);
}

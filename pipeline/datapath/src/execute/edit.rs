//! Header edits: each action of the program as calls of [`packet::edit`], which keeps checksums and
//! offsets true.

use packet::{Batch, Offsets, Packet, edit};

use crate::{
    action::{DpAction, PushVlan, TtlCopy},
    drop_reason::DropReason,
};

/// The bit of a TCI that says "tag present" in flows and actions; on the wire it is the drop
/// eligible indicator, sent as zero.
const TCI_PRESENT: u16 = 0x1000;

/// Runs one editing action. On an error the packet may be half edited: it is to be dropped.
pub(super) fn edit(
    action: &DpAction,
    packet: &mut Packet,
    at: &mut Offsets,
) -> Result<(), DropReason> {
    let is_done = match action {
        DpAction::SetEth(set) => edit::set_eth(packet, set),
        DpAction::SetIpv4(set) => edit::set_ipv4(packet, at, set),
        DpAction::SetIpv6(set) => {
            (set.src.is_none() || edit::set_ipv6_src(packet, at, set.src))
                && (set.dst.is_none() || edit::set_ipv6_dst(packet, at, set.dst))
                && (set.label.is_none() || edit::set_ipv6_label(packet, at, set.label))
                && (set.tclass.is_none() || edit::set_ipv6_class(packet, at, set.tclass))
                && (set.hlimit.is_none() || edit::set_ipv6_hop_limit(packet, at, set.hlimit))
        }
        DpAction::SetTcp(set) => edit::set_tcp(packet, at, set),
        DpAction::SetUdp(set) => edit::set_udp(packet, at, set),
        DpAction::SetSctp(set) => {
            (set.src.is_none() || edit::set_sctp_src(packet, at, set.src))
                && (set.dst.is_none() || edit::set_sctp_dst(packet, at, set.dst))
        }
        DpAction::SetIcmp(set) => {
            (set.kind.is_none() || edit::set_icmp_type(packet, at, set.kind))
                && (set.code.is_none() || edit::set_icmp_code(packet, at, set.code))
        }
        DpAction::SetIcmpv6(set) => {
            (set.kind.is_none() || edit::set_icmpv6_type(packet, at, set.kind))
                && (set.code.is_none() || edit::set_icmpv6_code(packet, at, set.code))
        }
        DpAction::SetArp(set) => {
            (set.op.is_none() || edit::set_arp_op(packet, at, set.op))
                && (set.spa.is_none() || edit::set_arp_spa(packet, at, set.spa))
                && (set.tpa.is_none() || edit::set_arp_tpa(packet, at, set.tpa))
                && (set.sha.is_none() || edit::set_arp_sha(packet, at, set.sha))
                && (set.tha.is_none() || edit::set_arp_tha(packet, at, set.tha))
        }
        DpAction::SetNd(set) => {
            (set.target.is_none() || edit::set_nd_target(packet, at, set.target))
                && (set.sll.is_none() || edit::set_nd_sll(packet, at, set.sll))
                && (set.tll.is_none() || edit::set_nd_tll(packet, at, set.tll))
        }
        DpAction::SetNdExt(set) => {
            (set.reserved.is_none() || edit::set_nd_reserved(packet, at, set.reserved))
                && (set.options_type.is_none()
                    || edit::set_nd_options_type(packet, at, set.options_type))
        }
        DpAction::SetMpls(lse) => edit::set_mpls_lse(packet, at, *lse),
        DpAction::PushVlan(vlan) => return push_vlan(packet, at, *vlan),
        DpAction::PopVlan => edit::pop_vlan(packet, at).is_some(),
        DpAction::PushMpls(mpls) => {
            room_for(packet, TAG)?;
            edit::push_mpls(packet, at, mpls.ethertype, mpls.lse)
        }
        DpAction::PopMpls(ethertype) => edit::pop_mpls(packet, at, *ethertype),
        DpAction::PushPbb(tci) => {
            room_for(packet, PBB_HEADER)?;
            edit::push_pbb(packet, at, *tci)
        }
        DpAction::PopPbb => edit::pop_pbb(packet, at),
        DpAction::SetPbb(tci) => edit::set_pbb_tci(packet, at, *tci),
        DpAction::CopyTtl(TtlCopy::Out) => {
            edit::copy_ttl_out(packet, at);
            true
        }
        DpAction::CopyTtl(TtlCopy::In) => {
            edit::copy_ttl_in(packet, at);
            true
        }
        DpAction::SetEthType(ethertype) => edit::set_eth_type(packet, at, *ethertype),
        DpAction::SetIpProto(proto) => edit::set_ip_proto(packet, at, *proto),
        DpAction::SetTcpFlags(flags) => edit::set_tcp_flags(packet, at, *flags),
        // The executor handles all others itself.
        _ => true,
    };
    whole(is_done)
}

/// An edit that found its header.
#[inline]
pub(super) fn whole(is_done: bool) -> Result<(), DropReason> {
    if is_done { Ok(()) } else { Err(DropReason::TooShort) }
}

#[inline]
pub(super) fn push_vlan(
    packet: &mut Packet,
    at: &mut Offsets,
    vlan: PushVlan,
) -> Result<(), DropReason> {
    room_for(packet, TAG)?;
    whole(edit::push_vlan(packet, at, vlan.tpid, vlan.tci & !TCI_PRESENT))
}

/// Bytes of a VLAN tag or a label stack entry.
const TAG: usize = 4;
/// Bytes of a PBB backbone header with its service tag.
const PBB_HEADER: usize = 18;

fn room_for(packet: &Packet, n_bytes: usize) -> Result<(), DropReason> {
    if packet.headroom() < n_bytes { Err(DropReason::NoHeadroom) } else { Ok(()) }
}

/// How many bytes the action makes each packet longer, if it is one of those that change tags. What
/// stands in a row of these is one change: a tag that is rewritten is popped and pushed.
pub(super) fn growth(action: &DpAction) -> Option<isize> {
    match action {
        DpAction::PushVlan(_) | DpAction::PushMpls(_) => Some(4),
        DpAction::PopVlan | DpAction::PopMpls(_) => Some(-4),
        DpAction::PushPbb(_) => Some(18),
        DpAction::PopPbb => Some(-18),
        DpAction::SetMpls(_) => Some(0),
        _ => None,
    }
}

/// Fills up what tags were taken from to the least that Ethernet sends, without its checksum.
pub(super) fn pad(group: &mut Batch) {
    const MINIMUM: usize = 60;
    for packet in group.iter_mut() {
        // A buffer has room for it; if not, the device fills up.
        let _ = edit::pad_to_minimum(packet, MINIMUM);
    }
}

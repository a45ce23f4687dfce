//! Header edits: each action of the program as calls of [`packet::edit`], which keeps checksums and
//! offsets true.

use packet::{Offsets, Packet, edit};

use crate::{action::DpAction, drop_reason::DropReason};

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
        DpAction::SetEth(set) => {
            (set.src.is_none() || edit::set_eth_src(packet, set.src))
                && (set.dst.is_none() || edit::set_eth_dst(packet, set.dst))
        }
        DpAction::SetIpv4(set) => {
            (set.src.is_none() || edit::set_ipv4_src(packet, at, set.src))
                && (set.dst.is_none() || edit::set_ipv4_dst(packet, at, set.dst))
                && (set.tos.is_none() || edit::set_ipv4_tos(packet, at, set.tos))
                && (set.ttl.is_none() || edit::set_ipv4_ttl(packet, at, set.ttl))
        }
        DpAction::SetIpv6(set) => {
            (set.src.is_none() || edit::set_ipv6_src(packet, at, set.src))
                && (set.dst.is_none() || edit::set_ipv6_dst(packet, at, set.dst))
                && (set.label.is_none() || edit::set_ipv6_label(packet, at, set.label))
                && (set.tclass.is_none() || edit::set_ipv6_class(packet, at, set.tclass))
                && (set.hlimit.is_none() || edit::set_ipv6_hop_limit(packet, at, set.hlimit))
        }
        DpAction::SetTcp(set) => {
            (set.src.is_none() || edit::set_tcp_src(packet, at, set.src))
                && (set.dst.is_none() || edit::set_tcp_dst(packet, at, set.dst))
        }
        DpAction::SetUdp(set) => {
            (set.src.is_none() || edit::set_udp_src(packet, at, set.src))
                && (set.dst.is_none() || edit::set_udp_dst(packet, at, set.dst))
        }
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
        DpAction::PushVlan(vlan) => {
            room_for_tag(packet)?;
            edit::push_vlan(packet, at, vlan.tpid, vlan.tci & !TCI_PRESENT)
        }
        DpAction::PopVlan => edit::pop_vlan(packet, at).is_some(),
        DpAction::PushMpls(mpls) => {
            room_for_tag(packet)?;
            edit::push_mpls(packet, at, mpls.ethertype, mpls.lse)
        }
        DpAction::PopMpls(ethertype) => edit::pop_mpls(packet, at, *ethertype),
        // The executor handles all others itself.
        _ => true,
    };
    if is_done { Ok(()) } else { Err(DropReason::TooShort) }
}

/// A tag or label takes four bytes of headroom.
fn room_for_tag(packet: &Packet) -> Result<(), DropReason> {
    if packet.headroom() < 4 { Err(DropReason::NoHeadroom) } else { Ok(()) }
}

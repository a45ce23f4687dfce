//! Which packets go before all others: those by whose absence a neighbour concludes that we are gone.

use flow::proto::{VLAN_VID_MASK, eth_type};
use flow::{EtherAddr, Flow, Prereq};
use ofproto::mac_learning::is_reserved;

/// Slow protocols: LACP, marker, OAM (IEEE 802.3 annex 57A).
const SLOW: u16 = 0x8809;
/// Port authentication (IEEE 802.1X).
const EAPOL: u16 = 0x888e;
/// Neighbour announcements (IEEE 802.1AB).
const LLDP: u16 = 0x88cc;
/// Connectivity fault management (IEEE 802.1ag).
const CFM: u16 = 0x8902;
/// BFD control and echo, single hop (RFC 5881 §4).
const BFD_PORTS: [u16; 2] = [3784, 3785];
/// The TTL of single-hop BFD (RFC 5881 §5): nobody farther away can pretend to it.
const BFD_TTL: u8 = 255;

/// Whether the packets of `flow` are of such a protocol: spanning tree, LACP, LLDP, 802.1X and
/// whatever else is sent to the reserved addresses of a link; fault management, BFD; ARP and neighbour
/// discovery addressed to `own`.
pub(crate) fn is_protocol(flow: &Flow, own: EtherAddr) -> bool {
    if is_reserved(flow.eth_dst()) {
        return true;
    }
    // A tag that names no VLAN is no obstacle; VLANs are the tenants' own.
    if flow.vlan_tci() & VLAN_VID_MASK != 0 {
        return false;
    }
    let is_ours = flow.eth_dst() == own;
    match flow.eth_type() {
        SLOW | EAPOL | LLDP | CFM => true,
        eth_type::ARP => is_ours,
        _ if Prereq::Udp.holds(flow) => {
            flow.nw_ttl() == BFD_TTL && BFD_PORTS.contains(&flow.tp_dst())
        }
        _ => is_ours && (Prereq::NdSolicit.holds(flow) || Prereq::NdAdvert.holds(flow)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::text::{NoNames, parse_flow};

    #[test]
    fn protocols_are_told_from_traffic() {
        let own = EtherAddr([2, 0, 0, 0, 0, 0xff]);
        let cases = [
            ("dl_dst=01:80:c2:00:00:00,dl_type=0x05ff", true),
            ("dl_dst=01:80:c2:00:00:0e,dl_type=0x88cc", true),
            ("dl_dst=01:80:c2:00:00:02,dl_type=0x8809", true),
            ("dl_dst=01:80:c2:00:00:03,dl_type=0x888e", true),
            ("dl_dst=02:00:00:00:00:01,dl_type=0x888e", true),
            ("dl_vlan=5,dl_dst=02:00:00:00:00:01,dl_type=0x888e", false),
            ("arp,dl_dst=02:00:00:00:00:ff", true),
            ("arp,dl_dst=ff:ff:ff:ff:ff:ff", false),
            ("udp,nw_ttl=255,tp_dst=3784", true),
            ("udp6,nw_ttl=255,tp_dst=3785", true),
            ("udp,nw_ttl=64,tp_dst=3784", false),
            ("tcp,nw_ttl=255,tp_dst=3784", false),
            ("icmp6,icmp_type=135,icmp_code=0,dl_dst=02:00:00:00:00:ff", true),
            ("icmp6,icmp_type=136,icmp_code=0,dl_dst=02:00:00:00:00:01", false),
            ("icmp6,icmp_type=128,icmp_code=0,dl_dst=02:00:00:00:00:ff", false),
            ("dl_dst=02:00:00:00:00:ff,dl_type=0x1234", false),
        ];
        for (text, expected) in cases {
            let flow = parse_flow(text, &NoNames).expect(text);
            assert_eq!(is_protocol(&flow, own), expected, "{text}");
        }
    }
}

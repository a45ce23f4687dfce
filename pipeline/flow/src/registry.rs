//! The field registry: one line per field, from which codec, text, matching and set-field all work.
//!
//! Numbers are those of OpenFlow 1.3.5 §7.2.3.7 (table 12), of the later standards for the fields
//! that came after it, and of Nicira's extended match. Fields with two headers are written with
//! the one that [`Field::wire_id`] picks.

use crate::field::{Field, FieldSpec, Format, Location, Maskable, WireId};
use crate::layout::{
    ARP_SHA, ARP_THA, ETH_DST, ETH_SRC, IPV6_DST, IPV6_SRC, MARKS, METADATA, MPLS, MPLS2,
    ND_TARGET, NW, NW_ADDR, PACKET_TYPE, PORT, PRIORITY, REGS, TP, TUN_ADDR, TUN_METADATA,
    TUNNEL_ID, VLAN,
};
use crate::prereq::Prereq;

use Field as F;

const NXM_0: u16 = 0x0000;
const NXM_1: u16 = 0x0001;
const ERICSSON_CLASS: u16 = 0x1000;
const OXM_BASIC: u16 = 0x8000;
const OXM_PACKET_REGS: u16 = 0x8001;
const OXM_EXPERIMENTER: u16 = 0xffff;
const NICIRA: u32 = 0x0000_2320;
const ONF: u32 = 0x4f4e_4600;

const N_FIELDS: usize = 92;

#[rustfmt::skip]
pub(crate) static SPECS: [FieldSpec; N_FIELDS] = [
    spec(F::DpHash, "dp_hash", 4, 32, at(MARKS, 32, 32), Format::Hexadecimal).read_only().nx("NXM_NX_DP_HASH", 35).exp("NXOXM_ET_DP_HASH", NICIRA, 0, 0),
    spec(F::RecircId, "recirc_id", 4, 32, at(PORT, 0, 32), Format::Decimal).exact().read_only().nx("NXM_NX_RECIRC_ID", 36),
    spec(F::PacketType, "packet_type", 4, 32, at(PACKET_TYPE, 32, 32), Format::PacketType).exact().read_only().oxm("OXM_OF_PACKET_TYPE", 44, 6),
    spec(F::ConjId, "conj_id", 4, 32, at(PACKET_TYPE, 0, 32), Format::Decimal).exact().read_only().nx("NXM_NX_CONJ_ID", 37),
    spec(F::TunnelId, "tun_id", 8, 64, at(TUNNEL_ID, 0, 64), Format::Hexadecimal).alias("tunnel_id").nx("NXM_NX_TUN_ID", 16).oxm("OXM_OF_TUNNEL_ID", 38, 4),
    spec(F::TunSrc, "tun_src", 4, 32, at(TUN_ADDR, 32, 32), Format::Ipv4).nx("NXM_NX_TUN_IPV4_SRC", 31),
    spec(F::TunDst, "tun_dst", 4, 32, at(TUN_ADDR, 0, 32), Format::Ipv4).nx("NXM_NX_TUN_IPV4_DST", 32),
    spec(F::TunMetadata0, "tun_metadata0", 4, 32, at(TUN_METADATA, 32, 32), Format::Hexadecimal).nx("NXM_NX_TUN_METADATA0", 40),
    spec(F::TunMetadata1, "tun_metadata1", 4, 32, at(TUN_METADATA, 0, 32), Format::Hexadecimal).nx("NXM_NX_TUN_METADATA1", 41),
    spec(F::Metadata, "metadata", 8, 64, at(METADATA, 0, 64), Format::Hexadecimal).oxm("OXM_OF_METADATA", 2, 3),
    spec(F::InPort, "in_port", 4, 32, at(PORT, 32, 32), Format::Port).alias("in_port_oxm").exact().nxof("NXM_OF_IN_PORT", 0).nxm_len(2).oxm("OXM_OF_IN_PORT", 0, 3),
    spec(F::ActsetOutput, "actset_output", 4, 32, at(PRIORITY, 0, 32), Format::Port).exact().read_only().exp("ONFOXM_ET_ACTSET_OUTPUT", ONF, 43, 4).oxm("OXM_OF_ACTSET_OUTPUT", 43, 6),
    spec(F::SkbPriority, "skb_priority", 4, 32, at(PRIORITY, 32, 32), Format::Hexadecimal).exact().read_only(),
    spec(F::PktMark, "pkt_mark", 4, 32, at(MARKS, 0, 32), Format::Hexadecimal).nx("NXM_NX_PKT_MARK", 33),
    spec(F::Reg0, "reg0", 4, 32, at(REGS, 32, 32), Format::Hexadecimal).nx("NXM_NX_REG0", 0),
    spec(F::Reg1, "reg1", 4, 32, at(REGS, 0, 32), Format::Hexadecimal).nx("NXM_NX_REG1", 1),
    spec(F::Reg2, "reg2", 4, 32, at(REGS + 1, 32, 32), Format::Hexadecimal).nx("NXM_NX_REG2", 2),
    spec(F::Reg3, "reg3", 4, 32, at(REGS + 1, 0, 32), Format::Hexadecimal).nx("NXM_NX_REG3", 3),
    spec(F::Reg4, "reg4", 4, 32, at(REGS + 2, 32, 32), Format::Hexadecimal).nx("NXM_NX_REG4", 4),
    spec(F::Reg5, "reg5", 4, 32, at(REGS + 2, 0, 32), Format::Hexadecimal).nx("NXM_NX_REG5", 5),
    spec(F::Reg6, "reg6", 4, 32, at(REGS + 3, 32, 32), Format::Hexadecimal).nx("NXM_NX_REG6", 6),
    spec(F::Reg7, "reg7", 4, 32, at(REGS + 3, 0, 32), Format::Hexadecimal).nx("NXM_NX_REG7", 7),
    spec(F::Reg8, "reg8", 4, 32, at(REGS + 4, 32, 32), Format::Hexadecimal).nx("NXM_NX_REG8", 8),
    spec(F::Reg9, "reg9", 4, 32, at(REGS + 4, 0, 32), Format::Hexadecimal).nx("NXM_NX_REG9", 9),
    spec(F::Reg10, "reg10", 4, 32, at(REGS + 5, 32, 32), Format::Hexadecimal).nx("NXM_NX_REG10", 10),
    spec(F::Reg11, "reg11", 4, 32, at(REGS + 5, 0, 32), Format::Hexadecimal).nx("NXM_NX_REG11", 11),
    spec(F::Reg12, "reg12", 4, 32, at(REGS + 6, 32, 32), Format::Hexadecimal).nx("NXM_NX_REG12", 12),
    spec(F::Reg13, "reg13", 4, 32, at(REGS + 6, 0, 32), Format::Hexadecimal).nx("NXM_NX_REG13", 13),
    spec(F::Reg14, "reg14", 4, 32, at(REGS + 7, 32, 32), Format::Hexadecimal).nx("NXM_NX_REG14", 14),
    spec(F::Reg15, "reg15", 4, 32, at(REGS + 7, 0, 32), Format::Hexadecimal).nx("NXM_NX_REG15", 15),
    spec(F::Xreg0, "xreg0", 8, 64, at(REGS, 0, 64), Format::Hexadecimal).packet_reg("OXM_OF_PKT_REG0", 0),
    spec(F::Xreg1, "xreg1", 8, 64, at(REGS + 1, 0, 64), Format::Hexadecimal).packet_reg("OXM_OF_PKT_REG1", 1),
    spec(F::Xreg2, "xreg2", 8, 64, at(REGS + 2, 0, 64), Format::Hexadecimal).packet_reg("OXM_OF_PKT_REG2", 2),
    spec(F::Xreg3, "xreg3", 8, 64, at(REGS + 3, 0, 64), Format::Hexadecimal).packet_reg("OXM_OF_PKT_REG3", 3),
    spec(F::Xreg4, "xreg4", 8, 64, at(REGS + 4, 0, 64), Format::Hexadecimal).packet_reg("OXM_OF_PKT_REG4", 4),
    spec(F::Xreg5, "xreg5", 8, 64, at(REGS + 5, 0, 64), Format::Hexadecimal).packet_reg("OXM_OF_PKT_REG5", 5),
    spec(F::Xreg6, "xreg6", 8, 64, at(REGS + 6, 0, 64), Format::Hexadecimal).packet_reg("OXM_OF_PKT_REG6", 6),
    spec(F::Xreg7, "xreg7", 8, 64, at(REGS + 7, 0, 64), Format::Hexadecimal).packet_reg("OXM_OF_PKT_REG7", 7),
    spec(F::Xxreg0, "xxreg0", 16, 128, at(REGS, 0, 128), Format::Hexadecimal).nx("NXM_NX_XXREG0", 111),
    spec(F::Xxreg1, "xxreg1", 16, 128, at(REGS + 2, 0, 128), Format::Hexadecimal).nx("NXM_NX_XXREG1", 112),
    spec(F::Xxreg2, "xxreg2", 16, 128, at(REGS + 4, 0, 128), Format::Hexadecimal).nx("NXM_NX_XXREG2", 113),
    spec(F::Xxreg3, "xxreg3", 16, 128, at(REGS + 6, 0, 128), Format::Hexadecimal).nx("NXM_NX_XXREG3", 114),
    spec(F::EthSrc, "eth_src", 6, 48, at(ETH_SRC, 16, 48), Format::Ethernet).alias("dl_src").needs(Prereq::Ethernet).nxof("NXM_OF_ETH_SRC", 2).oxm("OXM_OF_ETH_SRC", 4, 3),
    spec(F::EthDst, "eth_dst", 6, 48, at(ETH_DST, 16, 48), Format::Ethernet).alias("dl_dst").needs(Prereq::Ethernet).nxof("NXM_OF_ETH_DST", 1).oxm("OXM_OF_ETH_DST", 3, 3),
    spec(F::EthType, "eth_type", 2, 16, at(ETH_DST, 0, 16), Format::Hexadecimal).alias("dl_type").exact().needs(Prereq::Ethernet).nxof("NXM_OF_ETH_TYPE", 3).oxm("OXM_OF_ETH_TYPE", 5, 3),
    spec(F::VlanTci, "vlan_tci", 2, 16, at(VLAN, 32, 16), Format::Hexadecimal).needs(Prereq::Ethernet).nxof("NXM_OF_VLAN_TCI", 4),
    spec(F::DlVlan, "dl_vlan", 2, 12, at(VLAN, 32, 12), Format::Decimal).exact().needs(Prereq::Ethernet),
    spec(F::VlanVid, "vlan_vid", 2, 12, at(VLAN, 32, 13), Format::Decimal).needs(Prereq::Ethernet).oxm("OXM_OF_VLAN_VID", 6, 3),
    spec(F::DlVlanPcp, "dl_vlan_pcp", 1, 3, at(VLAN, 45, 3), Format::Decimal).exact().needs(Prereq::Ethernet),
    spec(F::VlanPcp, "vlan_pcp", 1, 3, at(VLAN, 45, 3), Format::Decimal).needs(Prereq::Vlan).oxm("OXM_OF_VLAN_PCP", 7, 3),
    spec(F::VlanTci1, "vlan_tci1", 2, 16, at(VLAN, 0, 16), Format::Hexadecimal).needs(Prereq::Vlan).read_only(),
    spec(F::MplsLabel, "mpls_label", 4, 20, at(MPLS, 44, 20), Format::Decimal).exact().needs(Prereq::Mpls).oxm("OXM_OF_MPLS_LABEL", 34, 3),
    spec(F::MplsTc, "mpls_tc", 1, 3, at(MPLS, 41, 3), Format::Decimal).exact().needs(Prereq::Mpls).oxm("OXM_OF_MPLS_TC", 35, 3),
    spec(F::MplsBos, "mpls_bos", 1, 1, at(MPLS, 40, 1), Format::Decimal).exact().needs(Prereq::Mpls).oxm("OXM_OF_MPLS_BOS", 36, 4),
    spec(F::MplsTtl, "mpls_ttl", 1, 8, at(MPLS, 32, 8), Format::Decimal).exact().needs(Prereq::Mpls).nx("NXM_NX_MPLS_TTL", 30),
    spec(F::MplsLse1, "mpls_lse1", 4, 32, at(MPLS, 0, 32), Format::Decimal).needs(Prereq::Mpls).read_only(),
    spec(F::MplsLse2, "mpls_lse2", 4, 32, at(MPLS2, 32, 32), Format::Decimal).needs(Prereq::Mpls).read_only(),
    spec(F::PbbIsid, "pbb_isid", 3, 24, at(MPLS2, 0, 24), Format::Decimal).needs(Prereq::Pbb).oxm("OXM_OF_PBB_ISID", 37, 4),
    spec(F::PbbUca, "pbb_uca", 1, 1, at(MPLS2, 24, 1), Format::Decimal).exact().needs(Prereq::Pbb).oxm("OXM_OF_PBB_UCA", 41, 5),
    spec(F::Ipv4Src, "ip_src", 4, 32, at(NW_ADDR, 32, 32), Format::Ipv4).alias("nw_src").needs(Prereq::Ipv4).nxof("NXM_OF_IP_SRC", 7).oxm("OXM_OF_IPV4_SRC", 11, 3),
    spec(F::Ipv4Dst, "ip_dst", 4, 32, at(NW_ADDR, 0, 32), Format::Ipv4).alias("nw_dst").needs(Prereq::Ipv4).nxof("NXM_OF_IP_DST", 8).oxm("OXM_OF_IPV4_DST", 12, 3),
    spec(F::Ipv6Src, "ipv6_src", 16, 128, at(IPV6_SRC, 0, 128), Format::Ipv6).needs(Prereq::Ipv6).nx("NXM_NX_IPV6_SRC", 19).oxm("OXM_OF_IPV6_SRC", 26, 3),
    spec(F::Ipv6Dst, "ipv6_dst", 16, 128, at(IPV6_DST, 0, 128), Format::Ipv6).needs(Prereq::Ipv6).nx("NXM_NX_IPV6_DST", 20).oxm("OXM_OF_IPV6_DST", 27, 3),
    spec(F::Ipv6Label, "ipv6_label", 4, 20, at(NW, 32, 20), Format::Hexadecimal).needs(Prereq::Ipv6).nx("NXM_NX_IPV6_LABEL", 27).oxm("OXM_OF_IPV6_FLABEL", 28, 3),
    spec(F::Ipv6Exthdr, "ipv6_exthdr", 2, 9, at(NW, 52, 9), Format::Hexadecimal).needs(Prereq::Ipv6).read_only().oxm("OXM_OF_IPV6_EXTHDR", 39, 4),
    spec(F::IpProto, "nw_proto", 1, 8, at(NW, 0, 8), Format::Decimal).alias("ip_proto").exact().needs(Prereq::Ip).nxof("NXM_OF_IP_PROTO", 6).oxm("OXM_OF_IP_PROTO", 10, 3),
    spec(F::IpDscp, "nw_tos", 1, 8, scaled(NW, 18, 6, 2), Format::Decimal).exact().needs(Prereq::Ip).nxof("NXM_OF_IP_TOS", 5),
    spec(F::IpDscpShifted, "ip_dscp", 1, 6, at(NW, 18, 6), Format::Decimal).exact().needs(Prereq::Ip).oxm("OXM_OF_IP_DSCP", 8, 3),
    spec(F::IpEcn, "nw_ecn", 1, 2, at(NW, 16, 2), Format::Decimal).alias("ip_ecn").exact().needs(Prereq::Ip).nx("NXM_NX_IP_ECN", 28).oxm("OXM_OF_IP_ECN", 9, 3),
    spec(F::IpTtl, "nw_ttl", 1, 8, at(NW, 8, 8), Format::Decimal).exact().needs(Prereq::Ip).nx("NXM_NX_IP_TTL", 29),
    spec(F::IpFrag, "ip_frag", 1, 2, at(NW, 24, 2), Format::Frag).alias("nw_frag").needs(Prereq::Ip).read_only().nx("NXM_NX_IP_FRAG", 26),
    spec(F::ArpOp, "arp_op", 2, 16, at(NW, 0, 8), Format::Decimal).exact().needs(Prereq::Arp).nxof("NXM_OF_ARP_OP", 15).oxm("OXM_OF_ARP_OP", 21, 3),
    spec(F::ArpSpa, "arp_spa", 4, 32, at(NW_ADDR, 32, 32), Format::Ipv4).needs(Prereq::Arp).nxof("NXM_OF_ARP_SPA", 16).oxm("OXM_OF_ARP_SPA", 22, 3),
    spec(F::ArpTpa, "arp_tpa", 4, 32, at(NW_ADDR, 0, 32), Format::Ipv4).needs(Prereq::Arp).nxof("NXM_OF_ARP_TPA", 17).oxm("OXM_OF_ARP_TPA", 23, 3),
    spec(F::ArpSha, "arp_sha", 6, 48, at(ARP_SHA, 16, 48), Format::Ethernet).needs(Prereq::Arp).nx("NXM_NX_ARP_SHA", 17).oxm("OXM_OF_ARP_SHA", 24, 3),
    spec(F::ArpTha, "arp_tha", 6, 48, at(ARP_THA, 16, 48), Format::Ethernet).needs(Prereq::Arp).nx("NXM_NX_ARP_THA", 18).oxm("OXM_OF_ARP_THA", 25, 3),
    spec(F::TcpSrc, "tcp_src", 2, 16, at(TP, 48, 16), Format::Decimal).alias("tp_src").needs(Prereq::Tcp).nxof("NXM_OF_TCP_SRC", 9).oxm("OXM_OF_TCP_SRC", 13, 3),
    spec(F::TcpDst, "tcp_dst", 2, 16, at(TP, 32, 16), Format::Decimal).alias("tp_dst").needs(Prereq::Tcp).nxof("NXM_OF_TCP_DST", 10).oxm("OXM_OF_TCP_DST", 14, 3),
    spec(F::TcpFlags, "tcp_flags", 2, 12, at(ARP_SHA, 0, 12), Format::TcpFlags).needs(Prereq::Tcp).nx("NXM_NX_TCP_FLAGS", 34).exp("ONFOXM_ET_TCP_FLAGS", ONF, 42, 4).oxm("OXM_OF_TCP_FLAGS", 42, 6),
    spec(F::UdpSrc, "udp_src", 2, 16, at(TP, 48, 16), Format::Decimal).needs(Prereq::Udp).nxof("NXM_OF_UDP_SRC", 11).oxm("OXM_OF_UDP_SRC", 15, 3),
    spec(F::UdpDst, "udp_dst", 2, 16, at(TP, 32, 16), Format::Decimal).needs(Prereq::Udp).nxof("NXM_OF_UDP_DST", 12).oxm("OXM_OF_UDP_DST", 16, 3),
    spec(F::SctpSrc, "sctp_src", 2, 16, at(TP, 48, 16), Format::Decimal).needs(Prereq::Sctp).oxm("OXM_OF_SCTP_SRC", 17, 3),
    spec(F::SctpDst, "sctp_dst", 2, 16, at(TP, 32, 16), Format::Decimal).needs(Prereq::Sctp).oxm("OXM_OF_SCTP_DST", 18, 3),
    spec(F::Icmpv4Type, "icmp_type", 1, 8, at(TP, 48, 16), Format::Decimal).exact().needs(Prereq::Icmpv4).nxof("NXM_OF_ICMP_TYPE", 13).oxm("OXM_OF_ICMPV4_TYPE", 19, 3),
    spec(F::Icmpv4Code, "icmp_code", 1, 8, at(TP, 32, 16), Format::Decimal).exact().needs(Prereq::Icmpv4).nxof("NXM_OF_ICMP_CODE", 14).oxm("OXM_OF_ICMPV4_CODE", 20, 3),
    spec(F::Icmpv6Type, "icmpv6_type", 1, 8, at(TP, 48, 16), Format::Decimal).exact().needs(Prereq::Icmpv6).nx("NXM_NX_ICMPV6_TYPE", 21).oxm("OXM_OF_ICMPV6_TYPE", 29, 3),
    spec(F::Icmpv6Code, "icmpv6_code", 1, 8, at(TP, 32, 16), Format::Decimal).exact().needs(Prereq::Icmpv6).nx("NXM_NX_ICMPV6_CODE", 22).oxm("OXM_OF_ICMPV6_CODE", 30, 3),
    spec(F::NdTarget, "nd_target", 16, 128, at(ND_TARGET, 0, 128), Format::Ipv6).needs(Prereq::Nd).nx("NXM_NX_ND_TARGET", 23).oxm("OXM_OF_IPV6_ND_TARGET", 31, 3),
    spec(F::NdSll, "nd_sll", 6, 48, at(ARP_SHA, 16, 48), Format::Ethernet).needs(Prereq::NdSolicit).nx("NXM_NX_ND_SLL", 24).oxm("OXM_OF_IPV6_ND_SLL", 32, 3),
    spec(F::NdTll, "nd_tll", 6, 48, at(ARP_THA, 16, 48), Format::Ethernet).needs(Prereq::NdAdvert).nx("NXM_NX_ND_TLL", 25).oxm("OXM_OF_IPV6_ND_TLL", 33, 3),
    spec(F::NdReserved, "nd_reserved", 4, 32, at(TP, 0, 32), Format::Decimal).exact().needs(Prereq::Nd).ericsson("ERICOXM_OF_ICMPV6_ND_RESERVED", 1),
    spec(F::NdOptionsType, "nd_options_type", 1, 8, at(ARP_THA, 8, 8), Format::Decimal).exact().needs(Prereq::Nd).ericsson("ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", 2),
];

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
const _: () = {
    let mut index = 0;
    while index < N_FIELDS {
        assert!(SPECS[index].field as usize == index, "registry order is the enum's order");
        index += 1;
    }
};

const fn spec(
    field: Field,
    name: &'static str,
    n_bytes: u8,
    n_bits: u8,
    location: Location,
    format: Format,
) -> FieldSpec {
    FieldSpec {
        field,
        name,
        extra_name: None,
        n_bytes,
        n_bits,
        nxm: None,
        experimenter: None,
        oxm: None,
        maskable: Maskable::Bitwise,
        prereq: Prereq::None,
        format,
        writable: true,
        location,
    }
}

const fn at(word: usize, shift: u8, bits: u8) -> Location {
    scaled(word, shift, bits, 0)
}

#[expect(clippy::cast_possible_truncation, reason = "word numbers are below FLOW_WORDS")]
const fn scaled(word: usize, shift: u8, bits: u8, scale: u8) -> Location {
    Location { word: word as u8, shift, bits, scale }
}

impl FieldSpec {
    const fn alias(mut self, name: &'static str) -> Self {
        self.extra_name = Some(name);
        self
    }

    const fn exact(mut self) -> Self {
        self.maskable = Maskable::Exact;
        self
    }

    const fn needs(mut self, prereq: Prereq) -> Self {
        self.prereq = prereq;
        self
    }

    const fn read_only(mut self) -> Self {
        self.writable = false;
        self
    }

    const fn id(&self, name: &'static str, class: u16, field: u8, since: u8) -> WireId {
        WireId { name, class, experimenter: 0, field, len: self.n_bytes, since }
    }

    const fn nxof(mut self, name: &'static str, field: u8) -> Self {
        self.nxm = Some(self.id(name, NXM_0, field, 0));
        self
    }

    const fn nx(mut self, name: &'static str, field: u8) -> Self {
        self.nxm = Some(self.id(name, NXM_1, field, 0));
        self
    }

    /// `NXM_OF_IN_PORT` carries the 16-bit port number of OpenFlow 1.0.
    const fn nxm_len(mut self, len: u8) -> Self {
        if let Some(id) = &mut self.nxm {
            id.len = len;
        }
        self
    }

    const fn exp(mut self, name: &'static str, experimenter: u32, field: u8, since: u8) -> Self {
        let id = self.id(name, OXM_EXPERIMENTER, field, since);
        self.experimenter = Some(WireId { experimenter, ..id });
        self
    }

    const fn oxm(mut self, name: &'static str, field: u8, since: u8) -> Self {
        self.oxm = Some(self.id(name, OXM_BASIC, field, since));
        self
    }

    const fn packet_reg(mut self, name: &'static str, field: u8) -> Self {
        self.oxm = Some(self.id(name, OXM_PACKET_REGS, field, 4));
        self
    }

    const fn ericsson(mut self, name: &'static str, field: u8) -> Self {
        self.experimenter = Some(self.id(name, ERICSSON_CLASS, field, 0));
        self
    }
}

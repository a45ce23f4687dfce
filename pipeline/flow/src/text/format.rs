//! Writing matches and flows.

use super::port::{PortNames, PortText};
use super::value::{Hex, Ipv6Masked, TcpFlagsText, ValueText, ether, frag_name, ipv4};
use crate::field::Field;
use crate::flow::Flow;
use crate::mask::Mask;
use crate::matching::Match;
use crate::proto::{VLAN_PCP_MASK, VLAN_PRESENT, VLAN_VID_MASK, eth_type as ethertype, ip_proto};
use core::fmt::{self, Display, Write};

/// A match with port names.
#[expect(missing_debug_implementations, reason = "holds a caller's trait object")]
pub struct MatchText<'a> {
    /// The match.
    pub match_: &'a Match,
    /// Who knows port names.
    pub ports: &'a dyn PortNames,
}

impl Display for MatchText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer {
            out: f,
            first: true,
            flow: self.match_.flow(),
            mask: self.match_.mask(),
            ports: self.ports,
        };
        writer.metadata_and_type()?;
        writer.l2()?;
        writer.l3()?;
        writer.l4()
    }
}

/// A packet's flow with port names: every field that the packet has, metadata where it is not
/// zero.
#[expect(missing_debug_implementations, reason = "holds a caller's trait object")]
pub struct FlowText<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// Who knows port names.
    pub ports: &'a dyn PortNames,
}

impl Display for FlowText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut mask = Mask::of_packet(self.flow);
        let context = [
            Field::InPort,
            Field::SkbPriority,
            Field::PktMark,
            Field::RecircId,
            Field::DpHash,
            Field::Metadata,
            Field::TunnelId,
            Field::TunSrc,
            Field::TunDst,
            Field::TunMetadata0,
            Field::TunMetadata1,
            Field::Ipv6Exthdr,
        ];
        for field in context {
            if self.flow.get(field) == 0 {
                mask.set(field, 0);
            } else {
                mask.set_exact(field);
            }
        }
        for field in (0..16).filter_map(Field::reg) {
            if self.flow.get(field) != 0 {
                mask.set_exact(field);
            }
        }
        let match_ = Match::new(self.flow, &mask);
        MatchText { match_: &match_, ports: self.ports }.fmt(f)
    }
}

/// How a masked number is written.
#[derive(Clone, Copy)]
enum Style {
    /// Decimal if exact, else `0x` value and mask.
    Number,
    /// `0x` always, a bare zero.
    Hex,
}

/// Writes the pieces of a match with commas between them.
struct Writer<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    first: bool,
    flow: &'a Flow,
    mask: &'a Mask,
    ports: &'a dyn PortNames,
}

impl Writer<'_, '_> {
    fn word(&mut self, text: &str) -> fmt::Result {
        if !self.first {
            self.out.write_char(',')?;
        }
        self.first = false;
        self.out.write_str(text)
    }

    fn item(&mut self, name: &str, value: impl Display) -> fmt::Result {
        self.word(name)?;
        write!(self.out, "={value}")
    }

    /// Writes a field under its registry name, if examined.
    fn field(&mut self, field: Field) -> fmt::Result {
        let mask = self.mask.get(field);
        if mask == 0 {
            return Ok(());
        }
        let value = ValueText { field, value: self.flow.get(field), mask, ports: self.ports };
        self.item(field.name(), value)
    }

    fn number(&mut self, name: &str, style: Style, field: Field) -> fmt::Result {
        let (value, mask) = (self.flow.get(field), self.mask.get(field));
        if mask == 0 {
            return Ok(());
        }
        let exact = mask == field.ones();
        match style {
            Style::Number if exact => self.item(name, value),
            Style::Number => self.item(name, format_args!("{value:#x}/{mask:#x}")),
            Style::Hex if exact => self.item(name, Hex(value)),
            Style::Hex => self.item(name, format_args!("{}/{}", Hex(value), Hex(mask))),
        }
    }

    fn ether(&mut self, name: &str, field: Field) -> fmt::Result {
        match self.mask.get(field) {
            0 => Ok(()),
            mask => self.item(name, ether(self.flow.get(field), mask)),
        }
    }

    fn ipv4(&mut self, name: &str, field: Field) -> fmt::Result {
        match self.mask.get(field) {
            0 => Ok(()),
            mask => self.item(name, ipv4(self.flow.get(field), mask)),
        }
    }

    fn ipv6(&mut self, name: &str, field: Field) -> fmt::Result {
        match self.mask.get(field) {
            0 => Ok(()),
            mask => self.item(name, Ipv6Masked(self.flow.get(field), mask)),
        }
    }

    fn metadata_and_type(&mut self) -> fmt::Result {
        self.number("pkt_mark", Style::Hex, Field::PktMark)?;
        self.number("recirc_id", Style::Hex, Field::RecircId)?;
        self.number("dp_hash", Style::Hex, Field::DpHash)?;
        self.number("conj_id", Style::Number, Field::ConjId)?;
        self.number("skb_priority", Style::Hex, Field::SkbPriority)?;
        if self.mask.actset_output() != 0 {
            let port = PortText { port: self.flow.actset_output(), ports: self.ports };
            self.item("actset_output", port)?;
        }
        // Only megaflows look at the recirculation id, and only they say "eth".
        if self.mask.packet_type() != 0 {
            if self.flow.packet_type() != 0 {
                self.field(Field::PacketType)?;
            } else if self.mask.recirc_id() != 0 {
                self.word("eth")?;
            }
        }
        if let Some(name) = self.protocol_name() {
            self.word(name)?;
        }
        for field in (0..16).filter_map(Field::reg) {
            self.number(field.name(), Style::Hex, field)?;
        }
        self.number("tun_id", Style::Hex, Field::TunnelId)?;
        self.ipv4("tun_src", Field::TunSrc)?;
        self.ipv4("tun_dst", Field::TunDst)?;
        self.number("tun_metadata0", Style::Hex, Field::TunMetadata0)?;
        self.number("tun_metadata1", Style::Hex, Field::TunMetadata1)?;
        self.number("metadata", Style::Hex, Field::Metadata)?;
        if self.mask.in_port() != 0 {
            let port = PortText { port: self.flow.in_port(), ports: self.ports };
            self.item("in_port", port)?;
        }
        Ok(())
    }

    /// The shorthand for Ethernet type and IP protocol together, where there is one.
    fn protocol_name(&self) -> Option<&'static str> {
        let proto = (self.mask.nw_proto() != 0).then(|| self.flow.nw_proto());
        Some(match (self.flow.eth_type(), proto) {
            (ethertype::IPV4, Some(ip_proto::ICMP)) => "icmp",
            (ethertype::IPV4, Some(ip_proto::TCP)) => "tcp",
            (ethertype::IPV4, Some(ip_proto::UDP)) => "udp",
            (ethertype::IPV4, Some(ip_proto::SCTP)) => "sctp",
            (ethertype::IPV4, _) => "ip",
            (ethertype::IPV6, Some(ip_proto::ICMPV6)) => "icmp6",
            (ethertype::IPV6, Some(ip_proto::TCP)) => "tcp6",
            (ethertype::IPV6, Some(ip_proto::UDP)) => "udp6",
            (ethertype::IPV6, Some(ip_proto::SCTP)) => "sctp6",
            (ethertype::IPV6, _) => "ipv6",
            (ethertype::ARP, _) => "arp",
            (ethertype::RARP, _) => "rarp",
            (ethertype::MPLS, _) => "mpls",
            (ethertype::MPLS_MULTICAST, _) => "mplsm",
            _ => return None,
        })
    }

    fn l2(&mut self) -> fmt::Result {
        let outer = (self.flow.vlan_tci(), self.mask.vlan_tci());
        let inner = (self.flow.vlan_tci1(), self.mask.vlan_tci1());
        self.tag(outer, ["dl_vlan", "dl_vlan_pcp", "vlan_tci"])?;
        self.tag(inner, ["dl_vlan1", "dl_vlan_pcp1", "vlan_tci1"])?;
        self.ether("dl_src", Field::EthSrc)?;
        self.ether("dl_dst", Field::EthDst)?;
        if self.mask.eth_type() != 0 && self.protocol_name().is_none() {
            self.item("dl_type", format_args!("{:#06x}", self.flow.eth_type()))?;
        }
        if self.flow.eth_type() == ethertype::PBB {
            self.number("pbb_isid", Style::Number, Field::PbbIsid)?;
            self.number("pbb_uca", Style::Number, Field::PbbUca)?;
        }
        Ok(())
    }

    /// One VLAN tag: by id and priority when both are whole, else as a number.
    fn tag(&mut self, (tci, mask): (u16, u16), names: [&str; 3]) -> fmt::Result {
        let [vid_name, pcp_name, tci_name] = names;
        let (vid_mask, pcp_mask) = (mask & VLAN_VID_MASK, mask & VLAN_PCP_MASK);
        let is_whole = tci & mask & VLAN_PRESENT != 0
            && matches!(vid_mask, 0 | VLAN_VID_MASK)
            && matches!(pcp_mask, 0 | VLAN_PCP_MASK)
            && (vid_mask != 0 || pcp_mask != 0);
        if is_whole {
            if vid_mask != 0 {
                self.item(vid_name, tci & VLAN_VID_MASK)?;
            }
            if pcp_mask != 0 {
                self.item(pcp_name, tci >> 13)?;
            }
            Ok(())
        } else if mask == u16::MAX {
            self.item(tci_name, format_args!("{tci:#06x}"))
        } else if mask != 0 {
            self.item(tci_name, format_args!("{tci:#06x}/{mask:#06x}"))
        } else {
            Ok(())
        }
    }

    fn l3(&mut self) -> fmt::Result {
        let is_arp = self.flow.is_arp();
        if self.flow.eth_type() == ethertype::IPV6 {
            self.ipv6("ipv6_src", Field::Ipv6Src)?;
            self.ipv6("ipv6_dst", Field::Ipv6Dst)?;
            let (label, mask) = (self.flow.ipv6_label(), self.mask.ipv6_label());
            if self.mask.is_exact(Field::Ipv6Label) {
                self.item("ipv6_label", format_args!("{label:#07x}"))?;
            } else if mask != 0 {
                self.item("ipv6_label", format_args!("{label:#07x}/{mask:#07x}"))?;
            }
            self.number("ipv6_exthdr", Style::Hex, Field::Ipv6Exthdr)?;
        } else {
            let [src, dst] = if is_arp { ["arp_spa", "arp_tpa"] } else { ["nw_src", "nw_dst"] };
            self.ipv4(src, Field::Ipv4Src)?;
            self.ipv4(dst, Field::Ipv4Dst)?;
        }
        let is_named = matches!(self.protocol_name(), Some(name) if !matches!(name, "ip" | "ipv6"));
        if is_arp {
            self.number("arp_op", Style::Number, Field::ArpOp)?;
            self.ether("arp_sha", Field::ArpSha)?;
            self.ether("arp_tha", Field::ArpTha)?;
        } else if !is_named || !self.flow.is_ip() {
            self.number("nw_proto", Style::Number, Field::IpProto)?;
        }
        if !self.mask.is_wildcarded(Field::IpDscp) {
            self.item("nw_tos", self.flow.get(Field::IpDscp))?;
        }
        if !self.mask.is_wildcarded(Field::IpEcn) {
            self.item("nw_ecn", self.flow.get(Field::IpEcn))?;
        }
        if self.mask.nw_ttl() != 0 {
            self.item("nw_ttl", self.flow.nw_ttl())?;
        }
        for field in [Field::MplsLabel, Field::MplsTc, Field::MplsTtl, Field::MplsBos] {
            if !self.mask.is_wildcarded(field) {
                self.item(field.name(), self.flow.get(field))?;
            }
        }
        for n in 1..3 {
            let name = if n == 1 { "mpls_lse1" } else { "mpls_lse2" };
            match (self.flow.mpls_lse(n), self.mask.mpls_lse(n)) {
                (_, 0) => {}
                (lse, u32::MAX) => self.item(name, lse)?,
                (lse, mask) => self.item(name, format_args!("{lse:#010x}/{mask:#010x}"))?,
            }
        }
        match self.mask.get(Field::IpFrag) {
            0 => Ok(()),
            mask => self.item("nw_frag", frag_name(self.flow.get(Field::IpFrag), mask)),
        }
    }

    fn l4(&mut self) -> fmt::Result {
        let (ty, proto) = (self.flow.eth_type(), self.flow.nw_proto());
        let is_icmp6 = ty == ethertype::IPV6 && proto == ip_proto::ICMPV6;
        let is_icmp = is_icmp6 || ty == ethertype::IPV4 && proto == ip_proto::ICMP;
        let [src, dst] = if is_icmp { ["icmp_type", "icmp_code"] } else { ["tp_src", "tp_dst"] };
        self.number(src, Style::Number, Field::TcpSrc)?;
        self.number(dst, Style::Number, Field::TcpDst)?;
        if is_icmp6 {
            self.ipv6("nd_target", Field::NdTarget)?;
            self.ether("nd_sll", Field::NdSll)?;
            self.ether("nd_tll", Field::NdTll)?;
            self.number("nd_reserved", Style::Number, Field::NdReserved)?;
            self.number("nd_options_type", Style::Number, Field::NdOptionsType)?;
        }
        if self.flow.is_ip() && proto == ip_proto::TCP {
            let (flags, mask) = (self.flow.get(Field::TcpFlags), self.mask.get(Field::TcpFlags));
            if mask != 0 {
                self.item("tcp_flags", TcpFlagsText(flags, mask))?;
            }
        }
        Ok(())
    }
}

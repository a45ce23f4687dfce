//! Every field that a message can name: its header as the specifications and `nicira-ext.h` number it, and
//! where its bits are in a frame. Numbers here are not the registry's: the test compares them.

use crate::frames::{self, Make};

/// What a match on a field must ask for before it (OpenFlow 1.3.5 §7.2.3.8).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need {
    Type(u16),
    Protocol(u8),
    Icmp6(u8),
    Tag,
}

use Need::{Icmp6, Protocol, Tag, Type};

/// How a packet gets the field.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// It stands in the frame, `n` bits from bit `at` on, of which the value on the wire has `shift` zeros
    /// more at its end.
    Frame { make: Make, at: usize, n: usize, shift: usize },
    /// A rule before copies it from the low bits of the IPv6 destination.
    Copied { n: usize },
    /// It needs a word of its own.
    Told(&'static [Told]),
}

/// A match and what it says of a frame.
#[derive(Clone, Copy)]
pub(crate) struct Told {
    /// Value in hexadecimal, and mask unless all of it counts.
    pub(crate) value: &'static str,
    pub(crate) mask: &'static str,
    pub(crate) before: Before,
    pub(crate) port: u8,
    pub(crate) make: Make,
    pub(crate) hits: bool,
}

/// What is in table 0 if the rule in question is in table 1.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing: the rule is there itself.
    Nothing,
    /// The action set sends to port 2.
    SetOfOutput,
    /// Conjunction 7, of packets of port 1 from station 1; the rule stays in table 0.
    Conjunction,
}

#[derive(Clone, Copy)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) class: u16,
    pub(crate) experimenter: u32,
    pub(crate) number: u8,
    pub(crate) n_bytes: u8,
    /// The first version that has it.
    pub(crate) since: u8,
    pub(crate) needs: &'static [Need],
    pub(crate) has_masks: bool,
    pub(crate) is_writable: bool,
    /// Bits that a value on the wire has besides those of the frame.
    pub(crate) also: u128,
    /// Bits of the value that say nothing of the frame.
    pub(crate) blind: u128,
    /// Bits that a write can change.
    pub(crate) writes: u128,
    pub(crate) source: Source,
}

const fn line(name: &'static str, class: u16, number: u8, n_bytes: u8) -> Line {
    Line {
        name,
        class,
        experimenter: 0,
        number,
        n_bytes,
        since: 1,
        needs: &[],
        has_masks: true,
        is_writable: true,
        also: 0,
        blind: 0,
        writes: u128::MAX,
        source: Source::Told(&[]),
    }
}

/// Nicira's first class, for what OpenFlow 1.0 has.
const fn nxm0(name: &'static str, number: u8, n_bytes: u8) -> Line {
    line(name, 0, number, n_bytes)
}

const fn nxm1(name: &'static str, number: u8, n_bytes: u8) -> Line {
    line(name, 1, number, n_bytes)
}

/// The standard's, of 1.2.
const fn oxm(name: &'static str, number: u8, n_bytes: u8) -> Line {
    line(name, 0x8000, number, n_bytes).since(3)
}

const fn experimenter(name: &'static str, number: u32, field: u8, n_bytes: u8) -> Line {
    let mut line = line(name, 0xffff, field, n_bytes);
    line.experimenter = number;
    line
}

impl Line {
    const fn since(mut self, version: u8) -> Line {
        self.since = version;
        self
    }

    const fn needs(mut self, needs: &'static [Need]) -> Line {
        self.needs = needs;
        self
    }

    /// A mask of part of it is refused.
    const fn whole(mut self) -> Line {
        self.has_masks = false;
        self
    }

    const fn read_only(mut self) -> Line {
        self.is_writable = false;
        self
    }

    const fn at(mut self, make: Make, at: usize, n: usize) -> Line {
        self.source = Source::Frame { make, at, n, shift: 0 };
        self
    }

    const fn shifted(mut self, make: Make, at: usize, n: usize, shift: usize) -> Line {
        self.source = Source::Frame { make, at, n, shift };
        self
    }

    const fn copied(mut self, n: usize) -> Line {
        self.source = Source::Copied { n };
        self
    }

    const fn told(mut self, told: &'static [Told]) -> Line {
        self.source = Source::Told(told);
        self
    }

    const fn also(mut self, also: u128) -> Line {
        self.also = also;
        self
    }

    const fn blind(mut self, blind: u128) -> Line {
        self.blind = blind;
        self
    }

    const fn writes(mut self, writes: u128) -> Line {
        self.writes = writes;
        self
    }
}

const fn told(value: &'static str, port: u8, make: Make, hits: bool) -> Told {
    Told { value, mask: "", before: Before::Nothing, port, make, hits }
}

const fn masked(value: &'static str, mask: &'static str, make: Make, hits: bool) -> Told {
    Told { mask, ..told(value, 1, make, hits) }
}

const fn behind(value: &'static str, before: Before, port: u8, hits: bool) -> Told {
    Told { before, ..told(value, port, frames::udp, hits) }
}

const V4: &[Need] = &[Type(0x0800)];
const V6: &[Need] = &[Type(0x86dd)];
const TCP4: &[Need] = &[Type(0x0800), Protocol(6)];
const TCP6: &[Need] = &[Type(0x86dd), Protocol(6)];
const UDP4: &[Need] = &[Type(0x0800), Protocol(17)];
const UDP6: &[Need] = &[Type(0x86dd), Protocol(17)];
const SCTP4: &[Need] = &[Type(0x0800), Protocol(132)];
const SCTP6: &[Need] = &[Type(0x86dd), Protocol(132)];
const ICMP4: &[Need] = &[Type(0x0800), Protocol(1)];
const ICMP6: &[Need] = &[Type(0x86dd), Protocol(58)];
const SOLICIT: &[Need] = &[Type(0x86dd), Protocol(58), Icmp6(135)];
const ADVERT: &[Need] = &[Type(0x86dd), Protocol(58), Icmp6(136)];
const ARP: &[Need] = &[Type(0x0806)];
const MPLS: &[Need] = &[Type(0x8847)];
const PBB: &[Need] = &[Type(0x88e7)];

const NICIRA: u32 = 0x2320;
const ONF: u32 = 0x4f4e_4600;

// Where headers begin, in bits.
const L3: usize = 14 * 8;
const V4_L4: usize = (14 + 20) * 8;
const V6_L4: usize = (14 + 40) * 8;

fn first_fragment() -> Vec<u8> {
    frames::fragment(0x2000)
}

fn later_fragment() -> Vec<u8> {
    frames::fragment(0x2005)
}

const HITS_ALL_FRAGMENTS: &[Told] = &[
    told("00", 1, frames::udp, true),
    told("00", 1, first_fragment, false),
    told("01", 1, first_fragment, true),
    told("01", 1, later_fragment, false),
    told("03", 1, later_fragment, true),
    told("03", 1, first_fragment, false),
    masked("01", "01", later_fragment, true),
    masked("01", "01", first_fragment, true),
    masked("01", "01", frames::udp, false),
    masked("00", "02", first_fragment, true),
    masked("00", "02", later_fragment, false),
];

fn nothing_next() -> Vec<u8> {
    frames::extended(59, "")
}

fn esp() -> Vec<u8> {
    frames::extended(50, "00000001 00000002")
}

fn authenticated() -> Vec<u8> {
    frames::extended(51, "3b 04 0000 00000001 00000002 000000000000000000000000")
}

fn destination_options() -> Vec<u8> {
    frames::extended(60, "3b 00 0104 00000000")
}

fn fragmented() -> Vec<u8> {
    frames::extended(44, "11 00 0001 00000001 1388 0035 001a 0000")
}

fn routed() -> Vec<u8> {
    frames::extended(43, "3b 00 00 00 00000000")
}

fn hop_by_hop() -> Vec<u8> {
    frames::extended(0, "3b 00 0104 00000000")
}

fn hop_by_hop_twice() -> Vec<u8> {
    frames::extended(0, "00 00 0104 00000000 3b 00 0104 00000000")
}

fn in_wrong_order() -> Vec<u8> {
    frames::extended(43, "00 00 00 00 00000000 3b 00 0104 00000000")
}

/// The bits of OpenFlow 1.3.5 table 14, each with a packet that has it and one that has not.
const EXTENSIONS: &[Told] = &[
    masked("0001", "0001", nothing_next, true),
    masked("0001", "0001", frames::udp6, false),
    masked("0002", "0002", esp, true),
    masked("0002", "0002", authenticated, false),
    masked("0004", "0004", authenticated, true),
    masked("0004", "0004", esp, false),
    masked("0008", "0008", destination_options, true),
    masked("0008", "0008", hop_by_hop, false),
    masked("0010", "0010", fragmented, true),
    masked("0010", "0010", frames::udp6, false),
    masked("0020", "0020", routed, true),
    masked("0020", "0020", destination_options, false),
    masked("0040", "0040", hop_by_hop, true),
    masked("0040", "0040", frames::udp6, false),
    masked("0080", "0080", hop_by_hop_twice, true),
    masked("0080", "0080", hop_by_hop, false),
    masked("0100", "0100", in_wrong_order, true),
    masked("0100", "0100", routed, false),
    told("0000", 1, frames::udp6, true),
    told("0000", 1, hop_by_hop, false),
    told("0041", 1, hop_by_hop, true),
];

/// The untagged are tagged with nothing (OpenFlow 1.3.5 §7.2.3.7, table 13).
const TAGS: &[Told] = &[
    told("0000", 1, frames::udp, true),
    told("0000", 1, frames::tagged, false),
    told("1123", 1, frames::tagged, true),
    told("1123", 1, frames::udp, false),
    masked("1000", "1000", frames::tagged, true),
    masked("1000", "1000", frames::udp, false),
];

const PORT16: &[Told] = &[told("0001", 1, frames::udp, true), told("0001", 4, frames::udp, false)];
const PORT32: &[Told] =
    &[told("00000001", 1, frames::udp, true), told("00000001", 4, frames::udp, false)];
const ZERO32: &[Told] =
    &[told("00000000", 1, frames::udp, true), told("00000001", 1, frames::udp, false)];
const ETHERNET: &[Told] =
    &[told("00000000", 1, frames::udp, true), told("00010800", 1, frames::udp, false)];
const CONJUNCTION: &[Told] = &[
    behind("00000007", Before::Conjunction, 1, true),
    behind("00000007", Before::Conjunction, 4, false),
    behind("00000008", Before::Conjunction, 1, false),
];
const SET_OUTPUT: &[Told] = &[
    behind("00000002", Before::SetOfOutput, 1, true),
    behind("00000003", Before::SetOfOutput, 1, false),
    // No output in the set: `OFPP_UNSET`.
    told("fffffff7", 1, frames::udp, true),
];

/// The fields. Some have a second line, for another protocol that has them too.
#[rustfmt::skip]
pub(crate) static LINES: &[Line] = &[
    // Nicira's class 0: what OpenFlow 1.0 has.
    nxm0("NXM_OF_IN_PORT", 0, 2).whole().told(PORT16),
    nxm0("NXM_OF_ETH_DST", 1, 6).at(frames::udp, 0, 48),
    nxm0("NXM_OF_ETH_SRC", 2, 6).at(frames::udp, 48, 48),
    nxm0("NXM_OF_ETH_TYPE", 3, 2).whole().at(frames::udp, 96, 16),
    nxm0("NXM_OF_VLAN_TCI", 4, 2).at(frames::tagged, L3, 16).also(0x1000).blind(0x1000).writes(0xefff),
    nxm0("NXM_OF_VLAN_TCI", 4, 2).told(&[
        told("0000", 1, frames::udp, true),
        told("0000", 1, frames::tagged, false),
        masked("1000", "1000", frames::tagged, true),
        masked("1000", "1000", frames::udp, false),
    ]),
    nxm0("NXM_OF_IP_TOS", 5, 1).needs(V4).whole().shifted(frames::udp, L3 + 8, 6, 2),
    nxm0("NXM_OF_IP_TOS", 5, 1).needs(V6).whole().shifted(frames::udp6, L3 + 4, 6, 2),
    nxm0("NXM_OF_IP_PROTO", 6, 1).needs(V4).whole().at(frames::udp, L3 + 9 * 8, 8),
    nxm0("NXM_OF_IP_PROTO", 6, 1).needs(V6).whole().at(frames::udp6, L3 + 6 * 8, 8),
    nxm0("NXM_OF_IP_SRC", 7, 4).needs(V4).at(frames::udp, L3 + 12 * 8, 32),
    nxm0("NXM_OF_IP_DST", 8, 4).needs(V4).at(frames::udp, L3 + 16 * 8, 32),
    nxm0("NXM_OF_TCP_SRC", 9, 2).needs(TCP4).at(frames::tcp, V4_L4, 16),
    nxm0("NXM_OF_TCP_SRC", 9, 2).needs(TCP6).at(frames::tcp6, V6_L4, 16),
    nxm0("NXM_OF_TCP_DST", 10, 2).needs(TCP4).at(frames::tcp, V4_L4 + 16, 16),
    nxm0("NXM_OF_TCP_DST", 10, 2).needs(TCP6).at(frames::tcp6, V6_L4 + 16, 16),
    nxm0("NXM_OF_UDP_SRC", 11, 2).needs(UDP4).at(frames::udp, V4_L4, 16),
    nxm0("NXM_OF_UDP_SRC", 11, 2).needs(UDP6).at(frames::udp6, V6_L4, 16),
    nxm0("NXM_OF_UDP_DST", 12, 2).needs(UDP4).at(frames::udp, V4_L4 + 16, 16),
    nxm0("NXM_OF_UDP_DST", 12, 2).needs(UDP6).at(frames::udp6, V6_L4 + 16, 16),
    nxm0("NXM_OF_ICMP_TYPE", 13, 1).needs(ICMP4).whole().at(frames::icmp, V4_L4, 8),
    nxm0("NXM_OF_ICMP_CODE", 14, 1).needs(ICMP4).whole().at(frames::icmp, V4_L4 + 8, 8),
    nxm0("NXM_OF_ARP_OP", 15, 2).needs(ARP).whole().at(frames::arp, L3 + 6 * 8, 16).writes(0xff),
    nxm0("NXM_OF_ARP_SPA", 16, 4).needs(ARP).at(frames::arp, L3 + 14 * 8, 32),
    nxm0("NXM_OF_ARP_TPA", 17, 4).needs(ARP).at(frames::arp, L3 + 24 * 8, 32),
    // Nicira's class 1.
    nxm1("NXM_NX_REG0", 0, 4).copied(32),
    nxm1("NXM_NX_REG1", 1, 4).copied(32),
    nxm1("NXM_NX_REG2", 2, 4).copied(32),
    nxm1("NXM_NX_REG3", 3, 4).copied(32),
    nxm1("NXM_NX_REG4", 4, 4).copied(32),
    nxm1("NXM_NX_REG5", 5, 4).copied(32),
    nxm1("NXM_NX_REG6", 6, 4).copied(32),
    nxm1("NXM_NX_REG7", 7, 4).copied(32),
    nxm1("NXM_NX_REG8", 8, 4).copied(32),
    nxm1("NXM_NX_REG9", 9, 4).copied(32),
    nxm1("NXM_NX_REG10", 10, 4).copied(32),
    nxm1("NXM_NX_REG11", 11, 4).copied(32),
    nxm1("NXM_NX_REG12", 12, 4).copied(32),
    nxm1("NXM_NX_REG13", 13, 4).copied(32),
    nxm1("NXM_NX_REG14", 14, 4).copied(32),
    nxm1("NXM_NX_REG15", 15, 4).copied(32),
    nxm1("NXM_NX_TUN_ID", 16, 8).copied(64),
    nxm1("NXM_NX_ARP_SHA", 17, 6).needs(ARP).at(frames::arp, L3 + 8 * 8, 48),
    nxm1("NXM_NX_ARP_THA", 18, 6).needs(ARP).at(frames::arp, L3 + 18 * 8, 48),
    nxm1("NXM_NX_IPV6_SRC", 19, 16).needs(V6).at(frames::udp6, L3 + 8 * 8, 128),
    nxm1("NXM_NX_IPV6_DST", 20, 16).needs(V6).at(frames::udp6, L3 + 24 * 8, 128),
    nxm1("NXM_NX_ICMPV6_TYPE", 21, 1).needs(ICMP6).whole().at(frames::icmp6, V6_L4, 8),
    nxm1("NXM_NX_ICMPV6_CODE", 22, 1).needs(ICMP6).whole().at(frames::icmp6, V6_L4 + 8, 8),
    nxm1("NXM_NX_ND_TARGET", 23, 16).needs(SOLICIT).at(frames::solicit, V6_L4 + 8 * 8, 128),
    nxm1("NXM_NX_ND_TARGET", 23, 16).needs(ADVERT).at(frames::advert, V6_L4 + 8 * 8, 128),
    nxm1("NXM_NX_ND_SLL", 24, 6).needs(SOLICIT).at(frames::solicit, V6_L4 + 26 * 8, 48),
    nxm1("NXM_NX_ND_TLL", 25, 6).needs(ADVERT).at(frames::advert, V6_L4 + 26 * 8, 48),
    nxm1("NXM_NX_IP_FRAG", 26, 1).needs(V4).read_only().told(HITS_ALL_FRAGMENTS),
    nxm1("NXM_NX_IPV6_LABEL", 27, 4).needs(V6).at(frames::udp6, L3 + 12, 20),
    nxm1("NXM_NX_IP_ECN", 28, 1).needs(V4).whole().at(frames::udp, L3 + 14, 2),
    nxm1("NXM_NX_IP_ECN", 28, 1).needs(V6).whole().at(frames::udp6, L3 + 10, 2),
    nxm1("NXM_NX_IP_TTL", 29, 1).needs(V4).whole().at(frames::udp, L3 + 8 * 8, 8),
    nxm1("NXM_NX_IP_TTL", 29, 1).needs(V6).whole().at(frames::udp6, L3 + 7 * 8, 8),
    nxm1("NXM_NX_MPLS_TTL", 30, 1).needs(MPLS).whole().at(frames::mpls, L3 + 24, 8),
    nxm1("NXM_NX_TUN_IPV4_SRC", 31, 4).copied(32),
    nxm1("NXM_NX_TUN_IPV4_DST", 32, 4).copied(32),
    nxm1("NXM_NX_PKT_MARK", 33, 4).copied(32),
    nxm1("NXM_NX_TCP_FLAGS", 34, 2).needs(TCP4).at(frames::tcp, V4_L4 + 12 * 8 + 4, 12),
    nxm1("NXM_NX_TCP_FLAGS", 34, 2).needs(TCP6).at(frames::tcp6, V6_L4 + 12 * 8 + 4, 12),
    nxm1("NXM_NX_DP_HASH", 35, 4).read_only().told(ZERO32),
    nxm1("NXM_NX_RECIRC_ID", 36, 4).whole().read_only().told(ZERO32),
    nxm1("NXM_NX_CONJ_ID", 37, 4).whole().read_only().told(CONJUNCTION),
    nxm1("NXM_NX_TUN_METADATA0", 40, 4).copied(32),
    nxm1("NXM_NX_TUN_METADATA1", 41, 4).copied(32),
    nxm1("NXM_NX_XXREG0", 111, 16).copied(128),
    nxm1("NXM_NX_XXREG1", 112, 16).copied(128),
    nxm1("NXM_NX_XXREG2", 113, 16).copied(128),
    nxm1("NXM_NX_XXREG3", 114, 16).copied(128),
    // The standard's class of packet registers, of 1.5; Open vSwitch has them from 1.3 on.
    line("OXM_OF_PKT_REG0", 0x8001, 0, 8).since(4).copied(64),
    line("OXM_OF_PKT_REG1", 0x8001, 1, 8).since(4).copied(64),
    line("OXM_OF_PKT_REG2", 0x8001, 2, 8).since(4).copied(64),
    line("OXM_OF_PKT_REG3", 0x8001, 3, 8).since(4).copied(64),
    line("OXM_OF_PKT_REG4", 0x8001, 4, 8).since(4).copied(64),
    line("OXM_OF_PKT_REG5", 0x8001, 5, 8).since(4).copied(64),
    line("OXM_OF_PKT_REG6", 0x8001, 6, 8).since(4).copied(64),
    line("OXM_OF_PKT_REG7", 0x8001, 7, 8).since(4).copied(64),
    // The standard's class, from 1.2 on.
    oxm("OXM_OF_IN_PORT", 0, 4).whole().told(PORT32),
    oxm("OXM_OF_METADATA", 2, 8).copied(64),
    oxm("OXM_OF_ETH_DST", 3, 6).at(frames::udp, 0, 48),
    oxm("OXM_OF_ETH_SRC", 4, 6).at(frames::udp, 48, 48),
    oxm("OXM_OF_ETH_TYPE", 5, 2).whole().at(frames::udp, 96, 16),
    oxm("OXM_OF_VLAN_VID", 6, 2).at(frames::tagged, L3 + 4, 12).also(0x1000),
    oxm("OXM_OF_VLAN_VID", 6, 2).at(frames::tagged_twice, L3 + 4, 12).also(0x1000),
    oxm("OXM_OF_VLAN_VID", 6, 2).told(TAGS),
    oxm("OXM_OF_VLAN_PCP", 7, 1).needs(&[Tag]).at(frames::tagged, L3, 3),
    oxm("OXM_OF_IP_DSCP", 8, 1).needs(V4).whole().at(frames::udp, L3 + 8, 6),
    oxm("OXM_OF_IP_DSCP", 8, 1).needs(V6).whole().at(frames::udp6, L3 + 4, 6),
    oxm("OXM_OF_IP_ECN", 9, 1).needs(V4).whole().at(frames::udp, L3 + 14, 2),
    oxm("OXM_OF_IP_ECN", 9, 1).needs(V6).whole().at(frames::udp6, L3 + 10, 2),
    oxm("OXM_OF_IP_PROTO", 10, 1).needs(V4).whole().at(frames::udp, L3 + 9 * 8, 8),
    oxm("OXM_OF_IP_PROTO", 10, 1).needs(V6).whole().at(frames::udp6, L3 + 6 * 8, 8),
    oxm("OXM_OF_IPV4_SRC", 11, 4).needs(V4).at(frames::udp, L3 + 12 * 8, 32),
    oxm("OXM_OF_IPV4_DST", 12, 4).needs(V4).at(frames::udp, L3 + 16 * 8, 32),
    oxm("OXM_OF_TCP_SRC", 13, 2).needs(TCP4).at(frames::tcp, V4_L4, 16),
    oxm("OXM_OF_TCP_SRC", 13, 2).needs(TCP6).at(frames::tcp6, V6_L4, 16),
    oxm("OXM_OF_TCP_DST", 14, 2).needs(TCP4).at(frames::tcp, V4_L4 + 16, 16),
    oxm("OXM_OF_TCP_DST", 14, 2).needs(TCP6).at(frames::tcp6, V6_L4 + 16, 16),
    oxm("OXM_OF_UDP_SRC", 15, 2).needs(UDP4).at(frames::udp, V4_L4, 16),
    oxm("OXM_OF_UDP_SRC", 15, 2).needs(UDP6).at(frames::udp6, V6_L4, 16),
    oxm("OXM_OF_UDP_DST", 16, 2).needs(UDP4).at(frames::udp, V4_L4 + 16, 16),
    oxm("OXM_OF_UDP_DST", 16, 2).needs(UDP6).at(frames::udp6, V6_L4 + 16, 16),
    oxm("OXM_OF_SCTP_SRC", 17, 2).needs(SCTP4).at(frames::sctp, V4_L4, 16),
    oxm("OXM_OF_SCTP_SRC", 17, 2).needs(SCTP6).at(frames::sctp6, V6_L4, 16),
    oxm("OXM_OF_SCTP_DST", 18, 2).needs(SCTP4).at(frames::sctp, V4_L4 + 16, 16),
    oxm("OXM_OF_SCTP_DST", 18, 2).needs(SCTP6).at(frames::sctp6, V6_L4 + 16, 16),
    oxm("OXM_OF_ICMPV4_TYPE", 19, 1).needs(ICMP4).whole().at(frames::icmp, V4_L4, 8),
    oxm("OXM_OF_ICMPV4_CODE", 20, 1).needs(ICMP4).whole().at(frames::icmp, V4_L4 + 8, 8),
    oxm("OXM_OF_ARP_OP", 21, 2).needs(ARP).whole().at(frames::arp, L3 + 6 * 8, 16).writes(0xff),
    oxm("OXM_OF_ARP_SPA", 22, 4).needs(ARP).at(frames::arp, L3 + 14 * 8, 32),
    oxm("OXM_OF_ARP_TPA", 23, 4).needs(ARP).at(frames::arp, L3 + 24 * 8, 32),
    oxm("OXM_OF_ARP_SHA", 24, 6).needs(ARP).at(frames::arp, L3 + 8 * 8, 48),
    oxm("OXM_OF_ARP_THA", 25, 6).needs(ARP).at(frames::arp, L3 + 18 * 8, 48),
    oxm("OXM_OF_IPV6_SRC", 26, 16).needs(V6).at(frames::udp6, L3 + 8 * 8, 128),
    oxm("OXM_OF_IPV6_DST", 27, 16).needs(V6).at(frames::udp6, L3 + 24 * 8, 128),
    oxm("OXM_OF_IPV6_FLABEL", 28, 4).needs(V6).at(frames::udp6, L3 + 12, 20),
    oxm("OXM_OF_ICMPV6_TYPE", 29, 1).needs(ICMP6).whole().at(frames::icmp6, V6_L4, 8),
    oxm("OXM_OF_ICMPV6_CODE", 30, 1).needs(ICMP6).whole().at(frames::icmp6, V6_L4 + 8, 8),
    oxm("OXM_OF_IPV6_ND_TARGET", 31, 16).needs(SOLICIT).at(frames::solicit, V6_L4 + 8 * 8, 128),
    oxm("OXM_OF_IPV6_ND_TARGET", 31, 16).needs(ADVERT).at(frames::advert, V6_L4 + 8 * 8, 128),
    oxm("OXM_OF_IPV6_ND_SLL", 32, 6).needs(SOLICIT).at(frames::solicit, V6_L4 + 26 * 8, 48),
    oxm("OXM_OF_IPV6_ND_TLL", 33, 6).needs(ADVERT).at(frames::advert, V6_L4 + 26 * 8, 48),
    oxm("OXM_OF_MPLS_LABEL", 34, 4).needs(MPLS).whole().at(frames::mpls, L3, 20),
    oxm("OXM_OF_MPLS_TC", 35, 1).needs(MPLS).whole().at(frames::mpls_twice, L3 + 20, 3),
    oxm("OXM_OF_MPLS_BOS", 36, 1).since(4).needs(MPLS).whole().at(frames::mpls_twice, L3 + 23, 1),
    oxm("OXM_OF_PBB_ISID", 37, 3).since(4).needs(PBB).at(frames::pbb, L3 + 8, 24),
    oxm("OXM_OF_TUNNEL_ID", 38, 8).since(4).copied(64),
    oxm("OXM_OF_IPV6_EXTHDR", 39, 2).since(4).needs(V6).read_only().told(EXTENSIONS),
    oxm("OXM_OF_PBB_UCA", 41, 1).since(5).needs(PBB).whole().at(frames::pbb, L3 + 4, 1),
    oxm("OXM_OF_TCP_FLAGS", 42, 2).since(6).needs(TCP4).at(frames::tcp, V4_L4 + 12 * 8 + 4, 12),
    oxm("OXM_OF_ACTSET_OUTPUT", 43, 4).since(6).whole().read_only().told(SET_OUTPUT),
    oxm("OXM_OF_PACKET_TYPE", 44, 4).since(6).whole().read_only().told(ETHERNET),
    // Experimenters'.
    experimenter("NXOXM_ET_DP_HASH", NICIRA, 0, 4).read_only().told(ZERO32),
    experimenter("ONFOXM_ET_TCP_FLAGS", ONF, 42, 2).since(4).needs(TCP4).at(frames::tcp, V4_L4 + 12 * 8 + 4, 12),
    experimenter("ONFOXM_ET_ACTSET_OUTPUT", ONF, 43, 4).since(4).whole().read_only().told(SET_OUTPUT),
    line("ERICOXM_OF_ICMPV6_ND_RESERVED", 0x1000, 1, 4).needs(ADVERT).whole().at(frames::advert, V6_L4 + 32, 32),
    line("ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", 0x1000, 2, 1).needs(ADVERT).whole().at(frames::advert, V6_L4 + 24 * 8, 8),
];

/// Fields that no message can name: `skb_priority` is the datapath's, `dl_vlan` and `dl_vlan_pcp` are the
/// text form of 1.0's structure (see `fixed`), the others are read by the datapath alone.
pub(crate) const NEVER_ON_THE_WIRE: [&str; 6] =
    ["skb_priority", "dl_vlan", "dl_vlan_pcp", "vlan_tci1", "mpls_lse1", "mpls_lse2"];

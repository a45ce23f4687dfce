//! The matches of OpenFlow 1.0 (1.0.1 §5.2.3) and 1.1 (1.1 §A.2.2): structures in which a bit says that a
//! field does not count.

use crate::frames::{self, Make, bits, with_bits};
use crate::lab::Lab;
use crate::wire::{self, Match, Wire};

/// How a field is left out, or counted in part.
#[derive(Clone, Copy)]
enum Wild {
    /// By this bit of `wildcards`.
    Bit(u32),
    /// By a count of low bits at this place of `wildcards` (1.0's addresses).
    Low(u32),
    /// By a mask behind it, whose ones do not count (1.1).
    Mask,
}

use Wild::{Bit, Low, Mask};

struct Line {
    version: Wire,
    name: &'static str,
    /// Where it stands in the structure, and how many bytes.
    place: (usize, usize),
    wild: Wild,
    /// Other fields that must count, by name.
    needs: &'static [&'static str],
    make: Make,
    /// Where its bits stand in the frame: the first, how many, and zeros behind them in the structure.
    bits: (usize, usize, usize),
}

const fn line(
    version: Wire,
    name: &'static str,
    place: (usize, usize),
    wild: Wild,
    needs: &'static [&'static str],
    make: Make,
    bits: (usize, usize, usize),
) -> Line {
    Line { version, name, place, wild, needs, make, bits }
}

const L3: usize = 14 * 8;
const L4: usize = 34 * 8;
const IP: &[&str] = &["dl_type"];
const L4_OF: &[&str] = &["dl_type", "nw_proto"];

#[rustfmt::skip]
static LINES: &[Line] = &[
    line(1, "dl_src", (6, 6), Bit(2), &[], frames::udp, (48, 48, 0)),
    line(1, "dl_dst", (12, 6), Bit(3), &[], frames::udp, (0, 48, 0)),
    line(1, "dl_vlan", (18, 2), Bit(1), &[], frames::tagged, (L3 + 4, 12, 0)),
    line(1, "dl_vlan_pcp", (20, 1), Bit(20), &["dl_vlan"], frames::tagged, (L3, 3, 0)),
    line(1, "dl_type", (22, 2), Bit(4), &[], frames::udp, (96, 16, 0)),
    line(1, "nw_tos", (24, 1), Bit(21), IP, frames::udp, (L3 + 8, 6, 2)),
    line(1, "nw_proto", (25, 1), Bit(5), IP, frames::udp, (L3 + 72, 8, 0)),
    line(1, "nw_src", (28, 4), Low(8), IP, frames::udp, (L3 + 96, 32, 0)),
    line(1, "nw_dst", (32, 4), Low(14), IP, frames::udp, (L3 + 128, 32, 0)),
    line(1, "tp_src", (36, 2), Bit(6), L4_OF, frames::udp, (L4, 16, 0)),
    line(1, "tp_dst", (38, 2), Bit(7), L4_OF, frames::udp, (L4 + 16, 16, 0)),
    line(1, "tp_src", (36, 2), Bit(6), L4_OF, frames::tcp, (L4, 16, 0)),
    line(1, "tp_dst", (38, 2), Bit(7), L4_OF, frames::tcp, (L4 + 16, 16, 0)),
    // The same places for ICMP and ARP.
    line(1, "tp_src", (36, 2), Bit(6), L4_OF, frames::icmp, (L4, 8, 0)),
    line(1, "tp_dst", (38, 2), Bit(7), L4_OF, frames::icmp, (L4 + 8, 8, 0)),
    line(1, "nw_proto", (25, 1), Bit(5), IP, frames::arp, (L3 + 56, 8, 0)),
    line(1, "nw_src", (28, 4), Low(8), IP, frames::arp, (L3 + 112, 32, 0)),
    line(1, "nw_dst", (32, 4), Low(14), IP, frames::arp, (L3 + 192, 32, 0)),
    line(2, "dl_src", (12, 6), Mask, &[], frames::udp, (48, 48, 0)),
    line(2, "dl_dst", (24, 6), Mask, &[], frames::udp, (0, 48, 0)),
    line(2, "dl_vlan", (36, 2), Bit(1), &[], frames::tagged, (L3 + 4, 12, 0)),
    line(2, "dl_vlan_pcp", (38, 1), Bit(2), &["dl_vlan"], frames::tagged, (L3, 3, 0)),
    line(2, "dl_type", (40, 2), Bit(3), &[], frames::udp, (96, 16, 0)),
    line(2, "nw_tos", (42, 1), Bit(4), IP, frames::udp, (L3 + 8, 6, 2)),
    line(2, "nw_proto", (43, 1), Bit(5), IP, frames::udp, (L3 + 72, 8, 0)),
    line(2, "nw_src", (44, 4), Mask, IP, frames::udp, (L3 + 96, 32, 0)),
    line(2, "nw_dst", (52, 4), Mask, IP, frames::udp, (L3 + 128, 32, 0)),
    line(2, "tp_src", (60, 2), Bit(6), L4_OF, frames::udp, (L4, 16, 0)),
    line(2, "tp_dst", (62, 2), Bit(7), L4_OF, frames::udp, (L4 + 16, 16, 0)),
    line(2, "tp_src", (60, 2), Bit(6), L4_OF, frames::sctp, (L4, 16, 0)),
    line(2, "tp_dst", (62, 2), Bit(7), L4_OF, frames::sctp, (L4 + 16, 16, 0)),
    line(2, "tp_src", (60, 2), Bit(6), L4_OF, frames::icmp, (L4, 8, 0)),
    line(2, "tp_dst", (62, 2), Bit(7), L4_OF, frames::icmp, (L4 + 8, 8, 0)),
    line(2, "nw_proto", (43, 1), Bit(5), IP, frames::arp, (L3 + 56, 8, 0)),
    line(2, "nw_src", (44, 4), Mask, IP, frames::arp, (L3 + 112, 32, 0)),
    line(2, "nw_dst", (52, 4), Mask, IP, frames::arp, (L3 + 192, 32, 0)),
    line(2, "mpls_label", (64, 4), Bit(8), IP, frames::mpls, (L3, 20, 0)),
    line(2, "mpls_tc", (68, 1), Bit(9), IP, frames::mpls, (L3 + 20, 3, 0)),
];

/// A structure in which nothing counts.
fn blank(version: Wire) -> Vec<u8> {
    if version == 1 {
        let mut out = vec![0; 40];
        out[..4].copy_from_slice(&0x003f_ffff_u32.to_be_bytes());
        return out;
    }
    let mut out = vec![0; 88];
    out[..4].copy_from_slice(&[0, 0, 0, 88]);
    out[8..12].copy_from_slice(&0x3ff_u32.to_be_bytes());
    for (from, len) in [(18, 6), (30, 6), (48, 4), (56, 4), (80, 8)] {
        out[from..from + len].fill(0xff);
    }
    out
}

/// Where `wildcards` stands.
fn wildcards_at(version: Wire) -> usize {
    if version == 1 { 0 } else { 8 }
}

impl Line {
    /// Makes the field count as the frame has it, but for so many low bits.
    fn count(&self, out: &mut [u8], frame: &[u8], n_low: usize) {
        let (at, n, shift) = self.bits;
        let (place, n_bytes) = self.place;
        let value = (bits(frame, at, n) >> n_low << n_low) << shift;
        let bytes = value.to_be_bytes();
        out[place..place + n_bytes].copy_from_slice(&bytes[16 - n_bytes..]);
        let at = wildcards_at(self.version);
        let word = out[at..at + 4].try_into().expect("four bytes");
        let mut wildcards = u32::from_be_bytes(word);
        let n_low = u32::try_from(n_low).expect("few");
        match self.wild {
            Bit(bit) => wildcards &= !(1 << bit),
            Low(shift) => wildcards = wildcards & !(0x3f << shift) | n_low << shift,
            Mask => {
                let mask = ((1_u128 << n_low) - 1).to_be_bytes();
                out[place + n_bytes..place + 2 * n_bytes].copy_from_slice(&mask[16 - n_bytes..]);
            }
        }
        out[at..at + 4].copy_from_slice(&wildcards.to_be_bytes());
    }

    fn structure(&self, frame: &[u8], n_low: usize) -> Vec<u8> {
        let mut out = blank(self.version);
        for needed in self.needs {
            let is_it = |other: &&Line| (other.name, other.version) == (*needed, self.version);
            LINES.iter().find(is_it).expect("a line").count(&mut out, frame, 0);
        }
        self.count(&mut out, frame, n_low);
        out
    }
}

const HIT: u8 = 2;
const MISS: u8 = 3;

fn lab_with(version: Wire, structure: Vec<u8>) -> Lab {
    let mut lab = Lab::new(version);
    let to = |port| wire::apply(version, &wire::output(version, port));
    let all = Match::Fixed(blank(version));
    lab.tell(&wire::add(version, 0, 1, &all, &to(MISS))).expect("a rule for all");
    lab.tell(&wire::add(version, 0, 10, &Match::Fixed(structure), &to(HIT))).expect("a rule");
    lab
}

fn is_hit(lab: &mut Lab, port: u8, frame: &[u8]) -> bool {
    match lab.frame(port, frame).sent.as_slice() {
        [(port, same)] if same == frame => *port == u32::from(HIT),
        other => panic!("one frame, as it was: {other:02x?}"),
    }
}

#[test]
fn each_field_of_the_structures_counts_bit_by_bit() {
    for line in LINES {
        let frame = (line.make)();
        let (at, n, _) = line.bits;
        let parts: &[usize] = if matches!(line.wild, Bit(_)) { &[0] } else { &[0, 8, 13] };
        for &n_low in parts {
            let mut lab = lab_with(line.version, line.structure(&frame, n_low));
            let case = format!("{} of version {} but {n_low} bits", line.name, line.version);
            assert!(is_hit(&mut lab, 1, &frame), "{case}");
            for bit in 0..n {
                let near = with_bits(&frame, at, n, bits(&frame, at, n) ^ 1 << bit);
                assert_eq!(is_hit(&mut lab, 1, &near), bit < n_low, "{case}, bit {bit}");
            }
        }
    }
}

#[test]
fn the_port_the_tag_that_is_not_there_and_metadata_count() {
    for version in [1, 2] {
        let at = wildcards_at(version);
        let clear = |structure: &mut [u8], bit: usize| {
            structure[at + 3 - bit / 8] &= !(1 << (bit % 8));
        };
        let mut of_port = blank(version);
        of_port[if version == 1 { 5 } else { 7 }] = 1;
        clear(&mut of_port, 0);
        let mut lab = lab_with(version, of_port);
        assert!(is_hit(&mut lab, 1, &frames::udp()));
        assert!(!is_hit(&mut lab, 4, &frames::udp()));
        // OFP_VLAN_NONE
        let mut untagged = blank(version);
        let place = if version == 1 { 18 } else { 36 };
        untagged[place..place + 2].fill(0xff);
        clear(&mut untagged, 1);
        let mut lab = lab_with(version, untagged);
        assert!(is_hit(&mut lab, 1, &frames::udp()));
        assert!(!is_hit(&mut lab, 1, &frames::tagged()));
    }
    // OFPVID_ANY of 1.1.
    let mut any = blank(2);
    any[36..38].copy_from_slice(&[0xff, 0xfe]);
    any[11] &= !2;
    let mut lab = lab_with(2, any);
    assert!(is_hit(&mut lab, 1, &frames::tagged()));
    assert!(!is_hit(&mut lab, 1, &frames::udp()));
    // Metadata begins as zero, of which the low four bits are looked at.
    for (value, hits) in [(0, true), (1, false), (0x10, true)] {
        let mut of_metadata = blank(2);
        of_metadata[79] = value;
        of_metadata[87] = 0xf0;
        let mut lab = lab_with(2, of_metadata);
        assert_eq!(is_hit(&mut lab, 1, &frames::udp()), hits, "{value}");
    }
}

//! Random frames.

use flow::proto::eth_type as ethertype;
use openflow::OfPort;
use packet::build::{self, Ip, Ipv4, Ipv6};
use packet::wire::{arp, icmp, mpls, sctp, tcp};

use super::{Rng, World};

const BROADCAST: [u8; 6] = [0xff; 6];
const MULTICAST: [u8; 6] = [0x01, 0x00, 0x5e, 0, 0, 1];

impl World {
    /// A port and a well-formed frame that comes in there.
    pub fn arrival(&self, rng: &mut Rng) -> (OfPort, Vec<u8>) {
        (self.port(rng), self.frame(rng))
    }

    /// A frame that is cut off somewhere behind its Ethernet header, or has a byte changed there.
    /// What a rule that sets a field does to a frame that lies about having it is not defined.
    pub fn damaged_frame(&self, rng: &mut Rng) -> Vec<u8> {
        let mut frame = self.frame(rng);
        let at = 14 + rng.below(frame.len() - 13);
        if rng.one_in(2) {
            frame.truncate(at);
        } else if let Some(byte) = frame.get_mut(at) {
            *byte ^= 1 << rng.below(8);
        }
        frame
    }

    /// A well-formed frame.
    pub fn frame(&self, rng: &mut Rng) -> Vec<u8> {
        let (mut ethertype, mut payload) = match rng.below(10) {
            0 => (ethertype::ARP, self.arp(rng)),
            1..=5 => (ethertype::IPV4, self.ip(rng, false)),
            6..=8 => (ethertype::IPV6, self.ip(rng, true)),
            _ => (0x9000, self.payload(rng)),
        };
        // Labels have IPv4 behind them, so that a pop can say so.
        if ethertype == ethertype::IPV4 && rng.one_in(4) {
            for depth in 0..=rng.below(2) {
                let entry = mpls::Repr {
                    label: rng.pick(&self.labels),
                    tc: rng.below(8) as u8,
                    bos: depth == 0,
                    ttl: self.ttl(rng),
                };
                payload = build::mpls(entry, &payload);
            }
            ethertype = ethertype::MPLS;
        }
        let src = rng.pick(&self.macs);
        let dst = match rng.below(8) {
            0 => BROADCAST,
            1 => MULTICAST,
            _ => rng.pick(&self.macs),
        };
        let mut frame = build::ethernet(dst, src, ethertype, &payload);
        if rng.one_in(12) {
            // A backbone header: use of customer addresses, service.
            let tci = (rng.below(2) as u32) << 27 | rng.below(1 << 24) as u32;
            payload = [&tci.to_be_bytes()[..], &frame].concat();
            frame = build::ethernet(src, dst, ethertype::PBB, &payload);
        }
        if rng.one_in(3) {
            let priority = (rng.below(8) as u16) << 13;
            frame = build::vlan(ethertype::VLAN, rng.pick(&self.vlans) | priority, &frame);
            if self.has_double_tags && rng.one_in(3) {
                let id = if rng.one_in(3) { 0 } else { rng.pick(&self.vlans) };
                let priority = if rng.one_in(2) { 0 } else { priority };
                let tpid = if rng.one_in(2) { ethertype::VLAN } else { ethertype::QINQ };
                frame = build::vlan(tpid, id | priority, &frame);
            }
        }
        frame
    }

    fn arp(&self, rng: &mut Rng) -> Vec<u8> {
        build::arp(arp::Repr {
            op: 1 + rng.below(2) as u16,
            sha: rng.pick(&self.macs),
            spa: rng.pick(&self.ipv4),
            tha: rng.pick(&self.macs),
            tpa: rng.pick(&self.ipv4),
        })
    }

    fn ip(&self, rng: &mut Rng, is_v6: bool) -> Vec<u8> {
        let tos = rng.pick(&[0, 0, 0xb8, 0x29]);
        let ttl = self.ttl(rng);
        let header: Ip = if is_v6 {
            let (src, dst) = (rng.pick(&self.ipv6), rng.pick(&self.ipv6));
            let label = rng.pick(&[0, 0x12345]);
            Ipv6 { src, dst, class: tos, label, hop_limit: ttl }.into()
        } else {
            let (src, dst) = (rng.pick(&self.ipv4), rng.pick(&self.ipv4));
            // Don't fragment, first fragment, later fragment.
            let fragment = rng.pick(&[0, 0, 0, 0, 0, 0x4000, 0x2000, 0x2010]);
            Ipv4 { src, dst, tos, ttl, fragment }.into()
        };
        let payload = self.payload(rng);
        let (src, dst) = (rng.pick(&self.tp_ports), rng.pick(&self.tp_ports));
        match rng.below(8) {
            0..=2 => {
                let flags = rng.pick(&[0x002, 0x010, 0x018, 0x011]);
                let segment = tcp::Repr { src, dst, seq: 1, ack: 2, flags, window: 512 };
                build::tcp(&header, segment, &payload)
            }
            3..=5 => build::udp(&header, src, dst, &payload),
            6 => build::sctp(&header, sctp::Repr { src, dst, tag: 7 }, &payload),
            _ => {
                let kind = if is_v6 { rng.pick(&[128, 129]) } else { rng.pick(&[0, 8]) };
                build::icmp(&header, icmp::Repr { kind, code: 0, rest: 9 }, &payload)
            }
        }
    }

    /// Mostly ordinary; sometimes about to run out.
    fn ttl(&self, rng: &mut Rng) -> u8 {
        rng.pick(&[64, 64, 64, 63, 255, 2, 1])
    }

    fn payload(&self, rng: &mut Rng) -> Vec<u8> {
        let len = rng.pick(&[0, 1, 18, 46, 47, 200]);
        (0..len).map(|_| rng.next_u64() as u8).collect()
    }
}

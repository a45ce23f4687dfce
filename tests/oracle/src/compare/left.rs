//! Frames whose senders leave the transport checksum to do.
//!
//! The oracle is given the frame as its sender would have finished it, and the switch the one that a guest
//! hands to its device: with the sum of the pseudo header in the field (virtio 1.2 §5.1.6.2). What leaves,
//! finished by the switch or by the device behind a port, is to be the same.

use flow::proto::{eth_type, ip_proto};
use flow::{Flow, FlowMeta};
use packet::Unfinished;
use packet::checksum::{finish, pseudo_ipv4, pseudo_ipv6, sum};
use packet::wire::{tcp, udp};

/// A frame as it is handed to a device.
#[derive(Debug, Clone)]
pub(super) struct Left {
    pub(super) bytes: Vec<u8>,
    pub(super) what: Unfinished,
}

impl Left {
    /// Leaves the checksum of `frame` to do, if it is a right one of TCP or UDP. In `frame` a checksum of zero is
    /// written then as whoever finishes it writes it.
    pub(super) fn of(frame: &mut [u8]) -> Option<Self> {
        let extracted = flow::extract(frame, &FlowMeta::default());
        let (flow, at) = (extracted.flow, usize::from(extracted.offsets.l4()?));
        let checksum_offset = match flow.nw_proto() {
            ip_proto::TCP => tcp::CHECKSUM,
            ip_proto::UDP => udp::CHECKSUM,
            _ => return None,
        };
        if extracted.malformed.is_some() || flow.nw_frag() != 0 {
            return None;
        }
        let begun = !finish(pseudo(&flow, frame.len() - at)?);
        let mut bytes = frame.to_vec();
        bytes.get_mut(at + checksum_offset..)?.get_mut(..2)?.copy_from_slice(&begun.to_be_bytes());
        let finished = match finish(sum(&bytes[at..], 0)) {
            0 => 0xffff,
            sum => sum,
        };
        let field = &mut frame[at + checksum_offset..][..2];
        let is_zero = flow.nw_proto() == ip_proto::TCP && finished == 0xffff && *field == [0; 2];
        if is_zero {
            field.fill(0xff);
        }
        let what = Unfinished { checksum_start: at, checksum_offset, large: None };
        (*field == finished.to_be_bytes()).then_some(Self { bytes, what })
    }
}

/// The sum over the pseudo header of `len` bytes (RFC 9293 §3.1, RFC 8200 §8.1).
fn pseudo(flow: &Flow, len: usize) -> Option<u32> {
    let proto = flow.nw_proto();
    match flow.eth_type() {
        eth_type::IPV4 => {
            Some(pseudo_ipv4(flow.nw_src(), flow.nw_dst(), proto, u16::try_from(len).ok()?))
        }
        eth_type::IPV6 => {
            let [src, dst] = [flow.ipv6_src(), flow.ipv6_dst()].map(u128::from);
            Some(pseudo_ipv6(src, dst, proto, u32::try_from(len).ok()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::build::{Ipv4, Ipv6, ethernet, tcp, udp, vlan};
    use packet::wire::tcp::Repr;

    #[test]
    fn right_checksums_are_left_and_wrong_ones_are_not() {
        let segment = Repr { src: 1, dst: 2, seq: 3, ack: 4, flags: 0x10, window: 5 };
        let v4 = |bytes: &[u8]| ethernet([2; 6], [4; 6], 0x0800, bytes);
        let v6 = |bytes: &[u8]| ethernet([2; 6], [4; 6], 0x86dd, bytes);
        for (frame, start, offset) in [
            (v4(&tcp(&Ipv4::default().into(), segment, b"seven")), 34, 16),
            (vlan(0x8100, 7, &v4(&udp(&Ipv4::default().into(), 1, 2, b""))), 38, 6),
            (v6(&udp(&Ipv6::default().into(), 1, 2, b"odd")), 54, 6),
        ] {
            let mut same = frame.clone();
            let Left { mut bytes, what } = Left::of(&mut same).expect("a right checksum");
            assert_eq!(
                (same, what.checksum_start, what.checksum_offset),
                (frame.clone(), start, offset)
            );
            let at = start + offset;
            assert_ne!(bytes[at..at + 2], frame[at..at + 2]);
            bytes[at..at + 2].copy_from_slice(&frame[at..at + 2]);
            assert_eq!(bytes, frame, "all else is as it was");
            let mut wrong = frame;
            wrong[at] ^= 1;
            assert!(Left::of(&mut wrong).is_none());
        }
        let mut first_fragment = Ipv4 { fragment: 0x2000, ..Ipv4::default() };
        assert!(Left::of(&mut v4(&udp(&first_fragment.into(), 1, 2, b""))).is_none());
        first_fragment.fragment = 0;
        assert!(Left::of(&mut v4(&udp(&first_fragment.into(), 1, 2, b""))).is_some());
    }
}

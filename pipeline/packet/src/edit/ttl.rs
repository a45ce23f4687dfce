//! Copies of the time to live between a header and the one in it (OpenFlow 1.3.5 §5.12): label to
//! label, label to IP, IP to IP.

use crate::bytes::{put, u8_at, u16_at};
use crate::checksum::{Change, correct_at};
use crate::wire::ethernet::ethertype;
use crate::wire::{ipv4, ipv6, mpls};
use crate::{Offsets, Packet};

/// The bottom-of-stack bit in the third byte of a label stack entry.
const BOTTOM: u8 = 1;
/// Protocol numbers of IP in IP.
const IPV4_IN_IP: u8 = 4;
const IPV6_IN_IP: u8 = 41;

/// A header that has a TTL.
#[derive(Clone, Copy)]
enum Header {
    Label(usize),
    Ipv4(usize),
    Ipv6(usize),
}

/// The outer TTL becomes what the inner one is. Without an inner header nothing happens.
pub fn copy_ttl_out(packet: &mut Packet, at: &Offsets) {
    if let Some((outer, inner)) = headers(packet.data(), at) {
        let ttl = inner.ttl(packet.data());
        outer.set_ttl(packet.data_mut(), ttl);
    }
}

/// The inner TTL becomes what the outer one is. Without an inner header nothing happens.
pub fn copy_ttl_in(packet: &mut Packet, at: &Offsets) {
    if let Some((outer, inner)) = headers(packet.data(), at) {
        let ttl = outer.ttl(packet.data());
        inner.set_ttl(packet.data_mut(), ttl);
    }
}

/// The outermost header with a TTL, and the next one.
fn headers(frame: &[u8], at: &Offsets) -> Option<(Header, Header)> {
    if let Some(label) = at.l2_5().map(usize::from) {
        let next = label + mpls::LEN;
        if next > frame.len() {
            return None;
        }
        let is_bottom = u8_at(frame, label + 2) & BOTTOM != 0;
        let inner = if is_bottom {
            ip(frame, next)?
        } else {
            (next + mpls::LEN <= frame.len()).then_some(Header::Label(next))?
        };
        return Some((Header::Label(label), inner));
    }
    let outer = usize::from(at.l3()?);
    let outer = match u16_at(frame, outer.checked_sub(2)?) {
        ethertype::IPV4 => ipv4_at(frame, outer)?,
        ethertype::IPV6 => ipv6_at(frame, outer)?,
        _ => return None,
    };
    let (proto, next) = match outer {
        Header::Label(_) => return None,
        Header::Ipv4(start) => {
            let len = usize::from(u8_at(frame, start) & 0xf) * 4;
            (u8_at(frame, start + ipv4::PROTO), start + len)
        }
        Header::Ipv6(start) => (u8_at(frame, start + ipv6::NEXT_HEADER), start + ipv6::LEN),
    };
    let inner = ip(frame, next)?;
    let is_announced = match inner {
        Header::Ipv4(_) => proto == IPV4_IN_IP,
        _ => proto == IPV6_IN_IP,
    };
    is_announced.then_some((outer, inner))
}

/// A whole IP header by its version, with lengths that make sense.
fn ip(frame: &[u8], at: usize) -> Option<Header> {
    match u8_at(frame, at) >> 4 {
        4 => ipv4_at(frame, at),
        6 => ipv6_at(frame, at),
        _ => None,
    }
}

fn ipv4_at(frame: &[u8], at: usize) -> Option<Header> {
    let len = usize::from(u8_at(frame, at) & 0xf) * 4;
    let total = usize::from(u16_at(frame, at + ipv4::TOTAL_LEN));
    let fits = len >= ipv4::MIN_LEN && len <= total && total <= frame.len().checked_sub(at)?;
    fits.then_some(Header::Ipv4(at))
}

fn ipv6_at(frame: &[u8], at: usize) -> Option<Header> {
    let payload = usize::from(u16_at(frame, at + ipv6::PAYLOAD_LEN));
    (ipv6::LEN + payload <= frame.len().checked_sub(at)?).then_some(Header::Ipv6(at))
}

impl Header {
    fn place(self) -> usize {
        match self {
            Header::Label(at) => at + 3,
            Header::Ipv4(at) => at + ipv4::TTL,
            Header::Ipv6(at) => at + ipv6::HOP_LIMIT,
        }
    }

    fn ttl(self, frame: &[u8]) -> u8 {
        u8_at(frame, self.place())
    }

    fn set_ttl(self, frame: &mut [u8], ttl: u8) {
        let place = self.place();
        let old = u8_at(frame, place);
        put(frame, place, [ttl]);
        if let Header::Ipv4(at) = self {
            let proto = u8_at(frame, at + ipv4::PROTO);
            let change = Change::of(&[old, proto], &[ttl, proto]);
            correct_at(frame, at + ipv4::CHECKSUM, change);
        }
    }
}

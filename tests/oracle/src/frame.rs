//! A frame taken apart.

mod ip;

use flow::Flow;
use flow::proto::VLAN_PRESENT;
use flow::proto::eth_type as ethertype;

use crate::checksum::TcpZero;
use ip::{Ipv4, Ipv6};

/// 802.2 SNAP with the organisation code of Ethernet (RFC 1042), behind a length.
const SNAP: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];
/// Bit 8 of a label stack entry: no entry behind it.
const BOTTOM_OF_STACK: u32 = 0x100;
/// Length of an ARP packet for IPv4 over Ethernet.
const ARP_LEN: usize = 28;
/// Control information, customer addresses and customer type of a PBB tag (802.1ah §9.7).
const PBB_TAG: usize = 18;

/// A VLAN tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tag {
    tpid: u16,
    tci: u16,
}

/// What the Ethernet type (or the bottom label) announces.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Body {
    Ipv4(Ipv4),
    Ipv6(Ipv6),
    Arp(Vec<u8>),
    Other(Vec<u8>),
}

/// The parts of a frame, outermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    dst: [u8; 6],
    src: [u8; 6],
    tags: Vec<Tag>,
    /// Length and SNAP header, or nothing.
    snap: Vec<u8>,
    ethertype: u16,
    labels: Vec<u32>,
    body: Body,
    zero: TcpZero,
}

impl Frame {
    /// Takes a frame apart, as far as it is well formed. `None` when it has no Ethernet header.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let dst = bytes.get(0..6)?.try_into().ok()?;
        let src = bytes.get(6..12)?.try_into().ok()?;
        let mut rest = bytes.get(12..)?;
        let mut tags = Vec::new();
        while let [a, b, c, d, _, _, ..] = *rest
            && is_vlan(u16::from_be_bytes([a, b]))
        {
            tags.push(Tag { tpid: u16::from_be_bytes([a, b]), tci: u16::from_be_bytes([c, d]) });
            rest = &rest[4..];
        }
        let mut snap = Vec::new();
        let mut ethertype = u16::from_be_bytes([*rest.first()?, *rest.get(1)?]);
        rest = &rest[2..];
        if ethertype < ethertype::MIN && rest.len() >= 8 && rest[..6] == SNAP {
            snap.extend_from_slice(&ethertype.to_be_bytes());
            snap.extend_from_slice(&SNAP);
            ethertype = u16::from_be_bytes([rest[6], rest[7]]);
            rest = &rest[8..];
        }
        let mut labels = Vec::new();
        if is_mpls(ethertype) {
            while let Some(entry) = rest.first_chunk::<4>() {
                labels.push(u32::from_be_bytes(*entry));
                rest = &rest[4..];
                if u32::from_be_bytes(*entry) & BOTTOM_OF_STACK != 0 {
                    break;
                }
            }
        }
        let body = Body::parse(ethertype, rest);
        let zero = TcpZero::default();
        Some(Self { dst, src, tags, snap, ethertype, labels, body, zero })
    }

    /// The same, of which the checksum is (or was) left to do.
    pub(crate) fn spelling(self, zero: TcpZero) -> Self {
        Self { zero, ..self }
    }

    /// Puts the frame together again.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&self.dst);
        bytes.extend_from_slice(&self.src);
        for tag in &self.tags {
            bytes.extend_from_slice(&tag.tpid.to_be_bytes());
            bytes.extend_from_slice(&tag.tci.to_be_bytes());
        }
        bytes.extend_from_slice(&self.snap);
        bytes.extend_from_slice(&self.ethertype.to_be_bytes());
        for label in &self.labels {
            bytes.extend_from_slice(&label.to_be_bytes());
        }
        match &self.body {
            Body::Ipv4(packet) => packet.emit(self.zero, &mut bytes),
            Body::Ipv6(packet) => packet.emit(self.zero, &mut bytes),
            Body::Arp(packet) | Body::Other(packet) => bytes.extend_from_slice(packet),
        }
        bytes
    }

    // ---- Tags and labels ----

    /// Puts a tag in front: with id and priority of the one that was outermost, or zero (OpenFlow
    /// 1.3.5 §5.12.1; Open vSwitch has zero in both cases).
    pub(crate) fn push_vlan(&mut self, tpid: u16) {
        let tci = self.tags.first().map_or(0, |outer| outer.tci & !VLAN_PRESENT);
        self.tags.insert(0, Tag { tpid, tci });
    }

    /// Takes the outer tag off, if there is one.
    pub(crate) fn pop_vlan(&mut self) {
        if !self.tags.is_empty() {
            self.tags.remove(0);
        }
    }

    /// Changes the bits of `mask` in the outer tag, adding a tag if there is none. The drop eligible
    /// bit of a tag that is written is clear, as in Open vSwitch.
    pub(crate) fn set_or_push_vlan(&mut self, tci: u16, mask: u16) {
        if self.tags.is_empty() {
            self.push_vlan(ethertype::VLAN);
        }
        // A tag that stays as it was is not written, and so keeps the bit.
        if (self.tags[0].tci ^ tci) & mask & !VLAN_PRESENT != 0 {
            self.tags[0].tci = (self.tags[0].tci & !mask | tci & mask) & !VLAN_PRESENT;
        }
    }

    /// The two outer tags.
    pub(crate) fn outer_tags(&self) -> [Option<(u16, u16)>; 2] {
        [0, 1].map(|n| self.tags.get(n).map(|tag| (tag.tpid, tag.tci & !VLAN_PRESENT)))
    }

    /// Puts others in place of the two outer tags.
    pub(crate) fn set_outer_tags(&mut self, tags: &[(u16, u16)]) {
        if tags == self.outer_tags().into_iter().flatten().collect::<Vec<_>>() {
            return;
        }
        let behind = self.tags.len().min(2);
        let new = tags.iter().map(|&(tpid, tci)| Tag { tpid, tci });
        self.tags.splice(..behind, new);
    }

    /// Puts a label stack entry behind the tags. It is a copy of the outer one, or, if there is
    /// none, has the explicit null label of the IP version, and traffic class and TTL from the IP
    /// header (label and traffic class as in Open vSwitch; OpenFlow 1.3.5 §5.12.1 says zero).
    pub(crate) fn push_mpls(&mut self, ethertype: u16, flow: &Flow) {
        let lse = match self.labels.first() {
            Some(outer) => outer & !BOTTOM_OF_STACK,
            None => {
                let label = if flow.eth_type() == ethertype::IPV6 { 2 } else { 0 };
                let (mut class, mut ttl) = (0, 64);
                if flow.is_ip() {
                    class = u32::from(flow.nw_tos() >> 2 & 7);
                    if flow.nw_ttl() != 0 {
                        ttl = u32::from(flow.nw_ttl());
                    }
                }
                label << 12 | class << 9 | BOTTOM_OF_STACK | ttl
            }
        };
        self.labels.insert(0, lse);
        self.reinterpret(ethertype);
    }

    /// Takes the outer label stack entry off; what is behind is of type `ethertype`.
    pub(crate) fn pop_mpls(&mut self, ethertype: u16) {
        if !self.labels.is_empty() {
            self.labels.remove(0);
            self.reinterpret(ethertype);
        }
    }

    /// Gives the frame another type; what it carries is read anew.
    fn reinterpret(&mut self, ethertype: u16) {
        self.ethertype = ethertype;
        if let Some(parsed) = Self::parse(&self.to_bytes()) {
            *self = parsed.spelling(self.zero);
        }
    }

    /// Puts a backbone header in front (OpenFlow 1.3.5 §5.12.1): with the addresses and the priority
    /// that the frame has, and the service of the header that it may have.
    pub(crate) fn push_pbb(&mut self, flow: &Flow) {
        let priority = self.tags.first().map_or(0, |tag| u32::from(tag.tci >> 13));
        let service = if flow.eth_type() == ethertype::PBB { flow.pbb_isid() } else { 0 };
        let mut customer = (priority << 29 | service).to_be_bytes().to_vec();
        customer.extend(self.to_bytes());
        *self = Self {
            dst: self.dst,
            src: self.src,
            tags: Vec::new(),
            snap: Vec::new(),
            ethertype: ethertype::PBB,
            labels: Vec::new(),
            body: Body::Other(customer),
            zero: self.zero,
        };
    }

    /// Takes the backbone header off; VLAN tags in front of it stay in front.
    pub(crate) fn pop_pbb(&mut self) {
        let Body::Other(bytes) = &self.body else { return };
        if self.ethertype != ethertype::PBB || bytes.len() < PBB_TAG {
            return;
        }
        let mut whole = bytes[4..16].to_vec();
        for tag in &self.tags {
            whole.extend(tag.tpid.to_be_bytes());
            whole.extend(tag.tci.to_be_bytes());
        }
        whole.extend(&bytes[16..]);
        if let Some(customer) = Self::parse(&whole) {
            *self = customer.spelling(self.zero);
        }
    }

    /// The TTL of the outer entry becomes the TTL behind it (OpenFlow 1.3.5 §5.12).
    pub(crate) fn copy_ttl_in(&mut self) {
        let Some(outer) = self.labels.first().copied() else {
            return self.copy_ip_ttl(true);
        };
        let ttl = outer as u8;
        match self.labels.get_mut(1) {
            Some(next) => *next = *next & !0xff | u32::from(ttl),
            None => self.with_inner_ttl(|inner| *inner = ttl),
        }
    }

    /// The TTL behind the outer entry becomes its TTL (OpenFlow 1.3.5 §5.12).
    pub(crate) fn copy_ttl_out(&mut self) {
        if self.labels.is_empty() {
            return self.copy_ip_ttl(false);
        }
        let mut ttl = self.labels.get(1).map(|&next| next as u8);
        if ttl.is_none() {
            self.with_inner_ttl(|inner| ttl = Some(*inner));
        }
        if let Some(ttl) = ttl {
            self.labels[0] = self.labels[0] & !0xff | u32::from(ttl);
        }
    }

    /// The same between an IP header and the one that it carries.
    fn copy_ip_ttl(&mut self, inwards: bool) {
        match &mut self.body {
            Body::Ipv4(packet) => packet.copy_ttl(inwards),
            Body::Ipv6(packet) => packet.copy_ttl(inwards),
            Body::Arp(_) | Body::Other(_) => {}
        }
    }

    /// Finds the TTL of the IP packet behind the labels, told by its version.
    fn with_inner_ttl(&mut self, change: impl FnOnce(&mut u8)) {
        let Body::Other(bytes) = &mut self.body else {
            return;
        };
        let version = bytes.first().map(|byte| byte >> 4);
        let (ethertype, at) = match version {
            Some(4) => (ethertype::IPV4, 8),
            Some(6) => (ethertype::IPV6, 7),
            _ => return,
        };
        let mut packet = Vec::new();
        match Body::parse(ethertype, bytes) {
            Body::Ipv4(mut ipv4) => {
                change(&mut ipv4.header_mut()[at]);
                ipv4.emit(self.zero, &mut packet);
            }
            Body::Ipv6(mut ipv6) => {
                change(&mut ipv6.header_mut()[at]);
                ipv6.emit(self.zero, &mut packet);
            }
            _ => return,
        }
        *bytes = packet;
    }

    // ---- Fields ----

    /// Writes what differs between two keys of this frame: `old` is its key, `new` is `old` with
    /// fields set. What the frame does not have is not written.
    pub(crate) fn rewrite(&mut self, old: &Flow, new: &Flow) {
        put(&mut self.dst, &old.eth_dst().0, &new.eth_dst().0);
        put(&mut self.src, &old.eth_src().0, &new.eth_src().0);
        if new.vlan_tci() != old.vlan_tci() {
            match (new.has_vlan(), self.tags.is_empty()) {
                (true, _) => self.set_or_push_vlan(new.vlan_tci() & !VLAN_PRESENT, u16::MAX),
                (false, false) => self.pop_vlan(),
                (false, true) => {}
            }
        }
        if let Some(outer) = self.labels.first_mut()
            && new.mpls_lse(0) != old.mpls_lse(0)
        {
            *outer = new.mpls_lse(0);
            if (new.mpls_lse(0) ^ old.mpls_lse(0)) & BOTTOM_OF_STACK != 0 {
                // What follows becomes a label, or ceases to be one.
                return self.reinterpret(self.ethertype);
            }
        }
        if new.eth_type() != old.eth_type() {
            return self.reinterpret(new.eth_type());
        }
        match &mut self.body {
            Body::Ipv4(packet) => packet.rewrite(old, new),
            Body::Ipv6(packet) => packet.rewrite(old, new),
            Body::Arp(packet) => {
                put(&mut packet[7..8], &[old.nw_proto()], &[new.nw_proto()]);
                put(&mut packet[8..14], &old.arp_sha().0, &new.arp_sha().0);
                put(&mut packet[14..18], &old.nw_src().to_be_bytes(), &new.nw_src().to_be_bytes());
                put(&mut packet[18..24], &old.arp_tha().0, &new.arp_tha().0);
                put(&mut packet[24..28], &old.nw_dst().to_be_bytes(), &new.nw_dst().to_be_bytes());
            }
            Body::Other(bytes) if self.ethertype == ethertype::PBB && bytes.len() >= PBB_TAG => {
                put(&mut bytes[1..4], &isid(old), &isid(new));
                if new.pbb_uca() != old.pbb_uca() {
                    bytes[0] = bytes[0] & !0x08 | new.pbb_uca() << 3;
                }
            }
            Body::Other(_) => {}
        }
        if new.nw_proto() != old.nw_proto() && new.is_ip() {
            // The payload is read as what it is called now.
            self.reinterpret(self.ethertype);
        }
    }
}

fn isid(flow: &Flow) -> [u8; 3] {
    let [_, a, b, c] = flow.pbb_isid().to_be_bytes();
    [a, b, c]
}

impl Body {
    fn parse(ethertype: u16, bytes: &[u8]) -> Self {
        let parsed = match ethertype {
            ethertype::IPV4 => Ipv4::parse(bytes).map(Self::Ipv4),
            ethertype::IPV6 => Ipv6::parse(bytes).map(Self::Ipv6),
            ethertype::ARP | ethertype::RARP => is_arp(bytes).then(|| Self::Arp(bytes.to_vec())),
            _ => None,
        };
        parsed.unwrap_or_else(|| Self::Other(bytes.to_vec()))
    }
}

/// Writes a field that was set to something else; one that was not is left as the frame has it.
fn put(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    if old != new {
        bytes.copy_from_slice(new);
    }
}

fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, ethertype::VLAN | ethertype::QINQ)
}

fn is_mpls(ethertype: u16) -> bool {
    matches!(ethertype, ethertype::MPLS | ethertype::MPLS_MULTICAST)
}

/// For IPv4 over Ethernet, with an operation that a key can hold.
fn is_arp(bytes: &[u8]) -> bool {
    bytes.len() >= ARP_LEN && bytes[..6] == [0, 1, 8, 0, 6, 4] && bytes[6] == 0
}

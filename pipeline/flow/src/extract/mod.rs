//! Frame in, flow out.
//!
//! # What
//! [`extract`] reads the headers of one frame once, from the outside in, and writes each straight
//! into its word of the flow. It also says where the layers begin, so that actions need not look
//! again.
//!
//! # Hostile frames
//! Every read goes through [`Cursor`], which hands out fixed-size arrays or nothing; there is no
//! index to get wrong. A frame that stops short, or lies about a length, gets a *defined* key:
//! everything up to the damaged layer is filled in, that layer and all above it are zero. The
//! rules are those of Open vSwitch's `miniflow_extract`, so that the same rule set treats the same
//! damage alike:
//!
//! | damage | key |
//! |---|---|
//! | shorter than an Ethernet header | metadata only |
//! | VLAN tag cut off | the TPID is the Ethernet type, no tag |
//! | PBB tag cut off | Ethernet type 0x88e7, service 0 |
//! | length field and no SNAP header behind it | Ethernet type 0x05ff |
//! | IPv4: header short, IHL < 5, total length < header or > frame | Ethernet type, no L3 |
//! | IPv6: header short, payload length > frame | Ethernet type, no L3 |
//! | IPv6: extension header cut off | addresses only |
//! | TCP, UDP, SCTP, ICMP, IGMP header short, TCP data offset wrong | L3, no L4 |
//! | ND: option given twice | ICMPv6 type and code, no target and no addresses |
//!
//! Bytes behind the IP packet's own length are padding and never read as a header.
//!
//! # Cost
//! Frames of the usual kind are read at one look (`usual.rs`), all others header by header. No
//! allocation, no loop except over tags, labels, IPv6 extension headers and ND options, each of
//! which takes bytes of the frame in every round.

mod cursor;
mod keys;
mod l2;
mod l3;
mod l4;
#[cfg(test)]
mod tests;
mod usual;

use crate::flow::Flow;
use crate::layout::{FLOW_WORDS, MARKS, PORT, PRIORITY, TUN_ADDR, TUNNEL_ID, WordMap};
use cursor::Cursor;
pub use keys::Keys;
pub use packet::Offsets;
use usual::{Put, usual};

/// What a packet carries besides its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowMeta {
    /// Port that the packet came from.
    pub in_port: u32,
    /// Recirculation id, 0 for a packet fresh from a port.
    pub recirc_id: u32,
    /// Hash that a datapath action computed.
    pub dp_hash: u32,
    /// Packet mark.
    pub pkt_mark: u32,
    /// Queueing priority.
    pub skb_priority: u32,
    /// Tunnel key, 0 outside of tunnels.
    pub tunnel_id: u64,
    /// Outer source of the tunnel.
    pub tun_src: u32,
    /// Outer destination of the tunnel.
    pub tun_dst: u32,
}

impl FlowMeta {
    /// A packet fresh from a port.
    #[must_use]
    pub fn of_port(in_port: u32) -> FlowMeta {
        FlowMeta { in_port, ..FlowMeta::default() }
    }

    /// The metadata of a flow.
    #[must_use]
    pub fn of_flow(flow: &Flow) -> FlowMeta {
        FlowMeta {
            in_port: flow.in_port(),
            recirc_id: flow.recirc_id(),
            dp_hash: flow.dp_hash(),
            pkt_mark: flow.pkt_mark(),
            skb_priority: flow.skb_priority(),
            tunnel_id: flow.tunnel_id(),
            tun_src: flow.tun_src(),
            tun_dst: flow.tun_dst(),
        }
    }
}

/// Why a frame's key is incomplete. It is still forwarded: what to do with it is the rules' matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// Shorter than an Ethernet header.
    Ethernet,
    /// A VLAN tag without room for what follows it.
    Vlan,
    /// A label stack that ends before its bottom.
    Mpls,
    /// A PBB tag that is cut off.
    Pbb,
    /// An ARP packet that is short or not for IPv4 over Ethernet.
    Arp,
    /// An IPv4 header that is short or whose lengths contradict each other.
    Ipv4,
    /// An IPv6 header that is short or whose length exceeds the frame.
    Ipv6,
    /// An IPv6 extension header that is cut off.
    Ipv6Extension,
    /// A transport header that is cut off or contradicts itself.
    Transport,
    /// Options of a neighbour discovery message that contradict each other.
    NdOption,
}

/// What [`extract`] found.
#[derive(Clone, Copy, Debug)]
pub struct Extracted {
    /// The key.
    pub flow: Flow,
    /// The words of the key that may be other than zero: a matter of which headers there are, so that
    /// packets of one kind have one map.
    pub map: WordMap,
    /// Where the layers begin.
    pub offsets: Offsets,
    /// Why the key stops early, if it does.
    pub malformed: Option<Malformed>,
}

/// Takes a frame apart.
#[must_use]
pub fn extract(frame: &[u8], meta: &FlowMeta) -> Extracted {
    let mut out = Extracted::EMPTY;
    out.refill(frame, meta);
    out
}

impl Extracted {
    /// Of nothing.
    pub const EMPTY: Self =
        Self { flow: Flow::ZERO, map: WordMap(0), offsets: Offsets::NONE, malformed: None };

    /// Takes another frame apart, in place: a key is 256 bytes, of which a usual frame fills some
    /// ten words. Those are written, and cleared are only those that the last frame filled and this one
    /// does not.
    #[inline(always)]
    pub fn refill(&mut self, frame: &[u8], meta: &FlowMeta) {
        let before = core::mem::take(&mut self.map);
        metadata(meta, self);
        match usual(frame, self) {
            Some(offsets) => (self.offsets, self.malformed) = (offsets, None),
            None => self.refill_generally(frame),
        }
        for word in WordMap(before.0 & !self.map.0) {
            self.flow.set_word(word, 0);
        }
    }

    #[inline(never)]
    fn refill_generally(&mut self, frame: &[u8]) {
        self.offsets = Offsets::NONE;
        self.malformed = self.frame(frame).err();
    }

    #[inline]
    fn frame(&mut self, frame: &[u8]) -> Result<(), Malformed> {
        let mut cursor = Cursor::new(frame);
        let eth_type = self.ethernet(&mut cursor)?;
        self.network(eth_type, &mut cursor)
    }
}

impl Put for Extracted {
    #[inline]
    fn put(&mut self, word: usize, value: u64) {
        self.flow.set_word(word, value);
        self.map.0 |= 1 << (word & (FLOW_WORDS - 1));
    }
}

#[inline(always)]
fn metadata(meta: &FlowMeta, key: &mut impl Put) {
    let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    key.put(PORT, pair(meta.in_port, meta.recirc_id));
    let marks = pair(meta.dp_hash, meta.pkt_mark);
    let tunnel = meta.tunnel_id | pair(meta.tun_src, meta.tun_dst);
    if marks | u64::from(meta.skb_priority) | tunnel != 0 {
        key.put(MARKS, marks);
        key.put(PRIORITY, pair(meta.skb_priority, 0));
        key.put(TUNNEL_ID, meta.tunnel_id);
        key.put(TUN_ADDR, pair(meta.tun_src, meta.tun_dst));
    }
}

//! Edits of addresses, VLAN tags and MPLS labels.

use super::{Masked, change};
use crate::bytes::{array, put, u16_at};
use crate::wire::{ethernet, mpls, vlan};
use crate::{Offsets, Packet};

/// New Ethernet addresses.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the header fields are")]
pub struct SetEth {
    pub src: Masked<[u8; 6]>,
    pub dst: Masked<[u8; 6]>,
}

/// Writes addresses.
#[must_use]
#[inline]
pub fn set_eth(packet: &mut Packet, to: &SetEth) -> bool {
    let frame = packet.data_mut();
    // A frame may be so short that it has a destination alone.
    if to.src.is_none() {
        return to.dst.is_none() || change(frame, ethernet::DST, |old| to.dst.over(old)).is_some();
    }
    let Some(addresses) = frame.first_chunk_mut::<12>() else { return false };
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *addresses;
    let [a, b, c, d, e, f] = to.dst.over([a, b, c, d, e, f]);
    let [g, h, i, j, k, l] = to.src.over([g, h, i, j, k, l]);
    *addresses = [a, b, c, d, e, f, g, h, i, j, k, l];
    true
}

/// Pushes a tag in front of all others. `tci` goes on the wire as given: a caller that holds a
/// flow's TCI, where the DEI bit says "present", clears that bit first.
#[must_use]
#[inline]
pub fn push_vlan(packet: &mut Packet, at: &mut Offsets, tpid: u16, tci: u16) -> bool {
    if packet.len() < ethernet::LEN || packet.push_front(vlan::LEN).is_none() {
        return false;
    }
    let frame = packet.data_mut();
    let addresses: [u8; 12] = array(frame, vlan::LEN);
    put(frame, 0, addresses);
    put(frame, ethernet::TYPE, tpid.to_be_bytes());
    put(frame, ethernet::TYPE + 2, tci.to_be_bytes());
    at.shift(4);
    true
}

/// Takes the outermost tag off and gives its TPID and TCI; `None` when there is none.
pub fn pop_vlan(packet: &mut Packet, at: &mut Offsets) -> Option<(u16, u16)> {
    let frame = packet.data_mut();
    let (tpid, tci) = outer_tag(frame)?;
    let addresses: [u8; 12] = array(frame, 0);
    put(frame, vlan::LEN, addresses);
    if !packet.pull_front(vlan::LEN) {
        return None;
    }
    at.shift(-4);
    Some((tpid, tci))
}

/// Writes bits of the outermost tag's TCI, on the wire as given.
#[must_use]
pub fn set_vlan_tci(packet: &mut Packet, to: Masked<u16>) -> bool {
    let frame = packet.data_mut();
    let Some((_, tci)) = outer_tag(frame) else {
        return false;
    };
    put(frame, ethernet::TYPE + 2, to.over(tci).to_be_bytes())
}

/// Pushes a label stack entry in front of all others, under the VLAN tags.
#[must_use]
pub fn push_mpls(packet: &mut Packet, at: &mut Offsets, ethertype: u16, lse: u32) -> bool {
    if !mpls::is_mpls(ethertype) {
        return false;
    }
    let Some(l2_5) = at.l2_5().or(at.l3()).map_or_else(|| end_of_l2(packet.data()), Some) else {
        return false;
    };
    let len = usize::from(l2_5);
    if len < ethernet::LEN || len > packet.len() || packet.push_front(mpls::LEN).is_none() {
        return false;
    }
    let frame = packet.data_mut();
    frame.copy_within(mpls::LEN..mpls::LEN + len, 0);
    put(frame, len, lse.to_be_bytes());
    put(frame, len - 2, ethertype.to_be_bytes());
    at.shift(4);
    at.set_l2_5(Some(l2_5));
    true
}

/// Takes the first label stack entry off and writes the type of what is left.
#[must_use]
pub fn pop_mpls(packet: &mut Packet, at: &mut Offsets, ethertype: u16) -> bool {
    let Some(l2_5) = at.l2_5() else { return false };
    let len = usize::from(l2_5);
    if len < ethernet::LEN || packet.len() < len + mpls::LEN {
        return false;
    }
    let frame = packet.data_mut();
    put(frame, len - 2, ethertype.to_be_bytes());
    frame.copy_within(..len, mpls::LEN);
    if !packet.pull_front(mpls::LEN) {
        return false;
    }
    at.shift(-4);
    at.set_l2_5(mpls::is_mpls(ethertype).then_some(l2_5));
    true
}

/// Writes bits of the first label stack entry.
#[must_use]
pub fn set_mpls_lse(packet: &mut Packet, at: &Offsets, to: Masked<u32>) -> bool {
    let Some(l2_5) = at.l2_5() else { return false };
    let write = |old| to.over(u32::from_be_bytes(old)).to_be_bytes();
    change(packet.data_mut(), l2_5.into(), write).is_some()
}

/// Writes the type of what follows the addresses and tags. What that is must be found out anew.
#[must_use]
pub fn set_eth_type(packet: &mut Packet, at: &mut Offsets, ethertype: u16) -> bool {
    let Some(end) = at.l2_5().or(at.l3()).map(usize::from) else { return false };
    at.set_l2_5(None);
    at.set_l4(None);
    end >= ethernet::LEN && put(packet.data_mut(), end - 2, ethertype.to_be_bytes())
}

/// Grows a short frame with zeros to `minimum` bytes (60 on Ethernet, without its checksum), as
/// after a pop. `false` when the buffer has no such room. The end of a large frame is that of its stream, so
/// it is left alone.
#[must_use]
pub fn pad_to_minimum(packet: &mut Packet, minimum: usize) -> bool {
    packet.len() >= minimum || packet.is_large() || packet.set_len(minimum)
}

fn outer_tag(frame: &[u8]) -> Option<(u16, u16)> {
    let tpid = u16_at(frame, ethernet::TYPE);
    let is_tagged = frame.len() >= ethernet::LEN + vlan::LEN && vlan::is_tpid(tpid);
    is_tagged.then(|| (tpid, u16_at(frame, ethernet::TYPE + 2)))
}

/// Where the header after the last VLAN tag begins.
fn end_of_l2(frame: &[u8]) -> Option<u16> {
    let mut at = ethernet::TYPE;
    while vlan::is_tpid(u16_at(frame, at)) {
        at += vlan::LEN;
    }
    u16::try_from(at + 2).ok().filter(|&end| usize::from(end) <= frame.len())
}

//! Edits of provider backbone bridging tags (802.1ah; OpenFlow 1.3.5 §5.12, §7.2.5.10).
//!
//! A service tag stands behind the backbone's addresses (and its VLAN tags): type 0x88e7, four bytes
//! of control information, then the customer's frame from its addresses on.

use super::{Masked, change};
use crate::bytes::{array, put, u16_at};
use crate::wire::ethernet;
use crate::{Offsets, Packet};

/// Ethernet type of the tag.
const TYPE: u16 = 0x88e7;
/// Bytes that a tag adds: the backbone's addresses, type, control information.
const ADDED: usize = 18;
const ADDRESSES: usize = 12;
const CONTROL: usize = 4;

/// Puts a backbone header with the frame's own addresses and a service tag in front of the frame.
#[must_use]
pub fn push_pbb(packet: &mut Packet, at: &mut Offsets, tci: u32) -> bool {
    if packet.len() < ethernet::LEN || packet.push_front(ADDED).is_none() {
        return false;
    }
    let frame = packet.data_mut();
    let addresses: [u8; ADDRESSES] = array(frame, ADDED);
    put(frame, 0, addresses);
    put(frame, ethernet::TYPE, TYPE.to_be_bytes());
    put(frame, ethernet::LEN, tci.to_be_bytes());
    *at = Offsets::new(None, u16::try_from(ethernet::LEN).ok(), None);
    true
}

/// Takes the service tag off and gives the frame the customer's addresses back. VLAN tags in front
/// of it stay.
#[must_use]
pub fn pop_pbb(packet: &mut Packet, at: &mut Offsets) -> bool {
    let Some(control) = service_tag(packet, at) else { return false };
    let frame = packet.data_mut();
    let customer: [u8; ADDRESSES] = array(frame, control + CONTROL);
    frame.copy_within(ADDRESSES..control - 2, ADDED + ADDRESSES);
    put(frame, ADDED, customer);
    *at = Offsets::NONE;
    packet.pull_front(ADDED)
}

/// Writes bits of the control information.
#[must_use]
pub fn set_pbb_tci(packet: &mut Packet, at: &Offsets, to: Masked<u32>) -> bool {
    let Some(control) = service_tag(packet, at) else { return false };
    let write = |old| to.over(u32::from_be_bytes(old)).to_be_bytes();
    change(packet.data_mut(), control, write).is_some()
}

/// Where the control information of a whole tag is.
fn service_tag(packet: &Packet, at: &Offsets) -> Option<usize> {
    let control = at.l3().map(usize::from)?;
    let is_tag = control >= ethernet::LEN && u16_at(packet.data(), control - 2) == TYPE;
    (is_tag && packet.len() >= control + CONTROL + ethernet::LEN).then_some(control)
}

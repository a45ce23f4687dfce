//! Ethernet, VLAN tags, 802.2 and MPLS.

use super::cursor::{Cursor, be16};
use super::{Extracted, Malformed, Put};
use crate::layout::{ETH_DST, ETH_SRC, MPLS, MPLS2, VLAN};
use crate::proto::{VLAN_PRESENT, eth_type as ethertype};

const ADDRESSES: usize = 12;
const LOW_16: u64 = 0xffff;
const BOTTOM_OF_STACK: u32 = 0x100;
/// Bytes of an I-TAG's control information, the customer's addresses and the customer's type.
const PBB_TAG: usize = 18;
/// What the I-TAG's control information says that the key holds: the service, and whether the
/// customer addresses are in use (802.1ah §9.7).
const PBB_KEPT: u32 = 0x08ff_ffff;
/// 802.2 SNAP with the organisation code of Ethernet (RFC 1042).
const SNAP: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];

impl Extracted {
    /// Reads everything up to the network header and returns the Ethernet type.
    #[inline]
    pub(super) fn ethernet(&mut self, cursor: &mut Cursor<'_>) -> Result<u16, Malformed> {
        let header = cursor.peek::<14>().ok_or(Malformed::Ethernet)?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, type_high, type_low] = *header;
        cursor.skip(ADDRESSES).ok_or(Malformed::Ethernet)?;

        let mut damage = Ok(());
        let mut ty = be16(type_high, type_low);
        if is_vlan(ty) {
            damage = self.vlans(&mut ty, cursor);
        }
        cursor.skip(2).ok_or(Malformed::Ethernet)?;
        if ty < ethertype::MIN {
            ty = snap(cursor);
        }

        let dst = u64::from_be_bytes([a, b, c, d, e, f, g, h]) & !LOW_16;
        let src = u64::from_be_bytes([g, h, i, j, k, l, 0, 0]);
        self.put(ETH_DST, dst | u64::from(ty));
        self.put(ETH_SRC, src);
        self.offsets.set_l3(cursor.offset());
        damage?;

        if matches!(ty, ethertype::MPLS | ethertype::MPLS_MULTICAST) {
            self.offsets.set_l2_5(cursor.offset());
            damage = self.mpls(cursor);
            self.offsets.set_l3(cursor.offset());
        }
        damage.map(|()| ty)
    }

    /// Reads up to two tags. The cursor stands on the type `ty` before and after.
    #[inline(never)]
    fn vlans(&mut self, ty: &mut u16, cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
        let mut tags = 0;
        for shift in [32, 0] {
            if !is_vlan(*ty) {
                break;
            }
            // The tag counts only when the type behind it is there too.
            let Some([tpid_high, tpid_low, tci_high, tci_low, type_high, type_low]) =
                cursor.peek::<6>()
            else {
                self.put(VLAN, tags);
                return Err(Malformed::Vlan);
            };
            let tpid = be16(*tpid_high, *tpid_low);
            let tci = be16(*tci_high, *tci_low) | VLAN_PRESENT;
            tags |= (u64::from(tpid) << 16 | u64::from(tci)) << shift;
            *ty = be16(*type_high, *type_low);
            if cursor.skip(4).is_none() {
                return Err(Malformed::Vlan);
            }
        }
        self.put(VLAN, tags);
        Ok(())
    }

    /// Reads the label stack: all of it is skipped, three entries are kept.
    #[inline(never)]
    fn mpls(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
        let mut kept = [0u32; 3];
        let mut slots = kept.iter_mut();
        let mut damage = Err(Malformed::Mpls);
        while let Some(entry) = cursor.pull::<4>() {
            let lse = u32::from_be_bytes(*entry);
            if let Some(slot) = slots.next() {
                *slot = lse;
            }
            if lse & BOTTOM_OF_STACK != 0 {
                damage = Ok(());
                break;
            }
        }
        let [first, second, third] = kept;
        self.put(MPLS, u64::from(first) << 32 | u64::from(second));
        self.put(MPLS2, u64::from(third) << 32);
        damage
    }

    /// Reads a PBB service tag. The customer's addresses and all behind them stay unread, as what
    /// lies behind labels does.
    pub(super) fn pbb(&mut self, cursor: &Cursor<'_>) -> Result<(), Malformed> {
        // The customer's addresses and type belong to the tag: without them it cannot be taken off.
        let [a, b, c, d, ..] = *cursor.peek::<PBB_TAG>().ok_or(Malformed::Pbb)?;
        let tci = u32::from_be_bytes([a, b, c, d]) & PBB_KEPT;
        // In the key the one bit stands right above the service.
        self.put(MPLS2, u64::from(tci & 0x00ff_ffff | tci >> 27 << 24));
        Ok(())
    }
}

#[inline]
fn is_vlan(ty: u16) -> bool {
    matches!(ty, ethertype::VLAN | ethertype::QINQ)
}

/// The type behind an 802.3 length: that of a SNAP header, or "none". A SNAP header with a type
/// that is no type is skipped all the same.
#[inline(never)]
fn snap(cursor: &mut Cursor<'_>) -> u16 {
    let Some([llc @ .., type_high, type_low]) = cursor.peek::<8>() else {
        return ethertype::NONE;
    };
    if *llc != SNAP || cursor.skip(8).is_none() {
        return ethertype::NONE;
    }
    let ty = be16(*type_high, *type_low);
    if ty >= ethertype::MIN { ty } else { ethertype::NONE }
}

//! The last step of a translation: what the datapath gets.

use super::machine::Machine;
use alloc::vec::Vec;
use datapath::{CheckPktLen, DpAction, DropReason};
use flow::layout::{MPLS, PORT, TP, TUN_METADATA};
use flow::proto::{FRAG_LATER, VLAN_PRESENT};
use flow::{Field, Flow, Mask, Prereq};

/// Makes it the bits that every translation examines.
pub(crate) fn begin_mask(mask: &mut Mask, flow: &Flow) {
    *mask = Mask::ZERO;
    // Ingress port and recirculation id.
    mask.set_word(PORT, u64::MAX);
    mask.set_packet_type(u32::MAX);
    mask.set_eth_type(u16::MAX);
    if flow.is_ip() {
        mask.set_exact(Field::IpFrag);
    }
}

/// Takes out what no packet of the megaflow can differ in, or the datapath does not know.
pub(crate) fn tidy_mask(mask: &mut Mask, flow: &Flow) {
    // Metadata, tunnel and registers belong to the translation: they begin with zero, or with what
    // the recirculation id says. `Deps` builds on it.
    for word in 0..PORT {
        mask.set_word(word, 0);
    }
    mask.set_word(TUN_METADATA, 0);
    mask.set_actset_output(0);
    mask.set_conj_id(0);
    mask.set_in_port(u32::MAX);
    // Ethernet type and fragment bits are exact in each mask, so where they say that a packet has
    // no labels or ports, those are zero in all packets.
    if !flow.is_mpls() {
        mask.set_word(MPLS, 0);
        mask.set_mpls_lse(2, 0);
    }
    if !Prereq::Pbb.holds(flow) {
        mask.set_pbb_isid(0);
        mask.set_pbb_uca(0);
    }
    if flow.nw_frag() & FRAG_LATER != 0 {
        mask.set_word(TP, 0);
    }
    if Prereq::Icmpv4.holds(flow) || Prereq::Icmpv6.holds(flow) {
        mask.set_tp_src(mask.tp_src() & 0xff);
        mask.set_tp_dst(mask.tp_dst() & 0xff);
    }
    if mask.vlan_tci() != 0 {
        mask.set_vlan_tci(mask.vlan_tci() | VLAN_PRESENT);
    }
}

/// The meters of a program, and the branches that have some.
fn meters(actions: &[DpAction]) -> Vec<DpAction> {
    let kept = actions.iter().filter_map(|action| match action {
        DpAction::Meter(_) => Some(action.clone()),
        DpAction::Clone(inner) => {
            let inner = meters(inner);
            (!inner.is_empty()).then(|| DpAction::Clone(inner.into()))
        }
        DpAction::CheckPktLen(check) => {
            let (greater, less_equal) = (meters(&check.greater), meters(&check.less_equal));
            (!greater.is_empty() || !less_equal.is_empty()).then(|| {
                DpAction::CheckPktLen(CheckPktLen {
                    len: check.len,
                    greater: greater.into(),
                    less_equal: less_equal.into(),
                })
            })
        }
        _ => None,
    });
    kept.collect()
}

impl Machine<'_> {
    /// Puts an end to the actions and the mask. Why nothing is output, if nothing is.
    pub(crate) fn conclude(&mut self) -> Option<DropReason> {
        let mut drop = None;
        if self.error.is_some() {
            drop = Some(DropReason::TranslationError);
            self.frozen.clear();
            self.packet_ins.clear();
        } else if !self.has_output {
            drop = Some(self.drop.unwrap_or(DropReason::ActionDrop));
        }
        if let Some(reason) = drop {
            // What a meter counts it counts also of packets that go nowhere.
            match self.error.is_none() && self.has_meter {
                true => *self.actions = meters(self.actions),
                false => self.actions.clear(),
            }
            self.actions.push(DpAction::Drop(reason));
        }
        tidy_mask(self.mask, self.input.flow);
        drop
    }
}

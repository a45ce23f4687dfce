//! The last step of a translation: what the datapath gets.

use super::TranslateOut;
use super::machine::{Machine, Room};
use super::path::{Paths, Trail};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use datapath::{CheckPktLen, DpAction, DropReason};
use flow::layout::{MPLS, TP, pipeline_words};
use flow::proto::{FRAG_LATER, VLAN_PRESENT};
use flow::{Field, Flow, Mask, Prereq};

/// The bits that every translation examines.
pub(crate) fn initial_mask(flow: &Flow) -> Mask {
    let mut mask = Mask::ZERO;
    for field in [Field::RecircId, Field::InPort, Field::PacketType, Field::EthType] {
        mask.set_exact(field);
    }
    if flow.is_ip() {
        mask.set_exact(Field::IpFrag);
    }
    mask
}

/// Takes out what no packet of the megaflow can differ in, or the datapath does not know.
pub(crate) fn tidy_mask(mask: &mut Mask, flow: &Flow) {
    // Metadata, tunnel and registers belong to the translation: they begin with zero, or with what
    // the recirculation id says. `Deps` builds on it.
    for word in pipeline_words() {
        mask.set_word(word, 0);
    }
    mask.set(Field::ActsetOutput, 0);
    mask.set(Field::ConjId, 0);
    mask.set_exact(Field::InPort);
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
    /// The conclusion.
    pub(crate) fn finish(&mut self, room: &mut Room, paths: &mut Paths) -> TranslateOut {
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
                true => self.actions = meters(&self.actions),
                false => self.actions.clear(),
            }
            self.actions.push(DpAction::Drop(reason));
        }
        tidy_mask(&mut self.mask, self.input.flow);
        let final_flow = self.input.is_traced.then(|| {
            // Of the translation, not of the packet.
            self.flow.set_actset_output(self.input.flow.actset_output());
            Box::new(self.flow)
        });
        let Room { trail, steps, learns } = room;
        *trail = Trail {
            actions: mem::take(&mut self.actions),
            credits: mem::take(&mut self.credits),
            deps: mem::take(&mut self.deps),
            frozen: mem::take(&mut self.frozen),
            packet_ins: mem::take(&mut self.packet_ins),
        };
        let path = paths.keep(trail);
        trail.clear();
        *steps = mem::take(&mut self.steps);
        steps.clear();
        *learns = mem::take(&mut self.learns);
        learns.clear();
        TranslateOut {
            path,
            mask: self.mask,
            error: self.error,
            drop,
            final_flow,
            trace: self.report.finish(),
        }
    }
}

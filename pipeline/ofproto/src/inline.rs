//! Upcalls answered where they occur: translation on the polling cores (ovs-facts D1, D3).
//!
//! # What
//! A polling core that misses can translate in place: it reads the bridge's state, concludes, installs
//! the megaflow in its own table and executes the actions, all without a ring between. What only the
//! control core may do — credit statistics, learn stations, keep the ukey — travels behind, as a
//! [`Conclusion`].
//!
//! # Life of a conclusion
//! ```text
//! polling core:  enter the state ─ translate ─ push the conclusion ─ leave ─ install ─ execute
//! control core:                              take it ─ credit ─ learn ─ hold names ─ keep a ukey
//! ```
//!
//! # Cost
//! The megaflow is the one allocation: it is a block of memory for both cores, with its statistics, and
//! what it has in common with others (its mask, its actions, credits and dependencies:
//! [`Path`]) is referred to. The conclusion lies in the ring itself, and translation works in room that it
//! keeps ([`Translator`]).
//!
//! # When a core declines
//! The packet then goes the other way, by the ring of upcalls ([`Bridge::handle_upcall`]):
//! - [`Declined::Busy`]: the control core is changing the state. Nobody waits for it.
//! - [`Declined::NoRoom`]: the ring of conclusions is full, or the core has no translator. Without
//!   a conclusion on its way a megaflow would have no ukey, so nothing is concluded.
//! - [`Declined::Unnamed`]: the actions name a recirculation or a packet-in of which the bridge does
//!   not hold the number yet. Only the control core can make it known, and must have before a packet
//!   carries it; the megaflows after the first find the number held.
//!
//! # No cached conclusion is older than a barrier
//! The conclusion is pushed *before* the core leaves the state, and the control core changes the
//! state only after every reader has left. So when a change has been made, all conclusions that do
//! not know of it are in the rings already. A round of the revalidator notes its target, empties the
//! rings, and then looks at every ukey: whatever was concluded before the target is among them.
//! The command that ends such a megaflow cannot overtake its installation, because the core obeys
//! commands only between bursts; so the fence behind the round means what it always means. A core
//! reads the change number after it has entered, so it may be too low by a change that was made but
//! not yet counted, never too high: such a conclusion is judged once more than needed.
//!
//! # Two conclusions of one name
//! A core may conclude what the control core has concluded from an earlier packet by the ring, whose
//! megaflow is still under way. Which of the two ends up in the core's table depends on who was
//! first, and is not worth knowing: if the ukey of that name is in force, both are taken out by one
//! command that is behind either, both are credited when its fence has passed, and the next packet
//! concludes anew. If the core has said that it does not have the older one (refused, or removed with
//! its port), the younger takes its place.
//!
//! # Limits
//! The flow limit and the shares of ports are words in the state ([`FlowQuota`]). A core that may not
//! install concludes all the same, without a megaflow, and the packet is credited and executed. If
//! the core refuses its own megaflow (no room, no port), it says so by the megaflow's fate, and the
//! revalidator drops the ukey.
//!
//! # Exactly once
//! A conclusion credits the one packet that it was drawn from. Packets that hit the megaflow are
//! counted by the megaflow from the moment that it is installed, whether its ukey is there yet or not.
//!
//! # Learning
//! Stations are learned when the control core takes the conclusion, with the time at which the packet
//! was seen: what is known to be younger stands. A packet that another core handles in the
//! meantime does not know of it yet, as if it had come first.

use crate::bridge::{Bridge, BridgeState};
use crate::handler::{Seen, input_of};
use crate::quota::Allowance;
use crate::translate::{Path, Translator};
use crate::ukey::{Names, Ukey, UkeyState};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use datapath::{Admit, Answer, CoreId, Dpif, Fate, Megaflow, PortNo, Ufid};
use flow::Flow;
use sync::big_reader::Reader;
use sync::counter::Milestone;
use sync::spsc::{Consumer, Producer, channel};
use sync::time::Nanos;

/// What a polling core concluded and did, for the control core to follow.
#[derive(Debug)]
struct Conclusion {
    core: CoreId,
    /// The recirculation id of the packet's flow.
    recirc_id: u32,
    path: Arc<Path>,
    /// Whether the translation failed.
    has_failed: bool,
    /// What the core installs; none if it might not.
    megaflow: Option<Arc<Megaflow>>,
    /// The last change that it surely knows of.
    seq: u64,
    /// Length of the packet.
    n_bytes: u64,
    /// When it was seen.
    seen: Nanos,
}

/// Why there is no answer on this core; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declined {
    /// The state is being changed.
    Busy,
    /// No room for the conclusion.
    NoRoom,
    /// The answer names something that the bridge does not hold yet.
    Unnamed,
}

/// What a polling core answers misses with. Made by [`Bridge::inline_translator`], one a core.
#[derive(Debug)]
pub struct InlineTranslator {
    core: CoreId,
    state: Reader<BridgeState>,
    changes: Arc<Milestone>,
    conclusions: Producer<Conclusion>,
    allowance: Allowance,
    translator: Translator,
}

impl InlineTranslator {
    /// Translates the flow of a packet of `n_bytes` that missed at `now`. With an answer, the packet
    /// is credited; `admit` tells the mask to install; the caller installs the megaflow and executes the actions, before it obeys any
    /// further command of the control core.
    ///
    /// # Errors
    /// Nothing has happened; the packet is for the control core.
    pub fn answer(
        &mut self,
        flow: &Flow,
        n_bytes: u64,
        admit: Admit<'_>,
        now: Nanos,
    ) -> Result<Answer, Declined> {
        if !self.conclusions.has_room() {
            return Err(Declined::NoRoom);
        }
        let Self { core, state, changes, conclusions, allowance, translator } = self;
        let state = state.try_read().ok_or(Declined::Busy)?;
        let seq = changes.reached();
        let input = input_of(&state, flow).ok_or(Declined::Unnamed)?;
        let out = translator.conclude(&input);
        if !state.holds_names(&out.path) {
            return Err(Declined::Unnamed);
        }
        let port = PortNo(flow.in_port());
        let may_install = allowance.take(&state.quota, port, || conclusions.len() as u64);
        let actions = Arc::clone(&out.path.actions);
        let (megaflow, answer) = match may_install {
            true => {
                let megaflow = Arc::new(Megaflow::new(flow, admit(translator.mask()), actions));
                (Some(Arc::clone(&megaflow)), Answer::Install(megaflow))
            }
            false => (None, Answer::Only(actions)),
        };
        let conclusion = Conclusion {
            core: *core,
            recirc_id: flow.recirc_id(),
            path: out.path,
            has_failed: out.error.is_some(),
            megaflow,
            seq,
            n_bytes,
            seen: now,
        };
        conclusions.push(conclusion).map_err(|_| Declined::NoRoom)?;
        drop(state);
        Ok(answer)
    }
}

impl BridgeState {
    /// Whether all numbers that an answer gives out are held.
    fn holds_names(&self, path: &Path) -> bool {
        path.frozen.iter().all(|(id, _)| self.frozen.get(*id).is_some())
            && path.packet_ins.iter().all(|(id, _)| self.packet_ins.get(*id).is_some())
    }
}

/// The control core's ends, and what is left to be settled.
#[derive(Debug, Default)]
pub(crate) struct Conclusions {
    rings: Vec<Consumer<Conclusion>>,
    /// Megaflows that cannot stay as their core has them.
    disputed: Vec<Disputed>,
}

/// A megaflow that is installed, or about to be, and has no place among the ukeys.
#[derive(Debug)]
pub(crate) struct Disputed(pub(crate) Ukey);

impl Conclusions {
    /// The disputed megaflows, which packets may hit until they are settled.
    pub(crate) fn disputed_mut(&mut self) -> impl Iterator<Item = &mut Ukey> {
        self.disputed.iter_mut().map(|disputed| &mut disputed.0)
    }
}

impl Bridge {
    /// A translator for the polling core `core`, whose ring holds `capacity` conclusions.
    #[must_use]
    pub fn inline_translator(&mut self, core: CoreId, capacity: usize) -> InlineTranslator {
        let (producer, consumer) = channel(capacity);
        self.conclusions.rings.push(consumer);
        InlineTranslator {
            core,
            state: self.state.reader(),
            changes: self.changes.published(),
            conclusions: producer,
            allowance: Allowance::NONE,
            translator: Translator::default(),
        }
    }

    /// Follows what the polling cores have concluded up to now. [`Self::run`] does so by itself;
    /// whoever wants statistics or learned stations to be up to date does it before.
    pub fn take_conclusions(&mut self, now: Nanos) -> usize {
        let mut rings = mem::take(&mut self.conclusions.rings);
        let mut n_taken = 0;
        for ring in &mut rings {
            // What comes meanwhile is for the next time: so this ends.
            for _ in 0..ring.len() {
                let Some(conclusion) = ring.pop() else { break };
                self.conclude(conclusion, now);
                n_taken += 1;
            }
        }
        self.conclusions.rings = rings;
        n_taken
    }

    fn conclude(&mut self, conclusion: Conclusion, now: Nanos) {
        let Conclusion { core, recirc_id, path, has_failed, megaflow, seq, n_bytes, seen } =
            conclusion;
        self.stats.upcalls += 1;
        self.stats.inline += 1;
        let is_current = seq == self.changes.seq();
        self.apply(&path, has_failed, n_bytes, Seen::Inline { used: seen, is_current });
        // What the core has refused already needs no ukey; later refusals the revalidator finds.
        let megaflow = megaflow.filter(|megaflow| megaflow.stats.fate() != Fate::Refused);
        let Some(megaflow) = megaflow else {
            self.stats.not_installed += 1;
            return;
        };
        let ufid = megaflow.ufid;
        let names = self.hold_names(&path, recirc_id, now);
        let is_held = names.is_ok();
        let names: Names = names.unwrap_or_default();
        let ukey = Ukey::new(core, megaflow, path, seq, names, seen);
        let old = self.ukeys.find(core, ufid);
        let is_gone = |ukey: &Ukey| matches!(ukey.stats().fate(), Fate::Refused | Fate::Removed);
        match old {
            _ if !is_held => self.dispute(ukey),
            None => {
                self.stats.installed += 1;
                self.ukeys.insert(ukey);
            }
            Some(slot) if self.ukeys.get(slot).is_some_and(is_gone) => {
                self.stats.installed += 1;
                if let Some(mut old) = self.ukeys.replace(slot, ukey) {
                    old.transition(UkeyState::Evicting);
                    self.reval.leaving.push(old);
                }
            }
            Some(_) => self.dispute(ukey),
        }
    }

    fn dispute(&mut self, mut ukey: Ukey) {
        self.stats.disputed += 1;
        ukey.transition(UkeyState::Visible);
        self.conclusions.disputed.push(Disputed(ukey));
    }

    /// Takes disputed megaflows, and the ukeys that have their names, out of the datapath.
    pub(crate) fn settle_disputes(&mut self, dpif: &mut dyn Dpif) {
        for Disputed(mut ukey) in mem::take(&mut self.conclusions.disputed) {
            let (core, ufid): (CoreId, Ufid) = (ukey.core, ukey.megaflow.ufid);
            if dpif.flow_delete(core, ufid).is_err() {
                self.conclusions.disputed.push(Disputed(ukey));
                continue;
            }
            if let Some(slot) = self.ukeys.find(core, ufid)
                && let Some(mut rival) = self.ukeys.remove(slot)
            {
                rival.transition(UkeyState::Evicting);
                self.reval.leaving.push(rival);
            }
            ukey.transition(UkeyState::Evicting);
            self.reval.leaving.push(ukey);
        }
    }

    /// Empties the rings for a round of the revalidator; returns the round's target, if nothing
    /// that was concluded before it is left to be looked at.
    pub(crate) fn settled_target(&mut self, dpif: &mut dyn Dpif, now: Nanos) -> Option<u64> {
        let target = self.changes.seq();
        self.take_conclusions(now);
        self.settle_disputes(dpif);
        self.conclusions.disputed.is_empty().then_some(target)
    }
}

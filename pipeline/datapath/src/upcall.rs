//! What the datapath hands to the control core: packets that it has no conclusion for, or that
//! someone wants to see.
//!
//! # Who accounts for the packet
//! A [`UpcallReason::Miss`] or [`UpcallReason::SlowPath`] lends the packet: the control core
//! answers each with exactly one `execute` ([`crate::Dpif::execute`], or [`crate::Dpif::discard`]
//! when it has no actions for it), and until then the packet is in flight. A
//! [`UpcallReason::Action`] gives the packet away: it counts as consumed when the upcall is
//! accepted.

//!
//! # Where it is answered
//! By the control core, over a ring; or on the core where it occurred, if its surroundings keep it
//! until the burst is done and then call [`PmdDatapath::answer`].

use alloc::sync::Arc;

use flow::{Flow, Mask};
use packet::Packet;
use sync::time::Nanos;

use crate::{
    action::{DpAction, SlowPath, validate},
    ids::{CoreId, PortNo, Ufid},
    mask::SharedMask,
    megaflow::Megaflow,
    output::Output,
    pmd::PmdDatapath,
};

/// A packet on its way up.
#[derive(Debug)]
pub struct Upcall {
    /// The packet as it was when the upcall was made.
    pub packet: Packet,
    /// Its flow, extracted from these bytes and metadata.
    pub flow: Flow,
    /// The core that asks, to whose table the answer belongs.
    pub core: CoreId,
    /// The ingress port.
    pub port: PortNo,
    /// Why.
    pub reason: UpcallReason,
}

/// Why a packet goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpcallReason {
    /// No megaflow matched.
    Miss,
    /// A megaflow says that the control core must handle each packet.
    SlowPath(SlowPath),
    /// An action sends it to controllers.
    Action(UpcallAction),
}

/// A copy for controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpcallAction {
    /// The reason to tell the controller.
    pub reason: PacketInReason,
    /// `ofproto`'s handle to whatever else its packet-in needs (table, metadata).
    pub cookie: u64,
    /// Cookie of the rule that sends it.
    pub rule_cookie: u64,
    /// At most this many bytes of the packet are for the controller; 0xffff is all.
    pub max_len: u16,
    /// Which controller, 0 is any.
    pub controller_id: u16,
}

/// The reason of a packet-in (OpenFlow 1.3.5 §7.4.1; the later ones of 1.4+).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketInReason {
    /// No matching flow.
    NoMatch = 0,
    /// Action output to the controller.
    Action = 1,
    /// The packet has an invalid TTL.
    InvalidTtl = 2,
    /// Output in the action set.
    ActionSet = 3,
    /// Output in a group bucket.
    Group = 4,
    /// Output in a packet-out.
    PacketOut = 5,
}

/// A cache hit picked for the self check: the control core translates `flow` again and compares the
/// result with the megaflow that was hit.
#[derive(Debug)]
pub struct Check {
    /// The packet's complete flow.
    pub flow: Flow,
    /// The megaflow that it hit.
    pub ufid: Ufid,
    /// On which core.
    pub core: CoreId,
    /// The beginning of the packet, [`CHECK_FRAME_BYTES`] at most, for somebody to inspect if the
    /// check fails. In a buffer of the pool, as a polling core has no other; none if there is none left.
    /// It is in nobody's account.
    pub packet: Option<Packet>,
}

/// Bytes of a packet that go with its check.
pub const CHECK_FRAME_BYTES: usize = 1536;

/// What a translation says to do with a packet.
#[derive(Debug)]
pub struct Answer {
    /// To be installed before the actions run; none if nothing may be.
    pub megaflow: Option<Arc<Megaflow>>,
    /// What to do with the packet.
    pub actions: Arc<[DpAction]>,
}

/// How a packet that missed was answered on its own core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// By a megaflow that was installed since it missed, which it is credited to.
    Cached,
    /// By a translation.
    Translated,
}

/// Tells which mask to install for one that is needed: see [`crate::Dpif::admit_mask`].
pub type Admit<'a> = &'a dyn Fn(&Mask) -> SharedMask;

impl PmdDatapath {
    /// Answers a miss of this core, on this core: by a megaflow, if there is one for it by now
    /// (another packet of the burst may have brought it), else by `translate`, which makes its megaflow
    /// with an admitted mask.
    ///
    /// # Errors
    /// The upcall as it was, and why `translate` has no answer: it is for the control core.
    #[expect(clippy::result_large_err, reason = "the refused value goes back to its owner")]
    pub fn answer<E>(
        &mut self,
        upcall: Upcall,
        now: Nanos,
        out: &mut impl Output,
        translate: impl FnOnce(&Upcall, Admit<'_>) -> Result<Answer, E>,
    ) -> Result<Answered, (Upcall, E)> {
        debug_assert_eq!(upcall.reason, UpcallReason::Miss, "others have a megaflow");
        let (actions, is_valid, answered) = match self.hit(&upcall, now) {
            Some(actions) => (actions, true, Answered::Cached),
            None => match translate(&upcall, &|mask| self.admit_mask(upcall.port, mask)) {
                Err(why) => return Err((upcall, why)),
                Ok(Answer { megaflow, actions }) => {
                    // What is refused says so by its fate. What is installed was looked at.
                    let is_valid = megaflow.is_some_and(|megaflow| self.put(megaflow).is_ok())
                        || validate(&actions).is_ok();
                    (actions, is_valid, Answered::Translated)
                }
            },
        };
        // The packet is as it was when it missed here, with its metadata and offsets.
        let Upcall { packet, port, .. } = upcall;
        self.run_alone(packet, port, &actions, is_valid, now, out);
        Ok(answered)
    }

    /// The actions of the megaflow for an upcall's packet, which is credited to it.
    fn hit(&mut self, upcall: &Upcall, now: Nanos) -> Option<Arc<[DpAction]>> {
        let port = self.ports.get(upcall.port)?;
        let (slot, n_probes) = port.table.find(&upcall.flow, self.hash_basis);
        self.counters.subtable_probes.add(n_probes);
        let installed = self.flows.get(slot?)?;
        let n_bytes = upcall.packet.len() as u64;
        installed.megaflow.stats.credit(1, n_bytes, now, upcall.flow.tcp_flags());
        Some(Arc::clone(&installed.actions))
    }
}

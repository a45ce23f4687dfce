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
    pmd::{PmdDatapath, Program},
    table::{Missed, forwards_to},
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
pub enum Answer {
    /// To install this, made of the packet's flow, and to do what it does.
    Install(Arc<Megaflow>),
    /// To do this, and to install nothing.
    Only(Arc<[DpAction]>),
}

/// What is done with an upcall's packet.
enum Way {
    Forward(PortNo),
    Run(Arc<[DpAction]>),
}

impl Way {
    fn of(actions: &Arc<[DpAction]>) -> Self {
        match forwards_to(actions) {
            Some(port) => Self::Forward(port),
            None => Self::Run(Arc::clone(actions)),
        }
    }

    fn is_valid(&self) -> bool {
        match self {
            // Whether there is such a port is seen when it is sent.
            Self::Forward(_) => true,
            Self::Run(actions) => validate(actions).is_ok(),
        }
    }
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
        let (way, is_valid, answered) = match self.hit(&upcall, now) {
            Ok(way) => (way, true, Answered::Cached),
            Err(missed) => match translate(&upcall, &|mask| self.admit_mask(upcall.port, mask)) {
                Err(why) => return Err((upcall, why)),
                Ok(Answer::Install(megaflow)) => {
                    let way = Way::of(&megaflow.actions);
                    // What is refused says so by its fate. What is installed was looked at.
                    let missed = missed.map(|missed| (&upcall.flow, missed));
                    let is_valid = self.put_answer(megaflow, missed).is_ok() || way.is_valid();
                    (way, is_valid, Answered::Translated)
                }
                Ok(Answer::Only(actions)) => {
                    let way = Way::of(&actions);
                    let is_valid = way.is_valid();
                    (way, is_valid, Answered::Translated)
                }
            },
        };
        let program = match &way {
            _ if !is_valid => Program::Refused,
            Way::Forward(port) => Program::Forward(*port),
            Way::Run(actions) => Program::Run(actions),
        };
        // The packet is as it was when it missed here, with its metadata and offsets.
        let Upcall { packet, port, .. } = upcall;
        self.run_alone(packet, port, program, now, out);
        Ok(answered)
    }

    /// What the megaflow for an upcall's packet does, which is credited to it; what is known of its key, if
    /// there is none.
    fn hit(&mut self, upcall: &Upcall, now: Nanos) -> Result<Way, Option<Missed>> {
        let port = self.ports.get(upcall.port).ok_or(None)?;
        let (found, n_probes) = port.table.find(&upcall.flow, self.hash_basis);
        self.counters.subtable_probes.add(n_probes);
        let installed = self.flows.get(found.map_err(Some)?).ok_or(None)?;
        let n_bytes = upcall.packet.len() as u64;
        installed.megaflow.stats.credit(1, n_bytes, now, upcall.flow.tcp_flags());
        Ok(Way::of(installed.actions()))
    }
}

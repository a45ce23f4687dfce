//! Translation: what do the tables do to the packets of this flow?
//!
//! # What
//! [`translate`] is one pure function: flow and tables in; datapath actions, the mask of examined
//! bits, and the side effects that the packet *would* have out. The handler, the revalidator,
//! packet-out, `trace` and the self check all call it; the caller decides which side effects
//! happen.
//!
//! # How
//! OpenFlow's pipeline calls itself (resubmit, goto, packet-out to the tables). Here it does so on an
//! explicit stack of steps (`machine.rs`, `step.rs`), so depth costs heap and not the stack of a core with
//! a guard page, and *freezing* a translation in the middle, to go on after a recirculation, is
//! keeping that stack.
//!
//! # Un-wildcarding
//! The mask starts with what is always examined (ingress port, recirculation id, Ethernet type,
//! fragment bits of IP). Every lookup adds what it examined, every action what its effect depends
//! on, at the place where it looks. `finish.rs` then takes away what no packet can differ in.
//!
//! # Limits
//! Depth 64, 4,096 lookups, and as many datapath actions as the datapath takes. A translation that
//! exceeds one fails as a whole, and its packets are dropped under
//! [`DropReason::TranslationError`].

mod action_set;
mod actions;
mod commit;
mod fields;
mod finish;
mod fork;
mod group;
mod headers;
mod learn;
mod lookup;
mod machine;
mod meter;
mod mirror;
mod normal;
mod output;
mod path;
mod report;
mod select;
mod step;
mod tags;

use crate::bridge::BridgeState;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use datapath::DropReason;
use flow::{Flow, Mask};
use openflow::{Action, OfPort};

pub(crate) use group::ordered_actions;
pub use path::Path;
pub use report::{Node, NodeKind, print};
pub use step::Frozen;

/// Where a translation begins.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// With a lookup in table 0.
    Tables,
    /// With these actions (packet-out).
    Actions(&'a [Action]),
    /// Where another one stopped.
    Resume(&'a Frozen),
}

/// What a translation starts from.
#[derive(Clone, Copy, Debug)]
pub struct TranslateIn<'a> {
    /// Tables, ports, MAC addresses.
    pub state: &'a BridgeState,
    /// The flow as the datapath extracted it (with a datapath port number).
    pub flow: &'a Flow,
    /// The OpenFlow number of the ingress port; [`OfPort::ANY`] if the datapath's is unknown,
    /// [`OfPort::CONTROLLER`] for a packet that a controller made.
    pub in_port: OfPort,
    /// Where to begin.
    pub start: Start<'a>,
    /// Whether to report each step.
    pub is_traced: bool,
}

/// Why a translation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TranslateError {
    /// Lookups nested deeper than 64.
    TooDeep,
    /// More than 4,096 lookups.
    TooManyResubmits,
    /// More actions than the datapath takes.
    TooManyActions,
    /// A label was pushed on a full stack of labels.
    TooManyLabels,
    /// A tag was pushed on two tags.
    TooManyTags,
    /// No number was left for a recirculation or packet-in.
    NoNumber,
}

impl fmt::Display for TranslateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooDeep => "Recursion too deep",
            Self::TooManyResubmits => "Too many resubmits",
            Self::TooManyActions => "Too many output actions",
            Self::TooManyLabels => "Too many MPLS labels",
            Self::TooManyTags => "Too many VLAN tags",
            Self::NoNumber => "No recirculation context",
        })
    }
}

/// What a translation concludes.
#[derive(Debug)]
pub struct TranslateOut {
    /// What it shares with the conclusions of other flows: actions, credits, what it depends on.
    pub path: Arc<Path>,
    /// The bits that the conclusion depends on.
    pub mask: Mask,
    /// Whether it failed; the actions drop then.
    pub error: Option<TranslateError>,
    /// Why nothing is output, if nothing is.
    pub drop: Option<DropReason>,
    /// What became of the flow, if the steps were asked for; its ingress port is an OpenFlow number.
    pub final_flow: Option<Box<Flow>>,
    /// The steps, if they were asked for.
    pub trace: Vec<Node>,
}

/// The same where nobody asks for more; the mask is [`Translator::mask`].
#[derive(Debug)]
pub(crate) struct Concluded {
    pub(crate) path: Arc<Path>,
    pub(crate) error: Option<TranslateError>,
}

/// Translates one flow after another: what it needs for that, and what it remembers, is its own. What
/// comes of a translation does not depend on the ones before.
#[derive(Debug, Default)]
pub struct Translator {
    room: machine::Room,
    paths: path::Paths,
}

impl Translator {
    /// Translates; see the module.
    #[must_use]
    pub fn translate(&mut self, input: &TranslateIn<'_>) -> TranslateOut {
        let mut machine = machine::Machine::new(input, &mut self.room);
        machine.run();
        let (drop, error) = (machine.conclude(), machine.error);
        let final_flow = input.is_traced.then(|| {
            // Of the translation, not of the packet.
            machine.flow.set_actset_output(input.flow.actset_output());
            Box::new(*machine.flow)
        });
        let trace = machine.report.finish();
        let path = self.paths.keep(&mut self.room.trail);
        TranslateOut { path, mask: self.room.mask, error, drop, final_flow, trace }
    }

    /// As [`translate`](Self::translate), without steps, and without a copy of the mask.
    pub(crate) fn conclude(&mut self, input: &TranslateIn<'_>) -> Concluded {
        let mut machine = machine::Machine::new(input, &mut self.room);
        machine.run();
        machine.conclude();
        let error = machine.error;
        Concluded { path: self.paths.keep(&mut self.room.trail), error }
    }

    /// The bits that the last conclusion depends on.
    pub(crate) fn mask(&self) -> &Mask {
        &self.room.mask
    }
}

/// Translates one flow; see the module.
#[must_use]
pub fn translate(input: &TranslateIn<'_>) -> TranslateOut {
    Translator::default().translate(input)
}

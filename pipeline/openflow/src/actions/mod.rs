//! Actions and instructions, without regard to version.
//!
//! One action stands for one meaning. Where versions say the same in different ways (a 1.0
//! `SET_DL_SRC` is a 1.3 `SET_FIELD` of `eth_src`) there is one variant; where they mean different
//! things (1.0's `SET_VLAN_VID` adds a tag when there is none, a set-field of `vlan_vid` does not)
//! there are two.

mod check;
mod nicira;
mod stat_trigger;
mod subfield;

pub use check::{CheckContext, check_actions, check_bucket, check_instructions};
pub use nicira::{
    BUNDLE_MAX_MEMBERS, BundleAlgorithm, HashFields, Learn, LearnSource, LearnSpec, LearnTarget,
    Multipath, MultipathAlgorithm, PortBundle, Sample, SampleDirection,
};
pub use stat_trigger::{StatTrigger, StatTriggerFlags};
pub use subfield::Subfield;

use alloc::boxed::Box;
use alloc::vec::Vec;

use flow::Field;

use crate::OfPort;

/// An OpenFlow action (OpenFlow 1.0.1 §5.2.4, 1.3.5 §7.2.5, and Nicira's extensions).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// To a port. `max_len` matters for [`OfPort::CONTROLLER`] only and is 0 for other ports.
    Output {
        /// Where to.
        port: OfPort,
        /// How many bytes go to the controller; 0xffff is all of them.
        max_len: u16,
    },
    /// To a controller, with a reason and more (Nicira `CONTROLLER` and `CONTROLLER2`).
    Controller(ControllerAction),
    /// To a port that a register names (Nicira).
    OutputReg {
        /// Holds the port number.
        src: Subfield,
        /// As in `Output`.
        max_len: u16,
    },
    /// To a port, at most `max_len` bytes (Nicira `OUTPUT_TRUNC`).
    OutputTrunc {
        /// Where to.
        port: OfPort,
        /// The longest frame that goes out.
        max_len: u32,
    },
    /// To a queue of a port (1.0 `ENQUEUE`).
    Enqueue {
        /// Where to.
        port: OfPort,
        /// Which queue.
        queue: u32,
    },
    /// Through a group.
    Group(u32),
    /// Sets the VLAN id; adds a tag where there is none (1.0 `SET_VLAN_VID`).
    SetVlanVid(u16),
    /// Sets the VLAN priority; adds a tag where there is none (1.0 `SET_VLAN_PCP`).
    SetVlanPcp(u8),
    /// Takes the outer VLAN tag off (1.0 `STRIP_VLAN`, 1.1+ `POP_VLAN`).
    PopVlan,
    /// Adds a VLAN tag of this Ethernet type.
    PushVlan(u16),
    /// Sets the TCP, UDP or SCTP source port, whichever there is (1.0 `SET_TP_SRC`).
    SetTpSrc(u16),
    /// Sets the TCP, UDP or SCTP destination port, whichever there is (1.0 `SET_TP_DST`).
    SetTpDst(u16),
    /// Writes the bits of `mask` in a field. In the standard's form the mask is all ones. Stands
    /// for 1.0's `SET_DL_SRC` and the like and for Nicira's `SET_TUNNEL`, `SET_MPLS_LABEL` and
    /// `SET_MPLS_TC` too.
    SetField {
        /// The field.
        field: Field,
        /// New bits; none outside the mask.
        value: u128,
        /// Which bits are written.
        mask: u128,
    },
    /// Writes part of a field (Nicira `REG_LOAD`); differs from `SetField` in its text only.
    Load {
        /// Where to.
        dst: Subfield,
        /// What; fits in the subfield.
        value: u64,
    },
    /// Copies part of one field to part of another of the same width (Nicira `REG_MOVE`).
    Move {
        /// Where from.
        src: Subfield,
        /// Where to.
        dst: Subfield,
    },
    /// Pushes part of a field on the packet's stack (Nicira).
    StackPush(Subfield),
    /// Pops the packet's stack into part of a field (Nicira).
    StackPop(Subfield),
    /// Adds an MPLS label stack entry and sets the Ethernet type.
    PushMpls(u16),
    /// Takes an MPLS label stack entry off and sets the Ethernet type.
    PopMpls(u16),
    /// Sets the TTL of the outer MPLS entry.
    SetMplsTtl(u8),
    /// Decrements the TTL of the outer MPLS entry.
    DecMplsTtl,
    /// Sets the IP TTL or hop limit.
    SetNwTtl(u8),
    /// Decrements the IP TTL or hop limit; to the controllers with these ids where it runs out.
    DecTtl(Vec<u16>),
    /// Copies the TTL outwards (1.1+).
    CopyTtlOut,
    /// Copies the TTL inwards (1.1+).
    CopyTtlIn,
    /// Sets the queue for outputs that follow (`set_queue`).
    SetQueue(u32),
    /// Through a meter (1.5; one at the start of a rule is its [`Instructions::meter`]).
    Meter(u32),
    /// Back to the queue before `SetQueue` (Nicira).
    PopQueue,
    /// Adds a PBB service header (1.3).
    PushPbb(u16),
    /// Takes the PBB service header off (1.3).
    PopPbb,
    /// Looks up again, as if from this port and in this table (Nicira).
    Resubmit {
        /// The port to pretend; [`OfPort::IN_PORT`] keeps it.
        port: OfPort,
        /// The table; 0xff means the current one.
        table: u8,
    },
    /// Does nothing; carries bytes (Nicira).
    Note(Vec<u8>),
    /// Ends this and all pending lookups (Nicira).
    Exit,
    /// Shortens the timeouts of the rule when a TCP FIN or RST is seen (Nicira).
    FinTimeout {
        /// New idle timeout in seconds, 0 for no change.
        idle_timeout: u16,
        /// New hard timeout in seconds, 0 for no change.
        hard_timeout: u16,
    },
    /// Makes a rule out of the packet (Nicira).
    Learn(Box<Learn>),
    /// Says that the rule is part of a conjunctive match (Nicira).
    Conjunction {
        /// Of which one: packets that match all its clauses have it as `conj_id`.
        id: u32,
        /// Which clause the rule is part of, from 0.
        clause: u8,
        /// How many clauses there are: 2 to 64.
        n_clauses: u8,
    },
    /// Picks one of several links (Nicira).
    Multipath(Box<Multipath>),
    /// Picks one of several ports (Nicira).
    Bundle(Box<PortBundle>),
    /// Does these without consequence for the actions after them (Nicira).
    Clone(Vec<Action>),
    /// Tells a collector of flow samples of one packet in some (Nicira).
    Sample(Box<Sample>),
    /// Takes a field of tunnel metadata off (Nicira).
    DeleteField(Field),
    /// Writes one bit: whether the frame is longer than `len` bytes (Nicira).
    CheckPktLarger {
        /// How long it may be.
        len: u16,
        /// One bit.
        dst: Subfield,
    },
}

/// The least that an output may be cut to: an Ethernet header.
pub(crate) const TRUNCATE_MIN: u32 = 14;
/// Ethernet type of a PBB service tag (802.1ah).
pub(crate) const PBB_TYPE: u16 = flow::proto::eth_type::PBB;

/// The arguments of Nicira's controller action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ControllerAction {
    /// How many bytes; 0xffff is all of them.
    pub max_len: u16,
    /// The controller with this id (`NXT_SET_CONTROLLER_ID`) gets it.
    pub controller_id: u16,
    /// The reason that the packet-in gives.
    pub reason: crate::PacketInReason,
    /// Bytes that come back in the packet-in (`NXT_PACKET_IN2`).
    pub userdata: Vec<u8>,
    /// Whether the packet waits for the controller to resume it.
    pub pause: bool,
    /// The meter that limits these packet-ins.
    pub meter_id: Option<u32>,
}

impl Default for ControllerAction {
    fn default() -> Self {
        ControllerAction {
            max_len: u16::MAX,
            controller_id: 0,
            reason: crate::PacketInReason::Action,
            userdata: Vec::new(),
            pause: false,
            meter_id: None,
        }
    }
}

impl Action {
    /// Output to a port, as most rules have it.
    #[must_use]
    pub const fn output(port: OfPort) -> Action {
        Action::Output { port, max_len: 0 }
    }

    /// Sets a whole field.
    #[must_use]
    pub fn set_field(field: Field, value: u128) -> Action {
        let mask = field.ones();
        Action::SetField { field, value: value & mask, mask }
    }

    /// The field, value and mask that this action writes, if writing bits is all it does
    /// (`SetField`, `Load`, the MPLS and TTL setters).
    #[must_use]
    pub fn written(&self) -> Option<(Field, u128, u128)> {
        match *self {
            Action::SetField { field, value, mask } => Some((field, value, mask)),
            Action::Load { dst, value } => {
                let mask = dst.mask();
                Some((dst.field, (u128::from(value) << dst.offset) & mask, mask))
            }
            Action::SetMplsTtl(ttl) => {
                Some((Field::MplsTtl, u128::from(ttl), Field::MplsTtl.ones()))
            }
            Action::SetNwTtl(ttl) => Some((Field::IpTtl, u128::from(ttl), Field::IpTtl.ones())),
            _ => None,
        }
    }

    /// Whether the action goes through this group.
    #[must_use]
    pub fn uses_group(&self, wanted: u32) -> bool {
        match self {
            Action::Group(group) => *group == wanted,
            Action::Clone(actions) => actions.iter().any(|action| action.uses_group(wanted)),
            _ => false,
        }
    }

    /// Whether the action reads or writes this field.
    #[must_use]
    pub fn uses_field(&self, wanted: Field) -> bool {
        if let Some((field, ..)) = self.written() {
            return field == wanted;
        }
        let is_dst = |dst: Subfield| dst.field == wanted;
        match self {
            Action::Move { src, dst } => is_dst(*src) || is_dst(*dst),
            Action::OutputReg { src, .. } => is_dst(*src),
            Action::StackPush(part) | Action::StackPop(part) => is_dst(*part),
            Action::CheckPktLarger { dst, .. } => is_dst(*dst),
            Action::DeleteField(field) => *field == wanted,
            Action::Multipath(multipath) => is_dst(multipath.dst),
            Action::Bundle(bundle) => bundle.dst.is_some_and(is_dst),
            Action::Learn(learn) => {
                let is_in_spec = |spec: &LearnSpec| {
                    let is_target = match spec.dst {
                        LearnTarget::Match(dst) | LearnTarget::Load(dst) => is_dst(dst),
                        LearnTarget::Output => false,
                    };
                    is_target || matches!(spec.src, LearnSource::Field(src) if is_dst(src))
                };
                learn.result_dst.is_some_and(is_dst) || learn.specs.iter().any(is_in_spec)
            }
            Action::Clone(actions) => actions.iter().any(|action| action.uses_field(wanted)),
            _ => false,
        }
    }

    /// Whether the action sends to this port (the `out_port` filter of 1.0.1 §5.3.3, 1.3.5 §7.3.4).
    #[must_use]
    pub fn outputs_to(&self, wanted: OfPort) -> bool {
        match self {
            Action::Output { port, .. }
            | Action::OutputTrunc { port, .. }
            | Action::Enqueue { port, .. } => *port == wanted,
            Action::Controller(_) => wanted == OfPort::CONTROLLER,
            Action::Bundle(bundle) => bundle.dst.is_none() && bundle.members.contains(&wanted),
            Action::Clone(actions) => actions.iter().any(|action| action.outputs_to(wanted)),
            _ => false,
        }
    }
}

/// Whether the conjunctions of a list, if there are any, stand with nothing but notes.
pub(crate) fn conjunctions_stand_alone(actions: &[Action]) -> bool {
    let is_part = |action: &Action| matches!(action, Action::Conjunction { .. });
    let may_be = |action: &Action| is_part(action) || matches!(action, Action::Note(_));
    !actions.iter().any(is_part) || actions.iter().all(may_be)
}

/// What a rule does: OpenFlow 1.3's instructions (1.3.5 §7.2.4), each at most once.
///
/// A version 1.0 rule has nothing but `apply`. The order of execution is that of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Instructions {
    /// Through this meter first.
    pub meter: Option<u32>,
    /// Actions for now.
    pub apply: Vec<Action>,
    /// Empties the action set.
    pub clear: bool,
    /// Actions for the action set.
    pub write: Vec<Action>,
    /// Value and mask for the metadata.
    pub metadata: Option<(u64, u64)>,
    /// The table to go on with.
    pub goto_table: Option<u8>,
    /// When the rule tells of its statistics (1.5). Nothing that a packet meets.
    pub stat_trigger: Option<Box<StatTrigger>>,
}

impl Instructions {
    /// Just these actions.
    #[must_use]
    pub fn apply(actions: Vec<Action>) -> Instructions {
        Instructions { apply: actions, ..Instructions::default() }
    }

    /// Whether the rule drops.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.meter.is_none()
            && self.apply.is_empty()
            && self.stat_trigger.is_none()
            && !self.has_more()
    }

    /// Whether it does anything to packets besides its meter and its actions for now.
    #[must_use]
    pub fn has_more(&self) -> bool {
        let Self { meter: _, stat_trigger: _, apply: _, clear, write, metadata, goto_table } = self;
        *clear || !write.is_empty() || metadata.is_some() || goto_table.is_some()
    }

    /// The conjunctive matches that the rule is part of: id, clause, number of clauses.
    pub fn conjunctions(&self) -> impl Iterator<Item = (u32, u8, u8)> {
        self.apply.iter().filter_map(|action| match *action {
            Action::Conjunction { id, clause, n_clauses } => Some((id, clause, n_clauses)),
            _ => None,
        })
    }

    /// Whether conjunctions stand with anything but notes.
    pub(crate) fn has_misplaced_conjunction(&self) -> bool {
        let Instructions { meter, apply, clear, write, metadata, goto_table, stat_trigger } = self;
        let is_alone = meter.is_none()
            && !clear
            && write.is_empty()
            && metadata.is_none()
            && goto_table.is_none()
            && stat_trigger.is_none();
        !conjunctions_stand_alone(apply) || (!is_alone && self.conjunctions().next().is_some())
    }

    /// Whether any action sends to this port.
    #[must_use]
    pub fn output_to(&self, port: OfPort) -> bool {
        self.apply.iter().chain(&self.write).any(|action| action.outputs_to(port))
    }

    /// Whether any action goes through this group.
    #[must_use]
    pub fn output_to_group(&self, group: u32) -> bool {
        self.apply.iter().chain(&self.write).any(|action| action.uses_group(group))
    }
}

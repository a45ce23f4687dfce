//! Whether a rule's instructions make sense for the packets that it matches, here and now
//! (OpenFlow 1.3.5 §7.2.4, §7.2.5 and the errors of §7.5.4).
//!
//! What an action may do to which packet is for `openflow::check_instructions`, which walks the list
//! with what is known of the packet. What is looked at here besides is what the bridge has: tables, groups,
//! meters, options of tunnels. Rules of switches with a seed and what `learn` writes come this way too, so
//! both are asked, though the codec has asked the first.

use crate::bridge::BridgeState;
use crate::change::Change;
use crate::group::Groups;
use crate::meter::Meters;
use crate::tlv::{OPTIONS, Tlvs};
use flow::{Field, Flow, MatchWords};
use openflow::{Action, CheckContext, Instructions, OfErrorKind, Version};

/// What instructions can name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) groups: &'a Groups,
    pub(crate) meters: &'a Meters,
    tlvs: &'a Tlvs,
    n_tables: u8,
}

impl<'a> Known<'a> {
    /// What there is.
    pub(crate) fn now(state: &'a BridgeState) -> Self {
        let n_tables = state.tables.n_tables();
        Self { groups: &state.groups, meters: &state.meters, tlvs: &state.tlvs, n_tables }
    }

    /// What there will be with a change.
    pub(crate) fn after(change: &'a Change, state: &'a BridgeState) -> Self {
        match change.objects() {
            Some((groups, meters)) => Self { groups, meters, ..Self::now(state) },
            None => Self::now(state),
        }
    }
}

/// Checks the instructions of a rule for table `table_id`.
pub(crate) fn check_instructions(
    match_: MatchWords<'_>,
    instructions: &Instructions,
    table_id: u8,
    version: Version,
    state: Known<'_>,
) -> Result<(), OfErrorKind> {
    if instructions.meter.is_some_and(|meter| state.meters.get(meter).is_none()) {
        return Err(OfErrorKind::MeterModInvalidMeter);
    }
    let is_unmapped = |field: Field| match_.examines(field) && !state.tlvs.maps(field);
    if OPTIONS.into_iter().any(is_unmapped) {
        return Err(OfErrorKind::NxFlowModInvalidTlvField);
    }
    if !instructions.write.is_empty() || !instructions.apply.iter().all(is_plain_output) {
        let context = CheckContext::for_version(version);
        openflow::check_instructions(instructions, &match_.to_flow(), context)?;
        state.all(&instructions.apply)?;
        state.all(&instructions.write)?;
    }
    match instructions.goto_table {
        Some(next) if next <= table_id || next >= state.n_tables => {
            Err(OfErrorKind::InstructionBadTableId)
        }
        _ => Ok(()),
    }
}

/// An output that is right for every packet: what most rules do, and nothing else.
fn is_plain_output(action: &Action) -> bool {
    matches!(action, Action::Output { port, .. } if port.is_output())
}

/// Checks the actions of a packet-out whose packet has this flow.
pub(crate) fn check_packet_out(
    actions: &[Action],
    flow: &Flow,
    version: Version,
    state: Known<'_>,
) -> Result<(), OfErrorKind> {
    openflow::check_actions(actions, flow, CheckContext::for_version(version))?;
    state.all(actions)
}

/// Checks the actions of a bucket, which are an action set for any packet. The groups that it leads
/// to may come later.
pub(crate) fn check_bucket(
    actions: &[Action],
    version: Version,
    state: Known<'_>,
) -> Result<(), OfErrorKind> {
    openflow::check_bucket(actions, CheckContext::for_version(version))?;
    let is_group = |action: &&Action| matches!(action, Action::Group(_));
    actions.iter().filter(|action| !is_group(action)).try_for_each(|action| state.one(action))
}

impl Known<'_> {
    fn all(self, actions: &[Action]) -> Result<(), OfErrorKind> {
        actions.iter().try_for_each(|action| self.one(action))
    }

    /// Whether there is what an action names.
    fn one(self, action: &Action) -> Result<(), OfErrorKind> {
        let is_unmapped = |field: &Field| !self.tlvs.maps(*field) && action.uses_field(*field);
        if OPTIONS.iter().any(is_unmapped) {
            return Err(OfErrorKind::NxFlowModInvalidTlvField);
        }
        let meter = match action {
            // Lists in lists are bounded where they are read.
            Action::Clone(actions) => return self.all(actions),
            Action::Group(group) if self.groups.get(*group).is_none() => {
                return Err(OfErrorKind::ActionBadOutGroup);
            }
            // The meter that comes first is an instruction here.
            Action::Meter(meter) => Some(*meter),
            Action::Controller(controller) => controller.meter_id,
            _ => None,
        };
        match meter.is_none_or(|meter| self.meters.get(meter).is_some()) {
            true => Ok(()),
            false => Err(OfErrorKind::MeterModInvalidMeter),
        }
    }
}

//! Whether a rule's instructions make sense for the packets that it matches
//! (OpenFlow 1.3.5 §7.2.4, §7.2.5 and the errors of §7.5.4).
//!
//! The check walks the actions with a flow that has what the match asks for, and changes it as
//! pushes and pops do, so `pop_mpls:0x0800,dec_ttl` is right after a match on MPLS. OpenFlow 1.0
//! lets a controller set fields that the packet may not have (they are skipped then); from 1.1 on
//! that is an inconsistent match.

use crate::bridge::BridgeState;
use crate::change::Change;
use crate::group::Groups;
use crate::meter::Meters;
use crate::tlv::{OPTIONS, Tlvs};
use flow::proto::{VLAN_PRESENT, eth_type};
use flow::{Field, Flow, MatchWords, Prereq};
use openflow::{Action, Instructions, OfErrorKind, OfPort, Subfield, Version};

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
        let mut checker = Checker { flow: match_.to_flow(), version, state };
        checker.list(&instructions.apply)?;
        for action in &instructions.write {
            if !is_allowed_in_set(action) {
                return Err(OfErrorKind::ActionBadType);
            }
            // What the packet is when the set is executed cannot be known here.
            checker.structure(action)?;
        }
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
    Checker { flow: *flow, version, state }.list(actions)
}

/// Checks the actions of a bucket, which are an action set for any packet. The groups that it leads
/// to may come later.
pub(crate) fn check_bucket(
    actions: &[Action],
    version: Version,
    state: Known<'_>,
) -> Result<(), OfErrorKind> {
    let checker = Checker { flow: Flow::ZERO, version, state };
    actions.iter().try_for_each(|action| match action {
        Action::Group(group) if *group <= openflow::GROUP_MAX => Ok(()),
        _ if !is_allowed_in_set(action) => Err(OfErrorKind::ActionBadType),
        _ => checker.structure(action),
    })
}

struct Checker<'a> {
    /// What is known of the packet at this point of the list.
    flow: Flow,
    version: Version,
    state: Known<'a>,
}

impl Checker<'_> {
    fn list(&mut self, actions: &[Action]) -> Result<(), OfErrorKind> {
        for action in actions {
            self.structure(action)?;
            self.consistency(action)?;
        }
        Ok(())
    }

    /// What is wrong whatever the packet is.
    fn structure(&self, action: &Action) -> Result<(), OfErrorKind> {
        let test = |ok: bool, error: OfErrorKind| if ok { Ok(()) } else { Err(error) };
        let is_unmapped =
            |field: &Field| !self.state.tlvs.maps(*field) && action.uses_field(*field);
        test(!OPTIONS.iter().any(is_unmapped), OfErrorKind::NxFlowModInvalidTlvField)?;
        match action {
            Action::Output { port, .. } => test(port.is_output(), OfErrorKind::ActionBadOutPort),
            Action::OutputTrunc { port, .. } | Action::Enqueue { port, .. } => {
                let is_one = port.is_physical() || *port == OfPort::IN_PORT;
                test(is_one, OfErrorKind::ActionBadOutPort)
            }
            Action::Group(group) => {
                test(self.state.groups.get(*group).is_some(), OfErrorKind::ActionBadOutGroup)
            }
            Action::SetVlanVid(vid) => test(*vid < 0x1000, OfErrorKind::ActionBadArgument),
            Action::SetVlanPcp(pcp) => test(*pcp < 8, OfErrorKind::ActionBadArgument),
            Action::PushVlan(tpid) => {
                let is_tag = matches!(*tpid, eth_type::VLAN | eth_type::QINQ);
                test(is_tag, OfErrorKind::ActionBadArgument)
            }
            Action::PushMpls(ethertype) => {
                test(is_mpls(*ethertype), OfErrorKind::ActionBadArgument)
            }
            Action::OutputReg { src, .. } | Action::StackPush(src) => readable(*src),
            Action::Multipath(multipath) => writable(multipath.dst.field),
            Action::Bundle(bundle) => {
                let is_member = |port: &OfPort| {
                    *port == OfPort::ANY || (port.is_output() && *port != OfPort::CONTROLLER)
                };
                test(bundle.members.iter().all(is_member), OfErrorKind::ActionBadOutPort)?;
                bundle.dst.map_or(Ok(()), |dst| writable(dst.field))
            }
            Action::StackPop(dst) => writable(dst.field),
            Action::Move { src, dst } => {
                readable(*src)?;
                writable(dst.field)?;
                test(src.n_bits == dst.n_bits, OfErrorKind::ActionBadArgument)
            }
            Action::Controller(controller) => {
                let meter = controller.meter_id;
                let is_known = meter.is_none_or(|meter| self.state.meters.get(meter).is_some());
                test(is_known, OfErrorKind::MeterModInvalidMeter)
            }
            Action::SetField { field, value, mask } => {
                writable(*field)?;
                let fits = field.is_valid(*value) || *field == Field::VlanVid;
                test(fits && value & !mask == 0, OfErrorKind::ActionBadSetArgument)
            }
            Action::Load { dst, .. } => writable(dst.field),
            // The meter that comes first is an instruction here.
            Action::Meter(meter) => {
                let is_known = self.state.meters.get(*meter).is_some();
                test(is_known, OfErrorKind::MeterModInvalidMeter)
            }
            Action::PushPbb(ethertype) => {
                test(*ethertype == eth_type::PBB, OfErrorKind::ActionBadArgument)
            }
            Action::CheckPktLarger { dst, .. } => {
                writable(dst.field)?;
                test(dst.n_bits == 1, OfErrorKind::ActionBadArgument)
            }
            Action::DeleteField(field) => {
                test(field.is_tunnel_option(), OfErrorKind::ActionBadArgument)
            }
            _ => Ok(()),
        }
    }

    /// What is wrong for this packet; notes what the action makes of it.
    fn consistency(&mut self, action: &Action) -> Result<(), OfErrorKind> {
        match action {
            // Lists in lists are bounded where they are read.
            Action::Clone(actions) => Checker { flow: self.flow, ..*self }.list(actions),
            Action::SetVlanVid(_) | Action::SetVlanPcp(_) => {
                self.flow.set_vlan_tci(self.flow.vlan_tci() | VLAN_PRESENT);
                Ok(())
            }
            Action::PushVlan(tpid) => {
                self.flow.push_vlan(*tpid, self.flow.vlan_tci());
                Ok(())
            }
            Action::PopVlan => {
                let result = self.need(self.flow.has_vlan());
                self.flow.pop_vlan();
                result
            }
            Action::PushMpls(ethertype) => {
                self.flow.clear_above_l2();
                self.flow.set_eth_type(*ethertype);
                Ok(())
            }
            Action::PopMpls(ethertype) => {
                let result = self.need(self.flow.is_mpls());
                self.flow.clear_above_l2();
                self.flow.set_eth_type(*ethertype);
                result
            }
            Action::PushPbb(ethertype) => {
                self.flow.set_vlan_tci(0);
                self.flow.clear_above_l2();
                self.flow.set_eth_type(*ethertype);
                Ok(())
            }
            Action::PopPbb => {
                let result = self.need(Prereq::Pbb.holds(&self.flow));
                // What the customer sends is not known.
                self.flow.set_eth_type(0);
                result
            }
            Action::CopyTtlIn | Action::CopyTtlOut => {
                self.need(self.flow.is_mpls() || self.flow.is_ip())
            }
            Action::DecMplsTtl => self.need(self.flow.is_mpls()),
            Action::FinTimeout { .. } => self.need(Prereq::Tcp.holds(&self.flow)),
            Action::DecTtl(_) => self.need(self.flow.is_ip()),
            Action::SetTpSrc(_) => self.need_any([Field::TcpSrc, Field::UdpSrc, Field::SctpSrc]),
            Action::SetTpDst(_) => self.need_any([Field::TcpDst, Field::UdpDst, Field::SctpDst]),
            Action::Move { src, dst } => {
                self.need_field(src.field)?;
                self.need_field(dst.field)
            }
            _ => {
                let Some((field, value, mask)) = action.written() else {
                    return Ok(());
                };
                let result = self.need_field(field);
                self.flow.set_masked(field, value, mask);
                result
            }
        }
    }

    fn need(&self, holds: bool) -> Result<(), OfErrorKind> {
        if holds || self.version == Version::V10 {
            Ok(())
        } else {
            Err(OfErrorKind::ActionMatchInconsistent)
        }
    }

    fn need_field(&self, field: Field) -> Result<(), OfErrorKind> {
        let has_tag = field != Field::VlanVid || self.flow.has_vlan();
        self.need(has_tag && field.spec().prereq.holds(&self.flow))
    }

    fn need_any(&self, fields: [Field; 3]) -> Result<(), OfErrorKind> {
        self.need(fields.iter().any(|field| field.spec().prereq.holds(&self.flow)))
    }
}

fn is_mpls(ethertype: u16) -> bool {
    matches!(ethertype, eth_type::MPLS | eth_type::MPLS_MULTICAST)
}

fn readable(part: Subfield) -> Result<(), OfErrorKind> {
    match Subfield::new(part.field, part.offset, part.n_bits) {
        Some(_) => Ok(()),
        None => Err(OfErrorKind::ActionBadArgument),
    }
}

fn writable(field: Field) -> Result<(), OfErrorKind> {
    if field.spec().writable { Ok(()) } else { Err(OfErrorKind::ActionBadSetType) }
}

/// Whether an action may be in an action set (1.3.5 §5.10; `ovs-ofctl` also sets fields by load).
fn is_allowed_in_set(action: &Action) -> bool {
    !matches!(
        action,
        Action::Note(_)
            | Action::Exit
            | Action::FinTimeout { .. }
            | Action::StackPush(_)
            | Action::StackPop(_)
            | Action::Enqueue { .. }
            | Action::PopQueue
            | Action::Conjunction { .. }
            | Action::Learn(_)
            | Action::Multipath(_)
            | Action::Bundle(_)
            | Action::Clone(_)
            | Action::Sample(_)
            | Action::DeleteField(_)
            | Action::CheckPktLarger { .. }
            | Action::OutputTrunc { .. }
    )
}

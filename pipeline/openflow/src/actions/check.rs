//! Whether a rule's actions can be done to the packets that it matches.
//!
//! A set-field of `tcp_dst` in a rule for all packets is an error from OpenFlow 1.1 on
//! (`OFPBAC_MATCH_INCONSISTENT`, 1.3.5 §7.2.5.7). In 1.0 `SET_TP_DST` is legal there and does nothing
//! where there is no TCP, and as all versions share the tables, translation checks prerequisites again for each packet.
//!
//! What the actions do to the packet is followed as far as it matters: tags and MPLS entries that are
//! pushed and popped, and the protocol that a set-field changes.

use flow::{Field, Flow, Prereq, proto};

use crate::{
    Action, Instructions, Learn, LearnSource, LearnTarget, METER_MAX, OfErrorKind, OfPort,
    PortBundle, Subfield, Version,
};

/// How strict to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckContext {
    /// Whether a missing prerequisite is an error for every action.
    pub needs_prerequisites: bool,
}

impl CheckContext {
    /// As strict as a version is.
    #[must_use]
    pub fn for_version(version: Version) -> CheckContext {
        CheckContext { needs_prerequisites: version > Version::V10 }
    }
}

type Result<T> = core::result::Result<T, OfErrorKind>;

/// Checks the instructions of a rule for packets of which its match knows `packet`.
///
/// # Errors
/// The error to answer with.
pub fn check_instructions(
    instructions: &Instructions,
    packet: &Flow,
    context: CheckContext,
) -> Result<()> {
    if instructions.meter.is_some_and(|meter| meter == 0 || meter > METER_MAX) {
        return Err(OfErrorKind::MeterModInvalidMeter);
    }
    let mut packet = *packet;
    check_list(&instructions.apply, &mut packet, context)?;
    // An action set runs at the end of the pipeline, on a packet that later tables may have changed:
    // its prerequisites are checked against what is known here, behind the rule's own list, as Open
    // vSwitch does.
    if !instructions.write.iter().all(may_be_in_set) {
        return Err(OfErrorKind::ActionBadType);
    }
    for action in &instructions.write {
        match check_action(action, &packet, context) {
            // Only what names its field must fit: a TTL may be decremented where there is one.
            Err(OfErrorKind::ActionMatchInconsistent) if action.written().is_none() => {}
            result => result?,
        }
        follow(action, &mut packet);
    }
    Ok(())
}

/// Checks a list of actions for a packet, or for all of which that much is known.
///
/// # Errors
/// The error to answer with.
pub fn check_actions(actions: &[Action], packet: &Flow, context: CheckContext) -> Result<()> {
    check_list(actions, &mut packet.clone(), context)
}

/// Checks the actions of a bucket: an action set for any packet, so what needs a kind of packet may find it.
///
/// # Errors
/// The error to answer with.
pub fn check_bucket(actions: &[Action], context: CheckContext) -> Result<()> {
    actions.iter().try_for_each(|action| {
        // As Open vSwitch, these two are taken here, though a rule's action set cannot hold them.
        let is_taken = matches!(action, Action::Controller(_) | Action::OutputReg { .. });
        if !is_taken && !may_be_in_set(action) {
            return Err(OfErrorKind::ActionBadType);
        }
        match check_action(action, &Flow::ZERO, context) {
            Err(OfErrorKind::ActionMatchInconsistent) => Ok(()),
            result => result,
        }
    })
}

fn check_list(actions: &[Action], packet: &mut Flow, context: CheckContext) -> Result<()> {
    for action in actions {
        match check_action(action, packet, context) {
            Err(OfErrorKind::ActionMatchInconsistent)
                if !context.needs_prerequisites && is_lenient_in_v10(action) => {}
            result => result?,
        }
        follow(action, packet);
    }
    Ok(())
}

/// Whether OpenFlow 1.0 lets the action do nothing where its prerequisite is missing. Its own actions
/// do; those that Nicira added for any field are as strict as later versions.
fn is_lenient_in_v10(action: &Action) -> bool {
    match action {
        Action::SetField { field, mask, .. } => {
            let has_v10_action = matches!(
                field,
                Field::Ipv4Src
                    | Field::Ipv4Dst
                    | Field::IpDscp
                    | Field::IpDscpShifted
                    | Field::IpEcn
                    | Field::TcpSrc
                    | Field::TcpDst
                    | Field::UdpSrc
                    | Field::UdpDst
                    | Field::SctpSrc
                    | Field::SctpDst
                    | Field::MplsLabel
                    | Field::MplsTc
            );
            has_v10_action && *mask == field.ones()
        }
        Action::Load { .. }
        | Action::Move { .. }
        | Action::StackPush(_)
        | Action::StackPop(_)
        | Action::OutputReg { .. } => false,
        _ => true,
    }
}

fn check_action(action: &Action, packet: &Flow, context: CheckContext) -> Result<()> {
    match action {
        Action::Output { port, .. } => output(*port),
        Action::OutputTrunc { port, .. } | Action::Enqueue { port, .. } => {
            if port.is_physical() || *port == OfPort::IN_PORT {
                Ok(())
            } else {
                Err(OfErrorKind::ActionBadOutPort)
            }
        }
        Action::SetField { field, value, mask } => {
            writable(*field)?;
            let fits = field.is_valid(*value) || *field == Field::VlanVid;
            if !fits || value & !mask != 0 {
                return Err(OfErrorKind::ActionBadSetArgument);
            }
            may_set(*field, packet)
        }
        Action::Load { dst, .. } => writable(dst.field).and_then(|()| may_set(dst.field, packet)),
        Action::Move { src, dst } => {
            same_width(*src, *dst)?;
            writable(dst.field)?;
            has(src.field, packet)?;
            has(dst.field, packet)
        }
        Action::OutputReg { src, .. } | Action::StackPush(src) => has(src.field, packet),
        Action::StackPop(dst) => writable(dst.field).and_then(|()| has(dst.field, packet)),
        Action::SetVlanVid(vid) if *vid > proto::VLAN_VID_MASK => {
            Err(OfErrorKind::ActionBadArgument)
        }
        Action::SetVlanPcp(pcp) if *pcp > 7 => Err(OfErrorKind::ActionBadArgument),
        Action::PopVlan => needs(Prereq::Vlan, packet),
        Action::PushVlan(ethertype) => {
            let is_vlan = matches!(*ethertype, proto::eth_type::VLAN | proto::eth_type::QINQ);
            let is_full = packet.get(Field::VlanTci1) & u128::from(proto::VLAN_PRESENT) != 0;
            match (is_vlan, is_full) {
                (false, _) => Err(OfErrorKind::ActionBadArgument),
                (_, true) => Err(OfErrorKind::ActionBadTag),
                _ => Ok(()),
            }
        }
        Action::PushMpls(ethertype) => {
            let is_mpls =
                matches!(*ethertype, proto::eth_type::MPLS | proto::eth_type::MPLS_MULTICAST);
            if is_mpls { Ok(()) } else { Err(OfErrorKind::ActionBadArgument) }
        }
        Action::SetTpSrc(_) | Action::SetTpDst(_) => {
            let has_port = [Prereq::Tcp, Prereq::Udp, Prereq::Sctp];
            if has_port.into_iter().any(|prereq| prereq.holds(packet)) {
                Ok(())
            } else {
                Err(OfErrorKind::ActionMatchInconsistent)
            }
        }
        Action::PopMpls(_) | Action::SetMplsTtl(_) | Action::DecMplsTtl => {
            needs(Prereq::Mpls, packet)
        }
        Action::SetNwTtl(_) | Action::DecTtl(_) => needs(Prereq::Ip, packet),
        // A fragment of TCP will do, though it has no flags.
        Action::FinTimeout { .. } => {
            match packet.is_ip() && packet.nw_proto() == proto::ip_proto::TCP {
                true => Ok(()),
                false => Err(OfErrorKind::ActionMatchInconsistent),
            }
        }
        Action::Learn(learn) => check_learn(learn, packet),
        Action::Multipath(multipath) => destination(multipath.dst, packet),
        Action::Bundle(bundle) => check_bundle(bundle, packet),
        Action::Clone(actions) => check_list(actions, &mut packet.clone(), context),
        Action::CheckPktLarger { dst, .. } if dst.n_bits != 1 => {
            Err(OfErrorKind::ActionBadArgument)
        }
        Action::CheckPktLarger { dst, .. } => destination(*dst, packet),
        Action::CopyTtlIn | Action::CopyTtlOut => {
            if packet.is_mpls() || packet.is_ip() {
                Ok(())
            } else {
                Err(OfErrorKind::ActionMatchInconsistent)
            }
        }
        Action::PopPbb => needs(Prereq::Pbb, packet),
        Action::PushPbb(ethertype) if *ethertype != crate::actions::PBB_TYPE => {
            Err(OfErrorKind::ActionBadArgument)
        }
        // Open vSwitch has nothing else that could be taken off.
        Action::DeleteField(field) if !field.is_tunnel_option() => {
            Err(OfErrorKind::ActionBadArgument)
        }
        Action::Group(group) if *group > crate::GROUP_MAX => Err(OfErrorKind::ActionBadOutGroup),
        _ => Ok(()),
    }
}

/// The sources of a learned rule must be in the packet; what it matches must make sense by itself.
fn check_learn(learn: &Learn, packet: &Flow) -> Result<()> {
    let mut learned = Flow::ZERO;
    for spec in &learn.specs {
        if let LearnSource::Field(src) = spec.src {
            has(src.field, packet)?;
        }
        match spec.dst {
            LearnTarget::Match(dst) => {
                has(dst.field, &learned)?;
                if let LearnSource::Immediate(value) = spec.src {
                    learned.set_masked(dst.field, value << dst.offset, dst.mask());
                }
            }
            LearnTarget::Load(dst) => destination(dst, &learned)?,
            LearnTarget::Output => {}
        }
    }
    Ok(())
}

fn check_bundle(bundle: &PortBundle, packet: &Flow) -> Result<()> {
    if let Some(dst) = bundle.dst {
        destination(dst, packet)?;
    }
    for member in bundle.members.iter().filter(|member| **member != OfPort::ANY) {
        output(*member)?;
        if *member == OfPort::CONTROLLER {
            return Err(OfErrorKind::ActionBadOutPort);
        }
    }
    Ok(())
}

fn destination(dst: Subfield, packet: &Flow) -> Result<()> {
    writable(dst.field).and_then(|()| has(dst.field, packet))
}

fn output(port: OfPort) -> Result<()> {
    if port.is_output() { Ok(()) } else { Err(OfErrorKind::ActionBadOutPort) }
}

fn writable(field: Field) -> Result<()> {
    if field.spec().writable { Ok(()) } else { Err(OfErrorKind::ActionBadSetArgument) }
}

fn same_width(src: Subfield, dst: Subfield) -> Result<()> {
    if src.n_bits == dst.n_bits { Ok(()) } else { Err(OfErrorKind::ActionBadArgument) }
}

fn has(field: Field, packet: &Flow) -> Result<()> {
    needs(field.spec().prereq, packet)
}

/// A VLAN id says by its own bit whether there is a tag, so it needs none; to be set it does (1.3.5 §7.2.5.7).
fn may_set(field: Field, packet: &Flow) -> Result<()> {
    match field {
        Field::VlanVid => needs(Prereq::Vlan, packet),
        _ => has(field, packet),
    }
}

fn needs(prereq: Prereq, packet: &Flow) -> Result<()> {
    if prereq.holds(packet) { Ok(()) } else { Err(OfErrorKind::ActionMatchInconsistent) }
}

/// Does to the packet what matters to the actions after this one.
fn follow(action: &Action, packet: &mut Flow) {
    match action {
        Action::SetVlanVid(_) | Action::SetVlanPcp(_) => {
            packet.set_vlan_tci(packet.vlan_tci() | proto::VLAN_PRESENT);
        }
        // Two tags are followed, as many as a flow has.
        Action::PushVlan(_) => {
            packet.set(Field::VlanTci1, packet.vlan_tci().into());
            packet.set_vlan_tci(proto::VLAN_PRESENT);
        }
        Action::PopVlan => {
            packet.set(Field::VlanTci, packet.get(Field::VlanTci1));
            packet.set(Field::VlanTci1, 0);
        }
        Action::PushMpls(ethertype) => packet.set(Field::EthType, (*ethertype).into()),
        Action::PushPbb(ethertype) => {
            packet.set_vlan_tci(0);
            packet.set(Field::VlanTci1, 0);
            packet.set(Field::EthType, (*ethertype).into());
        }
        // What the customer sends is not known.
        Action::PopPbb => packet.set(Field::EthType, 0),
        Action::PopMpls(ethertype) => packet.set(Field::EthType, (*ethertype).into()),
        _ => {
            if let Some((
                field @ (Field::VlanTci | Field::VlanVid | Field::EthType | Field::IpProto),
                value,
                mask,
            )) = action.written()
            {
                let old = packet.get(field);
                packet.set(field, (old & !mask) | value);
            }
        }
    }
}

/// The actions that an action set can hold (1.3.5 §5.10, and as Open vSwitch does Nicira's moves,
/// loads and resubmits).
fn may_be_in_set(action: &Action) -> bool {
    !matches!(
        action,
        Action::Controller(_)
            | Action::OutputReg { .. }
            | Action::Enqueue { .. }
            | Action::StackPush(_)
            | Action::StackPop(_)
            | Action::PopQueue
            | Action::Note(_)
            | Action::Exit
            | Action::FinTimeout { .. }
            | Action::Learn(_)
            | Action::Conjunction { .. }
            | Action::Multipath(_)
            | Action::Bundle(_)
            | Action::Clone(_)
            | Action::CheckPktLarger { .. }
            | Action::OutputTrunc { .. }
            | Action::Sample(_)
            | Action::DeleteField(_)
    )
}

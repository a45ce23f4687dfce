//! Nicira's actions (vendor 0x2320), which Open vSwitch added to every version.
//!
//! After the vendor number comes a subtype (16 bits). An action that has a standard form in the
//! version is never written so, but always read.

use alloc::boxed::Box;
use alloc::vec::Vec;

use flow::Field;

use super::{flavour, learn, mpls_type, output_port, put_action, read_nested, select};
use crate::actions::TRUNCATE_MIN;
use crate::codec::oxm::{self, Flavour};
use crate::codec::wire::{Put, Reader, Result};
use crate::{
    Action, ControllerAction, NICIRA, OfErrorKind, OfPort, PacketInReason, Sample, SampleDirection,
    Subfield, Version,
};

const RESUBMIT: u16 = 1;
const SET_TUNNEL: u16 = 2;
const SET_QUEUE: u16 = 4;
const POP_QUEUE: u16 = 5;
const REG_MOVE: u16 = 6;
const REG_LOAD: u16 = 7;
const NOTE: u16 = 8;
const SET_TUNNEL64: u16 = 9;
const RESUBMIT_TABLE: u16 = 14;
const OUTPUT_REG: u16 = 15;
const EXIT: u16 = 17;
const DEC_TTL: u16 = 18;
const FIN_TIMEOUT: u16 = 19;
const CONTROLLER: u16 = 20;
const DEC_TTL_CNT_IDS: u16 = 21;
/// An instruction in the guise of an action; see `instruction`.
pub(crate) const WRITE_METADATA: u16 = 22;
const PUSH_MPLS: u16 = 23;
const POP_MPLS: u16 = 24;
const SET_MPLS_TTL: u16 = 25;
const DEC_MPLS_TTL: u16 = 26;
const STACK_PUSH: u16 = 27;
const STACK_POP: u16 = 28;
const SAMPLE: u16 = 29;
const SET_MPLS_LABEL: u16 = 30;
const SET_MPLS_TC: u16 = 31;
const OUTPUT_REG2: u16 = 32;
const REG_LOAD2: u16 = 33;
const CONJUNCTION: u16 = 34;
/// Connection tracking, which this datapath has not.
const CT: u16 = 35;
const NAT: u16 = 36;
const CONTROLLER2: u16 = 37;
const SAMPLE2: u16 = 38;
const OUTPUT_TRUNC: u16 = 39;
const GROUP: u16 = 40;
const SAMPLE3: u16 = 41;
const CLONE: u16 = 42;
const CT_CLEAR: u16 = 43;
const RESUBMIT_TABLE_CT: u16 = 44;
const CHECK_PKT_LARGER: u16 = 49;
const DELETE_FIELD: u16 = 50;

/// Properties of CONTROLLER2.
const PROP_MAX_LEN: u16 = 0;
const PROP_CONTROLLER_ID: u16 = 1;
const PROP_REASON: u16 = 2;
const PROP_USERDATA: u16 = 3;
const PROP_PAUSE: u16 = 4;
const PROP_METER_ID: u16 = 5;

/// The table of a resubmit that stays in its table.
const SAME_TABLE: u8 = 0xff;

/// Reads what follows the vendor number.
pub(super) fn read(r: &mut Reader<'_>, version: Version, depth: u8) -> Result<Action> {
    Ok(match r.u16()? {
        RESUBMIT => {
            let port = OfPort::from_u16(r.u16()?);
            Action::Resubmit { port, table: SAME_TABLE }
        }
        RESUBMIT_TABLE => {
            let port = OfPort::from_u16(r.u16()?);
            let table = r.u8()?;
            must_be_zero(r, 3)?;
            Action::Resubmit { port, table }
        }
        SET_TUNNEL => {
            r.skip(2)?;
            Action::set_field(Field::TunnelId, r.u32()?.into())
        }
        SET_TUNNEL64 => {
            r.skip(6)?;
            Action::set_field(Field::TunnelId, r.u64()?.into())
        }
        SET_QUEUE => {
            r.skip(2)?;
            Action::SetQueue(r.u32()?)
        }
        POP_QUEUE => Action::PopQueue,
        REG_MOVE => {
            let n_bits = r.u16()?;
            let src_offset = r.u16()?;
            let dst_offset = r.u16()?;
            let src = read_subfield_at(r, src_offset, n_bits)?;
            let dst = read_subfield_at(r, dst_offset, n_bits)?;
            Action::Move { src, dst: writable(dst)? }
        }
        REG_LOAD => {
            let dst = writable(read_subfield(r)?)?;
            let value = r.u64()?;
            if u128::from(value) > dst.max_value() {
                return Err(OfErrorKind::ActionBadArgument);
            }
            Action::Load { dst, value }
        }
        REG_LOAD2 => {
            let (field, value, mask) = oxm::read_set_field(r)?;
            Action::SetField { field, value, mask }
        }
        NOTE => Action::Note(r.take_all().to_vec()),
        OUTPUT_REG => {
            let src = read_subfield(r)?;
            let max_len = r.u16()?;
            must_be_zero(r, 6)?;
            Action::OutputReg { src, max_len }
        }
        OUTPUT_REG2 => {
            let packed = r.u16()?;
            let max_len = r.u16()?;
            let src = read_subfield_at(r, packed >> 6, (packed & 0x3f) + 1)?;
            if !r.take_all().iter().all(|byte| *byte == 0) {
                return Err(OfErrorKind::NxActionMustBeZero);
            }
            Action::OutputReg { src, max_len }
        }
        OUTPUT_TRUNC => {
            let port = output_port(OfPort::from_u16(r.u16()?))?;
            match r.u32()? {
                0..TRUNCATE_MIN => return Err(OfErrorKind::ActionBadArgument),
                max_len => Action::OutputTrunc { port, max_len },
            }
        }
        EXIT => Action::Exit,
        DEC_TTL => Action::DecTtl(Vec::from([0])),
        DEC_TTL_CNT_IDS => {
            let n = usize::from(r.u16()?);
            must_be_zero(r, 4)?;
            let mut ids = r.sub(2 * n, OfErrorKind::ActionBadLen)?;
            let ids: Result<Vec<u16>> = (0..n).map(|_| ids.u16()).collect();
            Action::DecTtl(ids?)
        }
        FIN_TIMEOUT => {
            let idle_timeout = r.u16()?;
            let hard_timeout = r.u16()?;
            must_be_zero(r, 2)?;
            Action::FinTimeout { idle_timeout, hard_timeout }
        }
        CONTROLLER => {
            let max_len = r.u16()?;
            let controller_id = r.u16()?;
            let reason = reason(r.u8()?)?;
            must_be_zero(r, 1)?;
            Action::Controller(ControllerAction {
                max_len,
                controller_id,
                reason,
                ..ControllerAction::default()
            })
        }
        CONTROLLER2 => read_controller2(r)?,
        PUSH_MPLS => Action::PushMpls(mpls_type(r.u16()?)?),
        POP_MPLS => Action::PopMpls(r.u16()?),
        SET_MPLS_TTL => Action::SetMplsTtl(r.u8()?),
        DEC_MPLS_TTL => Action::DecMplsTtl,
        SET_MPLS_LABEL => {
            r.skip(2)?;
            set_field(Field::MplsLabel, r.u32()?.into())?
        }
        SET_MPLS_TC => set_field(Field::MplsTc, r.u8()?.into())?,
        STACK_PUSH => Action::StackPush(read_stack(r)?),
        STACK_POP => Action::StackPop(writable(read_stack(r)?)?),
        GROUP if version == Version::V10 => {
            r.skip(2)?;
            Action::Group(r.u32()?)
        }
        kind @ (learn::LEARN | learn::LEARN2) => learn::read(r, kind)?,
        select::MULTIPATH => select::read_multipath(r)?,
        kind @ (select::BUNDLE | select::BUNDLE_LOAD) => select::read_bundle(r, kind)?,
        CONJUNCTION => {
            let (clause, n_clauses, id) = (r.u8()?, r.u8()?, r.u32()?);
            if !(2..=64).contains(&n_clauses) || clause >= n_clauses {
                return Err(OfErrorKind::NxActionBadConjunction);
            }
            Action::Conjunction { id, clause, n_clauses }
        }
        CLONE => {
            r.skip(6)?;
            let list = r.sub(r.len(), OfErrorKind::ActionBadLen)?;
            Action::Clone(read_nested(list, version, depth + 1)?)
        }
        CHECK_PKT_LARGER => {
            let (len, offset) = (r.u16()?, r.u16()?);
            let dst = writable(read_subfield_at(r, offset, 1)?)?;
            if !r.take_all().iter().all(|byte| *byte == 0) {
                return Err(OfErrorKind::NxRequestMustBeZero);
            }
            Action::CheckPktLarger { len, dst }
        }
        kind @ (SAMPLE | SAMPLE2 | SAMPLE3) => read_sample(r, kind)?,
        DELETE_FIELD => {
            let field = oxm::read_field(r, OfErrorKind::ActionBadSetType)?;
            if !r.take_all().iter().all(|byte| *byte == 0) {
                return Err(OfErrorKind::NxActionMustBeZero);
            }
            Action::DeleteField(field)
        }
        CT | NAT | CT_CLEAR | RESUBMIT_TABLE_CT => {
            return Err(OfErrorKind::NxActionCtDatapathSupport);
        }
        WRITE_METADATA => return Err(OfErrorKind::ActionUnsupportedOrder),
        _ => return Err(OfErrorKind::ActionBadVendorType),
    })
}

/// Writes an action in Nicira's form. Those that 1.0 cannot say at all (copy-TTL, PBB) are left out,
/// as Open vSwitch leaves them out.
pub(super) fn put(out: &mut Vec<u8>, action: &Action, version: Version) {
    match *action {
        Action::Resubmit { port, table: SAME_TABLE } => put_nicira(out, RESUBMIT, |out| {
            out.u16(port.to_u16().unwrap_or(u16::MAX));
        }),
        Action::Resubmit { port, table } => put_nicira(out, RESUBMIT_TABLE, |out| {
            out.u16(port.to_u16().unwrap_or(u16::MAX));
            out.u8(table);
            out.zeros(3);
        }),
        Action::SetQueue(queue) => put_nicira(out, SET_QUEUE, |out| {
            out.zeros(2);
            out.u32(queue);
        }),
        Action::PopQueue => put_nicira(out, POP_QUEUE, |_| {}),
        Action::Move { src, dst } => put_nicira(out, REG_MOVE, |out| {
            out.u16(src.n_bits.into());
            out.u16(src.offset.into());
            out.u16(dst.offset.into());
            oxm::put_part(out, src, flavour(version));
            oxm::put_part(out, dst, flavour(version));
        }),
        Action::Load { dst, value } => put_nicira(out, REG_LOAD, |out| {
            put_subfield(out, dst, version);
            out.u64(value);
        }),
        Action::SetField { field: Field::TunnelId, value, mask }
            if mask == u128::from(u64::MAX) =>
        {
            put_tunnel(out, value);
        }
        Action::SetField { field: Field::MplsLabel, value, .. } => {
            put_nicira(out, SET_MPLS_LABEL, |out| {
                out.zeros(2);
                out.number(value, 4);
            });
        }
        Action::SetField { field: Field::MplsTc, value, .. } => {
            put_nicira(out, SET_MPLS_TC, |out| out.number(value, 1));
        }
        Action::SetField { field, value, mask } => put_set_field(out, field, value, mask, version),
        Action::SetNwTtl(ttl) => {
            put_set_field(out, Field::IpTtl, ttl.into(), Field::IpTtl.ones(), version);
        }
        Action::Note(ref note) => put_nicira(out, NOTE, |out| out.bytes(note)),
        Action::OutputReg { src, max_len } => put_nicira(out, OUTPUT_REG, |out| {
            put_subfield(out, src, version);
            out.u16(max_len);
            out.zeros(6);
        }),
        Action::OutputTrunc { port, max_len } => put_nicira(out, OUTPUT_TRUNC, |out| {
            out.u16(port.to_u16().unwrap_or(u16::MAX));
            out.u32(max_len);
        }),
        Action::Exit => put_nicira(out, EXIT, |_| {}),
        Action::DecTtl(ref ids) if *ids == [0] => put_nicira(out, DEC_TTL, |_| {}),
        Action::DecTtl(ref ids) => put_nicira(out, DEC_TTL_CNT_IDS, |out| {
            out.u16(u16::try_from(ids.len()).unwrap_or(u16::MAX));
            out.zeros(4);
            ids.iter().for_each(|id| out.u16(*id));
        }),
        Action::FinTimeout { idle_timeout, hard_timeout } => put_nicira(out, FIN_TIMEOUT, |out| {
            out.u16(idle_timeout);
            out.u16(hard_timeout);
            out.zeros(2);
        }),
        Action::Controller(ref controller) => put_controller(out, controller),
        Action::PushMpls(ethertype) => put_nicira(out, PUSH_MPLS, |out| out.u16(ethertype)),
        Action::PopMpls(ethertype) => put_nicira(out, POP_MPLS, |out| out.u16(ethertype)),
        Action::SetMplsTtl(ttl) => put_nicira(out, SET_MPLS_TTL, |out| out.u8(ttl)),
        Action::DecMplsTtl => put_nicira(out, DEC_MPLS_TTL, |_| {}),
        Action::StackPush(part) => put_stack(out, STACK_PUSH, part, version),
        Action::StackPop(part) => put_stack(out, STACK_POP, part, version),
        Action::Learn(ref action) => learn::put(out, action),
        Action::Multipath(ref multipath) => select::put_multipath(out, multipath),
        Action::Bundle(ref bundle) => select::put_bundle(out, bundle),
        Action::Conjunction { id, clause, n_clauses } => put_nicira(out, CONJUNCTION, |out| {
            out.u8(clause);
            out.u8(n_clauses);
            out.u32(id);
        }),
        Action::Clone(ref actions) => put_nicira(out, CLONE, |out| {
            out.zeros(6);
            super::put_actions(out, actions, None, version);
        }),
        Action::CheckPktLarger { len, dst } => put_nicira(out, CHECK_PKT_LARGER, |out| {
            out.u16(len);
            out.u16(dst.offset.into());
            oxm::put_part(out, dst, flavour(version));
        }),
        Action::Sample(ref sample) => put_sample(out, sample),
        // 24 bytes in all, as long as a header of 8 bytes needs.
        Action::DeleteField(field) => put_nicira(out, DELETE_FIELD, |out| {
            let start = out.len();
            oxm::put_part(out, Subfield::whole(field), flavour(version));
            out.zeros(14 - (out.len() - start).min(14));
        }),
        Action::Group(group) => put_nicira(out, GROUP, |out| {
            out.zeros(2);
            out.u32(group);
        }),
        _ => {}
    }
}

/// Writes an action's header up to the subtype; `body` writes what follows.
pub(crate) fn put_nicira(out: &mut Vec<u8>, subtype: u16, body: impl FnOnce(&mut Vec<u8>)) {
    put_action(out, super::TYPE_EXPERIMENTER, |out| {
        out.u32(NICIRA);
        out.u16(subtype);
        body(out);
    });
}

fn put_set_field(out: &mut Vec<u8>, field: Field, value: u128, mask: u128, version: Version) {
    put_nicira(out, REG_LOAD2, |out| {
        oxm::put_entry(out, field, value, mask, flavour(version));
    });
}

fn put_tunnel(out: &mut Vec<u8>, value: u128) {
    if value <= u128::from(u32::MAX) {
        put_nicira(out, SET_TUNNEL, |out| {
            out.zeros(2);
            out.number(value, 4);
        });
    } else {
        put_nicira(out, SET_TUNNEL64, |out| {
            out.zeros(6);
            out.number(value, 8);
        });
    }
}

fn put_controller(out: &mut Vec<u8>, controller: &ControllerAction) {
    let ControllerAction { max_len, controller_id, reason, userdata, pause, meter_id } = controller;
    if userdata.is_empty() && !pause && meter_id.is_none() {
        put_nicira(out, CONTROLLER, |out| {
            out.u16(*max_len);
            out.u16(*controller_id);
            out.u8(*reason as u8);
            out.zeros(1);
        });
        return;
    }
    put_nicira(out, CONTROLLER2, |out| {
        out.zeros(6);
        put_property(out, PROP_MAX_LEN, |out| out.u16(*max_len));
        put_property(out, PROP_CONTROLLER_ID, |out| out.u16(*controller_id));
        put_property(out, PROP_REASON, |out| out.u8(*reason as u8));
        if !userdata.is_empty() {
            put_property(out, PROP_USERDATA, |out| out.bytes(userdata));
        }
        if *pause {
            put_property(out, PROP_PAUSE, |_| {});
        }
        if let Some(meter) = meter_id {
            put_property(out, PROP_METER_ID, |out| out.u32(*meter));
        }
    });
}

fn put_property(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.u16(kind);
    out.u16(0);
    body(out);
    out.patch_len(start + 2, start);
    out.pad8(start);
}

fn read_controller2(r: &mut Reader<'_>) -> Result<Action> {
    must_be_zero(r, 6)?;
    let mut controller = ControllerAction::default();
    while !r.is_empty() {
        let kind = r.u16()?;
        let len = usize::from(r.u16()?);
        let body = len.checked_sub(4).ok_or(OfErrorKind::PropertyBadLen)?;
        let mut property = r.sub(body, OfErrorKind::PropertyBadLen)?;
        r.skip(len.next_multiple_of(8) - len)?;
        match kind {
            PROP_MAX_LEN => controller.max_len = property.u16()?,
            PROP_CONTROLLER_ID => controller.controller_id = property.u16()?,
            PROP_REASON => controller.reason = reason(property.u8()?)?,
            PROP_USERDATA => controller.userdata = property.take_all().to_vec(),
            PROP_PAUSE => controller.pause = true,
            PROP_METER_ID => controller.meter_id = Some(property.u32()?),
            _ => return Err(OfErrorKind::PropertyBadType),
        }
    }
    Ok(Action::Controller(controller))
}

fn read_sample(r: &mut Reader<'_>, kind: u16) -> Result<Action> {
    let mut sample = Sample {
        probability: r.u16()?,
        collector_set_id: r.u32()?,
        obs_domain_id: r.u32()?,
        obs_point_id: r.u32()?,
        sampling_port: OfPort::ANY,
        direction: SampleDirection::Default,
    };
    if kind != SAMPLE {
        sample.sampling_port = OfPort::from_u16(r.u16()?);
        // Before SAMPLE3, the direction's place holds zero.
        let direction = SampleDirection::from_wire(r.u8()?);
        sample.direction = match direction {
            Some(direction) if kind == SAMPLE3 => direction,
            Some(SampleDirection::Default) => SampleDirection::Default,
            _ if kind == SAMPLE3 => return Err(OfErrorKind::ActionBadArgument),
            _ => return Err(OfErrorKind::NxRequestMustBeZero),
        };
        if !r.zeros(5)? {
            return Err(OfErrorKind::NxRequestMustBeZero);
        }
    }
    match sample.probability {
        0 => Err(OfErrorKind::ActionBadArgument),
        _ => Ok(Action::Sample(Box::new(sample))),
    }
}

fn put_sample(out: &mut Vec<u8>, sample: &Sample) {
    let kind = match (sample.direction, sample.sampling_port) {
        (SampleDirection::Default, OfPort::ANY) => SAMPLE,
        (SampleDirection::Default, _) => SAMPLE2,
        _ => SAMPLE3,
    };
    put_nicira(out, kind, |out| {
        out.u16(sample.probability);
        out.u32(sample.collector_set_id);
        out.u32(sample.obs_domain_id);
        out.u32(sample.obs_point_id);
        if kind != SAMPLE {
            out.u16(sample.sampling_port.to_u16().unwrap_or(u16::MAX));
            out.u8(sample.direction as u8);
            out.zeros(5);
        }
    });
}

fn reason(wire: u8) -> Result<PacketInReason> {
    PacketInReason::from_wire(wire).ok_or(OfErrorKind::ActionBadArgument)
}

fn set_field(field: Field, value: u128) -> Result<Action> {
    if field.is_valid(value) {
        Ok(Action::set_field(field, value))
    } else {
        Err(OfErrorKind::ActionBadArgument)
    }
}

/// A subfield as offset and width packed in 16 bits, then the field's header.
pub(super) fn read_subfield(r: &mut Reader<'_>) -> Result<Subfield> {
    let packed = r.u16()?;
    read_subfield_at(r, packed >> 6, (packed & 0x3f) + 1)
}

fn put_subfield(out: &mut Vec<u8>, part: Subfield, version: Version) {
    out.u16(u16::from(part.offset) << 6 | u16::from(part.n_bits.saturating_sub(1)).min(0x3f));
    oxm::put_part(out, part, flavour(version));
}

/// As [`put_subfield`], with the header that is the same in all versions.
pub(super) fn put_subfield_nxm(out: &mut Vec<u8>, part: Subfield) {
    out.u16(u16::from(part.offset) << 6 | u16::from(part.n_bits.saturating_sub(1)).min(0x3f));
    oxm::put_part(out, part, Flavour::Nxm);
}

fn read_subfield_at(r: &mut Reader<'_>, offset: u16, n_bits: u16) -> Result<Subfield> {
    let field = oxm::read_field(r, OfErrorKind::ActionBadSetType)?;
    let part = match (u8::try_from(offset), u8::try_from(n_bits)) {
        (Ok(offset), Ok(n_bits)) => Subfield::new(field, offset, n_bits),
        _ => None,
    };
    part.ok_or(OfErrorKind::ActionBadArgument)
}

fn read_stack(r: &mut Reader<'_>) -> Result<Subfield> {
    let offset = r.u16()?;
    let field = oxm::read_field(r, OfErrorKind::ActionBadSetType)?;
    let n_bits = r.u16()?;
    // Six bytes, or two behind the long header of an experimenter's field: 24 in all.
    let n_left = r.len();
    if n_left >= 8 {
        return Err(OfErrorKind::ActionBadLen);
    }
    must_be_zero(r, n_left)?;
    let part = match (u8::try_from(offset), u8::try_from(n_bits)) {
        (Ok(offset), Ok(n_bits)) => Subfield::new(field, offset, n_bits),
        _ => None,
    };
    part.ok_or(OfErrorKind::ActionBadArgument)
}

fn put_stack(out: &mut Vec<u8>, subtype: u16, part: Subfield, version: Version) {
    put_nicira(out, subtype, |out| {
        out.u16(part.offset.into());
        oxm::put_part(out, part, flavour(version));
        out.u16(part.n_bits.into());
    });
}

fn writable(part: Subfield) -> Result<Subfield> {
    if part.field.spec().writable { Ok(part) } else { Err(OfErrorKind::ActionBadSetArgument) }
}

fn must_be_zero(r: &mut Reader<'_>, n: usize) -> Result<()> {
    if r.zeros(n)? { Ok(()) } else { Err(OfErrorKind::NxActionMustBeZero) }
}

//! The text of the actions with arguments of their own: learn, multipath, bundle, conjunction, sample.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::{self, Formatter};

use flow::text::{KeyValues, PortNames, PortText, ValueText, parse_port, parse_value};

use super::error::{TextError, TextProblem};
use super::parse_action::{arrow, bad, int, subfield};
use crate::{
    Action, BUNDLE_MAX_MEMBERS, BundleAlgorithm, DEFAULT_PRIORITY, HashFields, Learn, LearnSource,
    LearnSpec, LearnTarget, Multipath, MultipathAlgorithm, OfPort, PortBundle, Sample,
    SampleDirection, Subfield,
};

type Result<T> = core::result::Result<T, TextError>;

// ---- Reading ----

/// `learn(table=1,hard_timeout=10,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])`.
pub(super) fn parse_learn(text: &str, ports: &dyn PortNames) -> Result<Action> {
    let mut learn = Learn::default();
    for (key, value) in KeyValues::new(text) {
        match key {
            "table" => {
                learn.table_id = int(value)?;
                if learn.table_id == u8::MAX {
                    return Err(bad(value, "a table from 0 to 254"));
                }
            }
            "priority" => learn.priority = int(value)?,
            "idle_timeout" => learn.idle_timeout = int(value)?,
            "hard_timeout" => learn.hard_timeout = int(value)?,
            "fin_idle_timeout" => learn.fin_idle_timeout = int(value)?,
            "fin_hard_timeout" => learn.fin_hard_timeout = int(value)?,
            "cookie" => learn.cookie = int(value)?,
            "send_flow_rem" => learn.send_flow_rem = true,
            "delete_learned" => learn.delete_learned = true,
            "limit" => learn.limit = int(value)?,
            "result_dst" => {
                let dst = subfield(value)?;
                if !dst.field.spec().writable || dst.n_bits != 1 {
                    return Err(bad(value, "one bit that can be written"));
                }
                learn.result_dst = Some(dst);
            }
            _ => learn.specs.push(parse_spec(key, value, ports)?),
        }
    }
    Ok(Action::Learn(Box::new(learn)))
}

fn parse_spec(key: &str, value: &str, ports: &dyn PortNames) -> Result<LearnSpec> {
    match key {
        "load" => parse_learned_load(value),
        "output" => {
            let src = LearnSource::Field(subfield(value)?);
            Ok(LearnSpec { src, dst: LearnTarget::Output })
        }
        _ => {
            let dst =
                subfield(key).map_err(|_| TextError::new(TextProblem::UnknownKeyword, key))?;
            let src = match subfield(value) {
                _ if value.is_empty() => LearnSource::Field(dst),
                Ok(src) if src.n_bits == dst.n_bits => LearnSource::Field(src),
                Ok(_) => return Err(bad(value, "two fields of the same width")),
                Err(_) => LearnSource::Immediate(parse_immediate(dst, value, ports)?),
            };
            Ok(LearnSpec { src, dst: LearnTarget::Match(dst) })
        }
    }
}

fn parse_immediate(dst: Subfield, value: &str, ports: &dyn PortNames) -> Result<u128> {
    if dst.is_whole() {
        let (value, mask) = parse_value(dst.field, value, ports)?;
        if mask & dst.field.ones() == dst.field.ones() {
            return Ok(value);
        }
    } else if let Ok(value) = int::<u128>(value)
        && value <= dst.max_value()
    {
        return Ok(value);
    }
    Err(bad(value, "a value of the field"))
}

fn parse_learned_load(text: &str) -> Result<LearnSpec> {
    let (src, dst) = arrow(text, "load:SOURCE->FIELD[BITS]")?;
    let dst = subfield(dst)?;
    if !dst.field.spec().writable {
        return Err(bad(text, "a field that can be written"));
    }
    let src = match int::<u128>(src) {
        Ok(value) if value <= dst.max_value() => LearnSource::Immediate(value),
        Ok(_) => return Err(TextError::new(TextProblem::BadNumber, text)),
        Err(_) => {
            let src = subfield(src)?;
            if src.n_bits != dst.n_bits {
                return Err(bad(text, "two fields of the same width"));
            }
            LearnSource::Field(src)
        }
    };
    Ok(LearnSpec { src, dst: LearnTarget::Load(dst) })
}

/// `conjunction(ID,K/N)`; K counts from 1.
pub(super) fn parse_conjunction(text: &str) -> Result<Action> {
    let form = "conjunction(ID,K/N) with K up to N and N from 2 to 64";
    let (id, rest) = text.split_once(',').ok_or_else(|| bad(text, form))?;
    let (clause, n_clauses) = rest.split_once('/').ok_or_else(|| bad(text, form))?;
    let (clause, n_clauses): (u8, u8) = (int(clause.trim())?, int(n_clauses.trim())?);
    if !(2..=64).contains(&n_clauses) || clause < 1 || clause > n_clauses {
        return Err(bad(text, form));
    }
    Ok(Action::Conjunction { id: int(id.trim())?, clause: clause - 1, n_clauses })
}

/// `multipath(FIELDS,BASIS,ALGORITHM,N_LINKS,ARG,DST[BITS])`.
pub(super) fn parse_multipath(text: &str) -> Result<Action> {
    let form = "multipath(FIELDS,BASIS,ALGORITHM,N_LINKS,ARG,DST[BITS])";
    let parts: Vec<&str> = text.split([',', ' ']).filter(|part| !part.is_empty()).collect();
    let &[fields, basis, algorithm, n_links, arg, dst] = parts.as_slice() else {
        return Err(bad(text, form));
    };
    let n_links: u32 = int(n_links)?;
    let max_link = n_links.checked_sub(1).and_then(|max| u16::try_from(max).ok());
    let multipath = Multipath {
        fields: HashFields::from_name(fields).ok_or_else(|| bad(fields, form))?,
        basis: int(basis)?,
        algorithm: MultipathAlgorithm::from_name(algorithm).ok_or_else(|| bad(algorithm, form))?,
        max_link: max_link.ok_or_else(|| bad(text, "1 to 65536 links"))?,
        arg: int(arg)?,
        dst: subfield(dst)?,
    };
    if multipath.dst.max_value() < multipath.max_link.into() {
        return Err(bad(dst, "a field wide enough for the links"));
    }
    Ok(Action::Multipath(Box::new(multipath)))
}

/// `bundle(FIELDS,BASIS,ALGORITHM,ofport,members:PORT,…)`; `bundle_load` has a field before the members.
pub(super) fn parse_bundle(text: &str, is_load: bool, ports: &dyn PortNames) -> Result<Action> {
    let form = "bundle(FIELDS,BASIS,ALGORITHM,ofport,members:PORT,...)";
    let (head, members) = (text.split_once("members:"))
        .or_else(|| text.split_once("slaves:"))
        .ok_or_else(|| bad(text, form))?;
    let parts: Vec<&str> = head.split([',', ' ']).filter(|part| !part.is_empty()).collect();
    let (fields, basis, algorithm, kind, dst) = match (parts.as_slice(), is_load) {
        (&[fields, basis, algorithm, kind], false) => (fields, basis, algorithm, kind, None),
        (&[fields, basis, algorithm, kind, dst], true) => {
            (fields, basis, algorithm, kind, Some(subfield(dst)?))
        }
        _ => return Err(bad(text, form)),
    };
    if !kind.eq_ignore_ascii_case("ofport") || dst.is_some_and(|dst| dst.n_bits < 16) {
        return Err(bad(text, form));
    }
    let names = members.split([',', ' ', '[', ']']).filter(|name| !name.is_empty());
    let members: Result<Vec<OfPort>> = names
        .take(BUNDLE_MAX_MEMBERS)
        .map(|name| {
            let port = parse_port(name, ports).map(OfPort);
            port.ok_or_else(|| TextError::new(TextProblem::UnknownPort, name))
        })
        .collect();
    Ok(Action::Bundle(Box::new(PortBundle {
        algorithm: BundleAlgorithm::from_name(algorithm).ok_or_else(|| bad(algorithm, form))?,
        fields: HashFields::from_name(fields).ok_or_else(|| bad(fields, form))?,
        basis: int(basis)?,
        members: members?,
        dst,
    })))
}

/// `sample(probability=N,collector_set_id=N,obs_domain_id=N,obs_point_id=N,sampling_port=PORT,ingress)`.
pub(super) fn parse_sample(text: &str, ports: &dyn PortNames) -> Result<Action> {
    let mut sample = Sample {
        probability: 0,
        collector_set_id: 0,
        obs_domain_id: 0,
        obs_point_id: 0,
        sampling_port: OfPort::ANY,
        direction: SampleDirection::Default,
    };
    for (key, value) in KeyValues::new(text) {
        match key {
            "probability" => sample.probability = int(value)?,
            "collector_set_id" => sample.collector_set_id = int(value)?,
            "obs_domain_id" => sample.obs_domain_id = int(value)?,
            "obs_point_id" => sample.obs_point_id = int(value)?,
            "sampling_port" => {
                let port = parse_port(value, ports).map(OfPort);
                sample.sampling_port =
                    port.ok_or_else(|| TextError::new(TextProblem::UnknownPort, value))?;
            }
            "ingress" => sample.direction = SampleDirection::Ingress,
            "egress" => sample.direction = SampleDirection::Egress,
            _ => return Err(TextError::new(TextProblem::UnknownKeyword, key)),
        }
    }
    if sample.probability == 0 {
        return Err(bad(text, "sample(probability=N,...) with a probability above zero"));
    }
    Ok(Action::Sample(Box::new(sample)))
}

// ---- Printing ----

pub(super) fn put_learn(
    f: &mut Formatter<'_>,
    learn: &Learn,
    ports: &dyn PortNames,
) -> fmt::Result {
    write!(f, "learn(table={}", learn.table_id)?;
    let timeouts = [
        ("idle_timeout", learn.idle_timeout),
        ("hard_timeout", learn.hard_timeout),
        ("fin_idle_timeout", learn.fin_idle_timeout),
        ("fin_hard_timeout", learn.fin_hard_timeout),
    ];
    for (name, seconds) in timeouts.into_iter().filter(|(_, seconds)| *seconds != 0) {
        write!(f, ",{name}={seconds}")?;
    }
    if learn.priority != DEFAULT_PRIORITY {
        write!(f, ",priority={}", learn.priority)?;
    }
    if learn.send_flow_rem {
        f.write_str(",send_flow_rem")?;
    }
    if learn.delete_learned {
        f.write_str(",delete_learned")?;
    }
    if learn.cookie != 0 {
        write!(f, ",cookie={:#x}", learn.cookie)?;
    }
    if learn.limit != 0 {
        write!(f, ",limit={}", learn.limit)?;
    }
    if let Some(dst) = learn.result_dst {
        write!(f, ",result_dst={dst}")?;
    }
    for spec in &learn.specs {
        f.write_str(",")?;
        put_spec(f, spec, ports)?;
    }
    f.write_str(")")
}

fn put_spec(f: &mut Formatter<'_>, spec: &LearnSpec, ports: &dyn PortNames) -> fmt::Result {
    match (spec.src, spec.dst) {
        (LearnSource::Immediate(value), LearnTarget::Match(dst)) if dst.is_whole() => {
            let text = ValueText { field: dst.field, value, mask: dst.field.ones(), ports };
            write!(f, "{}={text}", dst.field.name())
        }
        (LearnSource::Immediate(value), LearnTarget::Match(dst)) => write!(f, "{dst}={value:#x}"),
        (LearnSource::Field(src), LearnTarget::Match(dst))
            if (src.field, src.offset) == (dst.field, dst.offset) =>
        {
            write!(f, "{dst}")
        }
        (LearnSource::Field(src), LearnTarget::Match(dst)) => write!(f, "{dst}={src}"),
        (LearnSource::Immediate(value), LearnTarget::Load(dst)) => {
            // As C prints it: zero has no prefix.
            let prefix = if value == 0 { "" } else { "0x" };
            write!(f, "load:{prefix}{value:x}->{dst}")
        }
        (LearnSource::Field(src), LearnTarget::Load(dst)) => write!(f, "load:{src}->{dst}"),
        (LearnSource::Field(src), LearnTarget::Output) => write!(f, "output:{src}"),
        (LearnSource::Immediate(value), LearnTarget::Output) => write!(f, "output:{value}"),
    }
}

pub(super) fn put_multipath(f: &mut Formatter<'_>, multipath: &Multipath) -> fmt::Result {
    let Multipath { fields, basis, algorithm, max_link, arg, dst } = multipath;
    let (fields, algorithm) = (fields.name(), algorithm.name());
    let n_links = u32::from(*max_link) + 1;
    write!(f, "multipath({fields},{basis},{algorithm},{n_links},{arg},{dst})")
}

pub(super) fn put_bundle(
    f: &mut Formatter<'_>,
    bundle: &PortBundle,
    ports: &dyn PortNames,
) -> fmt::Result {
    let PortBundle { algorithm, fields, basis, members, dst } = bundle;
    let name = if dst.is_some() { "bundle_load" } else { "bundle" };
    write!(f, "{name}({},{basis},{},ofport,", fields.name(), algorithm.name())?;
    if let Some(dst) = dst {
        write!(f, "{dst},")?;
    }
    f.write_str("members:")?;
    for (n, member) in members.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        write!(f, "{comma}{}", PortText { port: member.0, ports })?;
    }
    f.write_str(")")
}

pub(super) fn put_sample(
    f: &mut Formatter<'_>,
    sample: &Sample,
    ports: &dyn PortNames,
) -> fmt::Result {
    let Sample { probability, collector_set_id, obs_domain_id, obs_point_id, .. } = sample;
    write!(f, "sample(probability={probability},collector_set_id={collector_set_id}")?;
    write!(f, ",obs_domain_id={obs_domain_id},obs_point_id={obs_point_id}")?;
    if sample.sampling_port != OfPort::ANY {
        write!(f, ",sampling_port={}", PortText { port: sample.sampling_port.0, ports })?;
    }
    f.write_str(match sample.direction {
        SampleDirection::Default => ")",
        SampleDirection::Ingress => ",ingress)",
        SampleDirection::Egress => ",egress)",
    })
}

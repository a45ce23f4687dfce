//! Random matches that packets meet.

use flow::{Field, Flow, Maskable, Match, Prereq};
use oracle::random::{Rng, World};

use super::frames::value;

/// Fields that matches do not name here: other names of fields that they do name, those that only a
/// datapath's flow has, and those of tunnels.
pub(super) const UNNAMED: &[Field] = &[
    Field::DpHash,
    Field::RecircId,
    Field::PacketType,
    Field::ConjId,
    Field::SkbPriority,
    Field::ActsetOutput,
    Field::TunSrc,
    Field::TunDst,
    Field::TunMetadata0,
    Field::TunMetadata1,
    Field::DlVlan,
    Field::DlVlanPcp,
    Field::VlanTci1,
    Field::MplsLse1,
    Field::MplsLse2,
    Field::IpDscpShifted,
    Field::NdReserved,
    Field::NdOptionsType,
    Field::Ipv6Exthdr,
    Field::PbbIsid,
    Field::PbbUca,
];

/// The words of a match; that of every packet has one too, so that commas are easy.
pub(super) fn text(match_: &Match) -> String {
    let text = match_.to_string();
    if text.is_empty() { "idle_timeout=0".to_owned() } else { text }
}

/// A match of few or many fields, which this packet mostly meets.
pub(super) fn any(rng: &mut Rng, world: &World, key: &Flow) -> Match {
    let n = rng.pick(&[0, 1, 1, 2, 2, 3, 4, 6]);
    with_fields(rng, world, key, n)
}

/// A match of one or two fields.
pub(super) fn narrow(rng: &mut Rng, world: &World, key: &Flow) -> Match {
    let n = 1 + rng.below(2);
    with_fields(rng, world, key, n)
}

fn with_fields(rng: &mut Rng, world: &World, key: &Flow, n: usize) -> Match {
    let mut match_ = Match::CATCHALL;
    let all: Vec<Field> = Field::all()
        .filter(|field| !UNNAMED.contains(field) && field.spec().prereq.holds(key))
        .collect();
    // Registers are many, and seldom interesting.
    let headers: Vec<Field> =
        all.iter().copied().filter(|field| field.spec().prereq != Prereq::None).collect();
    for _ in 0..n {
        let fields = if headers.is_empty() || rng.one_in(4) { &all } else { &headers };
        let field = rng.pick(fields);
        let is_near = rng.one_in(6) && !is_fixed(field);
        let mut wanted = if is_near { value(rng, world, field) } else { key.get(field) };
        let mut mask = mask(rng, field);
        match field {
            // A tag that is examined is there, or none is.
            Field::VlanTci | Field::VlanVid if key.has_vlan() => {
                wanted |= 0x1000;
                mask |= 0x1000;
                // Part of a priority cannot be asked for in standard matches.
                if field == Field::VlanTci && mask & 0xe000 != 0 {
                    mask |= 0xe000;
                }
            }
            // One way to say it: the version has no other, so two would be one rule.
            Field::VlanTci | Field::VlanVid => (wanted, mask) = (0, 0x1fff),
            Field::IpFrag => mask = field.ones(),
            _ => {}
        }
        for (needed, value) in needs(field, key) {
            match_.set_exact(needed, value);
        }
        match_.set(field, wanted, mask);
    }
    match_
}

/// Fields whose values are the packet's: others would be no port, or say that the rest is another's.
fn is_fixed(field: Field) -> bool {
    matches!(field, Field::InPort | Field::IpFrag | Field::EthType | Field::IpProto)
}

/// What else has to be matched so that a field can be.
fn needs(field: Field, key: &Flow) -> Vec<(Field, u128)> {
    let exact = |field: Field| (field, key.get(field));
    match field.spec().prereq {
        Prereq::None | Prereq::Ethernet => Vec::new(),
        Prereq::Vlan => vec![(Field::VlanVid, key.get(Field::VlanVid))],
        Prereq::Ipv4 | Prereq::Ipv6 | Prereq::Ip | Prereq::Arp | Prereq::Mpls => {
            vec![exact(Field::EthType)]
        }
        Prereq::Nd | Prereq::NdSolicit | Prereq::NdAdvert => vec![
            exact(Field::EthType),
            exact(Field::IpProto),
            exact(Field::Icmpv6Type),
            exact(Field::Icmpv6Code),
        ],
        _ => vec![exact(Field::EthType), exact(Field::IpProto)],
    }
}

/// A mask that the field can have.
pub(super) fn mask(rng: &mut Rng, field: Field) -> u128 {
    let all = field.value_ones();
    // Open vSwitch cannot ask for part of a priority.
    if field.spec().maskable == Maskable::Exact || field == Field::VlanPcp {
        return all;
    }
    let n_bits = u32::from(field.spec().n_bits);
    match rng.below(6) {
        // The tool reads masks of IPv6 that begin with a digit as prefix lengths.
        2 if n_bits == 128 => all,
        0 | 1 => {
            // A prefix.
            let len = 1 + rng.below(n_bits as usize) as u32;
            all & !(all >> len.min(127)) & all
        }
        2 => {
            let bits = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
            if bits & all == 0 { all } else { bits & all }
        }
        _ => all,
    }
}

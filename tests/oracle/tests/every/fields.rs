//! Every field, in every version that has it: matched whole and in part, near misses, and written.

use std::collections::BTreeSet;

use crate::frames::{bits, hex, seal, with_bits};
use crate::lab::Lab;
use crate::table::{Before, LINES, Line, NEVER_ON_THE_WIRE, Need, Source, Told};
use crate::wire::{self, Match, VERSIONS, Wire};

/// The IPv6 destination's low bits end here.
const DESTINATION_END: usize = (14 + 40) * 8;
/// Nicira's header of it.
const IPV6_DST: [u8; 4] = [0, 1, 20 << 1, 16];
/// Part of a value: every byte of it has bits of both kinds.
const PATTERN: u128 = 0x5a5a_5a5a_5a5a_5a5a_5a5a_5a5a_5a5a_5a5a;
/// Where what is matched goes, and the rest.
const HIT: u8 = 2;
const MISS: u8 = 3;

impl Line {
    fn versions(&self) -> impl Iterator<Item = Wire> {
        let since = self.since;
        VERSIONS.into_iter().filter(move |version| *version >= since)
    }

    fn header(&self, has_mask: bool) -> Vec<u8> {
        let len = if has_mask { 2 * self.n_bytes } else { self.n_bytes };
        let number = self.number << 1 | u8::from(has_mask);
        let class = self.class.to_be_bytes();
        match self.experimenter {
            0 => [&class[..], &[number, len]].concat(),
            owner => [&class[..], &[number, len + 4], &owner.to_be_bytes()].concat(),
        }
    }

    fn value(&self, value: u128) -> Vec<u8> {
        value.to_be_bytes()[16 - usize::from(self.n_bytes)..].to_vec()
    }

    fn entry(&self, value: u128, mask: Option<u128>) -> Vec<u8> {
        match mask {
            None => [self.header(false), self.value(value)].concat(),
            Some(mask) => [self.header(true), self.value(value & mask), self.value(mask)].concat(),
        }
    }

    /// What must be matched before, in the same class of headers.
    fn needed(&self) -> Vec<u8> {
        let is_nxm = self.class < 0x8000;
        let entry = |need: &Need| match *need {
            Need::Type(value) => {
                let header = if is_nxm { "00000602" } else { "80000a02" };
                [&hex(header)[..], &value.to_be_bytes()].concat()
            }
            Need::Protocol(value) => {
                [hex(if is_nxm { "00000c01" } else { "80001401" }), vec![value]].concat()
            }
            Need::Icmp6(value) => {
                [hex(if is_nxm { "00012a01" } else { "80003a01" }), vec![value]].concat()
            }
            Need::Tag => hex("80000d04 1000 1000"),
        };
        self.needs.iter().flat_map(entry).collect()
    }

    /// All bits of the value that the frame or the copy decides.
    fn decided(&self) -> u128 {
        match self.source {
            Source::Frame { n, shift, .. } => low(n) << shift,
            Source::Copied { n } => low(n),
            Source::Told(_) => 0,
        }
    }

    /// The frame, and where in it the value's bits stand.
    fn frame(&self) -> Option<(Vec<u8>, usize, usize, usize)> {
        match self.source {
            Source::Frame { make, at, n, shift } => Some((make(), at, n, shift)),
            Source::Copied { n } => Some((crate::frames::udp6(), DESTINATION_END - n, n, 0)),
            Source::Told(_) => None,
        }
    }

    /// What has to be said before a rule may name the field.
    fn prepare(&self, lab: &mut Lab, version: Wire) {
        if self.name.contains("TUN_METADATA") {
            lab.tell(&wire::map_options(version)).expect("room for two options");
        }
    }

    fn is_copied(&self) -> bool {
        matches!(self.source, Source::Copied { .. })
    }
}

fn low(n: usize) -> u128 {
    if n == 128 { u128::MAX } else { (1 << n) - 1 }
}

#[test]
fn every_field_has_a_line_and_every_line_a_field() {
    let of_registry: BTreeSet<_> = flow::Field::all()
        .flat_map(|field| field.spec().wire_ids())
        .map(|id| (id.name, id.class, id.experimenter, id.field, id.len))
        .collect();
    let of_table: BTreeSet<_> = LINES
        .iter()
        .map(|line| (line.name, line.class, line.experimenter, line.number, line.n_bytes))
        .collect();
    let missing: Vec<_> = of_registry.symmetric_difference(&of_table).collect();
    assert!(missing.is_empty(), "in the registry or in the table, not in both: {missing:x?}");
    let silent: BTreeSet<_> = flow::Field::all()
        .filter(|field| field.spec().wire_ids().next().is_none())
        .map(flow::Field::name)
        .collect();
    assert_eq!(silent, NEVER_ON_THE_WIRE.into());
    // The registry says 0 of extensions, which every version has.
    for id in flow::Field::all().flat_map(|field| field.spec().wire_ids()) {
        let line = LINES.iter().find(|line| line.name == id.name).expect("compared above");
        assert_eq!(id.since.max(1), line.since, "{}", id.name);
        assert_eq!(line.has_masks, is_maskable(id.name), "{}", id.name);
    }
}

fn is_maskable(name: &str) -> bool {
    let field = flow::Field::from_wire_name(name).expect("a name of the registry");
    field.spec().maskable == flow::Maskable::Bitwise
}

/// Makes `table` send what is matched to [`HIT`] and the rest to [`MISS`].
fn fill(lab: &mut Lab, version: Wire, table: u8, match_: &Match) -> Result<(), (u16, u16)> {
    let to = |port| wire::apply(version, &wire::output(version, port));
    lab.tell(&wire::add(version, table, 1, &Match::all(), &to(MISS))).expect("a rule for all");
    lab.tell(&wire::add(version, table, 10, match_, &to(HIT)))
}

/// A switch with [`fill`] for an entry of the line; table 0 fills the field if no frame has it.
fn lab_of(line: &Line, version: Wire, entry: &[u8]) -> Result<Lab, (u16, u16)> {
    let match_ = Match::Entries([&line.needed()[..], entry].concat());
    let mut lab = Lab::new(version);
    line.prepare(&mut lab, version);
    fill(&mut lab, version, u8::from(line.is_copied()), &match_)?;
    if let Source::Copied { n } = line.source {
        let copy = wire::copy(n, &IPV6_DST, &line.header(false));
        let does = wire::apply(version, &[copy, wire::resubmit(1)].concat());
        let v6 = Match::Entries(hex("00000602 86dd"));
        lab.tell(&wire::add(version, 0, 1, &v6, &does)).expect("a copy");
    }
    Ok(lab)
}

fn is_hit(lab: &mut Lab, port: u8, frame: &[u8]) -> bool {
    match lab.frame(port, frame).sent.as_slice() {
        [(port, same)] if same == frame => *port == u32::from(HIT),
        other => panic!("one frame, as it was: {other:02x?}"),
    }
}

#[test]
fn a_match_on_any_field_takes_what_it_says_and_nothing_else() {
    let mut n_verdicts = 0;
    for line in LINES {
        let Some((frame, at, n, shift)) = line.frame() else { continue };
        let value = bits(&frame, at, n) << shift | line.also;
        for version in line.versions() {
            let masks = [None, Some(PATTERN & line.decided() | line.also)];
            for mask in masks.into_iter().take(if line.has_masks { 2 } else { 1 }) {
                let case = format!("{} in version {version}, mask {mask:x?}", line.name);
                let mut lab = lab_of(line, version, &line.entry(value, mask))
                    .unwrap_or_else(|error| panic!("{case}: refused by {error:?}"));
                assert!(is_hit(&mut lab, 1, &frame), "{case}: the frame that it describes");
                for bit in 0..n {
                    let looked_at = mask.unwrap_or(u128::MAX) >> (shift + bit) & 1 == 1
                        && line.blind >> (shift + bit) & 1 == 0;
                    let near = with_bits(&frame, at, n, bits(&frame, at, n) ^ 1 << bit);
                    let hit = is_hit(&mut lab, 1, &near);
                    assert_eq!(hit, !looked_at, "{case}: bit {bit} is another");
                    n_verdicts += 1;
                }
            }
        }
    }
    println!("{n_verdicts} near misses");
    assert!(n_verdicts > 10_000, "{n_verdicts}");
}

#[test]
fn a_field_without_masks_refuses_them() {
    for line in LINES.iter().filter(|line| !line.has_masks) {
        // All bits but the lowest, which is not all of it.
        let all = match line.source {
            Source::Told(_) => low(8 * usize::from(line.n_bytes)),
            _ => line.decided(),
        };
        let mask = all & (all - 1);
        if mask == 0 {
            continue;
        }
        for version in line.versions() {
            let refused = lab_of(line, version, &line.entry(0, Some(mask))).err();
            // OFPBMC_BAD_MASK; 1.0 and 1.1 have Nicira's numbers.
            assert!(refused.is_some(), "{} in version {version}", line.name);
        }
    }
}

#[test]
fn fields_that_are_no_bits_of_a_frame_are_matched_too() {
    let mut n_verdicts = 0;
    for line in LINES {
        let Source::Told(all) = line.source else { continue };
        for (told, version) in all.iter().flat_map(|told| line.versions().map(move |v| (told, v))) {
            let case = format!("{} = {}/{} in version {version}", line.name, told.value, told.mask);
            let value = match told.mask {
                "" => [line.header(false), hex(told.value)].concat(),
                mask => [line.header(true), hex(told.value), hex(mask)].concat(),
            };
            let match_ = Match::Entries([line.needed(), value].concat());
            let table = u8::from(told.before == Before::SetOfOutput);
            let mut lab = Lab::new(version);
            fill(&mut lab, version, table, &match_)
                .unwrap_or_else(|error| panic!("{case}: refused by {error:?}"));
            let expected = if told.hits { HIT } else { MISS };
            prepare(&mut lab, version, told);
            let mut sent = lab.frame(told.port, &(told.make)()).sent;
            // The set is carried out besides.
            if told.before == Before::SetOfOutput {
                sent.pop();
            }
            let ports: Vec<u32> = sent.iter().map(|(port, _)| *port).collect();
            assert_eq!(ports, [u32::from(expected)], "{case}, port {}", told.port);
            n_verdicts += 1;
        }
    }
    println!("{n_verdicts} verdicts");
}

fn prepare(lab: &mut Lab, version: Wire, told: &Told) {
    match told.before {
        Before::Nothing => {}
        Before::SetOfOutput => {
            let write = wire::instruction(3, &wire::output(version, 2));
            let does = [write, hex("0001 0008 01 000000")].concat();
            lab.tell(&wire::add(version, 0, 1, &Match::all(), &does)).expect("a write");
        }
        Before::Conjunction => {
            // The oracle has no conjunctions; ports and addresses say enough.
            lab.without_oracle();
            for (clause, entry) in ["00000002 0001", "00000406 020000000001"].iter().enumerate() {
                let clause = u8::try_from(clause).expect("few");
                let part = wire::nicira_action(34, &[clause, 2, 0, 0, 0, 7]);
                let match_ = Match::Entries(hex(entry));
                let does = wire::apply(version, &part);
                lab.tell(&wire::add(version, 0, 20, &match_, &does)).expect("a conjunction");
            }
        }
    }
}

/// The ways to write a field: the action's bytes for a value (and mask), if the version has it.
fn writes(line: &Line, version: Wire, value: u128, mask: Option<u128>) -> Vec<(&str, Vec<u8>)> {
    let entry = line.entry(value, mask);
    let mut all = vec![("reg_load2", wire::nicira_action(33, &entry))];
    let n_bits = line.decided().count_ones();
    // A load writes the low bits; the DSCP of Nicira's field begins at bit 2.
    if mask.is_none() && n_bits <= 64 && n_bits > 0 && line.also == 0 {
        let first = line.decided().trailing_zeros();
        let part = u16::try_from(first << 6 | (n_bits - 1)).expect("16 bits").to_be_bytes();
        let value = u64::try_from(value >> first).expect("64 bits").to_be_bytes();
        if line.experimenter == 0 {
            let body = [&part[..], &line.header(false), &value].concat();
            all.push(("reg_load", wire::nicira_action(7, &body)));
        }
    }
    if version >= 3 && (mask.is_none() || version >= 6) {
        let len = u16::try_from((4 + entry.len()).next_multiple_of(8)).expect("short");
        let action = [&[0, 25][..], &len.to_be_bytes(), &entry].concat();
        all.push(("set_field", wire::padded(&action)));
    }
    all
}

#[test]
fn every_field_that_can_be_written_is_written() {
    let mut n_written = 0;
    for line in LINES {
        let Some((frame, at, n, shift)) = line.frame().filter(|_| line.is_writable) else {
            continue;
        };
        let old = bits(&frame, at, n);
        for version in line.versions() {
            for mask in [None, Some(PATTERN & line.decided() & line.writes)] {
                if mask == Some(0) || (mask.is_some() && line.n_bytes == 1) {
                    continue;
                }
                let written = mask.unwrap_or(line.decided()) & line.writes;
                let new = old ^ (written >> shift);
                let value = new << shift | line.also;
                for (name, action) in writes(line, version, value, mask) {
                    let case = format!("{name} {} in version {version}, {mask:x?}", line.name);
                    let mut actions = action;
                    if line.is_copied() {
                        actions = through(line, n, &actions);
                    }
                    actions.extend(wire::output(version, HIT));
                    let needed = match line.name {
                        _ if line.is_copied() => hex("00000602 86dd"),
                        // The action needs a tag, a match on it does not.
                        "OXM_OF_VLAN_VID" => hex("80000d04 1000 1000"),
                        _ => line.needed(),
                    };
                    let mut lab = Lab::new(version);
                    line.prepare(&mut lab, version);
                    let does = wire::apply(version, &actions);
                    lab.tell(&wire::add(version, 0, 1, &Match::Entries(needed), &does))
                        .unwrap_or_else(|error| panic!("{case}: refused by {error:?}"));
                    let expected = seal(with_bits(&frame, at, n, new));
                    let fate = lab.frame(1, &frame);
                    assert_eq!(fate.sent, [(u32::from(HIT), expected)], "{case}");
                    n_written += 1;
                }
            }
        }
    }
    println!("{n_written} written");
    assert!(n_written > 1000, "{n_written}");
}

/// A field that no frame has: filled from the frame, written, put back into the frame.
fn through(line: &Line, n: usize, write: &[u8]) -> Vec<u8> {
    let header = line.header(false);
    let (fill, back) = (wire::copy(n, &IPV6_DST, &header), wire::copy(n, &header, &IPV6_DST));
    [&fill, write, &back].concat()
}

#[test]
fn what_cannot_be_written_is_refused() {
    for line in LINES.iter().filter(|line| !line.is_writable) {
        for version in line.versions() {
            for (name, action) in writes(line, version, 0, None) {
                let does = wire::apply(version, &action);
                let rule = wire::add(version, 0, 1, &Match::Entries(line.needed()), &does);
                let refused = Lab::new(version).tell(&rule).err();
                // OFPET_BAD_ACTION, or what 1.0 and 1.1 have no number for.
                assert!(
                    refused.is_some_and(|(kind, _)| kind == 2 || version <= 2 && kind == 0xb0c2),
                    "{name} {} in version {version}: {refused:?}",
                    line.name
                );
            }
        }
    }
}

//! Extensible matches: OXM (1.3.5 §7.2.3) and Nicira's NXM, on which it was modelled.
//!
//! An entry is a header of class (16 bits), field (7), has-mask (1) and length (8), then value and
//! mask. Class 0xffff has an experimenter number after the header, counted in the length. The field
//! registry of `flow` says which header means which field, how long its values are and what it
//! needs; this file has only the grammar and the order of fields.
//!
//! # Errors
//! Standard matches are strict: every entry must be known, its prerequisites must come before it
//! (§7.2.3.6), no field twice (§7.2.3.4), no value bits outside the mask (§7.2.3.5). In packet-ins and
//! flow-removed messages, which a client reads, unknown fields are left out.

use alloc::vec::Vec;

use flow::{Field, Maskable, Match, WireId};

use super::wire::{Put, Reader, Result};
use crate::{OfErrorKind, OfPort, Subfield, Version};

/// `OFPMT_OXM`.
pub(crate) const MATCH_TYPE: u16 = 1;
/// Class of experimenters' fields.
const CLASS_EXPERIMENTER: u16 = 0xffff;
/// Class and number of Nicira's cookie, which is no field of a packet. `NXM_NX_MPLS_TTL` has the same
/// number with another length.
const CLASS_NXM_1: u16 = 0x0001;
const NXM_NX_COOKIE: u8 = 30;
const COOKIE_BYTES: usize = 8;

/// The numbers of `NXM_NX_CT_STATE` to `NXM_NX_CT_LABEL`, and of the original direction's fields.
fn is_connection_tracking(number: u8) -> bool {
    matches!(number, 105..=108 | 119..=125)
}

/// What to do with entries that are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// It is an error.
    Refuse,
    /// Leave them out.
    Skip,
}

/// How to write a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// With Nicira's headers.
    Nxm,
    /// With the headers of this version.
    Oxm(Version),
}

impl Flavour {
    fn wire(self) -> u8 {
        match self {
            Flavour::Nxm => 0,
            Flavour::Oxm(version) => version.wire(),
        }
    }
}

/// Value and mask of a cookie in an NXM match.
pub(crate) type Cookie = (u64, u64);

/// Reads the entries of a match, all of `reader`.
pub(crate) fn read_match(reader: Reader<'_>, unknown: Unknown) -> Result<(Match, Cookie)> {
    let mut out = Match::default();
    let cookie = read_match_into(&mut out, reader, unknown)?;
    Ok((out, cookie))
}

/// The same into `out`, which matches everything so far: a match is a kilobyte, and copies of it are what
/// costs.
pub(crate) fn read_match_into(
    out: &mut Match,
    mut reader: Reader<'_>,
    unknown: Unknown,
) -> Result<Cookie> {
    let mut cookie: Cookie = (0, 0);
    while !reader.is_empty() {
        let entry = read_entry(&mut reader)?;
        let strict = unknown == Unknown::Refuse;
        match entry.meaning {
            Meaning::Cookie => {
                if cookie.1 != 0 {
                    return Err(OfErrorKind::MatchDupField);
                }
                let mask = entry.mask.unwrap_or(u128::MAX);
                if strict && entry.value & !mask != 0 {
                    return Err(OfErrorKind::MatchBadWildcards);
                }
                cookie = (low_u64(entry.value & mask), low_u64(mask));
            }
            Meaning::Field(field) => add_field(out, field, &entry, strict)?,
            Meaning::ConnectionTracking if strict => {
                return Err(OfErrorKind::NxMatchCtDatapathSupport);
            }
            Meaning::Unknown if strict => return Err(OfErrorKind::MatchBadField),
            Meaning::ConnectionTracking | Meaning::Unknown => {}
        }
    }
    Ok(cookie)
}

/// Whether a mask leaves out bits of a value that is matched whole or not at all, although the key, which
/// has 8 bits of an ARP operation, does not have them.
fn is_part_of_whole(field: Field, mask: Option<u128>) -> bool {
    let ones = (1 << field.spec().n_bits.min(127)) - 1;
    let seen = mask.map_or(ones, |mask| mask & ones);
    field.spec().maskable == Maskable::Exact && seen != 0 && seen != ones
}

fn add_field(out: &mut Match, field: Field, entry: &Entry, strict: bool) -> Result<()> {
    let ones = field.ones();
    let mask = entry.mask.unwrap_or(ones) & ones;
    if !field.is_valid(entry.value) {
        return Err(OfErrorKind::MatchBadValue);
    }
    if !Match::mask_is_allowed(field, mask) || is_part_of_whole(field, entry.mask) {
        return Err(OfErrorKind::MatchBadMask);
    }
    if strict && entry.value & !mask != 0 {
        return Err(OfErrorKind::MatchBadWildcards);
    }
    if !out.satisfies(field.spec().prereq) {
        return Err(OfErrorKind::MatchBadPrereq);
    }
    if out.mask().get(field) != 0 {
        return Err(OfErrorKind::MatchDupField);
    }
    if mask == 0 {
        return Ok(());
    }
    // These two can take from fields before them what those need.
    let takes = matches!(field, Field::PacketType | Field::IpFrag);
    let before = takes.then_some(*out);
    out.set(field, entry.value & mask, mask);
    let is_lost = |before: &Match, field: Field| {
        let prereq = field.spec().prereq;
        before.get(field).1 != 0 && before.satisfies(prereq) && !out.satisfies(prereq)
    };
    if before.is_some_and(|before| ORDER.into_iter().any(|field| is_lost(&before, field))) {
        return Err(OfErrorKind::MatchBadPrereq);
    }
    Ok(())
}

/// What an entry is about.
enum Meaning {
    Field(Field),
    Cookie,
    /// A field that only a datapath with connection tracking has.
    ConnectionTracking,
    Unknown,
}

struct Entry {
    meaning: Meaning,
    value: u128,
    mask: Option<u128>,
}

fn read_entry(reader: &mut Reader<'_>) -> Result<Entry> {
    let header = read_header(reader)?;
    let len = header.payload;
    let mut payload = reader.sub(len, OfErrorKind::MatchBadLen)?;
    if header.is_cookie() {
        let value = payload.number(COOKIE_BYTES)?;
        let mask = header.has_mask.then(|| payload.number(COOKIE_BYTES)).transpose()?;
        return Ok(Entry { meaning: Meaning::Cookie, value, mask });
    }
    let Some((field, id)) = header.field() else {
        let is_ct = header.class == CLASS_NXM_1 && is_connection_tracking(header.number);
        let meaning = if is_ct { Meaning::ConnectionTracking } else { Meaning::Unknown };
        return Ok(Entry { meaning, value: 0, mask: None });
    };
    if field.is_tunnel_option() {
        return read_option(payload, field, header.has_mask);
    }
    let width = usize::from(id.len);
    if len != if header.has_mask { 2 * width } else { width } {
        return Err(OfErrorKind::MatchBadLen);
    }
    let value = from_wire(field, id, payload.number(width)?);
    let mask = header.has_mask.then(|| payload.number(width)).transpose()?;
    let mask = mask.map(|mask| widen_mask(field, id, mask));
    Ok(Entry { meaning: Meaning::Field(field), value, mask })
}

/// Where an entry has its value.
pub(crate) struct Place {
    pub(crate) field: Field,
    /// What of the field is examined.
    pub(crate) mask: u128,
    /// The value's first byte.
    pub(crate) at: usize,
    pub(crate) width: usize,
}

/// Where the entries of a match that was accepted have their values; `None` where one is written otherwise
/// than it is kept.
pub(crate) fn places(entries: &[u8]) -> Option<Vec<Place>> {
    let mut reader = Reader::new(entries, OfErrorKind::MatchBadLen);
    let mut places = Vec::new();
    while !reader.is_empty() {
        let header = read_header(&mut reader).ok()?;
        let at = entries.len() - reader.len();
        let mut payload = reader.sub(header.payload, OfErrorKind::MatchBadLen).ok()?;
        let (field, id) = header.field().filter(|_| !header.is_cookie())?;
        let is_short_port = field == Field::InPort && id.len == 2;
        if field.is_tunnel_option() || is_short_port {
            return None;
        }
        let width = usize::from(id.len);
        payload.skip(width).ok()?;
        let mask = match header.has_mask {
            true => widen_mask(field, id, payload.number(width).ok()?) & field.ones(),
            false => field.ones(),
        };
        places.push(Place { field, mask, at, width });
    }
    Some(places)
}

/// Reads the value of a tunnel's option, which is as long as the peer has it: what is missing in front
/// is zero, and not looked at if there is a mask.
fn read_option(mut payload: Reader<'_>, field: Field, has_mask: bool) -> Result<Entry> {
    let n_parts = if has_mask { 2 } else { 1 };
    let len = payload.len();
    if len == 0 || !len.is_multiple_of(n_parts) {
        return Err(OfErrorKind::MatchBadLen);
    }
    let width = usize::from(field.spec().n_bytes);
    let mut number = || {
        let n_bytes = len / n_parts;
        if !payload.zeros(n_bytes.saturating_sub(width))? {
            return Err(OfErrorKind::MatchBadValue);
        }
        payload.number(n_bytes.min(width))
    };
    let value = number()?;
    let mask = if has_mask { Some(number()?) } else { None };
    Ok(Entry { meaning: Meaning::Field(field), value, mask })
}

/// A header without its experimenter number counted in.
#[derive(Clone, Copy)]
struct Header {
    class: u16,
    experimenter: u32,
    number: u8,
    has_mask: bool,
    /// Bytes of value and mask.
    payload: usize,
}

impl Header {
    fn is_cookie(&self) -> bool {
        let len = if self.has_mask { 2 * COOKIE_BYTES } else { COOKIE_BYTES };
        self.class == CLASS_NXM_1 && self.number == NXM_NX_COOKIE && self.payload == len
    }

    fn field(&self) -> Option<(Field, &'static WireId)> {
        let field = Field::from_wire(self.class, self.experimenter, self.number)?;
        let id = field.spec().wire_ids().find(|id| {
            id.class == self.class
                && id.field == self.number
                && id.experimenter == self.experimenter
        })?;
        Some((field, id))
    }
}

fn read_header(reader: &mut Reader<'_>) -> Result<Header> {
    let class = reader.u16()?;
    let number_and_flag = reader.u8()?;
    let mut payload = usize::from(reader.u8()?);
    let mut experimenter = 0;
    if class == CLASS_EXPERIMENTER {
        payload = payload.checked_sub(4).ok_or(OfErrorKind::MatchBadLen)?;
        experimenter = reader.u32()?;
    }
    let has_mask = number_and_flag & 1 != 0;
    Ok(Header { class, experimenter, number: number_and_flag >> 1, has_mask, payload })
}

/// Reads the header of a field on its own, as Nicira's actions have it. The error for an unknown one
/// is `bad_type`.
pub(crate) fn read_field(reader: &mut Reader<'_>, bad_type: OfErrorKind) -> Result<Field> {
    let header = read_header(reader)?;
    let (field, id) = header.field().ok_or(bad_type)?;
    // The length of a tunnel's option is the peer's own.
    let fits = header.payload == usize::from(id.len) || field.is_tunnel_option();
    if header.has_mask || !fits {
        return Err(OfErrorKind::ActionBadArgument);
    }
    Ok(field)
}

/// Writes the header of a field on its own. Fields without one (which no decoder makes) are
/// written as register 0.
fn put_field(out: &mut Vec<u8>, field: Field, flavour: Flavour) {
    match field.wire_id(flavour.wire()).or_else(|| Field::Reg0.wire_id(0)) {
        Some(id) => put_header(out, id, false),
        None => out.zeros(4),
    }
}

/// The header that names the field of a subfield.
pub(crate) fn put_part(out: &mut Vec<u8>, part: Subfield, flavour: Flavour) {
    let flavour = match part.field {
        Field::InPort if part.is_short_port() => Flavour::Nxm,
        Field::InPort => Flavour::Oxm(Version::V13),
        _ => flavour,
    };
    put_field(out, part.field, flavour);
}

/// The header as a table-features property lists it, if it has 32 bits.
pub(crate) fn header_word(field: Field, version: Version) -> Option<u32> {
    let id = field.wire_id(version.wire())?;
    let word = u32::from(id.class) << 16 | u32::from(id.field) << 9 | u32::from(id.len);
    (id.experimenter == 0).then_some(word)
}

/// Reads one entry as a set-field action has it: field, value and mask (all ones without one).
pub(crate) fn read_set_field(reader: &mut Reader<'_>) -> Result<(Field, u128, u128)> {
    let entry = read_entry(reader).map_err(|_| OfErrorKind::ActionBadSetLen)?;
    let Meaning::Field(field) = entry.meaning else {
        return Err(OfErrorKind::ActionBadSetType);
    };
    let ones = field.ones();
    let mask = entry.mask.unwrap_or(ones) & ones;
    if !field.is_valid(entry.value) || !field.spec().writable {
        return Err(OfErrorKind::ActionBadSetArgument);
    }
    // Part of a field can be written also where a match could not ask for it: that is how
    // `ovs-ofctl` says a load in OpenFlow 1.5.
    if mask == 0 || entry.mask.is_some() && entry.value & !mask != 0 {
        return Err(OfErrorKind::ActionBadSetMask);
    }
    Ok((field, entry.value & mask, mask))
}

/// Reads one entry whose value is a mask of its field, as a group property has it. `NXM` entries
/// and standard ones mix.
pub(crate) fn read_mask(reader: &mut Reader<'_>) -> Result<(Field, u128)> {
    let header = read_header(&mut { *reader })?;
    let Some((field, id)) = header.field() else {
        return Err(OfErrorKind::MatchBadField);
    };
    if header.has_mask {
        return Err(OfErrorKind::MatchBadMask);
    }
    read_header(reader)?;
    let width = usize::from(id.len);
    if header.payload != width {
        return Err(OfErrorKind::MatchBadLen);
    }
    let mask = widen_mask(field, id, reader.number(width)?) & field.ones();
    if mask == 0 || !Match::mask_is_allowed(field, mask) {
        return Err(OfErrorKind::MatchBadMask);
    }
    Ok((field, mask))
}

/// Writes what [`read_mask`] reads.
pub(crate) fn put_mask(out: &mut Vec<u8>, field: Field, mask: u128, flavour: Flavour) {
    let Some(id) = field.wire_id(flavour.wire()) else {
        return;
    };
    let width = usize::from(id.len);
    put_header(out, id, false);
    let is_whole = mask == field.ones();
    out.number(if is_whole { u128::MAX } else { mask }, width);
}

/// Writes one entry, with a mask unless it is all ones.
pub(crate) fn put_entry(
    out: &mut Vec<u8>,
    field: Field,
    value: u128,
    mask: u128,
    flavour: Flavour,
) {
    let Some(id) = field.wire_id(flavour.wire()) else {
        return;
    };
    let has_mask = mask & field.ones() != field.ones();
    let width = usize::from(id.len);
    put_header(out, id, has_mask);
    out.number(to_wire(field, id, value), width);
    if has_mask {
        out.number(mask, width);
    }
}

fn put_header(out: &mut Vec<u8>, id: &WireId, has_mask: bool) {
    let value = if has_mask { 2 * id.len } else { id.len };
    out.u16(id.class);
    out.u8(id.field << 1 | u8::from(has_mask));
    if id.class == CLASS_EXPERIMENTER {
        out.u8(value + 4);
        out.u32(id.experimenter);
    } else {
        out.u8(value);
    }
}

/// The fields of a match in the order of the wire: what a field needs comes before it.
const ORDER: [Field; 74] = [
    Field::PacketType,
    Field::DpHash,
    Field::RecircId,
    Field::ConjId,
    Field::InPort,
    Field::ActsetOutput,
    Field::EthSrc,
    Field::EthDst,
    Field::EthType,
    Field::VlanTci,
    Field::VlanVid,
    Field::VlanPcp,
    Field::MplsTc,
    Field::MplsBos,
    Field::MplsTtl,
    Field::MplsLabel,
    Field::PbbIsid,
    Field::PbbUca,
    Field::Ipv4Src,
    Field::Ipv4Dst,
    Field::Ipv6Src,
    Field::Ipv6Dst,
    Field::Ipv6Label,
    Field::Ipv6Exthdr,
    Field::IpFrag,
    Field::IpDscp,
    Field::IpDscpShifted,
    Field::IpEcn,
    Field::IpTtl,
    Field::IpProto,
    Field::TcpSrc,
    Field::TcpDst,
    Field::TcpFlags,
    Field::UdpSrc,
    Field::UdpDst,
    Field::SctpSrc,
    Field::SctpDst,
    Field::Icmpv4Type,
    Field::Icmpv4Code,
    Field::Icmpv6Type,
    Field::Icmpv6Code,
    Field::NdTarget,
    Field::NdSll,
    Field::NdTll,
    Field::NdReserved,
    Field::NdOptionsType,
    Field::ArpOp,
    Field::ArpSpa,
    Field::ArpTpa,
    Field::ArpSha,
    Field::ArpTha,
    Field::TunnelId,
    Field::TunSrc,
    Field::TunDst,
    Field::TunMetadata0,
    Field::TunMetadata1,
    Field::Reg0,
    Field::Reg1,
    Field::Reg2,
    Field::Reg3,
    Field::Reg4,
    Field::Reg5,
    Field::Reg6,
    Field::Reg7,
    Field::Reg8,
    Field::Reg9,
    Field::Reg10,
    Field::Reg11,
    Field::Reg12,
    Field::Reg13,
    Field::Reg14,
    Field::Reg15,
    Field::PktMark,
    Field::Metadata,
];

/// Writes the entries of a match, without padding.
pub(crate) fn put_match(out: &mut Vec<u8>, match_: &Match, flavour: Flavour) {
    let examined = match_.mask().map();
    for field in ORDER {
        let word = usize::from(field.spec().location.word);
        if !examined.contains(word) && !examined.contains(word + 1) {
            continue;
        }
        let (value, mask) = match_.get(field);
        if mask != 0 && is_written(match_, field, flavour) {
            put_entry(out, field, value, mask, flavour);
        }
    }
}

/// Writes a cookie entry if there is something to match.
pub(crate) fn put_cookie(out: &mut Vec<u8>, (cookie, mask): Cookie) {
    if mask == 0 {
        return;
    }
    out.u16(CLASS_NXM_1);
    if mask == u64::MAX {
        out.u8(NXM_NX_COOKIE << 1);
        out.u8(8);
        out.u64(cookie);
    } else {
        out.u8(NXM_NX_COOKIE << 1 | 1);
        out.u8(16);
        out.u64(cookie & mask);
        out.u64(mask);
    }
}

/// Chooses among fields that share bits: the VLAN tag is one field in NXM and two in OXM, the DSCP is
/// shifted in OXM, and layer-3 and layer-4 bits belong to the protocol that the match asks for.
fn is_written(match_: &Match, field: Field, flavour: Flavour) -> bool {
    let nxm = flavour == Flavour::Nxm;
    match field {
        Field::VlanTci | Field::IpDscp => nxm && match_.satisfies(field.spec().prereq),
        Field::VlanVid => !nxm,
        Field::VlanPcp => !nxm && match_.satisfies(field.spec().prereq),
        Field::IpDscpShifted => !nxm && match_.satisfies(field.spec().prereq),
        Field::PacketType => match_.get(field).0 != 0,
        _ => match_.satisfies(field.spec().prereq),
    }
}

/// A value from the wire. `NXM_OF_IN_PORT` has 16 bits.
fn from_wire(field: Field, id: &WireId, value: u128) -> u128 {
    match (field, u16::try_from(value)) {
        (Field::InPort, Ok(low)) if id.len == 2 => u128::from(OfPort::from_u16(low).0),
        _ => value,
    }
}

fn to_wire(field: Field, id: &WireId, value: u128) -> u128 {
    if field == Field::InPort && id.len == 2 {
        let port = OfPort(u32::try_from(value).unwrap_or(u32::MAX));
        return u128::from(port.to_u16().unwrap_or(u16::MAX));
    }
    value
}

/// A mask of all ones stays all ones where the field is wider than its entry.
fn widen_mask(field: Field, id: &WireId, mask: u128) -> u128 {
    let all = if id.len >= 16 { u128::MAX } else { (1 << (8 * u32::from(id.len))) - 1 };
    if mask == all { field.ones() } else { mask }
}

fn low_u64(value: u128) -> u64 {
    u64::try_from(value & u128::from(u64::MAX)).unwrap_or(u64::MAX)
}

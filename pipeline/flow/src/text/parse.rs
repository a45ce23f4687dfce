//! Reading matches and flows.

use super::port::PortNames;
use super::value::{parse_integer, parse_value};
use crate::field::Field;
use crate::flow::Flow;
use crate::matching::Match;
use crate::proto::{VLAN_PRESENT, VLAN_VID_MASK, eth_type as ethertype, ip_proto};
use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No field has this name.
    UnknownField,
    /// The value is not in the form of the field.
    BadValue,
    /// The value does not fit the field.
    OutOfRange,
    /// The field cannot have this mask.
    BadMask,
    /// No port has this name or number.
    UnknownPort,
    /// A flow has exact values only.
    Masked,
    /// The field needs another one before it.
    Prerequisite,
    /// The field was given twice.
    Twice,
}

/// Why a text is not a match or a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub problem: Problem,
    /// The piece of text.
    pub text: String,
    /// The field that it was meant for.
    pub field: Option<Field>,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.as_str();
        let name = self.field.map_or("field", Field::name);
        match self.problem {
            Problem::UnknownField => {
                write!(f, "unknown field {text}: use a name as in ovs-fields(7), like nw_src")
            }
            Problem::BadValue => {
                write!(f, "{text}: bad value for {name}: write {}", form(self.field))
            }
            Problem::OutOfRange => {
                let bits = self.field.map_or(0, |field| field.value_ones().count_ones());
                write!(f, "{text}: value too large for {name}, which has {bits} bits")
            }
            Problem::BadMask => {
                write!(f, "{text}: invalid mask for field {name}: leave the mask out")
            }
            Problem::UnknownPort => {
                write!(f, "{text}: invalid or unknown port for {name}: use a port number or name")
            }
            Problem::Masked => write!(f, "{text}: wildcards not allowed here: give {name} wholly"),
            Problem::Prerequisite => write!(
                f,
                "prerequisites not met for setting {name}: put the protocol (ip, tcp, arp, ...) \
                 before it"
            ),
            Problem::Twice => write!(f, "field {name} set multiple times: give it once"),
        }
    }
}

impl core::error::Error for ParseError {}

fn form(field: Option<Field>) -> &'static str {
    use crate::field::Format;
    match field.map(|field| field.spec().format) {
        Some(Format::Ethernet) => "aa:bb:cc:dd:ee:ff or address/mask",
        Some(Format::Ipv4) => "10.0.0.1, 10.0.0.0/8 or address/mask",
        Some(Format::Ipv6) => "2001:db8::1, 2001:db8::/32 or address/mask",
        Some(Format::Frag) => "no, yes, first, later or not_later",
        Some(Format::TcpFlags) => "flags as +syn-ack or syn|ack",
        Some(Format::PacketType) => "(namespace,type)",
        _ => "a number, 10 or 0x0a",
    }
}

/// Splits `key=value, key:value, key(value), key` at commas and white space. Brackets and quotes
/// protect what is in them.
#[derive(Clone, Debug)]
pub struct KeyValues<'a> {
    rest: &'a str,
}

impl<'a> KeyValues<'a> {
    /// Over a text.
    #[must_use]
    pub fn new(text: &'a str) -> KeyValues<'a> {
        KeyValues { rest: text }
    }

    /// What has not been read yet.
    #[must_use]
    pub fn rest(&self) -> &'a str {
        self.rest
    }
}

const SEPARATORS: [char; 5] = [',', ' ', '\t', '\r', '\n'];

impl<'a> Iterator for KeyValues<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let text = self.rest.trim_start_matches(SEPARATORS);
        if text.is_empty() {
            self.rest = "";
            return None;
        }
        let is_end = |c: char| matches!(c, ':' | '=' | '(') || SEPARATORS.contains(&c);
        let (key, rest) = text.split_at(text.find(is_end).unwrap_or(text.len()));
        let (value, rest) = if let Some(rest) = rest.strip_prefix([':', '=']) {
            rest.split_at(value_len(rest, |c| SEPARATORS.contains(&c)))
        } else if let Some(rest) = rest.strip_prefix('(') {
            let (value, after) = rest.split_at(value_len(rest, |c| c == ')'));
            if after.starts_with(")->") {
                // `check_pkt_larger(100)->FIELD` is one piece; its value is `100)->FIELD`.
                let end = value_len(after, |c| SEPARATORS.contains(&c));
                rest.split_at(value.len() + end)
            } else {
                (value, after.strip_prefix(')').unwrap_or(after))
            }
        } else {
            ("", rest)
        };
        self.rest = rest;
        Some((key, value))
    }
}

/// Bytes up to the first `is_end` that stands outside of brackets and quotes.
fn value_len(text: &str, is_end: impl Fn(char) -> bool) -> usize {
    let mut depth = 0u32;
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        if depth == 0 && !quoted && is_end(c) {
            return at;
        }
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    text.len()
}

/// The protocols that stand for an Ethernet type and an IP protocol.
const PROTOCOLS: [(&str, u16, u8); 17] = [
    ("ip", ethertype::IPV4, 0),
    ("ipv4", ethertype::IPV4, 0),
    ("ip4", ethertype::IPV4, 0),
    ("arp", ethertype::ARP, 0),
    ("icmp", ethertype::IPV4, ip_proto::ICMP),
    ("tcp", ethertype::IPV4, ip_proto::TCP),
    ("udp", ethertype::IPV4, ip_proto::UDP),
    ("sctp", ethertype::IPV4, ip_proto::SCTP),
    ("ipv6", ethertype::IPV6, 0),
    ("ip6", ethertype::IPV6, 0),
    ("icmp6", ethertype::IPV6, ip_proto::ICMPV6),
    ("tcp6", ethertype::IPV6, ip_proto::TCP),
    ("udp6", ethertype::IPV6, ip_proto::UDP),
    ("sctp6", ethertype::IPV6, ip_proto::SCTP),
    ("rarp", ethertype::RARP, 0),
    ("mpls", ethertype::MPLS, 0),
    ("mplsm", ethertype::MPLS_MULTICAST, 0),
];

fn protocol(name: &str) -> Option<(u16, u8)> {
    let (_, ty, proto) = PROTOCOLS.iter().find(|(known, _, _)| *known == name)?;
    Some((*ty, *proto))
}

/// A field by either of its names, or by the name that only IPv4 addresses have in OpenFlow 1.2.
fn field_named(name: &str) -> Option<Field> {
    match name {
        "ipv4_src" => Some(Field::Ipv4Src),
        "ipv4_dst" => Some(Field::Ipv4Dst),
        "ip_ttl" => Some(Field::IpTtl),
        _ => Field::from_name(name).or_else(|| Field::from_wire_name(name)),
    }
}

/// Puts one `key=value` of a larger text into a match. Returns whether the key belongs to a match
/// at all, so that the caller can try its own keys. After the last key, call
/// [`Match::forget_default_packet_type`]: `eth` means something only in a megaflow.
///
/// # Errors
/// When the key is a field's and the value is not.
pub fn apply(
    match_: &mut Match,
    key: &str,
    value: &str,
    ports: &dyn PortNames,
) -> Result<bool, ParseError> {
    if let Some((ty, proto)) = protocol(key) {
        match_.set_exact(Field::EthType, u128::from(ty));
        if proto != 0 {
            match_.set_exact(Field::IpProto, u128::from(proto));
        }
        return Ok(true);
    }
    if key == "eth" {
        match_.set_exact(Field::PacketType, 0);
        return Ok(true);
    }
    if let Some(found) = inner_tag(match_, key, value) {
        return found.map(|()| true);
    }
    let Some(field) = field_named(key) else {
        return Ok(false);
    };
    // A bare field name asks for nothing but its protocol.
    if !value.is_empty() {
        let (value, mask) = parse_value(field, value, ports)?;
        match_.set(field, value, mask);
    }
    Ok(true)
}

/// `dl_vlan1` and `dl_vlan_pcp1` say of the second tag what `dl_vlan` says of the first.
fn inner_tag(match_: &mut Match, key: &str, value: &str) -> Option<Result<(), ParseError>> {
    let (shift, bits) = match key {
        "dl_vlan1" => (0, VLAN_VID_MASK),
        "dl_vlan_pcp1" => (13, 7),
        _ => return None,
    };
    let number = parse_integer(value).and_then(|number| u16::try_from(number).ok());
    let Some(number) = number.filter(|number| number & !bits == 0) else {
        let problem = Problem::OutOfRange;
        let field = Some(Field::VlanTci1);
        return Some(Err(ParseError { problem, text: value.to_owned(), field }));
    };
    let (tci, mask) = match_.get(Field::VlanTci1);
    let tci = tci | u128::from(VLAN_PRESENT | number << shift);
    let mask = mask | u128::from(VLAN_PRESENT | bits << shift);
    match_.set(Field::VlanTci1, tci, mask);
    Some(Ok(()))
}

/// Reads a match: `tcp,in_port=1,nw_src=10.0.0.0/8,tp_dst=80`.
///
/// Nothing is checked between fields: a field without its protocol is kept, and refused or
/// dropped by whoever takes the match ([`Match::satisfies`], [`Match::normalize`]).
///
/// # Errors
/// When a piece is no field, or no value of its field.
pub fn parse_match(text: &str, ports: &dyn PortNames) -> Result<Match, ParseError> {
    let mut match_ = Match::CATCHALL;
    for (key, value) in KeyValues::new(text) {
        if !apply(&mut match_, key, value, ports)? {
            let problem = Problem::UnknownField;
            return Err(ParseError { problem, text: key.to_owned(), field: None });
        }
    }
    match_.forget_default_packet_type();
    Ok(match_)
}

/// Reads one packet: `in_port=1,tcp,nw_src=10.0.0.1,tp_dst=80`. Fields need their protocol before
/// them; those left out are zero, but a missing `in_port` is no port (`ANY`).
///
/// # Errors
/// When a piece is no field, no exact value of its field, given twice, or without its protocol.
pub fn parse_flow(text: &str, ports: &dyn PortNames) -> Result<Flow, ParseError> {
    let mut flow = Flow::ZERO;
    for (key, value) in KeyValues::new(text) {
        let fail = |problem, field| ParseError { problem, text: value.to_owned(), field };
        if let Some((ty, proto)) = protocol(key) {
            if flow.eth_type() != 0 {
                return Err(fail(Problem::Twice, Some(Field::EthType)));
            }
            flow.set_eth_type(ty);
            if proto != 0 {
                flow.set_nw_proto(proto);
            }
            continue;
        }
        if key == "eth" {
            continue;
        }
        let Some(field) = field_named(key) else {
            let problem = Problem::UnknownField;
            return Err(ParseError { problem, text: key.to_owned(), field: None });
        };
        // Names of ports serve all protocols: tp_src is tcp_src.
        let needs = if key.starts_with("tp_") || key.starts_with("icmp_") {
            crate::prereq::Prereq::Ip
        } else {
            field.spec().prereq
        };
        if !needs.holds(&flow) {
            return Err(fail(Problem::Prerequisite, Some(field)));
        }
        let (number, mask) = parse_value(field, value, ports)?;
        if mask & field.value_ones() != field.value_ones() {
            return Err(fail(Problem::Masked, Some(field)));
        }
        let present = if field == Field::VlanVid { u128::from(VLAN_PRESENT) } else { 0 };
        if flow.get(field) & !present != 0 {
            return Err(fail(Problem::Twice, Some(field)));
        }
        flow.set(field, number);
    }
    if flow.in_port() == 0 {
        flow.set_in_port(u32::MAX);
    }
    Ok(flow)
}

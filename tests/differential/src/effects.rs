//! What a list of datapath actions does to one packet: which packets leave by which ports, in which
//! order, and what is told to whom. Two lists that do the same may look different: fields are set in
//! another order, a set is left out that changes nothing, a copy is changed in a `clone(…)` where the
//! other changes the packet there and back.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use flow::text::{NoNames, parse_value};
use flow::{Field, Flow};

use crate::trace::{Pass, split};

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// An output (its port), or another action in its words.
    pub what: String,
    /// The packet at that time, in words; empty where it does not matter.
    pub packet: String,
}

/// What the actions of the first pass do to packets of this flow; where the datapath recirculates, what
/// the pass after that does, if there is one.
///
/// # Errors
/// An action that is not known here.
pub fn effects(passes: &[Pass], flow: &Flow) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    let Some((first, later)) = passes.split_first() else { return Ok(events) };
    let mut run = Run { later, events: &mut events };
    run.list(&first.actions, &mut State::new(flow))?;
    // Floods go out in the order of a hash table.
    for alike in events.chunk_by_mut(|a, b| is_output(a) && is_output(b) && a.packet == b.packet) {
        alike.sort_by(|a, b| a.what.cmp(&b.what));
    }
    Ok(events)
}

fn is_output(event: &Event) -> bool {
    event.what.starts_with("output")
}

/// A packet on its way: what it had, and what was written to it.
#[derive(Clone, Debug)]
struct State {
    /// The key that it came in with, and the values that fields had or got, by their names here.
    values: BTreeMap<String, (u128, u128)>,
    flow: Flow,
    vlans: Vec<(u16, u16)>,
    /// The outermost last.
    labels: Vec<u32>,
    eth_type: u16,
    cut: Option<String>,
}

impl State {
    fn new(flow: &Flow) -> Self {
        let tags = [(flow.vlan_tpid1(), flow.vlan_tci1()), (flow.vlan_tpid(), flow.vlan_tci())];
        let vlans = tags.into_iter().filter(|(_, tci)| tci & 0x1000 != 0);
        let labels = (0..flow.n_mpls()).rev().map(|n| flow.mpls_lse(n));
        let is_mpls = flow.is_mpls();
        Self {
            values: BTreeMap::new(),
            flow: *flow,
            vlans: vlans.map(|(tpid, tci)| (if tpid == 0 { 0x8100 } else { tpid }, tci)).collect(),
            labels: if is_mpls { labels.collect() } else { Vec::new() },
            eth_type: flow.eth_type(),
            cut: None,
        }
    }

    fn words(&self) -> String {
        let changed: Vec<String> = (self.values.iter())
            .filter(|(_, (old, new))| old != new)
            .map(|(name, (_, new))| format!("{name}={new:#x}"))
            .collect();
        let Self { vlans, labels, eth_type, cut, .. } = self;
        format!("{changed:?} vlans {vlans:x?} labels {labels:x?} type {eth_type:#x} cut {cut:?}")
    }

    /// Writes what stands in `group(name=value/mask,…)`.
    fn set(&mut self, item: &str) -> Result<(), String> {
        let (group, rest) = item.split_once('(').ok_or(item)?;
        let body = rest.strip_suffix(')').ok_or(item)?;
        if let "skb_priority" | "skb_mark" = group {
            return self.write(group, "", body);
        }
        for part in split(body) {
            let (name, value) = part.split_once('=').ok_or(item)?;
            if group == "mpls" {
                self.set_label(name, value)?;
            } else {
                self.write(group, name, value)?;
            }
        }
        Ok(())
    }

    fn set_label(&mut self, name: &str, value: &str) -> Result<(), String> {
        let (shift, bits) = lse_part(name)?;
        let (value, mask) = match value.split_once("/0x") {
            Some((value, mask)) => (value, u32::from_str_radix(mask, 16).map_err(|_| mask)? & bits),
            None => (value, bits),
        };
        let value: u32 = value.parse().map_err(|_| value)?;
        if let Some(lse) = self.labels.last_mut() {
            *lse = *lse & !(mask << shift) | (value & mask) << shift;
        }
        Ok(())
    }

    fn write(&mut self, group: &str, name: &str, value: &str) -> Result<(), String> {
        let field = field_of(group, name).ok_or_else(|| format!("{group}({name})"))?;
        let (value, mask) = match value.split_once('/') {
            Some((value, mask)) => (number(field, value)?, number(field, mask)?),
            None => (number(field, value)?, u128::MAX),
        };
        // Class of service and congestion bits are one octet here, and two fields there.
        let (had, ones) = match name {
            "tos" | "tclass" => (self.flow.nw_tos().into(), 0xff),
            _ => (self.flow.get(field), field.ones()),
        };
        let mask = mask & ones;
        let entry = self.values.entry(field.name().to_owned()).or_insert((had, had));
        entry.1 = entry.1 & !mask | value & mask;
        Ok(())
    }
}

fn lse_part(name: &str) -> Result<(u32, u32), String> {
    Ok(match name {
        "label" => (12, 0xf_ffff),
        "tc" => (9, 7),
        "bos" => (8, 1),
        "ttl" => (0, 0xff),
        _ => return Err(name.to_owned()),
    })
}

fn field_of(group: &str, name: &str) -> Option<Field> {
    Some(match (group, name) {
        ("eth", "src") => Field::EthSrc,
        ("eth", "dst") => Field::EthDst,
        ("ipv4", "src") => Field::Ipv4Src,
        ("ipv4", "dst") => Field::Ipv4Dst,
        ("ipv4", "tos") | ("ipv6", "tclass") => Field::IpDscp,
        ("ipv4", "ttl") | ("ipv6", "hlimit") => Field::IpTtl,
        ("ipv6", "src") => Field::Ipv6Src,
        ("ipv6", "dst") => Field::Ipv6Dst,
        ("ipv6", "label") => Field::Ipv6Label,
        ("tcp", "src") => Field::TcpSrc,
        ("tcp", "dst") => Field::TcpDst,
        ("udp", "src") => Field::UdpSrc,
        ("udp", "dst") => Field::UdpDst,
        ("sctp", "src") => Field::SctpSrc,
        ("sctp", "dst") => Field::SctpDst,
        ("icmp", "type") => Field::Icmpv4Type,
        ("icmp", "code") => Field::Icmpv4Code,
        ("icmpv6", "type") => Field::Icmpv6Type,
        ("icmpv6", "code") => Field::Icmpv6Code,
        ("arp", "sip") => Field::ArpSpa,
        ("arp", "tip") => Field::ArpTpa,
        ("arp", "op") => Field::ArpOp,
        ("arp", "sha") => Field::ArpSha,
        ("arp", "tha") => Field::ArpTha,
        ("nd", "target") => Field::NdTarget,
        ("nd", "sll") => Field::NdSll,
        ("nd", "tll") => Field::NdTll,
        ("nd_ext", "nd_reserved") => Field::NdReserved,
        ("nd_ext", "nd_options_type") => Field::NdOptionsType,
        ("skb_priority", "") => Field::SkbPriority,
        ("skb_mark", "") => Field::PktMark,
        _ => return None,
    })
}

/// A value or a mask of a field, in its own form or as a number.
fn number(field: Field, text: &str) -> Result<u128, String> {
    let plain = match text.strip_prefix("0x") {
        Some(hex) => u128::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    let v4 = || text.parse::<Ipv4Addr>().ok().map(|addr| addr.to_bits().into());
    let v6 = || text.parse::<Ipv6Addr>().ok().map(Ipv6Addr::to_bits);
    let other = || parse_value(field, text, &NoNames).ok().map(|(value, _)| value);
    plain.or_else(v4).or_else(v6).or_else(other).ok_or_else(|| format!("{}: {text}", field.name()))
}

/// Where events go, and what comes after recirculations.
struct Run<'a> {
    later: &'a [Pass],
    events: &'a mut Vec<Event>,
}

impl Run<'_> {
    fn list(&mut self, actions: &str, state: &mut State) -> Result<(), String> {
        for item in split(actions) {
            let (word, rest) = item.split_once('(').unwrap_or((item, ""));
            let body = rest.strip_suffix(')').unwrap_or(rest);
            match word {
                "drop" | "" => {}
                "set" => state.set(body)?,
                "push_vlan" => push_vlan(body, state)?,
                "pop_vlan" => drop(state.vlans.pop()),
                "push_mpls" => push_mpls(body, state)?,
                "pop_mpls" => {
                    state.labels.pop();
                    state.eth_type = ethertype(body)?;
                }
                "trunc" => state.cut = Some(body.to_owned()),
                "clone" => self.list(body, &mut state.clone())?,
                "recirc" => self.recirculate(item, body, state)?,
                "meter" => self.event(item.to_owned(), String::new()),
                "userspace" | "hash" => self.event(item.to_owned(), state.words()),
                _ if word.bytes().all(|byte| byte.is_ascii_digit()) => {
                    self.event(format!("output {word:>5}"), state.words());
                    state.cut = None;
                }
                _ => return Err(item.to_owned()),
            }
        }
        Ok(())
    }

    fn recirculate(&mut self, item: &str, id: &str, state: &State) -> Result<(), String> {
        let start = format!("recirc_id={id},");
        let Some(at) = self.later.iter().position(|pass| pass.flow.starts_with(&start)) else {
            self.event(item.to_owned(), state.words());
            return Ok(());
        };
        let (pass, later) = (&self.later[at], &self.later[at + 1..]);
        let mut run = Run { later, events: self.events };
        run.list(&pass.actions, &mut state.clone())
    }

    fn event(&mut self, what: String, packet: String) {
        self.events.push(Event { what, packet });
    }
}

fn push_vlan(body: &str, state: &mut State) -> Result<(), String> {
    let (mut tpid, mut tci) = (0x8100, 0x1000);
    for part in split(body) {
        let (name, value) = part.split_once('=').ok_or(part)?;
        match name {
            "tpid" => tpid = hex(value)?,
            "vid" => tci |= value.parse::<u16>().map_err(|_| part)?,
            "pcp" => tci |= value.parse::<u16>().map_err(|_| part)? << 13,
            _ => return Err(part.to_owned()),
        }
    }
    state.vlans.push((tpid, tci));
    Ok(())
}

fn push_mpls(body: &str, state: &mut State) -> Result<(), String> {
    let mut lse = 0;
    for part in split(body) {
        if part.starts_with("eth_type") {
            state.eth_type = ethertype(part)?;
            continue;
        }
        let (name, value) = part.split_once('=').ok_or(part)?;
        let (shift, bits) = lse_part(name)?;
        lse |= (value.parse::<u32>().map_err(|_| part)? & bits) << shift;
    }
    state.labels.push(lse);
    Ok(())
}

fn ethertype(text: &str) -> Result<u16, String> {
    text.strip_prefix("eth_type=").map_or(Err(text.to_owned()), hex)
}

fn hex(text: &str) -> Result<u16, String> {
    let digits = text.strip_prefix("0x").ok_or(text)?;
    u16::from_str_radix(digits, 16).map_err(|_| text.to_owned())
}

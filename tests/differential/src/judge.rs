//! Are two passes the same? If not, is that as it should be?
//!
//! Actions must do the same ([`crate::effects`]). A megaflow may look at more or at less than Open
//! vSwitch's: which rules a lookup has to rule out depends on the order of subtables and on where
//! tries end. What must hold is that the packets of a megaflow are treated alike: so a difference of
//! masks becomes a question ([`Verdict::Ask`]) to both switches about packets that differ in just those
//! bits. Every other difference that is right has its rule and its reason in `explain`.

use flow::proto::eth_type as ethertype;
use flow::text::{NoNames, parse_match};
use flow::{Field, Flow, Mask, Maskable, Segment};

use crate::effects::{Event, effects};
use crate::trace::Pass;

/// What is to be said of two passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They say the same.
    Same,
    /// They differ, and that is right.
    Explained(&'static str),
    /// They do the same and look at different bits: only we look at the first, only Open vSwitch at
    /// the second.
    Ask(Box<(Mask, Mask)>),
    /// They differ.
    Different(String),
}

/// Compares our trace with Open vSwitch's, for a packet with this key: the passes of each.
#[must_use]
pub fn judge(ours: &[Pass], theirs: &[Pass], key: &Flow) -> Vec<Verdict> {
    let (Some(our_first), Some(their_first)) = (ours.first(), theirs.first()) else {
        return vec![Verdict::Different("no trace".to_owned())];
    };
    // A trace of Open vSwitch ends where the datapath is to hash or read the packet anew.
    let is_cut = theirs.len() == 1 && their_first.actions.contains("recirc(");
    let (ours, theirs) = if is_cut { (&ours[..1], &theirs[..1]) } else { (ours, theirs) };
    if let Some(what) = difference(ours, theirs, key) {
        let why = explain((ours, our_first), (theirs, their_first), key);
        return vec![why.map_or_else(|| Verdict::Different(what), Verdict::Explained)];
    }
    if ours.len() != theirs.len() {
        return vec![Verdict::Explained(
            "what is behind labels is read again by one and not the other",
        )];
    }
    ours.iter().zip(theirs).map(|(ours, theirs)| judge_masks(ours, theirs)).collect()
}

fn judge_masks(ours: &Pass, theirs: &Pass) -> Verdict {
    if ours.megaflow == theirs.megaflow {
        return Verdict::Same;
    }
    let has_failed = theirs.error.is_some();
    let (ours, theirs) = match (mask(ours), mask(theirs)) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (ours, theirs) => return Verdict::Different(format!("megaflow\n  {ours:?}\n  {theirs:?}")),
    };
    let (only_ours, mut only_theirs) = (minus(&ours, &theirs), minus(&theirs, &ours));
    if has_failed {
        only_theirs = of_packets(only_theirs);
    }
    if only_ours.is_catchall() && only_theirs.is_catchall() {
        return Verdict::Same;
    }
    Verdict::Ask(Box::new((only_ours, only_theirs)))
}

/// What differs but for the megaflow.
fn difference(ours: &[Pass], theirs: &[Pass], key: &Flow) -> Option<String> {
    let actions = |passes: &[Pass]| {
        passes.iter().map(|pass| pass.actions.as_str()).collect::<Vec<_>>().join(" | ")
    };
    let do_same = match (effects(ours, key), effects(theirs, key)) {
        (Ok(ours), Ok(theirs)) => ours == theirs,
        // Not known to `effects`: then they must be the same to the letter.
        _ => actions(ours) == actions(theirs),
    };
    let mut what = Vec::new();
    if !do_same {
        what.push(format!("actions\n  ours   {}\n  theirs {}", actions(ours), actions(theirs)));
    }
    let is_one_way = ours.len() == theirs.len();
    for (ours, theirs) in ours.iter().zip(theirs).filter(|_| is_one_way) {
        for (name, ours, theirs) in [
            ("flow", &ours.flow, &theirs.flow),
            ("final flow", &ours.final_flow, &theirs.final_flow),
        ] {
            if ours != theirs {
                what.push(format!("{name}\n  ours   {ours}\n  theirs {theirs}"));
            }
        }
        if ours.error != theirs.error {
            what.push(format!("error\n  ours   {:?}\n  theirs {:?}", ours.error, theirs.error));
        }
    }
    (!what.is_empty()).then(|| what.join("\n"))
}

/// The differences that are right, each with its reason.
fn explain(
    (ours, our_first): (&[Pass], &Pass),
    (theirs, their_first): (&[Pass], &Pass),
    key: &Flow,
) -> Option<&'static str> {
    let any = |passes: &[Pass], has: fn(&Pass) -> bool| passes.iter().any(has);
    if any(ours, |pass| pass.has_third_tag) {
        return Some("a tag pushed on two: we refuse, Open vSwitch forgets the innermost");
    }
    if our_first.error.is_none() && any(ours, |pass| pass.has_fourth_label) {
        return Some("an action that fails in a copy ends the copy, in Open vSwitch the packet");
    }
    let (Ok(mine), Ok(events)) = (effects(ours, key), effects(theirs, key)) else { return None };
    let is_hashed = their_first.actions.contains("hash(");
    if their_first.has_clone && is_hashed && has_all(&mine, &events) {
        return Some("Open vSwitch does nothing more behind a clone that recirculates");
    }
    if any(theirs, |pass| pass.has_exit) && has_all(&mine, &events) {
        return Some(
            "an exit ends one clone, and not the action set; in Open vSwitch, against its manual, both",
        );
    }
    let labels = || (0..3).map(|n| key.mpls_lse(n));
    let is_bottom = |lse: u32| lse & 0x100 != 0;
    if key.is_mpls() && !labels().any(is_bottom) && labels().any(|lse| lse == 0) {
        return Some(
            "a label stack that is cut off: Open vSwitch counts no entry that is all zero",
        );
    }
    let fails_of_labels = their_first.error.as_deref() == Some("Too many MPLS labels");
    if key.is_mpls() && !labels().any(is_bottom) && fails_of_labels {
        return Some("from more labels than a key shows we pop one, Open vSwitch drops the packet");
    }
    if let Some((last, before)) = events.split_last()
        && last.what.starts_with("recirc(")
        && mine.starts_with(before)
    {
        return Some(
            "Open vSwitch has the datapath read again what was behind labels, we where it is needed",
        );
    }
    if let Some((last, before)) = mine.split_last()
        && last.what.starts_with("recirc(")
        && events.starts_with(before)
    {
        return Some(
            "we have the datapath read again what was behind labels, Open vSwitch where it is needed",
        );
    }
    let has = |passes: &[Pass], word: &str| passes.iter().any(|pass| pass.actions.contains(word));
    let undoes = has(ours, "push_mpls(") && has(ours, "pop_mpls(");
    if undoes && !has(theirs, "pop_mpls(") {
        return Some("a label that is pushed and popped: we do both, Open vSwitch neither");
    }
    let n_pops = |passes: &[Pass]| -> usize {
        passes.iter().map(|pass| pass.actions.matches("pop_mpls").count()).sum()
    };
    if labels().nth(1).is_some_and(|lse| lse != 0) && n_pops(ours) < n_pops(theirs) {
        return Some(
            "who pops a label to find no label, but there is one: we do so, Open vSwitch pops all",
        );
    }
    if our_first.flow != their_first.flow || our_first.error != their_first.error {
        return None;
    }
    if any(ours, |pass| pass.has_own_port) && !any(theirs, |pass| pass.has_own_port) {
        return Some(
            "a station sends to itself: we know where it is, a trace of Open vSwitch does not learn",
        );
    }
    if key.n_vlans() == 2 && key.vlan_vid() == 0 {
        return Some(
            "NORMAL of Open vSwitch drops the inner tag behind an outer one that only has a priority",
        );
    }
    if key.has_vlan() && without_tags(&mine) == without_tags(&events) {
        return Some(
            "a tag pushed on another begins with what that says (1.3.5 section 5.12.1), in Open vSwitch with zero",
        );
    }
    // Its operation stands where the protocol of IP does.
    let is_arp = key.eth_type() == ethertype::RARP
        || key.is_arp()
            && (key.nw_proto() == 0
                || ours.iter().any(|pass| pass.final_flow.contains("arp_op=0,")));
    if is_arp && same_but(&mine, &events, &["arp_", "nw_proto"]) {
        return Some(
            "Open vSwitch does not write fields of RARP, nor of ARP where the operation is 0",
        );
    }
    if key.is_ip() && key.nw_proto() == 0 && same_but(&mine, &events, IP_FIELDS) {
        return Some("Open vSwitch does not write fields of IP where the protocol is 0");
    }
    if same_but(&mine, &events, &["reason=3"]) {
        return Some(
            "a rule that is reached from an action set has a list of its own: it says reason action",
        );
    }
    if same_but(&mine, &events, &["rule_cookie=0xffffffffffffffff"]) {
        return Some(
            "no rule sends it (1.3.5 section 7.4.1), so the cookie is -1; Open vSwitch says which came before",
        );
    }
    let mut all = vec!["reason=3", "rule_cookie=0xffffffffffffffff"];
    if key.is_ip() && key.nw_proto() == 0 {
        all.extend(IP_FIELDS);
    }
    let (mine, events) = match key.has_vlan() {
        true => (untagged(&mine), untagged(&events)),
        false => (mine, events),
    };
    if same_but(&mine, &events, &all) {
        return Some("several of these at once");
    }
    None
}

/// Whether all that one does the other does too.
fn has_all(all: &[Event], some: &[Event]) -> bool {
    let mut all: Vec<&Event> = all.iter().collect();
    some.iter().all(|event| {
        let at = all.iter().position(|other| *other == event);
        at.map(|at| all.swap_remove(at)).is_some()
    })
}

/// The same events of packets without tags.
fn untagged(events: &[Event]) -> Vec<Event> {
    let events = events.iter().map(|event| {
        let packet = match (event.packet.find("vlans ["), event.packet.find("labels [")) {
            (Some(start), Some(end)) => event.packet[..start].to_owned() + &event.packet[end..],
            _ => event.packet.clone(),
        };
        Event { what: event.what.clone(), packet }
    });
    events.collect()
}

/// Events with packets but for their tags.
fn without_tags(events: &[Event]) -> Vec<(String, String)> {
    let plain = |packet: &str| match (packet.find("vlans ["), packet.find("labels [")) {
        (Some(start), Some(end)) => packet[..start].to_owned() + &packet[end..],
        _ => packet.to_owned(),
    };
    let events = events.iter();
    let keep = |what: &str| what.split("rule_cookie=").next().unwrap_or_default().to_owned();
    let mut out: Vec<_> = events.map(|event| (keep(&event.what), plain(&event.packet))).collect();
    out.sort();
    out
}

/// Names of what the IP header and those behind it have.
const IP_FIELDS: &[&str] = &["nw_", "ip_", "ipv6_", "tp_", "icmp", "tcp_", "udp_", "sctp_", "nd_"];

/// Whether events are the same but for fields of packets, or words of upcalls, that begin so.
fn same_but(ours: &[Event], theirs: &[Event], prefixes: &[&str]) -> bool {
    let keep = |text: &str| {
        let words = text.split([',', '(', ')', '[', ']', '"', ' ']);
        let words = words.filter(|word| !prefixes.iter().any(|prefix| word.starts_with(prefix)));
        let others = ["reason=1", "rule_cookie="];
        let words = words.filter(|word| {
            // What the other says in its place.
            !others.iter().any(|other| {
                let name = other.split('=').next().unwrap_or(other);
                word.starts_with(other) && prefixes.iter().any(|prefix| prefix.starts_with(name))
            })
        });
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    };
    let plain = |events: &[Event]| {
        let events = events.iter();
        let mut out: Vec<_> =
            events.map(|event| (keep(&event.what), keep(&event.packet))).collect();
        // Floods are put in order where packets are the same, which they are only without these.
        out.sort();
        out
    };
    plain(ours) == plain(theirs)
}

/// Without the bits that only the translation has (registers, metadata, the conjunction): all packets of a
/// megaflow begin with zero there. Of a translation that fails Open vSwitch prints the mask as it stands,
/// with these bits.
fn of_packets(mut mask: Mask) -> Mask {
    let ports = [Field::InPort, Field::RecircId, Field::DpHash, Field::PktMark, Field::SkbPriority];
    let kept = ports.map(|field| (field, mask.get(field)));
    for word in Segment::Metadata.words() {
        mask.set_word(word, 0);
    }
    for (field, bits) in kept {
        mask.set(field, bits);
    }
    mask
}

/// The bits of a mask that another does not have.
fn minus(mask: &Mask, other: &Mask) -> Mask {
    let mut out = Mask::ZERO;
    for field in Field::all() {
        out.add(field, mask.get(field) & !other.get(field));
    }
    out
}

/// What a pass looks at, but for what is said by what it always looks at.
fn mask(pass: &Pass) -> Result<Mask, String> {
    let mut extra = Mask::ZERO;
    let mut words = Vec::new();
    for word in pass.megaflow.split(',') {
        // A rule cannot ask for part of some fields, and what cannot be asked for is not read.
        let part = word.split_once('=').and_then(|(name, value)| {
            let field = match name {
                "icmp_type" => Field::Icmpv4Type,
                "icmp_code" => Field::Icmpv4Code,
                name => Field::from_name(name)?,
            };
            let (_, mask) = value.split_once("/0x")?;
            (field.spec().maskable == Maskable::Exact)
                .then_some((field, u128::from_str_radix(mask, 16).ok()?))
        });
        if let Some((field, mask)) = part {
            extra.add(field, mask);
        } else if word == "nw_frag=<error>" {
            // Some bits of it, where there is no IP.
        } else {
            words.push(word);
        }
    }
    let match_ = parse_match(&words.join(","), &NoNames).map_err(|why| why.to_string())?;
    let mut mask = *match_.mask();
    mask.or(&extra);
    // The Ethernet type that Open vSwitch matches is the outermost, so it need not say that a tag is
    // not there; ours is the one behind the tags.
    if pass.flow.contains("vlan_tci=0x0000") {
        mask.set(Field::VlanTci, 0);
    }
    if !pass.flow.contains("dl_vlan1=") {
        mask.set(Field::VlanTci1, 0);
    }
    // What a packet is, both always look at.
    for field in [Field::PacketType, Field::EthType, Field::RecircId, Field::InPort] {
        mask.set_exact(field);
    }
    Ok(mask)
}

//! What a pattern reads, the decoder accepts and reads alike; and rules of one shape are read by patterns.

mod common;

use flow::{CompactMask, CompactMatch, Match, MatchWords};
use openflow::*;
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::Arc;

fn encode(flow_mod: &FlowMod, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    let message = Message::FlowMod(Box::new(flow_mod.clone()));
    message.encode(version, 7, &mut bytes).expect("short enough");
    bytes
}

fn decode_in(bytes: &[u8], version: Version) -> Option<FlowMod> {
    match Dialect::plain(version).decode(bytes) {
        Ok((_, Message::FlowMod(flow_mod))) => Some(*flow_mod),
        _ => None,
    }
}

/// What was read as the decoder would say it.
fn as_flow_mod(rule: PatternRule<'_>) -> FlowMod {
    FlowMod {
        command: FlowModCommand::Add,
        new_cookie: Some(rule.cookie),
        table_id: rule.table_id,
        idle_timeout: rule.idle_timeout,
        hard_timeout: rule.hard_timeout,
        priority: rule.priority,
        flags: rule.flags,
        importance: rule.importance,
        match_: MatchWords::new(rule.mask, rule.values).to_match(),
        instructions: Instructions::clone(rule.instructions),
        ..FlowMod::default()
    }
}

/// Reads a message with patterns and checks it with the decoder, then learns it. Whether a pattern read it.
fn read(patterns: &mut Patterns, bytes: &[u8], version: Version) -> Result<bool, TestCaseError> {
    let decoded = decode_in(bytes, version);
    if let Some(rule) = patterns.read(bytes, version) {
        prop_assert_eq!(Some(as_flow_mod(rule)), decoded, "{:02x?}", bytes);
        return Ok(true);
    }
    if let Some(decoded) = decoded
        && patterns.wants(bytes, &decoded, version)
    {
        let mask = Arc::new(CompactMask::of(decoded.match_.mask()));
        let instructions = Arc::new(decoded.instructions.clone());
        patterns.learn(bytes, &decoded, &mask, &instructions);
    }
    Ok(false)
}

/// A flow-mod, most often one that adds.
fn flow_mods() -> impl Strategy<Value = (Version, FlowMod)> {
    let of = |version| (Just(version), common::flow_mod(version), 0u8..8);
    let any = proptest::sample::select(Version::ALL.to_vec()).prop_flat_map(of);
    any.prop_map(|(version, mut flow_mod, n)| {
        if n > 0 {
            flow_mod.command = FlowModCommand::Add;
            flow_mod.buffer_id = None;
        }
        (version, flow_mod)
    })
}

/// What is done to a message: at this place, of all or of those in the match, these bits.
type Change = (Index, bool, u8);

fn changes() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let bits = prop_oneof![(0u32..8).prop_map(|bit| 1u8 << bit), any::<u8>()];
    let change = (any::<Index>(), any::<bool>(), bits);
    proptest::collection::vec(proptest::collection::vec(change, 1..4), 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_changed_message_is_read_as_the_decoder_does(
        (version, flow_mod) in flow_mods(),
        (_, other) in flow_mods(),
        changes in changes(),
    ) {
        let bytes = encode(&flow_mod, version);
        let mut patterns = Patterns::default();
        read(&mut patterns, &bytes, version)?;
        read(&mut patterns, &bytes, version)?;
        let end_of_match = bytes.len().min(120);
        for changes in changes {
            let mut bytes = bytes.clone();
            for (at, is_in_match, bits) in changes {
                let range = if is_in_match { 48..end_of_match } else { 0..bytes.len() };
                let Some(most) = range.len().checked_sub(1) else { continue };
                bytes[range.start + at.index(most + 1)] ^= bits;
            }
            read(&mut patterns, &bytes, version)?;
        }
        // One that agrees with nothing before it, in this version or another.
        read(&mut patterns, &encode(&other, version), version)?;
        for version in Version::ALL {
            read(&mut patterns, &bytes, version)?;
        }
    }

    /// Damage to the length of a message, and to that of the stream.
    #[test]
    fn a_cut_message_is_left_to_the_decoder((version, flow_mod) in flow_mods(), cut in 1usize..64) {
        let bytes = encode(&flow_mod, version);
        let mut patterns = Patterns::default();
        read(&mut patterns, &bytes, version)?;
        let cut = &bytes[..bytes.len() - cut.min(bytes.len())];
        prop_assert!(patterns.read(cut, version).is_none());
        let mut longer = bytes.clone();
        longer.extend([0; 8]);
        prop_assert!(patterns.read(&longer, version).is_none());
        let len = u16::try_from(longer.len()).expect("short");
        longer[2..4].copy_from_slice(&len.to_be_bytes());
        read(&mut patterns, &longer, version)?;
    }
}

/// Rules that have the mask of the first, and most often its instructions, with other values.
fn told() -> impl Strategy<Value = (Version, FlowFormat, Vec<FlowStats>)> {
    let change = (any::<Index>(), any::<u64>(), any::<u64>(), 0u8..8);
    let changes = proptest::collection::vec(proptest::collection::vec(change, 1..3), 2..12);
    let forms = Version::ALL.map(|version| (version, FlowFormat::Standard));
    let forms = [&forms[..], &[(Version::V10, FlowFormat::Nxm); 3]].concat();
    let of = move |(version, format)| {
        (Just((version, format)), common::flow_stats(version, format), changes.clone())
    };
    let any = proptest::sample::select(forms).prop_flat_map(of);
    any.prop_map(|((version, format), first, changes)| {
        let mut all = vec![first.clone(), first.clone()];
        for changes in changes {
            let mut next = first.clone();
            let mut flow = *first.match_.flow();
            let words: Vec<usize> = first.match_.mask().map().into_iter().collect();
            for (word, bits, others, n) in changes {
                if !words.is_empty() {
                    let word = words[word.index(words.len())];
                    // Few bits or many.
                    let bits = if n % 2 == 0 { bits & others & (bits >> 7) } else { bits };
                    flow.set_word(word, flow.word(word) ^ bits);
                }
                if n == 7 {
                    next.instructions = Instructions::default();
                }
                next.cookie = bits;
                next.packet_count = others;
            }
            next.match_ = Match::new(&flow, first.match_.mask());
            all.push(next);
        }
        (version, format, all)
    })
}

/// Rules as a switch keeps them: with masks and instructions in common.
struct Kept {
    mask: Arc<CompactMask>,
    instructions: [Arc<Instructions>; 2],
    matches: Vec<CompactMatch>,
}

impl Kept {
    fn of(rules: &[FlowStats]) -> Self {
        let first = &rules[0];
        let mask = Arc::new(CompactMask::of(first.match_.mask()));
        let instructions = [first.instructions.clone(), Instructions::default()].map(Arc::new);
        let keep = |rule: &FlowStats| CompactMatch::sharing(&rule.match_, |_| Arc::clone(&mask));
        let matches = rules.iter().map(keep).collect();
        Self { mask, instructions, matches }
    }

    fn record<'a>(&'a self, n: usize, rule: &FlowStats) -> FlowRecord<'a> {
        let same = self.instructions.iter().find(|kept| ***kept == rule.instructions);
        FlowRecord {
            table_id: rule.table_id,
            duration_sec: rule.duration_sec,
            duration_nsec: rule.duration_nsec,
            priority: rule.priority,
            idle_timeout: rule.idle_timeout,
            hard_timeout: rule.hard_timeout,
            idle_age: rule.idle_age,
            hard_age: rule.hard_age,
            flags: rule.flags,
            importance: rule.importance,
            cookie: rule.cookie,
            packet_count: rule.packet_count,
            byte_count: rule.byte_count,
            match_: &self.matches[n],
            instructions: same.expect("one of two"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_rule_is_told_as_if_it_were_alone((version, format, rules) in told()) {
        let kind = MultipartKind::Flow(format);
        let kept = Kept::of(&rules);
        prop_assert_eq!(kept.mask.map(), rules[0].match_.mask().map());
        let mut writer = MultipartWriter::new(version, 7, kind);
        for (n, rule) in rules.iter().enumerate() {
            let record = kept.record(n, rule);
            prop_assert_eq!(&record.to_stats(), rule);
            writer.push(MultipartItem::Record(&record));
        }
        let together = writer.finish();
        let write = |rules: &[FlowStats]| {
            let mut writer = MultipartWriter::new(version, 7, kind);
            rules.iter().for_each(|rule| writer.push(MultipartItem::Flow(rule)));
            writer.finish()
        };
        let head = write(&[]).len();
        let alone = rules.iter().flat_map(|rule| write(core::slice::from_ref(rule)).split_off(head));
        let alone: Vec<u8> = alone.collect();
        // As many as go in one message.
        if head + alone.len() <= MAX_MESSAGE_BYTES {
            prop_assert_eq!(&together[head..], alone);
        }
    }
}

/// Whether the second rule is read by the pattern of the first.
fn follows(version: Version, first: &str, second: &str) -> bool {
    let bytes = |text: &str| {
        let mut rule = text::parse_flow(text, FlowModCommand::Add).expect(text);
        rule.table_id = 0;
        encode(&rule, version)
    };
    let mut patterns = Patterns::default();
    assert!(!read(&mut patterns, &bytes(first), version).expect("decodes alike"), "{first}");
    read(&mut patterns, &bytes(second), version).expect("decodes alike")
}

#[test]
fn rules_of_one_shape_are_read_by_a_pattern() {
    for version in [Version::V12, Version::V13, Version::V14, Version::V15] {
        for (first, second) in [
            ("tcp,nw_src=10.0.0.1,tp_dst=80,actions=1", "tcp,nw_src=10.9.8.7,tp_dst=81,actions=1"),
            (
                "priority=7,ip,nw_dst=10.1.0.0/16,actions=2",
                "priority=9,ip,nw_dst=10.2.0.0/16,actions=2",
            ),
            ("ipv6,ipv6_dst=fd00::1,actions=1", "ipv6,ipv6_dst=fd00:1234::2:1,actions=1"),
            ("ipv6,ipv6_src=fd00::/64,actions=1", "ipv6,ipv6_src=fd01:2:3:4::/64,actions=1"),
            (
                "dl_vlan=5,dl_dst=02:00:00:00:00:01,actions=1",
                "dl_vlan=6,dl_dst=02:11:00:aa:00:01,actions=1",
            ),
            (
                "in_port=1,metadata=0x5,actions=drop",
                "cookie=0x5,in_port=7,metadata=0x80000000000001,actions=drop",
            ),
            (
                "reg0=1,reg5=0x7/0xff,actions=resubmit(,3)",
                "reg0=9,reg5=0x8/0xff,actions=resubmit(,3)",
            ),
            ("arp,arp_tpa=10.0.0.1,actions=1", "arp,arp_tpa=10.0.0.2,actions=1"),
            ("ip,nw_tos=32,nw_ecn=1,actions=1", "ip,nw_tos=64,nw_ecn=2,actions=1"),
            ("icmp,icmp_type=8,actions=1", "icmp,icmp_type=3,actions=1"),
            ("mpls,mpls_label=7,actions=1", "mpls,mpls_label=1048575,actions=1"),
        ] {
            assert!(follows(version, first, second), "{version} {first}");
        }
    }
}

#[test]
fn what_decides_is_left_to_the_decoder() {
    for (first, second) in [
        ("tcp,tp_dst=80,actions=1", "udp,tp_dst=80,actions=1"),
        ("tcp,tp_dst=80,actions=1", "tcp6,tp_dst=80,actions=1"),
        ("ip,nw_dst=10.1.0.0/16,actions=1", "ip,nw_dst=10.1.0.0/17,actions=1"),
        ("tcp,actions=1", "tcp,actions=2"),
        ("icmp6,icmp_type=135,icmp_code=0,actions=1", "icmp6,icmp_type=136,icmp_code=0,actions=1"),
        ("tcp,actions=1", "send_flow_rem,tcp,actions=1"),
    ] {
        assert!(!follows(Version::V14, first, second), "{first} {second}");
    }
}

/// Several lists of instructions behind one match.
#[test]
fn instructions_that_come_again_are_known() {
    let mut patterns = Patterns::default();
    let bytes = |n: u32| {
        let text = format!("tcp,nw_src=10.0.0.{n},actions={}", n % 5 + 1);
        let mut rule = text::parse_flow(&text, FlowModCommand::Add).expect("a rule");
        rule.table_id = 0;
        encode(&rule, Version::V14)
    };
    let n_read = (0..100)
        .filter(|n| read(&mut patterns, &bytes(*n), Version::V14).expect("decodes alike"))
        .count();
    assert!(n_read >= 90, "{n_read}");
}

/// A sender of ever new shapes is not followed.
#[test]
fn patience_ends() {
    let mut patterns = Patterns::default();
    let n_wanted = (0u32..1000)
        .filter(|n| {
            let text = format!("metadata=0/{:#x},actions=1", n + 1);
            let mut rule = text::parse_flow(&text, FlowModCommand::Add).expect("a rule");
            rule.table_id = 0;
            let bytes = encode(&rule, Version::V14);
            patterns.wants(&bytes, &rule, Version::V14)
        })
        .count();
    assert!(n_wanted < 40, "{n_wanted}");
}

#[test]
fn a_compact_match_is_that_of_the_pattern() {
    let mut rule = text::parse_flow("tcp,nw_src=10.0.0.1,actions=1", FlowModCommand::Add).unwrap();
    rule.table_id = 0;
    let bytes = encode(&rule, Version::V14);
    let mut patterns = Patterns::default();
    read(&mut patterns, &bytes, Version::V14).unwrap();
    let read = patterns.read(&bytes, Version::V14).expect("known");
    assert_eq!(CompactMatch::new(read.mask, read.values), CompactMatch::of(&rule.match_));
}

//! Requests about thousands of rules: carried out in slices, and yet at one instant.

use crate::lab::*;
use ofproto::{Bundle, BundleOutcome, FailMode, RuleWalk, TableSettings};
use openflow::{
    AggregateStats, Dialect, FlowMod, FlowModCommand, FlowModFlags, Instructions, Message,
    OfErrorKind, TlvMapping, TlvTableCommand, TlvTableMod, Version,
};
use std::collections::BTreeMap;
use sync::time::Nanos;

const MANY: u16 = 3000;

/// Some thousand rules in table 0 and some in table 3.
fn lab_with_many() -> Lab {
    let mut lab = Lab::secure(2);
    for k in 0..MANY {
        let table_id = if k % 3 == 0 { 3 } else { 0 };
        let instructions = Instructions::apply(vec![output(1)]);
        let match_ = format!("tcp,tp_dst={k}");
        lab.flow_mod(&FlowMod { table_id, instructions, ..add(10, &match_) }).unwrap();
    }
    lab
}

/// Carries out one request as the agent does a large one; what is seen of the rules after each slice.
fn in_slices<T>(lab: &mut Lab, flow_mod: FlowMod, see: impl FnMut(&mut Lab) -> T) -> Vec<T> {
    let (seen, outcome) = outcome_in_slices(lab, flow_mod, see);
    assert!(matches!(outcome, BundleOutcome::Done { .. }));
    seen
}

/// The same, and what became of it.
fn outcome_in_slices<T>(
    lab: &mut Lab,
    flow_mod: FlowMod,
    mut see: impl FnMut(&mut Lab) -> T,
) -> (Vec<T>, BundleOutcome) {
    let mut bytes = Vec::new();
    Message::FlowMod(Box::new(flow_mod)).encode(Version::V13, 1, &mut bytes).unwrap();
    let mut bundle = Bundle::new(Dialect::plain(Version::V13));
    bundle.add(&bytes).unwrap();
    lab.commit(bundle);
    let mut seen = Vec::new();
    for _ in 0..10_000 {
        lab.bridge.run(&mut lab.dpif, lab.now);
        seen.push(see(lab));
        if let Some((_, outcome)) = lab.bridge.take_bundle_outcome() {
            return (seen, outcome);
        }
    }
    panic!("it does not end");
}

/// How often the value changes in a list.
fn n_changes<T: PartialEq>(values: &[T]) -> usize {
    values.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

#[test]
fn a_loose_delete_goes_in_slices_and_is_seen_at_one_instant() {
    let mut lab = lab_with_many();
    let seen = in_slices(&mut lab, change(FlowModCommand::Delete, "tcp"), |lab| lab.rules().len());
    assert!(seen.len() > 10, "{} slices", seen.len());
    assert_eq!((seen[0], seen[seen.len() - 1]), (MANY.into(), 0));
    assert_eq!(n_changes(&seen), 1, "{seen:?}");
    lab.settle();
    // What is removed is gone for good: the same rules can come again.
    for k in 0..MANY {
        lab.rule(10, &format!("tcp,tp_dst={k}"), vec![output(2)]);
    }
    assert_eq!(lab.rules().len(), usize::from(MANY));
}

#[test]
fn a_loose_modify_goes_in_slices_and_is_seen_at_one_instant() {
    let mut lab = lab_with_many();
    let instructions = Instructions::apply(vec![output(2)]);
    let modify = FlowMod { instructions, ..change(FlowModCommand::Modify, "") };
    let n_new = |lab: &mut Lab| {
        lab.rules().iter().filter(|rule| rule.instructions.apply == [output(2)]).count()
    };
    let seen = in_slices(&mut lab, modify, n_new);
    assert!(seen.len() > 10, "{} slices", seen.len());
    assert_eq!((seen[0], seen[seen.len() - 1]), (0, MANY.into()));
    assert_eq!(n_changes(&seen), 1, "{seen:?}");
    assert_eq!(lab.rules().len(), usize::from(MANY));
}

#[test]
fn a_refused_modify_of_many_rules_changes_none() {
    let mut lab = lab_with_many();
    let goto = Instructions { goto_table: Some(2), ..Instructions::default() };
    // Table 0 may go on with table 2, table 3 may not, which shows late.
    let modify = FlowMod { instructions: goto, ..change(FlowModCommand::Modify, "") };
    assert!(lab.flow_mod(&modify).is_err());
    assert!(lab.rules().iter().all(|rule| rule.instructions.apply == [output(1)]));
    assert_eq!(lab.rules().len(), usize::from(MANY));
}

/// The ports of the rules that the rest of a walk finds, each as often as it does.
fn rest(lab: &Lab, walk: &mut RuleWalk) -> BTreeMap<u64, usize> {
    let mut found = BTreeMap::new();
    while lab.bridge.walk_on(walk, 7, |rule| *found.entry(rule.cookie).or_insert(0) += 1) {}
    found
}

#[test]
fn a_walk_sees_the_rules_that_there_were_when_it_began() {
    let mut lab = Lab::secure(1);
    let numbered = |k: u16| FlowMod {
        new_cookie: Some(k.into()),
        table_id: u8::from(k >= 100),
        ..add(10, &format!("tcp,tp_dst={k}"))
    };
    for k in 0..200 {
        lab.flow_mod(&numbered(k)).unwrap();
    }
    let mut walk = lab.bridge.begin_walk(&everything()).unwrap();
    let mut first = BTreeMap::new();
    assert!(lab.bridge.walk_on(&mut walk, 50, |rule| *first.entry(rule.cookie).or_insert(0) += 1));
    assert!(!first.is_empty());
    for k in 0..200 {
        match k % 4 {
            0 => lab.flow_mod(&FlowMod { command: FlowModCommand::DeleteStrict, ..numbered(k) }),
            1 => lab.flow_mod(&FlowMod {
                command: FlowModCommand::ModifyStrict,
                new_cookie: None,
                flags: FlowModFlags::RESET_COUNTS,
                instructions: Instructions::apply(vec![output(1)]),
                ..numbered(k)
            }),
            2 => lab.flow_mod(&numbered(k)),
            _ => lab.flow_mod(&numbered(1000 + k)),
        }
        .unwrap();
    }
    lab.settle();
    let mut found = rest(&lab, &mut walk);
    for (cookie, n) in first {
        *found.entry(cookie).or_insert(0) += n;
    }
    assert_eq!(found, (0..200).map(|k| (k, 1)).collect());
    // What the walk kept goes with it.
    drop(walk);
    lab.advance(Nanos::from_secs(1));
    let mut walk = lab.bridge.begin_walk(&everything()).unwrap();
    assert_eq!(rest(&lab, &mut walk).len(), 200);
}

#[test]
fn a_walk_sums_up_what_the_aggregate_says() {
    let mut lab = lab_with_many();
    let request = openflow::FlowStatsRequest { table_id: 3, ..everything() };
    let expected = lab.bridge.aggregate_stats(&request, lab.now).unwrap();
    let mut walk = lab.bridge.begin_walk(&request).unwrap();
    let mut sum = AggregateStats::default();
    while lab.bridge.walk_on(&mut walk, 100, |rule| rule.add_to(&mut sum)) {}
    assert_eq!((sum, sum.flow_count), (expected, 1000));
}

/// Lets the bridge work until it has nothing to do; how many rules there are after each slice.
fn counts_until_done(lab: &mut Lab) -> Vec<usize> {
    let mut seen = vec![lab.rules().len()];
    while lab.bridge.is_committing() {
        lab.bridge.run(&mut lab.dpif, lab.now);
        seen.push(lab.rules().len());
        assert!(seen.len() < 10_000, "it does not end");
    }
    seen
}

/// Whether it was done in many slices, all of it at one instant.
fn assert_sliced(seen: &[usize], before: usize, after: usize) {
    assert!(seen.len() > 5, "{} slices", seen.len());
    assert_eq!((seen[0], seen[seen.len() - 1]), (before, after));
    assert_eq!(n_changes(seen), 1, "{seen:?}");
}

#[test]
fn tables_are_emptied_in_slices_and_at_one_instant() {
    let many = usize::from(MANY);
    let mut lab = lab_with_many();
    lab.bridge.set_controllers(true, lab.now);
    let seen = counts_until_done(&mut lab);
    assert_sliced(&seen, many, 0);
    let fill = |lab: &mut Lab| {
        (0..MANY).for_each(|k| lab.rule(10, &format!("tcp,tp_dst={k}"), vec![output(2)]));
    };
    fill(&mut lab);
    lab.bridge.set_controllers(false, lab.now);
    lab.bridge.set_fail_mode(FailMode::Standalone, lab.now);
    assert_eq!(counts_until_done(&mut lab).last(), Some(&1), "what a learning bridge has");
    // Whoever comes in between finds them empty.
    fill(&mut lab);
    lab.bridge.set_controllers(true, lab.now);
    lab.rule(1, "", vec![]);
    assert_eq!(lab.rules().len(), 1);
    assert_eq!(lab.bridge.take_bundle_outcome(), None, "nobody asked");
}

#[test]
fn a_lower_limit_evicts_in_slices() {
    let mut lab = Lab::secure(2);
    for k in 0..MANY {
        let hard_timeout = k + 1;
        let match_ = format!("tcp,tp_dst={k}");
        lab.flow_mod(&FlowMod { hard_timeout, ..add(10, &match_) }).unwrap();
    }
    let settings =
        TableSettings { flow_limit: Some(100), evicts: true, ..TableSettings::default() };
    lab.bridge.configure_table(0, settings, lab.now);
    let seen = counts_until_done(&mut lab);
    assert_sliced(&seen, MANY.into(), 100);
    assert!(
        lab.rules().iter().all(|rule| rule.hard_timeout() > MANY - 100),
        "the last to end stay"
    );
}

#[test]
fn rules_without_a_teacher_go_in_slices() {
    let mut lab = Lab::secure(2);
    let teacher = "learn(table=1,cookie=5,delete_learned,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])";
    let teacher = openflow::text::parse_actions(teacher, &flow::text::NoNames).unwrap();
    lab.rule(1, "", teacher);
    for k in 0..MANY {
        let taught = add(10, &format!("tcp,tp_dst={k}"));
        lab.flow_mod(&FlowMod { table_id: 1, new_cookie: Some(5), ..taught }).unwrap();
    }
    lab.flow_mod(&change(FlowModCommand::DeleteStrict, "")).unwrap();
    let strict = FlowMod { priority: 1, ..change(FlowModCommand::DeleteStrict, "") };
    lab.flow_mod(&strict).unwrap();
    let seen = counts_until_done(&mut lab);
    assert_sliced(&seen, MANY.into(), 0);
}

#[test]
fn an_overlap_is_looked_for_in_slices() {
    let mut lab = Lab::secure(2);
    for k in 0..20_000 {
        lab.rule(10, &format!("tcp,tp_dst={k}"), vec![output(1)]);
    }
    let n_slices = |lab: &mut Lab, match_: &str| {
        let flags = FlowModFlags::CHECK_OVERLAP;
        let flow_mod = FlowMod { flags, ..add(10, match_) };
        let is_long = lab.bridge.is_long(&flow_mod, 1024);
        let before = lab.rules().len();
        let (seen, outcome) = outcome_in_slices(lab, flow_mod, |lab| lab.rules().len());
        assert!(n_changes(&seen) <= 1 && seen[0] >= before, "{seen:?}");
        let is_added = seen[seen.len() - 1] == before + 1;
        match outcome {
            BundleOutcome::Done { .. } => {}
            BundleOutcome::Refused { error, .. } => {
                assert_eq!((error, is_added), (OfErrorKind::FlowModOverlap, false));
            }
        }
        (is_long, seen.len(), is_added)
    };
    // All of them are looked at, and none of them has the packets of this.
    let (is_long, n, is_added) = n_slices(&mut lab, "udp");
    assert!(is_long && n > 8 && is_added, "{n} slices");
    // The last of them has some.
    let last = "tcp,tp_dst=0x4e1f/0x7fff";
    let (is_long, n, is_added) = n_slices(&mut lab, last);
    assert!(is_long && n > 8 && !is_added, "{n} slices");
    // Of masks that are no narrower than its own one look tells.
    for (match_, comes) in
        [("tcp,tp_dst=5,nw_src=10.0.0.1", false), ("sctp,tp_dst=5,in_port=1", true)]
    {
        let (is_long, n, is_added) = n_slices(&mut lab, match_);
        assert_eq!((is_long, is_added), (false, comes), "{match_}");
        assert!(n <= 3, "{n} slices");
    }
    // Where the very rule is there, nothing is looked for: it is replaced.
    let (_, n, is_added) = n_slices(&mut lab, "udp");
    assert!(n <= 3 && !is_added, "{n} slices");
}

#[test]
fn many_priorities_under_one_match_cost_no_more_than_many_matches() {
    let mut lab = Lab::secure(2);
    for priority in 1..=20_000 {
        lab.rule(priority, "", vec![output(2)]);
    }
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    lab.flow_mod(&change(FlowModCommand::Delete, "")).unwrap();
    assert_eq!(lab.rules().len(), 0);
    lab.settle();
    assert_eq!(lab.ports(1, &ether(1, 2)), []);
}

/// A mapping of an option goes when no rule uses its field: known without a look at the rules.
#[test]
fn who_uses_an_option_of_tunnels_is_counted() {
    let mut lab = Lab::secure(2);
    let mapping = TlvMapping { class: 0xffff, kind: 1, len: 4, index: 1 };
    let map = |lab: &mut Lab, command| {
        let change = TlvTableMod { command, mappings: [mapping].into() };
        lab.bridge.tlv_table_mod(&change)
    };
    let goes = |lab: &mut Lab| {
        let gone = map(lab, TlvTableCommand::Delete);
        if gone.is_ok() {
            map(lab, TlvTableCommand::Add).unwrap();
        } else {
            assert_eq!(gone, Err(OfErrorKind::NxTlvInvalidTlvDel));
        }
        gone.is_ok()
    };
    let user = add(10, "tun_metadata1=5,tcp");
    assert_eq!(lab.flow_mod(&user), Err(OfErrorKind::NxFlowModInvalidTlvField));
    map(&mut lab, TlvTableCommand::Add).unwrap();
    assert!(goes(&mut lab));
    let parse = |text| openflow::text::parse_actions(text, &flow::text::NoNames).unwrap();
    lab.flow_mod(&user).unwrap();
    // In its own place once more.
    lab.flow_mod(&user).unwrap();
    lab.rule(5, "udp", parse("load:7->tun_metadata1[],2"));
    assert!(!goes(&mut lab));
    // A request that is refused leaves none.
    let mut bundle = Bundle::new(Dialect::plain(Version::V13));
    let unknown = Instructions::apply(vec![openflow::Action::Group(99)]);
    for flow_mod in [
        add(11, "tun_metadata1=6"),
        change(FlowModCommand::Delete, ""),
        FlowMod { instructions: unknown, ..add(12, "") },
    ] {
        let mut bytes = Vec::new();
        Message::FlowMod(Box::new(flow_mod)).encode(Version::V13, 1, &mut bytes).unwrap();
        bundle.add(&bytes).unwrap();
    }
    lab.commit(bundle);
    lab.settle();
    assert!(matches!(lab.bridge.take_bundle_outcome(), Some((_, BundleOutcome::Refused { .. }))));
    assert!(!goes(&mut lab));
    let strict = change(FlowModCommand::DeleteStrict, "tun_metadata1=5,tcp");
    lab.flow_mod(&FlowMod { priority: 10, ..strict }).unwrap();
    assert!(!goes(&mut lab));
    let instructions = Instructions::apply(vec![output(2)]);
    lab.flow_mod(&FlowMod { instructions, ..change(FlowModCommand::Modify, "udp") }).unwrap();
    assert!(goes(&mut lab));
    lab.flow_mod(&user).unwrap();
    assert!(!goes(&mut lab));
    lab.flow_mod(&change(FlowModCommand::Delete, "")).unwrap();
    assert!(goes(&mut lab));
}

/// A limit of what may be learned asks how many rules there are: counted a few at a time, while others come and go.
#[test]
fn rules_are_counted_for_a_limit_in_slices() {
    let mut lab = Lab::secure(2);
    let taught = |k: u32| {
        let rule = add(10, &format!("dl_dst=02:00:00:01:{:02x}:{:02x}", k / 256, k % 256));
        FlowMod { table_id: 1, new_cookie: Some(5), ..rule }
    };
    let many = 10_000;
    (0..many).for_each(|k| lab.flow_mod(&taught(k)).unwrap());
    lab.settle();
    // One more than there are when the count is over.
    let limit = many - 1;
    let teacher =
        format!("learn(table=1,cookie=5,limit={limit},NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])");
    let teacher = openflow::text::parse_actions(&teacher, &flow::text::NoNames).unwrap();
    let n_taught = |lab: &mut Lab| lab.rules().iter().filter(|rule| rule.table_id == 1).count();
    lab.flow_mod(&FlowMod { instructions: Instructions::apply(teacher), ..add(1, "") }).unwrap();
    let strict = FlowModCommand::DeleteStrict;
    for k in 0..2 {
        lab.flow_mod(&FlowMod { command: strict, new_cookie: None, ..taught(k) }).unwrap();
    }
    // While they are counted, nothing is learned.
    lab.ports(1, &ether(0x77, 2));
    assert_eq!(n_taught(&mut lab), 9_998);
    let mut n_slices = 0;
    while lab.bridge.next_deadline(lab.now) <= lab.now {
        lab.bridge.run(&mut lab.dpif, lab.now);
        n_slices += 1;
        assert!(n_slices < 10_000, "it does not end");
    }
    assert!(n_slices >= 5, "{n_slices} slices");
    assert_eq!(n_taught(&mut lab), 9_998);
    lab.settle();
    lab.ports(1, &ether(0x78, 2));
    lab.settle();
    assert_eq!(n_taught(&mut lab), 9_999);
    lab.ports(1, &ether(0x79, 2));
    lab.settle();
    assert_eq!(n_taught(&mut lab), 9_999, "that is the limit");
}

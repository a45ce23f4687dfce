//! Texts of rules, both ways: what we print is read as it was, and is what the stock tool prints.

mod common;

use openflow::text::parse_flow;
use openflow::*;
use proptest::prelude::*;

/// A rule as a version's flow-mod adds it, as a dump tells of it.
fn rule(version: Version) -> impl Strategy<Value = FlowStats> {
    common::message(version).prop_filter_map("a rule that is added", |message| match message {
        Message::FlowMod(flow_mod) if flow_mod.command == FlowModCommand::Add => {
            let FlowMod { match_, instructions, priority, importance, .. } = *flow_mod;
            Some(FlowStats {
                table_id: 5,
                priority,
                idle_timeout: flow_mod.idle_timeout,
                hard_timeout: flow_mod.hard_timeout,
                flags: flow_mod.flags,
                importance,
                cookie: flow_mod.new_cookie.unwrap_or(0),
                match_,
                instructions: printable(instructions),
                ..FlowStats::default()
            })
        }
        _ => None,
    })
}

/// The instructions without what has no text: how much of a frame a register's port gets if that is the
/// controller.
fn printable(mut instructions: Instructions) -> Instructions {
    fn tell(action: &mut Action) {
        match action {
            Action::OutputReg { max_len, .. } => *max_len = u16::MAX,
            Action::Clone(actions) => actions.iter_mut().for_each(tell),
            _ => {}
        }
    }
    instructions.apply.iter_mut().chain(&mut instructions.write).for_each(tell);
    instructions
}

fn comes_back(rule: &FlowStats) -> Result<(), TestCaseError> {
    let text = rule.to_string();
    let read = parse_flow(&text, FlowModCommand::Add)
        .map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
    prop_assert_eq!(read.match_, rule.match_, "{}", text);
    prop_assert_eq!(&read.instructions, &rule.instructions, "{}", text);
    let numbers = (read.table_id, read.priority, read.idle_timeout, read.hard_timeout);
    prop_assert_eq!(
        numbers,
        (rule.table_id, rule.priority, rule.idle_timeout, rule.hard_timeout),
        "{}",
        text
    );
    prop_assert_eq!(
        (read.new_cookie, read.flags, read.importance),
        (Some(rule.cookie), rule.flags, rule.importance),
        "{}",
        text
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        max_local_rejects: 1 << 20,
        ..ProptestConfig::with_cases(256)
    })]

    #[test]
    fn rules_of_1_0_come_back_from_their_text(rule in rule(Version::V10)) {
        comes_back(&rule)?;
    }

    #[test]
    fn rules_of_1_3_come_back_from_their_text(rule in rule(Version::V13)) {
        comes_back(&rule)?;
    }

    #[test]
    fn rules_of_1_5_come_back_from_their_text(rule in rule(Version::V15)) {
        comes_back(&rule)?;
    }
}

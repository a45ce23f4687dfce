//! Arbitrary rules: changed, told of, watched, gone.

use flow::Match;
use openflow::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{
    actions::instructions,
    matches::{any_match, fixed_match},
    ports::port,
};

pub(super) fn flow_mod(version: Version) -> BoxedStrategy<FlowMod> {
    let command = prop::sample::select(vec![
        FlowModCommand::Add,
        FlowModCommand::Modify,
        FlowModCommand::ModifyStrict,
        FlowModCommand::Delete,
        FlowModCommand::DeleteStrict,
    ]);
    let numbers = any::<(u64, u64, u16, u16, u16, u16)>();
    let importance = any::<u16>();
    let buffer = option::of(0..u32::MAX);
    ((command, importance), numbers, buffer, port(), any_match(), instructions(version, true))
        .prop_map(move |(command, numbers, buffer_id, out_port, match_, instructions)| {
            let (command, importance) = command;
            let (cookie, cookie_mask, idle_timeout, hard_timeout, priority, flags) = numbers;
            let v10 = version == Version::V10;
            let is_add = command == FlowModCommand::Add;
            let known = match version {
                Version::V10 | Version::V11 => 3,
                Version::V12 => 7,
                _ => 0x1f,
            };
            let mut flags = FlowModFlags::from_bits_truncate(flags & known);
            if version < Version::V12 && is_add {
                flags |= FlowModFlags::RESET_COUNTS;
            }
            let delete = command.is_delete();
            let may_add = version == Version::V11 && command.is_modify() && priority % 2 == 0;
            let cookie_mask = if is_add || may_add { 0 } else { cookie_mask | 1 };
            FlowMod {
                command,
                cookie: match is_add || may_add {
                    true => 0,
                    false => cookie & if v10 { cookie_mask } else { !0 },
                },
                cookie_mask,
                new_cookie: (is_add || v10 || may_add).then_some(cookie >> 1),
                table_id: if v10 { TABLE_ALL } else { 5 },
                idle_timeout,
                hard_timeout,
                priority,
                buffer_id,
                out_port: if delete { out_port } else { OfPort::ANY },
                out_group: if delete && !v10 { 7 } else { GROUP_ANY },
                flags,
                importance: if version < Version::V14 { 0 } else { importance },
                match_,
                instructions,
            }
        })
        .prop_filter("a flow-mod that is no error", move |flow_mod: &FlowMod| {
            let context = CheckContext::for_version(version);
            check_instructions(&flow_mod.instructions, flow_mod.match_.flow(), context).is_ok()
        })
        .boxed()
}

pub(super) fn flow_stats(version: Version, format: FlowFormat) -> impl Strategy<Value = FlowStats> {
    let numbers = any::<(u32, u32, u16, u16, u16, u16)>();
    let counters = any::<(u64, u64, u64)>();
    let fixed = version == Version::V10 && format == FlowFormat::Standard;
    (numbers, counters, any_match(), instructions(version, false), option::of(0u16..100)).prop_map(
        move |(n, counters, match_, mut instructions, age)| {
            let nxm = version == Version::V10 && format == FlowFormat::Nxm;
            // Port setters become those of the protocol that the match asks for.
            instructions
                .apply
                .retain(|action| !matches!(action, Action::SetTpSrc(_) | Action::SetTpDst(_)));
            FlowStats {
                table_id: 5,
                duration_sec: n.0,
                duration_nsec: n.1,
                priority: n.2,
                idle_timeout: n.3,
                hard_timeout: n.4,
                idle_age: age.filter(|_| nxm || version == Version::V15),
                hard_age: age.filter(|_| nxm),
                flags: match version {
                    Version::V10 | Version::V11 | Version::V12 => FlowModFlags::empty(),
                    _ => FlowModFlags::from_bits_truncate(n.5),
                },
                importance: if version < Version::V14 { 0 } else { n.5 >> 1 },
                cookie: counters.0,
                packet_count: counters.1,
                byte_count: counters.2,
                match_: if fixed { fixed_match(&match_) } else { match_ },
                instructions,
                reason: FlowStatsReason::Request,
            }
        },
    )
}

/// Replies of flow monitors.
pub(super) fn updates(version: Version) -> BoxedStrategy<MultipartBody> {
    let standard = version >= Version::V14;
    let event = (0u8..4).prop_map(move |n| match n {
        0 if standard => FlowEvent::Initial,
        2 => FlowEvent::Removed(FlowRemovedReason::HardTimeout),
        3 => FlowEvent::Modified,
        _ => FlowEvent::Added,
    });
    let rule = flow_stats(version, FlowFormat::Nxm);
    let full = (event, rule).prop_map(move |(event, rule)| {
        let mut instructions = rule.instructions;
        if version < Version::V13 {
            // There rules are told as 1.0 has them.
            instructions = Instructions {
                apply: instructions.apply,
                metadata: instructions.metadata.filter(|_| version == Version::V10),
                ..Instructions::default()
            };
        }
        FlowUpdate::Full {
            event,
            table_id: rule.table_id,
            idle_timeout: rule.idle_timeout,
            hard_timeout: rule.hard_timeout,
            priority: rule.priority,
            cookie: rule.cookie,
            match_: rule.match_,
            instructions,
        }
    });
    let paused = if standard { FlowUpdate::Paused } else { FlowUpdate::Abbrev { xid: 9 } };
    let update = prop_oneof![
        4 => full,
        1 => any::<u32>().prop_map(|xid| FlowUpdate::Abbrev { xid }),
        1 => Just(paused),
    ];
    vec(update, 0..4).prop_map(MultipartBody::FlowMonitor).boxed()
}

pub(super) fn monitor_request(version: Version) -> BoxedStrategy<FlowMonitorRequest> {
    let standard = version >= Version::V14;
    let flags = (1u16..8, 0u16..16);
    (any::<(u32, u8)>(), flags, port(), any_match(), 0u8..3)
        .prop_map(move |((monitor_id, table_id), flags, out_port, match_, command)| {
            let bits = flags.0 << 1 | (flags.1 & 1) | (flags.1 & 6) << 3 | (flags.1 & 8) << 3;
            let flags = MonitorFlags::from_bits_truncate(bits);
            let command = match command {
                1 if standard => MonitorCommand::Modify,
                2 if standard => MonitorCommand::Delete,
                _ => MonitorCommand::Add,
            };
            let named = FlowMonitorRequest {
                monitor_id,
                command,
                flags: MonitorFlags::empty(),
                out_port: OfPort::ANY,
                out_group: GROUP_ANY,
                table_id: TABLE_ALL,
                match_: Match::default(),
            };
            if command == MonitorCommand::Delete {
                return named;
            }
            FlowMonitorRequest {
                flags: if standard { flags } else { flags - MonitorFlags::ONLY_OWN },
                out_port,
                out_group: if standard { 7 } else { GROUP_ANY },
                table_id,
                match_,
                ..named
            }
        })
        .boxed()
}

pub(super) fn removed(version: Version) -> impl Strategy<Value = FlowRemoved> {
    let reason = prop::sample::select(vec![
        FlowRemovedReason::IdleTimeout,
        FlowRemovedReason::HardTimeout,
        FlowRemovedReason::Delete,
    ]);
    (any_match(), any::<(u64, u16, u32, u32, u16, u64)>(), reason).prop_map(
        move |(match_, n, reason)| {
            let v10 = version == Version::V10;
            FlowRemoved {
                match_: if v10 { fixed_match(&match_) } else { match_ },
                cookie: n.0,
                priority: n.1,
                reason,
                table_id: if v10 { TABLE_ALL } else { 4 },
                duration_sec: n.2,
                duration_nsec: n.3,
                idle_timeout: n.4,
                hard_timeout: if version < Version::V12 { 0 } else { n.4 },
                packet_count: n.5,
                byte_count: n.0,
            }
        },
    )
}

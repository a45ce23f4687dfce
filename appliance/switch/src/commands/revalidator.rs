//! Commands about the cache's truth: the revalidator, the self check, settings.

use super::Outcome;
use crate::control::Control;
use crate::settings;
use crate::waiting::Until;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Write as _;
use ofproto::Bridge;
use sync::time::Nanos;

/// `upcall/set-flow-limit`: until a full round adapts it.
pub(super) fn set_flow_limit(control: &mut Control, params: &[String], _: Nanos) -> Outcome {
    let limit = params.first().and_then(|limit| limit.parse().ok());
    let limit = limit.ok_or("the flow limit must be a number")?;
    control.bridges.iter_mut().for_each(|member| member.bridge.set_flow_limit(limit));
    Ok(format!("set flow_limit to {limit}\n"))
}

/// `revalidator/wait`: answers when the dump that is under way, or the next one, has ended.
pub(super) fn wait(control: &mut Control, _: &[String], _: Nanos) -> Outcome {
    if control.bridges.iter().any(|member| member.bridge.revalidator().is_paused()) {
        return Err("the revalidator is paused (use \"revalidator/resume\")".to_string());
    }
    let members = control.bridges.iter();
    let dumps = members.map(|member| (member.id, member.bridge.revalidator().dump_seq())).collect();
    control.answer_later(Until::DumpsArePast(dumps))
}

/// `revalidator/purge`: evicts every cached flow.
pub(super) fn purge(control: &mut Control, _: &[String], _: Nanos) -> Outcome {
    control.bridges.iter_mut().for_each(|member| member.bridge.purge_cached());
    control.answer_later(Until::Purged)
}

/// `revalidator/pause`: answers when no round is under way.
pub(super) fn pause(control: &mut Control, _: &[String], _: Nanos) -> Outcome {
    control.bridges.iter_mut().for_each(|member| member.bridge.pause_revalidator());
    control.answer_later(Until::Paused)
}

/// `revalidator/resume`.
pub(super) fn resume(control: &mut Control, _: &[String], _: Nanos) -> Outcome {
    control.bridges.iter_mut().for_each(|member| member.bridge.resume_revalidator());
    Ok(String::new())
}

/// `uniswitch/keep`: answers when the OpenFlow state of this moment is on the disk.
pub(super) fn keep(control: &mut Control, _: &[String], now: Nanos) -> Outcome {
    control.keep_soon()?;
    control.answer_later(Until::Kept(now))
}

/// `uniswitch/self-check`: how many checks there were, and the last wrong flows with their packets.
pub(super) fn self_check(control: &mut Control, _: &[String], _: Nanos) -> Outcome {
    let sum = |count: fn(&Bridge) -> u64| control.bridges.sum(count);
    let mut text = String::new();
    let one_in = control.self_check_one_in;
    // Writing to a string cannot fail.
    let _ = match one_in {
        0 => writeln!(text, "hits checked  : none (use \"uniswitch/set self-check N\")"),
        _ => writeln!(text, "hits checked  : one in {one_in}"),
    };
    let _ = writeln!(text, "  right       : {}", sum(|b| b.stats().self_check_passed));
    let _ = writeln!(text, "  wrong       : {}", sum(|b| b.stats().self_check_failed));
    let _ = writeln!(text, "flows sampled : {}", sum(|b| b.revalidator().stats().sampled));
    let _ = writeln!(text, "  wrong       : {}", sum(|b| b.revalidator().stats().sampled_wrong));
    for member in control.bridges.iter() {
        let (kept, n_found) = member.bridge.wrong_flows();
        if n_found > 0 {
            let _ = writeln!(text, "\nThe last of {n_found} wrong flows, oldest first:");
            for wrong in kept {
                let _ = write!(text, "\n{wrong}");
            }
        }
    }
    Ok(text)
}

/// `uniswitch/set KEY VALUE`.
pub(super) fn set(control: &mut Control, params: &[String], _: Nanos) -> Outcome {
    let [key, value] = params else {
        return Err("expected a key and a value".to_string());
    };
    settings::set(control, key, value)?;
    log::info!("{key} is {value} now");
    Ok(String::new())
}

/// `uniswitch/get [KEY]`: one value, or all with their keys.
pub(super) fn get(control: &mut Control, params: &[String], _: Nanos) -> Outcome {
    if let Some(key) = params.first() {
        return settings::get(control, key).map(|value| value + "\n");
    }
    let mut text = String::new();
    for (key, value) in settings::all(control) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key}={value}");
    }
    Ok(text)
}

//! The text of statistics triggers: `stat_trigger(periodic,only_first,packet_count=100,duration=1.5)`.
//!
//! `ovs-ofctl` has none; thresholds have the names that it gives to statistics. Times are seconds.

use core::fmt::{self, Formatter};

use flow::text::KeyValues;

use super::error::{TextError, TextProblem};
use super::parse_action::{bad, int};
use crate::{StatTrigger, StatTriggerFlags};

type Result<T> = core::result::Result<T, TextError>;

/// Digits of a second's fraction.
const FRACTION_DIGITS: usize = 9;

/// Reads what stands between the brackets.
pub(super) fn parse(text: &str) -> Result<StatTrigger> {
    let mut trigger = StatTrigger::default();
    for (key, value) in KeyValues::new(text) {
        let is_new = match key {
            "periodic" => {
                trigger.flags |= StatTriggerFlags::PERIODIC;
                true
            }
            "only_first" => {
                trigger.flags |= StatTriggerFlags::ONLY_FIRST;
                true
            }
            "duration" => trigger.duration.replace(seconds(value)?).is_none(),
            "idle_time" => trigger.idle_time.replace(seconds(value)?).is_none(),
            "packet_count" => trigger.packet_count.replace(int(value)?).is_none(),
            "byte_count" => trigger.byte_count.replace(int(value)?).is_none(),
            _ => return Err(TextError::new(TextProblem::UnknownKeyword, key)),
        };
        if !is_new {
            return Err(bad(key, "each threshold once"));
        }
    }
    Ok(trigger)
}

/// `3` or `3.25`.
fn seconds(text: &str) -> Result<(u32, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_fraction = (1..=FRACTION_DIGITS).contains(&fraction.len())
        && fraction.bytes().all(|digit| digit.is_ascii_digit());
    if !is_fraction {
        return Err(bad(text, "seconds with at most nine digits behind the point"));
    }
    let nanos = fraction.bytes().chain(core::iter::repeat(b'0')).take(FRACTION_DIGITS);
    let nanos = nanos.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    Ok((int(whole)?, nanos))
}

pub(super) fn put(f: &mut Formatter<'_>, trigger: &StatTrigger) -> fmt::Result {
    let StatTrigger { flags, duration, idle_time, packet_count, byte_count } = *trigger;
    let mut separator = "";
    let mut next = |f: &mut Formatter<'_>| {
        f.write_str(separator)?;
        separator = ",";
        Ok(())
    };
    f.write_str("stat_trigger(")?;
    for (flag, name) in
        [(StatTriggerFlags::PERIODIC, "periodic"), (StatTriggerFlags::ONLY_FIRST, "only_first")]
    {
        if flags.contains(flag) {
            next(f)?;
            f.write_str(name)?;
        }
    }
    for (time, name) in [(duration, "duration"), (idle_time, "idle_time")] {
        let Some((seconds, nanos)) = time else { continue };
        next(f)?;
        write!(f, "{name}={seconds}")?;
        if nanos != 0 {
            let (mut fraction, mut digits) = (nanos, FRACTION_DIGITS);
            while fraction % 10 == 0 {
                (fraction, digits) = (fraction / 10, digits - 1);
            }
            write!(f, ".{fraction:0digits$}")?;
        }
    }
    for (count, name) in [(packet_count, "packet_count"), (byte_count, "byte_count")] {
        if let Some(count) = count {
            next(f)?;
            write!(f, "{name}={count}")?;
        }
    }
    f.write_str(")")
}

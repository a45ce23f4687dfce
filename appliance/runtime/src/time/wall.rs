//! The time of day, from the real-time clock chip (MC146818).

use crate::io::{in8, out8};

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;

/// Seconds since 1970-01-01, if the machine has a clock that makes sense. The clock is taken to
/// run in UTC, as virtual machines give it by default.
#[must_use]
pub fn wall_clock() -> Option<u64> {
    const STATUS_A: u8 = 0x0a;
    const UPDATE_IN_PROGRESS: u8 = 0x80;
    /// A reading is good if the next one agrees; an update takes less than this many readings.
    const TRIES: usize = 8;
    let read = |register| {
        out8(INDEX, register);
        in8(DATA)
    };
    let mut before = None;
    for _ in 0..TRIES {
        if read(STATUS_A) & UPDATE_IN_PROGRESS != 0 {
            continue;
        }
        let registers = [0x00, 0x02, 0x04, 0x07, 0x08, 0x09, 0x0b].map(read);
        if before == Some(registers) {
            return seconds(registers);
        }
        before = Some(registers);
    }
    None
}

/// Seconds, minutes, hours, day, month, year, status B: as seconds since 1970.
fn seconds(registers: [u8; 7]) -> Option<u64> {
    const BINARY: u8 = 1 << 2;
    const HOURS_24: u8 = 1 << 1;
    const AFTERNOON: u8 = 0x80;
    let [second, minute, hour, day, month, year, status] = registers;
    let number = |value: u8| match status & BINARY {
        0 => u64::from(value >> 4) * 10 + u64::from(value & 0xf),
        _ => u64::from(value),
    };
    let hour = match status & HOURS_24 {
        0 => number(hour & !AFTERNOON) % 12 + if hour & AFTERNOON != 0 { 12 } else { 0 },
        _ => number(hour),
    };
    let (second, minute) = (number(second), number(minute));
    let (day, month, year) = (number(day), number(month), 2000 + number(year));
    let is_date = (1..=31).contains(&day) && (1..=12).contains(&month) && year < 2100;
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_before_year(year) + days_before_month(year, month) + day - 1;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Days from 1970-01-01 to the year's first day.
fn days_before_year(year: u64) -> u64 {
    (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum()
}

fn days_before_month(year: u64, month: u64) -> u64 {
    const DAYS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap_day = u64::from(month > 2 && is_leap(year));
    DAYS.iter().zip(1..month).map(|(days, _)| days).sum::<u64>() + leap_day
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn clock_registers_become_seconds() {
        let cases = [
            ([0, 0, 0, 1, 1, 0, 0x06], Some(946_684_800)),
            // 2026-11-22 04:05:06, BCD, 24 hours.
            ([0x06, 0x05, 0x04, 0x22, 0x11, 0x26, 0x02], Some(1_795_320_306)),
            // 12 hours: 12 PM is noon, 12 AM is midnight.
            ([0, 0, 0x92, 0x29, 0x02, 0x24, 0x00], Some(1_709_208_000)),
            ([0, 0, 0x12, 0x29, 0x02, 0x24, 0x00], Some(1_709_164_800)),
            ([0xff; 7], None),
            ([0, 0, 0, 0, 0, 0, 0], None),
        ];
        for (registers, expected) in cases {
            assert_eq!(seconds(registers), expected, "{registers:x?}");
        }
    }
}

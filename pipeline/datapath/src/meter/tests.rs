//! Meters by numbers.

extern crate std;
use alloc::{vec, vec::Vec};

use proptest::{collection::vec, prelude::*};

use super::*;

fn drop_band(rate: u32, burst: u32) -> MeterBand {
    MeterBand { kind: BandKind::Drop, rate, burst }
}

fn remark(rate: u32, burst: u32, prec_level: u8) -> MeterBand {
    MeterBand { kind: BandKind::DscpRemark { prec_level }, rate, burst }
}

fn table(unit: MeterUnit, bands: &[MeterBand]) -> MeterTable {
    let table = MeterTable::default();
    let config = MeterConfig { unit, bands: bands.to_vec() };
    assert_eq!(table.set(7, &config, Nanos::ZERO), Ok(()));
    table
}

fn run(table: &MeterTable, lens: &[usize], now: Nanos) -> Vec<Verdict> {
    match table.run(7, lens.iter().copied(), now).expect("a meter") {
        Passage::Free => vec![Verdict::Pass; lens.len()],
        Passage::Judged(verdicts) => verdicts.into_iter().collect(),
    }
}

#[test]
fn the_exceeded_band_of_the_highest_rate_decides() {
    use Verdict::{Drop, Pass, Remark};
    let table = table(MeterUnit::Pktps, &[drop_band(4, 4), remark(2, 2, 1)]);
    let verdicts = run(&table, &[100; 6], Nanos::ZERO);
    assert_eq!(verdicts, [Pass, Pass, Remark(1), Remark(1), Drop, Drop]);
    let stats = table.stats(7).expect("set");
    assert_eq!((stats.packets, stats.bytes), (6, 600));
    assert_eq!(stats.bands, vec![BandStats { packets: 2, bytes: 200 }; 2]);
    // Half a second gives two packets to the one and one to the other.
    assert_eq!(run(&table, &[100; 3], Nanos::from_millis(500)), [Pass, Remark(1), Drop]);
}

#[test]
fn kilobits_are_thousand_bits_and_a_small_packet_passes_where_a_large_one_does_not() {
    use Verdict::{Drop, Pass};
    // 8 kbit: 1000 bytes a second, 1000 bytes at once.
    let table = table(MeterUnit::Kbps, &[drop_band(8, 0)]);
    assert_eq!(run(&table, &[600, 600, 400, 1], Nanos::ZERO), [Pass, Drop, Pass, Drop]);
    assert_eq!(run(&table, &[60], Nanos::from_millis(59)), [Drop]);
    assert_eq!(run(&table, &[60], Nanos::from_millis(60)), [Pass]);
}

#[test]
fn what_is_set_anew_begins_anew() {
    use Verdict::{Drop, Pass};
    let table = table(MeterUnit::Pktps, &[drop_band(1, 0)]);
    assert_eq!(run(&table, &[9; 2], Nanos::ZERO), [Pass, Drop]);
    let config = MeterConfig { unit: MeterUnit::Pktps, bands: vec![drop_band(2, 0)] };
    assert_eq!(table.set(7, &config, Nanos(5)), Ok(()));
    assert_eq!(table.stats(7).map(|stats| stats.packets), Some(0));
    assert_eq!(run(&table, &[9; 3], Nanos(5)), [Pass, Pass, Drop]);
    assert_eq!(table.delete(7).map(|stats| stats.packets), Some(3));
    assert_eq!(table.delete(7), None);
    assert!(table.run(7, [].into_iter(), Nanos(6)).is_none());
}

#[test]
fn refuses_what_it_cannot_hold() {
    let table = MeterTable::default();
    let config = |n| MeterConfig { unit: MeterUnit::Kbps, bands: vec![drop_band(1, 1); n] };
    assert_eq!(table.set(MAX_METERS, &config(1), Nanos::ZERO), Err(MeterError::BadId));
    let too_many = Err(MeterError::TooManyBands);
    assert_eq!(table.set(0, &config(MAX_BANDS + 1), Nanos::ZERO), too_many);
    assert_eq!(table.stats(0), None);
    assert_eq!(table.set(MAX_METERS - 1, &config(0), Nanos::ZERO), Ok(()));
    assert_eq!(table.stats(MAX_METERS - 1), Some(MeterStats::default()));
}

#[test]
fn drop_precedence_rises_within_assured_forwarding() {
    // DSCP 10 is AF11, 12 is AF12, 14 is AF13; 46 is EF, 8 is CS1. ECN stays.
    let cases = [
        (10, 0, 10),
        (10, 1, 12),
        (10, 2, 14),
        (10, 255, 14),
        (12, 1, 14),
        (14, 1, 14),
        (34, 1, 36),
        (46, 1, 46),
        (8, 1, 8),
        (0, 3, 0),
        (11, 1, 11),
        (42, 1, 42),
    ];
    for (dscp, levels, expected) in cases {
        for ecn in 0..4 {
            let tos = raise_drop_precedence(dscp << 2 | ecn, levels);
            assert_eq!(tos, expected << 2 | ecn, "{dscp} by {levels}");
        }
    }
}

proptest! {
    /// No stretch of time lets more pass than its burst and its rate give, and a meter that is
    /// asked for more than it gives pays out all of it, whoever asks.
    #[test]
    fn pays_out_exactly(
        rate in 1_u32..100_000, burst in 1_u32..100,
        steps in vec((1_u64..50_000_000, 1_usize..32), 1..200),
    ) {
        let table = table(MeterUnit::Pktps, &[drop_band(rate, burst)]);
        let (mut now, mut n_passed, mut n_wanted) = (0, 0, 0);
        let mut level = u64::from(burst) * UNIT;
        for (pause, n) in steps {
            now += pause;
            level = (level + pause * u64::from(rate)).min(u64::from(burst) * UNIT);
            let verdicts = run(&table, &std::vec![64; n], Nanos(now));
            let n_now = verdicts.iter().filter(|verdict| **verdict == Verdict::Pass).count() as u64;
            prop_assert_eq!(n_now, (level / UNIT).min(n as u64));
            level -= n_now * UNIT;
            n_passed += n_now;
            n_wanted += n as u64;
        }
        let bound = u64::from(burst) + now * u64::from(rate) / UNIT;
        prop_assert!(n_passed <= bound);
        let stats = table.stats(7).expect("set");
        prop_assert_eq!((stats.packets, stats.bands[0].packets), (n_wanted, n_wanted - n_passed));
    }
}

#[test]
fn cores_that_draw_at_once_get_no_more_than_there_is() {
    let table = table(MeterUnit::Pktps, &[drop_band(1_000_000, 1_000)]);
    let n_passed: usize = std::thread::scope(|scope| {
        let cores: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..5_000_u64)
                        .map(|step| {
                            let verdicts = run(&table, &[64; 8], Nanos(step * 1_000));
                            verdicts.iter().filter(|v| **v == Verdict::Pass).count()
                        })
                        .sum::<usize>()
                })
            })
            .collect();
        cores.into_iter().map(|core| core.join().expect("no panic")).sum()
    });
    // 1,000 at once, and one for each of 4,999 microseconds.
    assert_eq!(n_passed, 1_000 + 4_999);
    let stats = table.stats(7).expect("set");
    assert_eq!(stats.packets, 4 * 5_000 * 8);
    assert_eq!(stats.bands[0].packets, stats.packets - n_passed as u64);
}

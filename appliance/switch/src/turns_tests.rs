use super::*;
use std::collections::BTreeMap;

const A: PortNo = PortNo(1);
const B: PortNo = PortNo(2);
const C: PortNo = PortNo(7);

/// A burst of 32, of which so many missed.
fn burst(cycles: u64, n_missed: u64) -> Burst {
    Burst { cycles, n_frames: 32, n_missed }
}

/// Ports and what a burst of each costs; those that have frames, in so many rounds. Gives the cycles
/// that each got.
fn rounds(turns: &mut Turns, n: usize, ports: &[(PortNo, u64, bool)]) -> BTreeMap<u32, u64> {
    let ports: Vec<_> = ports.iter().map(|&(port, cost, has)| (port, cost, has, 0)).collect();
    mixed_rounds(turns, n, &ports)
}

/// As [`rounds`], with how many frames of a burst miss.
fn mixed_rounds(
    turns: &mut Turns,
    n: usize,
    ports: &[(PortNo, u64, bool, u64)],
) -> BTreeMap<u32, u64> {
    let mut got = BTreeMap::new();
    for _ in 0..n {
        turns.next_round();
        let (mut worked, mut later) = (false, Vec::new());
        let mut have = |turns: &mut Turns, (port, cost, has_frames, n_missed)| {
            let port: PortNo = port;
            if has_frames {
                turns.worked(port, burst(cost, n_missed));
                *got.entry(port.0).or_default() += cost;
            } else {
                turns.rested(port);
            }
            has_frames
        };
        for &port in ports {
            match turns.turn(port.0) {
                Turn::Now => worked |= have(turns, port),
                Turn::Later => later.push(port),
            }
        }
        if !worked {
            later.into_iter().for_each(|port| worked |= have(turns, port));
        }
        turns.flushed(0);
        assert!(worked || ports.iter().all(|port| !port.2), "frames wait and nobody works");
    }
    got
}

fn turns() -> Turns {
    let mut turns = Turns::new(8);
    [A, B, C].into_iter().for_each(|port| turns.add_port(port));
    turns
}

#[test]
fn ports_get_alike_whatever_their_bursts_cost() {
    let mut turns = turns();
    let ports = [(A, 2_000, true), (B, 150_000, true), (C, 20_000, true)];
    let got = rounds(&mut turns, 20_000, &ports);
    for port in [A, B, C] {
        let off = got[&port.0].abs_diff(got[&A.0]);
        assert!(off <= LEAD + 150_000, "{got:?}");
    }
    assert!(got[&A.0] > 10_000_000);
}

#[test]
fn what_costs_alike_has_a_turn_in_each_round() {
    let mut turns = turns();
    let got = rounds(&mut turns, 1_000, &[(A, 2_000, true), (B, 2_500, true)]);
    assert!(got[&1] > 990 * 2_000, "{got:?}");
    // The cheaper one has some more turns.
    assert!(got[&2] > 790 * 2_500, "{got:?}");
}

#[test]
fn who_is_alone_has_every_turn_and_owes_nothing_afterwards() {
    let mut turns = turns();
    let alone = rounds(&mut turns, 1_000, &[(A, 2_000, false), (B, 150_000, true)]);
    assert_eq!(alone[&2], 1_000 * 150_000);
    let got = rounds(&mut turns, 2_000, &[(A, 2_000, true), (B, 150_000, true)]);
    assert!(got[&1].abs_diff(got[&2]) <= 2 * (LEAD + 150_000), "{got:?}");
}

#[test]
fn silence_earns_nothing() {
    let mut turns = turns();
    rounds(&mut turns, 1_000, &[(A, 2_000, true), (B, 2_000, true), (C, 0, false)]);
    let got = rounds(&mut turns, 300, &[(A, 2_000, true), (B, 2_000, true), (C, 2_000, true)]);
    assert!(got.values().all(|&cycles| cycles > 280 * 2_000), "{got:?}");
}

#[test]
fn a_core_that_was_kept_from_running_starves_nobody() {
    let mut turns = turns();
    turns.next_round();
    turns.worked(A, burst(u64::MAX, 0));
    turns.worked(B, burst(2_000, 0));
    let n = usize::try_from(MOST / 2_000).unwrap() + 100;
    let got = rounds(&mut turns, n, &[(A, 2_000, true), (B, 2_000, true)]);
    assert!(got[&1] > 0, "{got:?}");
}

#[test]
fn a_counter_that_stands_still_and_a_port_without_account_take_turns() {
    let mut turns = turns();
    for _ in 0..100 {
        turns.next_round();
        for port in [A, B, PortNo(9)] {
            assert_eq!(turns.turn(port), Turn::Now);
            turns.worked(port, burst(0, 32));
        }
    }
}

#[test]
fn a_new_port_begins_level_with_the_others() {
    let mut turns = turns();
    rounds(&mut turns, 1_000, &[(A, 2_000, true), (B, 2_000, true)]);
    turns.add_port(C);
    let got = rounds(&mut turns, 300, &[(A, 2_000, true), (B, 2_000, true), (C, 2_000, true)]);
    assert!(got.values().all(|&cycles| cycles > 280 * 2_000), "{got:?}");
}

#[test]
fn new_flows_have_an_eighth_of_the_right_of_a_port() {
    let mut turns = turns();
    let ports = [(A, 2_000, true, 0), (B, 2_000, true, 0), (C, 100_000, true, 32)];
    let got = mixed_rounds(&mut turns, 200_000, &ports);
    let all: u64 = got.values().sum();
    assert!(got[&C.0] * 17 <= all + 17 * 200_000, "{got:?}");
    assert!(got[&C.0] * 18 >= all, "it has its part too: {got:?}");
    // One frame in 32 is no storm.
    let mut turns = self::turns();
    let ports = [(A, 2_000, true, 0), (B, 5_000, true, 1)];
    let got = mixed_rounds(&mut turns, 50_000, &ports);
    assert!(got[&B.0] * 100 >= got[&A.0] * 78, "{got:?}");
}

#[test]
fn what_is_done_for_a_port_besides_its_bursts_is_for_its_account() {
    let charges: [fn(&mut Turns); 4] = [
        |turns| turns.upcall(A, 20_000),
        |turns| turns.obeyed(Some(A), 20_000),
        |turns| turns.forwarded(A, 3, 160_000),
        |turns| {
            turns.forwarded(A, 1, 0);
            turns.flushed(160_000);
        },
    ];
    for (k, charge) in charges.into_iter().enumerate() {
        let mut turns = turns();
        turns.next_round();
        charge(&mut turns);
        assert_eq!(turns.spent[A.0 as usize], 160_000, "{k}");
        assert_eq!((turns.turn(A), turns.turn(B)), (Turn::Later, Turn::Now), "{k}");
    }
}

#[test]
fn sending_is_divided_by_frames() {
    let mut turns = turns();
    turns.forwarded(A, 3, 0);
    turns.worked(B, burst(0, 31));
    turns.flushed(4_000);
    assert_eq!([A, B, C].map(|port| turns.spent[port.0 as usize]), [3_000, 1_000, 0]);
    turns.flushed(4_000);
    assert_eq!(turns.spent[A.0 as usize], 3_000, "once");
}

#[test]
fn orders_have_an_eighth_of_what_frames_have_and_all_where_there_are_none() {
    let mut turns = turns();
    let mut ordered = 0;
    for _ in 0..100_000 {
        turns.next_round();
        turns.worked(A, burst(2_000, 0));
        turns.flushed(400);
        for _ in 0..64 {
            if turns.may_obey() {
                turns.obeyed(None, 3_000);
                ordered += 3_000;
            }
        }
    }
    let frames = 100_000 * 2_400;
    assert!(ordered <= frames / 8 + 2 * ORDERS_AT_ONCE, "{ordered}");
    assert!(ordered >= frames / 8 - 100_000, "{ordered}");
    for _ in 0..100 {
        turns.next_round();
        turns.rested(A);
        assert!(turns.may_obey());
        turns.obeyed(None, 1 << 20);
    }
    // Nor do they wait for long after that.
    let waited = (0..).take_while(|_| {
        turns.next_round();
        turns.worked(A, burst(2_000, 0));
        !turns.may_obey()
    });
    assert!(waited.count() <= 1_100);
}

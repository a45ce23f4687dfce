//! Where room for cached flows or the clock fails, nothing is lost but cache. (More flows than the flow
//! limit: `caching.rs` and `rounds.rs`; ever other masks: `explosion.rs`.)

use crate::lab::{Lab, ether, frame, output};
use datapath::{DatapathConfig, Dpif};
use flow::text::NoNames;
use sync::time::Nanos;

const S: fn(u64) -> Nanos = Nanos::from_secs;

/// A frame of the flow number `n`.
fn numbered(n: u8) -> Vec<u8> {
    frame(&format!("udp,nw_src=10.0.0.{n},nw_dst=10.0.1.1,nw_ttl=64,tp_src=1,tp_dst=2"))
}

/// A bridge for which each source is a cached flow of its own.
fn exact() -> Lab {
    let mut lab = Lab::secure(2);
    let copy = "move:NXM_OF_IP_SRC[]->NXM_NX_REG0[],output:2";
    let does = openflow::text::parse_instructions(copy, &NoNames).unwrap();
    lab.rule_in(0, 1, "ip", does);
    lab.settle();
    lab
}

fn give_room(lab: &mut Lab, max_megaflows: usize) {
    let config = DatapathConfig { max_megaflows, ..lab.dpif.config() };
    lab.dpif.configure(&config);
}

#[test]
fn a_core_without_room_for_flows_forwards_all_the_same() {
    for room in [0, 1, 5] {
        let mut lab = exact();
        give_room(&mut lab, room);
        for _ in 0..3 {
            for n in 0..100 {
                assert_eq!(lab.ports(1, &numbered(n)), [2], "room for {room}");
            }
            assert!(lab.dpif.pmd().n_megaflows() <= room);
            // What was refused is forgotten, and is not thought to be cached.
            lab.advance(Nanos::from_millis(600));
            assert_eq!(lab.bridge.ukeys().len(), lab.dpif.pmd().n_megaflows());
        }
        assert_eq!(lab.rules()[0].stats().packets(), 300, "room for {room}");

        // With room again, all of it is cached again.
        give_room(&mut lab, 1_000);
        for n in 0..100 {
            assert_eq!(lab.ports(1, &numbered(n)), [2]);
        }
        let upcalls = lab.bridge.stats().upcalls;
        for n in 0..100 {
            assert_eq!(lab.ports(1, &numbered(n)), [2]);
        }
        assert_eq!(lab.bridge.stats().upcalls, upcalls);
        lab.advance(S(1));
        assert_eq!(lab.rules()[0].stats().packets(), 500);
    }
}

#[test]
fn jumps_of_the_clock_lose_nothing_but_cache() {
    let mut lab = exact();
    lab.rule(0, "", vec![output(2)]);
    // A paused machine's clock may stand still, or leap; one that is corrected may go back.
    let mut n_sent = 0;
    for (jump, is_back) in
        [(S(0), false), (S(3_600), false), (S(1_800), true), (S(100_000), false), (S(9), true)]
    {
        let now = if is_back { lab.now.saturating_sub(jump) } else { lab.now + jump };
        lab.now = now;
        lab.dpif.set_now(now);
        for n in 0..20 {
            assert_eq!(lab.ports(1, &numbered(n)), [2], "after {jump:?}, back: {is_back}");
            n_sent += 1;
        }
        lab.settle();
        lab.advance(S(1));
        assert_eq!(lab.rules()[0].stats().packets(), n_sent, "after {jump:?}, back: {is_back}");
    }
}

#[test]
fn stations_live_through_a_clock_that_goes_back() {
    let mut lab = Lab::standalone(3);
    lab.send(2, &ether(2, 9));
    lab.advance(S(100));
    lab.now = lab.now.saturating_sub(S(90));
    lab.dpif.set_now(lab.now);
    lab.settle();
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    lab.now += S(1_000_000);
    lab.dpif.set_now(lab.now);
    lab.settle();
    assert_eq!(lab.ports(1, &ether(1, 2)), [2, 3], "forgotten, so flooded");
}

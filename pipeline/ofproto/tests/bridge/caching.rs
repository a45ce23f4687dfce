//! Caches: what is installed, that it is true, and that every packet counts once
//! (ovs-facts C4, C6, C7, C8, E).

use crate::lab::{DP_OFFSET, Lab, add, change, ether, flow, frame, output};
use datapath::{Check, CoreId, Dpif, Megaflow, PortNo};
use ofproto::{BridgeConfig, CheckResult, FailMode};
use openflow::{FlowMod, FlowModCommand, FlowModFlags, Instructions};
use sync::time::Nanos;

fn udp(src: &str) -> Vec<u8> {
    frame(&format!("udp,nw_src={src},nw_dst=10.0.0.1,nw_ttl=64,tp_src=1,tp_dst=2"))
}

#[test]
fn c7_the_mask_covers_only_what_was_looked_at() {
    let mut lab = Lab::secure(3);
    lab.rule(10, "ip,nw_src=192.168.1.0/24", vec![output(3)]);
    lab.settle();
    assert_eq!(lab.ports(1, &udp("192.168.1.1")), [3]);
    assert_eq!(
        lab.megaflows(),
        ["recirc_id=0,eth,ip,in_port=101,nw_src=192.168.1.0/24,nw_frag=no actions:103"]
    );
    let found = |lab: &Lab| {
        let counters = lab.dpif.pmd().counters();
        let by_caches = (counters.megaflow_hits.get(), counters.emc_hits.get());
        (lab.bridge.stats().upcalls, by_caches, counters.emc_inserts.get())
    };
    assert_eq!(found(&lab), (1, (0, 0), 0));
    // Another host of the subnet hits the megaflow, and enters the exact-match cache.
    assert_eq!(lab.ports(1, &udp("192.168.1.2")), [3]);
    assert_eq!(found(&lab), (1, (1, 0), 1));
    // A third packet, like the second, hits that.
    assert_eq!(lab.ports(1, &udp("192.168.1.2")), [3]);
    assert_eq!(found(&lab), (1, (1, 1), 1));
    // One outside does not.
    assert_eq!(lab.ports(1, &udp("192.168.2.1")), []);
    assert_eq!(lab.bridge.stats().upcalls, 2);
}

#[test]
fn counts_are_exact_at_any_moment() {
    let mut lab = Lab::secure(2);
    let rule = |lab: &mut Lab, cookie, match_: &str| {
        let instructions = Instructions::apply(vec![output(2)]);
        let add = FlowMod { new_cookie: Some(cookie), instructions, ..add(10, match_) };
        lab.flow_mod(&add).unwrap();
    };
    rule(&mut lab, 1, "ip,nw_src=10.0.0.0/8");
    rule(&mut lab, 2, "ip,nw_src=11.0.0.0/8");
    let frames = [udp("10.0.0.1"), udp("10.0.0.2"), udp("11.0.0.1")];
    let len = frames[0].len() as u64;
    // Three misses of one flow are in flight at once.
    for _ in 0..3 {
        lab.dpif.receive(PortNo(1 + DP_OFFSET), &frames[0]);
    }
    lab.pump();
    assert_eq!(lab.counts(1), (3, 3 * len));
    let mut expected = (3, 0);
    for round in 0..50_u64 {
        for (n, frame) in frames.iter().enumerate() {
            for _ in 0..(round + n as u64) % 4 {
                lab.send(1, frame);
                if n < 2 { expected.0 += 1 } else { expected.1 += 1 }
            }
        }
        if round % 7 == 0 {
            lab.advance(Nanos::from_millis(700));
        }
        if round % 13 == 0 {
            // Let everything go idle, so that it is evicted and installed again.
            lab.advance(Nanos::from_secs(11));
            assert_eq!(lab.bridge.ukeys().len(), 0);
        }
        assert_eq!(lab.counts(1), (expected.0, expected.0 * len), "round {round}");
        assert_eq!(lab.counts(2), (expected.1, expected.1 * len), "round {round}");
    }
    let tables = lab.bridge.table_stats(lab.now);
    let total = expected.0 + expected.1;
    assert_eq!((tables[0].lookup_count, tables[0].matched_count), (total, total));
}

#[test]
fn packets_count_for_the_rule_that_forwarded_them() {
    let mut lab = Lab::secure(3);
    let rule = |cookie, port| FlowMod {
        new_cookie: Some(cookie),
        flags: FlowModFlags::RESET_COUNTS,
        instructions: Instructions::apply(vec![output(port)]),
        ..add(10, "")
    };
    lab.flow_mod(&rule(1, 2)).unwrap();
    for _ in 0..5 {
        lab.send(1, &ether(1, 2));
    }
    // Not revalidated: the cached flow still forwards as before.
    lab.flow_mod(&rule(2, 3)).unwrap();
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    lab.settle();
    assert_eq!(lab.ports(1, &ether(1, 2)), [3]);
    // The new rule counts from its own first packet.
    assert_eq!(lab.counts(2).0, 1);
}

#[test]
fn a_modify_keeps_counts_and_age() {
    let mut lab = Lab::secure(3);
    lab.rule(10, "", vec![output(2)]);
    for _ in 0..5 {
        lab.send(1, &ether(1, 2));
    }
    lab.advance(Nanos::from_secs(2));
    let modify = FlowMod {
        instructions: Instructions::apply(vec![output(3)]),
        ..change(FlowModCommand::Modify, "")
    };
    lab.flow_mod(&modify).unwrap();
    lab.send(1, &ether(1, 2));
    lab.settle();
    lab.send(1, &ether(1, 2));
    let rule = lab.rules()[0].flow_stats(lab.now);
    assert_eq!((rule.packet_count, rule.duration_sec), (7, 2));
    assert_eq!(rule.instructions.apply, [output(3)]);
}

#[test]
fn a_reached_sync_point_means_that_no_old_conclusion_is_used() {
    let mut lab = Lab::secure(4);
    lab.rule(1, "", vec![output(2)]);
    for src in 0..200 {
        lab.send(1, &ether(src, 0xff));
    }
    for turn in 0..10 {
        let port = 2 + turn % 3;
        lab.rule(1, "", vec![output(port)]);
        let ticket = lab.bridge.sync_point();
        while !lab.bridge.reached(ticket) {
            lab.bridge.run(&mut lab.dpif, lab.now);
        }
        let upcalls = lab.bridge.stats().upcalls;
        for src in 0..200 {
            assert_eq!(lab.ports(1, &ether(src, 0xff)), [port]);
        }
        assert_eq!(lab.bridge.stats().upcalls, upcalls, "the cached flow was given other actions");
    }
}

#[test]
fn a_narrower_table_evicts_what_is_too_wide() {
    let mut lab = Lab::secure(3);
    lab.rule(1, "", vec![output(2)]);
    lab.send(1, &udp("10.0.0.1"));
    assert_eq!(lab.megaflows().len(), 1);
    lab.rule(10, "ip,nw_src=10.0.0.9", vec![output(3)]);
    lab.settle();
    assert_eq!(lab.megaflows(), [""; 0]);
    assert_eq!(lab.ports(1, &udp("10.0.0.9")), [3]);
    assert_eq!(lab.ports(1, &udp("10.0.0.1")), [2]);
    assert_eq!(lab.bridge.revalidator().stats().deleted, 1);
}

#[test]
fn idle_flows_go_and_come_back() {
    let mut lab = Lab::secure(2);
    lab.rule(1, "", vec![output(2)]);
    lab.send(1, &ether(1, 2));
    for _ in 0..8 {
        lab.advance(Nanos::from_secs(9));
        lab.send(1, &ether(1, 2));
    }
    assert_eq!(lab.bridge.stats().upcalls, 1);
    lab.advance(Nanos::from_secs(11));
    assert_eq!(lab.bridge.ukeys().len(), 0);
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    assert_eq!(lab.bridge.stats().upcalls, 2);
    assert_eq!(lab.rules()[0].stats().packets(), 10);
}

#[test]
fn above_the_limit_packets_are_forwarded_without_being_cached() {
    let config =
        BridgeConfig { flow_limit: 10, fail_mode: FailMode::Secure, ..BridgeConfig::default() };
    let mut lab = Lab::with(config, 2);
    lab.rule(2, "dl_src=02:00:00:00:00:ff", vec![]);
    lab.rule(1, "", vec![output(2)]);
    for src in 0..100 {
        let text = format!("dl_src=02:00:00:00:{src:02x}:01,dl_type=0x1234");
        assert_eq!(lab.ports(1, &frame(&text)), [2]);
    }
    for n in 0..100_u8 {
        lab.rule(3, &format!("dl_src=02:00:00:00:{n:02x}:02"), vec![]);
        lab.send(1, &frame(&format!("dl_src=02:00:00:00:{n:02x}:03,dl_type=0x1234")));
    }
    assert!(lab.bridge.ukeys().len() <= 10);
    assert!(lab.bridge.stats().not_installed > 0);
    lab.settle();
    let total: u64 = lab.rules().iter().map(|rule| rule.stats().packets()).sum();
    assert_eq!(total, 200);
}

#[test]
fn removing_a_port_ends_its_flows_and_floods() {
    let mut lab = Lab::standalone(3);
    assert_eq!(lab.ports(1, &ether(1, 2)), [2, 3]);
    lab.bridge.remove_port(openflow::OfPort(3));
    lab.dpif.remove_port(PortNo(3 + DP_OFFSET));
    lab.settle();
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    assert!(!lab.bridge.remove_port(openflow::OfPort(3)));
}

#[test]
fn deleting_cached_flows_changes_nothing_but_speed() {
    let mut lab = Lab::standalone(4);
    lab.send(1, &ether(1, 9));
    lab.send(2, &ether(2, 9));
    let before = (lab.ports(1, &ether(1, 2)), lab.ports(3, &ether(3, 7)));
    lab.advance(Nanos::from_secs(11));
    assert_eq!(lab.bridge.ukeys().len(), 0);
    assert_eq!((lab.ports(1, &ether(1, 2)), lab.ports(3, &ether(3, 7))), before);
}

#[test]
fn the_self_check_finds_a_wrong_flow() {
    let mut lab = Lab::secure(3);
    lab.rule(1, "", vec![output(2)]);
    lab.send(1, &ether(1, 2));
    lab.settle();
    let ufid = lab.bridge.ukeys().iter().next().unwrap().megaflow.ufid;
    let mut key = flow("dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,dl_type=0x1234");
    key.set_in_port(1 + DP_OFFSET);
    let pool = packet::Pool::on_heap(packet::PoolConfig { small: 16, jumbo: 0 });
    let mut cache = packet::PoolCache::new(pool);
    let mut judge = |lab: &mut Lab, flow, ufid| {
        let packet = cache.from_bytes(&[0xab, 2, 3]);
        let check = Check { flow, ufid, core: CoreId(0), packet };
        lab.bridge.self_check(check, &mut lab.dpif, lab.now)
    };
    assert_eq!(judge(&mut lab, key, ufid), CheckResult::Same);
    // An older conclusion is not judged.
    lab.rule(1, "", vec![output(3)]);
    assert_eq!(judge(&mut lab, key, ufid), CheckResult::Stale);
    lab.settle();
    assert_eq!(judge(&mut lab, key, ufid), CheckResult::Same);
    assert_eq!(judge(&mut lab, key, datapath::Ufid(7)), CheckResult::Stale);
    // A packet that should not have hit it: the mask is too wide.
    let mut other = key;
    other.set_in_port(2 + DP_OFFSET);
    lab.rule(2, "in_port=2", vec![output(1)]);
    lab.settle();
    let CheckResult::Different { cached, right } = judge(&mut lab, other, ufid) else {
        panic!("it does not see the difference");
    };
    assert_eq!((cached, right), ((3 + DP_OFFSET).to_string(), (1 + DP_OFFSET).to_string()));
    let (kept, n_found) = lab.bridge.wrong_flows();
    let kept: Vec<_> = kept.collect();
    assert_eq!((kept.len(), n_found), (1, 1));
    assert_eq!(
        (kept[0].ufid, &kept[0].frame[..], &kept[0].flow),
        (ufid, &[0xab, 2, 3][..], &other)
    );
    assert_eq!(lab.bridge.ukeys().len(), 0, "it dies");
    assert_eq!(lab.bridge.stats().self_check_failed, 1);
    assert_eq!(lab.ports(1, &ether(1, 2)), [3], "and its packets go on");
}

#[test]
fn a_megaflow_that_the_core_lost_is_forgotten() {
    let mut lab = Lab::secure(2);
    lab.rule(1, "", vec![output(2)]);
    lab.send(1, &ether(1, 2));
    let ukey = lab.bridge.ukeys().iter().next().unwrap();
    let ufid = Megaflow::new(&ukey.megaflow.key, ukey.megaflow.mask.clone(), [].into()).ufid;
    lab.dpif.flow_delete(CoreId(0), ufid).unwrap();
    lab.advance(Nanos::from_secs(1));
    assert_eq!(lab.bridge.ukeys().len(), 0);
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    assert_eq!(lab.rules()[0].stats().packets(), 2);
}

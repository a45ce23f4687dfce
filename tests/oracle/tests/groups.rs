//! Groups and meters as the oracle has them: the specification's words, one case each.

use openflow::{
    Action, BUCKET_ALL, BandKind, Bucket, GroupMod, GroupModCommand, GroupType, Instructions,
    MeterBand, MeterConfig, MeterFlags, MeterMod, MeterModCommand, OfPort, Selection,
};
use oracle::{Oracle, Rule};
use packet::build::{self, Ipv4};
use sync::time::Nanos;

fn switch(rules: impl IntoIterator<Item = Instructions>) -> Oracle {
    let mut switch = Oracle::new((1..=4).map(OfPort));
    for (table_id, instructions) in (0..).zip(rules) {
        let match_ = flow::Match::CATCHALL;
        let rule = Rule { table_id, priority: 1, match_, instructions, cookie: 0 };
        switch.add(rule).expect("known actions");
    }
    switch
}

fn group(group_type: GroupType, buckets: Vec<Bucket>) -> GroupMod {
    GroupMod {
        command: GroupModCommand::Add,
        group_type,
        group_id: 1,
        command_bucket_id: BUCKET_ALL,
        buckets,
        selection: Selection::default(),
    }
}

fn to(port: u32) -> Vec<Action> {
    vec![Action::output(OfPort(port))]
}

/// A frame with this DSCP.
fn frame(dscp: u8) -> Vec<u8> {
    let header = Ipv4 { src: 1, dst: 2, tos: dscp << 2, ttl: 64, fragment: 0 };
    let datagram = build::udp(&header.into(), 1, 2, &[0; 46]);
    build::ethernet([2; 6], [4; 6], 0x0800, &datagram)
}

fn ports(switch: &mut Oracle) -> Vec<u32> {
    let verdict = switch.receive(OfPort(1), &frame(0));
    verdict.outputs.iter().map(|output| output.port.0).collect()
}

#[test]
fn each_type_goes_its_way() {
    let mut switch = switch([Instructions::apply(vec![Action::Group(1)])]);
    let three = || (2..=4).map(|port| Bucket::new(port, to(port))).collect::<Vec<_>>();
    switch.group_mod(&group(GroupType::All, three()));
    assert_eq!(ports(&mut switch), [2, 3, 4]);
    switch.group_mod(&group(GroupType::Indirect, vec![Bucket::new(0, to(3))]));
    assert_eq!(ports(&mut switch), [3]);

    let watching: Vec<Bucket> = (three().into_iter())
        .map(|bucket| Bucket { watch_port: OfPort(bucket.bucket_id), weight: 1, ..bucket })
        .collect();
    switch.group_mod(&group(GroupType::FastFailover, watching.clone()));
    assert_eq!(ports(&mut switch), [2]);
    switch.ports[1].has_link = false;
    assert_eq!(ports(&mut switch), [3]);
    switch.ports[2].is_down = true;
    assert_eq!(ports(&mut switch), [4]);

    switch.group_mod(&group(GroupType::Select, watching));
    switch.ports[2].is_down = false;
    let all = switch.receive_all(OfPort(1), &frame(0));
    let all: Vec<u32> = all.iter().map(|verdict| verdict.outputs[0].port.0).collect();
    assert_eq!(all, [3, 4], "one of the live ones");
}

#[test]
fn a_bucket_has_a_copy() {
    let change = Action::set_field(flow::Field::EthDst, 0xee);
    let actions = vec![Action::Group(1), Action::output(OfPort(2))];
    let mut switch = switch([Instructions::apply(actions)]);
    let buckets = vec![Bucket::new(0, vec![Action::output(OfPort(3)), change])];
    switch.group_mod(&group(GroupType::Indirect, buckets));
    let outputs = switch.receive(OfPort(1), &frame(0)).outputs;
    // Its actions are a set: the output comes last.
    assert_eq!((outputs[0].port.0, outputs[0].frame[5]), (3, 0xee));
    assert_eq!((outputs[1].port.0, &outputs[1].frame[..]), (2, &frame(0)[..]));
}

#[test]
fn a_deleted_group_takes_its_rules_along() {
    let mut switch = switch([Instructions::apply(vec![Action::Group(1)])]);
    switch.group_mod(&group(GroupType::All, vec![Bucket::new(0, to(2))]));
    switch.group_mod(&GroupMod {
        command: GroupModCommand::Delete,
        ..group(GroupType::All, Vec::new())
    });
    assert!(switch.rules().is_empty() && ports(&mut switch).is_empty());
}

fn meter(flags: MeterFlags, bands: &[(BandKind, u32, u32)]) -> MeterMod {
    let bands = bands.iter().map(|&(kind, rate, burst_size)| MeterBand { kind, rate, burst_size });
    let config = MeterConfig { flags, meter_id: 1, bands: bands.collect() };
    MeterMod { command: MeterModCommand::Add, config }
}

#[test]
fn a_meter_counts_packets_or_bits() {
    let metered = || Instructions { meter: Some(1), ..Instructions::apply(to(2)) };
    let unit = MeterFlags::PKTPS | MeterFlags::BURST;
    let mut switch = switch([metered()]);
    switch.meter_mod(&meter(unit, &[(BandKind::Drop, 10, 2)]));
    let passed: Vec<usize> = (0..40)
        .map(|n| {
            switch.now = Nanos::from_millis(n * 25);
            ports(&mut switch).len()
        })
        .collect();
    // Two at once, then one in 100 ms.
    assert_eq!(passed[..9], [1, 1, 0, 0, 1, 0, 0, 0, 1]);
    assert_eq!(passed.iter().sum::<usize>(), 11);

    // A frame of 88 bytes has 704 bits: at 1 kb/s with a burst of 1 kb one passes, and then one in
    // 704 ms.
    switch.meter_mod(&meter(MeterFlags::KBPS, &[(BandKind::Drop, 1, 0)]));
    assert_eq!(frame(0).len(), 88);
    let start = switch.now;
    for (millis, n) in [(0, 1), (400, 0), (407, 0), (408, 1), (1111, 0), (1112, 1)] {
        switch.now = start + Nanos::from_millis(millis);
        assert_eq!(ports(&mut switch).len(), n, "after {millis} ms");
    }
}

#[test]
fn a_band_raises_the_drop_precedence_of_assured_forwarding() {
    let mut switch = switch([Instructions { meter: Some(1), ..Instructions::apply(to(2)) }]);
    // AF11 to AF13 are 10, 12, 14; expedited forwarding and class selectors have no precedence.
    for (dscp, levels, expected) in
        [(10, 1, 12), (10, 2, 14), (12, 3, 14), (38, 1, 38), (46, 1, 46), (8, 1, 8), (0, 1, 0)]
    {
        let unit = MeterFlags::PKTPS | MeterFlags::BURST;
        switch.meter_mod(&meter(unit, &[(BandKind::DscpRemark(levels), 1, 1)]));
        let tos =
            |switch: &mut Oracle| switch.receive(OfPort(1), &frame(dscp)).outputs[0].frame[15];
        assert_eq!(tos(&mut switch), dscp << 2, "the first passes");
        assert_eq!(tos(&mut switch), expected << 2, "{dscp} by {levels}");
    }
}

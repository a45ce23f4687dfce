//! What ports and queues may send.

use crate::lab::*;
use datapath::DropReason;
use ofproto::qos::{QosConfig, QueueSpec, Rate};
use openflow::{Action, OfErrorKind, OfPort, QUEUE_ALL, QueueStats};
use std::collections::BTreeMap;
use sync::time::Nanos;

/// A thousand bytes a second, after this many at once.
fn slowly(burst_bytes: u64) -> Rate {
    Rate { bytes_per_s: 1000, burst_bytes }
}

fn set(lab: &mut Lab, port: u32, config: &QosConfig) {
    lab.bridge.set_qos(OfPort(port), config, &mut lab.dpif, lab.now).unwrap();
    lab.settle();
}

/// How many of ten frames of 60 bytes leave by which port.
fn ten(lab: &mut Lab) -> BTreeMap<u32, usize> {
    let mut sent = BTreeMap::new();
    for _ in 0..10 {
        lab.ports(1, &ether(1, 2)).into_iter().for_each(|port| *sent.entry(port).or_insert(0) += 1);
    }
    sent
}

fn stats(lab: &mut Lab, port: OfPort, queue: u32) -> Vec<QueueStats> {
    lab.bridge.queue_stats(port, queue, &lab.dpif, lab.now).unwrap()
}

#[test]
fn a_port_sends_no_more_than_it_may() {
    let mut lab = Lab::secure(3);
    lab.rule(1, "", vec![output(2), output(3)]);
    assert_eq!(ten(&mut lab), [(2, 10), (3, 10)].into());
    set(&mut lab, 2, &QosConfig { total: Some(slowly(250)), ..QosConfig::default() });
    assert_eq!(ten(&mut lab), [(2, 4), (3, 10)].into(), "the other port is not held up");
    assert_eq!(lab.drops(DropReason::EgressPoliced), 6);
    lab.advance(Nanos::from_millis(120));
    assert_eq!(ten(&mut lab), [(2, 2), (3, 10)].into());
    set(&mut lab, 2, &QosConfig::default());
    assert_eq!(ten(&mut lab), [(2, 10), (3, 10)].into());
    assert!(lab.megaflows().iter().all(|flow| !flow.contains("police")), "{:?}", lab.megaflows());
}

#[test]
fn queues_have_rates_and_counts_of_their_own() {
    let mut lab = Lab::secure(2);
    let queues = [
        (0, QueueSpec::default()),
        (7, QueueSpec { min_rate_bps: Some(1_000_000), max: Some(slowly(250)) }),
    ];
    set(&mut lab, 2, &QosConfig { total: None, queues: queues.into() });
    lab.rule(1, "", vec![Action::SetQueue(7), output(2)]);
    assert_eq!(ten(&mut lab), [(2, 4)].into());
    lab.rule(1, "", vec![output(2)]);
    lab.settle();
    assert_eq!(ten(&mut lab), [(2, 10)].into());
    lab.rule(1, "", vec![Action::SetQueue(9), output(2)]);
    lab.settle();
    assert_eq!(ten(&mut lab), [(2, 10)].into(), "a queue that is not there is queue 0");
    lab.advance(Nanos::from_millis(1500));
    let all = stats(&mut lab, OfPort::ANY, QUEUE_ALL);
    let counts: Vec<_> =
        all.iter().map(|q| (q.queue_id, q.tx_packets, q.tx_bytes, q.tx_errors)).collect();
    assert_eq!(counts, [(0, 20, 1200, 0), (7, 4, 240, 6)]);
    assert!(all.iter().all(|queue| queue.port == OfPort(2) && queue.duration_sec == 1));
    assert_eq!(stats(&mut lab, OfPort(2), 7).len(), 1);
    let descs = lab.bridge.queue_descs(OfPort(2), 7).unwrap();
    assert_eq!(descs[0].config.min_rate, Some(10), "of 100 Mbit/s, where the link does not say");
    assert_eq!(lab.bridge.queue_descs(OfPort(1), QUEUE_ALL).unwrap(), []);
    for (port, queue, error) in [
        (OfPort(9), QUEUE_ALL, OfErrorKind::QueueBadPort),
        (OfPort(2), 8, OfErrorKind::QueueBadQueue),
        (OfPort(1), 7, OfErrorKind::QueueBadQueue),
    ] {
        assert_eq!(lab.bridge.queue_descs(port, queue), Err(error), "{port:?} {queue}");
    }
    // What it had in the datapath goes with the port.
    assert!(lab.bridge.remove_port(OfPort(2)));
    lab.settle();
    lab.add_port(2);
    assert_eq!(stats(&mut lab, OfPort::ANY, QUEUE_ALL), []);
}

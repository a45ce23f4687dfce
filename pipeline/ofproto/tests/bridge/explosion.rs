//! The tuple-space explosion: a sender who makes translation look at ever other bits gets no more
//! masks than a port may have, and everything that is cached stays true.

use crate::lab::{DP_OFFSET, Lab, frame, output};
use datapath::{Dpif, PortNo, census};
use sync::time::Nanos;

/// A default-deny list over source address and ports, as the published attack assumes.
fn firewall() -> Lab {
    let mut lab = Lab::secure(3);
    lab.rule(30, "udp,nw_src=10.0.0.1", vec![output(2)]);
    lab.rule(20, "udp,tp_dst=80", vec![output(2)]);
    lab.rule(10, "udp,tp_src=12345", vec![output(3)]);
    lab.settle();
    lab
}

fn udp(src: u32, tp_src: u16, tp_dst: u16) -> Vec<u8> {
    let src = std::net::Ipv4Addr::from(src);
    frame(&format!("udp,nw_src={src},nw_dst=10.0.0.9,nw_ttl=64,tp_src={tp_src},tp_dst={tp_dst}"))
}

/// Each packet differs from every rule first in another bit of each field.
fn attack() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for a in (0..32).step_by(3) {
        for b in (0..16).step_by(2) {
            for c in (0..16).step_by(2) {
                frames.push(udp(0x0a00_0001 ^ 1 << a, 12345 ^ 1 << b, 80 ^ 1 << c));
            }
        }
    }
    frames
}

fn n_masks(lab: &Lab) -> usize {
    lab.dpif.pmd().n_masks(PortNo(1 + DP_OFFSET))
}

#[test]
fn masks_stay_few_and_conclusions_true() {
    let mut lab = firewall();
    for frame in attack() {
        assert_eq!(lab.ports(1, &frame), [], "denied");
    }
    let bound = census::DEFAULT_LIMIT + census::N_ROUNDED;
    let n = n_masks(&lab);
    assert!((census::DEFAULT_LIMIT..=bound).contains(&n), "{n} masks");
    assert!(n < census::DEFAULT_LIMIT + 4, "an attack on one list needs few rounded masks: {n}");

    // Cached or not, rounded or not, the list decides as it would without caches.
    let cases = [((0x0a00_0001, 1, 1), vec![2]), ((9, 1, 80), vec![2]), ((9, 12345, 1), vec![3])];
    for ((src, tp_src, tp_dst), to) in &cases {
        for _ in 0..2 {
            assert_eq!(lab.ports(1, &udp(*src, *tp_src, *tp_dst)), *to);
        }
    }
    let upcalls = lab.bridge.stats().upcalls;
    for frame in attack() {
        assert_eq!(lab.ports(1, &frame), []);
    }
    assert_eq!(lab.bridge.stats().upcalls, upcalls, "all of it is cached");

    // Revalidation sees to rounded conclusions as to others: it finds nothing to object to in a mask
    // that examines more than is needed, and changes what a new rule changes.
    let n_flows = lab.bridge.ukeys().len();
    let before = lab.bridge.revalidator().stats();
    lab.rule(9, "udp,tp_src=12344", vec![output(3)]);
    lab.advance(Nanos::from_millis(600));
    let after = lab.bridge.revalidator().stats();
    assert!(after.translated > before.translated);
    assert!(lab.bridge.ukeys().len() > n_flows / 2, "not thrown away");
    for frame in attack() {
        let is_allowed = frame[34..36] == 12344_u16.to_be_bytes();
        assert_eq!(lab.ports(1, &frame), if is_allowed { vec![3] } else { vec![] });
    }

    // When the attack is over, masks are what was looked at again.
    lab.advance(Nanos::from_secs(12));
    lab.advance(Nanos::from_secs(3));
    assert_eq!((lab.bridge.ukeys().len(), n_masks(&lab)), (0, 0));
    let mut mask = flow::Mask::ZERO;
    mask.set(flow::Field::Ipv4Src, 0xff00_0000);
    let admitted = lab.dpif.admit_mask(datapath::CoreId(0), PortNo(1 + DP_OFFSET), &mask);
    assert_eq!(admitted.get(flow::Field::Ipv4Src), 0xff00_0000);
}

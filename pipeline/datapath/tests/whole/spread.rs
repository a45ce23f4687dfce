//! `hash` and `recirc` as a select group uses them: one hash a flow, spread evenly over the buckets,
//! whatever the packets are made of.

use crate::common::{DST, out, put, with_ports};
use datapath::{DpAction, HashAction, HashKind, LocalDpif, Megaflow, PortNo};
use flow::{Field, Flow, Mask};
use packet::build::{Ipv4, Ipv6, ethernet, udp};
use std::collections::BTreeMap;
use std::sync::Arc;

const N_BUCKETS: u32 = 4;
const N_FLOWS: u32 = 4_000;

/// Ports 2 to 5 by the low bits of the hash.
fn group(kind: HashKind, basis: u32) -> LocalDpif {
    let mut dpif = with_ports(1 + N_BUCKETS);
    let hash = DpAction::Hash(HashAction { kind, basis });
    put(&mut dpif, crate::common::catch_all(1, 0, &[hash, DpAction::Recirc(1)]));
    for bucket in 0..N_BUCKETS {
        let mut key = Flow::ZERO;
        key.set_in_port(1);
        key.set_recirc_id(1);
        key.set_dp_hash(bucket);
        let mut mask = Mask::ZERO;
        mask.set(Field::DpHash, (N_BUCKETS - 1).into());
        put(&mut dpif, Arc::new(Megaflow::new(&key, mask, Arc::from([out(2 + bucket)]))));
    }
    dpif
}

fn mac(n: u32) -> [u8; 6] {
    let [a, b, c, d] = n.to_be_bytes();
    [2, 0, a, b, c, d]
}

fn arp(n: u32) -> Vec<u8> {
    let [a, b, c, d] = (0x0a00_0000 + n).to_be_bytes();
    let mut body = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 7, 10, 0, 0, 1];
    body.extend([0, 0, 0, 0, 0, 0, a, b, c, d]);
    ethernet([0xff; 6], mac(7), 0x0806, &body)
}

fn frame(of: &str, n: u32) -> Vec<u8> {
    let ports = (1024 + (n % 50_000) as u16, 53);
    match of {
        "ethernet" => ethernet(DST, mac(n), 0x88b5, b"payload"),
        "arp by target" => arp(n),
        "udp by port" => {
            ethernet(DST, mac(1), 0x0800, &udp(&Ipv4::default().into(), ports.0, ports.1, b""))
        }
        "udp by address" => {
            let ip = Ipv4 { src: 0x0a00_0000 + n, ..Ipv4::default() };
            ethernet(DST, mac(1), 0x0800, &udp(&ip.into(), 1, 2, b""))
        }
        _ => {
            let ip = Ipv6 { src: 0xfe80 << 112 | u128::from(n), ..Ipv6::default() };
            ethernet(DST, mac(1), 0x86dd, &udp(&ip.into(), 1, 2, b""))
        }
    }
}

const KINDS: [&str; 5] = ["ethernet", "arp by target", "udp by port", "udp by address", "ipv6"];

#[test]
fn flows_of_every_kind_spread_within_a_few_per_cent_and_stay() {
    for kind in [HashKind::L4, HashKind::SymL4] {
        for of in KINDS {
            let mut dpif = group(kind, 0);
            let mut first: BTreeMap<u32, PortNo> = BTreeMap::new();
            let mut n_to: BTreeMap<PortNo, u32> = BTreeMap::new();
            for round in 0..2 {
                for n in 0..N_FLOWS {
                    dpif.receive(PortNo(1), &frame(of, n));
                    let sent = dpif.take_transmitted();
                    let [(to, _)] = &sent[..] else { panic!("{of}: {} frames", sent.len()) };
                    match round {
                        0 => {
                            first.insert(n, *to);
                            *n_to.entry(*to).or_default() += 1;
                        }
                        _ => assert_eq!(first[&n], *to, "{of}: a flow stays where it is"),
                    }
                }
            }
            let fair = N_FLOWS / N_BUCKETS;
            assert_eq!(n_to.len(), 4);
            for (to, n) in n_to {
                // Four standard deviations of a fair coin are 110.
                assert!(n.abs_diff(fair) < 110, "{kind:?} {of}: {n} of {N_FLOWS} to {to}");
            }
            assert!(dpif.accounting().holds());
        }
    }
}

#[test]
fn another_basis_spreads_otherwise() {
    let to = |basis| {
        let mut dpif = group(HashKind::L4, basis);
        (0..64).for_each(|n| dpif.receive(PortNo(1), &frame("ethernet", n)));
        dpif.take_transmitted().into_iter().map(|(to, _)| to).collect::<Vec<_>>()
    };
    assert_eq!(to(3), to(3));
    assert_ne!(to(3), to(4));
}

#[test]
fn both_directions_of_a_symmetric_hash_agree() {
    let mut dpif = group(HashKind::SymL4, 9);
    let (here, there) =
        (Ipv4 { src: 1, dst: 2, ..Ipv4::default() }, Ipv4 { src: 2, dst: 1, ..Ipv4::default() });
    for n in 0..100 {
        let request = ethernet(mac(1), mac(2), 0x0800, &udp(&here.into(), 1000 + n, 53, b""));
        let reply = ethernet(mac(2), mac(1), 0x0800, &udp(&there.into(), 53, 1000 + n, b""));
        dpif.receive(PortNo(1), &request);
        dpif.receive(PortNo(1), &reply);
        let sent = dpif.take_transmitted();
        assert_eq!(sent[0].0, sent[1].0);
    }
}

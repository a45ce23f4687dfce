use super::*;
use proptest::prelude::*;

fn shares(weights: &[u16], slots: &[u16]) -> Vec<usize> {
    (0..weights.len())
        .map(|place| slots.iter().filter(|slot| usize::from(**slot) == place).count())
        .collect()
}

#[test]
fn deals_as_webster_did() {
    let cases: [(&[u16], usize, &[usize]); 6] = [
        (&[1, 1], 16, &[8, 8]),
        (&[1, 1, 1], 64, &[22, 21, 21]),
        (&[1, 3], 16, &[4, 12]),
        (&[100, 200, 300], 64, &[11, 21, 32]),
        (&[5], 16, &[16]),
        (&[1, 0, 1], 16, &[8, 0, 8]),
    ];
    for (weights, n_slots, expected) in cases {
        let slots = spread(weights, MAX_DP_SLOTS).unwrap();
        assert_eq!(slots.len(), n_slots, "{weights:?}");
        assert_eq!(shares(weights, &slots), expected, "{weights:?}");
    }
    assert!(spread(&[1, 1000], MAX_DP_SLOTS).is_none(), "one in a thousand needs more slots");
    assert!(spread(&[1; 300], MAX_DP_SLOTS).is_none());
    assert_eq!(deal(&[], 16).len(), 0);
}

#[test]
fn what_a_dead_bucket_leaves_is_spread_and_the_rest_stays() {
    let weights = [1; 4];
    let slots = spread(&weights, MAX_DP_SLOTS).unwrap();
    let chooser = Chooser { method: Method::Symmetric, slots, weights: Box::new(weights) };
    let alive = |hash| chooser.pick(hash, |_| true).unwrap();
    let mut moved = [0; 4];
    for hash in 0..1024 {
        let now = chooser.pick(hash, |place| place != 2).unwrap();
        if alive(hash) == 2 {
            moved[now] += 1;
        } else {
            assert_eq!(now, alive(hash));
        }
    }
    assert_eq!(moved.iter().sum::<i32>(), 256);
    assert!(moved[2] == 0 && [0, 1, 3].iter().all(|k| moved[*k] >= 64), "{moved:?}");
    assert_eq!(chooser.pick(7, |_| false), None);
    let weights = Box::new([]);
    let none = Chooser { method: Method::Symmetric, slots: Box::new([]), weights };
    assert_eq!(none.pick(7, |_| true), None);
}

proptest! {
    /// Every share is right, whatever the weights.
    #[test]
    fn shares_follow_weights(weights in proptest::collection::vec(1u16.., 1..40)) {
        let slots = spread(&weights, MAX_SLOTS).unwrap_or_else(|| deal(&weights, MAX_SLOTS));
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        for (weight, hits) in weights.iter().zip(shares(&weights, &slots)) {
            let due = f64::from(*weight) / total;
            let got = f64::from(u32::try_from(hits).unwrap()) / slots.len() as f64;
            let error = (due - got).abs();
            prop_assert!(error <= due * 0.05 + 1e-9 || error <= 0.005, "{due} {got}");
        }
    }

    /// Flows that agree in the chosen bits hash alike, and the mask says which those are.
    #[test]
    fn hashes_what_it_unwildcards(src in any::<u32>(), noise in any::<u64>(), basis in any::<u32>()) {
        let fields = [(Field::Ipv4Src, 0xffff_ff00), (Field::TcpDst, 0xffff)];
        let mut flow = Flow::ZERO;
        flow.set_eth_type(0x0800);
        flow.set(Field::Ipv4Src, src.into());
        let mut mask = Mask::ZERO;
        let hash = hash_fields(&flow, &mut mask, &fields, basis);
        let mut other = flow;
        for field in [Field::EthSrc, Field::Ipv4Dst] {
            other.set(field, u128::from(noise) & field.ones());
        }
        other.set(Field::Ipv4Src, (src ^ 0x7f).into());
        let mut others = Mask::ZERO;
        prop_assert_eq!(hash, hash_fields(&other, &mut others, &fields, basis));
        prop_assert_eq!(mask.get(Field::Ipv4Src), 0xffff_ff00);
        prop_assert_eq!(mask.get(Field::EthSrc), 0);
    }
}

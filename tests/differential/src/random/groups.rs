//! Random groups. What a select group chooses is nobody's promise, so its buckets do the same, or
//! only one is alive.

use oracle::random::{Rng, World};

use super::port_word;

/// Groups 1, 2, …, some of which lead to those before them.
pub(super) fn groups(rng: &mut Rng, world: &World) -> Vec<String> {
    (1..=rng.below(5)).map(|id| group(rng, world, id)).collect()
}

fn group(rng: &mut Rng, world: &World, id: usize) -> String {
    match rng.below(6) {
        0 => format!("group_id={id},type=indirect,bucket=actions={}", bucket(rng, world, id)),
        1 => {
            let buckets = (0..1 + rng.below(3)).map(|n| {
                // Nobody has port 77.
                let port = rng.pick(&[1, 2, 3, 77]);
                format!(
                    ",bucket=bucket_id={n},watch_port={port},actions={}",
                    bucket(rng, world, id)
                )
            });
            format!("group_id={id},type=ff{}", buckets.collect::<String>())
        }
        2 => {
            let actions = bucket(rng, world, id);
            let n = 1 + rng.below(3);
            let buckets =
                (0..n).map(|n| format!(",bucket=bucket_id={n},weight={},actions={actions}", 1 + n));
            let method = match rng.below(4) {
                0 => ",selection_method=dp_hash",
                1 => ",selection_method=hash,fields(eth_src,eth_dst)",
                2 => ",selection_method=hash,fields(ip_src,ip_dst,tcp_dst)",
                _ => "",
            };
            format!("group_id={id},type=select{method}{}", buckets.collect::<String>())
        }
        _ => {
            let buckets = (0..1 + rng.below(3))
                .map(|n| format!(",bucket=bucket_id={n},actions={}", bucket(rng, world, id)));
            format!("group_id={id},type=all{}", buckets.collect::<String>())
        }
    }
}

/// Actions that any packet can have done to it.
fn bucket(rng: &mut Rng, world: &World, id: usize) -> String {
    let mut words = Vec::new();
    for _ in 0..rng.below(3) {
        words.push(match rng.below(6) {
            0 => "set_field:02:00:00:00:00:0a->eth_src".to_owned(),
            1 => "set_field:02:00:00:00:00:0b->eth_dst".to_owned(),
            2 => "push_vlan:0x8100,set_field:4106->vlan_vid,set_field:2->vlan_pcp".to_owned(),
            3 => "pop_vlan".to_owned(),
            4 => format!("load:{}->NXM_NX_REG0[0..7]", rng.below(9)),
            _ => "dec_ttl".to_owned(),
        });
    }
    words.push(match rng.below(8) {
        0 if id > 1 => format!("group:{}", 1 + rng.below(id - 1)),
        1 => format!("resubmit(,{})", 3 + rng.below(2)),
        2 => "in_port".to_owned(),
        3 => "controller".to_owned(),
        _ => format!("output:{}", port_word(world.port(rng))),
    });
    words.join(",")
}

//! Soundness of masks: what a megaflow's mask leaves out does not matter.

use flow::{FLOW_WORDS, Flow, FlowMeta, compose, extract};
use ofproto::translate::{Start, TranslateIn, translate};
use openflow::OfPort;

use super::life::Life;
use super::pair::{DP_OFFSET, Pair};
use crate::random::Rng;

/// Frames looked at in one check.
const FRAMES: usize = 6;
/// Bits flipped for each.
const FLIPS: usize = 12;

/// Takes some frames, finds the megaflows that they hit, and flips bits outside their masks: the
/// translation must be the megaflow's all the same. Returns the number of bits flipped.
pub(super) fn check(pair: &mut Pair, life: &Life, seed: u64) -> Result<u64, String> {
    // What the datapath lost, or a full ring left, is in order first.
    pair.settle();
    let mut rng = Rng::new(seed);
    let mut n_flips = 0;
    for _ in 0..FRAMES.min(life.frames.len()) {
        let (port, frame) = &life.frames[rng.below(life.frames.len())];
        let flow = key(frame, *port);
        let megaflows = pair.dpif.pmd().megaflows();
        let hit = megaflows
            .filter(|(megaflow, _)| megaflow.key.recirc_id() == 0)
            .find(|(megaflow, _)| flow.eq_in(&megaflow.key, &megaflow.mask));
        let Some((megaflow, actions)) = hit else { continue };
        for _ in 0..FLIPS {
            let (word, bit) = (rng.below(FLOW_WORDS), rng.below(64));
            if megaflow.mask.word(word) >> bit & 1 != 0 {
                continue;
            }
            let mut flipped = flow;
            flipped.set_word(word, flow.word(word) ^ 1 << bit);
            // As a frame can have it.
            let flipped = key(&compose(&flipped, 46), *port);
            if !flipped.eq_in(&megaflow.key, &megaflow.mask) {
                continue;
            }
            n_flips += 1;
            let out = translate(&TranslateIn {
                state: pair.bridge.state(),
                flow: &flipped,
                in_port: *port,
                start: Start::Tables,
                is_traced: false,
            });
            if *out.actions != *actions {
                return Err(format!(
                    "a mask leaves out what matters: {flow}\nand {flipped}\nhit {:?}\nwith actions \
                     {}\nbut the second should have {}",
                    megaflow.mask,
                    datapath::Actions::new(actions),
                    datapath::Actions::new(&out.actions),
                ));
            }
        }
    }
    Ok(n_flips)
}

fn key(frame: &[u8], port: OfPort) -> Flow {
    extract(frame, &FlowMeta::of_port(port.0 + DP_OFFSET)).flow
}

//! Soundness of masks: what a megaflow's mask leaves out does not matter.

use std::sync::Arc;

use datapath::{DpAction, Dpif, LocalDpif, PortNo};
use flow::{FLOW_WORDS, Flow, FlowMeta, compose, extract};
use ofproto::translate::{Start, TranslateIn, translate};
use openflow::OfPort;

use super::life::Life;
use super::pair::{DP_OFFSET, Pair};
use crate::random::Rng;

/// Frames looked at in one check.
const FRAMES: usize = 6;
/// Ports of any life.
const MOST_PORTS: u32 = 8;
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
            let frame = compose(&flipped, 46);
            let flipped = key(&frame, *port);
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
            // What a translation examines may have changed since the megaflow was made, for reasons
            // that do not concern it; then masks of changes differ, but not their effect.
            if *out.path.actions != *actions
                && run(&frame, &flipped, &out.path.actions) != run(&frame, &flipped, actions)
            {
                return Err(format!(
                    "a mask leaves out what matters: {flow}\nand {flipped}\nhit {:?}\nwith actions \
                     {}\nbut the second should have {}",
                    megaflow.mask,
                    datapath::Actions::new(actions),
                    datapath::Actions::new(&out.path.actions),
                ));
            }
        }
    }
    Ok(n_flips)
}

/// What a program does to a frame: the frames that leave, and those that go up.
fn run(frame: &[u8], flow: &Flow, actions: &[DpAction]) -> (Vec<(PortNo, Vec<u8>)>, Vec<String>) {
    let mut dpif = LocalDpif::new();
    for number in 1..=MOST_PORTS {
        dpif.add_port(PortNo(number + DP_OFFSET));
    }
    if let Some(packet) = dpif.packet_from(frame) {
        dpif.execute(packet, flow, &Arc::from(actions));
    }
    let upcalls = core::iter::from_fn(|| dpif.next_upcall())
        .map(|upcall| format!("{:?} {} {:?}", upcall.reason, upcall.flow, upcall.packet.data()))
        .collect();
    (dpif.take_transmitted(), upcalls)
}

fn key(frame: &[u8], port: OfPort) -> Flow {
    extract(frame, &FlowMeta::of_port(port.0 + DP_OFFSET)).flow
}

//! `ofproto/trace`: what would happen to a packet, step by step, in Open vSwitch's words.

use crate::bridge::Bridge;
use crate::intern::Named;
use crate::translate::{
    Frozen, Node, NodeKind, Start, TranslateIn, TranslateOut, print, translate,
};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use core::fmt::Write as _;
use datapath::{Actions, HashAction, HashKind};
use flow::{Flow, FlowMeta, Match, extract};
use openflow::OfPort;

/// Recirculations that one trace follows.
const MAX_RECIRCULATIONS: usize = 16;

/// What became of a flow that was traced.
fn final_flow(out: &TranslateOut) -> &Flow {
    out.final_flow.as_deref().unwrap_or(&Flow::ZERO)
}

impl Bridge {
    /// Traces a packet with this flow, whose ingress port is an OpenFlow number. Has no side
    /// effects.
    #[must_use]
    pub fn trace(&self, flow: &Flow) -> String {
        self.trace_from(flow, Start::Tables)
    }

    /// Traces a frame received on `in_port`.
    #[must_use]
    pub fn trace_frame(&self, frame: &[u8], in_port: OfPort) -> String {
        self.trace(&extract(frame, &FlowMeta::of_port(in_port.0)).flow)
    }

    /// Traces actions as a packet-out would execute them.
    #[must_use]
    pub fn trace_packet_out(&self, flow: &Flow, actions: &[openflow::Action]) -> String {
        self.trace_from(flow, Start::Actions(actions))
    }

    fn trace_from(&self, flow: &Flow, start: Start<'_>) -> String {
        let mut text = String::new();
        let out = self.trace_one(&mut text, flow, start);
        let mut queue: VecDeque<(Flow, Named<Frozen>)> = VecDeque::new();
        let enqueue = |queue: &mut VecDeque<_>, out: TranslateOut| {
            for named in &out.path.frozen {
                queue.push_back((*final_flow(&out), named.clone()));
            }
        };
        enqueue(&mut queue, out);
        for _ in 0..MAX_RECIRCULATIONS {
            let Some((mut flow, (id, frozen))) = queue.pop_front() else {
                break;
            };
            flow.set_recirc_id(id);
            if let Some(HashAction { kind, basis }) = frozen.hash {
                // As the datapath does it: zero stands for "no hash".
                let hash = match kind {
                    HashKind::L4 => flow.hash_5tuple(basis),
                    HashKind::SymL4 => flow.hash_symmetric_l4(basis),
                };
                flow.set_dp_hash(hash.max(1));
            }
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n\n{line}\nrecirc({id:#x}) - resume after headers changed\n{line}\n\n",
                line = "=".repeat(79)
            );
            let out = self.trace_one(&mut text, &flow, Start::Resume(&frozen));
            enqueue(&mut queue, out);
        }
        text
    }

    fn trace_one(&self, text: &mut String, flow: &Flow, start: Start<'_>) -> TranslateOut {
        let in_port = OfPort(flow.in_port());
        let input = TranslateIn { state: &self.state, flow, in_port, start, is_traced: true };
        let mut out = translate(&input);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "Flow: {flow}");
        let nodes = vec![Node {
            kind: NodeKind::Bridge,
            text: format!("bridge(\"{}\")", self.name()),
            subs: core::mem::take(&mut out.trace),
        }];
        print(text, &nodes);
        let _ = text.write_str("\nFinal flow: ");
        let _ = if final_flow(&out) == flow {
            writeln!(text, "unchanged")
        } else {
            writeln!(text, "{}", final_flow(&out))
        };
        let _ = writeln!(text, "Megaflow: {}", Match::new(flow, &out.mask));
        let _ = write!(text, "Datapath actions: {}", Actions::new(&out.path.actions));
        if let Some(error) = out.error {
            let _ = write!(text, "\nTranslation failed ({error}), packet is dropped.");
        }
        let _ = writeln!(text);
        out
    }
}

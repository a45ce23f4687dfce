//! Packet-ins: what an upcall cookie stands for, and the event that it becomes.

use crate::bridge::Bridge;
use crate::events::{BridgeEvent, MissKind, PacketInEvent};
use crate::tlv::OPTIONS;
use crate::translate::Frozen;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use datapath::UpcallAction;
use flow::layout::{METADATA, PORT, pipeline_words};
use flow::{Field, Flow, Mask, Match};
use openflow::{OfPort, PacketIn, PacketInReason};

/// What a packet-in says besides the packet: fixed when the action was translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketInSpec {
    /// Table of the rule that sends it.
    pub table_id: u8,
    /// That rule's cookie, or all ones.
    pub cookie: u64,
    /// Whether it is a table miss.
    pub miss: MissKind,
    /// Metadata, tunnel, registers and OpenFlow ingress port at that moment; nothing else.
    pub metadata: Flow,
    /// Comes back in the packet-in.
    pub userdata: Vec<u8>,
    /// What goes on when a controller resumes the packet.
    pub(crate) continuation: Option<Arc<Frozen>>,
}

impl Hash for PacketInSpec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.cookie);
        state.write_u64(u64::from(self.table_id));
        for word in METADATA..=PORT {
            state.write_u64(self.metadata.word(word));
        }
        self.userdata.hash(state);
    }
}

impl PacketInSpec {
    /// The metadata of `flow`: what a frame does not say by itself.
    pub(crate) fn metadata_of(flow: &Flow) -> Flow {
        let mut metadata = Flow::ZERO;
        for word in pipeline_words() {
            metadata.set_word(word, flow.word(word));
        }
        metadata.set_in_port(flow.in_port());
        metadata.set_pkt_mark(flow.pkt_mark());
        metadata
    }

    /// The metadata as the match that a packet-in carries: the ingress port, and all else that is
    /// not zero (1.3.5 §7.4.1).
    fn to_match(&self) -> Match {
        let mut mask = Mask::ZERO;
        for field in
            [Field::Metadata, Field::TunnelId, Field::TunSrc, Field::TunDst, Field::PktMark]
                .into_iter()
                .chain(OPTIONS)
        {
            if self.metadata.get(field) != 0 {
                mask.set_exact(field);
            }
        }
        for field in (0..16).filter_map(Field::reg) {
            if self.metadata.get(field) != 0 {
                mask.set_exact(field);
            }
        }
        mask.set_exact(Field::InPort);
        Match::new(&self.metadata, &mask)
    }
}

impl Bridge {
    /// Turns a packet that an action sent to controllers into an event.
    pub(crate) fn packet_in(&mut self, frame: &[u8], action: &UpcallAction) {
        let id = u32::try_from(action.cookie).unwrap_or(0);
        let Some(spec) = self.state.packet_ins.get(id).map(Arc::clone) else {
            self.stats.packet_ins_orphaned += 1;
            return;
        };
        self.stats.packet_ins += 1;
        let reason = match action.reason {
            datapath::PacketInReason::NoMatch => PacketInReason::NoMatch,
            datapath::PacketInReason::Action => PacketInReason::Action,
            datapath::PacketInReason::InvalidTtl => PacketInReason::InvalidTtl,
            datapath::PacketInReason::ActionSet => PacketInReason::ActionSet,
            datapath::PacketInReason::Group => PacketInReason::Group,
            datapath::PacketInReason::PacketOut => PacketInReason::PacketOut,
        };
        let continuation = spec.continuation.as_ref().map(|frozen| self.continuations.keep(frozen));
        let continuation = continuation.unwrap_or_default();
        let packet_in = PacketIn {
            buffer_id: None,
            total_len: u32::try_from(frame.len()).unwrap_or(u32::MAX),
            reason,
            table_id: spec.table_id,
            cookie: spec.cookie,
            metadata: spec.to_match(),
            userdata: spec.userdata.clone(),
            continuation,
            data: frame.to_vec(),
        };
        self.events.push(BridgeEvent::PacketIn(PacketInEvent {
            packet_in,
            max_len: action.max_len,
            controller_id: action.controller_id,
            miss: spec.miss,
        }));
    }

    /// Whether a number is that of a port that a packet-out can pretend to come from.
    pub(crate) fn is_packet_out_port(number: OfPort) -> bool {
        number.is_physical() || matches!(number, OfPort::CONTROLLER | OfPort::ANY)
    }
}

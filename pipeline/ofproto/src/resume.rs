//! Packets that wait for a controller: `controller(pause)` and the order to resume.
//!
//! # What
//! A translation that meets a paused controller action freezes, as for a recirculation, and the
//! packet goes to the controller with a *continuation*: a few bytes that name the frozen translation.
//! The controller sends the packet back with them, the packet and its metadata perhaps changed, and
//! the translation goes on with the tables of that moment.
//!
//! # Bounded
//! The bridge keeps the last [`MAX_WAITING`] continuations; who resumes an older one is told that it is
//! stale, as after a restart (Open vSwitch sends the whole state to the controller instead, which has no
//! bound and must trust what comes back). A continuation may be resumed more than once.

use crate::bridge::Bridge;
use crate::handler::Seen;
use crate::translate::{Frozen, Start, TranslateIn};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::Dpif;
use flow::layout::pipeline_words;
use flow::{Flow, FlowMeta, extract};
use openflow::{OfErrorKind, OfPort, PacketIn};
use sync::time::Nanos;

/// Packets that wait at most.
const MAX_WAITING: usize = 4096;

/// The property that a continuation is: of a type that Open vSwitch does not use.
const PROPERTY: [u8; 8] = [0x80, 0x20, 0, 16, 0, 0, 0, 0];

/// The frozen translations of packets that wait.
#[derive(Debug, Default)]
pub(crate) struct Continuations {
    waiting: VecDeque<Arc<Frozen>>,
    /// The number of the first.
    first: u64,
}

impl Continuations {
    /// Keeps a frozen translation, and returns the bytes that name it.
    pub(crate) fn keep(&mut self, frozen: &Arc<Frozen>) -> Vec<u8> {
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_front();
            self.first += 1;
        }
        let number = self.first + self.waiting.len() as u64;
        self.waiting.push_back(Arc::clone(frozen));
        [PROPERTY, number.to_be_bytes()].concat()
    }

    fn find(&self, bytes: &[u8]) -> Option<Arc<Frozen>> {
        let number = bytes.strip_prefix(&PROPERTY)?.first_chunk::<8>()?;
        let place = u64::from_be_bytes(*number).checked_sub(self.first)?;
        self.waiting.get(usize::try_from(place).ok()?).cloned()
    }
}

impl Bridge {
    /// Goes on with a packet that waited.
    ///
    /// # Errors
    /// Nothing, or nothing any more, waits under this continuation.
    pub fn resume(
        &mut self,
        packet: &PacketIn,
        dpif: &mut dyn Dpif,
        now: Nanos,
    ) -> Result<(), OfErrorKind> {
        let frozen = self.continuations.find(&packet.continuation);
        let frozen = frozen.ok_or(OfErrorKind::NxResumeStale)?;
        let in_port = packet.in_port();
        let dp = self.state.ports.get(in_port).and_then(crate::port::Port::dp);
        let flow =
            extract(&packet.data, &FlowMeta::of_port(dp.unwrap_or(self.state.origin).0)).flow;
        let mut metadata = Flow::ZERO;
        for word in pipeline_words() {
            metadata.set_word(word, packet.metadata.flow().word(word));
        }
        metadata.set_in_port(in_port.0);
        let thawed = frozen.thawed(metadata);
        let in_port = if dp.is_some() { in_port } else { OfPort::CONTROLLER };
        let out = self.translator.translate(&TranslateIn {
            state: &self.state,
            flow: &flow,
            in_port,
            start: Start::Resume(&thawed),
            is_traced: false,
        });
        let Some(frame) = dpif.packet_from(&packet.data) else {
            return Ok(());
        };
        self.apply(&out.path, out.error.is_some(), packet.data.len() as u64, Seen::Now(now));
        if let Ok(names) = self.hold_names(&out.path, 0, now) {
            // Not installed: the numbers live through their grace, for this packet.
            self.release_names(&names, now);
        }
        dpif.execute(frame, &flow, &out.path.actions);
        Ok(())
    }
}

//! Packet-out: a controller's own packet (OpenFlow 1.0.1 §5.3.6, 1.3.5 §7.3.7).

use crate::bridge::Bridge;
use crate::check::{Known, check_packet_out};
use crate::handler::Seen;
use crate::translate::{Start, TranslateIn};
use datapath::Dpif;
use flow::{FlowMeta, extract};
use openflow::{OfErrorKind, OfPort, PacketOut, Version};
use sync::time::Nanos;

/// What a frame has at least.
const ETHERNET_BYTES: usize = 14;

impl Bridge {
    /// Runs a packet-out's actions on its packet, with all side effects.
    ///
    /// # Errors
    /// It names a kept frame (none are kept), an impossible port, bad actions, or is no frame. A packet for
    /// which there is no buffer is lost and not an error.
    pub fn packet_out(
        &mut self,
        packet_out: &PacketOut,
        version: Version,
        dpif: &mut dyn Dpif,
        now: Nanos,
    ) -> Result<(), OfErrorKind> {
        Self::check_packet(packet_out, version)?;
        let in_port = match packet_out.in_port {
            OfPort::ANY => OfPort::CONTROLLER,
            port => port,
        };
        let dp = self.state.ports.get(in_port).and_then(crate::port::Port::dp);
        let dp = dp.unwrap_or(self.state.origin);
        let mut flow = extract(&packet_out.data, &FlowMeta::of_port(dp.0)).flow;
        if let Some(metadata) = &packet_out.metadata {
            for word in metadata.mask().map() {
                let kept = flow.word(word) & !metadata.mask().word(word);
                flow.set_word(word, kept | metadata.flow().word(word));
            }
        }
        check_packet_out(&packet_out.actions, &flow, version, Known::now(&self.state))?;
        let out = self.translator.translate(&TranslateIn {
            state: &self.state,
            flow: &flow,
            in_port,
            start: Start::Actions(&packet_out.actions),
            is_traced: false,
        });
        let Some(packet) = dpif.packet_from(&packet_out.data) else {
            return Ok(());
        };
        self.apply(&out.path, out.error.is_some(), packet_out.data.len() as u64, Seen::Now(now));
        if let Ok(names) = self.hold_names(&out.path, 0, now) {
            // Not installed: the numbers live through their grace, for this packet.
            self.release_names(&names, now);
        }
        dpif.execute(packet, &flow, &out.path.actions);
        Ok(())
    }

    /// Whether the packet of a packet-out is one, and can come from where it is to come from.
    pub(crate) fn check_packet(
        packet_out: &PacketOut,
        version: Version,
    ) -> Result<(), OfErrorKind> {
        if packet_out.buffer_id.is_some() {
            return Err(OfErrorKind::RequestBufferUnknown);
        }
        if !Self::is_packet_out_port(packet_out.in_port) {
            return Err(OfErrorKind::RequestBadPort);
        }
        // 1.0 and 1.1 have no word for it: there it is a damaged frame as any other.
        let is_short = packet_out.data.len() < ETHERNET_BYTES;
        if is_short && OfErrorKind::RequestBadPacket.exists_in(version) {
            return Err(OfErrorKind::RequestBadPacket);
        }
        Ok(())
    }
}

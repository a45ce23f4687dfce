//! Copies for mirrors ([`crate::mirror`]): of what comes in, before anything else happens to it, and of
//! what leaves, right behind it.
//!
//! A copy is an output like any other, so it may be selected in turn; since each mirror is taken once in a
//! translation, that nests no deeper than there are mirrors.

use super::machine::Machine;
use crate::mac_learning::is_reserved;
use crate::mirror::{MirrorOutput, MirrorSet};
use crate::ukey::Credit;
use crate::vlan::Tags;
use alloc::sync::Arc;
use flow::Field;
use openflow::OfPort;

impl Machine<'_> {
    /// Sends what comes in to the mirrors that select it.
    pub(crate) fn mirror_ingress(&mut self) {
        let in_port = OfPort(self.flow.in_port());
        let mirrors = &self.input.state.mirrors;
        if !mirrors.is_empty() && self.input.state.ports.get(in_port).is_some() {
            let selected = mirrors.of_source(in_port);
            self.mirror(in_port, selected);
        }
    }

    /// Sends the packet, as it is on this port, to those of the `selected` mirrors that have not had it.
    pub(crate) fn mirror(&mut self, port: OfPort, selected: MirrorSet) {
        let mut left = selected & !self.mirrored;
        if left == 0 {
            return;
        }
        let Some(mut tags) = self.take_in(port) else { return };
        let mirrors = &self.input.state.mirrors;
        while left != 0 {
            let number = left.trailing_zeros();
            left &= left - 1;
            let Some(mirror) = mirrors.get(number) else { continue };
            let vlans = mirror.config.vlans.as_ref();
            if vlans.is_some_and(|vlans| !vlans.contains(tags[0].vid)) {
                continue;
            }
            self.credits.push(Credit::Counts(Arc::clone(&mirror.counts)));
            self.mirrored |= mirrors.twins(number);
            self.snaplen = mirror.config.snaplen;
            match mirror.config.output {
                MirrorOutput::Port(to) => match self.input.state.ports.get(to) {
                    Some(to) => self.give_out(to, &tags),
                    None => self.deps.note_port(to),
                },
                MirrorOutput::Vlan(vlan) => {
                    self.mask.set_exact(Field::EthDst);
                    if tags[0].vid != vlan && !is_reserved(self.flow.eth_dst()) {
                        let own = core::mem::replace(&mut tags[0].vid, vlan);
                        self.mirror_to_vlan(&tags);
                        tags[0].vid = own;
                    }
                }
            }
            self.snaplen = 0;
            // Outputs may have been selected in turn.
            left &= !self.mirrored;
        }
    }

    /// Sends to all ports that carry the VLAN, the ingress port included, as Open vSwitch.
    fn mirror_to_vlan(&mut self, tags: &Tags) {
        let state = self.input.state;
        let snaplen = self.snaplen;
        self.deps.note_all_ports();
        for port in state.ports.iter() {
            if port.dp().is_some()
                && !state.mirrors.has_output(port.number())
                && self.includes(port.vlan(), tags)
            {
                self.snaplen = snaplen;
                self.give_out(port, tags);
            }
        }
    }
}

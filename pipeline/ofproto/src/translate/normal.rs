//! Normal forwarding: what a learning bridge does (ovs-facts B1 to B6).

use super::NodeKind;
use super::machine::Machine;
use crate::mac_learning::{Station, is_reserved};
use crate::ukey::Credit;
use core::fmt::Arguments;
use datapath::DropReason;
use flow::Field;
use flow::proto::{VLAN_PRESENT, VLAN_VID_MASK};
use openflow::OfPort;

impl Machine<'_> {
    /// Learns the source and forwards to the destination's port, or to all.
    pub(crate) fn normal(&mut self) {
        self.mask.set_exact(Field::EthSrc);
        self.mask.set_exact(Field::EthDst);
        self.mask.add(Field::VlanTci, u128::from(VLAN_PRESENT | VLAN_VID_MASK));
        let vlan = self.flow.vlan_vid();
        let in_port = OfPort(self.flow.in_port());
        let state = self.input.state;
        self.deps.note_port(in_port);
        let has_in_port = state.ports.get(in_port).is_some();

        // A packet-out may inject any frame; only what comes from a port is held to the rules.
        if has_in_port && !state.options.forward_bpdu && is_reserved(self.flow.eth_dst()) {
            self.not_forwarded(
                DropReason::ReservedMulticast,
                format_args!("packet has reserved destination MAC, dropping"),
            );
            return;
        }

        let source = Station { vlan, mac: self.flow.eth_src() };
        if has_in_port && !source.mac.is_multicast() {
            self.learns.push((source, in_port));
            self.credits.push(Credit::Mac { station: source, port: in_port });
        }

        let destination = Station { vlan, mac: self.flow.eth_dst() };
        if destination.mac.is_multicast() {
            self.report.say(NodeKind::Detail, format_args!("multicast destination, flooding"));
            self.flood_normal();
            return;
        }
        match self.port_of(destination) {
            Some(port) if port == in_port => self.not_forwarded(
                DropReason::MacOnInPort,
                format_args!("learned port is input port, dropping"),
            ),
            Some(port) => {
                self.report.say(NodeKind::Detail, format_args!("forwarding to learned port"));
                self.send(port);
            }
            None => {
                self.report.say(
                    NodeKind::Detail,
                    format_args!("no learned MAC for destination, flooding"),
                );
                self.flood_normal();
            }
        }
    }

    /// As [`not_sent`](Self::not_sent), for what is a bridge's ordinary business and no warning.
    fn not_forwarded(&mut self, reason: DropReason, why: Arguments<'_>) {
        self.report.say(NodeKind::Detail, why);
        self.drop.get_or_insert(reason);
    }

    /// Where a station is, given what this very packet teaches.
    fn port_of(&mut self, station: Station) -> Option<OfPort> {
        self.deps.note_station(station);
        let learned = self.learns.iter().rev().find(|(learned, _)| *learned == station);
        learned.map(|(_, port)| *port).or_else(|| self.input.state.macs.lookup(station))
    }
}

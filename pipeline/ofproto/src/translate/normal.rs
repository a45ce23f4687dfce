//! Normal forwarding: what a learning bridge does (ovs-facts B1 to B6).

use super::NodeKind;
use super::machine::Machine;
use crate::mac_learning::{Station, is_reserved};
use crate::port::Port;
use crate::ukey::Credit;
use crate::vlan::{PortVlan, PriorityTags, Tags, VlanMode, put, tags_of};
use core::fmt::Arguments;
use datapath::DropReason;
use flow::Field;
use flow::layout::VLAN;
use flow::proto::{VLAN_PCP_MASK, VLAN_PRESENT, VLAN_VID_MASK};
use openflow::OfPort;

impl Machine<'_> {
    /// Learns the source and forwards to the destination's port, or to all of the VLAN.
    pub(crate) fn normal(&mut self) {
        self.mask.set_exact(Field::EthSrc);
        self.mask.set_exact(Field::EthDst);
        let in_port = OfPort(self.flow.in_port());
        let state = self.input.state;
        self.deps.note_port(in_port);
        let has_in_port = state.ports.get(in_port).is_some();

        if state.mirrors.has_output(in_port) {
            self.not_sent(
                DropReason::MirrorPort,
                format_args!("input port is mirror output port, dropping"),
            );
            return;
        }
        let Some(tags) = self.take_in(in_port) else {
            self.not_sent(
                DropReason::VlanNotAllowed,
                format_args!("disallowed VLAN VID for this input port, dropping"),
            );
            return;
        };
        let vlan = tags[0].vid;

        // A packet-out may inject any frame; only what comes from a port is held to the rules.
        if has_in_port && !state.options.forward_bpdu && is_reserved(self.flow.eth_dst()) {
            self.not_forwarded(
                DropReason::ReservedMulticast,
                format_args!("packet has reserved destination MAC, dropping"),
            );
            return;
        }

        let learns = state.flood_vlans.as_ref().is_none_or(|vlans| !vlans.contains(vlan));
        let source = Station { vlan, mac: self.flow.eth_src() };
        if has_in_port && learns && !source.mac.is_multicast() {
            self.learns.push((source, in_port));
            self.credits.push(Credit::Mac { station: source, port: in_port });
        }

        let destination = Station { vlan, mac: self.flow.eth_dst() };
        if destination.mac.is_multicast() {
            self.report.say(NodeKind::Detail, format_args!("multicast destination, flooding"));
            self.flood_normal(&tags);
            return;
        }
        match self.port_of(destination).filter(|_| learns) {
            Some(port) if state.mirrors.has_output(port) => self.not_sent(
                DropReason::MirrorPort,
                format_args!("learned port is a mirror port, dropping"),
            ),
            Some(port) if port == in_port => self.not_forwarded(
                DropReason::MacOnInPort,
                format_args!("learned port is input port, dropping"),
            ),
            Some(port) => {
                self.report.say(NodeKind::Detail, format_args!("forwarding to learned port"));
                match state.ports.get(port) {
                    Some(port) => self.give_out(port, &tags),
                    // Says that it is not there.
                    None => self.send(port),
                }
            }
            None => {
                self.report.say(
                    NodeKind::Detail,
                    format_args!("no learned MAC for destination, flooding"),
                );
                self.flood_normal(&tags);
            }
        }
    }

    /// The packet's tags inside the bridge, if they may come in by this port.
    pub(crate) fn take_in(&mut self, in_port: OfPort) -> Option<Tags> {
        self.mask.add(Field::VlanTci, u128::from(VLAN_PRESENT | VLAN_VID_MASK));
        let tags = tags_of(self.flow);
        if self.flow.has_vlan() && tags[0].vid == 0 {
            // Whether the tag says anything then depends on its priority.
            self.mask.add(Field::VlanTci, u128::from(VLAN_PCP_MASK));
        }
        let Some(port) = self.input.state.ports.get(in_port) else {
            return Some(tags);
        };
        let vlan = port.vlan();
        if vlan.mode == VlanMode::Dot1qTunnel && self.flow.has_vlan() {
            self.mask.add(Field::VlanTci1, u128::from(VLAN_PRESENT));
        }
        vlan.admits(tags[0].vid).then(|| vlan.take_in(&tags)).flatten()
    }

    /// Whether a port carries frames with these tags inside.
    pub(crate) fn includes(&mut self, vlan: &PortVlan, tags: &Tags) -> bool {
        if vlan.looks_inside(tags[0].vid) && self.flow.has_vlan() {
            // The inner tag inside may be the packet's own.
            self.mask.add(Field::VlanTci1, u128::from(VLAN_PRESENT | VLAN_VID_MASK));
        }
        vlan.includes(tags)
    }

    /// Sends to a port, tagged as the port wants it.
    pub(crate) fn give_out(&mut self, port: &Port, tags: &Tags) {
        let vlan = port.vlan();
        if vlan.priority_tags != PriorityTags::Never {
            self.mask.add(Field::VlanTci, u128::from(VLAN_PRESENT | VLAN_PCP_MASK));
        }
        let saved = self.flow.word(VLAN);
        let tags = vlan.give_out(tags, self.flow.vlan_tci() & VLAN_PCP_MASK);
        put(self.flow, &tags, vlan.priority_tags);
        self.send(port.number());
        self.flow.set_word(VLAN, saved);
    }

    /// Sends to all ports of the VLAN that take part in flooding.
    fn flood_normal(&mut self, tags: &Tags) {
        let state = self.input.state;
        let in_port = OfPort(self.flow.in_port());
        self.deps.note_all_ports();
        for port in state.ports.iter() {
            if port.number() != in_port
                && port.is_floodable()
                && port.dp().is_some()
                && !state.mirrors.has_output(port.number())
                && self.includes(port.vlan(), tags)
            {
                self.give_out(port, tags);
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

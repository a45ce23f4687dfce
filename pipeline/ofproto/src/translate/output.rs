//! Outputs: to a port, to many, to controllers, back into the tables.

use super::Frozen;
use super::TranslateError;
use super::machine::Machine;
use super::step::{Origin, Verdict};
use crate::events::MissKind;
use crate::packet_in::PacketInSpec;
use crate::port::Port;
use crate::qos::Qos;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{DpAction, DropReason, PortNo, UpcallAction};
use flow::Field;
use openflow::{ControllerAction, OfPort, PacketInReason, PortConfig};

/// Which ports a flood goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flood {
    /// Those that are not excluded from flooding.
    Floodable,
    /// All.
    All,
}

impl Machine<'_> {
    /// The output action (OpenFlow 1.3.5 §5.12 and §4.5 for the reserved ports).
    pub(crate) fn output(&mut self, port: OfPort, max_len: u16) -> Verdict {
        match port {
            OfPort::IN_PORT => self.send(OfPort(self.flow.in_port())),
            OfPort::TABLE => return Verdict::Call(self.pipeline(0)),
            OfPort::NORMAL => self.normal(),
            OfPort::FLOOD => self.flood(Flood::Floodable),
            OfPort::ALL => self.flood(Flood::All),
            OfPort::CONTROLLER => {
                let reason = match self.origin {
                    Origin { is_bucket: true, .. } => PacketInReason::Group,
                    Origin { is_action_set: true, .. } => PacketInReason::ActionSet,
                    _ => PacketInReason::Action,
                };
                let is_action = reason == PacketInReason::Action;
                let miss = if self.origin.is_table_miss && is_action {
                    MissKind::Explicit
                } else {
                    MissKind::None
                };
                self.controller(&ControllerAction { max_len, reason, ..Default::default() }, miss);
            }
            OfPort::ANY | OfPort::UNSET => {}
            _ if port.0 == self.flow.in_port() => self.not_sent(
                DropReason::OutputToInPort,
                format_args!("skipping output to input port"),
            ),
            _ => self.send(port),
        }
        Verdict::Next
    }

    /// Sends to one port, whichever it is.
    pub(crate) fn send(&mut self, number: OfPort) {
        self.deps.note_port(number);
        let Some(port) = self.input.state.ports.get(number) else {
            self.not_sent(DropReason::NoSuchPort, format_args!("Nonexistent output port"));
            return;
        };
        if !port.may_send() {
            let why = if port.config().contains(PortConfig::NO_FWD) {
                "OFPPC_NO_FWD set, skipping output"
            } else {
                "OFPPC_PORT_DOWN set, skipping output"
            };
            self.not_sent(DropReason::ForwardingDisabled, format_args!("{why}"));
            return;
        }
        let Some(dp) = port.dp() else {
            self.not_sent(DropReason::NoSuchPort, format_args!("nobody listens on this port"));
            return;
        };
        if self.is_between_protected(port) {
            let why = format_args!("Flow is between protected ports, skipping output.");
            self.not_sent(DropReason::ProtectedPort, why);
            return;
        }
        self.commit();
        match port.qos() {
            None => {
                if self.snaplen != 0 {
                    self.emit(DpAction::Truncate(self.snaplen.into()));
                }
                self.emit(DpAction::Output(dp));
            }
            Some(qos) => self.emit_policed(qos, dp),
        }
        self.has_output = true;
        let selected = self.input.state.mirrors.of_destination(number);
        self.mirror(number, selected);
    }

    /// Sends as far as the port, and the queue that the packet is in, may send (see [`crate::qos`]). In a
    /// clone: what is too much here may still go elsewhere.
    fn emit_policed(&mut self, qos: &Qos, dp: PortNo) {
        if qos.has_queues() {
            self.mask.set_exact(Field::SkbPriority);
        }
        let mut inner: Vec<_> =
            qos.meters(self.flow.skb_priority()).map(DpAction::Police).collect();
        if self.snaplen != 0 {
            inner.push(DpAction::Truncate(self.snaplen.into()));
        }
        inner.push(DpAction::Output(dp));
        self.emit_clone(inner.into());
    }

    /// Whether the packet would go from one protected port to another.
    fn is_between_protected(&self, port: &Port) -> bool {
        let in_port = OfPort(self.flow.in_port());
        let from = || self.input.state.ports.get(in_port);
        port.vlan().is_protected && from().is_some_and(|from| from.vlan().is_protected)
    }

    fn flood(&mut self, flood: Flood) {
        let state = self.input.state;
        let in_port = OfPort(self.flow.in_port());
        self.deps.note_all_ports();
        for port in state.ports.iter() {
            let is_wanted = flood == Flood::All || port.is_floodable();
            if port.number() != in_port && is_wanted && port.dp().is_some() {
                self.send(port.number());
            }
        }
    }

    /// Sends a copy to controllers.
    pub(crate) fn controller(&mut self, action: &ControllerAction, miss: MissKind) {
        self.tell(action, miss, None);
    }

    /// Sends the packet to controllers, one of which may have it go on from here.
    pub(crate) fn pause(&mut self, action: &ControllerAction) {
        let frozen = Arc::new(self.take_frozen());
        self.tell(action, MissKind::None, Some(frozen));
    }

    fn tell(&mut self, action: &ControllerAction, miss: MissKind, then: Option<Arc<Frozen>>) {
        let spec = PacketInSpec {
            continuation: then,
            table_id: self.origin.table_id,
            cookie: self.origin.cookie,
            miss,
            metadata: PacketInSpec::metadata_of(self.flow),
            userdata: action.userdata.clone(),
        };
        let Some(id) = self.input.state.packet_ins.propose(&spec, self.packet_ins) else {
            self.error = Some(TranslateError::NoNumber);
            return;
        };
        if !self.packet_ins.iter().any(|(named, _)| *named == id) {
            self.packet_ins.push((id, Arc::new(spec)));
        }
        self.commit();
        let reason = match action.reason {
            PacketInReason::NoMatch => datapath::PacketInReason::NoMatch,
            PacketInReason::Action => datapath::PacketInReason::Action,
            PacketInReason::InvalidTtl => datapath::PacketInReason::InvalidTtl,
            PacketInReason::ActionSet => datapath::PacketInReason::ActionSet,
            PacketInReason::Group => datapath::PacketInReason::Group,
            PacketInReason::PacketOut => datapath::PacketInReason::PacketOut,
        };
        let upcall = DpAction::Upcall(UpcallAction {
            reason,
            cookie: id.into(),
            rule_cookie: self.origin.cookie,
            max_len: action.max_len,
            controller_id: action.controller_id,
        });
        self.emit_metered(upcall, action.meter_id);
        self.has_output = true;
    }
}

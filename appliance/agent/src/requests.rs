//! What each request does. One message in, its replies (or its error) out.

use crate::agent::Shared;
use crate::connection::{Connection, Waiting};
use crate::multipart;
use alloc::vec::Vec;
use datapath::Dpif;
use ofproto::{Bridge, Fragments};
use openflow::{
    Capabilities, ControllerRole, FeaturesReply, FlowModCommand, Message, OfErrorKind, Origin,
    QueueGetConfigReply, Role, SwitchConfig, Version, frag,
};
use sync::time::Nanos;

/// Bits of the actions that OpenFlow 1.0's features reply lists (1.0.1 §5.3.1): output to strip
/// and set of VLAN, addresses, TOS and ports. No queues.
const ACTIONS_V10: u32 = 0x7ff;

/// Handles one message of a connection whose handshake is over. True when the other primaries must
/// be demoted.
pub(crate) fn handle(
    bytes: &[u8],
    connection: &mut Connection,
    shared: &mut Shared,
    bridge: &mut Bridge,
    dpif: &mut dyn Dpif,
    now: Nanos,
) -> bool {
    let Some(dialect) = connection.dialect else {
        return false;
    };
    let (header, message) = match dialect.decode(bytes) {
        Ok(decoded) => decoded,
        Err(refusal) => {
            connection.say(refusal.header.xid, &Message::Error(refusal.error));
            return false;
        }
    };
    connection.ends_turn = looks_at_all(&message);
    let outcome = act(header.xid, message, connection, shared, bridge, dpif, now);
    match outcome {
        Ok(demote) => demote,
        Err(kind) => {
            connection.refuse(kind, bytes);
            false
        }
    }
}

/// `Ok(true)` when this connection became the primary.
fn act(
    xid: u32,
    message: Message,
    connection: &mut Connection,
    shared: &mut Shared,
    bridge: &mut Bridge,
    dpif: &mut dyn Dpif,
    now: Nanos,
) -> Result<bool, OfErrorKind> {
    let Some(dialect) = &mut connection.dialect else {
        return Ok(false);
    };
    let version = dialect.version;
    if changes_state(&message) && connection.role == ControllerRole::Secondary {
        return Err(OfErrorKind::RequestIsSecondary);
    }
    match message {
        Message::EchoRequest(data) => connection.say(xid, &Message::EchoReply(data)),
        Message::Hello(_)
        | Message::EchoReply(_)
        | Message::Error(_)
        | Message::UnknownError(_) => {}

        Message::FeaturesRequest => {
            connection.say(xid, &Message::FeaturesReply(features(version, bridge)));
        }
        Message::GetConfigRequest => {
            let miss_send_len = connection.miss_send_len;
            let config = SwitchConfig { flags: shared.config_flags, miss_send_len };
            connection.say(xid, &Message::GetConfigReply(config));
        }
        Message::SetConfig(config) => set_config(config, connection, shared, bridge)?,
        Message::BarrierRequest => {
            connection.waiting = Waiting::Barrier(bridge.sync_point(), xid);
        }
        Message::QueueGetConfigRequest(port) => {
            if bridge.state().ports.get(port).is_none() && port != openflow::OfPort::ANY {
                return Err(OfErrorKind::QueueBadPort);
            }
            let reply = QueueGetConfigReply { port, queues: Vec::new() };
            connection.say(xid, &Message::QueueGetConfigReply(reply));
        }

        Message::FlowMod(flow_mod) => bridge.flow_mod(&flow_mod, version, now)?,
        Message::PacketOut(packet_out) => bridge.packet_out(&packet_out, version, dpif, now)?,
        Message::PortMod(port_mod) => bridge.port_mod(&port_mod)?,
        Message::TableMod(table_mod) => bridge.table_mod(&table_mod)?,
        Message::GroupMod(group_mod) => bridge.group_mod(&group_mod)?,
        Message::MeterMod(meter_mod) => bridge.meter_mod(&meter_mod)?,
        Message::MultipartRequest(request) => {
            multipart::answer(xid, request, connection, shared, bridge, dpif, now)?;
        }

        Message::RoleRequest(request) => return role(xid, request, connection, shared),
        Message::GetAsyncRequest => {
            let config = connection.asynchrony;
            connection.say(xid, &Message::GetAsyncReply(config));
        }
        Message::SetAsync(config) => connection.asynchrony = config,
        Message::SetAsyncProperties(properties) => {
            for property in properties {
                connection.asynchrony.set(property);
            }
        }
        Message::NxFlowModTableId(on) => dialect.flow_mod_table_id = on,
        Message::NxSetFlowFormat(format) => dialect.flow_format = format,
        Message::NxSetPacketInFormat(format) => dialect.packet_in_format = format,
        Message::NxSetControllerId(id) => connection.controller_id = id,
        // Ages are always told.
        Message::NxFlowAge => {}

        Message::Experimenter(experimenter) => {
            let known = [openflow::NICIRA, openflow::ONF].contains(&experimenter.vendor);
            return Err(match known {
                true => OfErrorKind::RequestBadSubtype,
                false => OfErrorKind::RequestBadVendor,
            });
        }
        Message::FlowMonitorCancel(_) => return Err(OfErrorKind::MonitorUnknownId),
        // Bundles come with the complete agent.
        Message::Bundle(_) => return Err(OfErrorKind::RequestBadSubtype),
        // What only a switch says.
        Message::FeaturesReply(_)
        | Message::GetConfigReply(_)
        | Message::PacketIn(_)
        | Message::FlowRemoved(_)
        | Message::PortStatus(_)
        | Message::MultipartReply(_)
        | Message::BarrierReply
        | Message::QueueGetConfigReply(_)
        | Message::RoleReply(_)
        | Message::GetAsyncReply(_)
        | Message::RoleStatus(_)
        | Message::TableStatus(_)
        | Message::RequestForward(_)
        | Message::FlowMonitorPaused
        | Message::FlowMonitorResumed => return Err(OfErrorKind::RequestBadType),
    }
    Ok(false)
}

/// Messages whose cost grows with the number of rules or of cached flows.
fn looks_at_all(message: &Message) -> bool {
    match message {
        Message::MultipartRequest(_) => true,
        Message::FlowMod(flow_mod) => {
            flow_mod.command != FlowModCommand::Add && !flow_mod.command.is_strict()
        }
        _ => false,
    }
}

/// Messages that a secondary may not send (1.3.5 §6.3.4).
fn changes_state(message: &Message) -> bool {
    matches!(
        message,
        Message::FlowMod(_)
            | Message::PacketOut(_)
            | Message::PortMod(_)
            | Message::TableMod(_)
            | Message::GroupMod(_)
            | Message::MeterMod(_)
            | Message::Bundle(_)
    )
}

fn features(version: Version, bridge: &Bridge) -> FeaturesReply {
    let mut capabilities =
        Capabilities::FLOW_STATS | Capabilities::TABLE_STATS | Capabilities::PORT_STATS;
    if version == Version::V10 {
        capabilities |= Capabilities::ARP_MATCH_IP;
    }
    let ports = match version {
        // From 1.3 on ports are described by a multipart request of their own.
        Version::V13 | Version::V14 | Version::V15 => Vec::new(),
        _ => bridge.ports().map(|port| port.desc()).collect(),
    };
    FeaturesReply {
        datapath_id: bridge.datapath_id(),
        n_buffers: 0,
        n_tables: bridge.state().tables.n_tables(),
        auxiliary_id: 0,
        capabilities,
        actions: if version == Version::V10 { ACTIONS_V10 } else { 0 },
        ports,
    }
}

fn set_config(
    config: SwitchConfig,
    connection: &mut Connection,
    shared: &mut Shared,
    bridge: &mut Bridge,
) -> Result<(), OfErrorKind> {
    if connection.role != ControllerRole::Secondary {
        let fragments = match config.flags & frag::MASK {
            frag::NORMAL => Some(Fragments::Normal),
            frag::DROP => Some(Fragments::Drop),
            frag::NX_MATCH => Some(Fragments::NxMatch),
            // Nothing reassembles here, and the features reply does not say so. OpenFlow 1.0 has no
            // error for it: there the get-config reply tells that nothing changed.
            _ if connection.version() == Some(Version::V10) => None,
            _ => return Err(OfErrorKind::ConfigBadFlags),
        };
        let mut kept = frag::INVALID_TTL_TO_CONTROLLER;
        if let Some(fragments) = fragments {
            bridge.set_fragments(fragments);
            kept |= frag::MASK;
        }
        shared.config_flags = shared.config_flags & !kept | config.flags & kept;
    }
    let invalid_ttl = 1 << openflow::PacketInReason::InvalidTtl as u8;
    if config.flags & frag::INVALID_TTL_TO_CONTROLLER != 0 {
        connection.asynchrony.primary.packet_in |= invalid_ttl;
    }
    connection.miss_send_len = config.miss_send_len;
    Ok(())
}

fn role(
    xid: u32,
    request: Role,
    connection: &mut Connection,
    shared: &mut Shared,
) -> Result<bool, OfErrorKind> {
    shared.generation.advance(&request)?;
    if request.role != ControllerRole::NoChange {
        connection.role = request.role;
    }
    let generation_id = match request.origin {
        Origin::Standard => Some(shared.generation.get().unwrap_or(u64::MAX)),
        Origin::Nicira => None,
    };
    let reply = Role { role: connection.role, generation_id, origin: request.origin };
    connection.say(xid, &Message::RoleReply(reply));
    Ok(request.role == ControllerRole::Primary)
}

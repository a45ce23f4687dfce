//! What each request does. One message in, its replies (or its error) out.

use crate::agent::Shared;
use crate::bundles::Step;
use crate::connection::{Commit, Connection, Waiting};
use crate::multipart::{self, Credit};
use alloc::boxed::Box;
use alloc::vec::Vec;
use datapath::Dpif;
use ofproto::{Bridge, Bundle, Fragments};
use openflow::{
    AsyncConfig, AsyncMasks, BundleMessage, Bundled, Capabilities, ControllerRole, Dialect,
    FeaturesReply, FlowModCommand, GroupModCommand, Message, MeterModCommand, OfErrorKind, Origin,
    QueueGetConfigReply, Role, SwitchConfig, Version, frag,
};
use sync::time::Nanos;

/// Bits of the actions that OpenFlow 1.0's features reply lists (1.0.1 §5.3.1): output to strip
/// and set of VLAN, addresses, TOS and ports. No queues.
const ACTIONS_V10: u32 = 0x7ff;

/// What a request means for other connections.
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// The others are no primaries any more.
    Demote,
    /// Those that want to hear of such requests get it.
    Forward(Message),
}

/// Whether the statistics of cached flows were read for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistics {
    /// If it needs them, they are to be read.
    Unread,
    /// They were.
    Read,
}

/// Handles one message of a connection whose handshake is over.
pub(crate) fn handle(
    bytes: &[u8],
    statistics: Statistics,
    connection: &mut Connection,
    shared: &mut Shared,
    bridge: &mut Bridge,
    dpif: &mut dyn Dpif,
    now: Nanos,
) -> Effect {
    let Some(dialect) = connection.dialect else {
        return Effect::None;
    };
    // A secondary is refused below.
    if connection.role != ControllerRole::Secondary
        && let Some(outcome) = bridge.add_alike(bytes, dialect.version, now)
    {
        outcome.unwrap_or_else(|kind| connection.refuse(kind, bytes));
        return Effect::None;
    }
    if let Some(added) = dialect.bundled(bytes) {
        let added = add_to_bundle(added, bytes, dialect, connection, shared, bridge, now);
        added.unwrap_or_else(|kind| connection.refuse(kind, bytes));
        return Effect::None;
    }
    let (header, message) = match dialect.decode(bytes) {
        Ok(decoded) => decoded,
        Err(refusal) => {
            connection.say(refusal.header.xid, &Message::Error(refusal.error));
            return Effect::None;
        }
    };
    connection.ends_turn = looks_at_all(&message);
    if let Message::MultipartRequest(request) = &message
        && multipart::tells_counters(request)
        && statistics == Statistics::Unread
    {
        if bridge.has_many_cached() {
            connection.waiting = Waiting::Credit(Box::new(Credit::new(bytes)));
            return Effect::None;
        }
        bridge.credit_cached(now);
    }
    if let Message::Bundle(message) = message {
        let max_bytes = max_bundled_bytes(shared, bridge);
        let step = bundle(header.xid, message, bytes, max_bytes, connection, shared, now);
        match step {
            Ok(Some((bundle, reply))) => {
                let id = bridge.commit_bundle(bundle, dpif, now);
                let request = bytes.to_vec();
                let commit = Commit { id, in_force: None, reply: Some(reply), request };
                connection.waiting = Waiting::Commit(Box::new(commit));
            }
            Ok(None) => {}
            Err(kind) => connection.refuse(kind, bytes),
        }
        return Effect::None;
    }
    if is_long(&message, bridge) {
        let outcome = sweep(bytes, &message, connection, bridge, dpif, now);
        outcome.unwrap_or_else(|kind| connection.refuse(kind, bytes));
        return Effect::None;
    }
    if let Message::FlowMod(flow_mod) = &message {
        bridge.remember(bytes, flow_mod, dialect.version);
    }
    let outcome = act(header.xid, message, connection, shared, bridge, dpif, now);
    outcome.unwrap_or_else(|kind| {
        connection.refuse(kind, bytes);
        Effect::None
    })
}

/// Does what a message asks for.
fn act(
    xid: u32,
    message: Message,
    connection: &mut Connection,
    shared: &mut Shared,
    bridge: &mut Bridge,
    dpif: &mut dyn Dpif,
    now: Nanos,
) -> Result<Effect, OfErrorKind> {
    let Some(dialect) = &mut connection.dialect else {
        return Ok(Effect::None);
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
            let queues = bridge.queue_descs(port, openflow::QUEUE_ALL)?;
            let queues = queues.into_iter().map(|queue| queue.config).collect();
            let reply = QueueGetConfigReply { port, queues };
            connection.say(xid, &Message::QueueGetConfigReply(reply));
        }

        Message::FlowMod(flow_mod) => bridge.flow_mod(&flow_mod, version, now)?,
        Message::PacketOut(packet_out) => bridge.packet_out(&packet_out, version, dpif, now)?,
        Message::NxResume(packet) => bridge.resume(&packet, dpif, now)?,
        Message::PortMod(port_mod) => bridge.port_mod(&port_mod)?,
        Message::TableMod(table_mod) => bridge.table_mod(&table_mod, version, now)?,
        Message::GroupMod(group_mod) => {
            bridge.group_mod(&group_mod, version, now)?;
            return Ok(Effect::Forward(Message::GroupMod(group_mod)));
        }
        Message::MeterMod(meter_mod) => {
            bridge.meter_mod(&meter_mod, dpif, now)?;
            return Ok(Effect::Forward(Message::MeterMod(meter_mod)));
        }
        Message::MultipartRequest(request) => {
            multipart::answer(xid, request, connection, shared, bridge, dpif, now)?;
        }

        Message::RoleRequest(request) => return role(xid, request, connection, shared),
        Message::GetAsyncRequest => {
            let config = as_known(connection.asynchrony, version);
            connection.say(xid, &Message::GetAsyncReply(config));
        }
        Message::SetAsync(config) => {
            connection.has_chosen = true;
            connection.asynchrony = config;
        }
        Message::SetAsyncProperties(properties) => {
            connection.has_chosen = true;
            for property in properties {
                connection.asynchrony.set(property);
            }
        }
        Message::NxFlowModTableId(on) => dialect.flow_mod_table_id = on,
        Message::NxSetFlowFormat(format) => dialect.flow_format = format,
        Message::NxSetPacketInFormat(format) => dialect.packet_in_format = format,
        Message::NxSetControllerId(id) => connection.controller_id = id,
        Message::NxTlvTableMod(change) => bridge.tlv_table_mod(&change)?,
        Message::NxTlvTableRequest => {
            connection.say(xid, &Message::NxTlvTableReply(bridge.tlv_table()));
        }
        // Ages are always told.
        Message::NxFlowAge => {}

        Message::Experimenter(experimenter) => {
            let known = [openflow::NICIRA, openflow::ONF].contains(&experimenter.vendor);
            return Err(match known {
                true => OfErrorKind::RequestBadSubtype,
                false => OfErrorKind::RequestBadVendor,
            });
        }
        Message::FlowMonitorCancel(id) => connection.watch.cancel(id)?,
        // They are seen to before.
        Message::Bundle(_) => {}
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
        | Message::NxTlvTableReply(_)
        | Message::RoleStatus(_)
        | Message::TableStatus(_)
        | Message::RequestForward(_)
        | Message::FlowMonitorPaused
        | Message::FlowMonitorResumed => return Err(OfErrorKind::RequestBadType),
    }
    Ok(Effect::None)
}

/// Rules that may be looked at in one go.
const FEW_RULES: usize = 1024;

/// Whether a message looks at so many rules that it is carried out in slices.
fn is_long(message: &Message, bridge: &Bridge) -> bool {
    match message {
        Message::FlowMod(flow_mod) => bridge.is_long(flow_mod, FEW_RULES),
        _ => sweeps(message) && bridge.state().tables.n_rules() > FEW_RULES,
    }
}

/// Messages that may concern every rule.
fn sweeps(message: &Message) -> bool {
    match message {
        Message::FlowMod(flow_mod) => {
            flow_mod.command != FlowModCommand::Add && !flow_mod.command.is_strict()
        }
        Message::GroupMod(group_mod) => group_mod.command == GroupModCommand::Delete,
        Message::MeterMod(meter_mod) => meter_mod.command == MeterModCommand::Delete,
        _ => false,
    }
}

/// Has a message carried out in slices, as a bundle of one, in the order of what was committed before.
/// The connection waits.
fn sweep(
    bytes: &[u8],
    message: &Message,
    connection: &mut Connection,
    bridge: &mut Bridge,
    dpif: &mut dyn Dpif,
    now: Nanos,
) -> Result<(), OfErrorKind> {
    let Some(dialect) = connection.dialect else {
        return Ok(());
    };
    if changes_state(message) && connection.role == ControllerRole::Secondary {
        return Err(OfErrorKind::RequestIsSecondary);
    }
    let mut bundle = Bundle::new(dialect);
    bundle.add(bytes)?;
    let id = bridge.commit_bundle(bundle, dpif, now);
    let commit = Commit { id, in_force: None, reply: None, request: bytes.to_vec() };
    connection.waiting = Waiting::Commit(Box::new(commit));
    Ok(())
}

/// Messages whose cost grows with the number of rules or of cached flows.
fn looks_at_all(message: &Message) -> bool {
    match message {
        Message::MultipartRequest(_) => true,
        Message::GroupMod(group_mod) => {
            /// Buckets whose shares take a while to be dealt out.
            const MANY: usize = 64;
            sweeps(message) || group_mod.buckets.len() > MANY
        }
        _ => sweeps(message),
    }
}

/// Messages that a secondary may not send (1.3.5 §6.3.4).
fn changes_state(message: &Message) -> bool {
    matches!(
        message,
        Message::FlowMod(_)
            | Message::PacketOut(_)
            | Message::NxResume(_)
            | Message::PortMod(_)
            | Message::TableMod(_)
            | Message::GroupMod(_)
            | Message::MeterMod(_)
            | Message::NxTlvTableMod(_)
            | Message::Bundle(_)
    )
}

fn features(version: Version, bridge: &Bridge) -> FeaturesReply {
    let mut capabilities =
        Capabilities::FLOW_STATS | Capabilities::TABLE_STATS | Capabilities::PORT_STATS;
    if version < Version::V12 {
        capabilities |= Capabilities::ARP_MATCH_IP;
    }
    if version > Version::V10 {
        capabilities |= Capabilities::GROUP_STATS;
    }
    if version >= Version::V14 {
        capabilities |= Capabilities::BUNDLES | Capabilities::FLOW_MONITORING;
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
) -> Result<Effect, OfErrorKind> {
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
    let is_primary = request.role == ControllerRole::Primary;
    Ok(if is_primary { Effect::Demote } else { Effect::None })
}

/// Does what a bundle message asks for (1.4.1 §7.3.9); the bundle that is to be committed, and the
/// answer for then.
fn bundle(
    xid: u32,
    message: BundleMessage,
    bytes: &[u8],
    max_bytes: usize,
    connection: &mut Connection,
    shared: &mut Shared,
    now: Nanos,
) -> Result<Option<(Bundle, Message)>, OfErrorKind> {
    let Some(dialect) = connection.dialect else {
        return Ok(None);
    };
    if connection.role == ControllerRole::Secondary {
        return Err(OfErrorKind::RequestIsSecondary);
    }
    let n_bytes = &mut shared.n_bundled_bytes;
    match connection.bundles.handle(message, bytes, dialect, n_bytes, max_bytes, now)? {
        Step::Nothing => {}
        Step::Reply(reply) => connection.say(xid, &reply),
        Step::Commit(bundle, reply) => return Ok(Some((bundle, reply))),
    }
    Ok(None)
}

/// Adds a message to a bundle (1.4.1 §7.3.9.6).
fn add_to_bundle(
    added: Bundled<'_>,
    bytes: &[u8],
    dialect: Dialect,
    connection: &mut Connection,
    shared: &mut Shared,
    bridge: &Bridge,
    now: Nanos,
) -> Result<(), OfErrorKind> {
    if connection.role == ControllerRole::Secondary {
        return Err(OfErrorKind::RequestIsSecondary);
    }
    let max_bytes = max_bundled_bytes(shared, bridge);
    let n_bytes = &mut shared.n_bundled_bytes;
    connection.bundles.add(added, bytes, dialect, n_bytes, max_bytes, now)
}

/// How much the bundles of all connections may take. Without room for its rules a bundle is full. Where there
/// is much, half of it may be messages, so that a large machine takes a bundle of a million.
fn max_bundled_bytes(shared: &Shared, bridge: &Bridge) -> usize {
    let half = bridge.room_for_rules().map_or(0, |bytes| bytes / 2);
    match bridge.has_room_for_rules() {
        true => shared.config.max_bundled_bytes.max(half),
        false => 0,
    }
}

/// The configuration in what a version knows of it: 1.3 has no bits for the reasons of 1.4.
fn as_known(config: AsyncConfig, version: Version) -> AsyncConfig {
    if version >= Version::V14 {
        return config;
    }
    let known = |masks: AsyncMasks| AsyncMasks {
        packet_in: masks.packet_in & 0b111,
        port_status: masks.port_status,
        flow_removed: masks.flow_removed & 0b1111,
        ..AsyncMasks::NONE
    };
    AsyncConfig { primary: known(config.primary), secondary: known(config.secondary), ..config }
}

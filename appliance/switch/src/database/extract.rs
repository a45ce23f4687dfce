//! From rows to the wanted state of the switch.
//!
//! # What
//! [`extract`] is a pure function of the database. It reads every column that acts, and names those that
//! are set and do not: a [`Remark`] for each such row ends in a status column, so that nobody
//! waits for the effect of a setting that has none.
//!
//! # Bounds
//! Clients may write more rows than any switch has ports. Only the first [`MAX_BRIDGES`] bridges and
//! [`MAX_PORTS`] ports (in the order of their UUIDs) are looked at; a remark tells of the others.

use super::view::{Record, View};
use crate::order;
use agent::bridge_config::{
    BridgeWanted, ControllerWanted, ControllerWay, FailMode, FlowTableWanted, InterfaceKind,
    InterfaceWanted, MirrorWanted, PortWanted, PriorityTags, Version, VlanMode, Wanted,
};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use ovsdb::{Database, Uuid};

/// Bridges that are looked at.
pub(crate) const MAX_BRIDGES: usize = 64;
/// Ports that are looked at, over all bridges.
pub(crate) const MAX_PORTS: usize = 1024;
/// Controllers of a bridge that are looked at, and managers.
pub(crate) const MAX_REMOTES: usize = 32;
/// Mirrors of a bridge, as in Open vSwitch.
const MAX_MIRRORS: usize = 32;
/// OpenFlow's port where a target names none.
const OPENFLOW_PORT: u16 = 6653;
/// Keys of `Open_vSwitch:other_config` that are read elsewhere, not settings of the switch.
pub(super) const STATS_INTERVAL: &str = "stats-update-interval";

/// What the rows say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Extracted {
    /// What the switch is to be.
    pub(crate) wanted: Wanted,
    /// What of each row has no effect, by table and row.
    pub(crate) remarks: BTreeMap<(usize, Uuid), Vec<String>>,
    /// The number that clients gave to this configuration.
    pub(crate) next_cfg: i64,
}

/// Reads the configuration.
pub(crate) fn extract(database: &Database) -> Extracted {
    let mut reading = Reading::default();
    let view = View { database };
    let Some(root) = view.root() else { return reading.extracted };
    reading.extracted.next_cfg = root.integer("next_cfg").unwrap_or(0);
    let settings = root.pairs("other_config").filter(|(key, _)| *key != STATS_INTERVAL);
    let settings = settings.map(|(key, value)| (key.to_string(), value.to_string()));
    reading.extracted.wanted.other_config = settings.collect();
    if root.is_set("ssl") {
        reading.remark(root, "ssl: no TLS here");
    }
    reading.remark_set(root, &["datapaths"]);
    if root.cell("bridges").len() > MAX_BRIDGES {
        reading.remark(root, format!("bridges: beyond {MAX_BRIDGES}"));
    }
    for manager in root.refs("manager_options", "Manager", MAX_REMOTES) {
        reading.manager(manager);
    }
    for set in view.rows("Flow_Sample_Collector_Set", MAX_REMOTES) {
        for bridge in set.refs("bridge", "Bridge", 1) {
            reading.remark(bridge, "Flow_Sample_Collector_Set");
        }
    }
    for bridge in root.refs("bridges", "Bridge", MAX_BRIDGES) {
        let wanted = reading.bridge(bridge);
        reading.extracted.wanted.bridges.push(wanted);
    }
    reading.extracted
}

#[derive(Default)]
pub(super) struct Reading {
    extracted: Extracted,
    n_ports: usize,
}

impl Reading {
    pub(super) fn remark(&mut self, record: Record<'_>, text: impl Into<String>) {
        let at = (record.table, record.uuid());
        self.extracted.remarks.entry(at).or_default().push(text.into());
    }

    /// Remarks on columns that are set and have no effect.
    pub(super) fn remark_set(&mut self, record: Record<'_>, columns: &[&str]) {
        for column in columns.iter().filter(|column| record.is_set(column)) {
            self.remark(record, *column);
        }
    }

    /// Remarks on switches that are on and have no effect.
    fn remark_true(&mut self, record: Record<'_>, columns: &[&str]) {
        for column in columns.iter().filter(|column| record.boolean(column)) {
            self.remark(record, *column);
        }
    }

    /// Remarks on numbers that are not zero and have no effect.
    fn remark_numbers(&mut self, record: Record<'_>, columns: &[&str]) {
        for column in columns.iter().filter(|column| record.integer(column).unwrap_or(0) != 0) {
            self.remark(record, *column);
        }
    }

    /// Remarks on keys of a map that have no effect.
    pub(super) fn remark_keys(&mut self, record: Record<'_>, column: &str, known: &[&str]) {
        for (key, _) in record.pairs(column).filter(|(key, _)| !known.contains(key)) {
            self.remark(record, format!("{column}:{key}"));
        }
    }

    fn bridge(&mut self, row: Record<'_>) -> BridgeWanted {
        const KEYS: [&str; 7] = [
            "datapath-id",
            "hwaddr",
            "mac-aging-time",
            "mac-table-size",
            "forward-bpdu",
            "disable-in-band",
            "dp-desc",
        ];
        self.remark_keys(row, "other_config", &KEYS);
        self.remark_set(row, &["netflow", "sflow", "ipfix", "auto_attach"]);
        self.remark_true(row, &["stp_enable", "rstp_enable", "mcast_snooping_enable"]);
        if let Some(kind) = row.string("datapath_type")
            && !matches!(kind, "system" | "netdev")
        {
            self.remark(row, format!("datapath_type {kind}: there is one datapath"));
        }
        let name = row.name();
        let config = |key| row.pair("other_config", key);
        let datapath_id = config("datapath-id").and_then(datapath_id);
        let mac = config("hwaddr").and_then(ethernet);
        for (key, is_wrong) in [
            ("datapath-id", config("datapath-id").is_some() && datapath_id.is_none()),
            ("hwaddr", config("hwaddr").is_some() && mac.is_none()),
        ] {
            if is_wrong {
                self.remark(row, format!("other_config:{key}: bad value"));
            }
        }
        let fail_mode = match row.string("fail_mode") {
            Some("secure") => FailMode::Secure,
            _ => FailMode::Standalone,
        };
        let controllers: Vec<_> = row
            .refs("controller", "Controller", MAX_REMOTES)
            .map(|controller| self.controller(controller))
            .collect();
        let ports = self.ports(row, &name);
        BridgeWanted {
            datapath_id,
            mac,
            fail_mode,
            protocols: row.strings("protocols").filter_map(version).collect(),
            controllers,
            flow_tables: self.flow_tables(row),
            ports,
            mirrors: row
                .refs("mirrors", "Mirror", MAX_MIRRORS)
                .map(|mirror| self.mirror(mirror, row))
                .collect(),
            flood_vlans: row.vlans("flood_vlans"),
            mac_aging_time_s: config("mac-aging-time").and_then(|value| value.parse().ok()),
            mac_table_size: config("mac-table-size").and_then(|value| value.parse().ok()),
            forward_bpdu: config("forward-bpdu") == Some("true"),
            disable_in_band: config("disable-in-band") == Some("true"),
            datapath_desc: config("dp-desc").map(ToString::to_string),
            name,
        }
    }

    /// The ports of a bridge but its own, which is always there.
    fn ports(&mut self, bridge: Record<'_>, name: &str) -> Vec<PortWanted> {
        let room = MAX_PORTS.saturating_sub(self.n_ports);
        if bridge.cell("ports").len() > room {
            self.remark(bridge, format!("ports: beyond {MAX_PORTS} of the switch"));
        }
        let mut ports = Vec::new();
        for row in bridge.refs("ports", "Port", room) {
            self.n_ports += 1;
            let port = self.port(row);
            if port.name != name {
                ports.push(port);
            }
        }
        // By name, whatever UUIDs chance gave: so numbers are given out in an order that people expect.
        let mut named: Vec<_> = ports.into_iter().map(|port| (natural(&port.name), port)).collect();
        order::sort(&mut named, |(a, _), (b, _)| a.cmp(b));
        named.into_iter().map(|(_, port)| port).collect()
    }

    fn port(&mut self, row: Record<'_>) -> PortWanted {
        self.remark_set(row, &["mac"]);
        self.remark_keys(row, "other_config", &["qinq-ethtype", "priority-tags"]);
        if row.string("lacp").is_some_and(|lacp| lacp != "off") {
            self.remark(row, "lacp");
        }
        self.remark_set(row, &["bond_mode"]);
        self.remark_true(row, &["bond_fake_iface"]);
        self.remark_numbers(row, &["bond_updelay", "bond_downdelay"]);
        let interfaces: Vec<_> = row.refs("interfaces", "Interface", MAX_PORTS).collect();
        if let (true, Some(first)) = (interfaces.len() > 1, interfaces.first()) {
            self.remark(row, format!("no bonds here: only interface {} is used", first.name()));
        }
        let config = |key| row.pair("other_config", key);
        PortWanted {
            name: row.name(),
            tag: row.vlans("tag").first().copied(),
            trunks: row.vlans("trunks"),
            vlan_mode: row.string("vlan_mode").and_then(vlan_mode),
            cvlans: row.vlans("cvlans"),
            qos: row.refs("qos", "QoS", 1).next().and_then(|qos| self.qos(row, qos)),
            qinq_is_8100: matches!(config("qinq-ethtype"), Some("802.1q" | "0x8100")),
            priority_tags: match config("priority-tags") {
                Some("always") => PriorityTags::Always,
                Some("if-nonzero" | "true") => PriorityTags::IfNonzero,
                _ => PriorityTags::Never,
            },
            is_protected: row.boolean("protected"),
            interfaces: interfaces.into_iter().map(|row| self.interface(row)).collect(),
        }
    }

    fn interface(&mut self, row: Record<'_>) -> InterfaceWanted {
        let kind = match row.string("type").unwrap_or_default() {
            "" | "system" | "dpdk" => {
                self.remark_keys(row, "options", &["device", "dpdk-devargs", N_RXQ]);
                let device = row.pair("options", "device");
                match device.or_else(|| row.pair("options", "dpdk-devargs")) {
                    Some(device) => InterfaceKind::NicAt(device.to_string()),
                    None => InterfaceKind::Nic,
                }
            }
            "internal" => {
                self.remark_keys(row, "options", &[]);
                InterfaceKind::Internal
            }
            "patch" => {
                self.remark_keys(row, "options", &["peer"]);
                let peer = row.pair("options", "peer").unwrap_or_default();
                InterfaceKind::Patch { peer: peer.to_string() }
            }
            other => InterfaceKind::Unsupported(other.to_string()),
        };
        let is_nic = matches!(kind, InterfaceKind::Nic | InterfaceKind::NicAt(_));
        let keys: &[&str] = if is_nic { &[ADMIN_STATE, AFFINITY] } else { &[ADMIN_STATE] };
        self.remark_keys(row, "other_config", keys);
        let affinity = row.pair("other_config", AFFINITY).filter(|_| is_nic);
        let rxq_affinity = affinity.map(pins);
        if rxq_affinity == Some(None) {
            self.remark(row, "other_config:pmd-rxq-affinity: expected QUEUE:CORE,...");
        }
        // As Open vSwitch has it, 0 is as good as nothing.
        let n_rxq = row.pair("options", N_RXQ).filter(|_| is_nic).map(str::parse::<u16>);
        if let Some(Err(_)) = n_rxq {
            self.remark(row, "options:n_rxq: expected a number of queues");
        }
        self.remark_keys(row, "bfd", &[]);
        self.remark_keys(row, "lldp", &["enable"]);
        self.remark_set(row, &["cfm_mpid"]);
        self.remark_numbers(row, &["ingress_policing_kpkts_rate", "ingress_policing_kpkts_burst"]);
        match kind {
            InterfaceKind::Nic | InterfaceKind::NicAt(_) => self.remark_set(row, &["mac"]),
            InterfaceKind::Internal | InterfaceKind::Patch { .. } => {
                let limits = ["ingress_policing_rate", "ingress_policing_burst"];
                self.remark_numbers(row, &limits);
            }
            InterfaceKind::Unsupported(_) => {}
        }
        if let InterfaceKind::Patch { .. } = kind {
            self.remark_set(row, &["mtu_request"]);
        }
        let mac = row.string("mac").and_then(ethernet);
        if row.is_set("mac") && mac.is_none() {
            self.remark(row, "mac: bad value");
        }
        let lldp = row.has_pair("lldp", "enable", "true");
        if lldp {
            self.remark(row, "lldp:enable");
        }
        InterfaceWanted {
            name: row.name(),
            kind,
            ofport_request: row.number("ofport_request", u16::MAX),
            ofport_before: row.integer("ofport").and_then(|n| u16::try_from(n).ok()),
            mtu_request: row.number("mtu_request", u32::MAX),
            mac,
            is_admin_down: row.has_pair("other_config", ADMIN_STATE, "down"),
            ingress_policing_rate_kbps: row.number("ingress_policing_rate", u32::MAX).unwrap_or(0),
            ingress_policing_burst_kb: row.number("ingress_policing_burst", u32::MAX).unwrap_or(0),
            n_rxq: n_rxq.and_then(Result::ok).filter(|n| *n > 0),
            rxq_affinity: rxq_affinity.flatten().unwrap_or_default(),
            lldp,
        }
    }

    fn controller(&mut self, row: Record<'_>) -> ControllerWanted {
        let columns = ["local_ip", "local_netmask", "local_gateway", "controller_queue_size"];
        self.remark_set(row, &columns);
        self.remark_keys(row, "other_config", &[]);
        self.remark_in_band(row);
        let target = row.string("target").unwrap_or_default();
        let way = match remote(target, OPENFLOW_PORT) {
            Some(Remote::Connect(address)) => ControllerWay::Connect(address),
            Some(Remote::Listen(port)) => ControllerWay::Listen(port),
            None => ControllerWay::Unsupported,
        };
        if way == ControllerWay::Unsupported {
            self.remark(row, "target: only tcp:ADDRESS[:PORT] and ptcp:[PORT] can be reached");
        }
        ControllerWanted {
            target: target.to_string(),
            way,
            max_backoff_ms: row.number("max_backoff", u32::MAX),
            inactivity_probe_ms: row.integer("inactivity_probe").map(not_negative),
            controller_rate_limit: row.number("controller_rate_limit", u32::MAX),
            controller_burst_limit: row.number("controller_burst_limit", u32::MAX),
            is_quiet: row.is_set("enable_async_messages") && !row.boolean("enable_async_messages"),
            is_service: match row.string("type") {
                Some(kind) => kind != "primary",
                None => matches!(way, ControllerWay::Listen(_)),
            },
        }
    }

    /// Managers are the database's own matter; here is told what of them has no effect.
    fn manager(&mut self, row: Record<'_>) {
        self.remark_in_band(row);
        self.remark_keys(row, "other_config", &[]);
        if remote(row.string("target").unwrap_or_default(), OPENFLOW_PORT).is_none() {
            self.remark(row, "target: only tcp:ADDRESS[:PORT] and ptcp:[PORT] can be reached");
        }
    }

    fn remark_in_band(&mut self, row: Record<'_>) {
        if row.string("connection_mode") == Some("in-band") {
            self.remark(row, "connection_mode: there is no in-band control");
        }
    }

    fn flow_tables(&mut self, bridge: Record<'_>) -> BTreeMap<u8, FlowTableWanted> {
        let mut tables = BTreeMap::new();
        for (number, row) in bridge.numbered_refs("flow_tables", "Flow_Table") {
            let Ok(number) = u8::try_from(number) else { continue };
            if row.is_set("prefixes") {
                self.remark(
                    bridge,
                    format!("flow_tables:{number}: prefixes (all fields have them)"),
                );
            }
            let table = FlowTableWanted {
                name: row.string("name").map(ToString::to_string),
                flow_limit: row.number("flow_limit", u32::MAX),
                evicts: row.string("overflow_policy") == Some("evict"),
                groups: row.strings("groups").map(ToString::to_string).collect(),
            };
            tables.insert(number, table);
        }
        tables
    }

    fn mirror(&mut self, row: Record<'_>, bridge: Record<'_>) -> MirrorWanted {
        if row.is_set("filter") {
            self.remark(bridge, format!("mirrors:{}: filter", row.name()));
        }
        let ports = |column| row.refs(column, "Port", MAX_PORTS).map(Record::name).collect();
        MirrorWanted {
            name: row.name(),
            select_all: row.boolean("select_all"),
            select_src_port: ports("select_src_port"),
            select_dst_port: ports("select_dst_port"),
            select_vlan: row.vlans("select_vlan"),
            output_port: row.refs("output_port", "Port", 1).map(Record::name).next(),
            output_vlan: row.vlans("output_vlan").first().copied(),
            snaplen: row.number("snaplen", u16::MAX),
        }
    }
}

/// Key of `Interface:other_config` that shuts an interface down: the column of that name is a status.
const ADMIN_STATE: &str = "admin-state";
const AFFINITY: &str = "pmd-rxq-affinity";
const N_RXQ: &str = "n_rxq";

/// Who is at the other end of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remote {
    Connect(SocketAddr),
    Listen(u16),
}

/// Reads `tcp:ADDRESS[:PORT]` and `ptcp:[PORT][:ADDRESS]`; of the latter the address does not matter,
/// since the switch has one interface to be reached on.
pub(super) fn remote(target: &str, default_port: u16) -> Option<Remote> {
    if let Some(rest) = target.strip_prefix("ptcp:") {
        let (port, _) = rest.split_once(':').unwrap_or((rest, ""));
        let port = if port.is_empty() { default_port } else { port.parse().ok()? };
        return (port != 0).then_some(Remote::Listen(port));
    }
    let rest = target.strip_prefix("tcp:")?;
    let (address, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (IpAddr::V6(address.parse().ok()?), port.strip_prefix(':'))
        }
        None => {
            let (address, port) =
                rest.split_once(':').map_or((rest, None), |(address, port)| (address, Some(port)));
            (IpAddr::V4(address.parse::<Ipv4Addr>().ok()?), port)
        }
    };
    let port = port.map_or(Some(default_port), |port| port.parse().ok().filter(|port| *port != 0));
    Some(Remote::Connect(SocketAddr::new(address, port?)))
}

/// A number for which negative means none.
fn not_negative(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

/// Sixteen hexadecimal digits, or fewer after `0x`; not zero.
fn datapath_id(text: &str) -> Option<u64> {
    let digits = match text.strip_prefix("0x") {
        Some(digits) => Some(digits).filter(|digits| (1..=16).contains(&digits.len())),
        None => Some(text).filter(|text| text.len() == 16),
    }?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok().filter(|id| *id != 0)
}

/// `QUEUE:CORE,…`, as Open vSwitch writes `pmd-rxq-affinity`.
fn pins(text: &str) -> Option<Vec<(usize, usize)>> {
    let pin = |pair: &str| {
        let (queue, core) = pair.split_once(':')?;
        Some((queue.trim().parse().ok()?, core.trim().parse().ok()?))
    };
    text.split(',').map(pin).collect()
}

/// An Ethernet address that a port may have.
fn ethernet(text: &str) -> Option<[u8; 6]> {
    let mut address = [0; 6];
    let mut digits = text.split(':');
    for byte in &mut address {
        let part = digits.next().filter(|part| (1..=2).contains(&part.len()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    let is_one = digits.next().is_none() && address.first()? & 1 == 0 && address != [0; 6];
    is_one.then_some(address)
}

fn version(name: &str) -> Option<Version> {
    Some(match name {
        "OpenFlow10" => Version::V10,
        "OpenFlow11" => Version::V11,
        "OpenFlow12" => Version::V12,
        "OpenFlow13" => Version::V13,
        "OpenFlow14" => Version::V14,
        "OpenFlow15" => Version::V15,
        _ => return None,
    })
}

fn vlan_mode(name: &str) -> Option<VlanMode> {
    Some(match name {
        "access" => VlanMode::Access,
        "trunk" => VlanMode::Trunk,
        "native-tagged" => VlanMode::NativeTagged,
        "native-untagged" => VlanMode::NativeUntagged,
        "dot1q-tunnel" => VlanMode::Dot1qTunnel,
        _ => return None,
    })
}

/// A name such that `p2` comes before `p10`.
fn natural(name: &str) -> (String, u64, String) {
    let head = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = name.get(head.len()..).unwrap_or_default();
    (head.to_string(), digits.parse().unwrap_or(u64::MAX), name.to_string())
}

#[cfg(test)]
#[path = "columns_tests.rs"]
mod columns;
#[cfg(test)]
#[path = "extract_tests.rs"]
mod tests;

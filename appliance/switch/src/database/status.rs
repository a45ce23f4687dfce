//! From what became of the wanted state to the status columns.
//!
//! [`Writer`] gathers cells; those that hold their value already cost a comparison and are not written.

use super::extract::{Extracted, MAX_BRIDGES, MAX_PORTS, MAX_REMOTES};
use super::managers::ManagerStatus;
use super::view::{Record, View};
use crate::order::gathered;
use agent::bridge_config::{Applied, BridgeApplied, ControllerApplied, InterfaceApplied};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use flow::EtherAddr;
use ovsdb::{Atom, CellChange, Database, Datum, Uuid};

/// Key under which a status column says what of its row has no effect.
const IGNORED: &str = "ignored";
/// Longest text of that kind.
const MAX_REMARK_BYTES: usize = 1024;
/// Values of `Interface:type` that are built in.
const INTERFACE_TYPES: [&str; 4] = ["dpdk", "internal", "patch", "system"];
/// Values of `Bridge:datapath_type` that are taken; they mean the same here.
const DATAPATH_TYPES: [&str; 2] = ["netdev", "system"];

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Extent {
    /// What changes by events: numbers, links, connections, errors.
    State,
    /// That, and what changes all the time: counters, ages.
    Everything,
}

/// The cells that `applied` changes. With `cur_cfg` it is told how far the configuration is in force.
pub(super) fn changes(
    database: &Database,
    extracted: &Extracted,
    applied: &Applied,
    (extent, cur_cfg): (Extent, Option<i64>),
    keeping: &'static str,
) -> Vec<CellChange> {
    let view = View { database };
    let Some(root) = view.root() else { return Vec::new() };
    let mut writer = Writer { changes: Vec::new(), remarks: &extracted.remarks, extent };
    writer.root(root, applied, keeping);
    let interfaces = view.rows("Interface", usize::MAX);
    let interfaces: BTreeMap<&str, Record<'_>> =
        gathered(interfaces.filter_map(|row| Some((row.string("name")?, row))));
    let bridges: BTreeMap<&str, &BridgeApplied> =
        gathered(applied.bridges.iter().map(|bridge| (bridge.name.as_str(), bridge)));
    for row in root.refs("bridges", "Bridge", MAX_BRIDGES) {
        let applied = row.string("name").and_then(|name| bridges.get(name));
        writer.bridge(row, applied.copied());
        for interface in applied.iter().flat_map(|applied| &applied.interfaces) {
            if let Some(row) = interfaces.get(interface.name.as_str()) {
                writer.interface(*row, interface);
            }
        }
    }
    if let Some(cur_cfg) = cur_cfg {
        writer.put(root, "cur_cfg", Datum::of(cur_cfg));
    }
    writer.changes
}

/// The cells that tell how managers fare.
pub(super) fn manager_changes(
    database: &Database,
    extracted: &Extracted,
    extent: Extent,
    status: impl Fn(Uuid) -> Option<ManagerStatus>,
) -> Vec<CellChange> {
    let mut writer = Writer { changes: Vec::new(), remarks: &extracted.remarks, extent };
    let root = View { database }.root();
    for row in root.iter().flat_map(|root| root.refs("manager_options", "Manager", MAX_REMOTES)) {
        let status = status(row.uuid()).unwrap_or_default();
        let state = status.pairs.first().map(|(_, state)| state.as_str());
        let is_news = row.pair("status", "state") != state;
        writer.put(row, "is_connected", Datum::of(status.is_connected));
        if is_news || !row.is_set("status") || extent == Extent::Everything {
            writer.put_status(row, status.pairs);
        }
    }
    writer.changes
}

pub(super) struct Writer<'a> {
    pub(super) changes: Vec<CellChange>,
    remarks: &'a BTreeMap<(usize, Uuid), Vec<String>>,
    extent: Extent,
}

impl Writer<'_> {
    pub(super) fn put(&mut self, row: Record<'_>, column: &str, value: Datum) {
        if let Some(place) = row.column(column).filter(|_| *row.cell(column) != value) {
            let (table, row) = (row.table, row.uuid());
            self.changes.push(CellChange { table, row, column: place, value });
        }
    }

    /// A status of pairs, and what of the row has no effect.
    fn put_status(&mut self, row: Record<'_>, pairs: Vec<(&'static str, String)>) {
        self.put_status_and(row, pairs, None);
    }

    /// The same with what else has no effect.
    fn put_status_and(
        &mut self,
        row: Record<'_>,
        pairs: Vec<(&'static str, String)>,
        more: Option<&str>,
    ) {
        let ignored: Vec<String> =
            self.ignored(row).into_iter().chain(more.map(ToString::to_string)).collect();
        let ignored = (!ignored.is_empty()).then(|| (IGNORED, shortened(ignored.join("; "))));
        let pairs = pairs.into_iter().chain(ignored);
        self.put(row, "status", map(pairs));
    }

    fn ignored(&self, row: Record<'_>) -> Option<String> {
        let remarks = self.remarks.get(&(row.table, row.uuid()))?;
        Some(shortened(remarks.join("; ")))
    }

    fn root(&mut self, row: Record<'_>, applied: &Applied, keeping: &'static str) {
        const VERSION: &str = env!("CARGO_PKG_VERSION");
        let schema = row.schema_version();
        self.put(row, "ovs_version", Datum::of(VERSION));
        self.put(row, "db_version", Datum::of(schema));
        self.put(row, "system_type", Datum::of("uniswitch"));
        self.put(row, "system_version", Datum::of(VERSION));
        self.put(row, "iface_types", Datum::set(INTERFACE_TYPES.map(Atom::from)));
        self.put(row, "datapath_types", Datum::set(DATAPATH_TYPES.map(Atom::from)));
        let refused = applied.refused.iter().map(|(_, why)| why.clone());
        let ignored: Vec<String> = refused.chain(self.ignored(row)).collect();
        let ignored = (!ignored.is_empty()).then(|| (IGNORED, shortened(ignored.join("; "))));
        let pairs = [("database", keeping.to_string())].into_iter().chain(ignored);
        self.put(row, "statistics", map(pairs));
    }

    fn bridge(&mut self, row: Record<'_>, applied: Option<&BridgeApplied>) {
        let error = applied.and_then(|applied| applied.error.clone());
        self.put_status(row, error.into_iter().map(|error| ("error", error)).collect());
        for port in row.refs("ports", "Port", MAX_PORTS) {
            self.put_status(port, Vec::new());
        }
        let Some(applied) = applied else { return };
        if applied.error.is_none() {
            let id = format!("{:016x}", applied.datapath_id);
            self.put(row, "datapath_id", Datum::of(id.as_str()));
            self.put(row, "datapath_version", Datum::of("<built-in>"));
        }
        let controllers = row.refs("controller", "Controller", MAX_REMOTES);
        for (row, applied) in controllers.zip(&applied.controllers) {
            if row.string("target") == Some(&applied.target) {
                self.controller(row, applied);
            }
        }
        for row in row.refs("mirrors", "Mirror", MAX_REMOTES) {
            let applied =
                applied.mirrors.iter().find(|mirror| row.string("name") == Some(&mirror.name));
            if let (Some(mirror), Extent::Everything) = (applied, self.extent) {
                let counters = [("tx_packets", mirror.tx_packets), ("tx_bytes", mirror.tx_bytes)];
                self.put(row, "statistics", counters_map(&counters));
            }
        }
    }

    fn interface(&mut self, row: Record<'_>, applied: &InterfaceApplied) {
        let ofport = applied.ofport.map_or(-1, i64::from);
        self.put(row, "ofport", Datum::of(ofport));
        self.put(row, "error", optional(applied.error.as_deref()));
        let mac = applied.mac_in_use.map(|mac| EtherAddr(mac).to_string());
        self.put(row, "mac_in_use", optional(mac.as_deref()));
        let up_or_down =
            |is_up: Option<bool>| optional(is_up.map(|up| if up { "up" } else { "down" }));
        self.put(row, "link_state", up_or_down(applied.link_is_up));
        self.put(row, "admin_state", up_or_down(applied.admin_is_up));
        self.put(row, "link_resets", number(applied.link_is_up.map(|_| applied.link_resets)));
        self.put(row, "link_speed", number(applied.link_speed_bps));
        let duplex = applied.link_speed_bps.map(|_| "full");
        self.put(row, "duplex", optional(duplex));
        self.put(row, "mtu", number(applied.mtu.map(u64::from)));
        self.put(row, "ifindex", number(applied.ifindex.map(u64::from)));
        self.put_status_and(row, applied.status.clone(), applied.ignored.as_deref());
        if self.extent == Extent::Everything {
            self.put(row, "statistics", counters_map(&applied.statistics));
        }
    }

    fn controller(&mut self, row: Record<'_>, applied: &ControllerApplied) {
        let is_news = row.boolean("is_connected") != applied.is_connected
            || row.pair("status", "state") != Some(applied.state);
        self.put(row, "is_connected", Datum::of(applied.is_connected));
        self.put(row, "role", optional(applied.role));
        if !is_news && self.extent == Extent::State {
            return;
        }
        let mut status = Vec::new();
        if !applied.state.is_empty() {
            status.push(("state", applied.state.to_string()));
        }
        let ages = [
            ("sec_since_connect", applied.sec_since_connect),
            ("sec_since_disconnect", applied.sec_since_disconnect),
        ];
        status.extend(ages.into_iter().filter_map(|(key, age)| Some((key, age?.to_string()))));
        status.extend(applied.last_error.clone().map(|error| ("last_error", error)));
        self.put_status(row, status);
    }
}

/// A text that fits into a status, without what is beyond.
fn shortened(mut text: String) -> String {
    if text.len() > MAX_REMARK_BYTES {
        let end = (0..=MAX_REMARK_BYTES).rev().find(|&at| text.is_char_boundary(at));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

fn optional(text: Option<&str>) -> Datum {
    text.map_or_else(Datum::empty, Datum::of)
}

fn integer(value: u64) -> Atom {
    Atom::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

fn number(value: Option<u64>) -> Datum {
    value.map_or_else(Datum::empty, |value| Datum::of(integer(value)))
}

pub(super) fn map(pairs: impl Iterator<Item = (&'static str, String)>) -> Datum {
    Datum::map(pairs.map(|(key, value)| (Atom::from(key), Atom::from(value.as_str()))))
}

fn counters_map(counters: &[(&'static str, u64)]) -> Datum {
    Datum::map(counters.iter().map(|&(key, value)| (Atom::from(key), integer(value))))
}

//! The wanted state of a switch and what became of it, as plain data.
//!
//! # What
//! Whoever holds the configuration (the database, a seed, a test) says all of it at once in a
//! [`Wanted`]; the switch becomes that, changing only what differs, and answers with an [`Applied`].
//! Both are whole: what is not in a [`Wanted`] is not wanted. Nothing here knows rows or JSON.
//!
//! # Names
//! Bridges, ports and interfaces are found again by name, so a name that stays keeps its counters, its
//! numbers and its flows, whatever else of it changes. Interface names are unique in the switch, as in
//! Open vSwitch. Names of fields are those of the columns and keys of Open vSwitch's database.
//!
//! # Values
//! A field is an `Option` where the database can be silent; silence means Open vSwitch's default.
//! Values out of range are brought into it, or refused in an `error` text of the one interface that
//! they belong to: a wrong line never keeps the others from being applied.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
pub use ofproto::qos::{QosConfig as QosWanted, QueueSpec as QueueWanted, Rate as RateWanted};
pub use ofproto::vlan::{PriorityTags, VlanMode};
pub use openflow::Version;

/// The state that a switch is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The bridges.
    pub bridges: Vec<BridgeWanted>,
    /// `Open_vSwitch:other_config`: settings of the switch as a whole under Open vSwitch's keys. What
    /// is not named has its default.
    pub other_config: BTreeMap<String, String>,
}

/// A bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeWanted {
    /// Its name, which is that of its LOCAL port too.
    pub name: String,
    /// Its number for controllers (`other_config:datapath-id`); made of its address if none.
    pub datapath_id: Option<u64>,
    /// Its Ethernet address (`other_config:hwaddr`); made by the switch if none.
    pub mac: Option<[u8; 6]>,
    /// What it does without controllers.
    pub fail_mode: FailMode,
    /// OpenFlow versions that may be spoken with it; empty: all there are.
    pub protocols: Vec<Version>,
    /// Controllers to connect to, and ports to be connected to on.
    pub controllers: Vec<ControllerWanted>,
    /// Settings of single flow tables, by number.
    pub flow_tables: BTreeMap<u8, FlowTableWanted>,
    /// Its ports but LOCAL, which is always there.
    pub ports: Vec<PortWanted>,
    /// Its mirrors.
    pub mirrors: Vec<MirrorWanted>,
    /// `flood_vlans`: VLANs without learning.
    pub flood_vlans: Vec<u16>,
    /// `other_config:mac-aging-time`, in seconds.
    pub mac_aging_time_s: Option<u32>,
    /// `other_config:mac-table-size`.
    pub mac_table_size: Option<u32>,
    /// `other_config:forward-bpdu`.
    pub forward_bpdu: bool,
    /// `other_config:disable-in-band`. There is no in-band control here: kept, without effect.
    pub disable_in_band: bool,
    /// `other_config:dp-desc`: what a description request is answered with.
    pub datapath_desc: Option<String>,
}

/// What a bridge does without controllers (ovs-facts F2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailMode {
    /// It is a learning bridge.
    #[default]
    Standalone,
    /// It does what the installed rules say.
    Secure,
}

/// One line of a bridge's `controller` column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerWanted {
    /// As it was written, `tcp:10.0.0.1:6653`; names the controller in [`ControllerApplied`].
    pub target: String,
    /// What that means.
    pub way: ControllerWay,
    /// Longest wait between two attempts, in milliseconds (1,000 at least).
    pub max_backoff_ms: Option<u32>,
    /// Silence after which the peer is asked whether it is there, in milliseconds; 0 is never.
    pub inactivity_probe_ms: Option<u32>,
    /// Packet-ins a second, and at once after a pause; none: as many as come.
    pub controller_rate_limit: Option<u32>,
    /// See [`Self::controller_rate_limit`].
    pub controller_burst_limit: Option<u32>,
    /// Whether it gets nothing unasked until it says what it wants (`enable_async_messages=false`).
    pub is_quiet: bool,
    /// Whether it controls nothing (`type`: `service`, or not said of one that connects to us).
    pub is_service: bool,
}

/// How a controller is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControllerWay {
    /// `tcp:`: the switch connects.
    Connect(SocketAddr),
    /// `ptcp:`: it listens on this port of its management addresses.
    Listen(u16),
    /// Something that this switch does not speak (`ssl:`, `unix:`); told of in the status.
    Unsupported,
}

/// Settings of a flow table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowTableWanted {
    /// Its name.
    pub name: Option<String>,
    /// Rules at most.
    pub flow_limit: Option<u32>,
    /// Whether a rule too many evicts another (`overflow_policy=evict`), rather than being refused.
    pub evicts: bool,
    /// Fields by which evicted rules are grouped (`groups`), as they are written.
    pub groups: Vec<String>,
}

/// A port: one interface, or several that are bonded (of which only the first is used here).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortWanted {
    /// Its name.
    pub name: String,
    /// What frames without a tag belong to, on ports that are not trunks; 0 and none: no VLAN.
    pub tag: Option<u16>,
    /// VLANs that the port carries tagged; empty: all.
    pub trunks: Vec<u16>,
    /// How; none: access with a tag, trunk without one.
    pub vlan_mode: Option<VlanMode>,
    /// `cvlans`: customer VLANs of a `dot1q-tunnel` port; empty: all.
    pub cvlans: Vec<u16>,
    /// `other_config:qinq-ethtype`: whether service tags are 802.1q's instead of 802.1ad's.
    pub qinq_is_8100: bool,
    /// `other_config:priority-tags`.
    pub priority_tags: PriorityTags,
    /// What it may send, and its queues (`qos`).
    pub qos: Option<QosWanted>,
    /// `protected`: protected ports do not reach each other by normal forwarding.
    pub is_protected: bool,
    /// Its interfaces.
    pub interfaces: Vec<InterfaceWanted>,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceWanted {
    /// Its name, unique in the switch.
    pub name: String,
    /// What it is.
    pub kind: InterfaceKind,
    /// The OpenFlow number that it should have, if that is free.
    pub ofport_request: Option<u16>,
    /// The number that it had before (column `ofport`): kept if nobody else asks for it.
    pub ofport_before: Option<u16>,
    /// The largest frame payload that it should carry.
    pub mtu_request: Option<u32>,
    /// `mac`: its Ethernet address, where that can be set (internal ports).
    pub mac: Option<[u8; 6]>,
    /// Whether it is shut down by the administrator.
    pub is_admin_down: bool,
    /// Most that it may receive, in kbit/s; 0: no limit.
    pub ingress_policing_rate_kbps: u32,
    /// What it may receive at once after a pause, in kbit; 0: Open vSwitch's default of 8,000.
    pub ingress_policing_burst_kb: u32,
    /// `options:n_rxq`: receive queues of a NIC, and as many transmit queues; none: one for each polling core.
    pub n_rxq: Option<u16>,
    /// `other_config:pmd-rxq-affinity`: receive queues and the polling cores that they are pinned to.
    pub rxq_affinity: Vec<(usize, usize)>,
    /// `lldp:enable`. Kept, without effect.
    pub lldp: bool,
}

/// `Interface:type`, and what of its options matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum InterfaceKind {
    /// A NIC of the machine (`system`, also written as nothing; `dpdk`).
    ///
    /// Which one says `device`: a MAC address, `index:N` in the order of locations, or the machine's
    /// name for it (`pci-0000:00:04.0`). Without it the name of the interface is the name of the NIC:
    /// the machine's name, or `pN`, the N-th NIC that is not the management's in that order, from 1.
    #[default]
    Nic,
    /// As [`Self::Nic`], by what `options:device` (or `options:dpdk-devargs`) says.
    NicAt(String),
    /// A port of the switch itself, behind which nobody listens.
    Internal,
    /// One end of a cable between two bridges.
    Patch {
        /// The name of the other end (`options:peer`).
        peer: String,
    },
    /// Something that is not built in; the interface gets an error.
    Unsupported(String),
}

/// A mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorWanted {
    /// Its name.
    pub name: String,
    /// Whether it takes every frame.
    pub select_all: bool,
    /// Ports whose received frames it takes, by name.
    pub select_src_port: Vec<String>,
    /// Ports whose sent frames it takes, by name.
    pub select_dst_port: Vec<String>,
    /// VLANs that it takes; empty: all.
    pub select_vlan: Vec<u16>,
    /// Where to (SPAN), by name.
    pub output_port: Option<String>,
    /// In which VLAN (RSPAN).
    pub output_vlan: Option<u16>,
    /// Bytes of each frame at most.
    pub snaplen: Option<u16>,
}

/// What became of a [`Wanted`], and how it fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The bridges, in the order in which they were wanted.
    pub bridges: Vec<BridgeApplied>,
    /// Whether all of it is in force; while not, ask again ([`Wanted`] need not be said again).
    pub is_settled: bool,
    /// Settings that were not taken: key, and what is wrong with it.
    pub refused: Vec<(String, String)>,
}

/// A bridge as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeApplied {
    /// Its name.
    pub name: String,
    /// Its number for controllers.
    pub datapath_id: u64,
    /// `datapath_version` and the like do not change; this does: why the bridge is not there.
    pub error: Option<String>,
    /// Its interfaces, LOCAL first (under the bridge's name), then as they were wanted.
    pub interfaces: Vec<InterfaceApplied>,
    /// Its controllers: those configured, in their order.
    pub controllers: Vec<ControllerApplied>,
    /// Its mirrors.
    pub mirrors: Vec<MirrorApplied>,
}

/// An interface as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceApplied {
    /// Its name.
    pub name: String,
    /// Its OpenFlow number; none (`-1` in the database) if it could not be added.
    pub ofport: Option<u16>,
    /// Why not.
    pub error: Option<String>,
    /// Its Ethernet address.
    pub mac_in_use: Option<[u8; 6]>,
    /// Whether there is carrier; none if it is not there.
    pub link_is_up: Option<bool>,
    /// How often that changed.
    pub link_resets: u64,
    /// In bit/s, if the device tells.
    pub link_speed_bps: Option<u64>,
    /// Whether it is up as far as the configuration goes; none if it is not there.
    pub admin_is_up: Option<bool>,
    /// The largest frame payload that it carries.
    pub mtu: Option<u16>,
    /// Its number in the datapath.
    pub ifindex: Option<u32>,
    /// What is known of its device: `driver_name`, `features`, … (column `status`).
    pub status: Vec<(&'static str, String)>,
    /// What was asked of it and cannot be, in words.
    pub ignored: Option<String>,
    /// Counters under Open vSwitch's names (`rx_packets`, …); drop reasons have `ovs_` before them.
    pub statistics: Vec<(&'static str, u64)>,
}

/// A configured controller as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControllerApplied {
    /// As it was wanted.
    pub target: String,
    /// Whether the handshake is over.
    pub is_connected: bool,
    /// `other`, `master` or `slave`; none while not connected.
    pub role: Option<&'static str>,
    /// `ACTIVE`, `BACKOFF`, `CONNECTING`, `IDLE` or `VOID` (never to be connected).
    pub state: &'static str,
    /// Seconds since it was connected last, or has been.
    pub sec_since_connect: Option<u64>,
    /// Seconds since the connection was lost last.
    pub sec_since_disconnect: Option<u64>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// A mirror as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorApplied {
    /// Its name.
    pub name: String,
    /// Frames that it sent.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Why it is not there.
    pub error: Option<String>,
}

//! The bridge: one OpenFlow switch instance, everything of it in one place.
//!
//! # Shape
//! [`BridgeState`] is what a translation reads: ports, tables, MAC table, what datapath actions can
//! name, and options. Around it are the parts that change it: flow-mods ([`crate::flow_mod`]),
//! the handler, the revalidator, timeouts. They are separate files of methods on [`Bridge`].
//!
//! # Truth and caches
//! Any change that a translation could notice is noted in `Changes`, which makes the
//! revalidator judge the cached flows again. [`Bridge::sync_point`] names such a moment, and
//! [`Bridge::reached`] says when no cached conclusion is older.
//!
//! # Concurrency
//! A bridge is owned by the control core and does nothing by itself: all time comes in as an
//! argument, and each call does a bounded amount of work. Its [`BridgeState`] can be read by other
//! cores too, that translate ([`crate::InlineTranslator`]): it stands in a [`Writer`], and whatever
//! changes it does so through a write guard, held for one step (a rule put in its table, a new table
//! version shown), because those cores are refused meanwhile. What changes without a guard are
//! statistics and times of use, which no translation reads.

use crate::bundle::Bundles;
use crate::changes::Changes;
use crate::cookies::CookieCount;
use crate::events::{BridgeEvent, Events};
use crate::expiry::{Farewells, Timeouts};
use crate::group::Groups;
use crate::inline::Conclusions;
use crate::intern::Interned;
use crate::learn::Lessons;
use crate::mac_learning::{self, MacTable, Station};
use crate::meter::{MeterNumbers, Meters};
use crate::mirror::Mirrors;
use crate::packet_in::PacketInSpec;
use crate::port::{Link, Port, PortError, PortSpec, Ports};
use crate::purge::Purging;
use crate::quota::FlowQuota;
use crate::resume::Continuations;
use crate::revalidator::Revalidator;
use crate::room::Room;
use crate::rule::SharedMasks;
use crate::shared::Shared;
use crate::table::Tables;
use crate::tally::Tallies;
use crate::tlv::{OPTIONS, Tlvs};
use crate::translate::{Frozen, Translator};
use crate::trigger::Triggers;
use crate::umap::Ukeys;
use crate::vlan::{PortVlan, VlanSet};
use crate::watch::Watched;
use crate::wrong_flow::WrongFlows;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{Dpif, PortNo};
use flow::EtherAddr;
use openflow::{Instructions, OfErrorKind, OfPort, Patterns, PortMod, PortReason, PortStatus};
use sync::big_reader::Writer;
use sync::time::Nanos;

/// What a bridge does without controllers (ovs-facts F2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailMode {
    /// It is a learning bridge.
    Standalone,
    /// It does what the installed rules say and nothing else.
    Secure,
}

/// What to do with IP fragments (OpenFlow 1.3.5 §7.3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragments {
    /// Transport ports of every fragment are zero.
    #[default]
    Normal,
    /// They are dropped.
    Drop,
    /// The first fragment has its ports, the others zero (Nicira's `nx-match`).
    NxMatch,
}

/// How a bridge is made.
#[derive(Clone, Debug)]
pub struct BridgeConfig {
    /// Its name, and that of its LOCAL port.
    pub name: String,
    /// Its number for controllers.
    pub datapath_id: u64,
    /// What it does without controllers.
    pub fail_mode: FailMode,
    /// Number of flow tables, 1 to 255.
    pub n_tables: u8,
    /// MAC addresses that it remembers (`mac-table-size`).
    pub mac_table_size: usize,
    /// How long (`mac-aging-time`).
    pub mac_max_age: Nanos,
    /// Most cached flows (`flow-limit`).
    pub flow_limit: usize,
    /// Cached flows unused for so long go (`max-idle`).
    pub max_idle: Nanos,
    /// The longest time between revalidator rounds (`max-revalidator`).
    pub max_revalidator: Nanos,
    /// Tasks that share the revalidator's work (`n-revalidator-threads`).
    pub n_revalidator_threads: usize,
    /// Flows slower than this many packets a second are not translated again when that would take
    /// long, but deleted (`min-revalidate-pps`).
    pub min_revalidate_pps: u64,
    /// Whether frames to reserved link-local addresses are forwarded (`forward-bpdu`).
    pub forward_bpdu: bool,
    /// Seed of the hashes of the tables.
    pub seed: u64,
    /// What frames that a controller made have as ingress port in the datapath: a number that no port
    /// has, and another one for each bridge of a datapath, so that it tells whose frame comes back.
    pub origin: PortNo,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self {
            name: String::from("br0"),
            datapath_id: 1,
            fail_mode: FailMode::Standalone,
            n_tables: 255,
            mac_table_size: mac_learning::DEFAULT_CAPACITY,
            mac_max_age: mac_learning::DEFAULT_MAX_AGE,
            flow_limit: 200_000,
            max_idle: Nanos::from_secs(10),
            max_revalidator: Nanos::from_millis(500),
            n_revalidator_threads: 1,
            min_revalidate_pps: 5,
            forward_bpdu: false,
            seed: 0x5eed,
            origin: PortNo::NONE,
        }
    }
}

/// Switches that change what translation concludes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// See [`Fragments`].
    pub fragments: Fragments,
    /// Whether some controller of OpenFlow 1.2 or earlier wants packets that miss all rules.
    pub miss_to_controllers: bool,
    /// Whether some controller wants packets whose TTL runs out.
    pub invalid_ttl_to_controllers: bool,
    /// Whether frames to reserved link-local addresses are forwarded.
    pub forward_bpdu: bool,
}

/// What translation reads.
#[derive(Debug)]
pub struct BridgeState {
    /// The ports.
    pub ports: Ports,
    /// The flow tables.
    pub tables: Tables,
    /// The groups.
    pub groups: Groups,
    /// The meters.
    pub meters: Meters,
    /// Which options of tunnels are which fields.
    pub tlvs: Tlvs,
    /// Who was seen where.
    pub macs: MacTable,
    /// Switches.
    pub options: Options,
    /// Where copies of frames go.
    pub mirrors: Mirrors,
    /// VLANs in which nothing is learned.
    pub flood_vlans: Option<VlanSet>,
    /// Who may have how many cached flows.
    pub quota: Arc<FlowQuota>,
    /// See [`BridgeConfig::origin`].
    pub(crate) origin: PortNo,
    /// What recirculation ids stand for.
    pub(crate) frozen: Interned<Frozen>,
    /// What upcall cookies stand for.
    pub(crate) packet_ins: Interned<PacketInSpec>,
}

/// Frozen translations and packet-in contents that exist at once.
const MAX_INTERNED: usize = 1 << 18;

/// Totals of what a bridge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BridgeStats {
    /// Misses and slow-path packets handled.
    pub upcalls: u64,
    /// Those of them that polling cores answered themselves.
    pub inline: u64,
    /// Megaflows of polling cores that had to go because another of their name was on its way, or for
    /// want of numbers.
    pub disputed: u64,
    /// Packet-ins made.
    pub packet_ins: u64,
    /// Packets for controllers that outlived the flow which sent them, and so had nothing to say.
    pub packet_ins_orphaned: u64,
    /// Megaflows installed.
    pub installed: u64,
    /// Conclusions not installed, for want of room.
    pub not_installed: u64,
    /// Rules that packets taught.
    pub learned: u64,
    /// What packets taught and found no room to wait.
    pub lessons_lost: u64,
    /// Translations that failed.
    pub translation_errors: u64,
    /// Megaflows that the self check found wrong.
    pub self_check_failed: u64,
    /// Megaflows that the self check found right.
    pub self_check_passed: u64,
}

/// One OpenFlow switch instance; see the module.
#[derive(Debug)]
pub struct Bridge {
    pub(crate) config: BridgeConfig,
    pub(crate) state: Writer<BridgeState>,
    pub(crate) changes: Changes,
    pub(crate) ukeys: Ukeys,
    pub(crate) translator: Translator,
    pub(crate) conclusions: Conclusions,
    pub(crate) reval: Revalidator,
    pub(crate) timeouts: Timeouts,
    pub(crate) triggers: Triggers,
    pub(crate) farewells: Farewells,
    pub(crate) meter_numbers: MeterNumbers,
    pub(crate) events: Events,
    pub(crate) watched: Watched,
    pub(crate) stats: BridgeStats,
    pub(crate) wrong_flows: WrongFlows,
    pub(crate) has_controllers: bool,
    pub(crate) room: Room,
    pub(crate) bundles: Bundles,
    pub(crate) lessons: Lessons,
    pub(crate) continuations: Continuations,
    /// Cookies by table whose rules are to go, because nobody teaches them any more.
    pub(crate) orphaned_cookies: Vec<(u8, u64)>,
    pub(crate) rule_seq: u64,
    /// Rules that are being counted for learn actions with a limit.
    pub(crate) cookie_counts: VecDeque<CookieCount>,
    pub(crate) tallies: Tallies,
    /// How many rules use each option of tunnels.
    pub(crate) option_users: [usize; OPTIONS.len()],
    pub(crate) instructions: Shared<Instructions>,
    pub(crate) masks: SharedMasks,
    /// How the last rules looked that came.
    pub(crate) patterns: Option<Box<Patterns>>,
    pub(crate) purging: Purging,
    /// Changes of the configuration by controllers that is neither rules, groups nor meters.
    pub(crate) n_edits: u64,
}

impl Bridge {
    /// A bridge without ports. In [`FailMode::Standalone`] it starts as one that has no
    /// controllers: with the rule `priority=0 actions=NORMAL` (see [`Self::set_controllers`]).
    #[must_use]
    pub fn new(config: BridgeConfig, now: Nanos) -> Self {
        let options = Options { forward_bpdu: config.forward_bpdu, ..Options::default() };
        let reval = Revalidator::new(&config, now);
        let quota = Arc::new(FlowQuota::new(reval.flow_limit()));
        let mut bridge = Self {
            ukeys: Ukeys::new(Arc::clone(&quota)),
            translator: Translator::default(),
            state: Writer::new(BridgeState {
                ports: Ports::default(),
                tables: Tables::new(config.n_tables.max(1), config.seed),
                groups: Groups::default(),
                meters: Meters::default(),
                tlvs: Tlvs::default(),
                macs: MacTable::new(config.mac_table_size, config.mac_max_age),
                options,
                mirrors: Mirrors::default(),
                flood_vlans: None,
                quota,
                origin: config.origin,
                frozen: Interned::new(MAX_INTERNED),
                packet_ins: Interned::new(MAX_INTERNED),
            }),
            changes: Changes::default(),
            conclusions: Conclusions::default(),
            reval,
            timeouts: Timeouts::default(),
            triggers: Triggers::default(),
            farewells: Farewells::default(),
            meter_numbers: MeterNumbers::default(),
            events: Events::new(),
            watched: Watched::default(),
            stats: BridgeStats::default(),
            wrong_flows: WrongFlows::default(),
            has_controllers: false,
            room: Room::default(),
            bundles: Bundles::default(),
            lessons: Lessons::default(),
            continuations: Continuations::default(),
            orphaned_cookies: Vec::new(),
            rule_seq: 0,
            cookie_counts: VecDeque::new(),
            tallies: Tallies::default(),
            option_users: [0; OPTIONS.len()],
            instructions: Shared::default(),
            masks: SharedMasks::default(),
            patterns: None,
            purging: Purging::default(),
            n_edits: 0,
            config,
        };
        bridge.install_default_rule(now);
        bridge
    }

    /// How it was made.
    #[must_use]
    pub fn config(&self) -> &BridgeConfig {
        &self.config
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Its number for controllers.
    #[must_use]
    pub fn datapath_id(&self) -> u64 {
        self.config.datapath_id
    }

    /// What a translation reads: ports, tables, MAC table, options.
    #[must_use]
    pub fn state(&self) -> &BridgeState {
        &self.state
    }

    /// Totals of what it did.
    #[must_use]
    pub fn stats(&self) -> BridgeStats {
        BridgeStats { lessons_lost: self.lessons.n_lost(), ..self.stats }
    }

    /// Changes its number for controllers, who are to be told by a new handshake.
    pub fn set_datapath_id(&mut self, datapath_id: u64) {
        self.config.datapath_id = datapath_id;
    }

    /// Gives back what it has in the datapath, before it goes. Its ports must have gone there before:
    /// with them went its megaflows.
    pub fn retire(&mut self, dpif: &mut dyn Dpif) {
        self.retire_meters(dpif);
    }

    /// The order number of the next rule.
    pub(crate) fn next_seq(&mut self) -> u64 {
        self.rule_seq += 1;
        self.rule_seq
    }

    // ---- Ports ----

    /// Adds a port.
    ///
    /// # Errors
    /// When it would be ambiguous.
    pub fn add_port(&mut self, spec: PortSpec, now: Nanos) -> Result<(), PortError> {
        let desc = self.state.write().ports.add(spec, now)?.desc();
        self.changes.port_changed(desc.port);
        self.port_status(PortReason::Add, desc);
        Ok(())
    }

    /// Removes a port and what was learned on it; `false` if there is none.
    pub fn remove_port(&mut self, number: OfPort) -> bool {
        self.forget_qos(number);
        let mut state = self.state.write();
        let Some(port) = state.ports.remove(number) else {
            return false;
        };
        state.macs.flush_port(number);
        let news = state.macs.take_news();
        drop(state);
        self.changes.hear(news);
        self.changes.port_changed(number);
        self.port_status(PortReason::Delete, port.desc());
        true
    }

    /// Notes the link's state of a port.
    pub fn port_changed(&mut self, number: OfPort, link: Link) {
        let mut state = self.state.write();
        let Some(port) = state.ports.set_link(number, link) else {
            return;
        };
        let desc = port.desc();
        if !link.up {
            state.macs.flush_port(number);
        }
        let news = state.macs.take_news();
        drop(state);
        self.changes.hear(news);
        self.changes.port_changed(number);
        self.port_status(PortReason::Modify, desc);
    }

    /// Changes a port's configuration on behalf of a controller (OpenFlow 1.3.5 §7.3.4.3).
    ///
    /// # Errors
    /// Unknown port, or an address that is not the port's.
    pub fn port_mod(&mut self, change: &PortMod) -> Result<(), OfErrorKind> {
        let desc = self.state.write().ports.modify(change)?.map(Port::desc);
        self.port_modified(desc);
        Ok(())
    }

    /// Notes the Ethernet address of a port.
    pub fn set_hw_addr(&mut self, number: OfPort, hw_addr: EtherAddr) {
        let desc = self.state.write().ports.set_hw_addr(number, hw_addr).map(Port::desc);
        self.port_modified(desc);
    }

    /// Says what the largest payload of a port is. Who drops longer frames is the datapath's matter.
    pub fn set_port_mtu(&mut self, number: OfPort, mtu: u16) {
        if self.state.ports.get(number).is_some_and(|port| port.mtu() != mtu) {
            self.state.write().ports.set_mtu(number, mtu);
        }
    }

    /// Sets how a port carries VLANs. The stations that were learned on it are forgotten, because they
    /// may be in other VLANs now.
    pub fn set_port_vlan(&mut self, number: OfPort, vlan: PortVlan) {
        let vlan = vlan.completed();
        if self.state.ports.get(number).is_none_or(|port| *port.vlan() == vlan) {
            return;
        }
        let mut state = self.state.write();
        state.ports.set_vlan(number, vlan);
        state.macs.flush_port(number);
        let news = state.macs.take_news();
        drop(state);
        self.changes.hear(news);
        self.changes.port_changed(number);
    }

    /// Sets the VLANs in which nothing is learned and everything is flooded (`flood_vlans`).
    pub fn set_flood_vlans(&mut self, vlans: Option<VlanSet>) {
        if self.state.flood_vlans == vlans {
            return;
        }
        self.state.write().flood_vlans = vlans;
        self.changes.everything_changed();
        self.fdb_flush();
    }

    /// Shuts a port down, or opens it, as its configuration says: the same as a controller may.
    pub fn set_admin_down(&mut self, number: OfPort, is_down: bool) {
        let desc = self.state.write().ports.set_admin_down(number, is_down).map(Port::desc);
        self.port_modified(desc);
    }

    fn port_modified(&mut self, desc: Option<openflow::PortDesc>) {
        if let Some(desc) = desc {
            self.changes.port_changed(desc.port);
            self.port_status(PortReason::Modify, desc);
        }
    }

    /// The ports, LOCAL last.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.state.ports.iter()
    }

    pub(crate) fn port_status(&mut self, reason: PortReason, desc: openflow::PortDesc) {
        self.events.push(BridgeEvent::PortStatus(PortStatus { reason, desc }));
    }

    // ---- Options ----

    /// Sets how fragments are handled (OpenFlow's set-config).
    pub fn set_fragments(&mut self, fragments: Fragments) {
        self.n_edits += 1;
        self.set_options(Options { fragments, ..self.state.options });
    }

    /// Says whether some controller of OpenFlow 1.2 or earlier wants packets that miss all rules.
    pub fn set_miss_to_controllers(&mut self, miss_to_controllers: bool) {
        self.set_options(Options { miss_to_controllers, ..self.state.options });
    }

    /// Says whether some controller wants packets whose TTL runs out.
    pub fn set_invalid_ttl_to_controllers(&mut self, invalid_ttl_to_controllers: bool) {
        self.set_options(Options { invalid_ttl_to_controllers, ..self.state.options });
    }

    pub(crate) fn set_options(&mut self, options: Options) {
        if self.state.options != options {
            self.state.write().options = options;
            self.changes.everything_changed();
        }
    }

    // ---- Events and the MAC table ----

    /// The oldest event that was not taken yet.
    pub fn take_event(&mut self) -> Option<BridgeEvent> {
        self.events.pop()
    }

    /// All events that were not taken yet, oldest first.
    pub fn take_events(&mut self) -> impl Iterator<Item = BridgeEvent> + '_ {
        core::iter::from_fn(|| self.events.pop())
    }

    /// How many events wait.
    #[must_use]
    pub fn n_events(&self) -> usize {
        self.events.len()
    }

    /// Events lost because nobody took the earlier ones.
    #[must_use]
    pub fn n_events_dropped(&self) -> u64 {
        self.events.n_dropped()
    }

    /// The MAC table as `ovs-appctl fdb/show` prints it.
    #[must_use]
    pub fn fdb_show(&self, now: Nanos) -> String {
        self.state.macs.show(now)
    }

    /// Puts a station on a port for good (`fdb/add`); the port where it was put before, if that was
    /// another one.
    ///
    /// # Errors
    /// There is no such port, or there are too many such stations.
    pub fn fdb_add(
        &mut self,
        station: Station,
        port: OfPort,
    ) -> Result<Option<OfPort>, OfErrorKind> {
        if self.state.ports.get(port).is_none() {
            return Err(OfErrorKind::RequestBadPort);
        }
        let mut state = self.state.write();
        let before = state.macs.put(station, port);
        let news = state.macs.take_news();
        drop(state);
        self.changes.hear(news);
        before.ok_or(OfErrorKind::FlowModTableFull)
    }

    /// Takes away a station that was put on a port; `false` if it was not.
    pub fn fdb_del(&mut self, station: Station) -> bool {
        let mut state = self.state.write();
        let was_there = state.macs.take_away(station);
        let news = state.macs.take_news();
        drop(state);
        self.changes.hear(news);
        was_there
    }

    /// What the MAC table has counted, as `ovs-appctl fdb/stats-show` prints it.
    #[must_use]
    pub fn fdb_stats_show(&self) -> String {
        let macs = &self.state.macs;
        let stats = macs.stats();
        let n_static = macs.statics().count();
        alloc::format!(
            "Statistics for bridge \"{}\":\n  \
             Current/maximum MAC entries in the table: {}/{}\n  \
             Current static MAC entries in the table : {n_static}\n  \
             Total number of learned MAC entries     : {}\n  \
             Total number of expired MAC entries     : {}\n  \
             Total number of evicted MAC entries     : {}\n  \
             Total number of port moved MAC entries  : {}\n",
            self.name(),
            macs.len() + n_static,
            macs.capacity(),
            stats.learned,
            stats.expired,
            stats.evicted,
            stats.moved
        )
    }

    /// Lets what the MAC table counts begin anew.
    pub fn fdb_stats_clear(&mut self) {
        self.state.write().macs.clear_stats();
    }

    /// Forgets all learned addresses.
    pub fn fdb_flush(&mut self) {
        let mut state = self.state.write();
        state.macs.flush();
        let news = state.macs.take_news();
        drop(state);
        self.changes.hear(news);
    }
}

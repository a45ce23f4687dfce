//! Puts a switch together: cores, rings, ports, bridge, agent.

use crate::channel::ByteChannel;
use crate::control::{Control, Parts};
use crate::database::{DatabaseParts, Databases};
use crate::dpif::{CoreLink, RingDpif};
use crate::mgmt::{Address, Management};
use crate::outlet::{FirstForward, Outlet};
use crate::pmd::Pmd;
use crate::ports::Ports;
use crate::rings::{
    FORWARD_RING, Forward, ORDER_RING, PROTOCOL_RING, REPORT_RING, Sender, UPCALL_RING,
};
use crate::upcalls::{CoreTotals, CoreUpcalls, Lane, Service, UpcallConfig, UpcallMode};
use agent::AgentConfig;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{
    CoreCounters, CoreId, DatapathConfig, Dpif as _, EmcConfig, MeterTable, PmdConfig, PmdDatapath,
    TableLimits,
};
use flow::EtherAddr;
use netdev::Netdev;
use ofproto::{BridgeConfig, OfPort};
use packet::{Pool, PoolCache};
use sync::spsc::{Producer, channel};
use sync::time::Nanos;

/// What a switch is made of.
#[derive(Debug)]
pub struct SwitchParts {
    /// The bridge.
    pub bridge: BridgeConfig,
    /// The agent.
    pub agent: AgentConfig,
    /// TCP port on which controllers may connect; 0 is none.
    pub listen: u16,
    /// Polling cores, at least one.
    pub n_cores: usize,
    /// Data ports.
    pub ports: Vec<PortParts>,
    /// The management NIC and how it gets its address.
    pub management: Option<(Box<dyn Netdev>, Address)>,
    /// Channels on which unixctl is served.
    pub channels: Vec<Box<dyn ByteChannel>>,
    /// Where packets live.
    pub pool: Arc<Pool>,
    /// One in so many cache hits is checked against the tables; 0 is none.
    pub self_check_one_in: u32,
    /// Caches and bounds of the datapath.
    pub datapath: DatapathConfig,
    /// Where and how fast upcalls are answered.
    pub upcalls: UpcallConfig,
    /// The configuration database's share of the machine.
    pub database: DatabaseParts,
    /// A number that nobody can guess: seeds hash tables and TCP.
    pub random: u64,
    /// Bytes of memory in use and in all, for reports.
    pub memory: fn() -> (usize, usize),
    /// Reads the processor's cycle counter.
    pub cycles: fn() -> u64,
}

/// One data port.
#[derive(Debug)]
pub struct PortParts {
    /// Its name, as controllers see it.
    pub name: String,
    /// Its OpenFlow number; [`OfPort::ANY`] leaves the device out of the bridge for the time being.
    pub of: OfPort,
    /// The device.
    pub netdev: Box<dyn Netdev>,
}

/// A switch: one body for the control core, one for each polling core.
#[derive(Debug)]
pub struct Switch {
    /// To be polled by the control core.
    pub control: Control,
    /// To be polled by one core each; with fewer processors, by turns.
    pub pmds: Vec<Pmd>,
}

impl Switch {
    /// Puts the parts together and opens the netdevs.
    pub fn new(mut parts: SwitchParts, now: Nanos) -> Self {
        let n_cores = parts.n_cores.max(1);
        let first_forward = Arc::new(FirstForward::default());
        let meters = Arc::new(MeterTable::default());
        let shared = Shared { parts: &parts, meters: &meters, first_forward: &first_forward };
        let mut pmds = Vec::new();
        let mut links = Vec::new();
        let mut upcalls = Vec::new();
        let mut reports = Vec::new();
        let mut forwards = Vec::new();
        for k in 0..n_cores {
            let (order_tx, order_rx) = channel(ORDER_RING);
            let (report_tx, report_rx) = channel(REPORT_RING);
            let core = Core::new(k, &shared, &parts.upcalls, Vec::new());
            let reporter = Sender::new(report_tx);
            let (forwarder, incoming) = channel(FORWARD_RING);
            forwards.push(forwarder);
            pmds.push(Pmd::new(
                core.datapath,
                core.outlet,
                parts.upcalls,
                order_rx,
                incoming,
                reporter,
            ));
            links.push(CoreLink { orders: Sender::new(order_tx), counters: core.counters });
            upcalls.push(core.upcalls);
            reports.push(report_rx);
        }
        // The control core's own small datapath is numbered behind the others.
        let by_ring = UpcallConfig { mode: UpcallMode::Thread, ..parts.upcalls };
        let own = Core::new(n_cores, &shared, &by_ring, forwards);
        upcalls.push(own.upcalls);
        let mut dpif = RingDpif::new(links, own.datapath, own.counters, own.outlet, meters);
        dpif.begin_round(now);
        dpif.begin_readings(now);

        let base_mac = parts.base_mac();
        let ports = Ports::new(parts.pool.clone());
        let management = parts.management.map(|(netdev, address)| {
            let (mac, cache) = (netdev.info().mac, PoolCache::new(parts.pool.clone()));
            let mut stack = Management::new(mac, address, cache, parts.random, now);
            stack.listen(parts.database.listen);
            (netdev, stack)
        });
        let memory = (parts.memory)().1;
        let databases = Databases::new(parts.database, memory, parts.random, now);
        let mut control = Control::new(Parts {
            template: parts.bridge,
            agent: parts.agent,
            dpif,
            ports,
            management,
            service: Service::new(upcalls),
            upcalls: parts.upcalls,
            reports,
            channels: parts.channels,
            first_forward,
            memory: parts.memory,
            self_check_one_in: parts.self_check_one_in,
            pool: parts.pool,
            base_mac,
            databases,
        });
        if parts.datapath != control.dpif.config() {
            control.dpif.configure(&parts.datapath);
        }
        if control.databases.is_seasoned() {
            // What the disk says is in force from the first frame on.
            parts.ports.iter_mut().for_each(|port| port.of = OfPort::ANY);
        }
        control.begin(parts.ports, parts.listen, now);
        control.reconcile(now);
        Self { control, pmds }
    }
}

impl SwitchParts {
    /// A switch with these ports and everything else as by default: one polling core, a bridge that learns,
    /// nobody who listens, a database in memory, and of the machine neither memory nor cycles are known.
    /// The random number is the same each time: for tests and measurements.
    #[must_use]
    pub fn new(ports: Vec<PortParts>, pool: Arc<Pool>) -> Self {
        Self {
            bridge: BridgeConfig::default(),
            agent: AgentConfig::default(),
            listen: 0,
            n_cores: 1,
            ports,
            management: None,
            channels: Vec::new(),
            pool,
            self_check_one_in: 10_000,
            datapath: DatapathConfig::default(),
            upcalls: UpcallConfig::default(),
            database: DatabaseParts::default(),
            random: 7,
            memory: || (0, 0),
            cycles: || 0,
        }
    }

    /// The address that names this machine: the management NIC's, or that of the first port.
    fn base_mac(&self) -> EtherAddr {
        let management = self.management.as_ref().map(|(netdev, _)| netdev.info().mac);
        let first = || self.ports.first().map(|port| port.netdev.info().mac);
        EtherAddr(management.or_else(first).unwrap_or([2, 0, 0, 0, 0, 1]))
    }
}

/// What all cores are made with.
struct Shared<'a> {
    parts: &'a SwitchParts,
    meters: &'a Arc<MeterTable>,
    first_forward: &'a Arc<FirstForward>,
}

/// The datapath and the outlet of one core, and the control core's ends of it.
struct Core {
    datapath: PmdDatapath,
    outlet: Outlet,
    counters: Arc<CoreCounters>,
    upcalls: CoreUpcalls,
}

impl Core {
    fn new(
        k: usize,
        shared: &Shared<'_>,
        upcalls: &UpcallConfig,
        forwards: Vec<Producer<Forward>>,
    ) -> Self {
        let Shared { parts, meters, first_forward } = *shared;
        let config = PmdConfig {
            core: core_id(k),
            limits: TableLimits::default(),
            emc: EmcConfig { seed: parts.random.wrapping_add(k as u64), ..EmcConfig::default() },
            smc_enable: Default::default(),
            hash_basis: u32::try_from(parts.random >> 32).unwrap_or(0),
            sample_one_in: parts.self_check_one_in,
        };
        let (sender, ring) = channel(UPCALL_RING);
        let (protocol_sender, protocol_ring) = channel(PROTOCOL_RING);
        let totals = Arc::new(CoreTotals::default());
        let [_, _, own @ ..] = parts.bridge.datapath_id.to_be_bytes();
        let lane = Lane::new(upcalls, sender, protocol_sender, totals.clone(), EtherAddr(own));
        let counters = Arc::new(CoreCounters::default());
        let cache = PoolCache::new(parts.pool.clone());
        let outlet = Outlet::new(
            cache,
            forwards,
            counters.clone(),
            lane,
            first_forward.clone(),
            parts.cycles,
        );
        let datapath = PmdDatapath::new(config, counters.clone(), meters.clone());
        Self { datapath, outlet, counters, upcalls: CoreUpcalls { ring, protocol_ring, totals } }
    }
}

fn core_id(k: usize) -> CoreId {
    CoreId(u16::try_from(k).unwrap_or(u16::MAX))
}

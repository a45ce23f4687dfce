//! Puts a switch together: cores, rings, ports, bridge, agent.

use crate::channel::ByteChannel;
use crate::control::{Control, Parts};
use crate::dpif::{CoreLink, RingDpif};
use crate::mgmt::{Address, Management};
use crate::outlet::{FirstForward, Outlet};
use crate::pmd::Pmd;
use crate::ports::Ports;
use crate::rings::{
    FORWARD_RING, Forward, ORDER_RING, REPORT_RING, Sender, ToHandler, UPCALL_RING,
};
use agent::{Agent, AgentConfig};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{
    CoreCounters, CoreId, EmcConfig, MeterTable, PmdConfig, PmdDatapath, PortNo, TableLimits,
};
use flow::EtherAddr;
use netdev::Netdev;
use ofproto::{Bridge, BridgeConfig, Link, OfPort, PortSpec};
use packet::{Pool, PoolCache};
use sync::spsc::{Consumer, Producer, channel};
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
    /// A number that nobody can guess: seeds hash tables and TCP.
    pub random: u64,
    /// Bytes of memory in use and in all, for reports.
    pub memory: fn() -> (usize, usize),
}

/// One data port.
#[derive(Debug)]
pub struct PortParts {
    /// Its name, as controllers see it.
    pub name: String,
    /// Its OpenFlow number.
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
    pub fn new(parts: SwitchParts, now: Nanos) -> Self {
        let n_cores = parts.n_cores.max(1);
        let first_forward = Arc::new(FirstForward::default());
        let mut mesh = Mesh::new(n_cores);
        let meters = Arc::new(MeterTable::default());
        let mut pmds = Vec::new();
        let mut links = Vec::new();
        let mut upcalls = Vec::new();
        let mut reports = Vec::new();
        for k in 0..n_cores {
            let (order_tx, order_rx) = channel(ORDER_RING);
            let (upcall_tx, upcall_rx) = channel(UPCALL_RING);
            let (report_tx, report_rx) = channel(REPORT_RING);
            let counters = Arc::new(CoreCounters::default());
            let (datapath, outlet) =
                core(k, &parts, &counters, &meters, mesh.senders(k), upcall_tx, &first_forward);
            let reporter = Sender::new(report_tx);
            pmds.push(Pmd::new(datapath, outlet, order_rx, mesh.receivers(k), reporter));
            links.push(CoreLink { orders: Sender::new(order_tx), counters });
            upcalls.push(upcall_rx);
            reports.push(report_rx);
        }
        // The control core's own small datapath is numbered behind the others.
        let (upcall_tx, upcall_rx) = channel(UPCALL_RING);
        upcalls.push(upcall_rx);
        let counters = Arc::new(CoreCounters::default());
        let (own, outlet) = core(
            n_cores,
            &parts,
            &counters,
            &meters,
            mesh.senders(n_cores),
            upcall_tx,
            &first_forward,
        );
        let mut dpif = RingDpif::new(links, own, counters, outlet, meters);
        dpif.begin_round(now);

        let mut bridge = Bridge::new(parts.bridge, now);
        add_local(&mut bridge, now);
        let mut ports = Ports::new(parts.pool.clone());
        for (k, port) in parts.ports.into_iter().enumerate() {
            let number = PortNo(u32::try_from(k + 1).unwrap_or(u32::MAX));
            let info = port.netdev.info();
            let spec = PortSpec {
                dp: Some(number),
                of: port.of,
                name: port.name,
                hw_addr: EtherAddr(info.mac),
                mtu: info.mtu,
                link: Link::DOWN,
            };
            if let Err(error) = bridge.add_port(spec, now) {
                log::error!("{}: not added to the bridge ({error:?})", info.name);
                continue;
            }
            ports.add(number, port.netdev, &mut dpif, now);
        }
        // Ports begin with the links that they have, not with a change from down to up.
        ports.run(&mut dpif, &mut bridge, now);
        let management = parts.management.map(|(netdev, address)| {
            let (mac, cache) = (netdev.info().mac, PoolCache::new(parts.pool.clone()));
            let mut stack = Management::new(mac, address, cache, parts.random, now);
            stack.listen(parts.listen);
            (netdev, stack)
        });
        let control = Control::new(Parts {
            bridge,
            agent: Agent::new(parts.agent),
            dpif,
            ports,
            management,
            upcalls,
            reports,
            channels: parts.channels,
            first_forward,
            memory: parts.memory,
            listen: parts.listen,
            pool: parts.pool,
        });
        Self { control, pmds }
    }
}

/// The bridge's own port. Nothing of this image listens on it: the management stack has a NIC of its
/// own, so its link is down and frames for it end here.
fn add_local(bridge: &mut Bridge, now: Nanos) {
    let id = bridge.datapath_id().to_be_bytes();
    let [_, _, mac @ ..] = id;
    let spec = PortSpec {
        dp: None,
        of: OfPort::LOCAL,
        name: bridge.name().into(),
        hw_addr: EtherAddr(mac),
        mtu: 1500,
        link: Link::DOWN,
    };
    if let Err(error) = bridge.add_port(spec, now) {
        log::error!("no LOCAL port ({error:?})");
    }
}

/// The datapath and the outlet of one core.
fn core(
    k: usize,
    parts: &SwitchParts,
    counters: &Arc<CoreCounters>,
    meters: &Arc<MeterTable>,
    forwards: Vec<Option<Producer<Forward>>>,
    upcalls: Producer<ToHandler>,
    first_forward: &Arc<FirstForward>,
) -> (PmdDatapath, Outlet) {
    let config = PmdConfig {
        core: CoreId(u16::try_from(k).unwrap_or(u16::MAX)),
        limits: TableLimits::default(),
        emc: EmcConfig { seed: parts.random.wrapping_add(k as u64), ..EmcConfig::default() },
        smc_enable: false,
        hash_basis: u32::try_from(parts.random >> 32).unwrap_or(0),
        sample_one_in: parts.self_check_one_in,
    };
    let cache = PoolCache::new(parts.pool.clone());
    let outlet = Outlet::new(cache, forwards, counters.clone(), upcalls, first_forward.clone());
    (PmdDatapath::new(config, counters.clone(), meters.clone()), outlet)
}

/// The rings for frames between cores: from each core, the control core included, to each other
/// polling core.
struct Mesh {
    senders: Vec<Vec<Option<Producer<Forward>>>>,
    receivers: Vec<Vec<Consumer<Forward>>>,
}

impl Mesh {
    fn new(n_cores: usize) -> Self {
        let mut senders: Vec<Vec<_>> = Vec::new();
        let mut receivers: Vec<Vec<_>> = (0..n_cores).map(|_| Vec::new()).collect();
        for from in 0..=n_cores {
            let mut row = Vec::new();
            for (to, incoming) in receivers.iter_mut().enumerate() {
                row.push((from != to).then(|| {
                    let (producer, consumer) = channel(FORWARD_RING);
                    incoming.push(consumer);
                    producer
                }));
            }
            senders.push(row);
        }
        Self { senders, receivers }
    }

    fn senders(&mut self, from: usize) -> Vec<Option<Producer<Forward>>> {
        self.senders.get_mut(from).map(core::mem::take).unwrap_or_default()
    }

    fn receivers(&mut self, to: usize) -> Vec<Consumer<Forward>> {
        self.receivers.get_mut(to).map(core::mem::take).unwrap_or_default()
    }
}

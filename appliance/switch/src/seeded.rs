//! From the seed to the parts of a switch: which NIC is what, and how bridge and agent are made.

use crate::assemble::{PortParts, SwitchParts};
use crate::channel::ByteChannel;
use crate::database::{Birth, DatabaseParts, SeedBridge, SeedPort, Seeding, parse_vsctl};
use crate::mgmt;
use crate::order::gathered;
use crate::settings::Settings;
use agent::AgentConfig;
use agent::bridge_config::Version;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use netdev::Netdev;
use ofproto::{BridgeConfig, OfPort};
use packet::Pool;
use seed::{Address, BootConfig, FailMode, Mac, NicMatch};
use sync::time::Nanos;

/// What the machine contributes to a switch.
#[derive(Debug)]
pub struct Machine {
    /// All NICs, in location order.
    pub nics: Vec<Box<dyn Netdev>>,
    /// Channels on which unixctl is served.
    pub channels: Vec<Box<dyn ByteChannel>>,
    /// Where packets live.
    pub pool: Arc<Pool>,
    /// Cores that will poll, at least one.
    pub n_cores: usize,
    /// The configuration database's share.
    pub database: DatabaseParts,
    /// A number that nobody can guess.
    pub random: u64,
    /// Bytes of memory in use and in all.
    pub memory: fn() -> (usize, usize),
    /// Reads the processor's cycle counter.
    pub cycles: fn() -> u64,
}

/// Why a seed makes no switch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SeedRefused {
    /// It names a NIC that the machine does not have (or names it twice).
    NoSuchNic(NicMatch),
    /// A statement of `ovs-vsctl` that is not understood, and why.
    Vsctl(String),
}

impl fmt::Display for SeedRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vsctl(why) => write!(f, "vsctl: {why}"),
            Self::NoSuchNic(NicMatch::Mac(mac)) => {
                write!(f, "no NIC has the address {mac} that the configuration names")
            }
            Self::NoSuchNic(NicMatch::Index(index)) => {
                write!(f, "there is no NIC number {index} (the first is 0)")
            }
        }
    }
}

impl SwitchParts {
    /// The parts of the switch that `config` describes, on this machine.
    ///
    /// # Errors
    /// When the configuration names a NIC that is not there, or has a statement that is none.
    pub fn from_seed(config: &BootConfig, machine: Machine) -> Result<Self, SeedRefused> {
        let mut nics: Vec<_> = machine.nics.into_iter().map(Some).collect();
        let management = match config.management {
            None => None,
            // The default names the first NIC, if there is one at all.
            Some(_) if nics.is_empty() => {
                log::warn!("no NIC at all: the switch can be reached by its consoles only");
                None
            }
            Some(wanted) => Some((take(&mut nics, wanted.nic)?, address(wanted.address))),
        };
        let datapath_id = config.datapath_id.unwrap_or_else(|| {
            let named = management.as_ref().map(|(netdev, _)| netdev.info().mac);
            let first = || nics.iter().flatten().next().map(|nic| nic.info().mac);
            let [a, b, c, d, e, f] = named.or_else(first).unwrap_or([2, 0, 0, 0, 0, 1]);
            u64::from_be_bytes([0, 0, a, b, c, d, e, f])
        });
        let settings = settings(config, bridge(config, datapath_id, machine.random));
        let mut ports = ports(config, &mut nics)?;
        let mut database = machine.database;
        if config.vsctl.is_empty() {
            if database.seed.is_none() {
                database.seed = Some(seeding(config, &ports));
                database.birth = Birth::Later;
            }
        } else {
            // Statements say which ports there are.
            ports.iter_mut().for_each(|port| port.of = OfPort::ANY);
            database.seed = Some(parse_vsctl(&config.vsctl).map_err(SeedRefused::Vsctl)?);
        }
        Ok(Self {
            bridge: settings.bridge,
            agent: agent(config),
            listen: config.listen.unwrap_or(0),
            n_cores: machine.n_cores,
            ports,
            management,
            channels: machine.channels,
            pool: machine.pool,
            self_check_one_in: settings.self_check_one_in,
            datapath: settings.datapath,
            upcalls: settings.upcalls,
            database,
            random: machine.random,
            memory: machine.memory,
            cycles: machine.cycles,
        })
    }
}

fn bridge(config: &BootConfig, datapath_id: u64, random: u64) -> BridgeConfig {
    BridgeConfig {
        name: config.bridge.clone(),
        datapath_id,
        fail_mode: match config.fail_mode {
            FailMode::Standalone => ofproto::FailMode::Standalone,
            FailMode::Secure => ofproto::FailMode::Secure,
        },
        mac_table_size: usize::try_from(config.mac_table_size).unwrap_or(usize::MAX),
        mac_max_age: Nanos::from_secs(u64::from(config.mac_age_s)),
        seed: random.rotate_left(17),
        ..BridgeConfig::default()
    }
}

/// The same configuration as the rows that a new database begins with.
fn seeding(config: &BootConfig, ports: &[PortParts]) -> Seeding {
    let bound = ports.iter().filter(|port| port.of != OfPort::ANY);
    let asked = |name: &str| config.ports.iter().find(|port| port.name == name)?.ofport;
    let ports = bound.map(|port| SeedPort {
        name: port.name.clone(),
        ofport_request: asked(&port.name),
        device: None,
    });
    let default = BootConfig::default();
    let mut own = BTreeMap::new();
    if let Some(id) = config.datapath_id {
        own.insert("datapath-id".into(), format!("{id:016x}"));
    }
    if config.mac_age_s != default.mac_age_s {
        own.insert("mac-aging-time".into(), config.mac_age_s.to_string());
    }
    if config.mac_table_size != default.mac_table_size {
        own.insert("mac-table-size".into(), config.mac_table_size.to_string());
    }
    let mut other_config: BTreeMap<_, _> = gathered(config.other_config.iter().cloned());
    if config.self_check_one_in != default.self_check_one_in {
        other_config.insert("self-check".into(), config.self_check_one_in.to_string());
    }
    let protocols = other_config.remove(PROTOCOLS).filter(|names| protocols(names).is_some());
    let bridge = SeedBridge {
        protocols: protocols.iter().flat_map(|names| names.split(',')).map(String::from).collect(),
        name: config.bridge.clone(),
        fail_mode: (config.fail_mode == FailMode::Secure).then_some("secure"),
        controllers: config.controllers.iter().map(ToString::to_string).collect(),
        other_config: own,
        ports: ports.collect(),
    };
    Seeding { bridges: vec![bridge], other_config, ..Seeding::default() }
}

/// `protocols`: the OpenFlow versions that may be spoken, by their names.
const PROTOCOLS: &str = "protocols";

/// The settings that the configuration names, over those that it has fields for. What does not fit
/// is told of and left at its default: a switch that boots can be corrected.
fn settings(config: &BootConfig, bridge: BridgeConfig) -> Settings {
    let self_check_one_in = config.self_check_one_in;
    let mut settings = Settings { bridge, self_check_one_in, ..Settings::default() };
    for (key, value) in config.other_config.iter().filter(|(key, _)| key != PROTOCOLS) {
        if let Err(problem) = settings.set(key, value) {
            log::error!("other_config: {problem}; the default stays");
        }
    }
    settings
}

fn agent(config: &BootConfig) -> AgentConfig {
    let targets = config.controllers.iter();
    let controllers = targets.map(|target| SocketAddr::new(target.address, target.port)).collect();
    let mut agent = AgentConfig { controllers, ..AgentConfig::default() };
    if let Some((_, names)) = config.other_config.iter().find(|(key, _)| key == PROTOCOLS) {
        match protocols(names) {
            Some(versions) => agent.versions = versions,
            None => log::error!(
                "other_config: protocols={names}: expected OpenFlow10 to OpenFlow15, with commas; all are spoken"
            ),
        }
    }
    agent
}

/// The bitmap of the versions that Open vSwitch calls so.
fn protocols(names: &str) -> Option<u32> {
    let mut versions = names.split(',').map(Version::from_name);
    versions.try_fold(0, |bits, version| Some(bits | version?.bit()))
}

/// Takes the NIC that `wanted` names.
fn take(
    nics: &mut [Option<Box<dyn Netdev>>],
    wanted: NicMatch,
) -> Result<Box<dyn Netdev>, SeedRefused> {
    let found = nics.iter_mut().enumerate().find(|(index, nic)| {
        nic.as_ref().is_some_and(|nic| wanted.matches(Mac(nic.info().mac), *index))
    });
    found.and_then(|(_, nic)| nic.take()).ok_or(SeedRefused::NoSuchNic(wanted))
}

/// The data ports: those that the configuration names, else every NIC that is left.
fn ports(
    config: &BootConfig,
    nics: &mut [Option<Box<dyn Netdev>>],
) -> Result<Vec<PortParts>, SeedRefused> {
    let mut ports = Vec::new();
    if config.ports.is_empty() {
        for (netdev, number) in nics.iter_mut().filter_map(Option::take).zip(1_u32..) {
            ports.push(PortParts { name: format!("p{number}"), of: OfPort(number), netdev });
        }
        return Ok(ports);
    }
    let asked: Vec<u32> =
        config.ports.iter().filter_map(|port| port.ofport).map(u32::from).collect();
    let mut free = (1_u32..).filter(|number| !asked.contains(number));
    for port in &config.ports {
        let netdev = take(nics, port.nic)?;
        // There are more numbers than ports.
        let number = port.ofport.map(u32::from).or_else(|| free.next()).unwrap_or(u32::MAX);
        ports.push(PortParts { name: port.name.clone(), of: OfPort(number), netdev });
    }
    // Those that are left can be put into bridges later, by their own names.
    for netdev in nics.iter_mut().filter_map(Option::take) {
        ports.push(PortParts { name: netdev.info().name.clone(), of: OfPort::ANY, netdev });
    }
    Ok(ports)
}

fn address(address: Address) -> mgmt::Address {
    match address {
        Address::Dhcp => mgmt::Address::Dhcp,
        Address::Static { address, prefix_len, gateway } => {
            mgmt::Address::Static { address, prefix_len, gateway }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netdev::fake::Replay;
    use packet::PoolConfig;
    use seed::{Management, PortSeed};

    fn machine(n_nics: u8) -> Machine {
        let nic = |k: u8| -> Box<dyn Netdev> {
            Box::new(Replay::new(&format!("nic{k}"), [2, 0, 0, 0, 0, k], Vec::new()).0)
        };
        Machine {
            nics: (0..n_nics).map(nic).collect(),
            channels: Vec::new(),
            pool: Pool::on_heap(PoolConfig { small: 256, jumbo: 16 }),
            n_cores: 1,
            database: DatabaseParts::default(),
            random: 7,
            memory: || (0, 0),
            cycles: || 0,
        }
    }

    /// Management NIC, then the ports: name, number, NIC.
    fn plan(config: &BootConfig, n_nics: u8) -> (Option<String>, Vec<(String, u32, String)>) {
        let parts = SwitchParts::from_seed(config, machine(n_nics)).expect("NICs are there");
        let management = parts.management.map(|(nic, _)| nic.info().name.clone());
        let port = |port: PortParts| (port.name, port.of.0, port.netdev.info().name.clone());
        (management, parts.ports.into_iter().map(port).collect())
    }

    fn port(nic: NicMatch, name: &str, ofport: Option<u16>) -> PortSeed {
        PortSeed { nic, name: name.into(), ofport }
    }

    #[test]
    fn by_default_the_first_nic_is_management_and_the_others_are_ports() {
        let (management, ports) = plan(&BootConfig::default(), 3);
        assert_eq!(management.as_deref(), Some("nic0"));
        let want = [("p1".into(), 1, "nic1".into()), ("p2".into(), 2, "nic2".into())];
        assert_eq!(ports, want);
        assert_eq!(plan(&BootConfig::default(), 0), (None, Vec::new()));
    }

    #[test]
    fn named_ports_get_their_nics_and_the_lowest_free_numbers() {
        let config = BootConfig {
            management: None,
            ports: alloc::vec![
                port(NicMatch::Mac(Mac([2, 0, 0, 0, 0, 2])), "uplink", None),
                port(NicMatch::Index(0), "vm", Some(1)),
            ],
            ..BootConfig::default()
        };
        let (management, ports) = plan(&config, 3);
        assert_eq!(management, None);
        let rest = ("nic1".into(), OfPort::ANY.0, "nic1".into());
        let want = [("uplink".into(), 2, "nic2".into()), ("vm".into(), 1, "nic0".into()), rest];
        assert_eq!(ports, want);
    }

    #[test]
    fn a_nic_that_is_not_there_is_named() {
        let missing = NicMatch::Index(5);
        let management = Some(Management { nic: missing, address: Address::Dhcp });
        let config = BootConfig { management, ..BootConfig::default() };
        let refused = SwitchParts::from_seed(&config, machine(2)).err();
        assert_eq!(refused, Some(SeedRefused::NoSuchNic(missing)));
    }

    #[test]
    fn settings_by_name_reach_their_parts_and_wrong_ones_change_nothing() {
        let pair = |key: &str, value: &str| (String::from(key), String::from(value));
        let config = BootConfig {
            other_config: alloc::vec![
                pair("max-idle", "20000"),
                pair("max-revalidator", "1"),
                pair("upcall-mode", "thread"),
                pair("smc-enable", "true"),
                pair("self-check", "7"),
                pair("no-such-thing", "7"),
            ],
            ..BootConfig::default()
        };
        let parts = SwitchParts::from_seed(&config, machine(2)).expect("NICs");
        assert_eq!(parts.bridge.max_idle, Nanos::from_secs(20));
        assert_eq!(parts.bridge.max_revalidator, BridgeConfig::default().max_revalidator);
        assert_eq!(parts.upcalls.mode, crate::UpcallMode::Thread);
        assert_eq!(parts.datapath.smc_enable, datapath::SmcEnable::On);
        assert_eq!(parts.self_check_one_in, 7);
    }

    #[test]
    fn protocols_are_the_versions_that_the_agent_speaks() {
        let versions = |names: &str| {
            let pair = (String::from("protocols"), String::from(names));
            let config = BootConfig { other_config: alloc::vec![pair], ..BootConfig::default() };
            SwitchParts::from_seed(&config, machine(2)).expect("NICs").agent.versions
        };
        let all = AgentConfig::default().versions;
        assert_eq!(versions("OpenFlow10,OpenFlow13"), Version::V10.bit() | Version::V13.bit());
        assert_eq!(versions("OpenFlow15"), Version::V15.bit());
        for wrong in ["OpenFlow16", "OpenFlow13,", "1.3", "OpenFlow1255"] {
            assert_eq!(versions(wrong), all, "{wrong}");
        }
    }

    #[test]
    fn the_datapath_id_is_made_of_the_management_address() {
        let parts = SwitchParts::from_seed(&BootConfig::default(), machine(2)).expect("NICs");
        assert_eq!(parts.bridge.datapath_id, 0x0000_0200_0000_0000);
        let config = BootConfig { datapath_id: Some(5), ..BootConfig::default() };
        let parts = SwitchParts::from_seed(&config, machine(2)).expect("NICs");
        assert_eq!(parts.bridge.datapath_id, 5);
    }
}

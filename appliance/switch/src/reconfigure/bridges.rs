//! Bridges come, go, and change.

use super::Control;
use crate::bridges::{BridgeId, Bridges, MAX_BRIDGES, Member};
use agent::bridge_config::{BridgeWanted, ControllerWanted, ControllerWay, FailMode, Wanted};
use agent::{Agent, AgentConfig, PacketInLimit, PeerSettings, Way};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use flow::EtherAddr;
use ofproto::{Bridge, BridgeConfig, Link, OfPort, PortSpec, TableSettings, Tunable};
use sync::time::Nanos;

impl Control {
    /// Removes the bridges that are not wanted; their ports have left.
    pub(super) fn remove_bridges(&mut self, wanted: &Wanted) {
        let is_wanted = |name: &str| wanted.bridges.iter().any(|bridge| bridge.name == name);
        let gone = self.bridges.iter().filter(|member| !is_wanted(member.bridge.name()));
        let gone: Vec<BridgeId> = gone.map(|member| member.id).collect();
        for id in gone {
            self.dpif.remove_bridge(id);
            if let Some(network) = &mut self.network {
                network.forget_bridge(id);
            }
            if let Some(mut member) = self.bridges.remove(id) {
                member.bridge.retire(&mut self.dpif);
            }
        }
        self.listen();
    }

    /// Makes the bridge if it is not there, and gives it its settings.
    pub(super) fn make_bridge(&mut self, wanted: &BridgeWanted, now: Nanos) {
        let id = match self.bridges.by_name(&wanted.name) {
            Some(member) => member.id,
            None => {
                let (mac, datapath_id) = self.identity(wanted);
                let config = BridgeConfig {
                    name: wanted.name.clone(),
                    datapath_id,
                    fail_mode: fail_mode(wanted.fail_mode),
                    ..self.template.clone()
                };
                let agent = agent_config(&self.agent_template, wanted);
                match self.add_bridge(config, agent, mac, now) {
                    Some(id) => id,
                    None => {
                        let why = format!("this switch has {MAX_BRIDGES} bridges at most");
                        self.intent.bridge_errors.insert(wanted.name.clone(), why);
                        return;
                    }
                }
            }
        };
        self.tune(id, wanted, now);
    }

    /// Adds a bridge with a LOCAL port; `None` if there are too many.
    pub(crate) fn add_bridge(
        &mut self,
        config: BridgeConfig,
        agent: AgentConfig,
        mac: EtherAddr,
        now: Nanos,
    ) -> Option<BridgeId> {
        let id = self.bridges.next_id()?;
        let mut bridge = Bridge::new(BridgeConfig { origin: id.origin(), ..config }, now);
        // Nothing of this image listens on it: the management stack has a NIC of its own, so its link
        // is down and frames for it end here.
        let local = PortSpec {
            dp: None,
            of: OfPort::LOCAL,
            name: bridge.name().to_string(),
            hw_addr: mac,
            mtu: 1500,
            link: Link::DOWN,
        };
        if let Err(error) = bridge.add_port(local, now) {
            log::error!("{}: no LOCAL port ({error:?})", bridge.name());
        }
        self.dpif.add_bridge(id, &mut bridge);
        let agent = Agent::new(agent);
        self.bridges.add(Member { id, bridge, agent, listen: Vec::new(), last_number: 0 });
        Some(id)
    }

    fn tune(&mut self, id: BridgeId, wanted: &BridgeWanted, now: Nanos) {
        let (mac, datapath_id) = self.identity(wanted);
        let age = self.template.get(Tunable::MacAgingTime);
        let age = wanted.mac_aging_time_s.map_or(age, |age| age.clamp(15, 3600).to_string());
        let size = self.template.get(Tunable::MacTableSize);
        let size = wanted.mac_table_size.map_or(size, |n| n.clamp(10, 1_000_000).to_string());
        let agent = agent_config(&self.agent_template, wanted);
        let Some(Member { bridge, agent: dialogue, listen, .. }) = self.bridges.get_mut(id) else {
            return;
        };
        bridge.set_hw_addr(OfPort::LOCAL, mac);
        let is_renamed = datapath_id != bridge.datapath_id();
        bridge.set_datapath_id(datapath_id);
        dialogue.reconfigure(agent, is_renamed);
        bridge.set_fail_mode(fail_mode(wanted.fail_mode), now);
        let values = [
            (Tunable::MacAgingTime, age),
            (Tunable::MacTableSize, size),
            (Tunable::ForwardBpdu, wanted.forward_bpdu.to_string()),
        ];
        for (tunable, value) in values {
            if bridge.config().get(tunable) != value
                && let Err(why) = bridge.set(tunable, &value)
            {
                log::error!("{}: {}={value}: {why}", wanted.name, tunable.name());
            }
        }
        for id in 0..bridge.state().tables.n_tables() {
            bridge.configure_table(id, table_settings(wanted, id), now);
        }
        let ways = wanted.controllers.iter().map(|controller| controller.way);
        *listen = ways
            .filter_map(|way| match way {
                ControllerWay::Listen(port) => Some(port),
                ControllerWay::Connect(_) | ControllerWay::Unsupported => None,
            })
            .collect();
        self.listen();
    }

    /// Listens where some bridge wants it, and nowhere else.
    pub(crate) fn listen(&mut self) {
        let Some(network) = &mut self.network else { return };
        let mut wanted: Vec<u16> =
            self.bridges.iter().flat_map(|member| member.listen.iter().copied()).collect();
        wanted.push(self.door);
        network.listen(&wanted);
    }

    /// The bridge whose controllers come in by this TCP port.
    pub(crate) fn behind(bridges: &Bridges, door: (u16, &str), port: u16) -> Option<BridgeId> {
        let listens = |member: &&Member| member.listen.contains(&port);
        let of_boot = || bridges.by_name(door.1).or_else(|| bridges.iter().next());
        let by_door = || (port == door.0).then(of_boot).flatten();
        bridges.iter().find(listens).or_else(by_door).map(|member| member.id)
    }

    /// Address and number of a bridge. The bridge of the boot has those of the boot unless others are
    /// wanted.
    fn identity(&self, wanted: &BridgeWanted) -> (EtherAddr, u64) {
        let is_of_boot = wanted.name == self.template.name;
        let mac = match wanted.mac {
            Some(mac) => EtherAddr(mac),
            None if is_of_boot => mac_of(self.template.datapath_id),
            None => EtherAddr(self.made_up_mac(&wanted.name)),
        };
        let by_default = match wanted.mac {
            None if is_of_boot => self.template.datapath_id,
            _ => id_of(mac),
        };
        (mac, wanted.datapath_id.unwrap_or(by_default))
    }

    /// An address for something of that name: made of this machine's, the same after a restart.
    pub(super) fn made_up_mac(&self, name: &str) -> [u8; 6] {
        let [a, b, c, d, e, f] = self.base_mac.0;
        let hash = |seed: u32, byte: u8| (seed ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let [_, x, y, z] = name.bytes().fold(0x811c_9dc5, hash).to_be_bytes();
        // Locally administered, and no group.
        [a & !1 | 2, b ^ 0x5a, c, d ^ x, e ^ y, f ^ z]
    }
}

/// The address in a number.
pub(super) fn mac_of(datapath_id: u64) -> EtherAddr {
    let [_, _, mac @ ..] = datapath_id.to_be_bytes();
    EtherAddr(mac)
}

/// Open vSwitch's rule: the address is the number.
fn id_of(mac: EtherAddr) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

fn fail_mode(wanted: FailMode) -> ofproto::FailMode {
    match wanted {
        FailMode::Standalone => ofproto::FailMode::Standalone,
        FailMode::Secure => ofproto::FailMode::Secure,
    }
}

/// What is wanted of a flow table. A field to group by that is none is passed over.
fn table_settings(wanted: &BridgeWanted, id: u8) -> TableSettings {
    let Some(table) = wanted.flow_tables.get(&id) else { return TableSettings::default() };
    let part = |text: &String| {
        let part = TableSettings::parse_field(text);
        if part.is_none() {
            log::error!("{}: table {id}: groups: {text} is no field", wanted.name);
        }
        part
    };
    TableSettings {
        name: table.name.clone().unwrap_or_default(),
        flow_limit: table.flow_limit,
        evicts: table.evicts,
        eviction_fields: table.groups.iter().filter_map(part).collect(),
    }
}

/// How a bridge's agent is to behave.
fn agent_config(template: &AgentConfig, wanted: &BridgeWanted) -> AgentConfig {
    let mut config = AgentConfig { controllers: Vec::new(), ..template.clone() };
    if !wanted.protocols.is_empty() {
        config.versions = wanted.protocols.iter().fold(0, |bits, version| bits | version.bit());
    }
    if let Some(desc) = &wanted.datapath_desc {
        config.description.datapath = String::clone(desc);
    }
    for controller in &wanted.controllers {
        let settings = peer_settings(template, controller);
        match controller.way {
            // Of two rows with the same target the first counts.
            ControllerWay::Connect(target) if config.controllers.contains(&target) => {}
            ControllerWay::Connect(target) => {
                config.controllers.push(target);
                config.own.push((Way::Connect(target), settings));
            }
            ControllerWay::Listen(port) => config.own.push((Way::Listen(port), settings)),
            ControllerWay::Unsupported => {}
        }
    }
    config
}

/// How one controller is dealt with.
fn peer_settings(template: &AgentConfig, wanted: &ControllerWanted) -> PeerSettings {
    let in_ms = |ms: u32| Nanos::from_millis(ms.into());
    let rate = wanted.controller_rate_limit.filter(|rate| *rate > 0);
    let burst = wanted.controller_burst_limit.filter(|burst| *burst > 0);
    PeerSettings {
        inactivity_probe: wanted.inactivity_probe_ms.map_or(template.inactivity_probe, in_ms),
        max_backoff: wanted.max_backoff_ms.map_or(template.max_backoff, |ms| in_ms(ms.max(1000))),
        packet_in_limit: rate.map(|per_second| PacketInLimit {
            per_second,
            burst: burst.unwrap_or(per_second / 4).max(1),
        }),
        is_quiet: wanted.is_quiet,
        is_service: wanted.is_service,
    }
}

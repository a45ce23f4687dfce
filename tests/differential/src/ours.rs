//! Our bridge in this process, with the ports and stations that Open vSwitch gets.

use datapath::{LocalDpif, PortNo};
use flow::EtherAddr;
use flow::text::NoNames;
use ofproto::{Bridge, BridgeConfig, FailMode, Link, PortSpec};
use openflow::text::{parse_flow, parse_group, parse_meter};
use openflow::{
    Dialect, FlowModCommand, GroupModCommand, Message, MeterMod, MeterModCommand, OfPort, Version,
};
use sync::time::Nanos;

use crate::random::{DP_LOCAL, METERS, N_PORTS, Packet, RuleSet, STATIONS};

/// Our bridge with one set of rules.
#[derive(Debug)]
pub struct Ours {
    bridge: Bridge,
    now: Nanos,
}

impl Ours {
    /// A bridge without rules.
    ///
    /// # Errors
    /// When it refuses its ports or meters.
    pub fn start() -> Result<Self, String> {
        let now = Nanos::from_secs(1000);
        let config = BridgeConfig { fail_mode: FailMode::Secure, ..BridgeConfig::default() };
        let mut bridge = Bridge::new(config, now);
        let mut dpif = LocalDpif::with(datapath::LocalConfig::default());
        dpif.set_now(now);
        let mut add = |of: OfPort, dp: u32, name: String| {
            dpif.add_port(PortNo(dp));
            let [.., last] = of.0.to_be_bytes();
            let spec = PortSpec {
                dp: Some(PortNo(dp)),
                of,
                name,
                hw_addr: EtherAddr([2, 0xaa, 0, 0, 0, last]),
                mtu: 1500,
                link: Link::UP,
            };
            bridge.add_port(spec, now).map_err(|why| format!("{why:?}"))
        };
        for port in 1..=N_PORTS {
            add(OfPort(port), port, format!("p{port}"))?;
        }
        add(OfPort::LOCAL, DP_LOCAL, "br0".to_owned())?;
        bridge.set_invalid_ttl_to_controllers(true);
        let mut ours = Self { bridge, now };
        ours.teach(&mut dpif, now)?;
        for meter in METERS {
            let config = parse_meter(meter).map_err(|why| format!("{meter}: {why}"))?;
            let change = MeterMod { command: MeterModCommand::Add, config };
            ours.bridge
                .meter_mod(&change, &mut dpif, now)
                .map_err(|why| format!("{meter}: {why:?}"))?;
        }
        Ok(ours)
    }

    /// Gives it the rules that it takes, and says which it refuses and why.
    pub fn load(&mut self, set: &RuleSet) -> Vec<(String, String)> {
        let version = if set.version == "OpenFlow14" { Version::V14 } else { Version::V15 };
        let groups = set.groups.iter().map(|line| (line, self.add_group(line))).collect::<Vec<_>>();
        let flows =
            set.flows.iter().map(|line| (line, self.add_flow(version, line))).collect::<Vec<_>>();
        let results = groups.into_iter().chain(flows);
        results.filter_map(|(line, result)| Some((line.clone(), result.err()?))).collect()
    }

    fn add_group(&mut self, line: &str) -> Result<(), String> {
        let change = parse_group(line, GroupModCommand::Add, &NoNames);
        let change = change.map_err(|why| why.to_string())?;
        self.bridge.group_mod(&change, Version::V15, self.now).map_err(|why| format!("{why:?}"))
    }

    /// Reads a rule, sends it as a controller of that version does, and takes what arrives.
    fn add_flow(&mut self, version: Version, line: &str) -> Result<(), String> {
        let change = parse_flow(line, FlowModCommand::Add).map_err(|why| why.to_string())?;
        let message = Message::FlowMod(Box::new(change));
        let (dialect, mut bytes) = (Dialect::plain(version), Vec::new());
        dialect.encode(&message, 1, &mut bytes).map_err(|why| format!("not sent: {why:?}"))?;
        match dialect.decode(&bytes) {
            Ok((_, Message::FlowMod(change))) => {
                self.bridge.flow_mod(&change, version, self.now).map_err(|why| format!("{why:?}"))
            }
            other => Err(format!("sent and not read: {other:?}")),
        }
    }

    /// Shows it the stations, as a learning bridge sees them.
    fn teach(&mut self, dpif: &mut LocalDpif, now: Nanos) -> Result<(), String> {
        let change =
            |text: &str, command| parse_flow(text, command).map_err(|why| format!("{text}: {why}"));
        let add = change("actions=normal", FlowModCommand::Add)?;
        self.bridge.flow_mod(&add, Version::V13, now).map_err(|why| format!("{why:?}"))?;
        for (port, mac) in STATIONS {
            let frame = packet::build::ethernet([0xff; 6], mac.0, 0x9000, &[0; 46]);
            dpif.receive_batch(PortNo(*port), [&frame[..]]);
            while let Some(upcall) = dpif.next_upcall() {
                self.bridge.handle_upcall(upcall, dpif, now);
            }
        }
        let delete = change("", FlowModCommand::Delete)?;
        self.bridge.flow_mod(&delete, Version::V13, now).map_err(|why| format!("{why:?}"))
    }

    /// What our `ofproto/trace` says of a packet.
    #[must_use]
    pub fn trace(&self, packet: &Packet) -> String {
        self.bridge.trace(&packet.key())
    }
}

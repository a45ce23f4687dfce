//! From the words of the configuration to those of a bridge.

use super::Control;
use crate::bridges::Member;
use agent::bridge_config::{BridgeWanted, MirrorWanted, PortWanted, VlanMode};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use ofproto::OfPort;
use ofproto::mirror::{MirrorConfig, MirrorOutput, Selected};
use ofproto::vlan::{PortVlan, VlanSet};

const CUSTOMER_TAG: u16 = 0x8100;

/// How a port carries VLANs; what is not said is as in Open vSwitch.
pub(super) fn port_vlan(wanted: &PortWanted) -> PortVlan {
    let set = |vlans: &[u16]| (!vlans.is_empty()).then(|| vlans.iter().copied().collect());
    let usual_mode = if wanted.tag.is_some() { VlanMode::Access } else { VlanMode::Trunk };
    let usual = PortVlan::default();
    PortVlan {
        mode: wanted.vlan_mode.unwrap_or(usual_mode),
        tag: wanted.tag.unwrap_or(0),
        trunks: set(&wanted.trunks),
        cvlans: set(&wanted.cvlans),
        qinq_ethtype: if wanted.qinq_is_8100 { CUSTOMER_TAG } else { usual.qinq_ethtype },
        priority_tags: wanted.priority_tags,
        is_protected: wanted.is_protected,
    }
}

impl Control {
    /// Gives a bridge its mirrors, and the VLANs in which it learns nothing.
    pub(super) fn set_mirrors(&mut self, wanted: &BridgeWanted) {
        let Some(id) = self.bridges.by_name(&wanted.name).map(|member| member.id) else { return };
        let Some(Member { bridge, .. }) = self.bridges.get_mut(id) else { return };
        let flood_vlans: Option<VlanSet> =
            (!wanted.flood_vlans.is_empty()).then(|| wanted.flood_vlans.iter().copied().collect());
        bridge.set_flood_vlans(flood_vlans);
        // A port goes by its own name or by that of its interface.
        let number = |name: &String| {
            let port = wanted.ports.iter().find(|port| port.name == *name);
            let interface = port.and_then(|port| port.interfaces.first());
            let name = interface.map_or(name, |interface| &interface.name);
            bridge.state().ports.by_name(name).map(|port| port.number())
        };
        let (mut configs, mut errors) = (Vec::new(), Vec::new());
        for mirror in &wanted.mirrors {
            match mirror_config(mirror, &number) {
                Ok(config) => configs.push(config),
                Err(why) => errors.push((mirror.name.clone(), why.to_string())),
            }
        }
        bridge.set_mirrors(configs);
        self.intent
            .mirror_errors
            .extend(errors.into_iter().map(|(name, why)| ((wanted.name.clone(), name), why)));
    }
}

fn mirror_config(
    wanted: &MirrorWanted,
    number: &dyn Fn(&String) -> Option<OfPort>,
) -> Result<MirrorConfig, &'static str> {
    let these = |names: &[String]| match wanted.select_all {
        true => Selected::All,
        false => Selected::Ports(names.iter().filter_map(number).collect()),
    };
    let output = match (&wanted.output_port, wanted.output_vlan) {
        (Some(name), _) => MirrorOutput::Port(number(name).ok_or("its output port is not there")?),
        (None, Some(vlan)) => MirrorOutput::Vlan(vlan),
        (None, None) => return Err("it has neither an output port nor an output VLAN"),
    };
    Ok(MirrorConfig {
        name: wanted.name.clone(),
        sources: these(&wanted.select_src_port),
        destinations: these(&wanted.select_dst_port),
        vlans: (!wanted.select_vlan.is_empty())
            .then(|| wanted.select_vlan.iter().copied().collect()),
        output,
        snaplen: wanted.snaplen.unwrap_or(0),
    })
}

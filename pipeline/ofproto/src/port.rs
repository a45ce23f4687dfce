//! The ports of a bridge: how OpenFlow sees them and where they are in the datapath.

use crate::qos::Qos;
use crate::vlan::PortVlan;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use datapath::PortNo;
use flow::EtherAddr;
use openflow::{OfErrorKind, OfPort, PortConfig, PortDesc, PortFeatures, PortMod, PortState};
use sync::time::Nanos;

/// What is told about a port when it is added.
#[derive(Clone, Debug)]
pub struct PortSpec {
    /// Its number in the datapath; `None` for one that nothing listens on (LOCAL, internal ports).
    pub dp: Option<PortNo>,
    /// Its OpenFlow number: 1 to 0xfeff, or [`OfPort::LOCAL`].
    pub of: OfPort,
    /// Its name, unique in the bridge.
    pub name: String,
    /// Its Ethernet address.
    pub hw_addr: EtherAddr,
    /// The largest frame payload in bytes.
    pub mtu: u16,
    /// Its link.
    pub link: Link,
}

/// The state of a port's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether there is carrier.
    pub up: bool,
    /// The bit rate, if the device tells.
    pub speed_mbps: Option<u32>,
}

impl Link {
    /// A link with carrier and unknown rate.
    pub const UP: Link = Link { up: true, speed_mbps: None };
    /// A link without carrier.
    pub const DOWN: Link = Link { up: false, speed_mbps: None };

    fn features(self) -> PortFeatures {
        match self.speed_mbps {
            None => PortFeatures::empty(),
            Some(10) => PortFeatures::FD_10M,
            Some(100) => PortFeatures::FD_100M,
            Some(1_000) => PortFeatures::FD_1G,
            Some(10_000) => PortFeatures::FD_10G,
            Some(40_000) => PortFeatures::FD_40G,
            Some(100_000) => PortFeatures::FD_100G,
            Some(1_000_000) => PortFeatures::FD_1T,
            Some(_) => PortFeatures::OTHER,
        }
    }

    fn speed_kbps(self) -> u32 {
        self.speed_mbps.unwrap_or(0).saturating_mul(1_000)
    }
}

/// Why a port was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortError {
    /// The OpenFlow number is reserved, zero, or above what OpenFlow 1.0 can say.
    BadNumber,
    /// Another port has the OpenFlow number.
    NumberInUse,
    /// Another port has the datapath number.
    DatapathNumberInUse,
    /// Another port has the name.
    NameInUse,
}

/// A port of a bridge.
#[derive(Clone, Debug)]
pub struct Port {
    spec: PortSpec,
    config: PortConfig,
    vlan: PortVlan,
    qos: Option<Arc<Qos>>,
    added: Nanos,
}

impl Port {
    /// Its OpenFlow number.
    #[must_use]
    pub fn number(&self) -> OfPort {
        self.spec.of
    }

    /// Its number in the datapath.
    #[must_use]
    pub fn dp(&self) -> Option<PortNo> {
        self.spec.dp
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its Ethernet address.
    #[must_use]
    pub fn hw_addr(&self) -> EtherAddr {
        self.spec.hw_addr
    }

    /// The largest frame payload in bytes.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        self.spec.mtu
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> PortConfig {
        self.config
    }

    /// Its state: link, and liveness for fast failover.
    #[must_use]
    pub fn state(&self) -> PortState {
        if !self.spec.link.up {
            PortState::LINK_DOWN
        } else if self.config.contains(PortConfig::PORT_DOWN) {
            PortState::empty()
        } else {
            PortState::LIVE
        }
    }

    /// How it carries VLANs.
    #[must_use]
    pub fn vlan(&self) -> &PortVlan {
        &self.vlan
    }

    /// What it may send, where that is bounded or has queues.
    pub(crate) fn qos(&self) -> Option<&Arc<Qos>> {
        self.qos.as_ref()
    }

    /// Its link.
    #[must_use]
    pub fn link(&self) -> Link {
        self.spec.link
    }

    /// Whether nobody has shut it down.
    #[must_use]
    pub fn is_admin_up(&self) -> bool {
        !self.config.contains(PortConfig::PORT_DOWN)
    }

    /// When it was added.
    #[must_use]
    pub fn added(&self) -> Nanos {
        self.added
    }

    /// As OpenFlow describes it.
    #[must_use]
    pub fn desc(&self) -> PortDesc {
        let features = self.spec.link.features();
        PortDesc {
            port: self.spec.of,
            hw_addr: self.spec.hw_addr.0,
            name: self.spec.name.clone(),
            config: self.config,
            state: self.state(),
            curr: features,
            advertised: PortFeatures::empty(),
            supported: features,
            peer: PortFeatures::empty(),
            curr_speed: self.spec.link.speed_kbps(),
            max_speed: self.spec.link.speed_kbps(),
        }
    }

    /// Whether frames may leave by it.
    pub(crate) fn may_send(&self) -> bool {
        !self.config.intersects(PortConfig::NO_FWD | PortConfig::PORT_DOWN)
    }

    /// Whether flooding includes it.
    pub(crate) fn is_floodable(&self) -> bool {
        !self.config.contains(PortConfig::NO_FLOOD)
    }
}

/// The ports of a bridge, by both numbers.
#[derive(Debug, Default)]
pub struct Ports {
    by_number: BTreeMap<OfPort, Port>,
    by_dp: BTreeMap<PortNo, OfPort>,
}

impl Ports {
    /// The port with this OpenFlow number.
    #[must_use]
    pub fn get(&self, number: OfPort) -> Option<&Port> {
        self.by_number.get(&number)
    }

    /// The port with this datapath number.
    #[must_use]
    pub fn by_dp(&self, dp: PortNo) -> Option<&Port> {
        self.by_dp.get(&dp).and_then(|number| self.by_number.get(number))
    }

    /// The port with this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Port> {
        self.iter().find(|port| port.name() == name)
    }

    /// All ports in the order of their OpenFlow numbers, LOCAL last.
    pub fn iter(&self) -> impl Iterator<Item = &Port> {
        self.by_number.values()
    }

    /// How many there are, LOCAL included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    pub(crate) fn add(&mut self, spec: PortSpec, now: Nanos) -> Result<&Port, PortError> {
        let is_ordinary = spec.of.0 != 0 && spec.of <= OfPort::MAX_V10;
        if !is_ordinary && spec.of != OfPort::LOCAL {
            return Err(PortError::BadNumber);
        }
        if self.by_number.contains_key(&spec.of) {
            return Err(PortError::NumberInUse);
        }
        if spec.dp.is_some_and(|dp| self.by_dp.contains_key(&dp)) {
            return Err(PortError::DatapathNumberInUse);
        }
        if self.by_name(&spec.name).is_some() {
            return Err(PortError::NameInUse);
        }
        if let Some(dp) = spec.dp {
            self.by_dp.insert(dp, spec.of);
        }
        let number = spec.of;
        let (config, vlan) = (PortConfig::empty(), PortVlan::default());
        let port = Port { spec, config, vlan, qos: None, added: now };
        Ok(self.by_number.entry(number).or_insert(port))
    }

    pub(crate) fn remove(&mut self, number: OfPort) -> Option<Port> {
        let port = self.by_number.remove(&number)?;
        if let Some(dp) = port.spec.dp {
            self.by_dp.remove(&dp);
        }
        Some(port)
    }

    /// Notes the link's state; the port if that changed anything.
    pub(crate) fn set_link(&mut self, number: OfPort, link: Link) -> Option<&Port> {
        let port = self.by_number.get_mut(&number)?;
        if port.spec.link == link {
            return None;
        }
        port.spec.link = link;
        Some(port)
    }

    /// Notes the Ethernet address; the port if that changed anything.
    pub(crate) fn set_hw_addr(&mut self, number: OfPort, hw_addr: EtherAddr) -> Option<&Port> {
        let port = self.by_number.get_mut(&number)?;
        if port.spec.hw_addr == hw_addr {
            return None;
        }
        port.spec.hw_addr = hw_addr;
        Some(port)
    }

    /// Sets the largest payload; whether that changed anything.
    pub(crate) fn set_mtu(&mut self, number: OfPort, mtu: u16) -> bool {
        let port = self.by_number.get_mut(&number);
        port.is_some_and(|port| core::mem::replace(&mut port.spec.mtu, mtu) != mtu)
    }

    /// Sets how VLANs are carried; whether that changed anything.
    pub(crate) fn set_vlan(&mut self, number: OfPort, vlan: PortVlan) -> bool {
        let Some(port) = self.by_number.get_mut(&number) else { return false };
        let is_new = port.vlan != vlan;
        port.vlan = vlan;
        is_new
    }

    /// Sets what it may send.
    pub(crate) fn set_qos(&mut self, number: OfPort, qos: Option<Arc<Qos>>) {
        if let Some(port) = self.by_number.get_mut(&number) {
            port.qos = qos;
        }
    }

    /// Shuts the port down or opens it; the port if that changed anything.
    pub(crate) fn set_admin_down(&mut self, number: OfPort, is_down: bool) -> Option<&Port> {
        let port = self.by_number.get_mut(&number)?;
        if port.config.contains(PortConfig::PORT_DOWN) == is_down {
            return None;
        }
        port.config.set(PortConfig::PORT_DOWN, is_down);
        Some(port)
    }

    /// Whether [`modify`](Self::modify) would be refused.
    pub(crate) fn check_modify(&self, change: &PortMod) -> Result<(), OfErrorKind> {
        let port = self.by_number.get(&change.port).ok_or(OfErrorKind::PortModBadPort)?;
        if change.hw_addr != port.spec.hw_addr.0 {
            return Err(OfErrorKind::PortModBadHwAddr);
        }
        Ok(())
    }

    /// Changes the configuration (OpenFlow 1.3.5 §7.3.4.3); the port if that changed anything.
    pub(crate) fn modify(&mut self, change: &PortMod) -> Result<Option<&Port>, OfErrorKind> {
        self.check_modify(change)?;
        let port = self.by_number.get_mut(&change.port).ok_or(OfErrorKind::PortModBadPort)?;
        let config = (port.config - change.mask) | (change.config & change.mask);
        if config == port.config {
            return Ok(None);
        }
        port.config = config;
        Ok(Some(port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn spec(number: u32) -> PortSpec {
        PortSpec {
            dp: Some(PortNo(number + 10)),
            of: OfPort(number),
            name: format!("p{number}"),
            hw_addr: EtherAddr([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            link: Link::UP,
        }
    }

    #[test]
    fn refuses_what_would_be_ambiguous() {
        let mut ports = Ports::default();
        ports.add(spec(1), Nanos::ZERO).unwrap();
        let cases = [
            (PortSpec { of: OfPort(0), ..spec(2) }, PortError::BadNumber),
            (PortSpec { of: OfPort(0xff00), ..spec(2) }, PortError::BadNumber),
            (PortSpec { of: OfPort::FLOOD, ..spec(2) }, PortError::BadNumber),
            (PortSpec { of: OfPort(1), ..spec(2) }, PortError::NumberInUse),
            (PortSpec { dp: Some(PortNo(11)), ..spec(2) }, PortError::DatapathNumberInUse),
            (PortSpec { name: "p1".into(), ..spec(2) }, PortError::NameInUse),
        ];
        for (spec, expected) in cases {
            let text = format!("{spec:?}");
            assert_eq!(ports.add(spec, Nanos::ZERO).err(), Some(expected), "{text}");
        }
        ports.add(PortSpec { of: OfPort::LOCAL, dp: None, ..spec(2) }, Nanos::ZERO).unwrap();
        assert_eq!(ports.by_dp(PortNo(11)).map(Port::number), Some(OfPort(1)));
        ports.remove(OfPort(1)).unwrap();
        assert!(ports.by_dp(PortNo(11)).is_none());
    }

    #[test]
    fn port_mod_changes_only_masked_bits_of_the_right_port() {
        let mut ports = Ports::default();
        ports.add(spec(1), Nanos::ZERO).unwrap();
        let change = PortMod {
            port: OfPort(1),
            hw_addr: [2, 0, 0, 0, 0, 1],
            config: PortConfig::all(),
            mask: PortConfig::NO_FWD | PortConfig::NO_FLOOD,
            advertise: PortFeatures::empty(),
        };
        let bad_port = PortMod { port: OfPort(9), ..change };
        assert_eq!(ports.modify(&bad_port).err(), Some(OfErrorKind::PortModBadPort));
        let bad_addr = PortMod { hw_addr: [0; 6], ..change };
        assert_eq!(ports.modify(&bad_addr).err(), Some(OfErrorKind::PortModBadHwAddr));
        let port = ports.modify(&change).unwrap().unwrap();
        assert_eq!(port.config(), PortConfig::NO_FWD | PortConfig::NO_FLOOD);
        assert!(!port.may_send() && !port.is_floodable());
        assert!(ports.modify(&change).unwrap().is_none());
    }

    #[test]
    fn state_follows_link_and_configuration() {
        let mut ports = Ports::default();
        ports.add(spec(1), Nanos::ZERO).unwrap();
        assert_eq!(ports.get(OfPort(1)).unwrap().state(), PortState::LIVE);
        assert!(ports.set_link(OfPort(1), Link::UP).is_none());
        let port = ports.set_link(OfPort(1), Link::DOWN).unwrap();
        assert_eq!(port.state(), PortState::LINK_DOWN);
        let link = Link { up: true, speed_mbps: Some(10_000) };
        let desc = ports.set_link(OfPort(1), link).unwrap().desc();
        assert_eq!((desc.curr, desc.curr_speed), (PortFeatures::FD_10G, 10_000_000));
    }
}

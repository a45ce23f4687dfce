//! Interfaces come to bridges and leave them.

use super::translation::port_vlan;
use super::{Control, Leaving, Mark};
use crate::bridges::BridgeId;
use crate::order::gathered;
use crate::policing::Policing;
use agent::bridge_config::{BridgeWanted, InterfaceKind, InterfaceWanted, PortWanted, Wanted};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use datapath::{Dpif, PortNo};
use flow::EtherAddr;
use ofproto::{Link, OfPort, PortError, PortSpec};
use sync::time::Nanos;

/// Largest frame payload of a port that has no device.
const VIRTUAL_MTU: u16 = 1500;
/// Smallest MTU of IPv4 (RFC 791).
const MIN_MTU: u16 = 68;
/// Bytes of a frame beside its payload: the Ethernet header and two VLAN tags, as the drivers count.
const FRAME_OVERHEAD: usize = 14 + 8;

/// An interface that is in a bridge.
#[derive(Clone, Debug)]
pub(crate) struct Attachment {
    pub(super) bridge: BridgeId,
    pub(super) of: OfPort,
    pub(super) dp: Option<PortNo>,
    pub(super) place: Place,
    /// What the configuration says about its being shut down.
    is_admin_down: bool,
    policing: Policing,
    /// What `mtu_request` said last.
    pub(super) mtu_request: Option<u32>,
    /// What `options:n_rxq` said last.
    pub(super) n_rxq: Option<u16>,
}

/// What an interface is, as far as it is known to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A device.
    Nic(PortNo),
    /// Nobody listens behind it.
    Internal,
    /// One end of a cable: its number in the datapath, and that of the other.
    Cable(PortNo, PortNo),
    /// One end of a cable whose other end is not there.
    Loose,
}

impl Place {
    fn dp(self) -> Option<PortNo> {
        match self {
            Self::Nic(dp) | Self::Cable(dp, _) => Some(dp),
            Self::Internal | Self::Loose => None,
        }
    }
}

/// The interfaces of a bridge that count: the first of each port, LOCAL's not.
pub(super) fn interfaces(
    bridge: &BridgeWanted,
) -> impl Iterator<Item = (&PortWanted, &InterfaceWanted)> {
    bridge
        .ports
        .iter()
        .filter_map(|port| port.interfaces.first().map(|interface| (port, interface)))
        .filter(|(_, interface)| interface.name != bridge.name)
}

impl Control {
    /// Takes from their bridges the interfaces that are not wanted, or not as they are.
    pub(super) fn detach_unwanted(&mut self, wanted: &Wanted) {
        let mut by_name: BTreeMap<&str, (&str, &InterfaceWanted)> = BTreeMap::new();
        for bridge in &wanted.bridges {
            for (_, interface) in interfaces(bridge) {
                by_name.entry(&interface.name).or_insert((&bridge.name, interface));
            }
        }
        let attached = self.intent.attached.iter();
        let mut going: Vec<String> = Vec::new();
        for (name, attachment) in attached {
            let bridge = self.bridges.get(attachment.bridge);
            let stays = by_name.get(name.as_str()).is_some_and(|(of, interface)| {
                bridge.is_some_and(|member| member.bridge.name() == *of)
                    && self.place_of(interface).is_ok_and(|place| place == attachment.place)
                    && self.has_its_number(attachment, interface)
            });
            if !stays {
                going.push(name.clone());
            }
        }
        self.intent.numbers.clear();
        for name in going {
            // One that comes back as something else keeps its number.
            if let Some(attachment) = self.intent.attached.get(&name)
                && by_name.contains_key(name.as_str())
            {
                let number = (attachment.bridge, attachment.of);
                self.intent.numbers.insert(name.clone(), number);
            }
            self.detach(&name);
        }
    }

    /// Whether it has the number that is asked for, or could not have it anyway.
    fn has_its_number(&self, attachment: &Attachment, wanted: &InterfaceWanted) -> bool {
        let Some(number) = wanted.ofport_request.map(|n| OfPort(n.into())) else { return true };
        if number == attachment.of || !is_ordinary(number) {
            return true;
        }
        let member = self.bridges.get(attachment.bridge);
        member.is_some_and(|member| member.bridge.state().ports.get(number).is_some())
    }

    fn detach(&mut self, name: &str) {
        let Some(attachment) = self.intent.attached.remove(name) else { return };
        let Attachment { bridge, of, dp, policing, mtu_request, .. } = attachment;
        if let Some(dp) = dp {
            if policing != Policing::default() {
                self.dpif.police(dp, Policing::default());
            }
            if mtu_request.is_some() {
                self.dpif.limit_frames(dp, None);
            }
            self.balance.pin(dp, Vec::new());
            self.dpif.unbind(dp);
            self.bridges.bind(dp, None);
        }
        let Some(member) = self.bridges.get_mut(bridge) else { return };
        member.bridge.remove_port(of);
        if let Some(port) = dp {
            let ticket = member.bridge.sync_point();
            let marks = [Mark::Bridge(bridge, ticket), Mark::Fence(self.dpif.fence())];
            self.intent.leaving.push(Leaving { port, marks });
        }
    }

    /// Adds to the bridge the interfaces that it wants and has not, and brings the others in line.
    pub(super) fn attach_wanted(&mut self, wanted: &BridgeWanted, now: Nanos) {
        let Some(id) = self.bridges.by_name(&wanted.name).map(|member| member.id) else { return };
        let numbers = interfaces(wanted).filter_map(|(_, interface)| interface.ofport_request);
        let asked: BTreeSet<u32> = gathered(numbers.map(u32::from));
        // Who asks for a number gets it before those that do not.
        let (first, rest): (Vec<_>, Vec<_>) =
            interfaces(wanted).partition(|(_, interface)| interface.ofport_request.is_some());
        for (port, interface) in first.into_iter().chain(rest) {
            if let Err(why) = self.attach(id, port, interface, &asked, now) {
                self.intent.errors.insert(interface.name.clone(), why);
            }
        }
        let is_local = |port: &&PortWanted| {
            port.interfaces.first().is_some_and(|interface| interface.name == wanted.name)
        };
        if let Some(port) = wanted.ports.iter().find(is_local)
            && let Some(member) = self.bridges.get_mut(id)
        {
            member.bridge.set_port_vlan(OfPort::LOCAL, port_vlan(port));
        }
        for port in &wanted.ports {
            for bonded in port.interfaces.iter().skip(1) {
                let why = "bonds are not built in: the port uses its first interface".to_string();
                self.intent.errors.insert(bonded.name.clone(), why);
            }
        }
    }

    fn attach(
        &mut self,
        id: BridgeId,
        port: &PortWanted,
        wanted: &InterfaceWanted,
        asked: &BTreeSet<u32>,
        now: Nanos,
    ) -> Result<(), String> {
        let place = self.place_of(wanted)?;
        match self.intent.attached.get(&wanted.name) {
            Some(attachment) if attachment.bridge != id => {
                return Err("another bridge has an interface of this name".to_string());
            }
            Some(_) => {
                self.bring_in_line(port, wanted, now);
                return Ok(());
            }
            None => {}
        }
        let taken = self.intent.attached.values().any(|other| match place {
            Place::Nic(_) => other.place == place,
            Place::Internal | Place::Cable(..) | Place::Loose => false,
        });
        if taken {
            return Err("another interface has this device".to_string());
        }
        if place.dp().is_some_and(|dp| self.intent.leaving.iter().any(|leaving| leaving.port == dp))
        {
            self.intent.is_blocked = true;
            return Ok(());
        }
        let member = self.bridges.get_mut(id).ok_or("its bridge is not there")?;
        let ports = &member.bridge.state().ports;
        let is_free = |number: &OfPort| is_ordinary(*number) && ports.get(*number).is_none();
        let requested = wanted.ofport_request.map(|n| OfPort(n.into())).filter(is_free);
        let is_asked = |number: u32| asked.contains(&number);
        let before = wanted.ofport_before.map(|n| OfPort(n.into())).filter(is_free);
        let own = self.intent.numbers.get(&wanted.name);
        let own = own.filter(|(of, _)| *of == id).map(|(_, number)| *number).filter(is_free);
        let before = own.or(before).filter(|number| !is_asked(number.0));
        let of = requested.or(before).or_else(|| member.free_number(is_asked));
        let of = of.ok_or("the bridge has no number left")?;
        self.add_attachment(id, place, of, wanted, now)?;
        self.bring_in_line(port, wanted, now);
        Ok(())
    }

    /// As [`Self::attach`], for a NIC that is there from the beginning.
    pub(super) fn attach_at_boot(
        &mut self,
        id: BridgeId,
        port: PortNo,
        name: String,
        of: OfPort,
        now: Nanos,
    ) -> Result<(), String> {
        let wanted = InterfaceWanted { name, ..InterfaceWanted::default() };
        self.add_attachment(id, Place::Nic(port), of, &wanted, now)
    }

    fn add_attachment(
        &mut self,
        bridge: BridgeId,
        place: Place,
        of: OfPort,
        wanted: &InterfaceWanted,
        now: Nanos,
    ) -> Result<(), String> {
        let dp = place.dp();
        let (hw_addr, mtu, link) = self.describe(place, wanted);
        let member = self.bridges.get_mut(bridge).ok_or("its bridge is not there")?;
        let spec = PortSpec { dp, of, name: wanted.name.clone(), hw_addr, mtu, link };
        member.bridge.add_port(spec, now).map_err(refusal)?;
        if let Some(dp) = dp {
            let peer = match place {
                Place::Cable(_, peer) => Some(peer),
                Place::Nic(_) | Place::Internal | Place::Loose => None,
            };
            self.dpif.bind(dp, bridge, peer);
            self.bridges.bind(dp, Some(bridge));
        }
        let attachment = Attachment {
            bridge,
            of,
            dp,
            place,
            is_admin_down: false,
            policing: Policing::default(),
            mtu_request: None,
            n_rxq: None,
        };
        self.intent.attached.insert(wanted.name.clone(), attachment);
        Ok(())
    }

    /// Gives an interface that is there its settings.
    fn bring_in_line(&mut self, port: &PortWanted, wanted: &InterfaceWanted, now: Nanos) {
        let Some(attachment) = self.intent.attached.get_mut(&wanted.name) else { return };
        let Some(member) = self.bridges.get_mut(attachment.bridge) else { return };
        member.bridge.set_port_vlan(attachment.of, port_vlan(port));
        let qos = port.qos.clone().unwrap_or_default();
        if member.bridge.set_qos(attachment.of, &qos, &mut self.dpif, now).is_err() {
            let why = "no meters are left: it may send what it likes".to_string();
            self.intent.errors.insert(wanted.name.clone(), why);
        }
        // What a controller did by a port-mod stands until the configuration says something new.
        if attachment.is_admin_down != wanted.is_admin_down {
            attachment.is_admin_down = wanted.is_admin_down;
            member.bridge.set_admin_down(attachment.of, wanted.is_admin_down);
        }
        if let (Place::Internal | Place::Cable(..) | Place::Loose, Some(mac)) =
            (attachment.place, wanted.mac)
        {
            member.bridge.set_hw_addr(attachment.of, EtherAddr(mac));
        }
        let policing = Policing {
            rate_kbps: wanted.ingress_policing_rate_kbps,
            burst_kbit: wanted.ingress_policing_burst_kb,
        };
        if let Place::Nic(port) = attachment.place {
            self.balance.pin(port, wanted.rxq_affinity.clone());
            attachment.n_rxq = wanted.n_rxq;
            self.ports.ask_pairs(port, wanted.n_rxq, &mut self.dpif);
        }
        if let Place::Nic(port) = attachment.place
            && attachment.policing != policing
        {
            attachment.policing = policing;
            self.dpif.police(port, policing);
        }
        self.follow_mtu(wanted);
    }

    /// Follows `mtu_request`: smaller ones than the device's MTU hold, what is too much is told of
    /// in the status.
    fn follow_mtu(&mut self, wanted: &InterfaceWanted) {
        let Some(attachment) = self.intent.attached.get(&wanted.name) else { return };
        let Attachment { bridge, of, place, mtu_request, .. } = *attachment;
        if mtu_request == wanted.mtu_request {
            return;
        }
        let most = match place {
            Place::Nic(port) => self.ports.get(port).map(|(netdev, _)| netdev.info().mtu),
            Place::Internal => Some(u16::MAX),
            Place::Cable(..) | Place::Loose => None,
        };
        let usual = if place == Place::Internal { Some(VIRTUAL_MTU) } else { most };
        let (Some(most), Some(usual)) = (most, usual) else { return };
        let asked = wanted.mtu_request.and_then(|mtu| u16::try_from(mtu).ok());
        let asked = asked.filter(|mtu| (MIN_MTU..=most).contains(mtu));
        if asked.is_none()
            && let Some(mtu) = wanted.mtu_request
        {
            log::warn!("{}: an MTU of {mtu} cannot be set, it stays {usual}", wanted.name);
        }
        if let Place::Nic(port) = place {
            let limit = asked.filter(|mtu| *mtu < most);
            self.dpif.limit_frames(port, limit.map(|mtu| usize::from(mtu) + FRAME_OVERHEAD));
        }
        if let Some(member) = self.bridges.get_mut(bridge) {
            member.bridge.set_port_mtu(of, asked.unwrap_or(usual));
        }
        if let Some(attachment) = self.intent.attached.get_mut(&wanted.name) {
            attachment.mtu_request = wanted.mtu_request;
        }
    }

    /// Gives each cable that is wanted and whose ends want each other its two numbers in the datapath:
    /// those that it has, or free ones.
    pub(super) fn lay_cables(&mut self, wanted: &Wanted) {
        let all = wanted.bridges.iter().flat_map(interfaces).map(|(_, interface)| interface);
        let peers: BTreeMap<&str, &str> =
            gathered(all.filter_map(|interface| match &interface.kind {
                InterfaceKind::Patch { peer } => Some((interface.name.as_str(), peer.as_str())),
                _ => None,
            }));
        let is_paired = |name: &str, peer: &str| name != peer && peers.get(peer) == Some(&name);
        let cables = &mut self.intent.cables;
        // A number stays with its end as long as the two want each other.
        let before = core::mem::take(cables);
        for (&name, &peer) in peers.iter().filter(|(name, peer)| is_paired(name, peer)) {
            if let (Some((own, far)), Some((far_own, _))) = (before.get(name), before.get(peer))
                && far == far_own
            {
                cables.insert(name.to_string(), (*own, *far));
            }
        }
        let mut taken: BTreeSet<PortNo> = gathered(cables.values().map(|(own, _)| *own));
        taken.extend(before.values().map(|(own, _)| *own));
        taken.extend(self.intent.leaving.iter().map(|leaving| leaving.port));
        let first = self.ports.iter().count();
        let numbers =
            (first..=PortNo::MAX.0 as usize).skip(1).filter_map(|n| u32::try_from(n).ok());
        let mut free = numbers.map(PortNo).filter(|number| !taken.contains(number));
        for (&name, &peer) in peers.iter().filter(|(name, peer)| is_paired(name, peer)) {
            if cables.contains_key(name) {
                continue;
            }
            let (Some(own), Some(far)) = (free.next(), free.next()) else { return };
            cables.insert(name.to_string(), (own, far));
            cables.insert(peer.to_string(), (far, own));
        }
    }

    /// The device that an interface means.
    fn place_of(&self, wanted: &InterfaceWanted) -> Result<Place, String> {
        let device = match &wanted.kind {
            InterfaceKind::Internal => return Ok(Place::Internal),
            InterfaceKind::Patch { .. } => {
                let ends = self.intent.cables.get(&wanted.name);
                return Ok(ends.map_or(Place::Loose, |(own, far)| Place::Cable(*own, *far)));
            }
            InterfaceKind::Unsupported(kind) => {
                return Err(format!("{kind}: unknown interface type"));
            }
            InterfaceKind::Nic => &wanted.name,
            InterfaceKind::NicAt(device) => device,
        };
        let port = self.nic(device).ok_or_else(|| {
            format!("could not open network device {} (No such device)", wanted.name)
        })?;
        Ok(Place::Nic(port))
    }

    /// The NIC that is called so: by its name since boot, by the machine, by its address, or by its
    /// place in the order of locations.
    fn nic(&self, name: &str) -> Option<PortNo> {
        let is_it = |info: &netdev::NetdevInfo| {
            info.name == name
                || info.name.strip_prefix("pci-") == Some(name)
                || EtherAddr(info.mac).to_string().eq_ignore_ascii_case(name)
        };
        let by_name = self.ports.by_name(name);
        let by_device = || self.ports.iter().find(|(_, nic, ..)| is_it(nic.info()));
        let by_place = || {
            let number = PortNo(name.strip_prefix('p')?.parse().ok()?);
            self.ports.get(number).map(|_| number)
        };
        by_name.or_else(|| by_device().map(|(number, ..)| number)).or_else(by_place)
    }

    /// Address, MTU and link of an interface that comes.
    fn describe(&self, place: Place, wanted: &InterfaceWanted) -> (EtherAddr, u16, Link) {
        match place {
            Place::Nic(port) => match self.ports.get(port) {
                Some((netdev, link)) => {
                    let info = netdev.info();
                    let link = Link { up: link.up, speed_mbps: link.speed_mbps };
                    (EtherAddr(info.mac), info.mtu, link)
                }
                None => (EtherAddr([0; 6]), VIRTUAL_MTU, Link::DOWN),
            },
            Place::Cable(..) => {
                let mac = EtherAddr(wanted.mac.unwrap_or(self.made_up_mac(&wanted.name)));
                (mac, VIRTUAL_MTU, Link::UP)
            }
            Place::Internal | Place::Loose => {
                let mac = EtherAddr(wanted.mac.unwrap_or(self.made_up_mac(&wanted.name)));
                (mac, VIRTUAL_MTU, Link::DOWN)
            }
        }
    }
}

fn is_ordinary(number: OfPort) -> bool {
    number.0 != 0 && number <= OfPort::MAX_V10
}

fn refusal(error: PortError) -> String {
    match error {
        PortError::BadNumber => "its OpenFlow number is reserved",
        PortError::NumberInUse => "its OpenFlow number is in use",
        PortError::DatapathNumberInUse => "its device is in use",
        PortError::NameInUse => "its name is in use",
    }
    .to_string()
}

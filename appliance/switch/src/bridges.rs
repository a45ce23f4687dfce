//! The bridges of the switch: each an OpenFlow instance with an agent of its own, over one datapath.
//!
//! # What belongs to whom
//! A port of the datapath belongs to one bridge or to none ([`Bridges::bind`]). That decides who answers
//! its misses, whose megaflows are in its table, and where its upcalls go. Nothing of a bridge is known to
//! the datapath, and the bridges know nothing of each other.
//!
//! A frame that a controller made comes from no port; it carries the number of its bridge
//! ([`ofproto::BridgeConfig::origin`]) in place of one.
//!
//! # Concurrency
//! Owned by the control core. Polling cores have their own maps of the same (`crate::pmd`), which orders
//! keep up to date.

use agent::Agent;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use datapath::PortNo;
use ofproto::{Bridge, OfPort};

/// Bridges at one time.
pub(crate) const MAX_BRIDGES: usize = 256;

/// A bridge, by number; a number is given again when its bridge is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BridgeId(u16);

impl BridgeId {
    /// As an index.
    pub(crate) fn index(self) -> usize {
        self.0.into()
    }

    /// What frames of its controllers have as ingress port.
    pub(crate) fn origin(self) -> PortNo {
        PortNo(PortNo::NONE.0 - u32::from(self.0))
    }
}

impl fmt::Display for BridgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A bridge with what is around it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: BridgeId,
    pub(crate) bridge: Bridge,
    pub(crate) agent: Agent,
    /// TCP ports on which its controllers may connect.
    pub(crate) listen: Vec<u16>,
    /// The OpenFlow number that was given last without being asked for.
    pub(crate) last_number: u32,
}

/// All bridges, in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Bridges {
    members: Vec<Member>,
    by_port: BTreeMap<PortNo, BridgeId>,
}

impl Bridges {
    /// A number for another bridge, if there may be one.
    pub(crate) fn next_id(&self) -> Option<BridgeId> {
        let mut ids = (0..MAX_BRIDGES).filter_map(|id| u16::try_from(id).ok()).map(BridgeId);
        ids.find(|id| self.get(*id).is_none())
    }

    pub(crate) fn add(&mut self, member: Member) {
        self.members.push(member);
    }

    /// Takes out a bridge; its ports must be unbound.
    pub(crate) fn remove(&mut self, id: BridgeId) -> Option<Member> {
        let at = self.members.iter().position(|member| member.id == id)?;
        Some(self.members.remove(at))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.iter_mut()
    }

    pub(crate) fn get(&self, id: BridgeId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: BridgeId) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.bridge.name() == name)
    }

    /// From now on the port belongs to the bridge, or to none.
    pub(crate) fn bind(&mut self, port: PortNo, to: Option<BridgeId>) {
        match to {
            Some(id) => self.by_port.insert(port, id),
            None => self.by_port.remove(&port),
        };
    }

    /// Whose the port is; or the bridge whose controllers' frames have it as ingress.
    pub(crate) fn owner(&self, port: PortNo) -> Option<BridgeId> {
        let origin = || self.members.iter().map(|m| m.id).find(|id| id.origin() == port);
        self.by_port.get(&port).copied().or_else(origin)
    }

    /// The bridge whose the port is.
    pub(crate) fn of_port(&mut self, port: PortNo) -> Option<&mut Member> {
        let id = self.owner(port)?;
        self.get_mut(id)
    }

    /// What the port is called in its bridge.
    pub(crate) fn port(&self, port: PortNo) -> Option<&ofproto::Port> {
        self.get(*self.by_port.get(&port)?)?.bridge.state().ports.by_dp(port)
    }

    /// The name of a datapath port.
    pub(crate) fn port_name(&self, port: PortNo) -> &str {
        self.port(port).map_or("?", ofproto::Port::name)
    }

    /// The cached flows of all bridges.
    pub(crate) fn ukeys(&self) -> impl Iterator<Item = &ofproto::Ukey> {
        self.members.iter().flat_map(|member| member.bridge.ukeys().iter())
    }

    /// A sum over all bridges.
    pub(crate) fn sum(&self, count: impl Fn(&Bridge) -> u64) -> u64 {
        self.members.iter().map(|member| count(&member.bridge)).fold(0, u64::wrapping_add)
    }
}

impl Member {
    /// The next free OpenFlow number: not one that was given a while ago, if there is another.
    pub(crate) fn free_number(&mut self, is_asked_for: impl Fn(u32) -> bool) -> Option<OfPort> {
        let most = OfPort::MAX_V10.0;
        let ports = &self.bridge.state().ports;
        let mut numbers = (self.last_number + 1..=most).chain(1..=self.last_number);
        let free = numbers.find(|n| !is_asked_for(*n) && ports.get(OfPort(*n)).is_none())?;
        self.last_number = free;
        Some(OfPort(free))
    }
}

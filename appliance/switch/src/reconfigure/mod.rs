//! A running switch becomes another: [`Control::reconfigure`] takes the whole wanted state, changes what
//! differs, and leaves alone what does not; [`Control::status`] says what became of it.
//!
//! # Order
//! What is not wanted goes first (ports, then bridges), then comes what is missing (bridges, then ports),
//! then settings are brought in line. So a NIC can move from one bridge to another in one step.
//!
//! # Why some of it takes time
//! A port that leaves a bridge leaves the datapath at once: its own megaflows are gone when the order is
//! obeyed. Megaflows of *other* ports may still name its number, and so may packets under way, until the
//! bridge has judged its cache again and a fence has passed. Only then may the number appear again, in
//! whichever bridge. Until then what wants it waits ([`Intent::leaving`]), and nobody else does: no order
//! touches the queues, tables or numbers of a port that stays.
//!
//! The wanted state is *settled* when nothing waits and every bridge has judged its cache since; from
//! then on no packet is forwarded by what was before.

mod bridges;
mod ports;
mod status;
mod translation;

use crate::assemble::PortParts;
use crate::bridges::BridgeId;
use crate::control::Control;
use crate::settings;
use agent::bridge_config::{Applied, Wanted};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use datapath::{Dpif, PortNo};
use ofproto::{OfPort, SyncTicket};
use ports::Attachment;
use sync::time::Nanos;

/// The state that is wanted, and how far it has come.
#[derive(Debug, Default)]
pub(crate) struct Intent {
    wanted: Wanted,
    /// Settings that were not taken: key and reason.
    refused: Vec<(String, String)>,
    /// Bridges that are not there: name and reason.
    bridge_errors: BTreeMap<String, String>,
    /// Interfaces that are not there: name and reason.
    errors: BTreeMap<String, String>,
    /// Interfaces that are, by name.
    attached: BTreeMap<String, Attachment>,
    /// Mirrors that are not there: bridge and name, and reason.
    mirror_errors: BTreeMap<(String, String), String>,
    /// The ends of cables: their numbers in the datapath, and those of their peers.
    cables: BTreeMap<String, (PortNo, PortNo)>,
    /// Numbers of interfaces that leave to come back as something else.
    numbers: BTreeMap<String, (BridgeId, OfPort)>,
    /// Datapath numbers that are not to be used yet.
    leaving: Vec<Leaving>,
    /// Whether something waits for one of those.
    is_blocked: bool,
    /// What must have passed for the state to be settled.
    marks: Vec<Mark>,
}

impl Intent {
    /// Whether the switch is on its way to what is wanted.
    pub(crate) fn is_settling(&self) -> bool {
        self.is_blocked || !self.leaving.is_empty() || !self.marks.is_empty()
    }
}

/// A moment after which a bridge, or the cores, follow nothing older.
#[derive(Clone, Copy, Debug)]
enum Mark {
    Bridge(BridgeId, SyncTicket),
    Fence(u64),
}

/// A port that left its bridge.
#[derive(Debug)]
struct Leaving {
    port: PortNo,
    marks: [Mark; 2],
}

impl Control {
    /// Begins with the bridge and the ports of the boot, which is what stays until something is wanted.
    /// `door` is a TCP port by which that bridge can be reached in any case; 0 is none.
    pub(crate) fn begin(&mut self, ports: Vec<PortParts>, door: u16, now: Nanos) {
        self.door = door;
        let (config, agent) = (self.template.clone(), self.agent_template.clone());
        let mac = bridges::mac_of(config.datapath_id);
        let Some(bridge) = self.add_bridge(config, agent, mac, now) else { return };
        for (k, PortParts { name, of, netdev }) in ports.into_iter().enumerate() {
            let number = PortNo(u32::try_from(k + 1).unwrap_or(u32::MAX));
            self.ports.add(number, name.clone(), netdev, &mut self.dpif, now);
            if of != OfPort::ANY
                && let Err(why) = self.attach_at_boot(bridge, number, name, of, now)
            {
                log::error!("port {number} is not in the bridge: {why}");
            }
        }
        // Ports begin with the links that they have, not with a change from down to up.
        self.ports.run(&mut self.dpif, &mut self.bridges, now);
        self.listen();
    }

    /// From now on the switch is to be like this. What can be done at once is done; the rest follows
    /// in the next rounds ([`Applied::is_settled`]).
    pub fn reconfigure(&mut self, wanted: Wanted, now: Nanos) {
        if self.intent.wanted.other_config != wanted.other_config {
            self.set_all(&wanted.other_config);
        }
        self.intent.wanted = wanted;
        self.converge(now);
    }

    /// What became of the wanted state, and how it fares.
    pub fn status(&self, now: Nanos) -> Applied {
        status::applied(self, now)
    }

    /// Goes on with what could not be done at once.
    pub(crate) fn settle(&mut self, now: Nanos) {
        let mut leaving = core::mem::take(&mut self.intent.leaving);
        leaving.retain(|leaving| {
            let is_gone = leaving.marks.iter().all(|mark| self.has_passed(*mark));
            if is_gone && self.ports.get(leaving.port).is_none() {
                self.dpif.forget_port(leaving.port);
            }
            !is_gone
        });
        self.intent.leaving = leaving;
        if self.intent.is_blocked && self.intent.leaving.is_empty() {
            self.converge(now);
        }
        let mut marks = core::mem::take(&mut self.intent.marks);
        marks.retain(|mark| !self.has_passed(*mark));
        self.intent.marks = marks;
    }

    /// Makes of the switch what is wanted, as far as that is possible.
    fn converge(&mut self, now: Nanos) {
        let wanted = core::mem::take(&mut self.intent.wanted);
        self.intent.is_blocked = false;
        self.intent.errors.clear();
        self.intent.bridge_errors.clear();
        self.intent.mirror_errors.clear();
        self.lay_cables(&wanted);
        self.detach_unwanted(&wanted);
        self.remove_bridges(&wanted);
        for bridge in &wanted.bridges {
            self.make_bridge(bridge, now);
        }
        self.restore_openflow(now);
        for bridge in &wanted.bridges {
            self.attach_wanted(bridge, now);
        }
        for bridge in &wanted.bridges {
            self.set_mirrors(bridge);
        }
        self.intent.wanted = wanted;
        let members = self.bridges.iter();
        let mut marks: Vec<Mark> =
            members.map(|member| Mark::Bridge(member.id, member.bridge.sync_point())).collect();
        marks.push(Mark::Fence(self.dpif.fence()));
        self.intent.marks = marks;
    }

    fn has_passed(&self, mark: Mark) -> bool {
        match mark {
            Mark::Fence(fence) => self.dpif.fence_passed(fence),
            // A bridge that is gone has no caches, and one that is paused judges when it goes on.
            Mark::Bridge(id, ticket) => self.bridges.get(id).is_none_or(|member| {
                member.bridge.reached(ticket) || member.bridge.revalidator().is_paused()
            }),
        }
    }

    /// Takes over the settings of the switch as a whole; those that are named no more get their
    /// defaults back.
    fn set_all(&mut self, wanted: &BTreeMap<String, String>) {
        let before: Vec<String> = self.intent.wanted.other_config.keys().cloned().collect();
        let mut refused = Vec::new();
        for key in before.into_iter().filter(|key| !wanted.contains_key(key)) {
            if let Some(value) = settings::default_of(&key)
                && let Err(why) = settings::set(self, &key, &value)
            {
                refused.push((key, why));
            }
        }
        for (key, value) in wanted {
            if let Err(why) = settings::set(self, key, value) {
                log::warn!("other_config: {why}");
                refused.push((key.clone(), why));
            }
        }
        self.intent.refused = refused;
    }
}

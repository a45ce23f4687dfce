//! Mirrors: copies of frames for whoever watches (SPAN and RSPAN, ovs-facts A17).
//!
//! # What
//! A mirror selects frames by the port that they came in on, by the port that they leave by, and by VLAN;
//! each goes once more to the mirror's port, or to every port of the mirror's VLAN. A port that a mirror
//! outputs to carries nothing else: it is left out of flooding and what it receives is dropped.
//!
//! # How it ends
//! A copy may itself be selected, by another mirror. A translation sends to each mirror at most once, and
//! of several mirrors with the same destination to one only, as Open vSwitch.

use crate::bridge::Bridge;
use crate::group::PacketCounts;
use crate::vlan::VlanSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use openflow::OfPort;

/// Mirrors of a bridge at most (Open vSwitch's number).
pub const MAX_MIRRORS: usize = 32;

/// What ports a mirror selects by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// All of them.
    All,
    /// These.
    Ports(Vec<OfPort>),
}

impl Selected {
    fn has(&self, port: OfPort) -> bool {
        match self {
            Self::All => true,
            Self::Ports(ports) => ports.contains(&port),
        }
    }
}

/// Where a mirror sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorOutput {
    /// A port, which is then the mirror's alone.
    Port(OfPort),
    /// All ports that carry this VLAN.
    Vlan(u16),
}

/// A mirror as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorConfig {
    /// Its name, unique in the bridge.
    pub name: String,
    /// Frames that come in on these.
    pub sources: Selected,
    /// Frames that leave by these.
    pub destinations: Selected,
    /// Frames of these VLANs only; `None` is all.
    pub vlans: Option<VlanSet>,
    /// Where to.
    pub output: MirrorOutput,
    /// Bytes of each frame at most; 0 is all.
    pub snaplen: u16,
}

/// A mirror with what it has counted.
#[derive(Clone, Debug)]
pub(crate) struct Mirror {
    pub(crate) config: MirrorConfig,
    pub(crate) counts: Arc<PacketCounts>,
}

/// The mirrors of a bridge.
#[derive(Clone, Debug, Default)]
pub struct Mirrors(Vec<Mirror>);

/// A set of mirrors, by number.
pub(crate) type MirrorSet = u32;

impl Mirrors {
    /// Whether there is any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Mirror> {
        self.0.get(usize::try_from(number).ok()?)
    }

    /// Those that select what comes in on a port.
    pub(crate) fn of_source(&self, port: OfPort) -> MirrorSet {
        self.those(|config| config.sources.has(port))
    }

    /// Those that select what leaves by a port.
    pub(crate) fn of_destination(&self, port: OfPort) -> MirrorSet {
        self.those(|config| config.destinations.has(port))
    }

    /// Whether a mirror outputs to the port.
    pub(crate) fn has_output(&self, port: OfPort) -> bool {
        self.0.iter().any(|mirror| mirror.config.output == MirrorOutput::Port(port))
    }

    /// Those that output where this one does, itself included.
    pub(crate) fn twins(&self, number: u32) -> MirrorSet {
        let output = self.get(number).map(|mirror| mirror.config.output);
        self.those(|config| Some(config.output) == output)
    }

    fn those(&self, is_one: impl Fn(&MirrorConfig) -> bool) -> MirrorSet {
        let set =
            |set, (bit, mirror): (u32, &Mirror)| set | u32::from(is_one(&mirror.config)) << bit;
        (0..32).zip(&self.0).fold(0, set)
    }
}

impl Bridge {
    /// Has these mirrors from now on, in place of all others; one that stays as it is goes on counting.
    /// Those beyond [`MAX_MIRRORS`] are left out.
    pub fn set_mirrors(&mut self, configs: Vec<MirrorConfig>) {
        let old = &self.state.mirrors.0;
        if configs.iter().eq(old.iter().map(|mirror| &mirror.config)) {
            return;
        }
        let mirror = |config: MirrorConfig| {
            let before = old.iter().find(|mirror| mirror.config.name == config.name);
            let counts = before.map(|mirror| Arc::clone(&mirror.counts)).unwrap_or_default();
            Mirror { config, counts }
        };
        let mirrors = Mirrors(configs.into_iter().take(MAX_MIRRORS).map(mirror).collect());
        self.state.write().mirrors = mirrors;
        self.changes.everything_changed();
    }

    /// Packets and bytes that the mirror of this name has sent.
    #[must_use]
    pub fn mirror_stats(&self, name: &str) -> Option<(u64, u64)> {
        let mirror = self.state.mirrors.0.iter().find(|mirror| mirror.config.name == name)?;
        Some((mirror.counts.packets(), mirror.counts.bytes()))
    }
}

//! VLANs of ports: to which VLAN a frame belongs when it comes in, and how it is tagged when it leaves.
//!
//! # What
//! A bridge knows one VLAN for each frame that normal forwarding (or a mirror) handles. How that shows on
//! the wire is each port's own business ([`VlanMode`]): a frame is *taken in* to its VLANs inside, and
//! *given out* as the port that it leaves by wants it. OpenFlow rules that name their ports see nothing of
//! this, as in Open vSwitch.
//!
//! # Tags inside
//! Two tags are known, the outer first. On a `dot1q-tunnel` port the frame's own tag becomes the inner one,
//! so a frame that has two already has no place for a third and is refused.

use alloc::boxed::Box;
use flow::Flow;
use flow::proto::{VLAN_PCP_MASK, VLAN_PRESENT, VLAN_VID_MASK, eth_type};

/// Number of VLAN ids.
const N_VLANS: u16 = 4096;

/// A set of VLAN ids.
#[derive(Clone, PartialEq, Eq)]
pub struct VlanSet(Box<[u64; 64]>);

impl core::fmt::Debug for VlanSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries((0..N_VLANS).filter(|vlan| self.contains(*vlan))).finish()
    }
}

impl VlanSet {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self(Box::new([u64::MAX; 64]))
    }

    /// Whether it is in the set.
    #[must_use]
    pub fn contains(&self, vlan: u16) -> bool {
        let word = self.0.get(usize::from(vlan / 64));
        word.is_some_and(|word| word >> (vlan % 64) & 1 != 0)
    }

    fn set(&mut self, vlan: u16, is_in: bool) {
        if let Some(word) = self.0.get_mut(usize::from(vlan / 64)) {
            *word = *word & !(1 << (vlan % 64)) | u64::from(is_in) << (vlan % 64);
        }
    }
}

impl FromIterator<u16> for VlanSet {
    /// Numbers that are no VLAN are left out.
    fn from_iter<I: IntoIterator<Item = u16>>(vlans: I) -> Self {
        let mut set = Self(Box::new([0; 64]));
        vlans.into_iter().filter(|vlan| *vlan < N_VLANS).for_each(|vlan| set.set(vlan, true));
        set
    }
}

/// How a port carries VLANs (`vlan_mode` of Open vSwitch's database).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VlanMode {
    /// Frames without a tag belong to the port's VLAN and leave without one; others are refused.
    Access,
    /// Tagged frames keep their tag; those without one belong to VLAN 0.
    #[default]
    Trunk,
    /// As a trunk, but frames without a tag belong to the port's VLAN. It leaves tagged.
    NativeTagged,
    /// The same, but it leaves without a tag.
    NativeUntagged,
    /// Every frame belongs to the port's VLAN, and its own tag is a customer's.
    Dot1qTunnel,
}

/// When a frame of no VLAN leaves with a tag for its priority (`other_config:priority-tags`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PriorityTags {
    /// Never, but that a tag which came in with one is kept.
    #[default]
    Never,
    /// When it came in with a priority.
    IfNonzero,
    /// Whenever it came in with a tag.
    Always,
}

/// How a port carries VLANs, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortVlan {
    /// In which way.
    pub mode: VlanMode,
    /// The port's own VLAN; without meaning for a trunk.
    pub tag: u16,
    /// VLANs that pass tagged; `None` is all. Without meaning for access and tunnel ports.
    pub trunks: Option<VlanSet>,
    /// Customer VLANs that a tunnel port takes; `None` is all.
    pub cvlans: Option<VlanSet>,
    /// The type of the tags that a tunnel port puts around frames.
    pub qinq_ethtype: u16,
    /// See [`PriorityTags`].
    pub priority_tags: PriorityTags,
    /// Whether the port is kept from other such ports.
    pub is_protected: bool,
}

impl Default for PortVlan {
    /// A trunk of all VLANs.
    fn default() -> Self {
        Self {
            mode: VlanMode::Trunk,
            tag: 0,
            trunks: None,
            cvlans: None,
            qinq_ethtype: eth_type::QINQ,
            priority_tags: PriorityTags::Never,
            is_protected: false,
        }
    }
}

/// A tag of a frame inside the bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tag {
    /// Its type; 0 if there was no tag to take it from.
    tpid: u16,
    /// The VLAN, 0 for none.
    pub(crate) vid: u16,
    /// The priority, where it stands in a TCI.
    pcp: u16,
    /// Whether it stays even if it says nothing.
    is_there: bool,
}

/// The tags of a frame inside the bridge, the outer first.
pub(crate) type Tags = [Tag; 2];

/// The tags that a frame has on the wire.
pub(crate) fn tags_of(flow: &Flow) -> Tags {
    let tag = |tpid: u16, tci: u16| Tag {
        tpid,
        vid: tci & VLAN_VID_MASK,
        pcp: tci & VLAN_PCP_MASK,
        is_there: true,
    };
    let mut tags = Tags::default();
    if flow.n_vlans() > 0 {
        tags[0] = tag(flow.vlan_tpid(), flow.vlan_tci());
    }
    if flow.n_vlans() > 1 {
        tags[1] = tag(flow.vlan_tpid1(), flow.vlan_tci1());
    }
    tags
}

/// Writes tags to a flow. An outer tag that says nothing (VLAN 0, priority 0) is left out, as Open vSwitch
/// does, but where such are wanted.
pub(crate) fn put(flow: &mut Flow, tags: &Tags, priority_tags: PriorityTags) {
    let [outer, inner] = tags;
    let is_wanted = priority_tags == PriorityTags::Always && outer.tpid != 0;
    let is_empty = outer.is_there && outer.vid | outer.pcp == 0 && !is_wanted;
    if *tags == tags_of(flow) && !is_empty {
        return;
    }
    let tci = |tag: &Tag| tag.vid | tag.pcp | VLAN_PRESENT;
    let tpid = |tag: &Tag| if tag.tpid == 0 { eth_type::VLAN } else { tag.tpid };
    while flow.has_vlan() {
        flow.pop_vlan();
    }
    if inner.vid | inner.pcp != 0 || inner.is_there {
        flow.push_vlan(tpid(inner), tci(inner));
    }
    if outer.vid | outer.pcp != 0 || is_wanted {
        flow.push_vlan(tpid(outer), tci(outer));
    }
}

impl PortVlan {
    /// As Open vSwitch completes it: a native VLAN is always carried, and where it is, VLAN 0 is not.
    #[must_use]
    pub fn completed(mut self) -> Self {
        self.tag &= VLAN_VID_MASK;
        match self.mode {
            VlanMode::Trunk => self.tag = 0,
            VlanMode::Access | VlanMode::Dot1qTunnel => self.trunks = None,
            VlanMode::NativeTagged | VlanMode::NativeUntagged if self.tag != 0 => {
                let mut trunks = self.trunks.take().unwrap_or_else(VlanSet::all);
                trunks.set(self.tag, true);
                trunks.set(0, false);
                self.trunks = Some(trunks);
            }
            VlanMode::NativeTagged | VlanMode::NativeUntagged => {}
        }
        self
    }

    /// Whether frames that come in with the VLAN id `vid` (0: without) may.
    pub(crate) fn admits(&self, vid: u16) -> bool {
        match self.mode {
            VlanMode::Access => vid == 0,
            VlanMode::NativeTagged | VlanMode::NativeUntagged => vid == 0 || self.trunks(vid),
            VlanMode::Trunk => self.trunks(vid),
            VlanMode::Dot1qTunnel => self.cvlan(vid),
        }
    }

    /// The tags inside of a frame that comes in with these; `None` if there is no place for them.
    pub(crate) fn take_in(&self, tags: &Tags) -> Option<Tags> {
        let [outer, inner] = *tags;
        let tpid = if outer.tpid == 0 { eth_type::VLAN } else { outer.tpid };
        let own = Tag { tpid, vid: self.tag, pcp: outer.pcp, is_there: true };
        Some(match self.mode {
            VlanMode::Access => [own, Tag::default()],
            VlanMode::Trunk => *tags,
            VlanMode::NativeTagged | VlanMode::NativeUntagged if outer.vid == 0 => [own, inner],
            VlanMode::NativeTagged | VlanMode::NativeUntagged => *tags,
            VlanMode::Dot1qTunnel if inner.is_there => return None,
            VlanMode::Dot1qTunnel => {
                let customer = Tag { is_there: false, ..outer };
                [Tag { tpid: self.qinq_ethtype, pcp: 0, ..own }, customer]
            }
        })
    }

    /// Whether frames with these tags inside may leave.
    pub(crate) fn includes(&self, tags: &Tags) -> bool {
        let [outer, inner] = tags;
        match self.mode {
            VlanMode::Access => outer.vid == self.tag && inner.vid == 0,
            VlanMode::Trunk | VlanMode::NativeTagged | VlanMode::NativeUntagged => {
                self.trunks(outer.vid)
            }
            VlanMode::Dot1qTunnel => outer.vid == self.tag && self.cvlan(inner.vid),
        }
    }

    /// Whether [`includes`](Self::includes) depends on the inner tag of frames of this outer VLAN.
    pub(crate) fn looks_inside(&self, vid: u16) -> bool {
        match self.mode {
            VlanMode::Access => vid == self.tag,
            VlanMode::Dot1qTunnel => vid == self.tag && self.cvlans.is_some(),
            VlanMode::Trunk | VlanMode::NativeTagged | VlanMode::NativeUntagged => false,
        }
    }

    /// The tags on the wire of a frame with these inside. `pcp` is the priority with which it came in,
    /// for ports that keep that.
    pub(crate) fn give_out(&self, tags: &Tags, pcp: u16) -> Tags {
        let [outer, inner] = *tags;
        let [mut first, second] = match self.mode {
            VlanMode::Access => Tags::default(),
            VlanMode::Trunk | VlanMode::NativeTagged => *tags,
            VlanMode::NativeUntagged if outer.vid == self.tag => [inner, Tag::default()],
            VlanMode::NativeUntagged => *tags,
            VlanMode::Dot1qTunnel => [inner, Tag::default()],
        };
        if self.priority_tags != PriorityTags::Never {
            first.pcp = pcp;
        }
        [first, second]
    }

    fn trunks(&self, vid: u16) -> bool {
        self.trunks.as_ref().is_none_or(|trunks| trunks.contains(vid))
    }

    fn cvlan(&self, vid: u16) -> bool {
        self.cvlans.as_ref().is_none_or(|cvlans| cvlans.contains(vid))
    }
}

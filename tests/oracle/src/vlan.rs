//! VLANs of ports, as their manual says it: to which VLAN a frame belongs, and how it leaves.

use flow::proto::eth_type as ethertype;
use ofproto::vlan::{PriorityTags, VlanMode};

/// How a port carries VLANs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortVlan {
    /// In which way.
    pub mode: VlanMode,
    /// Its own VLAN.
    pub tag: u16,
    /// What it carries tagged; `None` is all.
    pub trunks: Option<&'static [u16]>,
    /// What a tunnel takes; `None` is all.
    pub cvlans: Option<&'static [u16]>,
    /// When tags of VLAN 0 leave.
    pub priority_tags: PriorityTags,
    /// Whether it is kept from its like.
    pub is_protected: bool,
}

impl PortVlan {
    /// Every VLAN, tagged.
    pub const TRUNK: Self = Self {
        mode: VlanMode::Trunk,
        tag: 0,
        trunks: None,
        cvlans: None,
        priority_tags: PriorityTags::Never,
        is_protected: false,
    };

    /// The same for a real bridge.
    #[must_use]
    pub fn to_real(self) -> ofproto::vlan::PortVlan {
        let set = |vlans: &'static [u16]| vlans.iter().copied().collect();
        ofproto::vlan::PortVlan {
            mode: self.mode,
            tag: self.tag,
            trunks: self.trunks.map(set),
            cvlans: self.cvlans.map(set),
            priority_tags: self.priority_tags,
            is_protected: self.is_protected,
            ..ofproto::vlan::PortVlan::default()
        }
    }

    /// Whether frames of a VLAN pass tagged. Where there is a native VLAN it passes, and VLAN 0, which
    /// is the same on the wire, does not.
    fn carries(&self, vlan: u16) -> bool {
        let is_listed = self.trunks.is_none_or(|trunks| trunks.contains(&vlan));
        match self.mode {
            VlanMode::NativeTagged | VlanMode::NativeUntagged if self.tag != 0 => {
                vlan == self.tag || vlan != 0 && is_listed
            }
            _ => is_listed,
        }
    }

    fn takes_customer(&self, vlan: u16) -> bool {
        self.cvlans.is_none_or(|cvlans| cvlans.contains(&vlan))
    }
}

/// A tag: type and control information without the drop eligible bit.
pub(crate) type WireTag = (u16, u16);

/// A frame inside the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inside {
    /// Type of its outer tag, if it had one or got one.
    tpid: Option<u16>,
    pub(crate) vlan: u16,
    priority: u16,
    inner: Option<WireTag>,
}

/// A frame with these tags comes in: nothing if it must not.
pub(crate) fn come_in(port: &PortVlan, tags: [Option<WireTag>; 2]) -> Option<Inside> {
    let [outer, inner] = tags;
    let vlan = outer.map_or(0, |(_, tci)| tci & 0xfff);
    let priority = outer.map_or(0, |(_, tci)| tci & 0xe000);
    let as_it_is = Inside { tpid: outer.map(|(tpid, _)| tpid), vlan, priority, inner };
    let tpid = Some(outer.map_or(ethertype::VLAN, |(tpid, _)| tpid));
    match port.mode {
        VlanMode::Access => {
            (vlan == 0).then_some(Inside { tpid, vlan: port.tag, priority, inner: None })
        }
        VlanMode::Trunk => port.carries(vlan).then_some(as_it_is),
        VlanMode::NativeTagged | VlanMode::NativeUntagged if vlan == 0 => {
            Some(Inside { tpid, vlan: port.tag, ..as_it_is })
        }
        VlanMode::NativeTagged | VlanMode::NativeUntagged => port.carries(vlan).then_some(as_it_is),
        VlanMode::Dot1qTunnel => {
            // There is room for two tags.
            (port.takes_customer(vlan) && inner.is_none()).then_some(Inside {
                tpid: Some(ethertype::QINQ),
                vlan: port.tag,
                priority: 0,
                // A tag that says nothing gets lost.
                inner: outer.filter(|(_, tci)| *tci != 0),
            })
        }
    }
}

/// Whether a frame may leave by a port when it is flooded.
pub(crate) fn is_member(port: &PortVlan, frame: &Inside) -> bool {
    let customer = frame.inner.map_or(0, |(_, tci)| tci & 0xfff);
    match port.mode {
        VlanMode::Access => frame.vlan == port.tag && customer == 0,
        VlanMode::Dot1qTunnel => frame.vlan == port.tag && port.takes_customer(customer),
        VlanMode::Trunk | VlanMode::NativeTagged | VlanMode::NativeUntagged => {
            port.carries(frame.vlan)
        }
    }
}

/// The tags, outer first, with which a frame leaves. `arrived` is the outer tag that it came with.
pub(crate) fn go_out(port: &PortVlan, frame: &Inside, arrived: Option<WireTag>) -> Vec<WireTag> {
    let whole = (frame.tpid, frame.vlan | frame.priority);
    let inner = frame.inner.map(|(tpid, tci)| (Some(tpid), tci));
    let is_native = port.mode == VlanMode::NativeUntagged && frame.vlan == port.tag;
    let is_stripped = is_native || port.mode == VlanMode::Dot1qTunnel;
    let (outer, rest) = match port.mode {
        VlanMode::Access => (None, None),
        _ if is_stripped => (inner, None),
        _ => (Some(whole), inner),
    };
    let (tpid, mut tci) = outer.unwrap_or((None, 0));
    if port.priority_tags != PriorityTags::Never {
        tci = tci & 0xfff | arrived.map_or(0, |(_, tci)| tci & 0xe000);
    }
    let is_said = tci != 0 || port.priority_tags == PriorityTags::Always && tpid.is_some();
    let outer = is_said.then_some((tpid, tci));
    let named = |(tpid, tci): (Option<u16>, u16)| (tpid.unwrap_or(ethertype::VLAN), tci);
    outer.into_iter().chain(rest).map(named).collect()
}

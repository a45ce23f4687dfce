//! Turning what became of the flow into datapath actions, just before an output needs it.
//!
//! # What
//! Translation changes a *flow*, not a packet. `base` is the flow of the packet as the datapath
//! actions emitted so far leave it. [`commit`] emits the actions that take the packet from `base`
//! to `flow`, and makes the two equal. So ten set-fields before one output cost one masked set of
//! each header that changed, and a change with no output after it costs nothing.
//!
//! # Why it is sound
//! A megaflow serves every packet that agrees in the mask, so an action may write only bits whose
//! value is the same for all of them. Whoever changed bits of the flow un-wildcarded them first;
//! therefore a set carries exactly the un-wildcarded bits of each field that differs, and leaves
//! the rest of the field to each packet.

use super::headers::pbb_tci;
use alloc::vec::Vec;
use core::ops::Range;
use datapath::{
    DpAction, Masked, PushMpls, PushVlan, SetArp, SetEth, SetIcmp, SetIpv4, SetIpv6, SetMeta,
    SetNd, SetNdExt, SetPorts,
};
use flow::layout::{MARKS, TUN_METADATA, VLAN};
use flow::proto::eth_type;
use flow::{Field, Flow, Mask, Prereq};

/// The bottom-of-stack bit of an MPLS label stack entry.
pub(crate) const MPLS_BOS: u32 = 0x100;
/// Label stack entries that a flow holds.
pub(crate) const MAX_MPLS: usize = 3;

/// The words that an action may have to write: marks and headers.
const OF_PACKET: Range<usize> = MARKS..TUN_METADATA;

/// Emits what takes the packet from `base` to `flow`; afterwards they are equal in what is the packet's.
pub(crate) fn commit(base: &mut Flow, flow: &Flow, mask: &mut Mask, actions: &mut Vec<DpAction>) {
    // What is the pipeline's own is in no packet: most often there is nothing else.
    let pairs = base.words()[OF_PACKET].iter().zip(&flow.words()[OF_PACKET]);
    if pairs.fold(0, |any, (a, b)| any | (a ^ b)) == 0 {
        return;
    }
    set_ethernet(base, flow, mask, actions);
    set_network(base, flow, mask, actions);
    set_transport(base, flow, mask, actions);
    mpls(base, flow, mask, actions);
    vlan(base, flow, mask, actions);
    set_metadata(base, flow, mask, actions);
    *base = *flow;
}

/// Reads differing fields out of a base, a flow and a mask.
struct Diff<'a> {
    base: &'a Flow,
    flow: &'a Flow,
    mask: &'a Mask,
}

impl Diff<'_> {
    /// The set of `field`: none of its bits when it is the same in base and flow.
    fn of(&self, field: Field) -> Masked<u128> {
        let value = self.flow.get(field);
        if value == self.base.get(field) {
            return Masked { value: 0, mask: 0 };
        }
        let mask = self.mask.get(field);
        Masked { value: value & mask, mask }
    }

    fn u32(&self, field: Field) -> Masked<u32> {
        let Masked { value, mask } = self.of(field);
        Masked { value: low(value), mask: low(mask) }
    }

    fn u16(&self, field: Field) -> Masked<u16> {
        let Masked { value, mask } = self.of(field);
        let narrow = |n: u128| u16::try_from(n & 0xffff).unwrap_or(0);
        Masked { value: narrow(value), mask: narrow(mask) }
    }

    fn u8(&self, field: Field) -> Masked<u8> {
        let Masked { value, mask } = self.of(field);
        Masked { value: byte(value), mask: byte(mask) }
    }

    fn ether(&self, field: Field) -> Masked<[u8; 6]> {
        let Masked { value, mask } = self.of(field);
        let ether = |n: u128| {
            let [.., a, b, c, d, e, f] = n.to_be_bytes();
            [a, b, c, d, e, f]
        };
        Masked { value: ether(value), mask: ether(mask) }
    }

    /// DSCP and ECN as the one byte that carries both.
    fn tos(&self) -> Masked<u8> {
        let (dscp, ecn) = (self.u8(Field::IpDscp), self.u8(Field::IpEcn));
        Masked { value: dscp.value | ecn.value, mask: dscp.mask | ecn.mask }
    }
}

fn low(n: u128) -> u32 {
    u32::try_from(n & 0xffff_ffff).unwrap_or(0)
}

fn byte(n: u128) -> u8 {
    u8::try_from(n & 0xff).unwrap_or(0)
}

fn set_ethernet(base: &Flow, flow: &Flow, mask: &Mask, actions: &mut Vec<DpAction>) {
    let diff = Diff { base, flow, mask };
    let set = SetEth { src: diff.ether(Field::EthSrc), dst: diff.ether(Field::EthDst) };
    if set != SetEth::default() {
        actions.push(DpAction::SetEth(set));
    }
}

fn set_network(base: &Flow, flow: &Flow, mask: &Mask, actions: &mut Vec<DpAction>) {
    if base.eth_type() != flow.eth_type() {
        // A label was pushed in front: the network header was committed before it went out of
        // sight.
        return;
    }
    let diff = Diff { base, flow, mask };
    match base.eth_type() {
        eth_type::IPV4 => {
            let set = SetIpv4 {
                src: diff.u32(Field::Ipv4Src),
                dst: diff.u32(Field::Ipv4Dst),
                tos: diff.tos(),
                ttl: diff.u8(Field::IpTtl),
            };
            if set != SetIpv4::default() {
                actions.push(DpAction::SetIpv4(set));
            }
        }
        eth_type::IPV6 => {
            let set = SetIpv6 {
                src: diff.of(Field::Ipv6Src),
                dst: diff.of(Field::Ipv6Dst),
                label: diff.u32(Field::Ipv6Label),
                tclass: diff.tos(),
                hlimit: diff.u8(Field::IpTtl),
            };
            if set != SetIpv6::default() {
                actions.push(DpAction::SetIpv6(set));
            }
        }
        eth_type::ARP | eth_type::RARP => {
            let set = SetArp {
                op: diff.u16(Field::ArpOp),
                spa: diff.u32(Field::ArpSpa),
                tpa: diff.u32(Field::ArpTpa),
                sha: diff.ether(Field::ArpSha),
                tha: diff.ether(Field::ArpTha),
            };
            if set != SetArp::default() {
                actions.push(DpAction::SetArp(set));
            }
        }
        eth_type::PBB => {
            let (isid, uca) = (diff.u32(Field::PbbIsid), diff.u32(Field::PbbUca));
            let set = Masked {
                value: pbb_tci(isid.value, uca.value),
                mask: pbb_tci(isid.mask, uca.mask),
            };
            if !set.is_none() {
                actions.push(DpAction::SetPbb(set));
            }
        }
        _ => {}
    }
}

fn set_transport(base: &Flow, flow: &Flow, mask: &Mask, actions: &mut Vec<DpAction>) {
    if base.eth_type() != flow.eth_type() {
        return;
    }
    let diff = Diff { base, flow, mask };
    let ports = SetPorts { src: diff.u16(Field::TcpSrc), dst: diff.u16(Field::TcpDst) };
    if ports != SetPorts::default() {
        let narrow = |port: Masked<u16>| Masked {
            value: byte(u128::from(port.value)),
            mask: byte(u128::from(port.mask)),
        };
        let icmp = SetIcmp { kind: narrow(ports.src), code: narrow(ports.dst) };
        if Prereq::Tcp.holds(base) {
            actions.push(DpAction::SetTcp(ports));
        } else if Prereq::Udp.holds(base) {
            actions.push(DpAction::SetUdp(ports));
        } else if Prereq::Sctp.holds(base) {
            actions.push(DpAction::SetSctp(ports));
        } else if Prereq::Icmpv4.holds(base) {
            actions.push(DpAction::SetIcmp(icmp));
        } else if Prereq::Icmpv6.holds(base) {
            actions.push(DpAction::SetIcmpv6(icmp));
        }
    }
    let flags = diff.u16(Field::TcpFlags);
    if !flags.is_none() && Prereq::Tcp.holds(base) {
        actions.push(DpAction::SetTcpFlags(flags));
    }
    if Prereq::Nd.holds(base) {
        let set = SetNd {
            target: diff.of(Field::NdTarget),
            sll: diff.ether(Field::NdSll),
            tll: diff.ether(Field::NdTll),
        };
        if set != SetNd::default() {
            actions.push(DpAction::SetNd(set));
        }
        let set = SetNdExt {
            reserved: diff.u32(Field::NdReserved),
            options_type: diff.u8(Field::NdOptionsType),
        };
        if set != SetNdExt::default() {
            actions.push(DpAction::SetNdExt(set));
        }
    }
}

/// Takes the label stack of `base` to that of `flow`, changing as little as possible from the
/// bottom up. Whoever pushed or popped has un-wildcarded the whole stack.
fn mpls(base: &Flow, flow: &Flow, mask: &Mask, actions: &mut Vec<DpAction>) {
    let (base_stack, flow_stack) = (LabelStack::of(base), LabelStack::of(flow));
    let n_common = base_stack.n_common(&flow_stack);
    let mut n_base = base_stack.n;
    while n_base > n_common {
        if n_base - 1 == n_common && flow_stack.n > n_common {
            // The topmost entry that differs is rewritten rather than popped and pushed.
            let known = mask.mpls_lse(0);
            let lse = flow_stack.above_bottom(n_common);
            actions.push(DpAction::SetMpls(Masked { value: lse & known, mask: known }));
            break;
        }
        n_base -= 1;
        let inner = if n_base == 0 { flow.eth_type() } else { base.eth_type() };
        actions.push(DpAction::PopMpls(inner));
    }
    for index in n_base..flow_stack.n {
        let lse = flow_stack.above_bottom(index);
        actions.push(DpAction::PushMpls(PushMpls { ethertype: flow.eth_type(), lse }));
    }
}

/// The label stack entries of a flow.
struct LabelStack<'a> {
    flow: &'a Flow,
    n: usize,
}

impl<'a> LabelStack<'a> {
    fn of(flow: &'a Flow) -> Self {
        Self { flow, n: n_labels(flow) }
    }

    /// Entry `index` counted from the bottom of the stack (0).
    fn above_bottom(&self, index: usize) -> u32 {
        self.flow.mpls_lse((self.n - 1).saturating_sub(index))
    }

    fn n_common(&self, other: &Self) -> usize {
        (0..self.n.min(other.n))
            .take_while(|&index| self.above_bottom(index) == other.above_bottom(index))
            .count()
    }
}

/// Number of label stack entries in the flow: up to the bottom of stack, at most [`MAX_MPLS`].
pub(crate) fn n_labels(flow: &Flow) -> usize {
    if !flow.is_mpls() {
        return 0;
    }
    let bottom = (0..MAX_MPLS).find(|&n| flow.mpls_lse(n) & MPLS_BOS != 0);
    bottom.map_or(MAX_MPLS, |n| n + 1)
}

/// Takes the VLAN tags of `base` to those of `flow`. A tag that changes is popped and pushed.
fn vlan(base: &Flow, flow: &Flow, mask: &mut Mask, actions: &mut Vec<DpAction>) {
    if base.word(VLAN) == flow.word(VLAN) {
        return;
    }
    let (base_tags, flow_tags) = (Tags::of(base), Tags::of(flow));
    let n_common = (0..base_tags.n.min(flow_tags.n))
        .take_while(|&index| base_tags.outwards(index) == flow_tags.outwards(index))
        .count();
    // A pushed tag is written whole, so all its bits must be known.
    mask.set_word(VLAN, u64::MAX);
    for _ in n_common..base_tags.n {
        actions.push(DpAction::PopVlan);
    }
    for index in n_common..flow_tags.n {
        let (tpid, tci) = flow_tags.outwards(index);
        actions.push(DpAction::PushVlan(PushVlan { tpid, tci }));
    }
}

/// The VLAN tags of a flow.
struct Tags {
    tags: [(u16, u16); 2],
    n: usize,
}

impl Tags {
    fn of(flow: &Flow) -> Self {
        let outer = (flow.vlan_tpid(), flow.vlan_tci());
        let tags = match flow.n_vlans() {
            2 => [(flow.vlan_tpid1(), flow.vlan_tci1()), outer],
            _ => [outer, (0, 0)],
        };
        Self { tags, n: flow.n_vlans() }
    }

    /// Tag `index` counted from the innermost (0).
    fn outwards(&self, index: usize) -> (u16, u16) {
        self.tags.get(index).copied().unwrap_or_default()
    }
}

fn set_metadata(base: &Flow, flow: &Flow, mask: &Mask, actions: &mut Vec<DpAction>) {
    let diff = Diff { base, flow, mask };
    let priority = diff.u32(Field::SkbPriority);
    if !priority.is_none() {
        actions.push(DpAction::SetMeta(SetMeta::SkbPriority(priority)));
    }
    let mark = diff.u32(Field::PktMark);
    if !mark.is_none() {
        actions.push(DpAction::SetMeta(SetMeta::PktMark(mark)));
    }
}

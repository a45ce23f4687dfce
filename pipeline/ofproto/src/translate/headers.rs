//! Actions that change what the headers behind them are: PBB tags, the Ethernet type, the IP protocol,
//! the bottom of a label stack, and TTLs of headers that the key does not show (OpenFlow 1.3.5
//! §5.12, §7.2.5.7).
//!
//! Each is done to the packet at once, after what was set before it; then the flow is *stale*: whoever
//! looks at what it no longer tells has the packet extracted anew.

use super::machine::{Machine, Stale};
use datapath::{DpAction, Masked, TtlCopy};
use flow::layout::{ARP_SHA, ARP_THA, MPLS, MPLS2, ND_TARGET, TP, VLAN};
use flow::proto::{FRAG_LATER, eth_type};
use flow::{Field, Flow};

/// Bit of a PBB tag that says that the customer addresses are in use (802.1ah §9.7).
const PBB_UCA: u32 = 1 << 27;
const PBB_PCP_SHIFT: u32 = 29;
const PBB_ISID: u32 = 0x00ff_ffff;
const MPLS_BOS: u32 = 0x100;

impl Machine<'_> {
    /// Puts a backbone header in front: with the frame's own addresses, the priority of its VLAN tag
    /// and the service of the PBB tag that it may have (1.3.5 §5.12.1).
    pub(crate) fn push_pbb(&mut self) {
        for field in [Field::VlanTci, Field::EthType, Field::PbbIsid] {
            self.mask.set_exact(field);
        }
        self.commit();
        let pcp = u32::from(self.flow.vlan_tci() >> 13);
        let isid = if self.flow.eth_type() == eth_type::PBB { self.flow.pbb_isid() } else { 0 };
        self.emit(DpAction::PushPbb(pcp << PBB_PCP_SHIFT | isid));
        for flow in [&mut *self.flow, &mut *self.base] {
            forget_tags(flow);
            forget_behind(flow);
            flow.set_eth_type(eth_type::PBB);
            flow.set_pbb_isid(isid);
        }
        // All of the new headers is known; what they hide is not, but out of sight.
        self.n_lost += 1;
        self.hash = None;
        self.stale = Stale::No;
    }

    /// Takes the PBB tag off; the customer's addresses are the frame's again.
    pub(crate) fn pop_pbb(&mut self) {
        self.mask.set_exact(Field::EthType);
        if self.flow.eth_type() != eth_type::PBB {
            return;
        }
        self.commit();
        self.emit(DpAction::PopPbb);
        for flow in [&mut *self.flow, &mut *self.base] {
            forget_behind(flow);
            flow.set_eth_type(eth_type::NONE);
        }
        self.hash = None;
        self.go_stale(Stale::All);
    }

    /// Writes the Ethernet type. A frame that has a length in its place keeps it.
    pub(crate) fn set_eth_type(&mut self, value: u16) {
        let old = self.flow.eth_type();
        self.mask.set_exact(Field::EthType);
        if old == value || old == eth_type::NONE || value < eth_type::MIN {
            return;
        }
        self.commit();
        self.emit(DpAction::SetEthType(value));
        for flow in [&mut *self.flow, &mut *self.base] {
            forget_behind(flow);
            flow.set_eth_type(value);
        }
        self.hash = None;
        self.go_stale(Stale::Network);
    }

    /// Writes the IP protocol. A later fragment of IPv6 does not show where it is.
    pub(crate) fn set_ip_proto(&mut self, value: u8) {
        self.mask.set_exact(Field::IpProto);
        let is_hidden =
            self.flow.eth_type() == eth_type::IPV6 && self.flow.nw_frag() & FRAG_LATER != 0;
        if self.flow.nw_proto() == value || is_hidden {
            return;
        }
        self.commit();
        self.emit(DpAction::SetIpProto(value));
        for flow in [&mut *self.flow, &mut *self.base] {
            for word in [ND_TARGET, ND_TARGET + 1, ARP_SHA, ARP_THA, TP] {
                flow.set_word(word, 0);
            }
            flow.set_nw_proto(value);
        }
        self.hash = None;
        self.go_stale(Stale::Network);
    }

    /// Writes the bottom-of-stack bit of the outer label: what follows it becomes, or ceases to be,
    /// a label.
    pub(crate) fn set_mpls_bos(&mut self, is_bottom: bool) {
        self.mask.set_exact(Field::EthType);
        self.mask.set_exact(Field::MplsBos);
        let old = self.flow.mpls_lse(0);
        let new = if is_bottom { old | MPLS_BOS } else { old & !MPLS_BOS };
        if old == new {
            return;
        }
        self.commit();
        self.emit(DpAction::SetMpls(Masked { value: new & MPLS_BOS, mask: MPLS_BOS }));
        for flow in [&mut *self.flow, &mut *self.base] {
            forget_behind(flow);
            flow.set_mpls_lse(0, new);
        }
        self.hash = None;
        self.go_stale(Stale::Network);
    }

    /// Writes the type of the first neighbour discovery option: the address in it becomes another.
    pub(crate) fn set_nd_options_type(&mut self, value: u8) {
        self.mask.set_exact(Field::NdOptionsType);
        if self.flow.nd_options_type() == value {
            return;
        }
        self.flow.set_nd_options_type(value);
        self.commit();
        self.go_stale(Stale::Network);
    }

    /// Copies a TTL between the outermost header that has one and the next (1.3.5 §5.12).
    pub(crate) fn copy_ttl(&mut self, way: TtlCopy) {
        self.mask.set_exact(Field::EthType);
        if self.flow.is_mpls() {
            self.mask.set_word(MPLS, u64::MAX);
            let (outer, inner) = (self.flow.mpls_lse(0), self.flow.mpls_lse(1));
            let with_ttl_of = |lse: u32, of: u32| lse & !0xff | of & 0xff;
            if outer & MPLS_BOS == 0 && inner != 0 {
                match way {
                    TtlCopy::Out => self.flow.set_mpls_lse(0, with_ttl_of(outer, inner)),
                    TtlCopy::In => {
                        self.mask.set_mpls_lse(2, u32::MAX);
                        self.flow.set_mpls_lse(1, with_ttl_of(inner, outer));
                    }
                }
                return;
            }
        } else if !self.flow.is_ip() {
            return;
        }
        self.commit();
        self.emit(DpAction::CopyTtl(way));
        match way {
            // Which TTL the outer header has is known to the packet alone.
            TtlCopy::Out => self.go_stale(Stale::Network),
            TtlCopy::In => self.n_lost += 1,
        }
    }
}

/// Forgets the VLAN tags, which a backbone header hides.
fn forget_tags(flow: &mut Flow) {
    flow.set_word(VLAN, 0);
}

/// Forgets everything behind the Ethernet type.
fn forget_behind(flow: &mut Flow) {
    flow.set_word(MPLS, 0);
    flow.set_word(MPLS2, 0);
    flow.clear_above_l2();
    flow.set_dp_hash(0);
}

/// The control information of the PBB tag that a key says.
pub(crate) fn pbb_tci(isid: u32, uca: u32) -> u32 {
    (if uca != 0 { PBB_UCA } else { 0 }) | isid & PBB_ISID
}

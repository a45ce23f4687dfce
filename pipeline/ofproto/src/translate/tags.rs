//! Pushing and popping VLAN tags and MPLS labels (OpenFlow 1.3.5 §5.12).
//!
//! A push or pop moves the headers behind it to other places in the key, so each un-wildcards the
//! whole stack: bits that are set later at one place may have been another place's when the packet
//! came in.

use super::TranslateError;
use super::commit::{MAX_MPLS, MPLS_BOS, n_labels};
use super::machine::{Machine, Stale};
use datapath::DpAction;
use flow::layout::{MPLS, VLAN};
use flow::proto::{VLAN_PCP_MASK, VLAN_PRESENT, VLAN_VID_MASK, eth_type};
use flow::{Field, Flow};

impl Machine<'_> {
    /// Adds a tag with the values of the outer one, or zero (1.3.5 §5.12.1).
    pub(crate) fn push_vlan(&mut self, tpid: u16) {
        self.mask.set_word(VLAN, u64::MAX);
        if self.flow.n_vlans() >= 2 {
            self.error = Some(TranslateError::TooManyTags);
            return;
        }
        self.flow.push_vlan(tpid, self.flow.vlan_tci());
    }

    /// Removes the outer tag, if there is one.
    pub(crate) fn pop_vlan(&mut self) {
        self.mask.add(Field::VlanTci, u128::from(VLAN_PRESENT));
        if !self.flow.has_vlan() {
            return;
        }
        self.mask.set_word(VLAN, u64::MAX);
        self.flow.pop_vlan();
        if matches!(self.flow.eth_type(), eth_type::VLAN | eth_type::QINQ) {
            // There is a third tag, which the key does not show.
            self.commit();
            self.go_stale(Stale::Network);
        }
    }

    /// Sets the VLAN id; adds a tag where there is none (OpenFlow 1.0.1 §5.2.4).
    pub(crate) fn set_vlan_vid(&mut self, vid: u16) {
        self.set_tci(vid & VLAN_VID_MASK, VLAN_VID_MASK);
    }

    /// Sets the VLAN priority; adds a tag where there is none (OpenFlow 1.0.1 §5.2.4).
    pub(crate) fn set_vlan_pcp(&mut self, pcp: u8) {
        self.set_tci(u16::from(pcp & 7) << 13, VLAN_PCP_MASK);
    }

    fn set_tci(&mut self, value: u16, bits: u16) {
        self.mask.add(Field::VlanTci, u128::from(bits | VLAN_PRESENT));
        if self.flow.has_vlan() {
            self.flow.set_vlan_tci(self.flow.vlan_tci() & !bits | value);
        } else {
            self.flow.push_vlan(eth_type::VLAN, value);
        }
    }

    /// Makes the tags consistent after the whole TCI was written (`load` to `vlan_tci`).
    pub(crate) fn settle_tag(&mut self) {
        self.mask.set_word(VLAN, u64::MAX);
        if !self.flow.has_vlan() {
            self.flow.pop_vlan();
        } else if self.flow.vlan_tpid() == 0 {
            self.flow.set_vlan_tpid(eth_type::VLAN);
        }
    }

    /// Adds a label with the values of the outer one, or of the IP header (1.3.5 §5.12.1).
    pub(crate) fn push_mpls(&mut self, ethertype: u16) {
        self.examine_labels();
        let n = n_labels(self.flow);
        if n >= MAX_MPLS {
            self.error = Some(TranslateError::TooManyLabels);
            return;
        }
        self.n_lost += 1;
        self.hash = None;
        let lse = if n == 0 {
            // The network header goes out of sight: what was set in it happens first.
            self.commit();
            let lse = self.first_label();
            clear_above_labels(self.flow);
            clear_above_labels(self.base);
            lse
        } else {
            self.flow.mpls_lse(0) & !MPLS_BOS
        };
        for index in (0..n).rev() {
            let moved = self.flow.mpls_lse(index);
            self.flow.set_mpls_lse(index + 1, moved);
        }
        self.flow.set_mpls_lse(0, lse);
        self.flow.set_eth_type(ethertype);
    }

    /// The entry for a packet without labels: explicit null, TTL and class of the IP header.
    fn first_label(&mut self) -> u32 {
        const IPV6_EXPLICIT_NULL: u32 = 2;
        let (mut label, mut class, mut ttl) = (0, 0, 64);
        if self.flow.is_ip() {
            for field in [Field::IpDscp, Field::IpTtl] {
                self.mask.set_exact(field);
            }
            if self.flow.eth_type() == eth_type::IPV6 {
                label = IPV6_EXPLICIT_NULL;
            }
            // As Open vSwitch: the low bits of the DSCP.
            class = u32::from(self.flow.nw_tos() >> 2 & 7);
            ttl = u32::from(self.flow.nw_ttl());
        }
        let ttl = if ttl == 0 { 64 } else { ttl };
        label << 12 | class << 9 | MPLS_BOS | ttl
    }

    /// Removes the outer label; what follows it is of this type.
    pub(crate) fn pop_mpls(&mut self, ethertype: u16) {
        if !self.flow.is_mpls() {
            return;
        }
        self.n_lost += 1;
        self.hash = None;
        self.examine_labels();
        let n = n_labels(self.flow);
        let is_mpls = matches!(ethertype, eth_type::MPLS | eth_type::MPLS_MULTICAST);
        let bottom_is_known = self.flow.mpls_lse(n - 1) & MPLS_BOS != 0;
        if is_mpls && n > 1 && bottom_is_known {
            for index in 0..MAX_MPLS {
                let moved = self.flow.mpls_lse(index + 1);
                self.flow.set_mpls_lse(index, moved);
            }
            self.flow.set_eth_type(ethertype);
            return;
        }
        // What follows is not in the key.
        self.commit();
        self.emit(DpAction::PopMpls(ethertype));
        for flow in [&mut *self.flow, &mut *self.base] {
            clear_above_labels(flow);
            flow.set_word(MPLS, 0);
            flow.set_mpls_lse(2, 0);
            flow.set_eth_type(ethertype);
        }
        self.go_stale(Stale::Network);
    }

    fn examine_labels(&mut self) {
        self.mask.set_exact(Field::EthType);
        self.mask.set_word(MPLS, u64::MAX);
        self.mask.set_mpls_lse(2, u32::MAX);
    }
}

/// Forgets everything behind the labels.
fn clear_above_labels(flow: &mut Flow) {
    flow.clear_above_l2();
    flow.set_dp_hash(0);
}

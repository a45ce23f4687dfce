//! Actions that write fields, and TTLs.

use super::machine::Machine;
use super::step::Verdict;
use crate::events::MissKind;
use datapath::DropReason;
use flow::proto::{VLAN_PRESENT, VLAN_VID_MASK};
use flow::{Field, Prereq};
use openflow::{ControllerAction, OfPort, PacketInReason, Subfield};

/// The bits of a port number that Nicira's fields have.
const SHORT_PORT: u128 = 0xffff;

impl Machine<'_> {
    /// Writes the bits of `mask` in a field, if the packet has it (OpenFlow 1.3.5 §7.2.5).
    pub(crate) fn set_field(&mut self, field: Field, value: u128, mask: u128) {
        if !self.has_field(field) {
            return;
        }
        let low = u16::try_from(value & 0xffff).unwrap_or(0);
        let [_, byte] = low.to_be_bytes();
        match field {
            Field::EthType => return self.set_eth_type(low),
            Field::IpProto => return self.set_ip_proto(byte),
            Field::MplsBos => return self.set_mpls_bos(byte & 1 != 0),
            Field::NdOptionsType => return self.set_nd_options_type(byte),
            _ => {}
        }
        // A set-field of the VLAN id says that there is a tag, and changes only the id.
        let mask = if field == Field::VlanVid { mask & u128::from(VLAN_VID_MASK) } else { mask };
        self.mask.add(field, mask);
        self.flow.set_masked(field, value, mask);
        match field {
            Field::VlanTci => self.settle_tag(),
            // Nicira's port numbers have 16 bits.
            Field::InPort if mask <= SHORT_PORT => {
                let [.., high, low] = self.flow.in_port().to_be_bytes();
                let port = OfPort::from_u16(u16::from_be_bytes([high, low]));
                self.flow.set_in_port(port.0);
            }
            _ => {}
        }
    }

    /// Whether the packet has a field; the answer's reasons are un-wildcarded.
    pub(crate) fn has_field(&mut self, field: Field) -> bool {
        let prereq = field.spec().prereq;
        prereq.unwildcard(self.mask);
        if !prereq.holds(self.flow) {
            return false;
        }
        // A set-field of the VLAN id changes a tag and does not add one (1.3.5 §7.2.3.8).
        if matches!(field, Field::VlanVid | Field::DlVlan | Field::DlVlanPcp) {
            self.mask.add(Field::VlanTci, u128::from(VLAN_PRESENT));
            return self.flow.has_vlan();
        }
        true
    }

    /// Copies part of a field to another (`NXAST_REG_MOVE`), if the packet has both.
    pub(crate) fn move_field(&mut self, src: Subfield, dst: Subfield) {
        if self.has_field(src.field) && self.has_field(dst.field) {
            let value = self.read(src);
            self.set_field(dst.field, (value & dst.max_value()) << dst.offset, dst.mask());
        }
    }

    /// Writes a transport port of whichever protocol the packet is (1.0.1 §5.2.4).
    pub(crate) fn set_transport(&mut self, fields: [Field; 3], port: u16) {
        for field in fields {
            if self.has_field(field) {
                self.set_field(field, u128::from(port), field.ones());
                return;
            }
        }
    }

    /// Decrements the IP TTL; a packet whose TTL runs out goes to controllers, if they want it, and
    /// the rule ends for it (1.3.5 §5.12; ids as `NXAST_DEC_TTL_CNT_IDS` has them).
    pub(crate) fn dec_ttl(&mut self, controllers: &[u16]) -> Verdict {
        if !self.flow.is_ip() {
            return Verdict::Next;
        }
        self.mask.set_exact(Field::IpTtl);
        if self.flow.nw_ttl() > 1 {
            self.flow.set_nw_ttl(self.flow.nw_ttl() - 1);
            return Verdict::Next;
        }
        for id in if controllers.is_empty() { &[0] } else { controllers } {
            self.invalid_ttl(*id);
        }
        Verdict::Stop
    }

    /// Decrements the TTL of the outer label.
    pub(crate) fn dec_mpls_ttl(&mut self) -> Verdict {
        if !Prereq::Mpls.holds(self.flow) {
            return Verdict::Next;
        }
        self.mask.set_exact(Field::MplsTtl);
        let ttl = self.flow.get(Field::MplsTtl);
        if ttl > 1 {
            self.flow.set(Field::MplsTtl, ttl - 1);
            return Verdict::Next;
        }
        self.invalid_ttl(0);
        Verdict::Stop
    }

    fn invalid_ttl(&mut self, controller_id: u16) {
        if self.input.state.options.invalid_ttl_to_controllers {
            let reason = PacketInReason::InvalidTtl;
            let action = ControllerAction { reason, controller_id, ..Default::default() };
            self.controller(&action, MissKind::None);
        }
        self.not_sent(DropReason::TtlExceeded, format_args!("decrement TTL exception"));
    }
}

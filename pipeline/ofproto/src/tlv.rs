//! Which options of tunnels are which fields: the map behind `tun_metadata0` and on (Nicira's
//! `NXT_TLV_TABLE_MOD`; `ovs-ofctl add-tlv-map`).
//!
//! A packet's key has room for two options of four bytes, so there are two fields, and an option that
//! is longer finds the table full. As long as no port is a tunnel, the fields are metadata: a packet
//! begins with zeros in them, and actions write them. A field is there for rules while it is mapped,
//! and a mapping stays while a rule, or a group, uses its field. How many rules do is counted as they come and
//! go, while there is a mapping: without one no rule can.

use crate::bridge::Bridge;
use crate::rule::Rule;
use alloc::vec::Vec;
use flow::Field;
use openflow::{Action, OfErrorKind, TlvMapping, TlvTableCommand, TlvTableMod, TlvTableReply};

/// The fields, by index.
pub(crate) const OPTIONS: [Field; N_OPTIONS as usize] = [Field::TunMetadata0, Field::TunMetadata1];
const N_OPTIONS: u8 = 2;
/// Bytes of each.
const OPTION_BYTES: u8 = 4;
/// The longest option that there can be (RFC 8926 §3.5).
const MAX_OPTION_BYTES: u8 = 124;

/// The map.
#[derive(Clone, Debug, Default)]
pub struct Tlvs {
    mappings: [Option<TlvMapping>; OPTIONS.len()],
}

impl Tlvs {
    /// Whether no option is a field.
    pub(crate) fn is_empty(&self) -> bool {
        self.mappings.iter().all(Option::is_none)
    }

    /// Whether some option is this field.
    #[must_use]
    pub(crate) fn maps(&self, field: Field) -> bool {
        self.mappings.iter().zip(OPTIONS).any(|(one, option)| option == field && one.is_some())
    }

    fn add(&mut self, new: &TlvMapping) -> Result<(), OfErrorKind> {
        if new.len == 0 || !new.len.is_multiple_of(4) || new.len > MAX_OPTION_BYTES {
            return Err(OfErrorKind::NxTlvBadOptLen);
        }
        let is_same = |old: &TlvMapping| (old.class, old.kind) == (new.class, new.kind);
        let is_known = self.mappings.iter().flatten().any(is_same);
        let slot = self.mappings.get_mut(usize::from(new.index));
        let slot = slot.ok_or(OfErrorKind::NxTlvBadFieldIdx)?;
        if slot.is_some() {
            return Err(OfErrorKind::NxTlvAlreadyMapped);
        }
        if is_known {
            return Err(OfErrorKind::NxTlvDupEntry);
        }
        if new.len > OPTION_BYTES {
            return Err(OfErrorKind::NxTlvTableFull);
        }
        *slot = Some(*new);
        Ok(())
    }
}

impl Bridge {
    /// The map and its limits.
    #[must_use]
    pub fn tlv_table(&self) -> TlvTableReply {
        let mappings: Vec<TlvMapping> =
            self.state.tlvs.mappings.iter().flatten().copied().collect();
        TlvTableReply {
            max_option_space: u32::from(N_OPTIONS) * u32::from(OPTION_BYTES),
            max_fields: N_OPTIONS.into(),
            mappings,
        }
    }

    /// Changes the map: all of it, or on an error nothing.
    ///
    /// # Errors
    /// An option or a field is taken, too long or out of range, or a field is in use.
    pub fn tlv_table_mod(&mut self, change: &TlvTableMod) -> Result<(), OfErrorKind> {
        let mut tlvs = self.state.tlvs.clone();
        match change.command {
            TlvTableCommand::Add => change.mappings.iter().try_for_each(|new| tlvs.add(new))?,
            TlvTableCommand::Delete => {
                for old in &change.mappings {
                    let slot = tlvs.mappings.get_mut(usize::from(old.index));
                    *slot.ok_or(OfErrorKind::NxTlvBadFieldIdx)? = None;
                }
            }
            TlvTableCommand::Clear => tlvs = Tlvs::default(),
        }
        for (field, n_users) in OPTIONS.into_iter().zip(self.option_users) {
            let goes = self.state.tlvs.maps(field) && !tlvs.maps(field);
            if goes && (n_users > 0 || self.has_group_with_option(field)) {
                return Err(OfErrorKind::NxTlvInvalidTlvDel);
            }
        }
        self.state.write().tlvs = tlvs;
        self.n_edits += 1;
        Ok(())
    }

    /// Notes that rules came (+1) or went (-1).
    #[inline]
    pub(crate) fn count_option_users(&mut self, rule: &Rule, delta: isize) {
        if self.state.tlvs.is_empty() {
            return;
        }
        for (field, n_users) in OPTIONS.into_iter().zip(&mut self.option_users) {
            if rule.match_.examines(field)
                || uses_option(&rule.instructions.apply, field)
                || uses_option(&rule.instructions.write, field)
            {
                *n_users = n_users.saturating_add_signed(delta);
            }
        }
    }

    fn has_group_with_option(&self, field: Field) -> bool {
        let mut buckets = self.state.groups.iter().flat_map(|group| group.buckets.iter());
        buckets.any(|bucket| uses_option(&bucket.desc.actions, field))
    }
}

/// Whether actions look at this field or write it.
fn uses_option(actions: &[Action], field: Field) -> bool {
    actions.iter().any(|action| action.uses_field(field))
}

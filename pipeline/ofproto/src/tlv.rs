//! Which options of tunnels are which fields: the map behind `tun_metadata0` and on (Nicira's
//! `NXT_TLV_TABLE_MOD`; `ovs-ofctl add-tlv-map`).
//!
//! A packet's key has room for two options of four bytes, so there are two fields, and an option that
//! is longer finds the table full. As long as no port is a tunnel, the fields are metadata: a packet
//! begins with zeros in them, and actions write them. A field is there for rules while it is mapped,
//! and a mapping stays while a rule, or a group, uses its field.

use crate::bridge::Bridge;
use alloc::vec::Vec;
use flow::Field;
use openflow::{
    Action, OfErrorKind, TABLE_ALL, TlvMapping, TlvTableCommand, TlvTableMod, TlvTableReply,
};

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
        for field in OPTIONS {
            let goes = self.state.tlvs.maps(field) && !tlvs.maps(field);
            if goes && self.uses_option(field) {
                return Err(OfErrorKind::NxTlvInvalidTlvDel);
            }
        }
        self.state.write().tlvs = tlvs;
        self.n_edits += 1;
        Ok(())
    }

    /// Whether a rule or a group looks at this field or writes it.
    fn uses_option(&self, field: Field) -> bool {
        let is_user = |actions: &[Action]| actions.iter().any(|action| action.uses_field(field));
        let in_groups = self
            .state
            .groups
            .iter()
            .any(|group| group.buckets.iter().any(|bucket| is_user(&bucket.desc.actions)));
        let rules = self.state.tables.collect(TABLE_ALL, |rule| {
            rule.match_.examines(field)
                || is_user(&rule.instructions.apply)
                || is_user(&rule.instructions.write)
        });
        in_groups || !rules.is_empty()
    }
}

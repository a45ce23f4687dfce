//! What a bridge does not have: groups and meters. Requests get the answers of a switch whose
//! tables of them hold none (OpenFlow 1.3.5 §7.3.4.2, §7.3.4.4 and §7.5.4).

use crate::bridge::Bridge;
use openflow::{
    GroupMod, GroupModCommand, MeterMod, MeterModCommand, OfErrorKind, TABLE_ALL, TableMod,
};

/// `OFPTC_DEPRECATED_MASK`.
const DEPRECATED_CONFIG: u32 = 3;

impl Bridge {
    /// Changes a group.
    ///
    /// # Errors
    /// There is no room for groups, so none exists. Deleting is no error.
    pub fn group_mod(&mut self, group_mod: &GroupMod) -> Result<(), OfErrorKind> {
        match group_mod.command {
            GroupModCommand::Add | GroupModCommand::AddOrModify => {
                Err(OfErrorKind::GroupModOutOfGroups)
            }
            GroupModCommand::Modify
            | GroupModCommand::InsertBucket
            | GroupModCommand::RemoveBucket => Err(OfErrorKind::GroupModUnknownGroup),
            GroupModCommand::Delete => Ok(()),
        }
    }

    /// Changes a meter.
    ///
    /// # Errors
    /// There is no room for meters, so none exists. Deleting all is no error.
    pub fn meter_mod(&mut self, meter_mod: &MeterMod) -> Result<(), OfErrorKind> {
        match meter_mod.command {
            MeterModCommand::Add => Err(OfErrorKind::MeterModOutOfMeters),
            MeterModCommand::Modify => Err(OfErrorKind::MeterModUnknownMeter),
            MeterModCommand::Delete => Ok(()),
        }
    }

    /// Changes a table's configuration (1.3.5 §7.3.3): the only bits are deprecated and mean nothing.
    ///
    /// # Errors
    /// No such table, or a bit that is not defined.
    pub fn table_mod(&mut self, table_mod: &TableMod) -> Result<(), OfErrorKind> {
        let is_known =
            table_mod.table_id == TABLE_ALL || table_mod.table_id < self.state.tables.n_tables();
        if !is_known {
            Err(OfErrorKind::TableModBadTable)
        } else if table_mod.config.bits() & !DEPRECATED_CONFIG != 0 {
            Err(OfErrorKind::TableModBadConfig)
        } else {
            Ok(())
        }
    }
}

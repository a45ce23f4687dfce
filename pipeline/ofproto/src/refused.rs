//! What a bridge does not have: groups and meters. Requests get the answers of a switch whose
//! tables of them hold none (OpenFlow 1.3.5 §7.3.4.2, §7.3.4.4 and §7.5.4).

use crate::bridge::Bridge;
use openflow::{GroupMod, GroupModCommand, MeterMod, MeterModCommand, OfErrorKind};

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
}

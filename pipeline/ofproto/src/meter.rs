//! Meters (OpenFlow 1.3.5 §5.7, §6.5 and §7.3.4.4).
//!
//! # What
//! A controller's meters have numbers of 32 bits; the datapath's are few and small. Here one is
//! mapped to the other. What exceeds which band is the datapath's business, and so are the counts.
//!
//! # Going
//! With a meter go the rules that use it, reported as `OFPRR_METER_DELETE`. Megaflows that name its
//! datapath meter go with the next round of the revalidator; until then it limits on, and only then
//! its number is free again: no packet meets another's meter.
//!
//! # Virtual meters
//! `OFPM_CONTROLLER` limits the packets that actions send to controllers, unless the action names a
//! meter of its own. `OFPM_SLOWPATH` is kept and told as set; nothing here takes a slow path that it
//! could limit (upcalls have budgets of their own).

use crate::bridge::Bridge;
use crate::census::{Census, Counted};
use crate::change::Change;
use crate::changes::SyncTicket;
use crate::check::Known;
use crate::rule::Rule;
use crate::sweep::Sweep;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use datapath::{Dpif, MAX_BANDS, MAX_METERS, MeterUnit};
use openflow::{
    Action, BandKind, FlowRemovedReason, Instructions, METER_ALL, METER_CONTROLLER, METER_MAX,
    METER_SLOWPATH, MeterBand, MeterConfig, MeterFeatures, MeterFlags, MeterMod, MeterModCommand,
    MeterStats, OfErrorKind, TABLE_ALL,
};
use sync::time::Nanos;

/// A meter.
#[derive(Clone, Debug)]
pub struct Meter {
    /// As it was set.
    pub config: MeterConfig,
    /// When it was added.
    pub created: Nanos,
    /// Its number in the datapath.
    pub(crate) dp: u32,
}

impl Meter {
    /// Whether packets may leave it with another DSCP.
    pub(crate) fn remarks(&self) -> bool {
        self.config.bands.iter().any(|band| matches!(band.kind, BandKind::DscpRemark(_)))
    }

    /// Its statistics.
    #[must_use]
    pub fn stats(&self, census: &Census, dpif: &dyn Dpif, now: Nanos) -> MeterStats {
        let age = now - self.created;
        let counts = dpif.meter_stats(self.dp).unwrap_or_default();
        MeterStats {
            meter_id: self.config.meter_id,
            flow_count: census.uses(self.config.meter_id),
            packet_in_count: counts.packets,
            byte_in_count: counts.bytes,
            duration_sec: u32::try_from(age.as_secs()).unwrap_or(u32::MAX),
            duration_nsec: age.subsec_nanos(),
            bands: counts.bands.iter().map(|band| (band.packets, band.bytes)).collect(),
        }
    }
}

/// The meters of a bridge.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    by_id: BTreeMap<u32, Meter>,
}

impl Meters {
    /// The meter with this number.
    #[must_use]
    pub fn get(&self, id: u32) -> Option<&Meter> {
        self.by_id.get(&id)
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Meter)> {
        self.by_id.iter().map(|(id, meter)| (*id, meter))
    }

    /// Those from a number on, by number.
    pub fn from(&self, id: u32) -> impl Iterator<Item = &Meter> {
        self.by_id.range(id..).map(|(_, meter)| meter)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Puts a meter in its place; the one that was there.
    pub(crate) fn put(&mut self, id: u32, meter: Meter) -> Option<Meter> {
        self.by_id.insert(id, meter)
    }

    /// Takes a meter out.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Meter> {
        self.by_id.remove(&id)
    }
}

/// The numbers of the datapath's meters.
#[derive(Debug, Default)]
pub(crate) struct MeterNumbers {
    /// Those below `n_used` that were given back here; the lowest is given first.
    free: BTreeSet<u32>,
    n_used: u32,
    /// Those that are free when no conclusion is older than the ticket.
    going: VecDeque<(SyncTicket, u32)>,
}

impl MeterNumbers {
    /// A number that no meter of the datapath has, those of other bridges included.
    fn take(&mut self, dpif: &dyn Dpif) -> Option<u32> {
        let is_free = |id: u32| dpif.meter_stats(id).is_none();
        while let Some(free) = self.free.pop_first() {
            if is_free(free) {
                return Some(free);
            }
        }
        // Those behind were given back by other bridges, if they are free.
        let next = (self.n_used..MAX_METERS).chain(0..self.n_used).find(|id| is_free(*id))?;
        self.n_used = self.n_used.max(next + 1);
        Some(next)
    }
}

impl Bridge {
    /// Executes a meter-mod.
    ///
    /// # Errors
    /// The reason to refuse it; nothing has changed then.
    pub fn meter_mod(
        &mut self,
        meter_mod: &MeterMod,
        dpif: &mut dyn Dpif,
        now: Nanos,
    ) -> Result<(), OfErrorKind> {
        // What a bundle prepares counts on the meters that there are.
        self.finish_bundles(now);
        let config = &meter_mod.config;
        let id = config.meter_id;
        if meter_mod.command == MeterModCommand::Delete {
            self.delete_meters(id, now);
            return Ok(());
        }
        check_number(id)?;
        let in_datapath = datapath_config(config)?;
        let old = self.state.meters.get(id).map(|meter| (meter.dp, meter.created));
        let (dp, created) = match (meter_mod.command, old) {
            (MeterModCommand::Add, Some(_)) => return Err(OfErrorKind::MeterModExists),
            (MeterModCommand::Add, None) => {
                let dp = self.meter_numbers.take(dpif).ok_or(OfErrorKind::MeterModOutOfMeters)?;
                (dp, now)
            }
            (_, None) => return Err(OfErrorKind::MeterModUnknownMeter),
            (_, Some(old)) => old,
        };
        if dpif.meter_set(dp, &in_datapath, now).is_err() {
            if old.is_none() {
                self.meter_numbers.free.insert(dp);
            }
            return Err(OfErrorKind::MeterModOutOfMeters);
        }
        let meter = Meter { config: config.clone(), created, dp };
        self.state.write().meters.put(id, meter);
        self.changes.meter_changed(id);
        Ok(())
    }

    /// Makes a meter of the datapath, to which nothing leads yet, for a meter-mod that waits in a bundle.
    pub(crate) fn reserve_meter(
        &mut self,
        config: &MeterConfig,
        dpif: &mut dyn Dpif,
        now: Nanos,
    ) -> Result<u32, OfErrorKind> {
        let in_datapath = datapath_config(config)?;
        self.make_meter(&in_datapath, dpif, now).ok_or(OfErrorKind::MeterModOutOfMeters)
    }

    /// Makes a meter of the datapath, to which nothing leads yet; its number there.
    pub(crate) fn make_meter(
        &mut self,
        config: &datapath::MeterConfig,
        dpif: &mut dyn Dpif,
        now: Nanos,
    ) -> Option<u32> {
        let dp = self.meter_numbers.take(dpif)?;
        if dpif.meter_set(dp, config, now).is_err() {
            self.meter_numbers.free.insert(dp);
            return None;
        }
        Some(dp)
    }

    /// Executes a meter-mod as part of a change. `reserved` is what [`Self::reserve_meter`] said of it,
    /// if it is one that sets a meter. A modified meter is another one in the datapath, so that old
    /// rules meet the old one and new rules the new one. One that deletes comes to a sweep that is to be
    /// made.
    ///
    /// # Errors
    /// The reason to refuse it; the change is to be taken back then.
    pub(crate) fn stage_meter_mod(
        &mut self,
        change: &mut Change,
        meter_mod: &MeterMod,
        reserved: Option<Result<u32, OfErrorKind>>,
        now: Nanos,
    ) -> Result<Option<Sweep>, OfErrorKind> {
        let config = &meter_mod.config;
        let id = config.meter_id;
        let known = Known::after(change, &self.state);
        let old = known.meters.get(id).map(|meter| meter.created);
        if meter_mod.command == MeterModCommand::Delete {
            let doomed: Vec<u32> = match id {
                METER_ALL => known.meters.iter().map(|(id, _)| id).collect(),
                _ => old.map(|_| id).into_iter().collect(),
            };
            for &id in &doomed {
                self.stage_meter(change, id, None);
            }
            return Ok((!doomed.is_empty()).then(|| self.sweep_of_meter(id)));
        }
        check_number(id)?;
        let dp = reserved.unwrap_or(Err(OfErrorKind::MeterModOutOfMeters))?;
        let created = match (meter_mod.command, old) {
            (MeterModCommand::Add, None) => Ok(now),
            (MeterModCommand::Add, Some(_)) => Err(OfErrorKind::MeterModExists),
            (_, None) => Err(OfErrorKind::MeterModUnknownMeter),
            (_, Some(created)) => Ok(created),
        };
        match created {
            Ok(created) => {
                let meter = Meter { config: config.clone(), created, dp };
                self.stage_meter(change, id, Some(meter));
                Ok(None)
            }
            Err(error) => {
                self.give_back_meters(&[dp]);
                Err(error)
            }
        }
    }

    /// Gives meters of the datapath back as soon as no conclusion names them.
    pub(crate) fn give_back_meters(&mut self, dps: &[u32]) {
        if !dps.is_empty() {
            let ticket = self.sync_point();
            self.meter_numbers.going.extend(dps.iter().map(|dp| (ticket, *dp)));
        }
    }

    /// Deletes a meter, or all, with the rules that use them.
    fn delete_meters(&mut self, id: u32, now: Nanos) {
        let doomed = |meter: u32| id == METER_ALL || meter == id;
        if id != METER_ALL && self.state.meters.get(id).is_none() {
            return;
        }
        let rules = self.state.tables.collect(TABLE_ALL, |rule| meters_of(rule).any(doomed));
        self.remove_rules(&rules, FlowRemovedReason::MeterDelete, now);
        let ids: Vec<u32> =
            self.state.meters.iter().map(|(id, _)| id).filter(|id| doomed(*id)).collect();
        for id in ids {
            let meter = self.state.write().meters.remove(id);
            self.changes.meter_changed(id);
            if let Some(meter) = meter {
                self.meter_numbers.going.push_back((self.sync_point(), meter.dp));
            }
        }
    }

    /// Takes meters out of the datapath that no conclusion names any more.
    pub(crate) fn bury_meters(&mut self, dpif: &mut dyn Dpif) {
        while let Some(&(ticket, dp)) = self.meter_numbers.going.front()
            && self.reached(ticket)
        {
            self.meter_numbers.going.pop_front();
            dpif.meter_delete(dp);
            self.meter_numbers.free.insert(dp);
        }
    }

    /// Takes all meters out of the datapath; no megaflow names them any more.
    pub(crate) fn retire_meters(&mut self, dpif: &mut dyn Dpif) {
        let going = self.meter_numbers.going.drain(..).map(|(_, dp)| dp);
        let there = self.state.meters.iter().map(|(_, meter)| meter.dp);
        let policers = self.state.ports.iter().filter_map(|port| port.qos());
        let policers = policers.flat_map(|qos| qos.all_meters());
        for dp in going.chain(there).chain(policers) {
            dpif.meter_delete(dp);
        }
    }

    /// The statistics of a meter, or of all for [`METER_ALL`].
    ///
    /// # Errors
    /// There is no such meter.
    pub fn meter_stats(
        &mut self,
        id: u32,
        dpif: &dyn Dpif,
        now: Nanos,
    ) -> Result<Vec<MeterStats>, OfErrorKind> {
        let census = self.census(Counted::Meters);
        let meters = self.meters_named(id)?;
        Ok(meters.into_iter().map(|meter| meter.stats(&census, dpif, now)).collect())
    }

    /// The configuration of a meter, or of all for [`METER_ALL`].
    ///
    /// # Errors
    /// There is no such meter.
    pub fn meter_configs(&self, id: u32) -> Result<Vec<MeterConfig>, OfErrorKind> {
        Ok(self.meters_named(id)?.into_iter().map(|meter| meter.config.clone()).collect())
    }

    /// What meters can do here.
    #[must_use]
    pub fn meter_features(&self) -> MeterFeatures {
        const DROP_AND_REMARK: u32 = 1 << 1 | 1 << 2;
        MeterFeatures {
            max_meter: MAX_METERS,
            band_types: DROP_AND_REMARK,
            capabilities: MeterFlags::all().bits().into(),
            max_bands: u8::try_from(MAX_BANDS).unwrap_or(u8::MAX),
            max_color: 0,
        }
    }

    fn meters_named(&self, id: u32) -> Result<Vec<&Meter>, OfErrorKind> {
        match (id, self.state.meters.get(id)) {
            (METER_ALL, _) => Ok(self.state.meters.iter().map(|(_, meter)| meter).collect()),
            (_, Some(meter)) => Ok([meter].into()),
            (_, None) => Err(OfErrorKind::MeterModUnknownMeter),
        }
    }
}

/// The meters that a rule uses.
pub(crate) fn meters_of(rule: &Rule) -> impl Iterator<Item = u32> {
    let Instructions { meter, apply, write, .. } = &*rule.instructions;
    let meters = |action: &Action| match action {
        Action::Meter(id) => Some(*id),
        _ => None,
    };
    meter.iter().copied().chain(apply.iter().chain(write).filter_map(meters))
}

/// Numbers that a controller can give to a meter, and the virtual ones.
fn check_number(id: u32) -> Result<(), OfErrorKind> {
    match id {
        1..=METER_MAX | METER_SLOWPATH | METER_CONTROLLER => Ok(()),
        _ => Err(OfErrorKind::MeterModInvalidMeter),
    }
}

/// A configuration in the datapath's terms.
fn datapath_config(config: &MeterConfig) -> Result<datapath::MeterConfig, OfErrorKind> {
    if config.bands.len() > MAX_BANDS {
        return Err(OfErrorKind::MeterModOutOfBands);
    }
    let unit = match config.flags.contains(MeterFlags::PKTPS) {
        true => MeterUnit::Pktps,
        false => MeterUnit::Kbps,
    };
    let band = |band: &MeterBand| {
        if band.rate == 0 {
            return Err(OfErrorKind::MeterModBadRate);
        }
        let kind = match band.kind {
            BandKind::Drop => datapath::BandKind::Drop,
            BandKind::DscpRemark(prec_level) => datapath::BandKind::DscpRemark { prec_level },
        };
        let burst = match config.flags.contains(MeterFlags::BURST) {
            true => band.burst_size,
            false => 0,
        };
        Ok(datapath::MeterBand { kind, rate: band.rate, burst })
    };
    let bands: Result<Vec<_>, OfErrorKind> = config.bands.iter().map(band).collect();
    Ok(datapath::MeterConfig { unit, bands: bands? })
}

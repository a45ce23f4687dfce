//! Putting back what a [`Capture`](crate::Capture) took, as a rule before any port comes up.
//!
//! # Differences from requests of a controller
//! A rule that is put back is not checked for overlaps, which its neighbours from before may have, and
//! evicts nobody. Its hard timeout goes on from where it was; its idle timeout begins anew, as nobody
//! could use it in between. Everything else is checked as if a controller asked for it: what comes from
//! a disk is not believed.

use crate::bridge::{Bridge, Fragments};
use crate::capture::{Piece, RulePiece};
use crate::change::Use;
use crate::check::{Known, check_instructions};
use crate::flow_mod::kept_flags;
use crate::rule::{Rule, RuleTimeouts, compact};
use classifier::Priority;
use datapath::Dpif;
use openflow::{
    FlowRemovedReason, GROUP_ALL, GroupMod, GroupModCommand, METER_ALL, MeterConfig, MeterFlags,
    MeterMod, MeterModCommand, OfErrorKind, TABLE_ALL, TableConfig, TableMod, TlvTableCommand,
    TlvTableMod, Version,
};
use sync::time::Nanos;

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It is there.
    Done,
    /// Its time was over in between.
    Expired,
}

impl Bridge {
    /// Takes away the OpenFlow state that there is, so that another can be put in its place. What a
    /// bridge without controllers begins with goes too: [`Self::begin_anew`] brings it back.
    pub fn clear_openflow(&mut self, dpif: &mut dyn Dpif, now: Nanos) {
        let rules = self.state.tables.collect(TABLE_ALL, |_| true);
        self.remove_rules(&rules, FlowRemovedReason::Delete, now);
        let groups = GroupMod {
            command: GroupModCommand::Delete,
            group_id: GROUP_ALL,
            ..GroupMod::default()
        };
        let config =
            MeterConfig { flags: MeterFlags::empty(), meter_id: METER_ALL, bands: [].into() };
        let meters = MeterMod { command: MeterModCommand::Delete, config };
        let tlvs = TlvTableMod { command: TlvTableCommand::Clear, mappings: [].into() };
        // To take away everything is never refused.
        let _ = self.group_mod(&groups, Version::V13, now);
        let _ = self.meter_mod(&meters, dpif, now);
        let _ = self.tlv_table_mod(&tlvs);
        let table =
            TableMod { table_id: TABLE_ALL, config: TableConfig::empty(), ..TableMod::default() };
        let _ = self.table_mod(&table, Version::V14, now);
        self.forget_table_mods();
        self.set_fragments(Fragments::default());
    }

    /// Takes away what was put back half, and begins as a new bridge does.
    pub fn begin_anew(&mut self, dpif: &mut dyn Dpif, now: Nanos) {
        self.clear_openflow(dpif, now);
        self.install_default_rule(now);
    }

    /// Puts a piece back. `version` is that of OpenFlow by whose rules it is checked.
    ///
    /// # Errors
    /// The reason to refuse it; nothing has changed then.
    pub fn restore(
        &mut self,
        piece: &Piece,
        version: Version,
        dpif: &mut dyn Dpif,
        now: Nanos,
    ) -> Result<Restored, OfErrorKind> {
        match piece {
            Piece::Fragments(fragments) => self.set_fragments(*fragments),
            Piece::Tlvs(change) => self.tlv_table_mod(change)?,
            Piece::Meter(meter_mod) => self.meter_mod(meter_mod, dpif, now)?,
            Piece::Group(group_mod) => self.group_mod(group_mod, version, now)?,
            Piece::Table(table_mod, version) => self.table_mod(table_mod, *version, now)?,
            Piece::Rule(rule) => return self.restore_rule(rule, version, now),
        }
        Ok(Restored::Done)
    }

    fn restore_rule(
        &mut self,
        piece: &RulePiece,
        version: Version,
        now: Nanos,
    ) -> Result<Restored, OfErrorKind> {
        let flow_mod = &piece.flow_mod;
        let table_id = flow_mod.table_id;
        let hard = Nanos::from_secs(flow_mod.hard_timeout.into());
        if hard > Nanos::ZERO && piece.unmodified >= hard {
            return Ok(Restored::Expired);
        }
        let table = self.state.tables.get(table_id).ok_or(OfErrorKind::FlowModBadTableId)?;
        if table.n_rules() >= table.max_rules() {
            return Err(OfErrorKind::FlowModTableFull);
        }
        let (match_, instructions) = (&flow_mod.match_, &flow_mod.instructions);
        let match_ = compact(match_, &mut self.masks);
        let known = Known::now(&self.state);
        check_instructions(match_.words(), instructions, table_id, version, known)?;
        let modified = now.saturating_sub(piece.unmodified);
        let rule = Rule {
            table_id,
            priority: Priority::from(flow_mod.priority),
            match_,
            cookie: flow_mod.new_cookie.unwrap_or(0),
            importance: flow_mod.importance,
            flags: kept_flags(flow_mod.flags),
            instructions: self.instructions.keep(instructions),
            created: now.saturating_sub(piece.age),
            seq: self.next_seq(),
            timeouts: RuleTimeouts::new(flow_mod.idle_timeout, flow_mod.hard_timeout, modified),
            stats: self.tallies.begin(now),
        };
        let mut change = self.begin_change();
        let result = self.put(&mut change, rule, Use::Keep);
        self.end_change(change, result, now).map(|()| Restored::Done)
    }
}

//! Putting the picture back when the switch starts.
//!
//! All of it or nothing: where the picture turns out to be damaged in its middle, every bridge that got
//! some of it begins as if there had been none. What a bridge refuses of a whole picture (a rule of a
//! table that may hold fewer by now) is passed over and counted.

use super::{KEY, marks};
use crate::bridges::{BridgeId, Bridges};
use crate::control::Control;
use crate::dpif::RingDpif;
use alloc::vec::Vec;
use keep::{Item, Reading, Unfit};
use ofproto::{Piece, Restored, RulePiece};
use sync::time::Nanos;

/// What became of the pieces.
#[derive(Debug, Default)]
struct Tally {
    n_rules: u64,
    n_others: u64,
    n_expired: u64,
    n_refused: u64,
    n_homeless: u64,
    /// Bridges that got some.
    bridges: Vec<BridgeId>,
    /// The one that gets what follows.
    target: Option<BridgeId>,
    /// How long nobody was there.
    absence: Nanos,
}

impl Control {
    /// Puts back what was kept, the first time that bridges are made.
    pub(crate) fn restore_openflow(&mut self, now: Nanos) {
        if core::mem::replace(&mut self.keeping.was_restored, true) || !self.keeping.is_on {
            return;
        }
        let wall_ms = self.databases.wall_ms(now);
        let Self { keeping, databases, bridges, dpif, .. } = self;
        let mut disk = databases.rest();
        let Some(region) = keeping.region(disk.as_mut()) else { return };
        let Some(disk) = &mut disk else { return };
        let mut tally = Tally::default();
        let outcome = Reading::open(region, disk).and_then(|mut reading| {
            while let Some(item) = reading.next_item(disk)? {
                tally.take(item, bridges, dpif, (now, wall_ms));
            }
            Ok(())
        });
        match outcome {
            Ok(()) => {
                let Tally { n_rules, n_others, n_expired, n_refused, .. } = tally;
                log::info!(
                    "OpenFlow state restored: {n_rules} rules, {n_others} groups, meters and settings; \
                     {n_expired} rules had expired, {n_refused} pieces were refused (generation {})",
                    region.generation()
                );
                if tally.n_homeless == 0 {
                    (keeping.kept, keeping.as_of) = (marks(bridges), Some(now));
                }
            }
            Err(Unfit::Nothing) => log::info!("OpenFlow state: nothing was kept yet"),
            Err(why) => {
                log::warn!("OpenFlow state: what was kept is passed over: {why}");
                for id in tally.bridges {
                    if let Some(member) = bridges.get_mut(id) {
                        member.bridge.begin_anew(dpif, now);
                    }
                }
            }
        }
    }
}

impl Tally {
    fn take(
        &mut self,
        item: Item,
        bridges: &mut Bridges,
        dpif: &mut RingDpif,
        (now, wall_ms): (Nanos, u64),
    ) {
        match item {
            Item::Start { wall_ms: taken } => {
                self.absence = Nanos::from_millis(wall_ms.saturating_sub(taken));
            }
            Item::Bridge { name, datapath_id } => {
                self.target = None;
                let Some(id) = bridges.by_name(&name).map(|member| member.id) else {
                    log::warn!(
                        "OpenFlow state: what was kept of {name} is passed over: it is gone"
                    );
                    return;
                };
                let Some(member) = bridges.get_mut(id) else { return };
                let found = member.bridge.datapath_id();
                if found != datapath_id || self.bridges.contains(&id) {
                    log::warn!(
                        "OpenFlow state: what was kept of {name} is passed over: it is of number \
                         {datapath_id:016x}, and the bridge is {found:016x}"
                    );
                    return;
                }
                // What comes first with controllers, or without, must not empty the tables later.
                member.bridge.set_controllers(member.agent.has_controllers(), now);
                member.bridge.clear_openflow(dpif, now);
                self.bridges.push(id);
                self.target = Some(id);
            }
            Item::Piece(piece, version) => {
                let Some(member) = self.target.and_then(|id| bridges.get_mut(id)) else {
                    self.n_homeless += 1;
                    return;
                };
                let piece = aged(piece, self.absence);
                match (member.bridge.restore(&piece, version, dpif, now), &piece) {
                    (Ok(Restored::Done), Piece::Rule(_)) => self.n_rules += 1,
                    (Ok(Restored::Done), _) => self.n_others += 1,
                    (Ok(Restored::Expired), _) => self.n_expired += 1,
                    (Err(why), _) => {
                        self.n_refused += 1;
                        log::debug!("other_config:{KEY}: {why} ({version}): {piece:?}");
                    }
                }
            }
            Item::End { .. } => {}
        }
    }
}

fn aged(piece: Piece, absence: Nanos) -> Piece {
    match piece {
        Piece::Rule(RulePiece { flow_mod, age, unmodified }) => Piece::Rule(RulePiece {
            flow_mod,
            age: age + absence,
            unmodified: unmodified + absence,
        }),
        piece => piece,
    }
}

//! Changes that translations could notice, what they can touch, and moments that barriers wait for.
//!
//! # Why a log
//! A flow-mod touches few cached flows, and translating all of them again for each one would cost
//! more than the flow-mod. So each change is noted with what it is about, under the next change
//! number, and a cached flow that is older than a change is asked whether it depends on that
//! ([`Deps`](crate::deps::Deps)):
//!
//! | change | concerns the conclusions that |
//! | --- | --- |
//! | rule added | looked in its table with a key that it may match, and found nothing better |
//! | rule modified or removed | are credited to it |
//! | station learned, moved, forgotten | looked that station up |
//! | port added, removed, configured | looked at that port, or flooded |
//! | group or meter added, changed, deleted | looked at it, even if only for whether it lives |
//! | anything else (options) | are older |
//!
//! # Bounded
//! A table remembers its last [`MAX_ADDED`] added rules; a conclusion older than what was forgotten
//! is concerned if it looked in the table at all. Modified and removed rules say so themselves.
//! Stations fall in [`STATION_BUCKETS`] buckets, ports, groups and meters in 64 each.
//!
//! # Forgetting
//! A round of the revalidator leaves no conclusion older than its `target`. When the next round
//! begins, changes up to there are forgotten; a conclusion that is older all the same (there should
//! be none) is concerned by everything.
//!
//! # One instant
//! What is noted about rules waits until their version is committed, and has the number of that
//! commit. So a conclusion of that number or a later one saw the new version.

use crate::bridge::Bridge;
use crate::deps::Buckets;
use crate::mac_learning::{News, Station};
use crate::rule::Rule;
use crate::tally::Tally;
use crate::ukey::{Credit, Ukey};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use openflow::OfPort;
use sync::counter::Milestone;

/// Added rules that a table remembers.
const MAX_ADDED: usize = 64;
/// Buckets of stations.
const STATION_BUCKETS: usize = 4096;

/// For each bucket of numbers, the last change.
#[derive(Debug)]
struct Stamps {
    last: u64,
    of: [u64; 64],
}

impl Stamps {
    const NONE: Stamps = Stamps { last: 0, of: [0; 64] };

    fn note(&mut self, buckets: Buckets, seq: u64) {
        self.last = seq;
        for bucket in buckets.iter() {
            if let Some(stamp) = self.of.get_mut(bucket) {
                *stamp = seq;
            }
        }
    }

    /// Whether any of `buckets` changed after `seq`.
    fn changed(&self, buckets: Buckets, seq: u64) -> bool {
        self.last > seq
            && buckets.iter().any(|bucket| self.of.get(bucket).is_some_and(|stamp| *stamp > seq))
    }
}

/// A rule that was added to a table.
#[derive(Debug)]
struct Added {
    seq: u64,
    rule: Arc<Rule>,
}

/// The rules added to a table lately, in their order.
#[derive(Debug, Default)]
struct TableLog {
    added: VecDeque<Added>,
    /// The last change that fell out of the log for want of room.
    overflowed: u64,
}

/// What is known of rules whose version is not committed yet.
#[derive(Debug)]
enum Staged {
    Added(Arc<Rule>),
    Changed(Tally),
}

/// The log of changes, to be told of each *after* it was made; see the module.
///
/// # Concurrency
/// Owned by the control core; the number is published for the cores that translate. One that reads
/// the state and then the number may find the number of an earlier change than the last that it
/// saw, never of a later one: its conclusion passes for older than it is, and is judged again.
#[derive(Debug)]
pub(crate) struct Changes {
    seq: u64,
    /// The last change that concerns every conclusion.
    everything: u64,
    /// Changes up to this one are forgotten, as every conclusion knows them.
    floor: u64,
    staged: Vec<Staged>,
    tables: BTreeMap<u8, TableLog>,
    /// The tables that have a log.
    logged: Buckets,
    /// The last change that modified or removed a rule.
    rules: u64,
    /// The rules that were modified or removed up to the target of the running round, and since.
    changed_rules: (Buckets, Buckets),
    all_stations: u64,
    last_station: u64,
    stations: Box<[u64]>,
    ports: Stamps,
    groups: Stamps,
    meters: Stamps,
    published: Arc<Milestone>,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            seq: 0,
            everything: 0,
            floor: 0,
            staged: Vec::new(),
            tables: BTreeMap::new(),
            logged: Buckets::default(),
            rules: 0,
            changed_rules: Default::default(),
            all_stations: 0,
            last_station: 0,
            stations: vec![0; STATION_BUCKETS].into(),
            ports: Stamps::NONE,
            groups: Stamps::NONE,
            meters: Stamps::NONE,
            published: Arc::default(),
        }
    }
}

impl Changes {
    // ---- Noting ----

    /// Goes on to the next change, which was made.
    fn next(&mut self) {
        self.seq += 1;
        self.published.reach(self.seq);
    }

    /// Something changed that any conclusion may depend on.
    pub(crate) fn everything_changed(&mut self) {
        self.next();
        self.everything = self.seq;
    }

    /// A port came, went, or has another configuration or state.
    pub(crate) fn port_changed(&mut self, number: OfPort) {
        self.next();
        self.ports.note(Buckets::of(number.0), self.seq);
    }

    /// A group came, went, or is another.
    pub(crate) fn group_changed(&mut self, id: u32) {
        self.next();
        self.groups.note(Buckets::of(id), self.seq);
    }

    /// A meter came, went, or is another.
    pub(crate) fn meter_changed(&mut self, id: u32) {
        self.next();
        self.meters.note(Buckets::of(id), self.seq);
    }

    /// The last changes of a group and of a meter.
    pub(crate) fn of_objects(&self) -> (u64, u64) {
        (self.groups.last, self.meters.last)
    }

    /// A rule will be there when the version is committed that the caller prepares.
    pub(crate) fn stage_added(&mut self, rule: &Arc<Rule>) {
        self.staged.push(Staged::Added(Arc::clone(rule)));
    }

    /// A rule with these statistics will be another one, or gone, when that version is committed.
    pub(crate) fn stage_changed(&mut self, stats: &Tally) {
        self.staged.push(Staged::Changed(stats.clone()));
    }

    /// The prepared version is what lookups see from now on.
    pub(crate) fn commit(&mut self) {
        if self.staged.is_empty() {
            return;
        }
        self.next();
        for staged in self.staged.drain(..) {
            match staged {
                Staged::Added(rule) => {
                    let table_id = rule.table_id;
                    let log = self.tables.entry(table_id).or_default();
                    log.added.push_back(Added { seq: self.seq, rule });
                    if log.added.len() > MAX_ADDED
                        && let Some(forgotten) = log.added.pop_front()
                    {
                        log.overflowed = forgotten.seq;
                    }
                    self.logged.add(Buckets::of(table_id.into()));
                }
                Staged::Changed(stats) => {
                    stats.set_changed(self.seq);
                    self.rules = self.seq;
                    self.changed_rules.1.add(Buckets::of_rule(&stats));
                }
            }
        }
    }

    /// Notes what has happened in the MAC table.
    pub(crate) fn hear(&mut self, news: News) {
        match news {
            News::Of(stations) if stations.is_empty() => {}
            News::Of(stations) => {
                self.next();
                self.last_station = self.seq;
                for station in stations {
                    if let Some(stamp) = self.stations.get_mut(bucket_of(station)) {
                        *stamp = self.seq;
                    }
                }
            }
            News::All => {
                self.next();
                self.last_station = self.seq;
                self.all_stations = self.seq;
            }
        }
    }

    // ---- Asking ----

    /// The number of the last change, for other cores.
    #[must_use]
    pub(crate) fn published(&self) -> Arc<Milestone> {
        Arc::clone(&self.published)
    }

    /// The number of the last change.
    #[must_use]
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// Every conclusion knows the changes up to `known` from now on, but those of the round that
    /// begins: forgets them.
    pub(crate) fn round_begins(&mut self, known: u64) {
        self.floor = self.floor.max(known);
        self.logged = Buckets::default();
        let Self { tables, logged, floor, .. } = self;
        tables.retain(|table_id, log| {
            while log.added.front().is_some_and(|added| added.seq <= *floor) {
                log.added.pop_front();
            }
            let is_used = !log.added.is_empty() || log.overflowed > *floor;
            if is_used {
                logged.add(Buckets::of((*table_id).into()));
            }
            is_used
        });
        self.changed_rules = (self.changed_rules.1, Buckets::default());
    }

    /// Whether a change that is younger than `ukey` may touch it.
    pub(crate) fn concern(&self, ukey: &Ukey) -> bool {
        let (seq, deps) = (ukey.seq, &ukey.path.deps);
        if seq == self.seq {
            return false;
        }
        if seq < self.everything || seq < self.floor || deps.is_unbounded() {
            return true;
        }
        self.has_changed_rule(ukey)
            || self.has_new_rule(ukey)
            || self.has_changed_station(ukey)
            || self.ports.changed(deps.ports, seq)
            || self.groups.changed(deps.groups, seq)
            || self.meters.changed(deps.meters, seq)
    }

    fn has_changed_rule(&self, ukey: &Ukey) -> bool {
        let (older, newer) = self.changed_rules;
        (ukey.path.deps.rules.meets(older) || ukey.path.deps.rules.meets(newer))
            && self.rules > ukey.seq
            && ukey
                .path
                .credits
                .iter()
                .any(|credit| matches!(credit, Credit::Rule(stats) if stats.changed() > ukey.seq))
    }

    fn has_new_rule(&self, ukey: &Ukey) -> bool {
        if !ukey.path.deps.tables.meets(self.logged) {
            return false;
        }
        let megaflow = &ukey.megaflow;
        self.tables.iter().any(|(&table_id, log)| {
            if log.overflowed > ukey.seq && ukey.path.deps.looked_in(table_id) {
                return true;
            }
            let mut news = log.added.iter().rev().take_while(|added| added.seq > ukey.seq);
            news.any(|added| {
                let Rule { priority, match_, .. } = &*added.rule;
                ukey.path.deps.may_find(&megaflow.key, &megaflow.mask, table_id, *priority, match_)
            })
        })
    }

    fn has_changed_station(&self, ukey: &Ukey) -> bool {
        let stations = ukey.path.deps.stations();
        if self.last_station <= ukey.seq || stations.is_empty() {
            return false;
        }
        self.all_stations > ukey.seq
            || stations.iter().any(|station| {
                let stamp = self.stations.get(bucket_of(*station));
                stamp.is_some_and(|stamp| *stamp > ukey.seq)
            })
    }
}

/// The bucket of a station.
fn bucket_of(station: Station) -> usize {
    let [a, b, c, d, e, f] = station.mac.0;
    let bits = u64::from_be_bytes([0, 0, a, b, c, d, e, f]) | u64::from(station.vlan) << 48;
    let hash = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(hash).unwrap_or(0) % STATION_BUCKETS
}

/// A moment that a barrier waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SyncTicket(u64);

impl Bridge {
    /// Names this moment: see [`Self::reached`]. The revalidator makes haste for it.
    #[must_use]
    pub fn sync_point(&self) -> SyncTicket {
        self.reval.wanted.set(self.changes.seq);
        SyncTicket(self.changes.seq)
    }

    /// Whether every change made before the ticket was drawn is in force in all caches: no packet
    /// received from now on is handled by an older conclusion.
    #[must_use]
    pub fn reached(&self, ticket: SyncTicket) -> bool {
        ticket.0 <= self.reval.in_force
    }
}

//! MAC learning: which port a station was last seen on, per VLAN (ovs-facts B2, B5).
//!
//! # Design
//! One map from (VLAN, address) to entry, and two orders over the entries: least recently used of
//! the whole table, which is also the order of expiry because every entry lives equally long after
//! its last use, and least recently used of each port. Both orders are trees keyed by the time of a
//! use. A refresh only notes the new time in the entry ([`MacTable::refresh`]) and leaves the orders
//! behind; what is found first in an order but was used later than it stands there is put in its
//! place before anything is concluded. An entry that stands where it belongs is the oldest, because
//! none of the others is older than its place says.
//!
//! # Bounded, and fair under attack
//! The table never exceeds its limit. While there is room, a port may have as much of it as it likes.
//! In a full table a new address makes room for itself where *most* entries are, and at home where as many
//! are as anywhere: so a port is sure of an even share (the limit over the ports that have entries), of
//! which no other can take anything, and a port with a storm of invented addresses evicts its own as soon
//! as it has the most. (Open vSwitch chooses the same port, but for ties.) Of a port that goes, the oldest
//! entry goes.
//!
//! A storm of addresses that are known elsewhere *moves* stations, as the same frames of a real host
//! would; a table of addresses alone cannot tell the two apart.
//!
//! # Cost
//! Lookup and refresh are one tree search, O(log n). Learning is O(log n); an eviction also scans the
//! ports, and puts in place what was refreshed since it was put in place last.
//!
//! # Concurrency
//! Changed by the control core alone, read by every core that translates. [`MacTable::refresh`] takes
//! `&self`: it sets a time that no translation reads. Cached traffic refreshes entries through the
//! revalidator.

mod reserved;
mod show;
mod statics;

pub use reserved::is_reserved;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use flow::EtherAddr;
use openflow::OfPort;
use sync::counter::Gauge;
use sync::time::Nanos;

/// Default number of entries (OVS's `mac-table-size`).
pub const DEFAULT_CAPACITY: usize = 8192;
/// Default seconds that an entry lives after its last use (OVS's `mac-aging-time`).
pub const DEFAULT_MAX_AGE: Nanos = Nanos::from_secs(300);
/// Shortest and longest ageing time that can be configured.
const AGE_RANGE: (Nanos, Nanos) = (Nanos::from_secs(15), Nanos::from_secs(3600));
/// Fewest entries that can be configured.
const MIN_CAPACITY: usize = 10;

/// What is learned: an address in a VLAN (0: untagged).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Station {
    /// VLAN id, 0 for none.
    pub vlan: u16,
    /// Its address.
    pub mac: EtherAddr,
}

/// A place in the orders: a time of use, and a number that makes it unique and newer than those of
/// the same time.
type Place = (Nanos, u64);

/// One line of the table.
#[derive(Debug)]
struct Entry {
    port: OfPort,
    /// The last use.
    used: Gauge,
    /// Where it stands in the orders; no later than `used`.
    place: Place,
}

impl Entry {
    fn used(&self) -> Nanos {
        Nanos(self.used.get())
    }
}

/// What learning an address did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// It was there already, on this port.
    Refreshed,
    /// It is new, or moved here from another port: conclusions drawn from the table may be stale.
    Changed,
    /// Nothing: it is a group address or was put somewhere, or younger knowledge contradicts.
    Refused,
}

/// Totals since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MacStats {
    /// Addresses added.
    pub learned: u64,
    /// Entries that aged out.
    pub expired: u64,
    /// Entries that made room for others.
    pub evicted: u64,
    /// Addresses that changed ports.
    pub moved: u64,
}

/// Stations whose entries came, went or moved since somebody asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// These.
    Of(Vec<Station>),
    /// Too many to name, or all of them.
    All,
}

/// Stations that the news name at most.
const MAX_NEWS: usize = 256;

impl News {
    const NONE: News = News::Of(Vec::new());

    fn add(&mut self, station: Station) {
        match self {
            News::Of(stations) if stations.len() < MAX_NEWS => stations.push(station),
            _ => *self = News::All,
        }
    }
}

/// The MAC table of a bridge.
#[derive(Debug)]
pub struct MacTable {
    entries: BTreeMap<Station, Entry>,
    /// Oldest use first.
    by_use: BTreeMap<Place, Station>,
    /// The places of each port's entries; a port without entries has none.
    by_port: BTreeMap<OfPort, BTreeSet<Place>>,
    /// Stations that somebody has put where they are; no frame moves them.
    statics: BTreeMap<Station, OfPort>,
    tick: u64,
    capacity: usize,
    max_age: Nanos,
    stats: MacStats,
    news: News,
}

impl MacTable {
    /// An empty table for `capacity` entries that live `max_age` after their last use; both are
    /// brought into the range that OVS allows.
    #[must_use]
    pub fn new(capacity: usize, max_age: Nanos) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_use: BTreeMap::new(),
            by_port: BTreeMap::new(),
            statics: BTreeMap::new(),
            tick: 0,
            capacity: capacity.max(MIN_CAPACITY),
            max_age: max_age.clamp(AGE_RANGE.0, AGE_RANGE.1),
            stats: MacStats::default(),
            news: News::NONE,
        }
    }

    /// The stations whose entries came, went or moved since the last call.
    pub(crate) fn take_news(&mut self) -> News {
        core::mem::replace(&mut self.news, News::NONE)
    }

    /// From now on the table is of this size and entries live so long, brought into range as by
    /// [`new`](Self::new). What does not fit any more is forgotten, fairly.
    pub fn set_limits(&mut self, capacity: usize, max_age: Nanos) {
        self.capacity = capacity.max(MIN_CAPACITY);
        self.max_age = max_age.clamp(AGE_RANGE.0, AGE_RANGE.1);
        while self.entries.len() > self.capacity {
            self.evict_for(None);
        }
    }

    /// The port on which `station` was last seen.
    #[must_use]
    pub fn lookup(&self, station: Station) -> Option<OfPort> {
        let learned = || self.entries.get(&station).map(|entry| entry.port);
        self.statics.get(&station).copied().or_else(learned)
    }

    /// Notes that a frame came from `station`, if that is known to be on `port`; `false` if it is not,
    /// and there is something to [`learn`](Self::learn). By the control core alone.
    #[must_use]
    pub fn refresh(&self, station: Station, port: OfPort, now: Nanos) -> bool {
        if self.statics.contains_key(&station) {
            return true;
        }
        let entry = self.entries.get(&station).filter(|entry| entry.port == port);
        if let Some(entry) = entry {
            entry.used.set(entry.used.get().max(now.0));
        }
        entry.is_some()
    }

    /// Notes that a frame from `station` came in on `port`.
    pub fn learn(&mut self, station: Station, port: OfPort, now: Nanos) -> Learned {
        if station.mac.is_multicast() || self.statics.contains_key(&station) {
            return Learned::Refused;
        }
        let mut used = now;
        let outcome = match self.remove(station) {
            Some(old) if old.port == port => {
                used = used.max(old.used());
                Learned::Refreshed
            }
            Some(_) => {
                self.stats.moved += 1;
                Learned::Changed
            }
            None => {
                if self.entries.len() >= self.capacity {
                    self.evict_for(Some(port));
                }
                self.stats.learned += 1;
                Learned::Changed
            }
        };
        if outcome == Learned::Changed {
            self.news.add(station);
        }
        self.insert(station, port, used);
        outcome
    }

    /// Notes that a cached flow saw `station` on `port` at `used`, which is learned of only now.
    /// What was seen on another port at that time or later stands.
    pub fn observe(&mut self, station: Station, port: OfPort, used: Nanos) -> Learned {
        let entry = self.entries.get(&station);
        if entry.is_some_and(|entry| entry.port != port && entry.used() >= used) {
            return Learned::Refused;
        }
        self.learn(station, port, used)
    }

    /// Notes that a frame from `station` came in on `port` at `used`, which a polling core tells only
    /// now. What was seen on another port later stands; at the same time, what is told last counts.
    pub fn learn_late(&mut self, station: Station, port: OfPort, used: Nanos) -> Learned {
        let entry = self.entries.get(&station);
        if entry.is_some_and(|entry| entry.port != port && entry.used() > used) {
            return Learned::Refused;
        }
        self.learn(station, port, used)
    }

    /// Looks at up to `limit` entries that may have aged out; returns how many have, and are gone.
    pub fn expire(&mut self, now: Nanos, limit: usize) -> usize {
        let mut n_expired = 0;
        for _ in 0..limit {
            if self.next_expiry().is_none_or(|expiry| expiry > now) {
                break;
            }
            let Some((_, &station)) = self.by_use.first_key_value() else { break };
            if !self.put_in_place(station) {
                self.remove(station);
                self.news.add(station);
                n_expired += 1;
            }
        }
        self.stats.expired += n_expired as u64;
        n_expired
    }

    /// When the next entry may age out, as far as the orders know: not later than it does.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Nanos> {
        let ((used, _), _) = self.by_use.first_key_value()?;
        Some(*used + self.max_age)
    }

    /// Forgets everything; returns whether there was anything.
    pub fn flush(&mut self) -> bool {
        let any = !self.entries.is_empty();
        self.news = News::All;
        self.entries.clear();
        self.by_use.clear();
        self.by_port.clear();
        any
    }

    /// Forgets what was learned on `port`; returns whether there was anything.
    pub fn flush_port(&mut self, port: OfPort) -> bool {
        let any = self.remove_statics_of(port);
        let Some(places) = self.by_port.remove(&port) else {
            return any;
        };
        for place in places {
            if let Some(station) = self.by_use.remove(&place) {
                self.entries.remove(&station);
                self.news.add(station);
            }
        }
        true
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Most entries that fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Totals since boot.
    #[must_use]
    pub fn stats(&self) -> MacStats {
        self.stats
    }

    /// The entries, least recently used first: station, port, last use.
    pub fn iter(&self) -> impl Iterator<Item = (Station, OfPort, Nanos)> {
        let entries = self.entries.iter();
        let mut lines: Vec<_> =
            entries.map(|(station, e)| (e.used(), e.place, *station, e.port)).collect();
        lines.sort_unstable();
        lines.into_iter().map(|(used, _, station, port)| (station, port, used))
    }

    fn insert(&mut self, station: Station, port: OfPort, used: Nanos) {
        self.tick += 1;
        let place = (used, self.tick);
        self.entries.insert(station, Entry { port, used: Gauge::new(used.0), place });
        self.by_use.insert(place, station);
        self.by_port.entry(port).or_default().insert(place);
    }

    fn remove(&mut self, station: Station) -> Option<Entry> {
        let entry = self.entries.remove(&station)?;
        self.by_use.remove(&entry.place);
        if let Some(places) = self.by_port.get_mut(&entry.port) {
            places.remove(&entry.place);
            if places.is_empty() {
                self.by_port.remove(&entry.port);
            }
        }
        Some(entry)
    }

    /// Moves an entry to where its last use belongs; `false` if it is there.
    fn put_in_place(&mut self, station: Station) -> bool {
        let is_behind = self.entries.get(&station).is_some_and(|e| e.used() > e.place.0);
        if is_behind && let Some(entry) = self.remove(station) {
            self.insert(station, entry.port, entry.used());
        }
        is_behind
    }

    /// Forgets the oldest entry of the port that has most; of several such ports, of `learner`.
    fn evict_for(&mut self, learner: Option<OfPort>) {
        // Each turn but the last puts one entry in its place.
        for _ in 0..=self.entries.len() {
            let of_ports = self.by_port.iter();
            let fullest = of_ports.max_by_key(|(port, its)| (its.len(), Some(**port) == learner));
            let oldest = fullest.and_then(|(_, its)| its.first());
            let Some(&station) = oldest.and_then(|place| self.by_use.get(place)) else { return };
            if !self.put_in_place(station) {
                self.remove(station);
                self.news.add(station);
                self.stats.evicted += 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

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
//! The table never exceeds its limit. When it is full a new address evicts the oldest entry of the
//! port that holds *most* entries, so a port that floods the switch with invented addresses only
//! evicts its own.
//!
//! # Cost
//! Lookup and refresh are one tree search, O(log n). Learning is O(log n); an eviction also scans the
//! ports, and puts in place what was refreshed since it was put in place last.
//!
//! # Concurrency
//! Changed by the control core alone, read by every core that translates. [`MacTable::refresh`] takes
//! `&self`: it sets a time that no translation reads. Cached traffic refreshes entries through the
//! revalidator.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
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
    /// Nothing: it is a group address, or younger knowledge contradicts.
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
            self.evict_fairly();
        }
    }

    /// The port on which `station` was last seen.
    #[must_use]
    pub fn lookup(&self, station: Station) -> Option<OfPort> {
        self.entries.get(&station).map(|entry| entry.port)
    }

    /// Notes that a frame came from `station`, if that is known to be on `port`; `false` if it is not,
    /// and there is something to [`learn`](Self::learn). By the control core alone.
    #[must_use]
    pub fn refresh(&self, station: Station, port: OfPort, now: Nanos) -> bool {
        let entry = self.entries.get(&station).filter(|entry| entry.port == port);
        if let Some(entry) = entry {
            entry.used.set(entry.used.get().max(now.0));
        }
        entry.is_some()
    }

    /// Notes that a frame from `station` came in on `port`.
    pub fn learn(&mut self, station: Station, port: OfPort, now: Nanos) -> Learned {
        if station.mac.is_multicast() {
            return Learned::Refused;
        }
        let outcome = match self.remove(station) {
            Some(old) if old.port == port => Learned::Refreshed,
            Some(_) => {
                self.stats.moved += 1;
                Learned::Changed
            }
            None => {
                if self.entries.len() >= self.capacity {
                    self.evict_fairly();
                }
                self.stats.learned += 1;
                Learned::Changed
            }
        };
        if outcome == Learned::Changed {
            self.news.add(station);
        }
        self.insert(station, port, now);
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
        let Some(places) = self.by_port.remove(&port) else {
            return false;
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

    /// The table as `ovs-appctl fdb/show` prints it.
    #[must_use]
    pub fn show(&self, now: Nanos) -> String {
        let mut text = String::from(" port  VLAN  MAC                Age\n");
        for (station, port, used) in self.iter() {
            let mut port_text = String::new();
            // Writing to a string cannot fail.
            let _ = if port == OfPort::LOCAL {
                port_text.write_str("LOCAL")
            } else {
                write!(port_text, "{}", port.0)
            };
            let age = (now - used).as_secs();
            let _ = writeln!(text, "{port_text:>5}  {:4}  {}  {age:3}", station.vlan, station.mac);
        }
        text
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

    fn evict_fairly(&mut self) {
        // Each turn but the last puts one entry in its place.
        for _ in 0..=self.entries.len() {
            let fullest = self.by_port.values().max_by_key(|places| places.len());
            let oldest = fullest.and_then(BTreeSet::first).and_then(|place| self.by_use.get(place));
            let Some(&station) = oldest else { return };
            if !self.put_in_place(station) {
                self.remove(station);
                self.news.add(station);
                self.stats.evicted += 1;
                return;
            }
        }
    }
}

/// Whether frames to `mac` stay on their link: the addresses of IEEE 802.1Q table 8-1
/// (01:80:c2:00:00:00 to 0f) and those of the vendor protocols that OVS treats alike.
#[must_use]
pub fn is_reserved(mac: EtherAddr) -> bool {
    match mac.0 {
        [0x01, 0x80, 0xc2, 0x00, 0x00, last] => last <= 0x0f,
        [0x00, 0xe0, 0x2b, 0x00, 0x00, last] => matches!(last, 0x00 | 0x04 | 0x06),
        [0x01, 0x00, 0x0c, 0x00, 0x00, 0x00] | [0x01, 0x00, 0x0c, 0xcd, 0xcd, 0xcd] => true,
        [0x01, 0x00, 0x0c, 0xcc, 0xcc, last] => matches!(last, 0xc0..=0xcf),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn station(n: u8) -> Station {
        Station { vlan: 0, mac: EtherAddr([2, 0, 0, 0, 0, n]) }
    }

    fn table() -> MacTable {
        MacTable::new(MIN_CAPACITY, DEFAULT_MAX_AGE)
    }

    const T: fn(u64) -> Nanos = Nanos::from_secs;

    #[test]
    fn learns_refreshes_and_moves() {
        let mut macs = table();
        let cases = [
            (station(1), 1, Learned::Changed),
            (station(1), 1, Learned::Refreshed),
            (station(1), 2, Learned::Changed),
            (Station { vlan: 7, ..station(1) }, 1, Learned::Changed),
            (Station { vlan: 0, mac: EtherAddr([1, 0, 0, 0, 0, 1]) }, 1, Learned::Refused),
            (Station { vlan: 0, mac: EtherAddr::BROADCAST }, 1, Learned::Refused),
        ];
        for (station, port, expected) in cases {
            assert_eq!(macs.learn(station, OfPort(port), T(0)), expected, "{station:?}");
        }
        assert_eq!(macs.lookup(station(1)), Some(OfPort(2)));
        assert_eq!(macs.lookup(Station { vlan: 7, ..station(1) }), Some(OfPort(1)));
        assert_eq!(macs.lookup(station(9)), None);
        assert_eq!(macs.stats(), MacStats { learned: 2, moved: 1, ..MacStats::default() });
    }

    #[test]
    fn ages_after_the_last_use() {
        let mut macs = table();
        macs.learn(station(1), OfPort(1), T(0));
        macs.learn(station(2), OfPort(2), T(100));
        macs.learn(station(1), OfPort(1), T(200));
        assert_eq!(macs.next_expiry(), Some(T(400)));
        assert_eq!(macs.expire(T(399), 10), 0);
        assert_eq!(macs.expire(T(400), 10), 1);
        assert_eq!(macs.lookup(station(2)), None);
        assert_eq!(macs.expire(T(500), 10), 1);
        assert!(macs.is_empty() && macs.next_expiry().is_none());
    }

    #[test]
    fn a_flooding_port_evicts_only_its_own() {
        let mut macs = table();
        macs.learn(station(1), OfPort(1), T(0));
        macs.learn(station(2), OfPort(1), T(0));
        for n in 10..200 {
            macs.learn(station(n), OfPort(2), T(1));
            assert!(macs.len() <= MIN_CAPACITY);
        }
        assert_eq!(macs.lookup(station(1)), Some(OfPort(1)));
        assert_eq!(macs.lookup(station(2)), Some(OfPort(1)));
        assert_eq!(macs.lookup(station(199)), Some(OfPort(2)));
        assert_eq!(macs.stats().evicted, 182);
    }

    #[test]
    fn what_was_refreshed_is_neither_the_oldest_nor_expired() {
        let mut macs = table();
        for n in 1..=10 {
            macs.learn(station(n), OfPort(1), T(u64::from(n)));
        }
        assert!(macs.refresh(station(1), OfPort(1), T(100)));
        assert!(macs.refresh(station(2), OfPort(1), T(200)));
        assert!(macs.refresh(station(2), OfPort(1), T(150)), "time does not go back");
        assert!(!macs.refresh(station(3), OfPort(2), T(100)), "elsewhere");
        assert!(!macs.refresh(station(99), OfPort(1), T(100)), "unknown");
        let last = macs.iter().last();
        assert_eq!(last, Some((station(2), OfPort(1), T(200))));
        macs.learn(station(11), OfPort(1), T(201));
        assert_eq!(macs.lookup(station(3)), None, "the oldest by use");
        assert_eq!(macs.lookup(station(1)), Some(OfPort(1)));
        // Stations 4 to 10 were used up to 10, then 1 at 100, 2 at 200, 11 at 201.
        assert_eq!(macs.expire(T(399), 100), 7);
        assert_eq!(macs.next_expiry(), Some(T(400)));
        assert_eq!(macs.expire(T(500), 100), 2);
        assert_eq!(macs.len(), 1);
    }

    #[test]
    fn late_news_do_not_move_a_station() {
        let mut macs = table();
        macs.learn(station(1), OfPort(1), T(10));
        assert_eq!(macs.observe(station(1), OfPort(2), T(10)), Learned::Refused);
        assert_eq!(macs.observe(station(1), OfPort(1), T(9)), Learned::Refreshed);
        assert_eq!(macs.observe(station(1), OfPort(2), T(12)), Learned::Changed);
        assert_eq!(macs.observe(station(2), OfPort(2), T(1)), Learned::Changed);
        assert_eq!(macs.learn_late(station(1), OfPort(3), T(11)), Learned::Refused);
        assert_eq!(macs.learn_late(station(1), OfPort(3), T(12)), Learned::Changed);
    }

    #[test]
    fn of_two_late_news_the_later_packet_counts() {
        // The same two, told of in either order.
        for is_swapped in [false, true] {
            let mut macs = table();
            macs.learn(station(1), OfPort(3), T(1));
            let mut news = [(1, T(10)), (2, T(11))];
            if is_swapped {
                news.reverse();
            }
            for (port, used) in news {
                macs.observe(station(1), OfPort(port), used);
            }
            assert_eq!(macs.lookup(station(1)), Some(OfPort(2)));
        }
    }

    #[test]
    fn a_smaller_table_forgets_the_oldest_of_the_fullest_port() {
        let mut macs = MacTable::new(100, DEFAULT_MAX_AGE);
        for n in 0..30 {
            macs.learn(station(n), OfPort(u32::from(n) % 3 / 2 + 1), T(u64::from(n)));
        }
        macs.set_limits(0, T(20));
        assert_eq!((macs.len(), macs.capacity()), (MIN_CAPACITY, MIN_CAPACITY));
        assert_eq!(macs.next_expiry(), macs.iter().next().map(|(_, _, used)| used + T(20)));
        let on_two = macs.iter().filter(|(_, port, _)| *port == OfPort(2)).count();
        assert_eq!(on_two, MIN_CAPACITY / 2);
    }

    #[test]
    fn flushes_one_port_or_all() {
        let mut macs = table();
        macs.learn(station(1), OfPort(1), T(0));
        macs.learn(station(2), OfPort(2), T(0));
        assert!(macs.flush_port(OfPort(1)));
        assert!(!macs.flush_port(OfPort(1)));
        assert_eq!(macs.len(), 1);
        assert!(macs.flush());
        assert!(!macs.flush());
        assert_eq!(macs.next_expiry(), None);
    }

    #[test]
    fn shows_as_ovs_does() {
        let mut macs = table();
        macs.learn(station(1), OfPort(1), T(0));
        macs.learn(Station { vlan: 9, ..station(2) }, OfPort::LOCAL, T(7));
        let expected = " port  VLAN  MAC                Age
    1     0  02:00:00:00:00:01   10
LOCAL     9  02:00:00:00:00:02    3
";
        assert_eq!(macs.show(T(10)), expected);
    }

    #[test]
    fn knows_link_local_addresses() {
        assert!(is_reserved(EtherAddr([0x01, 0x80, 0xc2, 0, 0, 0x0f])));
        assert!(!is_reserved(EtherAddr([0x01, 0x80, 0xc2, 0, 0, 0x10])));
        assert!(is_reserved(EtherAddr([0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcc])));
        assert!(!is_reserved(EtherAddr([0xff; 6])));
    }
}

//! Stations that are put where they are (`fdb/add`): they never age, no frame moves them, and only their
//! port takes them along when it goes. They come on top of what the table may learn.

use super::{MacStats, MacTable, Station};
use alloc::collections::BTreeSet;
use openflow::OfPort;

/// Static entries at most.
const MAX_STATIC: usize = 65_536;

impl MacTable {
    /// Puts a station on a port, in place of what is known of it; the port where it was put before, if
    /// it was put on another one. `None`, and nothing happens, if there are too many already.
    pub(crate) fn put(&mut self, station: Station, port: OfPort) -> Option<Option<OfPort>> {
        if self.statics.len() >= MAX_STATIC && !self.statics.contains_key(&station) {
            return None;
        }
        self.remove(station);
        self.news.add(station);
        Some(self.statics.insert(station, port).filter(|before| *before != port))
    }

    /// Takes away a station that was put; `false` if it was not.
    pub(crate) fn take_away(&mut self, station: Station) -> bool {
        let was_there = self.statics.remove(&station).is_some();
        if was_there {
            self.news.add(station);
        }
        was_there
    }

    /// Stations that were put, with their ports.
    pub fn statics(&self) -> impl Iterator<Item = (Station, OfPort)> {
        self.statics.iter().map(|(station, port)| (*station, *port))
    }

    /// Lets the totals begin anew.
    pub(crate) fn clear_stats(&mut self) {
        self.stats = MacStats::default();
    }

    pub(super) fn remove_statics_of(&mut self, port: OfPort) -> bool {
        let of_port = self.statics().filter(|(_, at)| *at == port);
        let gone: BTreeSet<Station> = of_port.map(|(station, _)| station).collect();
        for station in &gone {
            self.take_away(*station);
        }
        !gone.is_empty()
    }
}

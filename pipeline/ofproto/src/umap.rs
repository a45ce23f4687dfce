//! The ukeys of installed megaflows: found by core and ufid, split over several maps (ovs-facts E2).
//!
//! # Design
//! A ukey belongs to the umap that its ufid says. A umap keeps its ukeys in slots, which are stable
//! while ukeys come and go, so a walk can stop anywhere and go on later; a ukey made meanwhile in a
//! slot already passed is younger than the walk. Small maps keep searches short, let workers share
//! out the sweep, and bound what one growing vector moves at once.
//!
//! # Cost
//! Finding, adding and removing are look-ups in a hash table of a 512th of the ukeys, which grows for
//! itself: what one insertion moves is bounded by that. A peak's memory is given back when the slots at a
//! umap's end are empty.

use crate::quota::FlowQuota;
use crate::ukey::{Ukey, UkeyState};
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{CoreId, Ufid};
use hashbrown::HashTable;

/// Number of umaps (OVS's).
pub(crate) const N_UMAPS: usize = 512;

/// Where a ukey is in [`Ukeys`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) umap: usize,
    pub(crate) place: usize,
}

/// One of the maps.
#[derive(Debug, Default)]
struct Umap {
    slots: Vec<Option<Ukey>>,
    /// Empty slots; the lowest is filled first, so that the last ones can go.
    free: BTreeSet<usize>,
    /// The places of its ukeys, by ufid.
    places: HashTable<u32>,
}

/// All ukeys; see the module.
#[derive(Debug)]
pub struct Ukeys {
    umaps: Vec<Umap>,
    n_ukeys: usize,
    /// Counts them too, for the cores that translate.
    quota: Arc<FlowQuota>,
}

impl Ukeys {
    /// None yet.
    pub(crate) fn new(quota: Arc<FlowQuota>) -> Self {
        Self { umaps: (0..N_UMAPS).map(|_| Umap::default()).collect(), n_ukeys: 0, quota }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.n_ukeys
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.n_ukeys == 0
    }

    /// How many the worker `worker` of `n_workers` sweeps.
    #[must_use]
    pub fn len_of(&self, worker: usize, n_workers: usize) -> usize {
        let own = self.umaps.iter().skip(worker).step_by(n_workers.max(1));
        own.map(|umap| umap.places.len()).sum()
    }

    /// One past the last place of a umap.
    pub(crate) fn end(&self, umap: usize) -> usize {
        self.umaps.get(umap).map_or(0, |umap| umap.slots.len())
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Ukey> {
        self.umaps.get(slot.umap)?.slots.get(slot.place)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Ukey> {
        self.umaps.get_mut(slot.umap)?.slots.get_mut(slot.place)?.as_mut()
    }

    /// The slot of the megaflow `ufid` on `core`.
    pub(crate) fn find(&self, core: CoreId, ufid: Ufid) -> Option<Slot> {
        let number = umap_of(core, ufid);
        let Umap { slots, places, .. } = self.umaps.get(number)?;
        let place = *places.find(hash_of(ufid), |place| is_of(slots, *place, core, ufid))?;
        Some(Slot { umap: number, place: place as usize })
    }

    /// Makes a ukey visible. There must be none of its name.
    pub(crate) fn insert(&mut self, mut ukey: Ukey) {
        ukey.transition(UkeyState::Visible);
        let (core, ufid, port) = (ukey.core, ukey.megaflow.ufid, ukey.megaflow.in_port());
        debug_assert!(self.find(core, ufid).is_none(), "two ukeys of one name");
        let Some(Umap { slots, free, places }) = self.umaps.get_mut(umap_of(core, ufid)) else {
            return;
        };
        let place = match free.pop_first() {
            Some(place) => {
                if let Some(slot) = slots.get_mut(place) {
                    *slot = Some(ukey);
                }
                place
            }
            None => {
                slots.push(Some(ukey));
                slots.len() - 1
            }
        };
        // There are fewer than a core has numbers for.
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        places.insert_unique(hash_of(ufid), place, |place| hash_at(slots, *place));
        self.n_ukeys += 1;
        self.quota.add(port);
    }

    /// Takes a ukey out.
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Ukey> {
        let umap = self.umaps.get_mut(slot.umap)?;
        let ukey = umap.slots.get_mut(slot.place)?.take()?;
        let is_it = |place: &u32| *place as usize == slot.place;
        if let Ok(entry) = umap.places.find_entry(hash_of(ukey.megaflow.ufid), is_it) {
            entry.remove();
        }
        umap.free.insert(slot.place);
        while let Some(None) = umap.slots.last() {
            umap.slots.pop();
            umap.free.remove(&umap.slots.len());
        }
        if umap.slots.len() < umap.slots.capacity() / 4 {
            umap.slots.shrink_to(umap.slots.len() * 2);
            let Umap { slots, places, .. } = umap;
            places.shrink_to(places.len(), |place| hash_at(slots, *place));
        }
        self.n_ukeys -= 1;
        self.quota.sub(ukey.megaflow.in_port());
        Some(ukey)
    }

    /// Puts another conclusion in the place of the ukey in `slot`; returns the old one.
    pub(crate) fn replace(&mut self, slot: Slot, mut ukey: Ukey) -> Option<Ukey> {
        ukey.transition(UkeyState::Visible);
        self.umaps.get_mut(slot.umap)?.slots.get_mut(slot.place)?.replace(ukey)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Ukey> {
        self.umaps.iter().flat_map(|umap| umap.slots.iter().flatten())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Ukey> {
        self.umaps.iter_mut().flat_map(|umap| umap.slots.iter_mut().flatten())
    }
}

/// The umap of a name.
fn umap_of(core: CoreId, ufid: Ufid) -> usize {
    // A ufid is a hash.
    let bits = u64::try_from(ufid.0 & u128::from(u32::MAX)).unwrap_or(0) ^ u64::from(core.0) << 5;
    usize::try_from(bits).unwrap_or(0) % N_UMAPS
}

/// Whether the ukey in this place has this name.
fn is_of(slots: &[Option<Ukey>], place: u32, core: CoreId, ufid: Ufid) -> bool {
    let ukey = slots.get(place as usize).and_then(Option::as_ref);
    ukey.is_some_and(|ukey| ukey.core == core && ukey.megaflow.ufid == ufid)
}

/// The hash of the ukey in this place.
fn hash_at(slots: &[Option<Ukey>], place: u32) -> u64 {
    let ukey = slots.get(place as usize).and_then(Option::as_ref);
    ukey.map_or(0, |ukey| hash_of(ukey.megaflow.ufid))
}

/// The upper half of a ufid, which is a hash; the lower half says which umap.
fn hash_of(ufid: Ufid) -> u64 {
    u64::try_from(ufid.0 >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::Path;
    use crate::ukey::Names;
    use datapath::Megaflow;
    use flow::{Flow, Mask};
    use sync::time::Nanos;

    fn ukey(core: u16, port: u32) -> Ukey {
        let mut flow = Flow::ZERO;
        flow.set_in_port(port);
        let megaflow = Arc::new(Megaflow::new(&flow, Mask::ZERO, Arc::new([])));
        let (names, now) = (Names::default(), Nanos::ZERO);
        Ukey::new(CoreId(core), megaflow, Path::empty(), 0, names, now)
    }

    #[test]
    fn ukeys_are_found_by_core_and_ufid() {
        let mut ukeys = Ukeys::new(Arc::new(FlowQuota::new(1)));
        for port in 0..5000 {
            ukeys.insert(ukey(0, port));
            ukeys.insert(ukey(1, port));
        }
        assert_eq!((ukeys.len(), ukeys.iter().count()), (10_000, 10_000));
        for port in 0..5000 {
            let ufid = ukey(0, port).megaflow.ufid;
            for core in [CoreId(0), CoreId(1)] {
                let slot = ukeys.find(core, ufid).unwrap();
                let found = ukeys.get(slot).unwrap();
                assert_eq!((found.core, found.megaflow.in_port().0), (core, port));
            }
            assert_eq!(ukeys.find(CoreId(2), ufid), None);
        }
        // The workers share them out.
        for n in [1, 2, 3, 512] {
            let shares: Vec<_> = (0..n).map(|worker| ukeys.len_of(worker, n)).collect();
            assert_eq!(shares.iter().sum::<usize>(), 10_000);
            assert!(shares.iter().all(|share| *share > 0), "{n}: {shares:?}");
        }
    }

    #[test]
    fn slots_go_when_ukeys_do() {
        let mut ukeys = Ukeys::new(Arc::new(FlowQuota::new(1)));
        let names: Vec<_> = (0..100_000)
            .map(|port| {
                let ukey = ukey(0, port);
                let ufid = ukey.megaflow.ufid;
                ukeys.insert(ukey);
                ufid
            })
            .collect();
        let places =
            |ukeys: &Ukeys| -> usize { ukeys.umaps.iter().map(|umap| umap.slots.capacity()).sum() };
        assert!(places(&ukeys) >= 100_000);
        for ufid in names.iter().skip(100) {
            let slot = ukeys.find(CoreId(0), *ufid).unwrap();
            assert!(ukeys.remove(slot).is_some());
        }
        assert_eq!(ukeys.len(), 100);
        for ufid in names.iter().take(100) {
            let slot = ukeys.find(CoreId(0), *ufid).unwrap();
            assert!(ukeys.remove(slot).is_some());
        }
        assert!(ukeys.is_empty());
        assert_eq!(ukeys.quota.total(), 0);
        assert!(places(&ukeys) < 10 * N_UMAPS, "memory of a peak is given back");
        assert!(ukeys.umaps.iter().all(|umap| umap.free.is_empty() && umap.slots.is_empty()));
    }
}

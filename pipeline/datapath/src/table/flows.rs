//! All megaflows of a core, by slot and by ufid.

use alloc::sync::Arc;

use gradual::{Chunks, Index};
use sync::prefetch::prefetch;

use crate::{
    action::DpAction,
    ids::{PortNo, Ufid},
    megaflow::{Fate, Megaflow},
};

/// Where a megaflow is kept, until it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(pub(super) u32);

impl Slot {
    /// None that there is.
    pub(crate) const NONE: Self = Self(u32::MAX);
}

/// Which installation of all that a core ever made; from 1 on. Slots are used again, generations
/// are not: 64 bits never wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Generation(u64);

/// A megaflow in force.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) megaflow: Arc<Megaflow>,
    /// What it does where that is no longer what the megaflow says.
    modified: Option<Arc<[DpAction]>>,
    /// If all that it does is to send packets by a port: by which. The commonest of programs needs no
    /// interpreter.
    pub(crate) forwards_to: Option<PortNo>,
    pub(super) at: At,
    generation: Generation,
}

/// Where a megaflow's key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    /// In whose table.
    pub(crate) port: PortNo,
    /// In which of its subtables, by place.
    pub(super) subtable: u32,
    /// Its row there.
    pub(super) row: u32,
}

/// A slot.
#[derive(Debug)]
enum Place {
    Used(Installed),
    /// With the next free one.
    Free(Slot),
}

/// All megaflows of a core.
#[derive(Debug)]
pub(crate) struct Flows {
    slots: Chunks<Place>,
    /// The free slot that is used next.
    free: Slot,
    by_ufid: Index,
    /// Of the latest installation.
    generation: Generation,
}

impl Installed {
    /// What it does: at first as the megaflow says, later as modified.
    #[inline]
    pub(crate) fn actions(&self) -> &Arc<[DpAction]> {
        self.modified.as_ref().unwrap_or(&self.megaflow.actions)
    }

    /// Where its key is.
    #[inline]
    pub(crate) fn at(&self) -> At {
        self.at
    }
}

impl Default for Flows {
    fn default() -> Self {
        Self {
            slots: Chunks::default(),
            free: Slot::NONE,
            by_ufid: Index::default(),
            generation: Generation::default(),
        }
    }
}

impl Flows {
    pub(crate) fn len(&self) -> usize {
        self.by_ufid.len()
    }

    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&Installed> {
        match self.slots.get(slot.0 as usize)? {
            Place::Used(installed) => Some(installed),
            Place::Free(_) => None,
        }
    }

    /// Asks for a slot.
    #[inline]
    pub(crate) fn prefetch(&self, slot: Slot) {
        if let Some(place) = self.slots.get(slot.0 as usize) {
            prefetch(place);
        }
    }

    /// What tells the megaflow in `slot` from all that were or will be there.
    #[inline]
    pub(crate) fn generation(&self, slot: Slot) -> Option<Generation> {
        self.get(slot).map(|installed| installed.generation)
    }

    pub(crate) fn find(&self, ufid: Ufid) -> Option<Slot> {
        let is_right =
            |slot| self.get(Slot(slot)).is_some_and(|installed| installed.megaflow.ufid == ufid);
        self.by_ufid.find(ufid_hash(ufid), is_right).map(Slot)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Installed> {
        self.slots.iter().filter_map(|place| match place {
            Place::Used(installed) => Some(installed),
            Place::Free(_) => None,
        })
    }

    /// Bytes of memory that the slots and their index have.
    pub(crate) fn n_bytes(&self) -> usize {
        self.slots.n_bytes() + self.by_ufid.n_bytes()
    }

    /// Replaces the actions; `false` if there is no such megaflow.
    pub(crate) fn modify(&mut self, ufid: Ufid, actions: Arc<[DpAction]>) -> bool {
        let slot = self.find(ufid);
        match slot.and_then(|slot| self.slots.get_mut(slot.0 as usize)) {
            Some(Place::Used(installed)) => {
                installed.forwards_to = forwards_to(&actions);
                installed.modified = Some(actions);
                true
            }
            _ => false,
        }
    }

    /// Adds a megaflow; gives it back if there is no number left for it.
    pub(super) fn add(&mut self, megaflow: Arc<Megaflow>, at: At) -> Result<Slot, Arc<Megaflow>> {
        self.generation.0 += 1;
        let hash = ufid_hash(megaflow.ufid);
        let installed = Installed {
            forwards_to: forwards_to(&megaflow.actions),
            modified: None,
            megaflow,
            at,
            generation: self.generation,
        };
        let slot = match self.slots.get_mut(self.free.0 as usize) {
            Some(place) => {
                let slot = self.free;
                if let Place::Free(next) = *place {
                    self.free = next;
                }
                *place = Place::Used(installed);
                slot
            }
            None => {
                // The last number is kept for `NONE`.
                let number = u32::try_from(self.slots.len()).ok();
                let Some(slot) = number.filter(|slot| *slot != u32::MAX) else {
                    return Err(installed.megaflow);
                };
                self.slots.push(Place::Used(installed));
                Slot(slot)
            }
        };
        self.by_ufid.insert(hash, slot.0);
        Ok(slot)
    }

    pub(super) fn take(&mut self, slot: Slot) -> Option<Installed> {
        let place = self.slots.get_mut(slot.0 as usize)?;
        match core::mem::replace(place, Place::Free(self.free)) {
            Place::Used(installed) => {
                self.free = slot;
                self.by_ufid.remove(ufid_hash(installed.megaflow.ufid), slot.0);
                installed.megaflow.stats.set_fate(Fate::Removed);
                Some(installed)
            }
            free => {
                *place = free;
                None
            }
        }
    }
}

/// The port, if a program is one output.
pub(crate) fn forwards_to(actions: &[DpAction]) -> Option<PortNo> {
    match actions {
        [DpAction::Output(port)] => Some(*port),
        _ => None,
    }
}

/// A ufid is a good hash already; it only has to fit.
#[expect(clippy::cast_possible_truncation, reason = "any part of it will do")]
fn ufid_hash(ufid: Ufid) -> u32 {
    ufid.0 as u32
}

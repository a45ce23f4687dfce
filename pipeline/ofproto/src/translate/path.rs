//! Paths: what flows that take the same way through the tables have in common.
//!
//! # Why
//! Most flows are new to the caches and not to the tables: a thousand connections of one rule are a
//! thousand megaflows with the same actions, credited to the same rules, dependent on the same lookups. So
//! that is one [`Path`], which they share. A translator keeps the paths of its last translations
//! ([`Paths`]); one that comes to the same conclusion takes what is there, and allocates nothing.
//!
//! # Why it is sound
//! A path is shared only if all that it holds is equal: actions, credits (the same rules, not equal
//! ones), what was looked at, and the numbers that are named. What flows of one path may differ in, their
//! keys and masks, is not in it.
//!
//! # Bounded
//! [`N_KEPT`] paths a translator, one for each value of a hash, and the last one, which is tried first. What a path refers to (rules that are
//! gone, frozen translations) lives as long as it is kept: until another takes its place.

use super::step::Frozen;
use crate::deps::Deps;
use crate::intern::Named;
use crate::packet_in::PacketInSpec;
use crate::tally::Tally;
use crate::ukey::Credit;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::DpAction;
use flow::hash;

/// Paths that a translator keeps: a power of two.
const N_KEPT: usize = 64;

/// What a conclusion is apart from the packets that it holds for; see the module.
///
/// A polling core counts a holder with each flow, in the cache line before; the control core reads this one for
/// each flow. On one line together each would wait for the other.
#[derive(Debug)]
#[repr(align(64))]
pub struct Path {
    /// What the datapath shall do.
    pub actions: Arc<[DpAction]>,
    /// Whom the packets are credited to.
    pub credits: Box<[Credit]>,
    /// What it looked at beside the packet.
    pub deps: Deps,
    /// Translations to go on with after a recirculation that the actions ask for.
    pub(crate) frozen: Box<[Named<Frozen>]>,
    /// What the packet-ins that the actions ask for say.
    pub(crate) packet_ins: Box<[Named<PacketInSpec>]>,
}

#[cfg(test)]
impl Path {
    /// One that does nothing and depends on nothing.
    pub(crate) fn empty() -> Arc<Self> {
        Arc::new(Trail::default().take([].into()))
    }
}

/// Whom a translation credits. As long as that is whom the last one did, it is the last one's list that is
/// meant, up to some place: nothing is copied, and no count of holders is touched, on which the control core
/// writes too.
#[derive(Debug, Default)]
pub(crate) struct Credits {
    /// The path of the last translation.
    last: Option<Arc<Path>>,
    /// How many of its credits these begin with, or are if it is still followed.
    n_same: usize,
    is_followed: bool,
    /// All, if it is not followed.
    own: Vec<Credit>,
}

impl Credits {
    pub(crate) fn push(&mut self, credit: Credit) {
        if !self.follows(|next| *next == credit) {
            self.own.push(credit);
        }
    }

    pub(crate) fn push_rule(&mut self, stats: &Tally) {
        if !self.follows(|next| matches!(next, Credit::Rule(next) if next == stats)) {
            self.own.push(Credit::Rule(stats.clone()));
        }
    }

    /// Whether the next credit is the last path's; if not, these part from it.
    fn follows(&mut self, is_next: impl FnOnce(&Credit) -> bool) -> bool {
        if !self.is_followed {
            return false;
        }
        let known = self.last.as_ref().map_or(&[][..], |last| &last.credits[..]);
        if known.get(self.n_same).is_some_and(is_next) {
            self.n_same += 1;
            return true;
        }
        self.part();
        false
    }

    /// Makes them a list of their own.
    fn part(&mut self) {
        if self.is_followed {
            let known = self.last.as_ref().and_then(|last| last.credits.get(..self.n_same));
            self.own.extend_from_slice(known.unwrap_or_default());
            self.is_followed = false;
        }
    }

    fn clear(&mut self) {
        self.own.clear();
        self.n_same = 0;
        self.is_followed = self.last.is_some();
    }

    /// The last path, if these are all its credits.
    fn path(&self) -> Option<&Arc<Path>> {
        let last = self.last.as_ref().filter(|_| self.is_followed);
        last.filter(|last| last.credits.len() == self.n_same)
    }
}

/// A path as a translation collects it, in room that is used again.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    pub(crate) actions: Vec<DpAction>,
    pub(crate) credits: Credits,
    pub(crate) deps: Deps,
    pub(crate) frozen: Vec<Named<Frozen>>,
    pub(crate) packet_ins: Vec<Named<PacketInSpec>>,
}

impl Trail {
    /// Empties it, and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.actions.clear();
        self.credits.clear();
        self.deps.clear();
        self.frozen.clear();
        self.packet_ins.clear();
    }

    fn is(&self, path: &Path) -> bool {
        self.credits.own[..] == path.credits[..] && self.is_without_credits(path)
    }

    fn is_without_credits(&self, path: &Path) -> bool {
        self.actions[..] == path.actions[..]
            && self.deps == path.deps
            // Packet-ins are made anew each time; who sends them is rarely cached.
            && self.packet_ins.is_empty()
            && path.packet_ins.is_empty()
            && self.frozen[..] == path.frozen[..]
    }

    /// The path, apart from `actions`, of which there may be a copy already.
    fn take(&mut self, actions: Arc<[DpAction]>) -> Path {
        Path {
            actions,
            credits: self.credits.own.drain(..).collect(),
            // A copy has no more room than it needs.
            deps: self.deps.clone(),
            frozen: self.frozen.drain(..).collect(),
            packet_ins: self.packet_ins.drain(..).collect(),
        }
    }

    /// A number that is the same for trails that are the same.
    fn hash(&self) -> u64 {
        let address = |pointer: usize| pointer as u64;
        let credits = self.credits.own.iter().fold(hash::start(0), |state, credit| {
            let word = match credit {
                Credit::Rule(stats) => address(core::ptr::from_ref(&**stats).addr()),
                Credit::Counts(counts) => address(Arc::as_ptr(counts).addr()),
                Credit::Table { id, matched } => u64::from(*id) << 1 | u64::from(*matched),
                Credit::Learn(_) | Credit::Fin { .. } | Credit::Mac { .. } => 0,
            };
            hash::mix(state, word)
        });
        self.actions.iter().fold(credits, |state, action| match action {
            DpAction::Output(port) => hash::mix(state, port.0.into()),
            _ => hash::mix(state, u64::MAX),
        })
    }
}

/// The paths of the last translations; see the module.
#[derive(Debug, Default)]
pub(crate) struct Paths(Vec<Option<Arc<Path>>>);

impl Paths {
    /// The path that a trail is. Takes what it needs out of the trail.
    pub(crate) fn keep(&mut self, trail: &mut Trail) -> Arc<Path> {
        if let Some(last) = trail.credits.path()
            && trail.is_without_credits(last)
        {
            return Arc::clone(last);
        }
        trail.credits.part();
        let path = self.find(trail);
        trail.credits.last = Some(Arc::clone(&path));
        path
    }

    /// The path that a trail is among all that are kept, or a new one.
    fn find(&mut self, trail: &mut Trail) -> Arc<Path> {
        if self.0.is_empty() {
            self.0.resize_with(N_KEPT, || None);
        }
        let place = usize::try_from(trail.hash() >> 32).unwrap_or(0) % N_KEPT;
        let known = self.0.get_mut(place);
        let old = known.as_deref().and_then(Option::as_ref);
        if let Some(path) = old.filter(|path| trail.is(path)) {
            return Arc::clone(path);
        }
        let actions = match old.filter(|path| path.actions[..] == trail.actions[..]) {
            Some(path) => Arc::clone(&path.actions),
            None => trail.actions.drain(..).collect(),
        };
        let path = Arc::new(trail.take(actions));
        if let Some(known) = known {
            *known = Some(Arc::clone(&path));
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Tallies;
    use datapath::PortNo;
    use openflow::OfPort;
    use sync::time::Nanos;

    fn trail(stats: &Tally, port: u32) -> Trail {
        let mut trail = Trail::default();
        trail.credits.push(Credit::Rule(stats.clone()));
        trail.actions.push(DpAction::Output(PortNo(port)));
        trail.deps.note_rule(stats);
        trail
    }

    #[test]
    fn the_same_way_is_one_path_and_any_difference_another() {
        let mut tallies = Tallies::default();
        let mut rule = || tallies.begin(Nanos::ZERO);
        let (one, other, mut paths) = (rule(), rule(), Paths::default());
        let first = paths.keep(&mut trail(&one, 1));
        assert!(Arc::ptr_eq(&first, &paths.keep(&mut trail(&one, 1))));
        let mut depends = trail(&one, 1);
        depends.deps.note_port(OfPort(7));
        let second = paths.keep(&mut depends);
        assert!(!Arc::ptr_eq(&first, &second) && second.deps != first.deps);
        assert!(Arc::ptr_eq(&first.actions, &second.actions), "what is equal is shared");
        // A rule that looks the same is another rule.
        for (stats, port) in [(&other, 1), (&one, 2)] {
            let path = paths.keep(&mut trail(stats, port));
            assert!(!Arc::ptr_eq(&first, &path) && !Arc::ptr_eq(&second, &path));
            assert!(path.credits[..] == [Credit::Rule(stats.clone())]);
            assert_eq!(path.actions[..], [DpAction::Output(PortNo(port))]);
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut paths, mut tallies) = (Paths::default(), Tallies::default());
        let all: Vec<_> = (0..10 * 64)
            .map(|port| paths.keep(&mut trail(&tallies.begin(Nanos::ZERO), port)))
            .collect();
        let n_kept = all.iter().filter(|path| Arc::strong_count(path) > 1).count();
        assert!((1..=N_KEPT).contains(&n_kept), "{n_kept}");
    }
}

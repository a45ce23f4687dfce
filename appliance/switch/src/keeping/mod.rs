//! The OpenFlow state over restarts (`other_config:keep-openflow-state=true`).
//!
//! # What
//! Rules, groups, meters, tables and the map of tunnel options of all bridges are kept beside the database
//! as a *picture* (crate `keep`), and put back when the switch starts: after its bridges are made and
//! before a port is in one, so the first frame is forwarded as the last one was, whether or not a
//! controller is there. Statistics, MAC addresses and what packets taught besides rules are not kept.
//!
//! # When a picture is taken
//! [`QUIET`] after the last change, [`PATIENCE`] after the first that no picture has, but not before
//! [`PAUSE`] has gone by since the last one; at once for `uniswitch/keep`; and before the switch ends when
//! it is asked to. What changes later than that is lost with the power, as a whole: a picture is of one
//! instant, with every flow-mod and bundle in it or not in it.
//!
//! # How, beside polling
//! ```text
//! Idle ─ due ─► Gathering (Arcs of rules, GATHERED in a round)
//!                 └─► Writing (PIECES encoded and one request to the disk in a round) ─► Idle
//! ```
//! Whoever shares the processor polls between rounds and while the disk is waited for.
//!
//! # Time
//! A rule's age goes on while the machine is off, if it has a clock on the wall: a hard timeout that is
//! over by then has ended the rule.

mod restore;

use crate::bridges::Bridges;
use crate::control::Control;
use crate::database::Disk;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use keep::{Encoder, Region, RegionError, Writing};
use ofproto::{Capture, Edits, Piece};
use ovsdb::store::Rest;
use sync::time::Nanos;

/// The setting.
pub(crate) const KEY: &str = "keep-openflow-state";
/// After a change, others are waited for.
const QUIET: Nanos = Nanos::from_secs(2);
/// How long, at most.
const PATIENCE: Nanos = Nanos::from_secs(30);
/// Between two pictures.
const PAUSE: Nanos = Nanos::from_secs(10);
/// Rules looked at in one round.
const GATHERED: usize = 1024;
/// Pieces encoded in one round.
const PIECES: usize = 16;

/// A bridge, and in which state.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    name: String,
    datapath_id: u64,
    edits: Edits,
}

/// A bridge of a picture.
#[derive(Debug)]
struct Subject {
    mark: Mark,
    capture: Capture,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Idle,
    Gathering {
        begun: Nanos,
        /// The first ones are gathered.
        subjects: Vec<Subject>,
        n_gathered: usize,
    },
    Writing(Box<Picture>),
}

/// A picture on its way to the disk.
#[derive(Debug)]
struct Picture {
    begun: Nanos,
    writing: Writing,
    encoder: Encoder,
    marks: Vec<Mark>,
    /// Those that are not written yet; of the first, its name is.
    subjects: VecDeque<Subject>,
    is_named: bool,
    n_rules: u64,
    n_left_out: u64,
}

/// How the OpenFlow state is kept.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    is_on: bool,
    /// Where; none until it was looked for.
    region: Option<Region>,
    /// Why nothing is kept, once that was told.
    trouble: Option<String>,
    phase: Phase,
    /// The bridges when they were looked at last.
    seen: Vec<Mark>,
    /// The bridges of the picture that counts.
    kept: Vec<Mark>,
    /// When anything changed last, and first since that picture.
    changed: Nanos,
    unkept: Option<Nanos>,
    not_before: Nanos,
    /// Somebody waits.
    is_urgent: bool,
    /// When the picture that counts was begun.
    as_of: Option<Nanos>,
    was_restored: bool,
}

impl Keeping {
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    pub(crate) fn set(&mut self, is_on: bool) {
        if self.is_on != is_on {
            (self.is_on, self.phase, self.trouble) = (is_on, Phase::Idle, None);
        }
    }

    fn hurry(&mut self, disk: Option<&mut Rest<'_, Box<dyn Disk>>>) -> Result<(), String> {
        if !self.is_on {
            return Err(alloc::format!("other_config:{KEY} is not true"));
        }
        self.is_urgent = self.region(disk).is_some();
        self.trouble.clone().map_or(Ok(()), Err)
    }

    /// Whether everything is kept that there was at `at`, or cannot be.
    pub(crate) fn has_kept(&self, at: Nanos) -> bool {
        let is_past = self.as_of.is_some_and(|as_of| as_of >= at);
        is_past || !self.is_on || self.trouble.is_some() || (self.is_idle() && self.is_kept())
    }

    fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    fn is_kept(&self) -> bool {
        self.as_of.is_some() && self.seen == self.kept
    }

    /// Notes whether anything changed.
    fn look(&mut self, bridges: &Bridges, now: Nanos) {
        let is_same = |mark: &Mark, member: &crate::bridges::Member| {
            let bridge = &member.bridge;
            (mark.edits == bridge.edits())
                && mark.datapath_id == bridge.datapath_id()
                && mark.name == bridge.name()
        };
        let n_bridges = bridges.iter().count();
        let is_old = self.seen.len() == n_bridges
            && self.seen.iter().zip(bridges.iter()).all(|(mark, member)| is_same(mark, member));
        if !is_old {
            self.seen = marks(bridges);
            self.changed = now;
        }
        if self.is_kept() {
            self.unkept = None;
        } else {
            self.unkept.get_or_insert(now);
        }
    }

    fn is_due(&self, now: Nanos) -> bool {
        let Some(unkept) = self.unkept else { return false };
        let is_ripe = now >= self.changed + QUIET || now >= unkept + PATIENCE;
        self.is_urgent || (is_ripe && now >= self.not_before)
    }

    /// Nothing is kept any more, for this reason.
    fn fail(&mut self, why: &str) {
        self.phase = Phase::Idle;
        self.is_urgent = false;
        if self.trouble.as_deref() != Some(why) {
            log::warn!("other_config:{KEY}: nothing is kept: {why}");
            self.trouble = Some(why.into());
        }
    }

    /// Where pictures are.
    fn region(&mut self, disk: Option<&mut Rest<'_, Box<dyn Disk>>>) -> Option<&mut Region> {
        if self.trouble.is_some() {
            return None;
        }
        if self.region.is_none() {
            match disk.map(Region::open) {
                Some(Ok(region)) => self.region = Some(region),
                Some(Err(why)) => self.fail(&alloc::format!("{why}")),
                None => self.fail("there is no disk with room beside the database"),
            }
        }
        self.region.as_mut()
    }
}

fn marks(bridges: &Bridges) -> Vec<Mark> {
    let mark = |bridge: &ofproto::Bridge| Mark {
        name: bridge.name().into(),
        datapath_id: bridge.datapath_id(),
        edits: bridge.edits(),
    };
    bridges.iter().map(|member| mark(&member.bridge)).collect()
}

impl Control {
    /// Goes on keeping the OpenFlow state; true while there is something to do.
    pub(crate) fn keep_openflow(&mut self, now: Nanos) -> bool {
        if !self.keeping.is_on {
            return false;
        }
        self.keeping.look(&self.bridges, now);
        let phase = core::mem::take(&mut self.keeping.phase);
        match phase {
            Phase::Idle => {
                let keeping = &mut self.keeping;
                if !keeping.is_due(now) {
                    keeping.is_urgent &= keeping.unkept.is_some();
                    return false;
                }
                if keeping.region(self.databases.rest().as_mut()).is_none() {
                    // A change may bring what was wrong in order.
                    return false;
                }
                let begin = |mark: &Mark| {
                    let member = self.bridges.by_name(&mark.name)?;
                    let capture = member.bridge.begin_capture(now);
                    Some(Subject { mark: mark.clone(), capture })
                };
                let subjects = self.keeping.seen.iter().filter_map(begin).collect();
                self.keeping.phase = Phase::Gathering { begun: now, subjects, n_gathered: 0 };
            }
            Phase::Gathering { begun, subjects, n_gathered } => {
                self.gather(begun, subjects, n_gathered, now);
            }
            Phase::Writing(picture) => self.write_picture(picture, now),
        }
        true
    }

    fn gather(
        &mut self,
        begun: Nanos,
        mut subjects: Vec<Subject>,
        mut n_gathered: usize,
        now: Nanos,
    ) {
        if let Some(Subject { mark, capture }) = subjects.get_mut(n_gathered) {
            match self.bridges.by_name(&mark.name) {
                Some(member) => {
                    if member.bridge.capture(capture, GATHERED, now) {
                        mark.edits = capture.edits();
                        n_gathered += 1;
                    }
                }
                // It went in the meantime, and another picture will be due.
                None => drop(subjects.remove(n_gathered)),
            }
        }
        if n_gathered < subjects.len() {
            self.keeping.phase = Phase::Gathering { begun, subjects, n_gathered };
            return;
        }
        let Some(region) = &self.keeping.region else { return };
        let (mut writing, mut encoder) = (region.write(), Encoder::default());
        encoder.start(self.databases.wall_ms(now), writing.records());
        self.keeping.phase = Phase::Writing(Box::new(Picture {
            begun,
            writing,
            encoder,
            marks: subjects.iter().map(|subject| subject.mark.clone()).collect(),
            subjects: subjects.into(),
            is_named: false,
            n_rules: 0,
            n_left_out: 0,
        }));
    }

    fn write_picture(&mut self, mut picture: Box<Picture>, now: Nanos) {
        picture.encode();
        let keeping = &mut self.keeping;
        let mut disk = self.databases.rest();
        let (Some(region), Some(disk)) = (&mut keeping.region, &mut disk) else {
            keeping.fail("the disk is gone");
            return;
        };
        match picture.writing.step(region, disk) {
            Ok(false) => keeping.phase = Phase::Writing(picture),
            Ok(true) => {
                if picture.n_left_out > 0 {
                    let n = picture.n_left_out;
                    log::warn!(
                        "other_config:{KEY}: {n} rules or groups have no form to be kept in"
                    );
                }
                log::debug!(
                    "OpenFlow state kept: {} rules of {} bridges, {} bytes, generation {}",
                    picture.n_rules,
                    picture.marks.len(),
                    picture.writing.length(),
                    region.generation()
                );
                keeping.as_of = Some(picture.begun);
                keeping.kept = core::mem::take(&mut picture.marks);
                keeping.unkept = None;
                keeping.is_urgent &= !keeping.is_kept();
                keeping.not_before = now + PAUSE;
            }
            Err(RegionError::Full) => {
                let most = region.capacity();
                // The next change may be one that makes it less.
                keeping.not_before = now + PATIENCE;
                keeping.is_urgent = false;
                log::error!(
                    "other_config:{KEY}: more than {most} bytes do not fit on the disk; what was kept before stays"
                );
            }
            Err(why) => keeping.fail(&alloc::format!("{why}")),
        }
    }

    /// Has a picture taken as soon as possible.
    ///
    /// # Errors
    /// Why none is taken.
    pub(crate) fn keep_soon(&mut self) -> Result<(), String> {
        self.keeping.hurry(self.databases.rest().as_mut())
    }

    /// Keeps what is not kept yet, all of it, before the switch ends.
    pub(crate) fn keep_all(&mut self, now: Nanos) {
        if self.keep_soon().is_err() {
            return;
        }
        // Nothing else changes meanwhile: twice, if a picture of former times is on its way.
        for _ in 0..2 {
            while self.keep_openflow(now) && self.keeping.is_on {}
        }
    }
}

impl Picture {
    /// Encodes some pieces, as far as there is room.
    fn encode(&mut self) {
        for _ in 0..PIECES {
            if !self.writing.is_hungry() {
                return;
            }
            let Some(subject) = self.subjects.front_mut() else {
                self.encoder.end(self.writing.records());
                self.writing.close();
                return;
            };
            if !self.is_named {
                let Mark { name, datapath_id, .. } = &subject.mark;
                self.encoder.bridge(name, *datapath_id, self.writing.records());
                self.is_named = true;
            }
            let Some(piece) = subject.capture.next_piece() else {
                self.subjects.pop_front();
                self.is_named = false;
                continue;
            };
            match self.encoder.piece(&piece, self.writing.records()) {
                Ok(()) => self.n_rules += u64::from(matches!(piece, Piece::Rule(_))),
                Err(_) => self.n_left_out += 1,
            }
        }
    }
}

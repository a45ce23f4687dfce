//! Replies of many records, written while their reader reads.
//!
//! # What it tells
//! A dump of rules tells of those that there were when it was asked for, each once, with the counters of the
//! moment of writing (`ofproto::RuleWalk`). Groups and meters are told of as they are when their turn comes, by
//! number; how many name them is counted first (`ofproto::Census`).
//!
//! # Cost
//! A call looks at [`PLACES_PER_CALL`] places of rules at most, writes [`RULES_PER_CALL`] of them and about
//! [`BYTES_PER_CALL`], so that a dump of a million rules holds nobody up and costs memory for a few at a time.

use crate::monitor::{Changed, Update, update};
use crate::multipart::PLACES_PER_CALL;
use crate::table_features;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::Dpif;
use ofproto::meter::Meter;
use ofproto::{Bridge, Census, MAX_TOLD, Rule, RuleWalk};
use openflow::{
    FlowEvent, GROUP_ALL, METER_ALL, MultipartItem, MultipartKind, MultipartWriter, OfErrorKind,
    Version,
};
use sync::time::Nanos;

/// Records added between two looks at how much is ready.
const RECORDS_PER_LOOK: usize = 64;
/// Bytes that one call of [`LongReply::write`] adds, about.
const BYTES_PER_CALL: usize = 64 * 1024;
/// Bytes for which there is to be room before a call: those, and what the last look may add.
pub(crate) const MAX_PER_CALL: usize = 3 * 64 * 1024;
/// Tables written at once: the features of each are some 2,600 bytes.
const TABLES_PER_LOOK: usize = 8;
/// Rules that one call writes at most.
const RULES_PER_CALL: usize = 256;

/// A reply of many records that is still being written.
#[derive(Debug)]
pub(crate) struct LongReply {
    /// Taken when the last message is.
    writer: Option<MultipartWriter>,
    entries: Entries,
    n_written: usize,
    as_of: Nanos,
}

/// What a long reply lists.
#[derive(Debug)]
pub(crate) enum Entries {
    /// Rules with their statistics, or with their counters alone, as the kind of the reply says.
    Rules(Vec<Arc<Rule>>),
    /// Rules of a walk likewise.
    Walk(RuleWalk),
    /// Updates of flow monitors; then rules that changed.
    Updates(Vec<Update>, Option<Box<Changed>>),
    /// The rules that there are when monitors begin, and whether with their instructions.
    Watched(Vec<(RuleWalk, bool)>),
    /// Groups with their statistics.
    Groups(Census, Span),
    /// Descriptions of groups.
    GroupDescs(Span),
    /// Meters with their statistics.
    Meters(Census, Span),
    /// Configurations of meters.
    MeterConfigs(Span),
    /// The features of every table, some 650 KiB when they are written.
    Tables(Version),
}

/// Numbers of groups or meters that are still to be told of.
#[derive(Debug)]
pub(crate) struct Span {
    next: u32,
    last: u32,
}

impl Span {
    /// A group, or all. There need not be any.
    pub(crate) fn of_groups(id: u32) -> Self {
        match id {
            GROUP_ALL => Self { next: 0, last: u32::MAX },
            id => Self { next: id, last: id },
        }
    }

    /// A meter, or all.
    pub(crate) fn of_meters(id: u32, bridge: &Bridge) -> Result<Self, OfErrorKind> {
        match (id, bridge.state().meters.get(id)) {
            (METER_ALL, _) => Ok(Self { next: 0, last: u32::MAX }),
            (_, Some(_)) => Ok(Self { next: id, last: id }),
            (_, None) => Err(OfErrorKind::MeterModUnknownMeter),
        }
    }

    /// Tells of some: those of `all`, which begin at `next`, that are within. `write` says how many
    /// records one counts for. Returns whether it is done.
    fn go_on<T>(
        &mut self,
        all: impl Iterator<Item = T>,
        id: impl Fn(&T) -> u32,
        mut write: impl FnMut(T) -> usize,
    ) -> bool {
        let mut n = 0;
        for one in all {
            let at = id(&one);
            if at > self.last {
                break;
            }
            if n >= RECORDS_PER_LOOK {
                self.next = at;
                return false;
            }
            n += write(one).max(1);
        }
        true
    }
}

impl LongReply {
    /// A reply of which nothing is written yet.
    pub(crate) fn new(
        version: Version,
        xid: u32,
        kind: MultipartKind,
        entries: Entries,
        as_of: Nanos,
    ) -> LongReply {
        let writer = Some(MultipartWriter::new(version, xid, kind));
        LongReply { writer, entries, n_written: 0, as_of }
    }

    /// Adds messages to `out`; true when the last one has been.
    pub(crate) fn write(&mut self, bridge: &Bridge, dpif: &dyn Dpif, out: &mut Vec<u8>) -> bool {
        if let Entries::Groups(census, _) | Entries::Meters(census, _) = &mut self.entries
            && bridge.count_on(census, PLACES_PER_CALL)
        {
            return false;
        }
        let Some(mut writer) = self.writer.take() else {
            return true;
        };
        let before = out.len();
        let (mut n_rules, mut n_places) = (0, 0);
        while out.len() - before < BYTES_PER_CALL
            && n_rules + RECORDS_PER_LOOK <= RULES_PER_CALL
            && n_places < PLACES_PER_CALL
        {
            let is_done = self.look(bridge, dpif, &mut writer, (&mut n_rules, &mut n_places));
            if is_done {
                out.extend_from_slice(&writer.finish());
                return true;
            }
            writer.take_ready(out);
        }
        self.writer = Some(writer);
        false
    }

    /// Writes some records; true when there are no more. Counts the rules of walks that it wrote and the
    /// places that it looked at for them.
    fn look(
        &mut self,
        bridge: &Bridge,
        dpif: &dyn Dpif,
        writer: &mut MultipartWriter,
        (n_rules, n_places): (&mut usize, &mut usize),
    ) -> bool {
        let Self { entries, n_written, as_of, .. } = self;
        let as_of = *as_of;
        // Numbers of the next records of a list of `n`.
        let mut next = |n: usize, look: usize| {
            let from = *n_written;
            *n_written = n.min(from + look);
            from..*n_written
        };
        match entries {
            Entries::Tables(version) => {
                let tables = &bridge.state().tables;
                let n = usize::from(tables.n_tables());
                let some = next(n, TABLES_PER_LOOK);
                let is_done = some.end == n;
                for (id, table) in tables.iter().skip(some.start).take(some.len()) {
                    let features = table_features::describe_one(id, table, tables, *version);
                    writer.push(MultipartItem::TableFeatures(&features));
                }
                is_done
            }
            Entries::Rules(rules) => {
                let some = next(rules.len(), RECORDS_PER_LOOK);
                let is_done = some.end == rules.len();
                let rules = rules.get(some).unwrap_or_default();
                for rule in rules {
                    writer.push(MultipartItem::Record(&rule.record(as_of)));
                }
                is_done
            }
            Entries::Walk(walk) => {
                *n_places += MAX_TOLD;
                let (goes_on, n) = bridge.tell_on(walk, as_of, writer);
                *n_rules += n;
                !goes_on
            }
            Entries::Watched(walks) => {
                *n_places += RECORDS_PER_LOOK;
                if let Some((walk, has_instructions)) = walks.last_mut()
                    && !bridge.walk_on(walk, RECORDS_PER_LOOK, |rule| {
                        *n_rules += 1;
                        let update = update(FlowEvent::Initial, rule, *has_instructions);
                        writer.push(MultipartItem::FlowMonitor(&update));
                    })
                {
                    walks.pop();
                }
                walks.is_empty()
            }
            Entries::Updates(updates, changed) => {
                let some = next(updates.len(), RECORDS_PER_LOOK);
                if !some.is_empty() {
                    for (event, rule, has_instructions) in updates.get(some).unwrap_or_default() {
                        let update = update(*event, rule, *has_instructions);
                        writer.push(MultipartItem::FlowMonitor(&update));
                    }
                    return *n_written == updates.len() && changed.is_none();
                }
                *n_places += RECORDS_PER_LOOK;
                changed.as_mut().is_none_or(|changed| {
                    !changed.go_on(bridge, RECORDS_PER_LOOK, |update| {
                        *n_rules += 1;
                        writer.push(MultipartItem::FlowMonitor(update));
                    })
                })
            }
            Entries::Groups(census, span) => {
                let groups = bridge.state().groups.from(span.next);
                span.go_on(
                    groups,
                    |group| group.id,
                    |group| {
                        writer.push(MultipartItem::Group(&group.stats(census, as_of)));
                        group.buckets.len()
                    },
                )
            }
            Entries::GroupDescs(span) => {
                let groups = bridge.state().groups.from(span.next);
                span.go_on(
                    groups,
                    |group| group.id,
                    |group| {
                        writer.push(MultipartItem::GroupDesc(&group.desc()));
                        group.buckets.len()
                    },
                )
            }
            Entries::Meters(census, span) => {
                let meters = bridge.state().meters.from(span.next);
                let stats = |meter: &Meter| meter.stats(census, dpif, as_of);
                span.go_on(
                    meters,
                    |meter| meter.config.meter_id,
                    |meter| {
                        writer.push(MultipartItem::Meter(&stats(meter)));
                        1
                    },
                )
            }
            Entries::MeterConfigs(span) => {
                let meters = bridge.state().meters.from(span.next);
                span.go_on(
                    meters,
                    |meter| meter.config.meter_id,
                    |meter| {
                        writer.push(MultipartItem::MeterConfig(&meter.config));
                        1
                    },
                )
            }
        }
    }
}

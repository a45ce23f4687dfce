//! Walks: the rules that a statistics request asks for, a few at a time.
//!
//! # What a walk sees
//! The rules as they were when it began, though others come and go meanwhile: it looks at the version of
//! the tables of that instant, in which what is removed later stays visible until it is purged, and
//! purging waits for walks ([`crate::purge`], which says for how much). So no rule is seen twice, none
//! half changed, and none that is there all the time is missed. Counters are those of the moment at
//! which a rule is handed over, as in Open vSwitch.
//!
//! # Order
//! Table by table; within a table, in no particular order.

use crate::bridge::Bridge;
use crate::rule::Rule;
use alloc::boxed::Box;
use alloc::sync::Arc;
use classifier::{Cursor, Version};
use core::ops::Range;
use flow::Match;
use openflow::{
    FlowFormat, FlowStatsRequest, GROUP_ANY, MultipartItem, MultipartWriter, OfErrorKind, OfPort,
    TABLE_ALL,
};
use sync::time::Nanos;

/// Places that [`Bridge::tell_on`] looks at in a call.
pub const MAX_TOLD: usize = 64;
/// Rules between the one that is written and the one whose counters are asked for.
const AHEAD: usize = 4;

/// What asks for all rules.
const ALL: FlowStatsRequest = FlowStatsRequest {
    table_id: TABLE_ALL,
    out_port: OfPort::ANY,
    out_group: GROUP_ANY,
    cookie: 0,
    cookie_mask: 0,
    match_: Match::CATCHALL,
    format: FlowFormat::Standard,
};

/// A walk under way. It can be left at any time.
#[derive(Debug)]
pub struct RuleWalk {
    wanted: Box<FlowStatsRequest>,
    /// The version looked at, pinned.
    version: Arc<Version>,
    tables: Range<u8>,
    cursor: Cursor,
}

impl Bridge {
    /// Begins a walk over the rules that a request asks for, with statistics as they are known
    /// ([`Self::credit_on`] reads them).
    ///
    /// # Errors
    /// There is no such table.
    pub fn begin_walk(&mut self, request: &FlowStatsRequest) -> Result<RuleWalk, OfErrorKind> {
        let tables = self.tables_asked_for(request)?;
        Ok(self.walk_over(tables, request.clone()))
    }

    /// Begins a walk over all rules.
    #[must_use]
    pub fn walk_all(&mut self) -> RuleWalk {
        self.walk_over(self.state.tables.named(TABLE_ALL), ALL)
    }

    /// Begins a walk over the rules of a table that have a cookie.
    pub(crate) fn walk_cookie(&mut self, table_id: u8, cookie: u64) -> RuleWalk {
        let wanted = FlowStatsRequest { table_id, cookie, cookie_mask: u64::MAX, ..ALL };
        self.walk_over(self.state.tables.named(table_id), wanted)
    }

    fn walk_over(&mut self, tables: Range<u8>, wanted: FlowStatsRequest) -> RuleWalk {
        let version = self.purging.pin(self.state.tables.version);
        RuleWalk { wanted: Box::new(wanted), version, tables, cursor: Cursor::default() }
    }

    /// Goes on with a walk: looks at `max` places at most and hands over the rules that it finds there.
    /// Returns whether there may be more.
    pub fn walk_on<'a>(
        &'a self,
        walk: &mut RuleWalk,
        max: usize,
        mut found: impl FnMut(&'a Arc<Rule>),
    ) -> bool {
        let mut left = max;
        while walk.tables.start < walk.tables.end {
            if left == 0 {
                return true;
            }
            let table = self.state.tables.get(walk.tables.start);
            let goes_on = table.is_some_and(|table| {
                let (wanted, version) = (&walk.wanted, *walk.version);
                let cursor = &mut walk.cursor;
                table.rules.walk(cursor, &wanted.match_, version, &mut left, |_, entry| {
                    if entry.rule().is_asked_for(wanted) {
                        found(entry.rule());
                    }
                })
            });
            if !goes_on {
                walk.tables.start += 1;
                walk.cursor = Cursor::default();
            }
        }
        false
    }

    /// The same of [`MAX_TOLD`] places at most, and writes what it finds as of `now`. Returns whether there may
    /// be more, and how many it found.
    pub fn tell_on(
        &self,
        walk: &mut RuleWalk,
        now: Nanos,
        writer: &mut MultipartWriter,
    ) -> (bool, usize) {
        // Counters stand apart from their rule, which is here after the walk: they are asked for ahead.
        let mut rules = [None; MAX_TOLD];
        let mut n = 0;
        let goes_on = self.walk_on(walk, MAX_TOLD, |rule| {
            if let Some(place) = rules.get_mut(n) {
                *place = Some(rule);
                n += 1;
            }
        });
        let rules = rules.get(..n).unwrap_or_default();
        let ahead = |n: usize| rules.get(n).copied().flatten();
        for (n, rule) in rules.iter().enumerate() {
            if let Some(rule) = ahead(n + AHEAD) {
                rule.prefetch_stats();
            }
            if let Some(rule) = rule {
                writer.push(MultipartItem::Record(&rule.record(now)));
            }
        }
        (goes_on, n)
    }

    /// How many rules a request may come to: those of its tables.
    #[must_use]
    pub fn n_rules_asked_for(&self, request: &FlowStatsRequest) -> usize {
        let tables = self.state.tables.named(request.table_id);
        tables.filter_map(|id| self.state.tables.get(id)).map(|table| table.n_rules()).sum()
    }

    /// The tables that a request names.
    pub(crate) fn tables_asked_for(
        &self,
        request: &FlowStatsRequest,
    ) -> Result<Range<u8>, OfErrorKind> {
        let tables = &self.state.tables;
        if request.table_id != TABLE_ALL && request.table_id >= tables.n_tables() {
            return Err(OfErrorKind::RequestBadTableId);
        }
        Ok(tables.named(request.table_id))
    }
}

impl Rule {
    /// Whether a request asks for it, if its match is within that of the request.
    pub(crate) fn is_asked_for(&self, request: &FlowStatsRequest) -> bool {
        !self.is_hidden()
            && (self.cookie ^ request.cookie) & request.cookie_mask == 0
            && self.leads_to(request.out_port, request.out_group)
    }
}

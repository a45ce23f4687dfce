//! The database and the switch kept in step: rows become the wanted state, what became of it status.
//!
//! ```text
//! commit of a client ─► extract ─► Control::reconfigure ─► rounds … ─► settled ─► cur_cfg, ofport, …
//!                                                every half second: links, controllers
//!                                                every stats-update-interval: counters
//! ```
//! The database is the one source: whatever it says last is what the switch becomes. A round in which
//! nothing was committed and no status is due costs two comparisons.

use super::NAME;
use super::extract::{Extracted, STATS_INTERVAL, extract};
use super::status::{self, Extent};
use super::view::View;
use crate::control::Control;
use ovsdb::{Database, Server};
use sync::time::Nanos;

/// Between two looks at what changes by events.
const STATE_INTERVAL: Nanos = Nanos::from_millis(500);

/// How far database and switch are in step.
#[derive(Debug, Default)]
pub(crate) struct Reconciler {
    /// The commits that were read.
    read: Option<u64>,
    extracted: Extracted,
    /// The switch has not told yet that it is as the rows say.
    is_open: bool,
    next_state: Nanos,
    next_statistics: Nanos,
}

impl Reconciler {
    /// What was read last.
    pub(super) fn extracted(&self) -> &Extracted {
        &self.extracted
    }

    /// When the database is to hear how the switch fares.
    pub(super) fn next_deadline(&self) -> Nanos {
        match self.read {
            Some(_) if self.is_open => Nanos::ZERO,
            Some(_) => self.next_state,
            None => Nanos::MAX,
        }
    }
}

impl Control {
    /// Follows the database, and tells it how the switch fares; true when anything happened.
    pub(crate) fn reconcile(&mut self, now: Nanos) -> bool {
        let server = self.databases.server.as_ref();
        let Some(database) = server.and_then(|server| server.database(NAME)) else { return false };
        let commits = database.n_commits();
        let mut worked = false;
        if self.databases.reconciler.read != Some(commits) {
            let extracted = extract(database);
            let has_root = View { database }.root().is_some();
            // Without a root row nobody has said anything yet, or it was taken back: all stays.
            if !has_root {
                return false;
            }
            self.databases.follow_managers();
            let reconciler = &mut self.databases.reconciler;
            let is_first = reconciler.read.is_none();
            reconciler.read = Some(commits);
            if is_first || extracted != reconciler.extracted {
                let wanted = extracted.wanted.clone();
                let is_new = is_first || wanted != reconciler.extracted.wanted;
                reconciler.extracted = extracted;
                reconciler.is_open = true;
                if is_new {
                    self.reconfigure(wanted, now);
                }
            }
            worked = true;
        }
        let reconciler = &self.databases.reconciler;
        if reconciler.read.is_none() {
            return false;
        }
        // A transaction of a client that is under way comes first.
        let server = self.databases.server.as_ref();
        let is_in_the_way = server.is_some_and(Server::is_transacting);
        if !is_in_the_way && (reconciler.is_open || now >= reconciler.next_state) {
            worked |= self.report(now);
        }
        worked
    }

    /// Tells the database how the switch fares, where there is news; whether there was.
    fn report(&mut self, now: Nanos) -> bool {
        let reconciler = &self.databases.reconciler;
        let is_due = now >= reconciler.next_statistics;
        let applied = self.status(now);
        if !applied.is_settled && now < reconciler.next_state {
            return false;
        }
        let Some(database) = self.databases.database() else { return false };
        let extent = if is_due { Extent::Everything } else { Extent::State };
        let cur_cfg = applied.is_settled.then_some(reconciler.extracted.next_cfg);
        let keeping = self.databases.keeping();
        let extracted = &reconciler.extracted;
        let mut changes =
            status::changes(database, extracted, &applied, (extent, cur_cfg), keeping);
        changes.extend(self.databases.manager_status(database, extent, now));
        let interval = statistics_interval(database);
        let is_news = self.databases.write_cells(changes, now);
        self.databases.keep(now);
        // What was written now is nobody's wish.
        let commits = self.databases.database().map(Database::n_commits);
        let reconciler = &mut self.databases.reconciler;
        reconciler.read = commits;
        reconciler.is_open &= !applied.is_settled;
        reconciler.next_state = now.saturating_add(STATE_INTERVAL);
        if is_due {
            reconciler.next_statistics = now.saturating_add(interval);
        }
        is_news
    }
}

/// `Open_vSwitch:other_config:stats-update-interval`: 5 s, and no less.
fn statistics_interval(database: &Database) -> Nanos {
    const LEAST_MS: u64 = 5_000;
    let root = View { database }.root();
    let value = root.and_then(|root| root.pair("other_config", STATS_INTERVAL)?.parse().ok());
    Nanos::from_millis(value.unwrap_or(LEAST_MS).clamp(LEAST_MS, 86_400_000))
}

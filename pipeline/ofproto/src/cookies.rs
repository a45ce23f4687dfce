//! Cookies that learn actions limit or delete.
//!
//! # What
//! A learn action can say how many rules with its cookie its table may have, and that those go with the last
//! such action. So of each table and cookie that rules with such actions name it is known how many of
//! them there are, and, where there is a limit, how many rules have the cookie.
//!
//! # Counting
//! What comes and goes is counted as it does, from the first action with a limit on. The rules that are there
//! by then are counted once: in a table of more than [`FEW_RULES`] a few at a time, by a walk over those of that
//! instant. Until it is over the number is not known, and nothing is learned that has a limit: packets come
//! again.

use crate::bridge::Bridge;
use crate::rule::Rule;
use crate::table::Tables;
use crate::walk::RuleWalk;
use alloc::vec::Vec;
use classifier::Version;

/// Rules that may be looked at in one go.
const FEW_RULES: usize = 1024;
/// Places that one call of [`Bridge::run`] looks at.
const PLACES_PER_CALL: usize = 2048;

/// A learn action that limits or deletes what it teaches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserOfCookie {
    pub(crate) table_id: u8,
    pub(crate) cookie: u64,
    /// Whether it limits how many there are.
    pub(crate) limits: bool,
    /// Whether the learned rules go with the last such action.
    pub(crate) deletes: bool,
}

/// The rules with a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Count {
    /// Nobody asks for it.
    #[default]
    Unwanted,
    /// So many came or went since the counting began.
    UnderWay(i64),
    Known(u64),
}

/// What is known of a cookie that learn actions name.
#[derive(Debug, Default)]
pub(crate) struct CookieUse {
    n_rules: Count,
    n_users: u64,
    n_deleters: u64,
    /// The version as of which the rules were counted first.
    since: Version,
}

/// Rules with a cookie that are being counted.
#[derive(Debug)]
pub(crate) struct CookieCount {
    table_id: u8,
    cookie: u64,
    since: Version,
    walk: RuleWalk,
    n: u64,
}

impl Tables {
    pub(crate) fn has_no_cookies(&self) -> bool {
        self.cookies.is_empty()
    }

    /// How many rules of a table have a cookie that a learn action limits; `None` while that is not
    /// known yet.
    pub(crate) fn n_with_cookie(&self, table_id: u8, cookie: u64) -> Option<u64> {
        match self.cookies.get(&(table_id, cookie)).map(|known| known.n_rules) {
            Some(Count::Known(n_rules)) => Some(n_rules),
            Some(Count::UnderWay(_)) => None,
            // A packet-out that teaches.
            Some(Count::Unwanted) | None => Some(self.count_with_cookie(table_id, cookie)),
        }
    }

    fn count_with_cookie(&self, table_id: u8, cookie: u64) -> u64 {
        let Some(table) = self.get(table_id) else { return 0 };
        let rules = table.rules.iter(self.version).filter(|entry| entry.rule().cookie == cookie);
        rules.count() as u64
    }

    /// A rule came (+1) or went (-1) in `version`.
    pub(crate) fn count_cookie(&mut self, rule: &Rule, delta: i64, version: Version) {
        if let Some(known) = self.cookies.get_mut(&(rule.table_id, rule.cookie))
            && known.since != version
        {
            match &mut known.n_rules {
                Count::Unwanted => {}
                Count::UnderWay(change) => *change += delta,
                Count::Known(n_rules) => *n_rules = n_rules.saturating_add_signed(delta),
            }
        }
    }

    /// A rule with such an action came. Returns whether the rules with its cookie are to be counted.
    pub(crate) fn use_cookie(&mut self, user: UserOfCookie) -> bool {
        let UserOfCookie { table_id, cookie, limits, deletes } = user;
        let known = self.cookies.get(&(table_id, cookie));
        let is_unwanted = known.is_none_or(|known| known.n_rules == Count::Unwanted);
        let is_short = self.get(table_id).is_none_or(|table| table.n_rules() <= FEW_RULES);
        let (since, starts) = (self.version, limits && is_unwanted);
        let count = match starts && is_short {
            true => Count::Known(self.count_with_cookie(table_id, cookie)),
            false => Count::UnderWay(0),
        };
        let known = self.cookies.entry((table_id, cookie)).or_default();
        if starts {
            (known.n_rules, known.since) = (count, since);
        }
        known.n_users += 1;
        known.n_deleters += u64::from(deletes);
        starts && !is_short
    }

    /// A rule with such an action went. Returns whether the learned rules must go too.
    pub(crate) fn disuse_cookie(&mut self, user: UserOfCookie) -> bool {
        let key = (user.table_id, user.cookie);
        let Some(known) = self.cookies.get_mut(&key) else { return false };
        known.n_users = known.n_users.saturating_sub(1);
        known.n_deleters = known.n_deleters.saturating_sub(u64::from(user.deletes));
        let is_orphaned = user.deletes && known.n_deleters == 0;
        if known.n_users == 0 {
            self.cookies.remove(&key);
        }
        is_orphaned
    }

    /// The rules that there were when a count began are counted.
    fn end_count(&mut self, count: &CookieCount) {
        if let Some(known) = self.cookies.get_mut(&(count.table_id, count.cookie))
            && let Count::UnderWay(change) = known.n_rules
            && known.since == count.since
        {
            known.n_rules = Count::Known(count.n.saturating_add_signed(change));
        }
    }
}

impl Bridge {
    /// Begins to count the rules with these cookies.
    pub(crate) fn begin_counts(&mut self, wanted: Vec<(u8, u64)>) {
        for (table_id, cookie) in wanted {
            let walk = self.walk_cookie(table_id, cookie);
            let since = self.state.tables.version;
            self.cookie_counts.push_back(CookieCount { table_id, cookie, since, walk, n: 0 });
        }
    }

    /// Goes on counting, a bounded part of it.
    pub(crate) fn go_on_counting(&mut self) {
        let Some(mut count) = self.cookie_counts.pop_front() else { return };
        let mut n = 0;
        let goes_on = self.walk_on(&mut count.walk, PLACES_PER_CALL, |_| n += 1);
        count.n += n;
        match goes_on {
            true => self.cookie_counts.push_front(count),
            false => self.state.write().tables.end_count(&count),
        }
    }
}

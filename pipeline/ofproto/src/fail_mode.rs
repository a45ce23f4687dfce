//! What the bridge does of its own when controllers are absent (ovs-facts F2).
//!
//! Two situations, as in Open vSwitch:
//! - *No controller is configured*: a standalone bridge has the visible rule
//!   `priority=0 actions=NORMAL`. It is installed whenever the tables are emptied because that
//!   situation begins.
//! - *Controllers are configured but none is connected* (for longer than the agent's patience): a
//!   standalone bridge gets a hidden rule above all others with `actions=NORMAL`; it goes as soon
//!   as a controller is back.

use crate::bridge::{Bridge, FailMode};
use crate::change::{Change, Use};
use crate::rule::{Rule, RuleTimeouts};
use alloc::sync::Arc;
use alloc::vec;
use classifier::Priority;
use flow::{CompactMatch, Match};
use openflow::{Action, FlowModFlags, FlowRemovedReason, Instructions, OfPort};
use sync::time::Nanos;

/// Priority of the rule that makes a bridge without its controllers a learning bridge: above all
/// that OpenFlow can say (Open vSwitch's number).
const FAIL_OPEN_PRIORITY: Priority = 0x00f0_f0f0;

impl Bridge {
    /// Says whether controllers are configured. A change empties the tables, as in Open vSwitch.
    pub fn set_controllers(&mut self, configured: bool, now: Nanos) {
        if self.has_controllers == configured {
            return;
        }
        self.has_controllers = configured;
        self.set_controllers_connected(true, now);
        self.empty_tables(now);
    }

    /// Changes what it does without controllers. If it has none, its tables are emptied, as in Open
    /// vSwitch.
    pub fn set_fail_mode(&mut self, fail_mode: FailMode, now: Nanos) {
        if self.config.fail_mode == fail_mode {
            return;
        }
        self.config.fail_mode = fail_mode;
        if !self.has_controllers {
            self.empty_tables(now);
        }
    }

    /// Empties the tables, but for what a bridge without controllers starts with. Many rules go in
    /// slices, and all at one instant.
    fn empty_tables(&mut self, now: Nanos) {
        let sweep = self.sweep_of_all();
        self.begin_sweep(sweep, now);
    }

    /// Says whether any of the configured controllers is connected; `false` once the agent has
    /// waited long enough.
    pub fn set_controllers_connected(&mut self, connected: bool, now: Nanos) {
        let wants_rule =
            !connected && self.has_controllers && self.config.fail_mode == FailMode::Standalone;
        let table = self.state.tables.get(0);
        let version = self.state.tables.version;
        let rule = table.and_then(|table| {
            table.rules.find_exact(&Match::CATCHALL, FAIL_OPEN_PRIORITY, version)
        });
        let rule = rule.map(|entry| Arc::clone(entry.rule()));
        match rule {
            None if wants_rule => self.install_normal(FAIL_OPEN_PRIORITY, now),
            Some(rule) if !wants_rule => {
                self.remove_rules(&[rule], FlowRemovedReason::Delete, now);
            }
            _ => {}
        }
    }

    /// Whether the bridge forwards by itself because its controllers are unreachable.
    #[must_use]
    pub fn is_fail_open(&self) -> bool {
        let tables = &self.state.tables;
        tables.get(0).is_some_and(|table| {
            table.rules.find_exact(&Match::CATCHALL, FAIL_OPEN_PRIORITY, tables.version).is_some()
        })
    }

    /// Installs what a bridge without controllers starts with.
    pub(crate) fn install_default_rule(&mut self, now: Nanos) {
        if !self.has_controllers && self.config.fail_mode == FailMode::Standalone {
            self.install_normal(0, now);
        }
    }

    /// The same as part of a change.
    pub(crate) fn stage_default_rule(&mut self, change: &mut Change, now: Nanos) {
        if !self.has_controllers && self.config.fail_mode == FailMode::Standalone {
            self.stage_normal(change, 0, now);
        }
    }

    fn install_normal(&mut self, priority: Priority, now: Nanos) {
        self.finish_bundles(now);
        let mut change = self.begin_change();
        self.stage_normal(&mut change, priority, now);
        self.commit(change, now);
    }

    fn stage_normal(&mut self, change: &mut Change, priority: Priority, now: Nanos) {
        let rule = Rule {
            table_id: 0,
            priority,
            match_: CompactMatch::of(&Match::CATCHALL),
            cookie: 0,
            importance: 0,
            flags: FlowModFlags::empty(),
            instructions: Arc::new(Instructions::apply(vec![Action::output(OfPort::NORMAL)])),
            created: now,
            seq: self.next_seq(),
            timeouts: RuleTimeouts::new(0, 0, now),
            stats: self.tallies.begin(now),
        };
        // Table 0 is there, and where there is no room for the rule nothing can be done about it.
        let _no_room = self.put(change, rule, Use::Touch);
    }
}

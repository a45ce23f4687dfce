//! Flow monitors (OpenFlow 1.4.1 §7.3.5.18, and the extensions before it): whoever watches rules is told
//! of each change.
//!
//! # Own changes
//! Unless a monitor asks for more, what a peer changed itself is told by the transaction id of its
//! request. Like Open vSwitch, and for the sake of `ovs-ofctl`, "only own" means "own in full" too: others'
//! changes are told all the same.
//!
//! # Slow readers
//! When too much waits to be read, updates pause, and the peer is told. From then on just the rules that
//! go are kept in mind. When it has read everything, it is told of those, then of the
//! rules that came or changed meanwhile, as they are now; then updates go on. The rules that there
//! are when a monitor begins are told in the same way, without words about a pause.
//!
//! Rules of a bundle are older than the instant at which they are seen, and so than a pause that begins while
//! they are told of. What came or changed is therefore known by the age of the oldest of them.

use crate::connection::{Connection, Waiting};
use crate::long_reply::{Entries, LongReply};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ofproto::{Bridge, Rule, RuleEvent, RuleWalk};
use openflow::{
    FlowEvent, FlowMonitorRequest, FlowRemovedReason, FlowStatsRequest, FlowUpdate, Message,
    MonitorCommand, MonitorFlags, MultipartItem, MultipartKind, MultipartWriter, OfErrorKind,
    TABLE_ALL, Version,
};
use sync::time::Nanos;

/// With more rules than that, the first report is written as its reader reads.
const FEW_RULES: usize = 1024;
/// Monitors of one connection.
const MAX_MONITORS: usize = 64;
/// With so much unread, updates pause.
const PAUSE_BYTES: usize = 128 * 1024;

/// Rules that go while updates pause, beyond which the peer is given up.
const MAX_GONE: usize = 1 << 20;

/// What a connection watches.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    monitors: Vec<FlowMonitorRequest>,
    pause: Option<Pause>,
}

/// Updates are not sent as they come up.
#[derive(Debug, Default)]
struct Pause {
    /// Rules came or changed, the first of them at this time.
    changed: Option<Nanos>,
    /// Rules that have gone.
    gone: Vec<(Arc<Rule>, FlowRemovedReason)>,
    /// Whether the peer has been told of the pause.
    is_announced: bool,
}

/// A rule to tell of, and whether with its instructions.
pub(crate) type Update = (FlowEvent, Arc<Rule>, bool);

impl Watch {
    /// Whether there is any monitor.
    pub(crate) fn is_active(&self) -> bool {
        !self.monitors.is_empty()
    }

    /// Ends a monitor.
    pub(crate) fn cancel(&mut self, id: u32) -> Result<(), OfErrorKind> {
        let k = self.monitors.iter().position(|monitor| monitor.monitor_id == id);
        self.monitors.swap_remove(k.ok_or(OfErrorKind::MonitorUnknownId)?);
        if self.monitors.is_empty() {
            self.pause = None;
        }
        Ok(())
    }

    /// The flags of the monitors that want to hear of an event, together.
    fn wanted(&self, event: &RuleEvent) -> MonitorFlags {
        wanted(&self.monitors, event.event, &event.rule, event.old.as_deref())
    }
}

fn wanted(
    monitors: &[FlowMonitorRequest],
    event: FlowEvent,
    rule: &Rule,
    old: Option<&Rule>,
) -> MonitorFlags {
    let kind = match event {
        FlowEvent::Initial => MonitorFlags::INITIAL,
        FlowEvent::Added => MonitorFlags::ADD,
        FlowEvent::Removed(_) => MonitorFlags::REMOVED,
        FlowEvent::Modified => MonitorFlags::MODIFY,
    };
    let wants =
        |monitor: &&FlowMonitorRequest| monitor.flags.contains(kind) && covers(monitor, rule, old);
    monitors.iter().filter(wants).fold(MonitorFlags::empty(), |all, m| all | m.flags)
}

/// The rules that came or changed during a pause, on their way to whoever watches.
#[derive(Debug)]
pub(crate) struct Changed {
    monitors: Vec<FlowMonitorRequest>,
    since: Nanos,
    walk: RuleWalk,
}

impl Changed {
    /// Looks at `max` places of rules and tells of those that there are. Returns whether there may be more.
    pub(crate) fn go_on(
        &mut self,
        bridge: &Bridge,
        max: usize,
        mut tell: impl FnMut(&FlowUpdate),
    ) -> bool {
        let Self { monitors, since, walk } = self;
        bridge.walk_on(walk, max, |rule| {
            let event = match (rule.modified() >= *since, rule.created >= *since) {
                (false, _) => return,
                (true, true) => FlowEvent::Added,
                (true, false) => FlowEvent::Modified,
            };
            let flags = wanted(monitors, event, rule, None);
            if !flags.is_empty() {
                tell(&update(event, rule, flags.contains(MonitorFlags::INSTRUCTIONS)));
            }
        })
    }
}

fn covers(monitor: &FlowMonitorRequest, rule: &Rule, old: Option<&Rule>) -> bool {
    let leads = |rule: &Rule| rule.leads_to(monitor.out_port, openflow::GROUP_ANY);
    (monitor.table_id == TABLE_ALL || monitor.table_id == rule.table_id)
        && (leads(rule) || old.is_some_and(leads))
        && rule.leads_to(openflow::OfPort::ANY, monitor.out_group)
        && rule.is_within(&monitor.match_)
}

/// Begins, changes and ends monitors as a request says: all of it, or nothing.
pub(crate) fn request(
    xid: u32,
    requests: Vec<FlowMonitorRequest>,
    connection: &mut Connection,
    bridge: &mut Bridge,
    now: Nanos,
) -> Result<(), OfErrorKind> {
    let Some(version) = connection.version() else {
        return Ok(());
    };
    let mut monitors = connection.watch.monitors.clone();
    let (mut initial, mut walks): (Vec<Update>, _) = (Vec::new(), Vec::new());
    let has_many = bridge.state().tables.n_rules() > FEW_RULES;
    for request in requests {
        let known = monitors.iter().position(|m| m.monitor_id == request.monitor_id);
        match (request.command, known) {
            (MonitorCommand::Add, Some(_)) => return Err(OfErrorKind::MonitorExists),
            (MonitorCommand::Modify | MonitorCommand::Delete, None) => {
                return Err(OfErrorKind::MonitorUnknownId);
            }
            (MonitorCommand::Add, None) => {}
            (_, Some(k)) => drop(monitors.swap_remove(k)),
        }
        if request.command == MonitorCommand::Delete {
            continue;
        }
        if monitors.len() >= MAX_MONITORS {
            return Err(OfErrorKind::MonitorUnknown);
        }
        let is_table =
            request.table_id == TABLE_ALL || request.table_id < bridge.state().tables.n_tables();
        if !is_table {
            return Err(match version {
                Version::V14 | Version::V15 => OfErrorKind::MonitorBadTableId,
                _ => OfErrorKind::RequestBadTableId,
            });
        }
        if request.flags.contains(MonitorFlags::INITIAL) {
            let has_instructions = request.flags.contains(MonitorFlags::INSTRUCTIONS);
            let filter = filter(&request);
            if has_many {
                walks.push((bridge.begin_walk(&filter)?, has_instructions));
            } else {
                let rules = bridge.known_flow_stats(&filter)?.into_iter();
                initial.extend(rules.map(|rule| (FlowEvent::Initial, rule, has_instructions)));
            }
        }
        monitors.push(request);
    }
    let watch = &mut connection.watch;
    watch.monitors = monitors;
    bridge.watch_rules(true);
    if watch.pause.is_none() && !(initial.is_empty() && walks.is_empty()) {
        watch.pause = Some(Pause::default());
    }
    let entries = match walks.is_empty() {
        true => Entries::Updates(initial, None),
        false => Entries::Watched(walks),
    };
    let reply = LongReply::new(version, xid, MultipartKind::FlowMonitor, entries, now);
    connection.waiting = Waiting::Reply(Box::new(reply));
    Ok(())
}

fn filter(request: &FlowMonitorRequest) -> FlowStatsRequest {
    FlowStatsRequest {
        table_id: request.table_id,
        out_port: request.out_port,
        out_group: request.out_group,
        cookie: 0,
        cookie_mask: 0,
        match_: request.match_,
        format: openflow::FlowFormat::Standard,
    }
}

/// Tells the connections of what changed. `origin` is the connection, and the transaction id of its
/// request, that did it.
pub(crate) fn deliver(
    connections: &mut [Connection],
    bridge: &mut Bridge,
    origin: Option<(usize, u32)>,
) -> bool {
    let mut writers: Vec<Option<(MultipartWriter, bool)>> = Vec::new();
    while let Some(event) = bridge.take_rule_event() {
        writers.resize_with(connections.len(), || None);
        let each = connections.iter_mut().zip(&mut writers).enumerate();
        for (k, (connection, writer)) in each {
            let own = origin.filter(|(who, _)| *who == k).map(|(_, xid)| xid);
            tell(connection, writer, &event, own);
        }
    }
    let worked = !writers.is_empty();
    for (connection, writer) in connections.iter_mut().zip(writers) {
        if let Some((writer, _)) = writer {
            connection.out.tail().extend(writer.finish());
        }
        pause_if_slow(connection);
    }
    if bridge.take_rule_events_lost() {
        for connection in connections.iter_mut().filter(|c| c.watch.is_active()) {
            connection.ending = Some("more changed than its flow monitor can tell");
        }
    }
    worked
}

fn tell(
    connection: &mut Connection,
    writer: &mut Option<(MultipartWriter, bool)>,
    event: &RuleEvent,
    own: Option<u32>,
) {
    let Some(version) = connection.version() else { return };
    let flags = connection.watch.wanted(event);
    if flags.is_empty() {
        return;
    }
    if let Some(pause) = &mut connection.watch.pause {
        // Perhaps the peer never heard of it: then the word does no harm.
        let FlowEvent::Removed(reason) = event.event else {
            let at = event.rule.modified();
            pause.changed = Some(pause.changed.map_or(at, |earlier| earlier.min(at)));
            return;
        };
        pause.gone.push((Arc::clone(&event.rule), reason));
        if pause.gone.len() > MAX_GONE {
            connection.ending = Some("does not read what its flow monitor tells");
        }
        return;
    }
    let (writer, has_abbrev) = writer.get_or_insert_with(|| {
        (MultipartWriter::new(version, 0, MultipartKind::FlowMonitor), false)
    });
    let in_full = flags.intersects(MonitorFlags::NO_ABBREV | MonitorFlags::ONLY_OWN);
    match own {
        Some(xid) if !in_full => {
            if !core::mem::replace(has_abbrev, true) {
                writer.push(MultipartItem::FlowMonitor(&FlowUpdate::Abbrev { xid }));
            }
        }
        _ => {
            let has_instructions = flags.contains(MonitorFlags::INSTRUCTIONS);
            let update = update(event.event, &event.rule, has_instructions);
            writer.push(MultipartItem::FlowMonitor(&update));
        }
    }
}

/// What is told of a rule.
pub(crate) fn update(event: FlowEvent, rule: &Rule, has_instructions: bool) -> FlowUpdate {
    FlowUpdate::Full {
        event,
        table_id: rule.table_id,
        idle_timeout: rule.idle_timeout(),
        hard_timeout: rule.hard_timeout(),
        priority: u16::try_from(rule.priority).unwrap_or(u16::MAX),
        cookie: rule.cookie,
        match_: rule.match_.expand(),
        instructions: match has_instructions {
            true => openflow::Instructions::clone(&rule.instructions),
            false => openflow::Instructions::default(),
        },
    }
}

fn pause_if_slow(connection: &mut Connection) {
    let is_live = connection.watch.is_active() && connection.watch.pause.is_none();
    if is_live && connection.out.pending().len() > PAUSE_BYTES {
        connection.watch.pause = Some(Pause { is_announced: true, ..Pause::default() });
        connection.say(0, &Message::FlowMonitorPaused);
    }
}

/// Goes on with updates that paused, once the peer has read what there was; true if there was anything
/// to do.
pub(crate) fn resume(connection: &mut Connection, bridge: &mut Bridge, now: Nanos) -> bool {
    let Some(version) = connection.version() else { return false };
    let may = matches!(connection.waiting, Waiting::No) && connection.ending.is_none();
    let has_read = connection.out.pending().is_empty();
    let Some(pause) =
        connection.watch.pause.as_mut().filter(|pause| may && (has_read || !pause.is_announced))
    else {
        return false;
    };
    let (changed, gone) = (pause.changed.take(), core::mem::take(&mut pause.gone));
    let is_announced = pause.is_announced;
    if changed.is_none() && gone.is_empty() {
        connection.watch.pause = None;
        if is_announced {
            connection.say(0, &Message::FlowMonitorResumed);
        }
    } else {
        let removed =
            gone.into_iter().map(|(rule, reason)| (FlowEvent::Removed(reason), rule, false));
        let monitors = || connection.watch.monitors.clone();
        let changed = changed.map(|since| {
            Box::new(Changed { monitors: monitors(), since, walk: bridge.walk_all() })
        });
        let entries = Entries::Updates(removed.collect(), changed);
        let reply = LongReply::new(version, 0, MultipartKind::FlowMonitor, entries, now);
        connection.waiting = Waiting::Reply(Box::new(reply));
    }
    true
}

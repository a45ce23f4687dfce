//! Statistics and descriptions.
//!
//! A reply of one record or of a few ports is written at once. The rules of a large table are not:
//! [`LongReply`] walks over them and writes records while the peer reads, [`RULES_PER_CALL`] in a call, so
//! that a dump of a million rules holds nobody up and costs memory for a few at a time. Before it, the
//! statistics of cached flows are read, [`FLOWS_PER_CALL`] in a call where there are many. What it tells is
//! the rules that there were when it was asked for, with the counters of the moment of writing
//! (`ofproto::RuleWalk`). A few rules come sorted: by table, then the highest priority first.

use crate::agent::Shared;
use crate::connection::{Connection, Waiting};
use crate::monitor::{self, Update};
use crate::table_features;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::Dpif;
use ofproto::{Bridge, Crediting, Rule, RuleWalk};
use openflow::{
    AggregateStats, FlowEvent, FlowFormat, FlowStatsRequest, GroupDesc, GroupStats, Message,
    MeterConfig, MeterStats, MultipartBody, MultipartItem, MultipartKind, MultipartReply,
    MultipartRequest, MultipartWriter, OfErrorKind, OfPort, Version, bundle_flags,
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
/// Places of rules that one call looks at.
const PLACES_PER_CALL: usize = 16 * RULES_PER_CALL;
/// So many rules are collected and sorted.
const FEW_RULES: usize = 1024;

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
    /// Rules with their statistics.
    Flows(Vec<Arc<Rule>>),
    /// Rules with their counters alone.
    Counters(Vec<Arc<Rule>>),
    /// Rules of a walk with their statistics, or with their counters alone.
    Walk(RuleWalk, Told),
    /// Updates of flow monitors.
    Updates(Vec<Update>),
    /// The rules that there are when monitors begin, and whether with their instructions.
    Watched(Vec<(RuleWalk, bool)>),
    /// Groups with their statistics.
    Groups(Vec<GroupStats>),
    /// Descriptions of groups.
    GroupDescs(Vec<GroupDesc>),
    /// Meters with their statistics.
    Meters(Vec<MeterStats>),
    /// Configurations of meters.
    MeterConfigs(Vec<MeterConfig>),
    /// The features of every table, some 650 KiB when they are written.
    Tables(Version),
}

/// What is told of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// All statistics.
    All,
    /// The counters alone.
    Counters,
}

impl Told {
    fn write(self, rule: &Rule, as_of: Nanos, writer: &mut MultipartWriter) {
        let stats = rule.flow_stats(as_of);
        writer.push(match self {
            Told::All => MultipartItem::Flow(&stats),
            Told::Counters => MultipartItem::FlowCounters(&stats),
        });
    }
}

impl Entries {
    /// The rules that a request asks for.
    fn rules(
        request: &FlowStatsRequest,
        told: Told,
        bridge: &mut Bridge,
    ) -> Result<Entries, OfErrorKind> {
        if bridge.n_rules_asked_for(request) > FEW_RULES {
            return Ok(Entries::Walk(bridge.begin_walk(request)?, told));
        }
        let rules = bridge.known_flow_stats(request)?;
        Ok(match told {
            Told::All => Entries::Flows(rules),
            Told::Counters => Entries::Counters(rules),
        })
    }

    fn len(&self, bridge: &Bridge) -> usize {
        match self {
            Entries::Tables(_) => bridge.state().tables.n_tables().into(),
            Entries::Flows(rules) | Entries::Counters(rules) => rules.len(),
            // It ends when it ends.
            Entries::Walk(..) | Entries::Watched(_) => usize::MAX,
            Entries::Updates(updates) => updates.len(),
            Entries::Groups(stats) => stats.len(),
            Entries::GroupDescs(descs) => descs.len(),
            Entries::Meters(stats) => stats.len(),
            Entries::MeterConfigs(configs) => configs.len(),
        }
    }

    fn write(&self, k: usize, as_of: Nanos, bridge: &Bridge, writer: &mut MultipartWriter) {
        match self {
            Entries::Tables(version) => {
                let tables = &bridge.state().tables;
                tables.iter().nth(k).into_iter().for_each(|(id, table)| {
                    let features = table_features::describe_one(id, table, tables, *version);
                    writer.push(MultipartItem::TableFeatures(&features));
                });
            }
            Entries::Flows(rules) => {
                rules.get(k).into_iter().for_each(|rule| Told::All.write(rule, as_of, writer));
            }
            Entries::Counters(rules) => {
                rules.get(k).into_iter().for_each(|rule| Told::Counters.write(rule, as_of, writer));
            }
            Entries::Walk(..) | Entries::Watched(_) => {}
            Entries::Updates(updates) => {
                if let Some((event, rule, has_instructions)) = updates.get(k) {
                    let update = monitor::update(*event, rule, *has_instructions);
                    writer.push(MultipartItem::FlowMonitor(&update));
                }
            }
            Entries::Groups(all) => {
                all.get(k).into_iter().for_each(|one| writer.push(MultipartItem::Group(one)));
            }
            Entries::GroupDescs(all) => {
                all.get(k).into_iter().for_each(|one| writer.push(MultipartItem::GroupDesc(one)));
            }
            Entries::Meters(all) => {
                all.get(k).into_iter().for_each(|one| writer.push(MultipartItem::Meter(one)));
            }
            Entries::MeterConfigs(all) => {
                all.get(k).into_iter().for_each(|one| writer.push(MultipartItem::MeterConfig(one)));
            }
        }
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
    pub(crate) fn write(&mut self, bridge: &Bridge, out: &mut Vec<u8>) -> bool {
        let Some(writer) = &mut self.writer else {
            return true;
        };
        let before = out.len();
        let (mut n_rules, mut n_places) = (0, 0);
        while out.len() - before < BYTES_PER_CALL {
            let is_walk = matches!(self.entries, Entries::Walk(..) | Entries::Watched(_));
            let is_over =
                n_rules + RECORDS_PER_LOOK > RULES_PER_CALL || n_places >= PLACES_PER_CALL;
            if is_walk && is_over {
                return false;
            }
            n_places += RECORDS_PER_LOOK;
            let is_done = if let Entries::Walk(walk, told) = &mut self.entries {
                !bridge.walk_on(walk, RECORDS_PER_LOOK, |rule| {
                    n_rules += 1;
                    told.write(rule, self.as_of, writer);
                })
            } else if let Entries::Watched(walks) = &mut self.entries {
                if let Some((walk, has_instructions)) = walks.last_mut()
                    && !bridge.walk_on(walk, RECORDS_PER_LOOK, |rule| {
                        n_rules += 1;
                        let update = monitor::update(FlowEvent::Initial, rule, *has_instructions);
                        writer.push(MultipartItem::FlowMonitor(&update));
                    })
                {
                    walks.pop();
                }
                walks.is_empty()
            } else {
                let n = self.entries.len(bridge);
                let look = match self.entries {
                    Entries::Tables(_) => TABLES_PER_LOOK,
                    _ => RECORDS_PER_LOOK,
                };
                let end = n.min(self.n_written + look);
                (self.n_written..end)
                    .for_each(|k| self.entries.write(k, self.as_of, bridge, writer));
                self.n_written = end;
                end == n
            };
            if is_done {
                out.extend(self.writer.take().map(MultipartWriter::finish).unwrap_or_default());
                return true;
            }
            out.extend(writer.take_ready());
        }
        false
    }
}

/// The sum over the rules that an aggregate statistics request asks for, while it is made.
#[derive(Debug)]
pub(crate) struct Sum {
    walk: RuleWalk,
    so_far: AggregateStats,
    xid: u32,
    format: FlowFormat,
}

impl Sum {
    /// Goes on; the reply when it is done.
    pub(crate) fn go_on(&mut self, bridge: &Bridge) -> Option<(u32, Message)> {
        let so_far = &mut self.so_far;
        let goes_on = bridge.walk_on(&mut self.walk, PLACES_PER_CALL, |rule| rule.add_to(so_far));
        let body = MultipartBody::Aggregate(self.format, self.so_far);
        let reply = Message::MultipartReply(MultipartReply { more: false, body });
        (!goes_on).then_some((self.xid, reply))
    }
}

/// Cached flows whose statistics one call reads.
const FLOWS_PER_CALL: usize = 1024;

/// A request that waits until the statistics of all cached flows are read.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    crediting: Crediting,
    /// The message.
    pub(crate) request: Vec<u8>,
}

impl Credit {
    /// For this message.
    pub(crate) fn new(request: &[u8]) -> Self {
        Self { crediting: Crediting::default(), request: request.to_vec() }
    }

    /// Goes on; true when all are read.
    pub(crate) fn go_on(&mut self, bridge: &mut Bridge, now: Nanos) -> bool {
        !bridge.credit_on(&mut self.crediting, FLOWS_PER_CALL, now)
    }
}

/// Whether the answer tells what packets of cached flows are counted in.
pub(crate) fn tells_counters(request: &MultipartRequest) -> bool {
    matches!(
        request,
        MultipartRequest::Flow(_)
            | MultipartRequest::FlowCounters(_)
            | MultipartRequest::Aggregate(_)
            | MultipartRequest::Table
            | MultipartRequest::Group(_)
    )
}

/// Answers one request, with the statistics that are known.
pub(crate) fn answer(
    xid: u32,
    request: MultipartRequest,
    connection: &mut Connection,
    shared: &Shared,
    bridge: &mut Bridge,
    dpif: &mut dyn Dpif,
    now: Nanos,
) -> Result<(), OfErrorKind> {
    let Some(version) = connection.version() else {
        return Ok(());
    };
    let body = match request {
        MultipartRequest::Desc => MultipartBody::Desc(shared.config.description.clone()),
        MultipartRequest::Flow(request) => {
            let entries = Entries::rules(&request, Told::All, bridge)?;
            let kind = MultipartKind::Flow(request.format);
            let reply = LongReply::new(version, xid, kind, entries, now);
            connection.waiting = Waiting::Reply(Box::new(reply));
            return Ok(());
        }
        MultipartRequest::FlowCounters(request) => {
            let entries = Entries::rules(&request, Told::Counters, bridge)?;
            let reply = LongReply::new(version, xid, MultipartKind::FlowCounters, entries, now);
            connection.waiting = Waiting::Reply(Box::new(reply));
            return Ok(());
        }
        MultipartRequest::FlowMonitor(requests) => {
            return monitor::request(xid, requests, connection, bridge, now);
        }
        MultipartRequest::Aggregate(request) => {
            if bridge.n_rules_asked_for(&request) > FEW_RULES {
                let walk = bridge.begin_walk(&request)?;
                let (so_far, format) = (AggregateStats::default(), request.format);
                connection.waiting = Waiting::Sum(Box::new(Sum { walk, so_far, xid, format }));
                return Ok(());
            }
            MultipartBody::Aggregate(request.format, bridge.known_aggregate_stats(&request)?)
        }
        MultipartRequest::Table => {
            let mut tables = bridge.known_table_stats();
            for table in &mut tables {
                let config = bridge.table_config(table.table_id);
                table.abilities = table_features::abilities(version, config);
            }
            MultipartBody::Table(tables)
        }
        MultipartRequest::TableDesc => MultipartBody::TableDesc(bridge.table_descs()),
        MultipartRequest::Port(port) => MultipartBody::Port(bridge.port_stats(port, dpif, now)?),
        MultipartRequest::PortDesc(OfPort::ANY) => {
            MultipartBody::PortDesc(bridge.ports().map(|port| port.desc()).collect())
        }
        MultipartRequest::PortDesc(port) => {
            let port = bridge.state().ports.get(port).ok_or(OfErrorKind::RequestBadPort)?;
            MultipartBody::PortDesc([port.desc()].into())
        }
        MultipartRequest::BundleFeatures(_) => {
            MultipartBody::BundleFeatures(bundle_flags::ATOMIC | bundle_flags::ORDERED)
        }
        MultipartRequest::Queue { port, queue_id } => {
            MultipartBody::Queue(bridge.queue_stats(port, queue_id, dpif, now)?)
        }
        MultipartRequest::QueueDesc { port, queue_id } => {
            MultipartBody::QueueDesc(bridge.queue_descs(port, queue_id)?)
        }
        MultipartRequest::Group(id) => {
            let entries = Entries::Groups(bridge.known_group_stats(id, now));
            let reply = LongReply::new(version, xid, MultipartKind::Group, entries, now);
            connection.waiting = Waiting::Reply(Box::new(reply));
            return Ok(());
        }
        MultipartRequest::GroupDesc(id) => {
            let entries = Entries::GroupDescs(bridge.group_descs(id));
            let reply = LongReply::new(version, xid, MultipartKind::GroupDesc, entries, now);
            connection.waiting = Waiting::Reply(Box::new(reply));
            return Ok(());
        }
        MultipartRequest::GroupFeatures => {
            MultipartBody::GroupFeatures(bridge.group_features(version))
        }
        MultipartRequest::Meter(id) => {
            let entries = Entries::Meters(bridge.meter_stats(id, dpif, now)?);
            let reply = LongReply::new(version, xid, MultipartKind::Meter, entries, now);
            connection.waiting = Waiting::Reply(Box::new(reply));
            return Ok(());
        }
        MultipartRequest::MeterConfig(id) => {
            let entries = Entries::MeterConfigs(bridge.meter_configs(id)?);
            let reply = LongReply::new(version, xid, MultipartKind::MeterConfig, entries, now);
            connection.waiting = Waiting::Reply(Box::new(reply));
            return Ok(());
        }
        MultipartRequest::MeterFeatures => MultipartBody::MeterFeatures(bridge.meter_features()),
        MultipartRequest::TableFeatures { tables, more } => {
            if !table_features::change(xid, &tables, more, connection, bridge, version)? {
                return Ok(());
            }
            let (kind, entries) = (MultipartKind::TableFeatures, Entries::Tables(version));
            let reply = LongReply::new(version, xid, kind, entries, now);
            connection.waiting = Waiting::Reply(Box::new(reply));
            return Ok(());
        }
    };
    connection.say(xid, &Message::MultipartReply(MultipartReply { more: false, body }));
    Ok(())
}

//! Statistics and descriptions.
//!
//! A reply of one record or of a few ports is written at once. Rules, groups, meters and tables are not: a
//! [`LongReply`] writes records while the peer reads. Before it, the statistics of cached flows are read,
//! [`FLOWS_PER_CALL`] in a call where there are many. A few rules come sorted: by table, then the highest
//! priority first.

use crate::agent::Shared;
use crate::connection::{Connection, Waiting};
use crate::long_reply::{Entries, LongReply, Span};
use crate::{monitor, table_features};
use alloc::boxed::Box;
use alloc::vec::Vec;
use datapath::Dpif;
use ofproto::{Bridge, Counted, Crediting, RuleWalk};
use openflow::{
    AggregateStats, FlowFormat, FlowStatsRequest, Message, MultipartBody, MultipartKind,
    MultipartReply, MultipartRequest, OfErrorKind, OfPort, bundle_flags,
};
use sync::time::Nanos;

/// Places of rules that one call looks at.
pub(crate) const PLACES_PER_CALL: usize = 4096;
/// So many rules are collected and sorted.
const FEW_RULES: usize = 1024;

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

/// The rules that a request asks for.
fn rules(request: &FlowStatsRequest, bridge: &mut Bridge) -> Result<Entries, OfErrorKind> {
    if bridge.n_rules_asked_for(request) > FEW_RULES {
        return Ok(Entries::Walk(bridge.begin_walk(request)?));
    }
    Ok(Entries::Rules(bridge.known_flow_stats(request)?))
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
            let entries = rules(&request, bridge)?;
            let kind = MultipartKind::Flow(request.format);
            let reply = LongReply::new(version, xid, kind, entries, now);
            connection.waiting = Waiting::Reply(Box::new(reply));
            return Ok(());
        }
        MultipartRequest::FlowCounters(request) => {
            let entries = rules(&request, bridge)?;
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
            let entries =
                Entries::Groups(bridge.begin_census(Counted::Groups), Span::of_groups(id));
            let reply = LongReply::new(version, xid, MultipartKind::Group, entries, now);
            connection.waiting = Waiting::Reply(Box::new(reply));
            return Ok(());
        }
        MultipartRequest::GroupDesc(id) => {
            let entries = Entries::GroupDescs(Span::of_groups(id));
            let reply = LongReply::new(version, xid, MultipartKind::GroupDesc, entries, now);
            connection.waiting = Waiting::Reply(Box::new(reply));
            return Ok(());
        }
        MultipartRequest::GroupFeatures => {
            MultipartBody::GroupFeatures(bridge.group_features(version))
        }
        MultipartRequest::Meter(id) => {
            let span = Span::of_meters(id, bridge)?;
            let entries = Entries::Meters(bridge.begin_census(Counted::Meters), span);
            let reply = LongReply::new(version, xid, MultipartKind::Meter, entries, now);
            connection.waiting = Waiting::Reply(Box::new(reply));
            return Ok(());
        }
        MultipartRequest::MeterConfig(id) => {
            let entries = Entries::MeterConfigs(Span::of_meters(id, bridge)?);
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

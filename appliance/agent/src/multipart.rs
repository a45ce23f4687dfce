//! Statistics and descriptions.
//!
//! A reply of one record or of a few ports is written at once. The rules of a large table are not:
//! the request takes a list of them (a word each), and [`LongReply`] writes records while the peer
//! reads, so that a dump of a million rules costs memory for a few at a time.

use crate::agent::Shared;
use crate::connection::{Connection, Waiting};
use crate::table_features;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::Dpif;
use ofproto::{Bridge, Rule};
use openflow::{
    Message, MultipartBody, MultipartItem, MultipartReply, MultipartRequest, MultipartWriter,
    OfErrorKind, OfPort, PortDesc,
};
use sync::time::Nanos;

/// Records added between two looks at how much is ready.
const RECORDS_PER_LOOK: usize = 64;
/// Bytes that one call of [`LongReply::write`] adds, about.
const BYTES_PER_CALL: usize = 64 * 1024;

/// A reply with flow statistics that is still being written.
#[derive(Debug)]
pub(crate) struct LongReply {
    /// Taken when the last message is.
    writer: Option<MultipartWriter>,
    rules: Vec<Arc<Rule>>,
    n_written: usize,
    as_of: Nanos,
}

impl LongReply {
    /// Adds messages to `out`; true when the last one has been.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(writer) = &mut self.writer else {
            return true;
        };
        let before = out.len();
        while out.len() - before < BYTES_PER_CALL {
            let rest = self.rules.get(self.n_written..).unwrap_or_default();
            let some = rest.get(..RECORDS_PER_LOOK).unwrap_or(rest);
            for rule in some {
                writer.push(MultipartItem::Flow(&rule.flow_stats(self.as_of)));
            }
            self.n_written += some.len();
            if some.len() == rest.len() {
                out.extend(self.writer.take().map(MultipartWriter::finish).unwrap_or_default());
                return true;
            }
            out.extend(writer.take_ready());
        }
        false
    }
}

/// Answers one request.
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
            let rules = bridge.flow_stats(&request, now)?;
            let kind = MultipartBody::Flow(request.format, Vec::new()).kind();
            let writer = Some(MultipartWriter::new(version, xid, kind));
            let reply = LongReply { writer, rules, n_written: 0, as_of: now };
            connection.waiting = Waiting::Reply(reply);
            return Ok(());
        }
        MultipartRequest::Aggregate(request) => {
            MultipartBody::Aggregate(request.format, bridge.aggregate_stats(&request, now)?)
        }
        MultipartRequest::Table => MultipartBody::Table(bridge.table_stats(now)),
        MultipartRequest::Port(port) => MultipartBody::Port(bridge.port_stats(port, dpif, now)?),
        MultipartRequest::PortDesc(_) => MultipartBody::PortDesc(port_descs(bridge)),
        MultipartRequest::Queue { port, queue_id } => {
            if port != OfPort::ANY
                && port != OfPort::ALL
                && bridge.state().ports.get(port).is_none()
            {
                return Err(OfErrorKind::QueueBadPort);
            }
            if queue_id != openflow::QUEUE_ALL {
                return Err(OfErrorKind::QueueBadQueue);
            }
            MultipartBody::Queue(Vec::new())
        }
        MultipartRequest::Group(_) => MultipartBody::Group(Vec::new()),
        MultipartRequest::GroupDesc(_) => MultipartBody::GroupDesc(Vec::new()),
        MultipartRequest::GroupFeatures => MultipartBody::GroupFeatures(Default::default()),
        MultipartRequest::Meter(id) | MultipartRequest::MeterConfig(id)
            if id != openflow::METER_ALL =>
        {
            return Err(OfErrorKind::MeterModUnknownMeter);
        }
        MultipartRequest::Meter(_) => MultipartBody::Meter(Vec::new()),
        MultipartRequest::MeterConfig(_) => MultipartBody::MeterConfig(Vec::new()),
        MultipartRequest::MeterFeatures => MultipartBody::MeterFeatures(Default::default()),
        MultipartRequest::TableDesc
        | MultipartRequest::QueueDesc { .. }
        | MultipartRequest::FlowMonitor(_)
        | MultipartRequest::FlowCounters(_)
        | MultipartRequest::BundleFeatures(_) => return Err(OfErrorKind::RequestBadStat),
        MultipartRequest::TableFeatures(changes) => {
            if !changes.is_empty() {
                // What the tables can do is fixed.
                return Err(OfErrorKind::TableFeaturesEperm);
            }
            // More than fits one message.
            let features = table_features::describe(&bridge.state().tables, version);
            let kind = MultipartBody::TableFeatures(Vec::new()).kind();
            let mut writer = MultipartWriter::new(version, xid, kind);
            features.iter().for_each(|table| writer.push(MultipartItem::TableFeatures(table)));
            connection.out.tail().extend(writer.finish());
            return Ok(());
        }
    };
    connection.say(xid, &Message::MultipartReply(MultipartReply { more: false, body }));
    Ok(())
}

fn port_descs(bridge: &Bridge) -> Vec<PortDesc> {
    bridge.ports().map(|port| port.desc()).collect()
}

//! Statistics for the agent (OpenFlow 1.0.1 §5.3.5, 1.3.5 §7.3.5).
//!
//! Packets of cached flows are counted in the datapath and reach the rules when somebody reads
//! them. Whoever asks for statistics of rules, tables or groups reads them all first, so that the answer is
//! exact: at once ([`Bridge::credit_cached`]), or where many flows are cached, which takes
//! milliseconds, in slices ([`Bridge::credit_on`]). What begins with `known_` does not read them.

use crate::bridge::Bridge;
use crate::port::Port;
use crate::rule::Rule;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use datapath::{Dpif, DropReason};
use openflow::{
    AggregateStats, FlowStatsRequest, OfErrorKind, OfPort, PortStats, TableAbilities, TableStats,
};
use sync::time::Nanos;

impl Bridge {
    /// The rules that a flow statistics request asks for, in table order, highest priority first.
    /// Each turns into its reply by [`Rule::flow_stats`], when there is room to send it. Many are better
    /// asked for with [`Bridge::begin_walk`].
    ///
    /// # Errors
    /// There is no such table.
    pub fn flow_stats(
        &mut self,
        request: &FlowStatsRequest,
        now: Nanos,
    ) -> Result<Vec<Arc<Rule>>, OfErrorKind> {
        self.credit_cached(now);
        self.known_flow_stats(request)
    }

    /// The same with what is known.
    ///
    /// # Errors
    /// There is no such table.
    pub fn known_flow_stats(
        &self,
        request: &FlowStatsRequest,
    ) -> Result<Vec<Arc<Rule>>, OfErrorKind> {
        let mut rules = self.requested(request)?;
        rules.sort_by_key(|rule| (rule.table_id, Reverse(rule.priority), rule.seq));
        Ok(rules)
    }

    /// The sums over the rules that an aggregate statistics request asks for.
    ///
    /// # Errors
    /// There is no such table.
    pub fn aggregate_stats(
        &mut self,
        request: &FlowStatsRequest,
        now: Nanos,
    ) -> Result<AggregateStats, OfErrorKind> {
        self.credit_cached(now);
        self.known_aggregate_stats(request)
    }

    /// The same with what is known.
    ///
    /// # Errors
    /// There is no such table.
    pub fn known_aggregate_stats(
        &self,
        request: &FlowStatsRequest,
    ) -> Result<AggregateStats, OfErrorKind> {
        let mut sum = AggregateStats::default();
        for rule in self.requested(request)? {
            rule.add_to(&mut sum);
        }
        Ok(sum)
    }

    /// The statistics of every table.
    pub fn table_stats(&mut self, now: Nanos) -> Vec<TableStats> {
        self.credit_cached(now);
        self.known_table_stats()
    }

    /// The same with what is known.
    #[must_use]
    pub fn known_table_stats(&self) -> Vec<TableStats> {
        let tables = self.state.tables.iter();
        let stats = tables.map(|(id, table)| TableStats {
            table_id: id,
            // As Open vSwitch: tables have no names until somebody names them.
            name: String::from(table.name()),
            wildcards: OFPFW10_ALL,
            abilities: TableAbilities::default(),
            max_entries: u32::try_from(table.max_rules).unwrap_or(u32::MAX),
            active_count: u32::try_from(table.n_rules()).unwrap_or(u32::MAX),
            lookup_count: table.looked.n_lookups.get(),
            matched_count: table.looked.n_matched.get(),
        });
        stats.collect()
    }

    /// The statistics of one port, or of all for [`OfPort::ANY`].
    ///
    /// # Errors
    /// There is no such port.
    pub fn port_stats(
        &self,
        number: OfPort,
        dpif: &dyn Dpif,
        now: Nanos,
    ) -> Result<Vec<PortStats>, OfErrorKind> {
        let stats = |port: &Port| port_stats(port, dpif, now);
        if number == OfPort::ANY {
            return Ok(self.state.ports.iter().map(stats).collect());
        }
        let port = self.state.ports.get(number).ok_or(OfErrorKind::RequestBadPort)?;
        Ok([stats(port)].into())
    }

    fn requested(&self, request: &FlowStatsRequest) -> Result<Vec<Arc<Rule>>, OfErrorKind> {
        let tables = &self.state.tables;
        let mut rules = Vec::new();
        for table in self.tables_asked_for(request)?.filter_map(|id| tables.get(id)) {
            let found = table.rules.iter_matching(&request.match_, tables.version);
            let found = found.map(|entry| entry.rule());
            rules.extend(found.filter(|rule| rule.is_asked_for(request)).cloned());
        }
        Ok(rules)
    }
}

impl Rule {
    /// Adds its counters to a sum.
    pub fn add_to(&self, sum: &mut AggregateStats) {
        sum.packet_count = sum.packet_count.wrapping_add(self.stats.packets());
        sum.byte_count = sum.byte_count.wrapping_add(self.stats.bytes());
        sum.flow_count = sum.flow_count.saturating_add(1);
    }
}

/// All wildcard bits of OpenFlow 1.0 (1.0.1 §5.2.3).
const OFPFW10_ALL: u32 = (1 << 22) - 1;

fn port_stats(port: &Port, dpif: &dyn Dpif, now: Nanos) -> PortStats {
    let stats = port.dp().map(|dp| dpif.port_stats(dp)).unwrap_or_default();
    let age = now - port.added();
    PortStats {
        port: port.number(),
        rx_packets: stats.rx_packets,
        tx_packets: stats.tx_packets,
        rx_bytes: stats.rx_bytes,
        tx_bytes: stats.tx_bytes,
        rx_dropped: stats.rx_dropped(),
        tx_dropped: stats.tx_dropped(),
        rx_errors: stats.rx_errors(),
        tx_errors: 0,
        rx_frame_err: stats.drops.get(DropReason::RxMalformed),
        rx_over_err: stats.drops.get(DropReason::RxOversize),
        rx_crc_err: 0,
        collisions: 0,
        duration_sec: u32::try_from(age.as_secs()).unwrap_or(u32::MAX),
        duration_nsec: age.subsec_nanos(),
    }
}

//! Arbitrary questions and answers.

use openflow::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{
    flows::{flow_stats, monitor_request, updates},
    groups,
    matches::{any_match, fixed_match},
    meters::meter_config,
    ports::{name, port, port_desc, real_port},
    tables::{abilities, table_features, table_mod},
};

pub(super) fn body(version: Version) -> BoxedStrategy<MultipartBody> {
    let v10 = version == Version::V10;
    let format = if v10 {
        prop_oneof![Just(FlowFormat::Standard), Just(FlowFormat::Nxm)].boxed()
    } else {
        Just(FlowFormat::Standard).boxed()
    };
    let flows = format.clone().prop_flat_map(move |format| {
        vec(flow_stats(version, format), 0..4)
            .prop_map(move |flows| MultipartBody::Flow(format, flows))
    });
    let aggregate = (format, any::<(u64, u64, u32)>()).prop_map(|(format, n)| {
        let sum = AggregateStats { packet_count: n.0, byte_count: n.1, flow_count: n.2 };
        MultipartBody::Aggregate(format, sum)
    });
    let desc = (name(), name()).prop_map(|(manufacturer, serial)| {
        MultipartBody::Desc(SwitchDesc { manufacturer, serial, ..SwitchDesc::default() })
    });
    let tables = vec(any::<(u8, u32, u64)>(), 0..4).prop_map(move |tables| {
        let table = |(table_id, n, count): (u8, u32, u64)| TableStats {
            table_id,
            name: if version < Version::V13 { "table".into() } else { String::new() },
            wildcards: if v10 { n } else { 0 },
            abilities: abilities(version, n, count),
            max_entries: if version < Version::V13 { n } else { 0 },
            active_count: n,
            lookup_count: count,
            matched_count: count,
        };
        MultipartBody::Table(tables.into_iter().map(table).collect())
    });
    let ports = vec((port(), any::<[u64; 4]>(), any::<u32>()), 0..4).prop_map(move |ports| {
        let stats = |(port, n, duration): (OfPort, [u64; 4], u32)| PortStats {
            port,
            rx_packets: n[0],
            tx_packets: n[1],
            rx_bytes: n[2],
            collisions: n[3],
            duration_sec: if version < Version::V13 { 0 } else { duration },
            ..PortStats::default()
        };
        MultipartBody::Port(ports.into_iter().map(stats).collect())
    });
    let queues = vec((port(), any::<(u32, u64, u32)>()), 0..4).prop_map(move |queues| {
        let stats = |(port, n): (OfPort, (u32, u64, u32))| QueueStats {
            port,
            queue_id: n.0,
            tx_bytes: n.1,
            duration_nsec: if version < Version::V13 { 0 } else { n.2 },
            ..QueueStats::default()
        };
        MultipartBody::Queue(queues.into_iter().map(stats).collect())
    });
    let descs = vec(port_desc(version), 0..4).prop_map(MultipartBody::PortDesc);
    let common = prop_oneof![
        4 => flows, 1 => aggregate, 1 => desc, 1 => tables, 1 => ports, 1 => queues, 1 => descs
    ];
    if v10 {
        return prop_oneof![4 => common, 1 => groups::reply(version)].boxed();
    }
    let pairs = || vec(any::<(u64, u64)>(), 0..3);
    let groups = groups::reply(version);
    if version < Version::V13 {
        return prop_oneof![4 => common, 1 => groups, 1 => updates(version)].boxed();
    }
    let from13 = prop_oneof![
        1 => (any::<u32>(), pairs()).prop_map(|(meter_id, bands)| {
            MultipartBody::Meter(vec![MeterStats { meter_id, bands, ..MeterStats::default() }])
        }),
        1 => vec(meter_config(), 0..3).prop_map(MultipartBody::MeterConfig),
        1 => any::<(u32, u8)>().prop_map(|(n, few)| MultipartBody::MeterFeatures(MeterFeatures {
            max_meter: n,
            band_types: n,
            capabilities: n,
            max_bands: few,
            max_color: few,
        })),
        1 => vec(table_features(version), 0..3).prop_map(MultipartBody::TableFeatures),
    ];
    let early = prop_oneof![
        4 => common, 1 => groups, 2 => from13, 1 => updates(version)
    ];
    if version == Version::V13 {
        return early.boxed();
    }
    let queue = (port(), any::<u32>(), option::of(any::<u16>()), option::of(any::<u16>()));
    let from14 = prop_oneof![
        vec(table_mod(version), 1..3).prop_map(MultipartBody::TableDesc),
        vec(queue, 0..3).prop_map(|queues| {
            let desc = |(port, queue_id, min_rate, max_rate)| QueueDesc {
                port,
                config: QueueConfig { queue_id, min_rate, max_rate },
            };
            MultipartBody::QueueDesc(queues.into_iter().map(desc).collect())
        }),
    ];
    if version == Version::V14 {
        return prop_oneof![6 => early, 1 => from14].boxed();
    }
    let reasons = [FlowStatsReason::Request, FlowStatsReason::Trigger];
    let counters = flow_stats(version, FlowFormat::Standard);
    let counters =
        (counters, proptest::sample::select(reasons.to_vec())).prop_map(|(flow, reason)| {
            FlowStats {
                reason,
                table_id: flow.table_id,
                priority: flow.priority,
                match_: flow.match_,
                duration_sec: flow.duration_sec,
                duration_nsec: flow.duration_nsec,
                idle_age: flow.idle_age,
                packet_count: flow.packet_count,
                byte_count: flow.byte_count,
                ..FlowStats::default()
            }
        });
    let from15 = prop_oneof![
        vec(counters, 0..3).prop_map(MultipartBody::FlowCounters),
        any::<u16>().prop_map(MultipartBody::BundleFeatures),
    ];
    prop_oneof![6 => early, 1 => from14, 1 => from15].boxed()
}

pub(super) fn request(version: Version) -> BoxedStrategy<MultipartRequest> {
    let v10 = version == Version::V10;
    let filter = (any::<(u8, u64, u64, bool)>(), port(), any_match())
        .prop_map(move |((table_id, cookie, cookie_mask, nxm), out_port, match_)| {
            let fixed = v10 && !nxm;
            let cookie_mask = if fixed { 0 } else { cookie_mask };
            FlowStatsRequest {
                table_id,
                out_port,
                out_group: if v10 { GROUP_ANY } else { 9 },
                cookie: if v10 { cookie & cookie_mask } else { cookie },
                cookie_mask,
                match_: if fixed { fixed_match(&match_) } else { match_ },
                format: if v10 && nxm { FlowFormat::Nxm } else { FlowFormat::Standard },
            }
        })
        .boxed();
    let common = prop_oneof![
        Just(MultipartRequest::Desc),
        filter.clone().prop_map(|filter| MultipartRequest::Flow(Box::new(filter))),
        filter.clone().prop_map(|filter| MultipartRequest::Aggregate(Box::new(filter))),
        vec(monitor_request(version), 1..3).prop_map(MultipartRequest::FlowMonitor),
        Just(MultipartRequest::Table),
        real_port().prop_map(move |port| {
            MultipartRequest::PortDesc(if version == Version::V15 { port } else { OfPort::ANY })
        }),
        prop_oneof![real_port(), Just(OfPort::ANY)].prop_map(MultipartRequest::Port),
        (prop_oneof![real_port(), Just(OfPort::ANY)], any::<u32>())
            .prop_map(|(port, queue_id)| MultipartRequest::Queue { port, queue_id }),
    ];
    if v10 {
        return prop_oneof![4 => common, 1 => groups::request(version)].boxed();
    }
    let groups = groups::request(version);
    if version < Version::V13 {
        return prop_oneof![4 => common, 1 => groups].boxed();
    }
    let from13 = prop_oneof![
        any::<u32>().prop_map(MultipartRequest::Meter),
        any::<u32>().prop_map(MultipartRequest::MeterConfig),
        Just(MultipartRequest::MeterFeatures),
        (vec(table_features(version), 0..3), any::<bool>())
            .prop_map(|(tables, more)| MultipartRequest::TableFeatures { tables, more }),
    ];
    if version == Version::V13 {
        return prop_oneof![4 => common, 1 => groups, 2 => from13].boxed();
    }
    let from14 = prop_oneof![
        Just(MultipartRequest::TableDesc),
        (port(), any::<u32>())
            .prop_map(|(port, queue_id)| MultipartRequest::QueueDesc { port, queue_id }),
    ];
    if version == Version::V14 {
        return prop_oneof![4 => common, 1 => groups, 2 => from13, 1 => from14].boxed();
    }
    let from15 = prop_oneof![
        filter.prop_map(|filter| MultipartRequest::FlowCounters(Box::new(filter))),
        any::<u32>().prop_map(MultipartRequest::BundleFeatures),
    ];
    prop_oneof![4 => common, 1 => groups, 2 => from13, 1 => from14, 1 => from15].boxed()
}

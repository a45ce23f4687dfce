//! Expectations of groups, meters, and how traffic spreads.

use openflow::{GROUP_ALL, GroupStats, METER_ALL, MeterStats, OfPort};
use std::collections::BTreeMap;

use crate::expect::{block, equal};
use crate::world::World;

/// All groups as `dump-groups` prints them.
pub(crate) fn groups(world: &World, expected: &[String]) -> Result<(), String> {
    let descs = world.bridge.group_descs(GROUP_ALL);
    let got: Vec<String> = descs.iter().map(ToString::to_string).collect();
    block("groups", expected, &got)
}

/// `group 1 packets=3 bytes=180 ref_count=1 bucket0=2 bucket1=1`.
pub(crate) fn group(world: &mut World, rest: &str) -> Result<(), String> {
    let (id, words) = rest.split_once(' ').ok_or("group N WORDS")?;
    let id = id.parse().map_err(|_| id.to_owned())?;
    let stats = world.bridge.group_stats(id, world.now);
    let stats: &GroupStats = stats.first().ok_or("no such group")?;
    let mut got = vec![
        format!("packets={}", stats.packet_count),
        format!("bytes={}", stats.byte_count),
        format!("ref_count={}", stats.ref_count),
        format!("duration={}", stats.duration_sec),
    ];
    let buckets = stats.buckets.iter().enumerate();
    got.extend(buckets.map(|(place, (packets, _))| format!("bucket{place}={packets}")));
    has_words("group", words, &got)
}

/// All meters as `dump-meters` prints them, each on one line.
pub(crate) fn meters(world: &World, expected: &[String]) -> Result<(), String> {
    let configs = world.bridge.meter_configs(METER_ALL).map_err(|error| error.to_string())?;
    let got: Vec<String> = configs.iter().map(ToString::to_string).collect();
    block("meters", expected, &got)
}

/// `meter 1 packets=3 bytes=180 flows=1 band0=2`.
pub(crate) fn meter(world: &mut World, rest: &str) -> Result<(), String> {
    let (id, words) = rest.split_once(' ').ok_or("meter N WORDS")?;
    let id = id.parse().map_err(|_| id.to_owned())?;
    let stats = world.bridge.meter_stats(id, &world.dpif, world.now);
    let stats = stats.map_err(|error| error.to_string())?;
    let stats: &MeterStats = stats.first().ok_or("no such meter")?;
    let mut got = vec![
        format!("packets={}", stats.packet_in_count),
        format!("bytes={}", stats.byte_in_count),
        format!("flows={}", stats.flow_count),
        format!("duration={}", stats.duration_sec),
    ];
    let bands = stats.bands.iter().enumerate();
    got.extend(bands.map(|(place, (packets, _))| format!("band{place}={packets}")));
    has_words("meter", words, &got)
}

/// `shares 2=33 3=67 within=3`: the percentages of the frames since the last look that left by each
/// port, and how far they may be off.
pub(crate) fn shares(world: &mut World, rest: &str) -> Result<(), String> {
    let mut counts: BTreeMap<OfPort, usize> = BTreeMap::new();
    world.last_sent = core::mem::take(&mut world.sent);
    for (port, _) in &world.last_sent {
        *counts.entry(*port).or_default() += 1;
    }
    let total = world.last_sent.len().max(1);
    let got: Vec<String> =
        counts.iter().map(|(port, n)| format!("{port}={}", n * 100 / total)).collect();
    let mut expected: BTreeMap<OfPort, usize> = BTreeMap::new();
    let mut within = 0;
    for word in rest.split(' ') {
        let (port, value) = word.split_once('=').ok_or(word)?;
        let value: usize = value.parse().map_err(|_| word.to_owned())?;
        match OfPort::parse(port) {
            Some(port) => drop(expected.insert(port, value)),
            None => within = value,
        }
    }
    let is_near = |(port, percent): (&OfPort, &usize)| {
        let n = counts.get(port).copied().unwrap_or(0);
        (n * 100).abs_diff(percent * total) <= within * total
    };
    let has_others = counts.keys().any(|port| !expected.contains_key(port));
    if !has_others && expected.iter().all(is_near) {
        return Ok(());
    }
    equal("shares", rest, &got.join(" "))
}

fn has_words(what: &str, words: &str, got: &[String]) -> Result<(), String> {
    if words.split(' ').all(|word| got.iter().any(|got| got == word)) {
        return Ok(());
    }
    equal(what, words, &got.join(" "))
}

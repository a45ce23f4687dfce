//! Expectations: each compares what is with what is said, and says both when they differ.

use flow::text::NoNames;
use ofproto::BridgeEvent;
use openflow::OfPort;
use openflow::text::FlowStatsText;

use crate::events;
use crate::file::Line;
use crate::frames;
use crate::run::{Mode, Seen};
use crate::sets;
use crate::statement::{is_count, number};
use crate::world::{Refused, World, reason};

/// Judges one expectation.
pub(crate) fn judge(
    world: &mut World,
    seen: &mut Seen,
    mode: Mode,
    what: &str,
    rest: &str,
    line: &Line,
) -> Result<(), String> {
    match what {
        "out" => out(world, rest),
        "frame" => frame(world, rest),
        "drop" => drops(world, seen, rest),
        "flows" => flows(world, &line.block),
        "flow" => one_flow(world, rest),
        "fdb" => fdb(world, rest, &line.block),
        "event" => event(world, rest),
        "packet-in" | "flow-removed" | "port-status" => event(world, &format!("{what} {rest}")),
        "trace" => trace(world, rest, &line.block),
        "actions" => actions(world, rest),
        "groups" => sets::groups(world, &line.block),
        "group" => sets::group(world, rest),
        "meters" => sets::meters(world, &line.block),
        "meter" => sets::meter(world, rest),
        "shares" => sets::shares(world, rest),
        "port" => port(world, rest),
        "table" => table(world, rest),
        // Without caches there is nothing to expect of them.
        "megaflow" | "megaflows" | "cached" | "upcalls" if mode == Mode::Uncached => Ok(()),
        // Of packets that miss together, the core translates one.
        "upcalls" if mode == Mode::Inline => Ok(()),
        "megaflow" => megaflow(world, rest),
        "megaflows" => block("megaflows", &line.block, &world.megaflows()),
        "cached" => equal("cached flows", rest, &world.bridge.ukeys().len().to_string()),
        "upcalls" => {
            let now = world.bridge.stats().upcalls;
            let got = now - seen.upcalls;
            seen.upcalls = now;
            equal("upcalls", rest, &got.to_string())
        }
        _ => Err(format!("there is no expectation {what:?}")),
    }
}

pub(crate) fn equal(what: &str, expected: &str, got: &str) -> Result<(), String> {
    if expected == got {
        Ok(())
    } else {
        Err(format!("{what}\n  expected: {expected}\n  got:      {got}"))
    }
}

pub(crate) fn block(what: &str, expected: &[String], got: &[String]) -> Result<(), String> {
    if expected == got {
        return Ok(());
    }
    let lines =
        |lines: &[String]| -> String { lines.iter().map(|line| format!("\n    {line}")).collect() };
    Err(format!("{what}\n  expected:{}\n  got:{}", lines(expected), lines(got)))
}

/// `out 2,3`, `out LOCAL`, `out none`: the ports that frames left by since the last look, in order.
fn out(world: &mut World, rest: &str) -> Result<(), String> {
    let ports: Vec<String> = world.sent.iter().map(|(port, _)| port.to_string()).collect();
    let got = if ports.is_empty() { "none".to_owned() } else { ports.join(",") };
    let result = equal("out", rest, &got);
    world.last_sent = core::mem::take(&mut world.sent);
    result.map_err(|problem| {
        let frames: String = world
            .last_sent
            .iter()
            .map(|(port, frame)| format!("\n  {port}: {}", frames::show(frame)))
            .collect();
        problem + &frames
    })
}

/// `frame 2 FRAME`: the bytes of the first frame that left by a port, of those that `out` named;
/// `frame 2#1 …` of the second one; `frame 2 key FLOW`: just its headers; `frame 2 length N`.
fn frame(world: &mut World, rest: &str) -> Result<(), String> {
    let (place, rest) = rest.split_once(' ').ok_or("frame PORT FRAME")?;
    let (port, index) = match place.split_once('#') {
        None => (place, 0),
        Some((port, index)) => (port, index.parse().map_err(|_| place.to_owned())?),
    };
    let port = number(port).map_err(text)?;
    let mut frames = world.last_sent.iter().filter(|(to, _)| *to == port);
    let (_, got) = frames.nth(index).ok_or_else(|| format!("no such frame left by {port}"))?;
    if let Some(key) = rest.strip_prefix("key ") {
        let expected = frames::key(key)?;
        return equal("key of the frame", &expected.to_string(), &frames::key_of(got).to_string());
    }
    if let Some(length) = rest.strip_prefix("length ") {
        return equal("length of the frame", length, &got.len().to_string());
    }
    let expected = frames::frame(rest)?;
    equal("frame", &frames::show(&expected), &frames::show(got))
}

fn text(refused: Refused) -> String {
    match refused {
        Refused::Text(text) => text,
        Refused::Error(kind) => kind.to_string(),
    }
}

/// `drop no-rule [x3]`: frames that died since the last look, all of them for this reason;
/// `drop none`.
fn drops(world: &World, seen: &mut Seen, rest: &str) -> Result<(), String> {
    let now = world.drops();
    let fresh: Vec<String> = now
        .iter()
        .map(|(reason, n)| (reason, n - seen.drops.get(reason)))
        .filter(|(_, n)| *n != 0)
        .map(|(reason, n)| format!("{} x{n}", reason.name()))
        .collect();
    seen.drops = now;
    let got = if fresh.is_empty() { "none".to_owned() } else { fresh.join(", ") };
    let expected: Vec<String> = rest
        .split(", ")
        .map(|word| match word.rsplit_once(' ') {
            Some((_, count)) if is_count(count) => word.to_owned(),
            _ if word == "none" => word.to_owned(),
            _ => format!("{word} x1"),
        })
        .collect();
    for word in &expected {
        let name = word.split(' ').next().unwrap_or_default();
        if name != "none" && reason(name).is_none() {
            return Err(format!("there is no drop reason {name:?}"));
        }
    }
    equal("drops", &expected.join(", "), &got)
}

/// All rules as `dump-flows` prints them. Of cookie, duration, table and counters those are
/// compared that the expected line has.
fn flows(world: &mut World, expected: &[String]) -> Result<(), String> {
    let rules = world.rules()?;
    let got: Vec<String> = rules
        .iter()
        .map(|rule| {
            let stats = rule.flow_stats(world.now);
            FlowStatsText { stats: &stats, ports: &NoNames, show_stats: true }.to_string()
        })
        .collect();
    let same = expected.len() == got.len()
        && expected.iter().zip(&got).all(|(expected, got)| is_flow(expected, got));
    if same { Ok(()) } else { block("flows", expected, &got) }
}

/// One of the rules is like this.
fn one_flow(world: &mut World, expected: &str) -> Result<(), String> {
    let rules = world.rules()?;
    let got: Vec<String> = rules
        .iter()
        .map(|rule| {
            let stats = rule.flow_stats(world.now);
            FlowStatsText { stats: &stats, ports: &NoNames, show_stats: true }.to_string()
        })
        .collect();
    if got.iter().any(|got| is_flow(expected, got)) {
        return Ok(());
    }
    block("no such flow", &[expected.to_owned()], &got)
}

fn is_flow(expected: &str, got: &str) -> bool {
    let (expected, expected_rest) = head(expected);
    let (got, got_rest) = head(got);
    let has_rest = got_rest == expected_rest || without_ages(got_rest) == expected_rest;
    has_rest && expected.iter().all(|item| got.contains(item))
}

/// A line without the ages, which stand behind timeouts and flags.
fn without_ages(line: &str) -> String {
    let mut text = line.to_owned();
    for key in ["idle_age=", "hard_age="] {
        if let Some(at) = text.find(key)
            && let Some(len) = text[at..].find(", ")
        {
            text.replace_range(at..at + len + 2, "");
        }
    }
    text
}

/// The counters and the like at the start of a line, and what follows them.
fn head(line: &str) -> (Vec<&str>, &str) {
    let mut items = Vec::new();
    let mut rest = line.trim();
    while let Some((item, tail)) = rest.split_once(", ") {
        let is_statistic =
            ["cookie=", "duration=", "table=", "n_packets=", "n_bytes=", "idle_age=", "hard_age="]
                .iter()
                .any(|key| item.starts_with(key));
        if !is_statistic {
            break;
        }
        items.push(item);
        rest = tail;
    }
    (items, rest)
}

/// Port, VLAN, address and age of all learned addresses, or `none`.
fn fdb(world: &World, rest: &str, expected: &[String]) -> Result<(), String> {
    let shown = world.bridge.fdb_show(world.now);
    let mut got: Vec<String> = shown
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    got.sort();
    let mut expected = expected.to_vec();
    expected.sort();
    if rest == "none" && !expected.is_empty() {
        return Err("none, and a block".to_owned());
    }
    block("fdb", &expected, &got)
}

/// The next event has these words; `event none`: there is none.
fn event(world: &mut World, rest: &str) -> Result<(), String> {
    let (kind, words) = rest.split_once(' ').unwrap_or((rest, ""));
    let at = match kind {
        // Ports that come are told too; who wants to see that asks for port-status.
        "none" => {
            let is_other = |event: &&BridgeEvent| !matches!(event, BridgeEvent::PortStatus(_));
            return match world.events.iter().find(is_other) {
                None => Ok(()),
                Some(event) => equal("event", rest, &events::words(event).join(" ")),
            };
        }
        _ => world.events.iter().position(|event| events::words(event)[0] == kind),
    };
    if words == "none" {
        return match at {
            None => Ok(()),
            Some(at) => equal("event", rest, &events::words(&world.events[at]).join(" ")),
        };
    }
    let Some(at) = at else {
        return Err(format!("event\n  expected: {rest}\n  got:      none of this kind"));
    };
    let got = events::words(&world.events.remove(at));
    let has_all = words.split(' ').filter(|word| !word.is_empty()).all(|word| {
        match word.split_once("match=") {
            Some(("", wanted)) => got.contains(&format!("match={wanted}")),
            _ => got.iter().any(|got| got == word),
        }
    });
    if has_all { Ok(()) } else { equal("event", rest, &got.join(" ")) }
}

/// What `ofproto/trace` prints.
fn trace(world: &World, rest: &str, expected: &[String]) -> Result<(), String> {
    let text = rest.trim_end_matches(':');
    let flow = flow::text::parse_flow(text, &NoNames).map_err(|error| error.to_string())?;
    let shown = world.bridge.trace(&flow);
    let got: Vec<String> =
        shown.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let pairs = || expected.iter().zip(&got);
    let same = expected.len() == got.len() && pairs().all(|(text, line)| is_like(text, line));
    if same { Ok(()) } else { block("trace", expected, &got) }
}

/// Whether a line is this text, in which each `*` stands for anything.
fn is_like(text: &str, line: &str) -> bool {
    let Some((start, rest)) = text.split_once('*') else {
        return text == line;
    };
    let Some(line) = line.strip_prefix(start) else {
        return false;
    };
    (0..=line.len()).any(|at| line.get(at..).is_some_and(|tail| is_like(rest, tail)))
}

/// `actions FLOW => ACTIONS`: what the datapath would get.
fn actions(world: &World, rest: &str) -> Result<(), String> {
    let (flow, expected) = rest.split_once(" => ").ok_or("actions FLOW => ACTIONS")?;
    let flow = flow::text::parse_flow(flow, &NoNames).map_err(|error| error.to_string())?;
    let shown = world.bridge.trace(&flow);
    let got = shown.lines().find_map(|line| line.strip_prefix("Datapath actions: "));
    equal("datapath actions", expected, got.unwrap_or_default())
}

/// Some megaflow is like this.
fn megaflow(world: &World, rest: &str) -> Result<(), String> {
    let got = world.megaflows();
    if got.iter().any(|megaflow| megaflow == rest) {
        return Ok(());
    }
    block("no such megaflow", &[rest.to_owned()], &got)
}

/// `port 1 rx_packets=3 tx_bytes=60 …`.
fn port(world: &World, rest: &str) -> Result<(), String> {
    let (port, words) = rest.split_once(' ').ok_or("port PORT WORDS")?;
    let port: OfPort = number(port).map_err(text)?;
    let stats =
        world.bridge.port_stats(port, &world.dpif, world.now).map_err(|error| error.to_string())?;
    let stats = stats.first().ok_or("no statistics")?;
    let got = [
        format!("rx_packets={}", stats.rx_packets),
        format!("rx_bytes={}", stats.rx_bytes),
        format!("rx_dropped={}", stats.rx_dropped),
        format!("rx_errors={}", stats.rx_errors),
        format!("tx_packets={}", stats.tx_packets),
        format!("tx_bytes={}", stats.tx_bytes),
        format!("tx_dropped={}", stats.tx_dropped),
        format!("duration={}", stats.duration_sec),
    ];
    if words.split(' ').all(|word| got.iter().any(|got| got == word)) {
        return Ok(());
    }
    equal("port statistics", words, &got.join(" "))
}

/// `table 0 active=2 lookups=5 matched=3`.
fn table(world: &mut World, rest: &str) -> Result<(), String> {
    let (id, words) = rest.split_once(' ').ok_or("table N WORDS")?;
    let stats = world.bridge.table_stats(world.now);
    let stats = stats.iter().find(|table| table.table_id.to_string() == id);
    let stats = stats.ok_or("no such table")?;
    let got = [
        format!("active={}", stats.active_count),
        format!("lookups={}", stats.lookup_count),
        format!("matched={}", stats.matched_count),
    ];
    if words.split(' ').all(|word| got.iter().any(|got| got == word)) {
        return Ok(());
    }
    equal("table statistics", words, &got.join(" "))
}

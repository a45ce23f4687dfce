//! The commands of `ovs-appctl`, under Open vSwitch's names and in its formats.

mod fdb;
mod pmd;
mod revalidator;

use crate::control::Control;
use crate::coverage;
use crate::order;
use crate::telemetry;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;
use datapath::CoreCounters;
use log::LevelFilter;
use ofproto::{Bridge, OfPort};
use sync::time::Nanos;

/// Megaflows in one answer; more would not fit a client's patience.
const MAX_DUMPED: usize = 10_000;

/// What a command answers: a text, or a text that says why not.
type Outcome = Result<String, String>;

/// One command.
struct Command {
    name: &'static str,
    usage: &'static str,
    n_params: core::ops::RangeInclusive<usize>,
    run: fn(&mut Control, &[String], Nanos) -> Outcome,
}

/// Every command, in the order of its names.
const COMMANDS: &[Command] = &[
    Command {
        name: "coverage/read-counter",
        usage: "COUNTER",
        n_params: 1..=1,
        run: coverage_read_counter,
    },
    Command { name: "coverage/show", usage: "", n_params: 0..=0, run: coverage_show },
    Command {
        name: "dpctl/dump-flows",
        usage: "[-m] [--names] [dp] [pmd=core]",
        n_params: 0..=4,
        run: pmd::dump_flows,
    },
    Command { name: "dpctl/show", usage: "[-s] [dp]", n_params: 0..=2, run: pmd::dpctl_show },
    Command {
        name: "dpif-netdev/pmd-perf-show",
        usage: "[-pmd core] [dp]",
        n_params: 0..=3,
        run: pmd::perf_show,
    },
    Command {
        name: "dpif-netdev/pmd-rxq-rebalance",
        usage: "[dp]",
        n_params: 0..=1,
        run: pmd::rxq_rebalance,
    },
    Command {
        name: "dpif-netdev/pmd-rxq-show",
        usage: "[-pmd core] [-secs secs] [dp]",
        n_params: 0..=5,
        run: pmd::rxq_show,
    },
    Command {
        name: "dpif-netdev/pmd-stats-clear",
        usage: "[dp]",
        n_params: 0..=1,
        run: pmd::stats_clear,
    },
    Command {
        name: "dpif-netdev/pmd-stats-show",
        usage: "[-pmd core] [dp]",
        n_params: 0..=3,
        run: pmd::stats_show,
    },
    Command {
        name: "dpif-netdev/subtable-show",
        usage: "[dp]",
        n_params: 0..=1,
        run: pmd::subtable_show,
    },
    Command { name: "exit", usage: "[--cleanup]", n_params: 0..=1, run: exit },
    Command { name: "fdb/add", usage: "bridge port vlan mac", n_params: 4..=4, run: fdb::add },
    Command { name: "fdb/del", usage: "bridge vlan mac", n_params: 3..=3, run: fdb::del },
    Command { name: "fdb/flush", usage: "[bridge]", n_params: 0..=1, run: fdb::flush },
    Command { name: "fdb/show", usage: "bridge", n_params: 0..=1, run: fdb::show },
    Command { name: "fdb/stats-clear", usage: "[bridge]", n_params: 0..=1, run: fdb::stats_clear },
    Command { name: "fdb/stats-show", usage: "bridge", n_params: 0..=1, run: fdb::stats_show },
    Command { name: "list-commands", usage: "", n_params: 0..=0, run: list_commands },
    Command { name: "memory/show", usage: "", n_params: 0..=0, run: memory_show },
    Command { name: "ofproto/list", usage: "", n_params: 0..=0, run: ofproto_list },
    Command {
        name: "ofproto/trace",
        usage: "[bridge] {flow | packet-in-hex}",
        n_params: 1..=3,
        run: trace,
    },
    Command { name: "revalidator/pause", usage: "", n_params: 0..=0, run: revalidator::pause },
    Command { name: "revalidator/purge", usage: "", n_params: 0..=0, run: revalidator::purge },
    Command { name: "revalidator/resume", usage: "", n_params: 0..=0, run: revalidator::resume },
    Command { name: "revalidator/wait", usage: "", n_params: 0..=0, run: revalidator::wait },
    Command { name: "uniswitch/get", usage: "[KEY]", n_params: 0..=1, run: revalidator::get },
    Command { name: "uniswitch/keep", usage: "", n_params: 0..=0, run: revalidator::keep },
    Command {
        name: "uniswitch/self-check",
        usage: "",
        n_params: 0..=0,
        run: revalidator::self_check,
    },
    Command { name: "uniswitch/set", usage: "KEY VALUE", n_params: 2..=2, run: revalidator::set },
    Command { name: "uniswitch/telemetry", usage: "", n_params: 0..=0, run: telemetry_report },
    Command {
        name: "upcall/set-flow-limit",
        usage: "flow-limit-number",
        n_params: 1..=1,
        run: revalidator::set_flow_limit,
    },
    Command { name: "upcall/show", usage: "", n_params: 0..=0, run: upcall_show },
    Command { name: "version", usage: "", n_params: 0..=0, run: version },
    Command { name: "vlog/list", usage: "", n_params: 0..=0, run: vlog_list },
    Command {
        name: "vlog/set",
        usage: "{level | module:destination:level}...",
        n_params: 1..=16,
        run: vlog_set,
    },
];

/// Runs the command `method`.
pub(crate) fn run(method: &str, params: &[String], control: &mut Control, now: Nanos) -> Outcome {
    let Some(command) = COMMANDS.iter().find(|command| command.name == method) else {
        return Err(format!(
            "\"{method}\" is not a valid command (use \"list-commands\" to see a list of valid commands)"
        ));
    };
    let Command { name, usage, n_params, run } = command;
    if params.len() < *n_params.start() {
        return Err(format!(
            "\"{name}\" command requires at least {} arguments: {usage}",
            n_params.start()
        ));
    }
    if params.len() > *n_params.end() {
        return Err(format!(
            "\"{name}\" command takes at most {} arguments: {usage}",
            n_params.end()
        ));
    }
    run(control, params, now)
}

fn list_commands(_: &mut Control, _: &[String], _: Nanos) -> Outcome {
    let mut text = String::from("The available commands are:\n");
    for Command { name, usage, .. } in COMMANDS {
        let line = format!("  {name:<23} {usage}");
        text += line.trim_end();
        text.push('\n');
    }
    Ok(text)
}

fn version(_: &mut Control, _: &[String], _: Nanos) -> Outcome {
    Ok(format!("uniswitch {}\n", env!("CARGO_PKG_VERSION")))
}

fn exit(control: &mut Control, _: &[String], _: Nanos) -> Outcome {
    control.exit = true;
    Ok(String::new())
}

/// The bridge of that name; without a name, the first.
fn bridge<'a>(control: &'a mut Control, name: Option<&String>) -> Result<&'a mut Bridge, String> {
    let mut bridges = control.bridges.iter_mut().map(|member| &mut member.bridge);
    let found = match name {
        Some(name) => bridges.find(|bridge| bridge.name() == name),
        None => bridges.next(),
    };
    found.ok_or_else(|| "no such bridge".to_string())
}

fn ofproto_list(control: &mut Control, _: &[String], _: Nanos) -> Outcome {
    Ok(control.bridges.iter().map(|member| format!("{}\n", member.bridge.name())).collect())
}

fn trace(control: &mut Control, params: &[String], _: Nanos) -> Outcome {
    // As in Open vSwitch the bridge may be left out, and a frame may follow the flow.
    let (name, rest) = match params {
        [name, rest @ ..] if control.bridges.by_name(name).is_some() => (Some(name), rest),
        [name, _, ..] if !name.contains('=') => (Some(name), params.get(1..).unwrap_or(&[])),
        all => (None, all),
    };
    let bridge = bridge(control, name).map_err(|error| match name {
        Some(name) => format!("{name}: unknown bridge"),
        None => error,
    })?;
    let [what, frame @ ..] = rest else {
        return Err("no flow to trace".to_string());
    };
    let names = Names(bridge);
    let flow = flow::text::parse_flow(what, &names).map_err(|error| error.to_string())?;
    let Some(hex) = frame.first() else {
        return Ok(bridge.trace(&flow));
    };
    let bytes = unhex(hex).ok_or("the frame must be an even number of hexadecimal digits")?;
    Ok(bridge.trace_frame(&bytes, OfPort(flow.in_port())))
}

/// The bytes that hexadecimal digits spell; blanks between them are passed over.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let (pairs, []) = digits.as_ref()?.as_chunks::<2>() else {
        return None;
    };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// The names of the bridge's ports.
struct Names<'a>(&'a Bridge);

impl flow::text::PortNames for Names<'_> {
    fn name(&self, port: u32) -> Option<&str> {
        self.0.state().ports.get(OfPort(port)).map(ofproto::Port::name)
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.0.state().ports.by_name(name).map(|port| port.number().0)
    }
}

fn telemetry_report(control: &mut Control, _: &[String], now: Nanos) -> Outcome {
    Ok(telemetry::report(control, now))
}

/// One of a core's counters.
type Counter = fn(&CoreCounters) -> u64;

/// The sum of one counter over all cores.
fn sum(control: &Control, counter: Counter) -> u64 {
    control.dpif.core_counters().map(counter).fold(0, u64::wrapping_add)
}

fn upcall_show(control: &mut Control, _: &[String], _: Nanos) -> Outcome {
    let bridges: String = control.bridges.iter().map(|m| m.bridge.upcall_show()).collect();
    Ok(bridges + &crate::upcalls::show(control))
}

fn coverage_show(control: &mut Control, _: &[String], _: Nanos) -> Outcome {
    Ok(control.coverage.show(&coverage::totals(control)))
}

fn coverage_read_counter(control: &mut Control, params: &[String], _: Nanos) -> Outcome {
    let totals = coverage::totals(control);
    let found = params.first().and_then(|name| totals.iter().find(|(other, _)| other == name));
    found.map(|(_, total)| format!("{total}\n")).ok_or_else(|| "No such counter".to_string())
}

fn memory_show(control: &mut Control, _: &[String], _: Nanos) -> Outcome {
    let (used, total) = (control.memory)();
    let (small, jumbo) = control.pool.available();
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, n) in control.bridges.iter().flat_map(|member| member.bridge.memory_usage()) {
        *sums.entry(name).or_default() += n;
    }
    let mut usage: Vec<(&str, u64)> = sums.into_iter().collect();
    usage.extend([
        ("buffers-free", small as u64),
        ("heap-total", total as u64),
        ("heap-used", used as u64),
        ("jumbo-buffers-free", jumbo as u64),
    ]);
    order::sort(&mut usage, Ord::cmp);
    let words: Vec<String> = usage.iter().map(|(name, n)| format!("{name}:{n}")).collect();
    Ok(words.join(" ") + "\n")
}

fn vlog_list(_: &mut Control, _: &[String], _: Nanos) -> Outcome {
    let level = match log::max_level() {
        LevelFilter::Off => "OFF",
        LevelFilter::Error => "ERR",
        LevelFilter::Warn => "WARN",
        LevelFilter::Info => "INFO",
        LevelFilter::Debug | LevelFilter::Trace => "DBG",
    };
    let mut text = String::from("                 console    syslog    file\n");
    text += "                 -------    ------    ------\n";
    let _ = writeln!(text, "all              {level:<10} OFF       OFF");
    Ok(text)
}

/// `vlog/set dbg`, or Open vSwitch's `module:destination:level`, of which the module and the
/// destination must be those that there are: `ANY` and `console`.
fn vlog_set(_: &mut Control, params: &[String], _: Nanos) -> Outcome {
    for param in params {
        let mut level = None;
        for word in param.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
            match word.to_ascii_lowercase().as_str() {
                "off" => level = Some(LevelFilter::Off),
                "emer" | "err" => level = Some(LevelFilter::Error),
                "warn" => level = Some(LevelFilter::Warn),
                "info" => level = Some(LevelFilter::Info),
                "dbg" => level = Some(LevelFilter::Debug),
                "any" | "console" => {}
                _ => return Err(format!("no destination, level, or module \"{word}\"")),
            }
        }
        log::set_max_level(level.unwrap_or(LevelFilter::Debug));
    }
    Ok(String::new())
}

//! Statements that do something; those that expect something are in `expect.rs`.

use ofproto::{BridgeConfig, Fragments, Link};
use openflow::{FlowModCommand, GroupModCommand, MeterModCommand, OfPort, PortConfig, Version};
use sync::time::Nanos;

use crate::frames;
use crate::world::{Refused, World, fail_mode};

type Done = Result<(), Refused>;

fn wrong(what: impl Into<String>) -> Refused {
    Refused::Text(what.into())
}

/// Sets an option of the bridge that is to be made.
pub(crate) fn config(config: &mut BridgeConfig, text: &str) -> Result<(), String> {
    for word in text.split_whitespace() {
        let (key, value) = word.split_once('=').ok_or_else(|| word.to_owned())?;
        let number = || value.parse::<u32>().map_err(|_| format!("{word}: not a number"));
        match key {
            "fail-mode" => config.fail_mode = fail_mode(value).ok_or_else(|| word.to_owned())?,
            "tables" => config.n_tables = u8::try_from(number()?).map_err(|_| word.to_owned())?,
            "mac-table" => {
                config.mac_table_size = usize::try_from(number()?).map_err(|_| word.to_owned())?;
            }
            "mac-age" => config.mac_max_age = Nanos::from_secs(number()?.into()),
            "max-idle" => config.max_idle = Nanos::from_secs(number()?.into()),
            "forward-bpdu" => config.forward_bpdu = value == "on",
            _ => return Err(format!("{word}: unknown option")),
        }
    }
    Ok(())
}

/// Does one statement, whose first word is `verb`. `None` when there is no such statement.
pub(crate) fn act(world: &mut World, verb: &str, rest: &str) -> Option<Done> {
    Some(match verb {
        "port" => port(world, rest),
        "remove-port" => number(rest).and_then(|number| {
            if world.remove_port(number) { Ok(()) } else { Err(wrong("no such port")) }
        }),
        "link" => link(world, rest),
        "mod-port" => mod_port(world, rest),
        "version" => version(world, rest),
        "flow" => world.flow_mod(FlowModCommand::Add, rest),
        "mod-flows" => world.flow_mod(FlowModCommand::Modify, rest),
        "mod-flows-strict" => world.flow_mod(FlowModCommand::ModifyStrict, rest),
        "del-flows" => world.flow_mod(FlowModCommand::Delete, rest),
        "del-flows-strict" => world.flow_mod(FlowModCommand::DeleteStrict, rest),
        "add-group" => world.group_mod(GroupModCommand::Add, rest),
        "mod-group" => world.group_mod(GroupModCommand::Modify, rest),
        "add-or-mod-group" => world.group_mod(GroupModCommand::AddOrModify, rest),
        "del-groups" => world.group_mod(GroupModCommand::Delete, rest),
        "insert-buckets" => world.group_mod(GroupModCommand::InsertBucket, rest),
        "remove-buckets" => world.group_mod(GroupModCommand::RemoveBucket, rest),
        "add-meter" => world.meter_mod(MeterModCommand::Add, rest),
        "mod-meter" => world.meter_mod(MeterModCommand::Modify, rest),
        "del-meters" => world.meter_mod(MeterModCommand::Delete, rest),
        "packet" => packet(world, rest),
        "flows" => flows(world, rest),
        "packet-out" => packet_out(world, rest),
        "wait" => seconds(rest).and_then(|time| {
            let end = world.now + time;
            world.advance_to(end).map_err(Refused::Text)
        }),
        "at" => seconds(rest).and_then(|time| {
            let end = world.start + time;
            world.advance_to(end).map_err(Refused::Text)
        }),
        "flush-fdb" => {
            world.bridge.fdb_flush();
            Ok(())
        }
        "frags" => frags(world, rest),
        "controllers" => controllers(world, rest),
        "miss-to-controllers" => {
            world.bridge.set_miss_to_controllers(rest == "on");
            Ok(())
        }
        "invalid-ttl-to-controllers" => {
            world.bridge.set_invalid_ttl_to_controllers(rest == "on");
            Ok(())
        }
        _ => return None,
    })
}

pub(crate) fn number(text: &str) -> Result<OfPort, Refused> {
    OfPort::parse(text.trim()).ok_or_else(|| wrong(format!("{text}: not a port")))
}

/// `5s`, `0.5s`, `100ms`.
fn seconds(text: &str) -> Result<Nanos, Refused> {
    let bad = || wrong(format!("{text}: not a time"));
    if let Some(millis) = text.strip_suffix("ms") {
        return millis.parse().map(Nanos::from_millis).map_err(|_| bad());
    }
    let text = text.strip_suffix('s').ok_or_else(bad)?;
    let (whole, tenth) = text.split_once('.').unwrap_or((text, "0"));
    let whole: u64 = whole.parse().map_err(|_| bad())?;
    let tenth: u64 = tenth.parse().map_err(|_| bad())?;
    Ok(Nanos::from_millis(whole * 1000 + tenth * 100))
}

/// `port 1 p1 [mtu=N]`.
fn port(world: &mut World, rest: &str) -> Done {
    let mut words = rest.split_whitespace();
    let number = number(words.next().unwrap_or_default())?;
    let name = words.next().ok_or_else(|| wrong("a port needs a name"))?;
    let mtu = match words.next() {
        None => 1500,
        Some(word) => {
            let mtu = word.strip_prefix("mtu=").and_then(|mtu| mtu.parse().ok());
            mtu.ok_or_else(|| wrong(word))?
        }
    };
    world.add_port(number, name, mtu).map_err(Refused::Text)
}

fn link(world: &mut World, rest: &str) -> Done {
    let (port, state) = rest.split_once(' ').ok_or_else(|| wrong("link PORT up|down"))?;
    let link = match state {
        "up" => Link::UP,
        "down" => Link::DOWN,
        _ => return Err(wrong(state)),
    };
    world.set_link(number(port)?, link);
    Ok(())
}

fn mod_port(world: &mut World, rest: &str) -> Done {
    let (port, change) = rest.split_once(' ').ok_or_else(|| wrong("mod-port PORT CHANGE"))?;
    let (config, is_set) = match change {
        "down" => (PortConfig::PORT_DOWN, true),
        "up" => (PortConfig::PORT_DOWN, false),
        "no-flood" => (PortConfig::NO_FLOOD, true),
        "flood" => (PortConfig::NO_FLOOD, false),
        "no-receive" => (PortConfig::NO_RECV, true),
        "receive" => (PortConfig::NO_RECV, false),
        "no-receive-stp" => (PortConfig::NO_RECV_STP, true),
        "receive-stp" => (PortConfig::NO_RECV_STP, false),
        "no-forward" => (PortConfig::NO_FWD, true),
        "forward" => (PortConfig::NO_FWD, false),
        "no-packet-in" => (PortConfig::NO_PACKET_IN, true),
        "packet-in" => (PortConfig::NO_PACKET_IN, false),
        _ => return Err(wrong(change)),
    };
    world.port_mod(number(port)?, config, is_set)
}

fn version(world: &mut World, rest: &str) -> Done {
    world.version = match rest {
        "1.0" => Version::V10,
        "1.1" => Version::V11,
        "1.2" => Version::V12,
        "1.3" => Version::V13,
        "1.4" => Version::V14,
        "1.5" => Version::V15,
        _ => return Err(wrong(rest)),
    };
    Ok(())
}

fn frags(world: &mut World, rest: &str) -> Done {
    world.bridge.set_fragments(match rest {
        "normal" => Fragments::Normal,
        "drop" => Fragments::Drop,
        "nx-match" => Fragments::NxMatch,
        _ => return Err(wrong(rest)),
    });
    Ok(())
}

fn controllers(world: &mut World, rest: &str) -> Done {
    let now = world.now;
    match rest {
        "none" => world.bridge.set_controllers(false, now),
        "configured" => world.bridge.set_controllers(true, now),
        "connected" => world.bridge.set_controllers_connected(true, now),
        "lost" => world.bridge.set_controllers_connected(false, now),
        _ => return Err(wrong(rest)),
    }
    Ok(())
}

/// `packet in=1 [x5] FRAME`.
fn packet(world: &mut World, rest: &str) -> Done {
    let rest = rest.strip_prefix("in=").ok_or_else(|| wrong("packet in=PORT FRAME"))?;
    let (port, rest) = rest.split_once(' ').ok_or_else(|| wrong("no frame"))?;
    let (n, rest) = match rest.split_once(' ') {
        Some((word, tail)) if is_count(word) => (word[1..].parse().unwrap_or(1), tail),
        _ => (1, rest),
    };
    let frame = frames::frame(rest).map_err(Refused::Text)?;
    world.receive(number(port)?, &frame, n);
    Ok(())
}

/// `flows in=1 x100 FIELD FRAME`: a frame for each of 100 values of a field, counted up.
fn flows(world: &mut World, rest: &str) -> Done {
    let usage = || wrong("flows in=PORT xCOUNT FIELD FRAME");
    let rest = rest.strip_prefix("in=").ok_or_else(usage)?;
    let (port, rest) = rest.split_once(' ').ok_or_else(usage)?;
    let (count, rest) = rest.split_once(' ').ok_or_else(usage)?;
    let (field, rest) = rest.split_once(' ').ok_or_else(usage)?;
    let count: u128 = count.strip_prefix('x').and_then(|n| n.parse().ok()).ok_or_else(usage)?;
    let field = flow::Field::from_name(field).ok_or_else(usage)?;
    let port = number(port)?;
    for n in 0..count {
        let frame = frames::frame_with(rest, field, n).map_err(Refused::Text)?;
        world.receive(port, &frame, 1);
    }
    Ok(())
}

pub(crate) fn is_count(word: &str) -> bool {
    word.strip_prefix('x').is_some_and(|digits| digits.parse::<usize>().is_ok())
}

/// `packet-out in=1 actions=ACTIONS FRAME`.
fn packet_out(world: &mut World, rest: &str) -> Done {
    let usage = || wrong("packet-out in=PORT actions=ACTIONS FRAME");
    let rest = rest.strip_prefix("in=").ok_or_else(usage)?;
    let (port, rest) = rest.split_once(' ').ok_or_else(usage)?;
    let rest = rest.strip_prefix("actions=").ok_or_else(usage)?;
    let (actions, rest) = rest.split_once(' ').ok_or_else(usage)?;
    let frame = frames::frame(rest).map_err(Refused::Text)?;
    world.packet_out(number(port)?, actions, &frame)
}

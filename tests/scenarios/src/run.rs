//! Runs a scenario, statement by statement.

use datapath::Drops;
use ofproto::BridgeConfig;

use crate::expect;
use crate::file::{Line, Scenario};
use crate::statement::{act, config};
use crate::world::{Refused, World};

/// Whether conclusions are cached. Forwarding and counts must not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The control core answers misses.
    Cached,
    /// The core where they occur does, as far as it can.
    Inline,
    /// Nothing is ever installed: every packet is translated.
    Uncached,
}

/// Where and how a scenario went another way than it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Line of the file.
    pub line: usize,
    /// The statement.
    pub statement: String,
    /// What is wrong with it.
    pub problem: String,
}

/// What expectations have looked at already.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) drops: Drops,
    pub(crate) upcalls: u64,
}

/// Runs one scenario on a bridge of its own.
///
/// # Errors
///
/// At the first statement that does not do what it says, or after which a law does not hold.
pub fn run(scenario: &Scenario, mode: Mode) -> Result<(), Failure> {
    let mut options = BridgeConfig::default();
    let mut world = None;
    let mut seen = Seen::default();
    for line in &scenario.lines {
        statement(line, mode, &mut options, &mut world, &mut seen).map_err(|problem| Failure {
            line: line.number,
            statement: line.text.clone(),
            problem,
        })?;
    }
    Ok(())
}

fn statement(
    line: &Line,
    mode: Mode,
    options: &mut BridgeConfig,
    world: &mut Option<World>,
    seen: &mut Seen,
) -> Result<(), String> {
    let (verb, rest) = line.text.split_once(' ').unwrap_or((&line.text, ""));
    if verb == "config" {
        if world.is_some() {
            return Err("the bridge is there already".to_owned());
        }
        return config(options, rest);
    }
    let world = world.get_or_insert_with(|| {
        if mode == Mode::Uncached {
            options.flow_limit = 0;
        }
        World::new(options.clone(), mode)
    });
    if verb == "expect" {
        let (what, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        return expect::judge(world, seen, mode, what.trim_end_matches(':'), rest, line);
    }
    if !line.block.is_empty() {
        return Err("a block belongs to an expectation".to_owned());
    }
    match verb {
        "refused" => refused(world, rest)?,
        _ => match act(world, verb, rest) {
            None => return Err("there is no such statement".to_owned()),
            Some(Ok(())) => {}
            Some(Err(Refused::Text(problem))) => return Err(problem),
            Some(Err(Refused::Error(kind))) => return Err(format!("refused with {kind}")),
        },
    }
    // A change of the tables is followed by what a barrier waits for.
    if verb != "packet" {
        world.settle()?;
    }
    world.check_laws()
}

/// `refused NAME STATEMENT`: the switch refuses it with this error; `refused text STATEMENT`: the
/// text itself is wrong.
fn refused(world: &mut World, rest: &str) -> Result<(), String> {
    let (name, statement) = rest.split_once(' ').ok_or("refused ERROR STATEMENT")?;
    let (verb, rest) = statement.split_once(' ').unwrap_or((statement, ""));
    let got = match act(world, verb, rest) {
        None => return Err("there is no such statement".to_owned()),
        Some(Ok(())) => "done".to_owned(),
        Some(Err(Refused::Text(problem))) if name == "text" => {
            return if problem.is_empty() { Err("no reason".to_owned()) } else { Ok(()) };
        }
        Some(Err(Refused::Text(problem))) => problem,
        Some(Err(Refused::Error(kind))) => kind.to_string(),
    };
    if got == name { Ok(()) } else { Err(format!("expected: {name}\n  got:      {got}")) }
}

//! Either switch with frames from memory to memory, as many as its polling core can take, so that the control side is
//! measured beside a data plane that is never idle: polling on one core, control and its client on the other.

use super::door::Door;
use crate::versus::case::{self, Cache, Case};
use crate::versus::ovs::{Ovs, Ports, ensure_installed};
use crate::versus::{CONTROL_CORE, POLLING_CORE, has_huge_pages, ours::assemble};
use agent::{Agent, AgentConfig};
use core_affinity::CoreId;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;
use switch::Switch;
use sync::time::Nanos;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What is forwarded.
const CASE: &str = "flows-1k";
/// Rounds of polling between two looks at the clock.
const ROUNDS: u32 = 256;

fn traffic() -> Result<Case> {
    Ok(case::all().into_iter().find(|case| case.name == CASE).ok_or("no such case")?)
}

/// Open vSwitch with DPDK.
#[derive(Debug)]
pub(super) struct BusyOvs {
    pub(super) socket: PathBuf,
    _ovs: Ovs,
}

impl BusyOvs {
    pub(super) fn start(dir: &Path) -> Result<Self> {
        ensure_installed()?;
        let case = traffic()?;
        let ports = Ports::in_memory(dir, &case)?;
        let ovs = Ovs::start(dir, &ports, Cache::Default, has_huge_pages())?;
        ovs.add_rules(&case)?;
        Ok(Self { socket: dir.join("br0.mgmt"), _ovs: ovs })
    }
}

/// Is our switch until it is killed.
pub(super) fn serve(path: &Path) -> Result<()> {
    let (Switch { mut control, mut pmds }, _) = assemble(&traffic()?, Cache::Default)?;
    let mut pmd = pmds.remove(0);
    let begun = Instant::now();
    let now = move || Nanos(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
    thread::spawn(move || {
        core_affinity::set_for_current(CoreId { id: POLLING_CORE });
        loop {
            let at = now();
            for _ in 0..ROUNDS {
                pmd.poll(at);
            }
        }
    });
    core_affinity::set_for_current(CoreId { id: CONTROL_CORE });
    let mut agent = Agent::new(AgentConfig::default());
    let mut door = Door::open(path)?;
    loop {
        let at = now();
        let mut is_busy = door.hear(&mut agent, at)?;
        is_busy |= control.configure(|bridge, dpif| agent.poll(at, bridge, dpif));
        is_busy |= control.poll(at);
        is_busy |= door.tell(&mut agent, at);
        if !is_busy {
            door.rest()?;
        }
    }
}

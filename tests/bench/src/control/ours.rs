//! Our agent and bridge in a process of their own, behind a Unix socket.

use super::door::Door;
use crate::daemon::Killed;
use agent::{Agent, AgentConfig};
use datapath::{LocalDpif, PortNo};
use flow::EtherAddr;
use ofproto::{Bridge, BridgeConfig, FailMode, Link, OfPort, PortSpec};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use sync::time::Nanos;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The child process.
#[derive(Debug)]
pub(crate) struct Ours {
    pub(crate) socket: PathBuf,
    process: Killed,
}

impl Ours {
    /// Starts it, with a data plane that is never idle or with none.
    pub(crate) fn start(dir: &Path, has_traffic: bool) -> Result<Self> {
        let socket = dir.join("switch.sock");
        let child = Command::new(std::env::current_exe()?)
            .args(["control", "--serve"])
            .arg(&socket)
            .args(has_traffic.then_some("--traffic"))
            .env_remove("GLIBC_TUNABLES")
            .spawn()?;
        Ok(Self { socket, process: Killed(child) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

/// Is the switch until it is killed.
pub(crate) fn serve(path: &Path) -> Result<()> {
    let mut door = Door::open(path)?;
    let began = Instant::now();
    let mut now = Nanos::from_secs(1);
    let config = BridgeConfig { fail_mode: FailMode::Secure, ..BridgeConfig::default() };
    let mut bridge = Bridge::new(config, now);
    let mut dpif = LocalDpif::new();
    for k in 1..=2 {
        let spec = PortSpec {
            dp: Some(PortNo(k)),
            of: OfPort(k),
            name: format!("p{k}"),
            hw_addr: EtherAddr([2, 0, 0, 0, 0, u8::try_from(k)?]),
            mtu: 1500,
            link: Link::UP,
        };
        bridge.add_port(spec, now).map_err(|why| format!("{why:?}"))?;
        dpif.add_port(PortNo(k));
    }
    // Room for the great bundle; the image has less.
    let mut agent =
        Agent::new(AgentConfig { max_bundled_bytes: 1 << 30, ..AgentConfig::default() });
    loop {
        now = Nanos::from_secs(1).saturating_add(Nanos(u64::try_from(began.elapsed().as_nanos())?));
        dpif.set_now(now);
        let mut is_busy = door.hear(&mut agent, now)?;
        is_busy |= agent.poll(now, &mut bridge, &mut dpif);
        while let Some(upcall) = dpif.next_upcall() {
            is_busy = true;
            bridge.handle_upcall(upcall, &mut dpif, now);
        }
        is_busy |= bridge.run(&mut dpif, now) <= now;
        dpif.take_transmitted();
        is_busy |= door.tell(&mut agent, now);
        if !is_busy {
            std::thread::sleep(Duration::from_micros(20));
        }
    }
}

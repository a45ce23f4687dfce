//! Open vSwitch with DPDK: a database server and a daemon of our own in a directory of our own,
//! configured by the stock tools.

use super::case::{Cache, Case, Kind};
use super::measured::{Found, Measured};
use super::ours::FLOW_LIMIT;
use super::pass::Passage;
use super::{CONTROL_CORE, POLLING_CORE, WARM_UP, cpu_time};
use crate::daemon::{Killed, SCHEMA, install, run};
use crate::vswitchd::Database;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DAEMON: &str = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
/// Another Open vSwitch on this machine has other files: what is left over is taken by the next run.
const FILES: &str = "--file-prefix=uniswitch-bench";
/// What the distribution calls the packages that have the daemon and the ports in memory.
const PACKAGES: [&str; 3] = ["openvswitch-switch-dpdk", "librte-net-pcap23", "librte-net-null23"];

/// A running Open vSwitch. Its processes end with it.
#[derive(Debug)]
pub(crate) struct Ovs {
    // In this order: the daemon goes before its database.
    daemon: Killed,
    database: Database,
}

/// The ports of the bridge.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    /// What DPDK is told of each.
    pub(crate) devices: Vec<String>,
    /// What is set for each, as `column:key=value`.
    pub(crate) settings: Vec<String>,
    /// What else DPDK is told.
    pub(crate) extra: &'static str,
}

impl Ports {
    /// Three in memory: the first gives the frames of `case` without end, from a file in `dir`, the
    /// others swallow what they get.
    pub(crate) fn in_memory(dir: &Path, case: &Case) -> Result<Self> {
        let pcap = dir.join("frames.pcap");
        case.frames.write_pcap(&pcap)?;
        let feed = format!("net_pcap0,rx_pcap={},infinite_rx=1", pcap.display());
        let devices = vec![feed, "net_null1,no-rx=1".into(), "net_null2,no-rx=1".into()];
        Ok(Self { devices, ..Self::default() })
    }
}

/// Installs what is missing, telling so.
pub(crate) fn ensure_installed() -> Result<()> {
    if Path::new(DAEMON).exists() && Path::new(SCHEMA).exists() {
        return Ok(());
    }
    install(&PACKAGES, || Path::new(DAEMON).exists())
}

impl Ovs {
    /// Starts it with an empty bridge of these ports.
    pub(crate) fn start(
        dir: &Path,
        ports: &Ports,
        cache: Cache,
        has_huge_pages: bool,
    ) -> Result<Self> {
        let database = Database::start(dir)?;
        let memory = if has_huge_pages { "" } else { "--no-huge --legacy-mem " };
        database.vsctl(["--no-wait", "init"])?;
        database.vsctl([
            "--no-wait",
            "set",
            "Open_vSwitch",
            ".",
            "other_config:dpdk-init=true",
            &format!(
                "other_config:dpdk-extra=\"--no-pci {FILES} {memory}-m 1024 {}\"",
                ports.extra
            ),
            &format!("other_config:pmd-cpu-mask={:#x}", 1 << POLLING_CORE),
            &format!("other_config:dpdk-lcore-mask={:#x}", 1 << CONTROL_CORE),
            &format!("other_config:smc-enable={}", cache == Cache::Signature),
            &format!(
                "other_config:emc-insert-inv-prob={}",
                if matches!(cache, Cache::Default | Cache::Exact) { 100 } else { 0 }
            ),
        ])?;
        let daemon = database.daemon(Command::new(DAEMON))?;
        let added = database
            .vsctl([
                "add-br",
                "br0",
                "--",
                "set",
                "bridge",
                "br0",
                "datapath_type=netdev",
                "fail_mode=secure",
            ])
            .and_then(|_| {
                for (k, device) in ports.devices.iter().enumerate() {
                    let port = format!("p{}", k + 1);
                    let devargs = format!("options:dpdk-devargs=\"{device}\"");
                    let number = format!("ofport_request={}", k + 1);
                    let words = ["add-port", "br0", &port, "--", "set", "Interface", &port];
                    let set = ["type=dpdk", &devargs, &number];
                    let settings = ports.settings.iter().map(String::as_str);
                    database.vsctl(words.into_iter().chain(set).chain(settings))?;
                }
                Ok(())
            });
        if let Err(why) = added {
            let said = fs::read_to_string(database.file("ovs.log")).unwrap_or_default();
            let last: Vec<_> = said.lines().rev().take(5).collect();
            return Err(format!("{why}\n{}", last.join("\n")).into());
        }
        Ok(Self { daemon, database })
    }

    /// Installs the flows of `case` and measures for `seconds`, after [`WARM_UP`]; or until new
    /// flows have become known.
    pub(crate) fn measure(&self, case: &Case, seconds: f64) -> Result<Measured> {
        self.add_rules(case)?;
        let thread = self.polling_thread()?;
        if case.kind == Kind::NewFlows {
            let known = || -> Result<(u64, Duration)> {
                let text = self.appctl(&["dpif-netdev/pmd-stats-show"])?;
                Ok((count(&text, "miss with success upcall:")?, cpu_time(&thread)))
            };
            return Passage::of(case.frames.n.into()).watch(|| Ok(known()?.0), known);
        }
        std::thread::sleep(Duration::from_secs_f64(WARM_UP));
        self.appctl(&["dpif-netdev/pmd-stats-clear"])?;
        let before = cpu_time(&thread);
        std::thread::sleep(Duration::from_secs_f64(seconds));
        let text = self.appctl(&["dpif-netdev/pmd-perf-show"])?;
        let time = cpu_time(&thread).saturating_sub(before);
        let count = |label| count(&text, label);
        let found = Found {
            emc: count("- EMC hits:")?,
            smc: count("- SMC hits:")?,
            megaflow: count("- Megaflow hits:")?,
            simple: count("- Simple Match hits:").unwrap_or(0),
            upcalls: count("- Upcalls:")?,
        };
        Ok(Measured { packets: count("Rx packets:")?, time, undisturbed: None, found })
    }

    /// Installs meters and flows of `case`.
    pub(crate) fn add_rules(&self, case: &Case) -> Result<()> {
        let flows = self.database.file("flows.txt");
        fs::write(&flows, case.flows.join("\n") + "\n")?;
        for meter in &case.meters {
            run(self.ofctl().args(["add-meter", "br0", meter]))?;
        }
        self.appctl(&["upcall/set-flow-limit", &FLOW_LIMIT.to_string()])?;
        run(self.ofctl().args(["add-flows", "br0"]).arg(&flows))?;
        Ok(())
    }

    pub(super) fn ofctl(&self) -> Command {
        let mut command = Command::new("ovs-ofctl");
        command.env("OVS_RUNDIR", self.database.dir()).args(["-O", "OpenFlow13"]);
        command
    }

    /// The `schedstat` file of the thread that polls.
    pub(super) fn polling_thread(&self) -> Result<String> {
        for task in fs::read_dir(format!("/proc/{}/task", self.daemon.0.id()))? {
            let path = task?.path();
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            if name.starts_with("pmd-") {
                return Ok(path.join("schedstat").display().to_string());
            }
        }
        Err("Open vSwitch has no polling thread".into())
    }

    pub(super) fn appctl(&self, words: &[&str]) -> Result<String> {
        run(Command::new("ovs-appctl").arg("-t").arg(self.database.file("ovs.ctl")).args(words))
    }
}

/// The number behind `label`, which begins a line.
pub(super) fn count(text: &str, label: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(label));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    Ok(word.ok_or(format!("no {label:?} in:\n{text}"))?.parse()?)
}

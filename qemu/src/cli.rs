//! The launcher's options, and the checks that need nothing but the options.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use qemu::ports::{DEFAULT_HOSTS, PortSpec};
use qemu::{DiskFormat, Machine};
use seed::{Controller, FailMode, LogLevel};

/// Address of this host inside QEMU's user network.
const HOST_IN_GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Least memory in which the image starts with ports.
pub(crate) const LEAST_MEMORY_MIB: u32 = 32;
/// vCPUs that QEMU's machines take without further settings.
const MOST_CPUS: u16 = 64;

/// Builds the Uniswitch image, boots it in QEMU and shows what it does.
///
/// Without options: four ports with small built-in hosts behind them, OpenFlow on
/// tcp:127.0.0.1:6653. Needs neither root nor a network.
#[derive(Debug, Parser)]
#[command(name = "uniswitch", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build the image and its disks (ELF, raw, qcow2) without running anything.
    Image {
        /// Folder for the files.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// What the disks tell the image at boot, such as "mgmt=index:0 ip=192.0.2.10/24
        /// controller=tcp:192.0.2.1:6653"; the words are in appliance/seed/README.md.
        #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true)]
        cmdline: String,
    },
    /// Read or write the disk of `--db`, while its VM is off.
    #[command(subcommand)]
    Db(DbCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Write the database of a disk to a file that ovsdb-tool and ovsdb-server open.
    Extract {
        /// Name or path of the disk, as in `--db`.
        disk: String,
        /// The file to write.
        file: PathBuf,
    },
    /// Put a database file of ovsdb-server on a disk, in the place of what it holds.
    Import {
        /// Name or path of the disk, as in `--db`; made when there is none.
        disk: String,
        /// The file to read.
        file: PathBuf,
    },
}

/// What `--port` takes.
const PORT_HELP: &str = "\
A port of the switch; repeat for more. KIND is one of
hosts[:N] (N ports with a built-in host each),
tap:NAME,
vhost-user:PATH[,server] (with \"server\" QEMU listens),
socket:LOCAL,REMOTE (Unix datagrams: QEMU receives at LOCAL, sends to REMOTE),
stream:PATH[,server],
pcap:IN,OUT (replay IN into the port, write what leaves it to OUT; - for none).
[default: hosts:4]";

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    // Not a doc comment: rustdoc would read the brackets as links.
    #[arg(long = "port", value_name = "KIND[:ARGS]", help = PORT_HELP, long_help = PORT_HELP)]
    pub(crate) ports: Vec<String>,
    /// Number of vCPUs: one is control and data in turn, more give data cores of their own.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) smp: u16,
    /// Memory of the VM.
    #[arg(long, value_name = "MIB", default_value_t = 128)]
    pub(crate) memory: u32,
    /// Machine type of QEMU.
    #[arg(long, value_enum, default_value_t = MachineArg::Q35)]
    pub(crate) machine: MachineArg,
    /// CPU model of QEMU [default: host under KVM, else max].
    #[arg(long, value_name = "MODEL")]
    pub(crate) cpu: Option<String>,
    /// A controller that the switch connects to, tcp:HOST:PORT; repeat for more.
    #[arg(long = "controller", value_name = "tcp:HOST:PORT")]
    pub(crate) controllers: Vec<String>,
    /// What the switch does without a controller: ordinary learning, or only what its rules say.
    #[arg(long, value_enum, default_value_t = FailModeArg::Standalone)]
    pub(crate) fail_mode: FailModeArg,
    /// Port of 127.0.0.1 on which OpenFlow listens.
    #[arg(long, value_name = "PORT", default_value_t = 6653)]
    pub(crate) listen: u16,
    /// Port of 127.0.0.1 on which OVSDB listens [default: 6640, or a free one if that is taken].
    #[arg(long, value_name = "PORT")]
    pub(crate) ovsdb: Option<u16>,
    /// Name of the VM.
    #[arg(long, default_value = "uniswitch")]
    pub(crate) name: String,
    /// Print the QEMU command line instead of running it.
    #[arg(long)]
    pub(crate) print: bool,
    /// End after so many seconds of switching.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) duration: Option<u64>,
    /// Print events as JSON lines, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
    /// Boot this ELF instead of building the image first.
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Option<PathBuf>,
    /// Boot from a disk image by BIOS instead of giving QEMU the kernel.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) disk: Option<DiskArg>,
    /// Level of the image's log.
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = LogArg::Info)]
    pub(crate) log: LogArg,
    /// Show what the image writes on its serial port.
    #[arg(long)]
    pub(crate) serial: bool,
    /// A setting of the image by its name in `other_config`, such as max-idle=20000. Repeat it for
    /// more.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) other_config: Vec<(String, String)>,
    /// OpenFlow versions that may be spoken, such as OpenFlow10,OpenFlow13 [default: all].
    #[arg(long, value_name = "VERSIONS", value_delimiter = ',', value_parser = protocol)]
    pub(crate) protocols: Vec<String>,
    /// What a new database begins with, in statements of ovs-vsctl, such as "add-br br0 -- add-port br0
    /// p1 tag=5", in place of the options for bridge, controllers and settings. Repeat it for more.
    #[arg(long, value_name = "STATEMENTS")]
    pub(crate) vsctl: Vec<String>,
    /// Keep the configuration on a disk: a path, or a name for a file in the user's data folder. Made
    /// when there is none. What it holds is in force in place of the options for ports, controllers and
    /// settings [default: in memory, gone with the VM].
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) db: Option<String>,
    /// A database file of ovsdb-server (made with ovsdb-tool, say) that a new database begins as, in place
    /// of the options for bridge, controllers and settings.
    #[arg(long, value_name = "FILE", conflicts_with = "vsctl")]
    pub(crate) seed: Option<PathBuf>,
    /// Give the VM this config drive, a file with an ISO9660 or FAT volume named config-2 or cidata, and
    /// have it configured by the user data on it instead of by options.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "vsctl", "seed", "controllers", "fail_mode", "other_config", "protocols", "log", "self_check",
            "nic_without",
        ]
    )]
    pub(crate) config_drive: Option<PathBuf>,
    /// Have the NICs offer packed rings.
    #[arg(long)]
    pub(crate) packed: bool,
    /// Features of NICs that the image is not to use, such as packed,in-order.
    #[arg(long, value_name = "FEATURES", value_delimiter = ',')]
    pub(crate) nic_without: Vec<String>,
    /// Translate one in N cache hits again and compare; 0 for never.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) self_check: u32,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("expected KEY=VALUE, such as max-idle=20000")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

fn protocol(text: &str) -> Result<String, String> {
    match text {
        "OpenFlow10" | "OpenFlow11" | "OpenFlow12" | "OpenFlow13" | "OpenFlow14" | "OpenFlow15" => {
            Ok(text.to_owned())
        }
        _ => Err("expected OpenFlow10 to OpenFlow15".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MachineArg {
    Pc,
    Q35,
    Microvm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailModeArg {
    Standalone,
    Secure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiskArg {
    Raw,
    Qcow2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogArg {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<MachineArg> for Machine {
    fn from(arg: MachineArg) -> Self {
        match arg {
            MachineArg::Pc => Self::Pc,
            MachineArg::Q35 => Self::Q35,
            MachineArg::Microvm => Self::Microvm,
        }
    }
}

impl From<FailModeArg> for FailMode {
    fn from(arg: FailModeArg) -> Self {
        match arg {
            FailModeArg::Standalone => Self::Standalone,
            FailModeArg::Secure => Self::Secure,
        }
    }
}

impl From<DiskArg> for DiskFormat {
    fn from(arg: DiskArg) -> Self {
        match arg {
            DiskArg::Raw => Self::Raw,
            DiskArg::Qcow2 => Self::Qcow2,
        }
    }
}

impl From<LogArg> for LogLevel {
    fn from(arg: LogArg) -> Self {
        match arg {
            LogArg::Off => Self::Off,
            LogArg::Error => Self::Error,
            LogArg::Warn => Self::Warn,
            LogArg::Info => Self::Info,
            LogArg::Debug => Self::Debug,
            LogArg::Trace => Self::Trace,
        }
    }
}

/// What is wrong with the options; each is one line that says what to do.
#[derive(Debug)]
pub(crate) struct BadOption(String);

impl fmt::Display for BadOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for BadOption {}

/// Clap's many-line report in one line: what is wrong, what may have been meant, where to look.
pub(crate) fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let part = |start: &str| text.lines().find_map(|line| line.trim().strip_prefix(start));
    let mut line = part("error: ").unwrap_or(text.trim()).to_owned();
    for extra in ["tip: ", "[possible values: "] {
        if let Some(more) = part(extra) {
            line +=
                &format!(" ({}{})", extra.trim_start_matches("tip: "), more.trim_end_matches(']'));
        }
    }
    line.replace("([possible", "(possible") + "; see --help"
}

impl RunArgs {
    /// The ports that are asked for.
    pub(crate) fn port_specs(&self) -> Result<Vec<PortSpec>, BadOption> {
        if self.ports.is_empty() {
            return Ok(vec![PortSpec::Hosts(DEFAULT_HOSTS)]);
        }
        let specs = self.ports.iter().map(|text| text.parse::<PortSpec>());
        specs.collect::<Result<_, _>>().map_err(|why| BadOption(why.to_string()))
    }

    /// Checks what can be checked without looking at the host.
    pub(crate) fn check(&self) -> Result<(), BadOption> {
        let bad = |text: String| Err(BadOption(text));
        if self.memory < LEAST_MEMORY_MIB {
            return bad(format!(
                "--memory {}: the image needs at least {LEAST_MEMORY_MIB} MiB",
                self.memory
            ));
        }
        if !(1..=MOST_CPUS).contains(&self.smp) {
            return bad(format!("--smp {}: give 1 to {MOST_CPUS} vCPUs", self.smp));
        }
        if self.listen == 0 {
            return bad("--listen 0: give a TCP port from 1 to 65535".into());
        }
        if self.ovsdb == Some(0) || self.ovsdb == Some(self.listen) {
            return bad(
                "--ovsdb: give a TCP port from 1 to 65535 that --listen does not have".into()
            );
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty() || !self.name.chars().all(is_plain) || self.name.starts_with('.') {
            return bad(format!("--name {}: use letters, digits, '-', '_' and '.'", self.name));
        }
        if self.disk.is_some() && self.machine == MachineArg::Microvm {
            return bad("--disk: microvm has no BIOS disks, use --machine pc or q35".into());
        }
        Ok(())
    }

    /// Controllers as the guest reaches them, and notes where that differs from what was written.
    pub(crate) fn controllers(&self) -> Result<(Vec<Controller>, Vec<String>), BadOption> {
        let (mut all, mut notes) = (Vec::new(), Vec::new());
        for text in &self.controllers {
            let syntax = || BadOption(format!("--controller {text}: expected tcp:HOST:PORT"));
            let (host, port) =
                text.strip_prefix("tcp:").and_then(|t| t.rsplit_once(':')).ok_or_else(syntax)?;
            let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(syntax)?;
            if host.is_empty() {
                return Err(syntax());
            }
            let address = resolve(host).ok_or_else(|| {
                BadOption(format!("--controller {text}: {host} has no IPv4 address"))
            })?;
            let controller = if address.is_loopback() {
                Controller { address: IpAddr::V4(HOST_IN_GUEST), port }
            } else {
                Controller { address: IpAddr::V4(address), port }
            };
            if address.is_loopback() {
                notes.push(format!("{text} on this host is {controller} inside the VM"));
            }
            all.push(controller);
        }
        Ok((all, notes))
    }
}

/// QEMU's user network carries IPv4 to wherever the host can connect.
fn resolve(host: &str) -> Option<Ipv4Addr> {
    let mut found = (host, 0).to_socket_addrs().ok()?;
    found.find_map(|address| match address {
        SocketAddr::V4(v4) => Some(*v4.ip()),
        SocketAddr::V6(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> RunArgs {
        Cli::try_parse_from(["uniswitch"].into_iter().chain(line.split_whitespace())).unwrap().run
    }

    fn refused(line: &str) -> String {
        let words = ["uniswitch"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words) {
            Err(why) => one_line(&why),
            Ok(cli) => {
                let run = &cli.run;
                let found = run.check().err();
                let found = found.or_else(|| run.port_specs().err());
                found.or_else(|| run.controllers().err()).map(|e| e.to_string()).unwrap_or_default()
            }
        }
    }

    #[test]
    fn the_options_are_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn bad_input_gets_one_line_each() {
        for (line, expected) in [
            (
                "--prot hosts",
                "unexpected argument '--prot' found (a similar argument exists: '--port'); see --help",
            ),
            (
                "--machine isapc",
                "invalid value 'isapc' for '--machine <MACHINE>' \
                 (possible values: pc, q35, microvm); see --help",
            ),
            ("--memory 8", "--memory 8: the image needs at least 32 MiB"),
            ("--smp 0", "--smp 0: give 1 to 64 vCPUs"),
            ("--listen 0", "--listen 0: give a TCP port from 1 to 65535"),
            (
                "--ovsdb 6653",
                "--ovsdb: give a TCP port from 1 to 65535 that --listen does not have",
            ),
            ("--name a/b", "--name a/b: use letters, digits, '-', '_' and '.'"),
            ("--port tap", "--port tap: expected tap:NAME with the name of an interface"),
            ("--controller ssl:x:1", "--controller ssl:x:1: expected tcp:HOST:PORT"),
            ("--controller tcp:x", "--controller tcp:x: expected tcp:HOST:PORT"),
            ("--controller tcp:1.2.3.4:0", "--controller tcp:1.2.3.4:0: expected tcp:HOST:PORT"),
            (
                "--disk raw --machine microvm",
                "--disk: microvm has no BIOS disks, use --machine pc or q35",
            ),
        ] {
            assert_eq!(refused(line), expected, "{line}");
            assert!(!refused(line).contains('\n'));
        }
    }

    #[test]
    fn controllers_on_this_host_are_translated() {
        let args = parsed("--controller tcp:127.0.0.1:6633 --controller tcp:192.0.2.7:6653");
        let (controllers, notes) = args.controllers().unwrap();
        let texts: Vec<_> = controllers.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["tcp:10.0.2.2:6633", "tcp:192.0.2.7:6653"]);
        assert_eq!(notes, ["tcp:127.0.0.1:6633 on this host is tcp:10.0.2.2:6633 inside the VM"]);
    }

    #[test]
    fn four_hosts_by_default() {
        assert_eq!(parsed("").port_specs().unwrap(), [PortSpec::Hosts(4)]);
        assert_eq!(parsed("--port hosts:2 --port tap:t0").port_specs().unwrap().len(), 2);
    }
}

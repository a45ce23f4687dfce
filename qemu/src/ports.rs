//! The ports that a person asks for: `--port KIND[:ARGS]`, and what each needs on the host.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use seed::{Mac, NicMatch, PortSeed};

use crate::backend::{Backend, Nic, Role};
use crate::hosts::HostConfig;
use crate::pcap::{PcapError, PcapPort};

/// Hosts that stand behind ports when nobody asks for others.
pub const DEFAULT_HOSTS: usize = 4;

/// One `--port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortSpec {
    /// So many ports with a built-in host behind each.
    Hosts(usize),
    /// A tap interface of the host.
    Tap(String),
    /// A vhost-user back end.
    VhostUser(PathBuf, Role),
    /// Unix datagrams: where QEMU receives, where it sends.
    Socket(PathBuf, PathBuf),
    /// A Unix stream.
    Stream(PathBuf, Role),
    /// A capture that comes in, a capture of what goes out.
    Pcap(Option<PathBuf>, Option<PathBuf>),
}

/// Why a port cannot be had.
#[derive(Debug)]
pub enum PortError {
    /// Not one of the kinds, or not with such arguments.
    Syntax {
        /// What was written.
        text: String,
        /// What would do.
        expected: &'static str,
    },
    /// More than the machine has room for.
    TooMany {
        /// Asked for.
        n: usize,
        /// Possible.
        max: usize,
        /// On this machine.
        machine: &'static str,
    },
    /// A tap interface that is not there.
    NoTap(String),
    /// Nobody listens for QEMU to connect to.
    NoSocket(PathBuf),
    /// The folder of a socket or file is not there.
    NoFolder(PathBuf),
    /// Something else stands where a socket is to be.
    Occupied(PathBuf),
    /// Two ports want the same thing.
    Twice(String),
    /// A capture that cannot be read or written.
    Pcap(PcapError),
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { text, expected } => write!(f, "--port {text}: expected {expected}"),
            Self::TooMany { n, max, machine } => {
                write!(f, "{n} ports: machine {machine} has room for {max}, ask for fewer")
            }
            Self::NoTap(name) => write!(
                f,
                "tap {name} does not exist: make it with `sudo ip tuntap add dev {name} mode tap \
                 user $USER && sudo ip link set {name} up`"
            ),
            Self::NoSocket(path) => write!(
                f,
                "no socket at {}: start the program that listens there first, or let QEMU listen \
                 by adding \",server\"",
                path.display()
            ),
            Self::NoFolder(path) => {
                write!(f, "the folder of {} does not exist: make it first", path.display())
            }
            Self::Occupied(path) => write!(
                f,
                "{} exists and is no socket: remove it or choose another path",
                path.display()
            ),
            Self::Twice(what) => write!(f, "two ports use {what}: give each its own"),
            Self::Pcap(why) => write!(f, "{why}"),
        }
    }
}

impl core::error::Error for PortError {}

impl FromStr for PortSpec {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let expected = |expected| PortError::Syntax { text: text.into(), expected };
        let (kind, args) = text.split_once(':').unwrap_or((text, ""));
        let parts: Vec<&str> = args.split(',').collect();
        match (kind, &parts[..]) {
            ("hosts", [""]) => Ok(Self::Hosts(1)),
            ("hosts", [n]) => match n.parse() {
                Ok(n @ 1..=64) => Ok(Self::Hosts(n)),
                _ => Err(expected("hosts or hosts:N with N from 1 to 64")),
            },
            ("tap", [name]) if is_ifname(name) => Ok(Self::Tap((*name).into())),
            ("tap", _) => Err(expected("tap:NAME with the name of an interface")),
            ("vhost-user", [path]) if !path.is_empty() => {
                Ok(Self::VhostUser(path.into(), Role::Client))
            }
            ("vhost-user", [path, "server"]) if !path.is_empty() => {
                Ok(Self::VhostUser(path.into(), Role::Server))
            }
            ("vhost-user", _) => Err(expected("vhost-user:PATH or vhost-user:PATH,server")),
            ("socket", [local, remote]) if !local.is_empty() && !remote.is_empty() => {
                Ok(Self::Socket(local.into(), remote.into()))
            }
            ("socket", _) => {
                Err(expected("socket:LOCAL,REMOTE (QEMU receives at LOCAL, sends to REMOTE)"))
            }
            ("stream", [path]) if !path.is_empty() => Ok(Self::Stream(path.into(), Role::Client)),
            ("stream", [path, "server"]) if !path.is_empty() => {
                Ok(Self::Stream(path.into(), Role::Server))
            }
            ("stream", _) => Err(expected("stream:PATH or stream:PATH,server")),
            ("pcap", [input, output]) if file(input).or(file(output)).is_some() => {
                Ok(Self::Pcap(file(input), file(output)))
            }
            ("pcap", [input]) if file(input).is_some() => Ok(Self::Pcap(file(input), None)),
            ("pcap", _) => Err(expected("pcap:IN,OUT (either may be - for none)")),
            _ => Err(expected(
                "hosts[:N], tap:NAME, vhost-user:PATH[,server], socket:LOCAL,REMOTE, \
                 stream:PATH[,server] or pcap:IN,OUT",
            )),
        }
    }
}

fn file(text: &str) -> Option<PathBuf> {
    (!text.is_empty() && text != "-").then(|| text.into())
}

/// IFNAMSIZ is 16 with the final zero.
fn is_ifname(name: &str) -> bool {
    (1..16).contains(&name.len()) && !name.contains(['/', ' ', ':', '\n'])
}

/// All ports of a machine, and what the launcher has to do for them.
#[derive(Debug, Default)]
pub struct Plan {
    /// NICs p1, p2, ….
    pub nics: Vec<Nic>,
    /// The same as the image is told.
    pub seeds: Vec<PortSeed>,
    /// Built-in hosts.
    pub hosts: Vec<HostConfig>,
    /// Captures to replay and to write.
    pub pcaps: Vec<PcapPort>,
}

/// The MAC of the guest's NIC `i`; 0 is management.
pub fn guest_mac(i: usize) -> Mac {
    let low = u16::try_from(i).unwrap_or(u16::MAX).to_be_bytes();
    Mac([0x52, 0x54, 0x00, 0x75, low[0], low[1]])
}

impl Plan {
    /// Numbers the ports and gives each its back end; sockets of our own stand in `dir`.
    pub fn new(specs: &[PortSpec], dir: &Path) -> Self {
        let mut plan = Self::default();
        for spec in specs {
            match spec {
                PortSpec::Hosts(n) => (0..*n).for_each(|_| plan.host(dir)),
                PortSpec::Tap(ifname) => plan.port(Backend::Tap { ifname: ifname.clone() }),
                PortSpec::VhostUser(path, role) => {
                    plan.port(Backend::VhostUser { path: path.clone(), role: *role });
                }
                PortSpec::Socket(local, remote) => {
                    plan.port(Backend::Dgram { local: local.clone(), remote: remote.clone() });
                }
                PortSpec::Stream(path, role) => {
                    plan.port(Backend::Stream { path: path.clone(), role: *role });
                }
                PortSpec::Pcap(input, output) => {
                    let (backend, ours, theirs) = plan.pair(dir);
                    plan.pcaps.push(PcapPort {
                        port: plan.next_name(),
                        input: input.clone(),
                        output: output.clone(),
                        local: ours,
                        remote: theirs,
                    });
                    plan.port(backend);
                }
            }
        }
        plan
    }

    fn next_name(&self) -> String {
        format!("p{}", self.nics.len() + 1)
    }

    /// A pair of datagram sockets: QEMU's end, our path, QEMU's path.
    fn pair(&self, dir: &Path) -> (Backend, PathBuf, PathBuf) {
        let name = self.next_name();
        let (theirs, ours) = (dir.join(format!("{name}.vm")), dir.join(format!("{name}.net")));
        (Backend::Dgram { local: theirs.clone(), remote: ours.clone() }, ours, theirs)
    }

    fn port(&mut self, backend: Backend) {
        let i = self.nics.len() + 1;
        let (name, mac) = (self.next_name(), guest_mac(i));
        self.nics.push(Nic::new(name.clone(), mac, backend));
        let ofport = u16::try_from(i).ok();
        self.seeds.push(PortSeed { nic: NicMatch::Mac(mac), name, ofport });
    }

    fn host(&mut self, dir: &Path) {
        let (backend, local, remote) = self.pair(dir);
        let n = u8::try_from(self.hosts.len() + 1).unwrap_or(u8::MAX);
        self.hosts.push(HostConfig {
            name: format!("h{n}"),
            mac: Mac([0x02, 0, 0, 0, 0, n]),
            address: Ipv4Addr::new(10, 10, 0, n),
            prefix_len: 24,
            local,
            remote,
        });
        self.port(backend);
    }

    /// Looks whether the host has what the ports need, before anything is started.
    ///
    /// # Errors
    /// The first thing that is missing or in the way.
    pub fn check(&self) -> Result<(), PortError> {
        let mut used = HashSet::new();
        let mut once = |what: String| {
            if used.insert(what.clone()) { Ok(()) } else { Err(PortError::Twice(what)) }
        };
        for nic in &self.nics {
            match &nic.backend {
                Backend::Tap { ifname } => {
                    once(format!("tap {ifname}"))?;
                    let exists = Path::new("/sys/class/net").join(ifname).exists();
                    // Root's QEMU makes the interface itself.
                    if !exists && !rustix::process::geteuid().is_root() {
                        return Err(PortError::NoTap(ifname.clone()));
                    }
                }
                Backend::VhostUser { path, role } | Backend::Stream { path, role } => {
                    once(path.display().to_string())?;
                    match role {
                        Role::Server => place_for_socket(path)?,
                        Role::Client if is_socket(path) => {}
                        Role::Client => return Err(PortError::NoSocket(path.clone())),
                    }
                }
                Backend::Dgram { local, remote } => {
                    once(local.display().to_string())?;
                    place_for_socket(local)?;
                    folder_of(remote)?;
                }
                Backend::User { .. } => {}
            }
        }
        for pcap in &self.pcaps {
            if let Some(output) = &pcap.output {
                once(output.display().to_string())?;
                folder_of(output)?;
            }
            pcap.check().map_err(PortError::Pcap)?;
        }
        Ok(())
    }
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
}

/// QEMU replaces a socket that is there, but must not replace anything else.
fn place_for_socket(path: &Path) -> Result<(), PortError> {
    folder_of(path)?;
    if path.exists() && !is_socket(path) {
        return Err(PortError::Occupied(path.into()));
    }
    Ok(())
}

fn folder_of(path: &Path) -> Result<(), PortError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_none_or(Path::is_dir) { Ok(()) } else { Err(PortError::NoFolder(path.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let spec = |text: &str| text.parse::<PortSpec>().unwrap();
        assert_eq!(spec("hosts"), PortSpec::Hosts(1));
        assert_eq!(spec("hosts:16"), PortSpec::Hosts(16));
        assert_eq!(spec("tap:tap0"), PortSpec::Tap("tap0".into()));
        assert_eq!(spec("vhost-user:/v"), PortSpec::VhostUser("/v".into(), Role::Client));
        assert_eq!(spec("vhost-user:/v,server"), PortSpec::VhostUser("/v".into(), Role::Server));
        assert_eq!(spec("socket:/a,/b"), PortSpec::Socket("/a".into(), "/b".into()));
        assert_eq!(spec("stream:/a,server"), PortSpec::Stream("/a".into(), Role::Server));
        assert_eq!(spec("pcap:a.pcap,-"), PortSpec::Pcap(Some("a.pcap".into()), None));
        assert_eq!(spec("pcap:,b.pcap"), PortSpec::Pcap(None, Some("b.pcap".into())));
    }

    #[test]
    fn each_wrong_port_says_what_would_do() {
        for (text, expected) in [
            ("hosts:0", "hosts or hosts:N with N from 1 to 64"),
            ("hosts:many", "hosts or hosts:N with N from 1 to 64"),
            ("tap", "tap:NAME with the name of an interface"),
            ("tap:a-name-that-is-too-long", "tap:NAME with the name of an interface"),
            ("vhost-user:", "vhost-user:PATH or vhost-user:PATH,server"),
            ("vhost-user:/v,client", "vhost-user:PATH or vhost-user:PATH,server"),
            ("socket:/a", "socket:LOCAL,REMOTE (QEMU receives at LOCAL, sends to REMOTE)"),
            ("pcap:-,-", "pcap:IN,OUT (either may be - for none)"),
            (
                "eth0",
                "hosts[:N], tap:NAME, vhost-user:PATH[,server], socket:LOCAL,REMOTE, \
              stream:PATH[,server] or pcap:IN,OUT",
            ),
        ] {
            let why = text.parse::<PortSpec>().unwrap_err().to_string();
            assert_eq!(why, format!("--port {text}: expected {expected}"));
        }
    }

    fn check(specs: &[PortSpec]) -> String {
        let plan = Plan::new(specs, Path::new("/tmp"));
        plan.check().err().map(|why| why.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_is_missing_is_found_before_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("plain"), "x").unwrap();
        let absent = at("absent");
        assert!(
            check(&[PortSpec::VhostUser(absent.clone(), Role::Client)]).contains("no socket at")
        );
        assert!(check(&[PortSpec::Stream(at("plain"), Role::Client)]).contains("no socket at"));
        assert!(check(&[PortSpec::VhostUser(at("no/v"), Role::Server)]).contains("does not exist"));
        assert!(check(&[PortSpec::Socket(at("plain"), at("r"))]).contains("is no socket"));
        assert!(check(&[PortSpec::Pcap(Some(absent), None)]).contains("absent"));
        assert!(check(&[PortSpec::Pcap(Some(at("plain")), None)]).contains("not a capture"));
        let server = PortSpec::VhostUser(at("v"), Role::Server);
        assert!(check(&[server.clone(), server.clone()]).contains("two ports use"));
        assert_eq!(check(&[server]), "");
    }

    #[test]
    fn ports_are_numbered_over_all_kinds() {
        let specs = [PortSpec::Hosts(2), PortSpec::Tap("t".into()), PortSpec::Hosts(1)];
        let plan = Plan::new(&specs, Path::new("/d"));
        let names: Vec<_> = plan.seeds.iter().map(|s| (s.name.as_str(), s.ofport)).collect();
        assert_eq!(names, [("p1", Some(1)), ("p2", Some(2)), ("p3", Some(3)), ("p4", Some(4))]);
        assert_eq!(plan.hosts.len(), 3);
        assert_eq!(plan.hosts[2].remote, Path::new("/d/p4.vm"));
        assert_eq!(plan.seeds[3].nic, NicMatch::Mac(plan.nics[3].mac));
    }
}

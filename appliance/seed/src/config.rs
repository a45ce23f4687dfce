//! What a boot is configured with, and the checks that both spellings share.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::Mac;

/// Settings by name that a seed may have.
pub const MAX_SETTINGS: usize = 64;
/// Longest name or value of such a setting.
const MAX_WORD_BYTES: usize = 64;
/// Features of NICs that a seed may name.
const MAX_FEATURES: usize = 32;
/// Longest text of statements.
const MAX_VSCTL_BYTES: usize = 8192;
/// Data ports that a seed may name.
pub const MAX_PORTS: usize = 255;
/// Controllers that a seed may name.
pub const MAX_CONTROLLERS: usize = 64;
/// Longest name of a bridge or a port: OpenFlow 1.3.5 §7.2.1 has 16 bytes with the final zero.
pub const MAX_NAME_BYTES: usize = 15;
/// Of so many cache hits one is translated again and compared, unless something else is asked for:
/// a thousand translations a second at ten million packets a second.
const SELF_CHECK_ONE_IN: u32 = 10_000;

/// Everything that the image is told at boot.
///
/// Changing a field changes the blob: raise [`crate::FORMAT`] with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootConfig {
    /// Name of the bridge.
    pub bridge: String,
    /// Datapath id; none derives it from the management MAC.
    pub datapath_id: Option<u64>,
    /// What the bridge does while no controller is connected.
    pub fail_mode: FailMode,
    /// Controllers to connect to.
    pub controllers: Vec<Controller>,
    /// TCP port on which controllers and tools are accepted.
    pub listen: Option<u16>,
    /// The management NIC; none leaves the image without a network of its own.
    pub management: Option<Management>,
    /// Data ports; an empty list takes every NIC but the management one, as `p1`, `p2`, ….
    pub ports: Vec<PortSeed>,
    /// Seconds until an idle MAC entry is forgotten.
    pub mac_age_s: u16,
    /// MAC entries at most.
    pub mac_table_size: u32,
    /// One in so many cached conclusions is translated again and compared; 0 for never.
    pub self_check_one_in: u32,
    /// Settings by their names, as in `other_config` of Open vSwitch's database; the switch knows
    /// which there are.
    pub other_config: Vec<(String, String)>,
    /// The configuration in statements of `ovs-vsctl`, with `--` between them; if there are any, bridge,
    /// ports, controllers and settings above do not count.
    pub vsctl: String,
    /// Features of NICs that are not to be used although they are offered, by the driver's names.
    pub nic_without: Vec<String>,
    /// Log records below this level are not written.
    pub log: LogLevel,
    /// What the image does after it has reported a panic.
    pub on_panic: OnPanic,
}

/// What a bridge does without a controller (`fail_mode` of OVS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailMode {
    /// Ordinary L2 learning.
    Standalone,
    /// Only what the flow tables say.
    Secure,
}

/// A controller to connect to, by TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controller {
    /// Its address.
    pub address: IpAddr,
    /// Its TCP port.
    pub port: u16,
}

/// The NIC that carries OpenFlow and the other services, and its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Management {
    /// Which NIC.
    pub nic: NicMatch,
    /// How it gets its address.
    pub address: Address,
}

/// How a NIC is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NicMatch {
    /// By its MAC.
    Mac(Mac),
    /// By its place in location order, from 0.
    Index(u16),
}

/// How the management NIC gets its IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Address {
    /// By DHCP.
    Dhcp,
    /// As given.
    Static {
        /// The address.
        address: Ipv4Addr,
        /// Length of the network prefix.
        prefix_len: u8,
        /// Gateway to other networks.
        gateway: Option<Ipv4Addr>,
    },
}

/// One data port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSeed {
    /// The NIC behind it.
    pub nic: NicMatch,
    /// Its name.
    pub name: String,
    /// Its OpenFlow number (1..=0xfeff); none takes the lowest free one.
    pub ofport: Option<u16>,
}

/// Verbosity of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, and crate log defines them")]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// What follows the report of a panic or a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnPanic {
    /// Stop, keeping the state for a debugger.
    Halt,
    /// Start again.
    Reset,
    /// Switch the machine off.
    PowerOff,
}

impl Default for BootConfig {
    fn default() -> Self {
        Self {
            bridge: String::from("br0"),
            datapath_id: None,
            fail_mode: FailMode::Standalone,
            controllers: Vec::new(),
            listen: Some(6653),
            management: Some(Management { nic: NicMatch::Index(0), address: Address::Dhcp }),
            ports: Vec::new(),
            mac_age_s: 300,
            mac_table_size: 8192,
            self_check_one_in: SELF_CHECK_ONE_IN,
            other_config: Vec::new(),
            vsctl: String::new(),
            nic_without: Vec::new(),
            log: LogLevel::Info,
            on_panic: OnPanic::Reset,
        }
    }
}

/// Why well-formed values make no sense together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// A bridge or port name is empty, too long or holds something but letters, digits and `-_.`.
    Name,
    /// More than [`MAX_PORTS`] ports.
    TooManyPorts,
    /// More than [`MAX_CONTROLLERS`] controllers.
    TooManyControllers,
    /// Two ports share a name.
    PortNameTwice,
    /// Two ports, or a port and the management, share a NIC.
    NicTwice,
    /// Two ports share an OpenFlow number.
    OfPortTwice,
    /// An OpenFlow number outside 1..=0xfeff.
    OfPortRange,
    /// A MAC with the group bit.
    MulticastMac,
    /// A TCP port of 0.
    TcpPort,
    /// A prefix longer than 32, or an address that no host can have.
    Address,
    /// MAC age of 0, or a table of no entries or over a million.
    MacTable,
    /// Statements of `ovs-vsctl` that are too long or hold what a command line cannot carry.
    Vsctl,
    /// Too many features of NICs, or one that is no word.
    NicWithout,
    /// Too many settings by name, or one that is no word.
    OtherConfig,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "names take 1 to 15 letters, digits, '-', '_' or '.'",
            Self::TooManyPorts => "at most 255 ports",
            Self::TooManyControllers => "at most 64 controllers",
            Self::PortNameTwice => "two ports have the same name",
            Self::NicTwice => "one NIC is given two uses",
            Self::OfPortTwice => "two ports have the same OpenFlow number",
            Self::OfPortRange => "an OpenFlow port number must be 1 to 65279",
            Self::MulticastMac => "a NIC cannot have a multicast MAC",
            Self::TcpPort => "a TCP port must be 1 to 65535",
            Self::Address => "not an address that a host can have",
            Self::OtherConfig => {
                "other_config takes at most 64 pairs of 1 to 64 letters, digits and -_.: each"
            }
            Self::NicWithout => {
                "nic-without takes at most 32 names of features, as in packed,in-order"
            }
            Self::Vsctl => "vsctl takes at most 8192 printable characters, no double quotes",
            Self::MacTable => "the MAC table needs an age from 1 s and 1 to 1000000 entries",
        })
    }
}

impl core::error::Error for Invalid {}

impl BootConfig {
    /// Checks what the types cannot say. Both spellings run it, in both directions.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_name(&self.bridge)?;
        if self.ports.len() > MAX_PORTS {
            return Err(Invalid::TooManyPorts);
        }
        if self.controllers.len() > MAX_CONTROLLERS {
            return Err(Invalid::TooManyControllers);
        }
        if self.listen == Some(0) || self.controllers.iter().any(|c| c.port == 0) {
            return Err(Invalid::TcpPort);
        }
        if self.mac_age_s == 0 || !(1..=1_000_000).contains(&self.mac_table_size) {
            return Err(Invalid::MacTable);
        }
        if let Some(management) = &self.management {
            management.nic.validate()?;
            management.address.validate()?;
        }
        if self.other_config.len() > MAX_SETTINGS
            || !self.other_config.iter().all(|(key, value)| is_word(key) && is_word(value))
        {
            return Err(Invalid::OtherConfig);
        }
        if self.nic_without.len() > MAX_FEATURES
            || !self.nic_without.iter().all(|name| is_word(name) && !name.contains(','))
        {
            return Err(Invalid::NicWithout);
        }
        let is_carried = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"';
        if self.vsctl.len() > MAX_VSCTL_BYTES || !self.vsctl.bytes().all(is_carried) {
            return Err(Invalid::Vsctl);
        }
        self.validate_ports()
    }

    fn validate_ports(&self) -> Result<(), Invalid> {
        for (i, port) in self.ports.iter().enumerate() {
            check_name(&port.name)?;
            port.nic.validate()?;
            if port.ofport.is_some_and(|n| !(1..=0xfeff).contains(&n)) {
                return Err(Invalid::OfPortRange);
            }
            if self.management.is_some_and(|m| m.nic == port.nic) {
                return Err(Invalid::NicTwice);
            }
            for other in self.ports.iter().take(i) {
                if other.name == port.name {
                    return Err(Invalid::PortNameTwice);
                }
                if other.nic == port.nic {
                    return Err(Invalid::NicTwice);
                }
                if port.ofport.is_some() && other.ofport == port.ofport {
                    return Err(Invalid::OfPortTwice);
                }
            }
        }
        Ok(())
    }
}

impl NicMatch {
    /// True when this names the NIC with that MAC at that place.
    pub fn matches(&self, mac: Mac, index: usize) -> bool {
        match self {
            Self::Mac(wanted) => *wanted == mac,
            Self::Index(wanted) => usize::from(*wanted) == index,
        }
    }

    fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::Mac(mac) if mac.is_multicast() => Err(Invalid::MulticastMac),
            _ => Ok(()),
        }
    }
}

impl Address {
    fn validate(&self) -> Result<(), Invalid> {
        let Self::Static { address, prefix_len, gateway } = self else {
            return Ok(());
        };
        let host = |a: &Ipv4Addr| !a.is_unspecified() && !a.is_multicast() && !a.is_broadcast();
        if *prefix_len <= 32 && host(address) && gateway.as_ref().is_none_or(host) {
            Ok(())
        } else {
            Err(Invalid::Address)
        }
    }
}

/// Whether a text is one that a command line carries as it is.
fn is_word(text: &str) -> bool {
    (1..=MAX_WORD_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}

fn check_name(name: &str) -> Result<(), Invalid> {
    let ok = (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if ok { Ok(()) } else { Err(Invalid::Name) }
}

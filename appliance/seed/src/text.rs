//! The text spelling: `key=value` words of a kernel command line. The README has the table.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr};

use crate::{
    Address, BootConfig, Controller, FailMode, Invalid, LogLevel, Mac, Management, NicMatch,
    OnPanic, PortSeed,
};

/// What a command line said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromText<'a> {
    /// The configuration; what was not said has its default.
    pub config: BootConfig,
    /// Words that are not ours, such as `virtio_mmio.device=…`: to be logged, not to be obeyed.
    pub unknown: Vec<&'a str>,
    /// True when at least one word was ours.
    pub is_configured: bool,
}

/// Why a command line was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextError {
    /// The value of a key of ours does not fit.
    Value {
        /// The word as it stood.
        word: String,
        /// What fits.
        expected: &'static str,
    },
    /// `ip=` or `gw=` cannot be had together with the other words.
    Conflict {
        /// What is wrong.
        why: &'static str,
    },
    /// Each word fits, all together make no sense.
    Invalid(Invalid),
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { word, expected } => write!(f, "{word}: expected {expected}"),
            Self::Conflict { why } => f.write_str(why),
            Self::Invalid(why) => why.fmt(f),
        }
    }
}

impl core::error::Error for TextError {}

impl BootConfig {
    /// Reads the words of a command line, starting from [`BootConfig::default`].
    ///
    /// # Errors
    /// The first word of ours with a value that does not fit, or what [`Self::validate`] finds.
    pub fn from_text(text: &str) -> Result<FromText<'_>, TextError> {
        let mut reader = Reader::default();
        let mut unknown = Vec::new();
        let mut is_configured = false;
        for word in words(text) {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match reader.word(key, value) {
                Ok(()) => is_configured = true,
                Err(Refused::Unknown) => unknown.push(word),
                Err(Refused::Expected(expected)) => {
                    return Err(TextError::Value { word: word.to_owned(), expected });
                }
            }
        }
        let config = reader.finish()?;
        config.validate().map_err(TextError::Invalid)?;
        Ok(FromText { config, unknown, is_configured })
    }
}

/// Words between white space, which counts for nothing inside double quotes.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let is_end = move |c: char| {
        is_quoted ^= c == '"';
        c.is_ascii_whitespace() && !is_quoted
    };
    text.split(is_end).filter(|word| !word.is_empty())
}

enum Refused {
    Unknown,
    Expected(&'static str),
}

/// The management NIC and its address arrive as separate words, so they are kept apart until the end.
#[derive(Default)]
struct Reader {
    config: BootConfig,
    mgmt: Option<Option<NicMatch>>,
    ip: Option<Option<(Ipv4Addr, u8)>>,
    gateway: Option<Ipv4Addr>,
}

impl Reader {
    fn word(&mut self, key: &str, value: &str) -> Result<(), Refused> {
        let config = &mut self.config;
        match key {
            "bridge" => config.bridge = value.to_owned(),
            "dpid" => config.datapath_id = Some(fits(dpid(value), "16 hexadecimal digits")?),
            "fail-mode" => {
                config.fail_mode = fits(by_name(&FAIL_MODES, value), "standalone or secure")?;
            }
            "controller" => {
                let one = fits(controller(value), "tcp:ADDRESS:PORT")?;
                config.controllers.push(one);
            }
            "listen" => config.listen = fits(or_off(value), "a TCP port or off")?,
            "mgmt" => self.mgmt = Some(fits(mgmt(value), "mac:MAC, index:N or none")?),
            "ip" => self.ip = Some(fits(ip(value), "dhcp or ADDRESS/PREFIX")?),
            "gw" => self.gateway = Some(fits(value.parse().ok(), "an IPv4 address")?),
            "port" => {
                config.ports.push(fits(port(value), "NAME@MAC or NAME@index:N, then #OFPORT")?);
            }
            "mac-age" => config.mac_age_s = fits(value.parse().ok(), "seconds")?,
            "mac-table" => config.mac_table_size = fits(value.parse().ok(), "a number of entries")?,
            "self-check" => {
                let one_in = fits(or_off::<u32>(value), "a number or off")?;
                config.self_check_one_in = one_in.unwrap_or(0);
            }
            "vsctl" => {
                let value = value.strip_prefix('"').unwrap_or(value);
                let value = value.strip_suffix('"').unwrap_or(value);
                if !config.vsctl.is_empty() {
                    config.vsctl.push_str(" -- ");
                }
                config.vsctl.push_str(value);
            }
            "nic-without" => {
                config.nic_without.extend(value.split(',').map(str::to_owned));
            }
            "log" => {
                config.log =
                    fits(by_name(&LOG_LEVELS, value), "off, error, warn, info, debug or trace")?;
            }
            "on-panic" => {
                config.on_panic = fits(by_name(&ON_PANIC, value), "halt, reset or poweroff")?;
            }
            _ => match key.strip_prefix("other_config:") {
                Some(name) => config.other_config.push((name.to_owned(), value.to_owned())),
                None => return Err(Refused::Unknown),
            },
        }
        Ok(())
    }

    fn finish(self) -> Result<BootConfig, TextError> {
        let mut config = self.config;
        let nic = self.mgmt.unwrap_or(Some(NicMatch::Index(0)));
        config.management = match (nic, self.ip, self.gateway) {
            (None, None, None) => None,
            (None, ..) => {
                return Err(TextError::Conflict { why: "mgmt=none takes neither ip= nor gw=" });
            }
            (Some(nic), Some(Some((address, prefix_len))), gateway) => {
                let address = Address::Static { address, prefix_len, gateway };
                Some(Management { nic, address })
            }
            (Some(_), _, Some(_)) => {
                return Err(TextError::Conflict { why: "gw= needs ip=ADDRESS/PREFIX" });
            }
            (Some(nic), ..) => Some(Management { nic, address: Address::Dhcp }),
        };
        Ok(config)
    }
}

fn fits<T>(value: Option<T>, expected: &'static str) -> Result<T, Refused> {
    value.ok_or(Refused::Expected(expected))
}

const FAIL_MODES: [(&str, FailMode); 2] =
    [("standalone", FailMode::Standalone), ("secure", FailMode::Secure)];
const LOG_LEVELS: [(&str, LogLevel); 6] = [
    ("off", LogLevel::Off),
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
const ON_PANIC: [(&str, OnPanic); 3] =
    [("halt", OnPanic::Halt), ("reset", OnPanic::Reset), ("poweroff", OnPanic::PowerOff)];

fn by_name<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
}

fn name_of<T: Copy + PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    table.iter().find(|(_, v)| *v == value).map_or("", |(name, _)| name)
}

impl FailMode {
    /// The word for it.
    pub fn name(self) -> &'static str {
        name_of(&FAIL_MODES, self)
    }

    /// The mode with that word.
    pub fn from_name(name: &str) -> Option<Self> {
        by_name(&FAIL_MODES, name)
    }
}

impl LogLevel {
    /// The word for it.
    pub fn name(self) -> &'static str {
        name_of(&LOG_LEVELS, self)
    }

    /// The level with that word.
    pub fn from_name(name: &str) -> Option<Self> {
        by_name(&LOG_LEVELS, name)
    }
}

impl OnPanic {
    /// The word for it.
    pub fn name(self) -> &'static str {
        name_of(&ON_PANIC, self)
    }
}

fn dpid(value: &str) -> Option<u64> {
    let is_hex = value.len() == 16 && value.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hex { u64::from_str_radix(value, 16).ok() } else { None }
}

fn controller(value: &str) -> Option<Controller> {
    let (address, port) = value.strip_prefix("tcp:")?.rsplit_once(':')?;
    let address: IpAddr = match address.strip_prefix('[') {
        Some(v6) => IpAddr::V6(v6.strip_suffix(']')?.parse().ok()?),
        None => IpAddr::V4(address.parse().ok()?),
    };
    Some(Controller { address, port: port.parse().ok()? })
}

fn or_off<T: core::str::FromStr>(value: &str) -> Option<Option<T>> {
    if value == "off" { Some(None) } else { value.parse().ok().map(Some) }
}

fn mgmt(value: &str) -> Option<Option<NicMatch>> {
    match value.split_once(':') {
        None if value == "none" => Some(None),
        Some(("mac", mac)) => Some(Some(NicMatch::Mac(mac.parse().ok()?))),
        Some(("index", index)) => Some(Some(NicMatch::Index(index.parse().ok()?))),
        _ => None,
    }
}

fn ip(value: &str) -> Option<Option<(Ipv4Addr, u8)>> {
    if value == "dhcp" {
        return Some(None);
    }
    let (address, prefix_len) = value.split_once('/')?;
    Some(Some((address.parse().ok()?, prefix_len.parse().ok()?)))
}

fn port(value: &str) -> Option<PortSeed> {
    let (name, place) = value.split_once('@')?;
    let (place, ofport) = match place.split_once('#') {
        Some((place, number)) => (place, Some(number.parse().ok()?)),
        None => (place, None),
    };
    let nic = match place.strip_prefix("index:") {
        Some(index) => NicMatch::Index(index.parse().ok()?),
        None => NicMatch::Mac(place.parse::<Mac>().ok()?),
    };
    Some(PortSeed { nic, name: name.to_owned(), ofport })
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(f, "tcp:{address}:{}", self.port),
            IpAddr::V6(address) => write!(f, "tcp:[{address}]:{}", self.port),
        }
    }
}

/// The words that [`BootConfig::from_text`] reads back to the same value.
impl fmt::Display for BootConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bridge={}", self.bridge)?;
        if let Some(dpid) = self.datapath_id {
            write!(f, " dpid={dpid:016x}")?;
        }
        write!(f, " fail-mode={}", self.fail_mode.name())?;
        for controller in &self.controllers {
            write!(f, " controller={controller}")?;
        }
        match self.listen {
            Some(port) => write!(f, " listen={port}")?,
            None => f.write_str(" listen=off")?,
        }
        match &self.management {
            None => f.write_str(" mgmt=none")?,
            Some(Management { nic, address }) => {
                match nic {
                    NicMatch::Mac(mac) => write!(f, " mgmt=mac:{mac}")?,
                    NicMatch::Index(index) => write!(f, " mgmt=index:{index}")?,
                }
                match address {
                    Address::Dhcp => f.write_str(" ip=dhcp")?,
                    Address::Static { address, prefix_len, gateway } => {
                        write!(f, " ip={address}/{prefix_len}")?;
                        if let Some(gateway) = gateway {
                            write!(f, " gw={gateway}")?;
                        }
                    }
                }
            }
        }
        for port in &self.ports {
            write!(f, " port={}@", port.name)?;
            match port.nic {
                NicMatch::Mac(mac) => write!(f, "{mac}")?,
                NicMatch::Index(index) => write!(f, "index:{index}")?,
            }
            if let Some(number) = port.ofport {
                write!(f, "#{number}")?;
            }
        }
        write!(f, " mac-age={} mac-table={}", self.mac_age_s, self.mac_table_size)?;
        match self.self_check_one_in {
            0 => f.write_str(" self-check=off")?,
            n => write!(f, " self-check={n}")?,
        }
        for (key, value) in &self.other_config {
            write!(f, " other_config:{key}={value}")?;
        }
        if !self.vsctl.is_empty() {
            write!(f, " vsctl=\"{}\"", self.vsctl)?;
        }
        if !self.nic_without.is_empty() {
            write!(f, " nic-without={}", self.nic_without.join(","))?;
        }
        write!(f, " log={} on-panic={}", self.log.name(), self.on_panic.name())
    }
}

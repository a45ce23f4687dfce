//! Port numbers and names.

use core::fmt;

/// Who knows the names of ports.
pub trait PortNames {
    /// Name of a port.
    fn name(&self, port: u32) -> Option<&str>;
    /// Number of the port with this name.
    fn number(&self, name: &str) -> Option<u32>;
}

/// Knows no names: ports are numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl PortNames for NoNames {
    fn name(&self, _port: u32) -> Option<&str> {
        None
    }

    fn number(&self, _name: &str) -> Option<u32> {
        None
    }
}

/// Reserved ports (OpenFlow 1.3.5 §7.2.1); the last name of a number is accepted only.
const RESERVED: [(u32, &str); 10] = [
    (0xffff_fff7, "UNSET"),
    (0xffff_fff8, "IN_PORT"),
    (0xffff_fff9, "TABLE"),
    (0xffff_fffa, "NORMAL"),
    (0xffff_fffb, "FLOOD"),
    (0xffff_fffc, "ALL"),
    (0xffff_fffd, "CONTROLLER"),
    (0xffff_fffe, "LOCAL"),
    (0xffff_ffff, "ANY"),
    (0xffff_ffff, "NONE"),
];

/// Reads a port: a reserved name, a number, or a name that `ports` knows. The reserved numbers of
/// OpenFlow 1.0 (0xfff8 and up) mean the same ports as the 32-bit ones.
#[must_use]
pub fn parse_port(text: &str, ports: &dyn PortNames) -> Option<u32> {
    if let Some((port, _)) = RESERVED.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)) {
        return Some(*port);
    }
    if let Some(number) = super::value::parse_integer(text) {
        let number = u32::try_from(number).ok()?;
        return Some(if (0xfff7..=0xffff).contains(&number) {
            number | 0xffff_0000
        } else {
            number
        });
    }
    let name = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    ports.number(name)
}

/// A port as people read it: reserved name, known name (in quotes where it needs them), number.
#[expect(missing_debug_implementations, reason = "holds a caller's trait object")]
pub struct PortText<'a> {
    /// The port.
    pub port: u32,
    /// Who knows names.
    pub ports: &'a dyn PortNames,
}

impl fmt::Display for PortText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((_, name)) = RESERVED.iter().find(|(port, _)| *port == self.port) {
            return f.write_str(name);
        }
        match self.ports.name(self.port) {
            Some(name) if is_plain(name) => f.write_str(name),
            Some(name) => write!(f, "\"{name}\""),
            None => write!(f, "{}", self.port),
        }
    }
}

/// Whether a name can stand without quotes: it cannot be taken for a number or two words.
fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

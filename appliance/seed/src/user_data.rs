//! The spelling for config drives: user data, as clouds call what a person writes for a new machine.
//!
//! ```text
//! #uniswitch
//! # comments and empty lines count for nothing
//! mgmt=index:0 ip=192.0.2.10/24
//! add-br br0
//! add-port br0 p1 tag=5 -- add-port br0 p2
//! ```
//! A line whose first word has a `=` holds words of the kernel command line, any other one statements of
//! `ovs-vsctl`. The first line says for whom the text is: a cloud hands the same user data to any image.

use alloc::string::{String, ToString};
use core::fmt;

use crate::{BootConfig, TextError};

/// The first line of user data for this image.
pub const MARK: &str = "#uniswitch";
/// What database files of Open vSwitch begin with.
const DATABASE: &[u8] = b"OVSDB ";
/// The longest user data that is text for this image.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// What user data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserData {
    /// The configuration of this image.
    Config(alloc::boxed::Box<BootConfig>),
    /// A database file, which a new database is to begin as.
    Database,
    /// For somebody else; how it begins.
    Foreign(String),
}

/// Why user data for this image was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserDataError {
    /// Longer than [`MAX_TEXT_BYTES`], or not UTF-8.
    NotText,
    /// A word that no key of ours begins.
    Unknown(String),
    /// A word, or all of them together.
    Text(TextError),
}

impl fmt::Display for UserDataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText => write!(f, "not a text of at most {MAX_TEXT_BYTES} bytes"),
            Self::Unknown(word) => write!(f, "{word}: no such word"),
            Self::Text(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for UserDataError {}

impl UserData {
    /// Tells what user data is, and reads it if it is for this image.
    ///
    /// # Errors
    /// When it is for this image, and wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, UserDataError> {
        if bytes.starts_with(DATABASE) {
            return Ok(Self::Database);
        }
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
        if first.trim_ascii_end() != MARK.as_bytes() {
            let first = first.get(..40).unwrap_or(first);
            return Ok(Self::Foreign(first.escape_ascii().to_string()));
        }
        let text = core::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_TEXT_BYTES);
        config(text.ok_or(UserDataError::NotText)?)
    }
}

fn config(text: &str) -> Result<UserData, UserDataError> {
    let (mut words, mut statements) = (String::new(), String::new());
    let lines = text.lines().skip(1).map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let line = line.strip_prefix("ovs-vsctl ").unwrap_or(line).trim();
        let is_words = line.split_ascii_whitespace().next().is_some_and(|word| word.contains('='));
        let (so_far, between) =
            if is_words { (&mut words, " ") } else { (&mut statements, " -- ") };
        if !so_far.is_empty() {
            so_far.push_str(between);
        }
        so_far.push_str(line);
    }
    let read = BootConfig::from_text(&words).map_err(UserDataError::Text)?;
    if let Some(word) = read.unknown.first() {
        return Err(UserDataError::Unknown(word.to_string()));
    }
    let mut config = read.config;
    if !statements.is_empty() {
        if !config.vsctl.is_empty() {
            config.vsctl.push_str(" -- ");
        }
        config.vsctl.push_str(&statements);
    }
    config.validate().map_err(|why| UserDataError::Text(TextError::Invalid(why)))?;
    Ok(UserData::Config(config.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> BootConfig {
        match UserData::read(text.as_bytes()) {
            Ok(UserData::Config(config)) => *config,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn words_and_statements_stand_side_by_side() {
        let config = read(
            "\u{feff}#uniswitch \r\n\r\n# who we are\r\n mgmt=index:0 ip=192.0.2.10/24\r\nlisten=off\r\n\
             ovs-vsctl --may-exist add-br br0\r\nadd-port br0 p1 tag=5 -- add-port br0 p2\r\n",
        );
        let same = "mgmt=index:0 ip=192.0.2.10/24 listen=off \
                    vsctl=\"--may-exist add-br br0 -- add-port br0 p1 tag=5 -- add-port br0 p2\"";
        assert_eq!(config, BootConfig::from_text(same).unwrap().config);
        assert_eq!(read("#uniswitch"), BootConfig::default());
        assert_eq!(read("#uniswitch\nvsctl=\"add-br a\"\nadd-br b").vsctl, "add-br a -- add-br b");
    }

    #[test]
    fn what_is_for_others_is_told_by_its_first_line() {
        for (text, first) in [
            ("#cloud-config\nhostname: x\n", "#cloud-config"),
            ("", ""),
            ("#uniswitch2\nlisten=off", "#uniswitch2"),
            (" #uniswitch", " #uniswitch"),
            ("\u{1f}\u{8b}", "\\x1f\\xc2\\x8b"),
        ] {
            assert_eq!(UserData::read(text.as_bytes()), Ok(UserData::Foreign(first.into())));
        }
        assert_eq!(UserData::read(b"OVSDB JSON 3 abc\n{}"), Ok(UserData::Database));
    }

    #[test]
    fn what_is_for_us_must_be_right() {
        for (text, expected) in [
            ("#uniswitch\nfail-mode=safe", "fail-mode=safe: expected standalone or secure"),
            ("#uniswitch\nlisten=off colour=blue", "colour=blue: no such word"),
            ("#uniswitch\nmgmt=none ip=dhcp", "mgmt=none takes neither ip= nor gw="),
            (
                "#uniswitch\nset Bridge a name=\"x\"",
                "vsctl takes at most 8192 printable characters, no double quotes",
            ),
        ] {
            let error = UserData::read(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text}");
        }
        assert_eq!(UserData::read(b"#uniswitch\n\xff"), Err(UserDataError::NotText));
    }
}

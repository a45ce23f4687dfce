//! What this boot is told to be: the seed, from the first place that has one.
//!
//! The places in order: the firmware configuration item `opt/uniswitch/config` (a blob that the
//! launcher writes), the kernel command line (`key=value` words), the built-in default. A seed that
//! cannot be read is not passed over silently: the image says what is wrong and stops, since a switch that
//! forwards by another configuration than its owner's is worse than one that does not start.

use core::fmt;

use runtime::boot::BootInfo;
use runtime::fw_cfg;
use seed::{BootConfig, LogLevel, SeedError, TextError};

/// Where the launcher puts the blob.
const ITEM: &str = "opt/uniswitch/config";

/// A seed that was found and could not be read.
#[derive(Debug)]
pub(crate) enum ConfigError {
    Blob(SeedError),
    Text(TextError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(error) => write!(f, "{ITEM}: {error}"),
            Self::Text(error) => error.fmt(f),
        }
    }
}

/// Finds the seed.
pub(crate) fn find(info: &BootInfo) -> Result<BootConfig, ConfigError> {
    if let Some(blob) = fw_cfg::read(ITEM) {
        log::info!("configured by the firmware item {ITEM}, {} bytes", blob.len());
        return BootConfig::decode(&blob).map_err(ConfigError::Blob);
    }
    let line = info.command_line.as_str();
    let read = BootConfig::from_text(line).map_err(ConfigError::Text)?;
    let source =
        if read.is_configured { "the kernel command line" } else { "the built-in default" };
    log::info!("configured by {source}");
    Ok(read.config)
}

/// Puts the machine-wide part of the configuration in force.
pub(crate) fn apply(config: &BootConfig) {
    runtime::logger::init(match config.log {
        LogLevel::Off => log::LevelFilter::Off,
        LogLevel::Error => log::LevelFilter::Error,
        LogLevel::Warn => log::LevelFilter::Warn,
        LogLevel::Info => log::LevelFilter::Info,
        LogLevel::Debug => log::LevelFilter::Debug,
        LogLevel::Trace => log::LevelFilter::Trace,
    });
    runtime::panic::set_policy(match config.on_panic {
        seed::OnPanic::Halt => runtime::panic::OnPanic::Halt,
        seed::OnPanic::Reset => runtime::panic::OnPanic::Reset,
        seed::OnPanic::PowerOff => runtime::panic::OnPanic::PowerOff,
    });
}

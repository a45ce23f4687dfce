//! What this boot is told to be: the seed, from the first place that has one.
//!
//! The places in order: the firmware configuration item [`ITEM`] (a blob that the launcher writes), the
//! kernel command line (`key=value` words), a config drive (user data, see `seed::UserData`), the built-in
//! default. A seed that cannot be read is not passed over silently: the image says what is wrong and stops,
//! since a switch that forwards by another configuration than its owner's is worse than one that does not
//! start. User data for somebody else is no seed, and a drive that cannot be read none either; both get a warning.
//!
//! Beside it there may be a database file, which a new database begins as: the firmware item
//! [`DATABASE_ITEM`], user data that is one, or `conf.db` on the config drive. One that cannot be
//! used costs nothing but itself: the database then begins as the seed says.
//!
//! # Config drives
//! A virtio disk with one volume, ISO9660 or FAT, of the name `config-2` (OpenStack; user data is
//! `openstack/latest/user_data`) or `cidata` (NoCloud; `user-data`), in any case of letters. What they say
//! of networks is not read: addresses of ports are not the switch's, and the management's stand in the seed.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use drive::{DriveError, Volume};
use runtime::boot::BootInfo;
use runtime::fw_cfg;
use seed::{BootConfig, LogLevel, SeedError, TextError, UserData, UserDataError};

use crate::disk::Spare;

/// Where the launcher puts the blob.
const ITEM: &str = "opt/uniswitch/config";
/// Where it puts a database file.
const DATABASE_ITEM: &str = "opt/uniswitch/database";
/// Volumes that are config drives, and where their user data is.
const DRIVES: [(&str, &str); 2] =
    [("config-2", "openstack/latest/user_data"), ("cidata", "user-data")];
/// A database file on a config drive.
const DATABASE_FILE: &str = "conf.db";
/// The longest file that is read of one.
const MAX_FILE_BYTES: u32 = 1 << 20;

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) config: BootConfig,
    /// A database file, and where it comes from.
    pub(crate) database: Option<(String, Vec<u8>)>,
}

/// A seed that was found and could not be read.
#[derive(Debug)]
pub(crate) enum ConfigError {
    Blob(SeedError),
    Text(TextError),
    UserData(String, UserDataError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(error) => write!(f, "{ITEM}: {error}"),
            Self::Text(error) => write!(f, "command line: {error}"),
            Self::UserData(place, error) => write!(f, "{place}: {error}"),
        }
    }
}

/// Finds the seed. `spares` are the disks that are nothing else.
pub(crate) fn find(info: &BootInfo, spares: Vec<Spare>) -> Result<Found, ConfigError> {
    let database = fw_cfg::read(DATABASE_ITEM).map(|file| (DATABASE_ITEM.into(), file));
    if let Some(blob) = fw_cfg::read(ITEM) {
        log::info!("configured by the firmware item {ITEM}, {} bytes", blob.len());
        let config = BootConfig::decode(&blob).map_err(ConfigError::Blob)?;
        return Ok(Found { config, database });
    }
    let line = info.command_line.as_str();
    let read = BootConfig::from_text(line).map_err(ConfigError::Text)?;
    let mut found = Found { config: read.config, database };
    if read.is_configured {
        log::info!("configured by the kernel command line");
        return Ok(found);
    }
    for spare in spares {
        if let Some(drive) = ConfigDrive::open(spare)
            && drive.read(&mut found)?
        {
            return Ok(found);
        }
    }
    log::info!("configured by the built-in default");
    Ok(found)
}

/// A config drive, and where its user data is.
struct ConfigDrive {
    place: String,
    volume: Volume<Spare>,
    user_data: &'static str,
}

impl ConfigDrive {
    fn open(spare: Spare) -> Option<Self> {
        let place = format!("disk at {}", spare.location);
        let volume = match Volume::open(spare) {
            Ok(volume) => volume,
            Err(DriveError::NoVolume) => {
                log::info!("{place}: not used, no volume of ISO9660 or FAT is on it");
                return None;
            }
            Err(error) => {
                log::warn!("{place}: not used: {error}");
                return None;
            }
        };
        let label = volume.label();
        let known = DRIVES.iter().find(|(name, _)| label.eq_ignore_ascii_case(name));
        let Some(&(name, user_data)) = known else {
            log::info!("{place}: not used, its volume is \"{}\"", label.escape_default());
            return None;
        };
        Some(Self { place: format!("config drive {name} at {place}"), volume, user_data })
    }

    /// Takes what is on it; true when that is a configuration.
    fn read(mut self, found: &mut Found) -> Result<bool, ConfigError> {
        let database = self.file(DATABASE_FILE);
        let user_data = self.file(self.user_data);
        let place = format!("{}: {}", self.place, self.user_data);
        let mut is_configured = false;
        if let Some(file) = database {
            found
                .database
                .get_or_insert_with(|| (format!("{}: {DATABASE_FILE}", self.place), file));
            is_configured = true;
        }
        let Some(bytes) = user_data else {
            log::warn!("{place}: there is none");
            return Ok(is_configured);
        };
        match UserData::read(&bytes) {
            Ok(UserData::Config(config)) => {
                found.config = *config;
                is_configured = true;
            }
            Ok(UserData::Database) => {
                found.database.get_or_insert((place.clone(), bytes));
                is_configured = true;
            }
            Ok(UserData::Foreign(first)) => {
                log::warn!(
                    "{place}: ignored, its first line is \"{first}\" and not \"{}\"",
                    seed::MARK
                );
                return Ok(is_configured);
            }
            Err(error) => return Err(ConfigError::UserData(place, error)),
        }
        log::info!("configured by {place}");
        Ok(is_configured)
    }

    fn file(&mut self, path: &str) -> Option<Vec<u8>> {
        match self.volume.read_file(path, MAX_FILE_BYTES) {
            Ok(bytes) => Some(bytes),
            Err(DriveError::NotFound) => None,
            Err(error) => {
                log::warn!("{}: {path}: {error}", self.place);
                None
            }
        }
    }
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

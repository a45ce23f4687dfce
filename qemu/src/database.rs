//! Disks on which images keep their database: where they are, and what is on them.
//!
//! A disk is a plain file in the format of the crate `ovsdb`. It is named by a path, or by a word that
//! stands for a file in the user's data folder, so that a VM finds its own again.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ovsdb::Schema;
use ovsdb::store::{BlockDevice, DeviceError, SECTOR};

/// Size of a new disk, which takes room on the host only as it fills. A quarter holds a log, which takes a
/// database of many MiB, a quarter a picture of the OpenFlow state, of some hundred thousand rules.
const DISK_BYTES: u64 = 256 << 20;

/// The file that `--db` names: a path as it is, a word as a file of `$XDG_DATA_HOME/uniswitch`.
///
/// # Errors
/// For a word when there is no data folder.
pub fn path(name: &str) -> Result<PathBuf, String> {
    if name.contains('/') {
        return Ok(name.into());
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        return Err(format!(
            "--db {name}: give a path, or a name of letters, digits, '-', '_' and '.'"
        ));
    }
    let folder =
        |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")));
    let data = data.ok_or_else(|| format!("--db {name}: no HOME for its file: give a path"))?;
    Ok(data.join("uniswitch").join(format!("{name}.db")))
}

/// Makes an empty disk where there is none; true when it did.
///
/// # Errors
/// When there is something else, or the file cannot be made.
pub fn create(path: &Path) -> io::Result<bool> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file.set_len(DISK_BYTES).map(|()| true),
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(why) => Err(why),
    }
}

/// The database on a disk, as a file of Open vSwitch.
///
/// # Errors
/// What is wrong with the disk, in a line.
pub fn extract(disk: &Path) -> Result<Vec<u8>, String> {
    let device = FileDisk::open(disk, Access::Read)?;
    ovsdb::extract(device).map_err(|why| format!("{}: {why}", disk.display()))
}

/// Looks whether a file is a database file of Open vSwitch, as an image takes it.
///
/// # Errors
/// What is wrong with it, in a line.
pub fn check(file: &Path) -> Result<(), String> {
    let told = |why: String| format!("{}: {why}", file.display());
    let bytes = fs::read(file).map_err(|why| told(why.to_string()))?;
    let read = ovsdb::log::load(&bytes, Some(&Schema::open_vswitch()), &mut ovsdb::Uuids::new(0));
    match read.map_err(|why| told(why.to_string()))?.torn {
        Some(why) => Err(told(format!("broken: {why}"))),
        None => Ok(()),
    }
}

/// Puts a database file of Open vSwitch on a disk, which is made if there is none. The VM must be off.
///
/// # Errors
/// What is wrong with file or disk, in a line.
pub fn import(disk: &Path, file: &Path) -> Result<(), String> {
    let bytes = fs::read(file).map_err(|why| format!("{}: {why}", file.display()))?;
    create(disk).map_err(|why| format!("{}: {why}", disk.display()))?;
    let device = FileDisk::open(disk, Access::Write)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall_ms = u64::try_from(since.as_millis()).unwrap_or(0);
    ovsdb::import(device, &bytes, &Schema::open_vswitch(), wall_ms)
        .map_err(|why| format!("{}: {why}", file.display()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// A file as a disk.
#[derive(Debug)]
struct FileDisk {
    file: File,
    n_sectors: u64,
}

impl FileDisk {
    fn open(path: &Path, access: Access) -> Result<Self, String> {
        let told = |why: io::Error| format!("{}: {why}", path.display());
        let file = OpenOptions::new().read(true).write(access == Access::Write).open(path);
        let file = file.map_err(told)?;
        let bytes = file.metadata().map_err(told)?.len();
        Ok(Self { file, n_sectors: bytes / SECTOR as u64 })
    }
}

impl BlockDevice for FileDisk {
    fn n_sectors(&self) -> u64 {
        self.n_sectors
    }

    fn read(&mut self, sector: u64, into: &mut [u8; SECTOR]) -> Result<(), DeviceError> {
        self.file.read_exact_at(into, sector * SECTOR as u64).map_err(|_| DeviceError::Failed)
    }

    fn write(&mut self, sector: u64, from: &[u8; SECTOR]) -> Result<(), DeviceError> {
        if sector >= self.n_sectors {
            return Err(DeviceError::OutOfRange);
        }
        self.file.write_all_at(from, sector * SECTOR as u64).map_err(|_| DeviceError::Failed)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.file.sync_all().map_err(|_| DeviceError::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths() {
        assert_eq!(path("./a b"), Ok("./a b".into()));
        assert_eq!(path("/x/y"), Ok("/x/y".into()));
        for wrong in ["", ".x", "a b", "a:b"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_disk_is_made_once_and_takes_a_file_and_gives_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let (disk, file) = (folder.path().join("sub/disk"), folder.path().join("conf.db"));
        assert!(create(&disk).unwrap());
        assert!(!create(&disk).unwrap());
        assert!(extract(&disk).is_err_and(|why| why.contains("no schema")));
        let mut uuids = ovsdb::Uuids::new(1);
        let database = ovsdb::Database::new(Schema::open_vswitch(), uuids.fresh());
        let text = ovsdb::log::snapshot(&database, "test", 0).concat();
        fs::write(&file, &text).unwrap();
        import(&disk, &file).unwrap();
        assert_eq!(extract(&disk).unwrap(), text);
        assert_eq!(check(&file), Ok(()));
        fs::write(&file, &text[..text.len() - 1]).unwrap();
        assert!(check(&file).is_err());
        fs::write(&file, "no database").unwrap();
        assert!(check(&file).is_err());
        assert!(import(&disk, &file).is_err());
        assert_eq!(extract(&disk).unwrap(), text, "what was there stays");
    }
}

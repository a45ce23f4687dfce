//! Disk images that boot from BIOS: GRUB of the distribution, and the image as its payload.
//!
//! ```text
//! sector 0        boot.img of GRUB with our partition table in it
//! sector 1..      core.img of GRUB, in the gap that every MBR disk has
//! sector 2048..   FAT16 partition: /boot/appliance, /boot/grub/grub.cfg
//! ```
//!
//! A FAT partition, so that a person can mount the disk and change the command line in `grub.cfg`
//! with any system. All of it is written as bytes: no root, no loop device, no `grub-install`.
//! The same inputs give the same bytes.

use core::fmt;
use std::io::{self, Cursor, Write as _};
use std::path::PathBuf;

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};

mod grub;
mod qcow2;

pub use qcow2::qcow2;

const SECTOR_BYTES: usize = 512;
/// First sector of the partition: 1 MiB, as every partitioning tool has it.
const PARTITION_START: usize = 2048;
/// Size of a whole disk: room for the image, for GRUB, and for FAT16's least number of clusters.
const DISK_BYTES: usize = 16 * 1024 * 1024;
/// FAT16 with logical block addresses.
const PARTITION_TYPE: u8 = 0x0e;
/// Names the disk in the partition table and the file system; fixed, for the same bytes each time.
const SERIAL: u32 = 0x5553_5743;

/// What goes into a disk besides the image.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// Folder with `boot.img` and the modules of GRUB for BIOS.
    pub grub_dir: PathBuf,
    /// The program that links GRUB's modules.
    pub grub_mkimage: PathBuf,
    /// Command line of the image, in the seed's text form.
    pub cmdline: String,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            grub_dir: "/usr/lib/grub/i386-pc".into(),
            grub_mkimage: "grub-mkimage".into(),
            cmdline: String::new(),
        }
    }
}

/// Why there is no disk image.
#[derive(Debug)]
pub enum DiskError {
    /// GRUB for BIOS is not there.
    NoGrub(PathBuf),
    /// `grub-mkimage` failed; what it said.
    GrubMkimage(String),
    /// What GRUB built does not fit before the partition.
    CoreTooLarge(usize),
    /// The image does not fit into the partition.
    ImageTooLarge(usize),
    /// The command line holds something that GRUB would take for syntax.
    Cmdline(char),
    /// The file system could not be written.
    Fat(io::Error),
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGrub(path) => write!(
                f,
                "{} not found: disk images need GRUB for BIOS, run: \
                 sudo apt-get install grub-pc-bin grub-common",
                path.display()
            ),
            Self::GrubMkimage(said) => write!(f, "grub-mkimage failed: {said}"),
            Self::CoreTooLarge(bytes) => {
                write!(f, "GRUB's core has {bytes} bytes and does not fit before 1 MiB")
            }
            Self::ImageTooLarge(bytes) => {
                write!(f, "the image has {bytes} bytes and does not fit into the disk")
            }
            Self::Cmdline(c) => write!(f, "the command line of a disk cannot hold {c:?}"),
            Self::Fat(why) => write!(f, "the boot partition cannot be written: {why}"),
        }
    }
}

impl core::error::Error for DiskError {}

/// A raw disk that boots `elf`.
///
/// # Errors
/// When GRUB is missing or something does not fit.
pub fn raw(elf: &[u8], options: &DiskOptions) -> Result<Vec<u8>, DiskError> {
    let grub = grub::assemble(options)?;
    let gap = (PARTITION_START - 1) * SECTOR_BYTES;
    if grub.core.len() > gap {
        return Err(DiskError::CoreTooLarge(grub.core.len()));
    }
    let mut disk = vec![0; DISK_BYTES];
    disk[..grub.boot_code.len()].copy_from_slice(&grub.boot_code);
    partition_table(&mut disk);
    disk[SECTOR_BYTES..SECTOR_BYTES + grub.core.len()].copy_from_slice(&grub.core);
    let partition = file_system(elf, &grub_cfg(&options.cmdline)?)?;
    disk[PARTITION_START * SECTOR_BYTES..].copy_from_slice(&partition);
    Ok(disk)
}

/// One active partition that takes the rest of the disk. The old cylinder numbers say "too large".
fn partition_table(disk: &mut [u8]) {
    const NO_CHS: [u8; 3] = [0xfe, 0xff, 0xff];
    let sector = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let n_sectors = disk.len() / SECTOR_BYTES - PARTITION_START;
    disk[0x1b8..0x1bc].copy_from_slice(&SERIAL.to_le_bytes());
    disk[0x1bc..0x1fe].fill(0);
    let entry = &mut disk[0x1be..0x1ce];
    entry[0] = 0x80;
    entry[1..4].copy_from_slice(&NO_CHS);
    entry[4] = PARTITION_TYPE;
    entry[5..8].copy_from_slice(&NO_CHS);
    entry[8..12].copy_from_slice(&sector(PARTITION_START));
    entry[12..16].copy_from_slice(&sector(n_sectors));
    disk[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
}

fn file_system(elf: &[u8], grub_cfg: &str) -> Result<Vec<u8>, DiskError> {
    let mut bytes = vec![0; DISK_BYTES - PARTITION_START * SECTOR_BYTES];
    // FAT needs a little room of its own.
    if elf.len() > bytes.len() - 512 * 1024 {
        return Err(DiskError::ImageTooLarge(elf.len()));
    }
    let format = FormatVolumeOptions::new()
        .fat_type(FatType::Fat16)
        .volume_id(SERIAL)
        .volume_label(*b"UNISWITCH  ");
    fatfs::format_volume(Cursor::new(&mut bytes[..]), format).map_err(DiskError::Fat)?;
    // The boot sector says how many sectors stand before it; some BIOSes and tools look.
    let hidden = u32::try_from(PARTITION_START).unwrap_or(0);
    bytes[0x1c..0x20].copy_from_slice(&hidden.to_le_bytes());
    // Files carry the crate's fixed date: without feature chrono it knows no other.
    let options = FsOptions::new();
    let files = FileSystem::new(Cursor::new(&mut bytes[..]), options).map_err(DiskError::Fat)?;
    let write = || -> io::Result<()> {
        let boot = files.root_dir().create_dir("boot")?;
        boot.create_file("appliance")?.write_all(elf)?;
        let grub = boot.create_dir("grub")?;
        grub.create_file("grub.cfg")?.write_all(grub_cfg.as_bytes())
    };
    write().map_err(DiskError::Fat)?;
    files.unmount().map_err(DiskError::Fat)?;
    Ok(bytes)
}

/// What GRUB does at boot. It talks on both the screen and the serial port, and does not wait.
fn grub_cfg(cmdline: &str) -> Result<String, DiskError> {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || " =:./@-_,[]".contains(*c);
    // `#` starts a comment only at the start of a word; the seed has it inside words.
    if let Some(odd) = cmdline.chars().find(|c| !is_plain(c) && *c != '#') {
        return Err(DiskError::Cmdline(odd));
    }
    if cmdline.split(' ').any(|word| word.starts_with('#')) {
        return Err(DiskError::Cmdline('#'));
    }
    let separator = if cmdline.is_empty() { "" } else { " " };
    Ok(format!(
        "# Words after /boot/appliance configure the switch; see appliance/seed/README.md.\n\
         serial --unit=0 --speed=115200\n\
         terminal_input console serial\n\
         terminal_output console serial\n\
         set timeout=0\n\
         multiboot2 /boot/appliance{separator}{cmdline}\n\
         boot\n"
    ))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_partition_holds_what_was_given() {
        let elf = vec![0x5a; 1_000_000];
        let mut bytes = file_system(&elf, "boot\n").unwrap();
        assert_eq!(bytes, file_system(&elf, "boot\n").unwrap(), "same input, same bytes");
        let files = FileSystem::new(Cursor::new(&mut bytes[..]), FsOptions::new()).unwrap();
        assert_eq!(files.fat_type(), FatType::Fat16);
        let mut read = Vec::new();
        files.root_dir().open_file("boot/appliance").unwrap().read_to_end(&mut read).unwrap();
        assert!(read == elf);
        let mut cfg = String::new();
        files.root_dir().open_file("boot/grub/grub.cfg").unwrap().read_to_string(&mut cfg).unwrap();
        assert_eq!(cfg, "boot\n");
    }

    #[test]
    fn an_image_that_does_not_fit_is_refused() {
        let elf = vec![0; DISK_BYTES];
        assert!(matches!(file_system(&elf, ""), Err(DiskError::ImageTooLarge(_))));
    }

    #[test]
    fn the_partition_table_is_plain() {
        let mut disk = vec![0xee; DISK_BYTES];
        partition_table(&mut disk);
        assert_eq!(disk[0x1be], 0x80);
        assert_eq!(disk[0x1c2], PARTITION_TYPE);
        assert_eq!(disk[0x1c6..0x1ca], 2048_u32.to_le_bytes());
        assert_eq!(disk[0x1ca..0x1ce], 30_720_u32.to_le_bytes());
        assert_eq!(disk[0x1fe..0x200], [0x55, 0xaa]);
        assert_eq!(disk[0x1b7], 0xee, "boot code stays");
    }

    #[test]
    fn grub_gets_the_command_line_and_no_syntax() {
        let cfg = grub_cfg("listen=6653 port=p1@index:1#1").unwrap();
        assert!(cfg.contains("\nmultiboot2 /boot/appliance listen=6653 port=p1@index:1#1\n"));
        assert!(grub_cfg("").unwrap().contains("\nmultiboot2 /boot/appliance\n"));
        for (bad, odd) in [("a;reboot", ';'), ("a\nreboot", '\n'), ("$x", '$'), ("#a", '#')] {
            assert!(matches!(grub_cfg(bad), Err(DiskError::Cmdline(c)) if c == odd), "{bad}");
        }
    }

    #[test]
    fn missing_grub_is_said_with_what_to_do() {
        let options = DiskOptions { grub_dir: "/nonexistent".into(), ..DiskOptions::default() };
        let why = raw(b"", &options).unwrap_err();
        assert!(why.to_string().contains("apt-get install grub-pc-bin"), "{why}");
    }

    /// Runs where GRUB is installed; elsewhere the test above covers what the user sees.
    #[test]
    fn a_disk_has_its_parts_in_place() {
        let options = DiskOptions::default();
        if !options.grub_dir.join("boot.img").exists() {
            eprintln!("grub-pc-bin is not installed: nothing to check");
            return;
        }
        let disk = raw(b"\x7fELF", &options).unwrap();
        assert_eq!(disk.len(), DISK_BYTES);
        // boot.img loads the sector named at 0x5c: the first of core.img, which names the next.
        assert_eq!(disk[0x5c..0x64], 1_u64.to_le_bytes());
        assert_eq!(disk[SECTOR_BYTES + 0x1f4..][..8], 2_u64.to_le_bytes());
        assert_eq!(disk[0x1fe..0x200], [0x55, 0xaa]);
    }
}

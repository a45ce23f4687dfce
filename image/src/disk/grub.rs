//! GRUB's two boot stages, assembled the way `grub-bios-setup` would embed them.
//!
//! `boot.img` fills the first sector and loads one sector, whose number stands at 0x5c (1 from the
//! start). `core.img` begins with a sector that loads the rest from the block list at its end; it
//! comes out of `grub-mkimage` with the list of a core that stands whole from sector 1 on, which is
//! where we put it. What is left to do is the one patch that `grub-bios-setup` makes for hard
//! disks: some BIOSes do not say which drive they booted from, so the check of it is replaced.

use std::fs;
use std::io;
use std::process::Command;

use super::{DiskError, DiskOptions, SECTOR_BYTES};

/// Code before the disk signature and the partition table.
const BOOT_CODE_BYTES: usize = 0x1b8;
/// `GRUB_BOOT_MACHINE_DRIVE_CHECK`: a jump that two NOPs replace on a hard disk.
const DRIVE_CHECK: usize = 0x66;
const NOP: u8 = 0x90;

/// What it takes to read a FAT partition of an MBR disk, to talk and to boot.
const MODULES: [&str; 9] =
    ["biosdisk", "part_msdos", "fat", "normal", "multiboot2", "boot", "serial", "terminal", "echo"];

pub(super) struct Grub {
    pub(super) boot_code: Vec<u8>,
    pub(super) core: Vec<u8>,
}

pub(super) fn assemble(options: &DiskOptions) -> Result<Grub, DiskError> {
    let boot_img = options.grub_dir.join("boot.img");
    let mut boot_code = fs::read(&boot_img).map_err(|_| DiskError::NoGrub(boot_img.clone()))?;
    if boot_code.len() != SECTOR_BYTES {
        return Err(DiskError::NoGrub(boot_img));
    }
    boot_code.truncate(BOOT_CODE_BYTES);
    boot_code[DRIVE_CHECK..DRIVE_CHECK + 2].fill(NOP);
    Ok(Grub { boot_code, core: core(options)? })
}

fn core(options: &DiskOptions) -> Result<Vec<u8>, DiskError> {
    let said = |why: io::Error| DiskError::GrubMkimage(why.to_string());
    let out = tempfile::NamedTempFile::new().map_err(said)?;
    // A prefix that starts with a comma means: on the drive that was booted from.
    let output = Command::new(&options.grub_mkimage)
        .args(["--format=i386-pc", "--prefix=(,msdos1)/boot/grub"])
        .arg("--directory")
        .arg(&options.grub_dir)
        .arg("--output")
        .arg(out.path())
        .args(MODULES)
        .output()
        .map_err(|_| DiskError::NoGrub(options.grub_mkimage.clone()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        return Err(DiskError::GrubMkimage(said));
    }
    fs::read(out.path()).map_err(said)
}

//! The gate: what an image must be before anyone boots it.
//!
//! The image is compiled for a target that has std and libc, so that compiling proves nothing
//! about freedom from them; and a freestanding program that lost its boot note still links. Both
//! would be found late and far away. So every build ends here, with the linked file in hand, and
//! each failure names what it found and says what to do.

use core::fmt;

use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _, Sym as _};

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

/// Budget of the stripped image. The switch alone needs about 2.2 MiB, its configuration database (server,
/// schema, log) half a MiB: it stands in the image because there is no other place for it. The rest are ways
/// to begin (config drives, database files, kept state), of some 50 KiB each.
pub const BUDGET_BYTES: usize = 3584 * 1024;
/// Symbols that one failure lists.
const N_NAMED: usize = 8;
/// XEN_ELFNOTE_PHYS32_ENTRY: the 32-bit entry of the PVH boot protocol.
const NOTE_PHYS32_ENTRY: u32 = 18;
/// QEMU looks for a multiboot1 header in so many bytes, GRUB for a multiboot2 header in so many.
const MULTIBOOT1_SEARCH_BYTES: usize = 8 * 1024;
const MULTIBOOT2_SEARCH_BYTES: usize = 32 * 1024;
const MULTIBOOT1_MAGIC: u32 = 0x1bad_b002;
const MULTIBOOT2_MAGIC: u32 = 0xe852_50d6;

/// What a good image looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where PVH loaders enter.
    pub pvh_entry: u64,
    /// Bytes of the executable segments.
    pub text_bytes: u64,
    /// Bytes of the read-only segments.
    pub rodata_bytes: u64,
    /// Bytes of the writable segments, as loaded.
    pub data_bytes: u64,
    /// Bytes that the loader zeroes.
    pub bss_bytes: u64,
}

/// One way in which an image is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The file is not an x86-64 executable.
    NotElf(String),
    /// It wants a dynamic linker.
    Dynamic,
    /// It has no symbol table, so nothing can be said about what it links.
    NoSymbols,
    /// Symbols that nothing defines.
    Undefined(Vec<String>),
    /// Symbols of std or libc.
    HostSymbols(Vec<String>),
    /// It uses thread-local storage, which nothing sets up.
    Tls,
    /// No loader would find its entry.
    NoPvhNote,
    /// The note points where no code is.
    PvhEntry(u64),
    /// A multiboot1 header, which QEMU would prefer to the note and then refuse.
    Multiboot1(usize),
    /// No multiboot2 header, which the disk images need.
    NoMultiboot2,
    /// A segment that is writable and executable.
    WritableCode(u64),
    /// Over budget.
    TooLarge {
        /// Bytes of the stripped image.
        bytes: usize,
        /// Bytes allowed.
        budget: usize,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf(why) => write!(
                f,
                "not an x86-64 ELF executable ({why}): build for x86_64-unknown-linux-gnu"
            ),
            Self::Dynamic => f.write_str(
                "asks for a dynamic linker: link with -static -no-pie and relocation-model=static",
            ),
            Self::NoSymbols => f.write_str(
                "has no symbol table to check: build with strip = \"none\", the builder strips",
            ),
            Self::Undefined(names) => write!(
                f,
                "undefined: {}: define them in the runtime, or drop the crate that wants them",
                Listed(names)
            ),
            Self::HostSymbols(names) => write!(
                f,
                "from std or libc: {}: find the crate with `cargo tree -p appliance -e features` \
                 and turn its std feature off",
                Listed(names)
            ),
            Self::Tls => f.write_str(
                "has a thread-local segment: use runtime's per-CPU data instead of thread_local!",
            ),
            Self::NoPvhNote => f.write_str(
                "has no PVH note (owner Xen, type 18) in a PT_NOTE segment: keep .note.pvh in the \
                 linker script",
            ),
            Self::PvhEntry(entry) => write!(
                f,
                "PVH note points to {entry:#x}, outside executable code below 4 GiB: let it name \
                 the 32-bit entry symbol"
            ),
            Self::Multiboot1(offset) => write!(
                f,
                "multiboot1 header at offset {offset:#x}: remove it, QEMU would try it before PVH \
                 and refuse a 64-bit ELF"
            ),
            Self::NoMultiboot2 => f.write_str(
                "no multiboot2 header in the first 32 KiB: keep .multiboot2 first in the linker \
                 script, disk images boot by it",
            ),
            Self::WritableCode(address) => write!(
                f,
                "segment at {address:#x} is writable and executable: separate the sections in the \
                 linker script"
            ),
            Self::TooLarge { bytes, budget } => write!(
                f,
                "{bytes} bytes stripped, budget {budget}: see what grew with `cargo bloat` or \
                 `nm --size-sort`"
            ),
        }
    }
}

impl core::error::Error for Failure {}

struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0[..self.0.len().min(N_NAMED)].join(", "))?;
        match self.0.len().checked_sub(N_NAMED) {
            Some(more) if more > 0 => write!(f, " and {more} more"),
            _ => Ok(()),
        }
    }
}

/// Looks at a linked, unstripped image; `stripped_size` is what it will have when stripped.
///
/// # Errors
/// All that is wrong with it, not only the first.
pub fn check(elf: &[u8], stripped_size: usize, budget: usize) -> Result<Report, Vec<Failure>> {
    let image = Image::parse(elf).map_err(|why| vec![Failure::NotElf(why)])?;
    let mut failures = Vec::new();
    image.check_symbols(&mut failures);
    let mut report = image.check_segments(&mut failures);
    report.pvh_entry = image.check_boot_headers(&mut failures).unwrap_or_default();
    if stripped_size > budget {
        failures.push(Failure::TooLarge { bytes: stripped_size, budget });
    }
    if failures.is_empty() { Ok(report) } else { Err(failures) }
}

struct Image<'a> {
    bytes: &'a [u8],
    segments: &'a [ProgramHeader64<LE>],
    sections: object::read::elf::SectionTable<'a, FileHeader64<LE>>,
}

impl<'a> Image<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let header = FileHeader64::<LE>::parse(bytes).map_err(|e| e.to_string())?;
        if header.e_machine.get(LE) != elf::EM_X86_64 {
            return Err("another machine".into());
        }
        if header.e_type.get(LE) != elf::ET_EXEC && header.e_type.get(LE) != elf::ET_DYN {
            return Err("not linked".into());
        }
        let segments = header.program_headers(LE, bytes).map_err(|e| e.to_string())?;
        let sections = header.sections(LE, bytes).map_err(|e| e.to_string())?;
        Ok(Self { bytes, segments, sections })
    }

    fn check_symbols(&self, failures: &mut Vec<Failure>) {
        let (mut undefined, mut host) = (Vec::new(), Vec::new());
        let mut n_symbols = 0_usize;
        for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
            let Ok(symbols) = self.sections.symbols(LE, self.bytes, kind) else {
                continue;
            };
            n_symbols += symbols.len();
            for symbol in symbols.iter() {
                let Ok(name) = symbol.name(LE, symbols.strings()) else {
                    continue;
                };
                if name.is_empty() || symbol.st_type() == elf::STT_FILE {
                    continue;
                }
                let name = String::from_utf8_lossy(name);
                let plain = format!("{:#}", rustc_demangle::demangle(&name));
                if symbol.is_undefined(LE) {
                    undefined.push(plain);
                } else if is_host_symbol(&plain) {
                    host.push(plain);
                }
            }
        }
        if n_symbols == 0 {
            failures.push(Failure::NoSymbols);
        }
        for (mut names, failure) in
            [(undefined, Failure::Undefined as fn(_) -> _), (host, Failure::HostSymbols)]
        {
            names.sort_unstable();
            names.dedup();
            if !names.is_empty() {
                failures.push(failure(names));
            }
        }
    }

    fn check_segments(&self, failures: &mut Vec<Failure>) -> Report {
        let mut report =
            Report { pvh_entry: 0, text_bytes: 0, rodata_bytes: 0, data_bytes: 0, bss_bytes: 0 };
        for segment in self.segments {
            let flags = segment.p_flags(LE);
            match segment.p_type(LE) {
                elf::PT_TLS => failures.push(Failure::Tls),
                elf::PT_INTERP | elf::PT_DYNAMIC if !failures.contains(&Failure::Dynamic) => {
                    failures.push(Failure::Dynamic);
                }
                elf::PT_LOAD => {
                    let size = segment.p_filesz(LE);
                    match (flags & elf::PF_W != 0, flags & elf::PF_X != 0) {
                        (true, true) => {
                            failures.push(Failure::WritableCode(segment.p_vaddr(LE)));
                        }
                        (true, false) => report.data_bytes += size,
                        (false, true) => report.text_bytes += size,
                        (false, false) => report.rodata_bytes += size,
                    }
                    report.bss_bytes += segment.p_memsz(LE).saturating_sub(size);
                }
                _ => {}
            }
        }
        // `.tdata` without a segment would still be addressed through FS.
        let tls_section = |s: &SectionHeader64<LE>| s.sh_flags(LE) & u64::from(elf::SHF_TLS) != 0;
        if !failures.contains(&Failure::Tls) && self.sections.iter().any(tls_section) {
            failures.push(Failure::Tls);
        }
        report
    }

    fn check_boot_headers(&self, failures: &mut Vec<Failure>) -> Option<u64> {
        let entry = self.pvh_entry();
        match entry {
            None => failures.push(Failure::NoPvhNote),
            Some(entry) if !self.is_code(entry) => failures.push(Failure::PvhEntry(entry)),
            Some(_) => {}
        }
        if let Some(offset) = self.multiboot1() {
            failures.push(Failure::Multiboot1(offset));
        }
        if !self.has_multiboot2() {
            failures.push(Failure::NoMultiboot2);
        }
        entry
    }

    /// The entry that the PVH note names. The descriptor has four or eight bytes.
    fn pvh_entry(&self) -> Option<u64> {
        for segment in self.segments {
            let Ok(Some(mut notes)) = segment.notes(LE, self.bytes) else {
                continue;
            };
            while let Ok(Some(note)) = notes.next() {
                if note.name() == b"Xen" && note.n_type(LE) == NOTE_PHYS32_ENTRY {
                    let mut entry = [0; 8];
                    let desc = note.desc();
                    entry.get_mut(..desc.len())?.copy_from_slice(desc);
                    return Some(u64::from_le_bytes(entry));
                }
            }
        }
        None
    }

    fn is_code(&self, address: u64) -> bool {
        address < 1 << 32
            && self.segments.iter().any(|s| {
                s.p_type(LE) == elf::PT_LOAD
                    && s.p_flags(LE) & elf::PF_X != 0
                    && (s.p_paddr(LE)..s.p_paddr(LE) + s.p_filesz(LE)).contains(&address)
            })
    }

    /// Multiboot Specification 0.6.96 §3.1: magic, flags and checksum that add up to zero.
    fn multiboot1(&self) -> Option<usize> {
        let searched = &self.bytes[..self.bytes.len().min(MULTIBOOT1_SEARCH_BYTES)];
        (0..searched.len()).step_by(4).find(|&at| {
            let sum = [0, 4, 8]
                .iter()
                .try_fold(0_u32, |sum, i| Some(sum.wrapping_add(word(searched, at + i)?)));
            word(searched, at) == Some(MULTIBOOT1_MAGIC) && sum == Some(0)
        })
    }

    /// Multiboot2 Specification 2.0 §3.1.1: magic, architecture 0, length, checksum.
    fn has_multiboot2(&self) -> bool {
        let searched = &self.bytes[..self.bytes.len().min(MULTIBOOT2_SEARCH_BYTES)];
        (0..searched.len()).step_by(8).any(|at| {
            let words = [0, 4, 8, 12].map(|i| word(searched, at + i));
            words[0] == Some(MULTIBOOT2_MAGIC)
                && words[1] == Some(0)
                && words.iter().try_fold(0_u32, |sum, w| Some(sum.wrapping_add((*w)?))) == Some(0)
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// True for names that only std or a C library defines. `plain` is demangled, without hash.
fn is_host_symbol(plain: &str) -> bool {
    const EXACT: [&str; 20] = [
        "malloc",
        "calloc",
        "realloc",
        "free",
        "mmap",
        "munmap",
        "syscall",
        "write",
        "read",
        "open",
        "close",
        "printf",
        "abort",
        "exit",
        "getenv",
        "getrandom",
        "__errno_location",
        "__tls_get_addr",
        "dl_iterate_phdr",
        "__cxa_thread_atexit_impl",
    ];
    const PREFIXES: [&str; 5] = ["__libc_", "_IO_", "pthread_", "__pthread_", "__rust_std_"];
    EXACT.contains(&plain)
        || PREFIXES.iter().any(|prefix| plain.starts_with(prefix))
        || names_crate_std(plain)
}

/// True when a path in the name starts at crate `std`: `std::…`, `<std::…`, but not `my_std::…`
/// and not a module `other::std::…`.
fn names_crate_std(plain: &str) -> bool {
    plain.match_indices("std::").any(|(at, _)| {
        let before = plain[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
    })
}

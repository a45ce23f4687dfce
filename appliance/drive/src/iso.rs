//! ISO9660 (ECMA-119), with Rock Ridge (IEEE P1282, on SUSP, P1281) and Joliet.
//!
//! # Names
//! One volume can have two trees: the primary one, whose entries have short names and, with Rock Ridge,
//! true ones in their system use area, and Joliet's, with names in UCS-2. A path is looked up in the
//! primary tree by either name, then in Joliet's.
//!
//! # Bounds
//! Descriptors, directory bytes and continuations of a system use area are counted; a path of n names
//! reads n directories, so a directory that contains itself costs nothing.

use crate::source::{Source, u16_at, u32_at};
use crate::{DriveError, MAX_DIRECTORY_BYTES, Sectors, from_bytes, from_ucs2};
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes of a sector of the volume, and of the blocks that are understood (§6.1.2, §6.2.2).
const BLOCK: u64 = 2048;
const BLOCK_LEN: usize = 2048;
/// Where volume descriptors begin (§6.2.1).
const FIRST_DESCRIPTOR: u64 = 16;
const MAX_DESCRIPTORS: u64 = 32;
const PRIMARY: u8 = 1;
const SUPPLEMENTARY: u8 = 2;
const TERMINATOR: u8 = 255;
/// Continuations of one system use area that are followed.
const MAX_CONTINUATIONS: usize = 8;
/// File flags (§9.1.6).
const IS_DIRECTORY: u8 = 1 << 1;
const GOES_ON: u8 = 1 << 7;

/// A place on the volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Extent {
    block: u32,
    bytes: u32,
}

impl Extent {
    fn place(self) -> u64 {
        u64::from(self.block) * BLOCK
    }
}

/// What there is to know of a volume.
#[derive(Debug)]
pub(crate) struct Iso {
    pub(crate) label: String,
    primary: Extent,
    joliet: Option<Extent>,
}

/// The volume, if the disk has one of this kind.
pub(crate) fn open<S: Sectors>(source: &mut Source<S>) -> Result<Option<Iso>, DriveError> {
    let mut found: Option<Iso> = None;
    for number in FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + MAX_DESCRIPTORS {
        let mut descriptor = [0; BLOCK_LEN];
        let read = source.read(number * BLOCK, &mut descriptor);
        let is_descriptor = read.is_ok() && descriptor.get(1..6) == Some(b"CD001");
        if !is_descriptor {
            break;
        }
        match (descriptor[0], &mut found) {
            (PRIMARY, None) => {
                if u16_at(&descriptor, 128) != Some(2048) {
                    return Err(DriveError::Malformed("its blocks are not of 2048 bytes"));
                }
                let label = from_bytes(descriptor.get(40..72).unwrap_or_default());
                found = Some(Iso { label, primary: root(&descriptor)?, joliet: None });
            }
            // Escape sequences of UCS-2, levels 1 to 3.
            (SUPPLEMENTARY, Some(iso))
                if matches!(descriptor.get(88..91), Some(b"%/@" | b"%/C" | b"%/E")) =>
            {
                iso.joliet = Some(root(&descriptor)?);
            }
            (TERMINATOR, _) => break,
            _ => {}
        }
    }
    Ok(found)
}

/// The directory record of the root (§8.4.18).
fn root(descriptor: &[u8]) -> Result<Extent, DriveError> {
    let record = descriptor.get(156..190).and_then(Record::parse);
    let record = record.filter(|record| record.flags & IS_DIRECTORY != 0);
    record.map(|record| record.extent).ok_or(DriveError::Malformed("no root directory"))
}

/// A directory record (§9.1).
struct Record<'a> {
    extent: Extent,
    flags: u8,
    is_interleaved: bool,
    name: &'a [u8],
    system_use: &'a [u8],
}

impl<'a> Record<'a> {
    /// A record that fills `bytes`.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let extended: u32 = (*bytes.get(1)?).into();
        let block = u32_at(bytes, 2)?.checked_add(extended)?;
        let extent = Extent { block, bytes: u32_at(bytes, 10)? };
        let name_len = usize::from(*bytes.get(32)?);
        let name = bytes.get(33..33 + name_len)?;
        // A name of even length has a byte behind it.
        let system_use = bytes.get(33 + name_len + (name_len + 1) % 2..).unwrap_or_default();
        let is_interleaved = bytes.get(26..28)? != [0, 0];
        Some(Self { extent, flags: *bytes.get(25)?, is_interleaved, name, system_use })
    }

    /// Itself and its parent have names of one byte, 0 and 1.
    fn is_special(&self) -> bool {
        matches!(self.name, [0 | 1])
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tree {
    Primary,
    Joliet,
}

impl Iso {
    pub(crate) fn read_file<S: Sectors>(
        &self,
        source: &mut Source<S>,
        path: &str,
        max_bytes: u32,
    ) -> Result<Vec<u8>, DriveError> {
        let found = match find(source, Tree::Primary, self.primary, path) {
            Ok(extent) => Ok(extent),
            Err(why) => match self.joliet {
                Some(root) => find(source, Tree::Joliet, root, path),
                None => Err(why),
            },
        };
        let extent = found?;
        if extent.bytes > max_bytes {
            return Err(DriveError::TooLarge { bytes: extent.bytes });
        }
        source.take(extent.place(), extent.bytes)
    }
}

/// Goes down a tree.
fn find<S: Sectors>(
    source: &mut Source<S>,
    tree: Tree,
    root: Extent,
    path: &str,
) -> Result<Extent, DriveError> {
    let mut here = root;
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next() {
        let (extent, flags) = entry(source, tree, here, name)?;
        if (flags & IS_DIRECTORY != 0) != names.peek().is_some() {
            return Err(DriveError::NotFound);
        }
        here = extent;
    }
    Ok(here)
}

/// The entry of that name in a directory.
fn entry<S: Sectors>(
    source: &mut Source<S>,
    tree: Tree,
    directory: Extent,
    wanted: &str,
) -> Result<(Extent, u8), DriveError> {
    let broken = DriveError::Malformed("a directory record does not fit its directory");
    let bytes = source.take(directory.place(), directory.bytes.min(MAX_DIRECTORY_BYTES))?;
    // What the system use areas of this volume begin with is not theirs (P1281, "SP").
    let mut skip = 0;
    for (k, block) in bytes.chunks(BLOCK_LEN).enumerate() {
        let mut rest = block;
        while let Some(len) = rest.first().map(|&len| usize::from(len)).filter(|&len| len > 0) {
            let (record, behind) = rest.split_at_checked(len).ok_or(broken)?;
            let is_first = k == 0 && rest.len() == block.len();
            rest = behind;
            let record = Record::parse(record).ok_or(broken)?;
            if is_first {
                skip = skipped(record.system_use);
            }
            if record.is_special() {
                continue;
            }
            let true_name = match tree {
                Tree::Primary => {
                    let area = record.system_use.get(skip..).unwrap_or_default();
                    rock_ridge_name(source, area)?
                }
                Tree::Joliet => {
                    let units = record.name.chunks_exact(2).filter_map(|pair| pair.try_into().ok());
                    Some(from_ucs2(units.map(u16::from_be_bytes)))
                }
            };
            let short = from_bytes(record.name);
            let is_it = true_name.as_deref().is_some_and(|name| is_same(name, wanted))
                || (tree == Tree::Primary && is_same(&short, wanted));
            if is_it {
                if record.flags & GOES_ON != 0 || record.is_interleaved {
                    return Err(DriveError::Malformed("a file in pieces"));
                }
                return Ok((record.extent, record.flags));
            }
        }
    }
    Err(DriveError::NotFound)
}

/// Compares names without their versions (`;1`) and without the point of an empty extension.
fn is_same(name: &str, wanted: &str) -> bool {
    let plain = name.split_once(';').map_or(name, |(name, _)| name);
    name.eq_ignore_ascii_case(wanted) || plain.trim_end_matches('.').eq_ignore_ascii_case(wanted)
}

/// `LEN_SKP` of the entry "SP" in the first record of a directory; the root's is the only one.
fn skipped(area: &[u8]) -> usize {
    match area {
        [b'S', b'P', 7, 1, 0xbe, 0xef, skip, ..] => usize::from(*skip),
        _ => 0,
    }
}

/// The name that the entries "NM" of a system use area make together, if there are any.
fn rock_ridge_name<S: Sectors>(
    source: &mut Source<S>,
    area: &[u8],
) -> Result<Option<String>, DriveError> {
    const CONTINUES: u8 = 1;
    let mut name: Option<Vec<u8>> = None;
    let mut area = Vec::from(area);
    for _ in 0..=MAX_CONTINUATIONS {
        let mut next = None;
        let mut rest = area.as_slice();
        while let Some(len) = rest.get(2).map(|&len| usize::from(len)).filter(|&len| len >= 4) {
            let Some((field, behind)) = rest.split_at_checked(len) else { break };
            rest = behind;
            match field {
                [b'N', b'M', _, _, flags, part @ ..] => {
                    name.get_or_insert_default().extend_from_slice(part);
                    if flags & CONTINUES == 0 {
                        let name = name.unwrap_or_default();
                        return Ok(Some(String::from_utf8_lossy(&name).into_owned()));
                    }
                }
                [b'C', b'E', ..] => {
                    let numbers = [u32_at(field, 4), u32_at(field, 12), u32_at(field, 20)];
                    if let [Some(block), Some(offset), Some(bytes)] = numbers {
                        next = Some((u64::from(block) * BLOCK + u64::from(offset), bytes));
                    }
                }
                [b'S', b'T', ..] => break,
                _ => {}
            }
        }
        let Some((place, bytes)) = next else { break };
        area = source.take(place, bytes.min(2048))?;
    }
    Ok(name.map(|name| String::from_utf8_lossy(&name).into_owned()))
}

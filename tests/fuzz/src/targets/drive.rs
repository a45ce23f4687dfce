//! Config drives: volumes of ISO9660 and FAT with anything wrong in them.
//!
//! Volumes are large and mostly empty, so the input is not one but changes one: the first byte chooses
//! among four small sound volumes, then come triples, a place (two bytes, big-endian) among the sectors that hold
//! anything, and the byte that goes there. Asserted: a look ends after a bounded number of reads, gives no
//! more than was allowed, and an untouched volume gives its files.

use std::collections::BTreeMap;

use ::drive::{DriveError, ReadFailed, SECTOR, Sectors, Volume};

use crate::{Behaviour, behaviour};

/// Pieces of directory records, continuations and chains.
pub(super) const WORDS: &[&[u8]] =
    &[b"\x00\x00\x9c", b"CE", b"NM", b"\xff\xff\xff", b"\x00\x00\x00", b"\x0f", b"\x02\x00"];

const CONTENT: &[u8] = b"#uniswitch\nlisten=off\n";
const MAX_BYTES: u32 = 4096;
/// Sectors that one look may read, for the boot sectors and the file.
const MOST_READS: u64 = 3 * 8192;

/// A disk of which few sectors are not zero.
#[derive(Clone)]
struct Sparse {
    n_sectors: u64,
    sectors: BTreeMap<u64, [u8; SECTOR]>,
    n_reads: u64,
}

impl Sparse {
    fn new(n_sectors: u64) -> Self {
        Self { n_sectors, sectors: BTreeMap::new(), n_reads: 0 }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (k, byte) in bytes.iter().enumerate() {
            let place = at + k;
            let number = (place / SECTOR) as u64;
            self.sectors.entry(number).or_insert([0; SECTOR])[place % SECTOR] = *byte;
        }
    }

    /// Changes the byte at a place, counted over the sectors that are there.
    fn change(&mut self, place: usize, byte: u8) {
        let number = place / SECTOR % self.sectors.len();
        if let Some(sector) = self.sectors.values_mut().nth(number) {
            sector[place % SECTOR] = byte;
        }
    }
}

impl Sectors for &mut Sparse {
    fn n_sectors(&self) -> u64 {
        self.n_sectors
    }

    fn read(&mut self, sector: u64, into: &mut [u8; SECTOR]) -> Result<(), ReadFailed> {
        assert!(sector < self.n_sectors, "beyond the end");
        self.n_reads += 1;
        *into = self.sectors.get(&sector).copied().unwrap_or([0; SECTOR]);
        Ok(())
    }
}

/// A directory record of ISO9660.
fn record(name: &[u8], block: u32, bytes: u32, flags: u8, system_use: &[u8]) -> Vec<u8> {
    let mut record = vec![0; 33];
    record[2..6].copy_from_slice(&block.to_le_bytes());
    record[10..14].copy_from_slice(&bytes.to_le_bytes());
    record[25] = flags;
    record[32] = u8::try_from(name.len()).expect("short");
    record.extend_from_slice(name);
    // 33 bytes and an even name are odd.
    record.resize(record.len().next_multiple_of(2), 0);
    record.extend_from_slice(system_use);
    record.resize(record.len().next_multiple_of(2), 0);
    record[0] = u8::try_from(record.len()).expect("short");
    record
}

/// `cidata` with `user-data` behind the names of Rock Ridge, a part of it in a continuation, or of Joliet.
fn iso(is_joliet: bool) -> Sparse {
    const BLOCK: usize = 2048;
    let mut disk = Sparse::new(4 * 32);
    for (k, kind) in [(16, 1_u8), (17, 2), (18, 255)] {
        let mut head = vec![kind];
        head.extend_from_slice(b"CD001\x01");
        head.resize(190, 0);
        head[40..72].fill(b' ');
        head[40..46].copy_from_slice(b"cidata");
        head[88..91].copy_from_slice(b"%/E");
        head[128..130].copy_from_slice(&2048_u16.to_le_bytes());
        let root = record(&[0], if kind == 1 { 19 } else { 20 }, 2048, 2, &[]);
        head[156..156 + root.len()].copy_from_slice(&root);
        disk.put(k * BLOCK, &head);
    }
    let file = u32::try_from(CONTENT.len()).expect("short");
    // "user-" here, "data" in the continuation at block 21.
    let mut area = b"NM\x0a\x01\x01user-CE\x1c\x01".to_vec();
    for number in [21_u32, 0, 9] {
        area.extend(number.to_le_bytes());
        area.extend(number.to_be_bytes());
    }
    disk.put(21 * BLOCK, b"NM\x09\x01\x00data");
    let mut primary = record(&[0], 19, 2048, 2, b"SP\x07\x01\xbe\xef\x00");
    primary.extend(record(&[1], 19, 2048, 2, &[]));
    if is_joliet {
        let name: Vec<u8> = "user-data".encode_utf16().flat_map(u16::to_be_bytes).collect();
        disk.put(20 * BLOCK, &record(&name, 22, file, 0, &[]));
    } else {
        primary.extend(record(b"USER_DAT.;1", 22, file, 0, &area));
    }
    disk.put(19 * BLOCK, &primary);
    disk.put(22 * BLOCK, CONTENT);
    disk
}

/// The same on FAT, over two clusters, with a long name.
fn fat(is_32: bool) -> Sparse {
    let (n_sectors, table_sectors): (u32, u32) = if is_32 { (70_000, 600) } else { (64, 1) };
    let mut disk = Sparse::new(n_sectors.into());
    let mut boot = vec![0; SECTOR];
    boot[11..13].copy_from_slice(&512_u16.to_le_bytes());
    boot[13] = 1;
    boot[14] = 1;
    boot[16] = 1;
    boot[32..36].copy_from_slice(&n_sectors.to_le_bytes());
    if is_32 {
        boot[36..40].copy_from_slice(&table_sectors.to_le_bytes());
        boot[44] = 2;
        boot[66] = 0x29;
        boot[71..82].copy_from_slice(b"CIDATA     ");
    } else {
        boot[17] = 16;
        boot[22] = 1;
        boot[38] = 0x29;
        boot[43..54].copy_from_slice(b"CIDATA     ");
    }
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    disk.put(0, &boot);
    // Clusters 3 and 4 hold the file; on FAT32 cluster 2 the root.
    let chain: &[u8] = if is_32 {
        &[0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x0f, 4, 0, 0, 0, 0xff, 0xff, 0xff, 0x0f]
    } else {
        // 12 bits each: media, end, 0, 4, end.
        &[0xf8, 0xff, 0xff, 0x00, 0x40, 0x00, 0xff, 0x0f]
    };
    disk.put(SECTOR, chain);
    let root = SECTOR * (1 + table_sectors as usize);
    let first_cluster = if is_32 { root } else { root + SECTOR };
    let short = b"USER-D~1   ";
    let sum = short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    let mut long = [0xff; 32];
    long[0] = 0x41;
    (long[11], long[12], long[13]) = (0x0f, 0, sum);
    long[26..28].fill(0);
    let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain((28..32).step_by(2));
    for (place, unit) in places.zip("user-data\0".encode_utf16()) {
        long[place..place + 2].copy_from_slice(&unit.to_le_bytes());
    }
    disk.put(root, &long);
    let mut entry = [0; 32];
    entry[..11].copy_from_slice(short);
    entry[26] = 3;
    entry[28..32].copy_from_slice(&600_u32.to_le_bytes());
    disk.put(root + 32, &entry);
    disk.put(first_cluster + SECTOR, CONTENT);
    disk.put(first_cluster + 2 * SECTOR, &[b'\n'; 88]);
    disk
}

/// Runs the target.
pub fn drive(data: &[u8]) -> Behaviour {
    let (&choice, changes) = data.split_first().unwrap_or((&0, &[]));
    let mut disk = match choice % 4 {
        0 => iso(false),
        1 => iso(true),
        2 => fat(false),
        _ => fat(true),
    };
    for change in changes.chunks_exact(3) {
        disk.change(usize::from(u16::from_be_bytes([change[0], change[1]])), change[2]);
    }
    let outcome = look(&mut disk);
    assert!(disk.n_reads <= MOST_READS, "{} reads", disk.n_reads);
    if changes.len() < 3 {
        let (label, content) = outcome.as_ref().expect("a sound volume");
        assert!(label.eq_ignore_ascii_case("cidata") && content.starts_with(CONTENT));
    }
    let kind = match outcome {
        Ok((label, content)) => {
            assert!(content.len() <= MAX_BYTES as usize);
            let is_right = label.eq_ignore_ascii_case("cidata");
            16 + u64::from(is_right) + 2 * u64::from(content.starts_with(CONTENT))
        }
        Err(DriveError::Unreadable) => 1,
        Err(DriveError::NoVolume) => 2,
        Err(DriveError::Malformed(what)) => 100 + what.len() as u64,
        Err(DriveError::NotFound) => 3,
        Err(DriveError::TooLarge { .. }) => 4,
    };
    behaviour(&[u64::from(choice % 4), kind, disk.n_reads.ilog2().into()])
}

fn look(disk: &mut Sparse) -> Result<(String, Vec<u8>), DriveError> {
    let mut volume = Volume::open(disk)?;
    let label = volume.label().to_owned();
    let _ = volume.read_file("openstack/latest/user_data", MAX_BYTES);
    Ok((label, volume.read_file("user-data", MAX_BYTES)?))
}

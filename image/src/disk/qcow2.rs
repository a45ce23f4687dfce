//! qcow2, version 2, as QEMU's `docs/interop/qcow2.txt` has it: header, one level of reference
//! counts, the two-level map, then those clusters that are not all zero.
//!
//! Written here because `qemu-img` is in a package of its own that few machines have, and a disk
//! that is written once, whole and without features needs little of the format.

const CLUSTER_BITS: u32 = 16;
const CLUSTER_BYTES: usize = 1 << CLUSTER_BITS;
/// The entry's cluster is used once, so it can be written in place.
const COPIED: u64 = 1 << 63;
const N_L2_ENTRIES: usize = CLUSTER_BYTES / 8;
const N_REFCOUNTS: usize = CLUSTER_BYTES / 2;

/// The qcow2 file that reads as `raw`.
///
/// # Panics
/// When `raw` has more than 2 GiB, for which one block of reference counts would not do.
pub fn qcow2(raw: &[u8]) -> Vec<u8> {
    let n_clusters = raw.len().div_ceil(CLUSTER_BYTES);
    let n_l2 = n_clusters.div_ceil(N_L2_ENTRIES);
    // 0 header, 1 table of reference counts, 2 reference counts, 3 first-level map, 4.. second level.
    let first_l2 = 4;
    let mut l1 = vec![0_u64; n_l2];
    let mut l2 = vec![0_u64; n_l2 * N_L2_ENTRIES];
    let mut data = Vec::new();
    for (i, entry) in l1.iter_mut().enumerate() {
        *entry = COPIED | offset(first_l2 + i);
    }
    let first_data = first_l2 + n_l2;
    let mut n_used = first_data;
    for (i, cluster) in raw.chunks(CLUSTER_BYTES).enumerate() {
        if cluster.iter().any(|&byte| byte != 0) {
            l2[i] = COPIED | offset(n_used);
            data.extend_from_slice(cluster);
            data.resize((n_used + 1 - first_data) * CLUSTER_BYTES, 0);
            n_used += 1;
        }
    }
    assert!(n_used <= N_REFCOUNTS, "a disk image of at most 2 GiB");

    let mut file = header(raw.len(), n_l2);
    file.resize(CLUSTER_BYTES, 0);
    file.extend(offset(2).to_be_bytes());
    file.resize(2 * CLUSTER_BYTES, 0);
    file.extend((0..n_used).flat_map(|_| 1_u16.to_be_bytes()));
    file.resize(3 * CLUSTER_BYTES, 0);
    file.extend(l1.iter().flat_map(|entry| entry.to_be_bytes()));
    file.resize(first_l2 * CLUSTER_BYTES, 0);
    file.extend(l2.iter().flat_map(|entry| entry.to_be_bytes()));
    file.extend(data);
    file
}

fn header(disk_bytes: usize, n_l2: usize) -> Vec<u8> {
    let mut header = b"QFI\xfb".to_vec();
    header.extend(2_u32.to_be_bytes());
    // No backing file.
    header.extend(0_u64.to_be_bytes());
    header.extend(0_u32.to_be_bytes());
    header.extend(CLUSTER_BITS.to_be_bytes());
    header.extend((disk_bytes as u64).to_be_bytes());
    // No encryption.
    header.extend(0_u32.to_be_bytes());
    header.extend(u32::try_from(n_l2).unwrap_or(u32::MAX).to_be_bytes());
    header.extend(offset(3).to_be_bytes());
    header.extend(offset(1).to_be_bytes());
    header.extend(1_u32.to_be_bytes());
    // No snapshots.
    header.extend(0_u32.to_be_bytes());
    header.extend(0_u64.to_be_bytes());
    header
}

fn offset(cluster: usize) -> u64 {
    (cluster * CLUSTER_BYTES) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn be64(file: &[u8], at: usize) -> usize {
        usize::try_from(u64::from_be_bytes(file[at..at + 8].try_into().unwrap()) & !COPIED).unwrap()
    }

    /// Reads a whole disk back by the map alone.
    fn read(file: &[u8]) -> Vec<u8> {
        assert_eq!(file[..8], *b"QFI\xfb\0\0\0\x02");
        let (size, l1) = (be64(file, 24), be64(file, 40));
        let mut raw = Vec::new();
        for i in 0..size.div_ceil(CLUSTER_BYTES) {
            let l2 = be64(file, l1 + i / N_L2_ENTRIES * 8);
            match be64(file, l2 + i % N_L2_ENTRIES * 8) {
                0 => raw.resize(raw.len() + CLUSTER_BYTES, 0),
                at => raw.extend_from_slice(&file[at..at + CLUSTER_BYTES]),
            }
        }
        raw.truncate(size);
        raw
    }

    #[test]
    fn reads_back() {
        let mut raw = vec![0; 5 * CLUSTER_BYTES + 512];
        raw[0] = 1;
        raw[3 * CLUSTER_BYTES + 7] = 2;
        raw[5 * CLUSTER_BYTES + 511] = 3;
        let file = qcow2(&raw);
        assert!(read(&file) == raw);
        assert_eq!(file.len(), (5 + 3) * CLUSTER_BYTES, "zero clusters take no room");
    }

    #[test]
    fn every_cluster_is_counted_once() {
        let file = qcow2(&[7; 3 * CLUSTER_BYTES]);
        let table = be64(&file, 48);
        let counts = be64(&file, table);
        let n = file.len() / CLUSTER_BYTES;
        for (i, count) in file[counts..counts + CLUSTER_BYTES].chunks(2).enumerate() {
            assert_eq!(u16::from_be_bytes([count[0], count[1]]), u16::from(i < n), "cluster {i}");
        }
    }
}

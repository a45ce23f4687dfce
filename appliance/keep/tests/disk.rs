//! Pictures on disks that lose power, break, and lie.

use keep::{Encoder, FORMAT, Item, Reading, Region, RegionError, Unfit, Writing};
use ofproto::{Piece, RulePiece};
use openflow::{Action, FlowMod, Instructions, OfPort};
use ovsdb::store::{BlockDevice, Crc32, FakeDevice, PowerCut, SECTOR};
use sync::time::Nanos;

fn rule(n: u16) -> Piece {
    let instructions = Instructions::apply(vec![Action::output(OfPort(u32::from(n) + 1))]);
    let flow_mod = FlowMod { priority: n, instructions, ..FlowMod::default() };
    Piece::Rule(RulePiece {
        flow_mod: flow_mod.into(),
        age: Nanos(n.into()),
        unmodified: Nanos::ZERO,
    })
}

/// A picture of so many rules, whose name says which.
fn write(
    region: &mut Region,
    disk: &mut impl BlockDevice,
    name: &str,
    n_rules: u16,
) -> Result<(), RegionError> {
    let mut writing = region.write();
    let mut encoder = Encoder::default();
    encoder.start(5, writing.records());
    encoder.bridge(name, 1, writing.records());
    for n in 0..n_rules {
        encoder.piece(&rule(n), writing.records()).expect("a form");
        writing.step(region, disk)?;
    }
    encoder.end(writing.records());
    writing.close();
    while !writing.step(region, disk)? {}
    Ok(())
}

/// The name and the number of rules of the picture that counts.
fn read(disk: &mut impl BlockDevice) -> Result<(String, u16), Unfit> {
    let region = Region::open(disk).expect("a region");
    let mut reading = Reading::open(&region, disk)?;
    let (mut found, mut n_rules) = (String::new(), 0);
    while let Some(item) = reading.next_item(disk)? {
        match item {
            Item::Bridge { name, .. } => found = name,
            Item::Piece(piece, _) => {
                assert_eq!(piece, rule(n_rules));
                n_rules += 1;
            }
            Item::Start { .. } | Item::End { .. } => {}
        }
    }
    Ok((found, n_rules))
}

#[test]
fn the_last_picture_counts() {
    let mut disk = FakeDevice::new(4_000);
    let mut region = Region::open(&mut disk).unwrap();
    assert_eq!((read(&mut disk), region.generation()), (Err(Unfit::Nothing), 0));
    for (n, n_rules) in (1..).zip([0, 1, 300, 2_000, 3]) {
        write(&mut region, &mut disk, &format!("br{n}"), n_rules).unwrap();
        assert_eq!(read(&mut disk), Ok((format!("br{n}"), n_rules)));
        assert_eq!(Region::open(&mut disk).unwrap().generation(), n);
    }
    // One that does not fit leaves the last one alone.
    assert_eq!(write(&mut region, &mut disk, "large", u16::MAX), Err(RegionError::Full));
    assert_eq!(read(&mut disk), Ok(("br5".into(), 3)));
    assert_eq!(Region::open(&mut FakeDevice::new(20)).err(), Some(RegionError::TooSmall));
}

#[test]
fn a_power_cut_at_any_step_leaves_one_of_the_two() {
    let mut before = FakeDevice::new(1_200);
    let mut region = Region::open(&mut before).unwrap();
    write(&mut region, &mut before, "older", 50).unwrap();
    write(&mut region, &mut before, "old", 700).unwrap();
    let mut whole = before.clone();
    write(&mut region.clone(), &mut whole, "new", 500).unwrap();
    let n_steps = whole.n_steps() - before.n_steps();
    assert!(n_steps > 50, "{n_steps}");
    let mut n_new = 0;
    for step in 0..n_steps {
        for cut in [
            PowerCut::Lost,
            PowerCut::Kept,
            PowerCut::Reordered(step),
            PowerCut::Torn(step),
            PowerCut::Torn(!step),
        ] {
            let mut disk = before.clone();
            disk.cut_at(before.n_steps() + step);
            assert!(write(&mut region.clone(), &mut disk, "new", 500).is_err());
            disk.power_on(cut);
            let found = read(&mut disk);
            let is_new = found == Ok(("new".into(), 500));
            assert!(is_new || found == Ok(("old".into(), 700)), "{step}, {cut:?}: {found:?}");
            n_new += u32::from(is_new);
            // It goes on from there.
            let mut region = Region::open(&mut disk).unwrap();
            write(&mut region, &mut disk, "next", 20).unwrap();
            assert_eq!(read(&mut disk), Ok(("next".into(), 20)));
        }
    }
    assert!(n_new > 0);
}

/// The picture that counts, with its bytes changed and its checksums right.
fn forge(disk: &mut FakeDevice, change: impl FnOnce(&mut Vec<u8>)) {
    let region = Region::open(disk).unwrap();
    let (half, generation) = (region.capacity() / SECTOR as u64, region.generation());
    let mut head = [0; SECTOR];
    disk.read(generation % 2, &mut head).unwrap();
    let length = u64::from_le_bytes(*head[32..].first_chunk().unwrap());
    let first = 2 + generation % 2 * half;
    let mut sectors = vec![[0; SECTOR]; usize::try_from(half).unwrap()];
    disk.read_run(first, &mut sectors).unwrap();
    let mut bytes = sectors.concat();
    bytes.truncate(usize::try_from(length).unwrap());
    change(&mut bytes);
    let sum = Crc32::new().with(&bytes).value();
    head[32..40].copy_from_slice(&u64::try_from(bytes.len()).unwrap().to_le_bytes());
    head[40..44].copy_from_slice(&sum.to_le_bytes());
    seal(&mut head);
    disk.write(generation % 2, &head).unwrap();
    bytes.resize(sectors.len() * SECTOR, 0);
    disk.write_run(first, bytes.as_chunks().0).unwrap();
}

fn seal(head: &mut [u8; SECTOR]) {
    let sum = Crc32::new().with(&head[..SECTOR - 4]).value();
    head[SECTOR - 4..].copy_from_slice(&sum.to_le_bytes());
}

#[test]
fn what_is_damaged_or_of_another_form_is_passed_over_for_a_reason() {
    let mut disk = FakeDevice::new(1_200);
    let mut region = Region::open(&mut disk).unwrap();
    write(&mut region, &mut disk, "br0", 30).unwrap();
    let generation = region.generation();
    let at = 2 + generation % 2 * (region.capacity() / SECTOR as u64);
    let mut sector = [0; SECTOR];
    disk.read(at, &mut sector).unwrap();
    sector[100] ^= 1;
    let mut damaged = disk.clone();
    damaged.write(at, &sector).unwrap();
    assert_eq!(read(&mut damaged), Err(Unfit::Damaged));

    let mut newer = disk.clone();
    let mut head = [0; SECTOR];
    newer.read(generation % 2, &mut head).unwrap();
    head[8..10].copy_from_slice(&(FORMAT + 1).to_le_bytes());
    seal(&mut head);
    newer.write(generation % 2, &head).unwrap();
    assert_eq!(read(&mut newer), Err(Unfit::Format(FORMAT + 1)));
    // What another program kept is no reason to keep nothing.
    let mut region = Region::open(&mut newer).unwrap();
    write(&mut region, &mut newer, "ours", 1).unwrap();
    assert_eq!(read(&mut newer), Ok(("ours".into(), 1)));

    let mut short = disk.clone();
    forge(&mut short, |bytes| bytes.truncate(bytes.len() - 6));
    assert_eq!(read(&mut short), Err(Unfit::Short));
    let mut long = disk.clone();
    forge(&mut long, |bytes| bytes.extend([0; 9]));
    assert!(matches!(read(&mut long), Err(Unfit::Record(_))));
    let mut huge = disk.clone();
    forge(&mut huge, |bytes| bytes[..4].copy_from_slice(&u32::MAX.to_le_bytes()));
    assert_eq!(read(&mut huge), Err(Unfit::Record(1)));
    let mut empty = disk.clone();
    forge(&mut empty, Vec::clear);
    assert_eq!(read(&mut empty), Err(Unfit::Short));
}

#[test]
fn no_bytes_do_harm() {
    let mut whole = FakeDevice::new(600);
    let mut region = Region::open(&mut whole).unwrap();
    write(&mut region, &mut whole, "br0", 40).unwrap();
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % u64::try_from(below).unwrap()).unwrap()
    };
    let (mut n_taken, mut n_refused) = (0, 0);
    for _ in 0..3_000 {
        let mut disk = whole.clone();
        forge(&mut disk, |bytes| {
            for _ in 0..=next(3) {
                let at = next(bytes.len());
                bytes[at] ^= 1 << next(8);
            }
        });
        let region = Region::open(&mut disk).unwrap();
        let mut reading = Reading::open(&region, &mut disk).unwrap();
        loop {
            match reading.next_item(&mut disk) {
                Ok(Some(_)) => n_taken += 1,
                Ok(None) => break,
                Err(_) => {
                    n_refused += 1;
                    break;
                }
            }
        }
    }
    assert!(n_taken > 10_000 && n_refused > 100, "{n_taken}, {n_refused}");
}

#[test]
fn a_picture_under_way_holds_little() {
    let mut disk = FakeDevice::new(8_000);
    let mut region = Region::open(&mut disk).unwrap();
    let mut writing: Writing = region.write();
    let mut encoder = Encoder::default();
    encoder.start(5, writing.records());
    for n in 0..5_000 {
        encoder.piece(&rule(n), writing.records()).unwrap();
        if !writing.is_hungry() {
            writing.step(&mut region, &mut disk).unwrap();
        }
        assert!(writing.records().len() < 40_000);
    }
}

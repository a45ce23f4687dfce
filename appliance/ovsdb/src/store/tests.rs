use super::*;
use std::vec::Vec;

fn record(n: usize) -> Vec<u8> {
    // Of all lengths, those around a sector's text too.
    alloc::vec![b'a' + u8::try_from(n % 26).unwrap(); n * 37 % 1500 + 1]
}

fn open(device: FakeDevice) -> (Store<FakeDevice>, Vec<u8>) {
    let (store, found) = Store::open(device).unwrap();
    match found {
        Found::Nothing => (store, Vec::new()),
        Found::Log(text) => (store, text),
    }
}

#[test]
fn what_is_written_is_read() {
    let (mut store, found) = Store::open(FakeDevice::new(2_000)).unwrap();
    assert_eq!((found, store.append(&[record(1)])), (Found::Nothing, Err(StoreError::Broken)));
    let mut expected = record(0);
    store.begin(&[record(0)]).unwrap();
    for n in 1..100 {
        store.append(&[record(n), record(n + 1)]).unwrap();
        expected.extend(record(n));
        expected.extend(record(n + 1));
        let (again, text) = open(store.into_device());
        store = again;
        assert_eq!(text, expected, "{n}");
    }
    let generation = store.generation();
    store.begin(&[record(7)]).unwrap();
    store.append(&[record(8)]).unwrap();
    let (store, text) = open(store.into_device());
    assert_eq!((text, store.generation()), ([record(7), record(8)].concat(), generation + 1));
}

#[test]
fn bounds_of_the_disk() {
    assert_eq!(Store::open(FakeDevice::new(100)).err(), Some(StoreError::TooSmall));
    let (mut store, _) = Store::open(FakeDevice::new(130)).unwrap();
    store.begin(&[record(0)]).unwrap();
    let big = [alloc::vec![b'x'; 60 * sector::TEXT]];
    assert!(!store.is_crowded());
    store.append(&big).unwrap();
    assert!(store.is_crowded());
    assert_eq!(store.append(&big), Err(StoreError::Full));
    // That it does not fit is no harm: what is there stays, and less still fits.
    store.append(&[record(1)]).unwrap();
    assert_eq!(store.begin(&[big[0].clone(), big[0].clone()]), Err(StoreError::Full));
    store.begin(&[record(2)]).unwrap();
    assert_eq!(open(store.into_device()).1, record(2));
}

/// At every write and flush of a run the power goes, in all the ways there are. Every append that was
/// reported is there after; of the one under way nothing, or a part, or all; of others nothing.
#[test]
fn power_cut_at_every_step() {
    const RUN: usize = 40;
    let run = |device: &mut FakeDevice| {
        let mut reported = 0;
        let Ok((mut store, _)) = Store::open(&mut *device) else { return 0 };
        for n in 0..RUN {
            let outcome = match n % 7 {
                // A snapshot: here all records so far.
                0 => store.begin(&(0..=n).map(record).collect::<Vec<_>>()),
                _ => store.append(&[record(n)]),
            };
            if outcome.is_err() {
                break;
            }
            reported = n + 1;
        }
        reported
    };
    let mut whole = FakeDevice::new(400);
    assert_eq!(run(&mut whole), RUN);
    let all: Vec<u8> = (0..RUN).flat_map(record).collect();
    for step in 0..whole.n_steps() {
        for cut in [
            PowerCut::Lost,
            PowerCut::Kept,
            PowerCut::Reordered(step),
            PowerCut::Reordered(!step),
            PowerCut::Torn(step),
            PowerCut::Torn(!step),
        ] {
            let mut device = FakeDevice::new(400);
            device.cut_at(step);
            let reported = run(&mut device);
            device.power_on(cut);
            let (mut store, text) = open(device);
            let kept: usize = (0..reported).map(|n| record(n).len()).sum();
            assert!(text.len() >= kept, "step {step}, {cut:?}: an acknowledged record is lost");
            assert!(all.starts_with(&text), "step {step}, {cut:?}: what was never written");
            // It goes on from there, as the server would: with a snapshot.
            store.begin(&[record(3)]).unwrap();
            store.append(&[record(4)]).unwrap();
            assert_eq!(open(store.into_device()).1, [record(3), record(4)].concat());
        }
    }
}

#[test]
fn a_late_sector_is_not_taken_for_one_of_a_new_log() {
    // Of an append of two sectors only the second reached the disk; then another takes the place of
    // the first. The second fits in place and generation, and is told by the chain alone.
    let mut device = FakeDevice::new(400);
    let (mut store, _) = Store::open(&mut device).unwrap();
    store.begin(&[record(0)]).unwrap();
    let second = store.place(2);
    let mut lost = store.device.clone();
    let (mut other, _) = Store::open(&mut lost).unwrap();
    other.append(&[alloc::vec![b'1'; 2 * sector::TEXT]]).unwrap();
    let mut sector = [0; SECTOR];
    lost.read(second, &mut sector).unwrap();
    device.write(second, &sector).unwrap();
    let (mut store, text) = open(device);
    assert_eq!(text, record(0));
    store.append(&[alloc::vec![b'3'; 100]]).unwrap();
    assert_eq!(open(store.into_device()).1, [record(0), alloc::vec![b'3'; 100]].concat());
}

#[test]
fn any_bytes_open() {
    let mut uuids = crate::uuid::Uuids::new(3);
    let mut device = FakeDevice::new(200);
    let (mut store, _) = Store::open(&mut device).unwrap();
    store.begin(&[record(0), record(40)]).unwrap();
    for _ in 0..2_000 {
        // A byte anywhere is changed, and stays so.
        let random = uuids.fresh().0;
        let sector = u64::try_from(random % 200).unwrap();
        let byte = usize::try_from((random >> 20) % 512).unwrap();
        let mut bytes = [0; SECTOR];
        device.read(sector, &mut bytes).unwrap();
        bytes[byte] ^= u8::try_from(random >> 80 & 0xff).unwrap();
        device.write(sector, &bytes).unwrap();
        Store::open(&mut device).unwrap();
    }
}

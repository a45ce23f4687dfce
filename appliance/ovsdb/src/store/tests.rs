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

/// A disk on which the log has all room to itself, as it was before others could have a part.
fn undivided(n_generations: usize, n_records: usize) -> (FakeDevice, Vec<u8>) {
    let (mut store, _) = Store::open(FakeDevice::new(usize::try_from(SHARED).unwrap())).unwrap();
    let most = (SHARED - HEADS) / 2;
    (store.wanted_half, store.head.half_sectors) = (most, most);
    let records: Vec<Vec<u8>> = (0..n_records).map(record).collect();
    (0..n_generations).for_each(|_| store.begin(&records).unwrap());
    (store.into_device(), records.concat())
}

/// Opens a disk as the server does: the log moves if it can.
fn settle(device: FakeDevice, text: &[u8]) -> Store<FakeDevice> {
    let (mut store, found) = open(device);
    assert!(found == text);
    for _ in 0..2 {
        if store.wants_move() {
            store.begin(&[text.to_vec()]).unwrap();
        }
    }
    store
}

#[test]
fn an_undivided_disk_leaves_a_rest_once_its_log_has_moved() {
    // Few records and many, in either half.
    for (n_generations, n_records) in [(1, 3), (2, 3), (1, 2_500), (2, 2_500)] {
        let (device, text) = undivided(n_generations, n_records);
        let (mut store, _) = open(device);
        assert!(store.rest().is_none());
        let mut store = settle(store.into_device(), &text);
        let rest = store.rest().expect("a rest").n_sectors();
        assert!(rest >= SHARED / 2, "{rest}");
        // Whatever is written there, the log is as it was.
        let mut rest = store.rest().unwrap();
        for sector in 0..rest.n_sectors() {
            rest.write(sector, &[0xff; SECTOR]).unwrap();
        }
        assert_eq!(rest.write(rest.n_sectors(), &[0; SECTOR]), Err(DeviceError::OutOfRange));
        assert_eq!(
            rest.read_run(rest.n_sectors() - 1, &mut [[0; SECTOR]; 2]),
            Err(DeviceError::OutOfRange)
        );
        rest.flush().unwrap();
        let (mut store, found) = open(store.into_device());
        assert!(found == text && !store.wants_move());
        store.append(&[record(1)]).unwrap();
        assert!(open(store.into_device()).1 == [text, record(1)].concat());
    }
    // What does not fit stays where it is.
    let (device, text) = undivided(1, 6_000);
    let mut store = settle(device, &text);
    assert!(store.rest().is_none() && !store.wants_move());
}

#[test]
fn power_cut_while_the_log_moves() {
    for n_generations in [1, 2] {
        let (device, text) = undivided(n_generations, 3);
        for step in 0..40 {
            let mut cut = device.clone();
            cut.cut_at(device.n_steps() + step);
            let (mut store, _) = open(cut);
            for _ in 0..2 {
                if store.wants_move() {
                    let _lost = store.begin(core::slice::from_ref(&text));
                }
            }
            let mut cut = store.into_device();
            cut.power_on(PowerCut::Torn(step));
            let mut store = settle(cut, &text);
            assert!(store.rest().is_some(), "step {step}");
        }
    }
}

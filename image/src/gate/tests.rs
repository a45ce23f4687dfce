use super::fixture::Elf;
use super::*;

fn failures(change: impl FnOnce(&mut Elf)) -> Vec<Failure> {
    let mut elf = Elf::good();
    change(&mut elf);
    check(&elf.build(), 1000, 2000).err().unwrap_or_default()
}

#[test]
fn a_good_image_passes() {
    let report = check(&Elf::good().build(), 1000, 2000).unwrap();
    assert_eq!(report.pvh_entry, 0x20_1010);
    assert_eq!(report.text_bytes, 0x100);
    assert_eq!(report.rodata_bytes, 0x200);
}

#[test]
fn each_failure_is_found_alone() {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        failures(
            |e| e.undefined = vec!["memcmp", "_ZN4core3fmt5Write9write_str17h0123456789abcdefE"]
        ),
        [Failure::Undefined(names(&["core::fmt::Write::write_str", "memcmp"]))]
    );
    assert_eq!(
        failures(|e| e.defined.extend([
            "_ZN3std2io5stdio6_print17h0123456789abcdefE",
            "_RNvNtNtCs1234_3std2io5stdio6_print",
            "__libc_start_main",
        ])),
        [Failure::HostSymbols(names(&["__libc_start_main", "std::io::stdio::_print"]))]
    );
    assert_eq!(failures(|e| e.extra_segment = Some(elf::PT_TLS)), [Failure::Tls]);
    assert_eq!(failures(|e| e.extra_segment = Some(elf::PT_INTERP)), [Failure::Dynamic]);
    assert_eq!(failures(|e| e.note_type = 17), [Failure::NoPvhNote]);
    assert_eq!(failures(|e| e.note_entry = 0x20_0010), [Failure::PvhEntry(0x20_0010)]);
    assert_eq!(failures(|e| e.multiboot1 = true), [Failure::Multiboot1(0x150)]);
    assert_eq!(failures(|e| e.multiboot2 = false), [Failure::NoMultiboot2]);
    assert_eq!(failures(|e| e.text_flags |= elf::PF_W), [Failure::WritableCode(0x20_1000)]);
    assert!(matches!(failures(|e| e.machine = elf::EM_AARCH64)[..], [Failure::NotElf(_)]));
    let stripped = crate::strip(&Elf::good().build()).unwrap();
    assert_eq!(check(&stripped, 1000, 2000).unwrap_err(), [Failure::NoSymbols]);
    assert_eq!(
        check(&Elf::good().build(), 2001, 2000).unwrap_err(),
        [Failure::TooLarge { bytes: 2001, budget: 2000 }]
    );
}

#[test]
fn all_failures_are_told_at_once() {
    let found = failures(|e| {
        e.undefined = vec!["malloc"];
        e.note_type = 0;
        e.multiboot1 = true;
    });
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn a_failure_names_and_advises() {
    let text = Failure::Undefined((0..10).map(|i| format!("f{i}")).collect()).to_string();
    assert_eq!(
        text,
        "undefined: f0, f1, f2, f3, f4, f5, f6, f7 and 2 more: define them in the runtime, or \
         drop the crate that wants them"
    );
}

#[test]
fn std_is_a_crate_and_not_a_syllable() {
    for (name, is_host) in [
        ("std::thread::spawn", true),
        ("<std::io::Error as core::fmt::Debug>::fmt", true),
        ("core::ptr::drop_in_place<std::io::Error>", true),
        ("core::ptr::drop_in_place<alloc::string::String>", false),
        ("my_std::thing", false),
        ("virtio::std::thing", false),
        ("malloc", true),
        ("talc::malloc", false),
    ] {
        assert_eq!(is_host_symbol(name), is_host, "{name}");
    }
}

#[test]
fn broken_files_are_refused_in_peace() {
    let good = Elf::good().build();
    for n in (0..good.len()).step_by(7) {
        assert!(check(&good[..n], 0, 1).is_err());
    }
    let mut state = 1_u32;
    for _ in 0..2000 {
        let mut bad = good.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = state as usize % 0x200;
            bad[at] = state.to_be_bytes()[0];
        }
        let _ = check(&bad, 0, 1);
        let _ = crate::strip(&bad);
    }
}

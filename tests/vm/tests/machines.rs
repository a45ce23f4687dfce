//! The machines and the ways to boot.

use std::fs;

use qemu::{Boot, DiskFormat, Machine};
use vm::frame::{BROADCAST, host, plain};
use vm::{Bench, Config, tool};

/// Forwarding and OpenFlow, in short.
fn works(config: Config) {
    let bench = Bench::boot(config);
    bench.case("learning");
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 1), &[2, 3]);
    bench.forwards(2, &plain(host(1), host(2), 1514, 2), &[1]);
    bench.case("ports are in the order of the command line");
    let show = bench.ofctl(&["show"]);
    for port in 1..=3 {
        assert!(show.contains(&format!("{port}(p{port}): addr:{}", vm::mac(port))), "{show}");
    }
    bench.shutdown();
}

#[test]
fn pc() {
    works(Config::new(3).machine(Machine::Pc));
}

#[test]
fn q35_with_dhcp() {
    works(Config::new(3).machine(Machine::Q35).seed(|seed| {
        seed.management = seed::BootConfig::default().management;
    }));
}

#[test]
fn microvm() {
    works(Config::new(3).machine(Machine::Microvm));
}

#[test]
fn command_line_instead_of_seed() {
    let boot = Boot::Kernel {
        path: vm::elf(),
        cmdline: "ip=10.0.2.15/24 gw=10.0.2.2 on-panic=poweroff bridge=br0".into(),
    };
    works(Config::new(3).boot(boot));
}

#[test]
fn disks() {
    tool::need("grub-mkimage", "grub-common");
    if !std::path::Path::new("/usr/lib/grub/i386-pc/boot.img").exists() {
        tool::install("grub-pc-bin");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let elf = fs::read(vm::elf()).expect("the image");
    let options = image::disk::DiskOptions {
        cmdline: "ip=10.0.2.15/24 gw=10.0.2.2 on-panic=poweroff".into(),
        ..image::disk::DiskOptions::default()
    };
    let raw = match image::disk::raw(&elf, &options) {
        Ok(raw) => raw,
        Err(why) => panic!("{why}"),
    };
    let qcow2 = image::disk::qcow2(&raw);
    for (format, machine, bytes) in
        [(DiskFormat::Raw, Machine::Pc, raw), (DiskFormat::Qcow2, Machine::Q35, qcow2)]
    {
        let path = dir.path().join(format.name());
        fs::write(&path, bytes).expect("a disk");
        works(Config::new(3).machine(machine).boot(Boot::Disk { path, format }));
    }
}

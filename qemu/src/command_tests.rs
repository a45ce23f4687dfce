use seed::Mac;

use super::*;
use crate::backend::Forward;
use crate::probe::Version;
use crate::vm::DiskFormat;

fn vm() -> Vm {
    Vm::new(Boot::Kernel { path: "/i.elf".into(), cmdline: String::new() }, Path::new("/d"))
}

fn nic(i: u8, backend: Backend) -> Nic {
    Nic::new(format!("p{i}"), Mac([2, 0, 0, 0, 0, i]), backend)
}

/// The command line of a change to the plain machine, after the program.
fn line(change: impl FnOnce(&mut Vm)) -> String {
    let mut vm = vm();
    change(&mut vm);
    shell_quoted(&vm.command()[1..])
}

#[track_caller]
fn check(change: impl FnOnce(&mut Vm), expected: &[&str]) {
    let line = line(change);
    for part in expected {
        assert!(line.contains(part), "missing: {part}\nin: {line}");
    }
}

#[test]
fn the_whole_of_a_plain_machine() {
    assert_eq!(
        line(|_| ()),
        "-name uniswitch -nodefaults -no-user-config -no-reboot -display none \
         -machine q35 -accel tcg -cpu max -smp 1 -m 128M -serial stdio -kernel /i.elf \
         -chardev socket,id=qmp,server=on,wait=off,path=/d/qmp -mon chardev=qmp,mode=control \
         -chardev socket,id=ctl0,server=on,wait=off,path=/d/ctl \
         -device virtio-serial-pci,disable-legacy=on,addr=0x1b,id=serial0,max_ports=1 \
         -device virtconsole,bus=serial0.0,chardev=ctl0 \
         -chardev socket,id=ctl1,server=on,wait=off,path=/d/appctl \
         -device virtio-serial-pci,disable-legacy=on,addr=0x1c,id=serial1,max_ports=1 \
         -device virtconsole,bus=serial1.0,chardev=ctl1"
    );
}

#[test]
fn machines() {
    check(|vm| vm.machine = Machine::Pc, &["-machine pc -accel tcg -cpu max"]);
    check(|vm| vm.accel = Accel::Kvm, &["-accel kvm -cpu host"]);
    check(|vm| vm.cpu = Some("Haswell".into()), &["-cpu Haswell"]);
    check(
        |vm| {
            vm.machine = Machine::Microvm;
            vm.nics = vec![nic(1, Backend::User { forwards: vec![] })];
        },
        &[
            "-machine microvm ",
            "-global virtio-mmio.force-legacy=false",
            "virtio-serial-device,bus=virtio-mmio-bus.1,id=serial0",
            "virtio-net-device,bus=virtio-mmio-bus.23,netdev=p1",
        ],
    );
}

#[test]
fn boots() {
    check(
        |vm| {
            let cmdline = "log=debug listen=off".into();
            vm.boot = Boot::Kernel { path: "/a b".into(), cmdline };
        },
        &["-kernel '/a b' -append 'log=debug listen=off'"],
    );
    check(
        |vm| {
            vm.boot = Boot::Disk { path: "/a,b".into(), format: DiskFormat::Qcow2 };
            vm.seed = Some("/s".into());
        },
        &[
            "-drive if=none,id=boot,snapshot=on,format=qcow2,file=/a,,b",
            "-device virtio-blk-pci,drive=boot,bootindex=0,addr=0x1e",
            "-fw_cfg name=opt/uniswitch/config,file=/s",
        ],
    );
}

#[test]
fn backends() {
    let forward = Forward { address: [127, 0, 0, 1].into(), host: 6699, guest: 6653 };
    check(
        |vm| vm.nics = vec![nic(1, Backend::User { forwards: vec![forward] })],
        &[
            "-netdev user,id=p1,hostfwd=tcp:127.0.0.1:6699-:6653",
            "-device virtio-net-pci,disable-legacy=on,romfile=,addr=0x2,netdev=p1,id=p1-nic,\
             mac=02:00:00:00:00:01,mrg_rxbuf=on,rx_queue_size=1024",
        ],
    );
    check(
        |vm| {
            let mut tap = nic(2, Backend::Tap { ifname: "tap0".into() });
            tap.n_queue_pairs = 4;
            tap.mtu = Some(9000);
            tap.is_packed = true;
            vm.nics = vec![tap];
        },
        &[
            "tap,id=p2,ifname=tap0,script=no,downscript=no,queues=4",
            "mq=on,vectors=10,packed=on,host_mtu=9000",
        ],
    );
    let (local, remote) = ("/l".into(), "/r".into());
    check(
        |vm| vm.nics = vec![nic(3, Backend::Dgram { local, remote })],
        &["dgram,id=p3,local.type=unix,local.path=/l,remote.type=unix,remote.path=/r"],
    );
    check(
        |vm| vm.nics = vec![nic(4, Backend::Stream { path: "/s".into(), role: Role::Server })],
        &["stream,id=p4,server=on,addr.type=unix,addr.path=/s"],
    );
}

#[test]
fn vhost_user_shares_the_memory() {
    let vhost = |role| nic(5, Backend::VhostUser { path: "/v".into(), role });
    check(
        |vm| vm.nics = vec![vhost(Role::Client)],
        &[
            "-object memory-backend-memfd,id=mem,size=128M,share=on",
            "-machine q35,memory-backend=mem",
            "-chardev socket,id=p5-chr,reconnect=1,path=/v",
            "-netdev vhost-user,id=p5,chardev=p5-chr",
            "tx_queue_size=1024",
        ],
    );
    check(|vm| vm.nics = vec![vhost(Role::Server)], &["socket,id=p5-chr,server=on,path=/v"]);
}

#[test]
fn newer_versions_spell_reconnect_differently() {
    let path = || "/s".into();
    check(
        |vm| {
            vm.version = Version { major: 9, minor: 2 };
            vm.nics = vec![
                nic(1, Backend::VhostUser { path: path(), role: Role::Client }),
                nic(2, Backend::Stream { path: path(), role: Role::Client }),
            ];
        },
        &["p1-chr,reconnect-ms=1000,path=/s", "server=off,reconnect-ms=1000,addr.type"],
    );
    check(
        |vm| {
            vm.version = Version { major: 8, minor: 0 };
            vm.nics = vec![nic(2, Backend::Stream { path: path(), role: Role::Client })];
        },
        &["server=off,reconnect=1,addr.type"],
    );
}

#[test]
fn nics_stand_in_order() {
    let line = line(|vm| {
        vm.nics = (0..17).map(|i| nic(i, Backend::User { forwards: vec![] })).collect();
    });
    for i in 0..17 {
        assert!(line.contains(&format!("addr={:#x},netdev=p{i},", i + 2)), "{line}");
    }
}

#[test]
fn shell_quotes() {
    let words = ["a", "b c", "it's", "", "x=1,y:2", "$HOME"].map(OsString::from);
    assert_eq!(shell_quoted(&words), r"a 'b c' 'it'\''s' '' x=1,y:2 '$HOME'");
}

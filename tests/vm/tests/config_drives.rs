//! Config drives as the tools make them that people and clouds use: read on the host by crate `drive`, and
//! by the image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use drive::{DriveError, ReadFailed, SECTOR, Sectors, Volume};
use qemu::Machine;
use serde_json::json;
use vm::frame::{BROADCAST, host, plain};
use vm::{Bench, Config, WAIT, tool};

const STATEMENTS: &str = "\
#uniswitch
# VLAN 5 on two ports, and one that is left out
ovs-vsctl add-br lan -- set Bridge lan other-config:datapath-id=00000000000000c1
add-port lan p1 tag=5
add-port lan p2 tag=5 -- add-port lan p3 tag=6
on-panic=poweroff
";

/// A file as a disk.
struct Image(Vec<u8>);

impl Sectors for Image {
    fn n_sectors(&self) -> u64 {
        (self.0.len() / SECTOR) as u64
    }

    fn read(&mut self, sector: u64, into: &mut [u8; SECTOR]) -> Result<(), ReadFailed> {
        let at = usize::try_from(sector).map_err(|_| ReadFailed)? * SECTOR;
        into.copy_from_slice(self.0.get(at..at + SECTOR).ok_or(ReadFailed)?);
        Ok(())
    }
}

fn run(program: &Path, args: &[&str], dir: &Path) {
    let output = Command::new(program).args(args).current_dir(dir).output().expect("it starts");
    assert!(output.status.success(), "{program:?} {args:?}: {output:?}");
}

/// Files by their paths in a folder.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (path, content) in files {
        let path = dir.path().join("tree").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
    dir
}

/// An ISO9660 volume, with the names that `names` asks for.
fn iso(tool: &str, dir: &Path, label: &str, names: &[&str]) -> PathBuf {
    let program = match tool {
        "xorrisofs" => tool::need("xorrisofs", "xorriso"),
        _ => tool::need("genisoimage", "genisoimage"),
    };
    let args = [&["-quiet", "-o", "image", "-V", label], names, &["tree"]].concat();
    run(&program, &args, dir);
    dir.join("image")
}

/// A FAT volume of so many KiB.
fn fat(dir: &Path, label: &str, width: &str, kib: u64) -> PathBuf {
    let image = dir.join("image");
    let file = fs::File::create(&image).expect("a file");
    file.set_len(kib << 10).expect("room");
    let mkfs = tool::need("mkfs.vfat", "dosfstools");
    run(&mkfs, &["-F", width, "-n", label, "image"], dir);
    let copy = tool::need("mcopy", "mtools");
    for entry in fs::read_dir(dir.join("tree")).expect("a folder") {
        let path = entry.expect("an entry").path();
        run(&copy, &["-s", "-i", "image", path.to_str().expect("UTF-8"), "::"], dir);
    }
    image
}

fn open(image: &Path) -> Volume<Image> {
    Volume::open(Image(fs::read(image).expect("the image"))).expect("a volume")
}

/// What is looked for and what must not be found, in a volume of that name.
#[track_caller]
fn check(image: &Path, label: &str, large: &[u8]) {
    let mut volume = open(image);
    assert!(volume.label().eq_ignore_ascii_case(label), "{}", volume.label());
    let mut read = |path: &str| volume.read_file(path, 1 << 20);
    let small = Ok(STATEMENTS.as_bytes().to_vec());
    assert_eq!(read("user-data"), small);
    assert_eq!(read("openstack/latest/user_data"), small);
    assert_eq!(
        read("a rather long name, with more than sixty-four characters in it, and a point.txt"),
        small
    );
    assert_eq!(read("large").as_deref(), Ok(large));
    assert_eq!(read("empty"), Ok(Vec::new()));
    for missing in
        ["user", "openstack", "openstack/latest", "openstack/user_data", "large/x", "", "/"]
    {
        assert_eq!(read(missing), Err(DriveError::NotFound), "{missing:?}");
    }
    let bytes = u32::try_from(large.len()).expect("small");
    assert_eq!(volume.read_file("large", bytes - 1), Err(DriveError::TooLarge { bytes }));
}

/// A file over many clusters, and more names than fit into a cluster.
fn everything() -> (tempfile::TempDir, Vec<u8>) {
    let large: Vec<u8> = (0..100_000_u32).map(|k| (k % 251) as u8).collect();
    let dir = folder(&[
        ("user-data", STATEMENTS.as_bytes()),
        ("openstack/latest/user_data", STATEMENTS.as_bytes()),
        ("large", &large),
        ("empty", b""),
        (
            "a rather long name, with more than sixty-four characters in it, and a point.txt",
            STATEMENTS.as_bytes(),
        ),
    ]);
    for k in 0..200 {
        fs::write(dir.path().join(format!("tree/openstack/latest/other-{k}")), "x")
            .expect("a file");
    }
    (dir, large)
}

#[test]
fn iso9660_with_the_names_of_rock_ridge_or_joliet() {
    let (dir, large) = everything();
    let joliet = ["-J", "-joliet-long"];
    for (tool, names) in [
        ("genisoimage", &["-R"][..]),
        ("genisoimage", &["-J", "-joliet-long", "-R"]),
        ("genisoimage", &joliet),
        ("xorrisofs", &["-R"]),
        ("xorrisofs", &joliet),
    ] {
        let image = iso(tool, dir.path(), "config-2", names);
        check(&image, "config-2", &large);
    }
}

#[test]
fn fat_of_every_width_with_long_names() {
    let (dir, large) = everything();
    for (width, kib) in [("12", 2 << 10), ("16", 16 << 10), ("32", 40 << 10)] {
        let image = fat(dir.path(), "CIDATA", width, kib);
        check(&image, "cidata", &large);
    }
}

#[test]
fn what_is_no_volume_is_called_that() {
    for bytes in [0, 511, 512, 65_536] {
        let nothing = Volume::open(Image(vec![0; bytes]));
        assert!(nothing.is_err(), "{bytes} bytes");
    }
}

/// A machine that is told nothing but by its drive.
fn with_drive(image: &Path, machine: Machine) -> Config {
    Config::new(3).unmanaged().machine(machine).config_drive(image)
}

#[test]
fn the_image_is_what_its_drive_says() {
    let user_data = STATEMENTS.replace("on-panic", "mgmt=none on-panic");
    let openstack = folder(&[("openstack/latest/user_data", user_data.as_bytes())]);
    let nocloud = folder(&[("user-data", user_data.as_bytes()), ("meta-data", b"x: y\n")]);
    for (image, machine, source) in [
        (iso("genisoimage", openstack.path(), "config-2", &["-R"]), Machine::Q35, "config-2"),
        (fat(nocloud.path(), "CIDATA", "16", 16 << 10), Machine::Microvm, "cidata"),
    ] {
        let bench = Bench::start(with_drive(&image, machine));
        bench.wait_ready();
        assert!(bench.serial().text().contains(&format!("configured by config drive {source}")));
        bench.forwards(1, &plain(BROADCAST, host(1), 60, 1), &[2]);
        bench.shutdown();
    }
}

#[test]
fn a_database_file_on_the_drive_is_what_the_switch_begins_as() {
    let file = database_file(&["p1", "p3"]);
    let user_data = b"#uniswitch\nmgmt=none on-panic=poweroff\n";
    let dir = folder(&[("user-data", user_data), ("conf.db", &file)]);
    let image = iso("genisoimage", dir.path(), "cidata", &["-R", "-J"]);
    let bench = Bench::start(with_drive(&image, Machine::Q35));
    bench.wait_ready();
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 1), &[3]);
    bench.shutdown();
}

#[test]
fn what_cannot_be_used_is_said_and_passed_over() {
    let rest = b"mgmt=none on-panic=poweroff".as_slice();
    let ours = |more: &str| [b"#uniswitch\n", rest, more.as_bytes()].concat();
    for (case, label, name, content, said) in [
        ("for others", "cidata", "user-data", b"#cloud-config\n".to_vec(), "first line is"),
        ("nothing", "cidata", "other", Vec::new(), "there is none"),
        ("another volume", "other", "user-data", ours(""), "its volume is \"other\""),
    ] {
        let dir = folder(&[(name, &content)]);
        let image = iso("genisoimage", dir.path(), label, &["-R"]);
        let bench = Bench::start(with_drive(&image, Machine::Q35));
        bench.case(case);
        let log = bench.serial();
        log.wait_until(WAIT, |text| text.contains("ready "));
        let text = log.text();
        assert!(text.contains(said) && text.contains("built-in default"), "{case}: {text}");
        bench.kill();
    }
    let broken = b"OVSDB JSON 9 0000000000000000000000000000000000000000\n{\"a\":1}\n\n".as_slice();
    let dir = folder(&[("user-data", &ours("")), ("conf.db", broken)]);
    let image = iso("genisoimage", dir.path(), "cidata", &["-R"]);
    let bench = Bench::start(with_drive(&image, Machine::Q35));
    bench.wait_ready();
    assert!(bench.serial().text().contains("conf.db is no database to begin with"));
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 1), &[2, 3]);
    // It is logged as an error, which an orderly end would not have.
    bench.kill();

    let dir = folder(&[("user-data", &ours("\nfail-mode=sometimes"))]);
    let image = iso("genisoimage", dir.path(), "cidata", &["-R"]);
    let bench = Bench::start(with_drive(&image, Machine::Q35));
    bench.case("a wrong word");
    bench.wait_for_end();
    let text = bench.serial().text();
    let line = text.lines().find(|line| line.contains("cannot start")).unwrap_or_default();
    assert!(line.contains("user-data: fail-mode=sometimes: expected"), "{text}");
}

/// A database file that stock tools have made: a bridge `x` with these ports.
fn database_file(ports: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a folder");
    let ovsdb_tool = tool::need("ovsdb-tool", "openvswitch-common");
    tool::need("ovs-vswitchd", "openvswitch-switch");
    let schema = "/usr/share/openvswitch/vswitch.ovsschema";
    run(&ovsdb_tool, &["create", "conf.db", schema], dir.path());
    let mut operations = vec![json!("Open_vSwitch")];
    let mut insert = |table: &str, name: &str, row: serde_json::Value| {
        operations.push(json!({"op": "insert", "table": table, "uuid-name": name, "row": row}));
    };
    let mut names = Vec::new();
    for port in ports {
        let (of_port, interface) = (format!("p_{port}"), format!("i_{port}"));
        insert("Interface", &interface, json!({"name": port}));
        insert("Port", &of_port, json!({"name": port, "interfaces": ["named-uuid", interface]}));
        names.push(json!(["named-uuid", of_port]));
    }
    insert("Bridge", "b", json!({"name": "x", "ports": ["set", names]}));
    insert("Open_vSwitch", "o", json!({"bridges": ["named-uuid", "b"]}));
    let operations = serde_json::Value::from(operations).to_string();
    run(&ovsdb_tool, &["transact", "conf.db", &operations], dir.path());
    fs::read(dir.path().join("conf.db")).expect("the file")
}

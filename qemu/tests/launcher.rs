//! The launcher as a program: each bad input gets one clear line on standard error and an exit code
//! that is not zero, and nothing is left behind. None of this builds or boots an image.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU16, Ordering};

struct Launcher {
    dir: tempfile::TempDir,
    command: Command,
}

/// The launcher, with an image that is an ELF and nothing more, and a temporary folder of its own.
fn launcher(arguments: &str) -> Launcher {
    let dir = tempfile::tempdir().unwrap();
    let elf = dir.path().join("image.elf");
    let mut header = [0; 64];
    header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (header[32], header[52], header[54]) = (64, 64, 56);
    fs::write(&elf, header).unwrap();
    fs::create_dir(dir.path().join("tmp")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_uniswitch"));
    command.arg("--image").arg(&elf);
    command.args(arguments.split_whitespace());
    if !arguments.contains("--listen") {
        command.arg("--listen").arg(free_port().to_string());
    }
    command.current_dir(dir.path()).env("TMPDIR", dir.path().join("tmp"));
    Launcher { dir, command }
}

/// A port on which nobody listens, outside the range that the kernel gives to whoever asks for any.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() % 2000).unwrap();
    let mut candidates =
        std::iter::from_fn(|| Some(30_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 2000));
    candidates.find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok()).unwrap()
}

impl Launcher {
    /// A QEMU that is a script.
    fn with_qemu(mut self, script: &str) -> Self {
        let path = self.dir.path().join("qemu");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.command.env("QEMU", path);
        self
    }

    #[track_caller]
    fn fails_with(mut self, expected: &str) {
        let Output { status, stderr, .. } = self.command.output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert!(!status.success());
        let line = stderr.strip_prefix("uniswitch: ").unwrap_or_else(|| panic!("{stderr}"));
        assert_eq!(line.lines().count(), 1, "{stderr}");
        assert!(line.contains(expected), "expected: {expected}\ngot: {line}");
        let left: Vec<_> = fs::read_dir(self.dir.path().join("tmp")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn options() {
    launcher("--prot hosts").fails_with("unexpected argument '--prot'");
    launcher("--memory 8").fails_with("needs at least 32 MiB");
    launcher("--smp 0").fails_with("give 1 to 64 vCPUs");
    launcher("--port eth0").fails_with("expected hosts[:N]");
    launcher("--port hosts:64").fails_with("has room for 24");
    launcher("--controller 10.0.0.1").fails_with("expected tcp:HOST:PORT");
    launcher("--disk raw --machine microvm").fails_with("use --machine pc or q35");
}

#[test]
fn a_busy_port() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    launcher(&format!("--listen {port}"))
        .fails_with(&format!("port {port} of 127.0.0.1 is in use: choose another with --listen"));
}

#[test]
fn sockets_and_captures() {
    launcher("--port vhost-user:no/such").fails_with("start the program that listens there first");
    launcher("--port vhost-user:no/such,server").fails_with("make it first");
    launcher("--port stream:no/such").fails_with("no socket at no/such");
    launcher("--port socket:no/such,x").fails_with("make it first");
    launcher("--port pcap:none.pcap,-").fails_with("capture none.pcap cannot be read");
    launcher("--port pcap:image.elf,-").fails_with("image.elf is not a capture");
}

#[test]
fn images() {
    let mut absent = launcher("");
    fs::remove_file(absent.dir.path().join("image.elf")).unwrap();
    absent = absent.with_qemu("echo QEMU emulator version 7.2.0");
    absent.fails_with("image.elf: No such file");
    let other = launcher("").with_qemu("echo QEMU emulator version 7.2.0");
    fs::write(other.dir.path().join("image.elf"), "#!/bin/sh").unwrap();
    other.fails_with("not an x86-64 ELF");
}

#[test]
fn qemus() {
    let mut absent = launcher("");
    absent.command.env("QEMU", "/nonexistent/qemu");
    absent.fails_with("/nonexistent/qemu does not run");
    // No apt-get on this path either, so nothing can be installed.
    let mut nowhere = launcher("");
    nowhere.command.env_remove("QEMU").env("PATH", nowhere.dir.path());
    nowhere.fails_with("qemu-system-x86_64 is not installed: install it");
    launcher("")
        .with_qemu("echo QEMU emulator version 5.2.0")
        .fails_with("QEMU 5.2 is too old: version 7.2 or later");
    launcher("").with_qemu("echo hello").fails_with("tells no version");
    launcher("")
        .with_qemu(
            "[ \"$1\" = --version ] && echo QEMU emulator version 7.2.0 && exit\n\
             echo 'qemu-system-x86_64: no luck today' >&2; exit 1",
        )
        .fails_with("QEMU ended at once: no luck today");
}

#[test]
fn printing_tells_the_command_and_keeps_the_seed() {
    let launcher = launcher("--print --name print-test --machine pc --smp 2");
    let mut launcher = launcher.with_qemu("echo QEMU emulator version 7.2.0");
    let Output { status, stdout, .. } = launcher.command.output().unwrap();
    assert!(status.success());
    let line = String::from_utf8(stdout).unwrap();
    assert_eq!(line.lines().count(), 1);
    assert!(line.contains(" -machine pc ") && line.contains(" -smp 2 "), "{line}");
    let (_, rest) = line.split_once("opt/uniswitch/config,file=").unwrap();
    let path = Path::new(rest.split_whitespace().next().unwrap());
    let config = seed::BootConfig::decode(&fs::read(path).unwrap()).unwrap();
    assert_eq!(config.ports.len(), 4);
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[test]
fn help_and_version_are_answers() {
    for option in ["--help", "--version"] {
        let Output { status, stdout, stderr } = launcher(option).command.output().unwrap();
        assert!(status.success() && stderr.is_empty());
        assert!(String::from_utf8(stdout).unwrap().contains("uniswitch"));
    }
}

//! QEMU as a process: it starts, answers, ends, and leaves nothing behind.
//!
//! These need QEMU but no image: a machine that does not run its CPU is enough.

use std::path::Path;
use std::time::Duration;

use qemu::{Backend, Boot, Ended, Machine, Nic, Role, StartError, Vm, probe};
use seed::Mac;

const PATIENCE: Duration = Duration::from_secs(60);

/// A machine with its CPU stopped, or none where QEMU is not installed.
fn stopped(dir: &Path) -> Option<Vm> {
    let qemu = match probe::find_qemu() {
        Ok(qemu) => qemu,
        Err(why) => {
            eprintln!("skipped: {why}");
            return None;
        }
    };
    let disk = dir.join("disk");
    std::fs::write(&disk, [0; 512]).unwrap();
    let mut vm = Vm::new(Boot::Disk { path: disk, format: qemu::DiskFormat::Raw }, dir);
    (vm.qemu, vm.version) = (qemu.path, qemu.version);
    vm.machine = Machine::Pc;
    vm.extra = vec!["-S".into()];
    Some(vm)
}

fn is_alive(id: u32) -> bool {
    Path::new(&format!("/proc/{id}")).exists()
}

#[test]
fn answers_and_quits() {
    let dir = tempfile::tempdir().unwrap();
    let Some(vm) = stopped(dir.path()) else {
        return;
    };
    let mut running = vm.start(PATIENCE).unwrap();
    let status = running.qmp().unwrap().execute("query-status", serde_json::json!({})).unwrap();
    assert_eq!(status["running"], false);
    // The guest does not answer, so QEMU itself is told.
    assert_eq!(running.shutdown(Duration::from_secs(1)), Ended::Quit);
}

#[test]
fn dropping_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(vm) = stopped(dir.path()) else {
        return;
    };
    let running = vm.start(PATIENCE).unwrap();
    let id = running.id();
    assert!(is_alive(id));
    drop(running);
    assert!(!is_alive(id));
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["disk"]);
}

#[test]
fn a_thread_that_ends_does_not_take_the_machine_along() {
    let dir = tempfile::tempdir().unwrap();
    let Some(vm) = stopped(dir.path()) else {
        return;
    };
    let mut running = std::thread::spawn(move || vm.start(PATIENCE).unwrap()).join().unwrap();
    assert!(running.qmp().is_ok());
    assert!(running.try_wait().is_none());
}

#[test]
fn what_qemu_refuses_is_said_in_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut vm) = stopped(dir.path()) else {
        return;
    };
    vm.extra.push("-no-such-option".into());
    let why = vm.start(PATIENCE).unwrap_err();
    assert!(matches!(why, StartError::Exited(_)));
    let line = why.to_string();
    assert!(line.contains("no-such-option") && !line.contains('\n'), "{line}");
}

#[test]
fn a_socket_path_that_is_too_long_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut vm) = stopped(dir.path()) else {
        return;
    };
    vm.qmp = Some(dir.path().join("x".repeat(120)));
    let why = vm.start(PATIENCE).unwrap_err().to_string();
    assert!(why.contains("use a shorter path"), "{why}");
}

#[test]
fn a_machine_that_waits_for_its_back_end_can_still_be_ended() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut vm) = stopped(dir.path()) else { return };
    let backend = Backend::VhostUser { path: dir.path().join("v"), role: Role::Server };
    vm.nics = vec![Nic::new("p1", Mac([2, 0, 0, 0, 0, 1]), backend)];
    let mut running = vm.spawn(|_| ()).unwrap();
    // Asking again and again must not fill QEMU's backlog and block.
    for _ in 0..20 {
        assert!(matches!(running.wait_ready(Duration::ZERO), Err(StartError::Silent)));
    }
    assert_eq!(running.shutdown(Duration::from_secs(1)), Ended::Killed);
}

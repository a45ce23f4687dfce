//! What stands behind a port goes away and comes back; the other ports do not notice.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use qemu::{Backend, Role};
use serde_json::Value;
use vm::frame::{BROADCAST, host, plain};
use vm::{Arrivals, Bench, Config, Spawned, WAIT, tool};

/// The bench's end of a `-netdev stream`: a length before each frame.
struct Stream {
    socket: UnixStream,
    arrivals: Arrivals,
}

impl Stream {
    fn on(socket: UnixStream) -> Self {
        let arrivals = Arrivals::default();
        let (mut reader, writer) = (socket.try_clone().expect("a socket"), arrivals.clone());
        thread::spawn(move || {
            let mut len = [0; 4];
            while reader.read_exact(&mut len).is_ok() {
                let mut frame = vec![0; u32::from_be_bytes(len) as usize];
                if reader.read_exact(&mut frame).is_err() {
                    break;
                }
                writer.push(frame);
            }
        });
        Self { socket, arrivals }
    }

    fn connect(path: &Path, bench: &Bench) -> Self {
        let mut socket = None;
        bench.wait_until(|| {
            socket = UnixStream::connect(path).ok();
            socket.is_some()
        });
        Self::on(socket.unwrap_or_else(|| bench.fail("QEMU does not listen again")))
    }

    fn send(&mut self, frame: &[u8], bench: &Bench) {
        let len = u32::try_from(frame.len()).expect("a frame");
        self.socket.write_all(&[&len.to_be_bytes()[..], frame].concat()).expect("QEMU reads");
        bench.sent_besides(1);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

#[test]
fn lost_and_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("stream");
    let backend = Backend::Stream { path: path.clone(), role: Role::Server };
    let bench = Bench::boot(Config::new(4).plug(4, backend));

    stream(&bench, &path);
    datagram_peer(&bench);
    link(&bench);
    bench.shutdown();
}

fn stream(bench: &Bench, path: &Path) {
    for round in 0..3 {
        bench.case(format!("stream back end, connection {round}: frames in and out"));
        let mut wire = Stream::connect(path, bench);
        wire.send(&plain(BROADCAST, host(4), 60, round), bench);
        let frame = plain(BROADCAST, host(4), 60, round);
        bench.expect(&[(1, &frame), (2, &frame), (3, &frame)]);
        for len in [60, 1514] {
            let frame = plain(host(4), host(1), len, round);
            bench.send(1, &frame);
            bench.expect_nothing();
            assert_eq!(wire.arrivals.next(vm::WAIT), Some(frame), "{len} bytes to the stream");
        }
        drop(wire);

        bench.case(format!("stream back end, connection {round} lost: the others go on"));
        bench.forwards(1, &plain(BROADCAST, host(1), 60, round), &[2, 3]);
        bench.forwards(2, &plain(host(1), host(2), 1514, round), &[1]);
        for tag in 0..100 {
            bench.forwards(1, &plain(host(4), host(1), 60, tag), &[]);
        }
    }
    assert_eq!(bench.telemetry()["ports"][3]["resets"], 0);
}

fn datagram_peer(bench: &Bench) {
    bench.case("datagram peer gone: what is for it is lost, the others go on");
    bench.forwards(3, &plain(BROADCAST, host(3), 60, 0), &[1, 2]);
    bench.unplug(3);
    for tag in 0..200 {
        bench.forwards(1, &plain(host(3), host(1), 60, tag), &[]);
    }
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 0), &[2]);
    bench.forwards(2, &plain(host(1), host(2), 60, 0), &[1]);

    bench.case("datagram peer back: both ways");
    bench.replug(3);
    bench.forwards(1, &plain(host(3), host(1), 60, 1), &[3]);
    bench.forwards(3, &plain(host(1), host(3), 1514, 2), &[1]);
    assert_eq!(bench.telemetry()["ports"][2]["resets"], 0);
}

fn link(bench: &Bench) {
    bench.case("link down: seen by controllers, its stations forgotten");
    bench.forwards(2, &plain(BROADCAST, host(2), 60, 0), &[1, 3]);
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 0), &[2, 3]);
    let learned =
        |n: u8| bench.appctl("fdb/show", &["br0"]).contains(&format!("02:00:00:00:00:0{n}"));
    assert!(learned(1) && learned(2));
    // Whatever is sent to it is lost, as at a cable that is out.
    bench.unplug(2);
    bench.qmp().set_link("p2", false).expect("a cable to take out");
    bench.until("link 2 down", |state| state["ports"][1]["link"] == false);
    let state_of_2 = |bench: &Bench| {
        let show = bench.ofctl(&["show"]);
        let from = show.find("2(p2)").expect("port 2");
        let lines: Vec<&str> = show[from..].lines().take(3).map(str::trim).collect();
        lines.join(" ")
    };
    let shown = state_of_2(bench);
    assert!(shown.contains("LINK_DOWN"), "{shown}");
    assert!(!learned(2), "its stations are forgotten");
    assert!(learned(1), "those of others are not");
    bench.barrier();

    bench.case("link down: frames for its stations are flooded");
    bench.forwards(1, &plain(host(2), host(1), 60, 0), &[3]);
    bench.forwards(3, &plain(host(1), host(3), 60, 0), &[1]);

    bench.case("link up again");
    bench.replug(2);
    bench.qmp().set_link("p2", true).expect("a cable to put back");
    bench.until("link 2 up", |state| state["ports"][1]["link"] == true);
    let shown = state_of_2(bench);
    assert!(!shown.contains("LINK_DOWN"), "{shown}");
    bench.forwards(1, &plain(host(2), host(1), 60, 1), &[2, 3]);
    bench.forwards(2, &plain(host(1), host(2), 60, 1), &[1]);
    // A cached flow saw it; the next look at statistics tells.
    assert!(bench.wait_until(|| learned(2)), "learned again");
    bench.barrier();
    bench.forwards(1, &plain(host(2), host(1), 60, 2), &[2]);
}

/// Frames that must have passed between two vhost-user ports before the rate is told.
const PASSED: u64 = 50_000;

#[test]
fn vhost_user_as_client() {
    vhost_user(Role::Client);
}

#[test]
fn vhost_user_as_server() {
    vhost_user(Role::Server);
}

/// Ports 1 and 2 on DPDK's testpmd, which sends what it gets from one to the other.
fn vhost_user(role: Role) {
    let Some(testpmd) = tool::find("dpdk-testpmd") else {
        eprintln!("dpdk-testpmd is not installed (Debian: dpdk-dev): vhost-user was not tried");
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let paths = [1, 2].map(|port| dir.path().join(format!("vhost{port}")));
    let is_client = u8::from(role == Role::Server);
    let start = || {
        let mut command = Command::new(&testpmd);
        command.args(["--no-huge", "--no-pci", "--no-telemetry", "-m", "512", "-l", "0,1"]);
        command.arg(format!("--file-prefix=vm{}{is_client}", std::process::id()));
        for (k, path) in paths.iter().enumerate() {
            command.arg(format!("--vdev=net_vhost{k},iface={},client={is_client}", path.display()));
        }
        command.args(["--", "-i", "--total-num-mbufs=16384"]);
        Spawned::new(command)
    };
    let mut config = Config::new(3);
    for (port, path) in (1..).zip(&paths) {
        config = config.plug(port, Backend::VhostUser { path: path.clone(), role });
    }
    // Who listens starts first.
    let (bench, mut pmd) = if role == Role::Client {
        let pmd = start();
        let is_there = || paths.iter().all(|path| path.exists()) && says(&pmd, "testpmd>");
        let deadline = Instant::now() + WAIT;
        while !is_there() && Instant::now() < deadline {
            thread::yield_now();
        }
        assert!(is_there(), "{}{}", pmd.output().text(), pmd.errors().text());
        (Bench::start(config), pmd)
    } else {
        let bench = Bench::start(config);
        assert!(bench.wait_until(|| paths[0].exists()), "QEMU listens");
        (bench, start())
    };
    bench.wait_ready();
    if !pmd.output().wait_for("testpmd>", WAIT) {
        bench.fail(format!("{}{}", pmd.output().text(), pmd.errors().text()));
    }

    bench.case(format!("vhost-user, QEMU as {role:?}: frames pass both ways"));
    bench.set_flows(&["in_port=1 actions=output:2", "in_port=2 actions=output:1"]);
    bench.others_send();
    pmd.type_line("start tx_first 2");
    let received =
        |state: &Value, port: usize| state["ports"][port]["rx_packets"].as_u64().unwrap_or(0);
    let both = |state: &Value| received(state, 0).min(received(state, 1));
    let before = bench.until("first frames", |state| both(state) > 0);
    let from = Instant::now();
    let after = bench.until("many frames", |state| both(state) - both(&before) > PASSED);
    let n = (0..2).map(|port| received(&after, port) - received(&before, port)).sum::<u64>();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = n as f64 / from.elapsed().as_secs_f64();
    println!("vhost-user, QEMU as {role:?} under TCG: {rate:.0} frames/s of 64 bytes");

    pmd.type_line("stop");
    bench.case(format!("vhost-user, QEMU as {role:?}: the books close"));
    let last = bench.until("closed books", |state| {
        let book = |name: &str| state["accounting"][name].as_u64().unwrap_or(0);
        book("received") == book("transmitted") + book("dropped") && both(state) > PASSED
    });
    println!("{}", last["accounting"]);
    pmd.type_line("quit");
    if role == Role::Server {
        // The back end is gone; the image goes on without it.
        assert!(pmd.wait(WAIT).is_some(), "testpmd ends");
    }
    bench.shutdown();
}

fn says(pmd: &Spawned, what: &str) -> bool {
    pmd.output().text().contains(what)
}

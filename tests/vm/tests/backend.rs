//! What stands behind a port goes away and comes back; the other ports do not notice.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use qemu::{Backend, Role};
use vm::frame::{BROADCAST, host, plain};
use vm::{Arrivals, Bench, Config};

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
    let monitor = bench.spawn_ofctl(&["monitor", "65535"]);
    assert!(bench.wait_until(|| bench.telemetry()["controllers"].is_array()));
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

    bench.case("link down: frames for its stations are flooded to the ports that are up");
    bench.forwards(1, &plain(host(2), host(1), 60, 0), &[3]);
    bench.forwards(3, &plain(host(1), host(3), 60, 0), &[1]);

    bench.case("link up again");
    bench.qmp().set_link("p2", true).expect("a cable to put back");
    bench.until("link 2 up", |state| state["ports"][1]["link"] == true);
    let shown = state_of_2(bench);
    assert!(!shown.contains("LINK_DOWN"), "{shown}");
    bench.forwards(1, &plain(host(2), host(1), 60, 1), &[2, 3]);
    bench.forwards(2, &plain(host(1), host(2), 60, 1), &[1]);
    bench.forwards(1, &plain(host(2), host(1), 60, 2), &[2]);
    drop(monitor);
}

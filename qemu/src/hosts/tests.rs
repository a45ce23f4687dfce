use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::mpsc;

use super::*;

fn configs(dir: &Path, n: u8) -> Vec<HostConfig> {
    let config = |i: u8| HostConfig {
        name: format!("h{i}"),
        mac: Mac([2, 0, 0, 0, 0, i]),
        address: Ipv4Addr::new(10, 10, 0, i),
        prefix_len: 24,
        local: dir.join(format!("{i}.net")),
        remote: dir.join(format!("{i}.vm")),
    };
    (1..=n).map(config).collect()
}

/// A hub in place of the switch: what comes in at one port goes out at all others.
fn hub(dir: &Path, n: u8, stop: Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let sockets: Vec<_> = (1..=n)
        .map(|i| {
            let socket = UnixDatagram::bind(dir.join(format!("{i}.vm"))).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            Arc::new(socket)
        })
        .collect();
    (0..usize::from(n))
        .map(|i| {
            let (sockets, stop, dir) = (sockets.clone(), stop.clone(), dir.to_path_buf());
            thread::spawn(move || {
                let mut frame = [0; 2048];
                while !stop.load(Ordering::Acquire) {
                    let Ok(len) = sockets[i].recv(&mut frame) else { continue };
                    for j in (0..sockets.len()).filter(|j| *j != i) {
                        let to = dir.join(format!("{}.net", j + 1));
                        let _ = sockets[j].send_to(&frame[..len], to);
                    }
                }
            })
        })
        .collect()
}

#[test]
fn hosts_reach_each_other_through_a_hub() {
    let dir = tempfile::tempdir().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (events, heard) = mpsc::channel();
    let traffic = Traffic {
        ping_every: Duration::from_millis(50),
        stream_bytes: 200_000,
        stream_every: Duration::from_millis(100),
    };
    let go = Arc::new(AtomicBool::new(true));
    let hosts = Hosts::start(&configs(dir.path(), 3), traffic, go, events).unwrap();
    let hub = hub(dir.path(), 3, stop.clone());
    // Every host answers every other, by ping and by UDP, and each streams to the next.
    const ALL: u32 = 0b0011_0101_0110;
    let (mut pings, mut udps, mut streams) = (0_u32, 0_u32, 0_u32);
    let begin = Instant::now();
    while (pings, udps, streams) != (ALL, ALL, 0b111) {
        let seen = format!("pings {pings:b}, echoes {udps:b}, streams {streams:b}");
        assert!(begin.elapsed() < Duration::from_secs(60), "some never came: {seen}");
        let event = heard.recv_timeout(Duration::from_secs(60)).expect("the hosts go on talking");
        let pair = |from: usize, to: usize| 1 << (from * 4 + to);
        match event {
            HostEvent::Ping { from, to, rtt: Some(_) } => pings |= pair(from, to),
            HostEvent::Udp { from, to, rtt: Some(_) } => udps |= pair(from, to),
            HostEvent::Stream { from, bytes: 200_000, is_complete: true, .. } => {
                streams |= 1 << from;
            }
            _ => {}
        }
    }
    drop(hosts);
    stop.store(true, Ordering::Release);
    hub.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(!dir.path().join("1.net").exists());
}

#[test]
fn silence_is_reported_as_loss() {
    let dir = tempfile::tempdir().unwrap();
    let (events, heard) = mpsc::channel();
    let traffic =
        Traffic { ping_every: Duration::from_millis(30), stream_bytes: 0, ..Traffic::default() };
    let go = Arc::new(AtomicBool::new(true));
    let _hosts = Hosts::start(&configs(dir.path(), 2), traffic, go, events).unwrap();
    let event = heard.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(matches!(event, HostEvent::Ping { rtt: None, .. }), "{event:?}");
}

#[test]
fn nobody_talks_before_the_word() {
    let dir = tempfile::tempdir().unwrap();
    let vm = UnixDatagram::bind(dir.path().join("1.vm")).unwrap();
    vm.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let (events, _heard) = mpsc::channel();
    let traffic = Traffic { ping_every: Duration::from_millis(10), ..Traffic::default() };
    let go = Arc::new(AtomicBool::new(false));
    let _hosts = Hosts::start(&configs(dir.path(), 2), traffic, go.clone(), events).unwrap();
    thread::sleep(Duration::from_millis(50));
    vm.set_nonblocking(true).unwrap();
    assert!(vm.recv(&mut [0; 100]).is_err(), "not a frame yet");
    vm.set_nonblocking(false).unwrap();
    go.store(true, Ordering::Release);
    let mut frame = [0; 100];
    let n = vm.recv(&mut frame).unwrap();
    // The first thing said is an ARP question.
    assert_eq!(frame[12..14], [0x08, 0x06]);
    assert_eq!(frame[..6], [0xff; 6]);
    assert!(n >= 42);
}

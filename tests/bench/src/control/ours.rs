//! Our agent and bridge in a process of their own, behind a Unix socket.

use crate::daemon::Killed;
use agent::{Agent, AgentConfig, ConnId};
use datapath::{LocalDpif, PortNo};
use flow::EtherAddr;
use ofproto::{Bridge, BridgeConfig, FailMode, Link, OfPort, PortSpec};
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use sync::time::Nanos;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The child process.
#[derive(Debug)]
pub(crate) struct Ours {
    pub(crate) socket: PathBuf,
    process: Killed,
}

impl Ours {
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let socket = dir.join("switch.sock");
        let child = Command::new(std::env::current_exe()?)
            .args(["control", "--serve"])
            .arg(&socket)
            .env_remove("GLIBC_TUNABLES")
            .spawn()?;
        Ok(Self { socket, process: Killed(child) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

/// A connection: its socket, and what came and was not taken yet.
struct Peer {
    id: ConnId,
    stream: UnixStream,
    unread: Vec<u8>,
}

/// Is the switch until it is killed.
pub(crate) fn serve(path: &Path) -> Result<()> {
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    let began = Instant::now();
    let mut now = Nanos::from_secs(1);
    let config = BridgeConfig { fail_mode: FailMode::Secure, ..BridgeConfig::default() };
    let mut bridge = Bridge::new(config, now);
    let mut dpif = LocalDpif::new();
    for k in 1..=2 {
        let spec = PortSpec {
            dp: Some(PortNo(k)),
            of: OfPort(k),
            name: format!("p{k}"),
            hw_addr: EtherAddr([2, 0, 0, 0, 0, u8::try_from(k)?]),
            mtu: 1500,
            link: Link::UP,
        };
        bridge.add_port(spec, now).map_err(|why| format!("{why:?}"))?;
        dpif.add_port(PortNo(k));
    }
    // Room for the great bundle; the image has less.
    let mut agent =
        Agent::new(AgentConfig { max_bundled_bytes: 1 << 30, ..AgentConfig::default() });
    let mut peers: Vec<Peer> = Vec::new();
    let mut n_accepted = 0;
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    loop {
        now = Nanos::from_secs(1).saturating_add(Nanos(u64::try_from(began.elapsed().as_nanos())?));
        dpif.set_now(now);
        let mut is_busy = false;
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true)?;
            n_accepted += 1;
            let id = ConnId(n_accepted);
            if agent.accepted(id, nobody, now) {
                peers.push(Peer { id, stream, unread: Vec::new() });
            }
        }
        let mut gone = Vec::new();
        for peer in &mut peers {
            if peer.unread.is_empty() {
                let mut chunk = [0; 65536];
                match peer.stream.read(&mut chunk) {
                    Ok(0) => gone.push(peer.id),
                    Ok(n) => peer.unread.extend_from_slice(chunk.get(..n).unwrap_or_default()),
                    Err(why) if why.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => gone.push(peer.id),
                }
            }
            is_busy |= !peer.unread.is_empty();
            let taken = agent.received(peer.id, &peer.unread, now);
            peer.unread.drain(..taken);
        }
        is_busy |= agent.poll(now, &mut bridge, &mut dpif);
        while let Some(upcall) = dpif.next_upcall() {
            is_busy = true;
            bridge.handle_upcall(upcall, &mut dpif, now);
        }
        is_busy |= bridge.run(&mut dpif, now) <= now;
        dpif.take_transmitted();
        for peer in &mut peers {
            let Some(outbox) = agent.output(peer.id) else { continue };
            if !outbox.pending().is_empty()
                && let Ok(n) = peer.stream.write(outbox.pending())
            {
                is_busy = true;
                outbox.consume(n);
            }
        }
        for id in gone {
            agent.closed(id, now);
            peers.retain(|peer| peer.id != id);
        }
        if !is_busy {
            std::thread::sleep(Duration::from_micros(20));
        }
    }
}

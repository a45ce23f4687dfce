//! Our server on a socket, and a stock `ovsdb-server` beside it, for stock tools to talk to.

use ovsdb::{ClientId, Database, Keeping, Limits, Schema, Server, Uuids};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use sync::time::Nanos;

/// Something that speaks OVSDB on a unix socket.
pub(crate) trait Serving {
    /// The socket, as the tools name it.
    fn target(&self) -> String;
}

/// Our server, run by a thread as the switch would run it.
pub(crate) struct Ours {
    socket: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ours {
    /// Serves a database from memory, or with a file as its log.
    pub(crate) fn start(folder: &Path, log: Option<&Path>) -> Self {
        let socket = folder.join("ours.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let log = log.map(Path::to_path_buf);
        let thread = std::thread::spawn(move || serve(&listener, log.as_deref(), &flag));
        Self { socket, stop, thread: Some(thread) }
    }
}

impl Serving for Ours {
    fn target(&self) -> String {
        format!("unix:{}", self.socket.display())
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &UnixListener, log: Option<&Path>, stop: &AtomicBool) {
    let mut uuids = Uuids::new(u64::from(std::process::id()));
    let schema = Schema::open_vswitch();
    let database = match log.and_then(|log| std::fs::read(log).ok()) {
        Some(bytes) => ovsdb::log::load(&bytes, Some(&schema), &mut uuids).expect("a log").database,
        None => Database::new(schema, uuids.fresh()),
    };
    let mut file = log.map(|log| OpenOptions::new().create(true).append(true).open(log).unwrap());
    if let Some(file) = file.as_mut().filter(|file| file.metadata().unwrap().len() == 0) {
        let records = ovsdb::log::snapshot(&database, "created", wall_ms());
        file.write_all(&records.concat()).unwrap();
    }
    let keeping = if log.is_some() { Keeping::Log } else { Keeping::Memory };
    let mut server = Server::new(Limits::default(), vec![(database, keeping)], wall_ms());
    let mut streams: BTreeMap<ClientId, UnixStream> = BTreeMap::new();
    let (mut next, start) = (0, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        let now = Nanos(u64::try_from(start.elapsed().as_nanos()).unwrap());
        let mut worked = false;
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).unwrap();
            next += 1;
            if server.accepted(ClientId(next), format!("client {next}"), now) {
                streams.insert(ClientId(next), stream);
            }
            worked = true;
        }
        let mut gone = Vec::new();
        for (&id, stream) in &mut streams {
            let mut bytes = [0; 4096];
            // What the server does not take is offered again.
            match stream.read(&mut bytes) {
                Ok(0) => gone.push(id),
                Ok(n) => {
                    worked = true;
                    let mut rest = &bytes[..n];
                    while !rest.is_empty() {
                        let taken = server.received(id, rest, now);
                        rest = &rest[taken..];
                        if taken == 0 {
                            server.poll(now, wall_ms());
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => gone.push(id),
            }
        }
        worked |= server.poll(now, wall_ms());
        let records = server.take_records();
        if let Some(file) = &mut file {
            for record in &records {
                file.write_all(record).unwrap();
            }
            server.records_durable(records.len());
        }
        for (&id, stream) in &mut streams {
            let Some(outbox) = server.output(id) else { continue };
            match stream.write(outbox.pending()) {
                Ok(n) => outbox.consume(n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => gone.push(id),
            }
        }
        for id in gone {
            streams.remove(&id);
            server.closed(id);
        }
        while let Some((id, _)) = server.next_close() {
            streams.remove(&id);
        }
        if !worked {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("before the end of time")
}

/// A stock `ovsdb-server`.
pub(crate) struct Stock {
    socket: PathBuf,
    child: Child,
}

impl Stock {
    /// Serves a database file, made from our schema when there is none.
    pub(crate) fn start(folder: &Path, file: &Path) -> Self {
        if !file.exists() {
            let schema = folder.join("schema");
            std::fs::write(&schema, Schema::open_vswitch().to_json().to_string()).unwrap();
            printed("ovsdb-tool", &[&"create", &file.display(), &schema.display()]);
        }
        let socket = folder.join("stock.sock");
        let mut command = Command::new(vm::tool::need("ovsdb-server", "openvswitch-common"));
        command
            .arg(file)
            .arg(format!("--remote=punix:{}", socket.display()))
            .arg(format!("--unixctl={}", folder.join("stock.ctl").display()))
            .env("OVS_RUNDIR", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("ovsdb-server starts");
        for _ in 0..3000 {
            if UnixStream::connect(&socket).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { socket, child }
    }
}

impl Serving for Stock {
    fn target(&self) -> String {
        format!("unix:{}", self.socket.display())
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a stock tool.
pub(crate) fn run(tool: &str, args: &[&dyn std::fmt::Display]) -> Output {
    let package = if tool == "ovs-vsctl" { "openvswitch-switch" } else { "openvswitch-common" };
    let mut command = Command::new(vm::tool::need(tool, package));
    command.args(args.iter().map(|arg| arg.to_string())).stdin(Stdio::null());
    command.output().expect("the tool runs")
}

/// What a tool printed; that it ends well is demanded.
pub(crate) fn printed(tool: &str, args: &[&dyn std::fmt::Display]) -> String {
    let output = run(tool, args);
    let words: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
    assert!(output.status.success(), "{tool} {words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

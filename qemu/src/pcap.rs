//! Captures as a port: one is replayed into it, what leaves it is written to another.
//!
//! Frames go over a pair of Unix datagram sockets. Replay keeps the capture's own timing, with
//! pauses cut to a second. The kernel makes a sender wait while the receiver's queue is full, so a
//! dense capture loses nothing on the way in.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use pcap_file::DataLink;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use pcap_file::pcapng::{Block, PcapNgReader};

/// Longest pause that is kept.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often a waiting thread looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(100);
/// How long frames are taken after the end was asked for.
const LAST_FRAMES: Duration = Duration::from_secs(1);
/// Room for the largest frame a NIC can have.
const FRAME_BYTES: usize = 65_536;

/// A port with captures behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcapPort {
    /// Its name.
    pub port: String,
    /// What is replayed into it.
    pub input: Option<PathBuf>,
    /// Where what leaves it is written.
    pub output: Option<PathBuf>,
    /// Our socket.
    pub local: PathBuf,
    /// QEMU's socket.
    pub remote: PathBuf,
}

/// Why a capture cannot be used.
#[derive(Debug)]
pub enum PcapError {
    /// The file cannot be opened or read.
    Read(PathBuf, io::Error),
    /// The file is not a capture, or is damaged.
    Format(PathBuf, String),
    /// It was not taken on Ethernet.
    LinkType(PathBuf),
    /// The file cannot be written.
    Write(PathBuf, io::Error),
}

impl fmt::Display for PcapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, why) => {
                write!(f, "capture {} cannot be read: {why}", path.display())
            }
            Self::Format(path, why) => write!(
                f,
                "{} is not a capture that can be read ({why}): give a pcap or pcapng file",
                path.display()
            ),
            Self::LinkType(path) => write!(
                f,
                "capture {} was not taken on Ethernet: a port takes Ethernet frames",
                path.display()
            ),
            Self::Write(path, why) => {
                write!(f, "capture {} cannot be written: {why}", path.display())
            }
        }
    }
}

impl core::error::Error for PcapError {}

/// Calls `each` with time and bytes of every frame of a capture, until it returns false.
///
/// # Errors
/// When the file is not an Ethernet capture, or damaged.
pub fn read(path: &Path, mut each: impl FnMut(Duration, &[u8]) -> bool) -> Result<(), PcapError> {
    let failed = |why| PcapError::Read(path.into(), why);
    let damaged = |why: pcap_file::PcapError| PcapError::Format(path.into(), why.to_string());
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut magic = [0; 4];
    if let Err(why) = file.read_exact(&mut magic) {
        return Err(match why.kind() {
            io::ErrorKind::UnexpectedEof => PcapError::Format(path.into(), "too short".into()),
            _ => failed(why),
        });
    }
    let file = io::Cursor::new(magic).chain(file);
    if magic == [0x0a, 0x0d, 0x0d, 0x0a] {
        let mut reader = PcapNgReader::new(file).map_err(damaged)?;
        let mut link_type = None;
        while let Some(block) = reader.next_block() {
            let (time, data) = match block.map_err(damaged)? {
                Block::InterfaceDescription(interface) => {
                    link_type = Some(interface.linktype);
                    continue;
                }
                Block::EnhancedPacket(packet) => (packet.timestamp, packet.data),
                Block::SimplePacket(packet) => (Duration::ZERO, packet.data),
                _ => continue,
            };
            if link_type != Some(DataLink::ETHERNET) {
                return Err(PcapError::LinkType(path.into()));
            }
            if !each(time, &data) {
                break;
            }
        }
        return Ok(());
    }
    let mut reader = PcapReader::new(file).map_err(damaged)?;
    if reader.header().datalink != DataLink::ETHERNET {
        return Err(PcapError::LinkType(path.into()));
    }
    while let Some(packet) = reader.next_packet() {
        let packet = packet.map_err(damaged)?;
        if !each(packet.timestamp, &packet.data) {
            break;
        }
    }
    Ok(())
}

impl PcapPort {
    /// Reads the input once from end to end, so that a bad file is found before the start.
    ///
    /// # Errors
    /// When it is not an Ethernet capture, or damaged.
    pub fn check(&self) -> Result<(), PcapError> {
        self.input.as_deref().map_or(Ok(()), |path| read(path, |_, _| true))
    }

    /// Starts the writer at once, and the replay when `go` becomes true.
    ///
    /// # Errors
    /// When the socket or the output cannot be made.
    pub fn start(&self, go: Arc<AtomicBool>) -> Result<PcapRun, PcapError> {
        let no_socket = |why| PcapError::Write(self.local.clone(), why);
        let socket = UnixDatagram::bind(&self.local).map_err(no_socket)?;
        let mut run = PcapRun {
            port: self.port.clone(),
            local: self.local.clone(),
            shared: Arc::default(),
            threads: Vec::new(),
        };
        let output = self.output.as_deref().map(Output::create).transpose()?;
        let (shared, receiver) = (run.shared.clone(), socket.try_clone().map_err(no_socket)?);
        receiver.set_read_timeout(Some(LOOK)).map_err(no_socket)?;
        run.threads.push(thread::spawn(move || shared.record(&receiver, output)));
        if let Some(input) = self.input.clone() {
            let (shared, remote) = (run.shared.clone(), self.remote.clone());
            run.threads.push(thread::spawn(move || shared.replay(&socket, &input, &remote, &go)));
        }
        Ok(run)
    }
}

/// A capture port at work; dropping it ends its threads and completes the output.
#[derive(Debug)]
pub struct PcapRun {
    port: String,
    local: PathBuf,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    is_replayed: AtomicBool,
    n_in: AtomicU64,
    n_lost: AtomicU64,
    n_out: AtomicU64,
}

impl PcapRun {
    /// Name of the port.
    pub fn port(&self) -> &str {
        &self.port
    }

    /// Frames sent into the port, and frames that left it.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.n_in.load(Ordering::Relaxed), self.shared.n_out.load(Ordering::Relaxed))
    }

    /// Frames of the capture that could not be sent: too large, or QEMU is gone.
    pub fn n_lost(&self) -> u64 {
        self.shared.n_lost.load(Ordering::Relaxed)
    }

    /// True when the whole input has been sent.
    pub fn is_replayed(&self) -> bool {
        self.shared.is_replayed.load(Ordering::Acquire)
    }
}

impl Drop for PcapRun {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.local);
    }
}

impl Shared {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn replay(&self, socket: &UnixDatagram, input: &Path, remote: &Path, go: &AtomicBool) {
        while !go.load(Ordering::Acquire) {
            if self.is_stopped() {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        let _ = socket.set_write_timeout(Some(LOOK));
        let (mut due, mut last) = (Instant::now(), None);
        let sent = read(input, |time, frame| {
            due += time.saturating_sub(last.unwrap_or(time)).min(LONGEST_PAUSE);
            last = Some(time);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            loop {
                let kind = socket.send_to(frame, remote).map_err(|why| why.kind());
                let count = match kind {
                    // The receiver's queue is full: wait, not lose.
                    Err(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
                        if !self.is_stopped() =>
                    {
                        continue;
                    }
                    Err(_) => &self.n_lost,
                    Ok(_) => &self.n_in,
                };
                count.fetch_add(1, Ordering::Relaxed);
                return !self.is_stopped();
            }
        });
        // The file was whole when it was checked; if it is not any more, what could be sent was.
        drop(sent);
        self.is_replayed.store(true, Ordering::Release);
    }

    fn record(&self, socket: &UnixDatagram, mut output: Option<Output>) {
        let mut frame = vec![0; FRAME_BYTES];
        let mut stopping = None;
        loop {
            // Asked before: what was sent before the end is there, so who finds nothing then has it all.
            let is_last = self.is_stopped();
            let received = socket.recv(&mut frame);
            if is_last {
                // What is under way is still taken, but not without end.
                let since = *stopping.get_or_insert_with(Instant::now);
                if received.is_err() || since.elapsed() > LAST_FRAMES {
                    return;
                }
            }
            match (received, &mut output) {
                (Ok(n), output) => {
                    self.n_out.fetch_add(1, Ordering::Relaxed);
                    if let Some(output) = output {
                        output.write(&frame[..n]);
                    }
                }
                // Idle: complete the file, so that it can be looked at while we run.
                (Err(_), Some(output)) => output.flush(),
                (Err(_), None) => {}
            }
        }
    }
}

/// A capture being written. The crate's writer keeps its file to itself, so the file is shared.
struct Output {
    writer: PcapWriter<SharedFile>,
    file: SharedFile,
}

#[derive(Clone)]
struct SharedFile(Arc<Mutex<BufWriter<File>>>);

impl SharedFile {
    fn locked(&self) -> MutexGuard<'_, BufWriter<File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl io::Write for SharedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.locked().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.locked().flush()
    }
}

impl Output {
    fn create(path: &Path) -> Result<Self, PcapError> {
        let failed = |why| PcapError::Write(path.into(), why);
        let file = File::create(path).map_err(failed)?;
        let file = SharedFile(Arc::new(Mutex::new(BufWriter::new(file))));
        let header = PcapHeader { datalink: DataLink::ETHERNET, ..PcapHeader::default() };
        let mut output = Self {
            writer: PcapWriter::with_header(file.clone(), header)
                .map_err(|why| failed(io::Error::other(why)))?,
            file,
        };
        output.flush();
        Ok(output)
    }

    /// A full disk must not stop the switch: what cannot be written is not.
    fn write(&mut self, frame: &[u8]) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let _ = self.writer.write_packet(&PcapPacket::new(now, len, frame));
    }

    fn flush(&mut self) {
        let _ = self.file.flush();
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replayed_arrives_and_what_leaves_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let frames: Vec<Vec<u8>> = (1..=40_u8).map(|i| vec![i; 60 + usize::from(i)]).collect();
        let file = File::create(at("in.pcap")).unwrap();
        let mut input = PcapWriter::new(file).unwrap();
        for (i, frame) in frames.iter().enumerate() {
            let time = Duration::from_millis(i as u64);
            let len = u32::try_from(frame.len()).unwrap();
            input.write_packet(&PcapPacket::new(time, len, frame)).unwrap();
        }
        drop(input);
        let port = PcapPort {
            port: "p1".into(),
            input: Some(at("in.pcap")),
            output: Some(at("out.pcap")),
            local: at("net"),
            remote: at("vm"),
        };
        port.check().unwrap();
        // The switch of this test sends everything back.
        let vm = UnixDatagram::bind(at("vm")).unwrap();
        vm.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let go = Arc::new(AtomicBool::new(false));
        let run = port.start(go.clone()).unwrap();
        go.store(true, Ordering::Release);
        let mut frame = [0; 200];
        for expected in &frames {
            let n = vm.recv(&mut frame).unwrap();
            assert_eq!(&frame[..n], expected);
            vm.send_to(&frame[..n], at("net")).unwrap();
        }
        drop(run);
        let mut written = Vec::new();
        read(&at("out.pcap"), |_, frame| {
            written.push(frame.to_vec());
            true
        })
        .unwrap();
        assert_eq!(written, frames);
        assert!(!at("net").exists());
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let refused = || read(&path, |_, _| true).unwrap_err().to_string();
        assert!(refused().contains("cannot be read"));
        std::fs::write(&path, "ab").unwrap();
        assert!(refused().contains("too short"));
        std::fs::write(&path, "this is no capture at all, but long enough").unwrap();
        assert!(refused().contains("give a pcap or pcapng file"));
        let header = PcapHeader { datalink: DataLink::IEEE802_11, ..PcapHeader::default() };
        drop(PcapWriter::with_header(File::create(&path).unwrap(), header).unwrap());
        assert!(refused().contains("not taken on Ethernet"));
    }
}

//! A port behind a socket.

use crate::frame::{Frame, HEADER};
use crate::port::{Offloads, Port, RECEIVE, TRANSMIT};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use vhost::vhost_user::BackendReqHandler;

/// Between two looks for a front end.
const STEP: Duration = Duration::from_millis(5);
/// Bytes of a frame that are taken.
const LONGEST: usize = 1 << 16;

/// A back end that listens until it is dropped, for one front end at a time.
#[derive(Debug)]
pub struct Back {
    port: Arc<Mutex<Port>>,
    shared: Arc<Shared>,
    path: PathBuf,
    thread: Option<JoinHandle<()>>,
}

/// Frames of 1,024 flows, from the station behind one of two ports to that behind the other.
#[derive(Debug)]
pub struct Traffic(Frame);

impl Traffic {
    /// From station 0 or 1, frames of so many bytes; at least 54.
    #[must_use]
    pub fn new(from: u8, len: usize) -> Self {
        Self(Frame::new(from.min(1), len))
    }
}

#[derive(Debug, Default)]
struct Shared {
    is_ending: AtomicBool,
    /// The connection, to be woken up at the end.
    stream: Mutex<Option<UnixStream>>,
}

impl Back {
    /// Listens at `socket`.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn listen(socket: &Path) -> io::Result<Self> {
        Self::listen_with(socket, Offloads::default())
    }

    /// Listens at `socket` and offers this.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn listen_with(socket: &Path, offered: Offloads) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        listener.set_nonblocking(true)?;
        let (port, shared) = (Arc::new(Mutex::new(Port::new(offered))), Arc::<Shared>::default());
        let (theirs, words) = (port.clone(), shared.clone());
        let thread = thread::spawn(move || serve(&listener, &theirs, &words));
        Ok(Self { port, shared, path: socket.into(), thread: Some(thread) })
    }

    /// Waits until a driver has set up its rings, at most so long; whether it has.
    pub fn wait_up(&self, patience: Duration) -> bool {
        let begun = Instant::now();
        while !lock(&self.port).is_up() {
            if begun.elapsed() > patience {
                return false;
            }
            thread::sleep(STEP);
        }
        true
    }

    /// What the driver in front has accepted of what was offered.
    #[must_use]
    pub fn agreed(&self) -> Offloads {
        lock(&self.port).agreed()
    }

    /// Gives the driver a frame with this header in front of it (virtio 1.2 §5.1.6); whether it had a buffer for it.
    #[must_use]
    pub fn give(&self, header: [u8; HEADER], frame: &[u8]) -> bool {
        let bytes = [&header, frame].concat();
        let mut is_given = false;
        if let Some((ring, memory)) = self.port().ring(RECEIVE) {
            ring.each(memory, 1, |chain| {
                is_given = chain.write(&bytes);
                u32::try_from(bytes.len()).ok().filter(|_| is_given).unwrap_or(0)
            });
        }
        is_given
    }

    /// Takes the next frame of the driver, if there is one: its header, and the frame, up to 64 KiB.
    #[must_use]
    pub fn take(&self) -> Option<([u8; HEADER], Vec<u8>)> {
        let mut bytes = vec![0; HEADER + LONGEST];
        let mut n = None;
        if let Some((ring, memory)) = self.port().ring(TRANSMIT) {
            ring.each(memory, 1, |chain| {
                n = Some(chain.read(&mut bytes));
                0
            });
        }
        bytes.truncate(n?);
        let (header, frame) = bytes.split_first_chunk()?;
        Some((*header, frame.to_vec()))
    }

    /// Gives the driver up to `most` frames, as far as it has buffers; how many.
    pub fn give_many(&self, traffic: &mut Traffic, most: u16) -> u64 {
        let mut given = 0;
        if let Some((ring, memory)) = self.port().ring(RECEIVE) {
            ring.each(memory, most, |chain| {
                let bytes = traffic.0.next(0);
                let is_given = chain.write(bytes);
                given += u64::from(is_given);
                u32::try_from(bytes.len()).ok().filter(|_| is_given).unwrap_or(0)
            });
        }
        given
    }

    /// Takes up to `most` frames of the driver and looks at none; how many.
    pub fn swallow(&self, most: u16) -> u64 {
        let mut port = self.port();
        port.ring(TRANSMIT).map_or(0, |(ring, memory)| ring.each(memory, most, |_| 0).into())
    }

    pub(crate) fn port(&self) -> MutexGuard<'_, Port> {
        lock(&self.port)
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        self.shared.is_ending.store(true, Ordering::Release);
        if let Some(stream) = lock(&self.shared.stream).as_ref() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = std::fs::remove_file(&self.path);
    }
}

fn serve(listener: &UnixListener, port: &Arc<Mutex<Port>>, shared: &Shared) {
    let is_ending = || shared.is_ending.load(Ordering::Acquire);
    while !is_ending() {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(STEP);
            continue;
        };
        let Ok(other_end) = stream.set_nonblocking(false).and_then(|()| stream.try_clone()) else {
            continue;
        };
        *lock(&shared.stream) = Some(other_end);
        lock(port).forget();
        let mut messages = BackendReqHandler::from_stream(stream, port.clone());
        while !is_ending() && is_alive(&messages.handle_request()) {}
        lock(port).forget();
    }
}

/// QEMU enables rings before it has agreed to rings that are enabled, which the protocol forbids; that does no harm.
fn is_alive(done: &Result<(), vhost::vhost_user::Error>) -> bool {
    matches!(done, Ok(()) | Err(vhost::vhost_user::Error::InactiveFeature(_)))
}

/// What a thread that panicked left is as good as it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! A port behind a socket.

use crate::port::Port;
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

/// A back end that listens until it is dropped, for one front end at a time.
#[derive(Debug)]
pub struct Back {
    port: Arc<Mutex<Port>>,
    shared: Arc<Shared>,
    path: PathBuf,
    thread: Option<JoinHandle<()>>,
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
        let listener = UnixListener::bind(socket)?;
        listener.set_nonblocking(true)?;
        let (port, shared) = (Arc::<Mutex<Port>>::default(), Arc::<Shared>::default());
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
        *lock(port) = Port::default();
        let mut messages = BackendReqHandler::from_stream(stream, port.clone());
        while !is_ending() && is_alive(&messages.handle_request()) {}
        *lock(port) = Port::default();
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

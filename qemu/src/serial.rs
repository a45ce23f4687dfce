//! What the guest wrote on its serial port: kept, waited for, followed.
//!
//! # Concurrency
//! One reader thread appends; any number of threads look. A guest that writes without end costs
//! bounded memory: the oldest half is forgotten.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Most bytes kept.
const KEPT_BYTES: usize = 4 * 1024 * 1024;

/// Text that grows while others read it.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct State {
    text: String,
    /// Bytes forgotten from the front.
    n_forgotten: usize,
    is_closed: bool,
}

/// A place in a [`Log`] from which reading goes on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor(usize);

impl Log {
    /// A log of what `pipe` says until it ends. Each piece is also given to `tee`.
    pub fn follow(
        pipe: impl Read + Send + 'static,
        mut tee: impl FnMut(&str) + Send + 'static,
    ) -> Self {
        let log = Self::default();
        let writer = log.clone();
        thread::spawn(move || {
            let mut pipe = pipe;
            let mut bytes = [0; 4096];
            while let Ok(n) = pipe.read(&mut bytes) {
                if n == 0 {
                    break;
                }
                // Serial text is ASCII; anything else shows as replacement characters.
                let piece = String::from_utf8_lossy(&bytes[..n]).replace('\r', "");
                tee(&piece);
                writer.append(&piece);
            }
            writer.state().is_closed = true;
            writer.0.grown.notify_all();
        });
        log
    }

    fn append(&self, piece: &str) {
        let mut state = self.state();
        state.text.push_str(piece);
        if state.text.len() > KEPT_BYTES {
            let half = (KEPT_BYTES / 2..).find(|at| state.text.is_char_boundary(*at)).unwrap_or(0);
            state.text.drain(..half);
            state.n_forgotten += half;
        }
        drop(state);
        self.0.grown.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that is kept.
    pub fn text(&self) -> String {
        self.state().text.clone()
    }

    /// The last lines, at most `n`.
    pub fn tail(&self, n: usize) -> Vec<String> {
        let text = self.text();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(n)..].iter().map(ToString::to_string).collect()
    }

    /// Waits until the log holds `needle`, at most `timeout`; false as well when the log ended
    /// without it.
    pub fn wait_for(&self, needle: &str, timeout: Duration) -> bool {
        self.wait_until(timeout, |text| text.contains(needle))
    }

    /// Waits until `is_there` says so of the whole text.
    pub fn wait_until(&self, timeout: Duration, is_there: impl Fn(&str) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        loop {
            if is_there(&state.text) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.is_closed || left.is_zero() {
                return false;
            }
            state =
                self.0.grown.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whole lines since `cursor`, which moves past them.
    pub fn new_lines(&self, cursor: &mut Cursor) -> Vec<String> {
        let state = self.state();
        let from = cursor.0.saturating_sub(state.n_forgotten).min(state.text.len());
        let Some(fresh) = state.text.get(from..) else {
            return Vec::new();
        };
        let end = match fresh.rfind('\n') {
            _ if state.is_closed => fresh.len(),
            Some(last) => last + 1,
            None => 0,
        };
        cursor.0 = state.n_forgotten + from + end;
        fresh[..end].lines().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_pipe_to_its_end() {
        let log = Log::follow(&b"one\r\ntwo\nthr"[..], |_| ());
        assert!(log.wait_for("two", Duration::from_secs(60)));
        assert!(!log.wait_for("four", Duration::from_secs(60)), "ended, so no waiting");
        let mut cursor = Cursor::default();
        assert_eq!(log.new_lines(&mut cursor), ["one", "two", "thr"]);
        assert!(log.new_lines(&mut cursor).is_empty());
        assert_eq!(log.tail(2), ["two", "thr"]);
    }

    #[test]
    fn only_whole_lines_are_new() {
        let log = Log::default();
        let mut cursor = Cursor::default();
        log.append("a\nb");
        assert_eq!(log.new_lines(&mut cursor), ["a"]);
        log.append("c\n");
        assert_eq!(log.new_lines(&mut cursor), ["bc"]);
    }

    #[test]
    fn memory_is_bounded() {
        let log = Log::default();
        let mut cursor = Cursor::default();
        for i in 0..300_000 {
            log.append(&format!("line {i:>20}\n"));
        }
        assert!(log.text().len() <= KEPT_BYTES);
        let lines = log.new_lines(&mut cursor);
        assert_eq!(lines.last().map(String::as_str), Some("line               299999"));
        log.append("next\n");
        assert_eq!(log.new_lines(&mut cursor), ["next"]);
    }
}

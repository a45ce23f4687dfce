//! A controller that we connect to: when to try, when to give up, when to try again.
//!
//! ```text
//!            try           up
//! Backoff ──────► Connecting ──────► Connected
//!    ▲                │ failed, late     │ lost
//!    └────────────────┴──────────────────┘
//! ```
//! The wait doubles from [`FIRST_BACKOFF`] to the configured maximum (Open vSwitch's `max_backoff`,
//! 8 s), and begins anew after a connection that was up for as long as that maximum.

use crate::ConnId;
use core::net::SocketAddr;
use sync::time::Nanos;

/// First wait after a failure.
const FIRST_BACKOFF: Nanos = Nanos::from_secs(1);
/// An attempt that has not succeeded by then has failed.
const ATTEMPT_LIMIT: Nanos = Nanos::from_secs(8);

/// Where a configured controller stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RemoteState {
    /// Waiting to try.
    Backoff {
        /// When to try.
        until: Nanos,
    },
    /// The network layer is asked to connect.
    Connecting {
        /// When it was asked.
        since: Nanos,
    },
    /// Up, as this connection.
    Connected {
        /// The connection.
        conn: ConnId,
        /// Since when.
        since: Nanos,
    },
}

/// One configured controller.
#[derive(Debug)]
pub struct Remote {
    /// Where it is.
    pub target: SocketAddr,
    state: RemoteState,
    backoff: Nanos,
    max_backoff: Nanos,
    attempts: u64,
    /// When it was connected last, and when that ended.
    connected: Option<Nanos>,
    disconnected: Option<Nanos>,
    last_error: Option<&'static str>,
}

impl Remote {
    /// A controller that is tried at once.
    pub fn new(target: SocketAddr, max_backoff: Nanos) -> Self {
        Self {
            target,
            state: RemoteState::Backoff { until: Nanos::ZERO },
            backoff: Nanos::ZERO,
            max_backoff: max_backoff.max(FIRST_BACKOFF),
            attempts: 0,
            connected: None,
            disconnected: None,
            last_error: None,
        }
    }

    /// From now on the wait is so long at most.
    pub fn set_max_backoff(&mut self, max_backoff: Nanos) {
        self.max_backoff = max_backoff.max(FIRST_BACKOFF);
    }

    /// Where it stands.
    pub fn state(&self) -> RemoteState {
        self.state
    }

    /// Attempts made so far.
    pub fn attempts(&self) -> u64 {
        self.attempts
    }

    /// True once, when it is time for an attempt: the caller then connects.
    pub fn wants_attempt(&mut self, now: Nanos) -> bool {
        if let RemoteState::Connecting { since } = self.state
            && now.saturating_sub(since) > ATTEMPT_LIMIT
        {
            self.last_error = Some("the attempt to connect timed out");
            self.failed(now);
        }
        match self.state {
            RemoteState::Backoff { until } if now >= until => {
                self.attempts += 1;
                self.state = RemoteState::Connecting { since: now };
                true
            }
            _ => false,
        }
    }

    /// The attempt succeeded.
    pub fn connected(&mut self, conn: ConnId, now: Nanos) {
        self.state = RemoteState::Connected { conn, since: now };
        self.connected = Some(now);
    }

    /// The attempt failed. News of an earlier attempt, given up long ago, changes nothing.
    pub fn attempt_failed(&mut self, now: Nanos) {
        if matches!(self.state, RemoteState::Connecting { .. }) {
            self.last_error = Some("no connection could be had");
            self.failed(now);
        }
    }

    /// Waits before the next attempt.
    fn failed(&mut self, now: Nanos) {
        self.backoff = match self.backoff {
            Nanos::ZERO => FIRST_BACKOFF,
            before => before.saturating_add(before).min(self.max_backoff),
        };
        self.state = RemoteState::Backoff { until: now.saturating_add(self.backoff) };
    }

    /// The connection is gone.
    pub fn lost(&mut self, now: Nanos) {
        if let RemoteState::Connected { since, .. } = self.state
            && now.saturating_sub(since) >= self.max_backoff
        {
            self.backoff = Nanos::ZERO;
        }
        self.disconnected = Some(now);
        self.last_error = Some("the connection was lost");
        self.failed(now);
    }

    /// Its state in Open vSwitch's words.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            RemoteState::Backoff { .. } => "BACKOFF",
            RemoteState::Connecting { .. } => "CONNECTING",
            RemoteState::Connected { .. } => "ACTIVE",
        }
    }

    /// How long ago it was connected last.
    pub fn since_connect(&self, now: Nanos) -> Option<Nanos> {
        self.connected.map(|at| now.saturating_sub(at))
    }

    /// How long ago the connection was lost last.
    pub fn since_disconnect(&self, now: Nanos) -> Option<Nanos> {
        self.disconnected.map(|at| now.saturating_sub(at))
    }

    /// What went wrong last.
    pub fn last_error(&self) -> Option<&'static str> {
        self.last_error
    }

    /// When [`Remote::wants_attempt`] should be asked again.
    pub fn deadline(&self) -> Option<Nanos> {
        match self.state {
            RemoteState::Backoff { until } => Some(until),
            RemoteState::Connecting { since } => Some(since.saturating_add(ATTEMPT_LIMIT)),
            RemoteState::Connected { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Nanos = Nanos::from_secs(8);

    fn remote() -> Remote {
        Remote::new("10.0.2.2:6653".parse().expect("an address"), MAX)
    }

    fn waits(remote: &Remote, now: Nanos) -> u64 {
        let RemoteState::Backoff { until } = remote.state() else { panic!("not waiting") };
        until.saturating_sub(now).as_secs()
    }

    #[test]
    fn the_wait_doubles_up_to_the_maximum() {
        let mut remote = remote();
        let mut now = Nanos::ZERO;
        for wait in [1, 2, 4, 8, 8] {
            assert!(remote.wants_attempt(now), "tries after the wait");
            assert!(!remote.wants_attempt(now), "once only");
            remote.failed(now);
            assert_eq!(waits(&remote, now), wait);
            now = now.saturating_add(Nanos::from_secs(wait));
        }
    }

    #[test]
    fn an_attempt_without_an_answer_fails_in_the_end() {
        let mut remote = remote();
        assert!(remote.wants_attempt(Nanos::ZERO));
        assert!(!remote.wants_attempt(Nanos::from_secs(8)));
        assert!(!remote.wants_attempt(Nanos::from_secs(9)));
        assert_eq!(waits(&remote, Nanos::from_secs(9)), 1);
    }

    #[test]
    fn a_long_connection_forgives_the_failures_before_it() {
        let mut remote = remote();
        for _ in 0..5 {
            remote.failed(Nanos::ZERO);
        }
        remote.connected(ConnId(1), Nanos::ZERO);
        remote.lost(MAX);
        assert_eq!(waits(&remote, MAX), 1);
        remote.failed(Nanos::ZERO);
        remote.connected(ConnId(2), Nanos::ZERO);
        remote.lost(Nanos::from_secs(1));
        assert_eq!(waits(&remote, Nanos::from_secs(1)), 4, "a short one does not");
    }
}

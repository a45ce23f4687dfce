//! How far apart the two cores are that share the rings.
//!
//! Under a hypervisor, a core of this machine is a thread that may run anywhere: now both on neighbours that share a cache,
//! now on two ends of the processor. What it costs to hand a line over, most of the work between two vhost-user ports,
//! differs by a factor of four then, and changes every few seconds. A run counts if the cores were near before it and
//! after it, for either switch; otherwise it is made again.

use super::super::{CONTROL_CORE, POLLING_CORE};
use core_affinity::CoreId;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Turns of a measurement: some milliseconds.
const TURNS: u32 = 20_000;
/// Looks at the start, to learn what near is, and the time between two.
const LOOKS: usize = 40;
const BETWEEN: Duration = Duration::from_millis(50);
/// Cores are near if a round trip takes no more than so many times the shortest one seen.
const NEAR: f64 = 2.0;
/// Waits for them to come near, before one run; and how long each.
const WAITS: usize = 30;
/// Runs that are made again, at most.
pub(super) const TRIES: usize = 6;

/// What a round trip between the cores takes when they are near.
#[derive(Clone, Copy, Debug)]
pub(super) struct Near {
    pub(super) shortest: Duration,
}

impl Near {
    /// Looks for two seconds.
    pub(super) fn learn() -> Self {
        let look = |_| {
            thread::sleep(BETWEEN);
            round_trip()
        };
        Self { shortest: (0..LOOKS).map(look).min().unwrap_or_default() }
    }

    /// Whether they are near at the moment.
    pub(super) fn is_so(self) -> bool {
        round_trip() <= self.shortest.mul_f64(NEAR)
    }

    /// Waits until they are, some seconds at most; whether they are.
    pub(super) fn wait(self) -> bool {
        (0..WAITS).any(|_| {
            let is_so = self.is_so();
            if !is_so {
                thread::sleep(2 * BETWEEN);
            }
            is_so
        })
    }
}

/// Time for a word to go from one core to the other and back, on average.
fn round_trip() -> Duration {
    let ball = AtomicU32::new(0);
    let until = |turn: u32| {
        while ball.load(Ordering::Acquire) != turn {
            spin_loop();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            core_affinity::set_for_current(CoreId { id: CONTROL_CORE });
            for turn in 0..TURNS {
                until(2 * turn + 1);
                ball.store(2 * turn + 2, Ordering::Release);
            }
        });
        let here = scope.spawn(|| {
            core_affinity::set_for_current(CoreId { id: POLLING_CORE });
            let begun = Instant::now();
            for turn in 0..TURNS {
                ball.store(2 * turn + 1, Ordering::Release);
                until(2 * turn + 2);
            }
            begun.elapsed() / TURNS
        });
        here.join().unwrap_or(Duration::MAX)
    })
}

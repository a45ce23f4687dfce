//! Frames at a steady pace, and how long each takes to the other port.
//!
//! # What a time is
//! From the moment at which a frame is written into the driver's receive ring until it is found in the transmit ring
//! behind the other port. The time is taken once for each burst, just before it is written and just after it is
//! found, so the time that frames wait in the rings counts and what this program does with a burst does not.
//!
//! # The pace
//! What is due by the clock is sent, up to a burst at a time. A switch that comes back late finds more waiting, and that
//! is its own time. When *this* program comes back late (something else ran on its core), the frames that should have
//! been under way are not sent in one go, since that would be another load: beyond [`LAG`] they are skipped and counted.

use crate::Latencies;
use crate::back::Back;
use crate::frame::{Frame, LOOK, time_of};
use crate::port::{RECEIVE, TRANSMIT};
use std::time::{Duration, Instant};

/// Frames that are sent or taken in one go.
const BURST: u16 = 32;
/// Frames behind the clock that are still sent.
const LAG: f64 = 256.0;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Bytes of a frame without checksum; at least 54.
    pub frame_len: usize,
    /// Frames a second, each way.
    pub pace: f64,
    /// Sent before times are counted.
    pub warm_up: Duration,
    /// How long times are counted.
    pub time: Duration,
    /// How long frames that are under way at the end are waited for.
    pub patience: Duration,
}

/// What came of it, both ways together. Frames of the warm-up are in none of these.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Frames that were written into a receive ring.
    pub sent: u64,
    /// Frames that came out on the other side.
    pub received: u64,
    /// Frames for which there was no buffer.
    pub refused: u64,
    /// Frames that were due and not sent, because this program was late.
    pub skipped: u64,
    /// How long they took.
    pub latencies: Latencies,
}

impl Outcome {
    /// The share of frames that did not come out, whether there was a buffer for them or not.
    #[must_use]
    pub fn lost(&self) -> f64 {
        let given = self.sent + self.refused;
        given.saturating_sub(self.received) as f64 / given.max(1) as f64
    }

    /// The share of frames that were due and not sent.
    #[must_use]
    pub fn missed(&self) -> f64 {
        self.skipped as f64 / (self.sent + self.refused + self.skipped).max(1) as f64
    }
}

/// One way.
struct Way {
    frame: Frame,
    /// Frames that were due so far.
    due: f64,
}

/// Sends both ways at once between two ports whose rings are set up.
#[must_use]
pub fn exchange(ports: [&Back; 2], plan: &Plan) -> Outcome {
    let mut outcome = Outcome::default();
    let begun = Instant::now();
    let nanos = || u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let first = u64::try_from(plan.warm_up.as_nanos()).unwrap_or(u64::MAX);
    let end = plan.warm_up + plan.time;
    let mut ways = [0, 1].map(|from| Way { frame: Frame::new(from, plan.frame_len), due: 0.0 });
    while begun.elapsed() < end {
        for (way, port) in ways.iter_mut().zip(ports) {
            way.send(port, plan.pace, begun, first, &mut outcome);
        }
        for port in ports {
            receive(port, nanos, first, &mut outcome);
        }
    }
    let ended = Instant::now();
    while outcome.received < outcome.sent && ended.elapsed() < plan.patience {
        for port in ports {
            receive(port, nanos, first, &mut outcome);
        }
    }
    outcome
}

impl Way {
    fn send(&mut self, port: &Back, pace: f64, begun: Instant, first: u64, outcome: &mut Outcome) {
        let elapsed = begun.elapsed();
        let now = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let is_counted = u64::from(now >= first);
        let mut behind = elapsed.as_secs_f64() * pace - self.due;
        if behind > LAG {
            let skipped = (behind - LAG).floor();
            self.due += skipped;
            behind -= skipped;
            outcome.skipped += whole(skipped) * is_counted;
        }
        let wanted = u16::try_from(whole(behind)).unwrap_or(BURST).min(BURST);
        if wanted == 0 {
            return;
        }
        self.due += f64::from(wanted);
        let mut refused = 0;
        let mut port = port.port();
        let taken = port.ring(RECEIVE).map_or(0, |(ring, memory)| {
            ring.each(memory, wanted, |chain| {
                let bytes = self.frame.next(now);
                match chain.write(bytes) {
                    true => u32::try_from(bytes.len()).unwrap_or(0),
                    false => {
                        refused += 1;
                        0
                    }
                }
            })
        });
        drop(port);
        let sent = u64::from(taken) - refused;
        outcome.sent += sent * is_counted;
        outcome.refused += (u64::from(wanted) - sent) * is_counted;
    }
}

fn receive(port: &Back, nanos: impl Fn() -> u64, first: u64, outcome: &mut Outcome) {
    let mut port = port.port();
    let Some((ring, memory)) = port.ring(TRANSMIT) else { return };
    let (mut look, mut now) = ([0; LOOK], None);
    ring.each(memory, BURST, |chain| {
        let n = chain.read(&mut look);
        if let Some(time) = look.get(..n).and_then(time_of).filter(|&time| time >= first) {
            let now = *now.get_or_insert_with(&nanos);
            outcome.received += 1;
            outcome.latencies.add(now.saturating_sub(time));
        }
        0
    });
}

/// A number of frames.
fn whole(frames: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let frames = frames.max(0.0) as u64;
    frames
}

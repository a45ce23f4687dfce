//! How fast new flows become known: the stretch in which all frames come in for the first time.

use super::measured::{Found, Measured};
use std::error::Error;
use std::time::{Duration, Instant};

/// Between two looks.
const STEP: Duration = Duration::from_millis(2);
/// Until the last flow has come in.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many flows that come in, each new to the switch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage {
    n_flows: u64,
}

impl Passage {
    pub(crate) fn of(n_flows: u64) -> Self {
        Self { n_flows }
    }

    /// Looks until nine flows of ten have come in, and measures from the first tenth on: before that,
    /// rules may just be coming in. `seen` tells how many have come in, `known` how many have become
    /// known, and how long the polling thread has run.
    pub(crate) fn watch(
        self,
        seen: impl Fn() -> Result<u64, Box<dyn Error>>,
        known: impl Fn() -> Result<(u64, Duration), Box<dyn Error>>,
    ) -> Result<Measured, Box<dyn Error>> {
        let begun = Instant::now();
        let wait_for = |share: u64| loop {
            let n = seen()?;
            if n >= share {
                return known();
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("{n} of {} flows came in", self.n_flows).into());
            }
            std::thread::sleep(STEP);
        };
        let (n_before, before) = wait_for(self.n_flows / 10)?;
        let (n_after, after) = wait_for(self.n_flows / 10 * 9)?;
        let packets = n_after.saturating_sub(n_before);
        let found = Found { upcalls: packets, ..Found::default() };
        let time = after.saturating_sub(before);
        Ok(Measured { packets, time, undisturbed: None, found })
    }
}

//! Many times in little memory.

use std::time::Duration;

/// Steps between a power of two and the next: a time is known to one part in so many.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Powers of two above the first [`STEPS`] nanoseconds; longer times count as the longest.
const POWERS: usize = 40;

/// How often which time was seen. Times are kept to 1/64 of themselves, up to some hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latencies {
    counts: Vec<u64>,
    n: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: vec![0; (POWERS + 1) << STEP_BITS], n: 0 }
    }
}

impl Latencies {
    /// Counts a time.
    pub fn add(&mut self, nanos: u64) {
        let last = self.counts.len() - 1;
        self.counts[slot(nanos).min(last)] += 1;
        self.n += 1;
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.n
    }

    /// The time that a share of all, such as 0.99, did not exceed, to 1/64; none if there are no times.
    #[must_use]
    pub fn at(&self, share: f64) -> Option<Duration> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let rank = ((self.n as f64 * share).ceil() as u64).clamp(1, self.n.max(1));
        let mut seen = 0;
        let slot = self.counts.iter().position(|&count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_nanos(longest(slot as u64)))
    }
}

/// Where a time is counted: the first by nanoseconds, then 64 steps for each power of two.
fn slot(nanos: u64) -> usize {
    let power = (64 - STEP_BITS - 1).saturating_sub(nanos.leading_zeros());
    let step = nanos >> power;
    // The step of a power above the first has its highest bit set, which is the power's own slot.
    usize::try_from((u64::from(power) << STEP_BITS) + step).unwrap_or(usize::MAX)
}

/// The longest time that is counted there.
fn longest(slot: u64) -> u64 {
    let (power, step) = (slot >> STEP_BITS, slot & (STEPS - 1));
    match power {
        0 => step,
        _ => ((STEPS + step + 1) << (power - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Latencies::default().at(0.5), None);
    }

    #[test]
    fn too_long_is_longest() {
        let mut latencies = Latencies::default();
        latencies.add(u64::MAX);
        assert!(latencies.at(1.0) > Some(Duration::from_secs(1800)));
    }

    proptest! {
        #[test]
        fn percentiles_of_a_sorted_list(
            mut times in prop::collection::vec(0..1_u64 << 40, 1..300),
            share in 0.0..=1.0_f64,
        ) {
            let mut latencies = Latencies::default();
            times.iter().for_each(|&time| latencies.add(time));
            times.sort_unstable();
            let below = |k: &usize| (*k as f64) < times.len() as f64 * share;
            let rank = (0..times.len()).filter(below).count().max(1);
            let (exact, told) = (times[rank - 1], latencies.at(share).unwrap());
            let told = u64::try_from(told.as_nanos()).unwrap();
            prop_assert!(told >= exact && told - exact <= exact / STEPS, "{told} for {exact}");
        }
    }
}

//! How many flows may be cached, and how long an unused one stays (ovs-facts E5 to E7, with OVS's
//! numbers).

use sync::time::Nanos;

/// The limit starts here, if `flow-limit` is not lower.
const FIRST: usize = 10_000;
/// It does not fall below this, if `flow-limit` is not lower.
const LOWEST: usize = 1_000;
/// What a short round lets it grow by.
const STEP: usize = 1_000;
/// The idle limit while there are more cached flows than the limit.
const PRESSED_IDLE: Nanos = Nanos::from_millis(100);
/// A number of flows is good for so long.
const COUNT_AGE: Nanos = Nanos::from_millis(100);

/// What became of the limit after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adapted {
    /// Nothing.
    Same,
    /// Divided by the seconds of a round of more than 2 s.
    Scaled,
    /// Cut by a quarter after a round of more than 1.3 s.
    Reduced,
    /// Raised after a round that was short for so many flows.
    Grew,
}

/// The limit that follows the time that a round takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlowLimit {
    now: usize,
    /// `flow-limit`.
    most: usize,
    /// What memory has room for.
    ceiling: usize,
}

impl FlowLimit {
    pub(crate) fn new(most: usize) -> Self {
        Self { now: FIRST.min(most), most, ceiling: usize::MAX }
    }

    /// Cached flows above which nothing more is installed.
    pub(crate) fn get(self) -> usize {
        self.now.min(self.ceiling)
    }

    /// Sets what there is memory for; the limit is what it was when there is more again.
    pub(crate) fn set_ceiling(&mut self, ceiling: usize) {
        self.ceiling = ceiling;
    }

    /// Sets it until the next round changes it (`upcall/set-flow-limit`).
    pub(crate) fn set(&mut self, limit: usize) {
        self.now = limit;
    }

    /// Sets what it never exceeds.
    pub(crate) fn set_most(&mut self, most: usize) {
        self.most = most;
        self.now = self.now.min(most).max(LOWEST.min(most));
    }

    /// Follows a round that began with `n_flows` and took `duration`.
    pub(crate) fn adapt(&mut self, n_flows: usize, duration: Nanos) -> Adapted {
        let millis = duration.as_millis().max(1);
        let handled_a_second = (n_flows as u64).saturating_mul(1_000) / millis;
        let (limit, adapted) = if millis > 2_000 {
            let seconds = usize::try_from(millis / 1_000).unwrap_or(usize::MAX);
            (self.now / seconds, Adapted::Scaled)
        } else if millis > 1_300 {
            (self.now.saturating_mul(3) / 4, Adapted::Reduced)
        } else if millis < 1_000 && (self.now as u64) < handled_a_second {
            (self.now.saturating_add(STEP), Adapted::Grew)
        } else {
            (self.now, Adapted::Same)
        };
        self.now = limit.max(LOWEST).min(self.most);
        adapted
    }

    /// How hard `n_flows` press.
    pub(crate) fn pressure(self, n_flows: usize) -> Pressure {
        let limit = self.get();
        if n_flows > limit.saturating_mul(2) {
            Pressure::Double
        } else if n_flows > limit {
            Pressure::Above
        } else {
            Pressure::None
        }
    }
}

/// How many flows there are against the limit (ovs-facts E6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pressure {
    /// No more than the limit.
    None,
    /// More: idle ones go sooner.
    Above,
    /// More than twice as many: any goes.
    Double,
}

impl Pressure {
    /// Whether a flow last used at `used` goes now; `max_idle` is the ordinary limit.
    pub(crate) fn evicts(self, used: Nanos, max_idle: Nanos, now: Nanos) -> bool {
        let idle = now.saturating_sub(used);
        match self {
            Pressure::Double => true,
            Pressure::Above => idle > PRESSED_IDLE,
            Pressure::None => idle > max_idle,
        }
    }
}

/// The number of cached flows, as read at most 100 ms ago.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FlowCount {
    read: Option<(usize, Nanos)>,
}

impl FlowCount {
    /// The number; `count` tells it when the last reading is too old.
    pub(crate) fn get(&mut self, now: Nanos, count: impl FnOnce() -> usize) -> usize {
        if let Some((n, at)) = self.read
            && now.saturating_sub(at) <= COUNT_AGE
        {
            return n;
        }
        let n = count();
        self.read = Some((n, now));
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Nanos = Nanos::from_millis;

    #[test]
    fn the_limit_follows_the_duration_of_rounds() {
        let cases = [
            // Limit before, flows, milliseconds, limit after.
            (10_000, 10_000, 0, 11_000, Adapted::Grew),
            (10_000, 10_000, 999, 11_000, Adapted::Grew),
            (10_000, 9_990, 999, 10_000, Adapted::Same),
            (10_000, 5_000, 500, 10_000, Adapted::Same),
            (10_000, 5_001, 500, 11_000, Adapted::Grew),
            (10_000, 100_000, 1_000, 10_000, Adapted::Same),
            (10_000, 100_000, 1_300, 10_000, Adapted::Same),
            (10_000, 100_000, 1_301, 7_500, Adapted::Reduced),
            (10_001, 100_000, 2_000, 7_500, Adapted::Reduced),
            (10_000, 100_000, 2_001, 5_000, Adapted::Scaled),
            (10_000, 100_000, 3_999, 3_333, Adapted::Scaled),
            (10_000, 100_000, 60_000, 1_000, Adapted::Scaled),
            (199_500, 200_000, 10, 200_000, Adapted::Grew),
            (200_000, usize::MAX, 10, 200_000, Adapted::Grew),
        ];
        for (before, n_flows, millis, after, expected) in cases {
            let mut limit = FlowLimit { now: before, most: 200_000, ceiling: usize::MAX };
            let adapted = limit.adapt(n_flows, MS(millis));
            assert_eq!((limit.get(), adapted), (after, expected), "{before} {n_flows} {millis}");
        }
    }

    #[test]
    fn the_limit_starts_and_stays_within_the_configured_one() {
        assert_eq!(FlowLimit::new(200_000).get(), 10_000);
        assert_eq!(FlowLimit::new(500).get(), 500);
        let mut limit = FlowLimit::new(500);
        limit.adapt(0, MS(60_000));
        assert_eq!(limit.get(), 500, "the floor gives way to the configuration");
        limit.set_most(50_000);
        assert_eq!(limit.get(), 1_000);
        limit.set_most(0);
        assert_eq!(limit.get(), 0);
    }

    #[test]
    fn memory_bounds_the_limit_as_long_as_it_is_short() {
        let mut limit = FlowLimit::new(200_000);
        limit.set_ceiling(300);
        assert_eq!((limit.get(), limit.pressure(301)), (300, Pressure::Above));
        limit.adapt(300, MS(1));
        assert_eq!(limit.get(), 300);
        limit.set_ceiling(usize::MAX);
        assert_eq!(limit.get(), 11_000);
    }

    #[test]
    fn pressure_shortens_lives() {
        let limit = FlowLimit { now: 1_000, most: 1_000, ceiling: usize::MAX };
        let cases = [
            (0, Pressure::None),
            (1_000, Pressure::None),
            (1_001, Pressure::Above),
            (2_000, Pressure::Above),
            (2_001, Pressure::Double),
        ];
        for (n_flows, pressure) in cases {
            assert_eq!(limit.pressure(n_flows), pressure, "{n_flows}");
        }
        let now = Nanos::from_secs(100);
        let cases = [
            // Idle milliseconds; whether it goes without, under and under double pressure.
            (0, [false, false, true]),
            (100, [false, false, true]),
            (101, [false, true, true]),
            (10_000, [false, true, true]),
            (10_001, [true, true, true]),
        ];
        for (idle, expected) in cases {
            let all = [Pressure::None, Pressure::Above, Pressure::Double];
            let goes = all.map(|p| p.evicts(now.saturating_sub(MS(idle)), MS(10_000), now));
            assert_eq!(goes, expected, "{idle}");
        }
        // A use that is younger than the round's time is no idleness.
        assert!(!Pressure::None.evicts(now + MS(5), MS(0), now));
    }

    #[test]
    fn a_count_is_good_for_100_ms() {
        let mut count = FlowCount::default();
        assert_eq!(count.get(MS(50), || 7), 7);
        assert_eq!(count.get(MS(150), || 8), 7);
        assert_eq!(count.get(MS(151), || 8), 8);
    }
}

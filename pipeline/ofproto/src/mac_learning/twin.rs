//! The table beside a naive one: a list that is searched from end to end.

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

/// Addresses that are learned.
const STATIONS: u8 = 40;
const PORTS: u32 = 5;

fn station(n: u8) -> Station {
    Station { vlan: u16::from(n % 3), mac: EtherAddr([2, 0, 0, 0, 0, n]) }
}

/// What is done to both tables. `late` is how many seconds ago the packet was seen.
#[derive(Clone, Copy, Debug)]
enum Step {
    Learn { station: u8, port: u32 },
    Refresh { station: u8, port: u32, late: u64 },
    Observe { station: u8, port: u32, late: u64 },
    LearnLate { station: u8, port: u32, late: u64 },
    Expire,
    SetLimits { capacity: usize, age: u64 },
    FlushPort(u32),
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    let seen = || (0..STATIONS, 1..=PORTS, 0..20_u64);
    prop_oneof![
        20 => seen().prop_map(|(station, port, _)| Step::Learn { station, port }),
        // A storm: ever new addresses on one port.
        10 => (0..STATIONS).prop_map(|station| Step::Learn { station, port: 1 }),
        10 => seen().prop_map(|(station, port, late)| Step::Refresh { station, port, late }),
        5 => seen().prop_map(|(station, port, late)| Step::Observe { station, port, late }),
        5 => seen().prop_map(|(station, port, late)| Step::LearnLate { station, port, late }),
        2 => Just(Step::Expire),
        1 => (0..35_usize, 0..90_u64)
            .prop_map(|(capacity, age)| Step::SetLimits { capacity, age }),
        1 => (1..=PORTS).prop_map(Step::FlushPort),
        1 => prop_oneof![9 => Just(Step::Expire), 1 => Just(Step::Flush)],
    ]
}

type Line = (Station, OfPort, Nanos);

struct Naive {
    lines: Vec<Line>,
    capacity: usize,
    age: Nanos,
    stats: MacStats,
}

impl Naive {
    fn n_on(&self, port: OfPort) -> usize {
        self.lines.iter().filter(|line| line.1 == port).count()
    }

    fn find(&mut self, station: Station) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.0 == station)
    }

    fn learn(&mut self, station: Station, port: OfPort, used: Nanos) -> Learned {
        if let Some(line) = self.find(station) {
            if line.1 == port {
                line.2 = line.2.max(used);
                return Learned::Refreshed;
            }
            (line.1, line.2) = (port, used);
            self.stats.moved += 1;
            return Learned::Changed;
        }
        if self.lines.len() >= self.capacity {
            self.evict(Some(port));
        }
        self.lines.push((station, port, used));
        self.stats.learned += 1;
        Learned::Changed
    }

    fn evict(&mut self, learner: Option<OfPort>) {
        let most = (1..=PORTS).map(|port| self.n_on(OfPort(port))).max().unwrap_or(0);
        let mut fullest = (1..=PORTS).map(OfPort).filter(|port| self.n_on(*port) == most);
        let port = match fullest.clone().find(|port| Some(*port) == learner) {
            Some(own) => own,
            None => fullest.next_back().expect("some port has most"),
        };
        let of_port = self.lines.iter().filter(|line| line.1 == port);
        let oldest = *of_port.min_by_key(|line| line.2).expect("a full table");
        self.lines.retain(|line| *line != oldest);
        self.stats.evicted += 1;
    }
}

fn run(steps: &[Step]) {
    let (capacity, age) = (20, Nanos::from_secs(60));
    let mut table = MacTable::new(capacity, age);
    let mut naive = Naive { lines: Vec::new(), capacity, age, stats: MacStats::default() };
    for (n, &step) in steps.iter().enumerate() {
        // No two packets come at one instant, for which no order is promised.
        let at = |late| Nanos::from_secs(1_000 + n as u64 - late) + Nanos::from_millis(n as u64);
        match step {
            Step::Learn { station: s, port } => {
                let (s, port, now) = (station(s), OfPort(port), at(0));
                assert_eq!(table.learn(s, port, now), naive.learn(s, port, now));
            }
            Step::Refresh { station: s, port, late } => {
                let (s, port, used) = (station(s), OfPort(port), at(late));
                let known = naive.find(s).filter(|line| line.1 == port);
                assert_eq!(table.refresh(s, port, used), known.is_some());
                if let Some(line) = known {
                    line.2 = line.2.max(used);
                }
            }
            Step::Observe { station: s, port, late }
            | Step::LearnLate { station: s, port, late } => {
                let (s, port, used) = (station(s), OfPort(port), at(late));
                let is_contradicted = naive.find(s).is_some_and(|l| l.1 != port && l.2 > used);
                let expected =
                    if is_contradicted { Learned::Refused } else { naive.learn(s, port, used) };
                let got = if matches!(step, Step::Observe { .. }) {
                    table.observe(s, port, used)
                } else {
                    table.learn_late(s, port, used)
                };
                assert_eq!(got, expected);
            }
            Step::Expire => {
                let (now, before) = (at(0), naive.lines.len());
                naive.lines.retain(|line| line.2 + naive.age > now);
                let n_expired = before - naive.lines.len();
                naive.stats.expired += n_expired as u64;
                assert_eq!(table.expire(now, usize::MAX), n_expired);
            }
            Step::SetLimits { capacity, age } => {
                naive.capacity = capacity.max(MIN_CAPACITY);
                naive.age = Nanos::from_secs(age).clamp(AGE_RANGE.0, AGE_RANGE.1);
                while naive.lines.len() > naive.capacity {
                    naive.evict(None);
                }
                table.set_limits(capacity, Nanos::from_secs(age));
            }
            Step::FlushPort(port) => {
                let port = OfPort(port);
                assert_eq!(table.flush_port(port), naive.n_on(port) > 0);
                naive.lines.retain(|line| line.1 != port);
            }
            Step::Flush => {
                assert_eq!(table.flush(), !naive.lines.is_empty());
                naive.lines.clear();
            }
        }
        naive.lines.sort_by_key(|line| line.2);
        assert_eq!(table.iter().collect::<Vec<_>>(), naive.lines, "after {step:?}");
        assert_eq!(table.stats(), naive.stats, "after {step:?}");
        assert!(table.len() <= table.capacity());
        let first = naive.lines.first().map(|line| line.2 + naive.age);
        assert!(table.next_expiry() <= first || first.is_none(), "nobody is forgotten too late");
    }
}

/// Stations of each port, then a storm of new addresses on port 1.
fn storm(on_ports: &[u8], capacity: usize, n_invented: u32) -> MacTable {
    let mut table = MacTable::new(capacity, DEFAULT_MAX_AGE);
    for (port, &n) in (1..).zip(on_ports) {
        for k in 0..n {
            let mac = EtherAddr([2, 0, 0, 0, port, k]);
            table.learn(Station { vlan: 0, mac }, OfPort(port.into()), Nanos::ZERO);
        }
    }
    for k in 0..n_invented {
        let [_, a, b, c] = k.to_be_bytes();
        let mac = EtherAddr([6, 0, 0, a, b, c]);
        table.learn(Station { vlan: 0, mac }, OfPort(1), Nanos::from_millis(1 + u64::from(k)));
    }
    table
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn does_what_a_naive_table_does(steps in prop::collection::vec(step(), 1..300)) {
        run(&steps);
    }

    /// Of ports that have no more than an even share, a storm takes nothing.
    #[test]
    fn an_even_share_is_sure(
        (capacity, on_ports) in (10..200_u8, 1..8_u8).prop_flat_map(|(capacity, n)| {
            let share = 0..=capacity / n;
            (Just(capacity), prop::collection::vec(share, usize::from(n)))
        }),
        n_invented in 0..1_000_u32,
    ) {
        let table = storm(&on_ports, capacity.into(), n_invented);
        for (port, &n) in (1..).zip(&on_ports).skip(1) {
            let left = table.iter().filter(|line| line.1 == OfPort(port)).count();
            prop_assert_eq!(left, usize::from(n), "port {}", port);
        }
    }
}

#[test]
fn a_storm_takes_the_room_that_is_free_and_what_exceeds_an_even_share() {
    // 90 of 100 entries are one port's: the storm has the other 10, then takes up to half.
    for (n_invented, on_one, on_two) in [(10, 10, 90), (30, 30, 70), (50, 50, 50), (900, 50, 50)] {
        let table = storm(&[0, 90], 100, n_invented);
        let on = |port| table.iter().filter(|line| line.1 == OfPort(port)).count();
        assert_eq!((on(1), on(2)), (on_one, on_two), "{n_invented} addresses");
    }
}

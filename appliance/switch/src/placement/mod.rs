//! Which core polls which receive queue.
//!
//! # What
//! A queue is dealt to a core when its device opens, neighbouring ports to neighbouring cores. From then on the
//! cycles that each queue takes are measured ([`balance`]), and when somebody asks
//! (`dpif-netdev/pmd-rxq-rebalance`, a change of `pmd-rxq-affinity`) or when a core is overloaded
//! (`pmd-auto-lb`) queues are assigned anew and those that belong elsewhere move.
//!
//! # How (as Open vSwitch documents it, "PMD Threads", "Automatic assignment of Port/Rx Queue")
//! Pinned queues (`pmd-rxq-affinity`) go where they are pinned, and their cores are kept for them unless
//! `pmd-rxq-isolate` is false. The others, by `pmd-rxq-assign`:
//! - `cycles`: those that took most first, to the cores up and then down again;
//! - `group`: those that took most first, each to the core that has least by then;
//! - `roundrobin`: in their order, one after another.
//!
//! Where pins leave no core over, the others share all cores: no queue is ever left unpolled (Open vSwitch leaves
//! it so).
//!
//! # How a queue moves
//! The core that has it polls it no more, and gives it back when all that it brought is answered and with the
//! devices ([`crate::pmd`]); the control core hands it to the other one. Frames that come meanwhile wait in the
//! device's ring. So none is lost, none
//! doubled, and none overtakes another, but for those that wait for the control core to answer them and those that
//! leave by another transmit queue of the device, as with Open vSwitch.

mod balance;

pub(crate) use balance::Balance;

use alloc::vec::Vec;
use datapath::PortNo;

/// `pmd-rxq-assign`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Assign {
    #[default]
    Cycles,
    RoundRobin,
    Group,
}

impl Assign {
    const ALL: [(Self, &str); 3] =
        [(Self::Cycles, "cycles"), (Self::RoundRobin, "roundrobin"), (Self::Group, "group")];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(assign, _)| *assign == self).map_or("", |(_, name)| name)
    }
}

/// What placement is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlacementConfig {
    pub(crate) assign: Assign,
    /// `pmd-rxq-isolate`: cores with pinned queues poll no others.
    pub(crate) isolates: bool,
    /// `pmd-auto-lb`.
    pub(crate) is_auto: bool,
    /// `pmd-auto-lb-rebal-interval`, in minutes; 0 is 1.
    pub(crate) interval_min: u32,
    /// `pmd-auto-lb-load-threshold`: a core that is so busy is overloaded, in percent.
    pub(crate) load_threshold: u32,
    /// `pmd-auto-lb-improvement-threshold`: by how much the variance of the loads must sink, in percent.
    pub(crate) improvement_threshold: u32,
}

impl Default for PlacementConfig {
    fn default() -> Self {
        Self {
            assign: Assign::Cycles,
            isolates: true,
            is_auto: false,
            interval_min: 1,
            load_threshold: 95,
            improvement_threshold: 25,
        }
    }
}

impl PlacementConfig {
    /// The keys, each with what is expected of its value.
    pub(crate) const KEYS: [(&'static str, &'static str); 6] = [
        ("pmd-rxq-assign", "cycles, roundrobin or group"),
        ("pmd-rxq-isolate", "true or false"),
        ("pmd-auto-lb", "true or false"),
        ("pmd-auto-lb-rebal-interval", "a number of minutes from 0 to 20000"),
        ("pmd-auto-lb-load-threshold", "a number of percent from 0 to 100"),
        ("pmd-auto-lb-improvement-threshold", "a number of percent from 0 to 100"),
    ];

    /// Sets `key`; `None` if it has no such value. Nothing has changed then.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Option<()> {
        let number = |most: u32| value.parse().ok().filter(|n| *n <= most);
        match key {
            "pmd-rxq-assign" => {
                self.assign = Assign::ALL.iter().find(|(_, name)| *name == value)?.0;
            }
            "pmd-rxq-isolate" => self.isolates = value.parse().ok()?,
            "pmd-auto-lb" => self.is_auto = value.parse().ok()?,
            "pmd-auto-lb-rebal-interval" => self.interval_min = number(20_000)?,
            "pmd-auto-lb-load-threshold" => self.load_threshold = number(100)?,
            "pmd-auto-lb-improvement-threshold" => self.improvement_threshold = number(100)?,
            _ => return None,
        }
        Some(())
    }
}

/// A receive queue, as placement sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queue {
    pub(crate) port: PortNo,
    pub(crate) number: usize,
    /// The core that it is pinned to.
    pub(crate) pin: Option<usize>,
    /// What it took lately.
    pub(crate) cycles: u64,
}

/// Who polls what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The core of each queue.
    pub(crate) cores: Vec<usize>,
    /// Whether a core is kept for the queues that are pinned to it.
    pub(crate) is_isolated: Vec<bool>,
}

/// Which cores are kept for what is pinned to them.
pub(crate) fn isolated(queues: &[Queue], n_cores: usize, config: &PlacementConfig) -> Vec<bool> {
    let is_pinned = |core| config.isolates && queues.iter().any(|queue| queue.pin == Some(core));
    (0..n_cores).map(is_pinned).collect()
}

/// Assigns `queues` to `n_cores` cores.
pub(crate) fn assign(queues: &[Queue], n_cores: usize, config: &PlacementConfig) -> Assignment {
    let is_isolated = isolated(queues, n_cores, config);
    let mut open: Vec<usize> =
        (0..n_cores).filter(|core| is_isolated.get(*core) != Some(&true)).collect();
    if open.is_empty() {
        open = (0..n_cores).collect();
    }
    let mut cores = alloc::vec![0; queues.len()];
    // What a core has by now: cycles, and queues.
    let mut has = alloc::vec![(0_u64, 0_usize); n_cores];
    let mut place = |k: usize, core: usize, has: &mut Vec<(u64, usize)>| {
        if let (Some(at), Some((cycles, n)), Some(queue)) =
            (cores.get_mut(k), has.get_mut(core), queues.get(k))
        {
            *at = core;
            *cycles = cycles.saturating_add(queue.cycles);
            *n += 1;
        }
    };
    let pin = |queue: &Queue| queue.pin.filter(|core| *core < n_cores);
    for (k, core) in queues.iter().enumerate().filter_map(|(k, queue)| Some((k, pin(queue)?))) {
        place(k, core, &mut has);
    }
    let mut others: Vec<(usize, u64)> = queues
        .iter()
        .enumerate()
        .filter(|(_, queue)| pin(queue).is_none())
        .map(|(k, queue)| (k, queue.cycles))
        .collect();
    if config.assign != Assign::RoundRobin {
        crate::order::sort(&mut others, |(_, a), (_, b)| b.cmp(a));
    }
    let n = open.len().max(1);
    for (turn, (k, cycles)) in others.into_iter().enumerate() {
        let step = turn % n;
        let is_downwards = config.assign == Assign::Cycles && turn / n % 2 == 1;
        let least = |core: &&usize| {
            let (of_core, n) = has.get(**core).copied().unwrap_or_default();
            // A queue that took nothing goes where there are few.
            if cycles == 0 { (n as u64, 0) } else { (of_core, n) }
        };
        let core = match config.assign {
            Assign::Group => open.iter().min_by_key(least),
            _ => open.get(if is_downwards { n - 1 - step } else { step }),
        };
        place(k, core.copied().unwrap_or(0), &mut has);
    }
    Assignment { cores, is_isolated }
}

/// By how much an assignment is better than another, in percent of the variance that the loads of the cores that are
/// not isolated have now.
pub(crate) fn improvement(queues: &[Queue], now: &[usize], then: &Assignment) -> u32 {
    let (before, after) = (
        variance(queues, now, &then.is_isolated),
        variance(queues, &then.cores, &then.is_isolated),
    );
    let gained = before.saturating_sub(after);
    let percent = match gained.checked_mul(100) {
        Some(hundred) => hundred.checked_div(before),
        None => gained.checked_div(before / 100),
    };
    percent.and_then(|percent| u32::try_from(percent).ok()).unwrap_or(0).min(100)
}

fn variance(queues: &[Queue], cores: &[usize], is_isolated: &[bool]) -> u128 {
    let load = |core: usize| -> u128 {
        let of_core = queues.iter().zip(cores).filter(|(_, at)| **at == core);
        of_core.map(|(queue, _)| u128::from(queue.cycles)).sum()
    };
    let counted = is_isolated.iter().enumerate().filter(|(_, is)| !**is);
    let loads: Vec<u128> = counted.map(|(core, _)| load(core)).collect();
    let n = loads.len().max(1) as u128;
    let mean = loads.iter().sum::<u128>() / n;
    let squares = loads.iter().map(|load| {
        let off = load.abs_diff(mean);
        off.saturating_mul(off)
    });
    squares.fold(0_u128, u128::saturating_add) / n
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(of: &[(u64, Option<usize>)]) -> Vec<Queue> {
        let queue = |(k, &(cycles, pin)): (usize, &(u64, Option<usize>))| {
            let port = PortNo(u32::try_from(k).unwrap());
            Queue { port, number: 0, pin, cycles }
        };
        of.iter().enumerate().map(queue).collect()
    }

    /// The cores of queues that took `cycles` under a setting.
    fn check(assign_by: &str, n_cores: usize, of: &[(u64, Option<usize>)], cores: &[usize]) {
        let mut config = PlacementConfig::default();
        for setting in assign_by.split(' ') {
            let (key, value) = setting.split_once('=').unwrap_or(("pmd-rxq-assign", setting));
            config.set(key, value).expect(setting);
        }
        assert_eq!(assign(&queues(of), n_cores, &config).cores, cores, "{assign_by} {of:?}");
    }

    #[test]
    fn queues_go_by_what_they_took() {
        let free = |cycles: [u64; 6]| cycles.map(|n| (n, None));
        check("cycles", 2, &free([10, 60, 30, 40, 20, 50]), &[1, 0, 0, 1, 0, 1]);
        check("group", 2, &free([10, 60, 30, 40, 20, 50]), &[1, 0, 0, 1, 0, 1]);
        check("group", 2, &free([100, 1, 1, 1, 1, 1]), &[0, 1, 1, 1, 1, 1]);
        check("cycles", 2, &free([100, 1, 1, 1, 1, 1]), &[0, 1, 1, 0, 0, 1]);
        check("roundrobin", 2, &free([100, 1, 1, 1, 1, 1]), &[0, 1, 0, 1, 0, 1]);
        check("roundrobin", 4, &free([100, 1, 1, 1, 1, 1]), &[0, 1, 2, 3, 0, 1]);
        check("cycles", 3, &free([6, 5, 4, 3, 2, 1]), &[0, 1, 2, 2, 1, 0]);
        check("group", 2, &free([0; 6]), &[0, 1, 0, 1, 0, 1]);
        check("cycles", 1, &free([3; 6]), &[0; 6]);
        check("cycles", 2, &[], &[]);
    }

    #[test]
    fn pinned_queues_stay_and_keep_their_cores_for_themselves() {
        let of = [(50, Some(1)), (10, None), (20, None), (1, Some(9))];
        check("cycles", 3, &of, &[1, 2, 0, 2]);
        check("cycles pmd-rxq-isolate=false", 3, &of, &[1, 1, 0, 2]);
        check("group pmd-rxq-isolate=false", 3, &of, &[1, 2, 0, 2]);
        // No core is left over: they share.
        check("cycles", 2, &[(5, Some(0)), (5, Some(1)), (7, None), (6, None)], &[0, 1, 0, 1]);
    }

    #[test]
    fn an_assignment_is_judged_by_the_variance_of_loads() {
        let queues = queues(&[(40, None), (40, None), (10, None), (10, None)]);
        let config = PlacementConfig::default();
        let then = assign(&queues, 2, &config);
        assert_eq!(improvement(&queues, &[0, 0, 1, 1], &then), 100);
        assert_eq!(improvement(&queues, &then.cores, &then), 0);
        assert_eq!(improvement(&queues, &[0, 1, 1, 0], &then), 0, "as good as it gets");
        let idle = self::queues(&[(0, None), (0, None)]);
        assert_eq!(improvement(&idle, &[0, 0], &assign(&idle, 2, &config)), 0);
        let most = self::queues(&[(u64::MAX, None), (u64::MAX, None)]);
        assert_eq!(improvement(&most, &[0, 0], &assign(&most, 2, &config)), 100);
    }

    #[test]
    fn settings_are_set_or_refused() {
        let mut config = PlacementConfig::default();
        for (key, value) in [
            ("pmd-rxq-assign", "fast"),
            ("pmd-rxq-isolate", "1"),
            ("pmd-auto-lb-rebal-interval", "20001"),
            ("pmd-auto-lb-load-threshold", "101"),
            ("pmd-auto-lb-improvement-threshold", "-1"),
            ("pmd-auto", "true"),
        ] {
            assert_eq!(config.set(key, value), None, "{key}={value}");
        }
        assert_eq!(config, PlacementConfig::default());
        assert_eq!(config.set("pmd-auto-lb", "true"), Some(()));
        assert!(config.is_auto);
    }
}

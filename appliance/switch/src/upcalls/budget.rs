//! What a core may spend on translations, port by port; see [`super`].

use super::bucket::{Bucket, Pace};
use super::{UpcallConfig, UpcallMode};
use alloc::vec::Vec;
use datapath::PortNo;
use ofproto::Declined;
use sync::time::Nanos;

/// Why a core does not answer a miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The port's budget is used up.
    Budget,
    /// The translator declines.
    Declined(Declined),
}

/// One core's budget.
#[derive(Debug)]
pub(crate) struct Budget {
    config: UpcallConfig,
    pace: Pace,
    /// By number; those of the ports that were asked for.
    ports: Vec<PortBudget>,
    round: u64,
    /// Ports whose queues this core polls.
    n_ports: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct PortBudget {
    bucket: Bucket,
    /// The round that `n_used` is about.
    round: u64,
    n_used: u32,
}

impl Budget {
    pub(crate) fn new(config: UpcallConfig) -> Self {
        let pace = Pace::new(config.rate, config.burst);
        Self { config, pace, ports: Vec::new(), round: 0, n_ports: 1 }
    }

    pub(crate) fn configure(&mut self, config: UpcallConfig) {
        self.config = config;
        self.set_ports(self.n_ports);
    }

    /// The core polls so many ports, `port` being one: they share its rate.
    pub(crate) fn set_ports(&mut self, n_ports: u32) {
        self.n_ports = n_ports.max(1);
        let rate = self.config.rate.min(self.config.core_rate / self.n_ports);
        self.pace = Pace::new(rate, self.config.burst);
    }

    /// Makes room for the budget of `port`.
    pub(crate) fn add_port(&mut self, port: PortNo) {
        let len = port.0 as usize + 1;
        if port <= PortNo::MAX && self.ports.len() < len {
            self.ports.resize(len, PortBudget::default());
        }
    }

    /// Another round begins.
    pub(crate) fn next_round(&mut self) {
        self.round += 1;
    }

    /// Takes one translation for `port`.
    pub(crate) fn take(&mut self, port: PortNo, now: Nanos) -> bool {
        let has_one = self.has_one(port, now);
        if has_one && let Some(budget) = self.ports.get_mut(port.0 as usize) {
            budget.bucket.take(self.pace, now);
            budget.n_used += 1;
        }
        has_one
    }

    /// Whether there is a translation to take for `port`.
    pub(crate) fn has_one(&mut self, port: PortNo, now: Nanos) -> bool {
        if self.config.mode != UpcallMode::Budget {
            return true;
        }
        let Some(budget) = self.ports.get_mut(port.0 as usize) else {
            return false;
        };
        if budget.round != self.round {
            (budget.round, budget.n_used) = (self.round, 0);
        }
        budget.n_used < self.config.per_burst && budget.bucket.has_token(self.pace, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Nanos = Nanos::from_secs(1);

    fn take_all(budget: &mut Budget, port: u32, now: Nanos) -> usize {
        (0..10_000).take_while(|_| budget.take(PortNo(port), now)).count()
    }

    #[test]
    fn a_port_is_bounded_in_a_round_and_over_time_and_by_itself() {
        let config = UpcallConfig { rate: 1_000, burst: 20, per_burst: 8, ..Default::default() };
        let mut budget = Budget::new(config);
        (1..=2).for_each(|port| budget.add_port(PortNo(port)));
        let mut rounds = |port, now| {
            budget.next_round();
            take_all(&mut budget, port, now)
        };
        assert_eq!([rounds(1, NOW), rounds(1, NOW), rounds(1, NOW), rounds(1, NOW)], [8, 8, 4, 0]);
        assert_eq!(rounds(2, NOW), 8, "another port does not notice");
        assert_eq!(rounds(1, NOW + Nanos::from_millis(3)), 3);
        assert_eq!(rounds(9, NOW), 0, "an unknown port has none");
    }

    #[test]
    fn the_ports_of_a_core_share_its_rate_and_without_budget_there_is_none() {
        let config = UpcallConfig { rate: 1_000, core_rate: 2_000, burst: 1, ..Default::default() };
        let mut budget = Budget::new(config);
        budget.add_port(PortNo(1));
        budget.set_ports(4);
        let per_second = |budget: &mut Budget, from: Nanos| {
            let step = |k: u64| {
                budget.next_round();
                take_all(budget, 1, from + Nanos::from_micros(100 * k))
            };
            (0..10_000).map(step).sum::<usize>()
        };
        assert_eq!(per_second(&mut budget, NOW), 500);
        budget.configure(UpcallConfig { mode: UpcallMode::Callback, ..config });
        assert_eq!(take_all(&mut budget, 1, NOW), 10_000);
    }
}

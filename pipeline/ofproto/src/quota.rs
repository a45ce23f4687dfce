//! How many flows are cached, of which ports, and who may have more.
//!
//! # Why shares
//! There is one flow limit, and each port can cause flows: a port that meets a new flow with each
//! packet would take all of it, and the other ports' new flows would be handled packet by packet. So
//! a port may have [`EAGERNESS`] times as many flows as there is still room for. Alone, a port gets
//! 8/9 of the limit; `n` greedy ones get as much each as leaves a ninth of that; and a port with few
//! flows always finds room. (These are the dynamic thresholds that switches use to share packet memory:
//! Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998.)
//!
//! When there are more flows than the limit all the same, because the limit has fallen, flows go before
//! their time (ovs-facts E6), but not those of a port that has no more than an even share of the limit
//! ([`FlowQuota::is_modest`]): there is another that has more.
//!
//! # Concurrency
//! Written by the control core alone, whenever a ukey comes or goes; read by the cores that
//! translate. They may see a count of a moment ago, and so exceed a share by the conclusions that are
//! under way to the control core. Where there is much room a core asks for some flows at once
//! ([`Allowance`]): a line that another core writes all the time is a hundred cycles away.

use datapath::PortNo;
use sync::counter::Gauge;

/// A port may have so many flows for each flow that there is still room for.
const EAGERNESS: u64 = 8;
/// Ports whose numbers agree modulo this share a count.
const BUCKETS: usize = 256;

/// The counts; see the module.
#[derive(Debug)]
pub struct FlowQuota {
    limit: Gauge,
    total: Gauge,
    /// Counts that are not zero.
    n_ports: Gauge,
    by_port: [Gauge; BUCKETS],
}

impl FlowQuota {
    pub(crate) fn new(limit: usize) -> Self {
        let by_port = [const { Gauge::new(0) }; BUCKETS];
        let limit = Gauge::new(limit as u64);
        Self { limit, total: Gauge::new(0), n_ports: Gauge::new(0), by_port }
    }

    /// Cached flows above which nothing more is installed.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit.get()
    }

    /// All cached flows.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.get()
    }

    /// The cached flows of packets that come from `port`.
    #[must_use]
    pub fn of(&self, port: PortNo) -> u64 {
        self.bucket(port).get()
    }

    /// Whether another flow of `port` may be cached, while `n_coming` conclusions are under way.
    #[must_use]
    pub fn may_install(&self, port: PortNo, n_coming: u64) -> bool {
        self.room_of(port, n_coming) > 0
    }

    /// How many more flows of `port` may be cached, one after the other, if nobody else adds any.
    pub(crate) fn room_of(&self, port: PortNo, n_coming: u64) -> u64 {
        let room = self.limit().saturating_sub(self.total().saturating_add(n_coming));
        // Each one takes room, and adds to the port's.
        let share = room.saturating_mul(EAGERNESS).saturating_sub(self.of(port));
        share.div_ceil(EAGERNESS + 1).min(room)
    }

    /// Whether `port` has no more cached flows than an even share of the limit.
    #[must_use]
    pub fn is_modest(&self, port: PortNo) -> bool {
        self.of(port).saturating_mul(self.n_ports.get()) <= self.limit()
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.set(limit as u64);
    }

    pub(crate) fn add(&self, port: PortNo) {
        self.total.set(self.total.get() + 1);
        let n = self.of(port);
        self.n_ports.set(self.n_ports.get() + u64::from(n == 0));
        self.bucket(port).set(n + 1);
    }

    pub(crate) fn sub(&self, port: PortNo) {
        self.total.set(self.total.get().saturating_sub(1));
        let n = self.of(port);
        self.n_ports.set(self.n_ports.get().saturating_sub(u64::from(n == 1)));
        self.bucket(port).set(n.saturating_sub(1));
    }

    fn bucket(&self, port: PortNo) -> &Gauge {
        #[expect(clippy::indexing_slicing, reason = "a remainder is below its divisor")]
        &self.by_port[port.0 as usize % BUCKETS]
    }
}

/// Flows that a core may install before it looks at the counts again.
#[derive(Debug)]
pub(crate) struct Allowance {
    port: PortNo,
    n: u64,
}

/// The most of them.
const MAX_ALLOWANCE: u64 = 32;
/// A core asks for no more than one of so many flows that there is room for: what all cores have been allowed
/// is little beside that.
const ALLOW_ONE_IN: u64 = 128;

impl Allowance {
    pub(crate) const NONE: Self = Self { port: PortNo::NONE, n: 0 };

    /// Whether a flow of `port` may be installed, while `n_coming` conclusions are under way.
    pub(crate) fn take(
        &mut self,
        quota: &FlowQuota,
        port: PortNo,
        n_coming: impl FnOnce() -> u64,
    ) -> bool {
        if self.n > 0 && self.port == port {
            self.n -= 1;
            return true;
        }
        let room = quota.room_of(port, n_coming());
        *self = Self { port, n: (room / ALLOW_ONE_IN).min(MAX_ALLOWANCE) };
        room > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ports take turns in asking for a flow until nobody gets one.
    fn fill(quota: &FlowQuota, ports: &[u32]) {
        loop {
            let before = quota.total();
            for &port in ports {
                if quota.may_install(PortNo(port), 0) {
                    quota.add(PortNo(port));
                }
            }
            if quota.total() == before {
                return;
            }
        }
    }

    #[test]
    fn greedy_ports_share_and_leave_room() {
        for (ports, each) in [(&[1][..], 8_000), (&[1, 2], 4_235), (&[1, 2, 3, 4], 2_181)] {
            let quota = FlowQuota::new(9_000);
            fill(&quota, ports);
            let counts: Vec<u64> = ports.iter().map(|port| quota.of(PortNo(*port))).collect();
            let near = |n: &u64| n.abs_diff(each) <= 8;
            assert!(counts.iter().all(near), "{counts:?}, not {each}");
            assert!(quota.may_install(PortNo(9), 0), "a modest port finds room");
        }
    }

    #[test]
    fn beyond_the_limit_some_port_is_not_modest() {
        let quota = FlowQuota::new(100);
        (0..150).for_each(|_| quota.add(PortNo(1)));
        (0..50).for_each(|_| quota.add(PortNo(2)));
        assert!(!quota.is_modest(PortNo(1)));
        assert!(quota.is_modest(PortNo(2)) && quota.is_modest(PortNo(3)));
        quota.add(PortNo(3));
        assert!(!quota.is_modest(PortNo(2)), "three share it now");
        quota.sub(PortNo(3));
        assert!(quota.is_modest(PortNo(2)));
        (0..50).for_each(|_| quota.sub(PortNo(2)));
        (0..50).for_each(|_| quota.sub(PortNo(1)));
        assert!(quota.is_modest(PortNo(1)), "alone, with as many as may be");
    }

    #[test]
    fn the_limit_holds_with_what_is_under_way() {
        let quota = FlowQuota::new(10);
        (1..10).for_each(|port| quota.add(PortNo(port)));
        assert!(quota.may_install(PortNo(20), 0));
        assert!(!quota.may_install(PortNo(20), 1));
        quota.set_limit(9);
        assert!(!quota.may_install(PortNo(20), 0));
        quota.sub(PortNo(1));
        assert_eq!((quota.total(), quota.of(PortNo(1)), quota.limit()), (8, 0, 9));
        assert!(quota.may_install(PortNo(20), 0));
    }

    #[test]
    fn an_allowance_is_small_beside_the_room_and_one_port_s() {
        let quota = FlowQuota::new(9 * 1_280);
        let mut allowance = Allowance::NONE;
        let mut asked = 0;
        let mut take = |port: u32| {
            let before = asked;
            let may = allowance.take(&quota, PortNo(port), || {
                asked += 1;
                0
            });
            (may, asked > before)
        };
        // One that asks, and as many as it may then: less than a hundredth of the room.
        assert_eq!(take(1), (true, true));
        (0..32).for_each(|_| assert_eq!(take(1), (true, false)));
        assert_eq!(take(1), (true, true));
        assert_eq!(take(2), (true, true), "another port asks for itself");
        assert_eq!(take(1), (true, true));
        // Where room is scarce each one asks.
        quota.set_limit(120);
        (0..32).for_each(|_| assert_eq!(take(1), (true, false), "by what it asked for before"));
        (0..3).for_each(|_| assert_eq!(take(1), (true, true)));
        quota.set_limit(0);
        assert_eq!(take(1), (false, true));
    }

    #[test]
    fn the_room_of_a_port_is_what_it_may_install_one_by_one() {
        for (limit, own, others) in [(100, 0, 0), (100, 7, 20), (9, 8, 0), (10, 0, 10), (1, 0, 0)] {
            let quota = FlowQuota::new(limit);
            (0..own).for_each(|_| quota.add(PortNo(1)));
            (0..others).for_each(|_| quota.add(PortNo(2)));
            let room = quota.room_of(PortNo(1), 0);
            let mut n = 0;
            while quota.may_install(PortNo(1), 0) {
                quota.add(PortNo(1));
                n += 1;
            }
            assert_eq!(n, room, "{limit} {own} {others}");
        }
    }

    extern crate std;
    use std::vec::Vec;
}

//! Upcalls: which packets are answered where, and what keeps a storm of them from anybody else.
//!
//! # Where a miss is answered (ovs-facts D1 to D3)
//! - [`UpcallMode::Callback`]: on the core where it occurs. The answer is quick; a port that meets a
//!   new flow with each packet has the core translate for it alone.
//! - [`UpcallMode::Thread`]: by the control core, over a ring. Cached traffic does not notice; the
//!   answer takes longer, and has the order of the ring.
//! - [`UpcallMode::Budget`], the default: as callback, within a budget; what exceeds it goes by ring.
//!
//! # The budget
//! A core answers its misses after the burst: what was cached is on its way to the devices first.
//! Then, of each port: at most [`UpcallConfig::per_burst`] translations a round, and no more than its
//! token bucket has (rate and burst). Looking a packet up once more costs no token, so of a burst of
//! one new flow one packet is translated. All ports of a core together are kept to
//! [`UpcallConfig::core_rate`] by making the buckets slower: a translation costs a few microseconds, so
//! the default of 50,000 a second and core bounds what a storm on every port takes to something like
//! an eighth of a core's time. A port that has no token left when its burst comes in is not asked for
//! again in that burst: its misses go by ring at once, or, where its share is full too, die before an
//! upcall is made of them ([`Lane::refuses`]). What all this costs is for the account of the port
//! ([`crate::turns`]) and counts [`UpcallConfig::weight`] times there, so a storm's neighbours lose a ninth
//! of the core to it and not more, in every mode; and 20,000 a second and port is ten times what a busy host brings in
//! new flows (a 99th percentile of 7,000 flows at once, at ten seconds each).
//!
//! # The ring to the control core
//! It takes what the budget refuses, what a core declines, slow-path packets and copies for
//! controllers. A port may have as many upcalls under way as there is still room for, so a storming port
//! gets half the ring and leaves the other half (dynamic thresholds, as for cached flows:
//! [`ofproto::FlowQuota`]). Beyond that its packets are dropped, as [`DropReason::UpcallBudget`] if the
//! budget had sent them there, as [`DropReason::UpcallPortShare`] if they had to go there anyway. The control core serves the ports in turn
//! ([`service`]), so an upcall of a quiet port waits for one of each other port and not for the storm.
//!
//! # Protocols first
//! What keeps links and neighbours alive ([`protocol`]) has a ring of its own, which is emptied before
//! any other upcall is looked at, and costs no token. A port that sends more of it than any protocol
//! does is held to ordinary treatment.
//!
//! # Concurrency
//! Each polling core owns its buckets, its queue and the sending ends of its rings; the control core
//! the receiving ends. Each counter has one writer ([`counters::UpcallCounters`]).
//!
//! [`DropReason::UpcallBudget`]: datapath::DropReason::UpcallBudget
//! [`DropReason::UpcallPortShare`]: datapath::DropReason::UpcallPortShare

mod bucket;
mod budget;
mod counters;
mod lane;
mod protocol;
mod service;
mod show;

pub(crate) use budget::{Budget, NoAnswer};
pub(crate) use counters::UpcallCounters;
pub use counters::UpcallStats;
pub(crate) use lane::{CoreTotals, Lane};
pub(crate) use service::{CoreUpcalls, Service};
pub(crate) use show::show;

use core::fmt;
use core::str::FromStr;

/// Where misses are answered; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpcallMode {
    /// On the core where they occur.
    Callback,
    /// By the control core.
    Thread,
    /// On the core where they occur, within a budget.
    Budget,
}

impl fmt::Display for UpcallMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Callback => "callback",
            Self::Thread => "thread",
            Self::Budget => "budget",
        })
    }
}

/// How upcalls are answered; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpcallConfig {
    /// `upcall-mode`: where.
    pub mode: UpcallMode,
    /// `upcall-rate`: translations a second that a core does for a port in the long run.
    pub rate: u32,
    /// `upcall-burst`: translations that it does for a port at once after a pause.
    pub burst: u32,
    /// `upcall-per-burst`: translations for a port in one round.
    pub per_burst: u32,
    /// `upcall-core-rate`: translations a second that a core does for all its ports.
    pub core_rate: u32,
    /// `upcall-protocol-rate`: packets a second of a port that go before all others, on a core. A
    /// fifth of a second's worth may come at once.
    pub protocol_rate: u32,
    /// `upcall-weight`: how often a cycle counts that a core spends on frames without a cached flow, while
    /// other ports have frames.
    pub weight: u32,
}

impl Default for UpcallConfig {
    fn default() -> Self {
        Self {
            mode: UpcallMode::Budget,
            rate: 20_000,
            burst: 256,
            per_burst: 8,
            core_rate: 50_000,
            protocol_rate: 1_000,
            weight: 8,
        }
    }
}

/// Why a setting was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpcallConfigError {
    /// There is no such key.
    UnknownKey,
    /// The value is not one that the key can have.
    BadValue,
}

impl UpcallConfig {
    /// The keys that [`Self::set`] knows.
    pub const KEYS: [&'static str; 7] = [
        "upcall-mode",
        "upcall-rate",
        "upcall-burst",
        "upcall-per-burst",
        "upcall-core-rate",
        "upcall-protocol-rate",
        "upcall-weight",
    ];

    /// Sets what `key` names to what `value` says.
    ///
    /// # Errors
    /// Unknown key, or a value out of range; nothing has changed then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), UpcallConfigError> {
        let number = || u32::from_str(value).map_err(|_| UpcallConfigError::BadValue);
        let positive =
            || number().and_then(|n| if n > 0 { Ok(n) } else { Err(UpcallConfigError::BadValue) });
        match key {
            "upcall-mode" => {
                self.mode = match value {
                    "callback" => UpcallMode::Callback,
                    "thread" => UpcallMode::Thread,
                    "budget" => UpcallMode::Budget,
                    _ => return Err(UpcallConfigError::BadValue),
                }
            }
            "upcall-rate" => self.rate = number()?,
            "upcall-burst" => self.burst = positive()?,
            "upcall-per-burst" => self.per_burst = positive()?,
            "upcall-core-rate" => self.core_rate = number()?,
            "upcall-protocol-rate" => self.protocol_rate = number()?,
            "upcall-weight" => self.weight = positive()?,
            _ => return Err(UpcallConfigError::UnknownKey),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use UpcallConfigError::{BadValue, UnknownKey};
    use alloc::string::ToString;

    #[test]
    fn settings_are_set_or_refused_whole() {
        let mut config = UpcallConfig::default();
        for mode in [UpcallMode::Callback, UpcallMode::Thread, UpcallMode::Budget] {
            assert_eq!(config.set("upcall-mode", &mode.to_string()), Ok(()));
            assert_eq!(config.mode, mode);
        }
        for key in UpcallConfig::KEYS.iter().filter(|key| **key != "upcall-mode") {
            assert_eq!(config.set(key, "77"), Ok(()), "{key}");
        }
        let all = (config.rate, config.burst, config.per_burst, config.core_rate);
        assert_eq!((all, config.protocol_rate, config.weight), ((77, 77, 77, 77), 77, 77));
        let before = config;
        let refused = [
            ("upcall-mode", "fast", BadValue),
            ("upcall-rate", "-1", BadValue),
            ("upcall-rate", "4294967296", BadValue),
            ("upcall-burst", "0", BadValue),
            ("upcall-weight", "0", BadValue),
            ("upcall-per-burst", "", BadValue),
            ("upcall", "1", UnknownKey),
        ];
        for (key, value, error) in refused {
            assert_eq!(config.set(key, value), Err(error), "{key}={value}");
        }
        assert_eq!(config, before);
    }
}

//! Everything about a bridge that can be set by name, at boot and at run time.
//!
//! The names, units and defaults are Open vSwitch's (`other_config` of the tables `Open_vSwitch` and
//! `Bridge`); so are the bounds, but that OVS takes its default for a value out of bounds, and this
//! refuses it.

use crate::bridge::{Bridge, BridgeConfig, Options};
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::ops::RangeInclusive;
use sync::time::Nanos;

/// Something that can be set by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunable {
    /// `flow-limit`: the most cached flows.
    FlowLimit,
    /// `forward-bpdu`: whether frames to reserved link-local addresses are forwarded.
    ForwardBpdu,
    /// `mac-aging-time`: how long an unused MAC address is remembered.
    MacAgingTime,
    /// `mac-table-size`: the most MAC addresses.
    MacTableSize,
    /// `max-idle`: how long an unused flow stays cached.
    MaxIdle,
    /// `max-revalidator`: the longest time between two full rounds.
    MaxRevalidator,
    /// `min-revalidate-pps`: slower flows are not translated again while rounds are long.
    MinRevalidatePps,
    /// `n-revalidator-threads`: the tasks that share a round.
    NRevalidatorThreads,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number(u64, u64),
    Bool,
}

/// Why nothing was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TunableError {
    /// No such name.
    Unknown,
    /// The value does not fit; this does.
    Value {
        /// What fits, in words.
        expected: String,
    },
}

impl fmt::Display for TunableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such setting"),
            Self::Value { expected } => write!(f, "expected {expected}"),
        }
    }
}

impl core::error::Error for TunableError {}

impl Tunable {
    /// All of them, by name.
    pub const ALL: [Tunable; 8] = [
        Self::FlowLimit,
        Self::ForwardBpdu,
        Self::MacAgingTime,
        Self::MacTableSize,
        Self::MaxIdle,
        Self::MaxRevalidator,
        Self::MinRevalidatePps,
        Self::NRevalidatorThreads,
    ];

    /// Its name in `other_config`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FlowLimit => "flow-limit",
            Self::ForwardBpdu => "forward-bpdu",
            Self::MacAgingTime => "mac-aging-time",
            Self::MacTableSize => "mac-table-size",
            Self::MaxIdle => "max-idle",
            Self::MaxRevalidator => "max-revalidator",
            Self::MinRevalidatePps => "min-revalidate-pps",
            Self::NRevalidatorThreads => "n-revalidator-threads",
        }
    }

    /// The one with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tunable| tunable.name() == name)
    }

    /// What its values count.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::FlowLimit => "flows",
            Self::ForwardBpdu => "true or false",
            Self::MacAgingTime => "s",
            Self::MacTableSize => "addresses",
            Self::MaxIdle | Self::MaxRevalidator => "ms",
            Self::MinRevalidatePps => "packets/s",
            Self::NRevalidatorThreads => "tasks",
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::FlowLimit => Kind::Number(0, 4_000_000),
            Self::ForwardBpdu => Kind::Bool,
            Self::MacAgingTime => Kind::Number(1, 86_400),
            Self::MacTableSize => Kind::Number(1, 1_000_000),
            Self::MaxIdle => Kind::Number(500, DAY_MS),
            Self::MaxRevalidator => Kind::Number(100, DAY_MS),
            Self::MinRevalidatePps => Kind::Number(0, 1_000_000_000),
            Self::NRevalidatorThreads => Kind::Number(1, 512),
        }
    }

    /// The numbers that it takes; `None` if it takes true or false.
    #[must_use]
    pub const fn range(self) -> Option<RangeInclusive<u64>> {
        match self.kind() {
            Kind::Number(least, most) => Some(least..=most),
            Kind::Bool => None,
        }
    }

    /// The number that `value` spells, true being 1.
    fn parse(self, value: &str) -> Result<u64, TunableError> {
        let refused = |expected| TunableError::Value { expected };
        match self.kind() {
            Kind::Bool => match value {
                "true" => Ok(1),
                "false" => Ok(0),
                _ => Err(refused("true or false".to_string())),
            },
            Kind::Number(least, most) => {
                let number = value.parse().ok().filter(|number| (least..=most).contains(number));
                number.ok_or_else(|| {
                    refused(format!("a number of {} from {least} to {most}", self.unit()))
                })
            }
        }
    }
}

/// A day in milliseconds.
const DAY_MS: u64 = 86_400_000;

impl BridgeConfig {
    /// Sets `tunable` to what `value` spells.
    ///
    /// # Errors
    /// [`TunableError::Value`]; nothing has changed then.
    pub fn set(&mut self, tunable: Tunable, value: &str) -> Result<(), TunableError> {
        let number = tunable.parse(value)?;
        let size = usize::try_from(number).unwrap_or(usize::MAX);
        match tunable {
            Tunable::FlowLimit => self.flow_limit = size,
            Tunable::ForwardBpdu => self.forward_bpdu = number != 0,
            Tunable::MacAgingTime => self.mac_max_age = Nanos::from_secs(number),
            Tunable::MacTableSize => self.mac_table_size = size,
            Tunable::MaxIdle => self.max_idle = Nanos::from_millis(number),
            Tunable::MaxRevalidator => self.max_revalidator = Nanos::from_millis(number),
            Tunable::MinRevalidatePps => self.min_revalidate_pps = number,
            Tunable::NRevalidatorThreads => self.n_revalidator_threads = size,
        }
        Ok(())
    }

    /// The value of `tunable`, as [`set`](Self::set) takes it.
    #[must_use]
    pub fn get(&self, tunable: Tunable) -> String {
        match tunable {
            Tunable::FlowLimit => self.flow_limit.to_string(),
            Tunable::ForwardBpdu => self.forward_bpdu.to_string(),
            Tunable::MacAgingTime => self.mac_max_age.as_secs().to_string(),
            Tunable::MacTableSize => self.mac_table_size.to_string(),
            Tunable::MaxIdle => self.max_idle.as_millis().to_string(),
            Tunable::MaxRevalidator => self.max_revalidator.as_millis().to_string(),
            Tunable::MinRevalidatePps => self.min_revalidate_pps.to_string(),
            Tunable::NRevalidatorThreads => self.n_revalidator_threads.to_string(),
        }
    }
}

impl Bridge {
    /// Sets `tunable` to what `value` spells, in force from the next round or packet on.
    ///
    /// # Errors
    /// [`TunableError::Value`]; nothing has changed then.
    pub fn set(&mut self, tunable: Tunable, value: &str) -> Result<(), TunableError> {
        self.config.set(tunable, value)?;
        match tunable {
            Tunable::FlowLimit => {
                self.reval.flow_limit.set_most(self.config.flow_limit);
                self.state.quota.set_limit(self.reval.flow_limit());
            }
            Tunable::ForwardBpdu => {
                let forward_bpdu = self.config.forward_bpdu;
                self.set_options(Options { forward_bpdu, ..self.state.options });
            }
            Tunable::MacAgingTime | Tunable::MacTableSize => {
                let mut state = self.state.write();
                state.macs.set_limits(self.config.mac_table_size, self.config.mac_max_age);
                let news = state.macs.take_news();
                drop(state);
                self.changes.hear(news);
            }
            Tunable::MaxIdle
            | Tunable::MaxRevalidator
            | Tunable::MinRevalidatePps
            | Tunable::NRevalidatorThreads => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_a_default_and_bounds() {
        let defaults = [
            ("flow-limit", "200000"),
            ("forward-bpdu", "false"),
            ("mac-aging-time", "300"),
            ("mac-table-size", "8192"),
            ("max-idle", "10000"),
            ("max-revalidator", "500"),
            ("min-revalidate-pps", "5"),
            ("n-revalidator-threads", "1"),
        ];
        let mut config = BridgeConfig::default();
        assert_eq!(Tunable::ALL.map(Tunable::name), defaults.map(|(name, _)| name));
        for (name, default) in defaults {
            let tunable = Tunable::from_name(name).unwrap();
            assert_eq!(config.get(tunable), default, "{name}");
            for bad in ["", "-1", "1.5", "many", "99999999999999999999"] {
                assert!(config.set(tunable, bad).is_err(), "{name}={bad}");
            }
            let good: &[String] = &match tunable.range() {
                Some(range) => [range.start().to_string(), range.end().to_string()],
                None => ["false".to_string(), "true".to_string()],
            };
            for value in good {
                assert_eq!(config.set(tunable, value), Ok(()), "{name}={value}");
                assert_eq!(&config.get(tunable), value, "{name}");
            }
        }
        assert_eq!(Tunable::from_name("max-idl"), None);
    }

    #[test]
    fn errors_say_what_fits() {
        let mut config = BridgeConfig::default();
        let said = |result: Result<(), TunableError>| result.unwrap_err().to_string();
        assert_eq!(
            said(config.set(Tunable::MaxIdle, "499")),
            "expected a number of ms from 500 to 86400000"
        );
        assert_eq!(said(config.set(Tunable::ForwardBpdu, "yes")), "expected true or false");
    }
}

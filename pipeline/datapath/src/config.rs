//! What can be changed about a running datapath, under Open vSwitch's names where it has one.

use crate::{census, emc::EmcConfig, smc::SmcEnable, table::TableLimits};

/// The knobs of a datapath, the same for every core; travels as [`crate::Command::Configure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatapathConfig {
    /// `emc-insert-inv-prob`: where both places of the exact-match cache are taken, one packet in so
    /// many replaces an entry; 0 turns the cache off.
    pub emc_insert_inv_prob: u32,
    /// `smc-enable`: whether there is a signature cache behind it. With `auto` (ours) the core finds out
    /// whether it pays.
    pub smc_enable: SmcEnable,
    /// `max-subtables` (ours): masks of one port on one core, beyond which new ones are rounded up; see
    /// [`census`]. From 1 to [`census::MAX_LIMIT`].
    pub max_subtables: usize,
    /// `max-megaflows` (ours): megaflows that a core holds at the most, up to
    /// [`DatapathConfig::MAX_MEGAFLOWS`].
    pub max_megaflows: usize,
    /// `pmd-perf-metrics`: whether cycles are counted stage by stage.
    pub pmd_perf_metrics: bool,
    /// `pmd-sleep-max`: how long a core without work rests at once, in microseconds, up to
    /// [`DatapathConfig::MAX_SLEEP_US`]; 0 is not at all. Obeyed by whoever runs the cores' loops.
    pub pmd_sleep_max_us: u32,
}

/// Why a value was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigError {
    /// No knob of a datapath has this name.
    UnknownKey,
    /// The knob does not take this value.
    BadValue,
}

impl Default for DatapathConfig {
    fn default() -> Self {
        Self {
            emc_insert_inv_prob: EmcConfig::default().insert_inv_prob,
            smc_enable: SmcEnable::Off,
            max_subtables: census::DEFAULT_LIMIT,
            max_megaflows: TableLimits::default().flows,
            pmd_perf_metrics: false,
            pmd_sleep_max_us: Self::MAX_SLEEP_US,
        }
    }
}

impl DatapathConfig {
    /// The most megaflows that a core can be told to hold.
    pub const MAX_MEGAFLOWS: usize = 4_000_000;

    /// The longest rest that can be asked for, and the default. Open vSwitch takes 10 ms at the most and
    /// does not rest by default, as its rests last while packets wait. Here the first frame ends them.
    pub const MAX_SLEEP_US: u32 = 100_000;

    /// Every key that [`Self::set`] knows.
    pub const KEYS: [&str; 6] = [
        "emc-insert-inv-prob",
        "smc-enable",
        "max-subtables",
        "max-megaflows",
        "pmd-perf-metrics",
        "pmd-sleep-max",
    ];

    /// Turns the knob `key` to `value`, both as text in `other_config`.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let bad = ConfigError::BadValue;
        match key {
            "emc-insert-inv-prob" => {
                self.emc_insert_inv_prob = value.parse().map_err(|_| bad)?;
            }
            "smc-enable" if value == SmcEnable::Auto.name() => self.smc_enable = SmcEnable::Auto,
            "smc-enable" if boolean(value)? => self.smc_enable = SmcEnable::On,
            "smc-enable" => self.smc_enable = SmcEnable::Off,
            "max-subtables" => self.max_subtables = within(value, 1..=census::MAX_LIMIT)?,
            "max-megaflows" => self.max_megaflows = within(value, 1..=Self::MAX_MEGAFLOWS)?,
            "pmd-perf-metrics" => self.pmd_perf_metrics = boolean(value)?,
            "pmd-sleep-max" => {
                let us = value.parse().ok().filter(|us| *us <= Self::MAX_SLEEP_US);
                self.pmd_sleep_max_us = us.ok_or(bad)?;
            }
            _ => return Err(ConfigError::UnknownKey),
        }
        Ok(())
    }

    /// Turns the knob back to where it is by default.
    ///
    /// # Errors
    /// [`ConfigError::UnknownKey`].
    pub fn reset(&mut self, key: &str) -> Result<(), ConfigError> {
        let default = Self::default();
        match key {
            "emc-insert-inv-prob" => self.emc_insert_inv_prob = default.emc_insert_inv_prob,
            "smc-enable" => self.smc_enable = default.smc_enable,
            "max-subtables" => self.max_subtables = default.max_subtables,
            "max-megaflows" => self.max_megaflows = default.max_megaflows,
            "pmd-perf-metrics" => self.pmd_perf_metrics = default.pmd_perf_metrics,
            "pmd-sleep-max" => self.pmd_sleep_max_us = default.pmd_sleep_max_us,
            _ => return Err(ConfigError::UnknownKey),
        }
        Ok(())
    }

    pub(crate) fn limits(&self) -> TableLimits {
        TableLimits { flows: self.max_megaflows, masks_per_port: self.max_subtables }
    }
}

fn boolean(value: &str) -> Result<bool, ConfigError> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(ConfigError::BadValue),
    }
}

fn within(value: &str, range: core::ops::RangeInclusive<usize>) -> Result<usize, ConfigError> {
    value.parse().ok().filter(|n| range.contains(n)).ok_or(ConfigError::BadValue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knobs_turn_by_name_and_back() {
        let values = ["1", "true", "17", "1000000", "true", "10000"];
        let mut config = DatapathConfig::default();
        for (key, value) in DatapathConfig::KEYS.into_iter().zip(values) {
            assert_eq!(config.set(key, value), Ok(()), "{key}");
        }
        let expected = DatapathConfig {
            emc_insert_inv_prob: 1,
            smc_enable: SmcEnable::On,
            max_subtables: 17,
            max_megaflows: 1_000_000,
            pmd_perf_metrics: true,
            pmd_sleep_max_us: 10_000,
        };
        assert_eq!(config, expected);
        for key in DatapathConfig::KEYS {
            assert_eq!(config.set(key, "many"), Err(ConfigError::BadValue));
            assert_eq!(config.set(key, "-1"), Err(ConfigError::BadValue));
        }
        assert_eq!(config.set("max-subtables", "0"), Err(ConfigError::BadValue));
        assert_eq!(config.set("max-subtables", "257"), Err(ConfigError::BadValue));
        assert_eq!(config.set("pmd-sleep-max", "100001"), Err(ConfigError::BadValue));
        assert_eq!(config.set("flow-limit", "1"), Err(ConfigError::UnknownKey));
        assert_eq!(config, expected, "what is refused changes nothing");
        for key in DatapathConfig::KEYS {
            assert_eq!(config.reset(key), Ok(()));
        }
        assert_eq!(config, DatapathConfig::default());
    }
}

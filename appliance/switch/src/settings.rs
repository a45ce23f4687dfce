//! Everything that can be set by name, at boot (`other_config:KEY=VALUE`) and at run time
//! (`ovs-appctl uniswitch/set KEY VALUE`), in one place.
//!
//! The parts of the switch know their own settings; this finds the part that knows a key.

use crate::control::Control;
use crate::database::{DatabaseParts, parse_vsctl};
use crate::keeping;
use crate::placement::PlacementConfig;
use crate::upcalls::{UpcallConfig, UpcallConfigError};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use datapath::{Command, ConfigError, DatapathConfig, Dpif};
use ofproto::{BridgeConfig, Tunable};
use seed::BootConfig;

/// `self-check`: one in so many cache hits is translated again and compared; 0 is none.
const SELF_CHECK: &str = "self-check";

/// `userspace-tso-enable`: whether large frames are taken that their sender has not cut. It decides how memory is
/// shared out and what is agreed with devices, so it is read once, before either.
const LARGE_FRAMES: &str = "userspace-tso-enable";

/// Whether large frames are asked for ([`packet::Pool::with_large`]): by the database as far as it was read
/// ([`DatabaseParts::read`]), or by the statements that a new one begins with, or by a word of the boot.
#[must_use]
pub fn takes_large_frames(config: &BootConfig, database: &DatabaseParts) -> bool {
    if let Some(value) = database.setting(LARGE_FRAMES) {
        return value == "true";
    }
    let seed = if database.is_seasoned() { None } else { parse_vsctl(&config.vsctl).ok() };
    if let Some(value) = seed.as_ref().and_then(|seed| seed.setting(LARGE_FRAMES)) {
        return value == "true";
    }
    config.other_config.iter().any(|(key, value)| key == LARGE_FRAMES && value == "true")
}

/// Why a setting was not taken, with what to do about it.
fn refused(key: &str, value: &str, expected: &str) -> String {
    format!("{key}={value}: expected {expected}")
}

fn unknown(key: &str) -> String {
    format!("\"{key}\" is no setting (use \"uniswitch/get\" to see them all)")
}

/// What the value of a setting of upcalls or of the datapath is.
fn expected(key: &str) -> &'static str {
    match key {
        "upcall-mode" => "callback, thread or budget",
        "upcall-burst" | "upcall-per-burst" => "a number from 1 to 4294967295",
        "smc-enable" => "true, false or auto",
        "pmd-perf-metrics" | LARGE_FRAMES | keeping::KEY => "true or false",
        "max-subtables" => "a number of masks from 1 to 256",
        "max-megaflows" => "a number of megaflows from 1 to 4000000",
        "pmd-sleep-max" => "a number of us from 0 to 100000",
        _ => "a number from 0 to 4294967295",
    }
}

/// What a boot configuration says about the parts before they are made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) bridge: BridgeConfig,
    pub(crate) upcalls: UpcallConfig,
    pub(crate) datapath: DatapathConfig,
    pub(crate) self_check_one_in: u32,
    /// Whether the OpenFlow state is kept over restarts.
    pub(crate) keeps_openflow: bool,
    /// Whether large frames are taken.
    pub(crate) takes_large: bool,
    pub(crate) placement: PlacementConfig,
}

impl Settings {
    /// Sets `key`.
    ///
    /// # Errors
    /// What to do about it; nothing has changed then.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        if let Some(tunable) = Tunable::from_name(key) {
            let result = self.bridge.set(tunable, value);
            return result.map_err(|error| format!("{key}={value}: {error}"));
        }
        if key == SELF_CHECK {
            self.self_check_one_in = self_check(value)?;
            return Ok(());
        }
        let on_or_off = || value.parse().map_err(|_| refused(key, value, expected(key)));
        if key == keeping::KEY {
            self.keeps_openflow = on_or_off()?;
            return Ok(());
        }
        if key == LARGE_FRAMES {
            self.takes_large = on_or_off()?;
            return Ok(());
        }
        if let Some((_, expected)) = PlacementConfig::KEYS.iter().find(|(name, _)| *name == key) {
            let done = self.placement.set(key, value);
            return done.ok_or_else(|| refused(key, value, expected));
        }
        match self.upcalls.set(key, value) {
            Ok(()) => return Ok(()),
            Err(UpcallConfigError::BadValue) => return Err(refused(key, value, expected(key))),
            Err(UpcallConfigError::UnknownKey) => {}
        }
        match self.datapath.set(key, value) {
            Ok(()) => Ok(()),
            Err(ConfigError::BadValue) => Err(refused(key, value, expected(key))),
            Err(ConfigError::UnknownKey) => Err(unknown(key)),
        }
    }
}

fn self_check(value: &str) -> Result<u32, String> {
    let number = if value == "off" { Some(0) } else { value.parse().ok() };
    number.ok_or_else(|| refused(SELF_CHECK, value, "a number from 0 to 4294967295, or off"))
}

impl Settings {
    /// What holds in a running switch.
    fn of(control: &Control) -> Self {
        Self {
            bridge: control.template.clone(),
            upcalls: *control.upcall_config(),
            datapath: control.dpif.config(),
            self_check_one_in: control.self_check_one_in,
            keeps_openflow: control.keeping.is_on(),
            takes_large: control.pool.available_large().1 > 0,
            placement: *control.balance.config(),
        }
    }

    /// Every key with its value.
    fn all(&self) -> Vec<(&'static str, String)> {
        let Self { bridge, upcalls, datapath, self_check_one_in, keeps_openflow, .. } = self;
        let Self { takes_large, placement, .. } = self;
        let mut all: Vec<_> =
            Tunable::ALL.into_iter().map(|tunable| (tunable.name(), bridge.get(tunable))).collect();
        all.push(("upcall-mode", upcalls.mode.to_string()));
        let numbers = [
            upcalls.rate,
            upcalls.burst,
            upcalls.per_burst,
            upcalls.core_rate,
            upcalls.protocol_rate,
            upcalls.weight,
        ];
        let names = UpcallConfig::KEYS.into_iter().filter(|key| *key != "upcall-mode");
        all.extend(names.zip(numbers.map(|number| number.to_string())));
        all.extend([
            ("emc-insert-inv-prob", datapath.emc_insert_inv_prob.to_string()),
            ("smc-enable", datapath.smc_enable.name().into()),
            ("max-subtables", datapath.max_subtables.to_string()),
            ("max-megaflows", datapath.max_megaflows.to_string()),
            ("pmd-perf-metrics", datapath.pmd_perf_metrics.to_string()),
            ("pmd-sleep-max", datapath.pmd_sleep_max_us.to_string()),
            (SELF_CHECK, self_check_one_in.to_string()),
            (keeping::KEY, keeps_openflow.to_string()),
            (LARGE_FRAMES, takes_large.to_string()),
            ("pmd-rxq-assign", placement.assign.name().into()),
            ("pmd-rxq-isolate", placement.isolates.to_string()),
            ("pmd-auto-lb", placement.is_auto.to_string()),
            ("pmd-auto-lb-rebal-interval", placement.interval_min.to_string()),
            ("pmd-auto-lb-load-threshold", placement.load_threshold.to_string()),
            ("pmd-auto-lb-improvement-threshold", placement.improvement_threshold.to_string()),
        ]);
        crate::order::sort(&mut all, Ord::cmp);
        all
    }
}

/// Every key with its value.
pub(crate) fn all(control: &Control) -> Vec<(&'static str, String)> {
    Settings::of(control).all()
}

/// The value that `key` has where nobody says anything, if there is such a setting.
pub(crate) fn default_of(key: &str) -> Option<String> {
    let all = Settings::default().all();
    all.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// The value of `key`.
///
/// # Errors
/// There is no such setting.
pub(crate) fn get(control: &Control, key: &str) -> Result<String, String> {
    let found = all(control).into_iter().find(|(name, _)| *name == key);
    found.map(|(_, value)| value).ok_or_else(|| unknown(key))
}

/// Sets `key` on a running switch.
///
/// # Errors
/// What to do about it; nothing has changed then.
pub(crate) fn set(control: &mut Control, key: &str, value: &str) -> Result<(), String> {
    if let Some(tunable) = Tunable::from_name(key) {
        let refused = |error| format!("{key}={value}: {error}");
        control.template.set(tunable, value).map_err(refused)?;
        for member in control.bridges.iter_mut() {
            member.bridge.set(tunable, value).map_err(refused)?;
        }
        return Ok(());
    }
    let mut settings = Settings::of(control);
    let takes_large = settings.takes_large;
    settings.set(key, value)?;
    if settings.takes_large != takes_large {
        return Err(format!(
            "{key}={value}: acts at the next boot, if the database on a disk or the boot word other_config:{key}={value} says so"
        ));
    }
    if settings.upcalls != *control.upcall_config() {
        control.set_upcall_config(settings.upcalls);
    }
    if settings.datapath != control.dpif.config() {
        control.dpif.configure(&settings.datapath);
    }
    control.keeping.set(settings.keeps_openflow);
    control.balance.configure(settings.placement);
    if settings.self_check_one_in != control.self_check_one_in {
        control.self_check_one_in = settings.self_check_one_in;
        control.dpif.broadcast(|| Command::SetSampling(settings.self_check_one_in));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_the_part_that_knows_it() {
        let mut settings = Settings::default();
        let good = [
            ("max-idle", "20000"),
            ("n-revalidator-threads", "3"),
            ("upcall-mode", "thread"),
            ("smc-enable", "true"),
            ("emc-insert-inv-prob", "1"),
            ("self-check", "100"),
            ("userspace-tso-enable", "true"),
        ];
        for (key, value) in good {
            assert_eq!(settings.set(key, value), Ok(()), "{key}={value}");
        }
        assert_eq!(settings.bridge.get(Tunable::MaxIdle), "20000");
        assert_eq!(settings.upcalls.mode, crate::upcalls::UpcallMode::Thread);
        assert_eq!(settings.datapath.smc_enable, datapath::SmcEnable::On);
        assert_eq!(settings.self_check_one_in, 100);
        assert_eq!(settings.set("self-check", "off"), Ok(()));
        assert_eq!(settings.self_check_one_in, 0);
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let mut settings = Settings::default();
        let cases = [
            ("max-idle", "1", "max-idle=1: expected a number of ms from 500 to 86400000"),
            ("upcall-mode", "x", "upcall-mode=x: expected callback, thread or budget"),
            ("upcall-burst", "0", "upcall-burst=0: expected a number from 1 to 4294967295"),
            ("smc-enable", "1", "smc-enable=1: expected true, false or auto"),
            ("userspace-tso-enable", "1", "userspace-tso-enable=1: expected true or false"),
            (
                "self-check",
                "often",
                "self-check=often: expected a number from 0 to 4294967295, or off",
            ),
            ("idle", "1", "\"idle\" is no setting (use \"uniswitch/get\" to see them all)"),
        ];
        for (key, value, said) in cases {
            assert_eq!(settings.set(key, value), Err(said.to_string()), "{key}={value}");
        }
        let bounds = [
            ("max-subtables", "1", "256", "0"),
            ("max-megaflows", "1", "4000000", "0"),
            ("pmd-sleep-max", "0", "100000", "100001"),
        ];
        for (key, least, most, beyond) in bounds {
            assert_eq!(settings.set(key, least), Ok(()), "{key}");
            assert_eq!(settings.set(key, most), Ok(()), "{key}");
            let text = settings.set(key, beyond).unwrap_err();
            assert!(text.ends_with(&format!("from {least} to {most}")), "{text}");
        }
    }
}

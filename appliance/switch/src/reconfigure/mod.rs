//! A running switch becomes another: [`Control::reconfigure`] takes the whole wanted state, changes what
//! differs, and leaves alone what does not; [`Control::status`] says what became of it.

mod status;

use crate::control::Control;
use crate::settings;
use agent::bridge_config::{Applied, BridgeWanted, Wanted};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use ofproto::Tunable;
use sync::time::Nanos;

/// The state that is wanted, and what of it was refused.
#[derive(Debug, Default)]
pub(crate) struct Intent {
    pub(crate) wanted: Wanted,
    pub(crate) refused: Vec<(String, String)>,
}

impl Control {
    /// From now on the switch is to be like this. What can be done at once is done; the rest follows
    /// in the next rounds ([`Applied::is_settled`]).
    pub fn reconfigure(&mut self, wanted: Wanted, now: Nanos) {
        self.intent.refused.clear();
        for (key, value) in &wanted.other_config {
            if let Err(why) = settings::set(self, key, value) {
                self.intent.refused.push((key.clone(), why));
            }
        }
        if let Some(bridge) = wanted.bridges.iter().find(|b| b.name == self.bridge.name()) {
            self.tune(bridge);
        }
        let _ = now;
        self.intent.wanted = wanted;
    }

    /// What became of the wanted state, and how it fares.
    pub fn status(&self, now: Nanos) -> Applied {
        status::applied(self, now)
    }

    fn tune(&mut self, wanted: &BridgeWanted) {
        let age = wanted.mac_aging_time_s.unwrap_or(300).clamp(15, 3600);
        let size = wanted.mac_table_size.unwrap_or(8192).clamp(10, 1_000_000);
        let values = [
            (Tunable::MacAgingTime, age.to_string()),
            (Tunable::MacTableSize, size.to_string()),
            (Tunable::ForwardBpdu, wanted.forward_bpdu.to_string()),
        ];
        for (tunable, value) in values {
            if self.bridge.config().get(tunable) != value
                && let Err(why) = self.bridge.set(tunable, &value)
            {
                self.intent.refused.push((tunable.name().to_string(), why.to_string()));
            }
        }
    }
}

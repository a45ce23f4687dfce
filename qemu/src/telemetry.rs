//! What the image tells about itself once a second: the answer of method `uniswitch/telemetry`.
//!
//! Every key may be missing: an image of another version is shown as far as it is understood. A NIC that is in
//! no bridge has neither name nor number, and a machine without management none of that: these are null.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// The method of unixctl that answers with a [`Telemetry`].
pub const METHOD: &str = "uniswitch/telemetry";

/// A moment of the image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Telemetry {
    /// Version of the image.
    pub version: String,
    /// Time since entry.
    pub uptime_us: u64,
    /// How the start went.
    pub boot: BootTimes,
    /// Memory in bytes.
    pub memory: Memory,
    /// Where OpenFlow listens, in OVS's spelling.
    pub openflow: Vec<String>,
    /// The management NIC.
    #[serde(deserialize_with = "or_default")]
    pub management: Management,
    /// Ports of the bridge.
    pub ports: Vec<Port>,
    /// Sizes of tables.
    pub flows: Flows,
    /// Controllers.
    pub controllers: Vec<Controller>,
}

/// Times since the guest was entered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BootTimes {
    /// Until the cores began to poll.
    pub ready_us: Option<u64>,
    /// Until the first frame was transmitted.
    pub first_forward_us: Option<u64>,
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// All of the machine's.
    pub total: u64,
    /// In use.
    pub used: u64,
}

/// The management NIC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Management {
    /// Address and prefix.
    pub address: Option<String>,
    /// MAC.
    pub mac: Option<String>,
}

/// A port of the bridge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the counters are named as in OpenFlow 1.3.5 §A.3.5.6")]
pub struct Port {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its OpenFlow number.
    #[serde(deserialize_with = "or_default")]
    pub ofport: u32,
    /// Whether the cable is in.
    pub link: bool,
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    /// Frames dropped, by reason.
    pub drops: BTreeMap<String, u64>,
}

/// Sizes of tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flows {
    /// OpenFlow rules.
    pub rules: u64,
    /// Megaflows.
    pub megaflows: u64,
}

/// A controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Controller {
    /// Where it is.
    pub target: String,
    /// Whether it is connected.
    pub connected: bool,
    /// Its role.
    pub role: Option<String>,
}

/// What is null has its default.
fn or_default<'a, D: Deserializer<'a>, T: Default + Deserialize<'a>>(
    from: D,
) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_further_keys_are_no_matter() {
        let text = r#"{"uptime_us":7,"boot":{"ready_us":5,"first_forward_us":null},"new":1,
            "ports":[{"name":"p1","link":true,"rx_packets":3,"drops":{"no-rule":2}}]}"#;
        let told: Telemetry = serde_json::from_str(text).unwrap();
        assert_eq!(told.boot.ready_us, Some(5));
        assert_eq!(told.ports[0].rx_packets, 3);
        assert_eq!(told.ports[0].drops["no-rule"], 2);
        assert_eq!(told.ports[0].tx_bytes, 0);
        assert_eq!(serde_json::from_str::<Telemetry>("{}").unwrap(), Telemetry::default());
        let text = r#"{"management":null,"ports":[{"name":null,"ofport":null,"link":true}]}"#;
        let told: Telemetry = serde_json::from_str(text).unwrap();
        assert_eq!((told.ports[0].name.as_str(), told.ports[0].ofport), ("", 0));
        assert_eq!(told.management, Management::default());
    }
}

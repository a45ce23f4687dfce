//! The MAC table as text.

use super::{MacTable, Station};
use alloc::string::String;
use core::fmt::{self, Write as _};
use openflow::OfPort;
use sync::time::Nanos;

impl MacTable {
    /// The table as `ovs-appctl fdb/show` prints it.
    #[must_use]
    pub fn show(&self, now: Nanos) -> String {
        let mut text = String::from(" port  VLAN  MAC                Age\n");
        let mut line = |station: Station, port: OfPort, age: &dyn fmt::Display| {
            let port: &dyn fmt::Display = match port {
                OfPort::LOCAL => &"LOCAL",
                _ => &port.0,
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{port:>5}  {:4}  {}  {age:>3}", station.vlan, station.mac);
        };
        for (station, port) in self.statics() {
            line(station, port, &"static");
        }
        for (station, port, used) in self.iter() {
            line(station, port, &(now - used).as_secs());
        }
        text
    }
}

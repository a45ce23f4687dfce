//! The MAC table as text.

use super::MacTable;
use alloc::string::String;
use core::fmt::Write as _;
use openflow::OfPort;
use sync::time::Nanos;

impl MacTable {
    /// The table as `ovs-appctl fdb/show` prints it.
    #[must_use]
    pub fn show(&self, now: Nanos) -> String {
        let mut text = String::from(" port  VLAN  MAC                Age\n");
        for (station, port, used) in self.iter() {
            let mut port_text = String::new();
            // Writing to a string cannot fail.
            let _ = if port == OfPort::LOCAL {
                port_text.write_str("LOCAL")
            } else {
                write!(port_text, "{}", port.0)
            };
            let age = (now - used).as_secs();
            let _ = writeln!(text, "{port_text:>5}  {:4}  {}  {age:3}", station.vlan, station.mac);
        }
        text
    }
}

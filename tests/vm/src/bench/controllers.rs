//! Controllers of the switch, and what they have made of it.

use openflow::Version;

use super::{Bench, WAIT};
use crate::client::Client;
use crate::frame::plain;

impl Bench {
    /// A controller in the test's hands that connects to the switch.
    #[track_caller]
    pub fn client(&self, version: Version) -> Client {
        let client = Client::connect(&self.target(), version);
        client.unwrap_or_else(|why| self.fail(why.to_string()))
    }

    /// Waits until the switch's first controller is there, or gone.
    #[track_caller]
    pub fn has_controller(&self, wanted: bool) {
        self.until(if wanted { "a controller" } else { "no controller" }, |state| {
            state["controllers"][0]["connected"] == wanted
        });
    }

    /// Waits for a rule that has `part` in its text, ports by name.
    #[track_caller]
    pub fn has_rule(&self, part: &str) {
        let mut last = String::new();
        let found = self.wait_until(|| {
            last = self.ofctl(&["dump-flows", "--names", "--no-stats"]);
            last.contains(part)
        });
        if !found {
            self.fail(format!("no rule {part}: {last}"));
        }
    }

    /// Waits until `frame` comes out of a port; others that come before are passed over.
    #[track_caller]
    pub fn awaits(&self, port: usize, frame: &[u8]) {
        self.awaits_any(port, |got| got == frame);
    }

    /// Waits until a frame comes out of a port that is as wanted; others that come before are passed over.
    #[track_caller]
    pub fn awaits_any(&self, port: usize, is_so: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        loop {
            match self.arrivals(port).next(WAIT) {
                Some(got) if is_so(&got) => return got,
                Some(_) => {}
                None => self.fail(format!("waited in vain at port {port}")),
            }
        }
    }

    /// A frame from `a` behind port 1 is flooded, the answer of `b` behind port 2 and all after it go to
    /// their port alone, though each goes by way of the controller.
    #[track_caller]
    pub fn learns(&self, a: [u8; 6], b: [u8; 6]) {
        self.case("the controller learns");
        let question = plain(b, a, 60, 1);
        self.send(1, &question);
        self.awaits(2, &question);
        self.awaits(3, &question);
        let answer = plain(a, b, 60, 2);
        self.send(2, &answer);
        self.awaits(1, &answer);
        let third = plain(b, a, 60, 3);
        self.send(1, &third);
        self.awaits(2, &third);
        self.settle();
        for port in self.port_numbers() {
            let more = self.arrivals(port).take();
            if more.iter().any(|frame| frame[6..12] == a || frame[6..12] == b) {
                self.fail(format!("port {port}: more than there should be: {more:02x?}"));
            }
        }
    }
}

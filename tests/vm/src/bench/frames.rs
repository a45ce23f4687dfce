//! Frames into the switch and out of it, and the books that must close on them.

use std::fs;

use serde_json::Value;

use super::{Bench, WAIT};
use crate::port::{Arrivals, Port};

impl Bench {
    /// Puts a frame on port `port` (from 1).
    #[track_caller]
    pub fn send(&self, port: usize, frame: &[u8]) {
        let ports = self.ports.borrow();
        let Some(Some(wire)) = ports.get(port) else {
            self.fail(format!("port {port} is not the bench's"));
        };
        if let Err(why) = wire.send(frame, WAIT) {
            self.fail(format!("port {port} takes no frame: {why}"));
        }
        self.sent_besides(1);
    }

    /// Waits until every frame that was sent has met its end and whatever came out has arrived.
    ///
    /// # Panics
    /// When the switch's books do not close.
    #[track_caller]
    pub fn settle(&self) {
        let mut last = Value::Null;
        let n_sent = self.n_sent.get();
        let is_settled = self.wait_until(|| {
            last = self.telemetry();
            let n_ports = self.ports.borrow().len();
            books_close(&last["accounting"], n_sent)
                && (1..n_ports).all(|port| self.has_arrived(port, &last))
        });
        if !is_settled {
            self.fail(format!(
                "{n_sent:?} frames sent, and the books do not close: {} {}; arrived: {:?}",
                last["accounting"],
                last["ports"],
                self.port_numbers().iter().map(|&port| self.n_arrived(port)).collect::<Vec<_>>(),
            ));
        }
    }

    fn has_arrived(&self, port: usize, state: &Value) -> bool {
        let ports = self.ports.borrow();
        let said = state["ports"][port - 1]["tx_packets"].as_u64();
        ports[port].as_ref().is_none_or(|port| said == Some(port.n_before + port.arrivals.total()))
    }

    fn n_arrived(&self, port: usize) -> u64 {
        self.ports.borrow()[port].as_ref().map_or(0, |port| port.arrivals.total())
    }

    /// Waits until all is settled; then exactly these frames must have come out, on these ports, in
    /// this order on each.
    #[track_caller]
    pub fn expect(&self, expected: &[(usize, &[u8])]) {
        self.settle();
        for port in self.port_numbers() {
            let arrived = self.arrivals(port).take();
            let wanted: Vec<&[u8]> =
                expected.iter().filter(|(p, _)| *p == port).map(|(_, frame)| *frame).collect();
            if arrived != wanted {
                self.fail(format!("port {port}: expected {}, got {}", hex(&wanted), hex(&arrived)));
            }
        }
    }

    /// Waits until all is settled; then nothing must have come out.
    #[track_caller]
    pub fn expect_nothing(&self) {
        self.expect(&[]);
    }

    /// Sends `frame` on `port` and expects it unchanged on each of `out` and nowhere else.
    #[track_caller]
    pub fn forwards(&self, port: usize, frame: &[u8], out: &[usize]) {
        self.send(port, frame);
        let expected: Vec<(usize, &[u8])> = out.iter().map(|&out| (out, frame)).collect();
        self.expect(&expected);
    }

    /// What arrived on a port and was not taken yet.
    ///
    /// # Panics
    /// When the port is not the bench's.
    #[track_caller]
    pub fn arrivals(&self, port: usize) -> Arrivals {
        match self.ports.borrow().get(port) {
            Some(Some(port)) => port.arrivals.clone(),
            _ => self.fail(format!("port {port} is not the bench's")),
        }
    }

    /// Numbers of the ports on the bench.
    #[must_use]
    pub fn port_numbers(&self) -> Vec<usize> {
        let ports = self.ports.borrow();
        (1..ports.len()).filter(|&port| ports[port].is_some()).collect()
    }

    /// Takes the bench's end of a port away, socket and all. What QEMU sends there is lost.
    #[track_caller]
    pub fn unplug(&self, port: usize) {
        match self.ports.borrow_mut().get_mut(port).and_then(Option::take) {
            Some(port) => {
                fs::remove_file(&port.ours).unwrap_or_else(|why| self.fail(why.to_string()));
            }
            None => self.fail(format!("port {port} is not plugged in")),
        }
    }

    /// Puts the bench's end of a port back.
    #[track_caller]
    pub fn replug(&self, port: usize) {
        let mut new = Port::new(port, self.dir()).unwrap_or_else(|why| self.fail(why.to_string()));
        let sent = &self.telemetry()["ports"][port - 1]["tx_packets"];
        new.n_before = sent.as_u64().unwrap_or(0);
        self.ports.borrow_mut()[port] = Some(new);
    }

    /// Tells [`Self::settle`] of frames that came in by another way than [`Self::send`].
    pub fn sent_besides(&self, n: u64) {
        self.n_sent.set(self.n_sent.get().map(|n_sent| n_sent + n));
    }

    /// Tells [`Self::settle`] that nobody counts what comes in. The law of accounting holds all the same.
    pub fn others_send(&self) {
        self.n_sent.set(None);
    }
}

/// The law of accounting, on exactly `n_sent` frames where that is known.
fn books_close(books: &Value, n_sent: Option<u64>) -> bool {
    let book = |name: &str| books[name].as_u64().unwrap_or(0);
    let into = book("received") + book("originated") + book("copies");
    let out = book("transmitted") + book("dropped") + book("consumed");
    n_sent.is_none_or(|n_sent| n_sent == book("received")) && into == out
}

fn hex<T: AsRef<[u8]>>(frames: &[T]) -> String {
    let one = |frame: &T| {
        let bytes = frame.as_ref();
        let shown = bytes.iter().take(96).map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("{} bytes {shown}", bytes.len())
    };
    if frames.is_empty() {
        return String::from("nothing");
    }
    frames.iter().map(one).collect::<Vec<_>>().join(" | ")
}

//! Asking the switch how it is, on its console.

use std::thread;
use std::time::{Duration, Instant};

use qemu::unixctl::Unixctl;
use serde_json::Value;

use super::{Bench, WAIT};

/// Between two looks at a condition that has no wake-up.
const LOOK: Duration = Duration::from_millis(2);

impl Bench {
    /// Runs a command of the image's console and gives its text.
    #[track_caller]
    pub fn appctl(&self, method: &str, params: &[&str]) -> String {
        self.try_appctl(method, params).unwrap_or_else(|why| self.fail(format!("{method}: {why}")))
    }

    /// Runs a command of the image's console that may be refused.
    ///
    /// # Errors
    /// When it is refused or there is no answer; the words of either.
    pub fn try_appctl(&self, method: &str, params: &[&str]) -> Result<String, String> {
        let mut console = self.console.borrow_mut();
        let connected = match console.take() {
            Some(console) => console,
            // The first console is kept for the shutdown.
            None => {
                let running = self.running.borrow();
                let path = running.console(1).ok_or("no console")?;
                Unixctl::connect(path).map_err(|why| why.to_string())?
            }
        };
        let answer = console.insert(connected).call(method, params, WAIT);
        answer.map_err(|why| why.to_string())
    }

    /// The state of the switch as it describes itself.
    #[track_caller]
    pub fn telemetry(&self) -> Value {
        let text = self.appctl("uniswitch/telemetry", &[]);
        serde_json::from_str(&text).unwrap_or_else(|why| self.fail(format!("{why}: {text}")))
    }

    /// How many frames a port dropped for a reason.
    #[track_caller]
    pub fn drops(&self, port: usize, reason: &str) -> u64 {
        self.telemetry()["ports"][port - 1]["drops"][reason].as_u64().unwrap_or(0)
    }

    /// Waits until the telemetry is as `is_so` wants it.
    #[track_caller]
    pub fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let came = self.wait_until(|| {
            last = self.telemetry();
            is_so(&last)
        });
        if !came {
            self.fail(format!("waited in vain for {what}: {last}"));
        }
        last
    }

    /// Waits for a condition; false when it does not come.
    pub fn wait_until(&self, mut is_so: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + WAIT;
        loop {
            if is_so() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(LOOK);
        }
    }
}

//! The levelled log: `[    0.001234] cpu0 INFO  target: text` on the console.

use log::{LevelFilter, Log, Metadata, Record};

use crate::{console, cpu, time};

struct Logger;

static LOGGER: Logger = Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let now = time::now();
        console::write(format_args!(
            "[{:5}.{:06}] cpu{} {:5} {}: {}\n",
            now / 1_000_000_000,
            now % 1_000_000_000 / 1_000,
            cpu::current(),
            record.level(),
            record.target(),
            record.args(),
        ));
    }

    fn flush(&self) {
        console::flush_all();
    }
}

/// Directs crate `log` to the console.
pub fn init(level: LevelFilter) {
    // A second call finds the logger in place and only changes the level.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(level);
}

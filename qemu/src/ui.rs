//! What the launcher shows: one stream of events, as text for people or as JSON lines for scripts.

mod screen;
mod table;

use std::io::Write as _;

use qemu::telemetry::Telemetry;
use serde::Serialize;

pub(crate) use screen::Output;
use screen::Screen;
use table::Table;

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// Something worth knowing.
    Note { text: String },
    /// A step of building or installing.
    Building { what: String },
    /// The image is there.
    Built { elf: String, bytes: usize, symbols: usize },
    /// A file was written.
    Wrote { path: String, bytes: usize },
    /// The command line of QEMU, for `--print`.
    Command { line: String },
    /// QEMU runs.
    Started { machine: String, accel: String, smp: u16, memory_mib: u32, ports: Vec<PortLine> },
    /// The image answers.
    Ready { qemu_us: u64, guest_us: Option<u64>, openflow: String, ovsdb: String, appctl: String },
    /// The image transmitted its first frame, so long after it was entered.
    FirstForward { guest_us: u64 },
    /// A host pinged another.
    Ping { from: String, to: String, rtt_us: Option<u64> },
    /// A host had a UDP datagram echoed by another.
    Udp { from: String, to: String, rtt_us: Option<u64> },
    /// A host streamed to another by TCP.
    Stream { from: String, to: String, bytes: usize, elapsed_us: u64, complete: bool },
    /// A capture was replayed to its end.
    Replayed { port: String, frames: u64, lost: u64 },
    /// The ports and tables of this second.
    Telemetry(Telemetry),
    /// A line of the image's serial port.
    Serial { line: String },
    /// It is over.
    Ended { how: String },
    /// It failed.
    Error { text: String },
}

/// A port as it is shown at the start.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PortLine {
    pub(crate) name: String,
    pub(crate) behind: String,
}

/// Where events go.
#[derive(Debug)]
pub(crate) enum Ui {
    /// Lines of JSON on standard output.
    Json,
    /// Text, with a table that stays at the bottom of a terminal.
    Text(Box<TextUi>),
}

#[derive(Debug)]
pub(crate) struct TextUi {
    screen: Screen,
    table: Table,
}

impl Ui {
    pub(crate) fn new(output: Output) -> Self {
        Self::Text(Box::new(TextUi { screen: Screen::new(output), table: Table::default() }))
    }

    pub(crate) fn show(&mut self, event: &Event) {
        match self {
            Self::Json => {
                // A reader that went away is no reason to stop switching.
                if let Ok(line) = serde_json::to_string(event) {
                    let _ = writeln!(std::io::stdout(), "{line}");
                }
                if let Event::Error { text } = event {
                    let _ = writeln!(std::io::stderr(), "uniswitch: {text}");
                }
            }
            Self::Text(text) => text.show(event),
        }
    }
}

impl TextUi {
    fn show(&mut self, event: &Event) {
        match event {
            Event::Building { what } => self.screen.progress(what),
            Event::Ping { from, to, rtt_us } => self.table.ping(from, to, *rtt_us),
            Event::Udp { from, to, rtt_us } => self.table.udp(from, to, *rtt_us),
            Event::Telemetry(now) => {
                let lines = self.table.lines(now);
                self.screen.bottom(lines);
            }
            Event::Error { text } => self.screen.error(text),
            Event::Command { line } => self.screen.result(line),
            other => {
                if let Event::Built { .. } = other {
                    self.screen.bottom(Vec::new());
                }
                for line in text_of(other).lines() {
                    self.screen.line(line);
                }
            }
        }
    }
}

/// Events that are lines of text.
fn text_of(event: &Event) -> String {
    match event {
        Event::Note { text } => format!("note: {text}"),
        Event::Built { elf, bytes, symbols } => {
            format!("built {elf}: {} KiB, {symbols} functions by name", bytes / 1024)
        }
        Event::Wrote { path, bytes } => format!("wrote {path}: {} KiB", bytes / 1024),
        Event::Started { machine, accel, smp, memory_mib, ports } => {
            let cpus = if *smp == 1 { "1 vCPU".to_owned() } else { format!("{smp} vCPUs") };
            let mut text = format!("booting on {machine} ({accel}), {cpus}, {memory_mib} MiB");
            for port in ports {
                text += &format!("\n  {:4} {}", port.name, port.behind);
            }
            text
        }
        Event::Ready { qemu_us, guest_us, openflow, ovsdb, appctl } => {
            let guest = guest_us.map(|us| format!(", of that {} in the guest", millis(us)));
            format!(
                "up {} after QEMU was started{}\n\
                 OpenFlow 1.0 to 1.5 on {openflow}; in a second terminal:\n  \
                   ovs-vsctl --db={ovsdb} show\n  \
                   ovs-ofctl show {openflow}\n  \
                   ovs-appctl -t {appctl} ofproto/trace br0 in_port=1\n\
                 Ctrl-C ends it",
                millis(*qemu_us),
                guest.unwrap_or_default()
            )
        }
        Event::FirstForward { guest_us } => {
            format!("first frame forwarded {} after guest entry", millis(*guest_us))
        }
        Event::Stream { from, to, bytes, elapsed_us, complete } => {
            let kib = bytes / 1024;
            if *complete {
                #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
                let mbit_s = *bytes as f64 * 8.0 / (*elapsed_us).max(1) as f64;
                format!(
                    "TCP {from} > {to}: {kib} KiB in {}, {mbit_s:.1} Mbit/s",
                    millis(*elapsed_us)
                )
            } else {
                format!("TCP {from} > {to}: given up after {kib} KiB")
            }
        }
        Event::Replayed { port, frames, lost } => match lost {
            0 => format!("{port}: capture replayed, {frames} frames"),
            lost => format!("{port}: capture replayed, {frames} frames, {lost} could not be sent"),
        },
        Event::Serial { line } => format!("| {line}"),
        Event::Ended { how } => how.clone(),
        _ => String::new(),
    }
}

/// A time as people read it.
fn millis(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us / 100 % 10),
        _ => format!("{}.{:02} s", us / 1_000_000, us / 10_000 % 100),
    }
}

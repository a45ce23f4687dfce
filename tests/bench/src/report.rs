//! The table, for people and as JSON.

use crate::machine::Machine;
use serde_json::json;
use std::fmt;

/// Figures in the order in which they were taken.
#[derive(Debug)]
pub(crate) struct Report {
    accelerator: &'static str,
    qemu: String,
    cpu: String,
    figures: Vec<Figure>,
}

#[derive(Debug)]
struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
}

impl Report {
    pub(crate) fn new(machine: &Machine) -> Self {
        Self {
            accelerator: machine.accel.name(),
            qemu: format!("{}.{}", machine.qemu.version.major, machine.qemu.version.minor),
            cpu: cpu_model(),
            figures: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure { what: what.into(), value, unit });
    }

    pub(crate) fn to_json(&self) -> String {
        let figures: Vec<_> = self
            .figures
            .iter()
            .map(|f| json!({"what": f.what, "value": f.value, "unit": f.unit}))
            .collect();
        json!({
            "accelerator": self.accelerator, "qemu": self.qemu, "cpu": self.cpu, "figures": figures,
        })
        .to_string()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accelerator, qemu, cpu, figures } = self;
        writeln!(f, "QEMU {qemu}, accelerator {accelerator}, on {cpu}")?;
        for Figure { what, value, unit } in figures {
            writeln!(f, "  {what:<58} {value:>12.1} {unit}")?;
        }
        Ok(())
    }
}

/// The processor's name.
pub(crate) fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    line.map_or("unknown", |line| line.trim_start_matches([' ', '\t', ':'])).to_string()
}

/// The middle value.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

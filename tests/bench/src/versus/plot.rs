//! The table as a picture: a bar for each case, as long as our cycles are of theirs, with the aim as a
//! stroke across.

use super::measured::Outcome;
use std::fmt::Write;

/// Pixels from one bar to the next, and the height of a bar.
const STEP: f64 = 24.0;
const BAR: f64 = 15.0;
/// Where bars begin, how long one is that stands for a ratio of 1, and the width of all.
const LEFT: f64 = 330.0;
const UNIT: f64 = 380.0;
const WIDTH: f64 = 930.0;
const TOP: f64 = 56.0;
/// A longer bar is cut off.
const MOST: f64 = 1.2;

/// The picture as SVG. `machine` is the line below the title.
pub(super) fn svg(outcomes: &[Outcome], machine: &str) -> String {
    let height = TOP + STEP * outcomes.len() as f64 + 30.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(
        &mut out,
        (10.0, 22.0),
        "font-size=\"16\"",
        "Cycles per packet: ours over those of Open vSwitch with DPDK",
    );
    text(&mut out, (10.0, 40.0), "fill=\"#666\"", machine);
    let bottom = TOP + STEP * outcomes.len() as f64;
    for quarter in 0..=4 {
        let ratio = f64::from(quarter) / 4.0;
        let x = LEFT + ratio * UNIT;
        line(&mut out, (x, TOP), (x, bottom), "#ddd");
        text(
            &mut out,
            (x, bottom + 16.0),
            "text-anchor=\"middle\" fill=\"#666\"",
            &format!("{ratio}"),
        );
    }
    for (k, outcome) in outcomes.iter().enumerate() {
        let y = TOP + STEP * k as f64 + (STEP - BAR) / 2.0;
        let long = outcome.ratio().clamp(0.0, MOST) * UNIT;
        let is_reached = outcome.aim.is_none_or(|aim| outcome.ratio() <= aim);
        let fill = if is_reached { "#2a7f4f" } else { "#c47f17" };
        let baseline = y + BAR - 3.0;
        text(&mut out, (LEFT - 8.0, baseline), "text-anchor=\"end\"", &outcome.about);
        let _ = writeln!(
            out,
            "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{long:.1}\" height=\"{BAR}\" fill=\"{fill}\"/>"
        );
        if let Some(aim) = outcome.aim {
            let x = LEFT + aim * UNIT;
            line(&mut out, (x, y - 3.0), (x, y + BAR + 3.0), "#000");
        }
        let (ours, theirs) = (outcome.ours.0, outcome.ovs.0);
        let figures = format!("{:.2}  ({ours:.0} / {theirs:.0})", outcome.ratio());
        let x = LEFT + long.max(outcome.aim.unwrap_or(0.0) * UNIT) + 8.0;
        text(&mut out, (x, baseline), "", &figures);
    }
    out += "</svg>\n";
    out
}

fn text(out: &mut String, (x, y): (f64, f64), style: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    // Writing to a string cannot fail.
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{words}</text>");
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), stroke: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        out,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{stroke}\"/>"
    );
}

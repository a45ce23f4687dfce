//! The terminal: lines that scroll, and below them a few that are drawn over and over.
//!
//! When standard output is no terminal, everything is a line, and nothing is drawn over.

use std::io::{self, IsTerminal as _, Write as _};

/// Columns of a terminal that tells no size.
const DEFAULT_WIDTH: usize = 80;

/// Where text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Usually.
    Stdout,
    /// When standard output is for a result that another program reads.
    Stderr,
}

#[derive(Debug)]
pub(super) struct Screen {
    output: Output,
    is_terminal: bool,
    bottom: Vec<String>,
    /// Lines of `bottom` that are on the screen.
    n_drawn: usize,
}

impl Screen {
    pub(super) fn new(output: Output) -> Self {
        let is_terminal = match output {
            Output::Stdout => io::stdout().is_terminal(),
            Output::Stderr => io::stderr().is_terminal(),
        };
        Self { output, is_terminal, bottom: Vec::new(), n_drawn: 0 }
    }

    /// A line that stays.
    pub(super) fn line(&mut self, text: &str) {
        if !self.is_terminal {
            return self.put(&format!("{text}\n"));
        }
        let mut out = self.erased();
        out += &format!("{text}\n");
        out += &self.drawn();
        self.put(&out);
    }

    /// A step of something that takes a while; the next one takes its place.
    pub(super) fn progress(&mut self, text: &str) {
        if self.is_terminal {
            self.bottom(vec![text.to_owned()]);
        } else {
            self.line(text);
        }
    }

    /// The lines at the bottom, from now on.
    pub(super) fn bottom(&mut self, lines: Vec<String>) {
        if !self.is_terminal {
            return lines.iter().for_each(|line| self.line(line));
        }
        let mut out = self.erased();
        self.bottom = lines;
        out += &self.drawn();
        self.put(&out);
    }

    /// What a command was run for: alone on standard output, fit for a pipe.
    pub(super) fn result(&mut self, text: &str) {
        self.clear();
        let _ = writeln!(io::stdout(), "{text}");
    }

    /// What went wrong, on standard error.
    pub(super) fn error(&mut self, text: &str) {
        self.clear();
        let _ = writeln!(io::stderr(), "uniswitch: {text}");
    }

    fn clear(&mut self) {
        let out = self.erased();
        self.bottom.clear();
        self.put(&out);
    }

    fn erased(&mut self) -> String {
        match std::mem::take(&mut self.n_drawn) {
            0 => String::new(),
            n => format!("\x1b[{n}A\x1b[J"),
        }
    }

    /// The bottom, cut to the screen: a line that wraps would be two to erase.
    fn drawn(&mut self) -> String {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        let width = size.map_or(DEFAULT_WIDTH, |size| usize::from(size.ws_col)).max(20);
        let height = size.map_or(usize::MAX, |size| usize::from(size.ws_row)).max(5);
        let shown = &self.bottom[..self.bottom.len().min(height - 1)];
        self.n_drawn = shown.len();
        let cut = shown.iter().map(|line| line.chars().take(width - 1).chain(['\n']));
        cut.flatten().collect()
    }

    /// A reader that went away is no reason to stop.
    fn put(&self, text: &str) {
        let mut out: Box<dyn io::Write> = match self.output {
            Output::Stdout => Box::new(io::stdout()),
            Output::Stderr => Box::new(io::stderr()),
        };
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
    }
}

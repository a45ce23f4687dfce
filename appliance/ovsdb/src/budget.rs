//! How much work a step may do before the control core gets its turn again.
//!
//! Parsing a message, running a transaction, settling it and dropping what it leaves behind are cut into
//! pieces, each of which says what it costs. A unit is what looking at one row costs, some 50 ns on a
//! machine without emulation; a step ends with the first piece after which nothing is left.

use alloc::string::String;
use core::fmt;
use serde_json::Value;

/// What is left of a step.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
    spent: usize,
}

impl Budget {
    pub(crate) const fn new(units: usize) -> Self {
        Self { left: units, spent: 0 }
    }

    /// A budget that does not end, for what has to be done at once.
    pub(crate) const fn endless() -> Self {
        Self::new(usize::MAX)
    }

    /// A piece of work was done.
    pub(crate) const fn spend(&mut self, units: usize) {
        self.left = self.left.saturating_sub(units);
        self.spent = self.spent.saturating_add(units);
    }

    /// The step is over.
    pub(crate) const fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// What is left.
    pub(crate) const fn left(&self) -> usize {
        self.left
    }

    /// What the step has cost so far.
    pub(crate) const fn spent(&self) -> usize {
        self.spent
    }
}

/// Rows, or kilobytes of text, between two turns of the others.
const A_BREATH: usize = 64;

/// Gives what shares the processor its turn in work that cannot be cut: to apply a commit, to write its
/// record and what monitors are told of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Breath {
    breathe: fn(),
    n: usize,
}

impl Breath {
    pub(crate) const fn new(breathe: fn()) -> Self {
        Self { breathe, n: 0 }
    }

    /// For work that nobody waits for.
    pub(crate) const fn none() -> Self {
        Self::new(|| {})
    }

    /// A row was looked at.
    pub(crate) fn row(&mut self) {
        self.n += 1;
        if self.n.is_multiple_of(A_BREATH) {
            (self.breathe)();
        }
    }

    /// The text of a value.
    pub(crate) fn text(&mut self, value: &Value) -> String {
        struct Breathing<'a> {
            text: String,
            next: usize,
            breath: &'a Breath,
        }
        impl fmt::Write for Breathing<'_> {
            fn write_str(&mut self, piece: &str) -> fmt::Result {
                self.text.push_str(piece);
                if self.text.len() >= self.next {
                    self.next = self.text.len() + A_BREATH * 1024;
                    (self.breath.breathe)();
                }
                Ok(())
            }
        }
        let mut text = Breathing { text: String::new(), next: A_BREATH * 1024, breath: self };
        // Writing into memory does not fail.
        let _ = fmt::write(&mut text, format_args!("{value}"));
        text.text
    }
}

//! The steps of a translation as text, in the layout of `ofproto/trace`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{Arguments, Write as _};

/// What a line of a trace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// `bridge("br0")`, underlined.
    Bridge,
    /// A lookup and the rule found.
    Table,
    /// A translation that goes on after recirculation.
    Thaw,
    /// An action.
    Action,
    /// A bucket of a group.
    Bucket,
    /// What an action did.
    Detail,
    /// Something that a person should look at.
    Warn,
    /// Why the translation failed.
    Error,
}

impl NodeKind {
    /// Whether nothing below it is indented by its place in the list alone.
    fn is_terminal(self) -> bool {
        !matches!(self, NodeKind::Bridge | NodeKind::Table | NodeKind::Thaw)
    }
}

/// A line of a trace with the lines below it.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// What it says.
    pub text: String,
    /// What follows from it.
    pub subs: Vec<Node>,
}

/// Collects nodes while a translation runs; does nothing unless switched on.
#[derive(Debug)]
pub(crate) struct Reporter {
    is_on: bool,
    /// The lists that are open: the innermost last. Each but the first belongs to the last node of
    /// the one before.
    open: Vec<Vec<Node>>,
}

impl Reporter {
    pub(crate) fn new(is_on: bool) -> Self {
        // Where nothing is told, no list is needed.
        Self { is_on, open: if is_on { alloc::vec![Vec::new()] } else { Vec::new() } }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Adds a line.
    pub(crate) fn say(&mut self, kind: NodeKind, text: Arguments<'_>) {
        if !self.is_on {
            return;
        }
        let mut line = String::new();
        // Writing to a string cannot fail.
        let _ = line.write_fmt(text);
        if let Some(list) = self.open.last_mut() {
            list.push(Node { kind, text: line, subs: Vec::new() });
        }
    }

    /// Adds a line; what follows is below it until [`close`](Self::close).
    pub(crate) fn open(&mut self, kind: NodeKind, text: Arguments<'_>) {
        self.say(kind, text);
        if self.is_on {
            self.open.push(Vec::new());
        }
    }

    /// Ends what [`open`](Self::open) began.
    pub(crate) fn close(&mut self) {
        if self.open.len() > 1
            && let Some(subs) = self.open.pop()
            && let Some(node) = self.open.last_mut().and_then(|list| list.last_mut())
        {
            node.subs = subs;
        }
    }

    /// How many lists are open.
    pub(crate) fn depth(&self) -> usize {
        self.open.len()
    }

    /// Ends what was begun since there were so many lists.
    pub(crate) fn close_to(&mut self, depth: usize) {
        while self.open.len() > depth.max(1) {
            self.close();
        }
    }

    /// All lines.
    pub(crate) fn finish(&mut self) -> Vec<Node> {
        while self.open.len() > 1 {
            self.close();
        }
        self.open.pop().unwrap_or_default()
    }
}

/// Prints lines as `ofproto/trace` does: the last lookup of a list is not indented, so that a chain
/// of tables reads from top to bottom.
pub fn print(text: &mut String, nodes: &[Node]) {
    print_level(text, nodes, 0);
}

fn print_level(text: &mut String, nodes: &[Node], level: usize) {
    for (index, node) in nodes.iter().enumerate() {
        let is_last = index + 1 == nodes.len();
        let more = usize::from(!is_last || node.kind.is_terminal());
        let indent = (level + more) * 4;
        let line = &node.text;
        // Writing to a string cannot fail.
        let _ = match node.kind {
            NodeKind::Bridge => {
                let rule = "-".repeat(line.len());
                write!(text, "\n{:indent$}{line}\n{:indent$}{rule}\n", "", "")
            }
            NodeKind::Detail => writeln!(text, "{:indent$} -> {line}", ""),
            NodeKind::Warn => writeln!(text, "{:indent$} >> {line}", ""),
            NodeKind::Error => writeln!(text, "{:indent$} >>>> {line} <<<<", ""),
            NodeKind::Table | NodeKind::Thaw | NodeKind::Action | NodeKind::Bucket => {
                writeln!(text, "{:indent$}{line}", "")
            }
        };
        print_level(text, &node.subs, level + more + more);
    }
}

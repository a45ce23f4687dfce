//! The text of `ofproto/trace`, taken apart.

use crate::random::without_exthdr;

/// One pass through the tables; there is one more after each recirculation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// The flow that came in.
    pub flow: String,
    /// What became of it; the same as `flow` if it was not changed.
    pub final_flow: String,
    /// What was looked at.
    pub megaflow: String,
    /// What the datapath is to do.
    pub actions: String,
    /// Why the translation failed, if it did.
    pub error: Option<String>,
    /// Whether it hit upon three tags.
    pub has_third_tag: bool,
    /// Whether there was a `clone`.
    pub has_clone: bool,
    /// Whether it hit upon a label too many.
    pub has_fourth_label: bool,
    /// Whether a station was found where the packet came in.
    pub has_own_port: bool,
    /// Whether there was an `exit`.
    pub has_exit: bool,
}

/// The passes in a text; recirculation ids are numbered from 1 in the order in which they appear.
#[must_use]
pub fn passes(text: &str) -> Vec<Pass> {
    let mut ids = Ids::default();
    let mut passes: Vec<Pass> = Vec::new();
    for line in text.lines() {
        let line = &without_exthdr(line.trim_end());
        if let Some(flow) = line.strip_prefix("Flow: ") {
            passes.push(Pass { flow: ids.renumber(flow), ..Pass::default() });
            continue;
        }
        let Some(pass) = passes.last_mut() else { continue };
        if let Some(flow) = line.strip_prefix("Final flow: ") {
            pass.final_flow = match flow {
                "unchanged" => pass.flow.clone(),
                flow => ids.renumber(flow),
            };
        } else if let Some(megaflow) = line.strip_prefix("Megaflow: ") {
            pass.megaflow = ids.renumber(megaflow);
        } else if let Some(actions) = line.strip_prefix("Datapath actions: ") {
            pass.actions = ids.renumber(&plain(actions));
        } else if line.contains("Too many VLAN tags") {
            pass.has_third_tag = true;
        } else if line.trim_start().starts_with("clone(") {
            pass.has_clone = true;
        } else if line.contains(">> Too many MPLS labels") {
            pass.has_fourth_label = true;
        } else if line.contains("learned port is input port") {
            pass.has_own_port = true;
        } else if line.trim() == "exit" {
            pass.has_exit = true;
        }
        if let Some(error) = line.strip_prefix("Translation failed (") {
            pass.error = error.split(')').next().map(str::to_owned);
        }
    }
    passes
}

/// Recirculation ids in the order in which they appeared.
#[derive(Debug, Default)]
struct Ids(Vec<u32>);

impl Ids {
    fn renumber(&mut self, text: &str) -> String {
        let text = self.renumber_behind(text, "recirc(");
        self.renumber_behind(&text, "recirc_id=")
    }

    fn renumber_behind(&mut self, text: &str, word: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(word) {
            let (front, back) = rest.split_at(at + word.len());
            let end = back.find([',', ')']).unwrap_or(back.len());
            let (id, back) = back.split_at(end);
            let number = match id.strip_prefix("0x") {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => id.parse(),
            };
            out += front;
            out += &number.map_or(id.to_owned(), |id| self.number(id).to_string());
            rest = back;
        }
        out + rest
    }

    /// Zero means "none".
    fn number(&mut self, id: u32) -> usize {
        if id == 0 {
            return 0;
        }
        let at = self.0.iter().position(|known| *known == id);
        at.unwrap_or_else(|| {
            self.0.push(id);
            self.0.len() - 1
        }) + 1
    }
}

/// Actions without what an upcall's cookie alone tells: its number, whether somebody is connected who would hear
/// it (here it is nobody), whether it can be resumed, whether its rule was one for misses (reason 6
/// inside Open vSwitch, not on the wire).
fn plain(actions: &str) -> String {
    let actions = actions.replace("dont_send=1", "dont_send=0");
    let actions =
        actions.replace("continuation=1", "continuation=0").replace("reason=6", "reason=1");
    let mut parts = actions.split("recirc_id=");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once(',').map_or(part, |(_, rest)| rest))
}

/// The actions of a list, each with what is in its brackets.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let (mut items, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                items.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&text[start..]);
    items
}

//! Making a life that ends in a difference as short as it can be made quickly.

use super::act::{Difference, live};
use super::life::{Life, Op};

/// Lives that may be lived for it.
const ATTEMPTS: usize = 600;

/// A short life that ends in a difference as `life` does, and that difference.
pub(super) fn shrink(life: &Life, difference: Difference) -> (Life, Difference) {
    let mut best = Shrinking { life: life.clone(), difference, n_left: ATTEMPTS };
    best.cut_end();
    loop {
        let size = best.size();
        best.leave_out(|life| &mut life.ops);
        best.leave_out(|life| &mut life.rules);
        for n in 0.. {
            let Some(op) = best.life.ops.get(n) else { break };
            if matches!(op, Op::Traffic { .. } | Op::Race(..)) {
                best.leave_out(|life| frames_of(life, n));
            }
        }
        if best.size() == size || best.n_left == 0 {
            return (best.life, best.difference);
        }
    }
}

fn frames_of(life: &mut Life, op: usize) -> &mut Vec<usize> {
    match &mut life.ops[op] {
        Op::Traffic { frames, .. } | Op::Race(_, frames) => frames,
        other => unreachable!("{other:?} has no frames"),
    }
}

struct Shrinking {
    life: Life,
    difference: Difference,
    n_left: usize,
}

impl Shrinking {
    fn size(&self) -> usize {
        let frames = self.life.ops.iter().map(|op| match op {
            Op::Traffic { frames, .. } | Op::Race(_, frames) => 1 + frames.len(),
            _ => 1,
        });
        self.life.rules.len() + frames.sum::<usize>()
    }

    fn cut_end(&mut self) {
        let end = self.difference.step + 1;
        if end < self.life.ops.len() {
            self.attempt(|life| life.ops.truncate(end));
        }
    }

    /// Leaves out parts of a list: halves first, then ever smaller ones.
    fn leave_out<T>(&mut self, list: impl Fn(&mut Life) -> &mut Vec<T>) {
        let mut n = list(&mut self.life).len().div_ceil(2);
        while n > 0 {
            let mut at = 0;
            while at < list(&mut self.life).len() {
                let is_gone = self.attempt(|life| {
                    let list = list(life);
                    let end = list.len().min(at + n);
                    list.drain(at..end);
                });
                if !is_gone {
                    at += n;
                }
            }
            n = if n == 1 { 0 } else { n.div_ceil(2) };
        }
    }

    /// Keeps a change after which there is still a difference.
    fn attempt(&mut self, change: impl FnOnce(&mut Life)) -> bool {
        if self.n_left == 0 {
            return false;
        }
        self.n_left -= 1;
        let mut life = self.life.clone();
        change(&mut life);
        match live(&life) {
            Ok(_) => false,
            Err(difference) => {
                (self.life, self.difference) = (life, difference);
                true
            }
        }
    }
}

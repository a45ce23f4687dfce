//! Runs every scenario, with caches and without.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use scenarios::{Mode, read, run};

fn check(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(name);
    let text = fs::read_to_string(&file).expect("a file of cases");
    let scenarios = read(&text).unwrap_or_else(|line| panic!("{name}:{line}: out of place"));
    assert!(!scenarios.is_empty(), "{name}: no scenario");
    let mut problems = String::new();
    let mut n_failed = 0;
    for scenario in &scenarios {
        for mode in [Mode::Cached, Mode::Uncached] {
            if let Err(failure) = run(scenario, mode) {
                n_failed += 1;
                let _ = writeln!(
                    problems,
                    "\n{} ({mode:?})\n{name}:{}: {}\n  {}",
                    scenario.title, failure.line, failure.statement, failure.problem
                );
                break;
            }
        }
    }
    assert!(problems.is_empty(), "{n_failed} of {} scenarios:\n{problems}", scenarios.len());
}

macro_rules! cases {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(concat!(stringify!($name), ".txt")); })*

        #[test]
        fn every_file_is_run() {
            let run = [$(concat!(stringify!($name), ".txt")),*];
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
            for entry in fs::read_dir(folder).expect("the folder of cases") {
                let name = entry.expect("a file of cases").file_name();
                let name = name.to_string_lossy();
                assert!(run.contains(&&*name), "{name} is not run");
            }
        }
    };
}

cases! {
    learning
}

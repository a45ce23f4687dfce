//! Every target, for a few seconds in all; see the crate for longer runs.

use fuzz::run::{Effort, run};
use fuzz::{TARGETS, targets};

fn fuzz(name: &str, iterations: u64) {
    let summary = run(targets::named(name), Effort::from_env(iterations));
    assert!(summary.behaviours > 1, "{name}: all inputs are alike");
}

macro_rules! fuzz {
    ($($name:ident: $iterations:expr;)*) => {
        $(#[test] fn $name() { fuzz(stringify!($name), $iterations); })*

        #[test]
        fn every_target_is_run() {
            let run = [$(stringify!($name)),*];
            for target in TARGETS {
                assert!(run.contains(&target.name), "{} is not run", target.name);
            }
        }
    };
}

fuzz! {
    frame: 4_000;
    actions: 10_000;
    flow_text: 10_000;
    flow_line: 5_000;
    openflow_message: 5_000;
    controller: 1_000;
    unixctl: 5_000;
    seed_blob: 5_000;
    boot_text: 5_000;
    drive: 3_000;
    kept_picture: 1_500;
    offload: 2_000;
    ring: 3_000;
    ovsdb_client: 1_000;
    ovsdb_transaction: 2_000;
    ovsdb_log: 2_000;
}

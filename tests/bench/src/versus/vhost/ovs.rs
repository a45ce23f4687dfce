//! Open vSwitch between the two ports.

use super::super::case::Cache;
use super::super::measured::Found;
use super::super::ovs::{Ovs, Ports, count};
use super::super::{Terms, WARM_UP, cpu_time};
use super::{Case, Result, Ring, Run};
use crate::daemon::run as run_command;
use crate::testpmd::{self, socket};
use std::path::Path;
use std::time::{Duration, Instant};

pub(super) fn run(dir: &Path, case: &Case, ring: Ring, terms: &Terms) -> Result<Run> {
    let own = dir.join("ovs");
    std::fs::create_dir(&own)?;
    let device = |k: usize| {
        let (socket, pairs) = (socket(dir, k), case.pairs);
        let (packed, mergeable) = (u8::from(ring == Ring::Packed), u8::from(case.is_mergeable));
        format!(
            "net_virtio_user{k},path={},queues={pairs},queue_size=1024,packed_vq={packed},mrg_rxbuf={mergeable}",
            socket.display()
        )
    };
    let mut settings = vec![format!("options:n_rxq={}", case.pairs)];
    if case.mtu() > 1_500 {
        settings.push(format!("mtu_request={}", case.mtu()));
    }
    // The back end maps all of the memory, by few files.
    let ports =
        Ports { devices: vec![device(0), device(1)], settings, extra: "--single-file-segments" };
    let ovs = Ovs::start(&own, &ports, Cache::Default, terms.has_huge_pages)?;
    for flow in ["in_port=1,actions=output:2", "in_port=2,actions=output:1"] {
        run_command(ovs.ofctl().args(["add-flow", "br0", flow]))?;
    }
    testpmd::begin(dir, case.frame_len)?;
    let thread = ovs.polling_thread()?;
    std::thread::sleep(Duration::from_secs_f64(WARM_UP));
    ovs.appctl(&["dpif-netdev/pmd-stats-clear"])?;
    let (begun, before) = (Instant::now(), cpu_time(&thread));
    std::thread::sleep(Duration::from_secs_f64(terms.seconds));
    let text = ovs.appctl(&["dpif-netdev/pmd-perf-show"])?;
    let (elapsed, time) = (begun.elapsed(), cpu_time(&thread).saturating_sub(before));
    // Rounds without work are among those, too.
    let busy = share(&text, "- Used TSC cycles:")? * share(&text, "- busy iterations:")?;
    let count = |label| count(&text, label);
    let found = Found {
        emc: count("- EMC hits:")?,
        smc: count("- SMC hits:")?,
        megaflow: count("- Megaflow hits:")?,
        simple: count("- Simple Match hits:").unwrap_or(0),
        upcalls: count("- Upcalls:")?,
    };
    let packets = count("Rx packets:")?;
    // It does not count bursts that it receives; those that it sends are the same here.
    let burst = count("Tx packets:")? as f64 / count("Tx batches:")?.max(1) as f64;
    match packets {
        0 => Err(format!("nothing came in:\n{text}").into()),
        _ => Ok(Run { packets, elapsed, time, busy, burst, found, is_near: true }),
    }
}

/// The percentage in a line, as a share of one.
///
/// `- busy iterations:          2326  ( 54.8 % of used cycles)`
fn share(text: &str, label: &str) -> Result<f64> {
    let line = text.lines().find(|line| line.trim_start().starts_with(label));
    let percent =
        line.and_then(|line| line.split('(').nth(1)?.split('%').next()?.trim().parse().ok());
    let percent: f64 = percent.ok_or_else(|| format!("no share behind {label:?} in:\n{text}"))?;
    Ok(percent / 100.0)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_share_is_the_percentage_behind_its_label() {
        let text = "  - Used TSC cycles: 1380488070  ( 99.8 % of total cycles)\n  \
                    - busy iterations:          2326  (  4.8 % of used cycles)\n";
        let shares =
            ["- Used TSC cycles:", "- busy iterations:"].map(|label| share(text, label).ok());
        assert_eq!(shares, [Some(0.998), Some(0.048)]);
        assert!(share(text, "- idle iterations:").is_err());
    }
}

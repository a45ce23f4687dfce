//! Commands about the datapath, its caches and settings as a person sees them, asked over the channel of `ovs-appctl`.

mod line;

use flow::{Field, Flow, compose};
use line::Line;
use netdev::fake::{Replay, ReplayHandle};
use openflow::OfPort;
use packet::{Pool, PoolConfig};
use std::sync::atomic::{AtomicU64, Ordering};
use switch::{PortParts, Switch, SwitchParts};
use sync::time::Nanos;

/// A cycle counter that goes on by seven with every look.
fn cycles() -> u64 {
    static CYCLES: AtomicU64 = AtomicU64::new(0);
    CYCLES.fetch_add(7, Ordering::Relaxed)
}

struct Bench {
    switch: Switch,
    ports: Vec<ReplayHandle>,
    line: Line,
    now: Nanos,
}

impl Bench {
    fn new() -> Self {
        let mut handles = Vec::new();
        let ports = (1..=2_u8).map(|k| {
            let (netdev, handle) = Replay::new(&format!("nic{k}"), [2, 0, 0, 0, 0, k], Vec::new());
            handles.push(handle);
            PortParts { name: format!("p{k}"), of: OfPort(k.into()), netdev: Box::new(netdev) }
        });
        let line = Line::default();
        let parts = SwitchParts {
            channels: vec![Box::new(line.clone())],
            self_check_one_in: 0,
            random: 1,
            cycles,
            ..SwitchParts::new(ports.collect(), Pool::on_heap(PoolConfig { small: 512, jumbo: 16 }))
        };
        let switch = Switch::new(parts, Nanos::ZERO);
        let mut bench = Self { switch, ports: handles, line, now: Nanos::ZERO };
        bench.settle();
        bench
    }

    fn settle(&mut self) {
        for _ in 0..700 {
            self.now = self.now.saturating_add(Nanos::from_micros(10));
            self.switch.control.poll(self.now);
            for pmd in &mut self.switch.pmds {
                pmd.poll(self.now);
            }
        }
    }

    /// Frames between two stations, and back, one after the other.
    fn forward(&mut self, n: usize) {
        for k in 0..n {
            let (from, to) = if k % 2 == 0 { (1, 2) } else { (2, 1) };
            let mut flow = Flow::ZERO;
            flow.set(Field::EthSrc, 0x0200_0000_1000 + from);
            flow.set(Field::EthDst, 0x0200_0000_1000 + to);
            flow.set(Field::EthType, 0x88b5);
            let port = usize::try_from(from).expect("one or two");
            assert!(self.ports[port - 1].inject(&compose(&flow, 64)));
            self.settle();
            self.ports.iter().for_each(|port| drop(port.captured()));
        }
    }

    fn ask(&mut self, method: &str, params: &[&str]) -> String {
        let params: Vec<_> = params.iter().map(|param| format!("\"{param}\"")).collect();
        let params = params.join(",");
        let request = format!("{{\"id\":0,\"method\":\"{method}\",\"params\":[{params}]}}");
        self.line.to.lock().expect("not poisoned").extend(request.bytes());
        self.settle();
        let answer = core::mem::take(&mut *self.line.from.lock().expect("not poisoned"));
        String::from_utf8(answer).expect("text").replace("\\n", "\n")
    }
}

/// The number behind `name` in a text.
fn number(text: &str, name: &str) -> u64 {
    let rest = text.split(name).nth(1).unwrap_or_else(|| panic!("no {name} in {text}"));
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number behind {name} in {text}"))
}

#[test]
fn statistics_add_up_and_begin_anew() {
    let mut bench = Bench::new();
    bench.forward(10);
    let text = bench.ask("dpif-netdev/pmd-stats-show", &[]);
    assert!(text.contains("pmd thread numa_id 0 core_id 0:\n  packets received: 10\n"), "{text}");
    assert!(text.contains("main thread:\n"), "{text}");
    let hits = ["emc hits:", "smc hits:", "megaflow hits:"].map(|name| number(&text, name));
    let misses = number(&text, "miss with success upcall:");
    assert_eq!(hits.iter().sum::<u64>() + misses, 10, "{text}");
    assert!(
        (1..5).contains(&misses) && text.contains("avg processing cycles per packet:"),
        "{text}"
    );

    bench.ask("dpif-netdev/pmd-stats-clear", &[]);
    let text = bench.ask("dpif-netdev/pmd-stats-show", &["-pmd", "0"]);
    assert!(text.contains("packets received: 0\n") && !text.contains("main thread"), "{text}");
    assert!(bench.ask("dpif-netdev/pmd-stats-show", &["-pmd", "7"]).contains("invalid core"));
}

#[test]
fn performance_is_told_by_stage_where_it_is_measured() {
    let mut bench = Bench::new();
    bench.forward(4);
    let text = bench.ask("dpif-netdev/pmd-perf-show", &[]);
    assert_eq!(number(&text, "Rx packets:"), 4, "{text}");
    assert!(!text.contains("- extract:"), "{text}");
    bench.switch.control.configure(|_, dpif| {
        let mut config = dpif.config();
        assert_eq!(config.set("pmd-perf-metrics", "true"), Ok(()));
        dpif.configure(&config);
    });
    bench.settle();
    bench.forward(4);
    let text = bench.ask("dpif-netdev/pmd-perf-show", &[]);
    for stage in ["rx", "extract", "emc", "megaflow", "upcall", "actions", "tx"] {
        assert!(number(&text, &format!("- {stage}:")) > 0, "{stage} in {text}");
    }
    assert_eq!(number(&text, "Measured passes:"), 4, "{text}");
    let queues = bench.ask("dpif-netdev/pmd-rxq-show", &[]);
    assert!(
        queues.contains("  port: p1                queue-id:  0 (enabled)   pmd usage:"),
        "{queues}"
    );
}

#[test]
fn the_longest_gap_between_two_rounds_is_told() {
    let mut bench = Bench::new();
    bench.ask("dpif-netdev/pmd-stats-clear", &[]);
    let text = bench.ask("dpif-netdev/pmd-perf-show", &[]);
    assert_eq!(number(&text, "- longest gap:"), 10, "{text}");
    assert!(text.contains("; 0 times over 1000)"), "{text}");
    // Something else takes too long, three times; a rest is not counted.
    for millis in [1, 3, 2] {
        bench.now += Nanos::from_millis(millis);
        bench.settle();
    }
    bench.now += Nanos::from_secs(5);
    bench.switch.pmds[0].rested(Nanos::from_secs(5));
    let text = bench.ask("dpif-netdev/pmd-perf-show", &[]);
    assert_eq!(number(&text, "- longest gap:"), 3_010, "{text}");
    assert!(text.contains("; 3 times over 1000)"), "{text}");
    bench.ask("dpif-netdev/pmd-stats-clear", &[]);
    let text = bench.ask("dpif-netdev/pmd-perf-show", &[]);
    assert_eq!(number(&text, "- longest gap:"), 10, "{text}");
    assert!(text.contains("; 0 times over 1000)"), "{text}");
}

#[test]
fn cached_flows_and_masks_are_shown() {
    let mut bench = Bench::new();
    bench.forward(6);
    let text = bench.ask("dpctl/show", &[]);
    assert!(number(&text, "flows:") >= 2 && number(&text, " total:") >= 2, "{text}");
    assert!(text.contains("lookups: hit:") && text.contains("  port 1: p1 ("), "{text}");
    assert_eq!(number(&bench.ask("dpctl/show", &["-s"]), "RX packets:"), 3);
    let flows = bench.ask("dpctl/dump-flows", &[]);
    assert!(flows.contains("flow-dump from pmd on cpu core: 0\n"), "{flows}");
    assert!(flows.contains("in_port(1)") && flows.contains("actions:2\n"), "{flows}");
    let named = bench.ask("dpctl/dump-flows", &["--names"]);
    assert!(named.contains("in_port(p1)") && named.contains("actions:p2\n"), "{named}");
    assert!(bench.ask("dpctl/dump-flows", &["-m"]).contains("ufid:"));
    assert!(!bench.ask("dpctl/dump-flows", &["pmd=3"]).contains("in_port"));
    let masks = bench.ask("dpif-netdev/subtable-show", &[]);
    assert!(masks.contains("core 0 port p1:") && masks.contains("(limit 64)"), "{masks}");
    assert!(masks.contains("in_port") && masks.contains("eth_dst"), "{masks}");
}

#[test]
fn the_revalidator_pauses_resumes_purges_and_tells() {
    let mut bench = Bench::new();
    bench.forward(4);
    let text = bench.ask("upcall/show", &[]);
    assert!(text.contains("uniswitch@br0:\n  flows         : (current 2) (avg "), "{text}");
    assert!(text.contains(
        " (limit 10000)\n  dump duration : 1ms\n  ufid enabled : true\n\n  0: (keys 2)\n"
    ));
    // Waits for the end of a dump, which takes no longer than half a second.
    assert_eq!(bench.ask("revalidator/wait", &[]), "", "not yet");
    let answered = (0..80).any(|_| {
        bench.settle();
        !bench.line.from.lock().expect("not poisoned").is_empty()
    });
    assert!(answered);
    bench.line.from.lock().expect("not poisoned").clear();

    assert!(bench.ask("revalidator/pause", &[]).contains("\"result\":\"\""));
    assert!(bench.ask("upcall/show", &[]).contains("(paused)"));
    assert!(bench.ask("revalidator/wait", &[]).contains("revalidator/resume"));
    assert!(bench.ask("revalidator/purge", &[]).contains("\"result\":\"\""));
    assert!(bench.ask("upcall/show", &[]).contains("(current 0)"));
    assert!(bench.ask("upcall/show", &[]).contains("(paused)"), "still");
    assert!(bench.ask("revalidator/resume", &[]).contains("\"result\":\"\""));
    assert!(!bench.ask("upcall/show", &[]).contains("(paused)"));
    // The same traffic is cached anew.
    bench.forward(2);
    assert!(bench.ask("upcall/show", &[]).contains("(current 2)"));
    assert!(bench.ask("upcall/set-flow-limit", &["7"]).contains("set flow_limit to 7"));
    assert!(bench.ask("upcall/set-flow-limit", &["few"]).contains("must be a number"));
    assert!(bench.ask("upcall/show", &[]).contains("(limit 7)"));
}

#[test]
fn settings_are_set_got_and_refused_with_advice() {
    let mut bench = Bench::new();
    let all = bench.ask("uniswitch/get", &[]);
    for line in ["max-idle=10000\n", "n-revalidator-threads=1\n", "upcall-mode=budget\n"] {
        assert!(all.contains(line), "{line} in {all}");
    }
    let settings = [
        ("max-idle", "20000"),
        ("n-revalidator-threads", "3"),
        ("upcall-mode", "thread"),
        ("smc-enable", "true"),
        ("self-check", "5"),
    ];
    for (key, value) in settings {
        let said = bench.ask("uniswitch/set", &[key, value]);
        assert!(said.contains("\"error\":null"), "{said}");
        assert!(bench.ask("uniswitch/get", &[key]).contains(&format!("\"{value}\n\"")), "{key}");
    }
    assert_eq!(bench.switch.control.upcall_config().mode, switch::UpcallMode::Thread);
    // Workers change between rounds.
    (0..80).for_each(|_| bench.settle());
    assert!(bench.ask("upcall/show", &[]).contains("  2: (keys 0)\n"));
    let refused = bench.ask("uniswitch/set", &["max-idle", "1"]);
    assert!(refused.contains("max-idle=1: expected a number of ms from 500 to"), "{refused}");
    assert!(bench.ask("uniswitch/get", &["idle"]).contains("is no setting"));
    assert!(bench.ask("uniswitch/self-check", &[]).contains("hits checked  : one in 5\n"));
}

#[test]
fn events_are_counted_with_their_rates() {
    let mut bench = Bench::new();
    bench.forward(4);
    assert!(bench.ask("coverage/read-counter", &["datapath_miss"]).contains("\"2\n\""));
    assert!(bench.ask("coverage/read-counter", &["datapath_mist"]).contains("No such counter"));
    bench.now = bench.now.saturating_add(Nanos::from_secs(5));
    bench.settle();
    let text = bench.ask("coverage/show", &[]);
    assert!(
        text.contains("Event coverage, avg rate over last: 5 seconds, last minute, last hour,")
    );
    let miss = "datapath_miss              0.4/sec     0.033/sec        0.0006/sec   total: 2\n";
    assert!(text.contains(miss), "{text}");
    assert!(text.contains(" events never hit\n"));
    let text = bench.ask("memory/show", &[]);
    for part in ["revalidators:1 ", "rules:1 ", "udpif keys:2"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

//! Ports and fragments as the tool sets them.

use vm::Ofctl;
use vm::frame::{BROADCAST, host, plain};

pub(crate) fn fragments(t: &Ofctl<'_>) {
    t.case("get-frags, set-frags");
    for mode in ["drop", "nx-match", "normal"] {
        t.run(&["set-frags", mode]);
        t.prints(&["get-frags"], mode);
    }
    let error = if t.is(0) { "doesn't support mode \"reassemble\"" } else { "OFPSCFC_BAD_FLAGS" };
    t.refused(&["set-frags", "reassemble"], error);
    t.prints(&["get-frags"], "normal");
}

pub(crate) fn ports(t: &Ofctl<'_>) {
    let to = |tag| plain(BROADCAST, host(1), 60, tag);
    t.only(&["priority=1,actions=NORMAL"]);
    let monitor = t.monitor(&[]);
    t.case("mod-port down: nothing in, nothing out, and the ports' description says so");
    t.run(&["mod-port", "p2", "down"]);
    t.bench.forwards(1, &to(1), &[3]);
    t.bench.forwards(2, &plain(BROADCAST, host(2), 60, 2), &[]);
    let text = t.run(&["dump-ports-desc"]);
    let down = text.split(" 2(p2)").nth(1).expect("port 2");
    assert!(
        down.trim_start_matches(|c| c != '\n').starts_with("\n     config:     PORT_DOWN\n"),
        "{text}"
    );
    monitor.says(&t.tagged("OFPT_PORT_STATUS V"), "MOD: 2(p2)");
    t.run(&["mod-port", "2", "up"]);
    t.bench.forwards(1, &to(3), &[2, 3]);

    t.case("mod-port no-receive");
    t.run(&["mod-port", "2", "no-receive"]);
    t.bench.forwards(2, &plain(BROADCAST, host(2), 60, 4), &[]);
    t.bench.forwards(1, &to(5), &[2, 3]);
    t.run(&["mod-port", "2", "receive"]);
    t.case("mod-port no-forward");
    t.run(&["mod-port", "2", "no-forward"]);
    t.bench.forwards(1, &to(6), &[3]);
    t.bench.forwards(2, &plain(BROADCAST, host(2), 60, 7), &[1, 3]);
    t.run(&["mod-port", "2", "forward"]);
    if t.is(0) {
        t.case("mod-port no-flood");
        t.run(&["mod-port", "2", "no-flood"]);
        t.bench.forwards(1, &to(8), &[3]);
        t.only(&["actions=FLOOD"]);
        t.bench.forwards(1, &to(9), &[3]);
        t.only(&["actions=ALL"]);
        t.bench.forwards(1, &to(10), &[2, 3]);
        t.only(&["actions=2"]);
        t.bench.forwards(1, &to(11), &[2]);
        assert!(t.run(&["show"]).contains("config:     NO_FLOOD"));
        t.run(&["mod-port", "2", "flood"]);
    }
    t.case("mod-port no-packet-in");
    t.only(&["priority=0,actions=controller"]);
    t.run(&["mod-port", "1", "no-packet-in"]);
    t.bench.forwards(1, &plain(BROADCAST, host(1), 61, 12), &[]);
    t.bench.forwards(2, &plain(BROADCAST, host(2), 62, 13), &[]);
    t.run(&["mod-port", "1", "packet-in"]);
    t.bench.forwards(1, &plain(BROADCAST, host(1), 63, 14), &[]);
    // A table miss of 1.3 is asked for at "monitor MISS_LEN" alone.
    monitor.exit();
    assert!(!t.run(&["show"]).contains("config:     NO"));
}

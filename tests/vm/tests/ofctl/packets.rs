//! Packets out of the tool and into it.

use vm::frame::{BROADCAST, host, plain};
use vm::{Monitor, Ofctl};

pub(crate) fn packet_out(t: &Ofctl<'_>) {
    t.only(&["priority=2,in_port=2,actions=3", "priority=1,actions=NORMAL"]);
    let frame = plain(BROADCAST, host(7), 77, 1);
    let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    let out = |in_port: &str, actions: &str| {
        t.run(&["packet-out", &format!("in_port={in_port},packet={hex},actions={actions}")]);
    };
    t.case("packet-out to a port");
    out("controller", "output:2");
    t.bench.expect(&[(2, &frame)]);
    t.case("packet-out to several, in order, with changes between");
    out("controller", "output:2,mod_dl_src:02:00:00:00:00:09,output:3");
    let changed = [&frame[..6], &host(9), &frame[12..]].concat();
    t.bench.expect(&[(2, &frame), (3, &changed)]);
    t.case("packet-out FLOOD, ALL: not to its ingress port");
    out("1", "FLOOD");
    t.bench.expect(&[(2, &frame), (3, &frame)]);
    out("controller", "ALL");
    t.bench.expect(&[(1, &frame), (2, &frame), (3, &frame)]);
    t.case("packet-out IN_PORT");
    out("1", "in_port");
    t.bench.expect(&[(1, &frame)]);
    t.case("packet-out TABLE: through the rules");
    out("2", "TABLE");
    t.bench.expect(&[(3, &frame)]);
    t.case("packet-out CONTROLLER");
    let monitor = t.monitor(&["65534"]);
    out("1", "controller");
    monitor.says("PACKET_IN", "total_len=77 in_port=1 (via action) data_len=77 (unbuffered)");
    monitor.exit();
    t.case("packet-out without actions");
    out("1", "drop");
    t.bench.expect_nothing();
}

pub(crate) fn monitor(t: &Ofctl<'_>) {
    let frame = plain(host(2), host(1), 60, 5);
    let other = plain(host(1), host(2), 60, 6);
    let flows = [
        "cookie=0x77,priority=3,in_port=1,actions=load:7->NXM_NX_REG1[],controller:20",
        "priority=0,actions=controller",
    ];
    for format in ["standard", "nxt_packet_in", "nxt_packet_in2"] {
        t.case(&format!("monitor -P {format}"));
        t.only(&flows);
        let mut command = t.command("monitor", &["65534"]);
        let monitor = Monitor::start(t.bench, command.args(["-P", format]));
        t.bench.forwards(1, &frame, &[]);
        t.bench.forwards(2, &other, &[]);
        let name = match format {
            "standard" => "OFPT_PACKET_IN V",
            "nxt_packet_in" => "NXT_PACKET_IN V",
            _ => "NXT_PACKET_IN2 V",
        };
        // What of this the standard's own messages tell depends on the version.
        let standard = format == "standard";
        let cookie = |text: &'static str| if standard && !t.is_from(3) { "" } else { text };
        let register = if standard && !t.is_from(2) { "" } else { "reg1=0x7," };
        let seven = format!("{}total_len=60 {register}in_port=1", cookie("cookie=0x77 "));
        let zero = format!("{}total_len=60 in_port=2", cookie("cookie=0x0 "));
        // From 1.3 on the controller action of a table-miss entry is a miss.
        let miss = if t.is_from(3) { "no_match" } else { "action" };
        let name = t.tagged(name);
        monitor.says(&name, &format!("{seven} (via action) data_len=20 (unbuffered)"));
        monitor.says(&name, &format!("{zero} (via {miss}) data_len=60 (unbuffered)"));
        let fields =
            "vlan_tci=0x0000,dl_src=02:00:00:00:00:02,dl_dst=02:00:00:00:00:01,dl_type=0x88b5";
        monitor.says(fields, "");
        monitor.exit();
    }
    t.case("snoop: the connection that would be told what others say stays open, and silent");
    let snoop = Monitor::start(t.bench, &mut t.command("snoop", &[]));
    t.run(&["add-flow", "priority=1,actions=1"]);
    snoop.exit();
}

pub(crate) fn watch(t: &Ofctl<'_>) {
    t.case("monitor watch: rules that are there, come, change and go");
    t.only(&["priority=9,in_port=1,actions=2"]);
    let monitor = t.monitor(&["watch:"]);
    t.run(&["add-flow", "table=0,priority=8,in_port=2,actions=3"]);
    monitor.says("event=ADDED table=0", "in_port=2 actions=output:3");
    t.run(&["mod-flows", "table=0,in_port=2,actions=1"]);
    monitor.says("event=MODIFIED table=0", "in_port=2 actions=output:1");
    t.run(&["del-flows", "table=0,in_port=2"]);
    monitor.says("event=DELETED reason=delete table=0", "in_port=2 actions=output:1");
    monitor.exit();
}

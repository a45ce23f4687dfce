//! Groups and meters by the stock `ovs-ofctl`, with traffic through each type, in the image.

use vm::frame::{host, plain};
use vm::{Bench, Config, Refused, masked};

const V10: &str = "OpenFlow10";
const V13: &str = "OpenFlow13";

#[test]
fn groups_and_meters() {
    let bench = Bench::boot(Config::new(4));
    let tools = Tools { bench: &bench };
    tools.groups_are_kept_as_set();
    tools.buckets_come_and_go();
    tools.all_and_indirect();
    tools.select_spreads();
    tools.failover();
    tools.meters();
    tools.refusals();
    bench.shutdown();
}

struct Tools<'a> {
    bench: &'a Bench,
}

impl Tools<'_> {
    #[track_caller]
    fn run_in(&self, version: &str, command_and_args: &[&str]) -> String {
        match self.bench.try_ofctl(version, command_and_args) {
            Ok(text) => masked(&text),
            Err(Refused(why)) => self.bench.fail(format!("{command_and_args:?}: {why}")),
        }
    }

    #[track_caller]
    fn run(&self, command_and_args: &[&str]) -> String {
        self.run_in(V13, command_and_args)
    }

    /// The lines behind the first, which names the message.
    #[track_caller]
    fn prints(&self, version: &str, command_and_args: &[&str], expected: &[&str]) {
        let text = self.run_in(version, command_and_args);
        let lines: Vec<&str> = text.lines().skip(1).map(str::trim).collect();
        assert_eq!(lines, expected, "{command_and_args:?}");
    }

    #[track_caller]
    fn refused(&self, command_and_args: &[&str], expected: &str) {
        match self.bench.try_ofctl(V13, command_and_args) {
            Ok(text) => self.bench.fail(format!("{command_and_args:?} taken: {text}")),
            Err(Refused(why)) => assert!(why.contains(expected), "{command_and_args:?}: {why}"),
        }
    }

    fn clear(&self, flow: &str) {
        self.run(&["del-groups"]);
        self.run(&["del-flows"]);
        if !flow.is_empty() {
            self.run(&["add-flow", flow]);
        }
    }

    fn groups_are_kept_as_set(&self) {
        self.bench.case("dump-groups, dump-group-features");
        let groups = [
            "group_id=1,type=all,bucket=actions=output:2,bucket=actions=output:3",
            "group_id=2,type=select,bucket=weight:7,actions=output:2,bucket=actions=output:3",
            "group_id=3,type=indirect,bucket=actions=set_field:02:00:00:00:00:aa->eth_dst,output:2",
            "group_id=4,type=ff,bucket=watch_port:2,actions=output:2,bucket=watch_group:1,actions=group:1",
        ];
        for group in groups {
            self.run(&["add-group", group]);
        }
        self.prints(V13, &["dump-groups"], &groups);
        let features = self.run(&["dump-group-features"]);
        assert!(features.contains("Types:  0xf") && features.contains("Capabilities:  0xf"));
        assert!(features.contains("max_groups=0x40000"), "{features}");
        self.bench.case("del-groups");
        self.run(&["del-groups", "group_id=2"]);
        assert_eq!(self.run(&["dump-groups"]).lines().count(), 4);
        self.clear("");
        assert_eq!(self.run(&["dump-groups"]).lines().count(), 1);
    }

    fn buckets_come_and_go(&self) {
        self.bench.case("insert-buckets, remove-buckets");
        self.clear("");
        let add = "group_id=1,type=select,selection_method=hash,fields(ip_src,ip_dst),\
                   bucket=bucket_id=1,actions=output:2";
        self.run_in(V10, &["add-group", add]);
        let insert = "group_id=1,command_bucket_id=last,bucket=bucket_id=5,actions=output:3";
        self.run_in(V10, &["insert-buckets", insert]);
        let line = "group_id=1,type=select,selection_method=hash,fields(ip_src,ip_dst),\
                    bucket=bucket_id:1,actions=output:2,bucket=bucket_id:5,actions=output:3";
        let text = self.run_in(V10, &["dump-groups"]);
        let got = text.lines().nth(1).unwrap_or_default().trim();
        assert_eq!(got.replace("output:p", "output:"), line);
        self.run_in(V10, &["remove-buckets", "group_id=1,command_bucket_id=first"]);
        let text = self.run(&["dump-groups"]);
        assert!(text.trim_end().replace(":p", ":").ends_with("bucket=actions=output:3"), "{text}");
    }

    fn all_and_indirect(&self) {
        self.bench.case("traffic through all and indirect groups, and their statistics");
        self.clear("");
        self.run(&[
            "add-group",
            "group_id=1,type=all,bucket=actions=output:2,bucket=actions=group:2",
        ]);
        self.run(&["add-group", "group_id=2,type=indirect,bucket=actions=output:3"]);
        self.run(&["add-flow", "in_port=1,actions=group:1"]);
        for tag in 0..5 {
            self.bench.forwards(1, &plain(host(2), host(1), 60, tag), &[2, 3]);
        }
        let text = self.run(&["dump-group-stats", "group_id=1"]);
        let expected = "ref_count=1,packet_count=5,byte_count=300,\
                        bucket0:packet_count=5,byte_count=300,bucket1:packet_count=5,byte_count=300";
        assert!(text.trim_end().ends_with(expected), "{text}");
        self.run(&["mod-group", "group_id=2,type=indirect,bucket=actions=output:4"]);
        self.bench.forwards(1, &plain(host(2), host(1), 60, 9), &[2, 4]);
        self.run(&["del-groups", "group_id=1"]);
        assert_eq!(self.run(&["dump-flows"]).lines().count(), 1, "its rule went with it");
    }

    fn select_spreads(&self) {
        self.bench.case("a select group spreads by weight");
        self.clear("");
        let group = "group_id=1,type=select,bucket=weight:1,actions=output:2,\
                     bucket=weight:3,actions=output:3";
        self.run(&["add-group", group]);
        self.run(&["add-flow", "in_port=1,actions=group:1"]);
        const N: u32 = 400;
        for tag in 0..N {
            let mut source = host(1);
            source[3..].copy_from_slice(&tag.to_be_bytes()[1..]);
            self.bench.send(1, &plain(host(2), source, 60, tag));
        }
        self.bench.settle();
        let text = self.run(&["dump-group-stats", "group_id=1"]);
        let counts: Vec<u32> = text
            .split("packet_count=")
            .skip(1)
            .filter_map(|rest| rest.split(',').next()?.parse().ok())
            .collect();
        let [all, one, three] = counts[..] else { self.bench.fail(text) };
        assert_eq!((all, one + three), (N, N));
        assert!((60..=140).contains(&one), "a quarter of {N}: {one}");
        for port in [2, 3] {
            drop(self.bench.arrivals(port).take());
        }
    }

    fn failover(&self) {
        self.bench.case("fast failover follows its ports");
        self.clear("");
        let group = "group_id=1,type=ff,bucket=watch_port:2,actions=output:2,\
                     bucket=watch_port:3,actions=output:3";
        self.run(&["add-group", group]);
        self.run(&["add-flow", "in_port=1,actions=group:1"]);
        let frame = |tag| plain(host(2), host(1), 60, tag);
        self.bench.forwards(1, &frame(1), &[2]);
        self.run(&["mod-port", "2", "down"]);
        self.bench.barrier();
        self.bench.forwards(1, &frame(2), &[3]);
        self.run(&["mod-port", "2", "up"]);
        self.bench.barrier();
        self.bench.forwards(1, &frame(3), &[2]);
    }

    fn meters(&self) {
        self.bench.case("meters: features, configuration, statistics, traffic");
        self.clear("");
        let features = self.run(&["meter-features"]);
        assert!(features.contains("max_meter:65536 max_bands:8"), "{features}");
        assert!(features.contains("drop dscp_remark"), "{features}");
        let meter = "meter=3,pktps,burst,stats,bands=type=drop,rate=1,burst_size=4";
        self.run(&["add-meter", meter]);
        self.prints(
            V13,
            &["dump-meters"],
            &["meter=3 pktps burst stats bands=", "type=drop rate=1 burst_size=4"],
        );
        self.run(&["add-flow", "in_port=1,actions=meter:3,output:2"]);
        let seconds = || self.bench.telemetry()["uptime_us"].as_u64().expect("a time") / 1_000_000;
        let begin = seconds();
        for tag in 0..20 {
            self.bench.send(1, &plain(host(2), host(1), 60, tag));
        }
        self.bench.settle();
        let passed = self.bench.arrivals(2).take().len();
        // The burst, and one more for each second that it took.
        let most = 4 + usize::try_from(seconds() - begin).expect("few") + 2;
        assert!((4..=most).contains(&passed), "{passed} of 20 passed");
        let text = self.run(&["meter-stats", "meter=3"]);
        assert!(text.contains("flow_count:1 packet_in_count:20 byte_in_count:1200"), "{text}");
        let dropped = format!("0: packet_count:{}", 20 - passed);
        assert!(text.contains(&dropped), "{text}");
        self.run(&["mod-meter", "meter=3,pktps,burst,bands=type=drop,rate=1000,burst_size=1000"]);
        for tag in 0..20 {
            self.bench.forwards(1, &plain(host(2), host(1), 60, 100 + tag), &[2]);
        }
        self.run(&["del-meters"]);
        assert_eq!(self.run(&["dump-meters"]).lines().count(), 1);
        assert_eq!(self.run(&["dump-flows"]).lines().count(), 1, "its rule went with it");
    }

    fn refusals(&self) {
        self.bench.case("what is refused");
        self.clear("");
        self.run(&["add-group", "group_id=1,type=all,bucket=actions=output:2"]);
        self.refused(&["add-group", "group_id=1,type=all,bucket=actions=output:2"], "GROUP_EXISTS");
        self.refused(&["add-group", "group_id=2,type=all,bucket=actions=group:2"], "OFPGMFC_LOOP");
        self.refused(
            &["add-group", "group_id=2,type=select,bucket=weight:0,actions=output:2"],
            "OFPGMFC_INVALID_GROUP",
        );
        self.refused(&["add-flow", "actions=group:9"], "OFPBAC_BAD_OUT_GROUP");
        self.refused(&["add-flow", "actions=meter:9,output:1"], "OFPMMFC_INVALID_METER");
        self.refused(&["mod-meter", "meter=9,kbps,bands=type=drop,rate=1"], "UNKNOWN_METER");
    }
}

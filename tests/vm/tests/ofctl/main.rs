//! The stock `ovs-ofctl` in every version of OpenFlow, with traffic where it matters. Texts are compared
//! whole, with what changes from run to run masked.

mod counters;
mod describe;
mod files;
mod flows;
mod liveness;
mod packets;
mod ports;
mod refusals;

use vm::{Bench, Config, Ofctl};

#[test]
fn openflow10() {
    in_version("OpenFlow10");
}

#[test]
fn openflow11() {
    in_version("OpenFlow11");
}

#[test]
fn openflow12() {
    in_version("OpenFlow12");
}

#[test]
fn openflow13() {
    in_version("OpenFlow13");
}

#[test]
fn openflow14() {
    in_version("OpenFlow14");
}

#[test]
fn openflow15() {
    in_version("OpenFlow15");
}

fn in_version(version: &'static str) {
    let bench = Bench::boot(Config::new(3));
    let t = &Ofctl::new(&bench, version);
    describe::descriptions(t);
    describe::statistics_of_nothing(t);
    flows::flows(t);
    flows::changes(t);
    files::files_of_flows(t);
    counters::counters(t);
    counters::timeouts(t);
    ports::fragments(t);
    ports::ports(t);
    packets::packet_out(t);
    packets::monitor(t);
    packets::watch(t);
    liveness::liveness(t);
    refusals::refusals(t);
    bench.shutdown();
}

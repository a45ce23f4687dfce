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

use vm::{Bench, Config, Ofctl, VERSIONS};

#[test]
fn ovs_ofctl() {
    let bench = Bench::boot(Config::new(3));
    for version in VERSIONS {
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
        liveness::liveness(t);
        refusals::refusals(t);
    }
    bench.shutdown();
}

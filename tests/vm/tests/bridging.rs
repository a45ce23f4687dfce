//! Bridge rules B1–B6 (ordinary L2 forwarding), one by one, on real frames.

use vm::frame::{BROADCAST, host, plain};
use vm::{Bench, Config};

#[test]
fn bridge_rules() {
    let bench = Bench::boot(Config::new(3));

    bench.case("B4: an unknown destination is flooded to all but the ingress port");
    bench.forwards(1, &plain(host(2), host(1), 60, 1), &[2, 3]);

    bench.case("B2, B5: the source was learned, and is reached through its port alone");
    bench.forwards(2, &plain(host(1), host(2), 60, 2), &[1]);

    bench.case("B3: broadcast goes everywhere but back");
    bench.forwards(3, &plain(BROADCAST, host(3), 60, 3), &[1, 2]);

    bench.shutdown();
}

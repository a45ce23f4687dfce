//! The configuration database in the image, by the stock tools.

use vm::{Bench, Config};

#[test]
fn several_clients_read_the_database() {
    let bench = Bench::boot(Config::new(2));
    bench.case("databases");
    assert_eq!(bench.ovsdb_client("list-dbs", &[]), "Open_vSwitch\n_Server");
    assert_eq!(bench.ovsdb_client("get-schema-version", &["Open_vSwitch"]), "8.8.0");
    let monitor = vm::Spawned::new(
        bench.ovsdb_client_command("monitor", &["Open_vSwitch", "Bridge", "name"]),
    );
    bench.vsctl(&["--no-wait", "init"]);
    bench.vsctl(&["show"]);
    drop(monitor);
    bench.shutdown();
}

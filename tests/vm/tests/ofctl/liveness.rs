//! Echoes.

use vm::Ofctl;

pub(crate) fn liveness(t: &Ofctl<'_>) {
    t.case("probe");
    t.run(&["probe"]);
    t.case("ping");
    for size in ["0", "64", "60000"] {
        let text = t.run(&["ping", size]);
        assert_eq!(text.lines().count(), 10, "{text}");
        assert!(!text.contains("differs"), "{text}");
    }
    t.case("benchmark");
    let text = t.run(&["benchmark", "100", "50"]);
    assert!(
        text.contains("Sending 50 packets * 108 bytes") && text.contains("Finished in"),
        "{text}"
    );
}

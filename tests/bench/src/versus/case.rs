//! What is measured: rules, frames, and how the caches are set.

use super::frames::Frames;

/// Which cache Open vSwitch has before its megaflow classifier. Ours finds out by itself what pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// The exact-match cache, its default.
    Exact,
    /// None.
    Off,
    /// The signature cache alone.
    Signature,
}

impl Cache {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Exact => "EMC",
            Self::Off => "none",
            Self::Signature => "SMC",
        }
    }
}

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Its name for `--case`.
    pub(crate) name: &'static str,
    /// What it shows.
    pub(crate) about: &'static str,
    /// Flows in `ovs-ofctl`'s text. Frames come in on port 1; ports 2 and 3 swallow what they get.
    pub(crate) flows: Vec<String>,
    /// What comes in.
    pub(crate) frames: Frames,
    /// Settings of Open vSwitch to try: the best one counts.
    pub(crate) caches: &'static [Cache],
}

const EXACT: &[Cache] = &[Cache::Exact];
const ANY: &[Cache] = &[Cache::Exact, Cache::Off, Cache::Signature];

/// All cases, in the order of the table.
pub(crate) fn all() -> Vec<Case> {
    let forward = |name, about, n_flows, caches| Case {
        name,
        about,
        flows: vec!["ip,in_port=1,actions=output:2".into()],
        frames: Frames::by_source(n_flows),
        caches,
    };
    let mut cases = vec![
        forward("flows-1", "1 flow", 1, EXACT),
        forward("flows-1k", "1,000 flows, 1 megaflow", 1_000, EXACT),
        forward("flows-4k", "4,000 flows, 1 megaflow", 4_000, EXACT),
        forward("flows-8k", "8,000 flows, 1 megaflow", 8_000, ANY),
        forward("flows-100k", "100,000 flows, 1 megaflow", 100_000, ANY),
    ];
    for (name, about, n_masks) in [
        ("masks-1", "10,000 flows over 1 mask", 1),
        ("masks-5", "10,000 flows over 5 masks", 5),
        ("masks-20", "10,000 flows over 20 masks", 20),
        ("masks-50", "10,000 flows over 50 masks", 50),
    ] {
        let frames = Frames::by_port(10_000, n_masks);
        cases.push(Case { name, about, flows: masks(n_masks), frames, caches: ANY });
    }
    let act = |name, about, actions| Case {
        name,
        about,
        flows: vec![format!("udp,in_port=1,actions={actions}")],
        frames: Frames::by_source(1),
        caches: EXACT,
    };
    const ROUTE: &str =
        "mod_dl_src:02:00:00:00:00:03,mod_dl_dst:02:00:00:00:00:04,dec_ttl,output:2";
    const REWRITE: &str =
        "mod_nw_src:10.9.9.9,mod_nw_dst:10.8.8.8,mod_tp_src:5000,mod_tp_dst:6000,output:2";
    cases.extend([
        act("drop", "drop", "drop"),
        act("vlan", "push a VLAN tag", "push_vlan:0x8100,set_field:4106->vlan_vid,output:2"),
        act("route", "route: MAC addresses and TTL", ROUTE),
        act("rewrite", "rewrite IPv4 addresses and UDP ports", REWRITE),
        act("two-outputs", "output to two ports", "output:2,output:3"),
    ]);
    cases
}

/// Rules by which the frames to `n` destinations make megaflows of `n` different masks: each
/// destination has a table of its own, where a rule asks for a prefix of the source and, from the
/// 26th on, for the destination port too.
fn masks(n: u32) -> Vec<String> {
    let table = |k: u32| {
        let prefix = 8 + k % 25;
        let port = if k >= 25 { ",tp_dst=2000" } else { "" };
        [
            format!("table=0,ip,in_port=1,nw_dst=11.0.0.{k},actions=resubmit(,{})", k + 1),
            format!("table={},udp,nw_src=10.0.0.0/{prefix}{port},actions=output:2", k + 1),
        ]
    };
    (0..n).flat_map(table).collect()
}

//! What is measured: rules, frames, and how the caches are set.

use super::frames::Frames;

/// Which cache is before the megaflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// As it comes: Open vSwitch has an exact-match cache then, and ours finds out what pays.
    Default,
    /// The exact-match cache alone.
    Exact,
    /// None.
    Off,
    /// The signature cache alone.
    Signature,
}

impl Cache {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Exact => "EMC",
            Self::Off => "none",
            Self::Signature => "SMC",
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Packets, when all that comes in is cached.
    Packets,
    /// Flows that were never seen, while they come in the first time.
    NewFlows,
}

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Its name for `--case`.
    pub(crate) name: &'static str,
    /// What it shows.
    pub(crate) about: &'static str,
    pub(crate) kind: Kind,
    /// Meters in `ovs-ofctl`'s text.
    pub(crate) meters: Vec<&'static str>,
    /// Flows in `ovs-ofctl`'s text. Frames come in on port 1; ports 2 and 3 swallow what they get.
    pub(crate) flows: Vec<String>,
    /// What comes in.
    pub(crate) frames: Frames,
    /// Settings to try: of each switch the best one counts.
    pub(crate) caches: &'static [Cache],
    /// What the ratio should be at most.
    pub(crate) aim: f64,
}

const DEFAULT: &[Cache] = &[Cache::Default];
const ANY: &[Cache] = &[Cache::Default, Cache::Exact, Cache::Off, Cache::Signature];

/// All cases, in the order of the table.
pub(crate) fn all() -> Vec<Case> {
    let plain = Case {
        name: "",
        about: "",
        kind: Kind::Packets,
        meters: Vec::new(),
        flows: vec!["ip,in_port=1,actions=output:2".into()],
        frames: Frames::by_source(1),
        caches: DEFAULT,
        aim: 0.5,
    };
    let forward = |name, about, n_flows, caches| {
        let frames = Frames::by_source(n_flows);
        Case { name, about, frames, caches, ..plain.clone() }
    };
    let mut cases = vec![
        forward("flows-1", "1 flow", 1, DEFAULT),
        forward("flows-1k", "1,000 flows, 1 megaflow", 1_000, DEFAULT),
        forward("flows-4k", "4,000 flows, 1 megaflow", 4_000, DEFAULT),
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
        cases.push(Case {
            name,
            about,
            flows: masks(n_masks),
            frames,
            caches: ANY,
            ..plain.clone()
        });
    }
    let act = |name, about, actions| {
        let flows = vec![format!("udp,in_port=1,actions={actions}")];
        Case { name, about, flows, aim: 0.6, ..plain.clone() }
    };
    const ROUTE: &str =
        "mod_dl_src:02:00:00:00:00:03,mod_dl_dst:02:00:00:00:00:04,dec_ttl,output:2";
    const REWRITE: &str =
        "mod_nw_src:10.9.9.9,mod_nw_dst:10.8.8.8,mod_tp_src:5000,mod_tp_dst:6000,output:2";
    // More than comes in, so that the meter counts and drops nothing.
    const METER: &str = "meter=1,pktps,bands=type=drop,rate=1000000000";
    cases.extend([
        act("drop", "drop", "drop"),
        act("vlan", "push a VLAN tag", "push_vlan:0x8100,set_field:4106->vlan_vid,output:2"),
        act("route", "route: MAC addresses and TTL", ROUTE),
        act("rewrite", "rewrite IPv4 addresses and UDP ports", REWRITE),
        Case { meters: vec![METER], ..act("meter", "meter", "meter:1,output:2") },
        Case { aim: 0.4, ..act("two-outputs", "output to two ports", "output:2,output:3") },
    ]);
    for (name, about, n_rules) in [
        ("new-flows", "new megaflow with each packet, 1 rule", 1),
        ("new-flows-10k", "new megaflow with each packet, 10,000 rules", 10_000),
    ] {
        let (flows, frames) = (strangers(n_rules), Frames::by_source(100_000));
        cases.push(Case {
            name,
            about,
            kind: Kind::NewFlows,
            flows,
            frames,
            aim: 0.25,
            ..plain.clone()
        });
    }
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

/// A rule that reads the whole source, so that each source is a megaflow, among `n` rules.
fn strangers(n: u32) -> Vec<String> {
    let reads = "ip,in_port=1,nw_dst=11.0.0.0,actions=move:NXM_OF_IP_SRC[]->NXM_NX_REG0[],output:2";
    let other = |k: u32| {
        let address = std::net::Ipv4Addr::from(0x0c00_0000 + k);
        format!("ip,in_port=1,nw_dst={address},actions=output:3")
    };
    (1..n).map(other).chain([reads.into()]).collect()
}

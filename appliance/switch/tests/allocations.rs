//! A polling core forwards without the heap, from the receive queue to the transmit queue: see also the
//! test of this name in `datapath`, which goes through tiers and actions one by one.
//!
//! In a binary of its own, because counting takes the place of the heap of all that is linked with it.

use allocation_counter::measure;
use flow::{Field, Flow, compose};
use netdev::fake::{Repeat, Source, Stream, StreamHandle};
use openflow::{FlowModCommand, GroupModCommand, OfPort, Version};
use packet::{Pool, PoolConfig};
use switch::{PortParts, Switch, SwitchParts, UpcallConfig, UpcallMode};
use sync::time::Nanos;

struct Bench {
    switch: Switch,
    ports: Vec<StreamHandle>,
    now: Nanos,
}

impl Bench {
    /// One polling core and four ports, of which the first receives.
    fn new(source: impl Source + 'static, upcalls: UpcallConfig) -> Self {
        let (first, handle) = Stream::new("p1", [2, 0, 0, 0, 0, 1], source);
        let (mut netdevs, mut handles) = (vec![first], vec![handle]);
        for k in 2..=4 {
            let (netdev, handle) =
                Stream::new(&format!("p{k}"), [2, 0, 0, 0, 0, k], Repeat::new([]));
            netdevs.push(netdev);
            handles.push(handle);
        }
        handles[0].set_burst(0);
        let ports = (1_u32..).zip(netdevs).map(|(k, netdev)| PortParts {
            name: format!("p{k}"),
            of: OfPort(k),
            netdev: Box::new(netdev),
        });
        let fail_mode = ofproto::FailMode::Secure;
        let parts = SwitchParts {
            bridge: ofproto::BridgeConfig { fail_mode, flow_limit: 2_000, ..Default::default() },
            self_check_one_in: 1_000,
            upcalls,
            ..SwitchParts::new(
                ports.collect(),
                Pool::on_heap(PoolConfig { small: 8_192, jumbo: 16 }),
            )
        };
        let switch = Switch::new(parts, Nanos::ZERO);
        let mut bench = Self { switch, ports: handles, now: Nanos::from_secs(1) };
        bench.rounds(300);
        bench
    }

    fn flow(&mut self, text: &str) {
        let flow_mod = openflow::text::parse_flow(text, FlowModCommand::Add).expect(text);
        let done = self
            .switch
            .control
            .configure(|bridge, _| bridge.flow_mod(&flow_mod, Version::V13, Nanos::from_secs(1)));
        assert_eq!(done, Ok(()), "{text}");
    }

    fn rounds(&mut self, n: usize) {
        for _ in 0..n {
            self.now += Nanos::from_micros(10);
            self.switch.pmds[0].poll(self.now);
            self.switch.control.poll(self.now);
        }
    }

    /// Allocations of so many rounds of the polling core alone, and the frames that came and left in them.
    fn polls(&mut self, n: usize) -> (u64, u64, u64) {
        let before = (self.ports[0].n_received(), self.n_sent());
        let spent = measure(|| {
            for _ in 0..n {
                self.now += Nanos::from_micros(10);
                self.switch.pmds[0].poll(self.now);
            }
        });
        let after = (self.ports[0].n_received(), self.n_sent());
        (spent.count_total, after.0 - before.0, after.1 - before.1)
    }

    fn n_sent(&self) -> u64 {
        self.ports.iter().map(StreamHandle::n_sent).sum()
    }

    fn assert_accounted(&mut self) {
        self.ports[0].set_burst(0);
        self.rounds(3_000);
        let sums = self.switch.control.accounting();
        assert!(sums.holds(), "{sums:?}");
    }
}

/// The frame of host `n`.
fn frame(n: u32) -> Vec<u8> {
    let mut flow = Flow::ZERO;
    flow.set(Field::EthSrc, 0x0200_0000_0001);
    flow.set(Field::EthDst, 0x0200_0000_0002);
    flow.set(Field::EthType, 0x0800);
    flow.set(Field::Ipv4Src, u128::from(0x0a00_0000 + n));
    flow.set(Field::Ipv4Dst, 0x0b00_0001);
    flow.set(Field::IpProto, 17);
    flow.set(Field::IpTtl, 64);
    flow.set(Field::UdpSrc, 1000);
    flow.set(Field::UdpDst, 2000);
    compose(&flow, 18)
}

/// Frames of ever new hosts.
#[derive(Debug)]
struct Strangers {
    frame: Vec<u8>,
    n: u32,
}

impl Source for Strangers {
    fn next(&mut self) -> Option<&[u8]> {
        self.n += 1;
        self.frame[26..30].copy_from_slice(&(0x0a00_0000 + self.n).to_be_bytes());
        Some(&self.frame)
    }
}

#[test]
fn a_polling_core_forwards_without_the_heap() {
    // Rules, and how many frames leave for each that comes.
    let cases: [(&[&str], u64); 8] = [
        (&["in_port=1,actions=output:2"], 1),
        (&["in_port=1,actions=drop"], 0),
        (&["priority=0,actions=NORMAL"], 3),
        (&["in_port=1,udp,actions=mod_dl_src:02:00:00:00:00:09,dec_ttl,mod_tp_dst:9,output:2"], 1),
        (
            &[
                "in_port=1,actions=push_vlan:0x8100,set_field:4106->vlan_vid,output:2,pop_vlan,output:3",
            ],
            2,
        ),
        (
            &[
                "in_port=1,ip,nw_src=10.0.0.0/24,actions=resubmit(,1)",
                "table=1,udp,actions=output:2,output:4",
            ],
            2,
        ),
        (&["in_port=1,actions=group:1"], 1),
        (&["in_port=1,actions=clone(push_vlan:0x8100,output:3),output:2"], 2),
    ];
    for (rules, leaving) in cases {
        let mut bench = Bench::new(Repeat::new((1..=64).map(frame)), UpcallConfig::default());
        let group = "group_id=1,type=select,selection_method=dp_hash,\
                     bucket=weight:1,actions=output:2,bucket=weight:1,actions=output:3";
        let group = openflow::text::parse_group(group, GroupModCommand::Add, &flow::text::NoNames)
            .expect("a group");
        let done = bench
            .switch
            .control
            .configure(|bridge, _| bridge.group_mod(&group, Version::V15, Nanos::from_secs(1)));
        assert_eq!(done, Ok(()));
        rules.iter().for_each(|rule| bench.flow(rule));
        bench.ports[0].set_burst(32);
        bench.rounds(2_000);
        let (n_allocated, n_came, n_left) = bench.polls(1_000);
        assert_eq!(n_allocated, 0, "{rules:?}");
        assert_eq!((n_came, n_left), (32_000, 32_000 * leaving), "{rules:?}");
        bench.assert_accounted();
    }
}

/// Most allocations that the translation of a miss on its core may take: its megaflow, and where tables
/// grow. Where there is no room for another megaflow it takes none.
const MOST_A_TRANSLATION: u64 = 4;

#[test]
fn only_translation_needs_the_heap() {
    for mode in [UpcallMode::Callback, UpcallMode::Thread, UpcallMode::Budget] {
        let source = Strangers { frame: frame(0), n: 0 };
        let mut bench = Bench::new(source, UpcallConfig { mode, ..UpcallConfig::default() });
        bench.flow("in_port=1,ip,actions=move:NXM_OF_IP_SRC[]->NXM_NX_REG0[],output:3");
        bench.ports[0].set_burst(32);
        bench.rounds(2_000);
        // The control core takes no conclusions meanwhile, so soon there is no room for more.
        let inline = |bench: &Bench| bench.switch.control.upcall_stats(datapath::PortNo(1)).inline;
        let before = inline(&bench);
        let (n_allocated, n_came, _) = bench.polls(200);
        let n_translated = inline(&bench) - before;
        assert_eq!(n_came, 200 * 32, "{mode}");
        assert!(n_translated < n_came / 2, "{mode}: most are passed up, or refused");
        assert!(
            n_allocated <= n_translated * MOST_A_TRANSLATION,
            "{mode}: {n_allocated} for {n_translated} translations"
        );
        bench.assert_accounted();
    }
}

//! However much one peer has sent, the others are heard: judged by rounds, never by a clock.

mod common;

use agent::AgentConfig;
use common::{Peer, Stage, output_rule};
use flow::Field;
use openflow::{Message, TableMod, Version};

/// Connections, as many as there may be.
const PEERS: u32 = 64;
/// Rules that one of them adds.
const FLOOD: u32 = 20_000;
/// Rounds after which an echo request must be answered: one turn of each, and one for the order.
const ROUNDS: usize = 2;

/// The bytes of a flood: rules, and now and then something that takes long.
fn flood(peer: &Peer) -> Vec<u8> {
    let mut bytes = Vec::new();
    for k in 0..FLOOD {
        let mut rule = output_rule(1, 2);
        rule.match_.set_exact(Field::Reg0, k.into());
        let message = match k % 1_000 {
            // All rules are counted, and asked for.
            998 => common::all_flows(),
            999 => Message::TableMod(TableMod { table_id: 3, ..TableMod::default() }),
            _ => Message::FlowMod(rule.into()),
        };
        peer.dialect.encode(&message, k, &mut bytes).expect("short");
    }
    bytes
}

/// Gives the agent as much of the flood as it takes, and lets everybody work for one round.
fn round(stage: &mut Stage, peer: &Peer, flood: &mut &[u8]) {
    let taken = stage.agent.received(peer.conn, flood, stage.now);
    *flood = &flood[taken..];
    // Whoever floods reads what it is told.
    drop(stage.hear(peer));
    stage.agent.poll(stage.now, &mut stage.bridge, &mut stage.dpif);
    stage.bridge.run(&mut stage.dpif, stage.now);
}

#[test]
fn a_flood_of_one_peer_starves_none_of_the_others() {
    for version in [Version::V10, Version::V13, Version::V15] {
        let mut stage = Stage::new(AgentConfig::default());
        let mut peers: Vec<Peer> = (1..=PEERS).map(|conn| stage.peer(conn, version)).collect();
        let flooder = peers.remove(17);
        let bytes = flood(&flooder);
        let mut left = bytes.as_slice();
        let (mut n_answered, mut worst) = (0_u32, 0);
        while !left.is_empty() {
            for _ in 0..20 {
                round(&mut stage, &flooder, &mut left);
            }
            // All others ask at once.
            for peer in &mut peers {
                let mut echo = Vec::new();
                peer.xid += 1;
                let message = Message::EchoRequest(vec![7; 8]);
                peer.dialect.encode(&message, peer.xid, &mut echo).expect("short");
                assert_eq!(stage.agent.received(peer.conn, &echo, stage.now), echo.len());
            }
            let mut waiting: Vec<&Peer> = peers.iter().collect();
            let mut n_rounds = 0;
            while !waiting.is_empty() {
                n_rounds += 1;
                assert!(n_rounds <= ROUNDS, "{version}: {} peers wait", waiting.len());
                round(&mut stage, &flooder, &mut left);
                waiting.retain(|peer| {
                    let heard = stage.hear(peer);
                    let is_answer = |(xid, message): &(u32, Message)| {
                        *xid == peer.xid && matches!(message, Message::EchoReply(_))
                    };
                    let is_answered = heard.iter().any(is_answer);
                    n_answered += u32::from(is_answered);
                    !is_answered
                });
            }
            worst = worst.max(n_rounds);
        }
        assert!(n_answered >= 10 * (PEERS - 1) && worst >= 1, "{version}: {n_answered}");
        // The flood was no less work for that: all of it is there in the end.
        for _ in 0..FLOOD {
            round(&mut stage, &flooder, &mut left);
        }
        let n_rules = stage.bridge.state().tables.n_rules();
        assert!(n_rules > usize::try_from(FLOOD / 1_000 * 998).unwrap(), "{version}: {n_rules}");
    }
}

//! The life of a ukey, edge by edge (ovs-facts E2), over a datapath that lags, so that each state lasts
//! until the test goes on; with made-up time.

use crate::lab::everything;
use crate::rings::{Event, World};
use datapath::{DatapathConfig, Dpif, Fate};
use ofproto::UkeyState::{self, Operational, Visible};

/// What the test sees of the only flow: its state, none if the map has none; and how many wait for their
/// fence.
fn seen(world: &World) -> (Option<UkeyState>, u64) {
    let mut states = world.bridge.ukeys().iter().map(ofproto::Ukey::state);
    let state = states.next();
    assert_eq!(states.next(), None, "one flow");
    let usage = world.bridge.memory_usage();
    let n_retiring = usage.iter().find(|(name, _)| *name == "retiring").map(|(_, n)| *n);
    (state, n_retiring.unwrap())
}

/// Lets a full dump happen, and takes its fence; other commands stay in the ring.
fn dump(world: &mut World) {
    let before = world.bridge.revalidator().dump_seq();
    world.happen(&Event::Wait(500));
    for _ in 0..100 {
        world.happen(&Event::Run);
        if world.bridge.revalidator().dump_seq() > before {
            return;
        }
    }
    panic!("no dump");
}

/// A world with a rule for station 1 to port 2, all of it in force.
fn quiet() -> World {
    let mut world = World::new();
    world.happen(&Event::Rule(1, 2));
    world.settle();
    assert_eq!(seen(&world), (None, 0));
    world
}

/// The flow of station 1 is translated, and its megaflow is in the ring.
fn visible() -> World {
    let mut world = quiet();
    world.happen(&Event::Frame(1));
    world.happen(&Event::Answer);
    assert_eq!(seen(&world), (Some(Visible), 0));
    world
}

/// The flow of station 1 is installed, and the bridge knows that.
fn operational() -> World {
    let mut world = visible();
    world.happen(&Event::Take(100));
    dump(&mut world);
    assert_eq!(seen(&world), (Some(Operational), 0));
    world
}

/// The end that all have in common: no transition was refused, and each packet counts once.
fn ends_well(mut world: World, n_packets: u64) {
    world.settle();
    for _ in 0..2 {
        world.happen(&Event::Wait(600));
        world.settle();
    }
    assert_eq!(seen(&world).1, 0, "nothing waits");
    let stats = world.bridge.revalidator().stats();
    assert_eq!(stats.illegal_transitions, 0);
    let rules = world.bridge.flow_stats(&everything(), world.now).unwrap();
    let counted: u64 = rules.iter().map(|rule| rule.stats().packets()).sum();
    assert_eq!(counted, n_packets);
    assert!(world.dpif.inner.accounting().holds());
}

#[test]
fn visible_until_a_dump_finds_it_installed() {
    let mut world = visible();
    // The core has not seen it: it stays as it is, however often somebody looks.
    for _ in 0..3 {
        dump(&mut world);
        assert_eq!(seen(&world), (Some(Visible), 0));
    }
    world.happen(&Event::Take(100));
    // The core has it, but nobody has looked.
    assert_eq!(seen(&world), (Some(Visible), 0));
    dump(&mut world);
    assert_eq!(seen(&world), (Some(Operational), 0));
    dump(&mut world);
    assert_eq!(seen(&world), (Some(Operational), 0));
    ends_well(world, 1);
}

#[test]
fn evicting_from_visible_when_it_is_purged_before_it_was_seen() {
    let mut world = visible();
    world.bridge.purge_cached();
    world.happen(&Event::Run);
    // Gone from the map, and waiting for the fence behind its removal.
    assert_eq!(seen(&world), (None, 1));
    world.happen(&Event::Run);
    assert_eq!(seen(&world), (None, 1), "not before the fence");
    world.happen(&Event::Take(100));
    world.happen(&Event::Run);
    assert_eq!(seen(&world), (None, 0));
    assert_eq!(world.dpif.inner.pmd().n_megaflows(), 0);
    ends_well(world, 1);
}

#[test]
fn evicting_from_visible_when_the_core_refuses_it() {
    let mut world = visible();
    let no_room = DatapathConfig { max_megaflows: 0, ..world.dpif.config() };
    world.dpif.inner.configure(&no_room);
    world.happen(&Event::Take(100));
    let fate = world.bridge.ukeys().iter().next().unwrap().megaflow.stats.fate();
    assert_eq!((seen(&world).0, fate), (Some(Visible), Fate::Refused));
    // The dump does not find it, and the sweep takes it out.
    dump(&mut world);
    assert_eq!(seen(&world), (None, 1));
    assert_eq!(world.bridge.revalidator().stats().missing, 1);
    ends_well(world, 1);
}

#[test]
fn evicting_from_operational_counts_to_the_last_packet() {
    let mut world = operational();
    // Idle for longer than ten seconds.
    world.happen(&Event::Wait(11_000));
    for _ in 0..10 {
        world.happen(&Event::Run);
    }
    assert_eq!(seen(&world), (None, 1));
    // The core has not heard: packets still hit.
    for _ in 0..5 {
        world.happen(&Event::Frame(1));
    }
    assert_eq!(world.dpif.inner.pmd().n_megaflows(), 1);
    world.happen(&Event::Take(100));
    assert_eq!(world.dpif.inner.pmd().n_megaflows(), 0);
    // Evicted and deleted in one go: credited, then forgotten.
    world.happen(&Event::Run);
    assert_eq!(seen(&world), (None, 0));
    ends_well(world, 6);
}

#[test]
fn a_changed_conclusion_begins_a_new_life_and_ends_the_old_one() {
    let mut world = operational();
    world.happen(&Event::Rule(1, 3));
    world.happen(&Event::Wait(10));
    for _ in 0..10 {
        world.happen(&Event::Run);
    }
    assert_eq!(seen(&world), (Some(Visible), 1), "the new one, and the old one that leaves");
    // A packet before the core has heard is the old rule's.
    world.happen(&Event::Frame(1));
    world.happen(&Event::Take(100));
    world.happen(&Event::Frame(1));
    world.happen(&Event::Run);
    assert_eq!(seen(&world), (Some(Visible), 0));
    dump(&mut world);
    assert_eq!(seen(&world), (Some(Operational), 0));
    ends_well(world, 2 + 1);
}

#[test]
fn what_the_core_lost_is_evicting_at_the_next_sweep() {
    let mut world = operational();
    world.dpif.inner.apply(datapath::Command::FlowFlush);
    assert_eq!(seen(&world).0, Some(Operational));
    dump(&mut world);
    assert_eq!(seen(&world), (None, 1));
    world.happen(&Event::Take(100));
    world.happen(&Event::Run);
    assert_eq!(seen(&world), (None, 0));
    ends_well(world, 1);
}

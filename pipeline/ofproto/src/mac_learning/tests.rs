use super::*;

fn station(n: u8) -> Station {
    Station { vlan: 0, mac: EtherAddr([2, 0, 0, 0, 0, n]) }
}

fn table() -> MacTable {
    MacTable::new(MIN_CAPACITY, DEFAULT_MAX_AGE)
}

const T: fn(u64) -> Nanos = Nanos::from_secs;

#[test]
fn learns_refreshes_and_moves() {
    let mut macs = table();
    let cases = [
        (station(1), 1, Learned::Changed),
        (station(1), 1, Learned::Refreshed),
        (station(1), 2, Learned::Changed),
        (Station { vlan: 7, ..station(1) }, 1, Learned::Changed),
        (Station { vlan: 0, mac: EtherAddr([1, 0, 0, 0, 0, 1]) }, 1, Learned::Refused),
        (Station { vlan: 0, mac: EtherAddr::BROADCAST }, 1, Learned::Refused),
    ];
    for (station, port, expected) in cases {
        assert_eq!(macs.learn(station, OfPort(port), T(0)), expected, "{station:?}");
    }
    assert_eq!(macs.lookup(station(1)), Some(OfPort(2)));
    assert_eq!(macs.lookup(Station { vlan: 7, ..station(1) }), Some(OfPort(1)));
    assert_eq!(macs.lookup(station(9)), None);
    assert_eq!(macs.stats(), MacStats { learned: 2, moved: 1, ..MacStats::default() });
}

#[test]
fn ages_after_the_last_use() {
    let mut macs = table();
    macs.learn(station(1), OfPort(1), T(0));
    macs.learn(station(2), OfPort(2), T(100));
    macs.learn(station(1), OfPort(1), T(200));
    assert_eq!(macs.next_expiry(), Some(T(400)));
    assert_eq!(macs.expire(T(399), 10), 0);
    assert_eq!(macs.expire(T(400), 10), 1);
    assert_eq!(macs.lookup(station(2)), None);
    assert_eq!(macs.expire(T(500), 10), 1);
    assert!(macs.is_empty() && macs.next_expiry().is_none());
}

#[test]
fn a_flooding_port_evicts_only_its_own() {
    let mut macs = table();
    macs.learn(station(1), OfPort(1), T(0));
    macs.learn(station(2), OfPort(1), T(0));
    for n in 10..200 {
        macs.learn(station(n), OfPort(2), T(1));
        assert!(macs.len() <= MIN_CAPACITY);
    }
    assert_eq!(macs.lookup(station(1)), Some(OfPort(1)));
    assert_eq!(macs.lookup(station(2)), Some(OfPort(1)));
    assert_eq!(macs.lookup(station(199)), Some(OfPort(2)));
    assert_eq!(macs.stats().evicted, 182);
}

#[test]
fn what_was_refreshed_is_neither_the_oldest_nor_expired() {
    let mut macs = table();
    for n in 1..=10 {
        macs.learn(station(n), OfPort(1), T(u64::from(n)));
    }
    assert!(macs.refresh(station(1), OfPort(1), T(100)));
    assert!(macs.refresh(station(2), OfPort(1), T(200)));
    assert!(macs.refresh(station(2), OfPort(1), T(150)), "time does not go back");
    assert!(!macs.refresh(station(3), OfPort(2), T(100)), "elsewhere");
    assert!(!macs.refresh(station(99), OfPort(1), T(100)), "unknown");
    let last = macs.iter().last();
    assert_eq!(last, Some((station(2), OfPort(1), T(200))));
    macs.learn(station(11), OfPort(1), T(201));
    assert_eq!(macs.lookup(station(3)), None, "the oldest by use");
    assert_eq!(macs.lookup(station(1)), Some(OfPort(1)));
    // Stations 4 to 10 were used up to 10, then 1 at 100, 2 at 200, 11 at 201.
    assert_eq!(macs.expire(T(399), 100), 7);
    assert_eq!(macs.next_expiry(), Some(T(400)));
    assert_eq!(macs.expire(T(500), 100), 2);
    assert_eq!(macs.len(), 1);
}

#[test]
fn late_news_do_not_move_a_station() {
    let mut macs = table();
    macs.learn(station(1), OfPort(1), T(10));
    assert_eq!(macs.observe(station(1), OfPort(2), T(10)), Learned::Refused);
    assert_eq!(macs.observe(station(1), OfPort(1), T(9)), Learned::Refreshed);
    assert_eq!(macs.observe(station(1), OfPort(2), T(12)), Learned::Changed);
    assert_eq!(macs.observe(station(2), OfPort(2), T(1)), Learned::Changed);
    assert_eq!(macs.learn_late(station(1), OfPort(3), T(11)), Learned::Refused);
    assert_eq!(macs.learn_late(station(1), OfPort(3), T(12)), Learned::Changed);
}

#[test]
fn of_two_late_news_the_later_packet_counts() {
    // The same two, told of in either order.
    for is_swapped in [false, true] {
        let mut macs = table();
        macs.learn(station(1), OfPort(3), T(1));
        let mut news = [(1, T(10)), (2, T(11))];
        if is_swapped {
            news.reverse();
        }
        for (port, used) in news {
            macs.observe(station(1), OfPort(port), used);
        }
        assert_eq!(macs.lookup(station(1)), Some(OfPort(2)));
    }
}

#[test]
fn a_smaller_table_forgets_the_oldest_of_the_fullest_port() {
    let mut macs = MacTable::new(100, DEFAULT_MAX_AGE);
    for n in 0..30 {
        macs.learn(station(n), OfPort(u32::from(n) % 3 / 2 + 1), T(u64::from(n)));
    }
    macs.set_limits(0, T(20));
    assert_eq!((macs.len(), macs.capacity()), (MIN_CAPACITY, MIN_CAPACITY));
    assert_eq!(macs.next_expiry(), macs.iter().next().map(|(_, _, used)| used + T(20)));
    let on_two = macs.iter().filter(|(_, port, _)| *port == OfPort(2)).count();
    assert_eq!(on_two, MIN_CAPACITY / 2);
}

#[test]
fn flushes_one_port_or_all() {
    let mut macs = table();
    macs.learn(station(1), OfPort(1), T(0));
    macs.learn(station(2), OfPort(2), T(0));
    assert!(macs.flush_port(OfPort(1)));
    assert!(!macs.flush_port(OfPort(1)));
    assert_eq!(macs.len(), 1);
    assert!(macs.flush());
    assert!(!macs.flush());
    assert_eq!(macs.next_expiry(), None);
}

#[test]
fn shows_as_ovs_does() {
    let mut macs = table();
    macs.learn(station(1), OfPort(1), T(0));
    macs.learn(Station { vlan: 9, ..station(2) }, OfPort::LOCAL, T(7));
    let expected = " port  VLAN  MAC                Age
    1     0  02:00:00:00:00:01   10
LOCAL     9  02:00:00:00:00:02    3
";
    assert_eq!(macs.show(T(10)), expected);
}

#[test]
fn knows_link_local_addresses() {
    assert!(is_reserved(EtherAddr([0x01, 0x80, 0xc2, 0, 0, 0x0f])));
    assert!(!is_reserved(EtherAddr([0x01, 0x80, 0xc2, 0, 0, 0x10])));
    assert!(is_reserved(EtherAddr([0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcc])));
    assert!(!is_reserved(EtherAddr([0xff; 6])));
}

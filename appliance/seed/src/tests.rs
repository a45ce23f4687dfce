extern crate std;

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn sample() -> BootConfig {
    BootConfig {
        datapath_id: Some(0x00ab),
        controllers: vec![Controller {
            address: IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2)),
            port: 6633,
        }],
        ports: vec![PortSeed {
            nic: NicMatch::Mac(Mac([0x52, 0x54, 0, 0, 0, 1])),
            name: "p1".into(),
            ofport: Some(1),
        }],
        ..BootConfig::default()
    }
}

#[test]
fn blob_starts_with_magic_and_version() {
    let blob = sample().encode().unwrap();
    assert_eq!(&blob[..8], b"USWC\x04\x00\x00\x00");
    assert_eq!(BootConfig::decode(&blob), Ok(sample()));
}

/// Damages the sample's blob, sets its checksum right when asked to, and tells the error.
fn refused(mend: bool, damage: impl FnOnce(&mut Vec<u8>)) -> SeedError {
    let mut blob = sample().encode().unwrap();
    damage(&mut blob);
    if mend {
        let body = blob.len() - 4;
        let mut crc = u32::MAX;
        for b in &blob[..body] {
            crc ^= u32::from(*b);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        let crc = (!crc).to_le_bytes();
        blob[body..].copy_from_slice(&crc);
    }
    BootConfig::decode(&blob).unwrap_err()
}

#[test]
fn each_damage_has_its_error() {
    assert_eq!(refused(false, |b| b.truncate(3)), SeedError::Truncated { len: 3 });
    assert_eq!(refused(false, |b| b.truncate(13)), SeedError::Truncated { len: 13 });
    assert_eq!(refused(false, |b| b[0] = b'X'), SeedError::NotASeed);
    assert_eq!(refused(false, |b| b[4] = 5), SeedError::Version { found: 5 });
    assert!(matches!(refused(false, |b| b.push(0)), SeedError::Length { .. }));
    assert_eq!(refused(false, |b| b[14] ^= 1), SeedError::Checksum);
    // The first payload byte is the length of the bridge's name.
    assert_eq!(refused(true, |b| b[12] = 0xff), SeedError::Malformed);
    assert_eq!(refused(true, |b| b[13] = b'/'), SeedError::Invalid(Invalid::Name));
    let len = MAX_BLOB_BYTES + 1;
    assert_eq!(refused(false, |b| b.resize(len, 0)), SeedError::TooLarge { len });
}

#[test]
fn version_error_says_what_to_do() {
    assert_eq!(
        SeedError::Version { found: 5 }.to_string(),
        "config blob is of format 5, this image reads 4: rebuild launcher and image together"
    );
}

#[test]
fn text_of_the_default() {
    assert_eq!(
        BootConfig::default().to_string(),
        "bridge=br0 fail-mode=standalone listen=6653 mgmt=index:0 ip=dhcp mac-age=300 \
         mac-table=8192 self-check=10000 log=info on-panic=reset"
    );
    let read = BootConfig::from_text("").unwrap();
    assert_eq!(read.config, BootConfig::default());
    assert!(!read.is_configured);
}

#[test]
fn settings_by_name_are_kept_in_order_and_checked() {
    let line = "other_config:max-idle=20000 other_config:upcall-mode=thread";
    let config = BootConfig::from_text(line).unwrap().config;
    let pair = |key: &str, value: &str| (String::from(key), String::from(value));
    assert_eq!(config.other_config, [pair("max-idle", "20000"), pair("upcall-mode", "thread")]);
    for bad in ["other_config:=1", "other_config:a=", "other_config:a=b/c"] {
        let refused = BootConfig::from_text(bad).map(|read| read.config);
        assert_eq!(refused, Err(TextError::Invalid(Invalid::OtherConfig)), "{bad}");
    }
    let many = BootConfig {
        other_config: (0..=MAX_SETTINGS).map(|n| pair(&alloc::format!("k{n}"), "1")).collect(),
        ..BootConfig::default()
    };
    assert_eq!(many.validate(), Err(Invalid::OtherConfig));
}

#[test]
fn text_hands_back_what_is_not_ours() {
    let read =
        BootConfig::from_text("quiet virtio_mmio.device=512@0xfeb00000:5 listen=off").unwrap();
    assert_eq!(read.unknown, ["quiet", "virtio_mmio.device=512@0xfeb00000:5"]);
    assert_eq!(read.config.listen, None);
    assert!(read.is_configured);
}

#[test]
fn text_values_that_do_not_fit() {
    for (line, expect) in [
        ("dpid=1", "dpid=1: expected 16 hexadecimal digits"),
        ("fail-mode=safe", "fail-mode=safe: expected standalone or secure"),
        ("controller=10.0.0.1:1", "controller=10.0.0.1:1: expected tcp:ADDRESS:PORT"),
        ("listen=65536", "listen=65536: expected a TCP port or off"),
        ("listen=0", "a TCP port must be 1 to 65535"),
        ("mgmt=eth0", "mgmt=eth0: expected mac:MAC, index:N or none"),
        ("ip=10.0.0.1", "ip=10.0.0.1: expected dhcp or ADDRESS/PREFIX"),
        ("ip=10.0.0.1/33", "not an address that a host can have"),
        ("gw=10.0.0.1", "gw= needs ip=ADDRESS/PREFIX"),
        ("mgmt=none ip=dhcp", "mgmt=none takes neither ip= nor gw="),
        (
            "port=p1@52:54:00:00:00",
            "port=p1@52:54:00:00:00: expected NAME@MAC or NAME@index:N, then #OFPORT",
        ),
        ("port=p1@index:1 port=p1@index:2", "two ports have the same name"),
        ("port=p1@index:0", "one NIC is given two uses"),
        ("port=a@index:1#7 port=b@index:2#7", "two ports have the same OpenFlow number"),
        ("port=a@index:1#65280", "an OpenFlow port number must be 1 to 65279"),
        ("mgmt=mac:01:00:00:00:00:00", "a NIC cannot have a multicast MAC"),
        ("log=loud", "log=loud: expected off, error, warn, info, debug or trace"),
        ("on-panic=cry", "on-panic=cry: expected halt, reset or poweroff"),
        ("mac-age=0", "the MAC table needs an age from 1 s and 1 to 1000000 entries"),
        ("bridge=", "names take 1 to 15 letters, digits, '-', '_' or '.'"),
    ] {
        assert_eq!(BootConfig::from_text(line).unwrap_err().to_string(), expect, "{line}");
    }
}

fn any_nic() -> impl Strategy<Value = NicMatch> {
    prop_oneof![
        any::<[u8; 6]>().prop_map(|mut m| {
            m[0] &= 0xfe;
            NicMatch::Mac(Mac(m))
        }),
        any::<u16>().prop_map(NicMatch::Index),
    ]
}

fn any_address() -> impl Strategy<Value = Address> {
    let host = (1u8..=223, any::<u8>(), any::<u8>(), any::<u8>())
        .prop_map(|(a, b, c, d)| Ipv4Addr::new(a, b, c, d));
    prop_oneof![
        Just(Address::Dhcp),
        (host.clone(), 0u8..=32, proptest::option::of(host)).prop_map(
            |(address, prefix_len, gateway)| Address::Static { address, prefix_len, gateway }
        ),
    ]
}

fn any_controller() -> impl Strategy<Value = Controller> {
    let address = prop_oneof![
        any::<u32>().prop_map(|a| IpAddr::V4(Ipv4Addr::from(a))),
        any::<u128>().prop_map(|a| IpAddr::V6(Ipv6Addr::from(a))),
    ];
    (address, 1u16..).prop_map(|(address, port)| Controller { address, port })
}

fn any_config() -> impl Strategy<Value = BootConfig> {
    let name = "[a-z0-9_.-]{1,15}";
    let port = (any_nic(), name, proptest::option::of(1u16..=0xfeff))
        .prop_map(|(nic, name, ofport)| PortSeed { nic, name, ofport });
    let bridge = (
        name,
        any::<Option<u64>>(),
        prop_oneof![Just(FailMode::Standalone), Just(FailMode::Secure)],
        proptest::collection::vec(any_controller(), 0..5),
        proptest::option::of(1u16..),
        proptest::collection::vec(port, 0..6),
    );
    let machine = (
        proptest::option::of(
            (any_nic(), any_address()).prop_map(|(nic, address)| Management { nic, address }),
        ),
        1u16..,
        1u32..=1_000_000,
        any::<u32>(),
        prop_oneof![Just(LogLevel::Off), Just(LogLevel::Warn), Just(LogLevel::Trace)],
        prop_oneof![Just(OnPanic::Halt), Just(OnPanic::Reset), Just(OnPanic::PowerOff)],
        proptest::collection::vec(("[a-z][a-z-]{0,20}", "[a-zA-Z0-9.:_-]{1,20}"), 0..4),
        "[ -!#-~]{0,60}",
        proptest::collection::vec("[a-z-]{1,12}", 0..4),
    );
    (bridge, machine)
        .prop_map(|(b, m)| BootConfig {
            bridge: b.0,
            datapath_id: b.1,
            fail_mode: b.2,
            controllers: b.3,
            listen: b.4,
            ports: b.5,
            management: m.0,
            mac_age_s: m.1,
            mac_table_size: m.2,
            self_check_one_in: m.3,
            log: m.4,
            on_panic: m.5,
            other_config: m.6,
            vsctl: m.7,
            nic_without: m.8,
        })
        .prop_filter("valid", |config| config.validate().is_ok())
}

#[test]
fn features_that_nics_do_without() {
    let read = |text: &str| BootConfig::from_text(text).map(|read| read.config.nic_without);
    let text = "nic-without=packed,in-order nic-without=event-idx";
    assert_eq!(read(text), Ok(["packed", "in-order", "event-idx"].map(String::from).to_vec()));
    for bad in ["nic-without=", "nic-without=a,,b", "nic-without=a/b"] {
        assert_eq!(read(bad), Err(TextError::Invalid(Invalid::NicWithout)), "{bad}");
    }
}

#[test]
fn statements_are_words_in_quotes() {
    let read = |text: &str| BootConfig::from_text(text).map(|read| read.config.vsctl);
    let text = "log=warn vsctl=\"add-br a -- add-port a p\" vsctl=x bridge=b";
    assert_eq!(read(text), Ok("add-br a -- add-port a p -- x".into()));
    assert_eq!(read("vsctl=\"\u{e9}\""), Err(TextError::Invalid(Invalid::Vsctl)));
    assert_eq!(read("vsctl=\"a b"), Ok("a b".into()));
}

proptest! {
    #[test]
    fn both_spellings_come_back(config in any_config()) {
        prop_assert_eq!(BootConfig::decode(&config.encode().unwrap()), Ok(config.clone()));
        let text = config.to_string();
        let read = BootConfig::from_text(&text).unwrap();
        prop_assert_eq!(read.config, config);
        prop_assert!(read.unknown.is_empty());
    }

    #[test]
    fn one_flipped_bit_is_always_found(config in any_config(), at: prop::sample::Index, bit in 0u8..8) {
        let mut blob = config.encode().unwrap();
        let at = at.index(blob.len());
        // The two reserved bytes are under the checksum as well.
        blob[at] ^= 1 << bit;
        prop_assert!(BootConfig::decode(&blob).is_err());
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), framed: bool) {
        let mut blob = bytes;
        if framed {
            let mut frame = b"USWC\x01\x00\x00\x00".to_vec();
            frame.extend_from_slice(&u32::try_from(blob.len()).unwrap().to_le_bytes());
            frame.append(&mut blob);
            blob = frame;
        }
        let _ = BootConfig::decode(&blob);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,80}|((port|ip|gw|mgmt|controller|listen)=[a-z0-9:./#@\\[\\]]{0,12} ){0,4}") {
        let read: Result<FromText<'_>, TextError> = BootConfig::from_text(&text);
        if let Err(why) = read {
            let line: String = why.to_string();
            prop_assert!(line.starts_with(""));
        }
    }
}

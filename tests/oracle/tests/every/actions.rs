//! Every action, in every version that has it: its bytes, a frame in, the frames out.

use core::ops::RangeInclusive;

use crate::frames::{self, Make, hex, seal};
use crate::lab::Lab;
use crate::wire::{self, Match, VERSIONS, Wire, nicira_action};

/// An action's number: the standard's, Nicira's, or the ONF's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    Std(u16),
    Nx(u16),
    Onf(u16),
}

use Id::{Nx, Onf, Std};

/// What comes out.
enum Out {
    /// By port 2, to which an output behind the actions sends it.
    As(Make),
    /// By these ports, by the actions themselves.
    By(&'static [(u32, Make)]),
    /// The controller is told once.
    Told,
}

use Out::{As, By, Told};

struct Case {
    id: Id,
    versions: RangeInclusive<Wire>,
    /// Entries of the match: what the actions need.
    needs: &'static str,
    before: fn(&mut Lab, Wire),
    does: fn(Wire) -> Vec<u8>,
    frame: Make,
    out: Out,
}

const fn case(
    id: Id,
    versions: RangeInclusive<Wire>,
    needs: &'static str,
    does: fn(Wire) -> Vec<u8>,
    frame: Make,
    out: Out,
) -> Case {
    Case { id, versions, needs, before: |_, _| {}, does, frame, out }
}

impl Case {
    const fn after(mut self, before: fn(&mut Lab, Wire)) -> Case {
        self.before = before;
        self
    }
}

// ---- Frames: what was there, with bytes replaced, put in, taken out ----

fn put(frame: Vec<u8>, at: usize, text: &str) -> Vec<u8> {
    let (mut frame, bytes) = (frame, hex(text));
    frame[at..at + bytes.len()].copy_from_slice(&bytes);
    seal(frame)
}

fn insert(frame: &[u8], at: usize, text: &str) -> Vec<u8> {
    [&frame[..at], &hex(text), &frame[at..]].concat()
}

/// Of [`frames::udp`]: where the destination address is.
const IP_DST: usize = 14 + 16;
/// Where ports are.
const UDP_SRC: usize = 34;

fn udp_to(address: &str) -> Vec<u8> {
    put(frames::udp(), IP_DST, address)
}

// ---- Bytes of actions that several cases use ----

const REG0: &str = "00010004";
const NXM_IP_DST: &str = "00001004";

/// Shows a register: it becomes the destination address.
fn show(header: &str) -> Vec<u8> {
    wire::copy(32, &hex(header), &hex(NXM_IP_DST))
}

/// Loads register 0.
fn load(value: &str) -> Vec<u8> {
    nicira_action(7, &hex(&format!("001f {REG0} 00000000 {value}")))
}

fn nx(subtype: u16, body: &str) -> Vec<u8> {
    nicira_action(subtype, &hex(body))
}

/// An output of 1.1 and later, or of 1.0, to a port named by its low 16 bits.
fn output(version: Wire, port: &str) -> Vec<u8> {
    match version {
        1 => hex(&format!("0000 0008 {port} ffff")),
        _ if port.starts_with('f') => hex(&format!("0000 0010 ffff{port} ffff 000000000000")),
        _ => hex(&format!("0000 0010 0000{port} ffff 000000000000")),
    }
}

/// Group 1: all of one bucket, which sends to port 3.
fn group(lab: &mut Lab, version: Wire) {
    let to = wire::output(version, 3);
    let len = |n: usize| u16::try_from(n).expect("short").to_be_bytes();
    let message = match version {
        // In 1.0 by Nicira's message, in the form of 1.5.
        1 | 6 => {
            let bucket = [&len(8 + to.len())[..], &len(to.len()), &hex("00000000"), &to].concat();
            let head = [hex("0000 00 00 00000001"), len(bucket.len()).to_vec()].concat();
            let body = [head, hex("0000 ffffffff"), bucket].concat();
            if version == 1 { wire::nicira(1, 31, &body) } else { wire::message(6, 15, &body) }
        }
        _ => {
            let bucket = [&len(16 + to.len())[..], &hex("0000 ffffffff ffffffff 00000000"), &to];
            let body = [hex("0000 00 00 00000001"), bucket.concat()].concat();
            wire::message(version, 15, &body)
        }
    };
    lab.tell(&message).expect("a group");
}

/// Meter 1, which lets pass what comes here.
fn meter(lab: &mut Lab, version: Wire) {
    let band = "0001 0010 0000ffff 00000000 00000000";
    let message = wire::message(version, 29, &hex(&format!("0000 0001 00000001 {band}")));
    lab.tell(&message).expect("a meter");
}

fn options(lab: &mut Lab, version: Wire) {
    lab.tell(&wire::map_options(version)).expect("room for two options");
}

fn no_oracle(lab: &mut Lab, _: Wire) {
    lab.without_oracle();
}

/// What comes in by port 4, and what table 5 gets, goes to port 3.
fn other_rules(lab: &mut Lab, version: Wire) {
    let to = wire::apply(version, &wire::output(version, 3));
    let from_4 = Match::Entries(hex("00000002 0004"));
    lab.tell(&wire::add(version, 0, 9, &from_4, &to)).expect("a rule");
    lab.tell(&wire::add(version, 5, 9, &Match::all(), &to)).expect("a rule");
}

const V4: &str = "00000602 0800";
const UDP: &str = "00000602 0800 00000c01 11";
const TCP: &str = "00000602 0800 00000c01 06";
const MPLS: &str = "00000602 8847";
const PBB: &str = "00000602 88e7";
const TAG: &str = "00000904 1000 1000";
const IN_1: &str = "00000002 0001";
const IN_1_V4: &str = "00000002 0001 00000602 0800";

const NEW_SRC: &str = "0a0b0c0d0e0f";

#[rustfmt::skip]
static CASES: &[Case] = &[
    // 1.0's own numbers (1.0.1 section 5.2.4).
    case(Std(0), 1..=6, "", |v| output(v, "0003"), frames::udp, By(&[(3, frames::udp)])),
    case(Std(0), 1..=6, "", |v| output(v, "0001"), frames::udp, By(&[])),
    case(Std(0), 1..=6, "", |v| output(v, "fff8"), frames::udp, By(&[(1, frames::udp)])),
    case(Std(0), 1..=6, "", |v| output(v, "fffa"), frames::udp, By(&[(2, frames::udp), (3, frames::udp), (4, frames::udp)])),
    case(Std(0), 1..=6, "", |v| output(v, "fffb"), frames::udp, By(&[(2, frames::udp), (3, frames::udp), (4, frames::udp)])),
    case(Std(0), 1..=6, "", |v| output(v, "fffc"), frames::udp, By(&[(2, frames::udp), (3, frames::udp), (4, frames::udp)])),
    case(Std(0), 1..=6, "", |v| output(v, "fffd"), frames::udp, Told),
    case(Std(1), 1..=1, "", |_| hex("0001 0008 0005 0000"), frames::udp, As(|| insert(&frames::udp(), 12, "8100 0005"))),
    case(Std(1), 1..=1, "", |_| hex("0001 0008 0005 0000"), frames::tagged, As(|| put(frames::tagged(), 14, "a005"))),
    case(Std(2), 1..=1, "", |_| hex("0002 0008 03 000000"), frames::udp, As(|| insert(&frames::udp(), 12, "8100 6000"))),
    case(Std(2), 1..=1, "", |_| hex("0002 0008 03 000000"), frames::tagged, As(|| put(frames::tagged(), 14, "6123"))),
    case(Std(3), 1..=1, "", |_| hex("0003 0008 00000000"), frames::tagged, As(frames::udp)),
    case(Std(4), 1..=1, "", |_| hex("0004 0010 0a0b0c0d0e0f 000000000000"), frames::udp, As(|| put(frames::udp(), 6, NEW_SRC))),
    case(Std(5), 1..=1, "", |_| hex("0005 0010 0a0b0c0d0e0f 000000000000"), frames::udp, As(|| put(frames::udp(), 0, NEW_SRC))),
    case(Std(6), 1..=1, V4, |_| hex("0006 0008 c0a80101"), frames::udp, As(|| put(frames::udp(), 26, "c0a80101"))),
    case(Std(7), 1..=1, V4, |_| hex("0007 0008 c0a80101"), frames::udp, As(|| udp_to("c0a80101"))),
    case(Std(8), 1..=1, V4, |_| hex("0008 0008 28 000000"), frames::udp, As(|| put(frames::udp(), 15, "29"))),
    case(Std(9), 1..=1, UDP, |_| hex("0009 0008 2222 0000"), frames::udp, As(|| put(frames::udp(), UDP_SRC, "2222"))),
    case(Std(10), 1..=1, TCP, |_| hex("000a 0008 2222 0000"), frames::tcp, As(|| put(frames::tcp(), UDP_SRC + 2, "2222"))),
    case(Std(11), 1..=1, "", |_| hex("000b 0010 0003 000000000000 00000001"), frames::udp, By(&[(3, frames::udp)])),
    // 1.1's (1.1 section A.2.5).
    case(Std(1), 2..=6, TAG, |_| hex("0001 0008 0005 0000"), frames::tagged, As(|| put(frames::tagged(), 14, "a005"))),
    case(Std(2), 2..=6, TAG, |_| hex("0002 0008 03 000000"), frames::tagged, As(|| put(frames::tagged(), 14, "6123"))),
    case(Std(3), 2..=6, "", |_| hex("0003 0010 0a0b0c0d0e0f 000000000000"), frames::udp, As(|| put(frames::udp(), 6, NEW_SRC))),
    case(Std(4), 2..=6, "", |_| hex("0004 0010 0a0b0c0d0e0f 000000000000"), frames::udp, As(|| put(frames::udp(), 0, NEW_SRC))),
    case(Std(5), 2..=6, V4, |_| hex("0005 0008 c0a80101"), frames::udp, As(|| put(frames::udp(), 26, "c0a80101"))),
    case(Std(6), 2..=6, V4, |_| hex("0006 0008 c0a80101"), frames::udp, As(|| udp_to("c0a80101"))),
    case(Std(7), 2..=6, V4, |_| hex("0007 0008 28 000000"), frames::udp, As(|| put(frames::udp(), 15, "29"))),
    case(Std(8), 2..=6, V4, |_| hex("0008 0008 02 000000"), frames::udp, As(|| put(frames::udp(), 15, "ba"))),
    case(Std(9), 2..=6, UDP, |_| hex("0009 0008 2222 0000"), frames::udp, As(|| put(frames::udp(), UDP_SRC, "2222"))),
    case(Std(10), 2..=6, TCP, |_| hex("000a 0008 2222 0000"), frames::tcp, As(|| put(frames::tcp(), UDP_SRC + 2, "2222"))),
    case(Std(13), 2..=6, MPLS, |_| hex("000d 0008 00012345"), frames::mpls, As(|| put(frames::mpls(), 14, "12345b09"))),
    case(Std(14), 2..=6, MPLS, |_| hex("000e 0008 03 000000"), frames::mpls, As(|| put(frames::mpls(), 14, "54321709"))),
    // What 1.1 and the later ones share (1.3.5 section 7.2.5).
    case(Std(11), 2..=6, MPLS, |_| hex("000b 0008 00000000"), frames::mpls, As(|| put(frames::mpls(), 17, "40"))),
    case(Std(11), 2..=6, MPLS, |_| hex("000b 0008 00000000"), frames::mpls_twice, As(|| put(frames::mpls_twice(), 17, "09"))),
    case(Std(12), 2..=6, MPLS, |_| hex("000c 0008 00000000"), frames::mpls, As(|| put(frames::mpls(), 18 + 8, "09"))),
    case(Std(12), 2..=6, MPLS, |_| hex("000c 0008 00000000"), frames::mpls_twice, As(|| put(frames::mpls_twice(), 21, "08"))),
    case(Std(15), 2..=6, MPLS, |_| hex("000f 0008 21 000000"), frames::mpls, As(|| put(frames::mpls(), 17, "21"))),
    case(Std(16), 2..=6, MPLS, |_| hex("0010 0008 00000000"), frames::mpls, As(|| put(frames::mpls(), 17, "08"))),
    case(Std(17), 2..=6, "", |_| hex("0011 0008 8100 0000"), frames::udp, As(|| insert(&frames::udp(), 12, "8100 0000"))),
    case(Std(17), 2..=6, "", |_| hex("0011 0008 88a8 0000"), frames::tagged, As(|| insert(&frames::tagged(), 12, "88a8 a123"))),
    case(Std(18), 2..=6, TAG, |_| hex("0012 0008 00000000"), frames::tagged, As(frames::udp)),
    case(Std(18), 2..=6, TAG, |_| hex("0012 0008 00000000"), frames::tagged_twice, As(frames::tagged)),
    case(Std(19), 2..=6, V4, |_| hex("0013 0008 8847 0000"), frames::udp, As(|| put(insert(&frames::udp(), 14, "00000d40"), 12, "8847"))),
    case(Std(19), 2..=6, MPLS, |_| hex("0013 0008 8847 0000"), frames::mpls, As(|| insert(&frames::mpls(), 14, "54321a09"))),
    case(Std(20), 2..=6, MPLS, |_| hex("0014 0008 0800 0000"), frames::mpls, As(frames::udp)),
    case(Std(20), 2..=6, MPLS, |_| hex("0014 0008 8847 0000"), frames::mpls_twice, As(frames::mpls)),
    case(Std(21), 2..=6, "", |_| hex("0015 0008 00000001"), frames::udp, As(frames::udp)),
    case(Std(22), 2..=6, "", |_| hex("0016 0008 00000001"), frames::udp, By(&[(3, frames::udp)])).after(group),
    case(Std(23), 2..=6, V4, |_| hex("0017 0008 21 000000"), frames::udp, As(|| put(frames::udp(), 22, "21"))),
    case(Std(24), 2..=6, V4, |_| hex("0018 0008 00000000"), frames::udp, As(|| put(frames::udp(), 22, "3f"))),
    // Of every field in `fields`.
    case(Std(25), 3..=6, V4, |_| hex("0019 0010 80001804 c0a80101 00000000"), frames::udp, As(|| udp_to("c0a80101"))),
    case(Std(26), 4..=6, "", |_| hex("001a 0008 88e7 0000"), frames::udp, As(|| [&frames::udp()[..12], &hex("88e7 00000000"), &frames::udp()].concat())),
    case(Std(27), 4..=6, PBB, |_| hex("001b 0008 00000000"), frames::pbb, As(frames::udp)),
    case(Std(28), 6..=6, UDP, |_| hex("001c 0018 0010 0000 0000 0000 80001e02 80002002 00000000"), frames::udp, As(|| put(frames::udp(), UDP_SRC + 2, "1388"))),
    case(Std(29), 6..=6, "", |_| hex("001d 0008 00000001"), frames::udp, As(frames::udp)).after(meter),
    case(Onf(3200), 1..=6, UDP, |_| hex("ffff 0020 4f4e4600 0c80 0000 0010 0000 0000 0000 80001e02 80002002 00000000"), frames::udp, As(|| put(frames::udp(), UDP_SRC + 2, "1388"))),
    // Nicira's.
    case(Nx(1), 1..=6, IN_1, |_| nx(1, "0004 00000000"), frames::udp, By(&[(3, frames::udp)])).after(other_rules),
    case(Nx(2), 1..=6, V4, |_| [nx(2, "0000 c0a80101"), show("00012008")].concat(), frames::udp, As(|| udp_to("c0a80101"))),
    case(Nx(4), 1..=6, "", |_| nx(4, "0000 00000001"), frames::udp, As(frames::udp)),
    case(Nx(5), 1..=6, "", |_| nx(5, "000000000000"), frames::udp, As(frames::udp)),
    case(Nx(6), 1..=6, UDP, |_| nx(6, "0010 0000 0000 00001602 00001802"), frames::udp, As(|| put(frames::udp(), UDP_SRC + 2, "1388"))),
    case(Nx(6), 1..=6, UDP, |_| nx(6, "0004 0004 0008 00001602 00001802"), frames::udp, As(|| put(frames::udp(), UDP_SRC + 2, "0835"))),
    case(Nx(7), 1..=6, UDP, |_| nx(7, "0107 00001802 00000000000000ab"), frames::udp, As(|| put(frames::udp(), UDP_SRC + 2, "0ab5"))),
    case(Nx(8), 1..=6, "", |_| nx(8, "010203040506"), frames::udp, As(frames::udp)),
    case(Nx(9), 1..=6, V4, |_| [nx(9, "000000000000 00000007c0a80101"), show("00012008")].concat(), frames::udp, As(|| udp_to("c0a80101"))),
    case(Nx(10), 1..=6, V4, |_| [load("ffffffff"), nx(10, "0000 0000 0000 0000 0000 00000000 0000 001f 00010004"), show(REG0)].concat(), frames::udp, As(|| udp_to("00000000"))).after(no_oracle),
    case(Nx(12), 1..=6, "", |_| nx(12, "0000 0000 0000 00000002 0002 0000 00000000 00000000 0009 0003"), frames::udp, By(&[(3, frames::udp)])).after(no_oracle),
    case(Nx(13), 1..=6, V4, |_| [nx(13, "0000 0000 0000 00000002 0002 001f 00010004 00000000 0009 0003"), show(REG0)].concat(), frames::udp, As(|| udp_to("00000003"))).after(no_oracle),
    case(Nx(14), 1..=6, "", |_| nx(14, "fff8 05 000000"), frames::udp, By(&[(3, frames::udp)])).after(other_rules),
    case(Nx(15), 1..=6, "", |_| [load("00000003"), nx(15, "001f 00010004 ffff 000000000000")].concat(), frames::udp, By(&[(3, frames::udp)])),
    case(Nx(16), 1..=6, "", |_| nx(16, "0000 0000 8000 0000000000000000 0000 05 00 0000 0000  0030 00000406 0000 00000206 0000  1010 00000002 0000  0000"), frames::udp, As(frames::udp)).after(no_oracle),
    case(Nx(17), 1..=6, "", |v| [wire::output(v, 3), nx(17, "000000000000"), wire::output(v, 2)].concat(), frames::udp, By(&[(3, frames::udp)])),
    case(Nx(18), 1..=6, V4, |_| nx(18, "000000000000"), frames::udp, As(|| put(frames::udp(), 22, "3f"))),
    case(Nx(19), 1..=6, TCP, |_| nx(19, "000a 0014 0000"), frames::tcp, As(frames::tcp)).after(no_oracle),
    case(Nx(20), 1..=6, "", |_| nx(20, "ffff 0000 01 00"), frames::udp, Told),
    case(Nx(21), 1..=6, V4, |_| nx(21, "0001 00000000 0000"), frames::udp, As(|| put(frames::udp(), 22, "3f"))),
    case(Nx(22), 1..=1, "", |v| [wire::output(v, 2), nx(22, "000000000000 0000000000000007 ffffffffffffffff")].concat(), frames::udp, By(&[(2, frames::udp)])),
    case(Nx(23), 1..=6, V4, |_| nx(23, "8847 00000000"), frames::udp, As(|| put(insert(&frames::udp(), 14, "00000d40"), 12, "8847"))),
    case(Nx(24), 1..=6, MPLS, |_| nx(24, "0800 00000000"), frames::mpls, As(frames::udp)),
    case(Nx(25), 1..=6, MPLS, |_| nx(25, "21 0000000000"), frames::mpls, As(|| put(frames::mpls(), 17, "21"))),
    case(Nx(26), 1..=6, MPLS, |_| nx(26, "000000000000"), frames::mpls, As(|| put(frames::mpls(), 17, "08"))),
    case(Nx(27), 1..=6, UDP, |_| [nx(27, "0000 00001602 0010 000000000000"), nx(28, "0000 00001802 0010 000000000000")].concat(), frames::udp, As(|| put(frames::udp(), UDP_SRC + 2, "1388"))).after(no_oracle),
    case(Nx(28), 1..=6, UDP, |_| [nx(27, "0000 00001602 0010 000000000000"), nx(28, "0008 00001802 0004 000000000000")].concat(), frames::udp, As(|| put(frames::udp(), UDP_SRC + 2, "0835"))).after(no_oracle),
    case(Nx(29), 1..=6, "", |_| nx(29, "ffff 00000001 00000002 00000003"), frames::udp, As(frames::udp)),
    case(Nx(30), 1..=6, MPLS, |_| nx(30, "0000 00012345"), frames::mpls, As(|| put(frames::mpls(), 14, "12345b09"))),
    case(Nx(31), 1..=6, MPLS, |_| nx(31, "03 0000000000"), frames::mpls, As(|| put(frames::mpls(), 14, "54321709"))),
    case(Nx(32), 1..=6, "", |_| [load("00000003"), nx(32, "001f ffff 00010004 000000000000")].concat(), frames::udp, By(&[(3, frames::udp)])),
    case(Nx(33), 1..=6, V4, |_| nx(33, "00001108 c0a80000 ffff0000"), frames::udp, As(|| udp_to("c0a80002"))),
    // Two of these make a match: `fields` has them. One alone is a miss.
    case(Nx(34), 1..=3, "", |_| nx(34, "00 02 00000007"), frames::udp, Told).after(no_oracle),
    case(Nx(34), 4..=6, "", |_| nx(34, "00 02 00000007"), frames::udp, By(&[])).after(no_oracle),
    case(Nx(37), 1..=6, "", |_| nx(37, "000000000000 0000 0006 0040 0000 0002 0005 01 000000 0003 0006 abcd 0000"), frames::udp, Told),
    case(Nx(38), 1..=6, "", |_| nx(38, "ffff 00000001 00000002 00000003 0002 000000000000"), frames::udp, As(frames::udp)),
    case(Nx(39), 1..=6, "", |_| nx(39, "0003 00000020"), frames::udp, By(&[(3, || frames::udp()[..32].to_vec())])),
    case(Nx(40), 1..=1, "", |_| nx(40, "0000 00000001"), frames::udp, By(&[(3, frames::udp)])).after(group),
    case(Nx(41), 1..=6, "", |_| nx(41, "ffff 00000001 00000002 00000003 0002 02 0000000000"), frames::udp, As(frames::udp)),
    case(Nx(42), 1..=6, V4, |v| {
        let inner = [hex("000000000000"), nx(18, "000000000000"), wire::output(v, 3)].concat();
        [nicira_action(42, &inner), wire::output(v, 2)].concat()
    }, frames::udp, By(&[(3, || put(frames::udp(), 22, "3f")), (2, frames::udp)])).after(no_oracle),
    case(Nx(45), 1..=6, "", |_| nx(45, "0000 0000 8000 0000000000000000 0000 05 00 0000 0000 00000005 0000 0000  0030 00000406 0000 00000206 0000  1010 00000002 0000  0000"), frames::udp, As(frames::udp)).after(no_oracle),
    case(Nx(49), 1..=6, IN_1_V4, |_| [nx(49, "0032 0000 00010004"), show(REG0)].concat(), frames::udp, As(|| udp_to("00000001"))),
    case(Nx(49), 1..=6, IN_1_V4, |_| [nx(49, "0040 0000 00010004"), show(REG0)].concat(), frames::udp, As(|| udp_to("00000000"))),
    case(Nx(50), 1..=6, V4, |_| {
        let filled = nx(7, "001f 00015004 00000000 c0a80101");
        let deleted = nx(50, "00015004 00000000000000000000");
        [filled, deleted, show("00015004")].concat()
    }, frames::udp, As(|| udp_to("00000000"))).after(|lab, version| {
        options(lab, version);
        lab.without_oracle();
    }),
];

/// Known, and refused by their own errors: connection tracking, which this datapath has not, and in 1.1 and
/// later an instruction in the guise of an action.
const REFUSED: [u16; 5] = [22, 35, 36, 43, 44];

#[test]
fn every_action_does_what_it_says() {
    let mut n_cases = 0;
    for case in CASES {
        for version in case.versions.clone() {
            let mut lab = Lab::new(version);
            (case.before)(&mut lab, version);
            let mut actions = (case.does)(version);
            if matches!(case.out, As(_)) {
                actions.extend(wire::output(version, 2));
            }
            let name = format!("{:?} in version {version}: {actions:02x?}", case.id);
            let rule = wire::apply(version, &actions);
            lab.tell(&wire::add(version, 0, 10, &Match::Entries(hex(case.needs)), &rule))
                .unwrap_or_else(|error| panic!("{name}: refused by {error:?}"));
            let n_rules = lab.n_rules();
            let fate = lab.frame(1, &(case.frame)());
            let sent: Vec<_> = match case.out {
                As(make) => vec![(2, make())],
                By(all) => all.iter().map(|(port, make)| (*port, make())).collect(),
                Told => Vec::new(),
            };
            assert_eq!(fate.sent, sent, "{name}");
            assert_eq!(fate.told.len(), usize::from(matches!(case.out, Told)), "{name}");
            let learns = matches!(case.id, Nx(16 | 45));
            assert_eq!(lab.n_rules(), n_rules + u64::from(learns), "{name}: rules that it made");
            n_cases += 1;
        }
    }
    println!("{n_cases} actions");
}

/// Whether the version knows an action of this number: whatever its length, the error is not about its type.
fn is_known(lab: &mut Lab, version: Wire, id: Id) -> bool {
    // OFPBAC_BAD_TYPE, OFPBAC_BAD_VENDOR_TYPE
    let (head, unknown) = match id {
        Std(kind) => (kind.to_be_bytes().to_vec(), (2, 0)),
        Nx(_) | Onf(_) => (vec![0xff, 0xff], (2, 3)),
    };
    [8_u16, 16, 24, 32, 40].into_iter().any(|len| {
        let mut action = [&head[..], &len.to_be_bytes()].concat();
        match id {
            Std(_) => {}
            Nx(subtype) => action.extend([&hex("00002320")[..], &subtype.to_be_bytes()].concat()),
            Onf(subtype) => action.extend([&hex("4f4e4600")[..], &subtype.to_be_bytes()].concat()),
        }
        if action.len() > usize::from(len) {
            return false;
        }
        action.resize(len.into(), 0);
        let does = wire::apply(version, &action);
        lab.tell(&wire::add(version, 0, 1, &Match::all(), &does)) != Err(unknown)
    })
}

#[test]
fn every_number_that_the_codec_takes_has_a_case() {
    for version in VERSIONS {
        let mut lab = Lab::new(version);
        lab.without_oracle();
        let standard = (0..=64).map(Std);
        let onf = (3198..=3202).map(Onf);
        for id in standard.chain((0..=80).map(Nx)).chain(onf) {
            let has_case =
                CASES.iter().any(|case| case.id == id && case.versions.contains(&version));
            let is_refused = matches!(id, Nx(subtype) if REFUSED.contains(&subtype));
            let is_known = is_known(&mut lab, version, id);
            assert_eq!(is_known, has_case || is_refused, "{id:?} in version {version}");
        }
    }
}

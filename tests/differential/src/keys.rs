//! Keys taken out of frames, ours beside Open vSwitch's: the described frames of the fuzz corpus, well-formed
//! and not, each one cut off at every length and changed at random.

use std::collections::BTreeMap;
use std::fmt;

use flow::proto::eth_type as ethertype;
use flow::{FlowMeta, extract};
use oracle::random::Rng;

use crate::ovs::{OTHER_PORT, Ovs};
use crate::random::without_exthdr;

const CORPUS: [&str; 4] = [
    include_str!("../../fuzz/corpus/frame/l2.hex"),
    include_str!("../../fuzz/corpus/frame/mpls.hex"),
    include_str!("../../fuzz/corpus/frame/ipv4.hex"),
    include_str!("../../fuzz/corpus/frame/ipv6.hex"),
];

/// An Ethernet header: what is shorter no switch takes.
const MIN: usize = 14;
/// Longer frames are not traced.
const MAX: usize = 1500;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Frames compared.
    pub frames: u64,
    /// Differences that are right, by reason.
    pub explained: BTreeMap<&'static str, u64>,
    /// Differences without a reason.
    pub unexplained: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (why, n) in &self.explained {
            writeln!(f, "{n} explained: {why}")?;
        }
        write!(f, "compared {} keys: {} unexplained differences", self.frames, self.unexplained)
    }
}

/// The frames of the corpus, with what is said of them.
fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut what = "";
    for line in CORPUS.iter().flat_map(|file| file.lines()) {
        if let Some(said) = line.strip_prefix('#') {
            what = said.trim();
            continue;
        }
        let digits: Vec<u8> = line.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        };
        let frame: Vec<u8> = digits.chunks(2).filter_map(byte).collect();
        if frame.len() >= MIN {
            frames.push((what, frame));
        }
    }
    frames
}

/// Changes a frame once to three times.
fn mutate(frame: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..=rng.below(3) {
        let at = rng.below(frame.len());
        match rng.below(5) {
            0 => frame[at] ^= 1 << rng.below(8),
            1 => frame[at] = rng.next_u64().to_le_bytes()[0],
            // Values at which lengths and types change their meaning.
            2 => frame[at] = rng.pick(&[0, 1, 4, 5, 6, 17, 43, 44, 51, 58, 60, 0x7f, 0x80, 0xff]),
            3 => frame.truncate(at.max(MIN)),
            _ => {
                let part = frame[at..].to_vec();
                frame.extend_from_slice(&part);
            }
        }
    }
    frame.truncate(MAX);
}

/// Compares the keys of at least `n` frames: those of the corpus, each cut off everywhere while there is room
/// for it, then changed ones.
///
/// # Errors
/// When Open vSwitch cannot be run.
pub fn compare_keys(n: u64, seed: u64, mut tell: impl FnMut(&str)) -> Result<Tally, String> {
    let mut ovs = Ovs::start()?;
    let mut tally = Tally::default();
    let mut rng = Rng::new(seed);
    let corpus = corpus();
    for (what, frame) in &corpus {
        compare_frame(&mut ovs, frame, what, &mut tally, &mut tell)?;
    }
    // Half of them are cut off: all lengths of all frames are some eight thousand.
    let mut cuts: Vec<(&str, &[u8])> = corpus
        .iter()
        .flat_map(|(what, frame)| (MIN..frame.len()).map(|len| (*what, &frame[..len])))
        .collect();
    while tally.frames < n / 2 && !cuts.is_empty() {
        let (what, frame) = cuts.swap_remove(rng.below(cuts.len()));
        compare_frame(&mut ovs, frame, &format!("{what}, cut off"), &mut tally, &mut tell)?;
    }
    while tally.frames < n {
        let (what, frame) = &corpus[rng.below(corpus.len())];
        let mut frame = frame.clone();
        mutate(&mut frame, &mut rng);
        compare_frame(&mut ovs, &frame, &format!("{what}, changed"), &mut tally, &mut tell)?;
    }
    Ok(tally)
}

fn compare_frame(
    ovs: &mut Ovs,
    frame: &[u8],
    what: &str,
    tally: &mut Tally,
    tell: &mut impl FnMut(&str),
) -> Result<(), String> {
    let key = extract(frame, &FlowMeta::of_port(OTHER_PORT)).flow;
    let ours = without_exthdr(&key.to_string());
    let theirs = ovs.extract(frame)?;
    tally.frames += 1;
    if ours == theirs {
        return Ok(());
    }
    let why = (key.eth_type() == ethertype::PBB).then_some("Open vSwitch does not know PBB");
    match why {
        Some(why) => *tally.explained.entry(why).or_default() += 1,
        None => {
            tally.unexplained += 1;
            let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
            tell(&format!("{what}\n  frame  {hex}\n  ours   {ours}\n  theirs {theirs}"));
        }
    }
    Ok(())
}

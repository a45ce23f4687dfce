//! The stock tool reads what we write, and we read what it writes.
//!
//! `golden/*.txt` holds messages as bytes and as the text that `ovs-ofctl ofp-print` makes of them,
//! so that the first test means something without the tool too. `UPDATE_GOLDEN=1 cargo test` with the
//! tool at hand writes them anew.

mod common;

#[path = "ovs_ofctl/alike.rs"]
mod alike;
#[path = "ovs_ofctl/flows.rs"]
mod flows;
#[path = "ovs_ofctl/messages.rs"]
mod messages;
#[path = "ovs_ofctl/newer.rs"]
mod newer;
#[path = "ovs_ofctl/switch.rs"]
mod switch;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use flow::text::NoNames;
use openflow::*;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRng, TestRunner};

/// Whether the tool is there; says so when it is not.
fn has_tool() -> bool {
    let has = Command::new("ovs-ofctl").arg("--version").output().is_ok();
    if !has {
        eprintln!("skipped: ovs-ofctl is not installed (package openvswitch-common)");
    }
    has
}

/// What `ovs-ofctl` prints for these messages.
fn print_with_tool(bytes: &[u8]) -> String {
    static N_FILES: AtomicUsize = AtomicUsize::new(0);
    let number = N_FILES.fetch_add(1, Ordering::Relaxed);
    let name = format!("uniswitch-openflow-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, bytes).expect("a temporary file");
    let output = Command::new("ovs-ofctl").arg("ofp-parse").arg(&path).output().expect("it runs");
    let _ = std::fs::remove_file(&path);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn encode(message: &Message, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(version, 2, &mut bytes).expect("short enough");
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.chunks(32).fold(String::new(), |mut text, line| {
        line.iter().for_each(|byte| write!(text, "{byte:02x}").expect("a string takes it"));
        text + "\n"
    })
}

/// A golden file: for each message its name, its bytes, and what the tool prints.
fn golden_text(version: Version) -> String {
    let mut text = String::new();
    for (name, message) in messages::all(version) {
        let bytes = encode(&message, version);
        let printed = print_with_tool(&bytes);
        write!(text, "# {name}\n{}{printed}\n", hex(&bytes)).expect("a string takes it");
    }
    text
}

fn golden_path(version: Version) -> PathBuf {
    let name = format!("tests/ovs_ofctl/{version}.txt").to_lowercase();
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn check_golden(version: Version) {
    let path = golden_path(version);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, golden_text(version)).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).expect("the golden file is there");
    for (name, message) in messages::all(version) {
        let bytes = encode(&message, version);
        let entry = format!("# {name}\n{}", hex(&bytes));
        assert!(golden.contains(&entry), "{version} {name} is encoded in another way:\n{entry}");
        let (_, decoded) = decode(&bytes).expect("our own message");
        assert_eq!(encode(&decoded, version), bytes, "{version} {name}");
        // The others say some things in another way, or not at all.
        if matches!(version, Version::V10 | Version::V13) {
            assert_eq!(decoded, message, "{version} {name}");
        }
    }
}

#[test]
fn messages_are_those_of_the_golden_files() {
    for version in Version::ALL {
        check_golden(version);
    }
}

/// The tool still prints what the golden files say. Other versions of it may print otherwise; that is
/// worth seeing.
#[test]
fn tool_agrees_with_golden() {
    if !has_tool() {
        return;
    }
    for version in Version::ALL {
        let golden = std::fs::read_to_string(golden_path(version)).expect("the golden file");
        assert_eq!(golden, golden_text(version));
    }
}

/// The tool finds nothing wrong with whatever we write.
#[test]
fn tool_reads_arbitrary_messages() {
    if !has_tool() {
        return;
    }
    let mut runner = TestRunner::deterministic();
    for version in Version::ALL {
        let strategy = common::message(version)
            .prop_filter("the tool knows it", move |message| messages::is_known(message, version));
        let mut bytes = Vec::new();
        let mut all = Vec::new();
        for _ in 0..400 {
            let message = strategy.new_tree(&mut runner).expect("a message").current();
            bytes.extend(encode(&message, version));
            all.push(message);
        }
        let printed = print_with_tool(&bytes);
        // Each message begins a line with its name and its transaction number.
        let mut messages = all.iter();
        let mut message = None;
        for line in printed.lines() {
            if line.contains("(xid=0x2)") {
                message = messages.next();
            }
            assert!(!line.contains("***decode error"), "{version}: {line}\n{message:?}");
        }
        assert!(messages.next().is_none());
    }
}

/// Flow-mods that the tool sends mean what the same text means to us.
#[test]
fn tool_and_text_agree() {
    if !has_tool() {
        return;
    }
    for version in Version::ALL {
        let switch = switch::Switch::start(version);
        for text in flows::FLOWS {
            // The versions that the tool can say the flow in.
            let (versions, text) = match text.strip_prefix('@').and_then(|t| t.split_once(' ')) {
                Some((versions, text)) => (versions, text),
                None => ("012345", *text),
            };
            if !versions.contains(&(version.wire() - 1).to_string()) {
                continue;
            }
            let Some(sent) = switch.add_flow(text) else {
                // Only the fixed match of 1.1 cannot say what 1.0 with Nicira's and 1.2 can.
                assert_eq!(version, Version::V11, "{text}: the tool does not say it");
                continue;
            };
            let read = text::parse_flow(text, FlowModCommand::Add).expect(text);
            // A version may say a match in its own way: "no tag" has no priority bits in 1.3.
            let mut dialect = Dialect::plain(version);
            dialect.flow_mod_table_id = true;
            let mut bytes = Vec::new();
            let message = Message::FlowMod(Box::new(read.clone()));
            dialect.encode(&message, 1, &mut bytes).expect("short enough");
            let Ok((_, Message::FlowMod(again))) = dialect.decode(&bytes) else {
                panic!("{version} {text}: not read again")
            };
            assert_eq!(sent.match_, again.match_, "{version} {text}: match");
            let ports = &NoNames;
            let words = |instructions: &Instructions| {
                text::InstructionsText { instructions, ports }.to_string()
            };
            // 1.1 and 1.5 have set-fields where others have loads, and the like.
            let has_own_words = matches!(version, Version::V11 | Version::V15);
            let told = if has_own_words { &again.instructions } else { &read.instructions };
            let (sent_text, read_text) = (words(&sent.instructions), words(told));
            assert_eq!(sent_text, read_text, "{version} {text}: actions");
            assert_eq!(
                (sent.priority, sent.new_cookie, sent.idle_timeout, sent.hard_timeout),
                (read.priority, read.new_cookie, read.idle_timeout, read.hard_timeout),
                "{version} {text}"
            );
        }
    }
}

/// What the tool prints of the match and the actions of a rule is what we print.
#[test]
fn tool_prints_rules_as_we_do() {
    if !has_tool() {
        return;
    }
    // One message in some twenty is a rule to add.
    let config = Config { max_local_rejects: u32::MAX, ..Config::default() };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    // The tool has older words for what 1.0 and 1.1 bring, as `mod_dl_src` for a set-field.
    for version in [Version::V12, Version::V13, Version::V14, Version::V15] {
        let strategy = common::message(version).prop_filter_map("a known rule", move |message| {
            let Message::FlowMod(flow_mod) = &message else { return None };
            let is_add = flow_mod.command == FlowModCommand::Add;
            (is_add && messages::is_known(&message, version)).then_some(message)
        });
        let (mut bytes, mut all) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            let message = strategy.new_tree(&mut runner).expect("a message").current();
            bytes.extend(encode(&message, version));
            all.push(message);
        }
        let printed = print_with_tool(&bytes);
        let lines = printed.lines().filter(|line| line.contains("(xid=0x2)"));
        let (mut n_rules, mut wrong) = (0, Vec::new());
        for (line, message) in lines.zip(&all) {
            let Message::FlowMod(flow_mod) = message else { panic!("{message:?}") };
            let theirs = line.split_once("actions=").map_or("", |(_, actions)| actions);
            let ours = flow_mod.instructions.to_string();
            if theirs != ours {
                wrong.push(format!("{version}\n< {ours}\n> {theirs}"));
            }
            n_rules += 1;
        }
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
        assert_eq!(n_rules, all.len(), "{version}");
    }
}

//! Every command that the manual of `ovs-ofctl` lists for switches, in every version of OpenFlow: the tool
//! must say of the image what it says of a stock Open vSwitch beside it.
//!
//! The scripts in `manual/` are lists of commands without the switch's name. `[2-4] COMMAND` is for OpenFlow
//! 1.2 to 1.4. `file NAME` begins a file of the indented lines that follow, which commands name as `@NAME`.
//! An indented line `differs: WORDS -- WHY` behind a command says that the image may answer otherwise, and
//! what it then says. Both switches begin each script without rules, groups and meters. Lists are compared
//! without regard to their order, unless the command is about order.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use vm::{Bench, Config, Reference, VERSIONS, masked, tool};

const SCRIPTS: [(&str, &str); 8] = [
    ("switch", include_str!("manual/switch.txt")),
    ("flows", include_str!("manual/flows.txt")),
    ("syntax", include_str!("manual/syntax.txt")),
    ("packets", include_str!("manual/packets.txt")),
    ("groups", include_str!("manual/groups.txt")),
    ("meters", include_str!("manual/meters.txt")),
    ("tunnels", include_str!("manual/tunnels.txt")),
    ("extensions", include_str!("manual/extensions.txt")),
];

#[test]
fn as_of_open_vswitch() {
    let bench = Bench::boot(Config::new(3));
    let reference = Reference::start(3);
    let mut n_commands = 0;
    let mut wrong = Vec::new();
    for (name, text) in SCRIPTS {
        bench.case(format!("script {name}"));
        let script = Script::read(text, bench.dir());
        for (minor, version) in VERSIONS.into_iter().enumerate() {
            let lines = script.lines_of(minor);
            let switches = [bench.target(), reference.target()];
            // Side by side: neither waits for the other.
            let [ours, theirs] = thread::scope(|scope| {
                let runs = switches.map(|target| {
                    let (lines, dir) = (&lines, bench.dir());
                    scope.spawn(move || run(lines, version, &target, dir))
                });
                runs.map(|run| run.join().expect("a run that ends"))
            });
            n_commands += lines.len();
            for ((line, ours), theirs) in lines.iter().zip(ours).zip(theirs) {
                let may_differ = line.differs.as_ref().is_some_and(|words| ours.contains(words));
                if ours != theirs && !may_differ {
                    let command = line.words.join(" ");
                    wrong.push(format!("{version} {command}\n< {ours}\n> {theirs}"));
                }
            }
        }
    }
    println!("{n_commands} commands answered as by Open vSwitch");
    assert!(wrong.is_empty(), "{} differ from Open vSwitch:\n{}", wrong.len(), wrong.join("\n"));
    bench.shutdown();
}

/// A command, and how the image may differ.
struct Line {
    minors: (usize, usize),
    words: Vec<String>,
    differs: Option<String>,
}

struct Script(Vec<Line>);

impl Script {
    /// Reads a script and makes its files in `dir`.
    fn read(text: &str, dir: &Path) -> Self {
        let mut lines: Vec<Line> = Vec::new();
        let mut files: BTreeMap<&str, String> = BTreeMap::new();
        let mut open = None;
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(inner) = line.strip_prefix("  ") {
                if let Some(name) = open {
                    let file = files.entry(name).or_default();
                    *file += inner;
                    *file += "\n";
                } else {
                    let words = inner.strip_prefix("differs: ").expect("an exception");
                    let (words, _why) = words.split_once(" -- ").expect("a reason");
                    lines.last_mut().expect("a command").differs = Some(words.into());
                }
            } else if let Some(name) = line.strip_prefix("file ") {
                open = Some(name);
            } else {
                open = None;
                lines.push(Line::read(line));
            }
        }
        for (name, text) in files {
            fs::write(dir.join(name), text).expect("a file");
        }
        Self(lines)
    }

    fn lines_of(&self, minor: usize) -> Vec<&Line> {
        self.0.iter().filter(|line| (line.minors.0..=line.minors.1).contains(&minor)).collect()
    }
}

impl Line {
    fn read(line: &str) -> Self {
        let (minors, command) = match line.strip_prefix('[') {
            Some(rest) => {
                let (minors, command) = rest.split_once("] ").expect("versions");
                let (first, last) = minors.split_once('-').unwrap_or((minors, minors));
                let number = |text: &str| text.parse().expect("a version");
                ((number(first), number(last)), command)
            }
            None => ((0, VERSIONS.len() - 1), line),
        };
        let words = command.split_whitespace().map(str::to_owned).collect();
        Self { minors, words, differs: None }
    }
}

/// What the tool says of each command; exit status included.
fn run(lines: &[&Line], version: &str, target: &str, dir: &Path) -> Vec<String> {
    for clear in ["del-flows", "del-groups", "del-meters"] {
        ofctl("OpenFlow13", target, dir, &[clear.to_owned()]);
    }
    let says = |line: &Line| {
        let mut said = ofctl(version, target, dir, &line.words);
        // Open vSwitch says that rules are gone before it has let go of what they name.
        let is_clear = line.words == ["del-tlv-map"];
        for _ in 0..600 {
            if !is_clear || !said.contains("NXTTMFC_INVALID_TLV_DEL") {
                break;
            }
            thread::sleep(Duration::from_millis(100));
            said = ofctl(version, target, dir, &line.words);
        }
        said
    };
    lines.iter().map(|line| says(line)).collect()
}

fn ofctl(version: &str, target: &str, dir: &Path, words: &[String]) -> String {
    let mut command = Command::new(tool::need("ovs-ofctl", "openvswitch-common"));
    command.args(["-O", version, "--timeout=60", "-vconsole:off"]);
    let (options, words): (Vec<_>, Vec<_>) =
        words.iter().partition(|word| word.starts_with('-') && word.len() > 1);
    command.args(options.iter().map(|option| option.as_str()));
    let (name, arguments) = words.split_first().expect("a command");
    command.arg(name).arg(target);
    for word in arguments {
        match word.strip_prefix('@') {
            Some(file) => command.arg(dir.join(file)),
            None => command.arg(word),
        };
    }
    let output = command.stdin(Stdio::null()).env("OVS_RUNDIR", dir).output().expect("ovs-ofctl");
    let said = [output.stdout, output.stderr].concat();
    let said = masked(&String::from_utf8_lossy(&said)).replace(target, "SWITCH");
    let is_about_order = options.iter().any(|option| option.contains("sort"));
    let mut lines: Vec<&str> = said.lines().collect();
    let is_list = name.starts_with("dump-") || *name == "diff-flows";
    if is_list && !is_about_order {
        lines.sort_unstable();
    }
    format!("{}\nexit status {:?}", lines.join("\n"), output.status.code())
}

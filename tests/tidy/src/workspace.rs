//! The workspace as cargo sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// The only target that the image is built for.
const IMAGE_TARGET: &str = "x86_64-unknown-linux-gnu";

/// A member of the workspace.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name, which is also its folder's.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// The folder from the root of the repository, with `/`.
    pub path: String,
    /// The names of the packages that its code (not its tests, not its build script) uses.
    pub uses: BTreeSet<String>,
}

impl Package {
    /// Whether it is linked into the image.
    #[must_use]
    pub fn is_in_image(&self) -> bool {
        ["appliance", "drivers", "pipeline"]
            .iter()
            .any(|top| self.path == *top || self.path.starts_with(&format!("{top}/")))
    }

    /// The roots of its library and its binary, those that exist.
    #[must_use]
    pub fn roots(&self) -> Vec<PathBuf> {
        ["src/lib.rs", "src/main.rs"]
            .iter()
            .map(|root| self.dir.join(root))
            .filter(|root| root.is_file())
            .collect()
    }

    /// All Rust sources below its folder, but for members inside it.
    #[must_use]
    pub fn sources(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for place in ["src", "tests", "benches", "examples", "build.rs"] {
            collect(&self.dir.join(place), &mut found);
        }
        found.sort();
        found
    }
}

fn collect(path: &Path, into: &mut Vec<PathBuf>) {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a source folder is readable");
        for entry in entries {
            collect(&entry.expect("a source folder is readable").path(), into);
        }
    } else if path.extension().is_some_and(|ext| ext == "rs") {
        into.push(path.to_owned());
    }
}

/// All members, and the registry packages below the image.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The repository's root.
    pub root: PathBuf,
    /// The members, by name.
    pub members: BTreeMap<String, Package>,
    /// The registry packages that the image links.
    pub image_dependencies: BTreeSet<String>,
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Panics
    /// When cargo does not answer as documented: the checks cannot run then.
    #[must_use]
    pub fn load() -> Self {
        let metadata =
            cargo(&["metadata", "--format-version=1", "--filter-platform", IMAGE_TARGET]);
        let metadata = serde_json::from_str(&metadata).expect("cargo metadata is JSON");
        let (root, members) = members(&metadata);
        let image_dependencies = image_dependencies(&members);
        Self { root, members, image_dependencies }
    }
}

fn members(metadata: &Value) -> (PathBuf, BTreeMap<String, Package>) {
    let root = PathBuf::from(text(&metadata["workspace_root"]));
    let member_ids: BTreeSet<&str> = list(&metadata["workspace_members"]).map(text).collect();
    let mut members = BTreeMap::new();
    for package in list(&metadata["packages"]) {
        if !member_ids.contains(text(&package["id"])) {
            continue;
        }
        let dir = PathBuf::from(text(&package["manifest_path"]));
        let dir = dir.parent().expect("a manifest is in a folder").to_owned();
        let path = dir.strip_prefix(&root).expect("members are in the workspace");
        let path = path.to_string_lossy().replace('\\', "/");
        let uses = list(&package["dependencies"])
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| text(&dependency["name"]).to_owned())
            .collect();
        let name = text(&package["name"]).to_owned();
        members.insert(name.clone(), Package { name, dir, path, uses });
    }
    (root, members)
}

/// The names of the registry packages that are linked below `appliance`. Procedural macros and build
/// scripts run on the host and are left out, with what only they need. (`cargo tree` tells, because
/// `cargo metadata` lists packages too that only features of other members would ask for.)
fn image_dependencies(members: &BTreeMap<String, Package>) -> BTreeSet<String> {
    let edges = ["tree", "--package=appliance", "--edges=normal,no-proc-macro"];
    let format = ["--prefix=none", "--format={p}", "--target", IMAGE_TARGET];
    cargo(&[&edges[..], &format].concat())
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| !members.contains_key(*name))
        .map(str::to_owned)
        .collect()
}

/// What a cargo command prints.
fn cargo(arguments: &[&str]) -> String {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?} failed:\n{errors}");
    String::from_utf8(output.stdout).expect("cargo prints text")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("cargo metadata has a string here")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("cargo metadata has a list here").iter()
}

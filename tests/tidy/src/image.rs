//! The registry crates in the image, against the reviewed list.

use std::collections::BTreeMap;

use crate::Workspace;

/// Where the list is, from the repository's root.
pub const LIST: &str = "tests/tidy/image-dependencies.txt";

/// Differences between the list and what cargo resolves for the image.
#[must_use]
pub fn check_dependencies(workspace: &Workspace, list: &str) -> Vec<String> {
    let (reviewed, mut wrong) = parse(list);
    for name in &workspace.image_dependencies {
        if !reviewed.contains_key(name.as_str()) {
            wrong.push(format!(
                "{LIST}: `{name}` would be linked into the image. Review it (no std, no libc, kept \
                 up, small), then add `{name}: <why it may be there>`; or avoid it."
            ));
        }
    }
    for name in reviewed.keys() {
        if !workspace.image_dependencies.contains(*name) {
            wrong.push(format!("{LIST}: `{name}` is not in the image any more. Remove its line."));
        }
    }
    wrong
}

/// The list by name, and the lines that are not `name: reason`.
fn parse(list: &str) -> (BTreeMap<&str, &str>, Vec<String>) {
    let (mut reviewed, mut wrong) = (BTreeMap::new(), Vec::new());
    for (n, line) in list.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once(':').map(|(name, reason)| (name.trim(), reason.trim())) {
            Some((name, reason)) if reason.len() > 10 => {
                if reviewed.insert(name, reason).is_some() {
                    wrong.push(format!("{LIST}:{}: `{name}` is listed twice.", n + 1));
                }
            }
            _ => wrong.push(format!("{LIST}:{}: write `name: reason`, with a reason.", n + 1)),
        }
    }
    (reviewed, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_needs_a_reason() {
        let (reviewed, wrong) =
            parse("# why\nspin: locks without an OS\nlog:\nspin: again, twice\n");
        assert_eq!(reviewed.keys().copied().collect::<Vec<_>>(), ["spin"]);
        assert_eq!(wrong.len(), 2);
    }
}

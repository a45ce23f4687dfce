//! The repository as it stands. Each failure lists every violation and says what to do.

use std::fs;
use std::sync::LazyLock;

use tidy::{Workspace, crates, direction, image, sources};

static WORKSPACE: LazyLock<Workspace> = LazyLock::new(Workspace::load);

#[track_caller]
fn expect_none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n\n{}\n", wrong.join("\n"));
}

#[test]
fn crates_use_only_whom_they_may() {
    expect_none(direction::check_edges(&WORKSPACE));
}

#[test]
fn folder_and_package_have_one_name() {
    expect_none(direction::check_names(&WORKSPACE));
}

#[test]
fn crates_do_not_name_what_they_must_not_know() {
    expect_none(sources::check_absences(&WORKSPACE));
}

#[test]
fn unsafe_has_few_addresses() {
    expect_none(crates::check_unsafe(&WORKSPACE));
}

#[test]
fn the_readme_is_the_crate_documentation() {
    expect_none(crates::check_readme(&WORKSPACE));
}

#[test]
fn image_crates_are_no_std() {
    expect_none(crates::check_no_std(&WORKSPACE));
}

#[test]
fn every_crate_inherits_the_lints() {
    expect_none(crates::check_lints(&WORKSPACE));
}

#[test]
fn members_are_named_through_the_workspace() {
    expect_none(crates::check_inherited(&WORKSPACE));
}

#[test]
fn nothing_is_left_unfinished() {
    expect_none(sources::check_unfinished(&WORKSPACE));
}

#[test]
fn files_are_short() {
    for (path, n_lines) in sources::longer_than(&WORKSPACE, sources::LONG) {
        println!("{path}: {n_lines} lines of code, a smell");
    }
    expect_none(sources::check_length(&WORKSPACE));
}

#[test]
fn image_dependencies_are_reviewed() {
    let list = fs::read_to_string(WORKSPACE.root.join(image::LIST)).expect("the list is there");
    expect_none(image::check_dependencies(&WORKSPACE, &list));
}

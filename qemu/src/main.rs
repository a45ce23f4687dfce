//! The launcher: builds the image, boots it, and shows what it does.

fn main() {}

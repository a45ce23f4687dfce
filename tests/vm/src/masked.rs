//! Texts of tools without what differs from run to run.

/// `text` with transaction ids, durations and ages replaced: `xid=X`, `duration=D` or `duration:D`,
/// `idle_age=N`; without `hard_age`.
#[must_use]
pub fn masked(text: &str) -> String {
    let rules = [
        ("xid=0x", "xid=X", "0123456789abcdef"),
        ("duration=", "duration=D", "0123456789.s"),
        ("duration:", "duration:D", "0123456789.s"),
        ("idle_age=", "idle_age=N", "0123456789"),
        // Told where it is another number of seconds than the duration, which is chance.
        (", hard_age=", "", "0123456789"),
    ];
    rules.iter().fold(text.to_owned(), |text, (key, replacement, digits)| {
        let mut parts = text.split(key);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            out += replacement;
            out += part.trim_start_matches(|c| digits.contains(c));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn only_what_changes_is_masked() {
        let text =
            "reply (xid=0x1f): cookie=0x1, duration=1.25s, table=0, idle_age=12, hard_age=3, ip";
        let wanted = "reply (xid=X): cookie=0x1, duration=D, table=0, idle_age=N, ip";
        assert_eq!(masked(text), wanted);
    }
}

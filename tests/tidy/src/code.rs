//! Rust sources, as far as the checks need to understand them.

/// The source with comments, string and character literals replaced by spaces; lines stay lines.
/// What is left can be searched for words without meeting prose or test data.
#[must_use]
pub fn blanked(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < bytes.len() {
        let len = skipped_len(source, at);
        if len == 0 {
            let next = source[at..].chars().next().map_or(1, char::len_utf8);
            code.push_str(&source[at..at + next]);
            at += next;
        } else {
            let end = (at + len).min(bytes.len());
            code.extend(source[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// The length of the comment or literal that begins at `at`; 0 if none does.
fn skipped_len(source: &str, at: usize) -> usize {
    let rest = &source[at..];
    let after_word = source[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment_len(rest);
    }
    if rest.starts_with('"') {
        return quoted_len(rest, '"');
    }
    if !after_word {
        for (prefix, quote) in [("b\"", '"'), ("c\"", '"'), ("b'", '\'')] {
            if rest.starts_with(prefix) {
                return 1 + quoted_len(&rest[1..], quote);
            }
        }
        for prefix in ["r", "br", "cr"] {
            if let Some(raw) = rest.strip_prefix(prefix)
                && let Some(len) = raw_string_len(raw)
            {
                return prefix.len() + len;
            }
        }
    }
    if rest.starts_with('\'') && is_char_literal(rest) {
        return quoted_len(rest, '\'');
    }
    0
}

fn block_comment_len(rest: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        let tail = &rest[at..];
        if tail.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if tail.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn quoted_len(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    rest.len()
}

/// The length of a raw string without its prefix letters, if this is one.
fn raw_string_len(raw: &str) -> Option<usize> {
    let n_hashes = raw.bytes().take_while(|&byte| byte == b'#').count();
    let text = raw[n_hashes..].strip_prefix('"')?;
    let end = format!("\"{}", &raw[..n_hashes]);
    Some(text.find(&end).map_or(raw.len(), |len| n_hashes + 1 + len + end.len()))
}

/// Whether the quote begins a character and not a lifetime.
fn is_char_literal(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => true,
        (Some(_), Some(close)) => close == '\'',
        _ => false,
    }
}

/// Whether `word` stands in the code as a word of its own.
#[must_use]
pub fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].ends_with(is_part) && !code[at + word.len()..].starts_with(is_part)
    })
}

/// The code up to the first test module inside the file.
#[must_use]
pub fn without_test_module(code: &str) -> &str {
    for (at, attribute) in code.match_indices("#[cfg(test)]") {
        let item = code[at + attribute.len()..].trim_start();
        let is_module = item.starts_with("mod ") || item.starts_with("pub mod ");
        let opens = item.find(['{', ';']).is_some_and(|end| item[end..].starts_with('{'));
        if is_module && opens {
            return &code[..at];
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        let check = |source: &str, expected: &str| {
            let code = blanked(source);
            assert_eq!(code.split_whitespace().collect::<Vec<_>>().join(" "), expected);
            assert_eq!(code.lines().count(), source.lines().count());
        };
        check("a // unsafe\nb", "a b");
        check("a /* x /* unsafe */ y */ b", "a b");
        check(r#"f("unsafe \" // x") g"#, "f( ) g");
        check(r##"f(r#"un"safe"#, br"\", 'x', '\'', b'"') g"##, "f( , , , , ) g");
        check("fn f<'a>(x: &'a str) -> char { 'a' }", "fn f<'a>(x: &'a str) -> char { }");
        check("let for_r = r; \"unsafe\"", "let for_r = r;");
        check("\"two\nlines\" x", "x");
    }

    #[test]
    fn words_stand_alone() {
        assert!(has_word("x = unsafe { y }", "unsafe"));
        assert!(!has_word("forbid(unsafe_code)", "unsafe"));
        assert!(!has_word("my_unsafe", "unsafe"));
    }

    #[test]
    fn test_modules_are_cut_off() {
        assert_eq!(without_test_module("a\n#[cfg(test)]\nmod tests {\nb }"), "a\n");
        let own_file = "a\n#[cfg(test)]\nmod tests;\nb";
        assert_eq!(without_test_module(own_file), own_file);
        let import = "#[cfg(test)]\nextern crate std;\nfn f() {}";
        assert_eq!(without_test_module(import), import);
    }
}

//! Files of scenarios: text in, lines with their numbers out.

/// A statement with its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it stands.
    pub number: usize,
    /// Its text.
    pub text: String,
    /// The lines below it that are indented.
    pub block: Vec<String>,
}

/// One story on a bridge of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What it shows.
    pub title: String,
    /// Its statements.
    pub lines: Vec<Line>,
}

/// Reads a file.
///
/// # Errors
///
/// The number of a line that stands where it has no meaning.
pub fn read(text: &str) -> Result<Vec<Scenario>, usize> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix("scenario ") {
            scenarios.push(Scenario { title: title.to_owned(), lines: Vec::new() });
            continue;
        }
        let scenario = scenarios.last_mut().ok_or(number)?;
        match line.strip_prefix("  ") {
            None => scenario.lines.push(Line { number, text: line.to_owned(), block: Vec::new() }),
            Some(inner) => {
                scenario.lines.last_mut().ok_or(number)?.block.push(inner.to_owned());
            }
        }
    }
    Ok(scenarios)
}

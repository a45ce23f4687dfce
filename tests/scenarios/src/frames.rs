//! Frames written as text: `tcp,nw_src=… `, `payload=20 udp,…`, or `hex 0102…`.

use flow::text::{NoNames, parse_flow};
use flow::{Field, Flow, FlowMeta, compose, extract};

/// A frame and the flow text it came from, if it did.
pub(crate) fn frame(text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim();
    if let Some(digits) = text.strip_prefix("hex ") {
        return from_hex(digits).ok_or_else(|| format!("not hexadecimal: {digits}"));
    }
    let (payload, text) = match text.strip_prefix("payload=") {
        None => (26, text),
        Some(rest) => {
            let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            (number.parse().map_err(|_| format!("payload={number}"))?, rest)
        }
    };
    Ok(compose(&key(text)?, payload))
}

/// The frame that a text describes, with another value of a field.
pub(crate) fn frame_with(text: &str, field: Field, value: u128) -> Result<Vec<u8>, String> {
    let mut flow = key(text)?;
    flow.set(field, flow.get(field).wrapping_add(value) & field.ones());
    Ok(compose(&flow, 26))
}

/// The key that a text describes, without ingress port.
pub(crate) fn key(text: &str) -> Result<Flow, String> {
    let mut flow = parse_flow(text, &NoNames).map_err(|error| error.to_string())?;
    flow.set_in_port(0);
    Ok(flow)
}

/// The key of a frame, without ingress port.
pub(crate) fn key_of(frame: &[u8]) -> Flow {
    extract(frame, &FlowMeta::default()).flow
}

/// A frame as text for people: its key and its bytes.
pub(crate) fn show(frame: &[u8]) -> String {
    let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}\n    hex {hex}", key_of(frame))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| u8::try_from(high << 4 | low).ok());
    if rest.is_empty() { bytes.collect() } else { None }
}

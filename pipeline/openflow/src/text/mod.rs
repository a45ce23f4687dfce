//! The text form of flows: that of `ovs-ofctl`.

/// A number as `ovs-ofctl` reads it: decimal, or hexadecimal after `0x`.
pub(crate) fn number(text: &str) -> Option<u128> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u128::from_str_radix(digits, 16).ok(),
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
}

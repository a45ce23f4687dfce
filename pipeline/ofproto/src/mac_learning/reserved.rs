//! Destinations that a bridge does not forward.

use flow::EtherAddr;

/// Whether frames to `mac` stay on their link: the addresses of IEEE 802.1Q table 8-1
/// (01:80:c2:00:00:00 to 0f) and those of the vendor protocols that OVS treats alike.
#[must_use]
pub fn is_reserved(mac: EtherAddr) -> bool {
    match mac.0 {
        [0x01, 0x80, 0xc2, 0x00, 0x00, last] => last <= 0x0f,
        [0x00, 0xe0, 0x2b, 0x00, 0x00, last] => matches!(last, 0x00 | 0x04 | 0x06),
        [0x01, 0x00, 0x0c, 0x00, 0x00, 0x00] | [0x01, 0x00, 0x0c, 0xcd, 0xcd, 0xcd] => true,
        [0x01, 0x00, 0x0c, 0xcc, 0xcc, last] => matches!(last, 0xc0..=0xcf),
        _ => false,
    }
}

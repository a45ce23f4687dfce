//! Transport headers.

use super::cursor::{Cursor, be16};
use super::{Extracted, Malformed, Put};
use crate::addr::EtherAddr;
use crate::layout::{ARP_SHA, ARP_THA, ND_TARGET, TP};
use crate::proto::{FRAG_LATER, ND_ADVERT, ND_SOLICIT, ip_proto};

const TCP_HEADER: usize = 20;
const TCP_FLAGS: u16 = 0x0fff;
const ND_SOURCE_ADDRESS: u8 = 1;
const ND_TARGET_ADDRESS: u8 = 2;

impl Extracted {
    /// Reads the transport header, which only an unfragmented packet or a first fragment has.
    #[inline]
    pub(super) fn transport(
        &mut self,
        proto: u8,
        frag: u8,
        cursor: &mut Cursor<'_>,
    ) -> Result<(), Malformed> {
        if frag & FRAG_LATER != 0 {
            return Ok(());
        }
        let start = cursor.offset();
        match proto {
            ip_proto::TCP => self.tcp(cursor),
            ip_proto::UDP => cursor.peek::<8>().map(|udp| self.ports(udp)),
            ip_proto::SCTP => cursor.peek::<12>().map(|[head @ .., _, _, _, _]| self.ports(head)),
            ip_proto::ICMP => cursor.peek::<8>().map(|icmp| self.type_and_code(icmp, 0)),
            ip_proto::IGMP => cursor.peek::<8>().map(|[a, b, c, d, group @ ..]| {
                self.type_and_code(&[*a, *b, *c, *d, 0, 0, 0, 0], u32::from_be_bytes(*group));
            }),
            ip_proto::ICMPV6 => return self.icmpv6(cursor),
            _ => Some(()),
        }
        .ok_or(Malformed::Transport)?;
        self.offsets.set_l4(start);
        Ok(())
    }

    #[inline]
    fn tcp(&mut self, cursor: &Cursor<'_>) -> Option<()> {
        let [src0, src1, dst0, dst1, _, _, _, _, _, _, _, _, control_high, control_low, ..] =
            *cursor.peek::<TCP_HEADER>()?;
        let control = be16(control_high, control_low);
        let header_len = usize::from(control >> 12) * 4;
        if header_len < TCP_HEADER || header_len > cursor.len() {
            return None;
        }
        self.put(ARP_SHA, u64::from(control & TCP_FLAGS));
        self.put(TP, u64::from_be_bytes([src0, src1, dst0, dst1, 0, 0, 0, 0]));
        Some(())
    }

    #[inline]
    fn ports(&mut self, header: &[u8; 8]) {
        let [src0, src1, dst0, dst1, ..] = *header;
        self.put(TP, u64::from_be_bytes([src0, src1, dst0, dst1, 0, 0, 0, 0]));
    }

    #[inline]
    fn type_and_code(&mut self, header: &[u8; 8], low: u32) {
        let [ty, code, ..] = *header;
        let word = u64::from(ty) << 48 | u64::from(code) << 32 | u64::from(low);
        self.put(TP, word);
    }

    /// ICMPv6, with target and link-layer addresses of neighbour discovery (RFC 4861 §4.3, §4.4).
    #[inline(never)]
    fn icmpv6(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
        let start = cursor.offset();
        let header = cursor.pull::<8>().ok_or(Malformed::Transport)?;
        let [ty, code, _, _, reserved @ ..] = *header;
        self.offsets.set_l4(start);
        let is_nd = code == 0 && matches!(u16::from(ty), ND_SOLICIT | ND_ADVERT);
        if !is_nd {
            self.type_and_code(header, 0);
            return Ok(());
        }
        self.type_and_code(header, u32::from_be_bytes(reserved));
        let Some(target) = cursor.pull::<16>() else {
            return Ok(());
        };
        let options = nd_options(cursor);
        let first_type = u64::from(options.first_type) << 8;
        self.put(ARP_THA, first_type);
        if options.is_contradictory {
            return Err(Malformed::NdOption);
        }
        let (halves, _) = target.as_chunks::<8>();
        if let [high, low] = halves {
            self.put(ND_TARGET, u64::from_be_bytes(*high));
            self.put(ND_TARGET + 1, u64::from_be_bytes(*low));
        }
        self.put(ARP_SHA, options.source.to_u64() << 16);
        self.put(ARP_THA, options.target.to_u64() << 16 | first_type);
        Ok(())
    }
}

#[derive(Default)]
struct NdOptions {
    source: EtherAddr,
    target: EtherAddr,
    first_type: u8,
    /// The same address was given twice.
    is_contradictory: bool,
}

/// Walks the options until one is cut off or has no length.
fn nd_options(cursor: &mut Cursor<'_>) -> NdOptions {
    let mut found = NdOptions::default();
    while let Some([ty, len, address @ ..]) = cursor.peek::<8>() {
        let size = usize::from(*len) * 8;
        if size == 0 || size > cursor.len() {
            break;
        }
        let slot = match (*ty, size) {
            (ND_SOURCE_ADDRESS, 8) => Some(&mut found.source),
            (ND_TARGET_ADDRESS, 8) => Some(&mut found.target),
            _ => None,
        };
        if let Some(slot) = slot {
            if *slot != EtherAddr::ZERO {
                found.is_contradictory = true;
                break;
            }
            *slot = EtherAddr(*address);
            if found.first_type == 0 {
                found.first_type = *ty;
            }
        }
        if cursor.skip(size).is_none() {
            break;
        }
    }
    found
}

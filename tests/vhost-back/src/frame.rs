//! The frames that are sent: UDP over IPv4, with the time in the payload.

/// Bytes before the frame: the header of virtio-net with a number of buffers (virtio 1.2 §5.1.6), one here.
pub(crate) const HEADER: usize = 12;
const N_BUFFERS: usize = 10;
/// Flows each way, told by their IPv4 source: as many as dpdk-testpmd makes.
const FLOWS: u16 = 1024;
/// Where the payload of UDP begins.
const PAYLOAD: usize = 14 + 20 + 8;
/// The payload: a word by which frames are known, and the time in nanoseconds.
const MARK: u32 = 0x756e_6973;
/// The least that has all this.
pub(crate) const LEAST: usize = PAYLOAD + 4 + 8;
/// So much of a frame tells its time.
pub(crate) const LOOK: usize = HEADER + LEAST;

/// A frame that is sent again and again, changed a little.
#[derive(Debug)]
pub(crate) struct Frame {
    bytes: Vec<u8>,
    flow: u16,
}

impl Frame {
    /// From the station behind one port, 0 or 1, to that behind the other.
    pub(crate) fn new(from: u8, len: usize) -> Self {
        let len = len.max(LEAST);
        let mut bytes = vec![0; HEADER + len];
        bytes[N_BUFFERS] = 1;
        let frame = &mut bytes[HEADER..];
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 3, 1 - from]);
        frame[6..12].copy_from_slice(&[2, 0, 0, 0, 3, from]);
        frame[12..14].copy_from_slice(&[8, 0]);
        let [high, low] = u16::try_from(len - 14).unwrap_or(u16::MAX).to_be_bytes();
        frame[14..24].copy_from_slice(&[0x45, 0, high, low, 0, 0, 0, 0, 64, 17]);
        frame[30..34].copy_from_slice(&[10, 1, 0, from]);
        frame[34..38].copy_from_slice(&[3, 232, 7, 208]);
        let udp = u16::try_from(len - 34).unwrap_or(u16::MAX);
        frame[38..40].copy_from_slice(&udp.to_be_bytes());
        frame[PAYLOAD..PAYLOAD + 4].copy_from_slice(&MARK.to_le_bytes());
        Self { bytes, flow: 0 }
    }

    /// The next one: header and frame.
    pub(crate) fn next(&mut self, nanos: u64) -> &[u8] {
        self.flow = (self.flow + 1) % FLOWS;
        let flow = self.flow.to_be_bytes();
        let frame = &mut self.bytes[HEADER..];
        frame[24..26].fill(0);
        frame[26..30].copy_from_slice(&[10, 2, flow[0], flow[1]]);
        let words = frame[14..34].chunks_exact(2);
        let sum: u32 = words.map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        let checksum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or(0);
        frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        frame[PAYLOAD + 4..LEAST].copy_from_slice(&nanos.to_le_bytes());
        &self.bytes
    }
}

/// The time in a frame, of which the beginning with its header is given; none if it is not one of these.
pub(crate) fn time_of(bytes: &[u8]) -> Option<u64> {
    let (mark, time) = bytes.get(HEADER + PAYLOAD..LOOK)?.split_at(4);
    let is_ours = mark == MARK.to_le_bytes();
    is_ours.then(|| time.try_into().map(u64::from_le_bytes).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_tells_its_time() {
        let mut frame = Frame::new(1, 64);
        let bytes = frame.next(0x0123_4567_89ab_cdef).to_vec();
        assert_eq!(bytes.len(), HEADER + 64);
        assert_eq!(time_of(&bytes), Some(0x0123_4567_89ab_cdef));
        assert_eq!(time_of(&bytes[..LOOK - 1]), None);
        let mut other = bytes;
        other[HEADER + PAYLOAD] ^= 1;
        assert_eq!(time_of(&other), None);
    }

    #[test]
    fn the_header_checksum_is_right() {
        let mut frame = Frame::new(0, 1514);
        for _ in 0..=FLOWS {
            let bytes = frame.next(7);
            let words = bytes[HEADER + 14..HEADER + 34].chunks_exact(2);
            let sum: u32 = words.map(|p| u32::from(p[0]) << 8 | u32::from(p[1])).sum();
            assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
        }
    }
}

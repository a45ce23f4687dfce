//! A controller in the test's hands: an OpenFlow connection that sends what it is told, right or wrong.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use openflow::{
    Dialect, FlowMod, FlowModCommand, Header, Hello, Message, OfErrorKind, PacketIn, Version,
    frame_len,
};

use crate::bench::WAIT;

/// Where the guest sees the host's loopback.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// A flow-mod that adds, as `ovs-ofctl` writes it.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn rule(text: &str) -> FlowMod {
    openflow::text::parse_flow(text, FlowModCommand::Add).expect("a rule")
}

/// One OpenFlow connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    /// The version and the extensions that the client speaks.
    pub dialect: Dialect,
    received: Vec<u8>,
    /// Messages that came while another was waited for.
    unasked: VecDeque<(Header, Message)>,
    next_xid: u32,
}

impl Client {
    /// Connects to `address` (`tcp:HOST:PORT` or `HOST:PORT`) and shakes hands in `version`.
    ///
    /// # Errors
    /// When the connection fails or ends before the switch's hello.
    pub fn connect(address: &str, version: Version) -> io::Result<Self> {
        Self::over(Self::dial(address)?, version)
    }

    /// Waits for a connection of the switch and shakes hands in 1.3.
    ///
    /// # Panics
    /// When none comes.
    #[must_use]
    #[track_caller]
    pub fn accept(listener: &TcpListener) -> Self {
        listener.set_nonblocking(true).expect("a listener");
        let deadline = Instant::now() + WAIT;
        loop {
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false).expect("a stream");
                return Self::over(stream, Version::V13).expect("a handshake");
            }
            assert!(Instant::now() < deadline, "the switch does not connect");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Only connects.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn dial(address: &str) -> io::Result<TcpStream> {
        TcpStream::connect(address.strip_prefix("tcp:").unwrap_or(address))
    }

    /// Shakes hands on a connection, whoever made it.
    ///
    /// # Errors
    /// When the connection fails or ends before the switch's hello.
    pub fn over(stream: TcpStream, version: Version) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream,
            dialect: Dialect::plain(version),
            received: Vec::new(),
            unasked: VecDeque::new(),
            next_xid: 1,
        };
        client.send(&Message::Hello(Hello { bitmap: None }))?;
        match client.next(WAIT)? {
            Some((_, Message::Hello(_))) => Ok(client),
            other => Err(io::Error::other(format!("not a hello: {other:?}"))),
        }
    }

    /// Sends a message; gives its transaction id.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn send(&mut self, message: &Message) -> io::Result<u32> {
        let xid = self.xid();
        self.send_as(message, xid).map(|()| xid)
    }

    /// Sends a message with a transaction id that the caller has chosen.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn send_as(&mut self, message: &Message, xid: u32) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.dialect.encode(message, xid, &mut bytes).map_err(io::Error::other)?;
        self.stream.write_all(&bytes)
    }

    /// Sends a message made of these bytes, whatever they mean: type and what follows the header.
    ///
    /// # Errors
    /// When the connection fails.
    ///
    /// # Panics
    /// When the body is too long for any message.
    pub fn send_raw(&mut self, kind: u8, body: &[u8]) -> io::Result<u32> {
        let xid = self.xid();
        let len = u16::try_from(8 + body.len()).expect("a message");
        let version = self.dialect.version.wire();
        let head = [&[version, kind][..], &len.to_be_bytes(), &xid.to_be_bytes()].concat();
        self.stream.write_all(&[&head, body].concat()).map(|()| xid)
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The connection.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends a request and waits for what answers it; other messages are kept.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn ask(&mut self, message: &Message) -> Message {
        let xid = self.send(message).expect("a connection");
        self.answer(xid)
    }

    /// Waits for the message with this transaction id; other messages are kept.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub fn answer(&mut self, xid: u32) -> Message {
        let deadline = Instant::now() + WAIT;
        loop {
            match self.read(deadline) {
                Ok(Some((header, message))) if header.xid == xid => return message,
                Ok(Some(other)) => self.unasked.push_back(other),
                Ok(None) => panic!("no answer to {xid}; there were {:?}", self.unasked),
                Err(why) => panic!("no answer to {xid}: {why}; there were {:?}", self.unasked),
            }
        }
    }

    /// Waits until the switch has done all that was asked before.
    ///
    /// # Panics
    /// When it does not say so.
    #[track_caller]
    pub fn barrier(&mut self) {
        let reply = self.ask(&Message::BarrierRequest);
        assert!(matches!(reply, Message::BarrierReply), "{reply:?}");
    }

    /// Sends what is to be refused, and waits for the error; it must quote the request's header.
    ///
    /// # Panics
    /// When something else comes.
    #[track_caller]
    pub fn refused(&mut self, message: &Message) -> OfErrorKind {
        let xid = self.send(message).expect("a connection");
        self.error(xid)
    }

    /// Waits for the error that answers `xid`.
    ///
    /// # Panics
    /// When something else comes.
    #[track_caller]
    pub fn error(&mut self, xid: u32) -> OfErrorKind {
        match self.answer(xid) {
            Message::Error(error) => {
                assert_eq!(error.data.get(4..8), Some(&xid.to_be_bytes()[..]), "it quotes another");
                error.kind
            }
            other => panic!("not an error: {other:?}"),
        }
    }

    /// The next message that nobody waited for, at most `timeout` from now. Echo requests are answered on the way.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn next(&mut self, timeout: Duration) -> io::Result<Option<(Header, Message)>> {
        if let Some(kept) = self.unasked.pop_front() {
            return Ok(Some(kept));
        }
        self.read(Instant::now() + timeout)
    }

    /// The messages that came before the answer to a barrier asked now, besides it.
    #[track_caller]
    pub fn so_far(&mut self) -> Vec<Message> {
        self.barrier();
        self.unasked.drain(..).map(|(_, message)| message).collect()
    }

    /// The packet-ins among the messages so far; the others are passed over.
    #[track_caller]
    pub fn packet_ins(&mut self) -> Vec<PacketIn> {
        let messages = self.so_far().into_iter();
        messages
            .filter_map(|message| match message {
                Message::PacketIn(packet_in) => Some(*packet_in),
                _ => None,
            })
            .collect()
    }

    /// True when the switch has closed the connection; what comes before that is passed over.
    pub fn is_closed(&mut self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            match self.read(deadline) {
                Err(_) => return true,
                Ok(None) => return false,
                Ok(Some(_)) => {}
            }
        }
    }

    /// A transaction id that was not used yet.
    pub fn xid(&mut self) -> u32 {
        self.next_xid += 1;
        self.next_xid
    }

    fn read(&mut self, deadline: Instant) -> io::Result<Option<(Header, Message)>> {
        loop {
            let Some(bytes) = self.read_frame(deadline)? else {
                return Ok(None);
            };
            let (header, message) = self
                .dialect
                .decode(&bytes)
                .map_err(|why| io::Error::other(format!("{:?} in {bytes:02x?}", why.error)))?;
            if let Message::EchoRequest(data) = message {
                let mut reply = Vec::new();
                let echo = Message::EchoReply(data);
                self.dialect.encode(&echo, header.xid, &mut reply).map_err(io::Error::other)?;
                self.stream.write_all(&reply)?;
                continue;
            }
            return Ok(Some((header, message)));
        }
    }

    fn read_frame(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(len) = frame_len(&self.received).filter(|&len| len <= self.received.len()) {
                return Ok(Some(self.received.drain(..len).collect()));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.received.extend_from_slice(&bytes[..n]),
                Err(why) if is_timeout(&why) => return Ok(None),
                Err(why) => return Err(why),
            }
        }
    }
}

fn is_timeout(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

//! A controller of the plainest kind.

use openflow::{Dialect, Hello, Message, NO_BUFFER_LEN, SwitchConfig, Version};
use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What is spoken.
const VERSION: Version = Version::V14;
/// A switch that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Client {
    stream: UnixStream,
    /// Room for what is read.
    chunk: Vec<u8>,
    input: Vec<u8>,
    consumed: usize,
    xid: u32,
}

impl Client {
    pub(crate) fn connect(path: &Path) -> Result<Client> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let chunk = vec![0; 1 << 18];
        let mut client = Client { stream, chunk, input: Vec::new(), consumed: 0, xid: 0 };
        client.send(&Message::Hello(Hello { bitmap: Some(VERSION.bit()) }))?;
        client.wait(|message| matches!(message, Message::Hello(_)))?;
        // To Open vSwitch this is a service connection, which gets packet-ins when it has said so.
        client
            .send(&Message::SetConfig(SwitchConfig { flags: 0, miss_send_len: NO_BUFFER_LEN }))?;
        Ok(client)
    }

    /// A message in bytes, with a number of its own.
    pub(crate) fn encode(&mut self, message: &Message) -> Result<Vec<u8>> {
        self.xid += 1;
        let mut bytes = Vec::new();
        Dialect::plain(VERSION).encode(message, self.xid, &mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn send(&mut self, message: &Message) -> Result<()> {
        let bytes = self.encode(message)?;
        Ok(self.stream.write_all(&bytes)?)
    }

    /// Another end of the same connection, for a thread that writes while this one reads.
    pub(crate) fn writer(&self) -> Result<UnixStream> {
        Ok(self.stream.try_clone()?)
    }

    /// Reads until a message comes that is `wanted`. An error ends it.
    pub(crate) fn wait(&mut self, mut wanted: impl FnMut(&Message) -> bool) -> Result<()> {
        loop {
            let message = self.next_decoded()?;
            if wanted(&message) {
                return Ok(());
            }
            match message {
                Message::Error(error) => return Err(format!("refused: {}", error.kind).into()),
                Message::EchoRequest(data) => self.send(&Message::EchoReply(data))?,
                _ => {}
            }
        }
    }

    /// Reads until a whole message comes that is `wanted`, undecoded: for whoever gets so many that
    /// decoding them would be what is measured.
    pub(crate) fn wait_undecoded(&mut self, mut wanted: impl FnMut(&[u8]) -> bool) -> Result<()> {
        while !self.next(|whole| Ok(wanted(whole)))? {}
        Ok(())
    }

    fn next_decoded(&mut self) -> Result<Message> {
        // A hello has the version of its sender.
        self.next(|whole| Ok(openflow::decode(whole).map_err(|error| error.to_string())?.1))
    }

    /// What `read` makes of the next whole message.
    fn next<T>(&mut self, mut read: impl FnMut(&[u8]) -> Result<T>) -> Result<T> {
        loop {
            let pending = self.input.get(self.consumed..).unwrap_or_default();
            if let Some(whole) = openflow::frame_len(pending).and_then(|len| pending.get(..len)) {
                self.consumed += whole.len();
                return read(whole);
            }
            self.input.drain(..self.consumed);
            self.consumed = 0;
            match self.stream.read(&mut self.chunk)? {
                0 => return Err("the switch hung up".into()),
                n => self.input.extend_from_slice(self.chunk.get(..n).unwrap_or_default()),
            }
        }
    }
}

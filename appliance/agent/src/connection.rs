//! One OpenFlow connection: framing, handshake, liveness, and what it asked to hear.

use crate::bundles::Bundles;
use crate::events::PacketInBucket;
use crate::long_reply::LongReply;
use crate::monitor::Watch;
use crate::multipart::{Credit, Sum};
use crate::outbox::Outbox;
use crate::table_features::TableNames;
use crate::{ConnId, PeerSettings, Way, role};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Range;
use ofproto::{BundleId, SyncTicket};
use openflow::{
    AsyncConfig, AsyncMasks, ControllerRole, Dialect, Hello, Message, OfError, OfErrorKind, Version,
};
use sync::time::Nanos;

/// Received bytes that may wait here: two messages of the greatest length. The rest stays with the
/// network layer, whose window then slows the peer.
const MAX_INPUT: usize = 2 * 65_536;

/// The message type that is the same in every version.
const HELLO: u8 = 0;

/// What the connection waits for before its next request is looked at.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// Nothing: ready for a request.
    No,
    /// A barrier: changes that must come into force first, and the reply's transaction id.
    Barrier(SyncTicket, u32),
    /// Statistics that are to be read before a request can be answered.
    Credit(Box<Credit>),
    /// A reply that is written as the peer reads.
    Reply(Box<LongReply>),
    /// A sum over many rules.
    Sum(Box<Sum>),
    /// A bundle that is carried out.
    Commit(Box<Commit>),
}

/// A bundle on its way.
#[derive(Debug)]
pub(crate) struct Commit {
    /// Which.
    pub(crate) id: BundleId,
    /// Once it is in the tables: when it is in force.
    pub(crate) in_force: Option<SyncTicket>,
    /// What to answer then; nothing, and at once, if it is a single request that is carried out like a
    /// bundle because it is large.
    pub(crate) reply: Option<Message>,
    /// The request, to be quoted if the bundle is refused.
    pub(crate) request: Vec<u8>,
}

/// A message where it was received.
#[derive(Debug)]
pub(crate) struct Taken {
    input: Vec<u8>,
    message: Range<usize>,
}

impl Taken {
    /// The message.
    pub(crate) fn message(&self) -> &[u8] {
        self.input.get(self.message.clone()).unwrap_or_default()
    }
}

/// How far the end of a connection has come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Closing {
    /// It is not being closed.
    No,
    /// Since then it is to be closed when everything is sent.
    Asked(Nanos),
    /// It is to be closed at once.
    Aborted,
}

/// What a peer hears that has not said what it wants to hear.
fn unasked(settings: PeerSettings) -> AsyncConfig {
    let nothing = AsyncMasks::default();
    match settings.is_quiet {
        true => AsyncConfig { primary: nothing, secondary: nothing, ..AsyncConfig::initial() },
        false => AsyncConfig::initial(),
    }
}

/// One peer.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    pub(crate) peer: SocketAddr,
    /// Index of the configured controller, if we connected to it.
    pub(crate) remote: Option<usize>,
    pub(crate) way: Way,
    pub(crate) settings: PeerSettings,
    pub(crate) out: Outbox,
    /// The version agreed on and the extensions asked for; `None` until the handshake is over.
    pub(crate) dialect: Option<Dialect>,
    pub(crate) role: ControllerRole,
    pub(crate) asynchrony: AsyncConfig,
    /// The peer said itself what it wants to hear.
    pub(crate) has_chosen: bool,
    pub(crate) miss_send_len: u16,
    pub(crate) controller_id: u16,
    pub(crate) waiting: Waiting,
    pub(crate) bundles: Bundles,
    /// A change of tables of which more is to come.
    pub(crate) table_names: Option<TableNames>,
    pub(crate) watch: Watch,
    /// The last request was a long piece of work: the others have their turn.
    pub(crate) ends_turn: bool,
    pub(crate) packet_ins: PacketInBucket,
    /// Asynchronous messages lost because the peer does not read, or had its share of packet-ins.
    pub(crate) n_lost: u64,
    /// The reason to end the connection, once there is one; said to the log by the agent.
    pub(crate) ending: Option<&'static str>,
    /// What the network layer has been asked to do about it.
    pub(crate) closing: Closing,
    input: Vec<u8>,
    consumed: usize,
    heard: Nanos,
    probed: Option<Nanos>,
}

impl Connection {
    /// A connection that just came up. Our hello is its first output.
    pub(crate) fn new(
        id: ConnId,
        peer: SocketAddr,
        (remote, way, settings): (Option<usize>, Way, PeerSettings),
        versions: u32,
        now: Nanos,
    ) -> Self {
        let mut connection = Self {
            id,
            peer,
            remote,
            way,
            settings,
            out: Outbox::default(),
            dialect: None,
            role: ControllerRole::Equal,
            asynchrony: unasked(settings),
            has_chosen: false,
            miss_send_len: match settings.is_service {
                true => 0,
                false => openflow::DEFAULT_MISS_SEND_LEN,
            },
            controller_id: 0,
            waiting: Waiting::No,
            bundles: Bundles::default(),
            table_names: None,
            watch: Watch::default(),
            ends_turn: false,
            packet_ins: PacketInBucket::full(now),
            n_lost: 0,
            ending: None,
            closing: Closing::No,
            input: Vec::new(),
            consumed: 0,
            heard: now,
            probed: None,
        };
        let highest = Version::ALL.into_iter().rev().find(|v| v.bit() & versions != 0);
        let hello = Message::Hello(Hello { bitmap: Some(versions) });
        connection.say_in(Dialect::plain(highest.unwrap_or(Version::V10)), 0, &hello);
        connection
    }

    /// From now on this holds for it.
    pub(crate) fn reconfigure(&mut self, settings: PeerSettings) {
        if settings.is_quiet != self.settings.is_quiet && !self.has_chosen {
            self.asynchrony = unasked(settings);
        }
        self.settings = settings;
    }

    /// The version agreed on.
    pub(crate) fn version(&self) -> Option<Version> {
        self.dialect.map(|dialect| dialect.version)
    }

    /// Takes received bytes, as many as there is room for; returns how many.
    pub(crate) fn received(&mut self, bytes: &[u8], now: Nanos) -> usize {
        // Never moves more than was consumed, so that receiving costs linear time.
        if 2 * self.consumed >= self.input.len() {
            self.input.drain(..self.consumed);
            self.consumed = 0;
        }
        let room = MAX_INPUT.saturating_sub(self.input.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.input.extend_from_slice(taken);
        // What is left untaken because the peer does not read our replies is no sign of life.
        if !taken.is_empty() || !bytes.is_empty() && !self.out.is_busy() {
            self.is_alive(now);
        }
        taken.len()
    }

    /// The peer showed that it is there.
    pub(crate) fn is_alive(&mut self, now: Nanos) {
        self.heard = now;
        self.probed = None;
    }

    /// The type of the message that is next, once its header is there.
    pub(crate) fn next_kind(&self) -> Option<u8> {
        self.input.get(self.consumed..)?.get(1).copied()
    }

    /// The next whole message, unless the connection is ending or waits for something. To be
    /// [given back](Self::give_back) before more is received.
    pub(crate) fn next_message(&mut self) -> Option<Taken> {
        let blocked = !matches!(self.waiting, Waiting::No) || self.out.is_busy();
        if blocked || self.ending.is_some() {
            return None;
        }
        let pending = self.input.get(self.consumed..)?;
        let len = openflow::frame_len(pending)?;
        if len < openflow::HEADER_BYTES {
            // Where the next message begins can no longer be told.
            self.ending = Some("message shorter than its header");
            return None;
        }
        if self.dialect.is_none() && pending.get(1) != Some(&HELLO) {
            // Told by the header alone: who speaks another protocol may never send the rest.
            self.ending = Some("first message is not a hello");
            return None;
        }
        let message = self.consumed..self.consumed + len;
        if message.end > self.input.len() {
            return None;
        }
        self.consumed += len;
        Some(Taken { input: core::mem::take(&mut self.input), message })
    }

    /// A message has been handled.
    pub(crate) fn give_back(&mut self, taken: Taken) {
        self.input = taken.input;
    }

    /// The first message decides the version (OpenFlow 1.3.5 §6.3.1). Returns it when the
    /// handshake succeeded.
    pub(crate) fn handshake(&mut self, message: &[u8], versions: u32) -> Option<Version> {
        let header_version = *message.first()?;
        // Hello is type 0 in every version. Elements that are not understood are passed over.
        let bitmap = match openflow::decode(message) {
            Ok((_, Message::Hello(hello))) => hello.bitmap,
            _ if message.get(1) == Some(&HELLO) => None,
            _ => {
                self.ending = Some("first message is not a hello");
                return None;
            }
        };
        let version = Version::negotiate(versions, header_version, bitmap);
        self.dialect = version.map(Dialect::plain);
        if version.is_none() {
            let ours = Version::ALL.into_iter().rev().find(|v| v.bit() & versions != 0);
            let theirs = Version::from_wire(header_version).or(ours).unwrap_or(Version::V10);
            // Without a bitmap a peer speaks all versions up to that of its header.
            let peers = bitmap.unwrap_or_else(|| {
                let upto = u32::from(header_version).min(30);
                (2 << upto) - 2
            });
            let (ours, peers) = (Version::describe(versions), Version::describe(peers));
            let text =
                alloc::format!("We support {ours}, you support {peers}, no common versions.");
            let error = OfError { kind: OfErrorKind::HelloIncompatible, data: text.into_bytes() };
            self.say_in(Dialect::plain(theirs), 0, &Message::Error(error));
            self.ending = Some("no common OpenFlow version");
        }
        version
    }

    /// Sends an echo request after an interval of silence, and ends the connection after another.
    pub(crate) fn probe(&mut self, now: Nanos) {
        let interval = self.settings.inactivity_probe;
        if interval == Nanos::ZERO || self.ending.is_some() {
            return;
        }
        let is_ours = matches!(
            self.waiting,
            Waiting::Barrier(..) | Waiting::Commit(_) | Waiting::Credit(_) | Waiting::Sum(_)
        );
        if is_ours {
            // It is the peer that waits for us, and stock tools answer nothing meanwhile.
            self.is_alive(now);
            return;
        }
        match self.probed {
            None if now.saturating_sub(self.heard) >= interval => {
                self.probed = Some(now);
                self.say(0, &Message::EchoRequest(Vec::new()));
            }
            Some(probed) if now.saturating_sub(probed) >= interval => {
                self.ending = Some("no answer to an echo request");
            }
            _ => {}
        }
    }

    /// When [`Connection::probe`] has something to do.
    pub(crate) fn probe_deadline(&self) -> Option<Nanos> {
        let interval = self.settings.inactivity_probe;
        (interval != Nanos::ZERO)
            .then(|| self.probed.unwrap_or(self.heard).saturating_add(interval))
    }

    /// What this connection wants to hear of, in its role.
    pub(crate) fn async_masks(&self) -> &AsyncMasks {
        const NOTHING: AsyncMasks = AsyncMasks::NONE;
        match self.settings.is_service && self.miss_send_len == 0 {
            true => &NOTHING,
            false => role::masks(&self.asynchrony, self.role),
        }
    }

    /// Queues a message; before the handshake is over there is nothing that could be said.
    pub(crate) fn say(&mut self, xid: u32, message: &Message) {
        if let Some(dialect) = self.dialect {
            self.say_in(dialect, xid, message);
        }
    }

    fn say_in(&mut self, dialect: Dialect, xid: u32, message: &Message) {
        if dialect.encode(message, xid, self.out.tail()).is_err() {
            log::error!("tcp:{}: a message was too long to be sent", self.peer);
            self.n_lost += 1;
        }
    }

    /// Refuses `request`, quoting its beginning.
    pub(crate) fn refuse(&mut self, kind: OfErrorKind, request: &[u8]) {
        let xid = request.get(4..8).and_then(|xid| xid.try_into().ok());
        let xid = xid.map_or(0, u32::from_be_bytes);
        self.say(xid, &Message::Error(OfError::refusing(kind, request)));
    }
}

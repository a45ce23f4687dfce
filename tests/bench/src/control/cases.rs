//! What is measured of either switch.

use super::client::Client;
use super::{Scale, connect, resident};
use crate::versus::CONTROL_CORE;
use core_affinity::CoreId;
use openflow::{
    Action, BundleMessage, FlowFormat, FlowMod, FlowStatsRequest, Instructions, Message,
    MultipartBody, MultipartReply, MultipartRequest, OfPort, PacketOut, bundle_control,
    bundle_flags,
};
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The type of a multipart reply in the version that is spoken.
const MULTIPART_REPLY: u8 = 19;
/// Until frames come in.
const FORWARDS_BY: Duration = Duration::from_secs(30);

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Stream,
    GreatStream,
    Bundle,
    GreatBundle,
    Memory,
    GreatMemory,
    Dump,
    Delete,
    PacketOut,
    PacketIn,
    Echo,
    EchoUnderLoad,
    EchoBesideTraffic,
    LateEchoBesideTraffic,
}

impl Case {
    pub(crate) const ALL: [Case; 14] = [
        Case::Stream,
        Case::GreatStream,
        Case::Bundle,
        Case::GreatBundle,
        Case::Memory,
        Case::GreatMemory,
        Case::Dump,
        Case::Delete,
        Case::PacketOut,
        Case::PacketIn,
        Case::Echo,
        Case::EchoUnderLoad,
        Case::EchoBesideTraffic,
        Case::LateEchoBesideTraffic,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Case::Stream => "stream",
            Case::GreatStream => "great-stream",
            Case::Bundle => "bundle",
            Case::GreatBundle => "great-bundle",
            Case::Memory => "memory",
            Case::GreatMemory => "great-memory",
            Case::Dump => "dump",
            Case::Delete => "delete",
            Case::PacketOut => "packet-out",
            Case::PacketIn => "packet-in",
            Case::Echo => "echo",
            Case::EchoUnderLoad => "echo-under-load",
            Case::EchoBesideTraffic => "echo-beside-traffic",
            Case::LateEchoBesideTraffic => "late-echo-beside-traffic",
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Case::Stream | Case::GreatStream | Case::Bundle | Case::GreatBundle => "flow-mods/s",
            Case::Dump | Case::Delete => "rules/s",
            Case::Memory | Case::GreatMemory => "bytes/rule",
            Case::PacketOut | Case::PacketIn => "packets/s",
            Case::Echo
            | Case::EchoUnderLoad
            | Case::EchoBesideTraffic
            | Case::LateEchoBesideTraffic => "us",
        }
    }

    pub(crate) fn describe(self, scale: Scale) -> String {
        let Scale { rules, many, packets, .. } = scale;
        match self {
            Case::Stream => format!("{rules} flow-mods, barrier"),
            Case::GreatStream => format!("{many} flow-mods, barrier"),
            Case::Bundle => format!("bundle of {rules}"),
            Case::GreatBundle => format!("bundle of {many}"),
            Case::Memory => format!("memory of {rules} rules"),
            Case::GreatMemory => format!("memory of {many} rules"),
            Case::Dump => format!("dump of {rules}"),
            Case::Delete => format!("delete of {rules} at once"),
            Case::PacketOut => format!("{packets} packet-outs"),
            Case::PacketIn => format!("{packets} packets out and in"),
            Case::Echo => "echo, median".to_owned(),
            Case::EchoUnderLoad => format!("echo beside {rules} flow-mods, 99 %"),
            Case::EchoBesideTraffic => "echo beside forwarding, median".to_owned(),
            Case::LateEchoBesideTraffic => "echo beside forwarding, 99 %".to_owned(),
        }
    }

    /// Whether it needs a data plane that is never idle.
    pub(crate) fn has_traffic(self) -> bool {
        matches!(self, Case::EchoBesideTraffic | Case::LateEchoBesideTraffic)
    }

    /// Measures a switch that has just started.
    pub(crate) fn measure(self, socket: &Path, pid: u32, scale: Scale) -> Result<f64> {
        let client = &mut connect(socket)?;
        let rules = f64::from(scale.rules);
        match self {
            // What is sent is made before: only the switch is measured.
            Case::Stream | Case::GreatStream => {
                let n = if self == Case::Stream { scale.rules } else { scale.many };
                let bytes = stream_bytes(client, n)?;
                Ok(f64::from(n) / seconds(|| send_and_wait(client, bytes))?)
            }
            Case::Bundle | Case::GreatBundle => {
                let n = if self == Case::Bundle { scale.rules } else { scale.many };
                let bytes = bundle_bytes(client, n)?;
                Ok(f64::from(n) / seconds(|| commit(client, bytes))?)
            }
            Case::Memory | Case::GreatMemory => {
                let n = if self == Case::Memory { scale.rules } else { scale.many };
                // The first rules make room for themselves.
                stream(client, 1000)?;
                let before = resident(pid)?;
                stream(client, n)?;
                Ok((resident(pid)? - before) / (f64::from(n) - 1000.0))
            }
            Case::Dump => {
                stream(client, scale.rules)?;
                Ok(rules / seconds(|| dump(client))?)
            }
            Case::Delete => {
                stream(client, scale.rules)?;
                let all = FlowMod {
                    command: openflow::FlowModCommand::Delete,
                    table_id: openflow::TABLE_ALL,
                    new_cookie: None,
                    ..FlowMod::default()
                };
                let delete = Message::FlowMod(Box::new(all));
                Ok(rules
                    / seconds(|| {
                        client.send(&delete)?;
                        barrier(client)
                    })?)
            }
            Case::PacketOut => {
                let message = packet_out(OfPort(1));
                let n = f64::from(scale.packets);
                Ok(n / seconds(|| many(client, scale.packets, &message))?)
            }
            Case::PacketIn => {
                let to_us = Action::Output { port: OfPort::CONTROLLER, max_len: 128 };
                let rule = FlowMod {
                    priority: 0,
                    instructions: Instructions::apply(vec![to_us]),
                    ..rule(0)
                };
                let rule = FlowMod { match_: flow::Match::default(), ..rule };
                client.send(&Message::FlowMod(Box::new(rule)))?;
                barrier(client)?;
                let n = scale.packets;
                let took = seconds(|| packets_in(client, n))?;
                Ok(f64::from(n) / took)
            }
            Case::Echo => {
                let times: Result<Vec<f64>> = (0..scale.echoes).map(|_| echo(client)).collect();
                Ok(percentile(times?, 50))
            }
            Case::EchoUnderLoad => {
                let mut other = connect(socket)?;
                let bytes = stream_bytes(&mut other, scale.rules)?;
                let load = std::thread::spawn(move || {
                    send_and_wait(&mut other, bytes).map_err(|why| why.to_string())
                });
                let mut times = Vec::new();
                while !load.is_finished() {
                    times.push(echo(client)?);
                }
                load.join().map_err(|_| "the other connection panicked")??;
                Ok(percentile(times, 99))
            }
            Case::EchoBesideTraffic | Case::LateEchoBesideTraffic => {
                let percent = if self == Case::EchoBesideTraffic { 50 } else { 99 };
                // On the core of the switch's control side: the other one polls.
                let times = std::thread::scope(|scope| {
                    let echoes = scope.spawn(|| {
                        core_affinity::set_for_current(CoreId { id: CONTROL_CORE });
                        echoes_beside_traffic(client, scale.echoes).map_err(|why| why.to_string())
                    });
                    echoes.join()
                });
                Ok(percentile(times.map_err(|_| "the client panicked")??, percent))
            }
        }
    }
}

fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

fn percentile(mut times: Vec<f64>, percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or(f64::NAN)
}

/// The rule with this number: an exact match of addresses and ports, as a load balancer has them.
fn rule(k: u32) -> FlowMod {
    let [a, b, c, d] = k.to_be_bytes();
    let text =
        format!("priority=100,tcp,nw_src=10.{b}.{c}.{d},nw_dst=172.16.{a}.1,tp_dst=80,actions=1");
    let mut rule =
        openflow::text::parse_flow(&text, openflow::FlowModCommand::Add).expect("text of our own");
    rule.table_id = 0;
    rule
}

fn barrier(client: &mut Client) -> Result<()> {
    client.send(&Message::BarrierRequest)?;
    client.wait(|message| matches!(message, Message::BarrierReply))
}

/// Adds rules one by one, as fast as they are taken.
fn stream(client: &mut Client, n: u32) -> Result<()> {
    let bytes = stream_bytes(client, n)?;
    send_and_wait(client, bytes)
}

/// The messages that add rules one by one.
fn stream_bytes(client: &mut Client, n: u32) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for k in 0..n {
        bytes.extend(client.encode(&Message::FlowMod(Box::new(rule(k))))?);
    }
    Ok(bytes)
}

fn send_and_wait(client: &mut Client, bytes: Vec<u8>) -> Result<()> {
    client.writer()?.write_all(&bytes)?;
    barrier(client)
}

/// The messages that add rules in one bundle.
fn bundle_bytes(client: &mut Client, n: u32) -> Result<Vec<u8>> {
    let flags = bundle_flags::ATOMIC | bundle_flags::ORDERED;
    let control = |kind| Message::Bundle(BundleMessage::Control { bundle_id: 1, kind, flags });
    let mut bytes = client.encode(&control(bundle_control::OPEN))?;
    for k in 0..n {
        let inner = client.encode(&Message::FlowMod(Box::new(rule(k))))?;
        let add = Message::Bundle(BundleMessage::Add { bundle_id: 1, flags, message: inner });
        let mut outer = client.encode(&add)?;
        // The message inside has the number of the one around it.
        let (head, body) = outer.split_at_mut(8);
        if let (Some(xid), Some(inner)) = (head.get(4..8), body.get_mut(12..16)) {
            inner.copy_from_slice(xid);
        }
        bytes.extend(outer);
    }
    bytes.extend(client.encode(&control(bundle_control::COMMIT))?);
    Ok(bytes)
}

/// Sends a bundle and its commit, and waits for the answer.
fn commit(client: &mut Client, bytes: Vec<u8>) -> Result<()> {
    let mut writer = client.writer()?;
    let writing = std::thread::spawn(move || writer.write_all(&bytes));
    let committed = bundle_control::COMMIT | 1;
    client.wait(|message| {
        matches!(message, Message::Bundle(BundleMessage::Control { kind, .. }) if *kind == committed)
    })?;
    writing.join().map_err(|_| "the writer panicked")??;
    Ok(())
}

fn dump(client: &mut Client) -> Result<()> {
    let request = FlowStatsRequest {
        table_id: openflow::TABLE_ALL,
        out_port: OfPort::ANY,
        out_group: openflow::GROUP_ANY,
        cookie: 0,
        cookie_mask: 0,
        match_: flow::Match::default(),
        format: FlowFormat::Standard,
    };
    client.send(&Message::MultipartRequest(MultipartRequest::Flow(Box::new(request))))?;
    // Behind header and kind the flags, of which the lowest says that more follows.
    client.wait_undecoded(|message| {
        message.get(1) == Some(&MULTIPART_REPLY) && message.get(11).is_some_and(|low| low & 1 == 0)
    })
}

fn packet_out(to: OfPort) -> Message {
    let mut data = vec![0; 64];
    data[..14].copy_from_slice(&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 0x88, 0xb5]);
    Message::PacketOut(PacketOut {
        buffer_id: None,
        in_port: OfPort::CONTROLLER,
        metadata: None,
        actions: vec![Action::output(to)],
        data,
    })
}

fn many(client: &mut Client, n: u32, message: &Message) -> Result<()> {
    let one = client.encode(message)?;
    let bytes = one.repeat(usize::try_from(n)?);
    client.writer()?.write_all(&bytes)?;
    barrier(client)
}

/// Has packets sent to ourselves through the tables, a few at a time, so that none is lost to a full
/// queue.
fn packets_in(client: &mut Client, n: u32) -> Result<()> {
    const AT_A_TIME: u32 = 100;
    let one = client.encode(&packet_out(OfPort::TABLE))?;
    let bytes = one.repeat(usize::try_from(AT_A_TIME)?);
    for _ in 0..n / AT_A_TIME {
        client.writer()?.write_all(&bytes)?;
        for _ in 0..AT_A_TIME {
            client.wait(|message| matches!(message, Message::PacketIn(_)))?;
        }
    }
    Ok(())
}

/// Times of echoes while the switch forwards, which its own count tells.
fn echoes_beside_traffic(client: &mut Client, n: u32) -> Result<Vec<f64>> {
    let begun = Instant::now();
    let first = forwarded(client)?;
    while forwarded(client)? == first {
        if begun.elapsed() > FORWARDS_BY {
            return Err("the switch forwards nothing".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    (0..n)
        .map(|_| {
            // A controller asks now and then, not all the time.
            std::thread::sleep(Duration::from_micros(500));
            echo(client)
        })
        .collect()
}

/// Packets that have come in on the first port.
fn forwarded(client: &mut Client) -> Result<u64> {
    client.send(&Message::MultipartRequest(MultipartRequest::Port(OfPort(1))))?;
    let mut n = 0;
    client.wait(|message| match message {
        Message::MultipartReply(MultipartReply { body: MultipartBody::Port(ports), .. }) => {
            n = ports.iter().map(|port| port.rx_packets).sum();
            true
        }
        _ => false,
    })?;
    Ok(n)
}

/// Microseconds from an echo request to its answer.
fn echo(client: &mut Client) -> Result<f64> {
    let began = Instant::now();
    client.send(&Message::EchoRequest(vec![7; 8]))?;
    client.wait(|message| matches!(message, Message::EchoReply(_)))?;
    Ok(began.elapsed().as_secs_f64() * 1e6)
}

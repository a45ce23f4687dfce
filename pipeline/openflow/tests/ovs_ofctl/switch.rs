//! Just enough of a switch to see what flow-mods `ovs-ofctl` sends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use openflow::*;

pub(crate) struct Switch {
    version: Version,
    address: SocketAddr,
    flow_mods: Receiver<FlowMod>,
}

impl Switch {
    pub(crate) fn start(version: Version) -> Switch {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (sender, flow_mods) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                thread::spawn(move || serve(stream, version, &sender));
            }
        });
        Switch { version, address, flow_mods }
    }

    /// Runs the tool and returns what it sent, unless it has no words for that in this version.
    pub(crate) fn add_flow(&self, text: &str) -> Option<FlowMod> {
        let version = self.version.to_string().replace('.', "");
        let target = format!("tcp:{}", self.address);
        let output = Command::new("ovs-ofctl")
            .args(["-O", &version, "--timeout=60", "add-flow", &target, text])
            .output()
            .expect("it runs");
        let problem = String::from_utf8_lossy(&output.stderr);
        if problem.contains("none of the usable flow formats") {
            return None;
        }
        assert!(output.status.success(), "{text}: {problem}");
        let sent = self.flow_mods.try_recv();
        Some(sent.unwrap_or_else(|_| panic!("{text}: no flow-mod came")))
    }
}

fn serve(mut stream: TcpStream, version: Version, flow_mods: &Sender<FlowMod>) {
    let mut dialect = Dialect::plain(version);
    send(&mut stream, dialect, &Message::Hello(Hello { bitmap: Some(version.bit()) }), 1);
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(n) = stream.read(&mut chunk) {
        if n == 0 {
            return;
        }
        bytes.extend_from_slice(&chunk[..n]);
        while let Some(len) = frame_len(&bytes).filter(|len| *len <= bytes.len()) {
            let frame: Vec<u8> = bytes.drain(..len).collect();
            answer(&mut stream, &mut dialect, &frame, flow_mods);
        }
    }
}

fn answer(
    stream: &mut TcpStream,
    dialect: &mut Dialect,
    frame: &[u8],
    flow_mods: &Sender<FlowMod>,
) {
    match dialect.decode(frame) {
        Ok((header, message)) => {
            let reply = match message {
                Message::FlowMod(flow_mod) => {
                    let _ = flow_mods.send(*flow_mod);
                    return;
                }
                Message::NxFlowModTableId(on) => {
                    dialect.flow_mod_table_id = on;
                    return;
                }
                Message::EchoRequest(data) => Message::EchoReply(data),
                Message::BarrierRequest => Message::BarrierReply,
                Message::FeaturesRequest => Message::FeaturesReply(FeaturesReply::default()),
                // The tool asks for the names of tables and ports first.
                Message::MultipartRequest(request) => {
                    let body = match request {
                        MultipartRequest::Table => {
                            MultipartBody::Table(vec![TableStats::default()])
                        }
                        MultipartRequest::TableFeatures { .. } => {
                            MultipartBody::TableFeatures(vec![table_features()])
                        }
                        _ => MultipartBody::PortDesc(Vec::new()),
                    };
                    Message::MultipartReply(MultipartReply { more: false, body })
                }
                _ => return,
            };
            send(stream, *dialect, &reply, header.xid);
        }
        Err(error) => {
            eprintln!("{error}: {frame:02x?}");
            send(stream, *dialect, &Message::Error(error.error), error.header.xid);
        }
    }
}

fn send(stream: &mut TcpStream, dialect: Dialect, message: &Message, xid: u32) {
    let mut bytes = Vec::new();
    dialect.encode(message, xid, &mut bytes).expect("short enough");
    let _ = stream.write_all(&bytes);
}

/// A table with the properties that every table must have, all empty.
fn table_features() -> TableFeatures {
    let rule = RuleKind::Regular;
    let properties = vec![
        TableProperty::Instructions(rule, Vec::new()),
        TableProperty::NextTables(rule, Vec::new()),
        TableProperty::WriteActions(rule, Vec::new()),
        TableProperty::ApplyActions(rule, Vec::new()),
        TableProperty::Match(Vec::new()),
        TableProperty::Wildcards(Vec::new()),
        TableProperty::WriteSetField(rule, Vec::new()),
        TableProperty::ApplySetField(rule, Vec::new()),
    ];
    TableFeatures { properties, ..TableFeatures::default() }
}

//! Replies of any size are cut into messages.

use openflow::*;

fn rule(cookie: u64) -> FlowStats {
    let instructions = Instructions::apply(vec![Action::output(OfPort(1)); 9]);
    FlowStats { cookie, instructions, ..FlowStats::default() }
}

/// The messages in a stream of bytes.
fn messages(mut bytes: &[u8]) -> Vec<MultipartReply> {
    let mut all = Vec::new();
    while let Some(len) = frame_len(bytes) {
        let (frame, rest) = bytes.split_at(len);
        bytes = rest;
        match decode(frame) {
            Ok((_, Message::MultipartReply(reply))) => all.push(reply),
            other => panic!("{other:?}"),
        }
    }
    assert!(bytes.is_empty());
    all
}

fn cookies(replies: &[MultipartReply]) -> Vec<u64> {
    let flows = replies.iter().flat_map(|reply| match &reply.body {
        MultipartBody::Flow(_, flows) => flows.clone(),
        other => panic!("{other:?}"),
    });
    flows.map(|flow| flow.cookie).collect()
}

#[test]
fn large_replies_are_cut() {
    for (version, format) in [
        (Version::V10, FlowFormat::Standard),
        (Version::V10, FlowFormat::Nxm),
        (Version::V13, FlowFormat::Standard),
    ] {
        let mut writer = MultipartWriter::new(version, 9, MultipartKind::Flow(format));
        let mut bytes = Vec::new();
        for cookie in 0..2000 {
            writer.push(MultipartItem::Flow(&rule(cookie)));
            // Full messages can be sent before the last entry is known.
            writer.take_ready(&mut bytes);
        }
        assert!(!bytes.is_empty());
        bytes.extend(writer.finish());
        let replies = messages(&bytes);
        assert!(replies.len() > 1);
        assert_eq!(cookies(&replies), (0..2000).collect::<Vec<u64>>());
        let more: Vec<bool> = replies.iter().map(|reply| reply.more).collect();
        assert_eq!(more.iter().filter(|more| !**more).count(), 1);
        assert_eq!(more.last(), Some(&false));
    }
}

#[test]
fn an_empty_reply_is_one_message() {
    let kind = MultipartKind::Flow(FlowFormat::Standard);
    let replies = messages(&MultipartWriter::new(Version::V13, 9, kind).finish());
    assert_eq!(replies.len(), 1);
    assert_eq!(cookies(&replies), Vec::<u64>::new());
}

#[test]
fn an_entry_that_fits_no_message_is_left_out() {
    let mut writer =
        MultipartWriter::new(Version::V13, 9, MultipartKind::Flow(FlowFormat::Standard));
    writer.push(MultipartItem::Flow(&rule(1)));
    let instructions = Instructions::apply(vec![Action::output(OfPort(1)); 5000]);
    writer.push(MultipartItem::Flow(&FlowStats { instructions, ..rule(2) }));
    writer.push(MultipartItem::Flow(&rule(3)));
    assert_eq!(writer.left_out(), 1);
    assert_eq!(cookies(&messages(&writer.finish())), [1, 3]);
}

/// A rule that could not be described in one version is refused in the other.
#[test]
fn a_rule_that_cannot_be_described_is_refused() {
    let flow_mod = |n: usize| {
        let instructions = Instructions::apply(vec![Action::output(OfPort(1)); n]);
        let message = Message::FlowMod(Box::new(FlowMod { instructions, ..FlowMod::default() }));
        let mut bytes = Vec::new();
        message.encode(Version::V10, 1, &mut bytes).expect("short enough");
        decode(&bytes)
    };
    assert!(flow_mod(3000).is_ok());
    let error = flow_mod(5000).expect_err("80,000 bytes in 1.3");
    assert_eq!(error.error.kind, OfErrorKind::ActionTooMany);
}

#[test]
fn too_long_messages_are_not_written() {
    let mut bytes = vec![1, 2, 3];
    let echo = Message::EchoRequest(vec![0; 65528]);
    assert_eq!(echo.encode(Version::V13, 1, &mut bytes), Err(TooLong));
    assert_eq!(bytes, [1, 2, 3]);
    let echo = Message::EchoRequest(vec![0; 65527]);
    assert_eq!(echo.encode(Version::V13, 1, &mut bytes), Ok(()));
}

//! Every API that the broker advertises, in every version, with bodies good and bad: each gets an answer or a closed
//! connection, and nothing that is sent here stops the broker or keeps it busy.
//!
//! The bodies are made from the schemas of the messages by a generator that is not the broker's own encoder.

#[path = "../../wire/tests/generate/mod.rs"]
mod generate;

use std::io::ErrorKind;

use corelog_tests::broker::Options;
use corelog_tests::client::Client;
use corelog_wire::api_key::ApiKey;

use generate::{Entry, entries, generate};

/// How many bodies of each kind are made of different choices.
const FULL_BODIES: u64 = 6;
/// At how many places a body is cut off, at most.
const CUTS_MAX: usize = 24;
/// How long a fetch may wait for records, whatever the generator has chosen.
const FETCH_WAIT_MS: i32 = 5;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    /// No answer is due, and the next request is answered.
    Silent,
    Closed,
}

/// Bytes of a generator (SplitMix64).
fn choices(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    (0..256).flat_map(|_| next().to_le_bytes()).collect()
}

fn frame(api: ApiKey, version: i16, id: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 4];
    frame.extend(api.key().to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(id.to_be_bytes());
    frame.extend([0, 4]);
    frame.extend(b"test");
    if version >= api.flexible_from() {
        frame.push(0);
    }
    frame.extend(body);
    let length = i32::try_from(frame.len() - 4).expect("small frames");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Sends a request, and behind it one that every broker answers.
fn ask(client: &mut Client, api: ApiKey, version: i16, body: &[u8], answer: &Entry) -> Outcome {
    const ID: i32 = 7;
    const NEXT: i32 = 8;
    let mut bytes = frame(api, version, ID, body);
    bytes.extend(frame(ApiKey::ApiVersions, 0, NEXT, &[]));
    if client.send_bytes(&bytes).is_err() {
        return Outcome::Closed;
    }
    let mut outcome = Outcome::Silent;
    loop {
        let frame = match client.receive() {
            Ok(frame) => frame,
            Err(error) => {
                let hangs = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
                assert!(!hangs, "{api} version {version}: no answer to {body:?}");
                return Outcome::Closed;
            }
        };
        let (id, rest) = frame.split_first_chunk().expect("a correlation id");
        match i32::from_be_bytes(*id) {
            ID => {
                assert_eq!(outcome, Outcome::Silent, "{api} version {version} is answered once");
                // Clients find out with ApiVersions how its answer is written: its header never changes.
                let has_tags = version >= api.flexible_from() && api != ApiKey::ApiVersions;
                let rest = &rest[usize::from(has_tags)..];
                let left = (answer.decode)(rest, version).expect("a sound answer");
                assert_eq!(left, 0, "{api} version {version}: {rest:?}");
                outcome = Outcome::Answered;
            }
            NEXT => return outcome,
            other => panic!("{api} version {version}: an answer to {other}, which nobody asked"),
        }
    }
}

/// Keeps a generated fetch from waiting as long as it says.
fn shorten_wait(api: ApiKey, version: i16, body: &mut [u8]) {
    let at = if version >= 15 { 0 } else { 4 };
    if api == ApiKey::Fetch
        && let Some(wait) = body.get_mut(at..at + 4)
    {
        wait.copy_from_slice(&FETCH_WAIT_MS.to_be_bytes());
    }
}

#[test]
fn every_api_and_version_answers_or_closes() {
    let mut broker = Options::new().start();
    if !broker.is_ours() {
        return;
    }
    let all = entries();
    let message = |api: ApiKey, is_request| {
        let mut found = all.iter().filter(|entry| entry.api.served == Some(api) && entry.is_request == is_request);
        found.next().expect("the messages of every API are listed")
    };
    let connect = || Client::connect(broker.address()).expect("the broker is there");
    let mut client = connect();
    let (mut asked, mut whole, mut answered) = (0_u64, 0_u64, 0_u64);
    for api in ApiKey::ALL.iter().copied() {
        let (request, answer) = (message(api, true), message(api, false));
        for version in api.advertised_min()..=api.max_version() {
            let mut ask = |body: &[u8]| {
                asked += 1;
                let outcome = ask(&mut client, api, version, body, answer);
                if outcome == Outcome::Closed {
                    client = connect();
                }
                outcome
            };
            if version < api.min_version() {
                // Advertised for the sake of old clients, and refused.
                assert_eq!(ask(&[]), Outcome::Closed, "{api} version {version}");
                continue;
            }
            let empty = ask(&[]);
            let mut minimal = generate(request, version, &[], false);
            shorten_wait(api, version, &mut minimal);
            let expected = if minimal.is_empty() { Outcome::Answered } else { Outcome::Closed };
            assert_eq!(empty, expected, "{api} version {version} without a body");
            assert_eq!(ask(&minimal), Outcome::Answered, "{api} version {version}: {minimal:?}");

            for seed in 0..FULL_BODIES {
                let seed = seed << 32 | (api.key() as u64) << 16 | version as u64;
                let unknown_tags = seed % 2 == 1 && version >= api.flexible_from();
                let mut full = generate(request, version, &choices(seed), unknown_tags);
                shorten_wait(api, version, &mut full);
                answered += u64::from(ask(&full) == Outcome::Answered);
                whole += 1;
                let step = (full.len() / CUTS_MAX).max(1);
                for cut in (0..full.len()).step_by(step) {
                    ask(&full[..cut]);
                }
            }
        }
    }
    assert!(asked > 5_000, "{asked} requests were sent");
    // Some that are whole are refused by closing: a produce request that wants no answer cannot be told of an error.
    assert!(answered * 20 > whole * 19, "{answered} of {whole} whole requests were answered");
    drop(client);
    assert!(broker.stop().success(), "{}", broker.stderr());
    assert!(!broker.stderr().contains("panicked"), "{}", broker.stderr());
}

//! Every API, both sides, every version: what is read can be written again, byte for byte, and no bytes do harm.

#![allow(clippy::unwrap_used)]

mod generate;

use corelog_wire::encoder::EncodeErrorKind;
use corelog_wire::header::RequestHeader;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::generate::{every_version, generate};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bytes_round_trip(choices in vec(any::<u8>(), 0..400)) {
        for (entry, version) in every_version() {
            let bytes = generate(&entry, version, &choices, false);
            let again = entry.round_trip(&bytes, version);
            prop_assert_eq!(again.as_ref(), Ok(&bytes), "{} version {}", entry.name(), version);
        }
    }

    #[test]
    fn unknown_tagged_fields_are_skipped_everywhere(choices in vec(any::<u8>(), 0..400)) {
        for (entry, version) in every_version() {
            let known = generate(&entry, version, &choices, false);
            let with_unknown = generate(&entry, version, &choices, true);
            prop_assert_eq!(with_unknown != known, entry.api.is_flexible(version));
            let again = entry.round_trip(&with_unknown, version);
            prop_assert_eq!(again.as_ref(), Ok(&known), "{} version {}", entry.name(), version);
        }
    }

    #[test]
    fn a_message_that_is_cut_short_is_refused(choices in vec(any::<u8>(), 0..200)) {
        for (entry, version) in every_version() {
            let bytes = generate(&entry, version, &choices, false);
            for cut in (0..bytes.len()).rev().take(40).chain(0..bytes.len().min(40)) {
                let read = (entry.convert)(&bytes[..cut], version, version);
                prop_assert!(read.is_err(), "{} version {} cut at {}", entry.name(), version, cut);
            }
        }
    }

    #[test]
    fn a_message_read_in_one_version_is_written_in_another_or_refused(choices in vec(any::<u8>(), 0..400)) {
        for (entry, from) in every_version() {
            let bytes = generate(&entry, from, &choices, false);
            for to in entry.api.versions.min..=entry.api.versions.max {
                let (_, written) = (entry.convert)(&bytes, from, to).unwrap();
                match written {
                    Ok(written) => {
                        // What arrives there can differ (fields are missing), but it is a message of that version.
                        prop_assert_eq!(entry.round_trip(&written, to), Ok(written));
                    }
                    Err(error) => prop_assert!(
                        matches!(error.kind, EncodeErrorKind::NotInVersion(_) | EncodeErrorKind::UnexpectedNull),
                        "{} from {} to {}: {}", entry.name(), from, to, error
                    ),
                }
            }
        }
    }

    #[test]
    fn changed_bytes_do_no_harm(
        choices in vec(any::<u8>(), 0..300),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        for (entry, version) in every_version() {
            let mut bytes = generate(&entry, version, &choices, false);
            if !bytes.is_empty() {
                for (index, byte) in &changes {
                    let index = index.index(bytes.len());
                    bytes[index] = *byte;
                }
            }
            do_no_harm(&entry, version, &bytes)?;
        }
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in vec(prop_oneof![any::<u8>(), Just(0), Just(1), Just(0xff)], 0..200)) {
        for (entry, version) in every_version() {
            do_no_harm(&entry, version, &bytes)?;
        }
        let mut decoder = corelog_wire::decoder::Decoder::new(&bytes);
        let _ = RequestHeader::decode(&mut decoder);
    }
}

/// Whatever these bytes are read as can be written, and then reads as the same.
fn do_no_harm(entry: &generate::Entry, version: i16, bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok((_, written)) = (entry.convert)(bytes, version, version) {
        let written = written.expect("what was read can be written in its version");
        prop_assert_eq!(entry.round_trip(&written, version), Ok(written));
    }
    Ok(())
}

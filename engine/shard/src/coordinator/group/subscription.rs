//! The topics in a consumer's metadata (ConsumerProtocolSubscription, the part that all versions have in common).

use alloc::collections::BTreeSet;
use alloc::string::String;

/// Adds the topics of one member's metadata; `None` if it cannot be read.
pub(super) fn add_topics(metadata: &[u8], topics: &mut BTreeSet<String>) -> Option<()> {
    let mut rest = metadata;
    take::<2>(&mut rest)?;
    let count = usize::try_from(i32::from_be_bytes(take(&mut rest)?)).ok()?;
    for _ in 0..count {
        let len = usize::try_from(i16::from_be_bytes(take(&mut rest)?)).ok()?;
        let (name, after) = rest.split_at_checked(len)?;
        rest = after;
        let name = core::str::from_utf8(name).ok()?;
        if !topics.contains(name) {
            topics.insert(name.into());
        }
    }
    Some(())
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn topics(metadata: &[u8]) -> Option<Vec<String>> {
        let mut topics = BTreeSet::new();
        add_topics(metadata, &mut topics).map(|()| topics.into_iter().collect())
    }

    #[test]
    fn topics_are_read_from_what_all_versions_share() {
        let version_3 = b"\0\x03\0\0\0\x02\0\x01b\0\x02aa\xff\xff\xff\xff\0\0\0\0\0\0\0\x01\0\x01r";
        assert_eq!(topics(version_3), Some(["aa".into(), "b".into()].into()));
        assert_eq!(topics(b"\0\0\0\0\0\0"), Some(Vec::new()));
    }

    #[test]
    fn metadata_of_another_form_is_refused() {
        let whole = b"\0\0\0\0\0\x01\0\x02aa";
        for len in 0..whole.len() {
            assert_eq!(topics(&whole[..len]), None, "{len} bytes");
        }
        assert_eq!(topics(b"\0\0\xff\xff\xff\xff"), None, "no list");
        assert_eq!(topics(b"\0\0\0\0\0\x01\xff\xff"), None, "no name");
        assert_eq!(topics(b"\0\0\0\0\0\x01\0\x01\xff"), None, "not UTF-8");
    }
}

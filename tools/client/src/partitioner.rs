//! Which partition a record goes to: the same one that Kafka's own producer chooses for the same key.

/// The hash of a key as Kafka's producer has it: MurmurHash2 (Austin Appleby, public domain) with 32 bits and Kafka's seed.
pub fn murmur2(key: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    // Kafka's arrays are below 2 GiB, and so are its keys.
    let mut hash = SEED ^ key.len() as u32;
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        let word = u32::from_le_bytes(*word.first_chunk().expect("four bytes")).wrapping_mul(MULTIPLIER);
        let word = (word ^ (word >> 24)).wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ word;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

/// The partition of a key.
pub fn partition_of(key: &[u8], partitions: usize) -> i32 {
    assert!(partitions > 0, "a topic has a partition");
    ((murmur2(key) & 0x7fff_ffff) as usize % partitions) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_kafkas() {
        // What org.apache.kafka.common.utils.Utils.murmur2 gives.
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn a_key_has_one_partition_and_keys_have_many() {
        let partitions: std::collections::BTreeSet<_> =
            (0..100).map(|key: i32| partition_of(&key.to_be_bytes(), 6)).collect();
        assert_eq!(partitions, (0..6).collect());
        assert_eq!(partition_of(b"foobar", 1), 0);
    }
}

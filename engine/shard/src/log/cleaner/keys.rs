//! The newest offset of every key in a stretch of a log, in memory of fixed size (Kafka's `SkimpyOffsetMap`).
//!
//! A key is remembered by a hash of 128 bits: 24 bytes for each, however long it is. Two keys with the same hash would be
//! taken for one and a record would be lost, so the hash is SipHash-2-4 with 128 bits of output under a key that nobody
//! outside knows: for keys that cannot be chosen to collide, ten thousand million of them do with a probability of 10^-19. It
//! takes a fraction of the time of a cryptographic digest.

use alloc::vec;
use alloc::vec::Vec;
use core::hash::Hasher;
use siphasher::sip128::{Hasher128, SipHasher24};

/// Bytes that a key takes.
pub(in crate::log) const KEY_BYTES: u64 = 24;
/// Fuller than this, looking up takes too long.
const PARTS_FULL_MAX: u64 = 950_000_000;
const PARTS: u64 = 1_000_000_000;

/// See the module's description.
pub(super) struct Keys {
    /// Hash, then offset plus one; 0 there for a free one.
    slots: Vec<[u64; 3]>,
    secret: (u64, u64),
    len: usize,
    len_max: usize,
    /// Every record up to here is in it, or has no key.
    latest: i64,
}

impl core::fmt::Debug for Keys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} of {} keys up to offset {}", self.len, self.len_max, self.latest)
    }
}

impl Keys {
    /// Room for `wanted` keys, as far as that many `bytes` are enough when they are filled to `load` parts of a thousand
    /// million; always for one. Everything below `first` is passed over.
    pub(super) fn new(wanted: u64, bytes: u64, load: u64, first: i64, secret: (u64, u64)) -> Self {
        let load = load.clamp(1, PARTS_FULL_MAX);
        let most = (bytes / KEY_BYTES).max(2);
        let needed = (u128::from(wanted) * u128::from(PARTS) / u128::from(load)) as u64 + 2;
        let slots = needed.min(most);
        let len_max = ((u128::from(slots) * u128::from(load) / u128::from(PARTS)) as u64).clamp(1, slots - 1);
        let as_size = |number: u64| usize::try_from(number).expect("memory fits the address space");
        Self { slots: vec![[0; 3]; as_size(slots)], secret, len: 0, len_max: as_size(len_max), latest: first - 1 }
    }

    /// Notes that `offset` has the key; it is above all noted before. False when there is no room for another key.
    pub(super) fn put(&mut self, key: &[u8], offset: i64) -> bool {
        assert!(offset > self.latest, "offsets grow");
        let hash = self.hash(key);
        let at = self.find(hash);
        let is_new = self.slots[at][2] == 0;
        if is_new && self.len == self.len_max {
            return false;
        }
        self.len += usize::from(is_new);
        self.slots[at] = [hash[0], hash[1], offset as u64 + 1];
        true
    }

    /// The newest offset of a key, if it occurs.
    pub(super) fn newest(&self, key: &[u8]) -> Option<i64> {
        self.slots[self.find(self.hash(key))][2].checked_sub(1).map(|offset| offset as i64)
    }

    /// Every record up to `offset` was noted.
    pub(super) fn complete_to(&mut self, offset: i64) {
        self.latest = self.latest.max(offset);
    }

    /// Up to where it is complete.
    pub(super) fn latest(&self) -> i64 {
        self.latest
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        let mut hasher = SipHasher24::new_with_keys(self.secret.0, self.secret.1);
        hasher.write(key);
        let hash = hasher.finish128();
        [hash.h1, hash.h2]
    }

    /// The place of a hash, or the free one where it belongs: there always is one.
    fn find(&self, hash: [u64; 2]) -> usize {
        let count = self.slots.len();
        let mut at = ((u128::from(hash[0]) * count as u128) >> 64) as usize;
        loop {
            let slot = &self.slots[at];
            if slot[2] == 0 || slot[..2] == hash {
                return at;
            }
            at = if at + 1 == count { 0 } else { at + 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_agrees_with_a_map_until_it_is_full(
            keys in prop::collection::vec(0_u16..300, 0..600), room in 0_u64..20_000, load in 0_u64..2_000_000_000,
        ) {
            let mut map = Keys::new(keys.len() as u64, room, load, 100, (1, 2));
            let mut model = BTreeMap::new();
            let mut full = false;
            for (key, offset) in keys.iter().zip(100_i64..) {
                let bytes = key.to_le_bytes();
                if !map.put(&bytes, offset) {
                    prop_assert!(!model.contains_key(key) && !model.is_empty(), "a known key always has its place");
                    full = true;
                    break;
                }
                map.complete_to(offset);
                model.insert(*key, offset);
                prop_assert_eq!(map.latest(), offset);
            }
            let enough = room >= (keys.len() as u64 + 2) * KEY_BYTES * 5 && load >= 300_000_000;
            prop_assert!(!(full && enough), "there was room");
            for key in 0_u16..300 {
                prop_assert_eq!(map.newest(&key.to_le_bytes()), model.get(&key).copied());
            }
        }
    }

    #[test]
    fn memory_is_what_was_given_whatever_is_wanted() {
        let map = Keys::new(u64::MAX / 2, 24_000, 900_000_000, 0, (0, 0));
        assert_eq!((map.slots.len(), map.len_max), (1_000, 900));
        let small = Keys::new(10, 1 << 30, 900_000_000, 0, (0, 0));
        assert!(small.slots.len() < 20 && small.len_max >= 10, "{small:?}");
    }
}

//! Requests by API and version, and how long they took: from when a frame was taken in until its answer was handed to the
//! host.

use alloc::boxed::Box;
use alloc::vec;

use corelog_wire::api_key::ApiKey;

use super::Histogram;

/// Versions of an API that are counted apart; no API of Kafka has so many.
pub const VERSIONS_MAX: usize = 24;
/// Keys below this are looked up; those of all APIs are.
const KEYS: usize = 128;
/// No API of ours.
const NONE: u8 = u8::MAX;

/// By key, the place of an API in [`ApiKey::ALL`].
const PLACES: [u8; KEYS] = {
    let mut places = [NONE; KEYS];
    let mut place = 0;
    while place < ApiKey::ALL.len() {
        let api = ApiKey::ALL[place];
        assert!(api.max_version() < VERSIONS_MAX as i16);
        places[api.key() as usize] = place as u8;
        place += 1;
    }
    assert!(ApiKey::ALL.len() < NONE as usize);
    places
};

/// Which API a frame is for, and when it was taken in. What a frame says of itself is not checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    at_us: u64,
    place: u8,
    version: u8,
}

impl Received {
    /// Looks at the first bytes of a request.
    pub(crate) fn new(frame: &[u8], at_us: u64) -> Self {
        let Some([key, key_low, version, version_low]) = frame.first_chunk().copied() else {
            return Self { at_us, place: NONE, version: 0 };
        };
        let key = usize::from(u16::from_be_bytes([key, key_low]));
        let version = u16::from_be_bytes([version, version_low]);
        Self {
            at_us,
            place: PLACES.get(key).copied().unwrap_or(NONE),
            version: u8::try_from(version).unwrap_or(u8::MAX),
        }
    }
}

/// What is counted of the requests to one API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiFigures {
    /// Requests answered, by version.
    pub versions: [u64; VERSIONS_MAX],
    /// How long they took, in microseconds.
    pub latency: Histogram,
}

/// See the module's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requests {
    /// By place in [`ApiKey::ALL`].
    apis: Box<[ApiFigures]>,
}

impl Default for Requests {
    fn default() -> Self {
        Self { apis: vec![ApiFigures::default(); ApiKey::ALL.len()].into_boxed_slice() }
    }
}

impl Requests {
    /// The answer of a request leaves.
    pub(crate) fn answered(&mut self, request: Received, now_us: u64) {
        let Some(api) = self.apis.get_mut(usize::from(request.place)) else { return };
        // A client may ask for the versions in a version that nobody knows.
        if let Some(version) = api.versions.get_mut(usize::from(request.version)) {
            *version += 1;
        }
        api.latency.record(now_us.saturating_sub(request.at_us));
    }

    /// Adds what another shard counted.
    pub fn add(&mut self, other: &Self) {
        for (ours, theirs) in self.apis.iter_mut().zip(&other.apis) {
            ours.versions.iter_mut().zip(&theirs.versions).for_each(|(ours, theirs)| *ours += theirs);
            ours.latency.add(&theirs.latency);
        }
    }

    /// The APIs that were asked for anything.
    pub fn iter(&self) -> impl Iterator<Item = (ApiKey, &ApiFigures)> {
        let all = ApiKey::ALL.iter().copied().zip(&self.apis);
        all.filter(|(_, figures)| figures.latency.count() > 0)
    }

    /// What is counted of one API.
    pub fn of(&self, api: ApiKey) -> &ApiFigures {
        &self.apis[usize::from(PLACES[api.key() as usize])]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(key: i16, version: i16) -> [u8; 4] {
        let ([a, b], [c, d]) = (key.to_be_bytes(), version.to_be_bytes());
        [a, b, c, d]
    }

    #[test]
    fn requests_count_for_their_api_and_version_and_nonsense_for_none() {
        let mut requests = Requests::default();
        for (frame, now_us) in [
            (&frame(0, 9)[..], 1_500),
            (&frame(0, 13), 1_100),
            (&frame(18, 3), 1_000),
            (&frame(18, 99), 1_000),
            (&frame(18, -1), 1_000),
            (&frame(0, 9), 900),
            (&frame(127, 0), 1_000),
            (&frame(-1, 0), 1_000),
            (&frame(0, 9)[..3], 1_000),
            (&[], 1_000),
        ] {
            requests.answered(Received::new(frame, 1_000), now_us);
        }
        let counted: alloc::vec::Vec<_> = requests
            .iter()
            .map(|(api, figures)| (api, figures.latency.count(), figures.versions.iter().sum::<u64>()))
            .collect();
        assert_eq!(counted, [(ApiKey::Produce, 3, 3), (ApiKey::ApiVersions, 3, 1)]);
        let produce = requests.of(ApiKey::Produce);
        assert_eq!((produce.versions[9], produce.versions[13], produce.latency.sum_us()), (2, 1, 600));
        let mut twice = requests.clone();
        twice.add(&requests);
        assert_eq!(twice.of(ApiKey::Produce).versions[9], 4);
    }
}

//! Incremental fetch sessions (KIP-227): what a client fetches is remembered, so that its requests name only what
//! changed and its answers only what has news.
//!
//! Invariants:
//! - A session's requests come one after the other: each names the epoch that the last answer made valid, and any other
//!   is refused without a change.
//! - The partitions of a session are visited in turn: one that gave records goes to the end, so that none starves
//!   however small the client's limit is.
//! - The number of sessions, of partitions in one and of partitions in all are bounded. Who gets no session is served
//!   without one.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;

use crate::limits;

/// The id of no session.
pub(crate) const NO_SESSION: i32 = 0;
/// The epoch of a request that wants a new session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request that wants none, and ends the one it names.
const FINAL_EPOCH: i32 = -1;

/// How a request names a topic: by id from version 13 on, by name before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TopicKey {
    /// By its id.
    Id(TopicId),
    /// By its name; shared by all partitions of the topic that one request names.
    Name(Arc<str>),
}

/// What a client wants of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FetchPartition {
    /// The topic.
    pub(crate) topic: TopicKey,
    /// The partition's index.
    pub(crate) partition: i32,
    /// The first offset wanted.
    pub(crate) fetch_offset: i64,
    /// The limit in bytes for this partition.
    pub(crate) max_bytes: i32,
    /// The leader epoch that the client knows; -1 if it does not say.
    pub(crate) current_leader_epoch: i32,
    /// The epoch of the last record that the client has; -1 if it does not say.
    pub(crate) last_fetched_epoch: i32,
}

/// The part of an answer that decides whether a session's client has to hear of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// The partition's error.
    pub(crate) error: ErrorCode,
    /// The high watermark sent.
    pub(crate) high_watermark: i64,
    /// The log start offset sent.
    pub(crate) log_start_offset: i64,
    /// Whether there are records.
    pub(crate) has_records: bool,
    /// Whether the answer says where the client's log diverges.
    pub(crate) diverges: bool,
}

/// How the answer to a fetch relates to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FetchContext {
    /// No session.
    Sessionless,
    /// A session begins with the answer, if there is room.
    Full {
        /// Whether its requests name topics by id.
        uses_topic_ids: bool,
    },
    /// The answer belongs to this session and names only what changed.
    Incremental {
        /// The session.
        id: i32,
        /// The epoch that the session has while this request is its latest.
        epoch: i32,
    },
}

/// What a fetch request says about its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionRequest {
    /// The session, or [`NO_SESSION`].
    pub(crate) id: i32,
    /// The session's epoch.
    pub(crate) epoch: i32,
    /// Whether the request names topics by id.
    pub(crate) uses_topic_ids: bool,
}

/// All sessions of a shard.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    slots_max: usize,
    sessions: BTreeMap<i32, Session>,
    /// Sessions by the time of their last use.
    used: BTreeSet<(u64, i32)>,
    /// Sessions that a larger one may replace, by their size.
    evictable: BTreeSet<(usize, i32)>,
    partitions: usize,
    random: u64,
}

#[derive(Debug)]
struct Session {
    uses_topic_ids: bool,
    created_ms: u64,
    used_ms: u64,
    /// The epoch that the next request must name.
    epoch: i32,
    /// Partitions in the order in which they are visited.
    order: BTreeMap<u64, Cached>,
    /// Where each partition stands in that order.
    places: BTreeMap<(TopicKey, i32), u64>,
    next_place: u64,
    /// Its number of partitions as counted in the cache.
    counted: usize,
    is_evictable: bool,
}

#[derive(Debug)]
struct Cached {
    wanted: FetchPartition,
    /// The last that was sent; -1 before, and after an error.
    high_watermark: i64,
    log_start_offset: i64,
}

impl FetchSessions {
    /// No session yet, room for `slots_max`. The seed decides the ids.
    pub(crate) fn new(slots_max: usize, seed: u64) -> Self {
        Self {
            slots_max,
            sessions: BTreeMap::new(),
            used: BTreeSet::new(),
            evictable: BTreeSet::new(),
            partitions: 0,
            random: seed,
        }
    }

    /// Takes in a request. `partitions` are those that it names; on return they are those to read, in order.
    pub(crate) fn begin(
        &mut self,
        now_ms: u64,
        request: SessionRequest,
        partitions: &mut Vec<FetchPartition>,
        forgotten: impl Iterator<Item = (TopicKey, i32)>,
    ) -> Result<FetchContext, ErrorCode> {
        if request.epoch == INITIAL_EPOCH || request.epoch == FINAL_EPOCH {
            self.remove(request.id);
            return Ok(match request.epoch {
                FINAL_EPOCH => FetchContext::Sessionless,
                _ => FetchContext::Full { uses_topic_ids: request.uses_topic_ids },
            });
        }
        let Some(session) = self.sessions.get_mut(&request.id) else {
            return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        };
        if session.epoch != request.epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        if session.uses_topic_ids != request.uses_topic_ids {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        session.update(partitions, forgotten);
        let size = session.order.len();
        let others = self.partitions - session.counted;
        if size > limits::FETCH_SESSION_PARTITIONS_MAX || others + size > limits::FETCH_SESSIONS_PARTITIONS_MAX {
            // The client starts again with a full request and is then served without a session.
            self.remove(request.id);
            return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        }
        if size == 0 {
            self.remove(request.id);
            return Ok(FetchContext::Sessionless);
        }
        session.epoch = next_epoch(session.epoch);
        let epoch = session.epoch;
        partitions.clear();
        partitions.extend(session.order.values().map(|cached| cached.wanted.clone()));
        self.touch(request.id, now_ms);
        Ok(FetchContext::Incremental { id: request.id, epoch })
    }

    /// The answer is about to leave: `news[i]` is what it would say about `partitions[i]`. Tells the session id to send
    /// and, for an incremental answer, clears `send[i]` for what the client knows already.
    pub(crate) fn finish(
        &mut self,
        now_ms: u64,
        context: &FetchContext,
        partitions: &[FetchPartition],
        news: &[News],
        send: &mut [bool],
    ) -> Result<i32, ErrorCode> {
        assert!(partitions.len() == news.len() && news.len() == send.len(), "one entry per partition");
        match *context {
            FetchContext::Sessionless => Ok(NO_SESSION),
            FetchContext::Full { uses_topic_ids } => Ok(self.create(now_ms, uses_topic_ids, partitions, news)),
            FetchContext::Incremental { id, epoch } => {
                let session = self.sessions.get_mut(&id).filter(|session| session.epoch == epoch);
                let session = session.ok_or(ErrorCode::INVALID_FETCH_SESSION_EPOCH)?;
                for ((wanted, news), send) in partitions.iter().zip(news).zip(send) {
                    *send = session.has_to_hear(wanted, *news);
                }
                Ok(id)
            }
        }
    }

    /// How many sessions and partitions there are.
    #[cfg(test)]
    fn size(&self) -> (usize, usize) {
        (self.sessions.len(), self.partitions)
    }

    fn create(&mut self, now_ms: u64, uses_topic_ids: bool, partitions: &[FetchPartition], news: &[News]) -> i32 {
        if partitions.is_empty() || partitions.len() > limits::FETCH_SESSION_PARTITIONS_MAX {
            return NO_SESSION;
        }
        let is_full = |cache: &Self| {
            cache.sessions.len() >= cache.slots_max
                || cache.partitions + partitions.len() > limits::FETCH_SESSIONS_PARTITIONS_MAX
        };
        if self.slots_max == 0 || is_full(self) && !self.evict_one(now_ms, partitions.len()) || is_full(self) {
            return NO_SESSION;
        }
        let mut session = Session {
            uses_topic_ids,
            created_ms: now_ms,
            used_ms: now_ms,
            epoch: next_epoch(INITIAL_EPOCH),
            order: BTreeMap::new(),
            places: BTreeMap::new(),
            next_place: 0,
            counted: 0,
            is_evictable: false,
        };
        for (wanted, news) in partitions.iter().zip(news) {
            session.add(wanted.clone(), *news);
        }
        let id = self.unused_id();
        self.sessions.insert(id, session);
        self.used.insert((now_ms, id));
        self.touch(id, now_ms);
        id
    }

    /// Gives a slot free if some session has lost its claim to it: one unused for long, or an old one smaller than
    /// `size`.
    fn evict_one(&mut self, now_ms: u64, size: usize) -> bool {
        let Some(&(used_ms, oldest)) = self.used.first() else { return false };
        if now_ms.saturating_sub(used_ms) > limits::FETCH_SESSION_EVICTION_MS {
            self.remove(oldest);
            return true;
        }
        match self.evictable.first() {
            Some(&(smallest, id)) if smallest < size => {
                self.remove(id);
                true
            }
            _ => false,
        }
    }

    /// Brings the indexes up to date with a session that was used now.
    fn touch(&mut self, id: i32, now_ms: u64) {
        let session = self.sessions.get_mut(&id).expect("the session exists");
        self.used.remove(&(session.used_ms, id));
        session.used_ms = now_ms;
        self.used.insert((now_ms, id));
        if session.is_evictable {
            self.evictable.remove(&(session.counted, id));
        }
        self.partitions = self.partitions - session.counted + session.order.len();
        session.counted = session.order.len();
        session.is_evictable = now_ms.saturating_sub(session.created_ms) > limits::FETCH_SESSION_EVICTION_MS;
        if session.is_evictable {
            self.evictable.insert((session.counted, id));
        }
    }

    fn remove(&mut self, id: i32) {
        let Some(session) = self.sessions.remove(&id) else { return };
        self.used.remove(&(session.used_ms, id));
        if session.is_evictable {
            self.evictable.remove(&(session.counted, id));
        }
        self.partitions -= session.counted;
    }

    /// A positive id that no session has.
    fn unused_id(&mut self) -> i32 {
        loop {
            // SplitMix64: ids need to differ and to be hard to hit by accident, no more.
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut bits = self.random;
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let id = ((bits ^ (bits >> 31)) & 0x7fff_ffff) as i32;
            if id != NO_SESSION && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }
}

impl Session {
    fn update(&mut self, named: &[FetchPartition], forgotten: impl Iterator<Item = (TopicKey, i32)>) {
        for wanted in named {
            match self.places.get(&key(wanted)) {
                Some(place) => self.order.get_mut(place).expect("places lead to partitions").wanted = wanted.clone(),
                None => {
                    let nothing = News {
                        error: ErrorCode::NONE,
                        high_watermark: -1,
                        log_start_offset: -1,
                        has_records: false,
                        diverges: false,
                    };
                    self.add(wanted.clone(), nothing);
                }
            }
        }
        for key in forgotten {
            if let Some(place) = self.places.remove(&key) {
                self.order.remove(&place);
            }
        }
    }

    /// Adds a partition of which the client has heard `news`; a second mention of it is the one that counts.
    fn add(&mut self, wanted: FetchPartition, news: News) {
        let high_watermark = if news.error.is_none() { news.high_watermark } else { -1 };
        if let Some(place) = self.places.insert(key(&wanted), self.next_place) {
            self.order.remove(&place);
        }
        self.order.insert(self.next_place, Cached { wanted, high_watermark, log_start_offset: news.log_start_offset });
        self.next_place += 1;
    }

    /// Whether `news` about a partition has to be sent; what is sent is remembered.
    fn has_to_hear(&mut self, wanted: &FetchPartition, news: News) -> bool {
        // Without a place: forgotten by a later request, whose answer then is the one that counts.
        let Some(place) = self.places.get(&key(wanted)).copied() else { return false };
        let cached = self.order.get_mut(&place).expect("places lead to partitions");
        let is_error = !news.error.is_none();
        let changed = news.has_records
            || news.diverges
            || is_error
            || cached.high_watermark != news.high_watermark
            || cached.log_start_offset != news.log_start_offset;
        // After an error the next good answer is news, whatever it says.
        cached.high_watermark = if is_error { -1 } else { news.high_watermark };
        cached.log_start_offset = news.log_start_offset;
        if news.has_records {
            let cached = self.order.remove(&place).expect("it was there");
            self.places.insert(key(&cached.wanted), self.next_place);
            self.order.insert(self.next_place, cached);
            self.next_place += 1;
        }
        changed
    }
}

fn key(wanted: &FetchPartition) -> (TopicKey, i32) {
    (wanted.topic.clone(), wanted.partition)
}

/// The epoch after `epoch`: 1 follows the highest, since 0 asks for a new session.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests;

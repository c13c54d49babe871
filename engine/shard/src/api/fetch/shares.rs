//! A fetch that wants partitions of several shards: its home asks each owner for its share, and joins what they bring.
//!
//! An owner waits as the home does, until its own partitions have enough or the home says that the time is up, and then
//! reads and answers at once: one hop there and one back. Where several bytes are waited for, it says how many it could
//! bring, and the home adds up.
//!
//! Invariants: an owner answers each share once; a share brings records in memory only, since files are open on one shard;
//! the answer keeps within the client's limit, but for its first batch, however many shares there are.

use alloc::vec::Vec;

use corelog_wire::error_code::ErrorCode;

use super::{Found, NOTHING, Pending, Stage};
use crate::api::sharing::ShareAnswer;
use crate::api::{Outcome, ReplyTo};
use crate::fetch_session::{FetchContext, FetchPartition};
use crate::front::Context;
use crate::log::Fetched;
use crate::mesh::ShardIndex;

/// What an owner is asked for.
#[derive(Debug)]
pub(crate) struct Share {
    to: ReplyTo,
    /// Partitions with their entries in the home's fetch.
    partitions: Vec<(usize, FetchPartition)>,
    /// Whether to read at once, whatever there is.
    is_due: bool,
    min_bytes: u64,
    /// From how many bytes on the home wants to hear of them.
    told_from: u64,
    max_bytes: usize,
}

/// What a home asks of an owner.
#[derive(Debug)]
pub(crate) enum Ask {
    /// To take its share.
    Share(Share),
    /// To wait no longer.
    Due,
}

/// An owner's share as its home sees it.
#[derive(Debug)]
pub(super) struct Theirs {
    shard: ShardIndex,
    stage: TheirStage,
    /// Bytes that it could bring.
    available: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TheirStage {
    NotAsked,
    Waiting,
    Due,
    Ended,
}

/// A home's share as its owner sees it.
#[derive(Debug)]
pub(super) struct Ours {
    entries: Vec<usize>,
    told_from: u64,
    /// How many bytes the home was told of.
    told: u64,
}

/// Takes the share of another shard's fetch.
pub(crate) fn take(cx: &Context<'_>, share: Share) -> Outcome {
    let (entries, partitions): (Vec<usize>, Vec<FetchPartition>) = share.partitions.into_iter().unzip();
    let pending = Pending {
        to: share.to,
        context: FetchContext::Sessionless,
        found: Vec::with_capacity(partitions.len()),
        partitions,
        min_bytes: share.min_bytes,
        max_bytes: share.max_bytes,
        is_read_committed: false,
        available: 0,
        stage: Stage::Waiting,
        theirs: Vec::new(),
        joined_bytes: 0,
        ours: Some(Ours { entries, told_from: share.told_from, told: 0 }),
    };
    pending.begin(cx, share.is_due, None)
}

impl Pending {
    /// Notes which other shards have partitions of the fetch.
    pub(super) fn note_shares(&mut self) {
        let mut shards: Vec<ShardIndex> = self.found.iter().filter_map(|found| found.there).collect();
        shards.sort_unstable();
        shards.dedup();
        let theirs = |shard| Theirs { shard, stage: TheirStage::NotAsked, available: 0 };
        self.theirs = shards.into_iter().map(theirs).collect();
    }

    /// Bytes that other shards could bring or have brought.
    pub(super) fn available_there(&self) -> u64 {
        self.theirs.iter().map(|theirs| theirs.available).sum()
    }

    /// The bytes that one shard may bring of `bytes`.
    pub(super) fn part_of(&self, bytes: usize) -> usize {
        let here = self.found.iter().any(|found| found.id.is_some());
        bytes / (self.theirs.len() + usize::from(here)).max(1)
    }

    /// Whether other shards have to be asked that were not.
    pub(crate) fn has_unasked(&self) -> bool {
        self.theirs.iter().any(|theirs| theirs.stage == TheirStage::NotAsked)
    }

    /// What to ask of other shards now, with at most so many bytes from all together.
    pub(crate) fn ask(&mut self, bytes_max: usize) -> Vec<(ShardIndex, Ask)> {
        let is_due = self.stage != Stage::Waiting;
        let max_bytes = self.part_of(self.max_bytes.min(bytes_max));
        let told_from = self.min_bytes.div_ceil(self.theirs.len() as u64 + 1);
        let mut asks = Vec::new();
        for theirs in &mut self.theirs {
            let ask = match theirs.stage {
                TheirStage::NotAsked => {
                    let wanted = self.partitions.iter().zip(&self.found).enumerate();
                    let theirs = wanted.filter(|(_, (_, found))| found.there == Some(theirs.shard));
                    Ask::Share(Share {
                        to: self.to,
                        partitions: theirs.map(|(entry, (wanted, _))| (entry, wanted.clone())).collect(),
                        is_due,
                        min_bytes: self.min_bytes,
                        told_from,
                        max_bytes,
                    })
                }
                TheirStage::Waiting if is_due => Ask::Due,
                _ => continue,
            };
            theirs.stage = if is_due { TheirStage::Due } else { TheirStage::Waiting };
            asks.push((theirs.shard, ask));
        }
        asks
    }

    /// The shards that were asked and have not answered.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = ShardIndex> {
        let is_awaited = |theirs: &&Theirs| matches!(theirs.stage, TheirStage::Waiting | TheirStage::Due);
        self.theirs.iter().filter(is_awaited).map(|theirs| theirs.shard)
    }

    /// How many shards have not answered.
    pub(super) fn open_shares(&self) -> usize {
        self.theirs.iter().filter(|theirs| theirs.stage != TheirStage::Ended).count()
    }

    /// Another shard has so many bytes. Returns whether there are enough now.
    pub(crate) fn available_at(&mut self, from: ShardIndex, bytes: u64) -> bool {
        if let Some(theirs) = self.theirs.iter_mut().find(|theirs| theirs.shard == from) {
            self.available = self.available - theirs.available + bytes;
            theirs.available = bytes;
        }
        self.available >= self.min_bytes
    }

    /// Another shard has done its share. Returns how many bytes it brought.
    pub(crate) fn joined(&mut self, from: ShardIndex, results: Vec<(usize, Found)>) -> usize {
        let Some(theirs) = self.theirs.iter_mut().find(|theirs| theirs.shard == from) else { return 0 };
        if theirs.stage == TheirStage::Ended {
            // It was given up before.
            return 0;
        }
        theirs.stage = TheirStage::Ended;
        let mut bytes = 0;
        for (entry, found) in results {
            bytes += found.bytes();
            self.found[entry] = Found { id: None, there: Some(from), ..found };
        }
        self.joined_bytes += bytes;
        if let Stage::Reading { outstanding, .. } = &mut self.stage {
            *outstanding -= 1;
        }
        bytes
    }

    /// Other shards have not answered in time: their partitions are asked for again by the client. Returns whether
    /// nothing is missing any more.
    pub(crate) fn give_up_shares(&mut self) -> bool {
        let Stage::Reading { outstanding, .. } = &mut self.stage else { return false };
        for theirs in self.theirs.iter_mut().filter(|theirs| theirs.stage != TheirStage::Ended) {
            theirs.stage = TheirStage::Ended;
            *outstanding -= 1;
            let missing = self.found.iter_mut().filter(|found| found.there == Some(theirs.shard));
            missing.for_each(|found| found.fail(ErrorCode::NOT_LEADER_OR_FOLLOWER));
        }
        *outstanding == 0
    }

    /// Leaves out what is too much for the client's limit, since several shards have read for it.
    pub(super) fn keep_within_limit(&mut self) {
        if self.theirs.is_empty() {
            return;
        }
        let mut left = self.max_bytes;
        let mut is_first = true;
        for found in &mut self.found {
            let bytes = found.bytes();
            if bytes == 0 {
                continue;
            }
            if bytes > left && !is_first && found.in_place().is_none() {
                found.records = NOTHING;
                continue;
            }
            is_first = false;
            left = left.saturating_sub(bytes);
        }
    }

    /// In a share: how many bytes to tell the home of, if it has to hear of them.
    pub(crate) fn news_for_home(&mut self) -> Option<u64> {
        let ours = self.ours.as_mut()?;
        let is_news = self.available >= ours.told_from && self.available > ours.told;
        is_news.then(|| {
            ours.told = self.available;
            self.available
        })
    }

    /// In a share: the answer to the home.
    pub(super) fn answer_home(self, ours: Ours) -> Outcome {
        Outcome::Share(ShareAnswer::Fetch(ours.entries.into_iter().zip(self.found).collect()))
    }
}

impl Found {
    /// Bytes of records.
    fn bytes(&self) -> usize {
        match &self.records {
            Fetched::Memory(segments) => segments.iter().map(|segment| segment.len()).sum(),
            Fetched::InPlace(found) => found.range.len,
        }
    }
}

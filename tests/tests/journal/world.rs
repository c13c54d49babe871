//! A journal on the fault disk, driven by a script, beside a list of what it was told: the model that it is checked
//! against.

use corelog_shard::ids::Ids;
use corelog_shard::io::Action;
use corelog_shard::journal::{
    Damage, Durability, EntryKind, Files, Geometry, Journal, JournalKind, NewEntry, OpenError, Placed,
};
use corelog_tests::sim::disk::{Advance, FaultDisk};
use corelog_tests::sim::random::Random;

pub(crate) const BLOCK: usize = 4096;
pub(crate) const FILE_LEN: u64 = 32 << 10;

/// How many seeds to try: `few` of them, or `CORELOG_SEEDS` times as many.
pub(crate) fn seeds(few: u64) -> u64 {
    let times = std::env::var("CORELOG_SEEDS").ok().and_then(|times| times.parse::<u64>().ok());
    few * times.unwrap_or(1)
}

pub(crate) fn geometry() -> Geometry {
    Geometry {
        block: BLOCK,
        file_len: FILE_LEN,
        files_max: 6,
        depth: 4,
        gather_bytes: 0,
        kind: JournalKind::Shard,
        shard: 0,
        directory: 0x1234_5678_9abc_def0,
        dir: "shard-0".to_owned(),
    }
}

/// An entry that the journal was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) kind: EntryKind,
    pub(crate) level: Durability,
    pub(crate) topic_id: [u8; 16],
    pub(crate) partition: i32,
    pub(crate) base_offset: i64,
    pub(crate) payload: Vec<u8>,
    pub(crate) sequence: u64,
    pub(crate) ordinal: u64,
}

/// Bytes that pass for a record batch of at least 61 bytes.
pub(crate) fn batch(base_offset: i64, len: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len.max(61)).map(|_| random.next_u64() as u8).collect();
    bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
    let length = (bytes.len() - 12) as u32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[12..16].copy_from_slice(&3i32.to_be_bytes());
    bytes[16] = 2;
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// What a scan delivered.
pub(crate) struct Scanned {
    pub(crate) entries: Vec<Told>,
    pub(crate) damage: Vec<Damage>,
    pub(crate) recovered: corelog_shard::journal::Recovered,
    pub(crate) ids: Ids,
}

pub(crate) fn scan(disk: &mut FaultDisk, needed: u64) -> Result<Scanned, OpenError> {
    let mut ids = Ids::new();
    let files = Files::open(disk, geometry(), &mut ids)?;
    let mut entries = Vec::new();
    let recovered = files.scan(disk, needed, &mut |found| {
        entries.push(Told {
            kind: found.header.kind,
            level: found.header.level,
            topic_id: found.header.topic_id,
            partition: found.header.partition,
            base_offset: found.header.base_offset,
            payload: found.payload.to_vec(),
            sequence: found.header.sequence,
            ordinal: found.ordinal,
        });
    })?;
    Ok(Scanned { entries, damage: recovered.damage.clone(), recovered, ids })
}

/// A start that failed, and the disk as it left it.
pub(crate) struct Failed {
    pub(crate) disk: FaultDisk,
    pub(crate) error: OpenError,
}

pub(crate) struct World {
    pub(crate) disk: FaultDisk,
    pub(crate) journal: Journal,
    ids: Ids,
    pub(crate) now_us: u64,
    /// In order; after a restart, what was recovered.
    pub(crate) told: Vec<Told>,
    /// The first ordinal that is still needed; whoever restarts knows it.
    pub(crate) needed: u64,
    pub(crate) incarnation: u64,
    pub(crate) random: Random,
    next_offset: i64,
    pub(crate) metadata_offset: u64,
    /// How many commits were in flight at once, at most.
    pub(crate) deepest: usize,
    pub(crate) closings: usize,
    pub(crate) syncs: usize,
}

impl World {
    /// Recovers and starts; what was recovered becomes the model.
    pub(crate) fn start(mut disk: FaultDisk, needed: u64, incarnation: u64, seed: u64) -> Result<Self, Box<Failed>> {
        let Scanned { entries, damage, recovered, mut ids, .. } = match scan(&mut disk, needed) {
            Ok(scanned) => scanned,
            Err(error) => return Err(Box::new(Failed { disk, error })),
        };
        assert_eq!(damage, [], "nothing was damaged");
        let metadata_offset = recovered.metadata_offset;
        let journal = match Journal::start(&mut disk, recovered, incarnation, &mut ids) {
            Ok(journal) => journal,
            Err(error) => return Err(Box::new(Failed { disk, error })),
        };
        let next_offset = entries.iter().map(|told| told.base_offset).max().unwrap_or(-1) + 1;
        Ok(Self {
            disk,
            journal,
            ids,
            now_us: 1,
            told: entries,
            needed,
            incarnation,
            random: Random::new(seed),
            next_offset,
            metadata_offset,
            deepest: 0,
            closings: 0,
            syncs: 0,
        })
    }

    /// Appends one entry of a random kind, size and level if there is room.
    pub(crate) fn append(&mut self, level: Durability, len_max: usize) -> Option<Placed> {
        let base_offset = self.next_offset;
        let kind = [EntryKind::Records, EntryKind::Records, EntryKind::CarriedRecords, EntryKind::LogStart]
            [self.random.below(4)];
        let payload = match kind {
            EntryKind::LogStart => Vec::new(),
            _ => {
                let len = self.random.below(len_max);
                batch(base_offset, len, &mut self.random)
            }
        };
        let room = match kind {
            EntryKind::Records => self.journal.has_room(payload.len()),
            _ => self.journal.has_reserve(payload.len()),
        };
        if !room {
            return None;
        }
        self.next_offset += 1;
        let payload_crc = payload.get(17..21).map_or(0, |crc| u32::from_be_bytes(crc.try_into().unwrap()));
        let partition = self.random.below(5) as i32;
        let entry = NewEntry {
            kind,
            level,
            topic_id: [partition as u8; 16],
            partition,
            leader_epoch: 3,
            base_offset,
            last_offset: base_offset,
            segment_base_offset: 0,
            payload_crc,
        };
        let (head, tail) = payload.split_at(payload.len().min(16));
        let placed = self.journal.append(entry, &[head, tail]);
        let Placed { sequence, ordinal } = placed;
        let topic_id = entry.topic_id;
        self.told.push(Told { kind, level, topic_id, partition, base_offset, payload, sequence, ordinal });
        Some(placed)
    }

    /// Ends a turn.
    pub(crate) fn cut(&mut self) {
        let mut actions = Vec::new();
        self.metadata_offset += 1;
        self.journal.cut(self.now_us, self.metadata_offset, &mut self.ids, &mut actions);
        self.submit(actions);
    }

    pub(crate) fn close_if_idle(&mut self) {
        let mut actions = Vec::new();
        self.journal.close_if_idle(self.now_us, self.metadata_offset, &mut self.ids, &mut actions);
        self.closings += actions.len();
        self.submit(actions);
    }

    pub(crate) fn request_sync(&mut self) -> u64 {
        let mut actions = Vec::new();
        let sequence = self.journal.request_sync(&mut self.ids, &mut actions);
        self.submit(actions);
        sequence
    }

    fn submit(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Io { op, steps } => {
                    self.syncs += usize::from(matches!(steps[0], corelog_shard::io::Step::Sync { .. }));
                    self.disk.submit(op, steps);
                }
                other => panic!("the journal asked for {other:?}"),
            }
        }
        self.deepest = self.deepest.max(self.disk.in_flight());
    }

    /// Completes one step. False when nothing is in flight.
    pub(crate) fn advance(&mut self) -> bool {
        match self.disk.advance() {
            Advance::Idle => return false,
            Advance::Stepped => {}
            Advance::PowerOff => panic!("nobody cuts the power here"),
            Advance::Done(op, result) => {
                let mut actions = Vec::new();
                let ours = self.journal.completed(op, &result, &mut self.ids, &mut actions);
                assert_eq!(ours, Ok(true), "{result:?}");
                self.submit(actions);
            }
        }
        true
    }

    /// Completes everything.
    pub(crate) fn settle(&mut self) {
        loop {
            self.cut();
            if !self.advance() && self.journal.is_idle() {
                return;
            }
        }
    }

    /// "Everything in old files was written back": all but the newest file is given up, once it is durable.
    pub(crate) fn release(&mut self) {
        let durable = self.journal.durable_sequence();
        let newest = self.told.iter().rev().find(|told| told.sequence <= durable).map(|told| told.ordinal);
        if let Some(newest) = newest.filter(|&newest| newest > self.needed) {
            self.needed = newest;
            self.journal.release(newest);
        }
    }

    /// A random run of `turns` turns; `probe` is called before every completion.
    pub(crate) fn run(&mut self, turns: usize, probe: &mut dyn FnMut(&Self)) {
        for _ in 0..turns {
            for _ in 0..self.random.below(4) {
                let level =
                    [Durability::Fsync, Durability::Fsync, Durability::Write, Durability::Memory][self.random.below(4)];
                let len_max = if self.random.chance(25) { 20_000 } else { 3000 };
                self.append(level, len_max);
            }
            self.cut();
            if self.random.chance(3) {
                self.request_sync();
            }
            for _ in 0..self.random.below(3) {
                if self.disk.in_flight() > 0 {
                    probe(self);
                    self.advance();
                }
            }
            if self.random.chance(15) {
                self.release();
            }
            if self.random.chance(3) {
                self.journal.end_file();
            }
            if self.random.chance(8) {
                // Everybody stops for a while.
                while self.disk.in_flight() > 0 {
                    probe(self);
                    self.advance();
                    self.cut();
                }
                self.now_us += 1_000_000;
                self.close_if_idle();
            }
            self.now_us += 10;
        }
        probe(self);
    }

    /// What a restart after the needed ordinal must find: everything told, in order.
    pub(crate) fn expected(&self) -> Vec<Told> {
        self.told.iter().filter(|told| told.ordinal >= self.needed).cloned().collect()
    }
}

/// Checks what was recovered against what was told: a prefix of it, and at least `must` of its commits.
pub(crate) fn check(expected: &[Told], scanned: &Scanned, must: u64, seed: u64) {
    assert_eq!(scanned.damage, [], "seed {seed}: nothing was damaged");
    assert!(scanned.entries.len() <= expected.len(), "seed {seed}: entries came from nowhere");
    for (found, told) in scanned.entries.iter().zip(expected) {
        assert_eq!(found, told, "seed {seed}");
    }
    if let Some(lost) = expected.get(scanned.entries.len()) {
        assert!(lost.sequence > must, "seed {seed}: commit {} was promised up to {must}: {lost:?}", lost.sequence);
        let last = scanned.entries.last().map_or(0, |last| last.sequence);
        assert!(last < lost.sequence, "seed {seed}: commit {last} came back in part");
    }
}

//! What a file holds: as the process sees it, as the platter has it, and the changes in between.
//!
//! Fault model: each changed block that was not synced may be lost, kept, or be any of its versions since the last
//! sync, whatever happens to the others. Changes of the length survive in order, some first part of them. A durable
//! write survives, with the length it needs, and takes nothing else with it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::random::Random;

/// Sparse bytes; what was never written is zero.
#[derive(Clone, Debug, Default)]
struct Content {
    len: u64,
    blocks: BTreeMap<u64, Bytes>,
}

impl Content {
    fn block(&self, index: u64, block: usize) -> Bytes {
        self.blocks.get(&index).cloned().unwrap_or_else(|| Bytes::from(vec![0; block]))
    }

    fn set_len(&mut self, len: u64, block: usize) {
        if len < self.len {
            self.blocks.split_off(&len.div_ceil(block as u64));
            let (index, within) = (len / block as u64, (len % block as u64) as usize);
            if within > 0
                && let Some(last) = self.blocks.get_mut(&index)
            {
                let mut cut = last.to_vec();
                cut[within..].fill(0);
                *last = Bytes::from(cut);
            }
        }
        self.len = len;
    }
}

#[derive(Clone, Debug)]
enum Change {
    Block {
        index: u64,
        bytes: Bytes,
    },
    /// The file is at least so long.
    Grow(u64),
    SetLen(u64),
}

/// A file's bytes.
#[derive(Clone, Debug)]
pub(super) struct File {
    block: usize,
    visible: Content,
    platter: Content,
    /// In order, with the time of each.
    pending: Vec<(u64, Change)>,
}

impl File {
    pub(super) fn new(block: usize) -> Self {
        Self { block, visible: Content::default(), platter: Content::default(), pending: Vec::new() }
    }

    /// A file whose bytes are on the platter.
    pub(super) fn holding(block: usize, bytes: &[u8]) -> Self {
        let mut this = Self::new(block);
        this.write(0, 0, bytes, true);
        this
    }

    pub(super) fn len(&self) -> u64 {
        self.visible.len
    }

    pub(super) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let end = self.visible.len.min(offset + len as u64);
        let mut bytes = Vec::new();
        let mut at = offset;
        while at < end {
            let (index, within) = (at / self.block as u64, (at % self.block as u64) as usize);
            let take = (self.block - within).min((end - at) as usize);
            match self.visible.blocks.get(&index) {
                Some(block) => bytes.extend_from_slice(&block[within..within + take]),
                None => bytes.resize(bytes.len() + take, 0),
            }
            at += take as u64;
        }
        bytes
    }

    /// A completed write.
    pub(super) fn write(&mut self, now: u64, offset: u64, bytes: &[u8], durable: bool) {
        let end = offset + bytes.len() as u64;
        if end > self.visible.len {
            self.visible.len = end;
            self.pending.push((now, Change::Grow(end)));
        }
        if durable && end > self.platter.len {
            // The length is durable with the data, and so is every change of it before.
            for change in self.take_pending(|change| !matches!(change, Change::Block { .. })) {
                self.settle(change);
            }
        }
        let mut at = offset;
        while at < end {
            let (index, within) = (at / self.block as u64, (at % self.block as u64) as usize);
            let take = (self.block - within).min((end - at) as usize);
            let mut image = self.visible.block(index, self.block).to_vec();
            let from = (at - offset) as usize;
            image[within..within + take].copy_from_slice(&bytes[from..from + take]);
            let image = Bytes::from(image);
            self.visible.blocks.insert(index, image.clone());
            if durable {
                self.take_pending(|change| matches!(change, Change::Block { index: old, .. } if *old == index));
                self.platter.blocks.insert(index, image);
            } else {
                self.pending.push((now, Change::Block { index, bytes: image }));
            }
            at += take as u64;
        }
    }

    /// Truncated or extended.
    pub(super) fn set_len(&mut self, now: u64, len: u64) {
        let kept = len.div_ceil(self.block as u64);
        self.take_pending(|change| matches!(change, Change::Block { index, .. } if *index >= kept));
        self.visible.set_len(len, self.block);
        self.pending.push((now, Change::SetLen(len)));
    }

    /// A sync that began at `began` has completed.
    pub(super) fn sync(&mut self, began: u64) {
        let (done, left) = std::mem::take(&mut self.pending).into_iter().partition(|&(time, _)| time <= began);
        self.pending = left;
        let done: Vec<(u64, Change)> = done;
        for (_, change) in done {
            self.settle(change);
        }
    }

    /// The power went: what is left of the changes that were not synced is drawn.
    pub(super) fn power_cut(&mut self, random: &mut Random) {
        let lands = [0, 25, 50, 75, 100][random.below(5)];
        let pending: Vec<Change> = std::mem::take(&mut self.pending).into_iter().map(|(_, change)| change).collect();
        let (blocks, lengths): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|change| matches!(change, Change::Block { .. }));
        let survive = if lands == 100 { lengths.len() } else { random.below(lengths.len() + 1) };
        for change in lengths.into_iter().take(survive) {
            self.settle(change);
        }
        let mut versions: BTreeMap<u64, Vec<Bytes>> = BTreeMap::new();
        for change in blocks {
            if let Change::Block { index, bytes } = change {
                versions.entry(index).or_default().push(bytes);
            }
        }
        for (index, versions) in versions {
            if random.chance(lands) && index * (self.block as u64) < self.platter.len {
                let version = if random.chance(70) { versions.len() - 1 } else { random.below(versions.len()) };
                self.platter.blocks.insert(index, versions[version].clone());
            }
        }
        self.visible = self.platter.clone();
    }

    fn take_pending(&mut self, which: impl Fn(&Change) -> bool) -> Vec<Change> {
        let (taken, left) = std::mem::take(&mut self.pending).into_iter().partition(|(_, change)| which(change));
        self.pending = left;
        let taken: Vec<(u64, Change)> = taken;
        taken.into_iter().map(|(_, change)| change).collect()
    }

    fn settle(&mut self, change: Change) {
        match change {
            Change::Block { index, bytes } => {
                self.platter.blocks.insert(index, bytes);
            }
            Change::Grow(len) => self.platter.len = self.platter.len.max(len),
            Change::SetLen(len) => self.platter.set_len(len, self.block),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 512;

    fn after_cut(file: &File, seed: u64) -> Vec<u8> {
        let mut file = file.clone();
        file.power_cut(&mut Random::new(seed));
        file.read(0, 1 << 20)
    }

    #[test]
    fn a_durable_write_survives_and_takes_nothing_with_it() {
        let mut file = File::holding(BLOCK, &[0; 4 * BLOCK]);
        file.write(1, 0, &[1; BLOCK], false);
        file.write(2, BLOCK as u64, &[2; BLOCK], true);
        let cuts: Vec<Vec<u8>> = (0..50).map(|seed| after_cut(&file, seed)).collect();
        assert!(cuts.iter().all(|bytes| bytes[BLOCK..2 * BLOCK] == [2; BLOCK]));
        assert!(cuts.iter().any(|bytes| bytes[0] == 0) && cuts.iter().any(|bytes| bytes[0] == 1));
    }

    #[test]
    fn a_write_is_torn_at_blocks() {
        let mut file = File::holding(BLOCK, &[0; 4 * BLOCK]);
        file.write(1, 0, &[1; 4 * BLOCK], false);
        let cuts: Vec<Vec<u8>> = (0..50).map(|seed| after_cut(&file, seed)).collect();
        assert!(cuts.iter().any(|bytes| bytes[0] != bytes[BLOCK]), "some are torn");
        assert!(cuts.iter().all(|bytes| bytes.chunks(BLOCK).all(|block| block.iter().all(|b| *b == block[0]))));
    }

    #[test]
    fn a_sync_covers_what_was_complete_when_it_began() {
        let mut file = File::holding(BLOCK, &[0; 2 * BLOCK]);
        file.write(1, 0, &[1; BLOCK], false);
        file.write(3, BLOCK as u64, &[2; BLOCK], false);
        file.sync(2);
        let cuts: Vec<Vec<u8>> = (0..50).map(|seed| after_cut(&file, seed)).collect();
        assert!(cuts.iter().all(|bytes| bytes[0] == 1));
        assert!(cuts.iter().any(|bytes| bytes[BLOCK] == 0));
    }

    #[test]
    fn the_length_is_volatile_until_it_is_synced_or_needed() {
        let mut file = File::new(BLOCK);
        file.write(1, 0, &[1; 2 * BLOCK], false);
        assert!((0..50).any(|seed| after_cut(&file, seed).is_empty()));
        file.write(2, 2 * BLOCK as u64, &[2; BLOCK], true);
        assert!((0..50).all(|seed| after_cut(&file, seed).len() == 3 * BLOCK));
        file.set_len(3, 10);
        assert_eq!(file.read(0, 100), [1; 10]);
        let lens: Vec<usize> = (0..50).map(|seed| after_cut(&file, seed).len()).collect();
        assert!(lens.contains(&10) && lens.contains(&(3 * BLOCK)));
        file.sync(3);
        assert!((0..50).all(|seed| after_cut(&file, seed) == file.read(0, 100)));
    }
}

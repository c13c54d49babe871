//! Names: the directories as the process sees them, as the platter has them, and the changes in between.
//!
//! Fault model: a change survives for sure once every directory that it touches was synced after it. Of the other
//! changes to one directory some first part survives; a rename across two of them is all or nothing.

use std::collections::BTreeMap;

use super::random::Random;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    /// The index of the file.
    File(usize),
}

/// By full path; the data directory itself is the empty path and always there.
pub(super) type Names = BTreeMap<String, Node>;

#[derive(Clone, Debug)]
enum Change {
    Create(String, Node),
    Remove(String),
    Rename(String, String),
}

#[derive(Clone, Debug)]
struct Pending {
    time: u64,
    change: Change,
    /// The directories that were not synced since.
    unsynced: Vec<String>,
}

/// The names of a disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Namespace {
    pub(super) visible: Names,
    platter: Names,
    pending: Vec<Pending>,
}

/// The directory in which a path's last name stands.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Namespace {
    /// Names that are all on the platter.
    pub(super) fn settled(names: Names) -> Self {
        Self { visible: names.clone(), platter: names, pending: Vec::new() }
    }

    pub(super) fn dir_exists(&self, path: &str) -> bool {
        path.is_empty() || self.visible.get(path) == Some(&Node::Dir)
    }

    pub(super) fn create(&mut self, now: u64, path: &str, node: Node) {
        self.change(now, Change::Create(path.to_owned(), node), vec![parent(path).to_owned()]);
    }

    pub(super) fn remove(&mut self, now: u64, path: &str) {
        self.change(now, Change::Remove(path.to_owned()), vec![parent(path).to_owned()]);
    }

    pub(super) fn rename(&mut self, now: u64, from: &str, to: &str) {
        let mut touched = vec![parent(from).to_owned(), parent(to).to_owned()];
        touched.dedup();
        self.change(now, Change::Rename(from.to_owned(), to.to_owned()), touched);
        for dir in self.pending.iter_mut().flat_map(|pending| &mut pending.unsynced) {
            if let Some(rest) = within(dir, from) {
                *dir = format!("{to}{rest}");
            }
        }
    }

    fn change(&mut self, time: u64, change: Change, unsynced: Vec<String>) {
        apply(&mut self.visible, &change);
        self.pending.push(Pending { time, change, unsynced });
    }

    /// A sync of a directory that began at `began` has completed.
    pub(super) fn sync(&mut self, began: u64, dir: &str) {
        for pending in self.pending.iter_mut().filter(|pending| pending.time <= began) {
            pending.unsynced.retain(|touched| touched != dir);
        }
        let settled = self.pending.iter().take_while(|pending| pending.unsynced.is_empty()).count();
        for pending in self.pending.drain(..settled) {
            apply(&mut self.platter, &pending.change);
        }
    }

    /// The power went: what is left of the changes that were not synced is drawn.
    pub(super) fn power_cut(&mut self, random: &mut Random) {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for dir in self.pending.iter().flat_map(|pending| &pending.unsynced) {
            *counts.entry(dir.clone()).or_default() += 1;
        }
        let mut survive: BTreeMap<String, usize> =
            counts.into_iter().map(|(dir, count)| (dir, random.below(count + 1))).collect();
        for pending in std::mem::take(&mut self.pending) {
            let mut lands = true;
            for dir in &pending.unsynced {
                let left = survive.get_mut(dir).expect("every directory was counted");
                lands &= *left > 0;
                *left = left.saturating_sub(1);
            }
            if lands {
                apply(&mut self.platter, &pending.change);
            }
        }
        self.visible = self.platter.clone();
    }
}

/// What follows `dir` in a path that is `dir` or below it.
fn within<'a>(path: &'a str, dir: &str) -> Option<&'a str> {
    path.strip_prefix(dir).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn apply(names: &mut Names, change: &Change) {
    let has_parent = |names: &Names, path: &str| parent(path).is_empty() || names.contains_key(parent(path));
    match change {
        Change::Create(path, node) => {
            if has_parent(names, path) {
                names.insert(path.clone(), *node);
            }
        }
        Change::Remove(path) => names.retain(|name, _| within(name, path).is_none()),
        Change::Rename(from, to) => {
            if !names.contains_key(from) || !has_parent(names, to) {
                return;
            }
            names.remove(to);
            let moved: Vec<(String, Node)> = names
                .iter()
                .filter(|(name, _)| within(name, from).is_some())
                .map(|(n, node)| (n.clone(), *node))
                .collect();
            for (name, node) in moved {
                names.remove(&name);
                let rest = within(&name, from).expect("it was chosen so");
                names.insert(format!("{to}{rest}"), node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_cut(names: &Namespace, seed: u64) -> Vec<String> {
        let mut names = names.clone();
        names.power_cut(&mut Random::new(seed));
        names.visible.into_keys().collect()
    }

    #[test]
    fn names_are_volatile_until_their_directory_is_synced() {
        let mut names = Namespace::default();
        names.create(1, "d", Node::Dir);
        names.create(2, "d/f", Node::File(0));
        names.sync(2, "d");
        let cuts: Vec<_> = (0..50).map(|seed| after_cut(&names, seed)).collect();
        assert!(cuts.contains(&vec![]) && cuts.contains(&vec!["d".to_owned(), "d/f".to_owned()]));
        names.sync(2, "");
        assert!((0..50).all(|seed| after_cut(&names, seed) == ["d", "d/f"]));
    }

    #[test]
    fn changes_of_one_directory_survive_in_order() {
        let mut names = Namespace::default();
        names.create(1, "a", Node::File(0));
        names.rename(2, "a", "b");
        names.remove(3, "b");
        let cuts: Vec<_> = (0..100).map(|seed| after_cut(&names, seed)).collect();
        assert!(cuts.iter().all(|left| left.len() <= 1));
        assert!(cuts.contains(&vec!["a".to_owned()]) && cuts.contains(&vec!["b".to_owned()]));
    }

    #[test]
    fn a_rename_across_directories_is_all_or_nothing() {
        let mut names = Namespace::default();
        for dir in ["x", "y"] {
            names.create(1, dir, Node::Dir);
        }
        names.create(2, "x/f", Node::File(0));
        names.sync(2, "");
        names.sync(2, "x");
        names.rename(3, "x/f", "y/f");
        names.sync(3, "x");
        let cuts: Vec<_> = (0..50).map(|seed| after_cut(&names, seed)).collect();
        assert!(cuts.iter().all(|left| left.contains(&"x/f".to_owned()) != left.contains(&"y/f".to_owned())));
        names.sync(3, "y");
        assert!((0..50).all(|seed| after_cut(&names, seed).contains(&"y/f".to_owned())));
    }
}

//! Places with small numbers that are used again: the operations and connections that a completion names.

/// A store whose keys are the lowest free numbers.
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }

    /// How many places are taken.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every number in use is below this.
    pub(crate) fn end(&self) -> u32 {
        self.entries.len() as u32
    }

    /// The number that the next [`Slab::insert`] will give.
    pub(crate) fn next_key(&self) -> u32 {
        self.free.last().copied().unwrap_or_else(|| self.end())
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let key = self.next_key();
        match self.free.pop() {
            Some(key) => self.entries[key as usize] = Some(value),
            None => {
                assert!(self.entries.len() < u32::MAX as usize, "a slab's numbers have 32 bits");
                self.entries.push(Some(value));
            }
        }
        key
    }

    pub(crate) fn get(&self, key: u32) -> Option<&T> {
        self.entries.get(key as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        self.entries.get_mut(key as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, key: u32) -> Option<T> {
        let value = self.entries.get_mut(key as usize)?.take()?;
        self.free.push(key);
        Some(value)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.entries.iter_mut().enumerate().filter_map(|(key, value)| Some((key as u32, value.as_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_and_only_when_free() {
        let mut slab = Slab::new();
        assert!(slab.is_empty());
        assert_eq!((slab.insert('a'), slab.insert('b'), slab.insert('c')), (0, 1, 2));
        assert_eq!(slab.remove(1), Some('b'));
        assert_eq!((slab.remove(1), slab.remove(9)), (None, None));
        assert_eq!((slab.len(), slab.get(1), slab.get(2)), (2, None, Some(&'c')));
        assert_eq!(slab.next_key(), 1);
        assert_eq!((slab.insert('d'), slab.insert('e')), (1, 3));
        assert_eq!(
            slab.iter_mut().map(|(key, value)| (key, *value)).collect::<Vec<_>>(),
            [(0, 'a'), (1, 'd'), (2, 'c'), (3, 'e')]
        );
        assert_eq!(slab.end(), 4);
    }
}

//! Which known word an unknown one was probably meant to be.

use alloc::vec::Vec;

/// The candidate with the fewest single-letter changes from `word`, when it is near enough to be worth naming.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let enough = word.len().div_ceil(3);
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance <= enough)
        .map(|(_, candidate)| candidate)
}

/// The number of letters to insert, remove or replace (Levenshtein's distance, in bytes: keys are ASCII).
fn distance(a: &str, b: &str) -> usize {
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (row, left) in a.bytes().enumerate() {
        let mut diagonal = above[0];
        above[0] = row + 1;
        for (column, right) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = above[column + 1];
            above[column + 1] = replaced.min(diagonal + 1).min(above[column] + 1);
        }
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshteins() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("node.id", "node.id"), 0);
    }

    #[test]
    fn only_near_words_are_named() {
        let words = ["num.partitions", "node.id", "log.retention.ms"];
        assert_eq!(nearest("num.partition", words.into_iter()), Some("num.partitions"));
        assert_eq!(nearest("log.retension.ms", words.into_iter()), Some("log.retention.ms"));
        assert_eq!(nearest("colour", words.into_iter()), None);
    }
}

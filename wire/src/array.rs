//! Arrays of a message, without allocation in either direction.
//!
//! An array is either a slice of what is to be written, or the bytes that were read. Invariant: bytes that were read
//! were decoded once from end to end when their message was, so that decoding an element again cannot fail.
//!
//! Each level of nesting is decoded once more while its parents are iterated: an element k arrays deep is read k + 1
//! times in all. That is the price for decoding without allocation, and small: fields are fixed or short.

use core::fmt;

use crate::decoder::{DecodeError, Decoder};
use crate::encoder::{EncodeError, Encoder};
use crate::message::MessageVersion;
use crate::primitives::Field;

/// The elements of an array field. `Option<Array>` is a nullable one; null and empty are different things.
pub struct Array<'a, T>(Elements<'a, T>);

enum Elements<'a, T> {
    Given(&'a [T]),
    Read { bytes: &'a [u8], count: usize, version: MessageVersion },
}

impl<T> Clone for Elements<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Elements<'_, T> {}

impl<T> Clone for Array<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Array<'_, T> {}

impl<T> Default for Array<'_, T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<'a, T> From<&'a [T]> for Array<'a, T> {
    fn from(elements: &'a [T]) -> Self {
        Self(Elements::Given(elements))
    }
}

impl<'a, T, const N: usize> From<&'a [T; N]> for Array<'a, T> {
    fn from(elements: &'a [T; N]) -> Self {
        Self(Elements::Given(elements))
    }
}

impl<'a, T> From<&'a alloc::vec::Vec<T>> for Array<'a, T> {
    fn from(elements: &'a alloc::vec::Vec<T>) -> Self {
        Self(Elements::Given(elements))
    }
}

impl<'a, T> Array<'a, T> {
    /// The array without elements.
    pub const EMPTY: Self = Self(Elements::Given(&[]));

    /// How many elements there are.
    pub const fn len(&self) -> usize {
        match self.0 {
            Elements::Given(elements) => elements.len(),
            Elements::Read { count, .. } => count,
        }
    }

    /// Whether there are no elements.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a, T: Field<'a>> Array<'a, T> {
    /// The elements in order, by value.
    pub fn iter(&self) -> ArrayIter<'a, T> {
        match self.0 {
            Elements::Given(elements) => ArrayIter(Rest::Given(elements.iter())),
            Elements::Read { bytes, count, version } => {
                ArrayIter(Rest::Read { decoder: Decoder::new(bytes), count, version })
            }
        }
    }

    /// The first element.
    pub fn first(&self) -> Option<T> {
        self.iter().next()
    }

    pub(crate) fn read(decoder: &mut Decoder<'a>, version: MessageVersion) -> Result<Option<Self>, DecodeError> {
        let Some(count) = decoder.array_count(version.flexible, T::FIXED_BYTES.unwrap_or(1))? else { return Ok(None) };
        let start = decoder.rest();
        match T::FIXED_BYTES {
            // Any bytes are good elements: there is nothing to check beyond the length.
            Some(size) => {
                decoder.take(count * size)?;
            }
            None => {
                for _ in 0..count {
                    T::read(decoder, version)?;
                }
            }
        }
        let bytes = &start[..start.len() - decoder.remaining()];
        Ok(Some(Self(Elements::Read { bytes, count, version })))
    }

    pub(crate) fn write(&self, encoder: &mut Encoder, version: MessageVersion) -> Result<(), EncodeError> {
        encoder.put_length(Some(self.len()), version.flexible)?;
        self.iter().try_for_each(|element| element.write(encoder, version))
    }
}

impl<'a, T: Field<'a>> IntoIterator for Array<'a, T> {
    type Item = T;
    type IntoIter = ArrayIter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: Field<'a>> IntoIterator for &Array<'a, T> {
    type Item = T;
    type IntoIter = ArrayIter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: Field<'a> + PartialEq> PartialEq for Array<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<'a, T: Field<'a> + fmt::Debug> fmt::Debug for Array<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Iterates over an [`Array`] by value; allocates nothing.
#[derive(Clone)]
pub struct ArrayIter<'a, T>(Rest<'a, T>);

#[derive(Clone)]
enum Rest<'a, T> {
    Given(core::slice::Iter<'a, T>),
    Read { decoder: Decoder<'a>, count: usize, version: MessageVersion },
}

impl<'a, T: Field<'a>> Iterator for ArrayIter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Rest::Given(elements) => elements.next().copied(),
            Rest::Read { count: 0, .. } => None,
            Rest::Read { decoder, count, version } => {
                *count -= 1;
                Some(T::read(decoder, *version).expect("the elements were decoded when their message was"))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Rest::Given(elements) => elements.len(),
            Rest::Read { count, .. } => *count,
        };
        (left, Some(left))
    }
}

impl<'a, T: Field<'a>> ExactSizeIterator for ArrayIter<'a, T> {}

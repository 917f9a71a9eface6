//! Flatbuffers' binary encoding, written.
//!
//! References lead forward, so a thing must lie behind all that refers to it. Hence the buffer is
//! made from its end: bytes are kept in reverse, and the position of a thing is its *distance*, the
//! bytes from its first byte to the end. The whole length is a multiple of the greatest alignment,
//! so a distance is aligned exactly when its address is.
//!
//! What is equal is written once: strings, vectors, whole tables and vtables. The format allows
//! that, since nothing in a program has an identity of its own. Vtables come last, so they lie
//! together at the front and need no padding.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Position of something written: bytes from its start to the end of the buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ref(usize);

/// A flatbuffer in the making.
pub(crate) struct Builder {
    reversed: Vec<u8>,
    alignment: usize,
    known: BTreeMap<Vec<u8>, Ref>,
    vtables: BTreeMap<Vec<u8>, usize>,
    tables: Vec<(Ref, usize)>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            reversed: Vec::new(),
            alignment: size_of::<u32>(),
            known: BTreeMap::new(),
            vtables: BTreeMap::new(),
            tables: Vec::new(),
        }
    }

    /// A string: its bytes, a NUL behind them.
    pub(crate) fn string(&mut self, text: &str) -> Ref {
        self.elements(text.len(), text.as_bytes(), &[0], 1)
    }

    /// A vector of bytes, the first of them aligned to `alignment`.
    pub(crate) fn bytes(&mut self, bytes: &[u8], alignment: usize) -> Ref {
        self.elements(bytes.len(), bytes, &[], alignment)
    }

    /// A vector of scalars.
    pub(crate) fn scalars<T: Encode>(&mut self, items: &[T]) -> Ref {
        let mut bytes = Vec::with_capacity(size_of_val(items));
        for item in items {
            item.encode(&mut bytes);
        }
        self.elements(items.len(), &bytes, &[], size_of::<T>())
    }

    /// A vector of tables.
    pub(crate) fn vector(&mut self, items: &[Ref]) -> Ref {
        if items.is_empty() {
            return self.bytes(&[], 1);
        }
        let mut key = Vec::from(*b"v");
        for item in items {
            item.0.encode(&mut key);
        }
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let size = items.len() * size_of::<u32>();
        let first = self.reserve(size, size_of::<u32>(), 0);
        let mut bytes = Vec::with_capacity(size + size_of::<u32>());
        (items.len() as u32).encode(&mut bytes);
        for (index, item) in items.iter().enumerate() {
            reference(first - index * size_of::<u32>(), *item).encode(&mut bytes);
        }
        self.push(&bytes);
        self.remember(key)
    }

    /// A table.
    pub(crate) fn table(&mut self, mut fields: Fields) -> Ref {
        // Wide fields first: behind the four bytes of the vtable's distance no gap is needed.
        fields.entries.sort_by_key(|(slot, content)| (usize::MAX - content.size(), *slot));
        let key = fields.key();
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let size = fields.entries.iter().fold(size_of::<u32>(), |sum, (_, c)| sum + c.size());
        let widest = fields.entries.first().map_or(0, |(_, content)| content.size());
        let distance = self.reserve(size, widest.max(size_of::<u32>()), size_of::<u32>());
        let mut inline = Vec::from([0; size_of::<u32>()]);
        let mut vtable = Vec::new();
        for (slot, content) in &fields.entries {
            let slot = usize::from(*slot);
            if vtable.len() < slot + size_of::<u16>() {
                vtable.resize(slot + size_of::<u16>(), 0);
            }
            vtable[slot..][..size_of::<u16>()]
                .copy_from_slice(&(inline.len() as u16).to_le_bytes());
            match content {
                Content::Scalar(bytes) => inline.extend_from_slice(bytes),
                Content::Reference(target) => {
                    reference(distance - inline.len(), *target).encode(&mut inline);
                }
            }
        }
        vtable.resize(vtable.len().max(2 * size_of::<u16>()), 0);
        let len = vtable.len() as u16;
        vtable[..2].copy_from_slice(&len.to_le_bytes());
        vtable[2..4].copy_from_slice(&(size as u16).to_le_bytes());
        self.push(&inline);
        let next = self.vtables.len();
        let vtable = *self.vtables.entry(vtable).or_insert(next);
        let table = self.remember(key);
        self.tables.push((table, vtable));
        table
    }

    /// The finished buffer with room for `header_len` bytes at its front, the first four of which
    /// lead to `root`.
    pub(crate) fn finish(mut self, root: Ref, header_len: usize) -> Vec<u8> {
        let mut order: Vec<_> = core::mem::take(&mut self.vtables).into_iter().collect();
        order.sort_by_key(|(_, number)| *number);
        let mut vtables = Vec::with_capacity(order.len());
        for (bytes, _) in order {
            self.reserve(bytes.len(), size_of::<u16>(), 0);
            self.push(&bytes);
            vtables.push(self.reversed.len());
        }
        for (table, vtable) in core::mem::take(&mut self.tables) {
            let back = (vtables[vtable] - table.0) as u32;
            for (index, byte) in back.to_le_bytes().into_iter().enumerate() {
                self.reversed[table.0 - 1 - index] = byte;
            }
        }
        self.reserve(header_len, self.alignment, 0);
        self.reversed.resize(self.reversed.len() + header_len, 0);
        let len = self.reversed.len();
        self.reversed.reverse();
        let offset = (len - root.0) as u32;
        self.reversed[..size_of::<u32>()].copy_from_slice(&offset.to_le_bytes());
        self.reversed
    }

    /// A vector of `count` elements with these bytes, `tail` behind them.
    fn elements(&mut self, count: usize, bytes: &[u8], tail: &[u8], alignment: usize) -> Ref {
        // One empty vector does for all kinds, if it is aligned for the widest.
        let empty = count == 0 && tail.is_empty();
        let alignment = if empty { alignment.max(size_of::<u64>()) } else { alignment };
        let alignment = alignment.max(size_of::<u32>());
        let mut key = Vec::from(*b"d");
        alignment.encode(&mut key);
        tail.len().encode(&mut key);
        count.encode(&mut key);
        key.extend_from_slice(bytes);
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        self.reserve(bytes.len() + tail.len(), alignment, 0);
        self.push(tail);
        self.push(bytes);
        self.push(&(count as u32).to_le_bytes());
        self.remember(key)
    }

    /// Pads so that of `size` bytes to be pushed, the one at `offset` is aligned. Returns the
    /// distance that the first of them will have.
    fn reserve(&mut self, size: usize, alignment: usize, offset: usize) -> usize {
        self.alignment = self.alignment.max(alignment);
        let distance = self.reversed.len() + size - offset;
        let padding = distance.next_multiple_of(alignment) - distance;
        self.reversed.resize(self.reversed.len() + padding, 0);
        distance + padding + offset
    }

    fn push(&mut self, bytes: &[u8]) {
        self.reversed.extend(bytes.iter().rev());
    }

    /// What was pushed last, to be found again by its content.
    fn remember(&mut self, key: Vec<u8>) -> Ref {
        let reference = Ref(self.reversed.len());
        self.known.insert(key, reference);
        reference
    }
}

/// The fields of a table to be.
pub(crate) struct Fields {
    entries: Vec<(u16, Content)>,
}

impl Fields {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// A scalar, left out where it is the schema's default.
    pub(crate) fn scalar<T: Encode + PartialEq>(mut self, slot: u16, value: T, default: T) -> Self {
        if value != default {
            let mut bytes = Vec::new();
            value.encode(&mut bytes);
            self.entries.push((slot, Content::Scalar(bytes)));
        }
        self
    }

    /// A string, vector or table.
    pub(crate) fn reference(mut self, slot: u16, target: Ref) -> Self {
        self.entries.push((slot, Content::Reference(target)));
        self
    }

    /// A string, vector or table that may be absent.
    pub(crate) fn optional(self, slot: u16, target: Option<Ref>) -> Self {
        match target {
            None => self,
            Some(target) => self.reference(slot, target),
        }
    }

    /// All that makes a table what it is.
    fn key(&self) -> Vec<u8> {
        let mut key = Vec::from(*b"t");
        for (slot, content) in &self.entries {
            slot.encode(&mut key);
            match content {
                Content::Scalar(bytes) => {
                    (bytes.len() as u8).encode(&mut key);
                    key.extend_from_slice(bytes);
                }
                Content::Reference(target) => {
                    key.push(b'r');
                    target.0.encode(&mut key);
                }
            }
        }
        key
    }
}

enum Content {
    Scalar(Vec<u8>),
    Reference(Ref),
}

impl Content {
    fn size(&self) -> usize {
        match self {
            Self::Scalar(bytes) => bytes.len(),
            Self::Reference(_) => size_of::<u32>(),
        }
    }
}

/// A number as flatbuffers encode it.
pub(crate) trait Encode {
    fn encode(&self, out: &mut Vec<u8>);
}

macro_rules! encode {
    ($($number:ty),*) => {
        $(impl Encode for $number {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        })*
    };
}

encode!(u8, i8, u16, i32, u32, i64, u64, usize, f64);

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

/// The reference at distance `from` to a target.
fn reference(from: usize, target: Ref) -> u32 {
    (from - target.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flatbuffer::Table;

    const FIRST: u16 = 4;
    const SECOND: u16 = 6;
    const THIRD: u16 = 8;

    #[test]
    fn wide_fields_and_elements_are_aligned() {
        for len in 0..40 {
            let mut builder = Builder::new();
            let odd = builder.bytes(&[1; 40][..len], 1);
            let wide = builder.scalars(&[7u64, 8]);
            let inner =
                builder.table(Fields::new().scalar(FIRST, true, false).scalar(SECOND, 9i64, 0));
            let aligned = builder.bytes(&[2; 3], 16);
            let root = builder.table(
                Fields::new()
                    .reference(FIRST, wide)
                    .reference(SECOND, inner)
                    .reference(THIRD, aligned)
                    .reference(10, odd),
            );
            let buffer = builder.finish(root, 40);
            let position = |bytes: &[u8]| bytes.as_ptr().addr() - buffer.as_ptr().addr();

            assert_eq!(buffer.len() % 16, 0);
            let root = Table::root(&buffer).unwrap();
            let wide = root.scalars::<u64>(FIRST).unwrap();
            assert!(wide.iter().eq([7, 8]));
            assert_eq!(position(wide.as_bytes()) % 8, 0);
            assert_eq!(position(root.bytes(THIRD).unwrap()) % 16, 0);
            assert_eq!(root.bytes(10).unwrap(), &[1; 40][..len]);
            let inner = root.required_table(SECOND).unwrap();
            assert_eq!(inner.scalar(SECOND, 0i64), Ok(9));
            // The wide field comes first, right behind the four bytes of the vtable's distance.
            assert_eq!((inner.at() + 4) % 8, 0);
        }
    }

    #[test]
    fn equal_things_are_written_once() {
        let mut builder = Builder::new();
        let mut same = || {
            let text = builder.string("text");
            let list = builder.scalars(&[1i32, 2]);
            let fields = Fields::new().reference(FIRST, text).reference(SECOND, list);
            let table = builder.table(fields.scalar(THIRD, 5u8, 0));
            let vector = builder.vector(&[table, table]);
            (vector.0, builder.reversed.len())
        };
        assert_eq!(same(), same());
        let bytes = builder.bytes(&[], 1);
        assert!(builder.scalars::<u64>(&[]) == bytes, "one empty vector for all");
        assert!(builder.string("") != bytes, "an empty string has a NUL");
    }

    #[test]
    fn defaults_are_left_out() {
        let mut builder = Builder::new();
        let root = builder.table(Fields::new().scalar(FIRST, 3u32, 3).scalar(SECOND, 1u8, 0));
        let buffer = builder.finish(root, 8);
        // The way to the root, room for an identifier, a vtable of 8 bytes, a table of 5, padding.
        let expected =
            [[16, 0, 0, 0, 0, 0, 0, 0], [8, 0, 5, 0, 0, 0, 4, 0], [8, 0, 0, 0, 1, 0, 0, 0]];
        assert_eq!(buffer, expected.as_flattened());
    }
}

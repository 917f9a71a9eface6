//! Decisions, taken by a seed or by the bytes of a fuzzer.

use cortado_testkit::random::Random;

/// Where decisions come from.
#[derive(Clone, Debug)]
pub enum Choices<'b> {
    /// These bytes, then zeros: a fuzzer changes what it wants changed, and shortens what it can.
    Bytes(&'b [u8]),
    /// A generator.
    Seeded(Random),
}

impl Choices<'_> {
    /// Decisions that follow from a seed.
    pub fn seeded(seed: u32) -> Choices<'static> {
        Choices::Seeded(Random::new(seed))
    }

    /// A number in `min..=max`.
    pub fn between(&mut self, min: i32, max: i32) -> i32 {
        match self {
            Choices::Seeded(random) => random.between(min, max),
            Choices::Bytes(bytes) => {
                let span = max.wrapping_sub(min) as u32;
                // As few bytes as the range takes.
                let count = (4 - span.leading_zeros() as usize / 8).min(bytes.len());
                let (taken, rest) = bytes.split_at(count);
                *bytes = rest;
                let bits = taken.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
                let offset = span.checked_add(1).map_or(bits, |count| bits % count);
                min.wrapping_add(offset as i32)
            }
        }
    }

    /// An index below `count`.
    pub fn index(&mut self, count: usize) -> usize {
        self.between(0, count.max(1) as i32 - 1) as usize
    }

    /// True once in `count` times.
    pub fn once_in(&mut self, count: i32) -> bool {
        self.between(1, count) == count
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())].clone()
    }

    /// Bytes, every eighth of them an extreme one. A fuzzer chooses their seed.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut random = match self {
            Choices::Seeded(random) => random.clone(),
            Choices::Bytes(_) => Random::new(self.between(0, 255) as u32),
        };
        let mut values = vec![0i8; count];
        random.fill_i8(&mut values);
        if let Choices::Seeded(own) = self {
            *own = random;
        }
        values.into_iter().map(|value| value as u8).collect()
    }

    /// Whether all bytes of a fuzzer have been taken.
    pub fn is_used_up(&self) -> bool {
        matches!(self, Choices::Bytes([]))
    }
}

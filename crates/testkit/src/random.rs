//! Seeded random numbers.

/// A small generator (xorshift32) whose sequence never changes.
#[derive(Clone, Debug)]
pub struct Random(u32);

impl Random {
    /// A generator with this seed.
    pub fn new(seed: u32) -> Self {
        Random(seed.wrapping_mul(2_654_435_761) | 1)
    }

    /// The next 32 bits.
    pub fn bits(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// A number in `min..=max`.
    pub fn between(&mut self, min: i32, max: i32) -> i32 {
        let span = max.wrapping_sub(min) as u32;
        let offset = match span.checked_add(1) {
            Some(count) => ((u64::from(self.bits()) * u64::from(count)) >> 32) as u32,
            None => self.bits(),
        };
        min.wrapping_add(offset as i32)
    }

    /// Fills with bytes of the whole range, every eighth of them an extreme one.
    pub fn fill_i8(&mut self, values: &mut [i8]) {
        for value in values {
            let bits = self.bits();
            *value = match bits >> 29 {
                0 => [-128, 127][(bits & 1) as usize],
                _ => bits as i8,
            };
        }
    }
}

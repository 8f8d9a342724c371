//! Bytes without any pattern that come out the same each time (xorshift64*), and choices made by them.

/// A source of bytes.
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    /// The source that `seed` stands for.
    pub fn seeded(seed: u64) -> Self {
        // The state must not be 0. Seeds beside one another begin far apart.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next_u64() % end as u64) as usize
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let words = (0..count.div_ceil(8)).flat_map(|_| self.next_u64().to_le_bytes());
        words.take(count).collect()
    }
}

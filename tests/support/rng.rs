//! A small seeded generator (SplitMix64): the only source of chance in a life of the simulation, and in the
//! weather of the fleet.

#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        let mut rng = Self(seed ^ 0x9e37_79b9_7f4a_7c15);
        rng.next();
        rng
    }

    #[expect(clippy::should_implement_trait, reason = "it never ends, and nobody iterates over it")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An independent generator, so that drawing more in one place moves nothing elsewhere.
    pub fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    /// 0 ‥ `n` − 1; 0 when `n` is not positive.
    pub fn below(&mut self, n: i64) -> i64 {
        if n <= 0 {
            return 0;
        }
        i64::try_from(self.next() % n.unsigned_abs()).unwrap_or(0)
    }

    /// `low` ‥ `high`, both included.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(high - low + 1)
    }

    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(i64::try_from(len).unwrap_or(i64::MAX))).unwrap_or(0)
    }

    /// True with this probability, in millionths.
    pub fn chance(&mut self, millionths: u32) -> bool {
        self.next() % 1_000_000 < u64::from(millionths)
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: i64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }
}

//! Deterministic choices: the same (seed, index, salt) always falls the same, so nothing has to be stored.

/// One die for one thing (an agent, a site), thrown again and again with different salts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dice(u64);

impl Dice {
    /// The die of thing `index` in the world `seed`.
    pub(super) fn new(seed: u64, index: i64) -> Self {
        Self(mix(seed ^ mix(index as u64)))
    }

    /// 64 bits for `salt`.
    pub(super) fn bits(self, salt: u64) -> u64 {
        mix(self.0 ^ mix(salt.wrapping_add(0x5bd1)))
    }

    /// A number in `0..below` (0 when `below` is 0).
    pub(super) fn below(self, salt: u64, below: u64) -> u64 {
        self.bits(salt) % below.max(1)
    }

    /// True in `percent` of 100 cases.
    pub(super) fn percent(self, salt: u64, percent: u64) -> bool {
        self.below(salt, 100) < percent
    }

    /// One of `items`, which must not be empty.
    pub(super) fn pick<T: Copy>(self, salt: u64, items: &[T]) -> T {
        items[self.below(salt, items.len() as u64) as usize]
    }

    /// `length` letters `[A-Za-z]`.
    pub(super) fn letters(self, salt: u64, length: usize) -> String {
        (0..length).map(|place| letter(self.bits(salt ^ ((place as u64 + 1) << 32)))).collect()
    }

    /// `length` digits of upper-case hexadecimal.
    pub(super) fn hex(self, salt: u64, length: usize) -> String {
        let mut out: String = (0..length.div_ceil(16))
            .map(|part| format!("{:016X}", self.bits(salt ^ ((part as u64 + 1) << 40))))
            .collect();
        out.truncate(length);
        out
    }
}

/// A letter `[A-Za-z]` for a number.
pub(super) fn letter(number: u64) -> char {
    const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char::from(LETTERS[(number % 52) as usize])
}

/// The place of a letter in [`letter`]'s order.
pub(super) fn place_of(letter: char) -> Option<u64> {
    match letter {
        'A'..='Z' => Some(u64::from(letter) - u64::from('A')),
        'a'..='z' => Some(u64::from(letter) - u64::from('a') + 26),
        _ => None,
    }
}

/// Spreads the bits of a number (the finalizer known as splitmix64).
pub(super) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

//! Agent ids: 40 letters that lead back to their agent, so that no index of them is kept.

use super::dice::{Dice, letter, mix, place_of};

/// Letters of an agent id that say nothing, before those that carry the agent's pk.
const ID_RANDOM_LETTERS: usize = 32;
/// Letters that carry the pk: 52^8 is more than the 2^32 that are needed.
const ID_PK_LETTERS: usize = 8;

/// The agent id of `pk`: 32 letters that say nothing and eight that carry the pk, so that an id is found without an index.
pub(super) fn agent_id(seed: u64, pk: i64) -> String {
    let mut id = Dice::new(seed, pk).letters(40, ID_RANDOM_LETTERS);
    let mut rest = mask(seed, pk as u64);
    for _ in 0..ID_PK_LETTERS {
        id.push(letter(rest % 52));
        rest /= 52;
    }
    id
}

/// The pk that an agent id claims; the caller compares the whole id.
pub(super) fn pk_in(seed: u64, agent_id: &str) -> Option<i64> {
    let tail = agent_id.get(ID_RANDOM_LETTERS..).filter(|tail| tail.len() == ID_PK_LETTERS)?;
    let number = tail.chars().rev().try_fold(0_u64, |sum, c| Some(sum * 52 + place_of(c)?))?;
    i64::try_from(mask(seed, number)).ok()
}

/// Scrambles a pk below 2^32; twice is the pk again.
fn mask(seed: u64, number: u64) -> u64 {
    number ^ (mix(seed ^ 0x1d) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_id_is_forty_letters_and_leads_back_to_its_agent() {
        for pk in [1, 2, 77, 100_000, 4_000_000_000] {
            let id = agent_id(9, pk);
            assert!(id.len() == 40 && id.chars().all(|c| c.is_ascii_alphabetic()), "{id}");
            assert_eq!(pk_in(9, &id), Some(pk));
        }
        assert_ne!(agent_id(9, 1), agent_id(10, 1));
        assert_eq!(pk_in(9, "short"), None);
    }
}

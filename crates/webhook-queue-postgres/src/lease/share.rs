//! How many slots each worker should have.

/// The slots of one of `workers` workers, the one at `rank` in the order of their numbers. The
/// shares of all ranks add up to `slots`, and differ by one at most.
pub(crate) fn share(slots: u16, workers: u32, rank: u32) -> u16 {
    let (slots, workers) = (u32::from(slots), workers.max(1));
    let extra = u32::from(rank < slots % workers);
    u16::try_from(slots / workers + extra).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_workers_are_all_slots_and_differ_by_one() {
        for slots in [1, 7, 64, 1024] {
            for workers in 1..80 {
                let shares: Vec<u16> = (0..workers)
                    .map(|rank| share(slots, workers, rank))
                    .collect();
                assert_eq!(shares.iter().sum::<u16>(), slots);
                let (most, least) = (shares.iter().max(), shares.iter().min());
                assert!(
                    most.zip(least)
                        .is_some_and(|(most, least)| most - least <= 1)
                );
            }
        }
        assert_eq!(share(64, 0, 0), 64);
    }
}

//! Virtual time: one instruction is one tick, and a tick is a nanosecond.

/// Ticks in a second: the TSC's frequency.
pub(crate) const HZ: u64 = 1_000_000_000;

/// Ticks of a clock of that frequency up to a time.
pub(super) fn ticks(now: u64, hz: u64) -> u64 {
    (u128::from(now) * u128::from(hz) / u128::from(HZ)) as u64
}

/// The first time at which a clock of that frequency has made so many ticks.
pub(super) fn time_of(ticks: u64, hz: u64) -> u64 {
    (u128::from(ticks) * u128::from(HZ)).div_ceil(u128::from(hz)).min(u128::from(u64::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_there_at_its_time_and_not_before() {
        for hz in [32_768, 1_193_182, 3_579_545, HZ] {
            for n in [1, 7, 65_536, 1 << 40] {
                let at = time_of(n, hz);
                assert_eq!((ticks(at, hz), ticks(at - 1, hz)), (n, n - 1), "{hz} {n}");
            }
        }
    }
}

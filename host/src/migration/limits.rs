//! What becomes of limits that no host can keep, or that no guest should have to bear: the nearest that is possible. Pure.

use super::steps::Limits;

/// Slower, and a move of any guest takes days: it is as good as stuck, and holds both hosts.
const BANDWIDTH_MIN: u64 = 1 << 20;
/// Faster than any network, and well within what QEMU takes (`max-bandwidth`, a signed 64-bit number in places).
const BANDWIDTH_MAX: u64 = 1 << 40;
/// QEMU takes 0 as never.
const DOWNTIME_MIN: u32 = 1;
/// Whoever speaks with the guest gives it up somewhere beyond: watchdogs and clusters after some seconds.
const DOWNTIME_MAX: u32 = 10_000;
/// More connections than that bring nothing, and each is a thread on both sides.
pub const CHANNELS_MAX: u8 = 16;
/// Slower, in bytes a second, and one connection is all that goes: several send pieces of 512 KiB, which QEMU counts once they
/// are on their way, ten times a second (multifd.c, qemu-file.c). So a limit is kept to a tenth.
const CHANNELS_FROM: u64 = 50 << 20;

impl Limits {
    /// As far as they can be kept. `policy`: the bandwidth that policy lets moves have.
    #[must_use]
    pub fn kept(self, policy: Option<u64>) -> Limits {
        // Slow because policy says so is slow on purpose.
        let most = policy.unwrap_or(BANDWIDTH_MAX).clamp(1, BANDWIDTH_MAX);
        let least = BANDWIDTH_MIN.min(most);
        let bandwidth = self.bandwidth.map(|wanted| wanted.clamp(least, most)).or(policy.map(|_| most));
        let several = bandwidth.is_none_or(|bandwidth| bandwidth >= CHANNELS_FROM);
        Limits {
            bandwidth,
            downtime_ms: self.downtime_ms.clamp(DOWNTIME_MIN, DOWNTIME_MAX),
            channels: if several { self.channels.clamp(1, CHANNELS_MAX) } else { 1 },
            auto_converge: self.auto_converge,
            compress: self.compress,
        }
    }

    /// What is under way with `self` goes on with this where `wanted` is asked for. QEMU takes bandwidth and downtime at any
    /// time, and all else only before it begins (`migrate-set-capabilities`). Several connections go on as fast as those may.
    #[must_use]
    pub fn adjusted(self, wanted: Limits, policy: Option<u64>) -> Limits {
        let Limits { bandwidth, downtime_ms, .. } = wanted.kept(policy);
        let least = if self.channels > 1 { CHANNELS_FROM } else { 0 };
        Limits { bandwidth: bandwidth.map(|bandwidth| bandwidth.max(least)), downtime_ms, ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits() -> impl Strategy<Value = Limits> {
        (any::<Option<u64>>(), any::<u32>(), any::<bool>(), any::<u8>(), any::<bool>()).prop_map(
            |(bandwidth, downtime_ms, auto_converge, channels, compress)| Limits {
                bandwidth,
                downtime_ms,
                auto_converge,
                channels,
                compress,
            },
        )
    }

    #[test]
    fn absurd_limits_become_the_nearest_that_can_be_kept() {
        let wanted = |bandwidth, downtime_ms, channels| Limits {
            bandwidth,
            downtime_ms,
            channels,
            auto_converge: false,
            compress: false,
        };
        let kept = |wanted: Limits, policy| {
            let Limits { bandwidth, downtime_ms, channels, .. } = wanted.kept(policy);
            (bandwidth, downtime_ms, channels)
        };
        assert_eq!(kept(wanted(Some(0), 0, 0), None), (Some(BANDWIDTH_MIN), 1, 1));
        assert_eq!(kept(wanted(Some(u64::MAX), 3_600_000, 255), None), (Some(BANDWIDTH_MAX), 10_000, 16));
        assert_eq!(kept(wanted(Some(u64::MAX), 300, 4), Some(50 << 20)), (Some(50 << 20), 300, 4));
        assert_eq!(kept(wanted(None, 300, 4), Some(50 << 20)), (Some(50 << 20), 300, 4));
        assert_eq!(kept(wanted(None, 300, 4), Some(49 << 20)), (Some(49 << 20), 300, 1));
        assert_eq!(kept(wanted(Some(49 << 20), 300, 4), None), (Some(49 << 20), 300, 1));
        assert_eq!(kept(wanted(None, 300, 4), None), (None, 300, 4));
        assert_eq!(kept(wanted(Some(u64::MAX), 300, 4), Some(8_000)).0, Some(8_000));
        assert_eq!(kept(wanted(Some(0), 300, 4), Some(8_000)).0, Some(8_000));
        let adjusted = |channels| wanted(None, 300, channels).adjusted(wanted(Some(5 << 20), 300, 1), None).bandwidth;
        assert_eq!((adjusted(1), adjusted(4)), (Some(5 << 20), Some(50 << 20)));
    }

    proptest! {
        #[test]
        fn whatever_is_wanted_is_kept_within_bounds_and_once_is_enough(
            wanted in limits(), later in limits(), policy in any::<Option<u64>>(),
        ) {
            let kept = wanted.kept(policy);
            prop_assert!((1..=CHANNELS_MAX).contains(&kept.channels));
            prop_assert!((DOWNTIME_MIN..=DOWNTIME_MAX).contains(&kept.downtime_ms));
            if let Some(bandwidth) = kept.bandwidth {
                prop_assert!((1..=BANDWIDTH_MAX).contains(&bandwidth));
                prop_assert!(policy.map_or(bandwidth >= BANDWIDTH_MIN, |most| bandwidth <= most.max(1)));
            } else {
                prop_assert!(policy.is_none() && wanted.bandwidth.is_none());
            }
            prop_assert_eq!(kept.kept(policy), kept);
            let adjusted = kept.adjusted(later, policy);
            prop_assert_eq!(Limits { bandwidth: kept.bandwidth, downtime_ms: kept.downtime_ms, ..adjusted }, kept);
            prop_assert_eq!(adjusted.kept(policy), adjusted);
        }
    }
}

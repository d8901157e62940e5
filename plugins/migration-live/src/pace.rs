//! How long a guest is waited for whose memory does not stand still, and what is given up for it. Pure.

use fief_sdk::manifest::SettingKind;
use fief_sdk::migration::{Limits, Sample};
use fief_sdk::settings::Value;

use crate::Settings;

const GIB: u64 = 1 << 30;
/// A round that leaves more than this share of what the one before it left has brought nothing.
const BROUGHT_NOTHING: (u64, u64) = (9, 10);

/// A pause of this part of the one that may be is tried first: a guest that writes little has next to nothing left after a
/// round or two, and would stand still for what those would have taken.
const FIRST_TRY: u32 = 10;
/// From this round on the whole of it may be: a guest that writes more is not to be gone through for ever.
const TRIED_UNTIL: u32 = 5;

/// What happens to a guest that has not converged in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtTimeOut {
    GiveUp,
    SwitchOver,
    Postcopy,
}

impl Value for AtTimeOut {
    const KIND: SettingKind = SettingKind::String;
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "give-up" => Ok(AtTimeOut::GiveUp),
            "switch-over" => Ok(AtTimeOut::SwitchOver),
            "postcopy" => Ok(AtTimeOut::Postcopy),
            _ => Err(format!("{text:?} is none of give-up, switch-over and postcopy")),
        }
    }
}

/// What to do after a sample.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    Wait,
    /// With the limits that [`Pace`] has now.
    Adjust,
    SwitchOver,
    Postcopy,
    GiveUp(String),
}

pub(crate) struct Pace {
    pub(crate) limits: Limits,
    downtime_ms: u32,
    most_downtime_ms: u32,
    /// Since the memory began to go over.
    time_out_ms: u64,
    at_time_out: AtTimeOut,
    fetching: bool,
    /// The round that is under way, and what the one before it left.
    round: u32,
    left: u64,
}

impl Pace {
    pub(crate) fn new(settings: &Settings, memory: u64) -> Self {
        let Settings { downtime, most_downtime, bandwidth, channels, auto_converge, compress, .. } = *settings;
        let bandwidth = bandwidth.map(|size| size.0);
        let scaled = memory.div_ceil(GIB).saturating_mul(u64::from(settings.seconds_per_gib)).saturating_mul(1_000);
        let downtime_ms = downtime.div_ceil(FIRST_TRY);
        Pace {
            limits: Limits { bandwidth, downtime_ms, auto_converge, channels, compress },
            downtime_ms: downtime,
            most_downtime_ms: most_downtime.max(downtime),
            time_out_ms: scaled.saturating_add(u64::from(settings.seconds).saturating_mul(1_000)),
            at_time_out: settings.at_time_out,
            fetching: false,
            round: 0,
            left: u64::MAX,
        }
    }

    pub(crate) fn next(&mut self, sample: &Sample) -> Next {
        if self.fetching {
            return Next::Wait;
        }
        if sample.elapsed_ms > self.time_out_ms {
            return self.out_of_time(sample);
        }
        if sample.round <= self.round {
            return Next::Wait;
        }
        // A round is over: memory was gone through once more.
        let brought_nothing = self.round > 0 && sample.remaining / BROUGHT_NOTHING.0 >= self.left / BROUGHT_NOTHING.1;
        (self.round, self.left) = (sample.round, sample.remaining);
        let now = self.limits.downtime_ms;
        self.limits.downtime_ms = match brought_nothing {
            true if now < self.downtime_ms => {
                let wanted = u32::try_from(sample.expected_downtime_ms).unwrap_or(u32::MAX);
                now.saturating_mul(2).max(wanted).min(self.downtime_ms)
            }
            true => now.saturating_mul(2).min(self.most_downtime_ms),
            false if self.round >= TRIED_UNTIL => now.max(self.downtime_ms),
            false => now,
        };
        if self.limits.downtime_ms != now {
            return Next::Adjust;
        }
        Next::Wait
    }

    fn out_of_time(&mut self, sample: &Sample) -> Next {
        match self.at_time_out {
            AtTimeOut::SwitchOver => Next::SwitchOver,
            AtTimeOut::Postcopy => {
                self.fetching = true;
                Next::Postcopy
            }
            AtTimeOut::GiveUp => Next::GiveUp(format!(
                "the guest writes its memory faster than it can be sent: after {} s, {} MiB are left, and it would stand \
                 still for {} ms, of {} ms that it may",
                sample.elapsed_ms / 1_000,
                sample.remaining >> 20,
                sample.expected_downtime_ms,
                self.limits.downtime_ms,
            )),
        }
    }
}

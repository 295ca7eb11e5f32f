//! What a text says of a video's times, in the arithmetic of Python or, where upstream has frames in a tensor, of torch.

use crate::error::{Error, Result};
use crate::spec::{Clock, Moment};

/// The latest time in seconds: all before it are exact to a second.
const LATEST: f64 = 9_007_199_254_740_992.0;
const MINUTE: f64 = 60.0;
const DAY: f64 = 86_400.0;

/// What a text says of a video.
#[derive(Clone, Copy, Debug)]
pub struct Times<'a> {
    /// Frames that are taken.
    pub frames: usize,
    /// Frames of a step.
    pub step: usize,
    /// Their numbers in the video, one each; none where they are not known.
    pub indices: Option<&'a [i64]>,
    /// Frames of the whole video a second; none where it is not known.
    pub rate: Option<f64>,
    /// Seconds of the whole video.
    pub duration: Option<f64>,
    /// Whether times are float32.
    pub single: bool,
}

impl Times<'_> {
    /// Fails where a number that the text has is too large for it.
    ///
    /// # Errors
    /// `Option`.
    pub fn check(&self) -> Result<()> {
        let far = |seconds: f64| seconds.is_nan() || seconds.abs() >= LATEST;
        let wrong = |rule, given: f64| {
            Err(Error::Option { name: "video_metadata", rule, given: given.to_string() })
        };
        if let Some(seconds) = self.duration
            && far(seconds)
        {
            return wrong("one whose duration is below 2**53 seconds", seconds);
        }
        if self.rate.is_some() && self.frames > 0 {
            let mut times = (0..self.frames).map(|frame| self.time(frame));
            if let Some(time) = times.find(|time| far(*time)) {
                return wrong("one whose frames are within 2**53 seconds", time);
            }
        }
        Ok(())
    }

    /// The number in the video of the frame that is taken as that one; frames of unknown numbers are all.
    #[must_use]
    pub fn index(&self, frame: usize) -> i64 {
        self.indices.map_or(frame as i64, |indices| indices[frame])
    }

    /// Its time in seconds.
    #[must_use]
    pub fn time(&self, frame: usize) -> f64 {
        let (index, rate) = (self.index(frame), self.rate.unwrap_or(1.0));
        if self.single { f64::from(index as f32 / rate as f32) } else { index as f64 / rate }
    }

    /// A time of a step.
    #[must_use]
    pub(super) fn moment(&self, moment: Moment, step: usize) -> f64 {
        let last = self.frames.saturating_sub(1);
        let first = (step * self.step).min(last);
        match moment {
            Moment::First => self.time(first),
            Moment::Middle => {
                let end = (step * self.step + self.step - 1).min(last);
                f64::midpoint(self.time(first), self.time(end))
            }
            Moment::EverySecond => self.time(step.min(last / 2) * 2),
        }
    }

    /// A time as a text has it.
    #[must_use]
    pub fn clock(&self, clock: Clock, time: f64) -> String {
        match clock {
            Clock::Tenths => format!("{time:.1}"),
            Clock::Seconds => (time as i64).to_string(),
            Clock::Minutes => {
                let (minutes, seconds) = self.minutes(time);
                format!("{minutes:02}:{seconds:02}")
            }
            Clock::NearestMinutes => {
                let second = time.round_ties_even() as i64;
                format!("{:02}:{:02}", second.div_euclid(60), second.rem_euclid(60))
            }
            Clock::Day => {
                let second = time.floor().rem_euclid(DAY) as i64;
                let (hours, minutes) = (second / 3600, second / 60 % 60);
                let thousandths = (time.rem_euclid(1.0) * 1000.0) as i64;
                format!("{hours:02}:{minutes:02}:{:02}.{thousandths:03}", second % 60)
            }
        }
    }

    /// Whole minutes, and seconds beyond them, rounded down: floor division as Python and torch define it for floats.
    fn minutes(&self, time: f64) -> (i64, i64) {
        // One operation on float32 is one on float64, rounded once more.
        let rounded = |value: f64| if self.single { f64::from(value as f32) } else { value };
        let mut seconds = time % MINUTE;
        let mut minutes = rounded(rounded(time - seconds) / MINUTE);
        if seconds < 0.0 {
            seconds = rounded(seconds + MINUTE);
            minutes -= 1.0;
        }
        let whole = minutes.floor();
        (whole as i64 + i64::from(minutes - whole > 0.5), seconds as i64)
    }
}

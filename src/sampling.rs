//! Which frames of a video are taken: a rule a function, in upstream's own arithmetic, float32 steps and truncations
//! included.
//!
//! Indices count the video's frames from 0, rates are frames a second, times are seconds.

use std::fmt;
use std::ops::Range;

use crate::error::{Error, append, collected, push};
use crate::parallel::Watch;
use crate::spec::Spec;
use crate::strategy::{Measure, Overflow, Sampled, Sampling};

/// torch's arange works on vectors of 8 float32 on every x86 (its default, AVX2 and AVX-512 code alike), two at a time;
/// the rest one by one. It shows from about the 3,000th frame on, in 1 of 6 of such videos.
const LANES: usize = 8;
/// What upstream assumes where a rate is missing.
pub const DEFAULT_FPS: f64 = 24.0;
/// The most frames of a video by the rules of transformers' Qwen classes and of qwen-vl-utils: six days at 30 a second.
const MOST: i64 = 1 << 24;
/// qwen-vl-utils: frames of a temporal patch.
const FRAME_FACTOR: f64 = 2.0;
/// Durations in seconds up to which so many frames a second are taken.
const TIERS: [(f64, f64); 3] = [(30.0, 3.0), (300.0, 1.0), (2400.0, 0.5)];
/// Most frames of the rule by duration.
const TIER_FRAMES: f64 = 640.0;
/// Seconds left out at both ends of a long video.
const SKIPPED: f64 = 1.0;
/// Seconds between the frames that are thinned, of a video of more seconds than frames are taken.
const FINE: f64 = 0.1;
/// Frames between two looks at the watch.
const WATCH_EVERY: usize = 1 << 16;

/// Why no frames are taken.
#[derive(Debug)]
pub enum Refused {
    /// The rule needs the video's rate.
    NoRate,
    /// The rule needs the video's duration.
    NoDuration,
    /// More frames than the video has.
    TooMany {
        /// Frames asked for.
        count: f64,
        /// Frames of the video.
        total: usize,
    },
    /// A number outside its range.
    Outside {
        /// Its name.
        name: &'static str,
        /// What it must be.
        rule: String,
        /// What was given.
        given: f64,
    },
    /// Not one temporal patch.
    NoPatch {
        /// Frames of the video.
        total: usize,
        /// Frames of a temporal patch.
        temporal: usize,
    },
    /// An option that the rule cannot have, or cannot do without.
    Option(&'static str),
    /// A time that comes before another.
    Span {
        /// Frames of the two times.
        frames: (usize, usize),
        /// Frames of the video.
        total: usize,
        /// Its duration.
        seconds: f64,
    },
    /// A duration after the last frame.
    Duration {
        /// In seconds.
        seconds: f64,
        /// Frames a second.
        rate: f64,
        /// Frames of the video.
        total: usize,
    },
    /// No memory, or a signal.
    Core(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRate => {
                f.write_str("fps: needs the video's own rate; pass video_metadata, or num_frames")
            }
            Self::NoDuration => f.write_str("duration: must be known; pass video_metadata"),
            Self::TooMany { count, total } => {
                write!(f, "num_frames: must be at most the video's {total} frames, got {count}")
            }
            // A zero has no sign in a message.
            Self::Outside { name, rule, given } => {
                write!(f, "{name}: must be {rule}, got {}", given + 0.0)
            }
            Self::NoPatch { total, temporal } => write!(
                f,
                "num_frames: a video of {total} frames leaves no whole temporal patch of {temporal}"
            ),
            Self::Option(text) => f.write_str(text),
            Self::Span { frames: (start, end), total, seconds } => write!(
                f,
                "video_start: frame {start} must come before frame {end} of video_end, in a video of {total} frames, {seconds:.2} seconds"
            ),
            Self::Duration { seconds, rate, total } => write!(
                f,
                "duration: says {seconds:?} seconds at {rate:?} frames a second, where the video has {total} frames"
            ),
            Self::Core(error) => error.fmt(f),
        }
    }
}

type Result<T> = std::result::Result<T, Refused>;

/// What is known of a video.
#[derive(Clone, Copy, Debug)]
pub struct Video {
    /// Its frames.
    pub total: usize,
    /// Its frames a second, above 0.
    pub fps: Option<f64>,
    /// Its seconds.
    pub duration: Option<f64>,
}

/// Which frames are asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// By which rule.
    pub rule: Sampling,
    /// Frames to take in all.
    pub num_frames: Option<i64>,
    /// Frames to take a second.
    pub fps: Option<f64>,
    /// Fewest frames that `fps` may come to.
    pub min_frames: i64,
    /// Most frames that `fps` may come to; None is the rule's own.
    pub max_frames: Option<i64>,
    /// Frames of a temporal patch.
    pub temporal: usize,
    /// Where to begin, in seconds.
    pub start: Option<f64>,
    /// Where to end, in seconds.
    pub end: Option<f64>,
    /// What else the rules read.
    pub others: Sampled,
}

impl Asked {
    /// What the options of a family's videos ask for. Options that the family lacks have no value.
    #[must_use]
    pub fn of(spec: &Spec, temporal: usize) -> Option<Self> {
        let own = spec.strategy.sampled()?;
        let has = |name: &str| !spec.recipe.hides(name);
        let count = |name, count: Option<usize>| count.filter(|_| has(name)).map(|it| it as i64);
        Some(Self {
            rule: own.sampling,
            num_frames: count("num_frames", own.num_frames),
            fps: own.fps.filter(|_| has("fps")),
            min_frames: count("min_frames", Some(own.min_frames)).unwrap_or(4),
            max_frames: count("max_frames", Some(own.max_frames)),
            temporal,
            start: own.video_start.filter(|_| has("video_start")),
            end: own.video_end.filter(|_| has("video_end")),
            others: own.clone(),
        })
    }

    /// What the model sees of a video one by one, each as a range of the frames that were taken of it: a main frame, or
    /// those between two seconds, which stand behind all main frames.
    ///
    /// # Errors
    /// `NoDuration`, and `Outside` where no main frame is left.
    pub fn units(&self, frames: usize, duration: Option<f64>) -> Result<Vec<Range<usize>>> {
        let between = Between::of(&self.others, duration.ok_or(Refused::NoDuration)?);
        if frames > MOST as usize {
            let (rule, given) = ("at most 2**24".into(), frames as f64);
            return Err(Refused::Outside { name: "num_frames", rule, given });
        }
        if frames <= between.count {
            let rule = format!("above the {} frames between seconds", between.count);
            return Err(Refused::Outside { name: "num_frames", rule, given: frames as f64 });
        }
        let main = frames - between.count;
        let mut units = Vec::new();
        let mut next = 0;
        for number in 0..main {
            push(&mut units, number..number + 1)?;
            let first = next;
            // Upstream pairs main frames and seconds by their numbers, also where main frames are no seconds.
            while next < between.count && between.time(next) < (number + 1) as f64 {
                next += 1;
            }
            if next > first {
                push(&mut units, main + first..main + next)?;
            }
        }
        Ok(units)
    }

    /// Refuses more frames than the rules of transformers' Qwen classes and of qwen-vl-utils take.
    ///
    /// # Errors
    /// `Outside`.
    pub fn check_limit(&self, video: Video) -> Result<()> {
        let frames = [
            ("total_num_frames", video.total as i64),
            ("num_frames", self.num_frames.unwrap_or(0)),
            ("min_frames", self.min_frames),
        ];
        let Some((name, count)) = frames.into_iter().find(|(_, count)| *count > MOST) else {
            return Ok(());
        };
        Err(Refused::Outside { name, rule: "at most 2**24".into(), given: count as f64 })
    }

    /// The frames that are taken of a video, ascending.
    ///
    /// # Errors
    /// What upstream refuses, and what it fails on.
    pub fn frames(&self, video: Video, watch: &Watch<'_>) -> Result<Vec<i64>> {
        let run = Run { asked: self, video, watch };
        match self.rule {
            Sampling::Arange => run.arange(),
            Sampling::Linspace => run.linspace(),
            Sampling::QwenVlUtils => run.qwen_vl_utils(),
            Sampling::Uniform => run.uniform(),
            Sampling::Midpoints => run.midpoints(),
            Sampling::Seconds => run.seconds(),
            Sampling::Tiers => run.tiers(),
            Sampling::Walk => run.walk(),
            Sampling::WalkShort => run.walk_short(),
            Sampling::Capped => run.capped(),
            Sampling::Inner => run.inner(),
            Sampling::Bounded => run.bounded(),
            Sampling::Limited => run.limited(),
            Sampling::Floor => run.floor(),
            Sampling::WholeSeconds => run.whole_seconds(),
            Sampling::Ends => run.ends(),
        }
    }
}

/// The frames between the seconds of a video, ascending.
struct Between {
    /// Frames of a second, the first of which is not among these.
    stack: usize,
    /// How many there are before they are thinned.
    all: usize,
    /// How many are taken.
    count: usize,
}

impl Between {
    /// Those before the end of a video of that many seconds.
    fn of(asked: &Sampled, duration: f64) -> Self {
        let (stack, each) = (asked.stack_frames, asked.stack_frames - 1);
        // Only of the last second may some lie behind the end.
        let whole = (duration.ceil() - 1.0).max(0.0);
        let (mut last, mut most) = (0, each);
        while last < most {
            let middle = last + (most - last).div_ceil(2);
            if at(whole, middle, stack) < duration {
                last = middle;
            } else {
                most = middle - 1;
            }
        }
        let all = (whole as usize).saturating_mul(each).saturating_add(last);
        Self { stack, all, count: all.min(asked.max_num_frames.saturating_mul(each)) }
    }

    /// The time of the one of that number, in seconds.
    fn time(&self, number: usize) -> f64 {
        let each = self.stack - 1;
        let number = if self.count == self.all {
            number
        } else {
            line(0.0, (self.all - 1) as f64, self.count)(number).floor() as usize
        };
        at((number / each) as f64, number % each + 1, self.stack)
    }
}

/// The time of a part of a second.
fn at(second: f64, part: usize, parts: usize) -> f64 {
    second + part as f64 / parts as f64
}

/// One video, and what is asked of it.
struct Run<'a> {
    asked: &'a Asked,
    video: Video,
    watch: &'a Watch<'a>,
}

/// A count that a product of times and rates comes to.
fn whole(count: f64) -> Result<usize> {
    if count < 0.0 {
        let rule = "at least 0".into();
        return Err(Refused::Outside { name: "duration", rule, given: count });
    }
    Ok(count as usize)
}

/// Each frame once, of ascending ones; the last of an odd number twice.
fn even(mut found: Vec<i64>) -> Result<Vec<i64>> {
    found.dedup();
    if let (true, Some(&last)) = (found.len() % 2 == 1, found.last()) {
        push(&mut found, last)?;
    }
    Ok(found)
}

/// As numpy's `linspace`: a number of values from the first to the last.
fn line(first: f64, last: f64, count: usize) -> impl Fn(usize) -> f64 {
    let (delta, steps) = (last - first, count.saturating_sub(1) as f64);
    move |index| {
        let at = index as f64;
        if count > 1 && index + 1 == count {
            return last;
        }
        let step = delta / steps;
        let offset = if count < 2 {
            at * delta
        } else if step == 0.0 {
            at / steps * delta
        } else {
            at * step
        };
        offset + first
    }
}

/// From both ends to the middle in float32, multiplication and addition fused, as torch's `linspace` on every
/// processor with AVX2.
fn torch_line(first: i64, last: i64, count: usize) -> impl Fn(usize) -> f32 {
    let (low, high) = (first as f32, last as f32);
    let step = f64::from((high - low) / (count.saturating_sub(1) as f32));
    move |index| {
        let value = if index < count / 2 {
            f64::from(low) + step * index as f64
        } else {
            f64::from(high) - step * (count - index - 1) as f64
        };
        value as f32
    }
}

impl Run<'_> {
    /// The video's rate, where a rule cannot do without.
    fn rate(&self) -> Result<f64> {
        self.video.fps.ok_or(Refused::NoRate)
    }

    /// The video's duration; where it is not known, from the last frame's time.
    fn duration(&self) -> Result<f64> {
        match self.video.duration.filter(|seconds| *seconds != 0.0) {
            Some(seconds) => Ok(seconds),
            None => Ok((((self.video.total - 1) as f64) / self.rate()?).round_ties_even() + 1.0),
        }
    }

    fn fps(&self) -> Result<f64> {
        self.asked.fps.ok_or(Refused::Option("fps: must be a number for this rule, got None"))
    }

    fn total(&self) -> f64 {
        self.video.total as f64
    }

    /// The last frame.
    fn last(&self) -> i64 {
        self.video.total as i64 - 1
    }

    fn most(&self) -> f64 {
        self.asked.max_frames.unwrap_or(768) as f64
    }

    fn refuse_more(&self, count: f64) -> Result<()> {
        let total = self.video.total;
        if count > total as f64 { Err(Refused::TooMany { count, total }) } else { Ok(()) }
    }

    /// A frame for each number.
    fn each(&self, count: usize, frame: impl Fn(usize) -> i64) -> Result<Vec<i64>> {
        let mut found = crate::error::reserved(count)?;
        for index in 0..count {
            if index.is_multiple_of(WATCH_EVERY) {
                self.watch.check()?;
            }
            found.push(frame(index));
        }
        Ok(found)
    }

    fn all(&self) -> Result<Vec<i64>> {
        self.each(self.video.total, |index| index as i64)
    }

    /// At equal steps, rounded down.
    fn spread(&self, first: i64, last: i64, count: usize) -> Result<Vec<i64>> {
        let line = line(first as f64, last as f64, count);
        self.each(count, |index| line(index).floor() as i64)
    }

    /// `torch.arange(start, total, step).int()`.
    fn torch_arange(&self, start: f64, step: f64) -> Result<Vec<i64>> {
        let length = ((self.total() - start) / step).ceil().max(0.0) as usize;
        let vectors = length / (2 * LANES) * (2 * LANES);
        self.each(length, |index| {
            let value = if index < vectors {
                let lane = index % LANES;
                let first = (start + step * (index - lane) as f64) as f32;
                (f64::from(first) + step * lane as f64) as f32
            } else {
                (start + step * index as f64) as f32
            };
            value as i64
        })
    }

    /// `Qwen2VLVideoProcessor.sample_frames`: torch's arange, which has one element more than the number of frames where
    /// the division rounds down.
    fn arange(&self) -> Result<Vec<i64>> {
        self.asked.check_limit(self.video)?;
        let (asked, total, temporal) = (self.asked, self.total(), self.asked.temporal as f64);
        let count = match (asked.num_frames, asked.fps) {
            (None, None) => return self.all(),
            (Some(count), _) => (count as f64 / temporal).round_ties_even() * temporal,
            (None, Some(fps)) => {
                let most = (self.most().min(total) / temporal).floor() * temporal;
                let wanted = total / self.rate()? * fps;
                let wanted = wanted.max(asked.min_frames as f64).min(most).min(total);
                (wanted / temporal).floor() * temporal
            }
        };
        self.refuse_more(count)?;
        if count < 1.0 {
            return Err(Refused::NoPatch { total: self.video.total, temporal: asked.temporal });
        }
        self.torch_arange(0.0, total / count)
    }

    /// `Qwen3VLVideoProcessor.sample_frames`.
    fn linspace(&self) -> Result<Vec<i64>> {
        self.asked.check_limit(self.video)?;
        let (asked, total) = (self.asked, self.video.total as i64);
        let most = asked.max_frames.unwrap_or(768);
        let count = match (asked.num_frames, asked.fps) {
            (Some(count), _) => count,
            (None, None) => total.max(asked.min_frames).min(most),
            (None, Some(fps)) => {
                let rate = self.video.fps.unwrap_or(DEFAULT_FPS);
                let wanted = (self.total() / rate * fps) as i64;
                wanted.max(asked.min_frames).min(most).min(total)
            }
        };
        if count < 1 {
            let (rule, given) = ("at least 1".into(), count as f64);
            return Err(Refused::Outside { name: "num_frames", rule, given });
        }
        let line = line(0.0, self.last() as f64, count as usize);
        self.each(count as usize, |index| line(index).round_ties_even() as i64)
    }

    /// qwen-vl-utils' `smart_nframes` and `calculate_video_frame_range`.
    fn qwen_vl_utils(&self) -> Result<Vec<i64>> {
        self.asked.check_limit(self.video)?;
        let (asked, rate) = (self.asked, self.video.fps);
        let spans = asked.start.is_some() || asked.end.is_some();
        if rate.is_none() && (asked.num_frames.is_none() || spans) {
            return Err(Refused::NoRate);
        }
        let rate = rate.unwrap_or(DEFAULT_FPS);
        let (start, end) = self.span(rate)?;
        let total = (end - start + 1) as f64;
        let even = |count: f64| (count / FRAME_FACTOR).floor() * FRAME_FACTOR;
        let count = if let Some(count) = asked.num_frames {
            (count as f64 / FRAME_FACTOR).round_ties_even() * FRAME_FACTOR
        } else {
            let fewest = (asked.min_frames as f64 / FRAME_FACTOR).ceil() * FRAME_FACTOR;
            let most = asked.max_frames.map_or(total.min(768.0), |most| most as f64);
            let wanted = total / rate * asked.fps.unwrap_or(2.0);
            even(wanted.max(fewest).min(even(most)).min(total))
        };
        if !(FRAME_FACTOR..=total).contains(&count) {
            let rule = format!("in {FRAME_FACTOR}..{total}");
            return Err(Refused::Outside { name: "num_frames", rule, given: count });
        }
        let line = torch_line(start as i64, end as i64, count as usize);
        self.each(count as usize, |index| line(index).round_ties_even() as i64)
    }

    /// The first and the last frame between two times.
    fn span(&self, rate: f64) -> Result<(usize, usize)> {
        let (asked, total) = (self.asked, self.video.total);
        let (mut start, mut end) = (0, total - 1);
        if asked.start.is_none() && asked.end.is_none() {
            return Ok((start, end));
        }
        let seconds = total as f64 / rate;
        let within = |time: f64| time.min(seconds).max(0.0) * rate;
        if let Some(time) = asked.start {
            start = within(time).ceil() as usize;
        }
        if let Some(time) = asked.end {
            end = end.min(within(time).floor() as usize);
        }
        if start >= end {
            return Err(Refused::Span { frames: (start, end), total, seconds });
        }
        Ok((start, end))
    }

    fn uniform(&self) -> Result<Vec<i64>> {
        let count = match (self.asked.num_frames, self.asked.fps) {
            (None, None) => return self.all(),
            (Some(count), _) => count as f64,
            (None, Some(fps)) => (self.total() / self.rate()? * fps).trunc().max(1.0),
        };
        self.refuse_more(count)?;
        let (total, count) = (self.video.total as i64, count as i64);
        self.each(count as usize, |index| index as i64 * total / count)
    }

    fn midpoints(&self) -> Result<Vec<i64>> {
        let count = match (self.asked.num_frames, self.asked.fps) {
            (None, None) => 0.0,
            (Some(count), _) => count as f64,
            (None, Some(fps)) => (self.total() / self.rate()? * fps).trunc(),
        };
        if count == 0.0 {
            return Err(Refused::Option(
                "num_frames: must be at least 1; set it, or an fps that leaves a frame",
            ));
        }
        self.refuse_more(count)?;
        let step = self.total() / count;
        self.torch_arange(if self.asked.others.initial_shift { step / 2.0 } else { 0.0 }, step)
    }

    fn seconds(&self) -> Result<Vec<i64>> {
        let (rate, fps, last) = (self.rate()?, self.fps()?, self.last());
        let (duration, longest) = (self.duration()?, self.asked.others.max_duration as f64);
        if duration <= longest {
            let count = (duration * fps).floor().max(1.0) as usize;
            return even(self.each(count, |i| ((i as f64 * rate / fps).ceil() as i64).min(last))?);
        }
        let count = whole((longest * fps).trunc())?;
        if count >= self.video.total {
            return even(self.all()?);
        }
        let line = line(0.0, duration, count);
        even(self.each(count, |index| ((line(index) * rate).ceil() as i64).min(last))?)
    }

    /// The first frame after each step of time, until `end`.
    fn walked(&self, step: f64, end: f64) -> Result<Vec<i64>> {
        let period = 1.0 / self.rate()?;
        let (mut found, mut now) = (Vec::new(), 0.0);
        for index in 0..self.video.total {
            if index.is_multiple_of(WATCH_EVERY) {
                self.watch.check()?;
            }
            if index as f64 * period >= now {
                now += step;
                push(&mut found, index as i64)?;
                if now >= end {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// As many frames as are wanted, spread where there are fewer or more.
    fn filled(&self, found: Vec<i64>, count: usize) -> Result<Vec<i64>> {
        let ends = found.first().copied().zip(found.last().copied());
        match ends {
            Some((first, last)) if found.len() < count => even(self.spread(first, last, count)?),
            Some(_) if found.len() > count => even(self.spread(0, self.last(), count)?),
            _ => even(found),
        }
    }

    fn tiers(&self) -> Result<Vec<i64>> {
        let duration = self.duration()?;
        let shown = duration.min(TIERS[TIERS.len() - 1].0);
        let tier = TIERS.iter().find(|(longest, _)| shown <= *longest);
        let fps = tier.map_or(TIERS[0].1, |tier| tier.1) * self.asked.temporal as f64;
        self.stepped(whole((shown * fps).trunc().min(TIER_FRAMES))?, fps, duration)
    }

    fn walk(&self) -> Result<Vec<i64>> {
        let (duration, fps) = (self.duration()?, self.fps()?);
        self.stepped(whole((duration * fps).trunc().min(self.most()))?, fps, duration)
    }

    fn stepped(&self, count: usize, fps: f64, duration: f64) -> Result<Vec<i64>> {
        if self.video.total < count {
            return even(self.spread(0, self.last(), count)?);
        }
        self.filled(self.walked(1.0 / fps, duration.trunc())?, count)
    }

    fn walk_short(&self) -> Result<Vec<i64>> {
        let (duration, fps, total) = (self.duration()?, self.fps()?, self.video.total);
        let count = whole((duration * fps).trunc().min(self.most()))?;
        if total < count {
            return even(self.each(count, |i| ((i * total) as f64 / count as f64).floor() as i64)?);
        }
        self.filled(self.walked(1.0 / fps, duration - 1.0 / fps)?, count)
    }

    fn capped(&self) -> Result<Vec<i64>> {
        let asked = self.asked;
        if asked.num_frames.is_some() {
            return Err(Refused::Option(
                "num_frames: must be None here; fps and max_frames say how many",
            ));
        }
        let mut found = match (asked.fps, self.video.fps, self.video.duration) {
            (Some(fps), Some(rate), Some(duration)) => {
                let (step, count) = (rate / fps, (duration * fps).trunc().max(1.0) as usize);
                self.each(count, |index| ((index as f64 * step) as i64).min(self.last()))?
            }
            _ => self.all()?,
        };
        let most = self.most() as usize;
        match asked.others.overflow_strategy {
            Some(_) if found.len() <= most => {}
            None => {}
            Some(Overflow::Truncate) => found.truncate(most),
            Some(Overflow::Uniform) => {
                let places = self.spread(0, found.len() as i64 - 1, most)?;
                found = collected(places.into_iter().map(|place| found[place as usize]))?;
            }
        }
        Ok(found)
    }

    fn inner(&self) -> Result<Vec<i64>> {
        let (rate, total) = (self.rate()?, self.total());
        let (Some(count), Some(fps), Some(duration)) =
            (self.asked.num_frames, self.asked.fps, self.video.duration)
        else {
            return Err(Refused::Option(
                "fps: needs num_frames beside it, and the video's duration",
            ));
        };
        let count = count as f64;
        let wanted = (fps * duration).round_ties_even().min(count).max(1.0) as usize;
        let (mut first, mut last) = (0, self.last());
        if duration - 2.0 * SKIPPED > count * fps {
            first = ((SKIPPED * rate) as i64).max(0);
            last = last.min((total - SKIPPED * rate) as i64);
        }
        if first >= last {
            (first, last) = (0, self.last());
        }
        let mut found = self.spread(first, last, wanted)?;
        found.dedup();
        Ok(found)
    }

    fn bounded(&self) -> Result<Vec<i64>> {
        let total = self.total();
        let (fewest, most) = (self.asked.min_frames as f64, self.most());
        let count = if let Some(count) = self.asked.num_frames {
            let count = count as f64;
            if !(fewest..=most).contains(&count) {
                let rule = format!("in {fewest}..={most}");
                return Err(Refused::Outside { name: "num_frames", rule, given: count });
            }
            count
        } else {
            let wanted = match self.asked.fps {
                None => total,
                Some(fps) => total / self.rate()? * fps,
            };
            wanted.max(fewest).min(most).min(total)
        };
        self.refuse_more(count)?;
        self.torch_arange(0.0, total / count)
    }

    fn limited(&self) -> Result<Vec<i64>> {
        let (fps, most, total) = (self.asked.fps, self.asked.others.max_fps, self.total());
        let rate = self.video.fps.or(fps).or(most).unwrap_or(DEFAULT_FPS);
        let duration = self.video.duration.unwrap_or(total / rate);
        let count = match (fps, most) {
            (Some(fps), _) => (duration * fps).trunc(),
            (None, most) => {
                let count = self.asked.num_frames.map_or(total, |count| count as f64);
                let limit = most.filter(|most| rate > *most);
                limit.map_or(count, |most| count.min((duration * most).trunc()))
            }
        };
        self.torch_arange(0.0, total / count.min(total).max(1.0))
    }

    fn floor(&self) -> Result<Vec<i64>> {
        let (total, patch) = (self.total(), self.asked.temporal as f64);
        let most = self.asked.num_frames.map_or(total, |count| count as f64);
        let wanted = self
            .asked
            .fps
            .map_or(total, |fps| (total * fps / self.video.fps.unwrap_or(DEFAULT_FPS)).trunc());
        let count = wanted.min(most).min(total);
        let count = ((count / patch).floor() * patch).max(patch).min(total) as usize;
        if count == 1 {
            return Ok(collected([0])?);
        }
        let line = torch_line(0, self.last(), count);
        self.each(count, |index| line(index) as i64)
    }

    fn whole_seconds(&self) -> Result<Vec<i64>> {
        let rate = self.rate()?;
        let duration = self.video.duration.ok_or(Refused::NoDuration)?;
        let (last, most) = (self.last(), self.asked.others.max_num_frames);
        let mut found = if duration > most as f64 {
            // To one decimal, as Python's `round` finds it.
            let time = |i: usize| format!("{:.1}", i as f64 * FINE).parse::<f64>().unwrap_or(0.0);
            let count = (duration / FINE) as usize;
            let frame = |i: usize| ((time(i) * rate) as i64).min(last);
            if count > most {
                let places = self.spread(0, count as i64 - 1, most)?;
                self.each(most, |index| frame(places[index] as usize))?
            } else {
                self.each(count, frame)?
            }
        } else {
            self.each(duration.ceil().max(0.0) as usize, |index| (index as f64 * rate) as i64)?
        };
        if found.last().is_some_and(|frame| *frame > last) {
            let total = self.video.total;
            return Err(Refused::Duration { seconds: duration, rate, total });
        }
        let between = Between::of(&self.asked.others, duration);
        if between.count > MOST as usize {
            let (rule, given) =
                ("one that takes at most 2**24 frames".into(), between.stack as f64);
            return Err(Refused::Outside { name: "stack_frames", rule, given });
        }
        let frame = |number| ((between.time(number) * rate) as i64).min(last);
        append(&mut found, self.each(between.count, frame)?)?;
        Ok(found)
    }

    fn ends(&self) -> Result<Vec<i64>> {
        match self.asked.num_frames {
            None => self.uniform(),
            Some(1) => Err(Refused::Option("num_frames: must be at least 2, got 1")),
            Some(count) => {
                let last = self.last();
                self.each(count as usize, |i| {
                    ((i as i64 * last) as f64 / (count - 1) as f64) as i64
                })
            }
        }
    }
}

//! What a video processor is, as data: the options of [`Rule::Video`](super::Rule::Video).

use super::{Options, SmartResize, Value, budget, count, flag, number, positive, text, wrong};
use crate::error::{Error, Result};

/// Options of [`Rule::Video`](super::Rule::Video).
#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    /// Patches, and fewest and most pixels: of a frame or of a video, as `budget` says.
    pub patches: SmartResize,
    /// What the budget of pixels counts.
    pub budget: FrameBudget,
    /// Bound each frame by its share of a budget of tokens as well.
    pub cap_pixels_per_frame: bool,
    /// That budget: of a video where frames are counted one by one, else of a frame.
    pub max_video_tokens: usize,
    /// Most pixels of a video's frames together, in [`FrameBudget::QwenVlUtils`].
    pub total_pixels: Option<usize>,
    /// What `total_pixels` follows from where it is not given, in [`FrameBudget::QwenVlUtils`].
    pub model_seq_len: usize,
    /// Which frames are taken. The facade acts on it and on all below.
    pub sampling: Sampling,
    /// Off: every frame is taken.
    pub do_sample_frames: bool,
    /// Frames to take a second.
    pub fps: Option<f64>,
    /// Frames to take in all.
    pub num_frames: Option<usize>,
    /// Fewest frames that `fps` may ask for.
    pub min_frames: usize,
    /// Most frames that `fps` may ask for.
    pub max_frames: usize,
    /// Where frames begin to be taken, in seconds, in [`Sampling::QwenVlUtils`].
    pub video_start: Option<f64>,
    /// Where they end, likewise.
    pub video_end: Option<f64>,
}

/// What a budget of pixels counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameBudget {
    /// The pixels of one frame.
    Frame,
    /// The pixels of all frames.
    Video,
    /// The pixels of one frame, below its share of the video's, by the rule of the package of that name.
    QwenVlUtils,
}

/// Which frames of a video are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// From the first on at equal steps, rounded down.
    Arange,
    /// From the first to the last at equal steps, rounded to nearest, half to even.
    Linspace,
    /// As `Linspace` in float32, with the numbers of frames of the package of that name.
    QwenVlUtils,
}

impl FrameBudget {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Frame, Self::Video, Self::QwenVlUtils];

    /// Its name in Python.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Video => "video",
            Self::QwenVlUtils => "qwen-vl-utils",
        }
    }

    /// The choice of that name.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|choice| choice.name() == name).ok_or_else(|| Error::Unknown {
            what: "budget",
            given: name.into(),
            known: Self::ALL.map(Self::name).to_vec(),
        })
    }
}

impl Sampling {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Arange, Self::Linspace, Self::QwenVlUtils];

    /// Its name in Python.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arange => "arange",
            Self::Linspace => "linspace",
            Self::QwenVlUtils => "qwen-vl-utils",
        }
    }

    /// The choice of that name.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|choice| choice.name() == name).ok_or_else(|| Error::Unknown {
            what: "sampling",
            given: name.into(),
            known: Self::ALL.map(Self::name).to_vec(),
        })
    }
}

fn optional<T>(value: &Value, read: impl FnOnce(&Value) -> Result<T>) -> Result<Option<T>> {
    if *value == Value::Nothing { Ok(None) } else { read(value).map(Some) }
}

fn or_nothing(value: Option<usize>) -> Value {
    value.map_or(Value::Nothing, |value| Value::Int(value as i64))
}

impl Video {
    pub(super) fn set(&mut self, name: &str, value: &Value) -> Result<bool> {
        match name {
            "budget" => self.budget = FrameBudget::parse(text("budget", value)?)?,
            "cap_pixels_per_frame" => {
                self.cap_pixels_per_frame = flag("cap_pixels_per_frame", value)?;
            }
            "max_video_tokens" => self.max_video_tokens = count("max_video_tokens", value)?,
            "total_pixels" => {
                self.total_pixels = optional(value, |value| budget("total_pixels", value))?;
            }
            "model_seq_len" => self.model_seq_len = count("model_seq_len", value)?,
            "sampling" => self.sampling = Sampling::parse(text("sampling", value)?)?,
            "do_sample_frames" => self.do_sample_frames = flag("do_sample_frames", value)?,
            "fps" => self.fps = optional(value, |value| positive("fps", value))?,
            "num_frames" => {
                self.num_frames = optional(value, |value| count("num_frames", value))?;
            }
            "min_frames" => self.min_frames = count("min_frames", value)?,
            "max_frames" => self.max_frames = count("max_frames", value)?,
            "video_start" => {
                self.video_start = optional(value, |value| number("video_start", value))?;
            }
            "video_end" => {
                self.video_end = optional(value, |value| number("video_end", value))?;
            }
            _ => return self.patches.set(name, value),
        }
        Ok(true)
    }

    pub(super) fn options(&self, options: &mut Options) {
        self.patches.options(options);
        options.extend([
            ("budget", Value::Text(self.budget.name().into())),
            ("cap_pixels_per_frame", Value::Bool(self.cap_pixels_per_frame)),
            ("max_video_tokens", Value::Int(self.max_video_tokens as i64)),
            ("total_pixels", or_nothing(self.total_pixels)),
            ("model_seq_len", Value::Int(self.model_seq_len as i64)),
            ("sampling", Value::Text(self.sampling.name().into())),
            ("do_sample_frames", Value::Bool(self.do_sample_frames)),
            ("fps", self.fps.map_or(Value::Nothing, Value::Float)),
            ("num_frames", or_nothing(self.num_frames)),
            ("min_frames", Value::Int(self.min_frames as i64)),
            ("max_frames", Value::Int(self.max_frames as i64)),
            ("video_start", self.video_start.map_or(Value::Nothing, Value::Float)),
            ("video_end", self.video_end.map_or(Value::Nothing, Value::Float)),
        ]);
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.fps.is_some() && self.num_frames.is_some() {
            let given = Value::Int(self.num_frames.unwrap_or(0) as i64);
            return Err(wrong("num_frames", "None where fps is given", &given));
        }
        let times = [("video_start", self.video_start), ("video_end", self.video_end)];
        for (name, time) in times {
            if let Some(time) = time
                && self.sampling != Sampling::QwenVlUtils
            {
                let rule = "None unless sampling is 'qwen-vl-utils'";
                return Err(wrong(name, rule, &Value::Float(time)));
            }
        }
        Ok(())
    }
}

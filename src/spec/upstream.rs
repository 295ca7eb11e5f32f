//! The words of upstream's config files and arguments, as data. Python reads them; the core has no use for them.

use crate::names::names;
use crate::options::Value;
use crate::resample::Numerics;

names! {
    /// The backends that upstream has for a class.
    pub enum Backends: "backends" {
        /// torchvision and Pillow.
        Both = "both",
        /// torchvision alone.
        Torchvision = "torchvision",
        /// Pillow alone.
        Pillow = "pillow",
    }
}

impl Backends {
    /// Whether the backend whose numbers these are is one of them.
    #[must_use]
    pub const fn has(self, numerics: Numerics) -> bool {
        match self {
            Self::Both => true,
            Self::Torchvision => numerics.int16_weights(),
            Self::Pillow => !numerics.int16_weights(),
        }
    }
}

/// One class of upstream, as a family has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Upstream {
    /// Its name, without `Fast` or `Pil`.
    pub class: &'static str,
    /// Its backends.
    pub backends: Backends,
    /// The model types that use it and mean this family.
    pub model_types: &'static [&'static str],
    /// Names of processors that use it and mean this family.
    pub processors: &'static [&'static str],
    /// The sign of this family in a config of a class that several families share.
    pub sign: Sign,
    /// The class's defaults where they differ from the family's preset.
    pub defaults: &'static [(&'static str, Preset)],
    /// Whether its floats change with the number of torch's threads; ours are those of one thread.
    pub serial: bool,
}

impl Upstream {
    /// A class with both backends that means one family only.
    #[must_use]
    pub const fn of(class: &'static str, model_types: &'static [&'static str]) -> Self {
        Self {
            class,
            backends: Backends::Both,
            model_types,
            processors: &[],
            sign: Sign::None,
            defaults: &[],
            serial: false,
        }
    }
}

/// What in a config tells the family of a class that several families share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Nothing: the first family without a sign is meant where no other's is there.
    None,
    /// A key of this value.
    Equals(&'static str, i64),
    /// A key whose sides are multiples of this number.
    Multiple(&'static str, i64),
}

/// What a key of a config file or an argument of a call becomes, beyond the options' own names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Key {
    /// Another option.
    Alias(&'static str, &'static str),
    /// A dict: an option for each of its keys. Some keys stand for the same option; each option must have one.
    Dict(&'static str, &'static [(&'static str, &'static str)]),
    /// The same, where every key may be absent: its option is then None.
    Choice(&'static str, &'static [(&'static str, &'static str)]),
    /// A number alone, or a pair of sides, where a dict may stand: the options that it is.
    Bare(&'static str, &'static [&'static str]),
    /// A side, a pair of sides, or a dict of height and width.
    Sides(&'static str, &'static str),
    /// The same of squares alone.
    Square(&'static str, &'static str),
    /// Read by upstream's counting functions alone, which give an option another name: see `get_number_of_image_patches`.
    Counted(&'static str, &'static str),
    /// Read in calls; in a file upstream derives it again, whatever the file says.
    Derived(&'static str),
    /// Cannot change what comes out.
    Ignore(&'static str),
    /// Must have this value: upstream does with any other what is not here.
    Must(&'static str, Preset),
}

impl Key {
    /// The key itself.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alias(key, _)
            | Self::Dict(key, _)
            | Self::Choice(key, _)
            | Self::Bare(key, _)
            | Self::Sides(key, _)
            | Self::Square(key, _)
            | Self::Counted(key, _)
            | Self::Derived(key)
            | Self::Ignore(key)
            | Self::Must(key, _) => key,
        }
    }
}

/// Upstream's keys that change no pixel of the families here: bookkeeping, and steps that these classes leave out.
pub const IGNORED: &[&str] = &[
    // What the file is, and who wrote it.
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "auto_map",
    "transformers_version",
    "_name_or_path",
    "_commit_hash",
    "_valid_kwargs_names",
    "_valid_processor_keys",
    // How upstream runs.
    "use_fast",
    "backend",
    "disable_grouping",
    "return_tensors",
    "image_seq_length",
    "data_format",
    // Steps of other classes, which upstream's base class accepts everywhere.
    "default_to_square",
    "do_center_crop",
    "crop_size",
    "do_pad",
    "pad_size",
    // Of an audio extractor that shares the file.
    "chunk_length",
    "dither",
    "feature_size",
    "hop_length",
    "n_fft",
    "n_samples",
    "nb_max_frames",
    "padding_side",
    "padding_value",
    "return_attention_mask",
    "sampling_rate",
    // Read by processors and models, never by the image processor.
    "chat_template",
    "image_token",
    "video_token",
];

/// The same of video processors alone.
pub const VIDEO_IGNORED: &[&str] = &[
    "video_processor_type",
    "return_metadata",
    "video_metadata",
    "max_duration",
    "max_image_size",
    "num_channels",
    "use_token_compression",
];

/// A model's own file, of another form than transformers': which it is, and its keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OwnFile {
    /// Its form.
    pub form: OwnForm,
    /// Keys that the image side reads, in the order of the alphabet.
    pub known: &'static [&'static str],
    /// Keys that it does not read.
    pub ignored: &'static [&'static str],
    /// Keys that are an option each.
    pub options: &'static [(&'static str, &'static str)],
    /// Options of a file that does not say, where they differ from the preset.
    pub defaults: &'static [(&'static str, Preset)],
    /// Keys that a file must have.
    pub needs: &'static [&'static str],
}

/// The form of a model's own file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnForm {
    /// `InternVLChatConfig`: the `config.json` of the whole model.
    InternVlChat,
    /// The arguments of `DeepseekVLV2Processor`: a `processor_config.json`.
    DeepseekVlV2,
}

/// The value of a default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Preset {
    /// No value.
    Nothing,
    /// A flag.
    Bool(bool),
    /// A count or a size.
    Int(i64),
    /// A number.
    Float(f64),
    /// A name.
    Text(&'static str),
    /// Several numbers.
    Numbers(&'static [f64]),
    /// A height and a width.
    Size(usize, usize),
    /// Pairs of sizes.
    Pairs(&'static [(usize, usize)]),
}

impl From<Preset> for Value {
    fn from(preset: Preset) -> Self {
        match preset {
            Preset::Nothing => Self::Nothing,
            Preset::Bool(value) => Self::Bool(value),
            Preset::Int(value) => Self::Int(value),
            Preset::Float(value) => Self::Float(value),
            Preset::Text(value) => Self::Text(value.into()),
            Preset::Numbers(value) => Self::Numbers(value.to_vec()),
            Preset::Size(height, width) => Self::Size((height, width)),
            Preset::Pairs(value) => Self::Pairs(value.to_vec()),
        }
    }
}

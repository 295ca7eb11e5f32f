//! What a family is, as data. No plans, no pixels.

mod video;

use crate::error::{Error, Result, Size};
use crate::resample::{Filter, Numerics};
use crate::sizing::RatioOrder;

pub use video::{FrameBudget, Sampling, Video};

/// A family with its options.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The family's name in the table.
    pub family: &'static str,
    /// How sizes, views and outputs follow from an image's size.
    pub rule: Rule,
    /// The resampling filter.
    pub resample: Filter,
    /// Whose numbers to reproduce.
    pub numerics: Numerics,
    /// Off: images must already have the size that the rule asks for.
    pub do_resize: bool,
    /// Multiply by `rescale_factor`.
    pub do_rescale: bool,
    /// What a byte is multiplied by.
    pub rescale_factor: f64,
    /// Subtract the mean and divide by the standard deviation.
    pub do_normalize: bool,
    /// Mean of each channel.
    pub image_mean: [f64; 3],
    /// Standard deviation of each channel.
    pub image_std: [f64; 3],
    /// Most pixels of an image, going in or coming out.
    pub max_image_pixels: u64,
    /// The coordinates that the family was trained to speak.
    pub coords: Coords,
}

/// How sizes, views and outputs follow from an image's size.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Round to multiples within a budget of pixels, cut patches.
    SmartResize(SmartResize),
    /// Stretch to the tile grid of the closest aspect ratio.
    AspectGrid(AspectGrid),
    /// Pad into the best of a list of canvases, with a padded global view before it.
    BestCanvas(BestCanvas),
    /// Scale the longer side, pad to a square.
    PadSquare(PadSquare),
    /// Frames as in `SmartResize`, cut into patches over time.
    Video(Video),
}

/// Options of [`Rule::SmartResize`].
#[derive(Clone, Debug, PartialEq)]
pub struct SmartResize {
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Patches a side that one token merges.
    pub merge_size: usize,
    /// Frames of a patch.
    pub temporal_patch_size: usize,
    /// Fewest pixels.
    pub min_pixels: usize,
    /// Most pixels.
    pub max_pixels: usize,
}

/// Options of [`Rule::AspectGrid`].
#[derive(Clone, Debug, PartialEq)]
pub struct AspectGrid {
    /// Height and width of a tile in pixels.
    pub image_size: Size,
    /// Fewest tiles, the thumbnail not counted.
    pub min_num: usize,
    /// Most tiles, the thumbnail not counted.
    pub max_num: usize,
    /// Append the whole image at tile size when there is more than one tile.
    pub use_thumbnail: bool,
    /// Off: every image becomes one tile.
    pub crop_to_patches: bool,
    /// What a tile budget means for a sample of several images.
    pub multi_image: MultiImage,
    /// Which of two grids of one size wins a tie.
    pub order: RatioOrder,
    /// Side of a vision encoder's patch in pixels.
    pub patch_size: usize,
    /// Side of the token grid over side of the patch grid.
    pub downsample_ratio: f64,
}

/// What a tile budget means for a sample of several images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultiImage {
    /// Each image has the whole budget.
    Full,
    /// The images share it: `max(1, max_num // n)` each.
    Divide,
}

impl MultiImage {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Full, Self::Divide];

    /// Its name in Python.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Divide => "divide",
        }
    }

    /// The choice of that name.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|choice| choice.name() == name).ok_or_else(|| Error::Unknown {
            what: "multi_image",
            given: name.into(),
            known: Self::ALL.map(Self::name).to_vec(),
        })
    }
}

/// Options of [`Rule::BestCanvas`].
#[derive(Clone, Debug, PartialEq)]
pub struct BestCanvas {
    /// Canvases as (width, height), as the family's own file has them; the first one's width is the tile.
    pub candidate_resolutions: Vec<(usize, usize)>,
    /// Above this many images in a sample nothing is tiled.
    pub max_images_tiled: usize,
    /// Side of a vision encoder's patch in pixels.
    pub patch_size: usize,
    /// Patches a side that one token merges.
    pub downsample_ratio: usize,
}

/// Options of [`Rule::PadSquare`].
#[derive(Clone, Debug, PartialEq)]
pub struct PadSquare {
    /// Side of the square in pixels.
    pub image_size: usize,
    /// The first resize of a family that makes two views in a row, the second from the first.
    pub high_res: Option<HighRes>,
    /// Neither side becomes smaller than this.
    pub min_size: usize,
    /// Off: the image must be square after resizing.
    pub do_pad: bool,
    /// What it is padded with; none is the mean.
    pub background_color: Option<[u8; 3]>,
    /// Side of a vision encoder's patch in pixels.
    pub patch_size: usize,
}

/// The larger view of [`PadSquare`].
#[derive(Clone, Debug, PartialEq)]
pub struct HighRes {
    /// Side of its square in pixels.
    pub image_size: usize,
    /// Its filter.
    pub resample: Filter,
    /// Its mean.
    pub image_mean: [f64; 3],
    /// Its standard deviation.
    pub image_std: [f64; 3],
    /// What it is padded with; none is its mean.
    pub background_color: Option<[u8; 3]>,
}

/// What a coordinate in the model's text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coords {
    /// Pixels of the resized image.
    Resized,
    /// 0 to 1000 of the image.
    Norm1000,
    /// 0 to 999 of the image.
    Norm999,
    /// 0 to 1 of the image.
    Norm1,
}

impl Coords {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Resized, Self::Norm1000, Self::Norm999, Self::Norm1];

    /// Its name in Python.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resized => "resized",
            Self::Norm1000 => "norm1000",
            Self::Norm999 => "norm999",
            Self::Norm1 => "norm1",
        }
    }

    /// The kind of that name.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|coords| coords.name() == name).ok_or_else(|| Error::Unknown {
            what: "coords",
            given: name.into(),
            known: Self::ALL.map(Self::name).to_vec(),
        })
    }
}

/// The value of an option, as it comes in from and goes out to Python.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Nothing,
    /// A flag.
    Bool(bool),
    /// A count or a size.
    Int(i64),
    /// A number.
    Float(f64),
    /// A name.
    Text(String),
    /// Three numbers.
    Triple([f64; 3]),
    /// Pairs of sizes.
    Pairs(Vec<(usize, usize)>),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("None"),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "{value:?}"),
            Self::Triple(value) => write!(f, "{value:?}"),
            Self::Pairs(value) => write!(f, "{value:?}"),
        }
    }
}

fn wrong(name: &'static str, rule: &'static str, given: &Value) -> Error {
    Error::Option { name, rule, given: given.to_string() }
}

fn flag(name: &'static str, value: &Value) -> Result<bool> {
    if let Value::Bool(value) = value {
        Ok(*value)
    } else {
        Err(wrong(name, "True or False", value))
    }
}

/// Sizes stay below 2^31, so that products of two fit in 64 bits.
fn count(name: &'static str, value: &Value) -> Result<usize> {
    match value {
        Value::Int(given) if (1..1 << 31).contains(given) => Ok(*given as usize),
        _ => Err(wrong(name, "an integer in 1..2**31", value)),
    }
}

/// Budgets of pixels may be as large as an integer goes.
fn budget(name: &'static str, value: &Value) -> Result<usize> {
    match value {
        Value::Int(given) if *given >= 1 => Ok(*given as usize),
        _ => Err(wrong(name, "an integer of at least 1", value)),
    }
}

fn text<'a>(name: &'static str, value: &'a Value) -> Result<&'a str> {
    if let Value::Text(value) = value { Ok(value) } else { Err(wrong(name, "a name", value)) }
}

fn number(name: &'static str, value: &Value) -> Result<f64> {
    match value {
        Value::Float(number) if number.is_finite() => Ok(*number),
        Value::Int(number) => Ok(*number as f64),
        _ => Err(wrong(name, "a finite number", value)),
    }
}

fn positive(name: &'static str, value: &Value) -> Result<f64> {
    match number(name, value) {
        Ok(number) if number > 0.0 => Ok(number),
        _ => Err(wrong(name, "a finite number above 0", value)),
    }
}

fn triple(name: &'static str, value: &Value) -> Result<[f64; 3]> {
    match value {
        Value::Triple(three) if three.iter().all(|v| v.is_finite()) => Ok(*three),
        _ => Err(wrong(name, "three finite numbers", value)),
    }
}

fn colour(name: &'static str, value: &Value) -> Result<[u8; 3]> {
    let byte = |v: &f64| v.fract() == 0.0 && (0.0..=255.0).contains(v);
    match value {
        Value::Triple(three) if three.iter().all(byte) => Ok(three.map(|v| v as u8)),
        _ => Err(wrong(name, "three integers in 0..=255", value)),
    }
}

fn colour_value(colour: Option<[u8; 3]>, mean: [f64; 3]) -> Value {
    Value::Triple(colour.unwrap_or_else(|| mean_colour(mean)).map(f64::from))
}

/// The colour that upstream pads with unless it is told another: its mean as a byte, truncated.
#[must_use]
pub fn mean_colour(mean: [f64; 3]) -> [u8; 3] {
    mean.map(|value| (value * 255.0) as u8)
}

fn deviation(name: &'static str, value: &Value) -> Result<[f64; 3]> {
    match triple(name, value) {
        Ok(three) if three.iter().all(|v| *v > 0.0) => Ok(three),
        _ => Err(wrong(name, "three finite numbers above 0", value)),
    }
}

fn one_or_two(name: &'static str, value: &Value) -> Result<Size> {
    match value {
        Value::Pairs(pairs) if pairs.len() == 1 && pairs[0].0 > 0 && pairs[0].1 > 0 => Ok(pairs[0]),
        Value::Int(_) => count(name, value).map(|side| (side, side)),
        _ => Err(wrong(name, "an integer or (height, width), at least 1", value)),
    }
}

fn side_or_size(size: Size) -> Value {
    if size.0 == size.1 { Value::Int(size.0 as i64) } else { Value::Pairs(vec![size]) }
}

impl Spec {
    /// Mean and standard deviation of each output, in order.
    #[must_use]
    pub fn statistics(&self) -> Vec<([f64; 3], [f64; 3])> {
        let mut all = vec![(self.image_mean, self.image_std)];
        if let Rule::PadSquare(PadSquare { high_res: Some(high), .. }) = &self.rule {
            all.push((high.image_mean, high.image_std));
        }
        all
    }

    /// Sets one option by its name.
    ///
    /// # Errors
    /// `Unknown` for a name that the family does not have, `Option` for a value outside its range.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<()> {
        match name {
            "do_resize" => self.do_resize = flag("do_resize", value)?,
            "resample" => self.resample = Filter::parse(text("resample", value)?)?,
            "do_rescale" => self.do_rescale = flag("do_rescale", value)?,
            "rescale_factor" => self.rescale_factor = positive("rescale_factor", value)?,
            "do_normalize" => self.do_normalize = flag("do_normalize", value)?,
            "image_mean" => self.image_mean = triple("image_mean", value)?,
            "image_std" => self.image_std = deviation("image_std", value)?,
            "max_image_pixels" => {
                self.max_image_pixels = budget("max_image_pixels", value)? as u64;
            }
            "coords" => self.coords = Coords::parse(text("coords", value)?)?,
            _ => {
                let known = match &mut self.rule {
                    Rule::SmartResize(rule) => rule.set(name, value)?,
                    Rule::AspectGrid(rule) => rule.set(name, value)?,
                    Rule::BestCanvas(rule) => rule.set(name, value)?,
                    Rule::PadSquare(rule) => rule.set(name, value)?,
                    Rule::Video(rule) => rule.set(name, value)?,
                };
                if !known {
                    let known = self.options().into_iter().map(|(name, _)| name).collect();
                    return Err(Error::Unknown { what: "option", given: name.into(), known });
                }
            }
        }
        Ok(())
    }

    /// Every option with its value.
    #[must_use]
    pub fn options(&self) -> Vec<(&'static str, Value)> {
        let mut options = vec![
            ("do_resize", Value::Bool(self.do_resize)),
            ("resample", Value::Text(self.resample.name().into())),
            ("do_rescale", Value::Bool(self.do_rescale)),
            ("rescale_factor", Value::Float(self.rescale_factor)),
            ("do_normalize", Value::Bool(self.do_normalize)),
            ("image_mean", Value::Triple(self.image_mean)),
            ("image_std", Value::Triple(self.image_std)),
            ("max_image_pixels", Value::Int(self.max_image_pixels as i64)),
            ("coords", Value::Text(self.coords.name().into())),
        ];
        match &self.rule {
            Rule::SmartResize(rule) => rule.options(&mut options),
            Rule::AspectGrid(rule) => rule.options(&mut options),
            Rule::BestCanvas(rule) => rule.options(&mut options),
            Rule::PadSquare(rule) => rule.options(self.image_mean, &mut options),
            Rule::Video(rule) => rule.options(&mut options),
        }
        options
    }

    /// Checks what no single option can: options against each other.
    ///
    /// # Errors
    /// `Option`.
    pub fn check(&self) -> Result<()> {
        match &self.rule {
            Rule::AspectGrid(rule) => {
                crate::sizing::aspect_ratios(rule.order, rule.min_num, rule.max_num).map(|_| ())
            }
            Rule::BestCanvas(rule) => rule.check(),
            Rule::Video(rule) => rule.check(),
            Rule::SmartResize(_) | Rule::PadSquare(_) => Ok(()),
        }
    }
}

type Options = Vec<(&'static str, Value)>;

impl SmartResize {
    fn set(&mut self, name: &str, value: &Value) -> Result<bool> {
        match name {
            "patch_size" => self.patch_size = count("patch_size", value)?,
            "merge_size" => self.merge_size = count("merge_size", value)?,
            "temporal_patch_size" => {
                self.temporal_patch_size = count("temporal_patch_size", value)?;
            }
            "min_pixels" => self.min_pixels = budget("min_pixels", value)?,
            "max_pixels" => self.max_pixels = budget("max_pixels", value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn options(&self, options: &mut Options) {
        options.extend([
            ("patch_size", Value::Int(self.patch_size as i64)),
            ("merge_size", Value::Int(self.merge_size as i64)),
            ("temporal_patch_size", Value::Int(self.temporal_patch_size as i64)),
            ("min_pixels", Value::Int(self.min_pixels as i64)),
            ("max_pixels", Value::Int(self.max_pixels as i64)),
        ]);
    }
}

impl AspectGrid {
    fn set(&mut self, name: &str, value: &Value) -> Result<bool> {
        match name {
            "image_size" => self.image_size = one_or_two("image_size", value)?,
            "min_num" => self.min_num = count("min_num", value)?,
            "max_num" => self.max_num = count("max_num", value)?,
            "use_thumbnail" => self.use_thumbnail = flag("use_thumbnail", value)?,
            "crop_to_patches" => self.crop_to_patches = flag("crop_to_patches", value)?,
            "multi_image" => self.multi_image = MultiImage::parse(text("multi_image", value)?)?,
            "patch_size" => self.patch_size = count("patch_size", value)?,
            "downsample_ratio" => self.downsample_ratio = positive("downsample_ratio", value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn options(&self, options: &mut Options) {
        options.extend([
            ("image_size", side_or_size(self.image_size)),
            ("min_num", Value::Int(self.min_num as i64)),
            ("max_num", Value::Int(self.max_num as i64)),
            ("use_thumbnail", Value::Bool(self.use_thumbnail)),
            ("crop_to_patches", Value::Bool(self.crop_to_patches)),
            ("multi_image", Value::Text(self.multi_image.name().into())),
            ("patch_size", Value::Int(self.patch_size as i64)),
            ("downsample_ratio", Value::Float(self.downsample_ratio)),
        ]);
    }
}

impl BestCanvas {
    /// Side of a tile in pixels.
    #[must_use]
    pub fn tile(&self) -> usize {
        self.candidate_resolutions.first().map_or(0, |canvas| canvas.0)
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<bool> {
        match name {
            "candidate_resolutions" => {
                let Value::Pairs(pairs) = value else {
                    return Err(wrong("candidate_resolutions", "a list of (width, height)", value));
                };
                self.candidate_resolutions.clone_from(pairs);
            }
            "max_images_tiled" => self.max_images_tiled = count("max_images_tiled", value)?,
            "patch_size" => self.patch_size = count("patch_size", value)?,
            "downsample_ratio" => self.downsample_ratio = count("downsample_ratio", value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn options(&self, options: &mut Options) {
        options.extend([
            ("candidate_resolutions", Value::Pairs(self.candidate_resolutions.clone())),
            ("max_images_tiled", Value::Int(self.max_images_tiled as i64)),
            ("patch_size", Value::Int(self.patch_size as i64)),
            ("downsample_ratio", Value::Int(self.downsample_ratio as i64)),
        ]);
    }

    fn check(&self) -> Result<()> {
        let tile = self.tile();
        let fits = |side: usize| side > 0 && side < 1 << 31 && side.is_multiple_of(tile);
        let good = tile > 0 && self.candidate_resolutions.iter().all(|&(w, h)| fits(w) && fits(h));
        let given = Value::Pairs(self.candidate_resolutions.clone());
        let rule = "a list of (width, height), all multiples of the first width";
        if good { Ok(()) } else { Err(wrong("candidate_resolutions", rule, &given)) }
    }
}

impl PadSquare {
    fn set(&mut self, name: &str, value: &Value) -> Result<bool> {
        match (name, &mut self.high_res) {
            ("image_size", _) => self.image_size = count("image_size", value)?,
            ("min_size", _) => self.min_size = count("min_size", value)?,
            ("do_pad", _) => self.do_pad = flag("do_pad", value)?,
            ("patch_size", _) => self.patch_size = count("patch_size", value)?,
            ("background_color", _) => {
                self.background_color = Some(colour("background_color", value)?);
            }
            ("high_res_background_color", Some(high)) => {
                high.background_color = Some(colour("high_res_background_color", value)?);
            }
            ("high_res_image_size", Some(high)) => {
                high.image_size = count("high_res_image_size", value)?;
            }
            ("high_res_resample", Some(high)) => {
                high.resample = Filter::parse(text("high_res_resample", value)?)?;
            }
            ("high_res_image_mean", Some(high)) => {
                high.image_mean = triple("high_res_image_mean", value)?;
            }
            ("high_res_image_std", Some(high)) => {
                high.image_std = deviation("high_res_image_std", value)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn options(&self, mean: [f64; 3], options: &mut Options) {
        options.extend([
            ("background_color", colour_value(self.background_color, mean)),
            ("image_size", Value::Int(self.image_size as i64)),
            ("min_size", Value::Int(self.min_size as i64)),
            ("do_pad", Value::Bool(self.do_pad)),
            ("patch_size", Value::Int(self.patch_size as i64)),
        ]);
        if let Some(high) = &self.high_res {
            options.extend([
                ("high_res_image_size", Value::Int(high.image_size as i64)),
                ("high_res_resample", Value::Text(high.resample.name().into())),
                ("high_res_image_mean", Value::Triple(high.image_mean)),
                ("high_res_image_std", Value::Triple(high.image_std)),
                ("high_res_background_color", colour_value(high.background_color, high.image_mean)),
            ]);
        }
    }
}

//! The table of families: data only. A new family that uses known rules is one entry here.

use crate::error::{Error, Result};
use crate::resample::{Filter, Numerics};
use crate::sizing::RatioOrder;
use crate::spec::{
    AspectGrid, BestCanvas, Coords, FrameBudget, HighRes, MultiImage, PadSquare, Rule, Sampling,
    SmartResize, Spec, Video,
};

/// How upstream's own code turns what is not RGB into RGB. The facade acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convert {
    /// transformers: alpha composited on white, grey repeated.
    Transformers,
    /// `Image.convert("RGB")`: alpha dropped.
    Original,
    /// Not at all: three channels or an error.
    Never,
}

impl Convert {
    /// Its name in Python.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transformers => "transformers",
            Self::Original => "original",
            Self::Never => "none",
        }
    }
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Family {
    /// The name it is asked for by.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// Conversion to RGB.
    pub convert: Convert,
    /// Its options as released checkpoints have them.
    pub spec: Spec,
    /// The same for videos, where it has any.
    pub video: Option<Spec>,
}

const CLIP_MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];
const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];
const HALF: [f64; 3] = [0.5, 0.5, 0.5];

/// Pillow refuses files above this many pixels.
const MAX_IMAGE_PIXELS: u64 = 178_956_970;

/// DeepSeek-VL2's canvases as (width, height), in the order of its released file.
const DEEPSEEK_VL2_CANVASES: [(usize, usize); 23] = [
    (384, 384),
    (384, 768),
    (768, 384),
    (384, 1152),
    (1152, 384),
    (384, 1536),
    (1536, 384),
    (768, 768),
    (384, 1920),
    (1920, 384),
    (384, 2304),
    (2304, 384),
    (768, 1152),
    (1152, 768),
    (384, 2688),
    (2688, 384),
    (384, 3072),
    (3072, 384),
    (768, 1536),
    (1536, 768),
    (384, 3456),
    (3456, 384),
    (1152, 1152),
];

const QWEN2_VL: SmartResize = SmartResize {
    patch_size: 14,
    merge_size: 2,
    temporal_patch_size: 2,
    min_pixels: 3136,
    max_pixels: 12_845_056,
};

const QWEN3_VL: SmartResize =
    SmartResize { patch_size: 16, min_pixels: 65_536, max_pixels: 16_777_216, ..QWEN2_VL };

const QWEN2_VIDEO: Video = Video {
    patches: SmartResize { min_pixels: 100_352, max_pixels: 602_112, ..QWEN2_VL },
    budget: FrameBudget::Frame,
    cap_pixels_per_frame: false,
    max_video_tokens: 128_000,
    total_pixels: None,
    model_seq_len: 128_000,
    sampling: Sampling::Arange,
    do_sample_frames: false,
    fps: None,
    num_frames: None,
    min_frames: 4,
    max_frames: 768,
    video_start: None,
    video_end: None,
};

const QWEN3_VIDEO: Video = Video {
    patches: SmartResize { min_pixels: 4096, max_pixels: 25_165_824, ..QWEN3_VL },
    budget: FrameBudget::Video,
    max_video_tokens: 768,
    sampling: Sampling::Linspace,
    do_sample_frames: true,
    fps: Some(2.0),
    ..QWEN2_VIDEO
};

const INTERNVL: AspectGrid = AspectGrid {
    image_size: (448, 448),
    min_num: 1,
    max_num: 12,
    use_thumbnail: true,
    crop_to_patches: true,
    multi_image: MultiImage::Full,
    order: RatioOrder::Set,
    patch_size: 14,
    downsample_ratio: 0.5,
};

/// Its encoder's 64 x 64 patches pass two convolutions of stride 2: 16 x 16 tokens.
const GOT_OCR2: AspectGrid = AspectGrid {
    image_size: (1024, 1024),
    crop_to_patches: false,
    order: RatioOrder::Columns,
    patch_size: 16,
    downsample_ratio: 0.25,
    ..INTERNVL
};

const DEEPSEEK_VL: PadSquare = PadSquare {
    image_size: 384,
    high_res: None,
    min_size: 14,
    do_pad: true,
    background_color: None,
    patch_size: 16,
};

fn spec(
    family: &'static str,
    rule: Rule,
    numerics: Numerics,
    mean: [f64; 3],
    std: [f64; 3],
) -> Spec {
    Spec {
        family,
        rule,
        resample: Filter::Bicubic,
        numerics,
        do_resize: true,
        do_rescale: true,
        rescale_factor: 1.0 / 255.0,
        do_normalize: true,
        image_mean: mean,
        image_std: std,
        max_image_pixels: MAX_IMAGE_PIXELS,
        coords: Coords::Norm1000,
    }
}

/// Every family. The Pillow that `Numerics::Pillow13` stands for here is replaced by the installed one's rule.
#[must_use]
#[expect(clippy::too_many_lines, reason = "a table")]
pub fn all() -> Vec<Family> {
    use Numerics::{Pillow13, Torchvision};
    let qwen =
        |name, aliases, image: SmartResize, video: Video, mean_std: [[f64; 3]; 2], coords| {
            let [mean, std] = mean_std;
            let of = |rule| Spec { coords, ..spec(name, rule, Torchvision, mean, std) };
            Family {
                name,
                aliases,
                convert: Convert::Transformers,
                spec: of(Rule::SmartResize(image)),
                video: Some(of(Rule::Video(video))),
            }
        };
    let (clip, half) = ([CLIP_MEAN, CLIP_STD], [HALF, HALF]);
    let (norm, resized) = (Coords::Norm1000, Coords::Resized);
    let two_and_a_half: &[_] = &["qwen2_5_vl", "qwen2-5-vl"];
    vec![
        qwen("qwen2-vl", &["qwen2_vl"], QWEN2_VL, QWEN2_VIDEO, clip, norm),
        qwen("qwen2.5-vl", two_and_a_half, QWEN2_VL, QWEN2_VIDEO, clip, resized),
        qwen("qwen3-vl", &["qwen3_vl"], QWEN3_VL, QWEN3_VIDEO, half, norm),
        Family {
            name: "internvl",
            aliases: &["internvl2", "internvl2.5", "internvl3", "internvl_chat"],
            convert: Convert::Original,
            spec: spec(
                "internvl",
                Rule::AspectGrid(INTERNVL),
                Pillow13,
                IMAGENET_MEAN,
                IMAGENET_STD,
            ),
            video: None,
        },
        Family {
            name: "internvl-hf",
            aliases: &["internvl_hf"],
            convert: Convert::Transformers,
            spec: spec(
                "internvl-hf",
                Rule::AspectGrid(AspectGrid { order: RatioOrder::Columns, ..INTERNVL }),
                Torchvision,
                IMAGENET_MEAN,
                IMAGENET_STD,
            ),
            video: None,
        },
        Family {
            name: "got-ocr2",
            aliases: &["got_ocr2"],
            convert: Convert::Transformers,
            spec: spec("got-ocr2", Rule::AspectGrid(GOT_OCR2), Torchvision, CLIP_MEAN, CLIP_STD),
            video: None,
        },
        Family {
            name: "deepseek-vl2",
            aliases: &["deepseek_vl2", "deepseek_vl_v2"],
            convert: Convert::Original,
            spec: Spec {
                coords: Coords::Norm999,
                ..spec(
                    "deepseek-vl2",
                    Rule::BestCanvas(BestCanvas {
                        candidate_resolutions: DEEPSEEK_VL2_CANVASES.to_vec(),
                        max_images_tiled: 2,
                        patch_size: 14,
                        downsample_ratio: 2,
                    }),
                    Pillow13,
                    HALF,
                    HALF,
                )
            },
            video: None,
        },
        Family {
            name: "deepseek-vl",
            aliases: &["deepseek_vl"],
            convert: Convert::Never,
            spec: spec(
                "deepseek-vl",
                Rule::PadSquare(DEEPSEEK_VL),
                Torchvision,
                CLIP_MEAN,
                CLIP_STD,
            ),
            video: None,
        },
        Family {
            name: "deepseek-vl-hybrid",
            aliases: &["deepseek_vl_hybrid"],
            convert: Convert::Never,
            spec: spec(
                "deepseek-vl-hybrid",
                Rule::PadSquare(PadSquare {
                    high_res: Some(HighRes {
                        image_size: 1024,
                        resample: Filter::Bicubic,
                        image_mean: CLIP_MEAN,
                        image_std: CLIP_STD,
                        background_color: None,
                    }),
                    ..DEEPSEEK_VL
                }),
                Torchvision,
                CLIP_MEAN,
                CLIP_STD,
            ),
            video: None,
        },
    ]
}

/// The family of that name or alias.
///
/// # Errors
/// `Unknown`.
pub fn find(name: &str) -> Result<Family> {
    let families = all();
    let known = families.iter().map(|family| family.name).collect();
    families
        .into_iter()
        .find(|family| family.name == name || family.aliases.contains(&name))
        .ok_or_else(|| Error::Unknown { what: "family", given: name.into(), known })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_specs_hold() {
        let mut names: Vec<&str> = Vec::new();
        for family in all() {
            assert_eq!(family.name, family.spec.family);
            names.push(family.name);
            names.extend(family.aliases);
            assert_eq!(family.spec.check(), Ok(()));
            if let Some(video) = family.video {
                assert_eq!(family.name, video.family);
                assert_eq!(video.check(), Ok(()));
            }
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a name or alias stands for two families");
    }

    #[test]
    fn options_round_trip() {
        for family in all() {
            for spec in [Some(family.spec), family.video].into_iter().flatten() {
                let mut copy = spec.clone();
                for (name, value) in spec.options() {
                    assert_eq!(copy.set(name, &value), Ok(()), "{name}");
                }
                assert_eq!(copy.options(), spec.options());
            }
        }
    }
}

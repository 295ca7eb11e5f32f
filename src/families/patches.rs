//! Families that cut patches.

use super::{AREAS, CLIP, Family, HALF, Video, common};
use crate::plan::{Inside, Role};
use crate::resample::Numerics;
use crate::spec::{
    ArraySpec, Backends, Common, Coords, CutSpec, FactSpec, MeanStd, Part, Preset, Recipe, Sign,
    Spec, TokenSpec, Upstream, ViewSpec, What,
};
use crate::strategy::{FrameBudget, Frames, PixelBudget, Sampling, Strategy};

/// Patches merge block by merge block, and the grid of each image.
const PATCHES: Recipe = Recipe {
    views: &[ViewSpec::patches(CutSpec::Patches { inside: Inside::Ctpp })],
    arrays: &[ArraySpec::PIXEL_VALUES],
    facts: &[grid_thw("image_grid_thw")],
    tokens: TokenSpec { parts: &[Part::Units(Role::Whole)] },
    arithmetic: None,
};

/// The same of videos.
const VIDEO_PATCHES: Recipe = Recipe {
    arrays: &[ArraySpec::concatenated("pixel_values_videos")],
    facts: &[grid_thw("video_grid_thw")],
    ..PATCHES
};

const fn grid_thw(key: &'static str) -> FactSpec {
    FactSpec::row(key, What::GridThw)
}

/// Defaults of `Qwen2VLImageProcessor` beside the preset of any family that has it.
const QWEN2: &[(&str, Preset)] = &[
    ("patch_size", Preset::Int(14)),
    ("min_pixels", Preset::Int(3136)),
    ("max_pixels", Preset::Int(1_003_520)),
    ("image_mean", Preset::Numbers(&CLIP.0)),
    ("image_std", Preset::Numbers(&CLIP.1)),
];

/// Defaults of `Qwen2VLVideoProcessor`, likewise.
const QWEN2_VIDEO: &[(&str, Preset)] = &[
    ("patch_size", Preset::Int(14)),
    ("image_mean", Preset::Numbers(&CLIP.0)),
    ("image_std", Preset::Numbers(&CLIP.1)),
    ("min_pixels", Preset::Int(100_352)),
    ("max_pixels", Preset::Int(602_112)),
    ("budget", Preset::Text("frame")),
    ("max_video_tokens", Preset::Int(128_000)),
    ("sampling", Preset::Text("arange")),
    ("do_sample_frames", Preset::Bool(false)),
    ("fps", Preset::Nothing),
];

/// Defaults of `Qwen3VLVideoProcessor`, likewise.
const QWEN3_VIDEO: &[(&str, Preset)] = &[
    ("patch_size", Preset::Int(16)),
    ("image_mean", Preset::Numbers(&HALF.0)),
    ("image_std", Preset::Numbers(&HALF.1)),
    ("min_pixels", Preset::Int(131_072)),
    ("max_pixels", Preset::Int(786_432)),
    ("budget", Preset::Text("video")),
    ("max_video_tokens", Preset::Int(768)),
    ("sampling", Preset::Text("linspace")),
    ("do_sample_frames", Preset::Bool(true)),
    ("fps", Preset::Float(2.0)),
];

/// The classes of Qwen2-VL, for images and for videos.
const fn both(
    model_types: &'static [&'static str],
    processors: &'static [&'static str],
    sign: Sign,
) -> (Upstream, Upstream) {
    let image = Upstream {
        processors,
        sign,
        defaults: QWEN2,
        ..Upstream::of("Qwen2VLImageProcessor", model_types)
    };
    let video = Upstream {
        class: "Qwen2VLVideoProcessor",
        backends: Backends::Torchvision,
        sign: Sign::None,
        defaults: QWEN2_VIDEO,
        ..image
    };
    (image, video)
}

fn qwen(
    family: &'static str,
    aliases: &'static [&'static str],
    image: PixelBudget,
    video: Frames,
    values: MeanStd,
    coords: Coords,
    upstream: (Upstream, Upstream),
) -> Family {
    let of = |strategy, recipe| Spec {
        family,
        strategy,
        common: Common { coords, ..common(values) },
        numerics: Numerics::Torchvision,
        recipe,
    };
    Family {
        aliases,
        keys: &[AREAS],
        upstream: Some(upstream.0),
        video: Some(Video {
            spec: of(Strategy::Frames(video), VIDEO_PATCHES),
            keys: &[AREAS],
            upstream: Some(upstream.1),
        }),
        ..Family::of(of(Strategy::PixelBudget(image), PATCHES))
    }
}

pub(super) fn families() -> Vec<Family> {
    let qwen3 = PixelBudget {
        patch_size: 16,
        min_pixels: 65_536,
        max_pixels: 16_777_216,
        ..PixelBudget::default()
    };
    let qwen3_video = Frames {
        patch_size: 16,
        min_pixels: 4096,
        max_pixels: 25_165_824,
        budget: FrameBudget::Video,
        max_video_tokens: 768,
        sampling: Sampling::Linspace,
        do_sample_frames: true,
        fps: Some(2.0),
        ..Frames::default()
    };
    let (norm, resized) = (Coords::Norm1000, Coords::Resized);
    let (image, video) = (PixelBudget::default(), Frames::default());
    vec![
        qwen(
            "qwen2-vl",
            &["qwen2_vl"],
            image.clone(),
            video.clone(),
            CLIP,
            norm,
            both(&["qwen2_vl"], &["Qwen2VLProcessor"], Sign::None),
        ),
        qwen(
            "qwen2.5-vl",
            &["qwen2_5_vl", "qwen2-5-vl"],
            image,
            video,
            CLIP,
            resized,
            both(
                &["qwen2_5_vl", "qwen2_5_omni"],
                &["Qwen2_5_VLProcessor", "Qwen2_5OmniProcessor"],
                Sign::None,
            ),
        ),
        {
            let model_types =
                &["qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "qwen3_omni_moe"];
            let processors = &["Qwen3VLProcessor", "Qwen3OmniMoeProcessor"];
            let sign = Sign::Equals("patch_size", 16);
            let (image, _) = both(model_types, processors, sign);
            let video = Upstream {
                defaults: QWEN3_VIDEO,
                sign: Sign::None,
                class: "Qwen3VLVideoProcessor",
                ..image
            };
            qwen("qwen3-vl", &["qwen3_vl"], qwen3, qwen3_video, HALF, norm, (image, video))
        },
    ]
}

//! Families that cut patches.

use super::{CLIP, Family, HALF, common};
use crate::plan::{Inside, Role};
use crate::resample::Numerics;
use crate::spec::{
    ArraySpec, Common, Coords, CutSpec, FactSpec, MeanStd, Part, Recipe, Spec, TokenSpec, ViewSpec,
    What,
};
use crate::strategy::{FrameBudget, Frames, PixelBudget, Sampling, Strategy};

/// Patches merge block by merge block, and the grid of each image.
const PATCHES: Recipe = Recipe {
    views: &[ViewSpec::patches(CutSpec::Patches { inside: Inside::Ctpp })],
    arrays: &[ArraySpec::PIXEL_VALUES],
    facts: &[grid_thw("image_grid_thw")],
    tokens: TokenSpec { parts: &[Part::Units(Role::Whole)] },
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

fn qwen(
    family: &'static str,
    aliases: &'static [&'static str],
    image: PixelBudget,
    video: Frames,
    values: MeanStd,
    coords: Coords,
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
        video: Some(of(Strategy::Frames(video), VIDEO_PATCHES)),
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
        qwen("qwen2-vl", &["qwen2_vl"], image.clone(), video.clone(), CLIP, norm),
        qwen("qwen2.5-vl", &["qwen2_5_vl", "qwen2-5-vl"], image, video, CLIP, resized),
        qwen("qwen3-vl", &["qwen3_vl"], qwen3, qwen3_video, HALF, norm),
    ]
}

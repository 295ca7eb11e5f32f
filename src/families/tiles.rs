//! Families of transformers that cut tiles, or pad to squares.

use super::originals::TILES;
use super::{CLIP, Family, IMAGENET, TILE_KEYS, common, prompts};
use crate::plan::Role;
use crate::resample::Numerics;
use crate::spec::{
    ArraySpec, Convert, Counts, Key, Part, Preset, Prompt, Recipe, Sign, Spec, TokenSpec, Upstream,
    ViewSpec, Word,
};
use crate::strategy::{AspectGrid, HybridSquare, PadSquare, Strategy};

/// One square.
const SQUARE: Recipe = Recipe {
    views: &[ViewSpec::tiles(Role::Whole)],
    arrays: &[ArraySpec::PIXEL_VALUES],
    facts: &[],
    tokens: TokenSpec::of(&[Part::Units(Role::Whole)]),
    arithmetic: None,
    lacks: &[],
    has: &[],
};

/// A square, and the larger one that it is made from.
const TWO_SQUARES: Recipe = Recipe {
    views: &[ViewSpec::tiles(Role::Whole), ViewSpec::tiles(Role::HighRes).in_array(1, 1)],
    arrays: &[ArraySpec::PIXEL_VALUES, ArraySpec::concatenated("high_res_pixel_values")],
    ..SQUARE
};

/// The class that InternVL's HF form, Aya and GOT-OCR2 share. Tiles of InternVL (448) and of Aya (364) hold whole tokens
/// of 28 pixels, those of GOT-OCR2 tokens of 64.
const GOT_OCR2: Upstream = Upstream {
    defaults: &[
        ("image_mean", Preset::Numbers(&CLIP.0)),
        ("image_std", Preset::Numbers(&CLIP.1)),
        ("image_size", Preset::Int(384)),
        ("crop_to_patches", Preset::Bool(false)),
    ],
    ..Upstream::of("GotOcr2ImageProcessor", &["internvl"])
};

const GOT_OCR2_KEYS: &[Key] =
    &[TILE_KEYS[0], TILE_KEYS[1], TILE_KEYS[2], Key::Counted("patch_size", "image_size")];

pub(super) fn families() -> Vec<Family> {
    vec![
        Family {
            aliases: &["internvl_hf"],
            markers: 2,
            keys: GOT_OCR2_KEYS,
            upstream: Some(Upstream {
                processors: &["InternVLProcessor"],
                sign: Sign::Multiple("size", 28),
                ..GOT_OCR2
            }),
            ..Family::of(Spec {
                family: "internvl-hf",
                strategy: Strategy::AspectGrid(AspectGrid::default()),
                common: common(IMAGENET),
                numerics: Numerics::Torchvision,
                recipe: TILES,
            })
            .says(prompts::INTERNVL)
        },
        Family {
            aliases: &["got_ocr2"],
            keys: GOT_OCR2_KEYS,
            upstream: Some(Upstream {
                model_types: &["got_ocr2"],
                processors: &["GotOcr2Processor"],
                ..GOT_OCR2
            }),
            ..Family::of(Spec {
                family: "got-ocr2",
                // Its encoder's 64 x 64 patches pass two convolutions of stride 2: 16 x 16 tokens.
                strategy: Strategy::AspectGrid(AspectGrid {
                    image_size: (1024, 1024),
                    crop_to_patches: false,
                    patch_size: 16,
                    downsample_ratio: 0.25,
                    ..AspectGrid::default()
                }),
                common: common(CLIP),
                numerics: Numerics::Torchvision,
                recipe: TILES,
            })
            .says(Prompt::of(&[Word::Tokens("<imgpad>")]))
        },
        Family {
            aliases: &["deepseek_vl"],
            convert: Convert::Never,
            keys: &[Key::Square("size", "image_size"), Key::Derived("background_color")],
            upstream: Some(Upstream::of("DeepseekVLImageProcessor", &["deepseek_vl"])),
            ..Family::of(Spec {
                family: "deepseek-vl",
                strategy: Strategy::PadSquare(PadSquare::default()),
                common: common(CLIP),
                numerics: Numerics::Torchvision,
                recipe: SQUARE,
            })
            .says(Prompt::of(&[Word::Tokens("<image_placeholder>")]).counting(Counts::One))
        },
        Family {
            aliases: &["deepseek_vl_hybrid"],
            convert: Convert::Never,
            keys: &[
                Key::Square("size", "image_size"),
                Key::Square("high_res_size", "high_res_image_size"),
                Key::Derived("background_color"),
                Key::Derived("high_res_background_color"),
            ],
            upstream: Some(Upstream::of("DeepseekVLHybridImageProcessor", &["deepseek_vl_hybrid"])),
            ..Family::of(Spec {
                family: "deepseek-vl-hybrid",
                strategy: Strategy::HybridSquare(HybridSquare {
                    high_res_image_mean: CLIP.0,
                    high_res_image_std: CLIP.1,
                    ..HybridSquare::default()
                }),
                common: common(CLIP),
                numerics: Numerics::Torchvision,
                recipe: TWO_SQUARES,
            })
            .says(Prompt::of(&[Word::Tokens("<image_placeholder>")]).counting(Counts::One))
        },
    ]
}

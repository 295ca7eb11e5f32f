//! Families whose released models bring their own code along, and that transformers does not have.

use super::patches::{PATCHES, RASTER, grid_thw};
use super::views::STRIP;
use super::{CLIP, Family, HALF, common, prompts};
use crate::plan::Role;
use crate::resample::{Filter, Numerics};
use crate::spec::{
    ArraySpec, Backends, Common, Convert, FactSpec, Form, Key, MeanStd, Part, Preset, Prompt,
    Recipe, Spec, TokenSpec, Upstream, What, Word,
};
use crate::strategy::{PixelBudget, Slices, Small, Strategy, TokenLimit};

fn family(
    name: &'static str,
    strategy: Strategy,
    values: MeanStd,
    recipe: Recipe,
    keys: &'static [Key],
    remote: Upstream,
) -> Family {
    Family {
        convert: Convert::Original,
        keys,
        remote: Some(Upstream { backends: Backends::Pillow, ..remote }),
        ..Family::of(Spec {
            family: name,
            strategy,
            common: Common { resample: Filter::Bicubic, ..common(values) },
            numerics: Numerics::Pillow13,
            recipe,
        })
    }
}

/// MiniCPM-V's recipe before it came to transformers: a strip a view.
const STRIPS: Recipe = Recipe {
    views: STRIP.views,
    arrays: &[ArraySpec::PIXEL_VALUES.in_strips()],
    facts: &[
        FactSpec::row("image_sizes", What::WidthHeight).in_form(Form::SampleRows(2)),
        FactSpec::row("tgt_sizes", What::ViewGrids).in_form(Form::SampleArrays(2)),
    ],
    tokens: TokenSpec::of(&[Part::Pooled(Role::Whole), Part::Pooled(Role::Crop)]),
    lacks: &["downsample_mode", "small_image_upsize"],
    ..STRIP
};

/// The same with the times of views, of which images have none.
const TIMED: Recipe = Recipe {
    facts: &[
        STRIPS.facts[0],
        STRIPS.facts[1],
        FactSpec::row("temporal_ids", What::Timeless(0)).in_form(Form::SampleRows(1)),
        FactSpec::row("skip_image_idx", What::Empty).in_form(Form::SampleLists),
    ],
    ..STRIPS
};

/// How MiniCPM-V's files name options, and tokens that its processor puts into the text.
const MINICPM: &[Key] = &[
    Key::Alias("norm_mean", "image_mean"),
    Key::Alias("norm_std", "image_std"),
    Key::Ignore("use_image_id"),
    Key::Ignore("im_start"),
    Key::Ignore("im_end"),
    Key::Ignore("im_start_token"),
    Key::Ignore("im_end_token"),
    Key::Ignore("slice_start"),
    Key::Ignore("slice_end"),
    Key::Ignore("slice_start_token"),
    Key::Ignore("slice_end_token"),
    Key::Ignore("unk"),
    Key::Ignore("unk_token"),
    Key::Ignore("im_id_start"),
    Key::Ignore("im_id_end"),
    Key::Ignore("version"),
];

pub(super) fn families() -> Vec<Family> {
    let slices =
        Slices { image_feature_size: Some(64), keeps: true, original: true, ..Slices::default() };
    vec![
        Family {
            aliases: &["minicpmv", "minicpmo", "minicpm-o-2.6"],
            ..family(
                "minicpm-v2.6",
                Strategy::Slices(slices.clone()),
                HALF,
                STRIPS,
                MINICPM,
                Upstream::of("MiniCPMVImageProcessor", &["minicpmv", "minicpmo"]),
            )
            .says(prompts::MINICPM_OWN)
        },
        family(
            "minicpm-v4.5",
            Strategy::Slices(slices),
            HALF,
            TIMED,
            MINICPM,
            // Its file is that of 2.6: the model's config says which it is.
            Upstream::of("MiniCPMVImageProcessor", &["minicpmv-4.5"]),
        )
        .says(prompts::MINICPM_OWN),
        Family {
            aliases: &["kimi_vl"],
            ..family(
                "kimi-vl",
                Strategy::TokenLimit(TokenLimit { pad_input: true, ..TokenLimit::default() }),
                HALF,
                Recipe {
                    arrays: const { &[ArraySpec::PIXEL_VALUES.with_axes()] },
                    facts: const { &[FactSpec::row("image_grid_hws", What::RowsColumns)] },
                    ..RASTER
                },
                const {
                    &[
                        Key::Square("merge_kernel_size", "merge_size"),
                        Key::Ignore("num_pooled_tokens"),
                    ]
                },
                Upstream {
                    defaults: const {
                        &[
                            ("pad_input", Preset::Bool(false)),
                            ("image_mean", Preset::Numbers(&CLIP.0)),
                            ("image_std", Preset::Numbers(&CLIP.1)),
                        ]
                    },
                    ..Upstream::of("KimiVLImageProcessor", &["kimi_vl"])
                },
            )
            .says(Prompt::of(&[Word::Tokens("<|media_pad|>")]))
        },
        Family {
            aliases: &["ovis2_5"],
            ..family(
                "ovis2.5",
                Strategy::PixelBudget(PixelBudget {
                    patch_size: 16,
                    temporal_patch_size: 1,
                    min_pixels: 448 * 448,
                    max_pixels: 1792 * 1792,
                    small: Small::Clamp,
                    ..PixelBudget::default()
                }),
                HALF,
                Recipe {
                    arrays: const { &[ArraySpec::PIXEL_VALUES] },
                    facts: const { &[grid_thw("grid_thws")] },
                    ..PATCHES
                },
                // The file is that of a fixed-size encoder, whose size the model's own code goes over.
                const { &[Key::Ignore("size"), Key::Alias("hidden_stride", "merge_size")] },
                Upstream::of("SiglipImageProcessor", &["ovis2_5"]),
            )
            .says(prompts::OVIS25)
        },
    ]
}

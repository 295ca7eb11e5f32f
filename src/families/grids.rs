//! Families of transformers that cut patches by rules of their own: numbers of patches or tokens, edges, padded grids.

use super::{AREAS, CLIP, Family, HALF, common, prompts};
use crate::pack::Standardise;
use crate::plan::{First, Floats, Inside, Role};
use crate::resample::{Filter, Numerics};
use crate::spec::{
    ArraySpec, Backends, Common, Convert, Counts, CutSpec, FactSpec, Form, Group, Key, MeanStd,
    Number, Part, Per, Preset, Prompt, Recipe, Rows, Spec, TokenSpec, Upstream, ViewSpec, What,
    Word,
};
use crate::strategy::{
    EdgeRange, GridPatches, NaFlex, NumberedPatches, PatchLimit, PatchRange, PixelRange,
    SoftTokens, Strategy, TiledPatches, TokenCap, TokenRange,
};

const fn raster(inside: Inside) -> ViewSpec {
    ViewSpec::patches(CutSpec::RasterPatches { inside })
}

/// Patches row by row as (row, column, channel), those of all images one after the other.
const RASTER: Recipe = Recipe {
    views: &[raster(Inside::Tppc), ViewSpec::STEP],
    arrays: &[ArraySpec::PIXEL_VALUES],
    facts: &[],
    tokens: TokenSpec::of(&[Part::Units(Role::Whole)]),
    arithmetic: None,
    lacks: &[],
    has: &[],
};

const GRID_THW: FactSpec = FactSpec::row("image_grid_thw", What::GridThw);
const GRID_HW: FactSpec = FactSpec::row("image_grid_hw", What::RowsColumns);

/// Patches merge block by merge block.
const BLOCKS: Recipe = Recipe {
    views: &[ViewSpec::patches(CutSpec::Patches { inside: Inside::Ctpp })],
    arrays: &[ArraySpec::PIXEL_VALUES.as_floats(Backends::Pillow)],
    facts: &[GRID_THW],
    ..RASTER
};

/// As many rows an image as there may be.
const LIMITED: ArraySpec = ArraySpec::PIXEL_VALUES.stacked(Group::Image, Rows::Limit);

const SIGLIP2: Recipe = Recipe {
    arrays: &[LIMITED],
    facts: &[MASK, FactSpec::row("spatial_shapes", What::RowsColumns)],
    ..RASTER
};

/// True where a row of the first array is a patch.
const MASK: FactSpec =
    FactSpec::row("pixel_attention_mask", What::Mask { of: 0, per: Per::Row }).of(Number::Int32);

const GEMMA4: Recipe = Recipe {
    arrays: &[LIMITED],
    facts: &[
        FactSpec::row("image_position_ids", What::Positions(0)),
        FactSpec::scalar("num_soft_tokens_per_image", What::Tokens),
    ],
    ..RASTER
};

const LFM2: Recipe = Recipe {
    views: &[
        raster(Inside::Tppc),
        raster(Inside::Tppc).of(Role::Crop),
        raster(Inside::Tppc).of(Role::Thumbnail),
        ViewSpec::STEP,
    ],
    arrays: &[ArraySpec::PIXEL_VALUES.stacked(Group::View, Rows::Limit)],
    facts: &[
        MASK.only_if("do_pad"),
        FactSpec::row("spatial_shapes", What::ViewGrids).in_form(Form::Rows(2)).only_if("do_pad"),
        FactSpec::scalar("image_rows", What::TileRows).only_if("return_row_col_info"),
        FactSpec::scalar("image_cols", What::TileColumns).only_if("return_row_col_info"),
        FactSpec::row("image_sizes", What::LastResized).only_if("return_row_col_info"),
    ],
    tokens: TokenSpec::of(&[
        Part::Units(Role::Whole),
        Part::Units(Role::Crop),
        Part::Units(Role::Thumbnail),
    ]),
    ..RASTER
};

/// Around the image stands -1, on the scale of bytes.
const MINUS_ONE: Floats = Floats { outside: Some(-1), ..Floats::KEPT };

const INKLING: Recipe = Recipe {
    views: &[raster(Inside::Tppc).in_floats(MINUS_ONE), ViewSpec::STEP],
    arrays: &[ArraySpec::PIXEL_VALUES.with_axes()],
    facts: &[FactSpec::scalar("num_patches", What::RowCount(0))],
    ..RASTER
};

/// Rows that begin with their places, of values with their own mean and deviation.
const fn standardised(rule: Standardise) -> ViewSpec {
    raster(Inside::Numbered).in_floats(Floats { first: First::Standardise(rule), ..Floats::KEPT })
}

const FLATTENED: ArraySpec = ArraySpec { key: "flattened_patches", ..LIMITED };
const ATTENTION: FactSpec =
    FactSpec::row("attention_mask", What::Mask { of: 0, per: Per::Row }).of(Number::Float32);

const PIX2STRUCT: Recipe = Recipe {
    views: &[standardised(Standardise::TorchDouble)],
    arrays: &[FLATTENED],
    facts: &[ATTENTION],
    lacks: &["do_resize", "resample", "do_rescale", "rescale_factor", "image_mean", "image_std"],
    ..RASTER
};

const KOSMOS25: Recipe = Recipe {
    tokens: TokenSpec::of(&[Part::Image(2048)]),
    views: &[standardised(Standardise::TorchSingle), ViewSpec::STEP.by_torch()],
    facts: &[
        ATTENTION,
        FactSpec::scalar("width", What::Width),
        FactSpec::scalar("height", What::Height),
        FactSpec::scalar("rows", What::Rows),
        FactSpec::scalar("cols", What::Columns),
    ],
    ..PIX2STRUCT
};

/// What `Pix2Struct` and Kosmos-2.5 read of a file and do not use.
const FLATTENED_KEYS: &[Key] = &[
    Key::Square("patch_size", "patch_size"),
    Key::Must("is_vqa", Preset::Bool(false)),
    Key::Ignore("do_resize"),
    Key::Ignore("resample"),
    Key::Ignore("do_rescale"),
    Key::Ignore("rescale_factor"),
    Key::Ignore("image_mean"),
    Key::Ignore("image_std"),
];

fn family(
    family: &'static str,
    strategy: Strategy,
    filter: Filter,
    values: MeanStd,
    recipe: Recipe,
    upstream: Upstream,
) -> Family {
    Family {
        upstream: Some(upstream),
        ..Family::of(Spec {
            family,
            strategy,
            common: Common { resample: filter, ..common(values) },
            numerics: Numerics::Torchvision,
            recipe,
        })
    }
}

/// A class that neither rescales nor knows a filter, and standardises.
fn standardising(
    name: &'static str,
    strategy: NumberedPatches,
    recipe: Recipe,
    upstream: Upstream,
) -> Family {
    let strategy = Strategy::NumberedPatches(strategy);
    let made = family(name, strategy, Filter::Bilinear, HALF, recipe, upstream);
    let common = Common { do_rescale: false, ..made.spec.common };
    Family { keys: FLATTENED_KEYS, spec: Spec { common, ..made.spec }, ..made }
}

/// A class that scales bytes to 0 to 1 and does not normalise.
fn unnormalised(family: Family) -> Family {
    let common = Common { do_normalize: false, ..family.spec.common };
    Family { spec: Spec { common, ..family.spec }, ..family }
}

const fn torchvision(class: &'static str, model_types: &'static [&'static str]) -> Upstream {
    Upstream { backends: Backends::Torchvision, ..Upstream::of(class, model_types) }
}

pub(super) fn families() -> Vec<Family> {
    use Filter::{Bicubic, Bilinear, Lanczos};
    let of = Upstream::of;
    let none = ([0.0; 3], [1.0; 3]);
    vec![
        Family {
            convert: Convert::Never,
            ..family(
                "siglip2",
                Strategy::NaFlex(NaFlex::default()),
                Bilinear,
                HALF,
                SIGLIP2,
                of("Siglip2ImageProcessor", &["siglip2"]),
            )
        },
        unnormalised(
            family(
                "gemma4",
                Strategy::SoftTokens(SoftTokens::default()),
                Bicubic,
                none,
                GEMMA4,
                of("Gemma4ImageProcessor", &["gemma4", "embedding_gemma2"]),
            )
            .says(prompts::GEMMA4),
        ),
        unnormalised(
            family(
                "gemma4-unified",
                Strategy::SoftTokens(SoftTokens { merged: true, ..SoftTokens::default() }),
                Bicubic,
                none,
                GEMMA4,
                torchvision("Gemma4UnifiedImageProcessor", &["gemma4_unified"]),
            )
            .says(prompts::GEMMA4),
        ),
        Family {
            keys: &[Key::Dict("size", &[("max_height", "max_height"), ("max_width", "max_width")])],
            ..family(
                "kimi-k25",
                Strategy::PatchLimit(PatchLimit::default()),
                Bicubic,
                HALF,
                Recipe {
                    views: const { &[raster(Inside::Ctpp)] },
                    arrays: const { &[ArraySpec::PIXEL_VALUES.with_axes()] },
                    facts: &[GRID_THW],
                    ..RASTER
                },
                torchvision("Kimi_K25ImageProcessor", &["kimi_k25"]),
            )
            .says(Prompt::of(&[Word::Tokens("<|media_pad|>")]))
        },
        Family {
            keys: &[Key::Dict(
                "size",
                &[("min_pixels", "min_pixels"), ("max_pixels", "max_pixels")],
            )],
            ..family(
                "neomme",
                Strategy::PixelRange(PixelRange::default()),
                Bilinear,
                HALF,
                Recipe {
                    facts: &[GRID_HW],
                    tokens: TokenSpec::of(&[Part::Rows(Role::Whole)]),
                    ..RASTER
                },
                torchvision("NeoMMEImageProcessor", &["neomme"]),
            )
            .says(prompts::NEOMME)
        },
        family(
            "muse-glimmer",
            Strategy::TokenCap(TokenCap::default()),
            Lanczos,
            HALF,
            Recipe { views: const { &[raster(Inside::Tcpp)] }, facts: &[GRID_THW], ..RASTER },
            torchvision("MuseGlimmerImageProcessor", &["muse_glimmer", "muse_spark"]),
        )
        .says(Prompt::of(&[
            Word::Text(("<|image_start|>", 0)),
            Word::Tokens("<|patch|>"),
            Word::Text(("<|image_end|>", 0)),
        ])),
        Family {
            keys: &[Key::Ignore("size")],
            ..family(
                "glm5-next",
                Strategy::TokenRange(TokenRange::default()),
                Bicubic,
                CLIP,
                BLOCKS,
                of("Glm5NextImageProcessor", &["glm5_next"]),
            )
            .says(Prompt::of(&[Word::Tokens("<|image|>")]))
        },
        Family {
            keys: &[AREAS],
            ..family(
                "glm-image",
                Strategy::EdgeRange(EdgeRange::default()),
                Bicubic,
                CLIP,
                BLOCKS,
                of("GlmImageImageProcessor", &["glm_image"]),
            )
            .says(Prompt::of(&[Word::Tokens("<|image|>")]))
        },
        Family {
            convert: Convert::Never,
            keys: &[Key::Ignore("size"), Key::Ignore("max_num_patches"), Key::Ignore("do_resize")],
            ..family(
                "lfm2-vl",
                Strategy::TiledPatches(TiledPatches::default()),
                Bilinear,
                HALF,
                Recipe { lacks: &["do_resize"], ..LFM2 },
                torchvision("Lfm2VlImageProcessor", &["lfm2_vl"]),
            )
            .says(prompts::LFM2)
        },
        Family {
            keys: &[Key::Square("size", "patch_size"), Key::Must("do_resize", Preset::Bool(true))],
            ..family(
                "inkling",
                Strategy::GridPatches(GridPatches::default()),
                Lanczos,
                CLIP,
                INKLING,
                torchvision("InklingImageProcessor", &["inkling", "inkling_mm_model"]),
            )
            .says(Prompt::of(&[Word::Tokens("<|unused_200054|>")]))
        },
        Family {
            convert: Convert::Checkerboard,
            keys: &[Key::Square("size", "patch_size"), Key::Ignore("do_resize")],
            ..family(
                "inkling2",
                Strategy::GridPatches(GridPatches {
                    extra_column: false,
                    frames: 1,
                    ..GridPatches::default()
                }),
                Lanczos,
                HALF,
                Recipe {
                    facts: &[GRID_THW],
                    lacks: &["rescale_image_frac", "rescale_image_max_upscaled_long_edge"],
                    ..INKLING
                },
                torchvision("Inkling2ImageProcessor", &["inkling2", "inkling2_loop"]),
            )
            .says(Prompt::of(&[Word::Tokens("<|unused_200054|>")]))
        },
        Family {
            aliases: &["nemotron_h_omni"],
            keys: &[
                Key::Alias("norm_mean", "image_mean"),
                Key::Alias("norm_std", "image_std"),
                Key::Ignore("_downsample_factor"),
                Key::Ignore("do_resize"),
            ],
            ..family(
                "nemotron-h-omni",
                Strategy::PatchRange(PatchRange::default()),
                Bicubic,
                CLIP,
                Recipe {
                    views: const { &[raster(Inside::Ctpp).in_floats(Floats::KEPT)] },
                    facts: &[GRID_HW],
                    lacks: &["do_resize"],
                    ..RASTER
                },
                torchvision("NemotronH_Omni_Reasoning_V3ImageProcessor", &["nemotron_h_omni"]),
            )
            .says(Prompt::of(&[
                Word::Text(("<img>", 1)),
                Word::Tokens("<image>"),
                Word::Text(("</img>", 1)),
            ]))
        },
        standardising(
            "pix2struct",
            NumberedPatches::default(),
            PIX2STRUCT,
            Upstream { serial: true, ..of("Pix2StructImageProcessor", &["pix2struct"]) },
        ),
        Family {
            aliases: &["kosmos-2.5", "kosmos2_5"],
            ..standardising(
                "kosmos2-5",
                NumberedPatches {
                    max_patches: 4096,
                    must_normalise: true,
                    ..NumberedPatches::default()
                },
                KOSMOS25,
                Upstream {
                    serial: true,
                    ..of("Kosmos2_5ImageProcessor", &["kosmos2_5", "kosmos-2.5"])
                },
            )
            .says(
                Prompt::of(&[
                    Word::Text(("<s><image>", 2)),
                    Word::Tokens("<s>"),
                    Word::Text(("</image>", 1)),
                ])
                .counting(Counts::One),
            )
        },
    ]
}

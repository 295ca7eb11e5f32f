//! Families of transformers that scale an image several times, fit it into a canvas, or cut windows and slices of it.

use super::crops::{VIEWS, also, family, torchvision};
use super::encoders::PICTURE;
use super::{CLIP, Family, HALF, IMAGENET, prompts};
use crate::pack::Arithmetic;
use crate::plan::{Floats, Inside, Lane, Role};
use crate::resample::Filter;
use crate::spec::{
    ArraySpec, Backends, Convert, Counts, CutSpec, FactSpec, Form, Group, Key, Number, Part, Per,
    Preset, Prompt, Recipe, Rows, TokenSpec, Upstream, ViewSpec, What, Word,
};
use crate::strategy::{
    BoxPad, Clamped, Downsample, FitCanvas, FixedSize, LongestEdge, OverlappingCrops, Page,
    PageGrid, Slices, Strategy, Windows,
};

/// The mask of the first array.
const fn mask(key: &'static str, per: Per, number: Number) -> FactSpec {
    FactSpec { number, ..FactSpec::row(key, What::Mask { of: 0, per }) }
}

/// The views of a sample in one row, as many as the largest sample has.
const SAMPLES: ArraySpec = ArraySpec::PIXEL_VALUES.stacked(Group::Sample, Rows::Most);

/// The same where upstream lays them over zeros: in float32 those of torch, and those of numpy that it leaves.
const OVER_ZEROS: ArraySpec =
    SAMPLES.as_floats(Backends::Torchvision).holed_by_floats(Backends::Pillow).filled_if("do_pad");

/// Upstream leaves images as they are where it does not pad, and joins no batch.
const PADS: Key = Key::Must("do_pad", Preset::Bool(true));

/// The mask of what padding leaves of each view; absent where nothing is padded.
const PADDED: FactSpec = mask("pixel_attention_mask", Per::Pixel, Number::Int64).only_if("do_pad");

/// Idefics3's and SmolVLM's recipe.
const SPLIT: Recipe = Recipe {
    arrays: &[OVER_ZEROS],
    facts: &[
        PADDED,
        FactSpec::scalar("rows", What::PartRows)
            .in_form(Form::SampleLists)
            .only_if("return_row_col_info"),
        FactSpec::scalar("cols", What::PartColumns)
            .in_form(Form::SampleLists)
            .only_if("return_row_col_info"),
    ],
    ..VIEWS
};

const SPLIT_KEYS: &[Key] = &[
    Key::Choice(
        "size",
        &[("longest_edge", "longest_edge"), ("height", "height"), ("width", "width")],
    ),
    Key::Dict("max_image_size", &[("longest_edge", "tile_size")]),
];

/// A view of patches with their channels last, whose bytes are resized in floats.
pub(super) const POOLED: ViewSpec = ViewSpec {
    role: Role::Global,
    ..ViewSpec::patches(CutSpec::RasterPatches { inside: Inside::Tppc }).in_floats(Floats::ROUNDED)
};

/// MiniCPM-V's recipe: patches of every view in one strip.
pub(super) const STRIP: Recipe = Recipe {
    views: &[
        ViewSpec::patches(CutSpec::RasterPatches { inside: Inside::Ctpp }),
        ViewSpec {
            role: Role::Crop,
            ..ViewSpec::patches(CutSpec::RasterPatches { inside: Inside::Ctpp })
        },
        ViewSpec::STEP,
    ],
    arrays: &[ArraySpec::PIXEL_VALUES.in_strip().as_floats(Backends::Torchvision)],
    facts: &[
        FactSpec::row("target_sizes", What::ViewGrids).of(Number::Int32).in_form(Form::Rows(2)),
        FactSpec::row("grids", What::Parts).in_form(Form::Lists),
        FactSpec::scalar("num_patches_per_image", What::Views(0)).in_form(Form::List),
    ],
    lacks: &["small_image_upsize", "image_feature_size"],
    ..VIEWS
};

pub(super) fn families() -> Vec<Family> {
    let mut all = scaled();
    all.extend(fitted());
    all.extend(cut());
    all
}

/// Views that follow from edges.
fn scaled() -> Vec<Family> {
    use Filter::{Bicubic, Bilinear, Lanczos};
    vec![
        family(
            "idefics3",
            Strategy::LongestEdge(LongestEdge::default()),
            Lanczos,
            HALF,
            SPLIT,
            SPLIT_KEYS,
            Upstream::of("Idefics3ImageProcessor", &["idefics3"]),
        )
        .says(prompts::SPLIT),
        family(
            "smolvlm",
            Strategy::LongestEdge(LongestEdge {
                longest_edge: Some(2048),
                tile_size: 512,
                patch_size: 16,
                downsample_ratio: 0.25,
                ..LongestEdge::default()
            }),
            Lanczos,
            HALF,
            SPLIT,
            SPLIT_KEYS,
            Upstream {
                defaults: &[("longest_edge", Preset::Int(1456)), ("tile_size", Preset::Int(364))],
                ..Upstream::of("SmolVLMImageProcessor", &["smolvlm"])
            },
        )
        .says(prompts::SPLIT),
        family(
            "idefics2",
            Strategy::Clamped(Clamped::default()),
            Bilinear,
            HALF,
            Recipe {
                tokens: TokenSpec::of(&[Part::Pooled(Role::Crop), Part::Pooled(Role::Whole)]),
                arrays: const { &[OVER_ZEROS.padded()] },
                facts: &[PADDED],
                ..SPLIT
            },
            const {
                &[Key::Choice(
                    "size",
                    &[
                        ("longest_edge", "longest_edge"),
                        ("shortest_edge", "shortest_edge"),
                        ("height", "height"),
                        ("width", "width"),
                    ],
                )]
            },
            Upstream::of("Idefics2ImageProcessor", &["idefics2"]),
        )
        .says(prompts::IDEFICS2),
        family(
            "pi0",
            Strategy::FixedSize(FixedSize {
                max_height: Some(224),
                max_width: Some(224),
                do_pad: true,
                pad_size: Some((224, 224)),
                ..FixedSize::default()
            }),
            Bicubic,
            HALF,
            Recipe {
                arrays: const { &[ArraySpec::PIXEL_VALUES.padded_to("pad_size").filled_if("do_pad")] },
                lacks: &["crop_pct"],
                ..PICTURE
            },
            const { &[super::encoders::SIZE, super::encoders::CROP, Key::Sides("pad_size", "pad_size")] },
            torchvision(Upstream::of("PI0ImageProcessor", &["pi0"])),
        )
        .says(Prompt::of(&[Word::Tokens("<image>")]).counting(Counts::One)),
        Family {
            convert: Convert::Never,
            ..family(
                "donut",
                Strategy::Page(Page::default()),
                Bilinear,
                HALF,
                Recipe { lacks: &["do_crop_margin"], ..VIEWS },
                const {
                    &[
                        Key::Dict("size", &[("height", "height"), ("width", "width")]),
                        // Upstream reads a pair as (width, height).
                        Key::Bare("size", &["width", "height"]),
                        Key::Must("do_center_crop", Preset::Bool(false)),
                    ]
                },
                Upstream::of("DonutImageProcessor", &["donut-swin"]),
            )
        },
        Family {
            convert: Convert::Never,
            ..family(
                "nougat",
                Strategy::Page(Page {
                    height: 896,
                    width: 672,
                    do_crop_margin: true,
                    reducing: true,
                    ..Page::default()
                }),
                Bilinear,
                IMAGENET,
                VIEWS,
                const {
                    &[
                        Key::Dict("size", &[("height", "height"), ("width", "width")]),
                        Key::Bare("size", &["height", "width"]),
                    ]
                },
                Upstream::of("NougatImageProcessor", &[]),
            )
        },
    ]
}

/// Views on a canvas or in a box.
fn fitted() -> Vec<Family> {
    use Filter::{Bicubic, Bilinear};
    vec![
        family(
            "llama4",
            Strategy::FitCanvas(FitCanvas::default()),
            Bilinear,
            HALF,
            Recipe {
                facts: const { &[FactSpec::row("aspect_ratios", What::RowsColumns)] },
                arithmetic: Some(Arithmetic::Bfloat16),
                ..VIEWS
            },
            const { &[Key::Square("size", "image_size"), Key::Alias("max_patches", "max_num")] },
            torchvision(Upstream::of("Llama4ImageProcessor", &["llama4"])),
        )
        .says(prompts::LLAMA4),
        family(
            "mllama",
            Strategy::FitCanvas(FitCanvas {
                image_size: 560,
                max_num: 4,
                llama4: false,
                ..FitCanvas::default()
            }),
            Bilinear,
            CLIP,
            Recipe {
                tokens: TokenSpec::of(&[Part::Image(1)]),
                arrays: const {
                    &[ArraySpec::PIXEL_VALUES
                        .stacked(Group::SampleImage, Rows::Option("max_num"))
                        .as_floats(Backends::Both)]
                },
                facts: const {
                    &[
                        FactSpec::scalar("aspect_ratio_ids", What::Choice).in_form(Form::Sample),
                        mask("aspect_ratio_mask", Per::RowOrFirst, Number::Int64),
                        FactSpec::scalar("num_tiles", What::RowCount(0)).in_form(Form::SampleLists),
                    ]
                },
                lacks: &["resize_to_max_canvas", "downsample_ratio"],
                ..VIEWS
            },
            const {
                &[Key::Square("size", "image_size"), Key::Alias("max_image_tiles", "max_num"), PADS]
            },
            Upstream {
                defaults: &[
                    ("image_size", Preset::Int(224)),
                    ("image_mean", Preset::Numbers(&HALF.0)),
                    ("image_std", Preset::Numbers(&HALF.1)),
                ],
                ..Upstream::of("MllamaImageProcessor", &["mllama"])
            },
        )
        .says(Prompt::of(&[Word::Tokens("<|image|>")]).counting(Counts::One)),
        Family {
            convert: Convert::Never,
            apart: true,
            ..family(
                "fuyu",
                Strategy::BoxPad(BoxPad::default()),
                Bilinear,
                HALF,
                Recipe {
                    tokens: TokenSpec::of(&[Part::Reached]),
                    arrays: const {
                        &[ArraySpec::concatenated("images").stacked(Group::Sample, Rows::Own)]
                    },
                    facts: const {
                        &[
                            FactSpec::row("image_unpadded_heights", What::Height)
                                .in_form(Form::Firsts),
                            FactSpec::row("image_unpadded_widths", What::Width)
                                .in_form(Form::Firsts),
                            FactSpec::row("image_scale_factors", What::Scale)
                                .of(Number::Float32)
                                .in_form(Form::Firsts),
                            FactSpec::row("image_sizes", What::Source).in_form(Form::Firsts),
                        ]
                    },
                    ..VIEWS
                },
                const {
                    &[
                        Key::Sides("size", "image_size"),
                        Key::Square("patch_size", "patch_size"),
                        Key::Must("padding_mode", Preset::Text("constant")),
                    ]
                },
                Upstream::of("FuyuImageProcessor", &["fuyu"]),
            )
            .says(prompts::FUYU)
        },
        also(
            family(
                "granite-docling",
                Strategy::PageGrid(PageGrid::default()),
                Bicubic,
                CLIP,
                Recipe {
                    arrays: const { &[SAMPLES.as_floats(Backends::Pillow)] },
                    facts: const {
                        &[
                            mask("pixel_attention_mask", Per::Row, Number::Bool),
                            FactSpec::scalar("tile_fine_mask", What::SampleImages)
                                .of(Number::Bool)
                                .only_if("fine_route"),
                            FactSpec::scalar("rows", What::Rows).in_form(Form::SampleLists),
                            FactSpec::scalar("cols", What::Columns).in_form(Form::SampleLists),
                        ]
                    },
                    ..VIEWS
                },
                const {
                    &[
                        Key::Sides("size", "image_size"),
                        Key::Alias("min_patches", "min_num"),
                        Key::Alias("max_patches", "max_num"),
                    ]
                },
                Upstream::of("GraniteDoclingImageProcessor", &["granite_docling"]),
            )
            .says(prompts::DOCLING),
            &["granite_docling"],
        ),
    ]
}

/// Windows and slices.
fn cut() -> Vec<Family> {
    use Filter::{Bicubic, Bilinear};
    vec![
        family(
            "step3p7",
            Strategy::Windows(Windows::default()),
            Bilinear,
            CLIP,
            Recipe {
                tokens: TokenSpec::of(&[
                    Part::UnitRows(Role::Tiles),
                    Part::UnitRows(Role::Crop),
                    Part::Units(Role::Global),
                ]),
                views: const {
                    &[
                        ViewSpec::tiles(Role::Global),
                        ViewSpec::tiles(Role::Tiles).in_array(1, 0),
                        ViewSpec::tiles(Role::Crop).in_array(1, 0),
                        ViewSpec::STEP,
                    ]
                },
                arrays: const {
                    &[
                        ArraySpec::PIXEL_VALUES,
                        ArraySpec::concatenated("pixel_values_local").if_any(),
                    ]
                },
                facts: const {
                    &[
                        FactSpec::scalar("num_local_patches", What::RowCount(1)),
                        FactSpec::row("patch_newline_masks", What::RowEnds)
                            .of(Number::Bool)
                            .in_form(Form::ListsToMost),
                    ]
                },
                ..VIEWS
            },
            const { &[Key::Square("size", "image_size")] },
            torchvision(Upstream::of("Step3p7ImageProcessor", &["step3p7"])),
        )
        .says(prompts::STEP3),
        also(
            family(
                "minicpm-v4.6",
                Strategy::Slices(Slices::default()),
                Bicubic,
                HALF,
                STRIP,
                const { &[Key::Ignore("use_image_id")] },
                Upstream::of("MiniCPMV4_6ImageProcessor", &["minicpmv4_6", "minicpmv4_7"]),
            )
            .says(prompts::MINICPM),
            &["minicpmv4_6"],
        ),
        family(
            "molmo2",
            Strategy::OverlappingCrops(OverlappingCrops::default()),
            Bilinear,
            HALF,
            Recipe {
                views: const {
                    &[
                        POOLED,
                        ViewSpec { array: None, ..POOLED.of(Role::Step) },
                        ViewSpec { numbers: Lane::Bytes, ..POOLED.of(Role::Crop) },
                    ]
                },
                arrays: const { &[ArraySpec::PIXEL_VALUES.stacked(Group::View, Rows::Own)] },
                facts: const {
                    &[
                        FactSpec::row("image_token_pooling", What::Pooled(0)).of(Number::Int32),
                        FactSpec::row("image_grids", What::PooledGrids),
                        FactSpec::scalar("image_num_crops", What::Views(0)),
                    ]
                },
                tokens: const { TokenSpec::of(&[Part::Units(Role::Global), Part::Units(Role::Step)]) },
                ..VIEWS
            },
            const { &[Key::Square("size", "image_size")] },
            torchvision(Upstream {
                serial: true,
                ..Upstream::of("Molmo2ImageProcessor", &["molmo2"])
            }),
        )
        .says(prompts::MOLMO2),
        also(
            family(
                "minicpm-ocr",
                Strategy::Slices(Slices { downsample_mode: Downsample::Four, ..Slices::default() }),
                Bicubic,
                HALF,
                Recipe { lacks: &["image_feature_size"], ..STRIP },
                const { &[Key::Ignore("use_image_id")] },
                torchvision(Upstream::of("MiniCPMOcrImageProcessor", &["minicpm_ocr"])),
            )
            .says(prompts::MINICPM),
            &["minicpm_ocr"],
        ),
    ]
}

//! Families of transformers that show an image whole and in parts: crops, tiles of a canvas, tiles of a grid.

use super::encoders::CROP;
use super::{CLIP, Family, HALF, TILE_KEYS, common, prompts};
use crate::coords::Kind;
use crate::plan::{First, Floats, Role};
use crate::resample::{Filter, Float, Numerics};
use crate::spec::{
    ArraySpec, Backends, Common, Convert, Counts, FactSpec, Form, Group, Key, MeanStd, Number,
    Part, Per, Preset, Prompt, Recipe, Rows, Spec, TokenSpec, Upstream, ViewSpec, What, Word,
};
use crate::strategy::{
    Arrangement, CappedEdge, CoveringGrid, CoveringRule, LocalGlobal, PadSquare, PaddedGrid,
    PanScan, Pinpoints, SplitPad, Strategy,
};

/// Views of every role in one array, in the order of the shapes.
pub(super) const VIEWS: Recipe = Recipe {
    views: &[
        ViewSpec::tiles(Role::Whole),
        ViewSpec::tiles(Role::Tiles),
        ViewSpec::tiles(Role::Thumbnail),
        ViewSpec::tiles(Role::Global),
        ViewSpec::tiles(Role::Crop),
        ViewSpec::STEP,
    ],
    arrays: &[ArraySpec::PIXEL_VALUES],
    facts: &[],
    tokens: TokenSpec::of(&[
        Part::Units(Role::Global),
        Part::Units(Role::Whole),
        Part::Units(Role::Tiles),
        Part::Units(Role::Crop),
        Part::Units(Role::Thumbnail),
    ]),
    arithmetic: None,
    lacks: &[],
    has: &[],
};

/// The same with the thumbnail before its tiles.
const THUMBNAIL_FIRST: TokenSpec = TokenSpec::of(&[
    Part::Units(Role::Whole),
    Part::Units(Role::Thumbnail),
    Part::Units(Role::Tiles),
]);

/// The whole image, then the cells of tiles that the image reaches; one newline where there are no tiles.
const ANYRES: TokenSpec =
    TokenSpec::of(&[Part::Units(Role::Global), Part::Reached, Part::Ended(Role::Whole)]);

/// A padded square, and tiles in an array of their own.
pub(super) const LOCAL: Recipe = Recipe {
    views: &[ViewSpec::tiles(Role::Global), ViewSpec::tiles(Role::Tiles).in_array(1, 0)],
    arrays: &[ArraySpec::PIXEL_VALUES, ArraySpec::concatenated("pixel_values_local").if_any()],
    facts: &[FactSpec::scalar("num_local_patches", What::RowCount(1))],
    tokens: TokenSpec::of(&[
        Part::Units(Role::Tiles),
        Part::Units(Role::Global),
        Part::Mark(Kind::Separator),
    ]),
    ..VIEWS
};

/// Rows of tiles, then of the square, each with its newline, and a separator.
pub(super) const LOCAL_ROWS: TokenSpec = TokenSpec::of(&[
    Part::Rows(Role::Tiles),
    Part::Rows(Role::Global),
    Part::Mark(Kind::Separator),
]);

/// How upstream spells sizes of views that follow from an edge or are given.
const PINPOINT_KEYS: &[Key] = &[
    Key::Choice(
        "size",
        &[("height", "height"), ("width", "width"), ("shortest_edge", "shortest_edge")],
    ),
    Key::Bare("size", &["shortest_edge"]),
    CROP,
    Key::Ignore("aspect_ratio_setting"),
];

/// LLaVA-NeXT's canvases.
const NEXT: [(usize, usize); 5] = [(336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)];

/// Aria's canvases, in halves of 980 pixels.
const ARIA: [(usize, usize); 19] = [
    (1, 2),
    (1, 3),
    (1, 4),
    (1, 5),
    (1, 6),
    (1, 7),
    (1, 8),
    (2, 4),
    (2, 3),
    (2, 2),
    (2, 1),
    (3, 1),
    (3, 2),
    (4, 1),
    (4, 2),
    (5, 1),
    (6, 1),
    (7, 1),
    (8, 1),
];

pub(super) const fn torchvision(upstream: Upstream) -> Upstream {
    Upstream { backends: Backends::Torchvision, ..upstream }
}

/// A family of both backends, or of one.
pub(super) fn family(
    name: &'static str,
    strategy: Strategy,
    filter: Filter,
    values: MeanStd,
    recipe: Recipe,
    keys: &'static [Key],
    upstream: Upstream,
) -> Family {
    Family {
        keys,
        upstream: Some(upstream),
        ..Family::of(Spec {
            family: name,
            strategy,
            common: Common { resample: filter, ..common(values) },
            numerics: Numerics::Torchvision,
            recipe,
        })
    }
}

/// Families that are known by another spelling as well.
pub(super) fn also(family: Family, aliases: &'static [&'static str]) -> Family {
    Family { aliases, ..family }
}

pub(super) fn families() -> Vec<Family> {
    let mut all = views();
    all.extend(canvases());
    all.extend(grids());
    all
}

/// One view, or a few of chosen parts.
fn views() -> Vec<Family> {
    use Filter::{Bicubic, Bilinear};
    vec![
        family(
            "gemma3",
            Strategy::PanScan(PanScan::default()),
            Bilinear,
            HALF,
            Recipe {
                facts: const { &[FactSpec::scalar("num_crops", What::RowsOf(Role::Crop))] },
                ..VIEWS
            },
            const { &[Key::Sides("size", "image_size")] },
            Upstream {
                defaults: &[("image_size", Preset::Int(224))],
                ..Upstream::of(
                    "Gemma3ImageProcessor",
                    &["gemma3", "shieldgemma2", "t5gemma2", "t5gemma2_encoder"],
                )
            },
        )
        .says(prompts::GEMMA3),
        Family {
            convert: Convert::Never,
            ..family(
                "janus",
                Strategy::PadSquare(PadSquare::default()),
                Bicubic,
                HALF,
                VIEWS,
                const { &[Key::Square("size", "image_size"), Key::Derived("background_color")] },
                Upstream {
                    defaults: &[
                        ("image_mean", Preset::Numbers(&CLIP.0)),
                        ("image_std", Preset::Numbers(&CLIP.1)),
                    ],
                    ..Upstream::of("JanusImageProcessor", &["janus"])
                },
            )
            .says(
                Prompt::of(&[
                    Word::Text(("<begin_of_image>", 1)),
                    Word::Tokens("<image_placeholder>"),
                    Word::Text(("<end_of_image>", 1)),
                ])
                .counting(Counts::One),
            )
        },
        family(
            "pixtral",
            Strategy::CappedEdge(CappedEdge::default()),
            Bicubic,
            CLIP,
            Recipe {
                arrays: const { &[ArraySpec::PIXEL_VALUES.padded().filled_if("do_pad")] },
                facts: const { &[FactSpec::row("image_sizes", What::Resized)] },
                tokens: TokenSpec::of(&[Part::Rows(Role::Whole)]),
                ..VIEWS
            },
            const {
                &[
                    Key::Choice(
                        "size",
                        &[
                            ("longest_edge", "longest_edge"),
                            ("height", "height"),
                            ("width", "width"),
                        ],
                    ),
                    Key::Square("patch_size", "patch_size"),
                    Key::Must("do_center_crop", Preset::Bool(false)),
                ]
            },
            Upstream::of(
                "PixtralImageProcessor",
                &["pixtral", "mistral3", "mistral_large4", "lighton_ocr"],
            ),
        )
        .says(prompts::PIXTRAL),
    ]
}

/// Tiles of a canvas that the image is padded into.
fn canvases() -> Vec<Family> {
    use Filter::Bicubic;
    let sides = [384, 768, 1152, 1536, 1920, 2304];
    let onevision = sides.iter().flat_map(|&height| sides.map(|width| (height, width)));
    let anyres: &[ArraySpec] =
        const { &[ArraySpec::PIXEL_VALUES.stacked(Group::Image, Rows::Most).filled_if("do_pad")] };
    vec![
        also(
            family(
                "llava-next",
                Strategy::Pinpoints(Pinpoints {
                    image_grid_pinpoints: NEXT.to_vec(),
                    shortest_edge: Some(336),
                    do_center_crop: true,
                    crop_size: Some((336, 336)),
                    ..Pinpoints::default()
                }),
                Bicubic,
                CLIP,
                Recipe {
                    arrays: anyres,
                    tokens: ANYRES,
                    facts: const { &[FactSpec::row("image_sizes", What::Source)] },
                    ..VIEWS
                },
                PINPOINT_KEYS,
                Upstream {
                    defaults: &[
                        ("shortest_edge", Preset::Int(224)),
                        ("crop_size", Preset::Int(224)),
                    ],
                    ..Upstream::of(
                        "LlavaNextImageProcessor",
                        &["llava_next", "llava_next_video", "granite4_vision"],
                    )
                },
            )
            .says(Prompt::of(&[Word::Tokens("<image>")]).counting(Counts::One)),
            &["llava_next"],
        ),
        Family {
            apart: true,
            ..also(
                family(
                    "llava-onevision",
                    Strategy::Pinpoints(Pinpoints {
                        image_grid_pinpoints: onevision.collect(),
                        height: Some(384),
                        width: Some(384),
                        most_tiled: Some(1),
                        most_tiles_seen: Some(9),
                        ..Pinpoints::default()
                    }),
                    Bicubic,
                    HALF,
                    Recipe {
                        arrays: anyres,
                        tokens: ANYRES,
                        facts: const {
                            &[
                                FactSpec::row("image_sizes", What::Source),
                                FactSpec::scalar("batch_num_images", What::SampleImages),
                            ]
                        },
                        ..VIEWS
                    },
                    PINPOINT_KEYS,
                    Upstream {
                        defaults: &[
                            ("image_mean", Preset::Numbers(&CLIP.0)),
                            ("image_std", Preset::Numbers(&CLIP.1)),
                        ],
                        ..Upstream::of("LlavaOnevisionImageProcessor", &["llava_onevision"])
                    },
                )
                .says(Prompt::of(&[Word::Tokens("<image>")]).counting(Counts::One)),
                &["llava_onevision"],
            )
        },
        family(
            "aria",
            Strategy::SplitPad(SplitPad {
                split_resolutions: ARIA.iter().map(|&(h, w)| (490 * h, 490 * w)).collect(),
                ..SplitPad::default()
            }),
            Bicubic,
            HALF,
            Recipe {
                tokens: TokenSpec::of(&[Part::Pooled(Role::Crop), Part::Pooled(Role::Whole)]),
                facts: const {
                    &[
                        FactSpec {
                            key: "pixel_mask",
                            what: What::Mask { of: 0, per: Per::Pixel },
                            number: Number::Bool,
                            form: Form::Row,
                            only_if: None,
                        },
                        FactSpec::scalar("num_crops", What::RowCount(0)).in_form(Form::Largest),
                    ]
                },
                ..VIEWS
            },
            &[],
            Upstream::of("AriaImageProcessor", &["aria"]),
        )
        .says(Prompt::of(&[Word::Tokens("<|img|>")])),
        also(
            family(
                "phi4-multimodal",
                Strategy::PaddedGrid(PaddedGrid::default()),
                Bicubic,
                HALF,
                PHI4,
                const { &[Key::Square("size", "image_size"), Key::Ignore("do_resize")] },
                torchvision(Upstream::of("Phi4MultimodalImageProcessor", &["phi4_multimodal"])),
            )
            .says(Prompt::of(&[Word::Tokens("<|endoftext10|>")]).counting(Counts::One)),
            &["phi4_multimodal"],
        ),
    ]
}

/// The canvas at tile size, resized from normalised values without antialiasing, before its tiles.
const PHI4: Recipe = Recipe {
    views: &[
        ViewSpec::tiles(Role::Global).in_floats(Floats {
            first: First::Normalise,
            rule: Float { antialias: false, round: false, clamp: false },
            outside: None,
        }),
        ViewSpec::tiles(Role::Tiles),
        ViewSpec::STEP,
    ],
    arrays: &[ArraySpec::concatenated("image_pixel_values").stacked(Group::Image, Rows::Most)],
    facts: &[
        FactSpec::row("image_sizes", What::Canvas),
        FactSpec::row("image_attention_mask", What::Mask { of: 0, per: Per::Patch })
            .of(Number::Float32),
        FactSpec::scalar("num_img_tokens", What::Tokens),
    ],
    // Upstream counts the whole, the ends of its rows and a separator as so many, whatever the options are.
    tokens: TokenSpec::of(&[Part::Reached, Part::Image(256 + 16 + 1)]),
    lacks: &["do_resize"],
    ..VIEWS
};

/// Tiles of a grid that the image is stretched to.
fn grids() -> Vec<Family> {
    use Filter::Bicubic;
    let clip_defaults: &[(&str, Preset)] = const {
        &[
            ("image_mean", Preset::Numbers(&CLIP.0)),
            ("image_std", Preset::Numbers(&CLIP.1)),
            ("image_size", Preset::Int(384)),
            ("max_num", Preset::Int(12)),
            ("crop_to_patches", Preset::Bool(false)),
        ]
    };
    vec![
        also(
            family(
                "cohere2-vision",
                Strategy::CoveringGrid(CoveringGrid {
                    image_size: (512, 512),
                    ..CoveringGrid::default()
                }),
                Bicubic,
                CLIP,
                Recipe {
                    facts: const { &[FactSpec::scalar("num_patches", What::RowCount(0))] },
                    lacks: &["use_covering_area_grid"],
                    ..VIEWS
                },
                TILE_KEYS,
                torchvision(Upstream::of("Cohere2VisionImageProcessor", &["cohere2_vision"])),
            )
            .says(prompts::COHERE2),
            &["cohere2_vision"],
        ),
        family(
            "ovis2",
            Strategy::CoveringGrid(CoveringGrid {
                max_num: 9,
                patch_size: 14,
                rule: CoveringRule::Area,
                whole_first: true,
                ..CoveringGrid::default()
            }),
            Bicubic,
            HALF,
            Recipe {
                facts: const { &[FactSpec::row("grids", What::RowsColumns)] },
                tokens: THUMBNAIL_FIRST,
                ..VIEWS
            },
            TILE_KEYS,
            Upstream { defaults: clip_defaults, ..Upstream::of("Ovis2ImageProcessor", &["ovis2"]) },
        )
        .says(prompts::OVIS2),
        also(
            family(
                "perception-lm",
                Strategy::Arrangement(Arrangement::default()),
                Bicubic,
                HALF,
                Recipe {
                    arrays: const { &[ArraySpec::PIXEL_VALUES.stacked(Group::Image, Rows::List)] },
                    tokens: THUMBNAIL_FIRST,
                    ..VIEWS
                },
                const { &[Key::Ignore("size")] },
                torchvision(Upstream::of("PerceptionLMImageProcessor", &["perception_lm"])),
            )
            .says(Prompt::of(&[Word::Tokens("<|image|>")])),
            &["perception_lm"],
        ),
        also(
            family(
                "deepseek-ocr2",
                Strategy::LocalGlobal(LocalGlobal::default()),
                Bicubic,
                HALF,
                Recipe { lacks: &["maximum_pad_value"], ..LOCAL },
                TILE_KEYS,
                Upstream::of("DeepseekOcr2ImageProcessor", &["deepseek_ocr2"]),
            )
            .says(Prompt::of(&[Word::Tokens("<image>")]).counting(Counts::Views)),
            &["deepseek_ocr2"],
        ),
        also(
            family(
                "unlimited-ocr",
                Strategy::LocalGlobal(LocalGlobal {
                    tile_size: 640,
                    max_num: 32,
                    stretches: true,
                    ..LocalGlobal::default()
                }),
                Bicubic,
                HALF,
                Recipe {
                    facts: const {
                        &[
                            FactSpec::scalar("num_local_patches", What::RowCount(1))
                                .in_form(Form::List),
                            FactSpec::row("patches_grid", What::ColumnsRows).in_form(Form::Lists),
                        ]
                    },
                    tokens: LOCAL_ROWS,
                    ..LOCAL
                },
                TILE_KEYS,
                torchvision(Upstream::of("UnlimitedOcrImageProcessor", &["unlimited_ocr"])),
            )
            .says(Prompt::of(&[Word::Tokens("<image>")]).counting(Counts::Views)),
            &["unlimited_ocr"],
        ),
    ]
}

//! Families whose own code is upstream: InternVL and its kin, DeepSeek-VL2 and DeepSeek-OCR.

use super::crops::{LOCAL, LOCAL_ROWS};
use super::{CLIP, Family, HALF, IMAGENET, MeanStd, TILE_KEYS, common, prompts};
use crate::coords::Kind;
use crate::plan::Role;
use crate::resample::Numerics;
use crate::sizing::RatioOrder;
use crate::spec::{
    ArraySpec, Common, Convert, Coords, FactSpec, Key, OwnFile, OwnForm, Part, Preset, Prompt,
    Recipe, Spec, TokenSpec, ViewSpec, What, Word,
};
use crate::strategy::{AspectGrid, BestCanvas, BestGrid, LocalGlobal, Strategy, TwoGrids};

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

/// Tiles of the closest grid, and a thumbnail behind them.
pub(super) const TILES: Recipe = Recipe {
    views: &[
        ViewSpec::tiles(Role::Whole),
        ViewSpec::tiles(Role::Tiles),
        ViewSpec::tiles(Role::Thumbnail),
    ],
    arrays: &[ArraySpec::PIXEL_VALUES],
    facts: &[FactSpec::scalar("num_patches", What::RowCount(0))],
    tokens: TokenSpec::of(&[
        Part::Units(Role::Whole),
        Part::Units(Role::Tiles),
        Part::Units(Role::Thumbnail),
    ]),
    arithmetic: None,
    lacks: &[],
    has: &[],
};

/// A padded global view before the tiles of a padded canvas.
const CANVAS: Recipe = Recipe {
    views: &[ViewSpec::tiles(Role::Global), ViewSpec::tiles(Role::Tiles)],
    arrays: &[ArraySpec::PIXEL_VALUES],
    facts: &[
        FactSpec::row("images_spatial_crop", What::ColumnsRows),
        FactSpec::scalar("num_image_tokens", What::Tokens),
    ],
    tokens: TokenSpec::of(&[
        Part::Rows(Role::Global),
        Part::Mark(Kind::Separator),
        Part::Rows(Role::Tiles),
    ]),
    arithmetic: None,
    lacks: &[],
    has: &[],
};

/// InternVL's `config.json`, of the whole model.
const INTERNVL_CHAT: OwnFile = OwnFile {
    form: OwnForm::InternVlChat,
    known: &[
        "downsample_ratio",
        "dynamic_image_size",
        "force_image_size",
        "max_dynamic_patch",
        "min_dynamic_patch",
        "pad2square",
        "ps_version",
        "use_thumbnail",
        "vision_config",
    ],
    ignored: &[
        "_attn_implementation_autoset",
        "_commit_hash",
        "_name_or_path",
        "architectures",
        "attn_implementation",
        "auto_map",
        "bos_token_id",
        "dtype",
        "eos_token_id",
        "hidden_size",
        "initializer_range",
        "llm_config",
        "model_type",
        "num_image_token",
        "output_attentions",
        "output_hidden_states",
        "pad_token_id",
        "return_dict",
        "select_layer",
        "system_message",
        "template",
        "tie_word_embeddings",
        "torch_dtype",
        "transformers_version",
        "use_backbone_lora",
        "use_cache",
        "use_llm_lora",
    ],
    options: &[
        ("min_dynamic_patch", "min_num"),
        ("max_dynamic_patch", "max_num"),
        ("use_thumbnail", "use_thumbnail"),
        ("dynamic_image_size", "crop_to_patches"),
        ("downsample_ratio", "downsample_ratio"),
    ],
    // Those of 1.1: no tiles.
    defaults: &[
        ("image_size", Preset::Int(224)),
        ("patch_size", Preset::Int(14)),
        ("min_num", Preset::Int(1)),
        ("max_num", Preset::Int(6)),
        ("use_thumbnail", Preset::Bool(false)),
        ("crop_to_patches", Preset::Bool(false)),
        ("downsample_ratio", Preset::Float(0.5)),
    ],
    needs: &[],
};

/// DeepSeek-VL2's `processor_config.json`.
const DEEPSEEK_VL2: OwnFile = OwnFile {
    form: OwnForm::DeepseekVlV2,
    known: &[
        "candidate_resolutions",
        "downsample_ratio",
        "image_mean",
        "image_std",
        "normalize",
        "patch_size",
    ],
    ignored: &[
        "add_special_token",
        "auto_map",
        "ignore_id",
        "image_token",
        "mask_prompt",
        "pad_token",
        "processor_class",
        "sft_format",
        "transformers_version",
    ],
    options: &[
        ("candidate_resolutions", "candidate_resolutions"),
        ("downsample_ratio", "downsample_ratio"),
        ("image_mean", "image_mean"),
        ("image_std", "image_std"),
        ("normalize", "do_normalize"),
        ("patch_size", "patch_size"),
    ],
    defaults: &[
        ("image_mean", Preset::Numbers(&HALF.0)),
        ("image_std", Preset::Numbers(&HALF.1)),
        ("do_normalize", Preset::Bool(true)),
    ],
    needs: &["candidate_resolutions", "patch_size", "downsample_ratio"],
};

/// Tiles of a grid as InternVL's, in a model of its own.
fn tiles(name: &'static str, strategy: Strategy, values: MeanStd) -> Family {
    Family {
        convert: Convert::Original,
        keys: TILE_KEYS,
        ..Family::of(Spec {
            family: name,
            strategy,
            common: common(values),
            numerics: Numerics::Pillow13,
            recipe: TILES,
        })
        .says(prompts::INTERNVL)
    }
}

/// Llama-Nemotron-VL's grids.
fn nemotron() -> AspectGrid {
    AspectGrid {
        image_size: (512, 512),
        patch_size: 16,
        tie_order: RatioOrder::Set,
        best: BestGrid::Fullest,
        ..AspectGrid::default()
    }
}

pub(super) fn families() -> Vec<Family> {
    let mut nano = Family {
        aliases: &["llama_nemotron_nano_vl", "Llama_Nemotron_Nano_VL"],
        ..tiles("llama-nemotron-nano-vl", Strategy::AspectGrid(nemotron()), CLIP)
            .says(prompts::NEMOTRON_NANO)
    };
    // The model normalises.
    nano.spec.common.do_normalize = false;
    vec![
        Family {
            aliases: &["internvl2", "internvl2.5", "internvl3", "internvl_chat"],
            own_file: Some(INTERNVL_CHAT),
            ..tiles(
                "internvl",
                Strategy::AspectGrid(AspectGrid {
                    tie_order: RatioOrder::Set,
                    ..AspectGrid::default()
                }),
                IMAGENET,
            )
        },
        Family {
            aliases: &["h2ovl_chat", "h2ovl-mississippi"],
            ..tiles("h2ovl", Strategy::TwoGrids(TwoGrids::default()), IMAGENET)
        },
        Family {
            aliases: &["llama_nemotron_vl"],
            ..tiles(
                "llama-nemotron-vl",
                Strategy::AspectGrid(AspectGrid { max_num: 6, ..nemotron() }),
                HALF,
            )
        },
        nano,
        Family {
            aliases: &["deepseek_vl2", "deepseek_vl_v2"],
            convert: Convert::Original,
            keys: &[Key::Alias("normalize", "do_normalize")],
            own_file: Some(DEEPSEEK_VL2),
            ..Family::of(Spec {
                family: "deepseek-vl2",
                strategy: Strategy::BestCanvas(BestCanvas {
                    candidate_resolutions: DEEPSEEK_VL2_CANVASES.to_vec(),
                    ..BestCanvas::default()
                }),
                common: Common { coords: Coords::Norm999, ..common(HALF) },
                numerics: Numerics::Pillow13,
                recipe: CANVAS,
            })
            .says(Prompt::of(&[Word::Tokens("<image>")]))
        },
        Family {
            aliases: &["deepseek_ocr"],
            convert: Convert::Original,
            keys: &[
                Key::Alias("base_size", "image_size"),
                Key::Alias("max_crops", "max_num"),
                Key::Alias("normalize", "do_normalize"),
            ],
            ..Family::of(Spec {
                family: "deepseek-ocr",
                strategy: Strategy::LocalGlobal(LocalGlobal {
                    tile_size: 640,
                    original: true,
                    ..LocalGlobal::default()
                }),
                common: common(HALF),
                numerics: Numerics::Pillow13,
                recipe: Recipe {
                    arrays: const {
                        &[ArraySpec::PIXEL_VALUES, ArraySpec::concatenated("images_crop").if_any()]
                    },
                    facts: const {
                        &[
                            FactSpec::row("images_spatial_crop", What::ColumnsRows),
                            FactSpec::scalar("num_image_tokens", What::Tokens),
                        ]
                    },
                    tokens: LOCAL_ROWS,
                    // Copies of the code differ in the square of an image that is not cut.
                    lacks: &["crop_to_patches", "maximum_pad_value"],
                    ..LOCAL
                },
            })
            .says(Prompt::of(&[Word::Tokens("<image>")]))
        },
    ]
}

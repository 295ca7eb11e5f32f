//! Families that cut patches.

use super::{AREAS, CLIP, Family, HALF, Video, common, prompts, video_prompts};
use crate::coords::Kind;
use crate::plan::{Inside, Role};
use crate::resample::{Filter, Numerics};
use crate::spec::{
    ArraySpec, Backends, Common, Coords, CutSpec, FactSpec, Key, MeanStd, Part, Positions, Preset,
    Prompt, Recipe, Sign, Spec, TokenSpec, Upstream, ViewSpec, What, Word,
};
use crate::strategy::{
    EveryFrame, FrameBudget, Frames, PixelBudget, Sampled, Sampling, Small, Strategy, Unit,
};

/// Patches merge block by merge block, and the grid of each image.
pub(super) const PATCHES: Recipe = Recipe {
    views: &[ViewSpec::patches(CutSpec::Patches { inside: Inside::Ctpp })],
    arrays: &[ArraySpec::PIXEL_VALUES.as_floats(Backends::Pillow)],
    facts: &[grid_thw("image_grid_thw")],
    tokens: TokenSpec::of(&[Part::Units(Role::Whole)]),
    arithmetic: None,
    lacks: &["patch_expand_factor"],
    has: &[],
};

/// Patches with an axis for each of their own.
const WITH_AXES: ArraySpec = ArraySpec::PIXEL_VALUES.with_axes().as_floats(Backends::Pillow);

/// The same patch row by patch row.
pub(super) const RASTER: Recipe = Recipe {
    views: &[ViewSpec::patches(CutSpec::RasterPatches { inside: Inside::Ctpp })],
    ..PATCHES
};

/// A newline after each row of tokens.
pub(super) const LINES: TokenSpec = TokenSpec::of(&[Part::Rows(Role::Whole)]);

/// The same between two tokens that say where an image begins and ends.
const ENDED_LINES: TokenSpec = TokenSpec::of(&[
    Part::Mark(Kind::Separator),
    Part::Rows(Role::Whole),
    Part::Mark(Kind::Separator),
]);

/// Whole canvases, laid into one as large as the largest.
const PADDED: Recipe = Recipe {
    views: &[ViewSpec::tiles(Role::Whole)],
    arrays: &[ArraySpec::PIXEL_VALUES.padded()],
    facts: &[FactSpec::row("image_sizes", What::Resized)],
    lacks: &["patch_expand_factor", "merge_size", "temporal_patch_size"],
    ..PATCHES
};

/// Options of videos that few classes have; `has` names them.
pub(super) const RARE: &[&str] = &[
    "video_start",
    "video_end",
    "min_frames",
    "max_frames",
    "max_fps",
    "initial_shift",
    "max_duration",
    "overflow_strategy",
    "max_num_frames",
    "stack_frames",
    "chunk_frames",
    "add_timestamps",
    "draw_on_frames",
    "budget",
    "cap_pixels_per_frame",
    "max_video_tokens",
    "total_pixels",
    "model_seq_len",
    "patch_expand_factor",
    "frame_pixels",
    "use_token_compression",
    "crop_pct",
    "pad_size",
    "do_pad",
    "max_crops",
    "overlap_margins",
    "small_image_upsize",
    "image_feature_size",
];

/// Frames in patches merge block by merge block, as Qwen2-VL has them.
pub(super) const VIDEO_PATCHES: Recipe = Recipe {
    arrays: &[ArraySpec::concatenated("pixel_values_videos").as_floats(Backends::Pillow)],
    facts: &[grid_thw("video_grid_thw")],
    lacks: RARE,
    has: &[
        "video_start",
        "video_end",
        "min_frames",
        "max_frames",
        "budget",
        "cap_pixels_per_frame",
        "max_video_tokens",
        "total_pixels",
        "model_seq_len",
    ],
    ..PATCHES
};

pub(super) const fn grid_thw(key: &'static str) -> FactSpec {
    FactSpec::row(key, What::GridThw)
}

/// A family of images alone, whose preset is its class's default.
fn budget(
    family: &'static str,
    strategy: PixelBudget,
    values: MeanStd,
    recipe: Recipe,
    upstream: Upstream,
) -> Family {
    Family {
        keys: &[AREAS],
        upstream: Some(upstream),
        ..Family::of(Spec {
            family,
            strategy: Strategy::PixelBudget(strategy),
            common: common(values),
            numerics: Numerics::Torchvision,
            recipe,
        })
    }
}

/// Families that round within a budget of pixels, in upstream's own variants of the rule.
pub(super) fn budgets() -> Vec<Family> {
    let glm = PixelBudget {
        min_pixels: 12_544,
        max_pixels: 11_760_000,
        counts_frames: true,
        ..PixelBudget::default()
    };
    let still = PixelBudget { temporal_patch_size: 1, ..PixelBudget::default() };
    let hunyuan = PixelBudget {
        patch_size: 16,
        min_pixels: 262_144,
        max_pixels: 4_194_304,
        filter: Some(Filter::Bicubic),
        ..still.clone()
    };
    let coded = |patch_size, min_pixels, max_pixels| PixelBudget {
        patch_size,
        merge_size: 1,
        min_pixels,
        max_pixels,
        unit: Unit::Canvas,
        ..still.clone()
    };
    let emu3 = budget(
        "emu3",
        coded(8, 262_144, 1_048_576),
        CLIP,
        Recipe { tokens: LINES, ..PADDED },
        Upstream { backends: Backends::Pillow, ..Upstream::of("Emu3ImageProcessor", &["emu3"]) },
    )
    .says(prompts::EMU3);
    vec![
        budget(
            "glm4v",
            glm.clone(),
            CLIP,
            PATCHES,
            Upstream::of("Glm4vImageProcessor", &["glm4v", "glm4v_moe", "glm_ocr"]),
        )
        .says(Prompt::of(&[Word::Tokens("<|image|>")]).placed(Positions::Frames)),
        budget(
            "glm46v",
            glm.clone(),
            CLIP,
            PATCHES,
            Upstream::of("Glm46VImageProcessor", &["glm46v"]),
        )
        .says(Prompt::of(&[Word::Tokens("<|image|>")]).placed(Positions::Frames)),
        budget(
            "glmga",
            glm.clone(),
            CLIP,
            Recipe { lacks: &[], ..PATCHES },
            Upstream::of("GlmgaImageProcessor", &["glmga"]),
        )
        .says(Prompt::of(&[Word::Tokens("<|image|>")])),
        budget(
            "cosmos3-edge",
            PixelBudget {
                patch_size: 16,
                temporal_patch_size: 1,
                min_pixels: 65_536,
                max_pixels: 16_777_216,
                ..glm
            },
            HALF,
            Recipe {
                views: const { &[ViewSpec::patches(CutSpec::Patches { inside: Inside::Tppc })] },
                ..PATCHES
            },
            Upstream::of("Cosmos3EdgeImageProcessor", &["cosmos3_edge"]),
        )
        .says(Prompt::of(&[Word::Tokens("<|image_pad|>")]).placed(Positions::Frames)),
        budget(
            "paddleocr-vl",
            PixelBudget {
                min_pixels: 147_456,
                max_pixels: 2_359_296,
                small: Small::Grow,
                ..still.clone()
            },
            CLIP,
            Recipe { arrays: &[WITH_AXES], ..RASTER },
            Upstream::of("PaddleOCRVLImageProcessor", &["paddleocr_vl"]),
        )
        .says(prompts::PADDLE),
        budget(
            "ernie4.5-vl-moe",
            PixelBudget { max_pixels: 4_842_768, ..still.clone() },
            CLIP,
            PATCHES,
            Upstream::of("Ernie4_5_VLMoeImageProcessor", &["ernie4_5_vl_moe"]),
        )
        .says(prompts::ERNIE),
        budget(
            "hunyuan-vl",
            hunyuan.clone(),
            CLIP,
            Recipe { tokens: ENDED_LINES, ..RASTER },
            Upstream::of("HunYuanVLImageProcessor", &["hunyuan_vl"]),
        )
        .says(prompts::HUNYUAN),
        budget(
            "hy-v4-vl",
            hunyuan,
            CLIP,
            Recipe { tokens: LINES, ..RASTER },
            Upstream::of("HYV4VLImageProcessor", &["hy_v4_vl"]),
        )
        .says(prompts::HY_V4),
        budget(
            "video-llama-3",
            PixelBudget { merge_size: 1, max_pixels: 1_003_520, ..still },
            HALF,
            Recipe {
                facts: const {
                    &[
                        grid_thw("image_grid_thw"),
                        FactSpec::scalar("image_merge_sizes", What::MergeSize),
                    ]
                },
                ..PATCHES
            },
            Upstream::of("VideoLlama3ImageProcessor", &["video_llama_3"]),
        )
        .says(Prompt::of(&[Word::Tokens("<|image_pad|>")])),
        budget(
            "minimax-m3-vl",
            PixelBudget { max_pixels: 451_584, ..PixelBudget::default() },
            CLIP,
            PATCHES,
            Upstream {
                backends: Backends::Torchvision,
                ..Upstream::of("MiniMaxM3VLImageProcessor", &["minimax_m3_vl"])
            },
        )
        .says(prompts::MINIMAX),
        budget(
            "cohere-compass",
            PixelBudget { max_pixels: 1_003_520, ..PixelBudget::default() },
            CLIP,
            PATCHES,
            Upstream::of("CohereCompassImageProcessor", &["cohere_compass"]),
        )
        .says(Prompt::of(&[Word::Tokens("<|IMAGE_PAD|>")]).placed(Positions::Frames)),
        Family {
            keys: &[AREAS, Key::Alias("spatial_factor", "patch_size")],
            spec: Spec { numerics: Numerics::Pillow13, ..emu3.spec.clone() },
            ..emu3
        },
        Family {
            keys: &[
                AREAS,
                Key::Alias("spatial_factor", "patch_size"),
                Key::Must("do_pad", Preset::Bool(true)),
            ],
            ..budget(
                "apertus1p5",
                coded(16, 16_384, 1_960_000),
                HALF,
                PADDED,
                Upstream {
                    backends: Backends::Torchvision,
                    ..Upstream::of("Apertus1p5ImageProcessor", &["apertus1p5"])
                },
            )
            .says(prompts::APERTUS)
        },
    ]
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
    video: EveryFrame,
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
            spec: of(Strategy::EveryFrame(video), VIDEO_PATCHES),
            keys: &[AREAS],
            upstream: Some(upstream.1),
            prompt: video_prompts::QWEN,
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
    let linspace = Sampled {
        sampling: Sampling::Linspace,
        do_sample_frames: true,
        fps: Some(2.0),
        ..Sampled::default()
    };
    let arange = Sampled { sampling: Sampling::Arange, ..Sampled::default() };
    let qwen3_video = Frames {
        patch_size: 16,
        min_pixels: 4096,
        max_pixels: 25_165_824,
        budget: FrameBudget::Video,
        max_video_tokens: 768,
        ..Frames::default()
    };
    let qwen3_video = EveryFrame::new(linspace, Strategy::Frames(qwen3_video));
    let (norm, resized) = (Coords::Norm1000, Coords::Resized);
    let image = PixelBudget::default();
    let video = EveryFrame::new(arange, Strategy::Frames(Frames::default()));
    vec![
        qwen(
            "qwen2-vl",
            &["qwen2_vl"],
            image.clone(),
            video.clone(),
            CLIP,
            norm,
            both(&["qwen2_vl"], &["Qwen2VLProcessor"], Sign::None),
        )
        .says(Prompt::of(&[Word::Tokens("<|image_pad|>")]).placed(Positions::Grid)),
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
        )
        .says(Prompt::of(&[Word::Tokens("<|image_pad|>")]).placed(Positions::Seconds)),
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
                .says(Prompt::of(&[Word::Tokens("<|image_pad|>")]).placed(Positions::Frames))
                .shows(video_prompts::QWEN3)
        },
    ]
}

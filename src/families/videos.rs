//! Video processors of families whose images are elsewhere, or that have none.

use super::patches::{LINES, RARE, VIDEO_PATCHES, grid_thw};
use super::views::{POOLED, STRIP};
use super::{AREAS, CLIP, HALF, IMAGENET, Video, common, video_prompts};
use crate::pack::Arithmetic;
use crate::plan::{Floats, Inside, Role};
use crate::resample::{Filter, Numerics};
use crate::spec::{
    ArraySpec, Backends, Common, CutSpec, FactSpec, Form, Group, Key, MeanStd, Number, Part, Per,
    Preset, Prompt, Recipe, Rows, Share, Spec, TokenSpec, Upstream, ViewSpec, What,
};
use crate::strategy::{
    Downsample, EveryFrame, FixedSize, FrameBudget, Frames, Overflow, OverlappingCrops, PatchLimit,
    PatchTarget, Sampled, Sampling, Scaling, Slices, SoftTokens, Squared, Strategy, TokenCap,
    TokenRange,
};

/// Frames in patches merge block by merge block.
const PATCHES: Recipe = Recipe { has: &["min_frames", "max_frames"], ..VIDEO_PATCHES };

/// One picture a frame: (videos, frames, channels, rows, columns).
const PICTURES: Recipe = Recipe {
    views: &[ViewSpec::tiles(Role::Whole), ViewSpec::STEP],
    arrays: &[ArraySpec::concatenated("pixel_values_videos").stacked(Group::Image, Rows::Own)],
    facts: &[],
    tokens: TokenSpec::of(&[Part::Units(Role::Whole)]),
    arithmetic: None,
    lacks: RARE,
    has: &[],
};

/// A token of each patch of a frame.
const WHOLE: TokenSpec = PICTURES.tokens;

/// The same under the key of images.
const NAMED_AS_IMAGES: Recipe =
    Recipe { arrays: &[ArraySpec::PIXEL_VALUES.stacked(Group::Image, Rows::Own)], ..PICTURES };

/// How transformers spells sizes.
const SIZE: Key = Key::Choice(
    "size",
    &[
        ("height", "height"),
        ("width", "width"),
        ("shortest_edge", "shortest_edge"),
        ("longest_edge", "longest_edge"),
    ],
);
const CROP: Key = Key::Sides("crop_size", "crop_size");
/// A number alone is the shorter edge.
const EDGE: &[Key] = &[SIZE, Key::Bare("size", &["shortest_edge"]), CROP];
/// A number alone is a square.
const SQUARE: &[Key] = &[SIZE, Key::Bare("size", &["height", "width"]), CROP];

/// The class of these model types, named by the first of them.
fn video(
    family: &'static str,
    class: &'static str,
    model_types: &'static [&'static str],
    strategy: EveryFrame,
    common: Common,
    recipe: Recipe,
    keys: &'static [Key],
) -> Video {
    Video {
        spec: Spec {
            family,
            strategy: Strategy::EveryFrame(strategy),
            common,
            numerics: Numerics::Torchvision,
            recipe,
        },
        keys,
        upstream: Some(Upstream {
            backends: Backends::Torchvision,
            ..Upstream::of(class, model_types)
        }),
        prompt: Prompt::NONE,
    }
}

/// A class whose floats change with the number of torch's threads.
fn serial(video: Video) -> Video {
    Video { upstream: video.upstream.map(|class| Upstream { serial: true, ..class }), ..video }
}

/// Frames in patches.
fn patches() -> Vec<Video> {
    let of = |sampled, frames| EveryFrame::new(sampled, Strategy::Frames(frames));
    let whole = Frames { budget: FrameBudget::Video, ..Frames::default() };
    let linspace = Sampled {
        sampling: Sampling::Linspace,
        do_sample_frames: true,
        fps: Some(2.0),
        ..Sampled::default()
    };
    let compass = Frames {
        patch_size: 16,
        min_pixels: 131_072,
        max_pixels: 786_432,
        max_video_tokens: 768,
        ..whole.clone()
    };
    let edge = Frames {
        patch_size: 16,
        temporal_patch_size: 1,
        min_pixels: 4096,
        max_pixels: 25_165_824,
        ..whole.clone()
    };
    let glm = Frames { min_pixels: 12_544, max_pixels: 47_040_000, ..whole };
    let by = |sampling| Sampled {
        sampling,
        do_sample_frames: true,
        fps: Some(2.0),
        ..Sampled::default()
    };
    vec![
        video(
            "cohere-compass",
            "CohereCompassVideoProcessor",
            &["cohere_compass"],
            of(linspace.clone(), compass),
            common(HALF),
            VIDEO_PATCHES,
            &[AREAS],
        )
        .says(video_prompts::COMPASS),
        video(
            "cosmos3-edge",
            "Cosmos3EdgeVideoProcessor",
            &["cosmos3_edge"],
            of(linspace.clone(), edge.clone()),
            common(HALF),
            Recipe {
                views: const { &[ViewSpec::patches(CutSpec::Patches { inside: Inside::Tppc })] },
                ..PATCHES
            },
            const { &[AREAS, Key::Must("temporal_patch_size", Preset::Int(1))] },
        )
        .says(video_prompts::QWEN3),
        video(
            "hy-v4-vl",
            "HYV4VLVideoProcessor",
            &["hy_v4_vl"],
            of(
                Sampled { do_sample_frames: false, min_frames: 2, max_frames: 1024, ..linspace },
                Frames { max_pixels: 33_554_432, scaling: Scaling::Shrink, ..edge },
            ),
            common(HALF),
            Recipe {
                views: const { &[ViewSpec::patches(CutSpec::RasterPatches { inside: Inside::Ctpp })] },
                tokens: LINES,
                has: &["min_frames", "max_frames", "frame_pixels"],
                ..PATCHES
            },
            const { &[AREAS, Key::Dict("max_image_size", &[("longest_edge", "frame_pixels")])] },
        )
        .says(video_prompts::QWEN),
        video(
            "glm4v",
            "Glm4vVideoProcessor",
            &["glm4v"],
            of(by(Sampling::Seconds), glm.clone()),
            common(CLIP),
            Recipe { has: &["max_duration"], ..PATCHES },
            const { &[AREAS, Key::Ignore("num_frames"), Key::Ignore("max_image_size")] },
        )
        .says(video_prompts::GLM4V),
        video(
            "glm46v",
            "Glm46VVideoProcessor",
            &["glm46v"],
            of(by(Sampling::Tiers), glm.clone()),
            common(CLIP),
            PATCHES,
            const {
                &[
                    AREAS,
                    Key::Ignore("num_frames"),
                    Key::Ignore("max_image_size"),
                    Key::Ignore("max_duration"),
                ]
            },
        )
        .says(video_prompts::GLM46V),
        video(
            "glmga",
            "GlmgaVideoProcessor",
            &["glmga"],
            of(
                Sampled { max_frames: 640, ..by(Sampling::WalkShort) },
                Frames { max_pixels: 87_478_720, ..glm },
            ),
            common(CLIP),
            Recipe { has: &["max_frames", "patch_expand_factor"], ..PATCHES },
            const {
                &[
                    AREAS,
                    Key::Ignore("num_frames"),
                    Key::Ignore("max_image_size"),
                    Key::Ignore("max_duration"),
                ]
            },
        )
        .says(video_prompts::GLM46V),
        video(
            "video-llama-3",
            "VideoLlama3VideoProcessor",
            &["video_llama_3"],
            of(
                Sampled { sampling: Sampling::Arange, max_frames: 180, ..Sampled::default() },
                Frames { temporal_patch_size: 1, scaling: Scaling::Share, ..Frames::default() },
            ),
            common(HALF),
            Recipe {
                facts: const {
                    &[
                        grid_thw("video_grid_thw"),
                        FactSpec::scalar("video_merge_sizes", What::MergeSize),
                        FactSpec::scalar("video_compression_mask", What::Kept).of(Number::Bool),
                    ]
                },
                has: &["min_frames", "max_frames", "use_token_compression"],
                ..PATCHES
            },
            &[AREAS],
        )
        .says(video_prompts::VIDEO_LLAMA3),
        video(
            "minimax-m3-vl",
            "MiniMaxM3VLVideoProcessor",
            &["minimax_m3_vl"],
            of(
                Sampled { fps: Some(1.0), chunk_frames: Some(4), ..Sampled::default() },
                Frames { min_pixels: 3136, max_pixels: 602_112, ..Frames::default() },
            ),
            common(CLIP),
            Recipe {
                facts: const {
                    &[
                        FactSpec::row("video_grid_thw", What::ChunkGrids).in_form(Form::Rows(3)),
                        FactSpec::scalar("num_chunks_per_video", What::Chunks),
                    ]
                },
                has: &["chunk_frames"],
                ..PATCHES
            },
            // Its sizes are its budgets of pixels; upstream reads none of these.
            const {
                &[
                    Key::Alias("vision_segment_max_frames", "chunk_frames"),
                    Key::Ignore("size"),
                    Key::Ignore("total_pixels"),
                    Key::Ignore("min_frames"),
                    Key::Ignore("max_frames"),
                ]
            },
        )
        .says(video_prompts::MINIMAX),
    ]
}

/// Frames of fixed size.
fn pictures() -> Vec<Video> {
    use Filter::{Bicubic, Bilinear};
    let all = Sampled::default;
    let fixed = |sampled, size| EveryFrame::new(sampled, Strategy::FixedSize(size));
    let of = |filter, values: MeanStd| Common { resample: filter, ..common(values) };
    let (square, cropped) = (FixedSize::square, FixedSize::cropped);
    let edge = |edge, side| FixedSize { shortest_edge: Some(edge), ..cropped(side) };
    vec![
        video(
            "instructblipvideo",
            "InstructBlipVideoVideoProcessor",
            &["instructblipvideo", "instructblip"],
            fixed(all(), square(384)),
            of(Bicubic, CLIP),
            NAMED_AS_IMAGES,
            SQUARE,
        ),
        video(
            "internvl-video",
            "InternVLVideoProcessor",
            &["internvl"],
            fixed(Sampled { sampling: Sampling::Midpoints, ..all() }, square(384)),
            of(Bicubic, CLIP),
            Recipe {
                has: &["initial_shift"],
                tokens: WHOLE.shared(Share::Of(video_prompts::internvl_tokens)),
                ..PICTURES
            },
            SQUARE,
        )
        .says(video_prompts::INTERNVL),
        video(
            "llava-next-video",
            "LlavaNextVideoVideoProcessor",
            &["llava_next_video"],
            fixed(all(), cropped(224)),
            of(Bicubic, CLIP),
            Recipe { tokens: WHOLE.shared(Share::Of(video_prompts::quarter)), ..PICTURES },
            EDGE,
        )
        .says(video_prompts::LLAVA_NEXT_VIDEO),
        video(
            "llava-onevision",
            "LlavaOnevisionVideoProcessor",
            &["llava_onevision", "videoprism"],
            fixed(all(), square(384)),
            of(Bicubic, CLIP),
            Recipe {
                tokens: WHOLE.shared(Share::Of(video_prompts::halves_up)).ended(),
                ..PICTURES
            },
            EDGE,
        )
        .says(video_prompts::LLAVA_ONEVISION),
        video(
            "perception-lm",
            "PerceptionLMVideoProcessor",
            &["perception_lm"],
            fixed(all(), square(448)),
            of(Bicubic, HALF),
            Recipe { tokens: WHOLE.shared(Share::Of(video_prompts::halves)), ..PICTURES },
            SQUARE,
        )
        .says(video_prompts::PERCEPTION_LM),
        video(
            "sam2-video",
            "Sam2VideoVideoProcessor",
            &["sam2_video"],
            fixed(all(), square(1024)),
            of(Bilinear, IMAGENET),
            Recipe {
                facts: const {
                    &[
                        FactSpec::row("original_sizes", What::Source),
                        FactSpec::row("reshaped_input_sizes", What::Asked),
                    ]
                },
                ..PICTURES
            },
            SQUARE,
        ),
        video(
            "timesformer",
            "TimesformerVideoProcessor",
            &["timesformer"],
            fixed(all(), cropped(224)),
            of(Bilinear, IMAGENET),
            NAMED_AS_IMAGES,
            EDGE,
        ),
        video(
            "video-llava",
            "VideoLlavaVideoProcessor",
            &["video_llava"],
            fixed(all(), cropped(224)),
            of(Bicubic, CLIP),
            Recipe {
                tokens: TokenSpec::of(&[Part::Image(1), Part::Units(Role::Whole)]),
                ..PICTURES
            },
            EDGE,
        )
        .says(video_prompts::VIDEO_LLAVA),
        video(
            "videomae",
            "VideoMAEVideoProcessor",
            &["videomae"],
            fixed(all(), cropped(224)),
            of(Bilinear, HALF),
            NAMED_AS_IMAGES,
            EDGE,
        ),
        video(
            "videomt",
            "VideomtVideoProcessor",
            &["videomt"],
            fixed(all(), square(640)),
            of(Bilinear, IMAGENET),
            PICTURES,
            SQUARE,
        ),
        video(
            "vivit",
            "VivitVideoProcessor",
            &["vivit"],
            fixed(all(), edge(256, 224)),
            Common { rescale_factor: 1.0 / 127.5, ..of(Bilinear, HALF) },
            Recipe { arithmetic: Some(Arithmetic::Offset), ..NAMED_AS_IMAGES },
            EDGE,
        ),
        video(
            "vjepa2",
            "VJEPA2VideoProcessor",
            &["vjepa2"],
            fixed(all(), edge(292, 256)),
            of(Bilinear, IMAGENET),
            PICTURES,
            SQUARE,
        ),
        video(
            "pe-video",
            "PeVideoVideoProcessor",
            &["pe_video", "pe_audio_video"],
            fixed(Sampled { sampling: Sampling::Ends, ..all() }, FixedSize::default()),
            Common {
                do_resize: false,
                do_rescale: false,
                do_normalize: false,
                ..of(Bilinear, HALF)
            },
            Recipe {
                arrays: const {
                    &[ArraySpec::concatenated("pixel_values_videos")
                        .stacked(Group::Image, Rows::Most)]
                },
                facts: const {
                    let mask = What::Mask { of: 0, per: Per::Row };
                    &[FactSpec::row("padding_mask_videos", mask)
                        .of(Number::Bool)
                        .in_form(Form::RowIfFilled)]
                },
                ..PICTURES
            },
            SQUARE,
        ),
    ]
}

/// Frames in rows of their own, of which one token sees two.
const ERNIE: Recipe = Recipe {
    lacks: &[
        "temporal_patch_size",
        "video_start",
        "video_end",
        "max_fps",
        "initial_shift",
        "max_duration",
        "overflow_strategy",
        "max_num_frames",
        "stack_frames",
        "chunk_frames",
        "add_timestamps",
        "budget",
        "cap_pixels_per_frame",
        "max_video_tokens",
        "total_pixels",
        "model_seq_len",
        "patch_expand_factor",
        "frame_pixels",
        "use_token_compression",
    ],
    has: &[],
    ..VIDEO_PATCHES
};

/// Frames resized in floats, as many as one token sees on the axis of channels.
const NEMOTRON: Recipe = Recipe {
    views: &[ViewSpec::tiles(Role::Whole).in_floats(Floats::KEPT)],
    arrays: &[ArraySpec::concatenated("pixel_values_videos")
        .stacked(Group::Image, Rows::Own)
        .in_tubelets()],
    facts: &[FactSpec::scalar("num_frames", What::Frames)],
    arithmetic: Some(Arithmetic::Divided),
    lacks: &[
        "do_resize",
        "resample",
        "do_rescale",
        "rescale_factor",
        "do_normalize",
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
    ],
    ..PICTURES
};

/// Frames filled up with rows, each with its place.
const POSITIONS: Recipe = Recipe {
    views: &[ViewSpec::patches(CutSpec::RasterPatches { inside: Inside::Tppc })],
    arrays: &[ArraySpec::concatenated("pixel_values_videos").stacked(Group::Frame, Rows::Most)],
    facts: &[
        FactSpec::row("video_position_ids", What::Positions(0)),
        FactSpec::scalar("num_frames_per_video", What::Frames),
        FactSpec::scalar("num_soft_tokens_per_video", What::FrameTokens),
    ],
    ..PICTURES
};

/// Every view of every frame in one strip of patches.
fn minicpm(
    family: &'static str,
    class: &'static str,
    model_types: &'static [&'static str],
    downsample_mode: Downsample,
) -> Video {
    let sampled =
        Sampled { sampling: Sampling::WholeSeconds, do_sample_frames: true, ..Sampled::default() };
    video(
        family,
        class,
        model_types,
        EveryFrame::new(
            sampled,
            Strategy::Slices(Slices { downsample_mode, keeps: true, ..Slices::default() }),
        ),
        common(HALF),
        Recipe {
            arrays: const { &[ArraySpec::concatenated("pixel_values_videos").in_strip()] },
            facts: const {
                &[
                    FactSpec::row("target_sizes_videos", What::ViewGrids)
                        .of(Number::Int32)
                        .in_form(Form::Rows(2)),
                    FactSpec::row("grids_videos", What::Parts)
                        .of(Number::Int32)
                        .in_form(Form::Rows(2)),
                    FactSpec::scalar("num_patches_per_frame", What::Views(0)).of(Number::Int32),
                    FactSpec::scalar("num_frames_per_video", What::Frames).in_form(Form::Sums),
                ]
            },
            lacks: RARE,
            has: &["max_num_frames", "stack_frames"],
            ..STRIP
        },
        &[Key::Ignore("use_image_id")],
    )
    .says(video_prompts::MINICPM)
}

/// Frames on canvases that are filled up, or measured by rules of their own.
fn others() -> Vec<Video> {
    let on = Sampled { do_sample_frames: true, ..Sampled::default() };
    let unit = ([0.0; 3], [1.0; 3]);
    let gemma = |merged| {
        let strategy = Strategy::SoftTokens(SoftTokens {
            max_soft_tokens: 70,
            merged,
            ..SoftTokens::default()
        });
        EveryFrame::new(Sampled { num_frames: Some(32), ..on.clone() }, strategy)
    };
    vec![
        video(
            "gemma4",
            "Gemma4VideoProcessor",
            &["gemma4"],
            gemma(false),
            common(unit),
            POSITIONS,
            &[],
        )
        .says(video_prompts::GEMMA4),
        video(
            "gemma4-unified",
            "Gemma4UnifiedVideoProcessor",
            &["gemma4_unified"],
            gemma(true),
            common(unit),
            POSITIONS,
            &[],
        )
        .says(video_prompts::GEMMA4),
        video(
            "embedding-gemma2",
            "EmbeddingGemma2VideoProcessor",
            &["embedding_gemma2"],
            EveryFrame::new(
                Sampled {
                    sampling: Sampling::Capped,
                    fps: Some(1.0),
                    max_frames: 32,
                    overflow_strategy: Some(Overflow::Uniform),
                    ..on.clone()
                },
                Strategy::SoftTokens(SoftTokens { max_soft_tokens: 70, ..SoftTokens::default() }),
            ),
            common(unit),
            Recipe { has: &["max_frames", "overflow_strategy", "add_timestamps"], ..POSITIONS },
            &[Key::Ignore("load_audio_from_video")],
        )
        .says(video_prompts::EMBEDDING_GEMMA2),
        video(
            "kimi-k25",
            "Kimi_K25VideoProcessor",
            &["kimi_k25"],
            EveryFrame::new(
                Sampled { fps: Some(2.0), chunk_frames: Some(4), ..on.clone() },
                Strategy::PatchLimit(PatchLimit { max_patches: 4096, ..PatchLimit::default() }),
            )
            .pooled(),
            common(HALF),
            Recipe {
                views: const { &[ViewSpec::patches(CutSpec::RasterPatches { inside: Inside::Ctpp })] },
                arrays: const {
                    &[ArraySpec::concatenated("pixel_values_videos")
                        .with_axes()
                        .as_floats(Backends::Pillow)]
                },
                facts: const {
                    &[
                        FactSpec::row("video_grid_thw", What::ChunkGrids).in_form(Form::Rows(3)),
                        FactSpec::scalar("num_chunks_per_video", What::Chunks),
                    ]
                },
                has: &["chunk_frames"],
                ..PATCHES
            },
            &[
                Key::Dict("size", &[("max_height", "max_height"), ("max_width", "max_width")]),
                Key::Alias("temporal_patch_size", "chunk_frames"),
            ],
        )
        .says(video_prompts::KIMI_K25),
        video(
            "muse-glimmer",
            "MuseGlimmerVideoProcessor",
            &["muse_glimmer", "muse_spark"],
            EveryFrame::new(
                Sampled {
                    sampling: Sampling::Floor,
                    fps: Some(2.0),
                    num_frames: Some(96),
                    ..on.clone()
                },
                Strategy::TokenCap(TokenCap { max_image_tokens: 144, ..TokenCap::default() }),
            ),
            Common { resample: Filter::Lanczos, ..common(HALF) },
            Recipe {
                views: const { &[ViewSpec::patches(CutSpec::RasterPatches { inside: Inside::Tcpp })] },
                has: &[],
                ..PATCHES
            },
            &[
                Key::Alias("max_video_frame_tokens", "max_image_tokens"),
                Key::Ignore("frame_timestamp_format"),
            ],
        )
        .says(video_prompts::MUSE),
        video(
            "glm5-next",
            "Glm5NextVideoProcessor",
            &["glm5_next"],
            EveryFrame::new(
                Sampled {
                    sampling: Sampling::Walk,
                    fps: Some(2.0),
                    max_frames: 2048,
                    ..on.clone()
                },
                Strategy::TokenRange(TokenRange {
                    max_image_tokens: 240_000,
                    of_videos: true,
                    ..TokenRange::default()
                }),
            ),
            common(CLIP),
            Recipe { has: &["max_frames", "patch_expand_factor"], ..PATCHES },
            // Its sizes are its budgets of tokens; upstream reads none of these.
            &[
                Key::Ignore("size"),
                Key::Ignore("num_frames"),
                Key::Ignore("max_image_size"),
                Key::Ignore("max_duration"),
            ],
        )
        .says(video_prompts::GLM46V),
        minicpm(
            "minicpm-v4.6",
            "MiniCPMV4_6VideoProcessor",
            &["minicpmv4_6", "minicpmv4_7"],
            Downsample::Sixteen,
        ),
        minicpm("minicpm-ocr", "MiniCPMOcrVideoProcessor", &["minicpm_ocr"], Downsample::Four),
        serial(video(
            "molmo2",
            "Molmo2VideoProcessor",
            &["molmo2"],
            EveryFrame::new(
                Sampled {
                    sampling: Sampling::Limited,
                    num_frames: Some(64),
                    max_fps: Some(2.0),
                    ..on.clone()
                },
                Strategy::OverlappingCrops(OverlappingCrops {
                    pooling_size: (3, 3),
                    crops: false,
                    ..OverlappingCrops::default()
                }),
            ),
            // Upstream's class neither rescales nor normalises unless it is told to.
            Common {
                resample: Filter::Bilinear,
                do_rescale: false,
                do_normalize: false,
                ..common(HALF)
            },
            Recipe {
                views: const { &[POOLED] },
                arrays: const {
                    &[ArraySpec::concatenated("pixel_values_videos")
                        .stacked(Group::Frame, Rows::Own)]
                },
                facts: const {
                    &[
                        FactSpec::row("video_token_pooling", What::Pooled(0)),
                        FactSpec::row("video_grids", What::PooledThw),
                    ]
                },
                tokens: const { TokenSpec::of(&[Part::Units(Role::Global)]) },
                has: &["max_fps"],
                ..PICTURES
            },
            const { &[Key::Square("size", "image_size")] },
        ))
        .says(video_prompts::MOLMO2),
        Video {
            upstream: Some(Upstream {
                backends: Backends::Torchvision,
                // Text is drawn on frames unless that is turned off.
                defaults: &[("draw_on_frames", Preset::Bool(true))],
                ..Upstream::of("Ernie4_5_VLMoeVideoProcessor", &["ernie4_5_vl_moe"])
            }),
            prompt: video_prompts::ERNIE,
            ..video(
                "ernie4.5-vl-moe",
                "Ernie4_5_VLMoeVideoProcessor",
                &["ernie4_5_vl_moe"],
                EveryFrame::new(
                    Sampled { sampling: Sampling::Bounded, min_frames: 16, max_frames: 180, ..on },
                    Strategy::Frames(Frames {
                        temporal_patch_size: 1,
                        min_pixels: 234_416,
                        max_pixels: 937_664,
                        tubelet: 2,
                        ..Frames::default()
                    }),
                ),
                common(CLIP),
                ERNIE,
                const { &[AREAS, Key::Must("temporal_patch_size", Preset::Int(2)), Key::Ignore("font")] },
            )
        },
        Video {
            upstream: Some(Upstream {
                backends: Backends::Torchvision,
                // Upstream's class has no mean, and fails where a file has none.
                defaults: &[("image_mean", Preset::Nothing), ("image_std", Preset::Nothing)],
                ..Upstream::of("NemotronH_Omni_Reasoning_V3VideoProcessor", &["nemotron_h_omni"])
            }),
            prompt: video_prompts::NEMOTRON,
            ..video(
                "nemotron-h-omni",
                "NemotronH_Omni_Reasoning_V3VideoProcessor",
                &["nemotron_h_omni"],
                EveryFrame::new(Sampled::default(), Strategy::PatchTarget(PatchTarget::default())),
                common(CLIP),
                NEMOTRON,
                const {
                    &[
                        Key::Alias("norm_mean", "image_mean"),
                        Key::Alias("norm_std", "image_std"),
                        Key::Ignore("do_resize"),
                        Key::Ignore("resample"),
                        Key::Ignore("do_rescale"),
                        Key::Ignore("rescale_factor"),
                        Key::Ignore("do_normalize"),
                    ]
                },
            )
        },
        video(
            "smolvlm",
            "SmolVLMVideoProcessor",
            &["smolvlm"],
            EveryFrame::new(
                Sampled { sampling: Sampling::Inner, ..Sampled::default() },
                Strategy::Squared(Squared::default()),
            ),
            Common { resample: Filter::Lanczos, ..common(HALF) },
            Recipe {
                arrays: const { &[ArraySpec::PIXEL_VALUES.stacked(Group::Image, Rows::Most)] },
                facts: const {
                    &[FactSpec::row(
                        "pixel_attention_mask",
                        What::Mask { of: 0, per: Per::PixelThroughout },
                    )]
                },
                tokens: WHOLE.shared(Share::Sequence),
                ..PICTURES
            },
            &[
                Key::Choice(
                    "size",
                    &[("longest_edge", "longest_edge"), ("height", "height"), ("width", "width")],
                ),
                Key::Dict("max_image_size", &[("longest_edge", "frame_side")]),
                Key::Must("do_pad", Preset::Bool(true)),
            ],
        )
        .says(video_prompts::SMOLVLM),
    ]
}

pub(super) fn families() -> Vec<Video> {
    let mut all = patches();
    all.extend(pictures());
    all.extend(others());
    all
}

//! Vision encoders of fixed size, as models of transformers have them inside.

use super::{CLIP, Family, HALF, IMAGENET, common};
use crate::plan::{First, Floats, Role};
use crate::resample::{Filter, Numerics};
use crate::spec::{
    ArraySpec, Backends, Common, Convert, Counts, Key, MeanStd, Part, Preset, Prompt, Recipe, Spec,
    TokenSpec, Upstream, ViewSpec, Word,
};
use crate::strategy::{FixedSize, Padding, Strategy};

/// One picture an image, maybe from a padded square.
pub(super) const PICTURE: Recipe = Recipe {
    views: &[ViewSpec::tiles(Role::Whole), ViewSpec::STEP],
    arrays: &[ArraySpec::PIXEL_VALUES],
    facts: &[],
    tokens: TokenSpec::of(&[Part::Units(Role::Whole)]),
    arithmetic: None,
    lacks: &["crop_pct", "pad_size", "do_pad"],
    has: &[],
};

/// How transformers spells sizes. A number alone is a square here.
const SQUARE: &[Key] = &[SIZE, Key::Bare("size", &["height", "width"]), CROP];
/// A number alone is the shorter edge.
const EDGE: &[Key] = &[SIZE, Key::Bare("size", &["shortest_edge"]), CROP];

pub(super) const SIZE: Key = Key::Choice(
    "size",
    &[
        ("height", "height"),
        ("width", "width"),
        ("shortest_edge", "shortest_edge"),
        ("longest_edge", "longest_edge"),
        ("max_height", "max_height"),
        ("max_width", "max_width"),
    ],
);
pub(super) const CROP: Key = Key::Sides("crop_size", "crop_size");

fn encoder(
    family: &'static str,
    strategy: FixedSize,
    filter: Filter,
    values: MeanStd,
    keys: &'static [Key],
    upstream: Upstream,
) -> Family {
    let numerics = match upstream.backends {
        Backends::Pillow => Numerics::Pillow13,
        Backends::Both | Backends::Torchvision => Numerics::Torchvision,
    };
    Family {
        keys,
        upstream: Some(upstream),
        ..Family::of(Spec {
            family,
            strategy: Strategy::FixedSize(strategy),
            common: Common { resample: filter, ..common(values) },
            numerics,
            recipe: PICTURE,
        })
    }
}

/// A class that leaves what is not RGB as it is.
fn unconverted(family: Family) -> Family {
    Family { convert: Convert::Never, ..family }
}

const fn torchvision(upstream: Upstream) -> Upstream {
    Upstream { backends: Backends::Torchvision, ..upstream }
}

pub(super) fn families() -> Vec<Family> {
    use Filter::{Bicubic, Bilinear, Lanczos};
    let of = Upstream::of;
    let (square, cropped) = (FixedSize::square, FixedSize::cropped);
    let ones = ([1.0; 3], [1.0; 3]);
    vec![
        encoder("clip", cropped(224), Bicubic, CLIP, EDGE, of("CLIPImageProcessor", &["clip"])),
        encoder(
            "siglip",
            square(224),
            Bicubic,
            HALF,
            EDGE,
            of("SiglipImageProcessor", &["siglip"]),
        ),
        unconverted(encoder(
            "vit",
            FixedSize { patch_size: 16, ..square(224) },
            Bilinear,
            HALF,
            SQUARE,
            of("ViTImageProcessor", &["vit"]),
        )),
        encoder(
            "bit",
            FixedSize { patch_size: 32, ..cropped(224) },
            Bicubic,
            CLIP,
            EDGE,
            of("BitImageProcessor", &["bit"]),
        ),
        {
            let family = encoder(
                "convnext",
                FixedSize {
                    shortest_edge: Some(384),
                    convnext: true,
                    patch_size: 32,
                    ..FixedSize::default()
                },
                Bicubic,
                HALF,
                EDGE,
                of("ConvNextImageProcessor", &["convnext"]),
            );
            let recipe = Recipe { lacks: &["pad_size", "do_pad"], ..PICTURE };
            unconverted(Family { spec: Spec { recipe, ..family.spec }, ..family })
        },
        encoder(
            "blip",
            FixedSize { patch_size: 16, ..square(384) },
            Bicubic,
            CLIP,
            SQUARE,
            of("BlipImageProcessor", &["blip"]),
        ),
        unconverted(encoder(
            "deit",
            FixedSize { do_center_crop: true, patch_size: 16, ..square(256) },
            Bicubic,
            HALF,
            SQUARE,
            of("DeiTImageProcessor", &["deit"]),
        )),
        {
            let family = encoder(
                "tipsv2",
                square(448),
                Bilinear,
                HALF,
                SQUARE,
                torchvision(of("Tipsv2ImageProcessor", &["tipsv2"])),
            );
            let common = Common { do_normalize: false, ..family.spec.common };
            Family { spec: Spec { common, ..family.spec }, ..family }
        },
        unconverted(encoder(
            "pp-chart2table",
            square(1024),
            Bicubic,
            CLIP,
            SQUARE,
            of("PPChart2TableImageProcessor", &["pp_chart2table"]),
        )),
        {
            let family = encoder(
                "chameleon",
                FixedSize { patch_size: 16, ..cropped(512) },
                Lanczos,
                ones,
                EDGE,
                of("ChameleonImageProcessor", &["chameleon"]),
            )
            .says(
                Prompt::of(&[
                    Word::Text(("<racm3:break>", 1)),
                    Word::Tokens("<image>"),
                    Word::Text(("<eoss>", 1)),
                ])
                .counting(Counts::One),
            );
            let common = Common { rescale_factor: 0.0078, ..family.spec.common };
            Family { spec: Spec { common, ..family.spec }, ..family }
        },
        {
            let family = encoder(
                "llava",
                FixedSize { padding: Padding::Square, ..cropped(336) },
                Bicubic,
                CLIP,
                EDGE,
                Upstream {
                    defaults: &[
                        ("shortest_edge", Preset::Int(224)),
                        ("crop_size", Preset::Int(224)),
                    ],
                    ..of("LlavaImageProcessor", &["llava"])
                },
            )
            .says(Prompt::of(&[Word::Tokens("<image>")]).counting(Counts::One));
            let recipe = Recipe { lacks: &["crop_pct", "pad_size"], ..PICTURE };
            Family { spec: Spec { recipe, ..family.spec }, ..family }
        },
        {
            let family = unconverted(encoder(
                "dinov3-vit",
                FixedSize { patch_size: 16, ..square(224) },
                Bilinear,
                IMAGENET,
                SQUARE,
                torchvision(of("DINOv3ViTImageProcessor", &["dinov3_vit"])),
            ));
            let recipe = Recipe {
                views: const {
                    &[
                        ViewSpec::tiles(Role::Whole)
                            .in_floats(Floats { first: First::Rescale, ..Floats::KEPT }),
                        ViewSpec::STEP,
                    ]
                },
                ..PICTURE
            };
            Family { spec: Spec { recipe, ..family.spec }, ..family }
        },
        {
            let family = encoder(
                "video-llava",
                cropped(224),
                Bicubic,
                CLIP,
                EDGE,
                Upstream {
                    backends: Backends::Pillow,
                    ..of("VideoLlavaImageProcessor", &["video_llava"])
                },
            )
            .says(Prompt::of(&[Word::Tokens("<image>")]).counting(Counts::One));
            let recipe = Recipe {
                arrays: const { &[ArraySpec::concatenated("pixel_values_images")] },
                ..PICTURE
            };
            Family { spec: Spec { recipe, ..family.spec }, ..family }
        },
    ]
}

//! Texts for images that several families share or that have parts.

use crate::plan::Role;
use crate::spec::{Counts, Digits, Mark, NOTHING, Positions, Prompt, Word};

/// The form of words for each unit of a role, with nothing between them.
const fn each(role: Role, words: &'static [Word]) -> Word {
    Word::Each { role, words, column: NOTHING, row: NOTHING, last: NOTHING }
}

/// The same with a text after each row.
const fn in_rows(role: Role, words: &'static [Word], row: Mark) -> Word {
    Word::Each { role, words, column: NOTHING, row, last: row }
}

pub(super) const INTERNVL: Prompt = Prompt::of(&[
    Word::Text(("<img>", 1)),
    Word::Tokens("<IMG_CONTEXT>"),
    Word::Text(("</img>", 1)),
]);

pub(super) const NEMOTRON_NANO: Prompt =
    Prompt::of(&[Word::Text(("<img>", 1)), Word::Tokens("<image>"), Word::Text(("</img>", 1))]);

pub(super) const MINIMAX: Prompt = Prompt::of(&[
    Word::Text(("]<]start of image[>[", 0)),
    Word::Tokens("]<]image[>["),
    Word::Text(("]<]end of image[>[", 0)),
]);

pub(super) const HUNYUAN: Prompt = Prompt::of(&[Word::Tokens("<｜hy_place▁holder▁no▁102｜>")])
    .counting(Counts::Sides)
    .placed(Positions::Planes);

pub(super) const HY_V4: Prompt =
    Prompt::of(&[Word::Tokens("<|image_pad|>")]).counting(Counts::Sides).placed(Positions::Lines);

pub(super) const ERNIE: Prompt =
    Prompt::of(&[Word::Tokens("<|IMAGE_PLACEHOLDER|>")]).placed(Positions::Pairs);

pub(super) const PADDLE: Prompt =
    Prompt::of(&[Word::Tokens("<|IMAGE_PLACEHOLDER|>")]).placed(Positions::Grid);

pub(super) const EMU3: Prompt = Prompt::of(&[
    Word::Text(("<|image start|>", 0)),
    Word::Number(Digits::CellRows),
    Word::Text(("*", 0)),
    Word::Number(Digits::CellColumns),
    Word::Text(("<|image token|>", 0)),
    Word::Tokens("<image>"),
    Word::Text(("<|extra_201|><|image end|>", 0)),
])
.counting(Counts::One);

pub(super) const APERTUS: Prompt = Prompt::of(&[
    Word::Text(("<|img_start|>", 0)),
    Word::Number(Digits::CellRows),
    Word::Text(("*", 0)),
    Word::Number(Digits::CellColumns),
    Word::Text(("<|img_token_start|>", 0)),
    Word::Rows {
        role: Role::Whole,
        token: "<|image|>",
        end: ("<|img_end_of_row|>", 0),
        last: NOTHING,
    },
    Word::Text(("<|img_end|>", 0)),
])
.counting(Counts::Tokens);

pub(super) const PIXTRAL: Prompt = Prompt::of(&[Word::Rows {
    role: Role::Whole,
    token: "[IMG]",
    end: ("[IMG_BREAK]", 1),
    last: ("[IMG_END]", 1),
}])
.counting(Counts::One);

pub(super) const FUYU: Prompt = Prompt::of(&[
    Word::Rows {
        role: Role::Whole,
        token: "|SPEAKER|",
        end: ("|NEWLINE|", 1),
        last: ("|NEWLINE|", 1),
    },
    Word::Text(("<s>", 0)),
])
.counting(Counts::One);

pub(super) const NEOMME: Prompt = Prompt::of(&[
    Word::Text(("<img>", 1)),
    Word::Rows { role: Role::Whole, token: "<img>", end: ("<row>", 1), last: ("<row>", 1) },
]);

pub(super) const GEMMA4: Prompt = Prompt::of(&[
    Word::Text(("<|image>", 0)),
    Word::Tokens("<|image|>"),
    Word::Text(("<image|>", 0)),
])
.counting(Counts::One);

/// One view of Gemma 3.
const GEMMA3_VIEW: &[Word] = &[
    Word::Text(("\n\n<start_of_image>", 0)),
    Word::Unit("<image_soft_token>"),
    Word::Text(("<end_of_image>\n\n", 0)),
];

/// Upstream does not count crops.
pub(super) const GEMMA3: Prompt = Prompt::of(&[Word::Either {
    role: Role::Crop,
    with: &[
        Word::Text(("Here is the original image ", 0)),
        each(Role::Whole, GEMMA3_VIEW),
        Word::Silent(&[
            Word::Text((" and here are some crops to help you see better ", 0)),
            Word::Each {
                role: Role::Crop,
                words: GEMMA3_VIEW,
                column: (" ", 0),
                row: (" ", 0),
                last: NOTHING,
            },
        ]),
    ],
    without: &[each(Role::Whole, GEMMA3_VIEW)],
}])
.counting(Counts::One);

const COHERE2_TILE: &[Word] = &[Word::Unit("<|IMG_PATCH|>"), Word::Text(("<|IMG_LINE_BREAK|>", 1))];

pub(super) const COHERE2: Prompt = Prompt::of(&[
    Word::Text(("<|START_OF_IMG|>", 1)),
    each(Role::Whole, COHERE2_TILE),
    each(Role::Tiles, COHERE2_TILE),
    each(Role::Thumbnail, COHERE2_TILE),
    Word::Text(("<|END_OF_IMG|>", 1)),
]);

pub(super) const OVIS2: Prompt = Prompt::of(&[
    Word::Text(("<IMG_START>", 1)),
    Word::Cells(Role::Whole, "<IMG_ATOM>"),
    Word::Cells(Role::Thumbnail, "<IMG_ATOM>"),
    Word::Text(("<IMG_GRID>", 1)),
    Word::Each {
        role: Role::Tiles,
        words: &[Word::Unit("<IMG_ATOM>")],
        column: ("<IMG_COL>", 1),
        row: ("<IMG_ROW>", 1),
        last: NOTHING,
    },
    Word::Text(("<IMG_END>", 1)),
]);

pub(super) const LLAMA4: Prompt = Prompt::of(&[
    Word::Text(("<|image_start|>", 1)),
    Word::Either {
        role: Role::Thumbnail,
        with: &[
            Word::Each {
                role: Role::Tiles,
                words: &[Word::Unit("<|patch|>")],
                column: ("<|tile_x_separator|>", 1),
                row: ("<|tile_y_separator|>", 1),
                last: ("<|tile_y_separator|>", 1),
            },
            Word::Text(("<|image|>", 1)),
            Word::Cells(Role::Thumbnail, "<|patch|>"),
        ],
        without: &[Word::Text(("<|image|>", 1)), Word::Cells(Role::Tiles, "<|patch|>")],
    },
    Word::Text(("<|image_end|>", 1)),
]);

/// A tile of Idefics 3 and its kin, with its place.
const PLACED: &[Word] = &[
    Word::Text(("<fake_token_around_image><row_", 2)),
    Word::Number(Digits::Row),
    Word::Text(("_col_", 0)),
    Word::Number(Digits::Column),
    Word::Text((">", 0)),
    Word::Unit("<image>"),
];

const WHOLE_VIEW: Mark = ("<fake_token_around_image><global-img>", 2);
const FAKE: Mark = ("<fake_token_around_image>", 1);

/// The two line breaks before the whole view are one token.
pub(super) const SPLIT: Prompt = Prompt::of(&[
    in_rows(Role::Tiles, PLACED, ("\n", 1)),
    Word::Either { role: Role::Tiles, with: &[Word::Text(("\n", 0))], without: &[] },
    Word::Text(WHOLE_VIEW),
    Word::Cells(Role::Whole, "<image>"),
    Word::Cells(Role::Thumbnail, "<image>"),
    Word::Text(FAKE),
])
.counting(Counts::Split);

pub(super) const DOCLING: Prompt = Prompt::of(&[
    in_rows(Role::Whole, PLACED, ("\n", 1)),
    in_rows(Role::Tiles, PLACED, ("\n", 1)),
    Word::Either {
        role: Role::Thumbnail,
        with: &[
            Word::Text(("\n", 0)),
            Word::Text(WHOLE_VIEW),
            Word::Cells(Role::Thumbnail, "<image>"),
            Word::Text(FAKE),
        ],
        without: &[],
    },
]);

const IDEFICS2_VIEW: &[Word] = &[Word::Text(FAKE), Word::Unit("<image>")];

pub(super) const IDEFICS2: Prompt = Prompt::of(&[
    each(Role::Crop, IDEFICS2_VIEW),
    each(Role::Whole, IDEFICS2_VIEW),
    Word::Text(FAKE),
])
.counting(Counts::One);

const STEP3_WINDOW: &[Word] =
    &[Word::Text(("<patch_start>", 1)), Word::Unit("<im_patch>"), Word::Text(("<patch_end>", 1))];

const STEP3_ROW: Mark = ("<patch_newline>", 1);

/// Windows of a role, with a text between rows.
const fn windows(role: Role) -> Word {
    Word::Each { role, words: STEP3_WINDOW, column: NOTHING, row: STEP3_ROW, last: NOTHING }
}

pub(super) const STEP3: Prompt = Prompt::of(&[
    windows(Role::Tiles),
    windows(Role::Crop),
    Word::Text(("<im_start>", 1)),
    Word::Cells(Role::Global, "<im_patch>"),
    Word::Text(("<im_end>", 1)),
])
.counting(Counts::Parts);

pub(super) const MINICPM: Prompt = Prompt::of(&[
    Word::Text(("<image_id>", 1)),
    Word::Number(Digits::Image),
    Word::Text(("</image_id><image>", 2)),
    Word::Cells(Role::Whole, "<|image_pad|>"),
    Word::Text(("</image>", 1)),
    Word::Each {
        role: Role::Crop,
        words: &[
            Word::Text(("<slice>", 1)),
            Word::Unit("<|image_pad|>"),
            Word::Text(("</slice>", 1)),
        ],
        column: NOTHING,
        row: ("\n", 1),
        last: NOTHING,
    },
])
.counting(Counts::One);

/// The same before it came to transformers.
pub(super) const MINICPM_OWN: Prompt = Prompt::of(&[
    Word::Text(("<image_id>", 1)),
    Word::Number(Digits::Image),
    Word::Text(("</image_id><image>", 2)),
    Word::Cells(Role::Whole, "<unk>"),
    Word::Text(("</image>", 1)),
    Word::Each {
        role: Role::Crop,
        words: &[Word::Text(("<slice>", 1)), Word::Unit("<unk>"), Word::Text(("</slice>", 1))],
        column: NOTHING,
        row: ("\n", 1),
        last: NOTHING,
    },
])
.counting(Counts::One);

/// Rows of windows, each with a newline, behind that beginning.
const fn molmo2_view(role: Role, start: Mark) -> [Word; 3] {
    let newline = ("<im_col>", 1);
    [
        Word::Text(start),
        Word::Rows { role, token: "<im_patch>", end: newline, last: newline },
        Word::Text(("<im_end>", 1)),
    ]
}

const MOLMO2_WHOLE: [Word; 3] = molmo2_view(Role::Global, ("<low_res_im_start>", 1));
const MOLMO2_CROPS: [Word; 3] = molmo2_view(Role::Step, ("<im_start>", 1));

pub(super) const MOLMO2: Prompt = Prompt::of(&[
    MOLMO2_WHOLE[0],
    MOLMO2_WHOLE[1],
    MOLMO2_WHOLE[2],
    MOLMO2_CROPS[0],
    MOLMO2_CROPS[1],
    MOLMO2_CROPS[2],
])
.counting(Counts::Windows);

/// vLLM's copy puts the same token where the image begins and ends.
pub(super) const OVIS25: Prompt = Prompt::of(&[
    Word::Text(("<|image_pad|>", 1)),
    Word::Tokens("<|image_pad|>"),
    Word::Text(("<|image_pad|>", 1)),
]);

pub(super) const LFM2: Prompt = Prompt::of(&[
    Word::Text(("<|image_start|>", 1)),
    each(
        Role::Crop,
        &[
            Word::Text(("<|img_row_", 1)),
            Word::Number(Digits::Row),
            Word::Text(("_col_", 0)),
            Word::Number(Digits::Column),
            Word::Text(("|>", 0)),
            Word::Unit("<image>"),
        ],
    ),
    Word::Either {
        role: Role::Thumbnail,
        with: &[Word::Text(("<|img_thumbnail|>", 1)), Word::Cells(Role::Thumbnail, "<image>")],
        without: &[Word::Cells(Role::Whole, "<image>")],
    },
    Word::Text(("<|image_end|>", 1)),
])
.counting(Counts::One);

//! Texts for videos, and what each of them says of times.

use crate::error::Size;
use crate::plan::{Role, Times};
use crate::spec::{Clock, Digits, Mark, Moment, NOTHING, Prompt, Rate, Word};

/// Words for each step, with nothing between them.
const fn steps(words: &'static [Word]) -> Word {
    Word::Steps(words, NOTHING)
}

/// A text that upstream does not count.
const fn text(text: &'static str) -> Word {
    Word::Text((text, 0))
}

pub(super) const QWEN: Prompt = Prompt::of(&[Word::Tokens("<|video_pad|>")]);

pub(super) const QWEN3: Prompt = Prompt::of(&[steps(&[
    text("<"),
    Word::Time(Moment::Middle, Clock::Tenths),
    text(" seconds><|vision_start|>"),
    Word::Unit("<|video_pad|>"),
    text("<|vision_end|>"),
])]);

pub(super) const COMPASS: Prompt = Prompt::of(&[steps(&[
    text("<"),
    Word::Time(Moment::Middle, Clock::Tenths),
    text(" seconds><|VISION_START|>"),
    Word::Unit("<|VIDEO_PAD|>"),
    text("<|VISION_END|>"),
])]);

pub(super) const ERNIE: Prompt = Prompt::of(&[Word::Tokens("<|VIDEO_PLACEHOLDER|>")]);

pub(super) const GLM4V: Prompt = Prompt::of(&[steps(&[
    text("<|begin_of_image|>"),
    Word::Unit("<|image|>"),
    text("<|end_of_image|>"),
    Word::Time(Moment::EverySecond, Clock::Seconds),
])]);

pub(super) const GLM46V: Prompt = Prompt::of(&[steps(&[
    text("<|begin_of_image|>"),
    Word::Unit("<|image|>"),
    text("<|end_of_image|>"),
    Word::Time(Moment::EverySecond, Clock::Tenths),
    text(" seconds"),
])]);

pub(super) const VIDEO_LLAMA3: Prompt = Prompt::of(&[Word::Steps(
    &[
        text("Time "),
        Word::Time(Moment::First, Clock::Tenths),
        text("s:"),
        Word::Kept("<|video_pad|>"),
    ],
    (",", 0),
)])
.at(Rate::Of(1));

pub(super) const MINIMAX: Prompt = Prompt::of(&[steps(&[
    Word::Timed(&[text("]<]"), Word::Time(Moment::First, Clock::Tenths), text(" seconds[>[")]),
    text("]<]start of image[>["),
    Word::Unit("]<]video[>["),
    text("]<]end of image[>["),
])])
.at(Rate::Unknown);

/// What an encoder's patches become: upstream's number does not follow from the size of a frame.
pub(super) const fn internvl_tokens(_patches: Size) -> usize {
    256
}

pub(super) const INTERNVL: Prompt = Prompt::of(&[Word::Steps(
    &[
        text("Frame"),
        Word::Number(Digits::Index),
        text(": <img>"),
        Word::Unit("<IMG_CONTEXT>"),
        text("</img>"),
    ],
    ("\n", 0),
)]);

pub(super) const fn quarter((rows, columns): Size) -> usize {
    rows * columns / 4
}

pub(super) const fn halves((rows, columns): Size) -> usize {
    (rows / 2) * (columns / 2)
}

pub(super) const fn halves_up((rows, columns): Size) -> usize {
    rows.div_ceil(2) * columns.div_ceil(2)
}

pub(super) const LLAVA_NEXT_VIDEO: Prompt = Prompt::of(&[steps(&[Word::Unit("<video>")])]);

/// A token of the newline ends the video.
pub(super) const LLAVA_ONEVISION: Prompt =
    Prompt::of(&[steps(&[Word::Unit("<video>")]), Word::Text(("<video>", 1))]);

pub(super) const PERCEPTION_LM: Prompt = Prompt::of(&[steps(&[Word::Unit("<|video|>")])]);

/// One more a frame than it has patches: the class of the encoder.
pub(super) const VIDEO_LLAVA: Prompt = Prompt::of(&[steps(&[Word::Unit("<video>")])]);

const SPACE: Mark = (" ", 0);

pub(super) const GEMMA4: Prompt = Prompt::of(&[Word::Steps(
    &[
        Word::Time(Moment::First, Clock::Minutes),
        text(" <|image>"),
        Word::Unit("<|video|>"),
        text("<image|>"),
    ],
    SPACE,
)]);

pub(super) const EMBEDDING_GEMMA2: Prompt = Prompt::of(&[Word::Stamped {
    with: &[Word::Steps(
        &[
            Word::Time(Moment::First, Clock::NearestMinutes),
            text(" <|image>"),
            Word::Unit("<|video|>"),
            text("<image|>"),
        ],
        SPACE,
    )],
    without: &[steps(&[text("<|image>"), Word::Unit("<|video|>"), text("<image|>")])],
}])
.at(Rate::Needed);

pub(super) const KIMI_K25: Prompt = Prompt::of(&[steps(&[
    Word::Time(Moment::First, Clock::Day),
    text("<|media_begin|>video<|media_content|>"),
    Word::Unit("<|kimi_k25_video_placeholder|>"),
    text("<|media_end|>"),
])]);

pub(super) const MUSE: Prompt = Prompt::of(&[
    text("<|vid_start|>"),
    Word::Steps(
        &[
            text("Time: "),
            Word::Time(Moment::First, Clock::Tenths),
            text("s"),
            Word::Unit("<|video|>"),
        ],
        ("<|vid_frame_separator|>", 0),
    ),
    text("<|vid_end|>"),
]);

/// Each frame as an image.
pub(super) const MINICPM: Prompt = Prompt::of(&[
    text("<image_id>"),
    Word::Number(Digits::Image),
    text("</image_id>"),
    steps(&[
        text("<image>"),
        Word::Cells(Role::Whole, "<|video_pad|>"),
        text("</image>"),
        Word::Each {
            role: Role::Crop,
            words: &[text("<slice>"), Word::Unit("<|video_pad|>"), text("</slice>")],
            column: NOTHING,
            row: ("\n", 0),
            last: NOTHING,
        },
    ]),
]);

pub(super) const MOLMO2: Prompt = Prompt::of(&[Word::Steps(
    &[
        Word::Time(Moment::First, Clock::Tenths),
        text(" <frame_start>"),
        Word::Unit("<im_patch>"),
        text("<frame_end>"),
    ],
    SPACE,
)])
.at(Rate::Most);

/// The numbers of a step's frames and their times: of whole milliseconds a frame where frames have numbers in the video,
/// else of the rate.
fn nemotron_label(times: &Times<'_>, step: usize, say: &mut dyn FnMut(&str)) {
    let first = step * times.step;
    for frame in first..times.frames.min(first + times.step) {
        say(if frame == first { "Frame " } else { " and frame " });
        say(&(frame + 1).to_string());
        let Some(rate) = times.rate else { continue };
        let time = match times.indices {
            Some(indices) => {
                let milliseconds = (1000.0 / rate) as i128;
                (i128::from(indices[frame]) * milliseconds) as f64 / 1000.0
            }
            None => frame as f64 / rate,
        };
        say(&format!(" sampled at {time:.2} seconds"));
    }
    say(": ");
}

pub(super) const NEMOTRON: Prompt = Prompt::of(&[Word::Steps(
    &[Word::Phrase(nemotron_label), text("<img>"), Word::Unit("<image>"), text("</img>")],
    ("\n", 0),
)])
.at(Rate::Unknown);

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] =
    ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// A number below 1000 in English.
fn below_thousand(number: usize, say: &mut dyn FnMut(&str)) {
    let (hundreds, rest) = (number / 100, number % 100);
    if hundreds > 0 {
        say(ONES[hundreds]);
        say(if rest > 0 { " hundred and " } else { " hundred" });
    }
    if rest >= 20 {
        say(TENS[rest / 10]);
        if rest % 10 > 0 {
            say("-");
            say(ONES[rest % 10]);
        }
    } else if rest > 0 {
        say(ONES[rest]);
    }
}

/// A number of frames in English, as the package num2words spells it.
fn in_words(number: usize, say: &mut dyn FnMut(&str)) {
    if number == 0 {
        say(ONES[0]);
    }
    let mut begun = false;
    for (unit, name) in [(1_000_000, " million"), (1000, " thousand"), (1, "")] {
        let count = number / unit % 1000;
        if count == 0 {
            continue;
        }
        if begun {
            say(if unit == 1 && count < 100 { " and " } else { ", " });
        }
        below_thousand(count, say);
        say(name);
        begun = true;
    }
}

/// How many frames of how long a video.
fn smolvlm_intro(times: &Times<'_>, _step: usize, say: &mut dyn FnMut(&str)) {
    say("You are provided the following series of ");
    in_words(times.frames, say);
    say(" frames from a ");
    let seconds =
        times.duration.unwrap_or_else(|| times.time(times.frames.saturating_sub(1))) as i64;
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    if days != 0 {
        say(&format!("{days} day{}, ", if days.abs() == 1 { "" } else { "s" }));
    }
    say(&format!("{}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60));
    say(" [H:MM:SS] video.\n");
}

pub(super) const SMOLVLM: Prompt = Prompt::of(&[
    Word::Phrase(smolvlm_intro),
    steps(&[
        text("\nFrame from "),
        Word::Time(Moment::First, Clock::Minutes),
        text(":<fake_token_around_image><global-img>"),
        Word::Unit("<image>"),
        text("<fake_token_around_image>"),
    ]),
    text("\n\n"),
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_words() {
        let words = |number| {
            let mut text = String::new();
            in_words(number, &mut |word| text.push_str(word));
            text
        };
        assert_eq!(words(0), "zero");
        assert_eq!(words(20), "twenty");
        assert_eq!(words(64), "sixty-four");
        assert_eq!(words(110), "one hundred and ten");
        assert_eq!(words(1000), "one thousand");
        assert_eq!(words(2019), "two thousand and nineteen");
        assert_eq!(
            words(16_777_216),
            "sixteen million, seven hundred and seventy-seven thousand, two hundred and sixteen"
        );
    }
}

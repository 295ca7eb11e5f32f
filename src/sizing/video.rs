//! Budgets of videos: what a frame may have, and the sizes of qwen-vl-utils.

use super::smart_resize::{Budget, check_ratio};
use crate::error::{Error, Result, Size};

/// Share of a context that upstream leaves to a video.
const CONTEXT_SHARE: f64 = 0.9;
/// How far above the fewest pixels the most pixels stay.
const HEADROOM: f64 = 1.05;
/// qwen-vl-utils' fewest tokens of a frame, whatever a config file says.
pub const LEAST_FRAME_TOKENS: usize = 128;
/// qwen-vl-utils' most tokens of a frame.
pub const FRAME_TOKENS: usize = 768;
/// qwen-vl-utils' frames of a temporal patch.
const FRAME_FACTOR: usize = 2;

fn saturated(value: u128) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn above_fewest(min_pixels: usize) -> usize {
    (min_pixels as f64 * HEADROOM) as usize
}

/// Most pixels of a frame when all frames share 90 % of `tokens`, as transformers' `Qwen2VLVideoProcessor.resize`.
#[must_use]
pub fn cap_of_context(budget: Budget, tokens: usize, temporal: usize, frames: usize) -> Budget {
    let area = tokens as u128 * budget.factor as u128 * budget.factor as u128;
    let total = (area as f64 * CONTEXT_SHARE) as u128;
    let share = saturated(total * temporal as u128 / frames.max(1) as u128);
    let max_pixels = budget.max_pixels.min(share).max(above_fewest(budget.min_pixels));
    Budget { max_pixels, ..budget }
}

/// Most pixels of a video whose frames have at most `tokens` each and share its budget, as transformers'
/// `Qwen3VLVideoProcessor.resize`.
#[must_use]
pub fn cap_of_frame(budget: Budget, tokens: usize, frames: usize) -> Budget {
    let area = tokens as u128 * budget.factor as u128 * budget.factor as u128;
    let share = saturated(area).min(budget.max_pixels / frames.max(1));
    let frame = share.max(above_fewest(budget.min_pixels));
    Budget { max_pixels: saturated(frame as u128 * frames as u128), ..budget }
}

/// The most rows and columns of `factor` pixels of a frame that is never scaled up: within the frame, `frame_pixels`, and
/// its share of `budget`, in which each row costs a column more. As transformers' `HYV4VLVideoProcessor.smart_resize`.
///
/// # Errors
/// `AspectRatio`, `Option` for a budget of zero.
pub fn shrink_to_share(
    size: Size,
    frames: usize,
    budget: Budget,
    frame_pixels: usize,
) -> Result<Size> {
    let (height, width) = size;
    let Budget { factor, max_pixels, .. } = budget;
    check_ratio(size)?;
    let (most_rows, most_columns) = ((height / factor).max(1), (width / factor).max(1));
    let cell = factor * factor;
    let tokens = max_pixels / cell;
    for rows in (1..=most_rows).rev() {
        let fewest = if rows == 1 { 1 } else { (width * rows / height).max(1) };
        let ray = (width * (rows + 1)).div_ceil(height).saturating_sub(1).max(1);
        let share = (tokens / (frames.max(1) * rows)).saturating_sub(1);
        let columns = most_columns.min(ray).min(share).min(frame_pixels / (cell * rows));
        if columns >= fewest {
            return Ok((rows * factor, columns * factor));
        }
    }
    Ok((factor, factor))
}

/// Most pixels of a frame as qwen-vl-utils' `fetch_video` has it: a share of `total_pixels`, or of 90 % of a
/// context of `model_seq_len` tokens. Not a whole number, and upstream does not round it.
#[must_use]
pub fn qwen_vl_utils_max_pixels(
    budget: Budget,
    total_pixels: Option<usize>,
    model_seq_len: usize,
    frames: usize,
) -> f64 {
    let square = budget.factor as u128 * budget.factor as u128;
    let context = (model_seq_len as u128 * square) as f64 * CONTEXT_SHARE;
    let total = total_pixels.map_or(context, |pixels| pixels as f64);
    let most = FRAME_TOKENS * budget.factor * budget.factor;
    // It repeats the last of an odd number of frames before it counts them.
    let frames = frames.next_multiple_of(FRAME_FACTOR);
    let share = (most as f64).min(total / frames as f64 * FRAME_FACTOR as f64);
    let limit = share.max(above_fewest(budget.min_pixels) as f64);
    // The default is not told apart from no choice of the caller's: both leave the limit as it is.
    if budget.max_pixels == most { limit } else { limit.min(budget.max_pixels as f64) }
}

/// qwen-vl-utils' `smart_resize`: sides are at least one factor before the test, and may vanish after it.
///
/// # Errors
/// `ZeroSide`, of the frame or of what it becomes; `AspectRatio` above 200; `Option` where `max_pixels` is below
/// `min_pixels`.
pub fn smart_resize_qwen_vl_utils(
    size: Size,
    factor: usize,
    min_pixels: usize,
    max_pixels: f64,
) -> Result<Size> {
    if size.0 == 0 || size.1 == 0 {
        return Err(Error::ZeroSide { what: "image", size });
    }
    if max_pixels < min_pixels as f64 {
        let given = format!("{max_pixels} below {min_pixels}");
        return Err(Error::Option { name: "max_pixels", rule: "at least min_pixels", given });
    }
    check_ratio(size)?;
    let (height, width) = (size.0 as f64, size.1 as f64);
    let (unit, min) = (factor as f64, min_pixels as f64);
    let near = |side: f64| ((side / unit).round_ties_even() * unit).max(unit);
    let (h, w) = (near(height), near(width));
    let (h, w) = if h * w > max_pixels {
        let beta = (height * width / max_pixels).sqrt();
        let down = |side: f64| (side / beta / unit).floor() * unit;
        (down(height), down(width))
    } else if h * w < min {
        let beta = (min / (height * width)).sqrt();
        let up = |side: f64| (side * beta / unit).ceil() * unit;
        (up(height), up(width))
    } else {
        (h, w)
    };
    let resized = (h as usize, w as usize);
    if resized.0 == 0 || resized.1 == 0 {
        return Err(Error::ZeroSide { what: "resized frame", size: resized });
    }
    Ok(resized)
}

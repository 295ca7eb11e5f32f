//! Fitting an image whole into a canvas.

use crate::error::Size;

/// Where a resized image lies on its canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The size to resize to.
    pub resized: Size,
    /// Rows above it and columns left of it.
    pub offset: (usize, usize),
}

/// Pillow's `ImageOps.pad`: contain, rounding half to even, then centre, rounding half to even.
///
/// A side that rounds to zero stays zero: the canvas is all background then.
#[must_use]
pub fn contain(size: Size, canvas: Size) -> Placement {
    let (height, width) = (size.0 as f64, size.1 as f64);
    let image_ratio = width / height;
    let canvas_ratio = canvas.1 as f64 / canvas.0 as f64;
    let mut resized = canvas;
    if image_ratio > canvas_ratio {
        resized.0 = (height / width * canvas.1 as f64).round_ties_even() as usize;
    } else if image_ratio < canvas_ratio {
        resized.1 = (width / height * canvas.0 as f64).round_ties_even() as usize;
    }
    let centre = |room: usize| (room as f64 * 0.5).round_ties_even() as usize;
    let offset = (centre(canvas.0 - resized.0), centre(canvas.1 - resized.1));
    Placement { resized, offset }
}

/// Inside a canvas, one side of which it fills; the other rounds up: `get_patch_output_size`.
#[must_use]
pub fn contain_up(size: Size, canvas: Size) -> Size {
    let (height, width) = (size.0 as f64, size.1 as f64);
    let down = canvas.0 as f64 / height;
    let across = canvas.1 as f64 / width;
    if across < down {
        (((height * across).ceil() as usize).min(canvas.0), canvas.1)
    } else {
        (canvas.0, ((width * down).ceil() as usize).min(canvas.1))
    }
}

/// The same with the other side rounded down, at least 1: `get_max_res_without_distortion`.
#[must_use]
pub fn contain_down(size: Size, canvas: Size) -> Size {
    let (height, width) = (size.0 as f64, size.1 as f64);
    let down = canvas.0 as f64 / height;
    let across = canvas.1 as f64 / width;
    if across < down {
        (((height * across).floor() as usize).min(canvas.0).max(1), canvas.1)
    } else {
        (canvas.0, ((width * down).floor() as usize).min(canvas.1).max(1))
    }
}

/// The longer side to `target`, the other in proportion, half to even, at least `min_side`.
#[must_use]
pub fn longest_side(size: Size, target: usize, min_side: usize) -> Size {
    let delta = target as f64 / size.0.max(size.1) as f64;
    let scale = |side: usize| ((side as f64 * delta).round_ties_even() as usize).max(min_side);
    (scale(size.0), scale(size.1))
}

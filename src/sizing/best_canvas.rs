//! The canvas that keeps most of an image, as DeepSeek-VL2's and LLaVA-NeXT's `select_best_resolution`.

use crate::error::{Error, Result, Size};

/// The first candidate that keeps the most pixels and, among those, wastes the fewest.
///
/// # Errors
/// `ZeroSide` for the image or a candidate, `Option` for an empty list.
pub fn best_canvas(size: Size, candidates: &[Size]) -> Result<Size> {
    let (height, width) = size;
    if height == 0 || width == 0 {
        return Err(Error::ZeroSide { what: "image", size });
    }
    let mut best: Option<(Size, u128, u128)> = None;
    for &canvas in candidates {
        if canvas.0 == 0 || canvas.1 == 0 {
            return Err(Error::ZeroSide { what: "candidates", size: canvas });
        }
        let scale = (canvas.1 as f64 / width as f64).min(canvas.0 as f64 / height as f64);
        let scaled = ((width as f64 * scale) as u128) * ((height as f64 * scale) as u128);
        let kept = scaled.min(width as u128 * height as u128);
        let wasted = (canvas.0 as u128 * canvas.1 as u128).saturating_sub(kept);
        let better =
            best.is_none_or(|(_, most, least)| kept > most || (kept == most && wasted < least));
        if better {
            best = Some((canvas, kept, wasted));
        }
    }
    let empty = Error::Option {
        name: "candidates",
        rule: "at least one (height, width)",
        given: "an empty list".into(),
    };
    best.map(|(canvas, ..)| canvas).ok_or(empty)
}

//! The canvas that keeps most of an image, as DeepSeek-VL2's and LLaVA-NeXT's `select_best_resolution`.

use crate::error::{Error, Result, Size, push};

/// Candidates of [`best_canvas`], checked once.
#[derive(Clone, Debug)]
pub struct Canvases(Vec<Candidate>);

#[derive(Clone, Copy, Debug)]
struct Candidate {
    size: Size,
    height: f64,
    width: f64,
    area: u128,
}

impl Canvases {
    /// Of these, in this order.
    ///
    /// # Errors
    /// `ZeroSide` for a candidate, `Option` for an empty list.
    pub fn new(candidates: impl IntoIterator<Item = Size>) -> Result<Self> {
        let mut all = Vec::new();
        for size in candidates {
            if size.0 == 0 || size.1 == 0 {
                return Err(Error::ZeroSide { what: "candidates", size });
            }
            let (height, width) = (size.0 as f64, size.1 as f64);
            let area = size.0 as u128 * size.1 as u128;
            push(&mut all, Candidate { size, height, width, area })?;
        }
        if all.is_empty() {
            return Err(Error::Option {
                name: "candidates",
                rule: "at least one (height, width)",
                given: "an empty list".into(),
            });
        }
        Ok(Self(all))
    }

    /// The first candidate that keeps the most pixels and, among those, wastes the fewest.
    ///
    /// # Errors
    /// `ZeroSide` for the image.
    pub fn best(&self, size: Size) -> Result<Size> {
        self.best_number(size).map(|number| self.0[number].size)
    }

    /// Its number in the list.
    ///
    /// # Errors
    /// `ZeroSide` for the image.
    pub fn best_number(&self, size: Size) -> Result<usize> {
        if size.0 == 0 || size.1 == 0 {
            return Err(Error::ZeroSide { what: "image", size });
        }
        let (height, width) = (size.0 as f64, size.1 as f64);
        let area = size.0 as u128 * size.1 as u128;
        let mut best = 0;
        let mut best_kept: Option<(u128, u128)> = None;
        for (number, canvas) in self.0.iter().enumerate() {
            let scale = (canvas.width / width).min(canvas.height / height);
            let (scaled_width, scaled_height) = ((width * scale) as u64, (height * scale) as u64);
            let kept = (u128::from(scaled_width) * u128::from(scaled_height)).min(area);
            let wasted = canvas.area.saturating_sub(kept);
            let better = best_kept
                .is_none_or(|(most, least)| kept > most || (kept == most && wasted < least));
            if better {
                (best, best_kept) = (number, Some((kept, wasted)));
            }
        }
        Ok(best)
    }
}

/// The best of a list of canvases: see [`Canvases::best`].
///
/// # Errors
/// `ZeroSide` for the image or a candidate, `Option` for an empty list.
pub fn best_canvas(size: Size, candidates: &[Size]) -> Result<Size> {
    if size.0 == 0 || size.1 == 0 {
        return Err(Error::ZeroSide { what: "image", size });
    }
    Canvases::new(candidates.iter().copied())?.best(size)
}

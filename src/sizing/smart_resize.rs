//! Rounding to multiples of a factor within a budget of pixels, as transformers' `smart_resize`.

use crate::error::{Error, Result, Size};

/// A factor and the budget in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Both sides become multiples of it.
    pub factor: usize,
    /// Fewest pixels.
    pub min_pixels: usize,
    /// Most pixels.
    pub max_pixels: usize,
}

impl Budget {
    fn check(&self) -> Result<()> {
        let positive = [
            ("factor", self.factor),
            ("min_pixels", self.min_pixels),
            ("max_pixels", self.max_pixels),
        ];
        for (name, value) in positive {
            if value == 0 {
                return Err(Error::Option { name, rule: "at least 1", given: value.to_string() });
            }
        }
        Ok(())
    }
}

const MAX_RATIO: f64 = 200.0;

pub(super) fn check_ratio(size: Size) -> Result<()> {
    let ratio = size.0.max(size.1) as f64 / size.0.min(size.1) as f64;
    if ratio > MAX_RATIO { Err(Error::AspectRatio { size, ratio }) } else { Ok(()) }
}

/// Both sides to multiples of the factor, half to even, then scaled into the budget.
///
/// A ratio of exactly 200 passes. The result may exceed `max_pixels` where the floor of one factor a
/// side or the rounding up to `min_pixels` demands it, as upstream's does.
///
/// # Errors
/// `ZeroSide`, `AspectRatio` above 200, `Option` for a budget of zero.
pub fn smart_resize(size: Size, budget: Budget) -> Result<Size> {
    budget.check()?;
    if size.0 == 0 || size.1 == 0 {
        return Err(Error::ZeroSide { what: "image", size });
    }
    check_ratio(size)?;
    Ok(round_into(size, size, 1.0, 1.0, budget))
}

/// A side below the factor becomes it, and the other side grows in proportion, rounded half to even; first the height,
/// then the width.
#[must_use]
pub fn grown(size: Size, factor: usize) -> Size {
    let (mut height, mut width) = size;
    let scaled = |side: usize, by: usize| {
        ((side as u128 * factor as u128) as f64 / by as f64).round_ties_even() as usize
    };
    if height < factor && height > 0 {
        (height, width) = (factor, scaled(width, height));
    }
    if width < factor && width > 0 {
        (height, width) = (scaled(height, width), factor);
    }
    (height, width)
}

/// The rule of Ovis2.5's processor: an image with a side below the factor grows until its shorter side is the factor, any
/// other's longer side is cut down to 200 times the shorter one; then both as in [`smart_resize`], but a side that the
/// budget leaves no factor vanishes.
///
/// # Errors
/// `ZeroSide`, `Option` for a budget of zero.
pub fn smart_resize_clamped(size: Size, budget: Budget) -> Result<Size> {
    budget.check()?;
    if size.0 == 0 || size.1 == 0 {
        return Err(Error::ZeroSide { what: "image", size });
    }
    let factor = budget.factor as f64;
    let (mut height, mut width) = (size.0 as f64, size.1 as f64);
    if height < factor || width < factor {
        if height < width {
            (height, width) = (factor, (factor / height * width).round_ties_even());
        } else {
            (height, width) = ((factor / width * height).round_ties_even(), factor);
        }
    } else if height.max(width) / height.min(width) > MAX_RATIO {
        if height > width { height = MAX_RATIO * width } else { width = MAX_RATIO * height }
    }
    let (min, max) = (budget.min_pixels.min(budget.max_pixels) as f64, budget.max_pixels as f64);
    let whole = |side: f64| (side / factor).round_ties_even() * factor;
    let (mut h, mut w) = (whole(height), whole(width));
    if h * w > max {
        let beta = (height * width / max).sqrt();
        let down = |side: f64| (side / beta / factor).floor() * factor;
        (h, w) = (down(height), down(width));
    } else if h * w < min {
        let beta = (min / (height * width)).sqrt();
        let up = |side: f64| (side * beta / factor).ceil() * factor;
        (h, w) = (up(height), up(width));
    }
    let resized = (h as usize, w as usize);
    if resized.0 == 0 || resized.1 == 0 {
        return Err(Error::ZeroSide { what: "resized image", size: resized });
    }
    Ok(resized)
}

/// The rule of Qwen3-VL's video processor, in which the budget counts every frame.
///
/// The test uses the number of frames rounded to the temporal factor, the scale uses the true number;
/// a side below the factor is scaled up to it first.
///
/// # Errors
/// `TooFewFrames`, `ZeroSide`, `AspectRatio` above 200, `Option` for a budget or temporal factor of zero.
pub fn smart_resize_video(
    num_frames: usize,
    size: Size,
    temporal_factor: usize,
    budget: Budget,
) -> Result<Size> {
    budget.check()?;
    if temporal_factor == 0 {
        let given = temporal_factor.to_string();
        return Err(Error::Option { name: "temporal_factor", rule: "at least 1", given });
    }
    if size.0 == 0 || size.1 == 0 {
        return Err(Error::ZeroSide { what: "image", size });
    }
    if num_frames < temporal_factor {
        return Err(Error::TooFewFrames { frames: num_frames, temporal: temporal_factor });
    }
    let factor = budget.factor as f64;
    let (mut height, mut width) = size;
    if height < budget.factor || width < budget.factor {
        let scale = (factor / height as f64).max(factor / width as f64);
        height = (height as f64 * scale) as usize;
        width = (width as f64 * scale) as usize;
    }
    check_ratio((height, width))?;
    let frames = num_frames as f64;
    let temporal = temporal_factor as f64;
    let rounded = (frames / temporal).round_ties_even() * temporal;
    Ok(round_into((height, width), (height, width), rounded, frames, budget))
}

/// `tested` multiplies the area in the test, `scaled` in the scale.
fn round_into(size: Size, area: Size, tested: f64, scaled: f64, budget: Budget) -> Size {
    let factor = budget.factor as f64;
    let (height, width) = (size.0 as f64, size.1 as f64);
    let area = area.0 as f64 * area.1 as f64;
    let (min, max) = (budget.min_pixels as f64, budget.max_pixels as f64);
    let h = (height / factor).round_ties_even() * factor;
    let w = (width / factor).round_ties_even() * factor;
    let pixels = tested * h * w;
    let sides = if pixels > max {
        let beta = (scaled * area / max).sqrt();
        let down = |side: f64| ((side / beta / factor).floor() * factor).max(factor);
        (down(height), down(width))
    } else if pixels < min {
        let beta = (min / (scaled * area)).sqrt();
        let up = |side: f64| (side * beta / factor).ceil() * factor;
        (up(height), up(width))
    } else {
        (h, w)
    };
    (sides.0 as usize, sides.1 as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QWEN: Budget = Budget { factor: 28, min_pixels: 3136, max_pixels: 1_003_520 };

    #[test]
    fn boundaries() {
        // Half to even: 70 / 28 = 2.5 rounds to 2; 42 / 28 = 1.5 to 2; 14 / 28 = 0.5 to 0, then grows.
        assert_eq!(smart_resize((70, 70), QWEN), Ok((56, 56)));
        assert_eq!(smart_resize((42, 84), QWEN), Ok((56, 84)));
        assert_eq!(smart_resize((14, 14), QWEN), Ok((56, 56)));
        assert_eq!(smart_resize((1, 1), QWEN), Ok((56, 56)));
        assert_eq!(smart_resize((10, 2000), QWEN), Ok((28, 812)));
        assert!(smart_resize((30, 6000), QWEN).is_ok());
        assert!(matches!(smart_resize((30, 6001), QWEN), Err(Error::AspectRatio { .. })));
        assert!(matches!(smart_resize((0, 5), QWEN), Err(Error::ZeroSide { .. })));
    }
}

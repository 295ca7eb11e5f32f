//! The light margins of a page, which are cut off before anything is planned.
//!
//! Matches `crop_margin` of transformers' `NougatImageProcessor` and `NougatImageProcessorPil`: greys are spread over
//! 0..=255, and the smallest part that holds all that are dark is left.

use crate::error::{Result, Size, zeroed};
use crate::image::ImageRef;
use crate::parallel::Watch;

/// Whose greys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grey {
    /// Two fused products and sums in float32, truncated.
    Torchvision,
    /// Integers of 16 bits after the point, rounded.
    Pillow,
}

/// On a scale to 255 from the darkest to the lightest grey: what is below is no margin.
const THRESHOLD: u8 = 200;
/// Shares of red, green and blue in torchvision's grey.
const SHARES: [f32; 3] = [0.2989, 0.587, 0.114];
/// Rows between two looks at the watch.
const WATCH_EVERY: usize = 16;

impl Grey {
    /// The grey of a colour.
    #[must_use]
    pub fn of(self, [red, green, blue]: [u8; 3]) -> u8 {
        match self {
            Self::Torchvision => {
                // float64 holds each product and its sum whole, so that one rounding to float32 is that of the fused step.
                let fused = |sum: f32, byte: u8, share: f32| {
                    (f64::from(byte) * f64::from(share) + f64::from(sum)) as f32
                };
                let sum = f32::from(red) * SHARES[0];
                fused(fused(sum, green, SHARES[1]), blue, SHARES[2]) as u8
            }
            Self::Pillow => {
                let sum =
                    19595 * u32::from(red) + 38470 * u32::from(green) + 7471 * u32::from(blue);
                ((sum + (1 << 15)) >> 16) as u8
            }
        }
    }

    /// Which greys of an image are dark, where `low` is its darkest and `high` its lightest.
    fn dark(self, low: u8, high: u8) -> [bool; 256] {
        let range = high - low;
        std::array::from_fn(|grey| {
            let above = (grey as u8).wrapping_sub(low);
            match self {
                Self::Torchvision => {
                    f32::from(above) / f32::from(range) * 255.0 < f32::from(THRESHOLD)
                }
                Self::Pillow => f64::from(above) / f64::from(range) * 255.0 < f64::from(THRESHOLD),
            }
        })
    }
}

/// The rows and the columns that hold an image's dark pixels, each as the first and the one past the last. An image of
/// one grey is left whole.
///
/// # Errors
/// `OutOfMemory`, `Interrupted`.
pub fn inside(image: &ImageRef<'_>, grey: Grey, watch: &Watch<'_>) -> Result<(Size, Size)> {
    let (height, width) = image.size();
    let whole = ((0, height), (0, width));
    let (mut low, mut high) = (u8::MAX, u8::MIN);
    greys(image, grey, watch, |_, row| {
        for &grey in row {
            (low, high) = (low.min(grey), high.max(grey));
        }
    })?;
    if low >= high {
        return Ok(whole);
    }
    let dark = grey.dark(low, high);
    let is_dark = |grey: &u8| dark[usize::from(*grey)];
    let (mut rows, mut columns) = ((height, 0), (width, 0));
    greys(image, grey, watch, |y, row| {
        let (Some(first), Some(last)) =
            (row.iter().position(is_dark), row.iter().rposition(is_dark))
        else {
            return;
        };
        rows = (rows.0.min(y), y + 1);
        columns = (columns.0.min(first), columns.1.max(last + 1));
    })?;
    // Another thread may have made the image light meanwhile.
    Ok(if rows.1 == 0 { whole } else { (rows, columns) })
}

/// Shows every row of greys, with its number.
fn greys(
    image: &ImageRef<'_>,
    grey: Grey,
    watch: &Watch<'_>,
    mut show: impl FnMut(usize, &[u8]),
) -> Result<()> {
    let (height, width) = image.size();
    let mut pixels = zeroed(width * image.pixel())?;
    let mut row = zeroed(width)?;
    for y in 0..height {
        if y.is_multiple_of(WATCH_EVERY) {
            watch.check()?;
        }
        image.gather_row(y, &mut pixels);
        for (place, pixel) in row.iter_mut().zip(pixels.chunks_exact(image.pixel())) {
            *place = grey.of([pixel[0], pixel[1], pixel[2]]);
        }
        show(y, &row);
    }
    Ok(())
}

//! Views that Pillow reduces by whole factors before it resizes them: rare, and whole, the plain way.

use super::source::Rows;
use crate::error::Result;
use crate::parallel::Watch;
use crate::plan::View;
use crate::resample::{Numerics, resize_with_gap};

/// Rows between two looks at the watch.
const WATCH_EVERY: usize = 64;
/// How many times as many pixels as the target has are left a side when the resize begins.
const GAP: f64 = 2.0;

/// Makes the canvas of `view` for every frame, from pixels of `input` bytes.
pub(super) fn run(
    view: &View,
    input: usize,
    numerics: Numerics,
    readers: &mut [Box<dyn Rows + '_>],
    keep: &mut [&mut [u8]],
    watch: &Watch<'_>,
) -> Result<()> {
    let rect = view.source;
    let (height, width) = rect.size;
    for (rows, kept) in readers.iter_mut().zip(keep) {
        let mut whole = watch.filled(0, height * width * input)?;
        let mut y = 0;
        while y < height {
            watch.check()?;
            let window = rows.window(rect.top + y, WATCH_EVERY)?;
            let end = (window.end() - rect.top).min(y + WATCH_EVERY).min(height);
            let lines = &mut whole[y * width * input..end * width * input];
            for (y, line) in (y..end).zip(lines.chunks_exact_mut((width * input).max(1))) {
                let row = window.row(rect.top + y);
                row.slice(rect.left * input, width * input).copy_to(line);
            }
            y = end;
        }
        let resized =
            resize_with_gap(&whole, (rect.size, input), view.resized, view.filter, numerics, GAP)?;
        for (kept, pixel) in kept.chunks_exact_mut(3).zip(resized.chunks_exact(input)) {
            kept.copy_from_slice(&pixel[..3]);
        }
    }
    Ok(())
}

//! Sizes of views that are rounded to whole units, and grids of slices of about one view's area.

use crate::error::Size;

use super::Grid;

/// The multiple of `unit` that is nearest to a length, half to even, at least one: MiniCPM's `ensure_divide`.
#[must_use]
pub fn nearest_multiple(length: f64, unit: usize) -> usize {
    ((length / unit as f64).round_ties_even() as usize * unit).max(unit)
}

/// The grid of slices of an image, none where it has at most the pixels of one: MiniCPM's `get_sliced_grid`. Of grids of
/// about as many slices as its area asks for, the one whose aspect ratio is closest on a logarithmic scale; of equals,
/// the one of more rows among those looked at later.
#[must_use]
pub fn slice_grid(size: Size, most: usize, side: usize) -> Option<Grid> {
    let (height, width) = (size.0 as f64, size.1 as f64);
    let aspect = (width / height).ln();
    let wanted = ((width * height / (side * side) as f64).ceil() as usize).min(most);
    if wanted <= 1 {
        return None;
    }
    let mut best = Grid { rows: 1, columns: 1 };
    let mut least = f64::INFINITY;
    for count in [wanted - 1, wanted, wanted + 1] {
        if count == 1 || count > most {
            continue;
        }
        for rows in (1..=count).filter(|rows| count.is_multiple_of(*rows)) {
            let columns = count / rows;
            let error = (aspect - (columns as f64 / rows as f64).ln()).abs();
            let tie = error.total_cmp(&least).is_eq();
            if error < least || (tie && rows > best.rows) {
                best = Grid { rows, columns };
                least = error;
            }
        }
    }
    Some(best)
}

/// The longer side to `edge`, the other truncated, then even, and neither above 4096: Idefics3's
/// `get_resize_output_image_size`.
#[must_use]
pub fn longest_even(size: Size, edge: usize) -> Size {
    const MOST: usize = 4096;
    let even = |side: usize| (side + side % 2).max(1);
    let aspect = |size: Size| size.1 as f64 / size.0 as f64;
    let ratio = aspect(size);
    let scaled = if size.1 >= size.0 {
        (even((edge as f64 / ratio) as usize), edge)
    } else {
        (edge, even((edge as f64 * ratio) as usize))
    };
    let ratio = aspect(scaled);
    let shorter = |side: f64| (side as usize).max(1);
    if scaled.1 >= scaled.0 && scaled.1 > MOST {
        (shorter(MOST as f64 / ratio), MOST)
    } else if scaled.0 > scaled.1 && scaled.0 > MOST {
        (MOST, shorter(MOST as f64 * ratio))
    } else {
        scaled
    }
}

/// The longer side up to a multiple of `tile`, then the other in proportion, truncated, and up to one as well: Idefics3's
/// `resize_for_vision_encoder`.
#[must_use]
pub fn whole_tiles(size: Size, tile: usize) -> Size {
    let ratio = size.1 as f64 / size.0 as f64;
    let up = |side: usize| side.div_ceil(tile) * tile;
    if size.1 >= size.0 {
        let width = up(size.1);
        (up((width as f64 / ratio) as usize), width)
    } else {
        let height = up(size.0);
        (height, up((height as f64 * ratio) as usize))
    }
}

/// The longer side down to `longest`, the other in proportion, truncated; then neither below `shortest`: Idefics2's
/// `get_resize_output_image_size`.
#[must_use]
pub fn clamped(size: Size, longest: usize, shortest: usize) -> Size {
    let ratio = size.1 as f64 / size.0 as f64;
    let (height, width) = if size.1 >= size.0 && size.1 > longest {
        ((longest as f64 / ratio) as usize, longest)
    } else if size.0 > size.1 && size.0 > longest {
        (longest, (longest as f64 * ratio) as usize)
    } else {
        size
    };
    (height.max(shortest), width.max(shortest))
}

/// Shrunk until no side is longer than the page's, as Donut's `thumbnail`: the longer side first, the other truncated. A
/// square takes the shorter of both sides on each axis.
#[must_use]
pub fn thumbnail(size: Size, page: Size) -> Size {
    let (mut height, mut width) = (size.0.min(page.0), size.1.min(page.1));
    if (height, width) == size {
        return size;
    }
    if size.0 > size.1 {
        width = ((size.1 * height) as f64 / size.0 as f64) as usize;
    } else if size.1 > size.0 {
        height = ((size.0 * width) as f64 / size.1 as f64) as usize;
    }
    (height, width)
}

//! Scaling by an edge, as transformers' resizes with `shortest_edge`, `longest_edge` or `max_height` and `max_width`.

use crate::error::Size;

/// The shorter side to `edge`, the other in proportion, truncated: `get_resize_output_image_size`.
#[must_use]
pub fn shortest_edge(size: Size, edge: usize) -> Size {
    let (height, width) = size;
    let (short, long) = (height.min(width), height.max(width));
    let scaled = ((edge as u128 * long as u128) as f64 / short as f64) as usize;
    if width <= height { (scaled, edge) } else { (edge, scaled) }
}

/// The shorter side to `edge`, unless the longer one then exceeds `most`: `get_size_with_aspect_ratio`.
#[must_use]
pub fn between_edges(size: Size, edge: usize, most: usize) -> Size {
    let (height, width) = size;
    let (short, long) = (height.min(width) as f64, height.max(width) as f64);
    let mut edge = edge as f64;
    let mut exact = edge;
    if long / short * edge > most as f64 {
        exact = most as f64 * short / long;
        edge = exact.round_ties_even();
    }
    let whole = edge as usize;
    if (height <= width && height == whole) || (width <= height && width == whole) {
        return size;
    }
    let other = |long: usize, short: usize| (exact * long as f64 / short as f64) as usize;
    if width < height { (other(height, width), whole) } else { (whole, other(width, height)) }
}

/// Scaled until one side meets its bound, truncated: `get_image_size_for_max_height_width`.
#[must_use]
pub fn within(size: Size, (max_height, max_width): Size) -> Size {
    let (height, width) = (size.0 as f64, size.1 as f64);
    let scale = (max_height as f64 / height).min(max_width as f64 / width);
    ((height * scale) as usize, (width * scale) as usize)
}

/// Shrunk into `most`, rounding down, then both sides up to whole patches: Pixtral's `get_resize_output_image_size`. A
/// side that shrinks to nothing stays zero.
#[must_use]
pub fn capped(size: Size, most: Size, patch: usize) -> Size {
    let (height, width) = (size.0 as f64, size.1 as f64);
    let ratio = (height / most.0 as f64).max(width / most.1 as f64);
    let fits = |side: f64| if ratio > 1.0 { (side / ratio).floor() } else { side } as usize;
    (fits(height).div_ceil(patch) * patch, fits(width).div_ceil(patch) * patch)
}

/// Whether the longer side of an image of (height, width) is the shorter one of a page.
#[must_use]
pub fn is_across<T: PartialOrd>((height, width): (T, T), (tall, wide): Size) -> bool {
    (wide < tall && width > height) || (wide > tall && width < height)
}

//! Frames of one size side by side on a canvas, as transformers' `concat_frames_as_image`.

use std::cmp::Ordering;

use super::Grid;
use crate::error::Size;

/// Rows or columns of zeros between two frames of a canvas.
pub const LINE: usize = 6;

/// The sides of a canvas of frames of `size` in that grid.
#[must_use]
pub fn stacked_canvas(size: Size, grid: Grid) -> Size {
    let side = |side: usize, count: usize| {
        side.saturating_add(LINE).saturating_mul(count).saturating_sub(LINE)
    };
    (side(size.0, grid.rows), side(size.1, grid.columns))
}

/// The grid of `count` frames: four are two by two. Two or three are a row or a column, whichever has a width over a
/// height closer to one; of two that are as close, three frames are a row, and two a row where a frame is no taller than
/// wide. Any other number is a row.
#[must_use]
pub fn stacked_grid(size: Size, count: usize) -> Grid {
    let (row, column) = (Grid { rows: 1, columns: count }, Grid { rows: count, columns: 1 });
    let off = |grid| {
        let (height, width) = stacked_canvas(size, grid);
        (width as f64 / height.max(1) as f64 - 1.0).abs()
    };
    match (count, off(column).total_cmp(&off(row))) {
        (4, _) => Grid { rows: 2, columns: 2 },
        (2 | 3, Ordering::Less) => column,
        (2, Ordering::Equal) if size.1 < size.0 => column,
        _ => row,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_lie_as_close_to_a_square_as_they_can() {
        let of = |size, count| {
            let grid = stacked_grid(size, count);
            (grid.rows, grid.columns)
        };
        assert_eq!(of((10, 40), 1), (1, 1));
        assert_eq!(of((10, 40), 2), (2, 1));
        assert_eq!(of((40, 10), 2), (1, 2));
        assert_eq!(of((10, 40), 3), (3, 1));
        assert_eq!(of((40, 10), 3), (1, 3));
        assert_eq!(of((10, 40), 4), (2, 2));
        assert_eq!(of((40, 10), 5), (1, 5));
        // As close either way: a row of two is 50 wide and 30 high, a column 22 and 66.
        assert_eq!(of((30, 22), 2), (2, 1));
        // A row of three is 99 wide and 54 high, a column 29 and 174.
        assert_eq!(of((54, 29), 3), (1, 3));
    }

    #[test]
    fn lines_lie_between_frames_alone() {
        assert_eq!(stacked_canvas((10, 20), Grid { rows: 1, columns: 1 }), (10, 20));
        assert_eq!(stacked_canvas((10, 20), Grid { rows: 2, columns: 3 }), (26, 72));
        let most = stacked_canvas((usize::MAX, 1), Grid { rows: 1, columns: usize::MAX });
        assert_eq!(most, (usize::MAX - LINE, usize::MAX - LINE));
    }
}

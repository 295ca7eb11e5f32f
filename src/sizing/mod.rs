//! Rules on sizes alone: no pixels, no family names. Sizes are `(height, width)`.

mod aspect_grid;
mod best_canvas;
mod contain;
mod covering;
mod edges;
mod smart_resize;
mod stacked;
mod video;
mod views;

pub use aspect_grid::{Grid, RatioOrder, Ratios, aspect_ratios, closest_aspect_grid, set_order};
pub use best_canvas::{Canvases, best_canvas};
pub use contain::{Placement, contain, contain_down, contain_up, longest_side};
pub use covering::{Arrangements, covering_area, covering_rest, covering_scale, least_enlarged};
pub use edges::{between_edges, capped, is_across, shortest_edge, within};
pub use smart_resize::{Budget, grown, smart_resize, smart_resize_clamped, smart_resize_video};
pub use stacked::{LINE, stacked_canvas, stacked_grid};
pub use video::{
    FRAME_TOKENS, LEAST_FRAME_TOKENS, cap_of_context, cap_of_frame, qwen_vl_utils_max_pixels,
    shrink_to_share, smart_resize_qwen_vl_utils,
};
pub use views::{clamped, longest_even, nearest_multiple, slice_grid, thumbnail, whole_tiles};

//! Rules on sizes alone: no pixels, no family names. Sizes are `(height, width)`.

mod aspect_grid;
mod best_canvas;
mod contain;
mod edges;
mod smart_resize;
mod video;

pub use aspect_grid::{Grid, RatioOrder, Ratios, aspect_ratios, closest_aspect_grid};
pub use best_canvas::{Canvases, best_canvas};
pub use contain::{Placement, contain, longest_side};
pub use edges::{between_edges, shortest_edge, within};
pub use smart_resize::{Budget, grown, smart_resize, smart_resize_video};
pub use video::{
    cap_of_context, cap_of_frame, qwen_vl_utils_max_pixels, shrink_to_share,
    smart_resize_qwen_vl_utils,
};

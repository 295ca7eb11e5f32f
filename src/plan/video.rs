//! Plans of videos.

use super::{Cells, Cut, Fact, ONE, Output, Plan, Run, check_area, stretched, whole};
use crate::error::{Error, Result, Size};
use crate::sizing::{self, Budget, Grid};
use crate::spec::{FrameBudget, Spec, Video};

const PIXEL_VALUES_VIDEOS: &str = "pixel_values_videos";
/// The most frames of a video: six days at 30 a second. Products of frames and patches then fit in 64 bits.
const MAX_FRAMES: usize = 1 << 24;

fn resized(rule: &Video, size: Size, frames: usize) -> Result<Size> {
    let patches = &rule.patches;
    let temporal = patches.temporal_patch_size;
    let (min_pixels, max_pixels) = (patches.min_pixels, patches.max_pixels);
    let budget = Budget { factor: patches.patch_size * patches.merge_size, min_pixels, max_pixels };
    let (cap, tokens) = (rule.cap_pixels_per_frame, rule.max_video_tokens);
    match rule.budget {
        FrameBudget::Frame if cap => {
            sizing::smart_resize(size, sizing::cap_of_context(budget, tokens, temporal, frames))
        }
        FrameBudget::Frame => sizing::smart_resize(size, budget),
        FrameBudget::Video if cap => {
            let budget = sizing::cap_of_frame(budget, tokens, frames);
            sizing::smart_resize_video(frames, size, temporal, budget)
        }
        FrameBudget::Video => sizing::smart_resize_video(frames, size, temporal, budget),
        FrameBudget::QwenVlUtils => {
            let (total, context) = (rule.total_pixels, rule.model_seq_len);
            let most = sizing::qwen_vl_utils_max_pixels(budget, total, context, frames);
            sizing::smart_resize_qwen_vl_utils(size, budget.factor, min_pixels, most)
        }
    }
}

/// The plan of a video of `frames` frames of one size. Its view is that of every frame, in each temporal patch.
pub(super) fn plan(spec: &Spec, rule: &Video, size: Size, frames: usize) -> Result<Plan> {
    if frames > MAX_FRAMES {
        let (name, given) = ("num_frames", frames.to_string());
        return Err(Error::Option { name, rule: "at most 2**24", given });
    }
    let patches = &rule.patches;
    let factor = patches.patch_size * patches.merge_size;
    let resized = if spec.do_resize {
        resized(rule, size, frames)?
    } else if size.0.is_multiple_of(factor) && size.1.is_multiple_of(factor) {
        size
    } else {
        let unit_name = "patch_size * merge_size";
        return Err(Error::NotMultiple { size, unit: (factor, factor), unit_name });
    };
    check_area(spec, "resized frame", resized)?;
    let grid =
        Grid { rows: resized.0 / patches.patch_size, columns: resized.1 / patches.patch_size };
    let cut = Cut::Patches {
        patch: patches.patch_size,
        merge: patches.merge_size,
        temporal: patches.temporal_patch_size,
    };
    let view = whole(size, stretched(resized), resized, cut, grid, spec.resample);
    let mut plan = Plan::of(spec.family, size, vec![view]);
    plan.frames = frames;
    let groups = frames.div_ceil(patches.temporal_patch_size);
    plan.num_patches = groups * grid.count();
    plan.num_tokens = plan.num_patches / (patches.merge_size * patches.merge_size);
    // The tokens of every temporal patch are those of the first: a plan does not grow with its frames.
    plan.runs = vec![Run::Cells(Cells {
        view: 0,
        tiles: ONE,
        tile: resized,
        seen: resized,
        cell: factor,
        grid: Grid { rows: resized.0 / factor, columns: resized.1 / factor },
        newline: false,
    })];
    plan.repeats = groups;
    plan.outputs = vec![Output { key: PIXEL_VALUES_VIDEOS, rows: plan.num_patches, cut }];
    plan.facts = vec![Fact {
        key: "video_grid_thw",
        values: vec![groups as i64, grid.rows as i64, grid.columns as i64],
        scalar: false,
    }];
    Ok(plan)
}

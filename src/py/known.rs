//! What a caller knows of a video, and the text that follows from it.

use pyo3::intern;
use pyo3::prelude::*;

use super::arguments::{finite_number, maybe};
use super::calls::watched;
use super::error::to_python;
use super::plan::PyPlan;
use super::sampling::{self, refused};
use super::vocabulary::value_error;
use crate::plan::{Asked, Times, says_times};
use crate::sampling::Video;
use crate::spec::{Prompt, Rate};
use crate::strategy::Measure;

/// What is known of a video.
pub(super) struct Known {
    total: Option<usize>,
    rate: Option<f64>,
    duration: Option<f64>,
    indices: Option<Vec<i64>>,
}

/// What a call's `video_metadata` of one video says: see `dynres_rs.video.metadata`.
pub(super) fn read(given: &Bound<'_, PyAny>) -> PyResult<Known> {
    let py = given.py();
    let module = py.import(intern!(py, "dynres_rs.video.metadata"))?;
    let read = module.getattr(intern!(py, "read_metadata"))?.call1((given, 1, 1))?.get_item(0)?;
    let part = |name| -> PyResult<Option<Bound<'_, PyAny>>> {
        Ok(Some(read.getattr(name)?).filter(|part: &Bound<'_, PyAny>| !part.is_none()))
    };
    let number = |value: &Bound<'_, PyAny>| value.extract();
    let duration = part(intern!(py, "duration"))?;
    Ok(Known {
        total: part(intern!(py, "total_num_frames"))?.map(|it| it.extract()).transpose()?,
        rate: maybe(part(intern!(py, "fps"))?.as_ref(), number)?,
        duration: maybe(duration.as_ref(), |value| finite_number("duration", value))?,
        indices: part(intern!(py, "frames_indices"))?.map(|it| it.extract()).transpose()?,
    })
}

/// The text of an image or a video, whose times are what is known of it.
pub(super) fn said(
    py: Python<'_>,
    plan: &PyPlan,
    prompt: &Prompt,
    image: usize,
    known: Option<&Known>,
) -> PyResult<String> {
    let (spec, frames) = (&plan.spec, plan.plan.frames);
    let sampled = spec.strategy.sampled();
    let says_times = says_times(spec, prompt);
    let most = sampled.and_then(|sampled| sampled.max_fps);
    let unknown = match prompt.rate {
        Rate::Of(rate) => Some(f64::from(rate)),
        Rate::Most => most,
        Rate::Unknown | Rate::Needed => None,
    };
    let needs = says_times && prompt.rate != Rate::Unknown;
    if needs && known.is_none() {
        let rule = "given for a video whose text has times, as a call takes or returns it";
        return Err(value_error(format!("video_metadata: must be {rule}, got None")));
    }
    let none = Known { total: None, rate: None, duration: None, indices: None };
    let known = known.unwrap_or(&none);
    let samples = sampled.is_some_and(|sampled| sampled.do_sample_frames);
    let mut taken = None;
    if says_times && samples && known.indices.is_none() {
        match known.total {
            Some(total) => taken = Some(sample(py, plan, known, total)?),
            None if needs => {
                let rule = "have frames_indices, or total_num_frames to sample from";
                return Err(value_error(format!("video_metadata: must {rule}")));
            }
            None => {}
        }
    }
    let indices = taken.as_deref().or(known.indices.as_deref());
    if let Some(indices) = indices
        && says_times
        && indices.len() != frames
    {
        let count = indices.len();
        let rule = format!("be of the plan's {frames} frames, got one of {count}");
        return Err(value_error(format!("video_metadata: must {rule}")));
    }
    let rate = known.rate.or(unknown);
    if needs && rate.is_none() {
        return Err(value_error(
            "video_metadata: must have fps, which max_fps does not say".into(),
        ));
    }
    let times = Times {
        frames,
        step: spec.strategy.step().min(frames.max(1)),
        indices,
        rate,
        duration: known.duration,
        single: samples && sampled.is_some_and(|sampled| sampled.sampling.is_single()),
    };
    let found = watched(py, |watch| {
        let asked = Asked { image, times: says_times.then_some(&times), watch };
        plan.plan.placeholder(spec, prompt, &asked)
    });
    found?.map_err(|error| to_python(&error))
}

/// The frames that the plan's options take of a video.
fn sample(py: Python<'_>, plan: &PyPlan, known: &Known, total: usize) -> PyResult<Vec<i64>> {
    let asked = sampling::asked(&plan.spec)?;
    let video = Video { total, fps: known.rate, duration: known.duration };
    watched(py, |watch| asked.frames(video, watch))?.map_err(refused)
}

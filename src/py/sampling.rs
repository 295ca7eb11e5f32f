//! Which frames of a video are taken.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::arguments::{finite_number, integer, maybe, rate, side};
use super::calls::watched;
use super::error::{guard, to_python};
use super::numbers;
use super::vocabulary::{shown, value_error};
use crate::options::Value;
use crate::sampling::{Asked, Refused, Video};
use crate::spec::Prepared;
use crate::strategy::{Sampled, Sampling};

/// The frames that are taken, int64.
pub(super) fn frames<'py>(
    py: Python<'py>,
    asked: &Asked,
    video: Video,
) -> PyResult<Bound<'py, PyAny>> {
    match watched(py, |watch| asked.frames(video, watch))? {
        Ok(frames) => numbers::array(py, "int64", frames.iter().map(|frame| frame.to_ne_bytes())),
        Err(refused) => Err(self::refused(refused)),
    }
}

/// The option `temporal_patch_size`, and 1 where the family has none.
pub(super) fn temporal_option(spec: &Prepared) -> usize {
    match spec.options().iter().find(|(name, _)| *name == "temporal_patch_size") {
        Some((_, Value::Int(frames))) => *frames as usize,
        _ => 1,
    }
}

/// Which frames of a video the options ask for.
pub(super) fn asked(spec: &Prepared) -> PyResult<Asked> {
    Asked::of(spec, temporal_option(spec))
        .ok_or_else(|| value_error("family: must be one that takes videos".into()))
}

/// The exception for what a rule refuses.
pub(super) fn refused(refused: Refused) -> PyErr {
    match refused {
        Refused::Core(error) => to_python(&error),
        other => value_error(other.to_string()),
    }
}

/// What is known of a video, from a caller's objects.
pub(super) fn video(
    total: usize,
    fps: Option<&Bound<'_, PyAny>>,
    duration: Option<&Bound<'_, PyAny>>,
) -> PyResult<Video> {
    let fps = rate("video_fps", fps)?;
    let duration = maybe(duration, |value| finite_number("duration", value))?;
    Ok(Video { total, fps, duration })
}

/// The frames of the rules of transformers' Qwen classes and of qwen-vl-utils: see `dynres_rs.sample_indices`.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the whole of a rule")]
pub(super) fn sample_indices<'py>(
    py: Python<'py>,
    total_num_frames: &Bound<'py, PyAny>,
    video_fps: Option<&Bound<'py, PyAny>>,
    rule: &Bound<'py, PyAny>,
    num_frames: Option<&Bound<'py, PyAny>>,
    fps: Option<&Bound<'py, PyAny>>,
    min_frames: &Bound<'py, PyAny>,
    max_frames: Option<&Bound<'py, PyAny>>,
    temporal_patch_size: &Bound<'py, PyAny>,
    video_start: Option<&Bound<'py, PyAny>>,
    video_end: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    guard(|| {
        let total = side("total_num_frames", total_num_frames)?;
        let temporal = side("temporal_patch_size", temporal_patch_size)?;
        let known = video(total, video_fps, None)?;
        let fps = maybe(fps, |value| finite_number("fps", value))?;
        let num_frames = maybe(num_frames, |value| integer("num_frames", value))?;
        let min_frames = integer("min_frames", min_frames)?;
        let max_frames = maybe(max_frames, |value| integer("max_frames", value))?;
        let start = maybe(video_start, |value| finite_number("video_start", value))?;
        let end = maybe(video_end, |value| finite_number("video_end", value))?;
        let asked = Asked {
            rule: Sampling::QwenVlUtils,
            num_frames,
            fps,
            min_frames,
            max_frames,
            temporal,
            start,
            end,
            others: Sampled::default(),
        };
        asked.check_limit(known).map_err(|refused| value_error(refused.to_string()))?;
        if fps.is_some() && num_frames.is_some() {
            return Err(value_error(
                "num_frames: must be None where fps is given; they exclude each other".into(),
            ));
        }
        let name = rule.cast::<PyString>().ok().and_then(|rule| rule.to_str().ok());
        let rule = match name {
            Some("qwen-vl-utils") => Sampling::QwenVlUtils,
            _ if start.is_some() || end.is_some() => {
                return Err(value_error(
                    "video_start: is only known where sampling is 'qwen-vl-utils'".into(),
                ));
            }
            Some("arange") => Sampling::Arange,
            Some("linspace") => Sampling::Linspace,
            _ => {
                let rule = shown(rule, 40)?;
                return Err(value_error(format!(
                    "sampling: must be one of arange, linspace, qwen-vl-utils; got '{rule}'"
                )));
            }
        };
        frames(py, &Asked { rule, ..asked }, known)
    })
}

//! The compiled module. Nothing outside this folder knows Python.

mod arguments;
mod array;
mod arrow;
mod batch;
mod calls;
mod configs;
mod counts;
mod error;
mod functions;
mod jpeg;
mod kept;
mod known;
mod numbers;
mod outs;
mod pixels;
mod plain;
mod plan;
mod planned;
mod processor;
mod rules;
mod sampling;
mod schema;
mod served;
mod value;
mod vocabulary;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

use crate::simd::Simd;

/// The compiled core of `dynres_rs`.
#[pymodule(gil_used = false)]
fn _dynres_rs(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let forced = std::env::var("DYNRES_SIMD").ok().filter(|name| !name.is_empty());
    let simd = Simd::choose(forced.as_deref())
        .map_err(|error| PyImportError::new_err(error.to_string()))?;
    processor::SIMD.get_or_init(|| simd);
    crate::parallel::remember_process();
    calls::register(module)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("ImageTooLargeError", py.get_type::<error::ImageTooLargeError>())?;
    module.add("InternalError", py.get_type::<error::InternalError>())?;
    module.add_class::<processor::PySpec>()?;
    module.add_class::<batch::PyBatch>()?;
    module.add_class::<kept::PyKept>()?;
    module.add_class::<array::Block>()?;
    module.add_class::<plan::PyPlan>()?;
    module.add_class::<plan::PyView>()?;
    module.add_function(wrap_pyfunction!(functions::simd_name, module)?)?;
    module.add_function(wrap_pyfunction!(functions::backends, module)?)?;
    module.add_function(wrap_pyfunction!(functions::is_forked, module)?)?;
    module.add_function(wrap_pyfunction!(functions::numerics_rule, module)?)?;
    module.add_function(wrap_pyfunction!(functions::families, module)?)?;
    module.add_function(wrap_pyfunction!(functions::video_families, module)?)?;
    module.add_function(wrap_pyfunction!(arguments::integer, module)?)?;
    module.add_function(wrap_pyfunction!(arguments::side, module)?)?;
    module.add_function(wrap_pyfunction!(arguments::finite_number, module)?)?;
    module.add_function(wrap_pyfunction!(numbers::as_numbers, module)?)?;
    module.add_function(wrap_pyfunction!(sampling::sample_indices, module)?)?;
    module.add_function(wrap_pyfunction!(configs::family, module)?)?;
    module.add_function(wrap_pyfunction!(configs::video_family, module)?)?;
    module.add_function(wrap_pyfunction!(configs::read_config, module)?)?;
    module.add_function(wrap_pyfunction!(configs::read_video_config, module)?)?;
    module.add_function(wrap_pyfunction!(configs::versioned_type, module)?)?;
    module.add("DEFAULT_FPS", crate::sampling::DEFAULT_FPS)?;
    module.add("FACADE", vocabulary::FACADE)?;
    module.add("IGNORED", crate::spec::IGNORED)?;
    module.add_function(wrap_pyfunction!(vocabulary::canonical, module)?)?;
    module.add_function(wrap_pyfunction!(vocabulary::preset, module)?)?;
    module.add_function(wrap_pyfunction!(vocabulary::with_backgrounds, module)?)?;
    module.add_function(wrap_pyfunction!(vocabulary::option_names, module)?)?;
    module.add_function(wrap_pyfunction!(schema::schema, module)?)?;
    module.add_function(wrap_pyfunction!(schema::keys, module)?)?;
    module.add_function(wrap_pyfunction!(schema::upstream, module)?)?;
    module.add_function(wrap_pyfunction!(schema::remote, module)?)?;
    module.add_function(wrap_pyfunction!(schema::strategy, module)?)?;
    module.add_function(wrap_pyfunction!(schema::positions, module)?)?;
    module.add_function(wrap_pyfunction!(functions::smart_resize_qwen_vl_utils, module)?)?;
    module.add_function(wrap_pyfunction!(functions::smart_resize, module)?)?;
    module.add_function(wrap_pyfunction!(functions::smart_resize_video, module)?)?;
    module.add_function(wrap_pyfunction!(functions::closest_aspect_grid, module)?)?;
    module.add_function(wrap_pyfunction!(functions::aspect_ratios, module)?)?;
    module.add_function(wrap_pyfunction!(functions::best_canvas, module)?)?;
    module.add_function(wrap_pyfunction!(functions::resize, module)?)?;
    module.add_function(wrap_pyfunction!(pixels::on_white, module)?)?;
    module.add_function(wrap_pyfunction!(pixels::on_checkerboard, module)?)?;
    module.add_function(wrap_pyfunction!(pixels::without_margins, module)?)?;
    module.add_function(wrap_pyfunction!(pixels::is_across, module)?)?;
    module.add_function(wrap_pyfunction!(pixels::whole_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(functions::resize_plain, module)?)?;
    module.add_function(wrap_pyfunction!(functions::resize_careful, module)?)?;
    module.add_function(wrap_pyfunction!(outs::in_strip, module)?)?;
    rules::add(module)?;
    module.add_class::<jpeg::Jpeg>()?;
    module.add_function(wrap_pyfunction!(jpeg::jpeg_header, module)?)?;
    module.add_function(wrap_pyfunction!(jpeg::jpeg_work, module)?)?;
    module.add_function(wrap_pyfunction!(jpeg::jpeg_decode, module)?)?;
    module.add_function(wrap_pyfunction!(jpeg::jpeg_verdict, module)?)?;
    module.add_function(wrap_pyfunction!(counts::num_tokens, module)?)?;
    module.add_function(wrap_pyfunction!(counts::fit, module)?)?;
    module.add_function(wrap_pyfunction!(counts::pack, module)?)?;
    module.add_function(wrap_pyfunction!(served::patch_counts, module)?)?;
    module.add_function(wrap_pyfunction!(served::multimodal_tokens, module)?)?;
    module.add_function(wrap_pyfunction!(counts::unpack, module)?)?;
    module.add_function(wrap_pyfunction!(counts::assemble, module)?)?;
    Ok(())
}

//! Exact image preprocessing for vision-language models of dynamic resolution.
//!
//! | module | holds | may use |
//! |---|---|---|
//! | [`error`] | every way a call can fail | `memory` |
//! | [`memory`] | what the system says of memory, and the reserve behind it | `error` |
//! | [`buffer`] | our own bytes, aligned | `error` |
//! | [`kept`] | blocks of memory that are used again | `error`, `memory` |
//! | [`image`] | views of pixels that belong to somebody else |  |
//! | [`margins`] | the light margins of a page | `error`, `image`, `parallel` |
//! | [`names`] | enums with a name for each choice | `error` |
//! | [`options`] | options declared once: kinds, values, schema | `error`, `names` |
//! | [`order`] | sorting |  |
//! | [`parallel`] | the only threads, and the watch that a call looks at | `error`, `memory` |
//! | [`sizing`] | rules on sizes alone | `error`, `order` |
//! | [`resample`] | filters, weights, pass order | `error`, `names` |
//! | [`strategy`] | how sizes follow from an image's size: a strategy a file | `error`, `names`, `options`, `order`, `sizing`, `resample`, `plan` (roles, rectangles), `spec` (common options) |
//! | [`spec`] | what a family is, as data | `error`, `names`, `options`, `resample`, `strategy`, `plan` (roles, orders, times), `coords` (kinds of tokens), `pack` (arithmetic) |
//! | [`families`] | the table of families: entries | `error`, `resample`, `sizing`, `spec`, `strategy`, `plan` (roles, orders, times), `coords` (kinds of tokens), `pack` (arithmetic) |
//! | [`plan`] | all that will happen to an image, and the arrays of a call | `error`, `names`, `options`, `parallel`, `resample`, `sizing`, `spec`, `strategy`, `coords` (kinds of tokens), `pack` (elements) |
//! | [`coords`] | where each token lies in the image | `error`, `names`, `parallel`, `plan`, `strategy` (spans) |
//! | [`sampling`] | which frames of a video are taken | `error`, `parallel`, `spec`, `strategy` |
//! | [`solver`] | the largest setting within a budget of tokens; packing sequences | `error`, `options`, `order`, `parallel`, `plan`, `spec`, `strategy` |
//! | [`pack`] | what a byte becomes, and its place in the output | `error`, `names`, `image`, `parallel`, `resample`, `plan`, `spec`, `strategy`, `simd` |
//! | [`simd`] | the kernels, a file an instruction set | `error`, `memory`, `image`, `resample`, `pack` (tables, writer) |
//! | [`pipeline`] | the straight path of an image | `error`, `memory`, `buffer`, `image`, `order`, `parallel`, `resample`, `plan`, `pack`, `simd` |
//! | [`jpeg`] | JPEG files to rows | `error`, `memory`, `buffer`, `image`, `parallel`, `simd`, `pipeline` (`Source`) |
//! | `py` | Python; nothing outside it knows Python | all above |

pub mod buffer;
pub mod coords;
pub mod error;
pub mod families;
pub mod image;
pub mod jpeg;
pub mod kept;
pub mod margins;
pub mod memory;
pub mod names;
pub mod options;
pub mod order;
pub mod pack;
pub mod parallel;
pub mod pipeline;
pub mod plan;
#[cfg(feature = "python")]
mod py;
pub mod resample;
pub mod sampling;
pub mod simd;
pub mod sizing;
pub mod solver;
pub mod spec;
pub mod strategy;

//! Exact image preprocessing for vision-language models of dynamic resolution.
//!
//! | module | holds | may use |
//! |---|---|---|
//! | [`error`] | every way a call can fail | |
//! | [`buffer`] | our own bytes, aligned | `error` |
//! | [`image`] | views of pixels that belong to somebody else | `error` |
//! | [`sizing`] | rules on sizes | `error` |
//! | [`resample`] | filter, weights, pass order | `error` |
//! | [`spec`] | what a family is, as data | `resample` (its enums) |
//! | [`families`] | the table of families | `spec` |
//! | [`plan`] | all that will happen to an image, from its size | `spec`, `sizing` |
//! | [`coords`] | where each token lies in the image | `plan` |
//! | [`tokens`] | tokens of many sizes without their plans | `plan`, `sizing` |
//! | [`solver`] | the largest setting within a budget of tokens; packing sequences | `tokens` |
//! | [`pack`] | tables and places of values | `plan`, `simd` |
//! | [`simd`] | the kernels, a file an instruction set | `image`, `resample`, `pack`'s tables |
//! | [`pipeline`] | the straight path of an image | all above |
//! | [`jpeg`] | JPEG files to rows | `pipeline` (`Source`), `simd` |
//! | [`parallel`] | the only threads | |
//! | [`memory`] | what the system says of memory | |
//! | `py` | Python; nothing outside it knows Python | all above |

pub mod buffer;
pub mod coords;
pub mod error;
pub mod families;
pub mod image;
pub mod jpeg;
pub mod memory;
pub mod pack;
pub mod parallel;
pub mod pipeline;
pub mod plan;
#[cfg(feature = "python")]
mod py;
pub mod resample;
pub mod simd;
pub mod sizing;
pub mod solver;
pub mod spec;
pub mod tokens;

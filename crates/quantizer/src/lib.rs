//! From a float model to int8, on the host: what `cortado quantize` does.
//!
//! | step | module | what it does |
//! |---|---|---|
//! | execute | [`execute`] | computes a graph in binary32 |
//! | scheme | `scheme` | says what computes in int8 and which tensors share a scale |
//! | observe | `ranges` | proposes scales from the numbers that were seen |
//! | build | `build`, `weights` | writes the graph in PT2E's form |
//! | choose | [`mod@quantize`] | keeps the proposals that leave the least error in the outputs |
//! | report | [`report`] | says what that did to each layer |

#![forbid(unsafe_code)]

mod build;
mod equalize;
pub mod execute;
mod histogram;
pub mod quantize;
mod ranges;
pub mod report;
mod scheme;
pub mod tensor;
mod weights;

pub use quantize::{Options, QuantizeError, Quantized, quantize};
pub use ranges::Ranges;

//! NumPy's `.npy` and `.npz` files, read strictly and written plainly.
//!
//! [`Archive`] is an ordered map from names to [`Array`]s: what `numpy.savez` writes and `numpy.load` reads. Members
//! may be stored or deflated, in C or Fortran order, of either byte order; in memory an array is always row-major and
//! little-endian. Nothing in a file is believed before it is checked: sizes are bounded before memory is taken, and
//! every error names the member. Files are written whole or not at all, and equal arrays give equal bytes.
//!
//! The header of a `.npy` file is a small Python literal, which is parsed here: general readers of the format bring a
//! parser of Python literals or an array library, and read what a file claims before they ask whether it is plausible.
//!
//! [`zip`] and [`file`](mod@file) hold the parts that PyTorch's `.pt2` archives need too.

#![forbid(unsafe_code)]

mod archive;
mod array;
pub mod file;
mod npy;
pub mod zip;

pub use archive::{Archive, Error, MAX_ARCHIVE_BYTES};
pub use array::{Array, ArrayError, Element};
pub use npy::NpyError;

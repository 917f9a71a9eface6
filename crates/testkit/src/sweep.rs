//! Seeded cases per operator, held against the contract's reference.
//!
//! Extents sweep around every tile edge of the kernels (4 rows of weights, 4 or 16 products at a time), parameters around their
//! limits. The lists fit a board with 16 KiB of RAM.

use cortado_contract::for_each_operator;

mod convolution;
mod elementwise;
mod float;
mod moves;

/// The memory that the largest case needs which is tried everywhere.
pub const MEMORY_BYTES: usize = 8 * 1024;

/// The memory that the largest case needs which is tried where there is so much: on hosts and on larger boards.
pub const LARGE_BYTES: usize = 80 * 1024;

macro_rules! declare_sweeps {
    ($($variant:ident = $module:ident,)*) => {
        $(pub mod $module;)*

        /// Runs the cases of every operator on the kernels of `M`.
        pub fn run_all<M: cortado_kernels::Micro>(
            workspace: &mut crate::Workspace<'_>,
            suite: &mut crate::Suite,
        ) {
            $(
                if cortado_kernels::generic::is_built(stringify!($module)) {
                    run_one($module::run::<M>, workspace, suite);
                }
            )*
        }
    };
}
for_each_operator!(declare_sweeps);

/// Runs one operator's cases. Never inlined: the stack of one operator is all that is used at a time.
#[inline(never)]
fn run_one(
    run: fn(&mut crate::Workspace<'_>, &mut crate::Suite),
    workspace: &mut crate::Workspace<'_>,
    suite: &mut crate::Suite,
) {
    run(workspace, suite);
}

//! Cases for kernels, run alike on the host and on boards.
//!
//! Two kinds: a seeded **sweep** per operator ([`sweep`]) holds a kernel against the contract's reference around every tile
//! edge, and **golden** vectors ([`golden`]) hold it against CMSIS-NN's recorded answers. Outputs lie between guard bytes. What
//! fails is reported with case, seed, extents and both values.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "host")]
extern crate std;

pub mod bench;
pub mod golden;
pub mod random;
pub mod suite;
pub mod sweep;
pub mod tensor;
pub mod workspace;

pub use suite::{Failure, Suite};
pub use workspace::Workspace;

/// Declares a test per operator for each implementation of the micro-operations named.
///
/// `kernel_tests!(Scalar, Dsp, Mve);` in a test file makes `scalar::quantized_linear` and so on.
#[macro_export]
macro_rules! kernel_tests {
    ($($isa:ident),*) => {$(
        #[allow(non_snake_case, reason = "named as the implementation is")]
        mod $isa {
            cortado_contract::for_each_operator!($crate::operator_tests, [$isa]);
        }
    )*};
}

/// Declares the tests of one implementation; called by [`kernel_tests!`].
#[doc(hidden)]
#[macro_export]
macro_rules! operator_tests {
    ([$isa:ident] $($variant:ident = $module:ident,)*) => {$(
        #[test]
        fn $module() {
            let mut memory = std::vec![0u8; $crate::sweep::LARGE_BYTES];
            let mut suite = $crate::Suite::default();
            $crate::sweep::$module::run::<cortado_kernels::arch::$isa>(
                &mut $crate::Workspace::new(&mut memory),
                &mut suite,
            );
            suite.assert_passed();
        }
    )*};
}

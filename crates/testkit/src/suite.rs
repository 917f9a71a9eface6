//! Counting what passed and keeping the first failure.

use core::fmt;

/// A case that failed.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'n> {
    /// The operator.
    pub operator: &'static str,
    /// The case's name, where it has one.
    pub case: &'n str,
    /// The seed of its inputs.
    pub seed: u32,
    /// Its extents; what they mean is the operator's.
    pub shape: [usize; 4],
    /// What went wrong.
    pub what: What,
}

/// What went wrong in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A result differs.
    Value {
        /// Its position.
        index: usize,
        /// What it should be.
        expected: i64,
        /// What it is.
        found: i64,
    },
    /// The kernel wrote outside of its output.
    Guard,
    /// The kernel refused its arguments.
    Refused,
    /// The case cannot be read.
    Unreadable,
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { operator, case, seed, shape, what } = self;
        write!(f, "{operator} {case} seed {seed} shape {shape:?}: ")?;
        match what {
            What::Value { index, expected, found } => {
                write!(f, "output {index} is {found}, expected {expected}")
            }
            What::Guard => f.write_str("wrote outside of its output"),
            What::Refused => f.write_str("refused its arguments"),
            What::Unreadable => f.write_str("the case cannot be read"),
        }
    }
}

/// The state of a run over many cases.
#[derive(Debug, Default)]
pub struct Suite {
    /// Cases that passed.
    pub passed: u32,
    /// Cases that failed.
    pub failed: u32,
    /// Called with every failure, when set.
    pub on_failure: Option<fn(&Failure<'_>)>,
}

impl Suite {
    /// A suite that reports each failure as it happens.
    pub fn reporting(on_failure: fn(&Failure<'_>)) -> Self {
        Suite { on_failure: Some(on_failure), ..Suite::default() }
    }

    /// Counts a case.
    pub fn record(&mut self, failure: Option<Failure<'_>>) {
        match failure {
            None => self.passed += 1,
            Some(failure) => {
                self.failed += 1;
                #[cfg(feature = "host")]
                std::eprintln!("{failure}");
                if let Some(report) = self.on_failure {
                    report(&failure);
                }
            }
        }
    }

    /// Fails the test that this is called from unless cases ran and all of them passed.
    ///
    /// # Panics
    /// When a case failed or none ran.
    pub fn assert_passed(&self) {
        assert!(
            self.failed == 0 && self.passed > 0,
            "{} cases passed, {} failed",
            self.passed,
            self.failed
        );
    }
}

/// The first difference between two outputs.
pub fn compare<T: Copy + PartialEq + Into<i64>>(found: &[T], expected: &[T]) -> Option<What> {
    if found.len() != expected.len() {
        return Some(What::Unreadable);
    }
    let index = found.iter().zip(expected).position(|(found, expected)| found != expected)?;
    Some(What::Value { index, expected: expected[index].into(), found: found[index].into() })
}

//! A bound on what readers that allocate may make of one file.

use crate::error::{Error, ErrorKind};

/// Work still allowed, in units of roughly one byte of output.
///
/// In a flatbuffer many references may lead to one target. So a small file can unfold to a huge
/// program: a thousand chains that are one chain of a thousand calls with one list of a thousand
/// arguments. Nothing that a compiler writes comes near this bound.
pub(crate) struct Budget {
    left: usize,
}

impl Budget {
    const UNITS: usize = 16 << 20;
    const UNITS_PER_FILE_BYTE: usize = 64;

    pub(crate) fn new(file_size: usize) -> Self {
        Self {
            left: Self::UNITS.saturating_add(file_size.saturating_mul(Self::UNITS_PER_FILE_BYTE)),
        }
    }

    /// Takes `units` for one thing and what it holds itself.
    pub(crate) fn spend(&mut self, units: usize) -> Result<(), Error> {
        match self.left.checked_sub(units) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Error::new(ErrorKind::Expansion, 0)),
        }
    }
}

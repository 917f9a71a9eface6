//! Golden vectors: recorded answers of CMSIS-NN.
//!
//! The host packs JSON files into a stream (`pack`) that a board reads in place from its flash ([`Cases`]). A file's
//! operation decides what is called; which cases of it exist is the file's business. Per case the stream holds the
//! operation, the case's name, its parameters by path (`fc_params.input_offset`) and its tensors by path
//! (`inputs.filter`).

use crate::suite::{Failure, Suite, What, compare};
use crate::workspace::{Guarded, Workspace};
use cortado_kernels::Micro;
use cortado_kernels::memory::{Element, cast};

mod batch_matmul;
mod convolution;
mod elementwise;
mod linear;
mod movement;
#[cfg(feature = "host")]
mod pack;
mod pool;
mod requantize;
mod softmax;

#[cfg(feature = "host")]
pub use pack::pack;

/// What a stream starts with.
pub const MAGIC: [u8; 8] = *b"CTDOGOLD";
/// The alignment in bytes of a stream and of every tensor in it.
pub const ALIGNMENT: usize = 8;

/// What replays a case: its result compared with the recorded one.
type Replay = fn(&Case<'_>, &mut Workspace<'_>) -> Option<Result<(), What>>;

/// The operations that are replayed on the kernels of `M`.
fn replay_of<M: Micro>(operation: &str) -> Option<Replay> {
    Some(match operation {
        "fully_connected_s8" | "fully_connected_per_channel_s8" => linear::s8::<M>,
        "fully_connected_s4" => linear::s4::<M>,
        "fully_connected_s16" => linear::s16::<M>,
        "convolve_wrapper_s8" => convolution::conv::<M>,
        "convolve_wrapper_s4" => convolution::conv_packed::<M>,
        "convolve_wrapper_s16" => convolution::conv_wide::<M>,
        "depthwise_conv_wrapper_s8" => convolution::depthwise::<M>,
        "depthwise_conv_wrapper_s4" => convolution::depthwise_packed,
        "depthwise_conv_wrapper_s16" => convolution::depthwise_wide,
        "transpose_conv_wrapper_s8" => convolution::transposed::<M>,
        "batch_matmul_s8" => batch_matmul::s8::<M>,
        "elementwise_add_s8" => elementwise::add::<M>,
        "elementwise_mul_s8" => elementwise::mul::<M>,
        "minimum_s8" => elementwise::minimum::<M>,
        "maximum_s8" => elementwise::maximum::<M>,
        "requantize" => requantize::s32,
        "requantize_s64" => requantize::s64,
        "avgpool_s8" => pool::average::<M>,
        "max_pool_s8" => pool::maximum::<M>,
        "softmax_s8" => softmax::s8::<M>,
        "transpose_s8" => movement::transpose::<M>,
        "pad_s8" => movement::pad::<M>,
        _ => return None,
    })
}

/// Holds what a kernel returned and wrote against the recorded answer.
fn check<T: Copy + PartialEq + Into<i64>>(
    outcome: Option<()>,
    out: &Guarded<'_, T>,
    expected: &[T],
) -> Result<(), What> {
    outcome.ok_or(What::Refused)?;
    if !out.is_intact() {
        return Err(What::Guard);
    }
    compare(out.values, expected).map_or(Ok(()), Err)
}

/// Replays every case of a stream on the kernels of `M`.
pub fn run<M: Micro>(stream: &[u8], workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let Some(cases) = Cases::new(stream) else {
        return suite.record(Some(unreadable("")));
    };
    for case in cases {
        let outcome = replay_of::<M>(case.operation).and_then(|replay| replay(&case, workspace));
        let what = outcome.unwrap_or(Err(What::Unreadable)).err();
        suite.record(what.map(|what| Failure { what, ..unreadable(case.name) }));
    }
}

fn unreadable(case: &str) -> Failure<'_> {
    Failure { operator: "golden", case, seed: 0, shape: [0; 4], what: What::Unreadable }
}

/// The cases of a stream.
#[derive(Clone, Debug)]
pub struct Cases<'s> {
    rest: &'s [u8],
}

impl<'s> Cases<'s> {
    /// The cases of a stream, `None` when it is none.
    pub fn new(stream: &'s [u8]) -> Option<Self> {
        stream.strip_prefix(&MAGIC).map(|rest| Cases { rest })
    }
}

impl<'s> Iterator for Cases<'s> {
    type Item = Case<'s>;

    fn next(&mut self) -> Option<Case<'s>> {
        let (length, rest) = self.rest.split_first_chunk()?;
        let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        let mut fields = Fields(body);
        let (operation, name) = (fields.text()?, fields.text()?);
        Some(Case { operation, name, fields })
    }
}

/// A case: numbers and tensors by path.
#[derive(Clone, Debug)]
pub struct Case<'s> {
    /// The operation, such as `fully_connected_s8`.
    pub operation: &'s str,
    /// The case's name, unique in its file.
    pub name: &'s str,
    fields: Fields<'s>,
}

/// The tag of a parameter in the stream; others are sizes of tensor elements.
const PARAMETER: u8 = 0;

impl<'s> Case<'s> {
    /// A parameter.
    pub fn number(&self, path: &str) -> Option<i32> {
        self.find(|field| field == path)
    }

    /// A parameter whose path is given part by part.
    pub fn number_at(&self, path: &[&str]) -> Option<i32> {
        self.find(|field| field.split('.').eq(path.iter().copied()))
    }

    fn find(&self, is_wanted: impl Fn(&str) -> bool) -> Option<i32> {
        let mut fields = self.fields.clone();
        while let Some((field, tag, content)) = fields.entry() {
            if tag == PARAMETER && is_wanted(field) {
                return content.try_into().ok().map(i32::from_le_bytes);
            }
        }
        None
    }

    /// A parameter that counts something.
    pub fn count(&self, path: &str) -> Option<usize> {
        usize::try_from(self.number(path)?).ok()
    }

    /// A tensor's elements, in place.
    pub fn tensor<T: Element>(&self, path: &str) -> Option<&'s [T]> {
        let mut fields = self.fields.clone();
        while let Some((field, tag, content)) = fields.entry() {
            if usize::from(tag) == size_of::<T>() && field == path {
                return cast(content);
            }
        }
        None
    }
}

/// Fields one after the other: a path, a tag, a length, and the content, aligned.
#[derive(Clone, Debug)]
struct Fields<'s>(&'s [u8]);

impl<'s> Fields<'s> {
    fn text(&mut self) -> Option<&'s str> {
        let (length, rest) = self.0.split_first()?;
        let (text, rest) = rest.split_at_checked(usize::from(*length))?;
        self.0 = rest;
        core::str::from_utf8(text).ok()
    }

    fn entry(&mut self) -> Option<(&'s str, u8, &'s [u8])> {
        let path = self.text()?;
        let (tag, rest) = self.0.split_first()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (padding, rest) = rest.split_first()?;
        let (_, rest) = rest.split_at_checked(usize::from(*padding))?;
        let (content, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        Some((path, *tag, content))
    }
}

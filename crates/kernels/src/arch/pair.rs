//! What the loops over a single pair of features of DSP and scalar cores share: the input is read as it is.

/// What a loop needs; it adds to the sums.
#[repr(C)]
pub(super) struct Pair {
    sums: [i32; 2],
    input: *const i8,
    weights: *const i8,
    /// From the first row of weights to the second.
    distance: usize,
    depth: usize,
    /// Added to each input.
    input_offset: i32,
}

/// [`Micro::dot_pair`](crate::micro::Micro::dot_pair).
///
/// # Safety
/// `run` reads as many elements of the input and of both rows, and writes the sums.
pub(super) unsafe fn dot(
    lhs: &[i8],
    lhs_offset: i32,
    rows: [&[i8]; 2],
    run: unsafe extern "C" fn(&mut Pair),
) -> [i32; 2] {
    let [first, second] = rows;
    let mut pair = Pair {
        sums: [0; 2],
        input: lhs.as_ptr(),
        weights: first.as_ptr(),
        distance: second.as_ptr().addr().wrapping_sub(first.as_ptr().addr()),
        depth: lhs.len().min(first.len()).min(second.len()),
        input_offset: lhs_offset,
    };
    // SAFETY: all three have so many elements; the caller's promise.
    unsafe { run(&mut pair) };
    pair.sums
}

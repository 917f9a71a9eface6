//! Inputs and outputs.

#![allow(unsafe_code, reason = "C's functions take pointers")]

use crate::error::{Code, Failure};
use crate::handle::{self, Handle, Loaded, RawMethod};
use crate::memory::{Piece, check_pointer};
use crate::method::code;
use core::ptr;
use cortado_runtime::{Program, Quantization, TensorError, TensorInfo};

/// The most axes that a tensor may have; `CORTADO_RANK_MAX` in C.
pub const RANK_MAX: usize = 6;

/// An input or output: `cortado_tensor_info` in C.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct RawTensorInfo {
    /// The discriminant of a [`cortado_runtime::DType`].
    pub dtype: i32,
    /// The number of axes.
    pub rank: u32,
    /// The extents in logical order.
    pub dims: [u32; RANK_MAX],
    /// The axes in memory order, outermost first.
    pub dim_order: [u8; 8],
    /// The size of all elements.
    pub bytes: u32,
    /// 1 if its memory is the caller's.
    pub is_lent: u8,
    /// 1 if the program says what its integers stand for.
    pub is_quantized: u8,
    /// 0.
    pub reserved: [u8; 2],
    /// The distance between neighbouring integers.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero_point: i32,
}

impl RawTensorInfo {
    fn new(info: &TensorInfo, is_lent: bool, quantization: Option<Quantization>) -> Self {
        let rank = usize::from(info.rank);
        let mut dim_order = [0; 8];
        let axes = info.dim_order.iter().take(rank);
        dim_order.iter_mut().zip(axes).for_each(|(to, axis)| *to = *axis);
        RawTensorInfo {
            dtype: i32::from(info.dtype.scalar_type()),
            rank: u32::from(info.rank),
            dims: info.dims,
            dim_order,
            bytes: info.size_bytes().unwrap_or(0),
            is_lent: u8::from(is_lent),
            is_quantized: u8::from(quantization.is_some()),
            reserved: [0; 2],
            scale: quantization.map_or(0.0, |it| it.scale),
            zero_point: quantization.map_or(0, |it| it.zero_point),
        }
    }
}

/// See `cortado.h`.
///
/// # Safety
/// See `cortado.h`: `method` is one, used by nobody else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cortado_input_count(method: *mut RawMethod) -> usize {
    // SAFETY: the caller promises it.
    let handle = unsafe { handle::at(method) };
    handle.and_then(|handle| handle.with(|loaded| Ok(loaded.method.input_count()))).unwrap_or(0)
}

/// See `cortado.h`.
///
/// # Safety
/// See `cortado.h`: `method` is one, used by nobody else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cortado_output_count(method: *mut RawMethod) -> usize {
    // SAFETY: the caller promises it.
    let handle = unsafe { handle::at(method) };
    handle.and_then(|handle| handle.with(|loaded| Ok(loaded.method.output_count()))).unwrap_or(0)
}

/// See `cortado.h`.
///
/// # Safety
/// See `cortado.h`: `method` is one, used by nobody else, and `info` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cortado_input_info(
    method: *mut RawMethod,
    index: usize,
    info: *mut RawTensorInfo,
) -> i32 {
    let describe = |loaded: &mut Loaded| {
        let found = loaded.method.input_info(index).map_err(|error| input(index, error))?;
        let program = Program::parse(loaded.file).ok();
        let quantization = program.and_then(|it| it.input_quantization(index));
        let is_lent = loaded.method.is_input_lent(index);
        Ok(RawTensorInfo::new(&found, is_lent, quantization))
    };
    // SAFETY: the caller promises both.
    unsafe { answer(method, info, 2, RawTensorInfo::default(), describe) }
}

/// See `cortado.h`.
///
/// # Safety
/// See `cortado.h`: `method` is one, used by nobody else, and `info` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cortado_output_info(
    method: *mut RawMethod,
    index: usize,
    info: *mut RawTensorInfo,
) -> i32 {
    let describe = |loaded: &mut Loaded| {
        let found = loaded.method.output_info(index).map_err(|error| output(index, error))?;
        let program = Program::parse(loaded.file).ok();
        let quantization = program.and_then(|it| it.output_quantization(index));
        let is_lent = loaded.method.is_output_lent(index);
        Ok(RawTensorInfo::new(&found, is_lent, quantization))
    };
    // SAFETY: the caller promises both.
    unsafe { answer(method, info, 2, RawTensorInfo::default(), describe) }
}

/// See `cortado.h`.
///
/// # Safety
/// See `cortado.h`: `method` is one, used by nobody else, and `data` has `bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cortado_set_input(
    method: *mut RawMethod,
    index: usize,
    data: *const u8,
    bytes: usize,
) -> i32 {
    // SAFETY: the caller promises it.
    let handle = match unsafe { handle::at(method) } {
        Ok(handle) => handle,
        Err(code) => return code,
    };
    let set = |loaded: &mut Loaded| {
        let info = loaded.method.input_info(index).map_err(|error| input(index, error))?;
        let needed = info.size_bytes().unwrap_or(0);
        if needed as usize != bytes && !loaded.method.is_input_lent(index) {
            let given = u32::try_from(bytes).unwrap_or(u32::MAX);
            return Err(input(index, TensorError::Length { needed, given }));
        }
        let from = Piece::new(data, bytes, 2)?;
        let to = loaded.method.fill_input_bytes(index).map_err(|error| input(index, error))?;
        // SAFETY: the caller promises as many bytes, and the input has as many. They may overlap, where an output of this
        // method is its next input, so no slice is made of what is read.
        unsafe { ptr::copy(from.as_ptr(), to.as_mut_ptr(), bytes) };
        Ok(())
    };
    code(handle.with(set))
}

/// See `cortado.h`.
///
/// # Safety
/// See `cortado.h`: `method` is one, used by nobody else; `data` and, if it is not null, `bytes` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cortado_input(
    method: *mut RawMethod,
    index: usize,
    data: *mut *mut u8,
    bytes: *mut usize,
) -> i32 {
    let fill = |loaded: &mut Loaded| {
        let memory = loaded.method.fill_input_bytes(index).map_err(|error| input(index, error))?;
        Ok((memory.as_mut_ptr(), memory.len()))
    };
    // SAFETY: the caller promises all of them.
    unsafe { answer_memory(method, data, bytes, ptr::null_mut(), fill) }
}

/// See `cortado.h`.
///
/// # Safety
/// See `cortado.h`: `method` is one, used by nobody else; `data` and, if it is not null, `bytes` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cortado_output(
    method: *mut RawMethod,
    index: usize,
    data: *mut *const u8,
    bytes: *mut usize,
) -> i32 {
    let find = |loaded: &mut Loaded| {
        let memory = loaded.method.output_bytes(index).map_err(|error| output(index, error))?;
        Ok((memory.as_ptr(), memory.len()))
    };
    // SAFETY: the caller promises all of them.
    unsafe { answer_memory(method, data, bytes, ptr::null(), find) }
}

fn input(index: usize, error: TensorError) -> Failure {
    Failure::Tensor { is_output: false, index: index as u32, error }
}

fn output(index: usize, error: TensorError) -> Failure {
    Failure::Tensor { is_output: true, index: index as u32, error }
}

/// Writes what `find` gives where the caller wants it, and `absent` where it fails. `parameter` is the position of `to`.
///
/// # Safety
/// `method` is one, used by nobody else, and `to` can be written.
unsafe fn answer<T>(
    method: *mut RawMethod,
    to: *mut T,
    parameter: u8,
    absent: T,
    find: impl FnOnce(&mut Loaded) -> Result<T, Failure>,
) -> i32 {
    // SAFETY: the caller promises it.
    let handle = match unsafe { handle::at(method) } {
        Ok(handle) => handle,
        Err(code) => return code,
    };
    // SAFETY: as above.
    if let Err(code) = unsafe { clear(handle, to, parameter, absent) } {
        return code;
    }
    // SAFETY: not null and aligned, apart from the method, and the caller promises that it can be written.
    code(handle.with(find).map(|found| unsafe { to.write(found) }))
}

/// As [`answer`], for memory and its size, which the caller may not want.
///
/// # Safety
/// `method` is one, used by nobody else; `data` and, if it is not null, `bytes` can be written.
unsafe fn answer_memory<T: Copy>(
    method: *mut RawMethod,
    data: *mut T,
    bytes: *mut usize,
    absent: T,
    find: impl FnOnce(&mut Loaded) -> Result<(T, usize), Failure>,
) -> i32 {
    // SAFETY: the caller promises it.
    let handle = match unsafe { handle::at(method) } {
        Ok(handle) => handle,
        Err(code) => return code,
    };
    // SAFETY: as above.
    let cleared = unsafe { clear(handle, data, 2, absent) }.and_then(|()| match bytes.is_null() {
        true => Ok(()),
        // SAFETY: as above.
        false => unsafe { clear(handle, bytes, 3, 0) },
    });
    code(cleared.and_then(|()| handle.with(find)).map(|(found, length)| {
        // SAFETY: not null and aligned, apart from the method, and the caller promises that it can be written.
        unsafe { data.write(found) };
        if !bytes.is_null() {
            // SAFETY: as above.
            unsafe { bytes.write(length) };
        }
    }))
}

/// Checks where an answer goes, and writes what it is if there is none.
///
/// # Safety
/// `to` can be written.
unsafe fn clear<T>(handle: &Handle, to: *mut T, parameter: u8, absent: T) -> Result<(), i32> {
    let check = || {
        check_pointer(to, parameter)?;
        Piece::new(to.cast(), size_of::<T>(), parameter)?.check_apart([handle.range()].into_iter())
    };
    match check() {
        Ok(()) => {
            // SAFETY: not null, aligned, apart from the method, and the caller promises that it can be written.
            unsafe { to.write(absent) };
            Ok(())
        }
        Err(failure) => {
            Err(handle.with(|_| Err::<(), _>(failure)).err().unwrap_or(Code::Ok as i32))
        }
    }
}

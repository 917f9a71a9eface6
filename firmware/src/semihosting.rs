//! Talk with the host through the debugger's or emulator's semihosting calls: console, command line, files
//! and exit.
//!
//! Source: Arm, "Semihosting for AArch32 and AArch64", release 2.0. A call stops the core at a breakpoint;
//! without a host that answers, that breakpoint is a fault.

use core::arch::asm;
use core::ffi::CStr;
use core::fmt;

/// Prints a line on the host's console.
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => {
        $crate::semihosting::print_line(::core::format_args!($($argument)*))
    };
}

/// Prints a line on the host's console: the function behind [`println!`].
pub fn print_line(line: fmt::Arguments<'_>) {
    let mut console = Console { buffer: [0; CONSOLE_BUFFER_BYTES], used: 0 };
    // Writing to the console does not fail; a formatting implementation that does loses the rest of its line.
    let _ = fmt::Write::write_fmt(&mut console, line);
    let _ = fmt::Write::write_char(&mut console, '\n');
    console.flush();
}

/// Ends the run with an exit code that the emulator hands on as its own (its low 8 bits are).
pub fn exit(code: u8) -> ! {
    const APPLICATION_EXIT: usize = 0x2_0026;
    let block = [APPLICATION_EXIT, usize::from(code)];
    loop {
        // SAFETY: the block has the reason and the code, as the call wants.
        unsafe { call(Operation::ExitExtended, block.as_ptr().addr()) };
    }
}

/// Reads the command line into `buffer`, which must have one byte more than the line.
///
/// # Errors
/// The line does not fit, or is not UTF-8.
pub fn command_line(buffer: &mut [u8]) -> Result<&str, CommandLineError> {
    let mut block = [buffer.as_mut_ptr().addr(), buffer.len()];
    // SAFETY: the block has address and size of a buffer that may be written; the host fills in at most that
    // many bytes and stores the length in the block's second word. Both addresses are exposed by the casts.
    let failed = unsafe {
        buffer.as_mut_ptr().expose_provenance();
        call(Operation::GetCommandLine, block.as_mut_ptr().expose_provenance())
    };
    if failed != 0 {
        return Err(CommandLineError::TooLong { bytes_max: buffer.len().saturating_sub(1) });
    }
    // SAFETY: the host stored the length here through the exposed address.
    let length = unsafe { (&raw const block[1]).read_volatile() };
    let line = buffer.get(..length).ok_or(CommandLineError::TooLong { bytes_max: buffer.len() })?;
    core::str::from_utf8(line).map_err(|_| CommandLineError::NotText)
}

/// Why the command line could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandLineError {
    /// It is longer than the buffer.
    TooLong {
        /// The longest line that is read.
        bytes_max: usize,
    },
    /// It is not UTF-8.
    NotText,
}

impl fmt::Display for CommandLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandLineError::TooLong { bytes_max } => {
                write!(f, "it is longer than {bytes_max} bytes")
            }
            CommandLineError::NotText => f.write_str("it is not UTF-8"),
        }
    }
}

impl core::error::Error for CommandLineError {}

/// A file of the host, closed when dropped. Paths are relative to the emulator's working directory.
pub struct File {
    handle: usize,
}

impl File {
    /// Opens a file to read it.
    ///
    /// # Errors
    /// The host cannot, or the path is too long.
    pub fn open(path: &str) -> Result<File, FileError> {
        File::open_with_mode(path, Mode::ReadBinary)
    }

    /// Creates a file, or empties it, to write it.
    ///
    /// # Errors
    /// The host cannot, or the path is too long.
    pub fn create(path: &str) -> Result<File, FileError> {
        File::open_with_mode(path, Mode::WriteBinary)
    }

    /// The file's length in bytes.
    ///
    /// # Errors
    /// The host cannot tell.
    pub fn length(&self) -> Result<usize, FileError> {
        let block = [self.handle];
        // SAFETY: the block has the handle, as the call wants.
        let length = unsafe { call(Operation::FileLength, block.as_ptr().expose_provenance()) };
        if length == FAILED { Err(FileError::last("length")) } else { Ok(length) }
    }

    /// Goes to a position, in bytes from the start.
    ///
    /// # Errors
    /// The host cannot.
    pub fn seek(&mut self, position_bytes: usize) -> Result<(), FileError> {
        let block = [self.handle, position_bytes];
        // SAFETY: the block has handle and position, as the call wants.
        let failed = unsafe { call(Operation::Seek, block.as_ptr().expose_provenance()) };
        if failed == 0 { Ok(()) } else { Err(FileError::last("seek")) }
    }

    /// Fills `buffer` from the file.
    ///
    /// # Errors
    /// The file ends before, or the host cannot read it.
    pub fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), FileError> {
        let block = [self.handle, buffer.as_mut_ptr().expose_provenance(), buffer.len()];
        // SAFETY: the block has handle, address and size of a buffer that may be written for that many bytes.
        let missing = unsafe { call(Operation::Read, block.as_ptr().expose_provenance()) };
        match missing {
            0 => Ok(()),
            FAILED => Err(FileError::last("read")),
            missing => Err(FileError::Ended { missing_bytes: missing }),
        }
    }

    /// Writes all of `bytes` to the file.
    ///
    /// # Errors
    /// The host cannot.
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let block = [self.handle, bytes.as_ptr().expose_provenance(), bytes.len()];
        // SAFETY: the block has handle, address and size of readable bytes.
        let missing = unsafe { call(Operation::Write, block.as_ptr().expose_provenance()) };
        if missing == 0 { Ok(()) } else { Err(FileError::last("write")) }
    }

    fn open_with_mode(path: &str, mode: Mode) -> Result<File, FileError> {
        let mut terminated = [0; PATH_BYTES_MAX + 1];
        if path.len() > PATH_BYTES_MAX || path.contains('\0') {
            return Err(FileError::BadPath);
        }
        terminated[..path.len()].copy_from_slice(path.as_bytes());
        File::open_terminated(&terminated, path.len(), mode)
    }

    /// As [`Self::open`], for a path that is known when the image is built.
    ///
    /// # Errors
    /// The host cannot.
    pub fn open_fixed(path: &CStr) -> Result<File, FileError> {
        File::open_terminated(path.to_bytes_with_nul(), path.count_bytes(), Mode::ReadBinary)
    }

    /// As [`Self::create`], for a path that is known when the image is built.
    ///
    /// # Errors
    /// The host cannot.
    pub fn create_fixed(path: &CStr) -> Result<File, FileError> {
        File::open_terminated(path.to_bytes_with_nul(), path.count_bytes(), Mode::WriteBinary)
    }

    /// `path` has a zero byte behind its `length` bytes.
    fn open_terminated(path: &[u8], length: usize, mode: Mode) -> Result<File, FileError> {
        let block = [path.as_ptr().expose_provenance(), mode as usize, length];
        // SAFETY: the block has address, mode and length of a path that a zero byte follows.
        let handle = unsafe { call(Operation::Open, block.as_ptr().expose_provenance()) };
        if handle == FAILED { Err(FileError::last("open")) } else { Ok(File { handle }) }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let block = [self.handle];
        // SAFETY: the block has the handle, as the call wants; nothing uses it afterwards.
        unsafe { call(Operation::Close, block.as_ptr().expose_provenance()) };
    }
}

/// Why a file could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileError {
    /// The path is longer than [`PATH_BYTES_MAX`] or has a zero byte.
    BadPath,
    /// The file ended too soon.
    Ended {
        /// How many bytes could not be read.
        missing_bytes: usize,
    },
    /// The host refused.
    Host {
        /// What was asked of it.
        operation: &'static str,
        /// The host's `errno`.
        errno: usize,
    },
}

impl FileError {
    fn last(operation: &'static str) -> Self {
        // SAFETY: the call takes no argument.
        FileError::Host { operation, errno: unsafe { call(Operation::Errno, 0) } }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::BadPath => {
                write!(f, "the path has a zero byte or more than {PATH_BYTES_MAX} bytes")
            }
            FileError::Ended { missing_bytes } => {
                write!(f, "the file ends {missing_bytes} bytes too soon")
            }
            FileError::Host { operation, errno } => {
                write!(f, "the host cannot {operation} it (errno {errno})")
            }
        }
    }
}

impl core::error::Error for FileError {}

/// The longest path of a file, in bytes.
pub const PATH_BYTES_MAX: usize = 127;

const CONSOLE_BUFFER_BYTES: usize = 80;

/// What a call returns when it failed, where it does not return 0 for success.
const FAILED: usize = usize::MAX;

/// Operation numbers, from the specification's section 6.
#[derive(Clone, Copy)]
#[repr(usize)]
enum Operation {
    Open = 0x01,
    Close = 0x02,
    WriteZeroTerminated = 0x04,
    Write = 0x05,
    Read = 0x06,
    Seek = 0x0a,
    FileLength = 0x0c,
    Errno = 0x13,
    GetCommandLine = 0x15,
    ExitExtended = 0x20,
}

/// Modes of `Operation::Open`, which are those of C's `fopen` in a fixed order.
#[derive(Clone, Copy)]
#[repr(usize)]
enum Mode {
    ReadBinary = 1,
    WriteBinary = 5,
}

/// Collects what is printed, because each call costs the host a stop.
struct Console {
    /// Always ends with a zero byte after `used` bytes when flushed.
    buffer: [u8; CONSOLE_BUFFER_BYTES],
    used: usize,
}

impl Console {
    fn flush(&mut self) {
        self.buffer[self.used] = 0;
        // SAFETY: the argument is the address of readable bytes that a zero byte ends.
        unsafe {
            call(Operation::WriteZeroTerminated, self.buffer.as_ptr().expose_provenance());
        }
        self.used = 0;
    }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.used == CONSOLE_BUFFER_BYTES - 1 {
                self.flush();
            }
            self.buffer[self.used] = byte;
            self.used += 1;
        }
        Ok(())
    }
}

/// Makes a semihosting call and returns what the host answers.
///
/// # Safety
/// `argument` is what `operation` wants: a number, or the exposed address of a block of words, text or
/// buffers that the host may read and, where the operation says so, write.
unsafe fn call(operation: Operation, argument: usize) -> usize {
    let result;
    // SAFETY: the host changes r0 and the memory that the caller answers for; without `nomem`, the compiler
    // expects both.
    unsafe {
        asm!(
            "bkpt 0xab",
            inlateout("r0") operation as usize => result,
            in("r1") argument,
            options(nostack, preserves_flags),
        );
    }
    result
}

//! Reading files of bounded size, and writing files whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {source}", path.display())]
pub struct FileError {
    /// The path as the caller gave it.
    pub path: PathBuf,
    /// What was being done: `read` or `write`.
    pub action: &'static str,
    /// The operating system's reason.
    pub source: io::Error,
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// The operating system's, or [`io::ErrorKind::FileTooLarge`] above the limit.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let fail = |source| FileError { path: path.to_owned(), action: "read", source };
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that grew, or has no size, from one that fits.
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    read.map_err(fail)?;
    if bytes.len() as u64 > limit {
        let message = format!("it is larger than {limit} bytes, the most that is read");
        return Err(fail(io::Error::new(io::ErrorKind::FileTooLarge, message)));
    }
    Ok(bytes)
}

/// Writes a file so that a reader finds either the old content or all of the new.
///
/// The bytes go to a temporary file in the same folder, which then takes the place of `path`; on an error the
/// temporary file is removed. A link is followed. What exists and is not a regular file, such as a device or
/// a pipe, cannot be replaced and is written to directly.
///
/// # Errors
/// The operating system's. A read-only file is not replaced.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace(path, bytes).map_err(|source| FileError {
        path: path.to_owned(),
        action: "write",
        source,
    })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let existing = match fs::metadata(path) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let Some(metadata) = existing else { return write_beside(path, None, bytes) };
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return OpenOptions::new().write(true).open(path)?.write_all(bytes);
    }
    if metadata.permissions().readonly() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    write_beside(&fs::canonicalize(path)?, Some(metadata.permissions()), bytes)
}

/// Writes a new file in the folder of `target` and renames it to `target`.
fn write_beside(
    target: &Path,
    permissions: Option<fs::Permissions>,
    bytes: &[u8],
) -> io::Result<()> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    temporary_name.push(format!(".{}-{count}.partial", std::process::id()));
    let temporary = target.with_file_name(temporary_name);

    let file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
    let result = fill(file, permissions, bytes).and_then(|()| fs::rename(&temporary, target));
    if result.is_err() {
        // The first error is the one to report; a second one here has the same cause.
        let _ = fs::remove_file(&temporary);
        return result;
    }
    flush_folder(target);
    Ok(())
}

/// Has the folder's entry for a new file outlive a loss of power, where folders can be flushed: the file is whole in any case.
fn flush_folder(of: &Path) {
    let Some(folder) = of.parent() else { return };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

fn fill(mut file: File, permissions: Option<fs::Permissions>, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    if let Some(permissions) = permissions {
        file.set_permissions(permissions)?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own for one test, removed afterwards.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("cortado-file-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn writes_replaces_and_leaves_nothing_behind() {
        let folder = Folder::new("replaces");
        let path = folder.0.join("a.bin");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(read_bounded(&path, 3).unwrap(), b"two");
        assert_eq!(folder.names(), ["a.bin"]);
    }

    #[test]
    fn an_error_leaves_no_partial_file() {
        let folder = Folder::new("partial");
        // A folder that is not empty cannot be replaced by a file: the rename itself fails.
        let occupied = folder.0.join("occupied");
        fs::create_dir_all(occupied.join("inner")).unwrap();
        assert!(write_beside(&occupied, None, b"x").is_err());
        assert_eq!(folder.names(), ["occupied"]);

        let error = write_atomically(&occupied, b"x").unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::IsADirectory);
        let error = write_atomically(&folder.0.join("missing/a.bin"), b"x").unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().starts_with("cannot write `"), "{error}");
    }

    #[test]
    fn a_read_only_file_is_kept() {
        let folder = Folder::new("readonly");
        let path = folder.0.join("a.bin");
        write_atomically(&path, b"one").unwrap();
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
        assert!(write_atomically(&path, b"two").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn links_are_followed_and_pipes_are_not_replaced() {
        use std::os::fd::AsRawFd;

        let folder = Folder::new("links");
        let (file, link) = (folder.0.join("file"), folder.0.join("link"));
        write_atomically(&file, b"one").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_atomically(&link, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

        let (mut reader, writer) = io::pipe().unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}", writer.as_raw_fd()));
        write_atomically(&path, b"three").unwrap();
        drop(writer);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"three");
    }

    #[test]
    fn large_files_are_refused() {
        let folder = Folder::new("large");
        let path = folder.0.join("a.bin");
        write_atomically(&path, &[0; 11]).unwrap();
        assert_eq!(read_bounded(&path, 11).unwrap().len(), 11);
        let error = read_bounded(&path, 10).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().ends_with("it is larger than 10 bytes, the most that is read"));
    }
}

//! Finds QEMU, or gets it.
//!
//! The system's is taken where there is one. Else `apt-get` may install it, as root; and where that would take another
//! package away (a newer `qemu-utils` from backports, say) or may not be done, the same packages are unpacked into the
//! firmware's build directory, which changes nothing else on the machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::image::firmware_directory;
use super::tools::{answer, install_debian_packages};

/// The emulator's command and Debian's package of it.
pub(super) const QEMU: &str = "qemu-system-arm";

/// An emulator that has answered.
#[derive(Clone, Debug)]
pub(super) struct Qemu {
    path: PathBuf,
    /// Where its libraries are, if not the system's.
    libraries: Vec<PathBuf>,
}

impl Qemu {
    /// The system's emulator, or the unpacked one.
    pub(super) fn find() -> Option<Qemu> {
        let system = Qemu { path: PathBuf::from(QEMU), libraries: Vec::new() };
        let root = unpacked_directory();
        let own = Qemu {
            path: root.join("usr/bin").join(QEMU),
            libraries: library_directories(&root).collect(),
        };
        [system, own].into_iter().find(|qemu| {
            let version = answer(qemu.command().arg("--version"));
            version.is_some()
        })
    }

    /// Installs it with `apt-get`, or else unpacks it. Whether that helped, [`Self::find`] tells.
    ///
    /// # Errors
    /// What `apt-get` said to either.
    pub(super) fn get() -> Result<(), String> {
        install_debian_packages(&[QEMU.to_owned()]).or_else(|refused| {
            unpack().map_err(|reason| format!("{refused}; nor could it be unpacked: {reason}"))
        })
    }

    /// The command, without arguments.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        // A colon in the checkout's own path cannot be said here; the emulator does not answer then.
        if let Ok(libraries) = env::join_paths(&self.libraries)
            && !libraries.is_empty()
        {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// What to call it in messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn unpacked_directory() -> PathBuf {
    firmware_directory().join("target/qemu")
}

/// Where unpacked packages have their libraries: some have theirs in `/lib` still.
fn library_directories(root: &Path) -> impl Iterator<Item = PathBuf> {
    let parents = ["usr/lib", "lib"].map(|parent| root.join(parent));
    let entries = parents.into_iter().flat_map(|parent| fs::read_dir(parent).into_iter().flatten());
    let directories = entries.flatten().map(|entry| entry.path());
    directories.filter(|path| path.to_string_lossy().ends_with("-linux-gnu"))
}

/// Downloads the packages that an installation would add, and unpacks them.
fn unpack() -> Result<(), String> {
    let root = unpacked_directory();
    eprintln!("unpacking {QEMU} into {} instead", root.display());
    let plan = run(Command::new("apt-get").args([
        "install",
        "--simulate",
        "--no-install-recommends",
        QEMU,
    ]))?;
    let packages: Vec<&str> = plan
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
        .collect();
    // Anew each time, so that a broken download does not stay.
    let downloads = root.join("packages");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&downloads).map_err(|error| error.to_string())?;
    run(Command::new("apt-get")
        .args(["-qq", "-o", "APT::Sandbox::User=root", "download"])
        .args(packages)
        .current_dir(&downloads))?;
    for package in fs::read_dir(&downloads).map_err(|error| error.to_string())?.flatten() {
        run(Command::new("dpkg-deb").arg("-x").arg(package.path()).arg(&root))?;
    }
    fs::remove_dir_all(&downloads).map_err(|error| error.to_string())
}

/// What a command prints.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

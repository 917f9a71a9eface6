//! Builds an image of the firmware and reads its sizes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use cortado_contract::{Isa, Target};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, elf};

use super::{Board, BoardError, Region, Tools};

/// How an image is optimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As it is meant to run.
    Release,
    /// As small as it gets, for a board whose flash is.
    Small,
    /// As it is meant to run, with overflow checks and debug assertions.
    Checked,
    /// Small where it costs no speed.
    Size,
}

impl Profile {
    /// The name of the Cargo profile.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Release => "release",
            Profile::Small => "small",
            Profile::Checked => "checked",
            Profile::Size => "size",
        }
    }
}

/// What an image can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Run programs.
    Runner,
    /// Run programs and the testkit's kernel cases; only these on a board of little flash.
    Cases,
    /// Run programs and count the instructions of single layers.
    Bench,
    /// The runtime alone, to be looked at and not to be run.
    Bare,
}

impl Content {
    fn features(self, board: &Board) -> &'static str {
        match self {
            Content::Runner | Content::Bare => "",
            Content::Cases if board.flash.bytes <= SMALL_FLASH_BYTES => ",cases,without-programs",
            Content::Cases => ",cases",
            Content::Bench => ",bench",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Content::Runner => "runner",
            Content::Cases => "cases",
            Content::Bench => "bench",
            Content::Bare => "bare",
        }
    }

    /// The name of the firmware's binary.
    fn binary(self) -> &'static str {
        match self {
            Content::Bare => "bare",
            Content::Runner | Content::Cases | Content::Bench => "cortado-firmware",
        }
    }
}

/// A built image. Its file stays until the same image is built again.
#[derive(Clone, Debug)]
pub struct Image {
    /// The ELF file.
    pub path: PathBuf,
    /// The board it runs on.
    pub board: &'static Board,
    /// The instruction set of its kernels.
    pub isa: Isa,
    /// Bytes of flash: vectors, code, constants and the initial values of variables. No program is counted.
    pub flash_bytes: u32,
    /// Bytes of RAM taken by variables.
    pub variable_bytes: u32,
    /// Where a program is loaded to, and how large it may be.
    pub program: Region,
    /// The RAM left for the arena.
    pub arena: Region,
}

impl Image {
    /// Bytes of RAM that the image takes before any arena: variables and the stack reserved.
    pub fn ram_bytes(&self) -> u32 {
        self.variable_bytes + self.board.stack_bytes
    }
}

impl Tools {
    /// Builds the firmware for a board with an instruction set that its core can have.
    ///
    /// Images that share triple and flags share their build of `core`. Builds take turns, so this may be called
    /// from several threads and processes.
    ///
    /// # Errors
    /// The instruction set does not go with the core; Cargo fails; files cannot be written.
    pub fn build(
        &self,
        board: &'static Board,
        isa: Isa,
        profile: Profile,
        content: Content,
    ) -> Result<Image, BoardError> {
        let name = format!("{}-{isa}-{}-{}", board.name, profile.name(), content.name());
        let features = format!("{}{}", content.features(board), float_feature(board));
        let options = Options { binary: content.binary(), features: &features, module: None };
        self.build_binary(board, isa, profile, &name, &options)
    }

    /// Builds a firmware of one model, whose module `cortado compile` wrote; see [`ModelImage`]. The image is `name`'s.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn build_model(
        &self,
        board: &'static Board,
        isa: Isa,
        profile: Profile,
        name: &str,
        image: &ModelImage<'_>,
    ) -> Result<Image, BoardError> {
        let mut features = ",model".to_owned();
        features.push_str(if image.from_file { ",from-file" } else { "" });
        features.push_str(if image.bare { ",bare" } else { "" });
        let form = if image.from_file { "file" } else { "linked" };
        let kind = if image.bare { "bare" } else { "counted" };
        let name = format!("{}-{isa}-{}-{name}-{form}-{kind}", board.name, profile.name());
        let options =
            Options { binary: "minimal", features: &features, module: Some(image.module) };
        self.build_binary(board, isa, profile, &name, &options)
    }

    fn build_binary(
        &self,
        board: &'static Board,
        isa: Isa,
        profile: Profile,
        name: &str,
        options: &Options<'_>,
    ) -> Result<Image, BoardError> {
        Target::with_isa(board.cpu, isa).map_err(BoardError::Unsupported)?;
        let code = board.code_generation(isa).expect("the target above allows it");

        let images = firmware_directory().join("target/images");
        fs::create_dir_all(&images).map_err(BoardError::io("create", &images))?;
        let lock = images.join("lock");
        // Cargo leaves each image at the same place, so building and copying must not be interrupted. The
        // lock ends with the file's life.
        let lock_file = File::create(&lock).map_err(BoardError::io("create", &lock))?;
        lock_file.lock().map_err(BoardError::io("lock", &lock))?;

        let mut cargo = self.cargo(&code);
        cargo
            .current_dir(firmware_directory())
            .args(["build", "--locked", "--color=never", "--bin", options.binary])
            .args(["--profile", profile.name()])
            .args(["--features", &format!("{},isa-{isa}{}", board.feature, options.features)])
            .args(["--target", code.triple, "--target-dir", "target"])
            .env_remove("CORTADO_MODULE");
        if let Some(module) = options.module {
            let module = std::path::absolute(module).map_err(BoardError::io("find", module))?;
            cargo.env("CORTADO_MODULE", module);
        }
        let output = cargo
            .output()
            .map_err(|error| BoardError::Io { action: "cannot start Cargo".to_owned(), error })?;
        if !output.status.success() {
            let output = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
            return Err(BoardError::Build { image: name.to_owned(), output });
        }
        let built = firmware_directory()
            .join("target")
            .join(code.triple)
            .join(profile.name())
            .join(options.binary);
        let path = images.join(format!("{name}.elf"));
        // By way of another name: the image may be running.
        let fresh = images.join(format!("{name}.new"));
        fs::copy(&built, &fresh).map_err(BoardError::io("copy", &built))?;
        fs::rename(&fresh, &path).map_err(BoardError::io("create", &path))?;
        read_image(path, board, isa)
    }
}

/// A firmware of one model and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct ModelImage<'a> {
    /// The Rust module of the model, with its program beside it.
    pub module: &'a Path,
    /// Whether the program is loaded from its file, instead of being linked.
    pub from_file: bool,
    /// Whether it has nothing that reports or measures.
    pub bare: bool,
}

/// What to build.
struct Options<'a> {
    binary: &'a str,
    /// Features besides board and instruction set, each after a comma.
    features: &'a str,
    /// See [`ModelImage::module`].
    module: Option<&'a Path>,
}

/// Boards of no more flash than this get images without operators in float, which have no room there.
const SMALL_FLASH_BYTES: u32 = 256 * 1024;

/// Boards of no more flash than this have the kernel cases in images that are optimised for size.
const MEDIUM_FLASH_BYTES: u32 = 512 * 1024;

impl Board {
    /// How an image for this board is best optimised.
    pub fn profile(&self, content: Content) -> Profile {
        let fits = match content {
            Content::Runner | Content::Bench | Content::Bare => {
                self.flash.bytes > SMALL_FLASH_BYTES
            }
            Content::Cases => self.flash.bytes > MEDIUM_FLASH_BYTES,
        };
        if fits { Profile::Release } else { Profile::Small }
    }
}

fn float_feature(board: &Board) -> &'static str {
    if board.flash.bytes <= SMALL_FLASH_BYTES { "" } else { ",float" }
}

/// Where the firmware's sources are, for a program that has left the source tree it was built in.
const FIRMWARE_VARIABLE: &str = "CORTADO_FIRMWARE";

/// The firmware's folder: what the environment says, else the one in the source tree that this was built in.
pub(super) fn firmware_directory() -> PathBuf {
    match std::env::var_os(FIRMWARE_VARIABLE) {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../firmware"),
    }
}

/// Fails where there are no sources to build images from.
pub(super) fn require_firmware() -> Result<(), BoardError> {
    let folder = firmware_directory();
    if folder.join("build.rs").is_file() {
        return Ok(());
    }
    Err(BoardError::MissingTool {
        reason: format!("{} does not have the firmware's sources", folder.display()),
        remedy: format!(
            "boards run images that are built from the folder `firmware` of Cortado's repository: check it out and set \
             {FIRMWARE_VARIABLE} to that folder"
        ),
    })
}

fn read_image(path: PathBuf, board: &'static Board, isa: Isa) -> Result<Image, BoardError> {
    let bytes = fs::read(&path).map_err(BoardError::io("read", &path))?;
    let bad = |reason: String| BoardError::BadImage { path: path.clone(), reason };
    let file = object::File::parse(&*bytes).map_err(|error| bad(error.to_string()))?;

    let (mut flash_bytes, mut variable_bytes) = (0, 0);
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
        if !sh_flags.contains(elf::SHF_ALLOC) {
            continue;
        }
        let in_file = section.file_range().is_some_and(|(_, bytes)| bytes > 0);
        let in_ram = board.ram.contains(section.address());
        flash_bytes += if in_file { section.size() } else { 0 };
        variable_bytes += if in_ram { section.size() } else { 0 };
    }
    let region = |name: &str| {
        let address = |name: &str| {
            let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
            symbol.map(|symbol| symbol.address() as u32).ok_or(format!("it has no symbol {name}"))
        };
        let start = address(&format!("__{name}_start"))?;
        let end = address(&format!("__{name}_end"))?;
        let bytes = end.checked_sub(start).ok_or(format!("its {name} ends before it starts"))?;
        Ok(Region { start, bytes })
    };
    Ok(Image {
        board,
        isa,
        flash_bytes: flash_bytes as u32,
        variable_bytes: variable_bytes as u32,
        program: region("program").map_err(bad)?,
        arena: region("arena").map_err(bad)?,
        path: path.clone(),
    })
}

impl Region {
    fn contains(self, address: u64) -> bool {
        let start = u64::from(self.start);
        (start..start + u64::from(self.bytes)).contains(&address)
    }
}

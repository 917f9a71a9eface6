//! Images of one compiled model: with its module, or with the program read from its file.

use crate::bench::table;
use crate::fixtures::Ready;
use crate::steps::root;
use cortado_compiler::Compiled;
use cortado_compiler::module::module;
use cortado_compiler::report::Report;
use cortado_contract::{Cpu, Isa};
use cortado_host::boards::{Board, Image, ModelImage, Profile, Tools};
use cortado_runtime::LayoutPolicy;
use std::path::{Path, PathBuf};

/// A compiled model with its module, written to where the firmware finds it.
pub(crate) struct Made {
    pub(crate) compiled: Compiled,
    pub(crate) module: PathBuf,
    ready: Ready,
    name: String,
}

impl Made {
    pub(crate) fn new(model: &str, compiled: Compiled) -> Result<Self, String> {
        let folder = root().join("firmware/target/models");
        let name = format!("{model}-{}", compiled.target.cpu());
        let path = |extension: &str| folder.join(format!("{name}.{extension}"));
        let write = |path: &Path, bytes: &[u8]| {
            std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
        };
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let text = module(&compiled, &Report::new(&compiled), &format!("{name}.pte"));
        write(&path("pte"), &compiled.pte)?;
        write(&path("rs"), text.as_bytes())?;
        let ready = Ready::new(&compiled.pte)?;
        Ok(Made { compiled, ready, module: path("rs"), name: model.to_owned() })
    }

    fn cpu(&self) -> Cpu {
        self.compiled.target.cpu()
    }

    fn isa(&self) -> Isa {
        self.compiled.target.isa()
    }

    pub(crate) fn board(&self) -> &'static Board {
        table::board(self.cpu())
    }

    /// An image with nothing but the model and what reads and writes samples. `from_file` leaves the module's kernels and state out.
    pub(crate) fn build(
        &self,
        tools: &Tools,
        profile: Profile,
        from_file: bool,
    ) -> Result<Image, String> {
        let image = ModelImage { module: &self.module, from_file, bare: true };
        let built = tools.build_model(self.board(), self.isa(), profile, &self.name, &image);
        built.map_err(|error| error.to_string())
    }

    /// Runs an image on the first `samples` of the recorded ones. Returns what is wrong with its outputs.
    pub(crate) fn run(
        &self,
        tools: &Tools,
        image: &Image,
        samples: usize,
    ) -> Result<Option<String>, String> {
        let mut inputs = self.ready.samples(&self.name)?;
        inputs.truncate(samples);
        let here = self.ready.run_here(self.isa(), LayoutPolicy::Refuse, &inputs)?;
        let run = tools.run_model(image, &self.ready.boundary, &inputs);
        let problem = match run.map_err(|error| error.to_string())? {
            Ok(run) if run.outputs == here => return Ok(None),
            Ok(_) => "its outputs are not the host's".to_owned(),
            Err(refusal) => refusal.message,
        };
        Ok(Some(format!("{} on {}: {problem}", self.name, self.cpu())))
    }
}

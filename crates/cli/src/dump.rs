//! `cortado dump`: any stage of a compilation, as text or as JSON.

use crate::arguments::{DumpArguments, Stage};
use crate::failure::{Failure, print};
use crate::model::{self, Model};
use cortado_compiler::Compiled;
use serde::Serialize;
use std::process::ExitCode;

pub(crate) fn dump(arguments: &DumpArguments) -> Result<ExitCode, Failure> {
    let path = &arguments.model;
    let text = match (model::read(path)?, arguments.stage) {
        (Model::Compiled(bytes), Stage::Pte) => {
            pte(&bytes, arguments.json).map_err(|error| Failure::at(path, error))?
        }
        (Model::Compiled(_), _) => {
            return Err(Failure::at(path, "a compiled program has only the stage `pte`")
                .help("use --stage pte"));
        }
        (Model::Exported(exported), Stage::Import) => {
            if arguments.json {
                json(&*exported)?
            } else {
                exported.to_string()
            }
        }
        (Model::Exported(exported), stage) => {
            let target = arguments.target.target()?.ok_or_else(|| model::target_missing(path))?;
            let compiled = model::compiled(path, &exported, target)?;
            stage_of(&compiled, stage, arguments.json)?
        }
    };
    print(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn stage_of(compiled: &Compiled, stage: Stage, as_json: bool) -> Result<String, Failure> {
    use cortado_compiler::dump;
    match stage {
        Stage::Import | Stage::Graph if as_json => json(&dump::graph(&compiled.graph)),
        Stage::Import | Stage::Graph => Ok(dump::graph(&compiled.graph).to_string()),
        Stage::Lowered if as_json => json(&dump::lowered(&compiled.lowered)),
        Stage::Lowered => Ok(dump::lowered(&compiled.lowered).to_string()),
        Stage::Plan if as_json => json(&dump::plan(compiled)),
        Stage::Plan => Ok(dump::plan(compiled).to_string()),
        Stage::Pte => pte(&compiled.pte, as_json).map_err(Failure::new),
    }
}

fn pte(bytes: &[u8], as_json: bool) -> Result<String, String> {
    let program = cortado_pte::Program::parse(bytes).map_err(|error| error.to_string())?;
    if !as_json {
        return Ok(cortado_pte::dump(&program));
    }
    let owned =
        cortado_pte::owned::Program::from_view(&program).map_err(|error| error.to_string())?;
    serde_json::to_string_pretty(&owned).map_err(|error| error.to_string())
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(Failure::new)
}

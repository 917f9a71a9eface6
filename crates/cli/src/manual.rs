//! What follows from the definition of the command line: completions for shells, man pages, and the reference in `docs/cli.md`.

use crate::arguments::{Arguments, CompletionsArguments, ManArguments};
use crate::failure::{Failure, print};
use clap::CommandFactory;
use std::process::ExitCode;

/// Prints a script of completions.
pub(crate) fn completions(arguments: &CompletionsArguments) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "cortado", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a man page for the command and one for each of its subcommands.
pub(crate) fn man(arguments: &ManArguments) -> Result<ExitCode, Failure> {
    let folder = &arguments.output;
    std::fs::create_dir_all(folder).map_err(|error| Failure::at(folder, error))?;
    // Subcommands that only print help are none of their own.
    let command = Arguments::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, folder).map_err(|error| Failure::at(folder, error))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;
    use std::path::Path;

    /// The help of every subcommand, as `docs/cli.md` has it.
    fn reference() -> String {
        let mut text = String::from(
            "# The command line\n\n\
             This page is the help of every subcommand: `cargo test -p cortado-cli` holds it against the definition, and \
             `CORTADO_BLESS=1 cargo test -p cortado-cli --bin cortado reference` writes it anew.\n\n\
             Data goes to standard output, everything else to standard error. Exit codes are 0 when all is done, 1 when the request \
             cannot be met (with a reason, a place and a remedy), 2 for usage. Colours are left out where the output is no terminal, \
             and where `NO_COLOR` is set.\n\n\
             Completions: `cortado completions bash > ~/.local/share/bash-completion/completions/cortado`; likewise for `zsh`, `fish`, \
             `elvish` and `powershell`. Man pages: `cortado man -o ~/.local/share/man/man1`.\n",
        );
        let mut command = Arguments::command().term_width(100).color(clap::ColorChoice::Never);
        command.build();
        let mut add = |heading: &str, command: &mut clap::Command| {
            let help = command.render_long_help().to_string();
            // Lines of help end in blanks where a description is empty.
            let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
            // Writing to a string cannot fail.
            let _ = write!(text, "\n## {heading}\n\n```text\n{}\n```\n", lines.join("\n"));
        };
        add("cortado", &mut command);
        for subcommand in command.get_subcommands_mut().filter(|it| it.get_name() != "help") {
            let heading = format!("cortado {}", subcommand.get_name());
            add(&heading, subcommand);
        }
        text
    }

    #[test]
    fn the_reference_is_true() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
        let text = reference();
        if std::env::var_os("CORTADO_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == text,
            "docs/cli.md is not what the command line is; CORTADO_BLESS=1 writes it anew"
        );
    }

    #[test]
    fn every_subcommand_has_an_example_that_is_understood() {
        let mut command = Arguments::command();
        command.build();
        for subcommand in command.get_subcommands().filter(|it| it.get_name() != "help") {
            let name = subcommand.get_name();
            let help = subcommand.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = help
                .lines()
                .map(str::trim)
                .filter(|line| line.starts_with(&format!("cortado {name} ")))
                .collect();
            assert!(!examples.is_empty(), "{name} has no example");
            for example in examples {
                let words = example.split(" > ").next().unwrap_or(example).split(' ');
                Arguments::command()
                    .try_get_matches_from(words)
                    .unwrap_or_else(|error| panic!("{example}: {error}"));
            }
        }
    }
}

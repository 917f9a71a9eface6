//! `cargo xtask pages`: reports of models in Chromium, as pictures to look at.

use crate::fixtures;
use crate::steps::root;
use cortado_compiler::Compiled;
use cortado_contract::{Cpu, Target};
use cortado_report::{Report, Request};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Models that show everything that a page can have: branches, many layers, floats and transposes, dead bytes.
const EXPORTED: [(&str, Cpu); 3] =
    [("resnet8", Cpu::M55), ("mobilenet_v2_035", Cpu::M4), ("op_encoder_layer", Cpu::M33)];
const FOREIGN: &str = "ds_cnn-m4";

/// How a page is looked at: a name, the window in pixels, and what Chromium is told besides.
const VIEWS: [(&str, [u32; 2], Option<&str>); 3] = [
    ("desktop", [1280, 3600], None),
    ("phone", [500, 5200], None),
    ("dark", [1280, 3600], Some("--blink-settings=preferredColorScheme=0")),
];

/// Writes the pages and their pictures to `target/pages`; says so where there is no Chromium, and is content.
pub(crate) fn run() -> Result<(), String> {
    let folder = root().join("target/pages");
    let made = std::fs::create_dir_all(&folder).and_then(|()| folder.canonicalize());
    let folder = made.map_err(|error| format!("{}: {error}", folder.display()))?;
    let pages = write_pages(&folder)?;
    let Some(chromium) = chromium() else {
        println!("skipped pictures of reports: there is no Chromium (Debian's package chromium)");
        return Ok(());
    };
    for page in &pages {
        let mut pictures = Vec::new();
        for (view, [width, height], option) in VIEWS {
            let picture = page.with_extension(format!("{view}.png"));
            let mut command = headless(chromium);
            command.arg(format!("--window-size={width},{height}"));
            command.arg(format!("--screenshot={}", picture.display())).args(option);
            let bytes = shoot(command, page, &picture)?;
            // The size is behind the signature and the head of the first chunk.
            let size = bytes.get(16..24).map(|size| size.as_chunks::<4>().0.to_vec());
            let expected = vec![width.to_be_bytes(), height.to_be_bytes()];
            if !bytes.starts_with(b"\x89PNG") || size != Some(expected) {
                return Err(format!("{} is no picture of that size", picture.display()));
            }
            pictures.push(bytes);
        }
        if pictures[0] == pictures[2] {
            return Err(format!("{} does not look otherwise in the dark", page.display()));
        }
        let pdf = page.with_extension("pdf");
        let mut command = headless(chromium);
        command.args([
            "--no-pdf-header-footer".to_owned(),
            format!("--print-to-pdf={}", pdf.display()),
        ]);
        if !shoot(command, page, &pdf)?.starts_with(b"%PDF") {
            return Err(format!("{} cannot be printed", page.display()));
        }
    }
    println!("reports of {} models and their pictures are in {}", pages.len(), folder.display());
    Ok(())
}

fn write_pages(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut pages = Vec::new();
    let mut write = |title: &str, file: &[u8], compiled: Option<&Compiled>| {
        let request = Request {
            title,
            file,
            compiled,
            verdicts: Vec::new(),
            state_bytes: None,
            profiles: Vec::new(),
            plan_seconds: 2.0,
        };
        let report = Report::read(request).map_err(|error| error.to_string())?;
        let path = folder.join(format!("{title}.html"));
        std::fs::write(&path, report.page())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        pages.push(path);
        Ok::<(), String>(())
    };
    for (model, cpu) in EXPORTED {
        let compiled = fixtures::compiled(model, Target::new(cpu))?;
        write(model, &compiled.pte, Some(&compiled))?;
    }
    let path = root().join(format!("testdata/pte-upstream/{FOREIGN}.pte"));
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    write(FOREIGN, &bytes, None)?;
    Ok(pages)
}

fn chromium() -> Option<&'static str> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names.into_iter().find(|name| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    })
}

fn headless(chromium: &str) -> Command {
    let mut command = Command::new(chromium);
    // Without a sandbox, because it does not work for root, whom containers run as; the pages are our own.
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
    command
}

/// Shows a page, and returns what Chromium made of it.
fn shoot(mut command: Command, page: &Path, result: &Path) -> Result<Vec<u8>, String> {
    let _ = std::fs::remove_file(result);
    command.arg(format!("file://{}", page.display()));
    let output = command.output().map_err(|error| format!("cannot start Chromium: {error}"))?;
    std::fs::read(result).map_err(|error| {
        format!("{}: {error}: {}", result.display(), String::from_utf8_lossy(&output.stderr))
    })
}

//! What `cortado compile` leaves on the disk: the same bytes wherever it runs, all of them or none; and what files that lie
//! make it do.

use cortado_npz::zip::{crc32, write_stored};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(path)
}

/// A folder of its own for a test, empty.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn compile(folder: &Path, model: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cortado"));
    command.current_dir(folder).arg("compile").arg(model);
    command.args(["--target", "cortex-m55", "-o", "model.pte", "--plan-seconds", "0.1"]);
    command
}

/// The files in a folder with their bytes, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn two_builds_in_different_folders_are_the_same_bytes() {
    for name in ["ds_cnn", "op_lstm", "multiple_outputs"] {
        let first = folder(&format!("same-{name}"));
        let second = folder(&format!("a/longer/way/to-{name}"));
        let copy = second.join("of another name.pt2");
        let model = testdata(&format!("models/{name}/quantized.pt2"));
        assert!(compile(&first, &model).status().unwrap().success());
        std::fs::copy(&model, &copy).unwrap();
        let mut command = compile(&second, &copy);
        command.env("TZ", "Asia/Tokyo").env("LANG", "C").env("HOME", "/nonexistent");
        assert!(command.status().unwrap().success());
        std::fs::remove_file(&copy).unwrap();
        let first = files(&first);
        assert_eq!(first.len(), 3, "program, module and report");
        for ((name, bytes), (other, other_bytes)) in first.iter().zip(&files(&second)) {
            assert_eq!(name, other);
            assert!(bytes == other_bytes, "{name} differs");
        }
    }
}

/// In a network namespace of its own there is no network at all.
#[cfg(target_os = "linux")]
#[test]
fn compiling_takes_no_network() {
    let isolated = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", program]);
        command
    };
    if !isolated("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("skipped: network namespaces cannot be had here");
        return;
    }
    let folder = folder("no-network");
    let model = testdata("models/tiny_linear/quantized.pt2");
    let mut command = isolated(env!("CARGO_BIN_EXE_cortado"));
    command.current_dir(&folder).arg("compile").arg(&model);
    command.args(["--target", "cortex-m4", "-o", "model.pte"]);
    assert!(command.status().unwrap().success());
    assert_eq!(files(&folder).len(), 3);
}

/// Killed at any moment, it leaves the old program or the whole new one.
#[cfg(unix)]
#[test]
fn an_interrupt_leaves_nothing_half_written() {
    let folder = folder("interrupted");
    let model = testdata("models/mobilenet_v1_025/quantized.pt2");
    let start = std::time::Instant::now();
    assert!(compile(&folder, &model).status().unwrap().success());
    let whole = start.elapsed();
    let done = files(&folder);
    for signal in ["KILL", "INT", "TERM"] {
        for step in 0..8u32 {
            let old = format!("the old program, {signal} {step}").into_bytes();
            std::fs::write(folder.join("model.pte"), &old).unwrap();
            let mut child = compile(&folder, &model)
                .stderr(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            // Most moments near the end, where files are written.
            let share = if step < 2 { step + 1 } else { 10 + step };
            std::thread::sleep(whole * share / 16);
            let id = child.id().to_string();
            let _ = Command::new("kill").args([&format!("-{signal}"), &id]).status();
            child.wait().unwrap();
            for (name, bytes) in files(&folder) {
                if name.ends_with(".partial") {
                    // What is not finished has another name, and nobody takes it for a program.
                    std::fs::remove_file(folder.join(name)).unwrap();
                    continue;
                }
                let (_, new) = done.iter().find(|(known, _)| *known == name).unwrap();
                assert!(
                    bytes == *new || bytes == old,
                    "{name} is half written after {signal} {step}"
                );
            }
        }
    }
}

/// A `.pt2` whose program is deflated, with this size announced.
fn archive(deflated: &[u8], announced: u32, checksum: u32) -> Vec<u8> {
    let entries: [(&str, &[u8]); 4] = [
        ("m/archive_format", b"pt2"),
        ("m/archive_version", b"0"),
        ("m/byteorder", b"little"),
        ("m/models/model.json", deflated),
    ];
    let mut file = write_stored(entries).unwrap();
    // The entry's two headers: method deflate, another checksum and another size.
    let stored = crc32(deflated).to_le_bytes();
    let places: Vec<usize> = file
        .windows(4)
        .enumerate()
        .filter(|(_, window)| *window == stored)
        .map(|(at, _)| at)
        .collect();
    assert_eq!(places.len(), 2);
    for at in places {
        file[at - 6..at - 4].copy_from_slice(&8u16.to_le_bytes());
        file[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
        file[at + 8..at + 12].copy_from_slice(&announced.to_le_bytes());
    }
    file
}

/// A deflate stream of `count` times 258 spaces, in a 158th of their size: one block of the fixed code.
fn spaces(count: usize) -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    let mut put = |value: u32, length: u32, is_code: bool| {
        // Codes go from their highest bit on, everything else from the lowest.
        for bit in 0..length {
            let at = if is_code { length - 1 - bit } else { bit };
            bits.push(value >> at & 1 != 0);
        }
    };
    put(1, 1, false);
    put(1, 2, false);
    // A literal space is 0x30 + 0x20 in eight bits.
    put(0x50, 8, true);
    for _ in 0..count {
        // Length 258 is symbol 285, code 0xc5 in eight bits; distance 1 is code 0 in five.
        put(0xc5, 8, true);
        put(0, 5, true);
    }
    put(0, 7, true);
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    bits.chunks(8).map(byte).collect()
}

/// Files that announce more than they hold, or hold more than they announce, are refused in little memory.
#[cfg(target_os = "linux")]
#[test]
fn archives_that_lie_are_refused_in_little_memory() {
    let folder = folder("bombs");
    let bomb = spaces(1_000_000);
    for (name, file, words) in [
        ("holds-more", archive(&bomb, 16, 0), "does not hold the 16 bytes"),
        ("announces-more", archive(&spaces(3), u32::MAX - 1, 0), "larger together than"),
        ("announces-much", archive(&spaces(3), 1 << 29, 0), "does not hold"),
        ("is-a-bomb", archive(&bomb, 258_000_001, 0), "checksum"),
    ] {
        let path = folder.join(name).with_extension("pt2");
        std::fs::write(&path, file).unwrap();
        // The bomb's own size is what an archive may hold; nothing may take much more.
        let limit_kib = if name == "is-a-bomb" { 1_200_000 } else { 200_000 };
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -v {limit_kib}; exec \"$@\""))
            .args(["sh", env!("CARGO_BIN_EXE_cortado"), "compile", path.to_str().unwrap()])
            .args(["--target", "cortex-m4", "-o"])
            .arg(folder.join("out.pte"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains(words), "{name}: {said}");
        assert!(!folder.join("out.pte").exists());
    }
}

//! "Did you mean": the name that is nearest to one that there is not.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The nearest of some names, if it is near enough to be what was meant: a third of its letters may differ, at most three. Case does not
/// count. Of names that are equally near, one that goes on where the text ends is the likelier one.
pub(crate) fn nearest<'n>(text: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let text = text.to_lowercase();
    let rank = |name: &str| {
        let name = name.to_lowercase();
        (strsim::osa_distance(&text, &name), !name.starts_with(&text))
    };
    let (rank, name) = names.into_iter().map(|name| (rank(name), name)).min_by_key(|it| it.0)?;
    let most = (name.chars().count() / 3).clamp(1, 3);
    (rank.0 <= most).then_some(name)
}

/// A file beside a missing one with nearly its name, or with its name and another of these extensions.
pub(crate) fn nearest_file(missing: &Path, extensions: &[&str]) -> Option<PathBuf> {
    /// The most files of a folder that are looked at.
    const FILES_MAX: usize = 10_000;
    let name = missing.file_name()?.to_str()?;
    let folder = missing.parent().filter(|folder| !folder.as_os_str().is_empty());
    let files = std::fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?.take(FILES_MAX);
    let is_file = |path: &PathBuf| path.is_file();
    let files = files.filter_map(|entry| Some(entry.ok()?.path())).filter(is_file);
    let names = files.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
    let mut names: Vec<String> = names.collect();
    // A folder has no order.
    names.sort_unstable();
    let has_extension = |name: &&str| {
        let extension = Path::new(name).extension().and_then(OsStr::to_str);
        extension.is_some_and(|extension| extensions.contains(&extension))
    };
    let fitting = || names.iter().map(String::as_str).filter(has_extension);
    let same_stem = || {
        let stem = Path::new(name).file_stem();
        fitting().find(|other| Path::new(other).file_stem() == stem)
    };
    let found = nearest(name, fitting()).or_else(same_stem)?;
    Some(folder.map_or_else(|| PathBuf::from(found), |folder| folder.join(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_suggested_and_nothing_else() {
        let names = ["cortex-m5", "cortex-m52", "cortex-m55"];
        assert_eq!(nearest("cortexm55", names), Some("cortex-m55"));
        assert_eq!(nearest("CORTEX-M52", names), Some("cortex-m52"));
        assert_eq!(nearest("esp32", names), None);
        assert_eq!(nearest("x", ["y"]), Some("y"), "one letter of one");
        assert_eq!(nearest("in", ["out"]), None);
        assert_eq!(nearest("anything", []), None);
    }
}

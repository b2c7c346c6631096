//! The reviewed traces, one for each scenario, shared by all engines.
//!
//! The files are those of the insta crate, which `cargo test` writes and reviews them with; here they are only read.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where the snapshot of a scenario is.
pub fn path(fixtures: &Path, name: &str) -> PathBuf {
    fixtures.join("snapshots").join(format!("{name}.snap"))
}

/// The reviewed trace; `None` if the scenario has none yet.
pub fn read(fixtures: &Path, name: &str) -> io::Result<Option<String>> {
    match fs::read_to_string(path(fixtures, name)) {
        Ok(text) => Ok(Some(body(&text).to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// What follows the header between two lines `---`.
fn body(text: &str) -> &str {
    let Some(after) = text.strip_prefix("---\n") else { return text };
    after.split_once("\n---\n").map_or("", |(_, body)| body)
}

/// Whether two traces are the same; ends of lines and the end of the file do not count, as insta has it.
pub fn same(a: &str, b: &str) -> bool {
    a.trim_end().lines().eq(b.trim_end().lines())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_not_part_of_the_trace() {
        assert_eq!(body("---\nsource: a.rs\ndescription: x\n---\nlaunch\nend\n"), "launch\nend\n");
        assert_eq!(body("launch\n"), "launch\n");
    }

    #[test]
    fn an_edited_trace_is_not_the_same() {
        assert!(same("a\nb\n", "a\r\nb"));
        assert!(!same("a\nb\n", "a\nc\n"));
        assert!(!same("a\nb\n", "a\n"));
    }
}

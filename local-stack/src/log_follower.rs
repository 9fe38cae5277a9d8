//! Reads a log while another process writes it.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use anyhow::Context;

/// A place in a log that grows.
#[derive(Debug)]
pub struct LogFollower {
    file: File,
    /// The beginning of a line whose end is not written yet.
    pending: Vec<u8>,
}

impl LogFollower {
    /// Follows `log` from its beginning.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(log: &Path) -> anyhow::Result<Self> {
        let file = File::open(log).with_context(|| format!("cannot read {}", log.display()))?;
        Ok(Self { file, pending: Vec::new() })
    }

    /// The lines that were completed since the last call; does not wait for more.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn new_lines(&mut self) -> io::Result<Vec<String>> {
        self.file.read_to_end(&mut self.pending)?;
        let complete = self.pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.pending.drain(..complete).collect();
        Ok(String::from_utf8_lossy(&lines).lines().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::scratch::ScratchDir;

    #[test]
    fn a_line_is_told_once_and_only_when_it_is_complete() {
        let scratch = ScratchDir::new("follow").unwrap();
        let log = scratch.path().join("log");
        let mut writer = File::create(&log).unwrap();
        let mut follower = LogFollower::open(&log).unwrap();
        assert!(follower.new_lines().unwrap().is_empty());

        writer.write_all(b"one\ntwo\nthr").unwrap();
        assert_eq!(follower.new_lines().unwrap(), ["one", "two"]);
        writer.write_all(b"ee\n").unwrap();
        assert_eq!(follower.new_lines().unwrap(), ["three"]);
        assert!(follower.new_lines().unwrap().is_empty());
    }
}

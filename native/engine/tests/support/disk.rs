//! File systems that tests mount. Needs root: without it they fail rather than pass unseen.

use std::path::Path;
use std::process::Command;

/// A small file system of its own at a directory of its own.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub fn new(bytes: usize) -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        disk.mount(bytes);
        disk
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Puts another, empty one in its place.
    pub fn mount(&self, bytes: usize) {
        let size = format!("size={bytes}");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(self.path()));
    }

    pub fn remount_read_only(&self) {
        run(Command::new("mount").args(["-o", "remount,ro"]).arg(self.path()));
    }

    /// Takes it away while files on it may be open.
    pub fn vanish(&self) {
        run(Command::new("umount").arg("--lazy").arg(self.path()));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        while Command::new("umount").arg("--lazy").arg(self.path()).output().is_ok_and(|output| output.status.success()) {}
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

//! A file system of a server's own, which can be filled without harm to others. Takes root.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small disk in memory; gone with the handle.
#[derive(Debug)]
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it on a new folder.
    pub(crate) fn mount(path: PathBuf, mib: u32) -> Self {
        std::fs::create_dir(&path).expect("the folder above is new and ours");
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).status();
        let is_mounted = mounted.is_ok_and(|status| status.success());
        assert!(is_mounted, "NOT PLAYED: a small disk must be mounted on {}, which takes root", path.display());
        Self(path)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Leaves no byte free.
    pub(crate) fn fill(&self) {
        let mut filler = std::fs::File::create(self.filler()).expect("an empty file fits");
        let piece = vec![1; 4096];
        while filler.write_all(&piece).is_ok() {}
    }

    /// Ends [`SmallDisk::fill`].
    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.filler()).expect("it was filled");
    }

    /// Whether a byte more fits.
    pub(crate) fn has_room(&self) -> bool {
        let path = self.0.join("one-more");
        let is_written = std::fs::write(&path, [1]).is_ok();
        // an empty file stays where its byte found no room
        let _ = std::fs::remove_file(path);
        is_written
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // one that is left says so by itself: its folder cannot be removed
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

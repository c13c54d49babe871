//! Paths of steps: relative to the data directory and never out of it, and the names in a directory.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

/// The path for a system call. Refuses what could leave the data directory, with `EINVAL`.
pub(crate) fn inside(path: &str) -> Result<CString, Errno> {
    let stays = path.split('/').all(|name| !name.is_empty() && name != "." && name != "..");
    if !stays {
        return Err(Errno::EINVAL);
    }
    CString::new(path).map_err(|_| Errno::EINVAL)
}

/// As [`inside`], where the empty path is the data directory itself.
pub(crate) fn inside_or_root(path: &str) -> Result<CString, Errno> {
    if path.is_empty() { Ok(c".".to_owned()) } else { inside(path) }
}

/// The paths of everything in a directory, relative to the data directory.
pub(crate) fn names(root: &OwnedFd, path: &CStr) -> Result<Vec<CString>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut directory = Dir::openat(root, path, flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in directory.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            let joined = [path.to_bytes(), b"/", name.to_bytes()].concat();
            names.push(CString::new(joined).map_err(|_| Errno::EINVAL)?);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_below_the_data_directory_are_taken() {
        for path in ["a", "a/b", "topics/x-0/00.log", "..a", "a."] {
            assert_eq!(inside(path).unwrap().to_str().unwrap(), path);
        }
        for path in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a\0b"] {
            assert_eq!(inside(path), Err(Errno::EINVAL), "{path:?}");
        }
        assert_eq!(inside_or_root("").unwrap().as_c_str(), c".");
        assert!(inside_or_root("/").is_err());
    }
}

//! What a stopped thread is about to do, and to which file.

use std::fs::{File, read_link};
use std::os::unix::fs::FileExt;

use crate::seccomp::CALLS;

const MAX_PATH_BYTES: usize = 4096;

pub struct Point {
    pub call: &'static str,
    pub path: String,
}

/// `None` for what changes nothing: opening without creating.
pub fn of(thread: i32, registers: &libc::user_regs_struct) -> Option<Point> {
    let number = registers.orig_rax as i64;
    let call = CALLS.iter().find(|(known, _)| *known == number)?.1;
    let path = match number {
        libc::SYS_open => creates(registers.rsi)
            .then(|| resolve(thread, None, registers.rdi))
            .flatten(),
        libc::SYS_openat => creates(registers.rdx)
            .then(|| resolve(thread, Some(registers.rdi), registers.rsi))
            .flatten(),
        libc::SYS_unlink | libc::SYS_rename | libc::SYS_mkdir | libc::SYS_rmdir => {
            resolve(thread, None, registers.rdi)
        }
        libc::SYS_unlinkat | libc::SYS_renameat | libc::SYS_renameat2 | libc::SYS_mkdirat => {
            resolve(thread, Some(registers.rdi), registers.rsi)
        }
        _ => descriptor(thread, registers.rdi),
    }?;
    Some(Point { call, path })
}

fn creates(flags: u64) -> bool {
    flags as i32 & libc::O_CREAT != 0
}

fn descriptor(thread: i32, number: u64) -> Option<String> {
    read_link(format!("/proc/{thread}/fd/{}", number as i32))
        .ok()?
        .into_os_string()
        .into_string()
        .ok()
}

/// A path argument as an absolute path; `directory` is the descriptor it is relative to, if it is.
fn resolve(thread: i32, directory: Option<u64>, address: u64) -> Option<String> {
    let memory = File::open(format!("/proc/{thread}/mem")).ok()?;
    let mut bytes = vec![0; MAX_PATH_BYTES];
    let length = memory.read_at(&mut bytes, address).ok()?;
    let end = bytes[..length].iter().position(|byte| *byte == 0)?;
    let path = std::str::from_utf8(&bytes[..end]).ok()?;
    if path.starts_with('/') {
        return Some(path.to_owned());
    }
    let base = match directory.map(|number| number as i32) {
        None | Some(libc::AT_FDCWD) => read_link(format!("/proc/{thread}/cwd"))
            .ok()?
            .into_os_string()
            .into_string()
            .ok()?,
        Some(number) => descriptor(thread, number as u64)?,
    };
    Some(format!("{base}/{path}"))
}

//! Single file steps, shared by the writer and the steps that TypeScript orders one by one.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;

use rustix::fs::{Advice, FallocateFlags};
use rustix::io::Errno;

/// Of the page cache; where pages are larger, the kernel keeps what is not whole.
const PAGE_BYTES: u64 = 4096;

/// Reserves blocks without changing the size. Best effort: a file system that cannot, or has no room, shows it at the write.
pub fn reserve(file: &File, offset: u64, bytes: u64) -> bool {
    bytes > 0 && rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, offset, bytes).is_ok()
}

/// Writes all slices at `offset`; in one call unless the kernel takes less. Returns the number of calls.
pub fn write_all_at(file: &File, slices: &[&[u8]], offset: u64) -> io::Result<u64> {
    let total: usize = slices.iter().map(|slice| slice.len()).sum();
    let mut done = 0;
    let mut calls = 0;
    while done < total {
        let mut skip = done;
        let mut rest: Vec<IoSlice<'_>> = Vec::with_capacity(slices.len());
        for slice in slices {
            let from = skip.min(slice.len());
            skip -= from;
            if let Some(left) = slice.get(from..).filter(|left| !left.is_empty()) {
                rest.push(IoSlice::new(left));
            }
        }
        calls += 1;
        match rustix::io::pwritev(file, &rest, offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(calls)
}

/// Starts write-out of a range without waiting for it. Best effort: waiting and the sync that follows are what counts.
pub fn start_write_out(file: &File, offset: u64, bytes: u64) {
    let _ = write_out(file, offset, bytes, libc::SYNC_FILE_RANGE_WRITE);
}

/// Waits until the write-out of a range is done: what its blocks changed in the file system's tables is then in the journal's running transaction, and the
/// sync that comes next commits that of all files at once. It makes nothing durable, but what the device refused is told here and only here: the
/// kernel tells it to a descriptor once, and a sync afterwards succeeds (Linux, `file_check_and_advance_wb_err`).
pub fn await_write_out(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    write_out(file, offset, bytes, libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER)
}

fn write_out(file: &File, offset: u64, bytes: u64, flags: u32) -> io::Result<()> {
    let range = |value: u64| i64::try_from(value).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG));
    let (offset, bytes) = (range(offset)?, range(bytes)?);
    loop {
        // SAFETY: a system call on a descriptor that `file` keeps open; it takes no pointers.
        if unsafe { libc::sync_file_range(file.as_raw_fd(), offset, bytes, flags) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Keeps the kernel from reading ahead of the small reads that follow.
pub fn expect_random_reads(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, Advice::Random);
}

/// Gives the whole pages of everything up to `bytes` (0: of the whole file) back to the machine; they are on the device. The page that `bytes` ends in
/// stays: the next write goes on in it, and would have to read it.
pub fn drop_cache(file: &File, bytes: u64) {
    let whole = bytes - bytes % PAGE_BYTES;
    if bytes > 0 && whole == 0 {
        return;
    }
    let bytes = whole;
    let _ = rustix::fs::fadvise(file, 0, std::num::NonZeroU64::new(bytes), Advice::DontNeed);
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;
    use std::os::unix::fs::FileExt;

    use rustix::io::{ReadWriteFlags, preadv2};

    use super::{PAGE_BYTES, drop_cache};

    #[test]
    fn the_page_that_is_written_next_stays_in_memory() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 3 * PAGE_BYTES as usize + 100], 0).unwrap();
        file.sync_data().unwrap();
        drop_cache(&file, 3 * PAGE_BYTES + 100);
        let mut read = [0; 200];
        // Fails where it would have to wait for the device.
        let bytes = preadv2(&file, &mut [IoSliceMut::new(&mut read)], 3 * PAGE_BYTES, ReadWriteFlags::NOWAIT);
        assert_eq!(bytes, Ok(100));
    }
}

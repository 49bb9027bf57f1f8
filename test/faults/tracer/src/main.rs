//! Runs a program and interferes with one of its file-changing system calls, counted over all of its threads:
//! `tracer LOG WATCHED ACT POINT -- COMMAND...`. Each call on something below the folder WATCHED is a point, numbered from 1 and written to
//! LOG before it is made, as `number TAB milliseconds TAB call TAB path`. At POINT (0: nowhere) the whole program is killed before the call (`kill`),
//! or the call fails with the error of that number instead of being made (`error:5`). With `short` every POINT-th call that writes writes half of its
//! bytes or, where it has several buffers, half of those.
//! Debian's strace counts by thread and can do none of this at a chosen call of a program with a pool of threads.

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("the tracer knows the registers of x86-64 alone");

mod point;
mod seccomp;

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::time::Instant;

use point::Point;

enum Act {
    Kill,
    Short,
    Error(i64),
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, log, watched, act, at, dashes, command @ ..] = arguments.as_slice() else {
        usage();
    };
    let act = match (
        act.as_str(),
        act.strip_prefix("error:")
            .and_then(|number| number.parse().ok()),
    ) {
        ("kill", _) => Act::Kill,
        ("short", _) => Act::Short,
        (_, Some(number)) => Act::Error(number),
        _ => usage(),
    };
    let (Ok(at), "--", false) = (at.parse::<u64>(), dashes.as_str(), command.is_empty()) else {
        usage()
    };
    let log = File::create(log).unwrap_or_else(|error| die(&format!("{log}: {error}")));
    let child = start(command);
    std::process::exit(
        Tracer {
            child,
            log,
            watched,
            act,
            at,
            points: 0,
            writes: 0,
            began: Instant::now(),
        }
        .run(),
    );
}

fn usage() -> ! {
    die("usage: tracer LOG WATCHED kill|short|error:NUMBER POINT -- COMMAND...")
}

fn die(text: &str) -> ! {
    eprintln!("tracer: {text}");
    std::process::exit(125)
}

fn check(result: i64, what: &str) -> i64 {
    if result < 0 {
        die(&format!("{what}: {}", std::io::Error::last_os_error()));
    }
    result
}

/// The program, stopped before its first instruction, its calls of interest trapping.
fn start(command: &[String]) -> i32 {
    let texts: Vec<CString> = command
        .iter()
        .map(|text| CString::new(text.as_str()).unwrap_or_else(|error| die(&error.to_string())))
        .collect();
    let mut pointers: Vec<*const libc::c_char> = texts.iter().map(|text| text.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: this process has one thread; the child calls nothing but system calls before exec.
    let child = unsafe { libc::fork() };
    check(i64::from(child), "fork");
    if child == 0 {
        // SAFETY: the pointers are of strings that live on, and end with a null pointer.
        unsafe {
            // The program ends with the tracer, and the tracer's signals to itself are forwarded.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            libc::raise(libc::SIGSTOP);
            seccomp::trap();
            libc::execvp(pointers[0], pointers.as_ptr());
            libc::_exit(127)
        }
    }
    let mut status = 0;
    // SAFETY: `status` lives on the stack during the call.
    check(
        i64::from(unsafe { libc::waitpid(child, &raw mut status, 0) }),
        "waitpid",
    );
    let options = libc::PTRACE_O_TRACESECCOMP
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_EXITKILL;
    // SAFETY: plain numbers.
    unsafe {
        check(
            libc::ptrace(libc::PTRACE_SETOPTIONS, child, 0, options),
            "PTRACE_SETOPTIONS",
        );
        check(libc::ptrace(libc::PTRACE_CONT, child, 0, 0), "PTRACE_CONT");
    }
    child
}

struct Tracer<'a> {
    child: i32,
    log: File,
    watched: &'a str,
    act: Act,
    at: u64,
    points: u64,
    /// Of those, calls that write.
    writes: u64,
    began: Instant,
}

impl Tracer<'_> {
    /// Until the program ends; returns its exit code, as a shell would.
    fn run(mut self) -> i32 {
        forward_signals(self.child);
        loop {
            let mut status = 0;
            // SAFETY: `status` lives on the stack during the call.
            let thread = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
            if thread < 0 {
                if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted {
                    continue;
                }
                return 125;
            }
            if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
                if thread == self.child {
                    return if libc::WIFEXITED(status) {
                        libc::WEXITSTATUS(status)
                    } else {
                        128 + libc::WTERMSIG(status)
                    };
                }
                continue;
            }
            let signal = libc::WSTOPSIG(status);
            let deliver = if status >> 8 == libc::SIGTRAP | (libc::PTRACE_EVENT_SECCOMP << 8) {
                self.stopped_at_call(thread);
                0
            } else if signal == libc::SIGTRAP || signal == libc::SIGSTOP {
                // Birth of a thread, or exec.
                0
            } else {
                signal
            };
            // A thread that was killed meanwhile is gone: no error.
            // SAFETY: plain numbers.
            unsafe { libc::ptrace(libc::PTRACE_CONT, thread, 0, deliver) };
        }
    }

    fn stopped_at_call(&mut self, thread: i32) {
        // SAFETY: all zero is a valid value, and the kernel fills it.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        // SAFETY: the thread is stopped; the structure lives on the stack during the call.
        if unsafe { libc::ptrace(libc::PTRACE_GETREGS, thread, 0, &raw mut registers) } < 0 {
            return;
        }
        let Some(Point { call, path }) = point::of(thread, &registers) else {
            return;
        };
        if !path.starts_with(self.watched) {
            return;
        }
        self.points += 1;
        let elapsed = self.began.elapsed().as_millis();
        let path = path.strip_prefix(self.watched).unwrap_or(&path);
        if writeln!(self.log, "{}\t{elapsed}\t{call}\t{path}", self.points).is_err() {
            die("the log cannot be written");
        }
        if call.contains("write") {
            self.writes += 1;
        } else if matches!(self.act, Act::Short) {
            return;
        }
        let is_due = match self.act {
            Act::Short => self.at > 0 && self.writes.is_multiple_of(self.at),
            Act::Kill | Act::Error(_) => self.points == self.at,
        };
        if !is_due {
            return;
        }
        match self.act {
            // SAFETY: plain numbers.
            Act::Kill => unsafe {
                libc::kill(self.child, libc::SIGKILL);
            },
            Act::Short => registers.rdx = (registers.rdx / 2).max(1),
            Act::Error(number) => {
                // No call, and this as its result: seccomp(2), SECCOMP_RET_TRACE.
                registers.orig_rax = u64::MAX;
                registers.rax = number.wrapping_neg() as u64;
            }
        }
        // SAFETY: the thread is stopped; the structure lives on the stack during the call.
        unsafe { libc::ptrace(libc::PTRACE_SETREGS, thread, 0, &raw const registers) };
    }
}

/// SIGTERM and SIGINT to the tracer are meant for the program.
fn forward_signals(child: i32) {
    use std::sync::atomic::{AtomicI32, Ordering};
    static CHILD: AtomicI32 = AtomicI32::new(0);
    extern "C" fn forward(signal: libc::c_int) {
        // SAFETY: kill may be called in a signal handler.
        unsafe { libc::kill(CHILD.load(Ordering::Relaxed), signal) };
    }
    CHILD.store(child, Ordering::Relaxed);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the handler is a function of the right form that calls kill alone.
        unsafe {
            libc::signal(
                signal,
                forward as extern "C" fn(libc::c_int) as libc::sighandler_t,
            )
        };
    }
}

//! A child process in a process group of its own, whose output goes to a file, and which ends with its value.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper,
    waitpgid,
};

use super::eventually;

/// How many bytes of a log a panic shows.
const TAIL: usize = 8_000;

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints is appended to the file `log`.
    pub(crate) fn spawn(command: &mut Command, log: &Path) -> Self {
        // Orphans of our children become our children, so that we can wait for each of them to be gone.
        set_child_subreaper(Some(getpid())).expect("Linux lets any process adopt");
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .unwrap_or_else(|error| panic!("{} cannot be opened: {error}", log.display()));
        let errors = File::try_clone(&output).expect("a file that is open has a second handle");
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self {
            child,
            log: log.to_owned(),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.expect("a running process has a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let figure = line.and_then(|line| line.trim().strip_suffix("kB"));
        let figure = figure.and_then(|figure| figure.trim().parse().ok());
        figure.unwrap_or_else(|| panic!("its memory is not in {status}"))
    }

    /// The exit status, once the process is over.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .expect("the state of an own child can be asked")
    }

    /// Sends `signal` to the process and to all that it started.
    pub(crate) fn signal(&self, signal: Signal) {
        // An error means that the group is gone already, which is fine for the one who ends it.
        let _ = kill_process_group(self.group(), signal);
    }

    /// Kills the group at once and waits until all of it is gone.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
        // What the process started is ours since it ended, see spawn().
        while waitpgid(self.group(), WaitOptions::empty()).is_ok() {}
    }

    /// Asks the process to end with SIGTERM, and returns its exit status.
    ///
    /// # Panics
    ///
    /// When it does not end within `grace`.
    pub(crate) fn terminate(&mut self, grace: Duration) -> ExitStatus {
        let leader = self.group();
        let _ = kill_process(leader, Signal::TERM);
        self.end_within(grace)
    }

    /// The exit status, once the process has ended.
    ///
    /// # Panics
    ///
    /// When it does not end within `grace`.
    pub(crate) fn end_within(&mut self, grace: Duration) -> ExitStatus {
        eventually("the process ends on SIGTERM", grace, || {
            self.ended()
                .ok_or_else(|| format!("it still runs; its log ends:\n{}", tail(&self.log)))
        })
    }

    /// All that the process printed, with U+FFFD for what is no UTF-8.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    /// The end of the log, for messages.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log)
    }

    fn group(&self) -> Pid {
        i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a child has a positive process id")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn read(log: &Path) -> String {
    fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

fn tail(log: &Path) -> String {
    let text = read(log);
    let start = text.ceil_char_boundary(text.len().saturating_sub(TAIL));
    text[start..].to_owned()
}

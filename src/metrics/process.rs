//! The process itself, from Linux (proc(5)).

use std::fs;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use rustix::time::{ClockId, clock_gettime};

use super::{Book, set};

type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug)]
pub(super) struct Process {
    cpu: Counter<f64, AtomicU64>,
    resident: Gauge,
    descriptors: Gauge,
    descriptors_max: Gauge,
}

impl Process {
    pub(super) fn new(book: &mut Book<'_>, started: Duration) -> Self {
        let start = book.enter(
            "process_start_time_seconds",
            "When the process started, Unix seconds",
            Seconds::default(),
        );
        start.set(started.as_secs_f64());
        Self {
            cpu: book.enter(
                "process_cpu_seconds",
                "CPU time used, user and system",
                Counter::default(),
            ),
            resident: book.gauge("process_resident_memory_bytes", "Memory in use"),
            descriptors: book.gauge("process_open_fds", "File descriptors in use"),
            descriptors_max: book.gauge("process_max_fds", "Maximum number of file descriptors"),
        }
    }

    /// Reads what is true now; what cannot be read stays as it was.
    pub(super) fn look(&self) {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        if let Ok(cpu) = Duration::try_from(cpu) {
            self.cpu.inner().store(
                cpu.as_secs_f64().to_bits(),
                std::sync::atomic::Ordering::Relaxed,
            );
        }
        let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok());
        if let Some(pages) = pages {
            set(
                &self.resident,
                rustix::param::page_size().saturating_mul(pages),
            );
        }
        if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory that is being read.
            set(&self.descriptors, descriptors.count().saturating_sub(1));
        }
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        if let Some(limit) = limit.current.and_then(|limit| i64::try_from(limit).ok()) {
            self.descriptors_max.set(limit);
        }
    }
}

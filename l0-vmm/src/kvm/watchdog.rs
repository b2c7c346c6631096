//! Ends a KVM_RUN that would never end: after the time is over, a signal interrupts it.
#![allow(unsafe_code, reason = "signals are sent and handled by calls of libc")]

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// The signal may arrive just before KVM_RUN and then interrupts nothing, so it is sent again.
const AGAIN: Duration = Duration::from_millis(5);

struct Shared {
    done: Mutex<bool>,
    wake: Condvar,
    expired: AtomicBool,
}

/// Watches over the thread that made it.
pub(super) struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watchdog {
    /// Interrupts system calls of this thread from `limit` after now on, until it is dropped.
    pub fn new(limit: Duration) -> io::Result<Self> {
        install_handler()?;
        let shared = Arc::new(Shared {
            done: Mutex::new(false),
            wake: Condvar::new(),
            expired: AtomicBool::new(false),
        });
        // SAFETY: it only reads.
        let target = unsafe { libc::pthread_self() };
        let deadline = Instant::now().checked_add(limit);
        let theirs = Arc::clone(&shared);
        let watch = move || watch(&theirs, deadline, target);
        let thread = thread::Builder::new().name("watchdog".into()).spawn(watch)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Whether the time is over.
    pub fn expired(&self) -> bool {
        self.shared.expired.load(Ordering::Acquire)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.shared.done.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // It does not panic, and if it did there would be nothing to do.
            let _ = thread.join();
        }
    }
}

fn watch(shared: &Shared, deadline: Option<Instant>, target: libc::pthread_t) {
    let mut done = shared.done.lock().unwrap_or_else(PoisonError::into_inner);
    while !*done {
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        let wait = match left {
            None => Duration::MAX,
            Some(Duration::ZERO) => {
                shared.expired.store(true, Ordering::Release);
                // SAFETY: the target made this thread and joins it before it ends, so it is alive.
                unsafe { libc::pthread_kill(target, signal()) };
                AGAIN
            }
            Some(left) => left,
        };
        done = shared.wake.wait_timeout(done, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn signal() -> libc::c_int {
    libc::SIGRTMIN()
}

extern "C" fn nothing(_: libc::c_int) {}

/// A handler that does nothing: the signal then interrupts a system call and kills nobody.
fn install_handler() -> io::Result<()> {
    static INSTALL: Once = Once::new();
    let mut result = Ok(());
    INSTALL.call_once(|| {
        // SAFETY: all zeros is a valid sigaction; the handler is async-signal-safe because it does nothing.
        let failed = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
            libc::sigaction(signal(), &raw const action, std::ptr::null_mut()) != 0
        };
        if failed {
            result = Err(io::Error::last_os_error());
        }
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_call_that_would_not_end_is_interrupted() {
        let dog = Watchdog::new(Duration::from_millis(20)).unwrap();
        assert!(!dog.expired());
        // SAFETY: it waits.
        let result = unsafe { libc::poll(std::ptr::null_mut(), 0, 60_000) };
        let error = io::Error::last_os_error().raw_os_error();
        assert_eq!((result, error), (-1, Some(libc::EINTR)));
        assert!(dog.expired());
    }

    #[test]
    fn a_watchdog_that_is_not_needed_goes_at_once() {
        let start = Instant::now();
        drop(Watchdog::new(Duration::from_secs(600)).unwrap());
        drop(Watchdog::new(Duration::MAX).unwrap());
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}

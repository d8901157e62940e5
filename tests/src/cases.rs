//! Cases one after the other, each on the bench that the one before left; a failure is kept and gets a new bench.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

pub struct Cases<B> {
    make: fn() -> B,
    bench: Option<B>,
    ran: u32,
    failures: Vec<String>,
}

impl<B> Cases<B> {
    pub fn new(make: fn() -> B) -> Cases<B> {
        Cases { make, bench: None, ran: 0, failures: Vec::new() }
    }

    /// Gives what the case gave; none where it failed.
    pub fn run<T>(&mut self, name: &str, case: impl FnOnce(&mut B) -> T) -> Option<T> {
        let began = Instant::now();
        self.ran += 1;
        let (bench, make) = (self.bench.take(), self.make);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut bench = bench.unwrap_or_else(make);
            let given = case(&mut bench);
            (bench, given)
        }));
        match outcome {
            Ok((bench, given)) => {
                eprintln!("{name}: sound after {:.1} s", began.elapsed().as_secs_f32());
                self.bench = Some(bench);
                Some(given)
            }
            Err(panic) => {
                let words = panic.downcast_ref::<String>().map(String::as_str);
                let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
                eprintln!("{name}: FAILED: {words}");
                self.failures.push(format!("{name}: {words}"));
                None
            }
        }
    }

    /// The last bench.
    ///
    /// # Panics
    /// With every failure.
    pub fn close(self) -> Option<B> {
        eprintln!("{} cases, {} failed", self.ran, self.failures.len());
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n\n"));
        self.bench
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_at_the_end_and_the_next_case_has_a_bench_of_its_own() {
        let mut cases = Cases::new(|| 0);
        let count = |bench: &mut i32| {
            *bench += 1;
            *bench
        };
        assert_eq!((cases.run("one", count), cases.run("two", count)), (Some(1), Some(2)));
        assert_eq!(cases.run("bad", |_| -> i32 { panic!("for {}", "a reason") }), None);
        assert_eq!(cases.run("anew", count), Some(1));
        let told = catch_unwind(AssertUnwindSafe(|| cases.close())).expect_err("it tells");
        assert_eq!(told.downcast_ref::<String>().map(String::as_str), Some("bad: for a reason"));
    }
}

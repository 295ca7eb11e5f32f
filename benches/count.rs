//! Counts the instructions of every stage under every backend, and measures its cycles.
//!
//! Run by `make count`; `--write PAGE` puts the table between the marks of a page, `--only STAGE` prints some of it. Two ways to count, in a process of
//! their own a number, each done twice, and both have to give the same:
//!
//! - callgrind, which knows AVX2 and no AVX-512;
//! - the processor's trap flag, which stops after every instruction, whatever it is.
//!
//! Cycles are the fastest of many runs, times the clock, which a chain of multiplications tells.

mod cases;

use std::fmt::Write as _;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use _dynres_rs::pack::Element;
use _dynres_rs::simd::{Scalar, Simd};
use cases::{NUMERICS, SIZES, Stage, Work};

const START: &str = "<!-- count -->";
const END: &str = "<!-- count end -->";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => println!("{}", table("")),
        ["--only", stage] => println!("{}", table(stage)),
        ["--write", page] => {
            let text = std::fs::read_to_string(page).expect("page");
            let (before, rest) = text.split_once(START).expect("start mark");
            let (_, after) = rest.split_once(END).expect("end mark");
            let table = table("");
            println!("{table}");
            let text = format!("{before}{START}\n{table}{END}{after}");
            std::fs::write(page, text).expect("page");
        }
        ["--once", backend, row] => {
            let simd = Simd::detect(backend).expect("backend");
            let row = rows().into_iter().nth(row.parse().expect("number")).expect("row");
            let mut work = row.work(simd);
            // What is made on the first call only is no part of the count.
            work.run();
            println!("{}", steps::count(&mut *work));
        }
        // For counts from outside, such as of an emulator: twice as many runs less as many are the instructions of so many.
        ["--run", backend, row, times] => {
            let simd = Simd::detect(backend).expect("backend");
            let row = rows().into_iter().nth(row.parse().expect("number")).expect("row");
            let mut work = row.work(simd);
            for _ in 0..times.parse().expect("times") {
                run_measured(&mut *work);
            }
            let numerics = if row.stage.has_numerics() { NUMERICS[row.numerics].0 } else { "" };
            let size = SIZES[row.size].0;
            println!("| {} | {size} | {numerics} | {}", row.stage.name(), row.unit());
        }
        // `cargo test --benches` runs it with a flag of its own.
        _ => {}
    }
}

/// What a row of the table counts.
struct Row {
    stage: Stage,
    size: usize,
    numerics: usize,
}

impl Row {
    fn work(&self, simd: Simd) -> Box<dyn Work> {
        self.stage.work(simd, SIZES[self.size].1, NUMERICS[self.numerics].1)
    }

    fn unit(&self) -> usize {
        self.stage.unit(SIZES[self.size].1, NUMERICS[self.numerics].1)
    }

    /// Whether single steps, of ten microseconds each, take seconds at most.
    fn can_be_stepped(&self) -> bool {
        match self.stage {
            Stage::Weights => self.size == 0 && self.numerics == 0,
            Stage::Resize | Stage::Family("qwen2-vl") => self.numerics == 0,
            Stage::Family(_) => false,
            _ => true,
        }
    }

    /// Whether that makes a second count cheap enough to check the first with.
    fn is_short(&self) -> bool {
        !matches!(self.stage, Stage::Weights | Stage::Resize | Stage::Family(_))
    }
}

/// Passes at every size; what does not depend on it, once; whole calls at the smallest, for single steps are slow.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for stage in Stage::ALL {
        let sizes = match stage {
            Stage::Weights
            | Stage::Horizontal(_)
            | Stage::Vertical
            | Stage::FloatHorizontal
            | Stage::FloatVertical => 0..3,
            Stage::Interleave
            | Stage::SplitPatch
            | Stage::Elements(_)
            | Stage::Pixels(_)
            | Stage::FloatSquare => 1..2,
            Stage::Resize | Stage::Family(_) => 0..1,
        };
        let once = !stage.has_numerics()
            || stage == Stage::Elements(Element::Bfloat16)
            || stage == Stage::Pixels(Element::Bfloat16);
        for size in sizes {
            rows.extend((0..if once { 1 } else { 2 }).map(|numerics| Row {
                stage,
                size,
                numerics,
            }));
        }
    }
    rows
}

/// The rows of the stages that have `only` in their names.
fn table(only: &str) -> String {
    cases::stay();
    let valgrind = Command::new("valgrind").arg("--version").output();
    let valgrind = valgrind.ok().map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    let clock = clock();
    let simds: Vec<Simd> = cases::backends().collect();
    let mut text = format!(
        "{}, {clock:.2} GHz; `scalar` and `avx2` counted by {}, `avx512` by single steps.\n\n",
        processor(),
        valgrind.as_deref().unwrap_or("nothing: callgrind is not installed"),
    );
    text.push_str("| stage | image | weights |");
    for simd in &simds {
        let _ = write!(text, " {} |", simd.name());
    }
    text.push_str("\n|---|---|---|");
    text.push_str(&"---:|".repeat(simds.len()));
    text.push('\n');
    let mut furthest: f64 = 0.0;
    for (number, row) in rows().iter().enumerate() {
        if !row.stage.name().contains(only) {
            continue;
        }
        let bits = if row.stage.has_numerics() { NUMERICS[row.numerics].0 } else { "" };
        let _ = write!(text, "| {} | {} | {bits} |", row.stage.name(), SIZES[row.size].0);
        let mut plain = row.work(Simd::Scalar(Scalar));
        plain.run();
        let plain = plain.answer();
        for &simd in &simds {
            let mut work = row.work(simd);
            work.run();
            assert!(work.answer() == plain, "{} under {}", row.stage.name(), simd.name());
            let unit = row.unit() as f64;
            let stepped = match simd.name() {
                "avx512" if row.can_be_stepped() => twice(|| once(simd, number, false)),
                "avx2" if row.is_short() => twice(|| once(simd, number, false)),
                _ => None,
            };
            let called = match simd.name() {
                "avx512" => None,
                _ => valgrind.as_ref().and_then(|_| twice(|| once(simd, number, true))),
            };
            if let (Some(stepped), Some(called)) = (stepped, called) {
                furthest = furthest.max((stepped / called - 1.0).abs());
            }
            let cycles = fastest(&mut *work) * clock / unit;
            let _ = match called.or(stepped) {
                Some(count) => write!(text, " {:.2} / {cycles:.2} |", count / unit),
                None => write!(text, " - / {cycles:.2} |"),
            };
            eprintln!("{} {} {bits} {}", row.stage.name(), SIZES[row.size].0, simd.name());
        }
        text.push('\n');
    }
    if furthest > 0.0 {
        let _ = writeln!(
            text,
            "\nWhere `avx2` was counted in both ways, they differ by {:.2} % at most.",
            furthest * 100.0
        );
    }
    text
}

/// A count that comes out the same again. Whole calls hash with random keys, which is a few instructions.
fn twice(count: impl Fn() -> Option<f64>) -> Option<f64> {
    let (first, second) = (count()?, count()?);
    assert!((first - second).abs() <= first * 1e-3, "{first} and {second} instructions");
    Some(first)
}

/// One count, by another process.
fn once(simd: Simd, row: usize, by_callgrind: bool) -> Option<f64> {
    let this = std::env::current_exe().ok()?;
    // The C library copies by other instructions at other addresses, so these are fixed for single steps too.
    let mut command = Command::new(if by_callgrind { "valgrind" } else { "setarch" });
    if by_callgrind {
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        command.arg("--toggle-collect=*run_measured*");
    } else {
        command.arg("--addr-no-randomize");
    }
    command.arg(&this);
    let out = command.args(["--once", simd.name(), &row.to_string()]).output().ok()?;
    let text = String::from_utf8(if by_callgrind { out.stderr } else { out.stdout }).ok()?;
    if by_callgrind {
        text.split("Collected : ").nth(1)?.split_whitespace().next()?.parse().ok()
    } else {
        text.trim().parse().ok()
    }
}

/// What is counted.
#[inline(never)]
fn run_measured(work: &mut dyn Work) {
    work.run();
}

/// Nanoseconds of the fastest run.
fn fastest(work: &mut dyn Work) -> f64 {
    let mut time = |times: u32| {
        let start = Instant::now();
        for _ in 0..times {
            work.run();
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(times)
    };
    // Long enough for the timer, short enough to fit between interruptions.
    let times = (20_000.0 / time(1)).clamp(1.0, 1000.0) as u32;
    let start = Instant::now();
    let mut best = f64::MAX;
    for round in 0.. {
        best = best.min(time(times));
        if round >= 5 && start.elapsed() > Duration::from_millis(300) {
            break;
        }
    }
    best
}

/// The clock in GHz, by multiplications that wait for each other: CPUs add constants before they execute anything.
fn clock() -> f64 {
    const ROUNDS: u32 = 100_000;
    let time = || {
        let start = Instant::now();
        let mut product = black_box(3u64);
        for _ in 0..ROUNDS {
            product = steps::eight_multiplications(product);
        }
        black_box(product);
        f64::from(ROUNDS * 8 * 3) / start.elapsed().as_secs_f64() / 1e9
    };
    (0..100).map(|_| time()).fold(0.0, f64::max)
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line =
            info.lines().find(|line| line.split(':').next().is_some_and(|l| l.trim() == name));
        line.and_then(|line| line.split(':').nth(1)).unwrap_or("?").trim().to_owned()
    };
    format!("{}, family {} model {}", field("model name"), field("cpu family"), field("model"))
}

/// Single steps, in this process: the trap flag raises a signal after every instruction.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod steps {
    #![expect(unsafe_code, reason = "sets the processor's trap flag")]

    use std::arch::asm;
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    use super::{Work, run_measured};

    static STEPS: AtomicU64 = AtomicU64::new(0);
    static LAST: AtomicI64 = AtomicI64::new(0);

    /// A repeated string instruction traps in each round, and is one instruction.
    extern "C" fn step(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the system hands over the context of the interrupted instruction.
        let context = unsafe { &*context.cast::<libc::ucontext_t>() };
        let at = context.uc_mcontext.gregs[libc::REG_RIP as usize];
        if LAST.swap(at, Ordering::Relaxed) != at {
            STEPS.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Instructions of one run, those that this takes subtracted.
    pub(super) fn count(work: &mut dyn Work) -> u64 {
        struct Nothing;
        impl Work for Nothing {
            fn run(&mut self) {}

            fn answer(&mut self) -> Vec<u8> {
                Vec::new()
            }
        }
        if under_valgrind() {
            run_measured(work);
            return 0;
        }
        // SAFETY: all zeros are a valid action, which is then filled in.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = step as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: the handler touches atomics only.
        unsafe { libc::sigaction(libc::SIGTRAP, &raw const action, std::ptr::null_mut()) };
        let nothing = stepped(&mut Nothing);
        stepped(work) - nothing
    }

    #[inline(never)]
    fn stepped(work: &mut dyn Work) -> u64 {
        STEPS.store(0, Ordering::Relaxed);
        // SAFETY: sets the trap flag, for which there is a handler.
        unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
        run_measured(work);
        // SAFETY: clears it.
        unsafe { asm!("pushfq", "and qword ptr [rsp], ~0x100", "popfq") };
        STEPS.load(Ordering::Relaxed)
    }

    /// Valgrind preloads a library of its own.
    fn under_valgrind() -> bool {
        std::env::var("LD_PRELOAD").is_ok_and(|libraries| libraries.contains("valgrind"))
    }

    /// Three cycles each, on every CPU of the last ten years.
    #[inline]
    pub(super) fn eight_multiplications(mut product: u64) -> u64 {
        // SAFETY: multiplications.
        unsafe {
            asm!(
                "imul {0}, {0}", "imul {0}, {0}", "imul {0}, {0}", "imul {0}, {0}",
                "imul {0}, {0}", "imul {0}, {0}", "imul {0}, {0}", "imul {0}, {0}",
                inout(reg) product, options(pure, nomem, nostack)
            );
        }
        product
    }
}

/// Elsewhere nothing is counted.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod steps {
    use super::{Work, run_measured};

    pub(super) fn count(work: &mut dyn Work) -> u64 {
        run_measured(work);
        0
    }

    pub(super) fn eight_multiplications(product: u64) -> u64 {
        (0..8).fold(product, |product, _| std::hint::black_box(product.wrapping_mul(product)))
    }
}

//! Sizes a second: counts of tokens, and whole plans, of each family.
//!
//! Run by `make bench-plans`; `--write PAGE` puts the table between the marks of a page, `--only FAMILY` measures one. A count is asserted equal to
//! the plan's before anything is timed. `--check` fails where a family of [`TARGETS`] is slower than its row says.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use _dynres_rs::families::{self, Family};
use _dynres_rs::plan::{Plan, count_tokens};

const START: &str = "<!-- plans -->";
const END: &str = "<!-- plans end -->";

/// Sizes that are gone through again and again: more than a branch predictor learns by heart.
const SIZES: usize = 4096;
/// How long a row is measured.
const TIME: Duration = Duration::from_millis(500);

/// Million counts and plans a second at least. Candidates are searched by the second and third.
const TARGETS: [(&str, f64, f64); 4] = [
    ("qwen2-vl", 5.0, 1.0),
    ("internvl", 2.0, 1.0),
    ("deepseek-vl2", 2.0, 1.0),
    ("deepseek-vl", 5.0, 1.0),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => println!("{}", table(&rows(|_| true))),
        ["--only", name] => println!("{}", table(&rows(|family| family.name == name))),
        ["--check"] => {
            let rows = rows(|family| TARGETS.iter().any(|target| target.0 == family.name));
            println!("{}", table(&rows));
            for (name, counts, plans) in TARGETS {
                let row = rows.iter().find(|row| row.0 == name).expect("row");
                assert!(row.1 >= counts, "{name}: {:.2} million counts a second", row.1);
                assert!(row.2 >= plans, "{name}: {:.2} million plans a second", row.2);
            }
        }
        ["--write", page] => {
            let text = std::fs::read_to_string(page).expect("page");
            let (before, rest) = text.split_once(START).expect("start mark");
            let (_, after) = rest.split_once(END).expect("end mark");
            let table = table(&rows(|_| true));
            println!("{table}");
            std::fs::write(page, format!("{before}{START}\n{table}{END}{after}")).expect("page");
        }
        // `cargo test --benches` runs it with a flag of its own.
        _ => {}
    }
}

/// Name, million counts and million plans a second.
type Row = (&'static str, f64, f64);

fn rows(is_asked: impl Fn(&Family) -> bool) -> Vec<Row> {
    families::all().iter().filter(|family| is_asked(family)).map(row).collect()
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from("| family | `num_tokens` | `Plan::new` |\n|---|---:|---:|\n");
    for (name, counts, plans) in rows {
        let _ = writeln!(text, "| `{name}` | {counts:.2} | {plans:.2} |");
    }
    text
}

fn row(family: &Family) -> Row {
    let spec = family.spec.clone().prepare().expect("options of the table");
    let mut sizes = sizes();
    // A family may refuse some sizes: then there is neither a count nor a plan.
    sizes.retain(|&size| Plan::new(&spec, size, 1).is_ok());
    assert!(sizes.len() > SIZES / 2, "{}: {} sizes", family.name, sizes.len());
    for &size in &sizes {
        let count = count_tokens(&spec, size, 1).expect("as its plan");
        assert_eq!(count, Plan::new(&spec, size, 1).expect("a plan").num_tokens);
    }
    let counts = rate(&sizes, |size| count_tokens(&spec, size, 1).is_ok());
    let plans = rate(&sizes, |size| black_box(Plan::new(&spec, size, 1)).is_ok());
    (family.name, counts, plans)
}

/// Sides of 32 to 4127 pixels.
fn sizes() -> Vec<(usize, usize)> {
    let mut state = 1_u64;
    let mut side = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        32 + (state >> 52) as usize
    };
    (0..SIZES).map(|_| (side(), side())).collect()
}

/// Millions a second, of the fastest of many rounds.
fn rate(sizes: &[(usize, usize)], work: impl Fn((usize, usize)) -> bool) -> f64 {
    let (start, mut best) = (Instant::now(), f64::MAX);
    while start.elapsed() < TIME {
        let round = Instant::now();
        for &size in sizes {
            assert!(black_box(work(black_box(size))));
        }
        best = best.min(round.elapsed().as_secs_f64());
    }
    sizes.len() as f64 / best / 1e6
}

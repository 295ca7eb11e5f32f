//! Times every stage under every backend of this CPU: `cargo bench --no-default-features --bench stages`.
//!
//! A stage runs once before it is timed, and must make what the plain version makes.

mod cases;

use std::time::Duration;

use _dynres_rs::simd::{Scalar, Simd};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(10)
        .configure_from_args();
    cases::stay();
    let names: Vec<_> = cases::backends().map(Simd::name).collect();
    println!("backends of this CPU: {}", names.join(", "));
    for stage in cases::Stage::ALL {
        let mut group = criterion.benchmark_group(stage.name());
        group.sampling_mode(SamplingMode::Flat);
        for (size_name, size) in cases::SIZES {
            let numerics = if stage.has_numerics() { 2 } else { 1 };
            for (bits, numerics) in cases::NUMERICS.into_iter().take(numerics) {
                let label = if stage.has_numerics() {
                    format!("{size_name} {bits}")
                } else {
                    size_name.into()
                };
                group.throughput(Throughput::Elements(stage.unit(size, numerics) as u64));
                let mut plain: Option<Vec<u8>> = None;
                for simd in cases::backends() {
                    // Criterion calls this only for what its filter lets through.
                    group.bench_function(BenchmarkId::new(simd.name(), &label), |bencher| {
                        let mut work = stage.work(simd, size, numerics);
                        work.run();
                        let plain = plain.get_or_insert_with(|| {
                            let mut work = stage.work(Simd::Scalar(Scalar), size, numerics);
                            work.run();
                            work.answer()
                        });
                        assert!(work.answer() == *plain, "{} of {label}", stage.name());
                        bencher.iter(|| work.run());
                    });
                }
            }
        }
        group.finish();
    }
    criterion.final_summary();
}

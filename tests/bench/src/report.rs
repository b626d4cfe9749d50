//! Tables of medians and ratios, and the aims they are held against.

use std::fmt::Write as _;

use crate::claims::Form;
use crate::options::Options;
use crate::sample::{Latency, Sample, median, median_of, milliseconds, paired};
use crate::starts::Starts;
use crate::usage::Cpu;

/// The aims of this stage.
const CREATES_PER_CUSTOM: f64 = 3.0;
const CREATE_ABOVE_PROBE_MS: f64 = 1.0;
const IDLE_MEMORY_MIB: f64 = 40.0;
const READY_MS: f64 = 300.0;

/// The numbers of clients that aims are about.
const MANY: usize = 64;
const ONE: usize = 1;

/// Creates of so many clients, one sample of each contestant a repeat.
#[derive(Debug, Default)]
pub(crate) struct CreateResults {
    pub(crate) clients: usize,
    pub(crate) ours: Vec<Sample>,
    pub(crate) pgbench: Vec<Sample>,
    pub(crate) custom: Vec<Sample>,
}

/// Claims and completions in one form.
#[derive(Debug)]
pub(crate) struct ClaimResults {
    form: Form,
    pub(crate) ours: Vec<Sample>,
    pub(crate) pgbench: Vec<Sample>,
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) starts: Starts,
    pub(crate) wakes: Vec<Latency>,
    pub(crate) creates: Vec<CreateResults>,
    pub(crate) claims: Vec<ClaimResults>,
    /// MiB at the end, with all that was created in the caches.
    pub(crate) memory_after: f64,
}

/// One aim and what came of it.
struct Aim {
    what: String,
    measured: f64,
    met: bool,
}

impl CreateResults {
    pub(crate) fn of(clients: usize) -> Self {
        Self {
            clients,
            ..Self::default()
        }
    }

    /// A line about the repeat measured last.
    pub(crate) fn last_repeat(&self) -> String {
        let rate = |samples: &[Sample]| samples.last().map_or(f64::NAN, |sample| sample.rate);
        format!(
            "creates by {:2}: {:.0}/s; pgbench {:.0}/s; custom resource {:.0}/s",
            self.clients,
            rate(&self.ours),
            rate(&self.pgbench),
            rate(&self.custom)
        )
    }

    fn name(&self) -> String {
        match self.clients {
            1 => "create, 1 client".to_owned(),
            clients => format!("create, {clients} clients"),
        }
    }
}

impl ClaimResults {
    pub(crate) const fn of(form: Form) -> Self {
        Self {
            form,
            ours: Vec::new(),
            pgbench: Vec::new(),
        }
    }

    /// A line about the repeat measured last.
    pub(crate) fn last_repeat(&self) -> String {
        let rate = |samples: &[Sample]| samples.last().map_or(f64::NAN, |sample| sample.rate);
        let (ours, pgbench) = (rate(&self.ours), rate(&self.pgbench));
        format!("{}: {ours:.0}/s; pgbench {pgbench:.0}/s", self.name())
    }

    fn name(&self) -> String {
        let Form { workers, batch } = self.form;
        format!("claim + complete, {workers} agents, {batch} at a time")
    }
}

impl Report {
    /// Whether nothing that was measured misses its aim.
    pub(crate) fn aims_met(&self) -> bool {
        self.aims().iter().all(|aim| aim.met)
    }

    /// The whole report, as Markdown.
    pub(crate) fn render(&self, options: &Options) -> String {
        let mut text = String::from("# Measured by hack/bench.sh\n");
        // Writing into a String cannot fail.
        let _ = self.write(&mut text, options);
        text
    }

    fn write(&self, text: &mut String, options: &Options) -> std::fmt::Result {
        let (repeats, seconds, seed) = (options.repeats, options.seconds, options.seed);
        writeln!(text, "\n{}", options.about)?;
        writeln!(
            text,
            "Medians of {repeats} repeats of {seconds} s, contestants in turns; seed {seed}. Orders of 1 KiB."
        )?;
        self.write_rates(text)?;
        self.write_times(text)?;
        self.write_cpu(text)?;
        if !options.smoke {
            self.write_aims(text)?;
        }
        Ok(())
    }

    fn write_rates(&self, text: &mut String) -> std::fmt::Result {
        if self.creates.is_empty() && self.claims.is_empty() {
            return Ok(());
        }
        writeln!(text, "\n## Orders per second\n")?;
        writeln!(
            text,
            "| | brokkr-apiserver | pgbench | ratio | custom resource | ratio |"
        )?;
        writeln!(text, "|---|--:|--:|--:|--:|--:|")?;
        for result in &self.creates {
            let own = median_of(&result.ours, |sample| sample.rate);
            let (probe, to_probe) = rate_beside(&result.ours, &result.pgbench);
            let (custom, to_custom) = rate_beside(&result.ours, &result.custom);
            let name = result.name();
            writeln!(
                text,
                "| {name} | {own:.0} | {probe:.0} | {to_probe:.3} | {custom:.0} | {to_custom:.2} |"
            )?;
        }
        for result in &self.claims {
            let own = median_of(&result.ours, |sample| sample.rate);
            let (probe, to_probe) = rate_beside(&result.ours, &result.pgbench);
            writeln!(
                text,
                "| {} | {own:.0} | {probe:.0} | {to_probe:.3} | | |",
                result.name()
            )?;
        }
        Ok(())
    }

    fn write_times(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\n## Times and memory\n")?;
        writeln!(
            text,
            "| | mean | p50 | p99 | pgbench mean | custom resource mean |"
        )?;
        writeln!(text, "|---|--:|--:|--:|--:|--:|")?;
        for result in &self.creates {
            let own = latency_cells(&result.ours);
            let probe = median_of(&result.pgbench, |sample| sample.latency.mean);
            let custom = median_of(&result.custom, |sample| sample.latency.mean);
            writeln!(
                text,
                "| {}, ms | {own} | {probe:.2} | {custom:.2} |",
                result.name()
            )?;
        }
        for result in &self.claims {
            let own = latency_cells(&result.ours);
            let probe = median_of(&result.pgbench, |sample| sample.latency.mean);
            writeln!(text, "| {}, ms | {own} | {probe:.2} | |", result.name())?;
        }
        if !self.wakes.is_empty() {
            let all = |number: fn(&Latency) -> f64| median(self.wakes.iter().map(number));
            let (mean, p50, p99) = (all(|l| l.mean), all(|l| l.p50), all(|l| l.p99));
            writeln!(
                text,
                "| create sent to claim answered, 50 orders/s, 8 idle agents, ms | {mean:.2} | {p50:.2} | {p99:.2} | | |"
            )?;
        }
        if !self.starts.ready.is_empty() {
            let ready = median(self.starts.ready.iter().copied());
            let memory = median(self.starts.memory.iter().copied());
            writeln!(text, "| start to ready, ms | | {ready:.0} | | | |")?;
            writeln!(text, "| resident memory when idle, MiB | | {memory:.1} | | | |")?;
        }
        writeln!(
            text,
            "| resident memory at the end, MiB | | {:.0} | | | |",
            self.memory_after
        )
    }

    fn write_cpu(&self, text: &mut String) -> std::fmt::Result {
        if self.creates.is_empty() && self.claims.is_empty() {
            return Ok(());
        }
        writeln!(text, "\n## Processor time of one order, ms\n")?;
        writeln!(
            text,
            "| | contestant | client | brokkr-apiserver | PostgreSQL | kube-apiserver | etcd |"
        )?;
        writeln!(text, "|---|---|--:|--:|--:|--:|--:|")?;
        for result in &self.creates {
            cpu_rows(text, &result.name(), &result.ours, &result.pgbench)?;
            let custom = cpu_cells(&result.custom);
            writeln!(text, "| {} | custom resource | {custom} |", result.name())?;
        }
        for result in &self.claims {
            cpu_rows(text, &result.name(), &result.ours, &result.pgbench)?;
        }
        Ok(())
    }

    fn write_aims(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\n## Aims\n\n| aim | measured | |\n|---|--:|---|")?;
        for Aim { what, measured, met } in self.aims() {
            let verdict = if met { "met" } else { "missed" };
            writeln!(text, "| {what} | {measured:.2} | {verdict} |")?;
        }
        Ok(())
    }

    fn aims(&self) -> Vec<Aim> {
        let mut aims = Vec::new();
        let creates = |clients| self.creates.iter().find(|result| result.clients == clients);
        if let Some(many) = creates(MANY) {
            let (_, ratio) = rate_beside(&many.ours, &many.custom);
            let what = format!(
                "creates by {MANY} clients, at least so many times kube-apiserver's with a custom resource: {CREATES_PER_CUSTOM}"
            );
            aims.push(Aim {
                what,
                measured: ratio,
                met: ratio >= CREATES_PER_CUSTOM,
            });
        }
        if let Some(one) = creates(ONE) {
            let above = paired(&one.ours, &one.pgbench, |ours, probe| {
                ours.latency.mean - probe.latency.mean
            });
            let what = format!(
                "mean of a create by one client, at most so many ms above pgbench's: {CREATE_ABOVE_PROBE_MS}"
            );
            aims.push(Aim {
                what,
                measured: above,
                met: above <= CREATE_ABOVE_PROBE_MS,
            });
        }
        let at_most = |what: String, values: &[f64], limit: f64| {
            let measured = median(values.iter().copied());
            (!values.is_empty()).then_some(Aim {
                what,
                measured,
                met: measured <= limit,
            })
        };
        let memory = format!("idle memory, at most so many MiB: {IDLE_MEMORY_MIB}");
        aims.extend(at_most(memory, &self.starts.memory, IDLE_MEMORY_MIB));
        let ready = format!("start to ready, at most so many ms: {READY_MS}");
        aims.extend(at_most(ready, &self.starts.ready, READY_MS));
        aims
    }
}

/// The median rate of a contestant, and the median ratio of ours to it.
fn rate_beside(ours: &[Sample], theirs: &[Sample]) -> (f64, f64) {
    let ratio = paired(ours, theirs, |ours, theirs| ours.rate / theirs.rate);
    (median_of(theirs, |sample| sample.rate), ratio)
}

fn latency_cells(samples: &[Sample]) -> String {
    let of = |number: fn(&Latency) -> f64| median_of(samples, |sample| number(&sample.latency));
    format!(
        "{:.2} | {:.2} | {:.2}",
        of(|l| l.mean),
        of(|l| l.p50),
        of(|l| l.p99)
    )
}

fn cpu_rows(text: &mut String, name: &str, ours: &[Sample], pgbench: &[Sample]) -> std::fmt::Result {
    writeln!(text, "| {name} | brokkr-apiserver | {} |", cpu_cells(ours))?;
    // pgbench is a client of its own, whose time is not counted.
    let database = median_of(pgbench, |sample| milliseconds(sample.cpu.database));
    writeln!(text, "| {name} | pgbench | | | {database:.3} | | |")
}

fn cpu_cells(samples: &[Sample]) -> String {
    let of = |process: fn(&Cpu) -> std::time::Duration| {
        let median = median_of(samples, |sample| milliseconds(process(&sample.cpu)));
        format!("{median:.3}")
    };
    let columns = [
        of(|cpu| cpu.client),
        of(|cpu| cpu.server),
        of(|cpu| cpu.database),
        of(|cpu| cpu.kube_apiserver),
        of(|cpu| cpu.etcd),
    ];
    columns.join(" | ")
}

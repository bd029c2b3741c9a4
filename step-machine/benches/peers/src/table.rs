//! What the samples come to, as text.

use crate::{Case, Contender, Runs, by_hand};

/// One contender in one case.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) runs: Result<Runs, &'static str>,
    /// Nanoseconds a step: on one thread, on two workers.
    pub(crate) samples: [Vec<f64>; 2],
}

impl Row {
    pub(crate) fn new(contender: &Contender, case: Case) -> Self {
        Self { name: contender.name, runs: (contender.prepare)(case), samples: Default::default() }
    }

    fn medians(&self) -> [f64; 2] {
        self.samples.each_ref().map(|samples| median(samples))
    }
}

pub(crate) fn print(case: Case, rows: &[Row]) {
    let title = match case {
        Case::Chain(steps) => format!("chain of {steps}"),
        Case::Roots(steps) => format!("{steps} independent"),
    };
    println!();
    println!("{title:18} |  one thread, ns a step |  2 workers, ns a step");
    println!("{:-<18} | {:->22} | {:->22}", "", "", "");
    let hand = rows.iter().find(|row| row.name == by_hand::NAME).map_or([f64::NAN; 2], Row::medians);
    for row in rows {
        match &row.runs {
            Ok(_) => println!("{:18} | {}", row.name, figures(row.medians(), hand)),
            Err(reason) => println!("{:18} | {reason}", row.name),
        }
    }
}

fn figures(medians: [f64; 2], hand: [f64; 2]) -> String {
    let [one, two] = [0, 1].map(|at| format!("{:11.1} {:9.2}x", medians[at], medians[at] / hand[at]));
    format!("{one} | {two}")
}

/// What each contender's time covers.
pub(crate) fn print_timed(contenders: &[Contender]) {
    println!();
    println!("inside of the timed part");
    for contender in contenders {
        println!("{:18} | {}", contender.name, contender.timed);
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

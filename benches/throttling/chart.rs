//! The delays as curves: which share of the callers knew how soon.

use crate::{
    callers::By,
    report::Row,
    scenario::{Account, Scenario},
};
use plotters::prelude::*;

const WIDTH: u32 = 960;
const HEIGHT: u32 = 458;
const LEGEND_HEIGHT: u32 = 44;
/// From a twentieth of a second to a minute: the SDK's delays and ours do not fit on a linear
/// scale.
const SECONDS: std::ops::Range<f64> = 0.05..60.0;

pub fn draw(rows: &[Row], path: &str) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all("docs")?;
    let area = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
    area.fill(&WHITE)?;
    let title = "How many callers know that a session has finished, and how late (25 reads a second, 75 sessions)";
    let area = area.titled(title, ("sans-serif", 19))?;
    let (panels, legend) = area.split_vertically(area.dim_in_pixel().1 - LEGEND_HEIGHT);
    for (panel, scenario) in panels.split_evenly((1, 2)).iter().zip([Scenario::EvenFinish, Scenario::RealChecks]) {
        let mut chart = ChartBuilder::on(panel)
            .caption(scenario.name(), ("sans-serif", 17))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(SECONDS.log_scale(), 0.0..100.0)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("seconds after its end")
            .y_desc("% of callers")
            .x_label_formatter(&|seconds| format!("{seconds}"))
            .y_label_formatter(&|share| format!("{share:.0}"))
            .draw()?;
        for row in rows.iter().filter(|row| (row.typical.scenario, row.typical.account) == (scenario, Account::LARGE)) {
            chart.draw_series(LineSeries::new(curve(&row.typical.delays), color(row.typical.by).stroke_width(2)))?;
        }
    }
    let (mut left, mut top) = (40, 10);
    for by in [
        By::SdkStandard,
        By::SdkAdaptive,
        By::Polling,
        By::Waiting,
        By::WaitingAtFourTimesTheQuota,
        By::WaitingOnReplicas,
        By::WaitingOnReplicasApart,
    ] {
        legend.draw(&PathElement::new([(left, top), (left + 20, top)], color(by).stroke_width(3)))?;
        legend.draw(&Text::new(by.name(), (left + 26, top - 5), ("sans-serif", 13)))?;
        left += 40 + 6 * by.name().len() as i32;
        if by == By::WaitingAtFourTimesTheQuota {
            (left, top) = (40, top + 18);
        }
    }
    area.present()?;
    Ok(())
}

/// Blue for the service, warm for the SDK, in tones that those who are colour-blind tell apart
/// (Okabe and Ito).
const fn color(by: By) -> RGBColor {
    match by {
        By::SdkStandard => RGBColor(213, 94, 0),
        By::SdkAdaptive => RGBColor(230, 159, 0),
        By::Polling => RGBColor(86, 180, 233),
        By::Waiting => RGBColor(0, 114, 178),
        By::WaitingAtFourTimesTheQuota => RGBColor(0, 158, 115),
        By::WaitingOnReplicas => RGBColor(204, 121, 167),
        By::WaitingOnReplicasApart => RGBColor(153, 153, 153),
    }
}

fn curve(delays: &[f64]) -> Vec<(f64, f64)> {
    let mut delays = delays.to_vec();
    delays.sort_by(f64::total_cmp);
    let count = delays.len() as f64;
    let steps = (1..)
        .zip(delays)
        .map(|(known, delay): (u32, f64)| (delay.clamp(SECONDS.start, SECONDS.end), 100.0 * f64::from(known) / count));
    steps.collect()
}

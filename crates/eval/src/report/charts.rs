//! Charts as inline SVG, with no script and no outside file.
//!
//! Colours are classes (`s0` … `s7`) that the page's style sheet defines for light and for dark.

use std::fmt::Write as _;

use super::html::escape;

/// Number of series colours in the style sheet.
pub const COLOURS: usize = 8;

/// One bar of a group.
#[derive(Debug, Clone)]
pub struct Bar {
    /// Series (colour) number.
    pub series: usize,
    /// Height, 0 to 1.
    pub value: f64,
    /// Ends of the interval drawn as a whisker.
    pub interval: (f64, f64),
}

/// Bars that stand together over one label.
#[derive(Debug, Clone)]
pub struct Group {
    /// Text below the bars.
    pub label: String,
    /// The bars.
    pub bars: Vec<Bar>,
    /// Height of the dashed line of the majority answer.
    pub majority: Option<f64>,
    /// Height of the dotted line of chance.
    pub chance: Option<f64>,
}

/// Shares from 0 to 1 as grouped bars, with whiskers, values above the bars, and lines for chance and the majority answer.
pub fn grouped_bars(title: &str, groups: &[Group]) -> String {
    const HEIGHT: f64 = 300.0;
    const LEFT: f64 = 44.0;
    const TOP: f64 = 22.0;
    const BAR: f64 = 30.0;
    const GAP: f64 = 34.0;
    let plot = HEIGHT - TOP - 30.0;
    let y = |v: f64| TOP + plot * (1.0 - v);
    let width = LEFT + groups.iter().map(|g| g.bars.len() as f64 * BAR + GAP).sum::<f64>();
    let mut svg = open(title, width, HEIGHT);
    for tick in 0..=4 {
        let v = f64::from(tick) / 4.0;
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{width:.1}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/><text class=\"tick\" x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{3:.0}%</text>",
            y(v),
            LEFT - 6.0,
            y(v) + 4.0,
            100.0 * v
        );
    }
    let mut x = LEFT + GAP / 2.0;
    for group in groups {
        let span = group.bars.len() as f64 * BAR;
        for bar in &group.bars {
            let (top, low, high, middle) = (y(bar.value), y(bar.interval.0), y(bar.interval.1), x + BAR / 2.0);
            let _ = write!(
                svg,
                "<rect class=\"s{}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\"/><path class=\"whisker\" d=\"M{middle:.1} {low:.1}V{high:.1}\"/><text class=\"value\" x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.0}</text>",
                bar.series % COLOURS,
                x + 2.0,
                BAR - 4.0,
                (y(0.0) - top).max(1.0),
                high - 5.0,
                100.0 * bar.value,
            );
            x += BAR;
        }
        for (v, class) in [(group.majority, "majority"), (group.chance, "chance")] {
            if let Some(v) = v {
                let _ = write!(
                    svg,
                    "<line class=\"{class}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{2:.1}\" y2=\"{2:.1}\"/>",
                    x - span - 4.0,
                    x + 4.0,
                    y(v)
                );
            }
        }
        let _ = write!(
            svg,
            "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x - span / 2.0,
            HEIGHT - 10.0,
            escape(&group.label)
        );
        x += GAP;
    }
    svg.push_str("</svg>\n");
    svg
}

/// One curve.
#[derive(Debug, Clone)]
pub struct Line {
    /// Series (colour) number.
    pub series: usize,
    /// Dashed lines are validation, drawn ones training.
    pub dashed: bool,
    /// Points in order of x.
    pub points: Vec<(f64, f64)>,
}

/// Curves over a common x axis; `y_label` stands above the axis, `x_label` below.
///
/// More points than pixels are thinned to the mean of each bucket.
pub fn curves(title: &str, x_label: &str, y_label: &str, lines: &[Line]) -> String {
    const WIDTH: f64 = 960.0;
    const HEIGHT: f64 = 280.0;
    const LEFT: f64 = 48.0;
    const TOP: f64 = 26.0;
    const RIGHT: f64 = 14.0;
    const BOTTOM: f64 = 40.0;
    let points = || lines.iter().flat_map(|l| l.points.iter().copied()).filter(|(_, y)| y.is_finite());
    let x_max = points().map(|p| p.0).fold(1.0, f64::max);
    let (y_low, y_high) = points().fold((0.0_f64, 0.0_f64), |(lo, hi), p| (lo.min(p.1), hi.max(p.1)));
    let (x_ticks, y_ticks) = (ticks(0.0, x_max, 8), ticks(y_low, y_high.max(1e-9), 5));
    let y_top = y_ticks.last().copied().unwrap_or(1.0).max(y_high);
    let px = |x: f64| LEFT + (WIDTH - LEFT - RIGHT) * x / x_max;
    let py = |y: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (y - y_low) / (y_top - y_low));
    let mut svg = open(title, WIDTH, HEIGHT);
    for &t in &y_ticks {
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{1:.1}\" y2=\"{1:.1}\"/><text class=\"tick\" x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{4}</text>",
            WIDTH - RIGHT,
            py(t),
            LEFT - 6.0,
            py(t) + 4.0,
            plain(t)
        );
    }
    for &t in &x_ticks {
        let _ = write!(
            svg,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            px(t),
            HEIGHT - BOTTOM + 16.0,
            plain(t)
        );
    }
    for line in lines {
        let mut d = String::new();
        for (x, y) in thin(&line.points, 400) {
            let _ = write!(d, "{}{:.1} {:.1}", if d.is_empty() { 'M' } else { 'L' }, px(x), py(y));
        }
        let _ = write!(svg, "<path class=\"line c{}{}\" d=\"{d}\"/>", line.series % COLOURS, if line.dashed { " dashed" } else { "" });
    }
    let _ = writeln!(
        svg,
        "<text class=\"label\" x=\"{LEFT}\" y=\"14\">{}</text><text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text></svg>",
        escape(y_label),
        WIDTH - RIGHT,
        HEIGHT - 6.0,
        escape(x_label)
    );
    svg
}

fn open(title: &str, width: f64, height: f64) -> String {
    let title = escape(title);
    format!(
        "<svg role=\"img\" aria-label=\"{title}\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\"><title>{title}</title>"
    )
}

/// Round numbers (1, 2 or 5 times a power of ten apart) from at most `low` to at least `high`, about `wanted` of them.
fn ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let span = (high - low).max(f64::MIN_POSITIVE);
    let raw = span / wanted as f64;
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= raw * 0.999).unwrap_or(10.0 * power);
    let first = (low / step).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// Without a needless fraction: `2500`, `0.5`.
fn plain(v: f64) -> String {
    let text = format!("{v:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Mean of each of at most `buckets` runs of neighbouring points; values that are no number are left out.
fn thin(points: &[(f64, f64)], buckets: usize) -> Vec<(f64, f64)> {
    let finite: Vec<_> = points.iter().copied().filter(|(_, y)| y.is_finite()).collect();
    let size = finite.len().div_ceil(buckets.max(1)).max(1);
    finite
        .chunks(size)
        .map(|c| {
            let n = c.len() as f64;
            (c.iter().map(|p| p.0).sum::<f64>() / n, c.iter().map(|p| p.1).sum::<f64>() / n)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(0.0, 2_590.0, 8), [0.0, 500.0, 1000.0, 1500.0, 2000.0, 2500.0]);
        assert_eq!(ticks(0.0, 7.6, 5), [0.0, 2.0, 4.0, 6.0]);
    }

    #[test]
    fn thinning_keeps_the_mean_and_drops_what_is_no_number() {
        let points: Vec<_> = (0..1000).map(|i| (f64::from(i), 2.0)).chain([(1000.0, f64::NAN)]).collect();
        let thinned = thin(&points, 100);
        assert_eq!(thinned.len(), 100);
        assert!(thinned.iter().all(|p| (p.1 - 2.0).abs() < 1e-12));
    }

    #[test]
    fn charts_hold_what_they_were_given() {
        let bars = grouped_bars(
            "scores",
            &[Group {
                label: "held-out <en>".into(),
                bars: vec![Bar { series: 9, value: 0.5, interval: (0.4, 0.6) }],
                majority: Some(0.1),
                chance: None,
            }],
        );
        assert!(
            bars.contains("held-out &lt;en&gt;")
                && bars.contains("class=\"s1\"")
                && bars.contains("majority")
                && !bars.contains("class=\"chance\"")
        );
        let line = curves("loss", "step", "nats", &[Line { series: 0, dashed: true, points: vec![(0.0, 7.6), (100.0, 1.5)] }]);
        assert!(line.contains("dashed") && !line.contains("NaN"));
        let empty = curves("loss", "step", "nats", &[]);
        assert!(!empty.contains("NaN") && !empty.contains("inf"));
    }
}

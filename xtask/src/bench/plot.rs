//! Two kinds of plot, as SVG: bars with their spread, and lines over a logarithmic axis.

use super::statistics::{Spread, shown};

const FONT: &str = "font-family=\"sans-serif\" font-size=\"13\"";
const COLOURS: &[&str] = &["#1f6feb", "#b35900", "#1a7f37", "#8250df"];
const OTHERS: &str = "#8c959f";

/// A bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) value: Spread,
    /// Whether it is one to look at first.
    pub(super) bright: bool,
}

/// Horizontal bars, with a whisker from the least to the most.
pub(super) fn bars(title: &str, bars: &[Bar]) -> String {
    const ROW: f64 = 28.0;
    const LEFT: f64 = 270.0;
    const WIDE: f64 = 400.0;
    let most = bars.iter().map(|bar| bar.value.max).fold(1e-9, f64::max);
    let height = 50.0 + ROW * bars.len() as f64;
    let mut svg = open(780.0, height, title);
    for (row, bar) in bars.iter().enumerate() {
        let top = 40.0 + ROW * row as f64;
        let x = |value: f64| LEFT + WIDE * value / most;
        let colour = if bar.bright { COLOURS[0] } else { OTHERS };
        let middle = top + 9.0;
        let name = escaped(&bar.name);
        let Spread { median, min, max } = bar.value;
        add(
            &mut svg,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" {FONT}>{name}</text>\n\
                 <rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"18\" fill=\"{colour}\"/>\n\
                 <path d=\"M{:.1} {middle:.1}H{:.1}M{:.1} {:.1}v8M{:.1} {:.1}v8\" \
                 stroke=\"#24292f\" fill=\"none\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.1}\" {FONT}>{}</text>\n",
                LEFT - 8.0,
                top + 14.0,
                WIDE * median / most,
                x(min),
                x(max),
                x(min),
                middle - 4.0,
                x(max),
                middle - 4.0,
                x(max) + 8.0,
                top + 14.0,
                shown(median),
            ),
        );
    }
    svg + "</svg>\n"
}

/// A line with its points.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines over a logarithmic axis; a 0 stands where a tenth of the least other would.
pub(super) fn lines(title: &str, below: &str, lines: &[Line]) -> String {
    const LEFT: f64 = 70.0;
    const RIGHT: f64 = 560.0;
    const TOP: f64 = 50.0;
    const BOTTOM: f64 = 290.0;
    let all = || lines.iter().flat_map(|line| &line.points);
    let positive = all().map(|point| point.0).filter(|x| *x > 0.0);
    let least = positive.fold(f64::INFINITY, f64::min);
    let place = |x: f64| if x > 0.0 { x } else { least / 10.0 }.log10();
    let (from, to) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), point| {
        (from.min(place(point.0)), to.max(place(point.0)))
    });
    let most = all().map(|point| point.1).fold(1e-9, f64::max) * 1.05;
    let width = (to - from).max(1e-9);
    let x = |value: f64| LEFT + (RIGHT - LEFT) * (place(value) - from) / width;
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * value / most;
    let mut svg = open(780.0, 345.0, title);
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let value = most * share;
        add(
            &mut svg,
            format_args!(
                "<path d=\"M{LEFT} {0:.1}H{RIGHT}\" stroke=\"#d0d7de\"/>\n\
                 <text x=\"{1:.1}\" y=\"{2:.1}\" text-anchor=\"end\" {FONT}>{3}</text>\n",
                y(value),
                LEFT - 6.0,
                y(value) + 4.0,
                shown(value),
            ),
        );
    }
    let mut ticks: Vec<f64> = all().map(|point| point.0).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    for tick in ticks {
        let name = if tick < 100.0 {
            format!("{tick}")
        } else {
            shown(tick)
        };
        add(
            &mut svg,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" {FONT}>{name}</text>\n",
                x(tick),
                BOTTOM + 18.0,
            ),
        );
    }
    add(
        &mut svg,
        format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" {FONT}>{}</text>\n",
            f64::midpoint(LEFT, RIGHT),
            BOTTOM + 40.0,
            escaped(below),
        ),
    );
    for (number, line) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let mut path = String::new();
        for (at, point) in line.points.iter().enumerate() {
            let step = if at == 0 { 'M' } else { 'L' };
            add(
                &mut path,
                format_args!("{step}{:.1} {:.1}", x(point.0), y(point.1)),
            );
            add(
                &mut svg,
                format_args!(
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"/>\n",
                    x(point.0),
                    y(point.1),
                ),
            );
        }
        add(
            &mut svg,
            format_args!(
                "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"2\" fill=\"none\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\" {FONT}>{}</text>\n",
                RIGHT + 14.0,
                TOP + 8.0 + 20.0 * number as f64,
                escaped(&line.name),
            ),
        );
    }
    svg + "</svg>\n"
}

fn open(width: f64, height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{0}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"24\" {FONT} font-weight=\"bold\">{0}</text>\n",
        escaped(title)
    )
}

fn add(svg: &mut String, piece: std::fmt::Arguments<'_>) {
    svg.push_str(&piece.to_string());
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_width_and_a_name_cannot_break_the_picture() {
        let value = |median| Spread {
            median,
            min: median * 0.5,
            max: median,
        };
        let bar = |name: &str, median| Bar {
            name: name.to_owned(),
            value: value(median),
            bright: false,
        };
        let svg = bars("a", &[bar("one <&", 10.0), bar("two", 5.0)]);
        assert!(svg.contains("width=\"400.0\""), "{svg}");
        assert!(svg.contains("width=\"200.0\""), "{svg}");
        assert!(svg.contains("one &lt;&amp;"), "{svg}");
    }

    #[test]
    fn a_line_goes_from_edge_to_edge_and_zero_has_a_place() {
        let line = Line {
            name: "cost".to_owned(),
            points: vec![(0.0, 1.0), (10.0, 2.0), (1_000.0, 4.0)],
        };
        let svg = lines("a", "events", &[line]);
        assert!(svg.contains("d=\"M70.0 "), "{svg}");
        assert!(svg.contains("L560.0 "), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}

//! Two kinds of plot, as SVG: bars with their spread, and lines over a logarithmic axis.

use super::statistics::{Spread, shown};
use plotters::coord::ranged1d::SegmentValue;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// 16 of plotters are 13 pixels.
const FONT: (&str, u32) = ("sans-serif", 16);
const COLOURS: [RGBColor; 4] = [
    RGBColor(0x1f, 0x6f, 0xeb),
    RGBColor(0xb3, 0x59, 0x00),
    RGBColor(0x1a, 0x7f, 0x37),
    RGBColor(0x82, 0x50, 0xdf),
];
const OTHERS: RGBColor = RGBColor(0x8c, 0x95, 0x9f);

/// A bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) value: Spread,
    /// Whether it is one to look at first.
    pub(super) bright: bool,
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// What `draw` draws on a canvas of this size, as text.
fn svg(
    size: (u32, u32),
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Drawn,
) -> String {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    let drawn = area
        .fill(&WHITE)
        .map_err(Into::into)
        .and_then(|()| draw(&area));
    drawn.expect("memory takes a drawing");
    drop(area);
    svg
}

/// Horizontal bars, with a whisker from the least to the most.
pub(super) fn bars(title: &str, bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.value.max).fold(1e-9, f64::max);
    svg((780, 60 + 28 * bars.len() as u32), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, FONT)
            .margin(8)
            .y_label_area_size(260)
            .build_cartesian_2d(0.0..most * 1.15, (0..bars.len()).into_segmented())?;
        // The first one is at the top.
        let row = |at: usize| SegmentValue::Exact(bars.len() - at);
        let name = |value: &SegmentValue<usize>| match value {
            SegmentValue::CenterOf(row) => bars.iter().rev().nth(*row).map(|bar| bar.name.clone()),
            _ => None,
        };
        chart
            .configure_mesh()
            .disable_mesh()
            .disable_x_axis()
            .y_labels(bars.len())
            .y_label_formatter(&|value| name(value).unwrap_or_default())
            .label_style(FONT)
            .draw()?;
        for (at, bar) in bars.iter().enumerate() {
            let colour = if bar.bright { COLOURS[0] } else { OTHERS };
            let Spread { median, min, max } = bar.value;
            let mut rectangle =
                Rectangle::new([(0.0, row(at)), (median, row(at + 1))], colour.filled());
            rectangle.set_margin(4, 4, 0, 0);
            let middle = SegmentValue::CenterOf(bars.len() - 1 - at);
            let label = FONT
                .into_text_style(area)
                .pos(Pos::new(HPos::Left, VPos::Center));
            chart.draw_series([rectangle])?;
            chart.draw_series([PathElement::new(
                [(min, middle.clone()), (max, middle.clone())],
                BLACK,
            )])?;
            chart.draw_series([
                EmptyElement::at((max, middle)) + Text::new(shown(median), (8, 0), label)
            ])?;
        }
        Ok(())
    })
}

/// A line with its points.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines over a logarithmic axis; a 0 stands where a tenth of the least other would.
pub(super) fn lines(title: &str, below: &str, lines: &[Line]) -> String {
    let all = || lines.iter().flat_map(|line| &line.points);
    let positive = all().map(|point| point.0).filter(|x| *x > 0.0);
    let least = positive.fold(f64::INFINITY, f64::min);
    let place = |x: f64| if x > 0.0 { x } else { least / 10.0 };
    let (from, to) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), point| {
        (from.min(place(point.0)), to.max(place(point.0)))
    });
    if !from.is_finite() {
        return svg((780, 345), |_| Ok(()));
    }
    let most = all().map(|point| point.1).fold(1e-9, f64::max) * 1.05;
    let name = |x: &f64| match *x {
        x if x < least => "0".to_owned(),
        x if x < 100.0 => format!("{x}"),
        x => shown(x),
    };
    svg((780, 345), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, FONT)
            .margin(8)
            .margin_right(24)
            .x_label_area_size(45)
            .y_label_area_size(70)
            .build_cartesian_2d((from..to.max(from * 2.0)).log_scale(), 0.0..most)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .max_light_lines(1)
            .x_desc(below)
            .x_label_formatter(&name)
            .y_label_formatter(&|value| shown(*value))
            .label_style(FONT)
            .draw()?;
        for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
            let points = || line.points.iter().map(|point| (place(point.0), point.1));
            let path = PathElement::new(points().collect::<Vec<_>>(), colour.stroke_width(2));
            chart
                .draw_series([path])?
                .label(&line.name)
                .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], *colour));
            chart.draw_series(points().map(|point| Circle::new(point, 3, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .label_font(FONT)
            .draw()?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(svg: &str, expected: &[&str]) {
        assert!(
            svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
            "{svg}"
        );
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        for text in expected {
            assert!(svg.contains(text), "{text} is not in {svg}");
        }
    }

    #[test]
    fn bars_have_their_names_and_a_name_cannot_break_the_picture() {
        let bar = |name: &str, median| Bar {
            name: name.to_owned(),
            value: Spread {
                median,
                min: median * 0.5,
                max: median,
            },
            bright: false,
        };
        let svg = bars("a", &[bar("one <&", 10.0), bar("two", 5.0)]);
        check(&svg, &["one &lt;&amp;", "two", "10.0", "5.00"]);
    }

    #[test]
    fn lines_have_a_tick_for_each_power_of_ten_and_zero_has_a_place() {
        let line = Line {
            name: "cost".to_owned(),
            points: vec![(0.0, 1.0), (10.0, 2.0), (1_000.0, 4.0)],
        };
        let svg = lines("a", "events", &[line]);
        check(&svg, &["cost", "events", "\n0\n", "\n10\n", "\n1,000\n"]);
    }
}

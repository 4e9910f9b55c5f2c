//! Fills in the names in the SQL files beside this one.

/// The number of segments in the ring.
pub(crate) const SEGMENTS: u16 = 8;

/// An identifier in double quotes.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The statements of a file: `{schema}` is the quoted name of the schema, the other names are those
/// of `values`, the lines from `{each segment}` to `{end}` are there once for each segment, whose
/// number is `{n}`, and `{union event}` is the union of the tables `event_0` and so on.
pub(super) fn render(text: &str, schema: &str, values: &[(&str, &str)]) -> String {
    let mut rendered = String::with_capacity(text.len() * 2);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "{each segment}" {
            let repeated: Vec<_> = lines
                .by_ref()
                .take_while(|it| it.trim() != "{end}")
                .collect();
            for segment in 0..SEGMENTS {
                for line in &repeated {
                    rendered += &line.replace("{n}", &segment.to_string());
                    rendered.push('\n');
                }
            }
        } else {
            rendered += line;
            rendered.push('\n');
        }
    }
    for table in ["event", "log"] {
        let selects = (0..SEGMENTS).map(|n| format!("SELECT * FROM {{schema}}.{table}_{n}"));
        let union = selects.collect::<Vec<_>>().join("\n    UNION ALL ");
        rendered = rendered.replace(&format!("{{union {table}}}"), &union);
    }
    for (name, value) in values {
        rendered = rendered.replace(&format!("{{{name}}}"), value);
    }
    rendered.replace("{schema}", &identifier(schema))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_repeated_for_each_segment_and_names_are_filled_in() {
        let text = "a {schema}.x {v}\n{each segment}\nb {n}\n{end}\nc";
        let rendered = render(text, "s\"t", &[("v", "1")]);
        let each: String = (0..SEGMENTS).map(|n| format!("b {n}\n")).collect();
        assert_eq!(rendered, format!("a \"s\"\"t\".x 1\n{each}c\n"));
    }
}

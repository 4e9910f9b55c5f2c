//! Transcripts in the documentation, run again.
//!
//! In a fenced block of `console`, a line that begins with `$ ` is a command for a shell, which
//! goes on while lines end with `\`; what follows is its output. In it `…` stands for any text
//! within a line. Headers that say the time are left out on both sides.

use std::path::Path;
use std::process::Command;

/// A command of a document, and what it prints.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transcript {
    /// The line of the document that the command is on.
    pub line: usize,
    /// The command.
    pub command: String,
    /// What it prints.
    pub output: Vec<String>,
}

/// The transcripts of a document.
pub fn transcripts(markdown: &str) -> Vec<Transcript> {
    let mut found: Vec<Transcript> = Vec::new();
    let mut inside = false;
    let mut goes_on = false;
    for (line, text) in (1..).zip(markdown.lines()) {
        if text.starts_with("```") {
            inside = !inside && text.trim() == "```console";
            goes_on = false;
        } else if !inside {
        } else if let Some(command) = text.strip_prefix("$ ") {
            found.push(Transcript {
                line,
                command: command.to_owned(),
                output: Vec::new(),
            });
            goes_on = text.ends_with('\\');
        } else if let Some(last) = found.last_mut() {
            if goes_on {
                last.command.push('\n');
                last.command.push_str(text);
                goes_on = text.ends_with('\\');
            } else {
                last.output.push(text.to_owned());
            }
        }
    }
    found
}

impl Transcript {
    /// Runs it in this folder, each of `places` in the command, a URL say, replaced by what stands
    /// for it here.
    pub fn check(&self, folder: &Path, places: &[(&str, &str)]) {
        if let Err(difference) = self.run(folder, places) {
            panic!("{difference}");
        }
    }

    /// The same, for what may not be as documented yet.
    ///
    /// # Errors
    ///
    /// What it prints instead.
    pub fn run(&self, folder: &Path, places: &[(&str, &str)]) -> Result<(), String> {
        let mut command = self.command.clone();
        for (written, real) in places {
            command = command.replace(written, real);
        }
        let output = Command::new("sh")
            .arg("-c")
            .arg(&command)
            .current_dir(folder)
            .output()
            .expect("there is a shell");
        let printed = String::from_utf8_lossy(&output.stdout);
        self.compare(&printed)
            .map_err(|difference| difference + &String::from_utf8_lossy(&output.stderr))
    }

    /// Compares what the command printed, wherever it ran, with what is documented.
    ///
    /// # Errors
    ///
    /// Both, if they differ.
    pub fn compare(&self, printed: &str) -> Result<(), String> {
        let text = printed.replace('\r', "");
        let printed: Vec<&str> = lines(text.lines());
        let expected = lines(self.output.iter().map(String::as_str));
        let alike = printed.len() == expected.len()
            && printed
                .iter()
                .zip(&expected)
                .all(|(printed, expected)| matches(printed, expected));
        if alike {
            return Ok(());
        }
        Err(format!(
            "line {}: $ {}\nis documented to print\n{}\nand prints\n{}\n",
            self.line,
            self.command,
            expected.join("\n"),
            printed.join("\n"),
        ))
    }
}

/// Without what says the time, and without blank lines at the end.
fn lines<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut kept: Vec<_> = all
        .map(str::trim_end)
        .filter(|line| !line.to_ascii_lowercase().starts_with("date:"))
        .collect();
    while kept.last().is_some_and(|line| line.is_empty()) {
        kept.pop();
    }
    kept
}

/// Whether a line is as documented, `…` standing for any text.
fn matches(printed: &str, expected: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = printed.strip_prefix(parts.next().unwrap_or("")) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, between)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in between {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

/// Whether `curl` is installed here; says so if it is not.
#[expect(clippy::print_stderr, reason = "a test that checks nothing says so")]
pub fn has_curl() -> bool {
    let found = Command::new("curl").arg("--version").output().is_ok();
    if !found {
        eprintln!("there is no curl on this machine: the transcripts were not run");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_their_output_are_found() {
        let text = "# T\n```console\n$ a \\\n  b\n1\n2\n$ c\n```\n$ not\n```sh\n$ not\n```\n";
        let found = transcripts(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].command, "a \\\n  b");
        assert_eq!(found[0].output, ["1", "2"]);
        assert_eq!((found[1].line, found[1].output.len()), (7, 0));
    }

    #[test]
    fn an_ellipsis_stands_for_any_text() {
        assert!(matches("id: evt_1", "id: …"));
        assert!(matches("a1b2c", "a…b…c"));
        assert!(!matches("a1b2d", "a…b…c"));
        assert!(matches("same", "same"));
        assert!(!matches("same!", "same"));
    }

    #[test]
    fn output_is_compared() {
        let check = |markdown: &str| {
            let found = transcripts(markdown);
            found[0].check(Path::new("/"), &[("PLACE", "here")]);
        };
        check("```console\n$ echo PLACE; echo Date: now\nhere\n```");
        let other = std::panic::catch_unwind(|| check("```console\n$ echo 1\n2\n```"));
        assert!(other.is_err());
    }
}

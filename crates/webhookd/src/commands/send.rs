//! `webhookd send`: a test delivery that bypasses the queue, and shows request and response.

mod dry_run;
mod report;

use crate::commands::output_format::OutputFormat;
use crate::console::{Output, output};
use crate::exit::UNUSABLE;
use crate::sources::{Document, has_cloud_events, unknown_input};
use crate::test_event::read_one;
use anyhow::{Context, Result, anyhow, bail};
use dry_run::Question;
use report::Report;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use webhook_config::{Config, InputName, Target, TargetUrl};
use webhook_dispatch::{HttpConnector, Verdict, attempt_once};
use webhook_event::Schema;

/// The longest document of several events, in bytes.
const MAX_DOCUMENT: usize = 64 << 20;

/// Deliver one event once, and show request, response and timing
///
/// The request is made once, with all settings of the target: headers, format, signature, TLS,
/// proxy, time-outs. The queue and the target's filters are bypassed. Host and Content-Length are
/// not shown.
///
/// With --dry-run nothing is sent: for each event of the file it shows what the input's schema reads
/// (key, state, old state, job, id, time), and for each target the request that it would get, or
/// which filter excludes the event.
///
/// Exit status: 0 delivered; 1 not delivered; 2 no request was sent. With --dry-run: 0 each event is
/// understood; 1 one of them is not, or no request can be made of it.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("destination").required(true)))]
pub(crate) struct SendArgs {
    /// The file with the event, as JSON; - is standard input
    #[arg(value_name = "EVENT.json")]
    event: PathBuf,

    /// The webhook.json with the target
    #[arg(long, value_name = "PATH", group = "destination")]
    webhook_config: Option<PathBuf>,

    /// The target's name; may be omitted if there is only one
    #[arg(long, value_name = "NAME", requires = "webhook_config")]
    target: Option<String>,

    /// Send to this URL instead, without configured headers and with all defaults
    #[arg(long, value_name = "URL", group = "destination")]
    url: Option<String>,

    /// Show which requests would be made of the events, and send none
    #[arg(long)]
    dry_run: bool,

    /// The input that the file's events are of, instead of the default one
    #[arg(long, value_name = "NAME", requires = "webhook_config")]
    input: Option<String>,

    /// Show the values of headers that may be secrets
    #[arg(long)]
    show_secrets: bool,

    /// The output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

pub(crate) fn run(args: SendArgs) -> Result<ExitCode> {
    let config = match (&args.webhook_config, &args.url) {
        (Some(path), _) => {
            let loaded = match Config::load(path) {
                Ok(loaded) => loaded,
                Err(error) => {
                    super::print_diagnostics(error.diagnostics());
                    return Ok(ExitCode::from(UNUSABLE));
                }
            };
            super::print_diagnostics(&loaded.warnings);
            loaded.config
        }
        (None, Some(url)) => {
            let url = TargetUrl::parse(url).with_context(|| format!("--url {url:?}"))?;
            let target = Target::builder(url).build()?;
            Config::builder().target(target).build()?
        }
        (None, None) => bail!("name a target, by --webhook-config PATH or --url URL"),
    };
    let input = match args.input.as_deref() {
        None | Some(InputName::DEFAULT) => "",
        Some(name) => name,
    };
    let schema = config.input(input);
    let schema = schema.with_context(|| unknown_input(&config, input))?;
    let path = args.event.display();
    if args.dry_run {
        let target = args
            .target
            .as_deref()
            .map(|name| choose(&config, Some(name)));
        let question = Question {
            config: &config,
            input,
            schema,
            target: target.transpose()?,
            show_secrets: args.show_secrets,
        };
        let document = read_document(&args.event, &config, schema)?;
        return finish(args.format, |format, out| match format {
            OutputFormat::Text => question.write_text(&document, out),
            OutputFormat::Json => question.write_json(&document, out),
        });
    }
    let target = choose(&config, args.target.as_deref())?;
    let document = read_document(&args.event, &config, schema)?;
    let (event, routes) = read_one(&config, (input, schema), &document, &path.to_string())?;
    let delivery = attempt_once(target, &event, &HttpConnector::new())?;
    let mut routes = routes.iter();
    let route = routes.find(|route| route.target == target.name().as_str());
    let report = Report {
        target,
        delivery: &delivery,
        show_secrets: args.show_secrets,
        excluded: route.and_then(|route| route.excluded.as_deref()),
    };
    finish(args.format, |format, out| {
        match format {
            OutputFormat::Text => report.write_text(out),
            OutputFormat::Json => report.write_json(out),
        }
        .map(|()| delivery.verdict == Verdict::Delivered)
    })
}

/// Writes to standard output. The exit status is success if `write` returns true.
fn finish(
    format: OutputFormat,
    write: impl FnOnce(OutputFormat, &mut Output) -> std::io::Result<bool>,
) -> Result<ExitCode> {
    let mut out = output();
    let written = write(format, &mut out).and_then(|is_ok| out.flush().map(|()| is_ok));
    Ok(match written.context("cannot write to standard output")? {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Reads a document, and finds its events.
fn read_document(path: &Path, config: &Config, schema: &Schema) -> Result<Document> {
    // A document may be longer than its events, and an event than what is left in it.
    let max = match schema.splits() || schema.omits() || has_cloud_events(schema) {
        true => MAX_DOCUMENT.max(config.max_event_bytes()),
        false => config.max_event_bytes(),
    };
    let bytes = read_event(path, max)?;
    let document = Document::read(schema, bytes.into());
    document.map_err(|(_, why)| anyhow!("{} is not understood: {why}", path.display()))
}

/// The target of this name, or the only one.
fn choose<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Target> {
    let targets = config.targets();
    let names = || {
        let names: Vec<&str> = targets.iter().map(|it| it.name().as_str()).collect();
        names.join(", ")
    };
    match (name, targets) {
        (None, [only]) => Ok(only),
        (None, _) => bail!("say which target with --target: {}", names()),
        (Some(name), _) => targets
            .iter()
            .find(|target| target.name().as_str() == name)
            .with_context(|| format!("no target {name:?} in the file; it names: {}", names())),
    }
}

/// Reads an event, without the white space around it: the line feed that an editor puts at the end
/// of a file is not part of the event.
fn read_event(path: &Path, max: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let bound = max as u64 + 1_024;
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(bound).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(bound).read_to_end(&mut bytes))
    }
    .with_context(|| format!("cannot read {}", path.display()))?;
    let event = bytes.trim_ascii();
    if event.len() > max {
        bail!(
            "{} is longer than {max} bytes (maxEventBytes)",
            path.display()
        );
    }
    Ok(event.to_vec())
}

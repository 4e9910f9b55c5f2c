//! `webhookd send`: a test delivery that bypasses the queue, and shows request and response.

mod report;

use crate::commands::output_format::OutputFormat;
use crate::console::output;
use crate::exit::UNUSABLE;
use anyhow::{Context, Result, bail};
use report::Report;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use webhook_config::{Config, Target, TargetUrl};
use webhook_dispatch::{HttpConnector, Submission, Verdict, attempt_once, dry_run};

/// Deliver one event once, and show request, response and timing
///
/// The request is made once, with all settings of the target: headers, format, signature, TLS,
/// proxy, time-outs. The queue and the target's filters are bypassed. Host and Content-Length are
/// not shown.
///
/// Exit status: 0 delivered; 1 not delivered; 2 no request was sent.
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

    /// Show the values of headers that may be secrets
    #[arg(long)]
    show_secrets: bool,

    /// The output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

pub(crate) fn run(args: SendArgs) -> Result<ExitCode> {
    let (config, target) = match (&args.webhook_config, &args.url) {
        (Some(path), _) => {
            let loaded = match Config::load(path) {
                Ok(loaded) => loaded,
                Err(error) => {
                    super::print_diagnostics(error.diagnostics());
                    return Ok(ExitCode::from(UNUSABLE));
                }
            };
            super::print_diagnostics(&loaded.warnings);
            let config = loaded.config;
            let target = choose(&config, args.target.as_deref())?.clone();
            (config, target)
        }
        (None, Some(url)) => {
            let url = TargetUrl::parse(url).with_context(|| format!("--url {url:?}"))?;
            let target = Target::builder(url).build()?;
            (Config::builder().target(target.clone()).build()?, target)
        }
        (None, None) => bail!("name a target, by --webhook-config PATH or --url URL"),
    };
    let event = read_event(&args.event, config.max_event_bytes())?;
    let dry_run = dry_run(&config, &Submission::new(event))
        .with_context(|| format!("{} is not an event", args.event.display()))?;
    let Some(event) = dry_run.event else {
        bail!(
            "{} is an event that its input ignores",
            args.event.display()
        );
    };
    let delivery = attempt_once(&target, &event, &HttpConnector::new())?;
    let mut routes = dry_run.routes.iter();
    let is_filtered_out =
        routes.any(|route| route.target == target.name().as_str() && route.excluded.is_some());
    let report = Report {
        target: &target,
        delivery: &delivery,
        show_secrets: args.show_secrets,
        is_filtered_out,
    };
    let mut out = output();
    match args.format {
        OutputFormat::Text => report.write_text(&mut out),
        OutputFormat::Json => report.write_json(&mut out),
    }
    .and_then(|()| out.flush())
    .context("cannot write to standard output")?;
    Ok(if delivery.verdict == Verdict::Delivered {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
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

//! Converts the settings of notices.

use super::context::{Context, opening, required};
use crate::delivery::Delivery;
use crate::diagnostic::Code;
use crate::file::mirror::NoticesFile;
use crate::file::object::shorten;
use crate::file::read::{Reader, Spanned, Text};
use crate::file::suggest::nearest;
use crate::name::TargetName;
use crate::target::Target;

/// The name of the target that gets the notices, as written.
pub(super) fn convert_notices(
    file: NoticesFile,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<Spanned<String>> {
    let brace = opening(&file.span);
    let what = "the name of a target";
    let target = required(file.target, "target", what, &brace, context, reader);
    target.map(|Text(name)| name)
}

/// Checks that a reliable target has this name. Those that cannot be used are `None`: it may be one
/// of them, whose problems are reported already.
pub(super) fn check_target(
    name: &Spanned<String>,
    targets: &[Option<Target>],
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<TargetName> {
    let known = || targets.iter().flatten();
    let found = known().find(|target| target.name().as_str() == name.value);
    if let Some(target) = found {
        if target.delivery() != Delivery::Reliable {
            let message = format!("the target `{}` is best-effort", target.name());
            let help = "notices need a target whose `delivery` is \"reliable\"";
            reader.error(Code::ConflictingKeys, &name.span, message, help);
        }
        return Some(target.name().clone());
    }
    if !context.is_partial && targets.iter().all(Option::is_some) {
        let message = format!("unknown target `{}`", shorten(&name.value));
        let names = || known().map(|target| target.name().as_str());
        let help = match nearest(&name.value, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let names: Vec<_> = names().map(|name| format!("`{name}`")).collect();
                format!("the name of a target; there are {}", names.join(", "))
            }
        };
        reader.error(Code::UnknownTarget, &name.span, message, help);
    }
    None
}

//! The declarations, imports and paths of one Rust file, without its tests.

use proc_macro2::{Ident, TokenStream, TokenTree};
use std::collections::BTreeSet;
use syn::ext::IdentExt as _;
use syn::parse::discouraged::Speculative as _;
use syn::parse::{ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, Expr, ItemUse, Meta, Token, Type, UseName, UseRename, UseTree};

/// The segments of a path, without generic arguments. The first is empty for `::name`.
pub(crate) type Path = Vec<String>;

/// A module's content.
#[derive(Debug, Default)]
pub(crate) struct Syntax {
    /// The names of its functions, types, constants and macros.
    pub(crate) items: BTreeSet<String>,
    pub(crate) modules: Vec<Declared>,
    pub(crate) imports: Vec<Import>,
    /// Paths of two segments or more, outside of imports, and `.name` for a method or field.
    pub(crate) mentions: Vec<(Path, usize)>,
    /// The types of its inherent `impl` blocks.
    pub(crate) impls: Vec<(Path, usize)>,
    /// Whether the visitor is within a function or macro, whose items are not the module's.
    in_body: bool,
}

/// `mod name;` or `mod name { .. }`.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) name: String,
    /// The content of an inline module.
    pub(crate) inline: Option<Syntax>,
}

/// One name that a `use` declaration brings in.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) path: Path,
    /// The name it has here; `None` for `*`.
    pub(crate) name: Option<String>,
    pub(crate) line: usize,
}

impl Syntax {
    pub(crate) fn parse(text: &str) -> syn::Result<Syntax> {
        let mut syntax = Syntax::default();
        syntax.visit_file(&syn::parse_file(text)?);
        Ok(syntax)
    }

    /// Every path with its line, those in imports and inline modules included.
    pub(crate) fn paths(&self) -> Vec<(&Path, usize)> {
        let mentions = self.mentions.iter().map(|(path, line)| (path, *line));
        let imports = self.imports.iter().map(|found| (&found.path, found.line));
        let inline = self
            .modules
            .iter()
            .filter_map(|found| found.inline.as_ref());
        let own = mentions.chain(imports);
        own.chain(inline.flat_map(Syntax::paths)).collect()
    }

    fn define(&mut self, name: &Ident) {
        if !self.in_body {
            self.items.insert(plain(name));
        }
    }

    /// Reads one `use` tree below a prefix.
    fn import(&mut self, tree: &UseTree, mut path: Path) {
        let (name, line) = match tree {
            UseTree::Path(tree) => {
                path.push(plain(&tree.ident));
                return self.import(&tree.tree, path);
            }
            UseTree::Group(group) => {
                let branches = group.items.iter();
                return branches.for_each(|tree| self.import(tree, path.clone()));
            }
            UseTree::Glob(glob) => (None, glob.star_token.spans[0].start().line),
            UseTree::Name(UseName { ident }) | UseTree::Rename(UseRename { ident, .. }) => {
                // `a::{self}` is `a`.
                if ident != "self" || path.is_empty() {
                    path.push(plain(ident));
                }
                let name = match tree {
                    UseTree::Rename(tree) => Some(plain(&tree.rename)),
                    _ => path.last().cloned(),
                };
                (name, line(ident))
            }
        };
        self.imports.push(Import { path, name, line });
    }

    /// Reads the tokens of a macro: as statements, as expressions, or else one by one.
    fn tokens(&mut self, tokens: TokenStream) {
        let list = Punctuated::<Expr, Token![,]>::parse_terminated;
        let in_body = std::mem::replace(&mut self.in_body, true);
        if let Ok(statements) = Block::parse_within.parse2(tokens.clone()) {
            statements.iter().for_each(|found| self.visit_stmt(found));
        } else if let Ok(expressions) = list.parse2(tokens.clone()) {
            expressions.iter().for_each(|found| self.visit_expr(found));
        } else {
            let read = |input: ParseStream<'_>| self.one_by_one(input);
            read.parse2(tokens).expect("every token is read");
        }
        self.in_body = in_body;
    }

    fn one_by_one(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        while !input.is_empty() {
            let (import, simple, generic) = (input.fork(), input.fork(), input.fork());
            if let Ok(item) = import.parse() {
                self.visit_item_use(&item);
                input.advance_to(&import);
            } else if let Ok(path) = simple.call(syn::Path::parse_mod_style) {
                self.visit_path(&path);
                input.advance_to(&simple);
            } else if let Ok(path) = generic.parse() {
                self.visit_path(&path);
                input.advance_to(&generic);
            } else {
                match input.parse()? {
                    TokenTree::Group(group) => self.tokens(group.stream()),
                    TokenTree::Punct(punct) if punct.as_char() == '.' => {
                        if let Ok(name) = input.call(Ident::parse_any) {
                            self.member(&name);
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn member(&mut self, name: &Ident) {
        let path = vec![format!(".{}", plain(name))];
        self.mentions.push((path, line(name)));
    }

    /// Reads the paths in strings of an attribute: `#[serde(with = "crate::millis")]`.
    fn strings(&mut self, attribute: TokenStream) {
        for token in attribute {
            match token {
                TokenTree::Group(group) => self.strings(group.stream()),
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    let text = text.trim_matches('"');
                    let rooted = ["crate::", "self::", "super::"];
                    if rooted.iter().any(|root| text.starts_with(root)) {
                        let path = text.split("::").map(str::to_owned).collect();
                        self.mentions.push((path, literal.span().start().line));
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

/// Visits a node unless only tests have it. In parentheses: its name, as an item of the module.
macro_rules! without_tests {
    ($($visit:ident $kind:ident $(($($name:tt)+))?,)*) => {$(
        fn $visit(&mut self, node: &'ast syn::$kind) {
            if !is_test(&node.attrs) {
                $(self.define(&node.$($name)+);)?
                visit::$visit(self, node);
            }
        }
    )*};
}

impl<'ast> Visit<'ast> for Syntax {
    without_tests! {
        visit_file File,
        visit_item_const ItemConst (ident),
        visit_item_enum ItemEnum (ident),
        visit_item_fn ItemFn (sig.ident),
        visit_item_static ItemStatic (ident),
        visit_item_struct ItemStruct (ident),
        visit_item_trait ItemTrait (ident),
        visit_item_type ItemType (ident),
        visit_item_union ItemUnion (ident),
        visit_item_foreign_mod ItemForeignMod,
        visit_impl_item_const ImplItemConst,
        visit_impl_item_fn ImplItemFn,
        visit_impl_item_type ImplItemType,
        visit_trait_item_fn TraitItemFn,
        visit_arm Arm,
        visit_field Field,
        visit_field_value FieldValue,
        visit_variant Variant,
        visit_local Local,
        visit_stmt_macro StmtMacro,
        visit_expr_block ExprBlock,
        visit_expr_call ExprCall,
        visit_expr_if ExprIf,
    }

    fn visit_item_mod(&mut self, node: &'ast syn::ItemMod) {
        if is_test(&node.attrs) {
            return;
        }
        let inline = node.content.as_ref().map(|(_, items)| {
            let mut inline = Syntax::default();
            items.iter().for_each(|item| inline.visit_item(item));
            inline
        });
        let name = plain(&node.ident);
        self.modules.push(Declared { name, inline });
    }

    fn visit_item_use(&mut self, node: &'ast ItemUse) {
        if !is_test(&node.attrs) {
            let root = node.leading_colon.map(|_| String::new());
            self.import(&node.tree, root.into_iter().collect());
        }
    }

    fn visit_item_impl(&mut self, node: &'ast syn::ItemImpl) {
        if is_test(&node.attrs) {
            return;
        }
        if let (None, Type::Path(of)) = (&node.trait_, &*node.self_ty) {
            self.impls.extend(path(&of.path));
        }
        visit::visit_item_impl(self, node);
    }

    fn visit_item_macro(&mut self, node: &'ast syn::ItemMacro) {
        if !is_test(&node.attrs) {
            node.ident.iter().for_each(|name| self.define(name));
            visit::visit_item_macro(self, node);
        }
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        self.visit_path(&node.path);
        self.tokens(node.tokens.clone());
    }

    fn visit_attribute(&mut self, node: &'ast Attribute) {
        if let Meta::List(list) = &node.meta {
            self.strings(list.tokens.clone());
            self.tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, node);
    }

    fn visit_block(&mut self, node: &'ast Block) {
        let in_body = std::mem::replace(&mut self.in_body, true);
        visit::visit_block(self, node);
        self.in_body = in_body;
    }

    fn visit_path(&mut self, node: &'ast syn::Path) {
        self.mentions
            .extend(path(node).filter(|(path, _)| path.len() > 1));
        visit::visit_path(self, node);
    }

    fn visit_expr_method_call(&mut self, node: &'ast syn::ExprMethodCall) {
        self.member(&node.method);
        visit::visit_expr_method_call(self, node);
    }

    fn visit_expr_field(&mut self, node: &'ast syn::ExprField) {
        if let syn::Member::Named(name) = &node.member {
            self.member(name);
        }
        visit::visit_expr_field(self, node);
    }

    /// The path in `pub(in crate::queue)` is no use.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}
}

/// Whether one is `#[test]`, `#[cfg(test)]`, `#[cfg(all(test, ..))]`.
fn is_test(attributes: &[Attribute]) -> bool {
    let is_test_word = |token| matches!(token, TokenTree::Ident(word) if word == "test");
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => match list.parse_args() {
            Ok(Meta::Path(path)) => path.is_ident("test"),
            Ok(Meta::List(all)) if all.path.is_ident("all") => {
                all.tokens.into_iter().any(is_test_word)
            }
            _ => false,
        },
        _ => false,
    })
}

/// A path with its line.
fn path(path: &syn::Path) -> Option<(Path, usize)> {
    let root = path.leading_colon.map(|_| String::new());
    let names = path.segments.iter().map(|segment| plain(&segment.ident));
    let line = line(&path.segments.first()?.ident);
    Some((root.into_iter().chain(names).collect(), line))
}

fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}

fn line(ident: &Ident) -> usize {
    ident.span().start().line
}

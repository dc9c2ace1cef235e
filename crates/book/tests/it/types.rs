//! The types of `crates/wire` as they stand in the source: fields, what is optional, what is said of them.

use std::collections::BTreeMap;
use std::path::Path;

use syn::{Attribute, Expr, Fields, GenericArgument, Item, Lit, Meta, PathArguments, Type};

#[derive(Debug)]
pub(crate) struct Struct {
    pub(crate) about: String,
    pub(crate) fields: Vec<Field>,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) kind: Kind,
    /// Whoever sends it to a node may leave it away.
    pub(crate) read_without: bool,
    /// A node that tells it may leave it away.
    pub(crate) told_without: bool,
    /// It may be there and say nothing.
    pub(crate) null: bool,
    /// Its own fields stand in the place of it.
    pub(crate) flat: bool,
}

#[derive(Debug)]
pub(crate) enum Kind {
    List(Box<Kind>),
    Named(String),
}

/// By file and name: `client::Typing` and `server::Typing` are two.
#[derive(Debug, Default)]
pub(crate) struct Types {
    pub(crate) structs: BTreeMap<(String, String), Struct>,
    /// The words as they are written, with what is said of each.
    pub(crate) enums: BTreeMap<String, Vec<(String, String)>>,
    pub(crate) numbers: BTreeMap<String, (u64, String)>,
}

impl Types {
    pub(crate) fn read(root: &Path, files: &[&str]) -> Self {
        let mut types = Self::default();
        for file in files {
            let path = root.join("crates/wire/src").join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
            for item in syn::parse_file(&text).unwrap().items {
                types.take(&module, item);
            }
        }
        types
    }

    fn take(&mut self, module: &str, item: Item) {
        match item {
            Item::Struct(item) => {
                let Fields::Named(named) = &item.fields else { return };
                let camel = serde(&item.attrs).contains("camelCase");
                let fields = named.named.iter().map(|field| self.field(field, camel)).collect();
                let about = self.about(&item.attrs);
                self.structs.insert((module.to_owned(), item.ident.to_string()), Struct { about, fields });
            }
            Item::Enum(item) => {
                let words = item.variants.iter().filter(|variant| variant.fields.is_empty());
                let words = words
                    .map(|variant| (variant.ident.to_string().to_lowercase(), self.about(&variant.attrs)));
                self.enums.insert(item.ident.to_string(), words.collect());
            }
            Item::Const(item) => {
                if let Some(value) = number(&item.expr) {
                    let about = self.about(&item.attrs);
                    self.numbers.insert(item.ident.to_string(), (value, about));
                }
            }
            _ => {}
        }
    }

    fn field(&self, field: &syn::Field, camel: bool) -> Field {
        let said = serde(&field.attrs);
        let ident = field.ident.as_ref().unwrap().to_string();
        let ident = ident.strip_prefix("r#").unwrap_or(&ident);
        let renamed = said.split("rename = \"").nth(1).and_then(|rest| rest.split('"').next());
        let name = match renamed {
            Some(name) => name.to_owned(),
            None if camel => camel_case(ident),
            None => ident.to_owned(),
        };
        let (kind, is_option) = kind(&field.ty);
        Field {
            name,
            about: self.about(&field.attrs),
            kind,
            read_without: is_option || said.contains("default"),
            told_without: said.contains("skip_serializing_if"),
            null: is_option,
            flat: said.contains("flatten"),
        }
    }

    /// The comment on an item, with links to other items as what they lead to.
    fn about(&self, attributes: &[Attribute]) -> String {
        let lines: Vec<String> = attributes.iter().filter_map(comment).collect();
        let mut text = lines.join(" ");
        while let Some(begin) = text.find("[`") {
            let Some(length) = text[begin..].find("`]") else { break };
            let path = text[begin + 2..begin + length].to_owned();
            let name = path.rsplit("::").next().unwrap();
            let meant = match self.numbers.get(name) {
                Some((value, _)) => value.to_string(),
                None => format!("`{}`", name.to_lowercase()),
            };
            let mut end = begin + length + 2;
            if text[end..].starts_with('(') {
                end += text[end..].find(')').unwrap() + 1;
            }
            text.replace_range(begin..end, &meant);
        }
        text
    }
}

fn comment(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    let Expr::Lit(value) = &pair.value else { return None };
    match &value.lit {
        Lit::Str(text) if pair.path.is_ident("doc") => Some(text.value().trim().to_owned()),
        _ => None,
    }
}

/// What is said to serde.
fn serde(attributes: &[Attribute]) -> String {
    let lists = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("serde") => Some(list.tokens.to_string()),
        _ => None,
    });
    lists.collect::<Vec<_>>().join(",")
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

fn kind(of: &Type) -> (Kind, bool) {
    match of {
        Type::Reference(reference) => kind(&reference.elem),
        Type::Slice(slice) => (Kind::List(Box::new(kind(&slice.elem).0)), false),
        Type::Path(path) => {
            let last = path.path.segments.last().unwrap();
            let inner = match &last.arguments {
                PathArguments::AngleBracketed(arguments) => {
                    arguments.args.iter().find_map(|argument| match argument {
                        GenericArgument::Type(inner) => Some(inner),
                        _ => None,
                    })
                }
                _ => None,
            };
            match (last.ident.to_string().as_str(), inner) {
                ("Option", Some(inner)) => (kind(inner).0, true),
                ("Vec", Some(inner)) => (Kind::List(Box::new(kind(inner).0)), false),
                ("Cow" | "Box" | "Arc", Some(inner)) => kind(inner),
                (name, _) => (Kind::Named(name.to_owned()), false),
            }
        }
        other => panic!("the page cannot show {other:?}", other = std::mem::discriminant(other)),
    }
}

/// `64 * 1024` and `(1 << 53) - 1` as well.
fn number(of: &Expr) -> Option<u64> {
    match of {
        Expr::Lit(value) => match &value.lit {
            Lit::Int(value) => value.base10_parse().ok(),
            _ => None,
        },
        Expr::Paren(inner) => number(&inner.expr),
        Expr::Binary(both) => {
            let (left, right) = (number(&both.left)?, number(&both.right)?);
            match both.op {
                syn::BinOp::Mul(_) => Some(left * right),
                syn::BinOp::Sub(_) => Some(left - right),
                syn::BinOp::Shl(_) => Some(left << right),
                _ => None,
            }
        }
        _ => None,
    }
}

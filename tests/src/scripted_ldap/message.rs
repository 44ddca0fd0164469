//! LDAP messages: requests read from a connection, responses made for it ([RFC 4511] 4).

use lber::common::TagClass;
use lber::structure::StructureTag;

use super::ber;
use super::filter::Filter;
use super::script::NoticeEncoding;

/// Notice of disconnection ([RFC 4511] 4.4.1).
const DISCONNECTION: &str = "1.3.6.1.4.1.1466.20036";

/// LDAP result codes ([RFC 4511] appendix A), as far as tests name them.
#[expect(missing_docs, reason = "the names are those of the RFC")]
pub mod code {
    pub const SUCCESS: u32 = 0;
    pub const OPERATIONS_ERROR: u32 = 1;
    pub const PROTOCOL_ERROR: u32 = 2;
    pub const TIME_LIMIT_EXCEEDED: u32 = 3;
    pub const SIZE_LIMIT_EXCEEDED: u32 = 4;
    pub const AUTH_METHOD_NOT_SUPPORTED: u32 = 7;
    pub const STRONGER_AUTH_REQUIRED: u32 = 8;
    pub const REFERRAL: u32 = 10;
    pub const ADMIN_LIMIT_EXCEEDED: u32 = 11;
    pub const UNAVAILABLE_CRITICAL_EXTENSION: u32 = 12;
    pub const NO_SUCH_ATTRIBUTE: u32 = 16;
    pub const CONSTRAINT_VIOLATION: u32 = 19;
    pub const ATTRIBUTE_OR_VALUE_EXISTS: u32 = 20;
    pub const INVALID_ATTRIBUTE_SYNTAX: u32 = 21;
    pub const NO_SUCH_OBJECT: u32 = 32;
    pub const INVALID_DN_SYNTAX: u32 = 34;
    pub const INVALID_CREDENTIALS: u32 = 49;
    pub const INSUFFICIENT_ACCESS_RIGHTS: u32 = 50;
    pub const BUSY: u32 = 51;
    pub const UNAVAILABLE: u32 = 52;
    pub const UNWILLING_TO_PERFORM: u32 = 53;
    pub const NAMING_VIOLATION: u32 = 64;
    pub const OBJECT_CLASS_VIOLATION: u32 = 65;
    pub const NOT_ALLOWED_ON_NON_LEAF: u32 = 66;
    pub const NOT_ALLOWED_ON_RDN: u32 = 67;
    pub const ENTRY_ALREADY_EXISTS: u32 = 68;
    pub const OTHER: u32 = 80;
}

/// What an operation ended with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LdapResult {
    /// The result code, see [`code`].
    pub code: u32,
    /// The nearest existing name above the one that is missing; mostly empty.
    pub matched_dn: String,
    /// The diagnostic message.
    pub message: String,
    /// Where to go instead.
    pub referrals: Vec<String>,
}

impl LdapResult {
    /// A result without referrals.
    #[must_use]
    pub fn new(code: u32, message: &str) -> LdapResult {
        LdapResult {
            code,
            message: message.to_owned(),
            ..LdapResult::default()
        }
    }

    /// Code 0.
    #[must_use]
    pub fn success() -> LdapResult {
        LdapResult::default()
    }

    /// The same with one more place to go.
    #[must_use]
    pub fn referral(mut self, url: &str) -> LdapResult {
        self.referrals.push(url.to_owned());
        self
    }

    pub(super) fn parts(&self) -> Vec<StructureTag> {
        let mut parts = vec![
            ber::enumerated(self.code.into()),
            ber::octets(self.matched_dn.as_str()),
            ber::octets(self.message.as_str()),
        ];
        if !self.referrals.is_empty() {
            let urls = self.referrals.iter().map(|url| ber::octets(url.as_str()));
            parts.push(ber::constructed(TagClass::Context, 3, urls.collect()));
        }
        parts
    }
}

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A bind, simple or SASL.
    Bind,
    /// The end of a connection.
    Unbind,
    /// A search.
    Search,
    /// A modify.
    Modify,
    /// An add.
    Add,
    /// A delete.
    Delete,
    /// A rename.
    ModifyDn,
    /// A compare.
    Compare,
    /// An operation given up.
    Abandon,
    /// An extended operation, such as StartTLS.
    Extended,
    /// Something that is no LDAP request.
    Unreadable,
}

impl Kind {
    /// The application tag of the final response; `None` for requests without one.
    pub(super) fn response(self) -> Option<u64> {
        Some(match self {
            Kind::Bind => 1,
            Kind::Search => 5,
            Kind::Modify => 7,
            Kind::Add => 9,
            Kind::Delete => 11,
            Kind::ModifyDn => 13,
            Kind::Compare => 15,
            Kind::Extended => 24,
            Kind::Unbind | Kind::Abandon | Kind::Unreadable => return None,
        })
    }
}

/// How deep a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The object itself.
    Base,
    /// The objects directly below it.
    OneLevel,
    /// The object and everything below it.
    Subtree,
}

/// What a modification does with the values of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModifyKind {
    /// Adds the values.
    Add,
    /// Takes the values away; all of them when none is named.
    Delete,
    /// Puts the values in place of all others.
    Replace,
}

/// An attribute and its values, as a request carries them.
pub type AttributeValues = (String, Vec<Vec<u8>>);

/// A request without its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named as in the RFC")]
pub enum Operation {
    /// A simple bind. The password is kept: this is a test server.
    SimpleBind { name: String, password: Vec<u8> },
    /// A SASL bind.
    SaslBind { name: String, mechanism: String },
    /// The end of the connection.
    Unbind,
    /// A search.
    Search {
        base: String,
        scope: Scope,
        size_limit: i64,
        time_limit: i64,
        types_only: bool,
        filter: Filter,
        attributes: Vec<String>,
    },
    /// A modify; its changes in their order.
    Modify {
        dn: String,
        changes: Vec<(ModifyKind, AttributeValues)>,
    },
    /// An add.
    Add {
        dn: String,
        attributes: Vec<AttributeValues>,
    },
    /// A delete.
    Delete { dn: String },
    /// A rename or move: refused.
    ModifyDn { dn: String },
    /// A compare: refused.
    Compare { dn: String },
    /// An operation given up.
    Abandon { message_id: i64 },
    /// An extended operation.
    Extended { oid: String, value: Vec<u8> },
    /// Not an LDAP request.
    Unreadable,
}

impl Operation {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Operation::SimpleBind { .. } | Operation::SaslBind { .. } => Kind::Bind,
            Operation::Unbind => Kind::Unbind,
            Operation::Search { .. } => Kind::Search,
            Operation::Modify { .. } => Kind::Modify,
            Operation::Add { .. } => Kind::Add,
            Operation::Delete { .. } => Kind::Delete,
            Operation::ModifyDn { .. } => Kind::ModifyDn,
            Operation::Compare { .. } => Kind::Compare,
            Operation::Abandon { .. } => Kind::Abandon,
            Operation::Extended { .. } => Kind::Extended,
            Operation::Unreadable => Kind::Unreadable,
        }
    }

    /// The name it is about: of the object, of who binds, the base of a search, the OID of an
    /// extended operation.
    #[must_use]
    pub fn dn(&self) -> &str {
        match self {
            Operation::SimpleBind { name, .. } | Operation::SaslBind { name, .. } => name,
            Operation::Search { base, .. } => base,
            Operation::Modify { dn, .. }
            | Operation::Add { dn, .. }
            | Operation::Delete { dn }
            | Operation::ModifyDn { dn }
            | Operation::Compare { dn } => dn,
            Operation::Extended { oid, .. } => oid,
            Operation::Unbind | Operation::Abandon { .. } | Operation::Unreadable => "",
        }
    }

    fn decode(tag: StructureTag) -> Option<Operation> {
        if tag.class != TagClass::Application {
            return None;
        }
        match tag.id {
            2 => return Some(Operation::Unbind),
            10 => return ber::text(tag).map(|dn| Operation::Delete { dn }),
            16 => return ber::number(tag).map(|message_id| Operation::Abandon { message_id }),
            _ => {}
        }
        let id = tag.id;
        let mut parts = ber::parts(tag)?;
        Some(match id {
            0 => Operation::decode_bind(parts)?,
            3 => Operation::decode_search(parts)?,
            6 => Operation::Modify {
                dn: ber::text(parts.next()?)?,
                changes: ber::parts(parts.next()?)?
                    .map(modification)
                    .collect::<Option<_>>()?,
            },
            8 => Operation::Add {
                dn: ber::text(parts.next()?)?,
                attributes: ber::parts(parts.next()?)?
                    .map(attribute)
                    .collect::<Option<_>>()?,
            },
            12 => Operation::ModifyDn {
                dn: ber::text(parts.next()?)?,
            },
            14 => Operation::Compare {
                dn: ber::text(parts.next()?)?,
            },
            23 => Operation::Extended {
                oid: ber::text(parts.next()?)?,
                value: match parts.next() {
                    Some(value) => value.expect_primitive()?,
                    None => Vec::new(),
                },
            },
            _ => return None,
        })
    }

    fn decode_bind(mut parts: impl Iterator<Item = StructureTag>) -> Option<Operation> {
        let _version = ber::number(parts.next()?)?;
        let name = ber::text(parts.next()?)?;
        let how = parts.next()?;
        Some(match how.id {
            0 => Operation::SimpleBind {
                name,
                password: how.expect_primitive()?,
            },
            3 => Operation::SaslBind {
                name,
                mechanism: ber::text(ber::parts(how)?.next()?)?,
            },
            _ => return None,
        })
    }

    fn decode_search(mut parts: impl Iterator<Item = StructureTag>) -> Option<Operation> {
        let base = ber::text(parts.next()?)?;
        let scope = match ber::number(parts.next()?)? {
            0 => Scope::Base,
            1 => Scope::OneLevel,
            2 => Scope::Subtree,
            _ => return None,
        };
        let _aliases = parts.next()?;
        Some(Operation::Search {
            base,
            scope,
            size_limit: ber::number(parts.next()?)?,
            time_limit: ber::number(parts.next()?)?,
            types_only: ber::truth(parts.next()?)?,
            filter: Filter::decode(parts.next()?)?,
            attributes: ber::parts(parts.next()?)?
                .map(ber::text)
                .collect::<Option<_>>()?,
        })
    }
}

/// A control of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its OID.
    pub oid: String,
    /// Whether the request must fail where the control is unknown.
    pub critical: bool,
    /// Its value, empty without one.
    pub value: Vec<u8>,
}

impl Control {
    fn decode(tag: StructureTag) -> Option<Control> {
        let mut parts = ber::parts(tag)?.peekable();
        let oid = ber::text(parts.next()?)?;
        let critical = parts.next_if(|part| part.id == 1);
        Some(Control {
            oid,
            critical: critical.and_then(ber::truth).unwrap_or(false),
            value: match parts.next() {
                Some(value) => value.expect_primitive()?,
                None => Vec::new(),
            },
        })
    }
}

/// A request with its envelope.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: i64,
    pub(super) operation: Operation,
    pub(super) controls: Vec<Control>,
}

impl Message {
    pub(super) fn decode(tag: StructureTag) -> Option<Message> {
        let mut parts = ber::parts(tag)?;
        let id = ber::number(parts.next()?)?;
        let operation = Operation::decode(parts.next()?)?;
        let controls = match parts.next() {
            Some(controls) => ber::parts(controls)?
                .map(Control::decode)
                .collect::<Option<_>>()?,
            None => Vec::new(),
        };
        Some(Message {
            id,
            operation,
            controls,
        })
    }
}

/// The octets of a response.
pub(super) fn response(id: i64, operation: StructureTag, controls: Vec<StructureTag>) -> Vec<u8> {
    let mut parts = vec![ber::integer(id), operation];
    if !controls.is_empty() {
        parts.push(ber::constructed(TagClass::Context, 0, controls));
    }
    ber::encode(ber::sequence(parts))
}

pub(super) fn entry(dn: &str, attributes: Vec<AttributeValues>) -> StructureTag {
    let attributes = attributes.into_iter().map(|(name, values)| {
        let values = values.into_iter().map(ber::octets).collect();
        ber::sequence(vec![ber::octets(name), ber::set(values)])
    });
    ber::application(
        4,
        vec![ber::octets(dn), ber::sequence(attributes.collect())],
    )
}

pub(super) fn reference(url: &str) -> StructureTag {
    ber::application(19, vec![ber::octets(url)])
}

pub(super) fn notice(encoding: NoticeEncoding, result: &LdapResult) -> Vec<u8> {
    let oid = ber::primitive(TagClass::Context, 10, DISCONNECTION);
    let mut inner = result.parts();
    let mut outer = vec![ber::integer(0)];
    match encoding {
        NoticeEncoding::Standard => {
            inner.push(oid);
            outer.push(ber::application(24, inner));
        }
        NoticeEncoding::ActiveDirectory => {
            outer.push(ber::application(24, inner));
            outer.push(oid);
        }
    }
    ber::encode(ber::sequence(outer))
}

fn attribute(tag: StructureTag) -> Option<AttributeValues> {
    let mut parts = ber::parts(tag)?;
    let name = ber::text(parts.next()?)?;
    let values = ber::parts(parts.next()?)?.map(StructureTag::expect_primitive);
    Some((name, values.collect::<Option<_>>()?))
}

fn modification(tag: StructureTag) -> Option<(ModifyKind, AttributeValues)> {
    let mut parts = ber::parts(tag)?;
    let kind = match ber::number(parts.next()?)? {
        0 => ModifyKind::Add,
        1 => ModifyKind::Delete,
        2 => ModifyKind::Replace,
        _ => return None,
    };
    Some((kind, attribute(parts.next()?)?))
}

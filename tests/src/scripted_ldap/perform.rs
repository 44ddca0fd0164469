//! What the directory answers to a request.

use std::collections::{BTreeMap, VecDeque};

use lber::common::TagClass;
use lber::structure::StructureTag;

use super::Options;
use super::ber::{self, Front};
use super::connection::{PAGED, START_TLS, WHO_AM_I};
use super::directory::{Directory, Key};
use super::message::{self, Control, Kind, LdapResult, Operation, Scope, code, response};
use super::read::{NameForm, Selection, show};
use super::seed::CONTROLS;

/// `LDAP_SERVER_PERMISSIVE_MODIFY_OID` ([MS-ADTS] 3.1.1.3.4.1.8).
const PERMISSIVE_MODIFY: &str = "1.2.840.113556.1.4.1413";
/// `LDAP_SERVER_DOMAIN_SCOPE_OID` ([MS-ADTS] 3.1.1.3.4.1.4).
const DOMAIN_SCOPE: &str = "1.2.840.113556.1.4.1339";

/// What one connection remembers.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) encrypted: bool,
    pub(super) bound: Option<String>,
    /// The paged searches that have not come to their end, by cookie.
    pages: BTreeMap<Vec<u8>, VecDeque<Key>>,
    cookies: u64,
}

/// An answer before it is encoded.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Entries and references.
    pub(super) items: Vec<StructureTag>,
    pub(super) result: LdapResult,
    /// What follows the result in its response: the parts of an extended response.
    pub(super) extra: Vec<StructureTag>,
    pub(super) controls: Vec<StructureTag>,
    /// TLS begins when the answer is out.
    pub(super) start_tls: bool,
}

impl Outcome {
    /// The octets of the answer to a request of that kind.
    pub(super) fn encode(&self, id: i64, kind: Kind) -> Vec<u8> {
        let items = self.items.iter().cloned();
        let mut octets: Vec<u8> = items
            .flat_map(|item| response(id, item, Vec::new()))
            .collect();
        if let Some(tag) = kind.response() {
            let parts = [self.result.parts(), self.extra.clone()].concat();
            let done = ber::application(tag, parts);
            octets.extend(response(id, done, self.controls.clone()));
        }
        octets
    }
}

impl From<LdapResult> for Outcome {
    fn from(result: LdapResult) -> Outcome {
        Outcome {
            result,
            ..Outcome::default()
        }
    }
}

pub(super) fn perform(
    directory: &mut Directory,
    session: &mut Session,
    options: &Options,
    operation: &Operation,
    controls: &[Control],
) -> Outcome {
    if let Some(result) = refused(session, options, operation, controls) {
        return result.into();
    }
    match operation {
        Operation::SimpleBind { name, password } => {
            simple_bind(session, options, name, password).into()
        }
        Operation::SaslBind { .. } => {
            let message = "00002027: LdapErr: DSID-0C0905C4, comment: Invalid Authentication method, data 0, v4563";
            LdapResult::new(code::AUTH_METHOD_NOT_SUPPORTED, message).into()
        }
        Operation::Search { .. } => search(directory, session, options, operation, controls),
        Operation::Add { dn, attributes } => directory.add(dn, attributes).into(),
        Operation::Modify { dn, changes } => {
            let permissive = has(controls, PERMISSIVE_MODIFY);
            directory.modify(dn, changes, permissive).into()
        }
        Operation::Delete { dn } => directory.delete(dn).into(),
        Operation::Extended { oid, .. } => extended(session, oid),
        Operation::ModifyDn { .. } | Operation::Compare { .. } => {
            let message = "00000000: SvcErr: problem 5003 (WILL_NOT_PERFORM), data 0\n";
            LdapResult::new(code::UNWILLING_TO_PERFORM, message).into()
        }
        Operation::Unbind | Operation::Abandon { .. } | Operation::Unreadable => Outcome::default(),
    }
}

fn has(controls: &[Control], oid: &str) -> bool {
    controls.iter().any(|control| control.oid == oid)
}

/// What is refused before the operation is looked at.
fn refused(
    session: &Session,
    options: &Options,
    operation: &Operation,
    controls: &[Control],
) -> Option<LdapResult> {
    let unknown = controls
        .iter()
        .find(|control| control.critical && !CONTROLS.contains(&control.oid.as_str()));
    if unknown.is_some() {
        let message =
            "00000057: LdapErr: DSID-0C0907B5, comment: Error processing control, data 0, v4563";
        return Some(LdapResult::new(
            code::UNAVAILABLE_CRITICAL_EXTENSION,
            message,
        ));
    }
    let open_to_all = match operation {
        Operation::Search { base, scope, .. } => base.is_empty() && *scope == Scope::Base,
        _ => matches!(operation.kind(), Kind::Bind | Kind::Extended),
    };
    if session.bound.is_none() && !options.anonymous && !open_to_all {
        let message = "000004DC: LdapErr: DSID-0C090A5C, comment: In order to perform this operation a successful bind must be completed on the connection., data 0, v4563";
        return Some(LdapResult::new(code::OPERATIONS_ERROR, message));
    }
    let writes = matches!(
        operation.kind(),
        Kind::Add | Kind::Modify | Kind::Delete | Kind::ModifyDn
    );
    if writes && options.read_only {
        let message = "0000202B: RefErr: DSID-031006E0, data 0, 1 access points\n\tref 1: 'dc2.contoso.com'\n";
        let url = format!("ldap://dc2.contoso.com/{}", operation.dn());
        return Some(LdapResult::new(code::REFERRAL, message).referral(&url));
    }
    None
}

fn simple_bind(
    session: &mut Session,
    options: &Options,
    name: &str,
    password: &[u8],
) -> LdapResult {
    session.bound = None;
    if name.is_empty() && password.is_empty() {
        return LdapResult::success();
    }
    if options.require_encryption && !session.encrypted {
        let message = "00002028: LdapErr: DSID-0C090259, comment: The server requires binds to turn on integrity checking if SSL\\TLS are not already active on the connection, data 0, v4563";
        return LdapResult::new(code::STRONGER_AUTH_REQUIRED, message);
    }
    // A name without a password is an unauthenticated bind ([RFC 4513] 5.1.2): it succeeds and
    // gives nothing.
    if password.is_empty() {
        return LdapResult::success();
    }
    let account = options.accounts.iter().find(|account| {
        account
            .names
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name))
    });
    match account {
        Some(account) if account.password.as_bytes() == password => match account.refusal {
            Some(refusal) => refusal.result(),
            None => {
                session.bound = Some(name.to_owned());
                LdapResult::success()
            }
        },
        _ => super::BindRefusal::WrongPassword.result(),
    }
}

fn extended(session: &Session, oid: &str) -> Outcome {
    let name = |oid: &str| ber::primitive(TagClass::Context, 10, oid);
    match oid {
        START_TLS if session.encrypted => {
            let message = "00000000: LdapErr: DSID-0C090E6C, comment: TLS or SSL already in effect, data 0, v4563";
            LdapResult::new(code::OPERATIONS_ERROR, message).into()
        }
        START_TLS => Outcome {
            extra: vec![name(START_TLS)],
            start_tls: true,
            ..Outcome::default()
        },
        WHO_AM_I => {
            let who = session.bound.as_deref().unwrap_or_default();
            let id = if who.is_empty() {
                String::new()
            } else {
                format!("u:{who}")
            };
            Outcome {
                extra: vec![ber::primitive(TagClass::Context, 11, id)],
                ..Outcome::default()
            }
        }
        _ => {
            let message = "0000203D: LdapErr: DSID-0C090C7D, comment: Unknown extended request OID, data 0, v4563";
            LdapResult::new(code::PROTOCOL_ERROR, message).into()
        }
    }
}

/// Where a paged search goes on: the size of the page and the cookie.
fn page(controls: &[Control]) -> Option<Result<(usize, Vec<u8>), ()>> {
    let control = controls.iter().find(|control| control.oid == PAGED)?;
    let Front::Element(tag, _) = ber::decode(&control.value) else {
        return Some(Err(()));
    };
    let read = || {
        let mut parts = ber::parts(tag)?;
        let size = usize::try_from(ber::number(parts.next()?)?).ok()?;
        Some((size, parts.next()?.expect_primitive()?))
    };
    Some(read().ok_or(()))
}

fn search(
    directory: &Directory,
    session: &mut Session,
    options: &Options,
    operation: &Operation,
    controls: &[Control],
) -> Outcome {
    let Operation::Search {
        base,
        scope,
        size_limit,
        types_only,
        filter,
        attributes,
        ..
    } = operation
    else {
        return Outcome::default();
    };
    let bad_page = || {
        let message =
            "00000057: LdapErr: DSID-0C0907D5, comment: Error processing control, data 0, v4563";
        Outcome::from(LdapResult::new(
            code::UNAVAILABLE_CRITICAL_EXTENSION,
            message,
        ))
    };
    let paging = match page(controls) {
        Some(Ok(paging)) => Some(paging),
        Some(Err(())) => return bad_page(),
        None => None,
    };
    let mut references = Vec::new();
    let mut places: VecDeque<Key> = match &paging {
        Some((_, cookie)) if !cookie.is_empty() => match session.pages.remove(cookie) {
            Some(rest) => rest,
            None => return bad_page(),
        },
        _ => match directory.find(base, *scope, filter) {
            Ok((found, urls)) => {
                references = urls;
                found.into()
            }
            Err(result) => return result.into(),
        },
    };
    let limit = usize::try_from(*size_limit).ok().filter(|limit| *limit > 0);
    let cap = match (&paging, limit) {
        (Some((size, _)), _) => (*size).min(options.max_page_size),
        (None, Some(limit)) => limit.min(options.max_page_size),
        (None, None) => options.max_page_size,
    };
    let selection = Selection {
        attributes,
        types_only: *types_only,
        extended: NameForm::wanted(controls),
        max_values: options.max_values,
    };
    let mut outcome = Outcome::default();
    while outcome.items.len() < cap {
        let Some(place) = places.pop_front() else {
            break;
        };
        match show(directory, &place, &selection) {
            Ok(Some(entry)) => outcome.items.push(entry),
            // Deleted since the first page.
            Ok(None) => {}
            Err(result) => {
                outcome.result = result;
                return outcome;
            }
        }
    }
    if places.is_empty() && !has(controls, DOMAIN_SCOPE) {
        let references = references.iter().map(|url| message::reference(url));
        outcome.items.extend(references);
    }
    match paging {
        Some((size, _)) => {
            let more = !places.is_empty() && size > 0;
            let cookie = if more {
                session.keep(places)
            } else {
                Vec::new()
            };
            let value = ber::sequence(vec![ber::integer(0), ber::octets(cookie)]);
            let value = ber::encode(value);
            let control = vec![ber::octets(PAGED), ber::octets(value)];
            outcome.controls.push(ber::sequence(control));
        }
        None if !places.is_empty() => {
            let message =
                "00002023: SvcErr: DSID-03100E2F, problem 5010 (SIZE_LIMIT_EXCEEDED), data 0\n";
            outcome.result = LdapResult::new(code::SIZE_LIMIT_EXCEEDED, message);
        }
        None => {}
    }
    outcome
}

impl Session {
    pub(super) fn new(encrypted: bool) -> Session {
        Session {
            encrypted,
            ..Session::default()
        }
    }

    /// Remembers the rest of a search; its cookie means something on this connection only.
    fn keep(&mut self, rest: VecDeque<Key>) -> Vec<u8> {
        self.cookies += 1;
        // As in Active Directory, a cookie is octets and not text.
        let cookie = [&[0x01, 0x00, 0xfe, 0xff][..], &self.cookies.to_be_bytes()].concat();
        self.pages.insert(cookie.clone(), rest);
        cookie
    }
}

//! What a manifest tells of a database: where the dump comes from, what it holds,
//! and what it lacks.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::checked::{RecordedOption, SqlName};
use crate::ledger::Ledger;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DatabaseContent {
    /// As the server says it: "15.18 (Debian 15.18-0+deb12u1)".
    pub server_version: String,
    pub client_version: String,
    /// "direct" or "docker".
    pub mode: String,
    /// Why this mode was taken, where it was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// "plain", "custom", "directory" or "globals".
    pub format: String,
    #[serde(default, skip_serializing_if = "Selection::is_everything")]
    pub selection: Selection,
    /// Further options of pg_dump: a dump to compare with is made with them too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<RecordedOption>,
    /// On the server's disk when it was dumped: what a restore will need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_bytes: Option<u64>,
    pub encoding: String,
    /// LC_COLLATE.
    pub locale: String,
    /// LC_CTYPE, where it differs from `locale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctype: Option<String>,
    /// "icu" or "builtin"; absent means libc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale_provider: Option<String>,
    /// The locale by that provider's names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_locale: Option<String>,
    /// Name to version.
    pub extensions: BTreeMap<SqlName, String>,
    /// Roles that own something in the dump or are granted something by it.
    pub roles: Vec<SqlName>,
    /// Roles that own something, and so have written what stands in the dump; the
    /// database's owner stands for pg_database_owner, beside it where the dump itself
    /// names it. Absent where that is not known, as in manifests of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owners: Option<Vec<SqlName>>,
    /// Those of all these roles that were superusers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superusers: Vec<SqlName>,
    /// Tablespaces that the dump names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tablespaces: Vec<SqlName>,
    /// Libraries that the server had loaded when it started, as its setting says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preloads: Vec<String>,
    #[serde(default, skip_serializing_if = "OutputSettings::is_empty")]
    pub output_settings: OutputSettings,
    #[serde(default, skip_serializing_if = "LeftOut::is_nothing")]
    pub left_out: LeftOut,
    /// What pg_dump said beside the dump.
    #[serde(default, skip_serializing_if = "Warned::is_nothing")]
    pub warned: Warned,
    #[serde(flatten)]
    pub ledger: Ledger,
}

impl DatabaseContent {
    /// What the dump lacks, for people; `None` of a complete one.
    pub(super) fn lack(&self) -> Option<String> {
        let left = &self.left_out;
        let objects = left.of_extensions();
        let objects = (objects > 0).then(|| {
            format!(
                "{objects} of the database's objects are left out by pg_dump, because an owner \
                 added them to an extension: ALTER EXTENSION .. DROP takes them out of it"
            )
        });
        let of_subscriptions = "are left out by pg_dump, because its role is no superuser";
        let names = left.subscriptions.iter();
        let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
        let subscriptions =
            first_of(&names).map(|names| format!("the subscriptions {names} {of_subscriptions}"));
        let kinds = left.statements.iter();
        let kinds: Vec<_> = kinds
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        let statements = first_of(&kinds).map(|kinds| {
            format!("statements that kluis does not understand are left out by a restore: {kinds}")
        });
        let lacks = self.warned.warnings.iter().filter(|it| it.lacks);
        let lacks: Vec<String> = lacks.map(|it| it.text.clone()).collect();
        let all = [objects, subscriptions, statements, first_of(&lacks)];
        let all: Vec<String> = all.into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// The first of them, and that there are more.
fn first_of(names: &[String]) -> Option<String> {
    const NAMED: usize = 5;
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named = names.get(..NAMED).unwrap_or(names).join(", ");
    (!names.is_empty()).then(|| format!("{named}{more}"))
}

/// How the database's sessions wrote values: a copy needs the same. No other
/// setting has a place here, whatever a manifest names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSettings {
    /// Amounts of money are read and written by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lc_monetary: Option<String>,
}

impl OutputSettings {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What was there and is not in the dump, or does not come back from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeftOut {
    /// All of it.
    pub count: u64,
    /// pg_dump leaves out what belongs to an extension, also where an owner has added
    /// it. At most 1,000 of them.
    pub objects: Vec<LeftOutObject>,
    /// Names of those that pg_dump leaves out where its role is no superuser.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscriptions: Vec<String>,
    /// In a dump of globals those that are not understood: kind and how many.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub statements: BTreeMap<String, u64>,
}

impl LeftOut {
    pub fn is_nothing(&self) -> bool {
        self.count == 0
    }

    /// How many are left out because an extension has them.
    pub fn of_extensions(&self) -> u64 {
        let statements: u64 = self.statements.values().sum();
        let others = self.subscriptions.len() as u64 + statements;
        self.count.saturating_sub(others)
    }

    /// The first of all of them, and why each is.
    pub fn named(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let of_extension = |it: &LeftOutObject| {
            let why = format!("it was added to the extension {}", it.extension);
            (it.object.clone(), why)
        };
        let subscription = |name: &String| {
            let why = "pg_dump's role is no superuser".to_owned();
            (format!("subscription {name:?}"), why)
        };
        let statement = |(kind, count): (&String, &u64)| {
            let why = "not understood; a restore leaves it out".to_owned();
            (format!("{count} of the statement {kind}"), why)
        };
        let objects = self.objects.iter().map(of_extension);
        let subscriptions = self.subscriptions.iter().map(subscription);
        objects
            .chain(subscriptions)
            .chain(self.statements.iter().map(statement))
    }
}

/// What a dump's programs said although they succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Warned {
    pub count: u64,
    /// Of them those that tell of something which is not in the dump.
    pub lacking: u64,
    /// The first ones, each cut; those that tell of a lack before the others.
    pub warnings: Vec<Warning>,
}

impl Warned {
    pub fn is_nothing(&self) -> bool {
        self.count == 0
    }

    /// Those by which nothing is missing: the others are what the dump lacks.
    pub fn harmless(&self) -> impl Iterator<Item = &str> {
        let harmless = self.warnings.iter().filter(|it| !it.lacks);
        harmless.map(|it| it.text.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    pub text: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacks: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutObject {
    /// "table public.t", quoted as SQL quotes it.
    pub object: String,
    pub extension: SqlName,
}

/// What of the database was asked for; empty means all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    pub schemas: Vec<String>,
    pub exclude_schemas: Vec<String>,
    pub tables: Vec<String>,
    pub exclude_tables: Vec<String>,
}

impl Selection {
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// As pg_dump's flags have it; nothing where it is everything.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [
            ("-n", &self.schemas),
            ("-N", &self.exclude_schemas),
            ("-t", &self.tables),
            ("-T", &self.exclude_tables),
        ];
        for (flag, patterns) in flags {
            for pattern in patterns {
                write!(f, " {flag} {pattern}")?;
            }
        }
        Ok(())
    }
}

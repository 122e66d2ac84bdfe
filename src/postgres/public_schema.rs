//! The schema `public` of a database that was filled with another role's rights: as a
//! new database has it, and then as the dump says. What else became of it was done by
//! code that stands in the dump.

use super::sql::{Sql, identifier, sql};
use super::{PostgresError, Server};
use crate::ledger::{PublicRight, PublicSchema};

/// Since this major a new database's owner owns its schema `public` too.
pub(super) const OWNERS_PUBLIC_MAJOR: u32 = 15;

/// Each grant goes back to one of the owner's, and goes with it.
const AS_NEW: &str = "ALTER SCHEMA public OWNER TO pg_database_owner;
DO $kluis$ DECLARE grantee text; BEGIN
  FOR grantee IN SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC'
        ELSE quote_ident(pg_get_userbyid(a.grantee)) END
      FROM pg_namespace n, aclexplode(n.nspacl) AS a WHERE n.nspname = 'public' LOOP
    EXECUTE format('REVOKE ALL ON SCHEMA public FROM %s CASCADE', grantee);
  END LOOP;
END $kluis$;
GRANT ALL ON SCHEMA public TO pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC;
";

impl Server {
    /// Makes it so in `database`, of this server's major 15 or newer.
    pub(super) fn set_public(
        &self,
        database: &str,
        public: &PublicSchema,
    ) -> Result<(), PostgresError> {
        if let Some(statement) = &public.unread {
            return Err(PostgresError::Obstacle {
                what: format!(
                    "what the dump says of the schema public is not understood: {statement:?}"
                ),
                remedy: "if whoever could write to the backed up database may be superuser here, \
                         give it again with --as-superuser"
                    .to_owned(),
            });
        }
        let mut sql = Sql::from(AS_NEW);
        for right in &public.said {
            sql += right_sql(right);
        }
        let action = "give the schema public the rights that the dump tells";
        self.run_in_transaction(database, action, &sql)
    }
}

fn right_sql(right: &PublicRight) -> Sql {
    let listed = |rights: &[&'static str]| {
        let rights: Vec<Sql> = rights.iter().map(|right| Sql::from(*right)).collect();
        Sql::joined(&rights, ", ")
    };
    let role = |name: &Option<String>| name.as_deref().map_or_else(|| "PUBLIC".into(), identifier);
    match right {
        PublicRight::Owner(owner) => sql!(
            "ALTER SCHEMA public OWNER TO {owner};\n",
            owner = identifier(owner)
        ),
        PublicRight::Grant {
            rights,
            to,
            grantable,
        } => sql!(
            "GRANT {rights} ON SCHEMA public TO {role}{option};\n",
            rights = listed(rights),
            role = role(to),
            option = if *grantable { " WITH GRANT OPTION" } else { "" }
        ),
        PublicRight::Revoke {
            rights,
            from,
            only_option,
        } => sql!(
            "REVOKE {option}{rights} ON SCHEMA public FROM {role};\n",
            option = if *only_option {
                "GRANT OPTION FOR "
            } else {
                ""
            },
            rights = listed(rights),
            role = role(from)
        ),
    }
}

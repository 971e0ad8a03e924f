//! What psql and other tools ask of a catalog.

use super::catalog::{Fixture, fixture};

async fn rows(fixture: &Fixture, sql: &str) -> Vec<String> {
    fixture.query(sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}"))
}

const DT: &str = r#"SELECT n.nspname as "Schema", c.relname as "Name",
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'p' THEN 'partitioned table' END as "Type",
  pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
WHERE c.relkind IN ('r','p','')
      AND n.nspname <> 'pg_catalog'
      AND n.nspname !~ '^pg_toast'
      AND n.nspname <> 'information_schema'
  AND pg_catalog.pg_table_is_visible(c.oid)
ORDER BY 1,2;"#;

#[tokio::test]
async fn psql_lists_and_describes_tables() {
    let fixture = fixture().await;
    let listed = rows(&fixture, DT).await;
    assert_eq!(listed, ["crm|c|table|ann", "crm|c_v1|table|ann", "crm|o|table|ann"]);

    let find = r#"SELECT c.oid, n.nspname, c.relname
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname OPERATOR(pg_catalog.~) '^(c)$' COLLATE pg_catalog.default
  AND n.nspname OPERATOR(pg_catalog.~) '^(crm)$' COLLATE pg_catalog.default
ORDER BY 2, 3;"#;
    let found = rows(&fixture, find).await;
    let oid = found[0].split('|').next().unwrap().to_owned();
    let columns = format!(
        r"SELECT a.attname,
  pg_catalog.format_type(a.atttypid, a.atttypmod),
  (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true)
   FROM pg_catalog.pg_attrdef d
   WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),
  a.attnotnull,
  (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t
   WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation,
  a.attidentity,
  a.attgenerated
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = '{oid}' AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;"
    );
    let described = rows(&fixture, &columns).await;
    let names: Vec<&str> = described.iter().map(|row| row.split('|').next().unwrap()).collect();
    assert_eq!(names, ["id", "name", "email", "ssn", "salary", "region"]);
    assert!(described[0].starts_with("id|bigint|"), "{}", described[0]);
    assert!(described[1].starts_with("name|text|"), "{}", described[1]);
    let kind = format!(
        r"SELECT c.relchecks, c.relkind, c.relhasindex, c.relhasrules, c.relhastriggers, c.relrowsecurity,
 c.relforcerowsecurity, false AS relhasoids, c.relispartition, '', c.reltablespace,
 CASE WHEN c.reloftype = 0 THEN '' ELSE c.reloftype::pg_catalog.regtype::pg_catalog.text END, c.relpersistence,
 c.relreplident, am.amname
FROM pg_catalog.pg_class c
 LEFT JOIN pg_catalog.pg_class tc ON (c.reltoastrelid = tc.oid)
LEFT JOIN pg_catalog.pg_am am ON (c.relam = am.oid)
WHERE c.oid = '{oid}';"
    );
    assert_eq!(rows(&fixture, &kind).await.len(), 1);
}

#[tokio::test]
async fn psql_lists_schemas_and_databases() {
    let fixture = fixture().await;
    let dn = r#"SELECT n.nspname AS "Name", pg_catalog.pg_get_userbyid(n.nspowner) AS "Owner"
FROM pg_catalog.pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1;"#;
    assert_eq!(rows(&fixture, dn).await, ["crm|ann"]);
    let l = "SELECT d.datname, pg_catalog.pg_encoding_to_char(d.encoding) FROM pg_catalog.pg_database d ORDER BY 1";
    assert!(rows(&fixture, l).await[0].starts_with("meshwork|"));
}

#[tokio::test]
async fn tools_find_the_session_and_the_views_of_the_standard() {
    let fixture = fixture().await;
    assert!(rows(&fixture, "select pg_catalog.version()").await[0].starts_with("PostgreSQL 16"));
    assert_eq!(rows(&fixture, "SELECT current_database(), current_schema()").await, ["meshwork|public"]);
    assert_eq!(rows(&fixture, "SELECT current_user").await, ["ann"]);
    assert_eq!(rows(&fixture, "SELECT current_setting('server_version_num')").await, ["160000"]);
    let tables = "SELECT table_schema, table_name FROM information_schema.tables
        WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2";
    assert_eq!(rows(&fixture, tables).await, ["crm|c", "crm|c_v1", "crm|o"]);
    let columns = "SELECT column_name, data_type, is_nullable FROM information_schema.columns
        WHERE table_name = 'c' ORDER BY ordinal_position LIMIT 2";
    assert_eq!(rows(&fixture, columns).await, ["id|bigint|NO", "name|text|YES"]);
    assert_eq!(rows(&fixture, "SELECT count(*) FROM information_schema.key_column_usage").await, ["0"]);
}

#[tokio::test]
async fn the_catalog_and_data_mix_and_stay_governed() {
    let fixture = fixture().await;
    let sql = "SELECT count(*), min(c.ssn) FROM crm.c c, pg_catalog.pg_namespace n WHERE n.nspname = 'crm'";
    assert_eq!(rows(&fixture, sql).await[0].split('|').next(), Some("7"));
    let others = "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname NOT IN ('crm', 'pg_catalog', 'information_schema')";
    assert_eq!(rows(&fixture, others).await, ["0"]);
}

/// The rest of what psql 15 sends for `\\d table` and `\\l`, `$OID` standing for the table.
const PSQL: &[&str] = &[
    r"SELECT c.oid::pg_catalog.regclass
FROM pg_catalog.pg_class c, pg_catalog.pg_inherits i
WHERE c.oid = i.inhparent AND i.inhrelid = '$OID'
  AND c.relkind != 'p' AND c.relkind != 'I'
ORDER BY inhseqno;",
    r"SELECT c.oid::pg_catalog.regclass, c.relkind, inhdetachpending, pg_catalog.pg_get_expr(c.relpartbound, c.oid)
FROM pg_catalog.pg_class c, pg_catalog.pg_inherits i
WHERE c.oid = i.inhrelid AND i.inhparent = '$OID'
ORDER BY pg_catalog.pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT', c.oid::pg_catalog.regclass::pg_catalog.text;",
    r"SELECT pol.polname, pol.polpermissive,
  CASE WHEN pol.polroles = '{0}' THEN NULL ELSE pg_catalog.array_to_string(array(select rolname from pg_catalog.pg_roles where oid = any (pol.polroles) order by 1),',') END,
  pg_catalog.pg_get_expr(pol.polqual, pol.polrelid),
  pg_catalog.pg_get_expr(pol.polwithcheck, pol.polrelid),
  CASE pol.polcmd
    WHEN 'r' THEN 'SELECT'
    WHEN 'a' THEN 'INSERT'
    WHEN 'w' THEN 'UPDATE'
    WHEN 'd' THEN 'DELETE'
    END AS cmd
FROM pg_catalog.pg_policy pol
WHERE pol.polrelid = '$OID' ORDER BY 1;",
    r"SELECT oid, stxrelid::pg_catalog.regclass, stxnamespace::pg_catalog.regnamespace::pg_catalog.text AS nsp, stxname,
pg_catalog.pg_get_statisticsobjdef_columns(oid) AS columns,
  'd' = any(stxkind) AS ndist_enabled,
  'f' = any(stxkind) AS deps_enabled,
  'm' = any(stxkind) AS mcv_enabled,
stxstattarget
FROM pg_catalog.pg_statistic_ext
WHERE stxrelid = '$OID'
ORDER BY nsp, stxname;",
    r"SELECT pubname
     , NULL
     , NULL
FROM pg_catalog.pg_publication p
     JOIN pg_catalog.pg_publication_namespace pn ON p.oid = pn.pnpubid
     JOIN pg_catalog.pg_class pc ON pc.relnamespace = pn.pnnspid
WHERE pc.oid ='$OID' and pg_catalog.pg_relation_is_publishable('$OID')
UNION
SELECT pubname
     , pg_get_expr(pr.prqual, c.oid)
     , (CASE WHEN pr.prattrs IS NOT NULL THEN
         (SELECT string_agg(attname, ', ')
           FROM pg_catalog.generate_series(0, pg_catalog.array_upper(pr.prattrs::pg_catalog.int2[], 1)) s,
                pg_catalog.pg_attribute
          WHERE attrelid = pr.prrelid AND attnum = prattrs[s])
        ELSE NULL END) FROM pg_catalog.pg_publication p
     JOIN pg_catalog.pg_publication_rel pr ON p.oid = pr.prpubid
     JOIN pg_catalog.pg_class c ON c.oid = pr.prrelid
WHERE pr.prrelid = '$OID'
UNION
SELECT pubname
     , NULL
     , NULL
FROM pg_catalog.pg_publication p
WHERE p.puballtables AND pg_catalog.pg_relation_is_publishable('$OID')
ORDER BY 1;",
    r#"SELECT d.datname as "Name",
       pg_catalog.pg_get_userbyid(d.datdba) as "Owner",
       pg_catalog.pg_encoding_to_char(d.encoding) as "Encoding",
       d.datcollate as "Collate",
       d.datctype as "Ctype",
       d.daticulocale as "ICU Locale",
       CASE d.datlocprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' END AS "Locale Provider",
       pg_catalog.array_to_string(d.datacl, E'\n') AS "Access privileges"
FROM pg_catalog.pg_database d
ORDER BY 1;"#,
];

#[tokio::test]
async fn psql_s_other_questions_have_answers() {
    let fixture = fixture().await;
    let oid = rows(&fixture, "SELECT oid FROM pg_catalog.pg_class WHERE relname = 'c'").await.remove(0);
    let mut failed = Vec::new();
    for question in PSQL {
        if let Err(error) = fixture.query(&question.replace("$OID", &oid)).await {
            failed.push(format!("{error}: {}", &question[..60.min(question.len())]));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

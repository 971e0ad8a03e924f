import java.math.BigDecimal;
import java.sql.*;
import java.time.*;
import java.util.*;

/** pgjdbc: `java -cp postgresql.jar Jdbc.java` with the address in the environment. */
public class Jdbc {
    static Connection c;

    static void same(Object found, Object expected, String what) {
        if (!Objects.equals(String.valueOf(found), String.valueOf(expected))) {
            System.err.println(what + ": found " + found + ", expected " + expected);
            System.exit(1);
        }
    }

    interface Action {
        void run() throws SQLException;
    }

    static void refused(String state, String what, Action action) {
        try {
            action.run();
            same("no error", state, what);
        } catch (SQLException error) {
            same(error.getSQLState(), state, what + ": " + error.getMessage());
        }
    }

    static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> found = new ArrayList<>();
        while (rows.next()) found.add(rows.getString(name));
        return found;
    }

    static int count(ResultSet rows) throws SQLException {
        int n = 0;
        while (rows.next()) n++;
        return n;
    }

    static Object one(String sql) throws SQLException {
        try (Statement s = c.createStatement(); ResultSet rows = s.executeQuery(sql)) {
            rows.next();
            return rows.getObject(1);
        }
    }

    static void metadata() throws SQLException {
        DatabaseMetaData about = c.getMetaData();
        same(about.getDatabaseProductName(), "PostgreSQL", "product");
        same(column(about.getTables(null, "vault", "%", new String[] {"TABLE", "VIEW"}), "TABLE_NAME"),
            "[c, c_v1, kinds, kinds_v1]", "tables");
        same(column(about.getSchemas(), "TABLE_SCHEM").contains("vault"), true, "schemas");
        same(column(about.getCatalogs(), "TABLE_CAT").contains("meshwork"), true, "catalogs");
        List<String> names = column(about.getColumns(null, "vault", "kinds", "%"), "COLUMN_NAME");
        same(names, "[id, flag, small, ratio, price, word, day, at, local, tags]", "columns");
        same(column(about.getColumns(null, "vault", "kinds", "%"), "TYPE_NAME"),
            "[int8, bool, int2, float8, numeric, text, date, timestamptz, timestamp, _text]", "types");
        same(count(about.getPrimaryKeys(null, "vault", "kinds")), 0, "primary keys");
        same(count(about.getIndexInfo(null, "vault", "kinds", false, false)), 0, "indexes");
        same(count(about.getImportedKeys(null, "vault", "kinds")), 0, "imported keys");
        same(count(about.getExportedKeys(null, "vault", "kinds")), 0, "exported keys");
        same(count(about.getBestRowIdentifier(null, "vault", "kinds", 1, true)), 0, "row identifier");
        same(count(about.getTypeInfo()) > 10, true, "type information");
        about.getTableTypes();
        about.getFunctions(null, null, "nothing%");
        about.getProcedures(null, null, "nothing%");
        about.getUDTs(null, "vault", "%", null);
    }

    static void values() throws SQLException {
        String[] where = {"id = ?", "flag = ?", "small = ?", "ratio = ?", "price = ?", "word = ?", "day = ?", "at = ?", "local = ?"};
        Object[] values = {1L, true, (short) 7, 0.5, new BigDecimal("12.345"), "naïve \"quoted\", 100%\nline",
            LocalDate.of(2026, 1, 31), OffsetDateTime.parse("2026-01-31T10:00:00.25Z"), LocalDateTime.parse("2026-01-31T10:00:00")};
        // Past the fifth execution the driver keeps the statement and switches to the binary form.
        for (int i = 0; i < where.length; i++) {
            try (PreparedStatement s = c.prepareStatement("SELECT id FROM vault.kinds WHERE " + where[i])) {
                for (int times = 0; times < 7; times++) {
                    s.setObject(1, values[i]);
                    same(column(s.executeQuery(), "id"), "[1]", where[i]);
                }
            }
        }
        try (PreparedStatement s = c.prepareStatement("SELECT * FROM vault.kinds ORDER BY id")) {
            for (int times = 0; times < 7; times++) {
                ResultSet r = s.executeQuery();
                r.next();
                same(r.getLong("id") + " " + r.getBoolean("flag") + " " + r.getShort("small") + " " + r.getDouble("ratio")
                    + " " + r.getBigDecimal("price"), "1 true 7 0.5 12.345", "types");
                same(r.getString("word"), values[5], "text");
                same(r.getObject("day", LocalDate.class), values[6], "date");
                same(r.getObject("at", OffsetDateTime.class).toInstant(), Instant.parse("2026-01-31T10:00:00.250Z"), "timestamp");
                same(r.getObject("local", LocalDateTime.class), values[8], "local timestamp");
                same(Arrays.toString((Object[]) r.getArray("tags").getArray()), "[a, b, c]", "array");
                r.next();
                r.getBigDecimal("price");
                same(r.wasNull(), true, "null");
            }
        }
        try (PreparedStatement s = c.prepareStatement("SELECT ?, ?::date, ?::timestamp")) {
            s.setInt(1, 4);
            s.setDate(2, java.sql.Date.valueOf("2026-01-31"));
            s.setTimestamp(3, Timestamp.valueOf("2026-01-31 03:04:05"));
            ResultSet r = s.executeQuery();
            r.next();
            same(r.getInt(1) + " " + r.getDate(2) + " " + r.getTimestamp(3), "4 2026-01-31 2026-01-31 03:04:05.0", "parameters");
            same(s.getMetaData().getColumnTypeName(2), "date", "described");
        }
        try (PreparedStatement s = c.prepareStatement("SELECT id FROM vault.kinds WHERE id = ANY(?)")) {
            s.setArray(1, c.createArrayOf("bigint", new Long[] {1L, 5L}));
            same(column(s.executeQuery(), "id"), "[1]", "any");
        }
        same(column(c.createStatement().executeQuery("SELECT ssn FROM vault.c ORDER BY id"), "ssn"),
            "[nnn-nn-3333, nnn-nn-5555, nnn-nn-7777, null]", "masks");
    }

    static void sessions() throws SQLException {
        c.setAutoCommit(false);
        try (Statement s = c.createStatement()) {
            s.setFetchSize(100);
            ResultSet rows = s.executeQuery("SELECT value FROM generate_series(1, 10000)");
            same(count(rows), 10000, "fetch size");
        }
        Savepoint before = c.setSavepoint();
        refused("22012", "division", () -> one("SELECT 1/0"));
        c.rollback(before);
        same(one("SELECT 2"), 2, "after a savepoint");
        c.commit();
        c.setAutoCommit(true);
        try (Statement s = c.createStatement()) {
            s.setMaxRows(3);
            same(count(s.executeQuery("SELECT value FROM generate_series(1, 10000)")), 3, "max rows");
        }
        String endless = "SELECT count(*) FROM generate_series(1, 100000000000)";
        try (Statement s = c.createStatement()) {
            s.setQueryTimeout(1);
            refused("57014", "timeout", () -> s.executeQuery(endless));
        }
        try (Statement s = c.createStatement()) {
            new Timer(true).schedule(new TimerTask() {
                public void run() {
                    try {
                        s.cancel();
                    } catch (SQLException ignored) {
                    }
                }
            }, 300);
            refused("57014", "cancel", () -> s.executeQuery(endless));
        }
        same(one("SELECT 3"), 3, "after a cancel");
        c.setReadOnly(true);
        c.setReadOnly(false);
        same(c.isValid(5), true, "valid");
        refused("42501", "no agreement", () -> one("SELECT * FROM oracle.c"));
        refused("42P01", "no table", () -> one("SELECT * FROM vault.nothing"));
        refused("42703", "no column", () -> one("SELECT nothing FROM vault.kinds"));
        refused("25006", "read only", () -> c.createStatement().executeUpdate("INSERT INTO vault.kinds VALUES (1)"));
    }

    public static void main(String[] arguments) throws SQLException {
        Map<String, String> env = System.getenv();
        String url = "jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/meshwork";
        c = DriverManager.getConnection(url, env.get("PGUSER"), env.get("PGPASSWORD"));
        metadata();
        values();
        sessions();
        c.close();
        System.out.println("pgjdbc: all well");
    }
}

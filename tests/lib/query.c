#include "tests/lib/query.h"

#include <libpq-fe.h>
#include <stdio.h>

#include "base/text.h"
#include "tests/lib/test.h"

void query_run_as(const char *user, uint16_t port, const char *query, char *cell, size_t cell_size)
{
    char conninfo[256];
    PGconn *conn;
    PGresult *result;

    (void)snprintf(
        conninfo, sizeof conninfo,
        "host=127.0.0.1 port=%u user=%s password=secret dbname=postgres connect_timeout=10",
        (unsigned)port, user);
    conn = PQconnectdb(conninfo);
    result = PQexec(conn, query);
    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK) {
        fail_msg("port %u: %s: %s", (unsigned)port, query, PQerrorMessage(conn));
    }
    if (cell != NULL) {
        text_copy_cut(
            cell, cell_size,
            PQntuples(result) > 0 && PQnfields(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    }
    PQclear(result);
    PQfinish(conn);
}

void query_run(uint16_t port, const char *query, char *cell, size_t cell_size)
{
    query_run_as("postgres", port, query, cell, cell_size);
}

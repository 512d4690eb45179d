/*
 * base/name.h - the product's name and version, once.
 */
#ifndef PGBATON_BASE_NAME_H
#define PGBATON_BASE_NAME_H

#define PRODUCT_NAME    "pgbaton"
#define PRODUCT_VERSION "0.1.0"
#define CTL_NAME        "pgbatonctl"
#define GUARD_NAME      "pgbaton-guard"

#endif

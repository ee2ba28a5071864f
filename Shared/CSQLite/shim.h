// The system's SQLite, with its variadic and pointer-macro parts as inline functions.
#pragma once
#include <sqlite3.h>

/// sqlite3_db_config of a switch: sets it to `value` and tells what it is now, or -1 on failure.
static inline int bindery_sqlite_switch(sqlite3 *database, int option, int value) {
  int now = -1;
  return sqlite3_db_config(database, option, value, &now) == SQLITE_OK ? now : -1;
}

/// Binds bytes that SQLite copies. A null pointer with length 0 is an empty value, not NULL.
static inline int bindery_sqlite_bind_blob(
    sqlite3_stmt *statement, int index, const void *bytes, sqlite3_uint64 count) {
  return sqlite3_bind_blob64(statement, index, count ? bytes : "", count, SQLITE_TRANSIENT);
}

/// Binds UTF-8 that SQLite copies.
static inline int bindery_sqlite_bind_text(
    sqlite3_stmt *statement, int index, const void *text, sqlite3_uint64 count) {
  return sqlite3_bind_text64(
      statement, index, count ? (const char *)text : "", count, SQLITE_TRANSIENT, SQLITE_UTF8);
}

/// Binds bytes that the caller keeps alive and unchanged until the statement is reset.
static inline int bindery_sqlite_bind_blob_borrowed(
    sqlite3_stmt *statement, int index, const void *bytes, sqlite3_uint64 count) {
  return sqlite3_bind_blob64(statement, index, count ? bytes : "", count, SQLITE_STATIC);
}

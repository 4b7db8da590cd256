/* SPDX-License-Identifier: ISC */
/* The released server's tables of people, and Muster's own beside them. They are made once and never changed: existing ones are used as they are. */
#include "accounts.h"

#define ENDING " DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
#define NOW_LITE "DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))"
#define NOW_MARIA "DEFAULT CURRENT_TIMESTAMP(3)"
#define CASCADE "ON DELETE CASCADE ON UPDATE CASCADE"

/* Names and addresses are the same whatever their case, in SQLite as in the released database. */
static const struct mu_sql released[] = {
    {.sqlite = "CREATE TABLE IF NOT EXISTS users ("
               "id TEXT NOT NULL PRIMARY KEY, username TEXT NOT NULL COLLATE NOCASE UNIQUE, "
               "email TEXT NOT NULL COLLATE NOCASE UNIQUE, password_hash TEXT NOT NULL, "
               "is_admin BOOLEAN NOT NULL DEFAULT 0, created_at DATETIME(3) NOT NULL " NOW_LITE ", "
               "is_active BOOLEAN NOT NULL DEFAULT 1, banned_at DATETIME(3), banned_reason TEXT, banned_by TEXT)",
     .mariadb = "CREATE TABLE IF NOT EXISTS users ("
                "id VARCHAR(191) NOT NULL, username VARCHAR(30) NOT NULL, email VARCHAR(255) NOT NULL, "
                "password_hash VARCHAR(255) NOT NULL, is_admin BOOLEAN NOT NULL DEFAULT false, "
                "created_at DATETIME(3) NOT NULL " NOW_MARIA ", is_active BOOLEAN NOT NULL DEFAULT true, "
                "banned_at DATETIME(3) NULL, banned_reason VARCHAR(255) NULL, banned_by VARCHAR(191) NULL, "
                "UNIQUE INDEX users_username_key (username), UNIQUE INDEX users_email_key (email), PRIMARY KEY (id)"
                ")" ENDING},
    {.sqlite = "CREATE TABLE IF NOT EXISTS invite_codes ("
               "id TEXT NOT NULL PRIMARY KEY, code TEXT NOT NULL UNIQUE, expires_at DATETIME(3), "
               "used_by TEXT UNIQUE REFERENCES users (id) ON DELETE SET NULL ON UPDATE CASCADE, used_at DATETIME(3), "
               "created_by TEXT NOT NULL REFERENCES users (id) " CASCADE ", "
               "created_at DATETIME(3) NOT NULL " NOW_LITE ")",
     .mariadb =
         "CREATE TABLE IF NOT EXISTS invite_codes ("
         "id VARCHAR(191) NOT NULL, code VARCHAR(12) NOT NULL, expires_at DATETIME(3) NULL, "
         "used_by VARCHAR(191) NULL, used_at DATETIME(3) NULL, created_by VARCHAR(191) NOT NULL, "
         "created_at DATETIME(3) NOT NULL " NOW_MARIA ", UNIQUE INDEX invite_codes_code_key (code), "
         "UNIQUE INDEX invite_codes_used_by_key (used_by), PRIMARY KEY (id), "
         "CONSTRAINT invite_codes_used_by_fkey FOREIGN KEY (used_by) REFERENCES users (id) "
         "ON DELETE SET NULL ON UPDATE CASCADE, "
         "CONSTRAINT invite_codes_created_by_fkey FOREIGN KEY (created_by) REFERENCES users (id) " CASCADE ")" ENDING},
    {.sqlite = "CREATE TABLE IF NOT EXISTS ban_logs ("
               "id TEXT NOT NULL PRIMARY KEY, target_type TEXT NOT NULL, target_id TEXT NOT NULL, "
               "action TEXT NOT NULL, reason TEXT, operator_id TEXT NOT NULL, "
               "created_at DATETIME(3) NOT NULL " NOW_LITE ")",
     .mariadb = "CREATE TABLE IF NOT EXISTS ban_logs ("
                "id VARCHAR(191) NOT NULL, target_type VARCHAR(20) NOT NULL, target_id VARCHAR(191) NOT NULL, "
                "action VARCHAR(20) NOT NULL, reason VARCHAR(255) NULL, operator_id VARCHAR(191) NOT NULL, "
                "created_at DATETIME(3) NOT NULL " NOW_MARIA ", PRIMARY KEY (id))" ENDING},
};

/* `sessions` is in every login token; a token without it must be younger than `valid_after`. */
static const struct mu_sql own[] = {
    {.sqlite = "CREATE TABLE IF NOT EXISTS muster_users ("
               "user_id TEXT NOT NULL PRIMARY KEY REFERENCES users (id) " CASCADE ", "
               "sessions INTEGER NOT NULL DEFAULT 0, valid_after DATETIME(3), one_time BOOLEAN NOT NULL DEFAULT 0)",
     .mariadb = "CREATE TABLE IF NOT EXISTS muster_users ("
                "user_id VARCHAR(191) NOT NULL, sessions BIGINT NOT NULL DEFAULT 0, valid_after DATETIME(3) NULL, "
                "one_time BOOLEAN NOT NULL DEFAULT false, PRIMARY KEY (user_id), "
                "CONSTRAINT muster_users_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) " CASCADE ")" ENDING},
    {.sqlite = "CREATE TABLE IF NOT EXISTS muster_api_keys ("
               "id TEXT NOT NULL PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id) " CASCADE ", "
               "name TEXT NOT NULL, digest TEXT NOT NULL UNIQUE, created_at DATETIME(3) NOT NULL " NOW_LITE ", "
               "last_used_at DATETIME(3))",
     .mariadb =
         "CREATE TABLE IF NOT EXISTS muster_api_keys ("
         "id VARCHAR(191) NOT NULL, user_id VARCHAR(191) NOT NULL, name VARCHAR(100) NOT NULL, "
         "digest VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, "
         "created_at DATETIME(3) NOT NULL " NOW_MARIA ", last_used_at DATETIME(3) NULL, "
         "UNIQUE INDEX muster_api_keys_digest_key (digest), INDEX muster_api_keys_user_id_idx (user_id), "
         "PRIMARY KEY (id), "
         "CONSTRAINT muster_api_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) " CASCADE ")" ENDING},
    {.sqlite = "CREATE INDEX IF NOT EXISTS muster_api_keys_user_id_idx ON muster_api_keys (user_id)",
     .mariadb = "DO 0"},
};

static const struct mu_migration migrations[] = {
    {.version = 1, .what = "people, invite codes, bans", .statements = released, .count = MU_COUNT(released)},
    {.version = 2, .what = "sessions and API keys", .statements = own, .count = MU_COUNT(own)},
};

int tables_migrate(struct self *self, mu_store_done done, void *context)
{
  const struct mu_store *store = self->store.api;
  return store->migrate(self->store.self, self->in, "auth_accounts", migrations, MU_COUNT(migrations), done, context);
}

const struct mu_sql sql_new_password = {
    .sqlite = "INSERT INTO muster_users (user_id, sessions, valid_after, one_time) VALUES (?, 1, ?, ?) "
              "ON CONFLICT (user_id) DO UPDATE SET sessions = sessions + 1, valid_after = excluded.valid_after, "
              "one_time = excluded.one_time",
    .mariadb = "INSERT INTO muster_users (user_id, sessions, valid_after, one_time) VALUES (?, 1, ?, ?) "
               "ON DUPLICATE KEY UPDATE sessions = sessions + 1, valid_after = VALUES(valid_after), "
               "one_time = VALUES(one_time)",
};

const struct mu_sql sql_end_sessions = {
    .sqlite = "INSERT INTO muster_users (user_id, sessions, valid_after) VALUES (?, 1, ?) "
              "ON CONFLICT (user_id) DO UPDATE SET sessions = sessions + 1, valid_after = excluded.valid_after",
    .mariadb = "INSERT INTO muster_users (user_id, sessions, valid_after) VALUES (?, 1, ?) "
               "ON DUPLICATE KEY UPDATE sessions = sessions + 1, valid_after = VALUES(valid_after)",
};

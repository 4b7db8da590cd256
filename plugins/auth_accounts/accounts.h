/* SPDX-License-Identifier: ISC */
/**
 * What the files of auth_accounts share. Loop thread only, except where a comment says otherwise.
 *
 * Who writes what: tables.c the tables and the texts of statements; password.c hashes on worker threads; secrets.c random texts and
 * digests; task.c work that waits for the database; provider.c auth/1; watch.c what other programs change; people.c administrators and
 * accounts/1; rest*.c the REST API.
 */
#ifndef AUTH_ACCOUNTS_H
#define AUTH_ACCOUNTS_H

#include <json-c/json.h>
#include <muster/muster.h>

#include "password.h"

enum {
  ID_SIZE = 192,        /* users.id with its NUL */
  USERNAME_MIN = 3,     /* characters of a username */
  USERNAME_MAX = 30,    /* likewise */
  USERNAME_SIZE = 121,  /* its bytes, with a NUL */
  CREDENTIAL_SIZE = 64, /* of a principal, with its NUL */
};

/** mu_principal.credential of who came by a password or a login token, before the number of their sessions. */
#define SESSION_CREDENTIAL "session:"

/** Filled from the option table in plugin.c. */
struct config {
  const char *jwt_secret;
  int64_t token_days;
  const char *first_admin;
  const char *password_file;
  int64_t attempts;
  int64_t attempts_window;
  int64_t api_keys;
  int64_t hash_threads;
  int64_t hash_queue;
  int64_t watch_users;
  double watch_every;
};

struct watch;
struct count;
struct making;
struct judgement;
struct task;

struct self {
  mu_instance *in;
  const struct config *config;
  mu_token_key *key;
  unsigned keys; /* counts up with each other key */
  mu_schema *claims;
  struct mu_service store;
  struct hasher *hasher;
  struct watch *watch;
  mu_event_type *revoked;
  struct mu_accounts accounts;
  struct mu_rest_route *routes; /* a copy: limits come from the options */
  struct task *tasks;
  struct judgement *judgements;
  struct making *makings;
  struct count *counts; /* members that others add to the list of users */
  bool stopping;
  bool asked; /* accounts/1 was asked for an administrator: the first start makes none */
  mu_counter *granted, *refused, *unavailable, *logins, *logins_refused, *registered, *revocations;
};

/* ---- plugin.c -------------------------------------------------------------------------------- */

/** Something that a stop waits for has ended; the context is the struct self. */
void self_idle(void *context);

/* ---- tables.c -------------------------------------------------------------------------------- */

/** Bring the tables up to date; `done` as in store.h. */
int tables_migrate(struct self *self, mu_store_done done, void *context);

/** The columns of U, then of the rest of a person; see person_read(). */
#define U_COLUMNS                                                                                                      \
  "users.id, users.username, users.email, users.is_admin, users.created_at, users.is_active, users.banned_at, "        \
  "users.banned_reason, users.banned_by"
#define PERSON_COLUMNS                                                                                                 \
  U_COLUMNS ", users.password_hash, COALESCE(muster_users.sessions, 0), muster_users.valid_after, "                    \
            "COALESCE(muster_users.one_time, 0)"
#define PERSON_TABLES "users LEFT JOIN muster_users ON muster_users.user_id = users.id"
enum { U_COUNT = 9, PERSON_COUNT = 13 };

/** Raises a user's sessions, so that all older tokens are void: values user_id, valid_after, one_time. */
extern const struct mu_sql sql_new_password;
/** The same without a new password: values user_id, valid_after. */
extern const struct mu_sql sql_end_sessions;

/* ---- secrets.c ------------------------------------------------------------------------------- */

#define KEY_PREFIX "mk_"
enum {
  UUID_SIZE = 37,
  CODE_SIZE = 11,           /* an invite code of 10 characters */
  ONE_TIME_SIZE = 25,       /* a one-time password of 24 */
  KEY_SIZE = 3 + 43 + 1,    /* an API key: its prefix and 32 bytes as base64url */
  DIGEST_SIZE = 2 * 32 + 1, /* SHA-256 in lower-case hex */
};
/** Fill in; 0 or MU_EIO. Any thread. */
int uuid_make(char out[UUID_SIZE]);
int code_make(char out[CODE_SIZE]);
int one_time_make(char out[ONE_TIME_SIZE]);
int key_make(char out[KEY_SIZE]);
/** Whether a text has the form of an API key: others need not be looked for. Any thread. */
bool key_shaped(struct mu_str text);
/** False: out of memory. Any thread. */
bool key_digest(struct mu_str key, char out[DIGEST_SIZE]);

/* ---- times.c --------------------------------------------------------------------------------- */

/** A time as clients write it: ISO 8601 with or without a zone (then UTC), also a date alone, which then is its first millisecond or, with
 * `end`, its last. False: none of these, or not within the years 1970 to 9999. */
bool time_of_text(struct mu_str text, bool end, int64_t *unix_ms);
/** The same, or Unix seconds. */
bool time_of_json(struct json_object *value, int64_t *unix_ms);

/* ---- task.c: one request's way through the database and the hasher ---------------------------- */

/** One row of a person. Strings are borrowed from the result. */
struct person {
  struct mu_str id, username, email, hash, banned_by, banned_reason;
  bool admin, active, banned, one_time;
  int64_t created_ms, banned_ms;
  int64_t sessions;
  int64_t valid_after_ms; /* INT64_MIN: never set */
};
/** False: there is no such row. */
bool person_read(const struct mu_result *result, size_t row, struct person *person);
/** U, for clients. NULL: out of memory. */
struct json_object *person_json(const struct person *person);
/** A value of a row, for clients. NULL: the row has none, or out of memory. */
struct json_object *value_json(const struct mu_value *value);
/** As much as goes in, and a NUL. */
void copy_text(char *to, size_t size, struct mu_str text);
/** Adds a member; `value` NULL is null. Takes it. */
void member(struct json_object *object, const char *name, struct json_object *value);

/**
 * A step, which goes on with the task or ends it by task_answer() and so on. After task_read() there is a client who waits, and no error; after
 * task_write() `request` may be NULL: the client has left.
 */
typedef void (*task_rows)(struct task *task, mu_http *request, const struct mu_result *result);
/** `result` 0, MU_EREFUSED (wrong password), MU_EUNAVAILABLE (too much waits) or another error. */
typedef void (*task_hashed)(struct task *task, mu_http *request, int result, const char *hash);

struct task {
  struct task *next, **link;
  struct self *self;
  mu_http_id request;
  task_rows rows;
  task_hashed hashed;
  int64_t now_ms;
  char user[ID_SIZE];           /* the caller's id */
  char target[ID_SIZE];         /* the user or key that is meant */
  char username[USERNAME_SIZE]; /* and what else is known of that person */
  bool admin;
  bool active;
  bool banned;
  bool one_time;
  bool bans; /* it is a ban; otherwise the end of one */
  int64_t sessions;
  char id[UUID_SIZE]; /* of a row that is made */
  char hash[PASSWORD_HASH_SIZE];
  char key[KEY_SIZE];
  struct json_object *body; /* of the answer, so far */
  int64_t total;            /* rows in all */
};
/** A task for this request; with `own`, the caller must be one of the people here. NULL: it is answered already. */
struct task *task_new(struct self *self, mu_http *request, bool own);
void task_free(struct task *task);
/** Return what a handler returns: MU_PENDING. On errors the request is answered and the task freed. */
int task_read(struct task *task, const struct mu_statement *statement, task_rows step);
int task_write(struct task *task, const struct mu_statement *statements, size_t count, task_rows step);
int task_verify(struct task *task, const char *password, const char *stored, task_hashed step);
int task_make(struct task *task, const char *password, task_hashed step);
/** End the task, and the request if it is still there. */
void task_answer(struct task *task, int status, struct json_object *body);
void task_error(struct task *task, int status, const char *code, struct mu_words words);
void task_failed(struct task *task, const struct mu_result *result);
/** Too much waits, or a hash could not be made. */
void task_unhashed(struct task *task, int result);

#define STATEMENT(sql_, values_, expect_)                                                                              \
  {                                                                                                                    \
    .sql = sql_, .values = (values_), .count = MU_COUNT(values_), .expect = (expect_)                                  \
  }
#define SQL(text_)                                                                                                     \
  {                                                                                                                    \
    .text = (text_)                                                                                                    \
  }

/* ---- provider.c ------------------------------------------------------------------------------ */

extern const struct mu_auth provider_service;
void provider_free(struct self *self);
/** What is read of a token's claims. NULL: out of memory. */
mu_schema *provider_claims(void);
/** A login token for a user; NULL: out of memory. */
mu_text *provider_token(struct self *self, const char *id, const char *username, bool admin, int64_t sessions,
                        int64_t now_ms);
/** Ends what a user has open: all, or what one key opened. */
void provider_revoke(struct self *self, const char *id, const char *username, bool admin, const char *credential);

/* ---- watch.c --------------------------------------------------------------------------------- */

struct watch *watch_new(struct self *self);
/** Begins to look, or takes another `watch_every`. */
void watch_start(struct watch *watch);
void watch_free(struct watch *watch);
/** Somebody was let in: from now on it is looked whether that still holds. `key`: with an API key. */
void watch_note(struct watch *watch, const struct mu_principal *principal, int64_t sessions, bool key);
/** All of a user's were ended just now (or, with a credential, that key's): nothing is left to watch. True: `*admin` tells the role of before. */
bool watch_forget(struct watch *watch, const char *id, const char *credential, bool *admin);
/** Login tokens are worth nothing any more: what they opened is closed, of everybody who is watched. 0 or MU_ENOMEM. */
int watch_end_logins(struct watch *watch);

/* ---- people.c -------------------------------------------------------------------------------- */

/** After the migrations: makes the first administrator where there is no user at all. */
void people_first(struct self *self);
int people_admin(void *self, mu_instance *in, const char *username, mu_accounts_made done, void *context);
int people_user_count(void *self, mu_instance *in, const char *member, const char *sql);
void people_free(struct self *self);
/** Whether an administrator is being written. */
bool people_writing(const struct self *self);
struct count {
  struct count *next, **link;
  mu_instance *in;
  char *member;
  char *sql;
};
/** Letters, digits and '_', 3 to 30. Any thread. */
bool username_ok(struct mu_str name);

/* ---- rest.c and its like ---------------------------------------------------------------------- */

int rest_serve(struct self *self);
int rest_register(void *self, mu_http *request);
int rest_login(void *self, mu_http *request);
int rest_me(void *self, mu_http *request);
int rest_profile(void *self, mu_http *request);
int rest_password(void *self, mu_http *request);
int rest_keys(void *self, mu_http *request);
int rest_key_new(void *self, mu_http *request);
int rest_key_delete(void *self, mu_http *request);
int rest_codes(void *self, mu_http *request);
int rest_code_new(void *self, mu_http *request);
int rest_users(void *self, mu_http *request);
int rest_ban(void *self, mu_http *request);
int rest_unban(void *self, mu_http *request);
int rest_ban_logs(void *self, mu_http *request);

#endif

/* SPDX-License-Identifier: ISC */
/*
 * auth/1: passwords, login tokens, API keys, and whether somebody of before still may. Rights come from the rows, each time anew; a token
 * tells only who its bearer is and how many times the password had been changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounts.h"

enum {
  RETRY_S = 5,
  USED_MS = 60000, /* how exact last_used_at is */
  LONGEST_PASSWORD = 4096,
};

/* A question that is not answered yet. */
struct judgement {
  struct judgement *next, **link;
  struct self *self;
  mu_auth_done done;
  void *context;
  enum mu_credential_kind kind;
  int64_t now_ms;
  int64_t sessions;  /* TOKEN, KNOWN: as the bearer brought it; -1: a token of the released server */
  int64_t issued_ms; /* TOKEN */
  int64_t expires_s; /* TOKEN */
  unsigned keys;     /* TOKEN: as it was opened with */
  bool by_key;       /* KNOWN: the credential is a key's */
  char key_id[CREDENTIAL_SIZE];
  const struct mu_principal *principal; /* PASSWORD: granted if the password matches */
  const char *barred;                   /* PASSWORD: why a right one is refused all the same; NULL: it is not */
  bool banned;                          /* PASSWORD: and the client may know it */
  bool stale;  /* a right was taken back since the question: what was read may be what was before */
  bool proved; /* PASSWORD: it matches this hash; only the row is read again */
  char hash[PASSWORD_HASH_SIZE];
  const char *sql; /* the question, to put it again */
  char *texts[2];
  size_t lengths[2], count;
  char password[];
};

/* What a login token says. */
struct claims {
  struct mu_json_value user, sessions, issued, expires;
};

static const struct mu_field claim_fields[] = {
    {"userId", MU_FIELD_STRING, MU_FIELD_REQUIRED, 0, 191, offsetof(struct claims, user)},
    {"ver", MU_FIELD_UINT, 0, 0, 0, offsetof(struct claims, sessions)},
    {"iat", MU_FIELD_INT, MU_FIELD_REQUIRED, 0, 0, offsetof(struct claims, issued)},
    {"exp", MU_FIELD_INT, MU_FIELD_REQUIRED, 0, 0, offsetof(struct claims, expires)},
};

mu_schema *provider_claims(void)
{
  return mu_schema_new(claim_fields, MU_COUNT(claim_fields), sizeof claim_fields[0]);
}

mu_text *provider_token(struct self *self, const char *id, const char *username, bool admin, int64_t sessions,
                        int64_t now_ms)
{
  struct mu_buf claims = MU_BUF_INIT;
  mu_buf_adds(&claims, "{\"userId\":");
  mu_buf_json_string(&claims, mu_str(id));
  mu_buf_adds(&claims, ",\"username\":");
  mu_buf_json_string(&claims, mu_str(username));
  mu_buf_printf(&claims, ",\"isAdmin\":%s,\"ver\":%lld}", admin ? "true" : "false", (long long)sessions);
  mu_text *token = claims.failed ? NULL
                                 : mu_token_seal(self->key, (struct mu_str){claims.at, claims.len}, now_ms / 1000,
                                                 self->config->token_days * 86400);
  mu_buf_free(&claims);
  return token;
}

static void emit(struct self *self, const char *id, const char *username, bool admin, const char *credential)
{
  const struct mu_principal *who = mu_principal_new(&(struct mu_principal){.size = sizeof(struct mu_principal),
                                                                           .provider = mu_instance_name(self->in),
                                                                           .id = id,
                                                                           .name = username,
                                                                           .role = admin ? MU_ROLE_ADMIN : MU_ROLE_USER,
                                                                           .owner = id,
                                                                           .credential = credential});
  if (who)
    mu_event_emit(self->revoked, who);
  else
    mu_log(self->in, MU_LOG_ERROR, "connections of user \"%s\" could not be closed: out of memory", username);
  mu_principal_unref(who);
}

void provider_revoke(struct self *self, const char *id, const char *username, bool admin, const char *credential)
{
  bool then = admin;
  mu_count(self->revocations, 1);
  watch_forget(self->watch, id, credential, &then);
  /* Nobody has heard yet whom these will let in: what they read may be the row of before, which comes only now. */
  for (struct judgement *judgement = self->judgements; judgement; judgement = judgement->next)
    judgement->stale |= !judgement->principal || strcmp(judgement->principal->id, id) == 0;
  /* Who was let in with another role than the row has now is another principal. */
  if (then != admin)
    emit(self, id, username, then, credential);
  emit(self, id, username, admin, credential);
}

/* ---- questions ------------------------------------------------------------------------------- */

static struct judgement *judgement_new(struct self *self, enum mu_credential_kind kind, mu_auth_done done,
                                       void *context, struct mu_str password)
{
  struct judgement *judgement = calloc(1, sizeof *judgement + password.len + 1);
  if (!judgement)
    return NULL;
  judgement->self = self;
  judgement->kind = kind;
  judgement->done = done;
  judgement->context = context;
  judgement->now_ms = mu_now_ms();
  if (password.len > 0)
    memcpy(judgement->password, password.at, password.len);
  judgement->next = self->judgements;
  judgement->link = &self->judgements;
  if (judgement->next)
    judgement->next->link = &judgement->next;
  self->judgements = judgement;
  return judgement;
}

static void judgement_free(struct judgement *judgement)
{
  *judgement->link = judgement->next;
  if (judgement->next)
    judgement->next->link = judgement->link;
  mu_principal_unref(judgement->principal);
  mu_secret_wipe(judgement->password, strlen(judgement->password));
  mu_secret_wipe(judgement->hash, sizeof judgement->hash);
  for (size_t i = 0; i < judgement->count; i++)
    free(judgement->texts[i]);
  free(judgement);
}

void provider_free(struct self *self)
{
  while (self->judgements)
    judgement_free(self->judgements); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
}

/* `banned`: who it is was proved, and the client may know why that is of no use. */
static void say(struct self *self, mu_auth_done done, void *context, enum mu_verdict verdict, const char *reason,
                bool banned)
{
  struct mu_auth_answer answer = {.size = sizeof answer,
                                  .verdict = verdict,
                                  .reason = reason,
                                  .retry_after_s = verdict == MU_AUTH_UNAVAILABLE ? RETRY_S : 0};
  if (banned) {
    answer.code = "USER_BANNED";
    answer.words = MU_WORDS("this user is banned", "用户已被封禁");
  }
  mu_count(verdict == MU_AUTH_REFUSED ? self->refused : verdict == MU_AUTH_UNAVAILABLE ? self->unavailable : NULL, 1);
  done(context, &answer);
}

static void end(struct judgement *judgement, enum mu_verdict verdict, const char *reason, bool banned)
{
  struct self *self = judgement->self;
  mu_auth_done done = judgement->done;
  void *context = judgement->context;
  judgement_free(judgement);
  say(self, done, context, verdict, reason, banned);
}

static void grant(struct judgement *judgement)
{
  struct self *self = judgement->self;
  mu_auth_done done = judgement->done;
  void *context = judgement->context;
  const struct mu_principal *principal = mu_principal_ref(judgement->principal);
  bool key = judgement->key_id[0] != '\0';
  int64_t sessions = judgement->sessions;
  judgement_free(judgement);
  mu_count(self->granted, 1);
  watch_note(self->watch, principal, sessions, key);
  done(context, &(struct mu_auth_answer){
                    .size = sizeof(struct mu_auth_answer), .verdict = MU_AUTH_GRANTED, .principal = principal});
  mu_principal_unref(principal);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* The person of a row as a principal. NULL: out of memory. */
static const struct mu_principal *principal_of(struct self *self, const struct person *person, const char *key_id,
                                               int64_t expires_s)
{
  char id[ID_SIZE], name[USERNAME_SIZE], credential[CREDENTIAL_SIZE];
  if (person->id.len == 0 || person->id.len >= sizeof id || person->username.len >= sizeof name)
    return NULL;
  memcpy(id, person->id.at, person->id.len);
  id[person->id.len] = '\0';
  memcpy(name, person->username.at, person->username.len);
  name[person->username.len] = '\0';
  if (key_id[0])
    snprintf(credential, sizeof credential, "%s", key_id);
  else
    snprintf(credential, sizeof credential, SESSION_CREDENTIAL "%lld", (long long)person->sessions);
  return mu_principal_new(&(struct mu_principal){.size = sizeof(struct mu_principal),
                                                 .provider = mu_instance_name(self->in),
                                                 .id = id,
                                                 .name = name,
                                                 .role = person->admin ? MU_ROLE_ADMIN : MU_ROLE_USER,
                                                 .owner = id,
                                                 .credential = credential,
                                                 .expires_s = expires_s});
}

/* Whether somebody who proved to be this person may in: NULL, or why not. */
static const char *barred(const struct person *person)
{
  return person->banned ? "the user is banned" : person->active ? NULL : "the user is not active";
}

static int put(struct judgement *judgement);

static void on_hashed(void *context, int result, const char *hash)
{
  struct judgement *judgement = context;
  (void)hash;
  if (result == 0 && judgement->stale && !judgement->barred) {
    judgement->stale = false;
    judgement->proved = true;
    mu_principal_unref(judgement->principal);
    judgement->principal = NULL;
    put(judgement);
  } else if (result == 0 && judgement->barred)
    end(judgement, MU_AUTH_REFUSED, judgement->barred, judgement->banned);
  else if (result == 0)
    grant(judgement);
  else
    end(judgement, result == MU_EREFUSED ? MU_AUTH_REFUSED : MU_AUTH_UNAVAILABLE,
        result == MU_EREFUSED ? "unknown name or wrong password" : "the password could not be hashed", false);
}

static void judge_password(struct judgement *judgement, const struct person *person)
{
  char hash[PASSWORD_HASH_SIZE] = "";
  if (person && person->hash.len < sizeof hash)
    memcpy(hash, person->hash.at, person->hash.len);
  if (person) {
    judgement->principal = principal_of(judgement->self, person, "", 0);
    judgement->sessions = person->sessions;
    judgement->barred = judgement->principal ? barred(person) : "a row of no use";
    judgement->banned = judgement->principal && person->banned;
  }
  if (person && judgement->proved && strcmp(hash, judgement->hash) == 0) {
    on_hashed(judgement, 0, NULL);
    return;
  }
  memcpy(judgement->hash, hash, sizeof hash);
  judgement->proved = false;
  /* For a name that nobody has the same work. */
  int code = hasher_verify(judgement->self->hasher, judgement->password, hash, NULL, on_hashed, judgement);
  if (code != 0)
    end(judgement, MU_AUTH_UNAVAILABLE, "too many passwords wait to be hashed", false);
}

/* A key was used: at most once a minute that is written down. */
static void note_use(struct judgement *judgement, const struct mu_value *last)
{
  const struct mu_store *store = judgement->self->store.api;
  if (last->type == MU_VALUE_TIME && judgement->now_ms - last->integer < USED_MS && last->integer <= judgement->now_ms)
    return;
  const struct mu_value values[] = {mu_value_time(judgement->now_ms), mu_value_text(judgement->key_id)};
  const struct mu_statement statement =
      STATEMENT(SQL("UPDATE muster_api_keys SET last_used_at = ? WHERE id = ?"), values, MU_ANY_ROWS);
  int code = store->write(judgement->self->store.self, judgement->self->in, &statement, 1, NULL, NULL);
  if (code != 0)
    mu_log_limited(judgement->self->in, MU_LOG_WARN, "used", "the use of a key is not noted: %s", mu_strerror(code));
}

/* Everything but passwords: the row, and what the bearer brought, decide at once. */
static void judge_row(struct judgement *judgement, const struct person *person)
{
  const char *reason = barred(person);
  if (!reason && judgement->kind == MU_CREDENTIAL_TOKEN && judgement->keys != judgement->self->keys)
    reason = "signed with the secret of before";
  if (!reason && judgement->kind == MU_CREDENTIAL_TOKEN)
    reason = judgement->sessions < 0 ? judgement->issued_ms < person->valid_after_ms ? "an older token" : NULL
             : judgement->sessions != person->sessions ? "a token of before the last change of password"
                                                       : NULL;
  if (!reason && judgement->kind == MU_CREDENTIAL_KNOWN && !judgement->by_key && judgement->sessions >= 0 &&
      judgement->sessions != person->sessions)
    reason = "let in before the last change of password";
  if (reason) {
    end(judgement, MU_AUTH_REFUSED, reason, person->banned);
    return;
  }
  judgement->principal = principal_of(judgement->self, person, judgement->key_id, judgement->expires_s);
  judgement->sessions = person->sessions;
  if (judgement->principal)
    grant(judgement);
  else
    end(judgement, MU_AUTH_UNAVAILABLE, "out of memory", false);
}

static void on_rows(void *context, const struct mu_result *result)
{
  struct judgement *judgement = context;
  struct person person;
  if (judgement->stale && result->error == 0) {
    judgement->stale = false;
    put(judgement);
    return;
  }
  if (result->error != 0) {
    mu_log_limited(judgement->self->in, MU_LOG_WARN, "database", "nobody can be judged: %s%s%s",
                   mu_strerror(result->error), result->reason && *result->reason ? ": " : "",
                   result->reason ? result->reason : "");
    end(judgement, MU_AUTH_UNAVAILABLE, "the database does not answer", false);
    return;
  }
  bool found = person_read(result, 0, &person);
  if (judgement->kind == MU_CREDENTIAL_PASSWORD) {
    judge_password(judgement, found ? &person : NULL);
    return;
  }
  if (!found) {
    /* An unknown key may be another provider's; a token was signed by us. */
    bool key = judgement->kind == MU_CREDENTIAL_API_KEY;
    end(judgement, key ? MU_AUTH_UNKNOWN : MU_AUTH_REFUSED, "no such user or key", false);
    return;
  }
  if (judgement->kind == MU_CREDENTIAL_API_KEY || judgement->by_key) {
    const struct mu_value *key = mu_result_at(result, 0, PERSON_COUNT);
    if (key->type == MU_VALUE_TEXT && key->text.len < sizeof judgement->key_id) {
      memcpy(judgement->key_id, key->text.at, key->text.len);
      judgement->key_id[key->text.len] = '\0';
    }
    if (judgement->kind == MU_CREDENTIAL_API_KEY && person.active && !person.banned)
      note_use(judgement, mu_result_at(result, 0, PERSON_COUNT + 1));
  }
  judge_row(judgement, &person);
}

/* Puts the question to the store. */
static int put(struct judgement *judgement)
{
  struct self *self = judgement->self;
  const struct mu_store *store = self->store.api;
  struct mu_value values[MU_COUNT(judgement->texts)];
  for (size_t i = 0; i < judgement->count; i++)
    values[i] = mu_value_str((struct mu_str){judgement->texts[i], judgement->lengths[i]});
  const struct mu_statement statement = {
      .sql.text = judgement->sql, .values = values, .count = judgement->count, .expect = MU_ANY_ROWS};
  int code = store ? store->read(self->store.self, self->in, &statement, on_rows, judgement) : MU_ECLOSED;
  if (code == 0)
    return MU_PENDING;
  end(judgement, MU_AUTH_UNAVAILABLE, mu_strerror(code), false);
  return 0;
}

/* `values`: texts. They are kept, the question may have to be put again. */
static int ask(struct judgement *judgement, const char *sql, const struct mu_value *values, size_t count)
{
  judgement->sql = sql;
  for (size_t i = 0; i < count; i++) {
    struct mu_str text = values[i].text;
    char *copy = malloc(text.len + 1);
    if (!copy) {
      end(judgement, MU_AUTH_UNAVAILABLE, "out of memory", false);
      return 0;
    }
    if (text.len > 0)
      memcpy(copy, text.at, text.len);
    judgement->texts[i] = copy;
    judgement->lengths[i] = text.len;
    judgement->count = i + 1;
  }
  return put(judgement);
}

/* ---- kinds ----------------------------------------------------------------------------------- */

static int password(struct self *self, const struct mu_credential *credential, mu_auth_done done, void *context)
{
  /* No name and no password has a NUL in it. */
  if (credential->id.len == 0 || credential->id.len > 1024 || credential->secret.len > LONGEST_PASSWORD ||
      (credential->secret.len > 0 && memchr(credential->secret.at, 0, credential->secret.len))) {
    say(self, done, context, MU_AUTH_REFUSED, "no name, or no password that anybody can have", false);
    return 0;
  }
  struct judgement *judgement = judgement_new(self, MU_CREDENTIAL_PASSWORD, done, context, credential->secret);
  if (!judgement) {
    say(self, done, context, MU_AUTH_UNAVAILABLE, "out of memory", false);
    return 0;
  }
  const struct mu_value values[] = {mu_value_str(credential->id), mu_value_str(credential->id)};
  return ask(judgement, "SELECT " PERSON_COLUMNS " FROM " PERSON_TABLES " WHERE users.username = ? OR users.email = ?",
             values, MU_COUNT(values));
}

static int token(struct self *self, const struct mu_credential *credential, mu_auth_done done, void *context)
{
  struct mu_buf text = MU_BUF_INIT;
  struct claims claims = {0};
  int code = mu_token_open(self->key, credential->secret, mu_now_ms() / 1000, &text);
  if (code != 0) {
    /* Not ours: another provider's, perhaps. */
    enum mu_verdict verdict = code == MU_ETIMEOUT ? MU_AUTH_REFUSED
                              : code == MU_ENOMEM ? MU_AUTH_UNAVAILABLE
                                                  : MU_AUTH_UNKNOWN;
    say(self, done, context, verdict, code == MU_ETIMEOUT ? "expired" : mu_strerror(code), false);
    mu_buf_free(&text);
    return 0;
  }
  struct judgement *judgement = NULL;
  int result = 0;
  if (mu_json_scan(self->claims, text.at, text.len, &claims, NULL) != 0 || claims.user.escaped || claims.user.len <= 2)
    say(self, done, context, MU_AUTH_REFUSED, "it does not name a user", false);
  else if (!(judgement = judgement_new(self, MU_CREDENTIAL_TOKEN, done, context, MU_STR(""))))
    say(self, done, context, MU_AUTH_UNAVAILABLE, "out of memory", false);
  else {
    judgement->sessions = claims.sessions.kind ? claims.sessions.integer : -1;
    judgement->issued_ms = claims.issued.integer > INT64_MAX / 1000 || claims.issued.integer < 0
                               ? INT64_MIN + 1
                               : claims.issued.integer * 1000;
    judgement->expires_s = claims.expires.integer;
    judgement->keys = self->keys;
    const struct mu_value values[] = {mu_value_str(mu_json_str(&claims.user))};
    result = ask(judgement, "SELECT " PERSON_COLUMNS " FROM " PERSON_TABLES " WHERE users.id = ?", values, 1);
  }
  mu_buf_free(&text);
  return result;
}

static int api_key(struct self *self, const struct mu_credential *credential, mu_auth_done done, void *context)
{
  char digest[DIGEST_SIZE];
  if (!key_shaped(credential->secret)) {
    say(self, done, context, MU_AUTH_UNKNOWN, "not a key of here", false);
    return 0;
  }
  struct judgement *judgement = key_digest(credential->secret, digest)
                                    ? judgement_new(self, MU_CREDENTIAL_API_KEY, done, context, MU_STR(""))
                                    : NULL;
  if (!judgement) {
    say(self, done, context, MU_AUTH_UNAVAILABLE, "out of memory", false);
    return 0;
  }
  const struct mu_value values[] = {mu_value_text(digest)};
  return ask(judgement,
             "SELECT " PERSON_COLUMNS ", muster_api_keys.id, muster_api_keys.last_used_at FROM " PERSON_TABLES
             " JOIN muster_api_keys ON muster_api_keys.user_id = users.id WHERE muster_api_keys.digest = ?",
             values, 1);
}

static int known(struct self *self, const struct mu_credential *credential, mu_auth_done done, void *context)
{
  struct judgement *judgement = judgement_new(self, MU_CREDENTIAL_KNOWN, done, context, MU_STR(""));
  if (!judgement) {
    say(self, done, context, MU_AUTH_UNAVAILABLE, "out of memory", false);
    return 0;
  }
  const struct mu_str secret = credential->secret;
  size_t prefix = strlen(SESSION_CREDENTIAL);
  char number[24] = "";
  judgement->sessions = -1;
  if (secret.len > prefix && secret.len - prefix < sizeof number &&
      memcmp(secret.at, SESSION_CREDENTIAL, prefix) == 0) {
    memcpy(number, secret.at + prefix, secret.len - prefix);
    judgement->sessions = strtoll(number, NULL, 10);
  } else {
    judgement->by_key = secret.len > 0;
  }
  const struct mu_value values[] = {mu_value_str(credential->id), mu_value_str(secret)};
  if (judgement->by_key)
    return ask(
        judgement,
        "SELECT " PERSON_COLUMNS ", muster_api_keys.id, muster_api_keys.last_used_at FROM " PERSON_TABLES
        " JOIN muster_api_keys ON muster_api_keys.user_id = users.id WHERE users.id = ? AND muster_api_keys.id = ?",
        values, 2);
  return ask(judgement, "SELECT " PERSON_COLUMNS " FROM " PERSON_TABLES " WHERE users.id = ?", values, 1);
}

static int judge(void *context, const struct mu_credential *credential, mu_auth_done done, void *done_context)
{
  struct self *self = context;
  switch (credential->kind) {
  case MU_CREDENTIAL_PASSWORD:
    return password(self, credential, done, done_context);
  case MU_CREDENTIAL_TOKEN:
    return token(self, credential, done, done_context);
  case MU_CREDENTIAL_API_KEY:
    return api_key(self, credential, done, done_context);
  case MU_CREDENTIAL_KNOWN:
    return known(self, credential, done, done_context);
  default:
    say(self, done, done_context, MU_AUTH_UNKNOWN, "not judged here", false);
    return 0;
  }
}

const struct mu_auth provider_service = {
    .size = sizeof(struct mu_auth),
    .kinds = MU_CREDENTIAL_PASSWORD | MU_CREDENTIAL_TOKEN | MU_CREDENTIAL_API_KEY | MU_CREDENTIAL_KNOWN,
    .judge = judge,
};

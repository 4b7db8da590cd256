/* SPDX-License-Identifier: ISC */
/* Keys: those of users, ours for Supabase, and what is made of them. Pure. */
#ifndef AUTH_SUPABASE_KEY_H
#define AUTH_SUPABASE_KEY_H

#include <muster/muster.h>

enum { KEY_SHORTEST = 8, KEY_LONGEST = 256, KEY_DIGEST = 32, KEY_HEX = 2 * KEY_DIGEST + 1, KEY_CREDENTIAL = 25 };

/* A user's key may be asked for: 8 to 256 printable ASCII characters without space. */
bool key_ok(struct mu_str key);

enum service_key {
  SERVICE_KEY_SECRET,      /* sb_secret_…: header apikey only */
  SERVICE_KEY_LEGACY,      /* a JWT: header Authorization as well */
  SERVICE_KEY_PUBLISHABLE, /* sb_publishable_…, or a JWT whose role is anon: sees no rows */
  SERVICE_KEY_OTHER,       /* no shape that Supabase gives out */
};
enum service_key service_key_kind(const char *key);

/* A name of a table or column that needs no quotes: [A-Za-z_][A-Za-z0-9_]*, at most 63 characters. */
bool identifier_ok(const char *name);

/* NULL: "https://HOST[:PORT][/PATH]", or http:// to loopback. Otherwise what is wrong. */
const char *project_url_problem(const char *url);

/* HMAC-SHA256 of `kind` and `value`; false when the library fails. */
bool key_digest(const unsigned char secret[KEY_DIGEST], char kind, struct mu_str value, unsigned char out[KEY_DIGEST]);
/* SHA-256 in lower-case hex. */
bool key_sha256(struct mu_str key, char out[KEY_HEX]);
/*
 * Names a user's key without giving it away: the same as long as the service key is. `sha256`: the key's, in hex, which tables of keys and
 * tables of digests give alike.
 */
bool key_credential(const char *service_key, const char *provider, const char *user, const char sha256[KEY_HEX],
                    char out[KEY_CREDENTIAL]);

#endif

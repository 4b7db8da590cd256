/* SPDX-License-Identifier: ISC */
/* Principals: immutable, counted, one allocation. */
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "bus/internal.h"

struct counted {
  _Atomic unsigned refs;
  struct mu_principal principal;
  char texts[];
};

#define CREDENTIAL_END (offsetof(struct mu_principal, credential) + sizeof(const char *))
#define EXPIRES_END (offsetof(struct mu_principal, expires_s) + sizeof(int64_t))

static struct counted *counted_of(const struct mu_principal *principal)
{
  return (struct counted *)(void *)((char *)(uintptr_t)principal - offsetof(struct counted, principal));
}

static const char *or_empty(const char *text)
{
  return text ? text : "";
}

static const char *put(char **at, const char *text)
{
  char *start = *at;
  size_t size = strlen(text) + 1;
  memcpy(start, text, size);
  *at += size;
  return start;
}

const struct mu_principal *mu_principal_new(const struct mu_principal *values)
{
  const char *provider = or_empty(values->provider), *id = or_empty(values->id), *name = or_empty(values->name);
  const char *owner = values->role == MU_ROLE_MACHINE ? or_empty(values->owner) : id;
  const char *credential = values->size >= CREDENTIAL_END ? or_empty(values->credential) : "";
  if (!*provider || !*id)
    return NULL;
  size_t texts = strlen(provider) + strlen(id) + strlen(name) + strlen(owner) + strlen(credential) + 5;
  struct counted *counted = malloc(sizeof(*counted) + texts);
  if (!counted)
    return NULL;
  atomic_init(&counted->refs, 1);
  char *at = counted->texts;
  counted->principal = (struct mu_principal){.size = sizeof(struct mu_principal), .role = values->role};
  counted->principal.expires_s = values->size >= EXPIRES_END ? values->expires_s : 0;
  counted->principal.provider = put(&at, provider);
  counted->principal.id = put(&at, id);
  counted->principal.name = put(&at, name);
  counted->principal.owner = put(&at, owner);
  counted->principal.credential = put(&at, credential);
  return &counted->principal;
}

const struct mu_principal *mu_principal_ref(const struct mu_principal *principal)
{
  if (principal)
    atomic_fetch_add_explicit(&counted_of(principal)->refs, 1, memory_order_relaxed);
  return principal;
}

void mu_principal_unref(const struct mu_principal *principal)
{
  if (principal && atomic_fetch_sub_explicit(&counted_of(principal)->refs, 1, memory_order_acq_rel) == 1)
    free(counted_of(principal));
}

bool mu_principal_equal(const struct mu_principal *a, const struct mu_principal *b)
{
  return a && b && a->role == b->role && strcmp(a->id, b->id) == 0 && strcmp(a->provider, b->provider) == 0;
}

bool mui_principal_covers(const struct mu_principal *revoked, const struct mu_principal *principal)
{
  return mu_principal_equal(revoked, principal) &&
         (!revoked->credential[0] || strcmp(revoked->credential, principal->credential) == 0);
}

static void ref(const void *payload)
{
  mu_principal_ref(payload);
}

static void unref(const void *payload)
{
  mu_principal_unref(payload);
}

static int text(const void *payload, struct mu_buf *out)
{
  static const char *const roles[] = {"none", "machine", "user", "admin"};
  const struct mu_principal *principal = payload;
  mu_buf_adds(out, "{\"provider\":");
  mu_buf_json_string(out, mu_str(principal->provider));
  mu_buf_adds(out, ",\"id\":");
  mu_buf_json_string(out, mu_str(principal->id));
  mu_buf_adds(out, ",\"name\":");
  mu_buf_json_string(out, mu_str(principal->name));
  mu_buf_printf(out, ",\"role\":\"%s\",\"owner\":",
                (unsigned)principal->role < MU_COUNT(roles) ? roles[principal->role] : "none");
  mu_buf_json_string(out, mu_str(principal->owner));
  mu_buf_adds(out, ",\"credential\":");
  mu_buf_json_string(out, mu_str(principal->credential));
  mu_buf_adds(out, "}");
  return out->failed ? MU_ENOMEM : 0;
}

const struct mu_event_ops *mu_principal_event_ops(void)
{
  static const struct mu_event_ops ops = {
      .size = sizeof(struct mu_event_ops), .version = 1, .ref = ref, .unref = unref, .text = text};
  return &ops;
}

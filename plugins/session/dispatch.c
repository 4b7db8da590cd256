/* SPDX-License-Identifier: ISC */
/* From a text to the handler of its type: the rate, who may send it, one scan. */
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

enum { BAD_JSON_MAX = 3, REFUSED_MAX = 30, FIELDS_MAX = 4096 };
static const int64_t minute_ns = 60000000000;

struct handler {
  char type[SESSION_TYPE_MAX + 1];
  unsigned scopes;
  mu_schema *schema;
  size_t fields_size;
  mu_instance *in;
  int (*message)(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message);
  void *self;
};

/* ---- registering ----------------------------------------------------------------------------- */

struct user {
  struct user *next;
  mu_instance *in;
};

static void handler_free(struct handler *handler)
{
  if (!handler)
    return;
  mu_schema_free(handler->schema);
  free(handler);
}

static void forget_handlers(struct server *server, mu_instance *in)
{
  size_t position = 0;
  struct mu_str type;
  for (struct handler *handler; (handler = mu_map_next(server->handlers, &position, &type));)
    if (handler->in == in) {
      mu_map_del(server->handlers, mu_str(handler->type));
      handler_free(handler);
    }
}

static void user_gone(void *context, mu_instance *in)
{
  struct server *server = context;
  forget_handlers(server, in);
  keeper_forget_user(server, in);
  auth_forget_user(server, in);
  for (struct user **at = &server->users; *at; at = &(*at)->next)
    if ((*at)->in == in) {
      struct user *user = *at;
      *at = user->next;
      free(user);
      return;
    }
}

int dispatch_user(struct server *server, mu_instance *in)
{
  if (in == server->in)
    return 0;
  for (struct user *user = server->users; user; user = user->next)
    if (user->in == in)
      return 0;
  struct user *user = calloc(1, sizeof *user);
  if (!user)
    return MU_ENOMEM;
  int result = mu_on_stop(server->in, in, user_gone, server);
  if (result != 0) {
    free(user);
    return result;
  }
  user->in = in;
  user->next = server->users;
  server->users = user;
  return 0;
}

/* Everything that is kept lies within the struct that it is kept in. */
static bool fields_fit(const struct mu_session_handler *handler)
{
  if (handler->fields_size > FIELDS_MAX || (handler->field_count > 0 && !handler->fields) ||
      (handler->field_count > 0 && handler->field_size == 0))
    return false;
  for (size_t i = 0; i < handler->field_count; i++) {
    struct mu_field field = {0};
    memcpy(&field, (const char *)handler->fields + i * handler->field_size,
           handler->field_size < sizeof field ? handler->field_size : sizeof field);
    if (field.offset != MU_FIELD_CHECK_ONLY && (handler->fields_size < sizeof(struct mu_json_value) ||
                                                field.offset > handler->fields_size - sizeof(struct mu_json_value)))
      return false;
  }
  return true;
}

int dispatch_handle(void *self, mu_instance *in, const struct mu_session_handler *given, void *handler_self)
{
  struct server *server = self;
  struct mu_session_handler own = {0};
  memcpy(&own, given, given->size < sizeof own ? given->size : sizeof own);
  struct mu_str type = mu_str(own.type);
  const unsigned all = MU_SESSION_NOBODY | MU_SESSION_AGENT | MU_SESSION_ADMIN;
  if (!codec_type_ok(type) || !own.message || !(own.scopes & all) || !fields_fit(&own)) {
    mu_log(in, MU_LOG_ERROR, "message type \"%s\": its description is wrong", own.type ? own.type : "");
    return MU_EINVAL;
  }
  const struct handler *taken = mu_map_get(server->handlers, type);
  if (taken) {
    mu_log(in, MU_LOG_ERROR, "message type \"%s\" of %s is taken by %s", own.type, mu_instance_name(in),
           mu_instance_name(taken->in));
    return MU_EEXIST;
  }
  struct handler *handler = calloc(1, sizeof *handler);
  if (!handler)
    return MU_ENOMEM;
  memcpy(handler->type, type.at, type.len);
  handler->scopes = own.scopes;
  handler->fields_size = own.fields_size;
  handler->in = in;
  handler->message = own.message;
  handler->self = handler_self;
  handler->schema = codec_schema(own.fields, own.field_count, own.field_size);
  int result = handler->schema ? dispatch_user(server, in) : MU_EINVAL;
  if (result == 0)
    result = mu_map_add(server->handlers, type, handler);
  if (result != 0)
    handler_free(handler);
  return result;
}

static int on_ping(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message)
{
  struct server *server = self;
  (void)message;
  int result = mu_conn_send(peer->conn, server->pong);
  return result == MU_ENOMEM ? result : 0;
}

static int on_pong(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message)
{
  (void)self;
  (void)peer;
  (void)message;
  return 0; /* any message says that it is there */
}

int dispatch_init(struct server *server)
{
  const unsigned both = MU_SESSION_AGENT | MU_SESSION_ADMIN;
  const struct {
    unsigned scopes;
    int (*message)(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message);
  } own[CODEC_TYPES] = {
      [CODEC_AUTH] = {MU_SESSION_NOBODY, auth_message},
      [CODEC_PING] = {both, on_ping},
      [CODEC_PONG] = {both, on_pong},
      [CODEC_INFO] = {MU_SESSION_AGENT, agents_info},
      [CODEC_HEARTBEAT] = {MU_SESSION_AGENT, agents_heartbeat},
      [CODEC_DATA] = {MU_SESSION_AGENT, agents_data},
  };
  server->handlers = mu_map_new();
  int result = server->handlers ? codec_init(&server->codec) : MU_ENOMEM;
  for (int i = 0; i < CODEC_TYPES && result == 0; i++) {
    const struct codec_table *table = &codec_tables[i];
    const struct mu_session_handler handler = {.size = sizeof handler,
                                               .type = table->type,
                                               .scopes = own[i].scopes,
                                               .fields = table->fields,
                                               .field_count = table->count,
                                               .field_size = sizeof(struct mu_field),
                                               .fields_size = table->size,
                                               .message = own[i].message};
    result = dispatch_handle(server, server->in, &handler, server);
  }
  return result;
}

void dispatch_fini(struct server *server)
{
  size_t position = 0;
  struct mu_str type;
  for (struct handler *handler; server->handlers && (handler = mu_map_next(server->handlers, &position, &type));)
    handler_free(handler);
  mu_map_free(server->handlers);
  while (server->users) {
    struct user *user = server->users;
    server->users = user->next;
    free(user);
  }
  codec_fini(&server->codec);
}

/* ---- a message ------------------------------------------------------------------------------- */

/* Over the rate: the message is answered, not processed; who goes on is closed. */
static int over_rate(struct link *link, mu_conn *conn, const char *type, int64_t wait_ns, int64_t now_ns)
{
  struct server *server = link->server;
  server_wrong(server, conn, server->rate_limited, "rate_limited", "more messages than allowed");
  if (link->refused == 0 || now_ns - link->refused_ns > minute_ns) {
    link->refused = 0;
    link->refused_ns = now_ns;
  }
  int result =
      server_error(conn, "rate_limited", "too many messages", type, (unsigned)((wait_ns + 999999999) / 1000000000));
  if (++link->refused >= REFUSED_MAX)
    mu_conn_close(conn, MU_CLOSE_RATE, "too many messages");
  return result == MU_ENOMEM ? result : 0;
}

static int wrong_place(struct link *link, mu_conn *conn, const char *type)
{
  struct server *server = link->server;
  const char *code, *message;
  if (strcmp(type, "auth") == 0) {
    code = "already_authenticated";
    message = link->pending ? "authentication is in progress" : "already authenticated";
  } else if (link->scope == MU_SESSION_NOBODY) {
    code = "not_authenticated";
    message = link->pending ? "authentication is in progress" : "authenticate first";
  } else {
    code = "forbidden";
    message = link->scope == MU_SESSION_AGENT ? "not for agents" : "not for admins";
  }
  server_wrong(server, conn, server->out_of_place, code, type);
  int result = server_error(conn, code, message, type, 0);
  return result == MU_ENOMEM ? result : 0;
}

static int bad_message(struct link *link, mu_conn *conn, struct mu_str text, const struct mu_json_error *error,
                       const char *type)
{
  struct server *server = link->server;
  char what[224];
  codec_error_text(error, what, sizeof what);
  int result;
  if (!codec_is_bad_json(text, error)) {
    server_wrong(server, conn, server->bad_fields, "bad_field", what);
    result = server_error(conn, "bad_field", what, type, 0);
    return result == MU_ENOMEM ? result : 0;
  }
  if (error->path[0]) /* a member came first, but the text is no JSON at all */
    snprintf(what, sizeof what, "not JSON");
  server_wrong(server, conn, server->bad_json, "bad_json", what);
  result = server_error(conn, "bad_json", error->code == MU_ETYPE ? "must be a JSON object" : what, NULL, 0);
  if (++link->bad_json >= BAD_JSON_MAX)
    mu_conn_close(conn, MU_CLOSE_POLICY, "not JSON, three times");
  return result == MU_ENOMEM ? result : 0;
}

static int unknown_type(struct link *link, mu_conn *conn, struct mu_str type)
{
  struct server *server = link->server;
  char known[SESSION_TYPE_MAX + 1] = "";
  if (codec_type_ok(type))
    memcpy(known, type.at, type.len); /* anything else is not said back */
  server_wrong(server, conn, server->unknown, "unknown_type", known);
  int result = server_error(conn, "unknown_type", "no such message type", known[0] ? known : NULL, 0);
  return result == MU_ENOMEM ? result : 0;
}

static int call(const struct handler *handler, struct link *link, mu_conn *conn, struct mu_str text)
{
  struct server *server = link->server;
  alignas(max_align_t) unsigned char fields[FIELDS_MAX];
  memset(fields, 0, handler->fields_size);
  struct mu_json_error error;
  int result = mu_json_scan(handler->schema, text.at, text.len, fields, &error);
  if (result != 0)
    return bad_message(link, conn, text, &error, handler->type);
  const struct mu_session_peer peer = {.size = sizeof peer,
                                       .conn = conn,
                                       .scope = link->scope,
                                       .principal = link->scope == MU_SESSION_NOBODY ? NULL : mu_conn_principal(conn),
                                       .machine = link->scope == MU_SESSION_AGENT ? link->machine : NULL};
  const struct mu_session_message message = {
      .size = sizeof message, .text = text, .fields = handler->fields_size ? fields : NULL};
  mu_conn_id id = link->conn;
  result = handler->message(handler->self, &peer, &message);
  if (result >= 0)
    return 0;
  mu_count(server->failed, 1);
  mu_log_limited(server->in, MU_LOG_WARN, "handler", "message \"%s\" from %s: the handler of %s failed: %s",
                 handler->type, mu_conn_peer(conn), mu_instance_name(handler->in), mu_strerror(result));
  conn = mu_conn_find(server->in, id);
  if (conn)
    server_error(conn, "internal", "the message could not be processed", handler->type, 0);
  return 0;
}

int dispatch_message(struct link *link, mu_conn *conn, struct mu_str text)
{
  struct server *server = link->server;
  int64_t now_ns = mu_mono_ns();
  struct mu_str type = codec_peek(text);
  const struct handler *handler = type.len ? mu_map_get(server->handlers, type) : NULL;
  /* Reports have a rate of their own, so that a full one leaves room for everything else. */
  bool report = handler && handler->message == agents_data && link->scope == MU_SESSION_AGENT;
  struct bucket *bucket = report ? &link->reports : &link->messages;
  int64_t rate = report ? server->config->reports_per_minute : server->config->messages_per_minute;
  int64_t wait_ns = bucket_wait(bucket, rate, now_ns);
  if (wait_ns > 0 && report)
    keeper_gap(link);
  if (wait_ns > 0)
    return over_rate(link, conn, handler ? handler->type : NULL, wait_ns, now_ns);
  bucket_take(bucket, rate, now_ns);
  if (!handler) {
    struct mu_json_error error;
    struct mu_buf scratch = MU_BUF_INIT;
    int result = codec_read_type(&server->codec, text, &type, &scratch, &error);
    handler = result == 0 ? mu_map_get(server->handlers, type) : NULL;
    if (result != 0)
      result = bad_message(link, conn, text, &error, NULL);
    else if (!handler)
      result = unknown_type(link, conn, type);
    mu_buf_free(&scratch);
    if (!handler)
      return result;
  }
  if (!(handler->scopes & (unsigned)link->scope) || (link->pending && link->scope == MU_SESSION_NOBODY)) {
    struct mu_json_error error;
    return mu_json_scan(NULL, text.at, text.len, NULL, &error) == 0 ? wrong_place(link, conn, handler->type)
                                                                    : bad_message(link, conn, text, &error, NULL);
  }
  return call(handler, link, conn, text);
}

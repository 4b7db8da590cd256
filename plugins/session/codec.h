/* SPDX-License-Identifier: ISC */
/* The messages of the protocol: their members, the peek at their type, texts made of them. No input or output here. */
#ifndef SESSION_CODEC_H
#define SESSION_CODEC_H

#include <muster/muster.h>

enum {
  SESSION_TYPE_MAX = 31,
  SESSION_BOOT_MAX = 64,
  SESSION_ID_MAX = 128,
  SESSION_TEXT_MAX = 64, /* of ip, ram and cpu, which may be a number or a text */
  SESSION_COLLECTORS_MAX = 4096,
  SESSION_MESSAGE_MAX = 65536,
};

/* A message without members of interest. */
struct plain_fields {
  struct mu_json_value timestamp;
};

struct auth_fields {
  struct mu_json_value api_key, session_token, machine_id, name, scope;
};

struct info_fields {
  struct mu_json_value ip, ram, cpu, hostname, os, arch, kernel, agent_version, collectors, name, is_public;
};

struct data_fields {
  struct mu_json_value boot, seq, timestamp, metrics;
};

/* A field table as a struct mu_session_handler has it. */
struct codec_table {
  const char *type;
  const struct mu_field *fields;
  size_t count;
  size_t size; /* of the struct */
};

enum codec_type { CODEC_AUTH, CODEC_PING, CODEC_PONG, CODEC_INFO, CODEC_HEARTBEAT, CODEC_DATA, CODEC_TYPES };
extern const struct codec_table codec_tables[CODEC_TYPES];

struct codec {
  mu_schema *type; /* of messages whose type is not known yet */
};

int codec_init(struct codec *codec);
void codec_fini(struct codec *codec);

/* A table with the member "type" added. NULL: memory, or it contradicts itself. */
mu_schema *codec_schema(const struct mu_field *fields, size_t count, size_t field_size);

/* The type when it is the first member and plain; empty: read the whole text to see. */
struct mu_str codec_peek(struct mu_str text);
/* [a-z][a-z0-9_]*, 1 to 31 characters. */
bool codec_type_ok(struct mu_str type);
/* Reads a text for its type alone: 0, or the scan's error. A type with escapes is resolved into `scratch`. */
int codec_read_type(const struct codec *codec, struct mu_str text, struct mu_str *type, struct mu_buf *scratch,
                    struct mu_json_error *error);
/* Whether the error is the text's, not one member's: no JSON, or no object. */
bool codec_is_bad_json(struct mu_str text, const struct mu_json_error *error);
/* "ram must be a number"; `out` of 224 bytes is enough. */
void codec_error_text(const struct mu_json_error *error, char *out, size_t room);

/* A string's value; resolved into `scratch` where it has escapes. Empty for anything else. */
struct mu_str codec_string(const struct mu_json_value *value, struct mu_buf *scratch);
/* 1 to `max` characters [A-Za-z0-9._:-]. */
bool codec_id_ok(struct mu_str id, size_t max);

/* What the tables cannot say. 0 or an error with the member in it. */
int codec_check_auth(const struct auth_fields *auth, struct mu_json_error *error);
int codec_check_info(const struct info_fields *info, struct mu_json_error *error);
int codec_check_data(const struct data_fields *data, struct mu_json_error *error);

/* The machine's facts, values as sent: always ip, ram, cpu, hostname and os, then those that came. NULL: memory. */
mu_text *codec_facts(const struct info_fields *info);

/* The canonical metrics of a `metrics` member: collectors that are no objects are left out. 0 or an error. */
int codec_metrics(const char *text, size_t len, struct json_object **metrics);
/* Whether a `metrics` member that the scan has accepted is canonical as it came: every collector is an object. */
bool codec_is_canonical(struct mu_str metrics);

#endif

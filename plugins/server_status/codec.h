/* SPDX-License-Identifier: ISC */
/* Reading reports of both forms: one strict pass that validates and finds what is needed. Pure; any thread. */
#ifndef SERVER_STATUS_CODEC_H
#define SERVER_STATUS_CODEC_H

#include <muster/json.h>
#include <muster/machines.h>

/* Longest texts as written in a report, without the quotes. */
enum { STATUS_TEXT_MAX = 256, STATUS_PATH_MAX = 4096 };

enum status_kind { STATUS_DOCUMENTED, STATUS_DEPLOYED, STATUS_KINDS };

struct status_codec {
  mu_schema *forms[STATUS_KINDS];
  mu_schema *probe; /* which form a text has that fits neither */
  mu_schema *page;  /* what a page sends */
};

/* What one pass found; points into the text. Kind MU_JSON_NONE: was not there. */
struct status_reading {
  enum status_kind kind;
  struct mu_json_value id; /* documented only: a deployed agent's is empty */
  struct mu_json_value name;
  struct mu_json_value group;
  struct mu_json_value country;
  struct mu_json_value location;
  struct mu_json_value ip;
  /* Members that tell the forms apart. */
  struct mu_json_value cpu, memory, cpu_info, memory_info;
  /* Differences of unsigned counters: the released agent wraps them around below zero. */
  struct mu_json_value wrapping[3];
  struct mu_json_value type; /* of what a page sends */
};

/* The tables, for tests that walk every field. */
extern const struct mu_field *const status_fields[STATUS_KINDS];
extern const size_t status_field_counts[STATUS_KINDS];

/* 0 or MU_ENOMEM. */
int status_codec_init(struct status_codec *codec);
void status_codec_fini(struct status_codec *codec);

/*
 * Reads a report. `hint`: the form that is tried first (that of the same agent's last report); the result does not
 * depend on it. 0 or an error with the field's name in `error`.
 */
int status_read(const struct status_codec *codec, enum status_kind hint, const char *text, size_t len,
                struct status_reading *reading, struct mu_json_error *error);

/* The value of a string, escapes resolved into `scratch` where there are any; empty when absent. */
struct mu_str status_string(const struct mu_json_value *value, struct mu_buf *scratch);

/* 0, MU_EIDENTITY when the report names another machine than `id`, or MU_ENOMEM. */
int status_identity(const struct status_reading *reading, struct mu_str id);

/*
 * The text as it is kept and shown: what the configuration fixes is put in, the address is taken out unless `show_ip`.
 * `machine` NULL: nothing is fixed. A new text, or NULL when memory is out.
 */
mu_text *status_keep(const struct status_reading *reading, struct mu_str text, const struct mu_machine *machine,
                     bool show_ip);

/* Whether a page's message asks for a pong. 0, 1, or the scan's error. */
int status_page_ping(const struct status_codec *codec, const char *text, size_t len, struct mu_json_error *error);

#endif

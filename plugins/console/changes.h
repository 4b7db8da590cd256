/* SPDX-License-Identifier: ISC */
/* What changed between two views of a machine, as a JSON merge patch (RFC 7386). Pure. */
#ifndef CONSOLE_CHANGES_H
#define CONSOLE_CHANGES_H

#include <muster/base.h>

struct json_object;

/* The members that are texts. */
enum view_text { VIEW_ID, VIEW_NAME, VIEW_GROUP, VIEW_COUNTRY, VIEW_LOCATION, VIEW_OWNER, VIEW_TEXTS };
extern const char *const view_names[VIEW_TEXTS];

/* Borrowed texts, or one's own copies: see view_keep(). */
struct view {
  const char *texts[VIEW_TEXTS];
  bool is_public;
  bool online;
  int64_t seen_ms;
  struct json_object *metrics; /* {collector: {metric: value}}; NULL: none */
};

/* Makes `kept` equal to `view`: copies of its texts, and a reference of its metrics. 0, or MU_ENOMEM and `kept` is as it was. */
int view_keep(struct view *kept, const struct view *view);
void view_free(struct view *kept);
/* Appends the patch that makes `to` of `from`, "{…}". False: nothing changed, and nothing was appended. */
bool view_patch(struct mu_buf *out, const struct view *from, const struct view *to);
/* The metrics' part of it; one of them may be NULL. */
bool metrics_patch(struct mu_buf *out, struct json_object *from, struct json_object *to);

#endif

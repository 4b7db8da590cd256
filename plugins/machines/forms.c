/* SPDX-License-Identifier: ISC */
/* Forms of a report: made when somebody asks, once per report, and kept until the next. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "registry.h"

static struct mu_form *find(struct registry *registry, const char *name)
{
  for (size_t i = 0; i < registry->form_count; i++)
    if (strcmp(registry->forms[i]->name, name) == 0)
      return registry->forms[i];
  return NULL;
}

const mu_form *form_add(struct registry *registry, mu_instance *in, const struct mu_form_ops *ops, void *self)
{
  size_t length = strlen(ops->name);
  struct mu_form *form = find(registry, ops->name);
  if ((form && form->in) || length == 0 || length >= sizeof form->name)
    return NULL;
  if (registry_user(registry, in) != 0)
    return NULL;
  if (!form) {
    struct mu_form **forms = reallocarray(registry->forms, registry->form_count + 1, sizeof(struct mu_form *));
    if (!forms)
      return NULL;
    registry->forms = forms;
    form = calloc(1, sizeof *form);
    if (!form)
      return NULL;
    form->registry = registry;
    form->index = registry->form_count;
    memcpy(form->name, ops->name, length + 1);
    forms[registry->form_count++] = form;
  }
  /* The same object when a plugin comes back: reports that came in this form can be read again. */
  memset(&form->ops, 0, sizeof form->ops);
  memcpy(&form->ops, ops, ops->size < sizeof form->ops ? ops->size : sizeof form->ops);
  form->ops.name = form->name;
  form->self = self;
  form->in = in;
  return form;
}

const mu_form *form_find(struct registry *registry, const char *name)
{
  return find(registry, name);
}

static struct made *slot(struct record *record, const struct mu_form *form)
{
  if (form->index >= record->made_count) {
    size_t count = record->registry->form_count;
    struct made *made = reallocarray(record->made, count, sizeof *made);
    if (!made)
      return NULL;
    memset(made + record->made_count, 0, (count - record->made_count) * sizeof *made);
    record->made = made;
    record->made_count = count;
  }
  return &record->made[form->index];
}

mu_text *form_text(struct record *record, const mu_form *form)
{
  if (!form || form->registry != record->registry)
    return NULL;
  if (record->pub.form == form && record->pub.text)
    return record->pub.text;
  if (!form->ops.render || (!record->pub.text && !form->ops.depends_on_state))
    return NULL;
  struct made *made = slot(record, form);
  if (!made)
    return NULL;
  uint64_t of = (form->ops.depends_on_state ? record->pub.version : record->pub.reports) + 1;
  if (made->of == of)
    return made->text;
  mu_text *text = NULL;
  int result = form->ops.render(form->self, &record->pub, &text);
  if (result != 0 || !text) {
    mu_text_unref(text);
    text = NULL;
    mu_count(record->registry->failed, 1);
    mu_log_limited(record->registry->in, MU_LOG_WARN, "form", "machine \"%s\" could not be put into the form %s: %s",
                   record->pub.id, form->name, mu_strerror(result));
  }
  made = slot(record, form); /* render() may have asked for other forms */
  if (!made) {
    mu_text_unref(text);
    return NULL;
  }
  mu_text_unref(made->text);
  made->text = text;
  made->of = of; /* a failure too is remembered: once per report */
  return text;
}

struct json_object *form_metrics(struct record *record)
{
  const struct mu_form *form = record->pub.form;
  if (!record->pub.text || !form || !form->ops.to_metrics)
    return NULL;
  uint64_t of = record->pub.reports + 1;
  if (record->metrics_of == of)
    return record->metrics;
  struct json_object *metrics = NULL;
  int result = form->ops.to_metrics(form->self, &record->pub, &metrics);
  if (result != 0) {
    json_object_put(metrics);
    metrics = NULL;
    mu_count(record->registry->failed, 1);
    mu_log_limited(record->registry->in, MU_LOG_WARN, "form",
                   "the report of machine \"%s\" could not be read as %s: %s", record->pub.id, form->name,
                   mu_strerror(result));
  }
  json_object_put(record->metrics);
  record->metrics = metrics;
  record->metrics_of = of;
  return metrics;
}

void form_drop(struct record *record)
{
  for (size_t i = 0; i < record->made_count; i++) {
    mu_text_unref(record->made[i].text);
    record->made[i] = (struct made){0};
  }
  json_object_put(record->metrics);
  record->metrics = NULL;
  record->metrics_of = 0;
}

void form_end(struct registry *registry, mu_instance *in)
{
  for (size_t i = 0; i < registry->form_count; i++) {
    struct mu_form *form = registry->forms[i];
    if (form->in != in)
      continue;
    form->in = NULL;
    form->self = NULL;
    memset(&form->ops, 0, sizeof form->ops);
    for (size_t j = 0; j < registry->all.count; j++) {
      struct record *record = registry->all.items[j];
      if (form->index < record->made_count) {
        mu_text_unref(record->made[form->index].text);
        record->made[form->index] = (struct made){0};
      }
    }
  }
}

void form_free_all(struct registry *registry)
{
  for (size_t i = 0; i < registry->form_count; i++)
    free(registry->forms[i]);
  free(registry->forms);
}

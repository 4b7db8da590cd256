/* SPDX-License-Identifier: ISC */
/**
 * @file rest.h
 * REST APIs from tables. Loop thread only.
 *
 * A plugin declares its routes and their fields once. From the tables the core makes routing, access, limits, checks with an error for
 * each bad field, and the description at /api/openapi.json. Handlers see only what passed.
 *
 * Errors are {"error":{"code","message","details"?,"timestamp","requestId"}}. Bodies are JSON objects; what fails the strict scan of json.h is
 * 400 INVALID_JSON, what fails the table 400 VALIDATION_ERROR. Texts come in English or, by Accept-Language, in Chinese.
 */
#ifndef MUSTER_REST_H
#define MUSTER_REST_H

#include <muster/http.h>

enum mu_rest_type {
  MU_REST_ANY,
  MU_REST_STRING,
  MU_REST_INTEGER,
  MU_REST_NUMBER,
  MU_REST_BOOLEAN,
  MU_REST_TIME, /**< ISO 8601, or a number of Unix seconds; a handler gets an integer, Unix milliseconds */
  MU_REST_OBJECT,
  MU_REST_ARRAY,
};

enum mu_rest_flag {
  MU_REST_REQUIRED = 1,
  MU_REST_NULLABLE = 2,
  MU_REST_SECRET = 4, /**< a password: written so in the description */
};

struct mu_rest_field;

struct mu_rest_fields {
  const struct mu_rest_field *table;
  size_t count;
};
#define MU_REST_FIELDS(array)                                                                                          \
  {                                                                                                                    \
    (array), MU_COUNT(array)                                                                                           \
  }

/** One member of a body, one parameter of a query, or one member of an answer. */
struct mu_rest_field {
  const char *name;
  /** Another spelling that clients use, or NULL; handlers see `name`. */
  const char *also;
  enum mu_rest_type type;
  unsigned flags;
  /** Inclusive; both 0: none. Numbers: the value. Strings: Unicode characters. Arrays: items. */
  double min;
  double max;
  /** MU_REST_STRING: the words allowed, ended by NULL; NULL: any. */
  const char *const *one_of;
  /** MU_REST_STRING: a POSIX extended regular expression for the whole string, and what to say of others. */
  const char *pattern;
  struct mu_words pattern_words;
  /** MU_REST_STRING: what a pattern cannot say: false, with `why`. May be NULL. */
  bool (*check)(struct mu_str value, struct mu_words *why);
  /** MU_REST_OBJECT: its members; MU_REST_ARRAY of objects: those of each item. None: anything. */
  struct mu_rest_fields fields;
  /** MU_REST_ARRAY of other things than objects: their type. */
  enum mu_rest_type item;
  /** One line, for the description. */
  const char *help;
  /** Instead of the core's own words for a missing value, a wrong type or a length; NULL: the core's. */
  struct mu_words words;
  /** The error's code when this is the first field that is wrong; NULL: VALIDATION_ERROR. */
  const char *code;
};

/** How a route words its errors: released clients differ. */
enum mu_rest_errors {
  MU_REST_ERRORS_FULL,  /**< {"error":{"code","message","details"?,"timestamp","requestId"}} */
  MU_REST_ERRORS_SHORT, /**< {"error":{"code","message"}} */
  MU_REST_ERRORS_TEXT,  /**< {"error":"message"} */
};

/** At most `count` requests per address in `window_s`; routes with the same `name` count together. 429 RATE_LIMIT_EXCEEDED beyond. */
struct mu_rest_rate {
  const char *name;
  unsigned count;
  unsigned window_s;
};

/** Make them with MU_REST(): a route without an access rule does not compile. */
struct mu_rest_route {
  enum mu_http_method method;
  /** "/api/endpoints/:id/stats"; a parameter is one segment, a last one ":name+" all that is left. A literal segment beats a parameter. */
  const char *path;
  enum mu_access access;
  int (*handle)(void *self, mu_http *request);
  /** One line, for the description. */
  const char *summary;
  /**
   * What the path's first parameter names and the caller must own: "endpoint". The handler sees to it; the description and the test of all
   * routes against all roles read it here. NULL: nothing of the kind.
   */
  const char *owner;
  /** An empty value is no value. */
  struct mu_rest_fields query;
  struct mu_rest_fields body;
  /** Of the answer, when it is an object (or `answer_array`: of each item). None: no JSON object, or anything. */
  struct mu_rest_fields answer;
  bool answer_array;
  /** Status of success; 0: 200. */
  int status;
  /** Longest body; 0: 100 kB for routes with body fields. Others take 1 kB of JSON and ignore it, since clients send "{}" where nothing is asked. */
  size_t max_body;
  enum mu_rest_errors errors;
  struct mu_rest_rate rate;
};

/** MU_REST(GET, "/api/endpoints/:id", USER, on_get, .summary = …): the third is PUBLIC, USER or ADMIN. */
#define MU_REST(method_, path_, access_, handle_, ...)                                                                 \
  {                                                                                                                    \
    .method = MU_HTTP_##method_, .path = (path_), .access = MU_ACCESS_##access_, .handle = (handle_), __VA_ARGS__      \
  }

/** A plugin's routes. Growth-only; the tables must stay valid. */
struct mu_rest_api {
  size_t size;
  const char *title;
  const struct mu_rest_route *routes;
  size_t count;
  size_t route_size; /**< sizeof(struct mu_rest_route) */
  size_t field_size; /**< sizeof(struct mu_rest_field) */
};

/** Claims the routes. MU_EEXIST: one is taken, and the log names both. MU_EINVAL: a table contradicts itself (logged). Call from init. */
MU_API int mu_rest_serve(mu_instance *in, const struct mu_rest_api *api, void *self);

/* ---- inside a handler, and until the request is answered ---- */

/** A segment of the path, decoded. Empty when the route has no such parameter. */
MU_API struct mu_str mu_rest_param(const mu_http *request, const char *name);
/** A member of the body or a parameter of the query, by its `name` in the table, of the declared type; NULL: absent or null. Borrowed. */
MU_API struct json_object *mu_rest_value(const mu_http *request, const char *name);
/** The same as text; NULL: absent, null or no string. Valid as long as the request. */
MU_API const char *mu_rest_text(const mu_http *request, const char *name);
/** Integers, times and booleans; `otherwise` when it is absent or null. */
MU_API int64_t mu_rest_int(const mu_http *request, const char *name, int64_t otherwise);
/** Whether it is there at all, be it null. */
MU_API bool mu_rest_given(const mu_http *request, const char *name);
/** "en" or "zh". */
MU_API const char *mu_rest_language(const mu_http *request);
/** The one of the two that the client reads. */
MU_API const char *mu_rest_words(const mu_http *request, struct mu_words words);

/** Ends the request with a JSON body; takes `body` (NULL: 500). */
MU_API int mu_rest_answer(mu_http *request, int status, struct json_object *body);
/** Ends the request with an error in the route's form. */
MU_API int mu_rest_error(mu_http *request, int status, const char *code, struct mu_words words);
/** Ends the request with 400 VALIDATION_ERROR for one field that the table could not judge. */
MU_API int mu_rest_invalid(mu_http *request, const char *field, struct mu_words words);

/** Unix milliseconds as "2026-11-21T07:47:22.328Z", 24 characters and a NUL. */
MU_API void mu_iso_time(int64_t unix_ms, char out[25]);
/** The time of an ISO 8601 text with a zone. False: it is none. */
MU_API bool mu_iso_parse(struct mu_str text, int64_t *unix_ms);

#endif

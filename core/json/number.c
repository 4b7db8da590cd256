/* SPDX-License-Identifier: ISC */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "json/number.h"

__extension__ typedef unsigned __int128 wide;

enum {
  DIGITS_EXACT = 19,   /* any so many digits fit into 64 bits */
  POWER_EXACT = 27,    /* 5^27 is the last power that fits into 63 bits */
  DIGITS_NEEDED = 770, /* no double needs more to be rounded rightly; what follows can only break a tie */
  EXPONENT_CLAMP = 99999,
};

/* A literal taken apart: `digits` significant ones in `mantissa`, unless `more` were left out. */
struct literal {
  const char *first, *point, *last; /* digits are [first, last) but for the point */
  uint64_t mantissa;
  unsigned digits;
  uint64_t more;
  int64_t exponent; /* of the last digit written */
  bool negative;
};

static inline bool is_digit(const char *at, const char *end)
{
  return at < end && (unsigned char)(*at - '0') < 10;
}

/* mantissa × 10^power, rounded once. */
static double scale(uint64_t mantissa, int power)
{
  static const uint64_t fives[POWER_EXACT + 1] = {1u,
                                                  5u,
                                                  25u,
                                                  125u,
                                                  625u,
                                                  3125u,
                                                  15625u,
                                                  78125u,
                                                  390625u,
                                                  1953125u,
                                                  9765625u,
                                                  48828125u,
                                                  244140625u,
                                                  1220703125u,
                                                  6103515625u,
                                                  30517578125u,
                                                  152587890625u,
                                                  762939453125u,
                                                  3814697265625u,
                                                  19073486328125u,
                                                  95367431640625u,
                                                  476837158203125u,
                                                  2384185791015625u,
                                                  11920928955078125u,
                                                  59604644775390625u,
                                                  298023223876953125u,
                                                  1490116119384765625u,
                                                  7450580596923828125u};
  if (mantissa == 0)
    return 0;
  if (power < 0) {
    uint64_t divisor = fives[-power];
    int m = __builtin_clzll(mantissa);
    int d = __builtin_clzll(divisor);
    wide numerator = (wide)(mantissa << m) << 63;
    divisor <<= d;
    uint64_t quotient = (uint64_t)(numerator / divisor); /* 63 or 64 bits: ten more than a double has */
    quotient |= numerator % divisor != 0;                /* so the lowest one can stand for the rest */
    return ldexp((double)quotient, d - m - 63 + power);
  }
  wide product = (wide)mantissa * fives[power];
  uint64_t high = (uint64_t)(product >> 64);
  if (high == 0)
    return ldexp((double)(uint64_t)product, power);
  int shift = 64 - __builtin_clzll(high);
  uint64_t top = (uint64_t)(product >> shift);
  top |= (product & (((wide)1 << shift) - 1)) != 0;
  return ldexp((double)top, shift + power);
}

/* Long or far from 1: the digits as one integer, then the C library, which sees no decimal point of any locale. */
static double convert(const struct literal *lit)
{
  char text[DIGITS_NEEDED + 32];
  size_t len = 0;
  int64_t exponent = lit->exponent;
  bool rest = false;
  for (const char *p = lit->first; p < lit->last; p++) {
    if (p == lit->point || (len == 0 && *p == '0'))
      continue;
    if (len < DIGITS_NEEDED) {
      text[len++] = *p;
    } else {
      rest = rest || *p != '0';
      exponent++;
    }
  }
  if (rest) {
    text[len++] = '1';
    exponent--;
  }
  if (exponent > EXPONENT_CLAMP)
    exponent = EXPONENT_CLAMP;
  if (exponent < -EXPONENT_CLAMP)
    exponent = -EXPONENT_CLAMP;
  snprintf(text + len, sizeof text - len, "e%d", (int)exponent);
  return strtod(text, NULL);
}

static int integer(const struct literal *lit, struct mui_json_number *out)
{
  uint64_t value = lit->mantissa;
  if (lit->more == 1) { /* 20 digits: may still be a uint64 */
    unsigned last = (unsigned)(lit->last[-1] - '0');
    if (value > (UINT64_MAX - last) / 10)
      return MU_ERANGE;
    value = value * 10 + last;
  } else if (lit->more > 1) {
    return MU_ERANGE;
  }
  if (lit->negative) {
    if (value > (uint64_t)INT64_MAX + 1)
      return MU_ERANGE;
    out->whole = true;
    out->integer = (int64_t)(0 - value);
    out->number = (double)out->integer;
    return 0;
  }
  out->whole = value <= INT64_MAX;
  out->integer = out->whole ? (int64_t)value : 0;
  out->number = (double)value;
  return 0;
}

static void take_digit(struct literal *lit, char c)
{
  if (lit->digits < DIGITS_EXACT) {
    lit->mantissa = lit->mantissa * 10 + (unsigned)(c - '0');
    lit->digits += lit->mantissa != 0;
  } else {
    lit->more++;
  }
}

int mui_json_number(const char **at, const char *end, bool need_value, struct mui_json_number *out)
{
  const char *p = *at;
  struct literal lit = {.negative = *p == '-'};
  int64_t exponent = 0;
  bool fraction = false;
  *out = (struct mui_json_number){0};
  p += lit.negative;
  lit.first = p;
  if (!is_digit(p, end))
    goto syntax;
  if (*p == '0')
    p++;
  else
    for (; is_digit(p, end); p++)
      take_digit(&lit, *p);
  if (is_digit(p, end))
    goto syntax; /* a leading zero */
  lit.last = p;
  if (p < end && *p == '.') {
    fraction = true;
    lit.point = p++;
    if (!is_digit(p, end))
      goto syntax;
    for (; is_digit(p, end); p++)
      take_digit(&lit, *p);
    lit.last = p;
    exponent = -(p - lit.point - 1);
  }
  if (p < end && (*p == 'e' || *p == 'E')) {
    fraction = true;
    p++;
    bool minus = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
      p++;
    if (!is_digit(p, end))
      goto syntax;
    int64_t written = 0;
    for (; is_digit(p, end); p++)
      if (written < INT64_C(100000000000000)) /* a text of 4 GiB cannot make up for that */
        written = written * 10 + (*p - '0');
    exponent += minus ? -written : written;
  }
  *at = p;
  if (!fraction)
    return integer(&lit, out);
  lit.exponent = exponent;
  if (lit.more == 0 && exponent >= -POWER_EXACT && exponent <= POWER_EXACT)
    out->number = scale(lit.mantissa, (int)exponent);
  else if (need_value || exponent + (int64_t)lit.digits + (int64_t)lit.more > 300)
    out->number = lit.digits ? convert(&lit) : 0;
  if (lit.negative)
    out->number = -out->number;
  return isfinite(out->number) ? 0 : MU_ERANGE;
syntax:
  *at = p;
  return MU_ESYNTAX;
}

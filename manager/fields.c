/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/fields.h"

#include "base/bytes.h"
#include "base/num.h"

#include <stdio.h>

static const struct field *find(const struct field *fields, const char *name, unsigned *index)
{
    for (unsigned i = 0; fields[i].name != NULL; i++)
        if (strcmp(fields[i].name, name) == 0) {
            *index = i;
            return &fields[i];
        }
    return NULL;
}

uint64_t fields_bit(const struct field *fields, const char *name)
{
    unsigned i;
    return find(fields, name, &i) ? (uint64_t)1 << i : 0;
}

static bool wrong(struct refusal *why, const char *what, const struct field *f, const char *wanted)
{
    return refuse(why, 400, "invalid_schema", "%s%s%s: %s is expected", what, *what ? "." : "",
                  f->name, wanted);
}

static bool read_string(const struct field *f, const json_t *v, char *out, const char *what,
                        struct refusal *why)
{
    char wanted[96];
    size_t n = json_string_length(v);
    const char *s = json_string_value(v);
    if (s == NULL)
        return wrong(why, what, f, "a string");
    if (n < f->min || n > f->max) {
        snprintf(wanted, sizeof wanted, "a string of %llu to %llu bytes",
                 (unsigned long long)f->min, (unsigned long long)f->max);
        return wrong(why, what, f, wanted);
    }
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            return wrong(why, what, f, "a string without control characters");
    memcpy(out, s, n);
    out[n] = 0;
    return true;
}

/* Numbers may also come as strings of digits: other products' tools send uids so. */
static bool number_of(const json_t *v, json_int_t *out)
{
    int64_t n;
    if (json_is_integer(v)) {
        *out = json_integer_value(v);
        return true;
    }
    if (!json_is_string(v) ||
        !num_parse_i64(bytes_of(json_string_value(v), json_string_length(v)), &n))
        return false;
    *out = n;
    return true;
}

static bool read_number(const struct field *f, const json_t *v, void *out, const char *what,
                        struct refusal *why)
{
    char wanted[96];
    json_int_t n;
    if (f->kind == FIELD_SIZE && json_is_string(v) && strcmp(json_string_value(v), "auto") == 0)
        n = 0;
    else if (!number_of(v, &n))
        return wrong(why, what, f, "an integer");
    if (f->kind == FIELD_BITS || f->kind == FIELD_I64) {
        memcpy(out, &(int64_t){n}, sizeof(int64_t));
        return true;
    }
    if (n < 0 || (uint64_t)n < f->min || (uint64_t)n > f->max) {
        snprintf(wanted, sizeof wanted, "an integer from %llu to %llu", (unsigned long long)f->min,
                 (unsigned long long)f->max);
        return wrong(why, what, f, wanted);
    }
    if (f->kind == FIELD_U16)
        memcpy(out, &(uint16_t){(uint16_t)n}, sizeof(uint16_t));
    else if (f->kind == FIELD_U32)
        memcpy(out, &(uint32_t){(uint32_t)n}, sizeof(uint32_t));
    else
        memcpy(out, &(uint64_t){(uint64_t)n}, sizeof(uint64_t));
    return true;
}

static bool read_fixed(const struct field *f, const json_t *v, const char *what,
                       struct refusal *why)
{
    json_t *only = json_loads(f->fixed, JSON_DECODE_ANY, NULL);
    bool same = json_equal(only, v) != 0, type = json_typeof(only) == json_typeof(v) ||
                                                 (json_is_boolean(only) && json_is_boolean(v));
    json_decref(only);
    if (same)
        return true;
    if (!type)
        return wrong(why, what, f, f->fixed);
    return refuse(why, 406, "not_supported", "%s%s%s: only %s is possible in this release", what,
                  *what ? "." : "", f->name, f->fixed);
}

static bool read_choice(const struct field *f, const json_t *v, void *out, const char *what,
                        struct refusal *why)
{
    char wanted[256] = "one of ";
    const char *s = json_string_value(v);
    for (uint32_t i = 0; f->choices[i] != NULL; i++) {
        if (s != NULL && strcmp(s, f->choices[i]) == 0) {
            memcpy(out, &i, sizeof i);
            return true;
        }
        size_t n = strlen(wanted);
        snprintf(wanted + n, sizeof wanted - n, "%s\"%s\"", i > 0 ? ", " : "", f->choices[i]);
    }
    return wrong(why, what, f, wanted);
}

static bool read_value(const struct field *f, const json_t *v, void *out, const char *what,
                       struct refusal *why)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s%s", what, *what ? "." : "", f->name);
    return f->value->read(v, out, name, why);
}

static bool read_one(const struct field *f, json_t *v, char *out, const char *what,
                     struct refusal *why)
{
    switch (f->kind) {
    case FIELD_STRING:
        return read_string(f, v, out, what, why);
    case FIELD_BOOL:
        if (!json_is_boolean(v))
            return wrong(why, what, f, "true or false");
        *(bool *)(void *)out = json_is_true(v);
        return true;
    case FIELD_CHOICE:
        return read_choice(f, v, out, what, why);
    case FIELD_VALUE:
        return read_value(f, v, out, what, why);
    case FIELD_JSON:
        memcpy(out, &v, sizeof v);
        return true;
    case FIELD_FIXED:
        return read_fixed(f, v, what, why);
    case FIELD_IGNORED:
        return true;
    default:
        return read_number(f, v, out, what, why);
    }
}

bool fields_read(const json_t *object, const struct field *fields, void *out, uint64_t *set,
                 const char *what, struct refusal *why)
{
    union { /* jansson iterates const objects only through a cast */
        const json_t *in;
        json_t *out;
    } o = {.in = object};
    if (set != NULL)
        *set = 0;
    if (!json_is_object(object))
        return refuse(why, 400, "invalid_schema", "%s: an object is expected",
                      *what ? what : "body");
    for (void *it = json_object_iter(o.out); it != NULL; it = json_object_iter_next(o.out, it)) {
        unsigned i;
        const char *name = json_object_iter_key(it);
        const struct field *f = find(fields, name, &i);
        if (f == NULL)
            return refuse(why, 400, "unknown_field", "%s%s%.64s: unknown field", what,
                          *what ? "." : "", name);
        if (!read_one(f, json_object_iter_value(it), (char *)out + f->offset, what, why))
            return false;
        if (set != NULL)
            *set |= (uint64_t)1 << i;
    }
    return true;
}

static json_t *value_of(const struct field *f, const char *in)
{
    uint16_t u16;
    uint32_t u32;
    int64_t i64;
    switch (f->kind) {
    case FIELD_STRING:
        return *in ? json_string(in) : NULL;
    case FIELD_BOOL:
        return json_boolean(*(const bool *)(const void *)in);
    case FIELD_CHOICE:
        memcpy(&u32, in, sizeof u32);
        return json_string(f->choices[u32]);
    case FIELD_VALUE:
        return f->value->write(in);
    case FIELD_U16:
        memcpy(&u16, in, sizeof u16);
        return json_integer(u16);
    case FIELD_U32:
        memcpy(&u32, in, sizeof u32);
        return json_integer(u32);
    case FIELD_U64:
    case FIELD_SIZE:
    case FIELD_BITS:
    case FIELD_I64:
        memcpy(&i64, in, sizeof i64);
        return json_integer(i64);
    default:
        return NULL;
    }
}

void fields_write_set(json_t *object, const struct field *fields, const void *in, uint64_t set)
{
    for (unsigned i = 0; fields[i].name != NULL; i++) {
        const struct field *f = &fields[i];
        json_t *v = set >> i & 1 ? value_of(f, (const char *)in + f->offset) : NULL;
        if (v != NULL)
            json_object_set_new(object, f->name, v);
    }
}

void fields_write(json_t *object, const struct field *fields, const void *in)
{
    fields_write_set(object, fields, in, UINT64_MAX);
}

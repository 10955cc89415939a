/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_FIELDS_H
#define MERIDIAN_MANAGER_FIELDS_H

#include "manager/refusal.h"

#include <jansson.h>
#include <stddef.h>

/*
 * Tables that tie the members of a JSON object to the members of a struct: one table both reads
 * (REST bodies, the state file) and writes. A member that no table knows is refused by name, and so
 * is a value of the wrong type or range.
 */
enum field_kind {
    FIELD_STRING, /* char[max + 1]; at least `min` bytes, printable */
    FIELD_U16,
    FIELD_U32,
    FIELD_U64,  /* 0 .. 2^63-1 */
    FIELD_SIZE, /* uint64_t bytes; "auto" is 0 */
    FIELD_BITS, /* uint64_t, any value: written as a signed number */
    FIELD_I64,
    FIELD_BOOL,
    FIELD_CHOICE,  /* uint32_t: its place in `choices`; a string in JSON */
    FIELD_VALUE,   /* any type, read and written by `value` */
    FIELD_JSON,    /* json_t *, borrowed from the object that was read; any type; never written */
    FIELD_FIXED,   /* accepted when it has the one value that exists here (`fixed`, as JSON text);
                      nothing is stored */
    FIELD_IGNORED, /* accepted and not looked at: what other products' tools send along */
};

/* What a FIELD_VALUE is. */
struct field_value {
    /* Reads `v` into `out`; `name` is the field's whole name for messages. False: *why tells. */
    bool (*read)(const json_t *v, void *out, const char *name, struct refusal *why);
    json_t *(*write)(const void *in);
};

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;
    uint64_t min, max;
    const char *fixed;
    const char *const *choices; /* ends with NULL */
    const struct field_value *value;
};

#define FIELD(type, member, kind_, min_, max_)                                                     \
    {                                                                                              \
        .name = #member, .kind = kind_, .offset = offsetof(struct type, member), .min = min_,      \
        .max = max_                                                                                \
    }
#define FIELD_AS(type, name_, member, kind_, min_, max_)                                           \
    {                                                                                              \
        .name = name_, .kind = kind_, .offset = offsetof(struct type, member), .min = min_,        \
        .max = max_                                                                                \
    }
#define FIELD_TEXT(type, member, min_)                                                             \
    {                                                                                              \
        .name = #member, .kind = FIELD_STRING, .offset = offsetof(struct type, member),            \
        .min = min_, .max = sizeof(((struct type *)0)->member) - 1                                 \
    }
#define FIELD_ONE_OF(type, member, choices_)                                                       \
    {                                                                                              \
        .name = #member, .kind = FIELD_CHOICE, .offset = offsetof(struct type, member),            \
        .choices = choices_                                                                        \
    }
#define FIELD_OF(type, member, value_)                                                             \
    {                                                                                              \
        .name = #member, .kind = FIELD_VALUE, .offset = offsetof(struct type, member),             \
        .value = value_                                                                            \
    }
#define FIELD_ONLY(name_, text)                                                                    \
    {                                                                                              \
        .name = name_, .kind = FIELD_FIXED, .fixed = text                                          \
    }
#define FIELD_SKIP(name_)                                                                          \
    {                                                                                              \
        .name = name_, .kind = FIELD_IGNORED                                                       \
    }
#define FIELD_END                                                                                  \
    {                                                                                              \
        .name = NULL                                                                               \
    }

/*
 * Reads `object` into `out`. *set gets bit i for table entry i that was present (may be NULL;
 * tables have at most 64). `what` names the object in messages ("instances[1].cluster"). False:
 * *why tells (400, for FIELD_FIXED 406) and `out` is half filled.
 */
bool fields_read(const json_t *object, const struct field *fields, void *out, uint64_t *set,
                 const char *what, struct refusal *why);
/* Adds the struct's members to `object`; empty strings are left out. */
void fields_write(json_t *object, const struct field *fields, const void *in);
/* The same for those members only whose bit is in `set`. */
void fields_write_set(json_t *object, const struct field *fields, const void *in, uint64_t set);
/* The bit of a table's entry, for looking into *set. */
uint64_t fields_bit(const struct field *fields, const char *name);

#endif
